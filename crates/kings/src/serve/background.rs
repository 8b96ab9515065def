//! What goes on while the server runs, by the config of the moment.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kings_directory::Directory;
use kings_mail::envelope::MailParameters;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mta::Reporter;
use kings_mta::relay::Relay;
use kings_net::Resolver;
use kings_queue::{Attempt, Deliver, Finished, Lane, Notification, PostError};
use kings_store::Store;
use tracing::warn;

/// How often policies of MTA-STS that would expire are fetched again.
const REFRESH_POLICIES: Duration = Duration::from_hours(1);
/// How often expunged mail that was kept long enough is looked for.
const PURGE_EXPUNGED: Duration = Duration::from_hours(24);
/// How long after a start it is first looked for reports that are due: who started it by mistake has time to stop it.
const FIRST_REPORTS: Duration = Duration::from_mins(5);

/// The relay of the present config.
pub(super) struct CurrentRelay(pub(super) ArcSwap<Relay<Resolver>>);

impl Deliver for CurrentRelay {
    fn lane(&self, reverse_path: &ReversePath, parameters: &MailParameters, recipient: &ForwardPath) -> Lane {
        self.0.load().lane(reverse_path, parameters, recipient)
    }

    async fn deliver(&self, attempt: Attempt) -> Finished {
        self.0.load_full().deliver(attempt).await
    }

    async fn notify(&self, notification: Notification) -> Result<(), PostError> {
        self.0.load_full().notify(notification).await
    }
}

/// Asks for policies of MTA-STS again before they expire, for ever; at once after a start, for nobody knows how long the
/// server was down.
pub(super) async fn refresh_policies(relay: Arc<CurrentRelay>) {
    loop {
        relay.0.load_full().refresh_policies().await;
        tokio::time::sleep(REFRESH_POLICIES).await;
    }
}

/// Removes expunged mail that was kept long enough, of all accounts, for ever: also of those that nobody looks at.
pub(super) async fn purge_expunged(store: Store, directory: Arc<ArcSwap<Directory>>) {
    loop {
        tokio::time::sleep(PURGE_EXPUNGED).await;
        let (store, accounts) = (store.clone(), directory.load_full().accounts());
        let purge = move || {
            for (account, _) in accounts {
                if let Err(error) = store.purge_expunged(&account) {
                    warn!(%account, %error, "expunged mail cannot be removed");
                }
            }
        };
        if tokio::task::spawn_blocking(purge).await.is_err() {
            warn!("the removal of expunged mail crashed");
        }
    }
}

/// Sends reports as they fall due, for ever.
pub(super) async fn send_reports(reporter: Arc<ArcSwap<Reporter<Resolver>>>) {
    let (mut last, mut pause) = (None, FIRST_REPORTS);
    loop {
        tokio::time::sleep(pause).await;
        let done = reporter.load_full().send_due(last).await;
        (last, pause) = (Some(done.began), done.pause);
    }
}
