//! The waits of the runner for its deliverer: one attempt, one notification.

use std::future::Future;
use std::io::Read;
use std::sync::Arc;

use kings_mail::path::ReversePath;
use tokio_util::task::AbortOnDropHandle;

use crate::deliver::{Attempt, Content, Deliver, Finished, PostError};
use crate::entry::{Entry, Span};
use crate::notification::{self, Excerpt, MAX_RETURNED_HEADER, Notice};
use crate::queue::Queue;
use crate::recipient::Occasion;
use crate::spool::{LoadError, Name};

/// Reads and checks the content unless it is at hand, then has the attempt made with it.
pub(crate) async fn attempt<D: Deliver>(
    queue: &Queue,
    deliver: Arc<D>,
    (name, span): (Name, Span),
    at_hand: Option<Content>,
    attempt: impl FnOnce(Content) -> Attempt,
) -> Result<Finished, LoadError> {
    let content = match at_hand {
        Some(content) => content,
        None => queue.on_disk(move |queue| queue.spool().content(name, span)).await?,
    };
    let attempt = attempt(content);
    let finished = guarded(async move { deliver.deliver(attempt).await }).await;
    Ok(finished.unwrap_or_else(|| Vec::new().into()))
}

/// Builds the notification about the recipients at `places` and has it posted.
pub(crate) async fn report<D: Deliver>(
    queue: &Queue,
    deliver: Arc<D>,
    (name, entry): (Name, &Entry),
    occasion: Occasion,
    places: &[usize],
) -> Result<(), PostError> {
    let (id, notices) = (entry.id, queue.notices());
    let instead = notices.instead(&entry.reverse_path);
    if entry.reverse_path == ReversePath::Null {
        let told = instead.map_or_else(|| "nobody".to_owned(), ToString::to_string);
        tracing::warn!(%id, told, "a message without a sender failed");
    }
    let (span, whole) = (entry.content, notification::returns_whole(entry, occasion));
    let excerpt = queue.on_disk(move |queue| excerpt(queue, name, span, whole)).await;
    let (hostname, now) = (queue.hostname(), queue.clock().now());
    let lifetime = queue.lifetimes().of(&entry.reverse_path);
    let notice = Notice { entry, occasion, places, excerpt, hostname, lifetime, now, operator: instead };
    let Some(notification) = notification::build(&notice) else {
        if instead.is_some() {
            tracing::error!(%id, "a report to an operator failed; it is dropped, for nobody is left to tell");
        }
        return Ok(());
    };
    let copy = notices.beside(&entry.reverse_path, occasion);
    let copy = copy.and_then(|operator| notification::build(&notice.for_operator(operator)));
    let later = || PostError::Later("the deliverer failed".to_owned());
    let (to_sender, deliverer) = (notification, deliver.clone());
    guarded(async move { deliverer.notify(to_sender).await }).await.unwrap_or_else(|| Err(later()))?;
    if let Some(copy) = copy {
        // The sender has been told: to try this again would tell him twice.
        let posted = guarded(async move { deliver.notify(copy).await }).await.unwrap_or_else(|| Err(later()));
        if let Err(error) = posted {
            tracing::error!(%id, %error, "the copy of a report for an operator was not posted");
        }
    }
    Ok(())
}

/// What goes back of the message. Without it a report is poorer but still a report.
fn excerpt(queue: &Queue, name: Name, span: Span, whole: bool) -> Excerpt {
    let all = || -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        queue.spool().content(name, span).ok()?.reader().read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let beginning = || queue.spool().beginning(name, span, MAX_RETURNED_HEADER).unwrap_or_default();
    whole.then(all).flatten().map_or_else(|| Excerpt::Beginning(beginning()), Excerpt::Whole)
}

/// Runs the deliverer apart, so that a panic in it costs one attempt and not the queue; `None` after one.
/// When the runner drops this, the deliverer is stopped too.
async fn guarded<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    // Boxed: a task is moved several times before it runs, and this one is large.
    match AbortOnDropHandle::new(tokio::spawn(Box::pin(work))).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "the deliverer failed");
            None
        }
    }
}
