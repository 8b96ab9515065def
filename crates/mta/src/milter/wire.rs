//! One connection to a filter: the only place where the milter protocol touches a socket.

use std::io;
use std::time::Duration;

use kings_milter::{Change, Client, Command, Fault, Heard, Macros, Outcome, Sent, Stage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::Settings;
use crate::delegation::Place;

/// Octets of answers read at once.
const BUFFER: usize = 16 * 1024;

/// How many times its time limit a filter may take at one step, or with all of a message, while it says that it is still at
/// work, or answers one field after the other just in time.
///
/// The protocol names no bound and Postfix has none: its process waits, and one more is started. Here a filter that says
/// so for ever would hold the client, its slot and its message for ever. Four times the five minutes for a message is twice
/// what clients wait behind the final dot (RFC 5321 §4.5.3.2.6): whatever comes later, nobody is there to hear it.
const MOST_WAITS: u32 = 4;

/// How long a filter is waited for from here on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Longest silence.
    silence: Duration,
    /// Longest time in all, whatever is said meanwhile.
    whole: Duration,
    began: Instant,
}

impl Patience {
    pub(super) fn begin(silence: Duration) -> Self {
        Self { silence, whole: silence.saturating_mul(MOST_WAITS), began: Instant::now() }
    }

    async fn wait<T>(&self, work: impl Future<Output = io::Result<T>>) -> Result<T, WireError> {
        let left = self.whole.saturating_sub(self.began.elapsed());
        // What is ready would be taken even then, and a flood of "progress" always is.
        if left.is_zero() {
            return Err(WireError::Endless(self.whole));
        }
        match timeout(left.min(self.silence), work).await {
            Ok(done) => Ok(done?),
            Err(_) if left < self.silence => Err(WireError::Endless(self.whole)),
            Err(_) => Err(WireError::TooSlow(self.silence)),
        }
    }
}

/// Why a filter cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("cannot reach it: {0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("still at work after {0:?}")]
    Endless(Duration),
    #[error("it {0}")]
    Fault(#[from] Fault),
}

/// Either kind of socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// A connection on which both sides have agreed.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    client: Client,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects and agrees on what is spoken. `message_bytes`: the largest body that a filter may put in place.
    pub(super) async fn open(settings: &Settings, message_bytes: u64) -> Result<Self, WireError> {
        let socket = timeout(settings.connect, connect(&settings.place)).await;
        let socket = socket.map_err(|_| WireError::TooSlow(settings.connect))?.map_err(WireError::Connect)?;
        Self::agree(socket, settings, message_bytes).await
    }

    /// Agrees over a socket that is there.
    pub(super) async fn agree(
        socket: Box<dyn Socket>,
        settings: &Settings,
        message_bytes: u64,
    ) -> Result<Self, WireError> {
        let mut wire = Self { socket, client: Client::new(message_bytes), buffer: vec![0; BUFFER] };
        let patience = Patience::begin(settings.command);
        wire.flush(patience).await?;
        match wire.hear(patience).await? {
            Heard::Ready => Ok(wire),
            Heard::Progress | Heard::Answer(..) => Err(WireError::Closed),
        }
    }

    pub(super) fn wants(&self, stage: Stage) -> bool {
        self.client.wants(stage)
    }

    pub(super) fn keeps_leading_space(&self) -> bool {
        self.client.keeps_leading_space()
    }

    /// Says one step; its answer, where the filter gives one.
    pub(super) async fn ask(
        &mut self,
        command: &Command,
        macros: &Macros,
        patience: Patience,
    ) -> Result<(Outcome, Vec<Change>), WireError> {
        match self.client.send(command, macros) {
            // What needs no answer leaves together with what does.
            Sent::Skipped | Sent::Told => return Ok((Outcome::Continue, Vec::new())),
            Sent::Asked => self.flush(patience).await?,
        }
        loop {
            match self.hear(patience).await? {
                Heard::Answer(outcome, changes) => return Ok((outcome, changes)),
                Heard::Progress => {}
                Heard::Ready => return Err(WireError::Closed),
            }
        }
    }

    /// Sends what was only told so far. A body of which no piece is answered must not pile up.
    pub(super) async fn flush(&mut self, patience: Patience) -> Result<(), WireError> {
        let output = self.client.transmit();
        if output.is_empty() {
            return Ok(());
        }
        patience.wait(self.socket.write_all(&output)).await
    }

    /// The message at hand is dropped; said with the next word.
    pub(super) fn abort(&mut self) {
        self.client.abort();
    }

    async fn hear(&mut self, patience: Patience) -> Result<Heard, WireError> {
        loop {
            if let Some(heard) = self.client.next_word()? {
                return Ok(heard);
            }
            match patience.wait(self.socket.read(&mut self.buffer)).await? {
                0 => return Err(WireError::Closed),
                count => self.client.receive(&self.buffer[..count]),
            }
        }
    }
}

async fn connect(place: &Place) -> io::Result<Box<dyn Socket>> {
    Ok(match place {
        Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Place::Inet(host, port) => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
    })
}
