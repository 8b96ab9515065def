//! The one place where blocking calls leave the runtime.

use kings_store::StoreError;

/// Why a call on the store gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The store said no.
    #[error(transparent)]
    Store(StoreError),
    /// The call panicked.
    #[error("a store call crashed")]
    Crashed,
}

/// Runs store calls on a thread for blocking work.
///
/// A call that panics fails alone: the session hears of an error, others go on.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Failure::Store),
        Err(_) => Err(Failure::Crashed),
    }
}
