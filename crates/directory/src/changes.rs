//! Tells all who wait for it that the files say something else: one task looks for all of them, while there are any.

use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::directory::{Directory, Inner};

/// How often it is looked, whoever waits: a removal acts within seconds. A look is one `stat` for each file, which
/// also sees what inotify does not: network file systems, and a path whose links or folders are exchanged.
const LOOK: Duration = Duration::from_secs(1);

/// The readings to come.
#[derive(Debug)]
pub struct Changes(watch::Receiver<()>);

impl Changes {
    /// Waits until the files have been read anew; for ever once the directory is gone.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Directory {
    /// The readings from now on. Needs a runtime.
    pub fn changes(&self) -> Changes {
        let changes = Changes(self.0.readings.subscribe());
        // After the subscription: a task that is about to end sees it, or has said that it ends.
        if !std::mem::replace(&mut *self.0.is_looked_after(), true) {
            tokio::spawn(look_on(Arc::downgrade(&self.0)));
        }
        changes
    }
}

impl Inner {
    fn is_looked_after(&self) -> MutexGuard<'_, bool> {
        self.looked_after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until nobody waits any more.
async fn look_on(inner: Weak<Inner>) {
    loop {
        sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut looked_after = inner.is_looked_after();
        if inner.readings.receiver_count() == 0 {
            *looked_after = false;
            return;
        }
        drop(looked_after);
        Directory(inner).files();
    }
}
