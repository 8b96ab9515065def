//! Queue entries that stay on this server: recipients that had to wait, and notifications for our own users.

use std::io;
use std::sync::Arc;

use kings_directory::Resolution;
use kings_mail::dsn::Status;
use kings_mail::envelope::{MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_mail::trace;
use kings_queue::{Attempt, Content, Notification, Outcome, PostError, Report};
use kings_smtp::reply::Reply;
use kings_store::{Incoming, StoreError};

use super::backscatter::{self, Course};
use super::outcome::{deferred, failed};
use crate::authenticate::{Check, Reporter};
use crate::core::{Core, blocking, for_each_piece, new_id};
use crate::deliver::{self, DeliveryError, Message};
use crate::policy::ours::{Claimant, Leaving};
use crate::policy::verdict;
use crate::signing::Seal;
use crate::traced;

/// Octets in which a verdict ends: it has a few reasons, each a sentence.
const OPENING: usize = 64 * 1024;

/// Delivers to recipients of hosted domains, as if the message had just arrived.
pub(crate) async fn deliver(core: &Core, attempt: &Attempt) -> Vec<Outcome> {
    let (verdict, content) = match gather(core, attempt.content.clone()).await {
        Ok((verdict, content)) => (verdict, Arc::new(content)),
        Err(error) => {
            return vec![deferred(Status::LOCAL_TROUBLE, error.to_string()); attempt.recipients.len()];
        }
    };
    let mut outcomes = Vec::with_capacity(attempt.recipients.len());
    for recipient in &attempt.recipients {
        outcomes.push(deliver_one(core, attempt, recipient, (&verdict, &content)).await);
    }
    outcomes
}

async fn deliver_one(
    core: &Core,
    attempt: &Attempt,
    recipient: &Recipient,
    (verdict, content): (&str, &Arc<Incoming>),
) -> Outcome {
    match core.resolve_again(recipient, &attempt.reverse_path).await {
        Resolution::Unknown => return refused(&Reply::UNKNOWN_USER),
        Resolution::Unavailable => return refused(&Reply::TRY_LATER),
        Resolution::Looping => return refused(&Reply::ALIAS_LOOP),
        // The domain was ours when the queue asked; the next attempt will go out.
        Resolution::Elsewhere(_) => {
            return deferred(Status::LOCAL_TROUBLE, "the domain is no longer hosted here");
        }
        Resolution::Targets(_) => {}
    }
    // So does whether it is from whom it says, as far as it says to be ours.
    let head = content.head();
    let leaving = leaving(core, head, &attempt.reverse_path, verdict);
    let message = Message {
        id: attempt.id.message().behind(further()),
        reverse_path: attempt.reverse_path.clone(),
        // Its time has come, or the queue would not have tried.
        parameters: MailParameters { hold: None, ..attempt.parameters.clone() },
        recipients: vec![recipient.clone()],
        prefix: String::new(),
        // What was thought of it when it came holds for copies that are tried again.
        hold: None,
        verdict: verdict.to_owned(),
        junk: verdict::is_junk(verdict.as_bytes()),
        // Nobody is there any more to refuse it to.
        vouched: true,
        leaving,
        // It was read when it came.
        reporter: Reporter::default(),
        // So does what was found, where an alias sends it on only now.
        seal: Seal::recalled(&core.signing, &core.hostname, content.head()).map(Arc::new),
        content: content.clone(),
    };
    match deliver::deliver(core, message).await {
        // Whoever stores it tells the sender too, as with a message that arrives.
        Ok(()) => Outcome::PassedOn(Report::ours(Status::DONE, "stored")),
        Err(error) => refused(&error.reply()),
    }
}

/// How a message leaves that was judged when it came, where an alias sends it on.
pub(crate) fn leaving(core: &Core, head: &[u8], reverse_path: &ReversePath, verdict: &str) -> Leaving {
    let authors = Claimant::all(head);
    let claim = |check| core.ours().sent_on(head, &authors, reverse_path, check);
    match verdict {
        _ if verdict::has_forged_path(verdict.as_bytes()) => Leaving::Never,
        "" => claim(Check::Off),
        _ if verdict::is_unproven(verdict.as_bytes()) => claim(Check::Enforce),
        _ => Leaving::Suited,
    }
}

/// Where the numbers begin of entries for copies that go on from here: the entry that is being tried, and others of its
/// message, still have theirs. By chance, since nobody counts them; where two agree, the second comes again later.
fn further() -> u32 {
    const FIRST: u32 = 1 << 10;
    FIRST + getrandom::u32().unwrap_or_default() % (1 << 20)
}

fn refused(reply: &Reply) -> Outcome {
    let status = reply.status.unwrap_or(Status::LOCAL_TROUBLE);
    let text = reply.to_string();
    if reply.is_permanent() { failed(status, text) } else { deferred(status, text) }
}

/// Sends a notification on its way, unless there are too many where it goes.
pub(crate) async fn post(core: &Core, notification: Notification) -> Result<(), PostError> {
    match backscatter::course(core, &notification) {
        Course::Goes => post_now(core, notification).await,
        Course::Withheld => Ok(()),
        Course::Told(to_postmaster) => {
            // It is a courtesy: the log has it already.
            if let Err(error) = post_now(core, *to_postmaster).await {
                tracing::warn!(%error, "the postmaster is not told of it");
            }
            Ok(())
        }
    }
}

/// The same at once, under a name of its own.
async fn post_now(core: &Core, notification: Notification) -> Result<(), PostError> {
    let envelope = notification.envelope();
    let Notification { about, forward_path, .. } = notification;
    let content = gather(core, Content::from(notification.content)).await;
    let (verdict, content) = content.map_err(|error| PostError::Later(error.to_string()))?;
    let content = Arc::new(content);
    let prefix = core.signing.fields(&content).await;
    let prefix = prefix.map_err(|cause| PostError::Later(cause.to_string()))?;
    let message = Message { verdict, ..Message::of_ours(new_id(), envelope, prefix, content) };
    tracing::info!(id = %message.id, %about, %forward_path, "notification posted");
    traced::notified(core, about, &forward_path, message.id);
    match deliver::deliver(core, message).await {
        Ok(()) => Ok(()),
        Err(DeliveryError::Loop) => Err(PostError::Never("the notification has been here before".to_owned())),
        Err(error) => Err(PostError::Later(error.reply().to_string())),
    }
}

/// The content of the queue as one of the store, and what was thought of it.
async fn gather(core: &Core, content: Content) -> Result<(String, Incoming), StoreError> {
    let (verdict, content) = without_verdict(content).await?;
    let store = core.store.clone();
    blocking(move || {
        let mut incoming = store.begin()?;
        for_each_piece(content.reader(), |piece| incoming.write(piece))?;
        Ok((verdict, incoming))
    })
    .await
}

/// Parts a content of the queue from the verdict that it begins with.
async fn without_verdict(content: Content) -> io::Result<(String, Content)> {
    let mut opening = content.read_at(0, OPENING).await?;
    opening.truncate(trace::notes_length(&opening));
    let content = if opening.is_empty() { content } else { content.behind(opening.len() as u64) };
    Ok((String::from_utf8_lossy(&opening).into_owned(), content))
}
