//! The one place where blocking calls leave the runtime.

use kings_store::StoreError;

use crate::imap::Trouble;

/// Runs store calls on a thread for blocking work.
///
/// A call that panics fails alone: the session hears of an error, others go on.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Trouble>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Trouble::Store),
        Err(_) => Err(Trouble::Crashed),
    }
}
