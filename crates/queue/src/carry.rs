//! The waits of the runner for its deliverer: one attempt, one report.

use std::future::Future;
use std::sync::Arc;

use kings_mail::path::ReversePath;
use tokio_util::task::AbortOnDropHandle;

use crate::bounce::{self, MAX_RETURNED_HEADER};
use crate::deliver::{Attempt, Content, Deliver, Outcome, PostError};
use crate::entry::{Entry, Span};
use crate::queue::Queue;
use crate::spool::{LoadError, Name};

/// Reads and checks the content, then has the attempt made with it.
pub(crate) async fn attempt<D: Deliver>(
    queue: &Queue,
    deliver: Arc<D>,
    name: Name,
    span: Span,
    attempt: impl FnOnce(Content) -> Attempt,
) -> Result<Vec<Outcome>, LoadError> {
    let attempt = attempt(queue.on_disk(move |queue| queue.spool().content(name, span)).await?);
    Ok(guarded(async move { deliver.deliver(attempt).await }).await.unwrap_or_default())
}

/// Builds the report on the recipients at `places` and has it posted.
pub(crate) async fn report<D: Deliver>(
    queue: &Queue,
    deliver: Arc<D>,
    name: Name,
    entry: Entry,
    places: &[usize],
) -> Result<(), PostError> {
    let id = entry.id;
    if entry.reverse_path == ReversePath::Null {
        tracing::warn!(%id, "a message without a sender failed; the postmaster is told");
    }
    let (span, most) = (entry.content, MAX_RETURNED_HEADER as u64);
    // Without the header a report is poorer but still a report.
    let beginning =
        queue.on_disk(move |queue| queue.spool().beginning(name, span, most)).await.unwrap_or_default();
    let now = bounce::date(queue.clock().now().wall);
    let Some(bounce) = bounce::build(&entry, places, &beginning, queue.hostname(), now) else {
        tracing::error!(%id, "a report to the postmaster failed; it is dropped, for nobody is left to tell");
        return Ok(());
    };
    guarded(async move { deliver.post_bounce(bounce).await })
        .await
        .unwrap_or_else(|| Err(PostError::Later("the deliverer failed".to_owned())))
}

/// Runs the deliverer apart, so that a panic in it costs one attempt and not the queue; `None` after one.
/// When the runner drops this, the deliverer is stopped too.
async fn guarded<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    match AbortOnDropHandle::new(tokio::spawn(work)).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "the deliverer failed");
            None
        }
    }
}
