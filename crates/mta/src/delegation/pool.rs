//! Connections to the policy service, kept for the next question.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;

use super::{DelegationError, Place};

/// Questions asked at once; the others wait, and their wait counts as the service's.
const MAX_CONNECTIONS: usize = 50;
/// Connections that wait for a question.
const MAX_IDLE: usize = 10;
/// How long they wait, as Postfix's `smtpd_policy_service_max_idle`.
const IDLE: Duration = Duration::from_mins(5);
/// Longest answer.
const MAX_ANSWER: usize = 16 * 1024;

/// Either kind of socket.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection and when it was last used.
type Idle = (Box<dyn Wire>, Instant);

pub(super) struct Pool {
    pub(super) place: Place,
    idle: Mutex<Vec<Idle>>,
    turns: Semaphore,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.place)
    }
}

impl Pool {
    pub(super) fn new(place: Place) -> Self {
        Self { place, idle: Mutex::default(), turns: Semaphore::new(MAX_CONNECTIONS) }
    }

    /// Sends a question and gives the lines of its answer. A kept connection may have been closed by the
    /// service meanwhile; then the question goes over a new one.
    pub(super) async fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, DelegationError> {
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        while let Some(mut wire) = self.take() {
            match converse(&mut wire, request).await {
                Err(DelegationError::Io(_)) => {}
                answer => return answer.inspect(|_| self.keep(wire)),
            }
        }
        let mut wire = self.connect().await?;
        converse(&mut wire, request).await.inspect(|_| self.keep(wire))
    }

    async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        Ok(match &self.place {
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Place::Inet(host, port) => Box::new(TcpStream::connect((host.as_str(), *port)).await?),
        })
    }

    /// The connection that was used last, since the service is the least likely to have closed it.
    fn take(&self) -> Option<Box<dyn Wire>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, used)| used.elapsed() < IDLE);
        idle.pop().map(|(wire, _)| wire)
    }

    fn keep(&self, wire: Box<dyn Wire>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push((wire, Instant::now()));
        }
    }
}

/// One question and its answer, up to the empty line. Anything after that belongs to no question, so it is an
/// error, and the connection is not used again.
async fn converse(wire: &mut Box<dyn Wire>, request: &[u8]) -> Result<Vec<u8>, DelegationError> {
    wire.write_all(request).await?;
    wire.flush().await?;
    let mut answer = Vec::new();
    loop {
        match answer.windows(2).position(|pair| pair == b"\n\n") {
            Some(end) if end + 2 == answer.len() => return Ok(answer),
            Some(_) => return Err(DelegationError::TooLong),
            None if answer.len() > MAX_ANSWER => return Err(DelegationError::TooLong),
            None if wire.read_buf(&mut answer).await? == 0 => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            None => {}
        }
    }
}
