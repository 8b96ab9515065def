//! What every flow of mail needs: our name, the limits, and the places where things are.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kings_directory::Directory;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::id::TraceId;
use kings_queue::Queue;
use kings_records::Records;
use kings_store::Store;
use rustls::ServerConfig;

/// The limits of the mail flow that an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in octets.
    pub message_bytes: u64,
    /// Most recipients of one message.
    pub recipients: usize,
}

/// What [`Core`] is made of.
#[derive(Clone)]
pub struct Parts {
    /// Our name in greetings and trace fields.
    pub hostname: Domain,
    /// The limits.
    pub limits: Limits,
    /// Who exists.
    pub directory: Directory,
    /// Where mail for our accounts goes.
    pub store: Store,
    /// Where mail for others waits.
    pub queue: Queue,
    /// What is remembered of all of it.
    pub records: Records,
    /// What STARTTLS shows.
    pub tls: Arc<ServerConfig>,
}

/// Shared by all sessions of all flows. Clones share one value.
#[derive(Clone)]
pub struct Core(Arc<Parts>);

impl Core {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// A name for a message that arrives now.
pub(crate) fn new_id() -> TraceId {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 4];
    // Without random bytes two messages of the same microsecond could share a name; nothing worse.
    let _ = getrandom::fill(&mut random);
    TraceId::new(u64::try_from(since_1970.as_micros()).unwrap_or(0), u32::from_ne_bytes(random))
}

impl std::ops::Deref for Core {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The wall clock, for trace fields.
pub(crate) fn now() -> DateTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_unix(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX))
}

/// Reads to the end, piece by piece. Blocking.
pub(crate) fn for_each_piece<E: From<io::Error>>(
    mut reader: impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The one place of this crate where blocking work leaves the runtime's own threads.
///
/// A panic inside is a fault of ours and goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking tasks are cancelled only when the runtime is gone, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
