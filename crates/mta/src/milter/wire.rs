//! One connection to a filter: the only place where the milter protocol touches a socket.

use std::time::Duration;

use kings_milter::{Change, Client, Command, Fault, Heard, Macros, Outcome, Sent, Stage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Settings;
use crate::delegation::Place;

/// Octets of answers read at once.
const BUFFER: usize = 16 * 1024;

/// Why a filter cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("cannot reach it: {0}")]
    Connect(std::io::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("it {0}")]
    Fault(#[from] Fault),
}

/// Either kind of socket.
trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

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
        let mut wire = Self { socket, client: Client::new(message_bytes), buffer: vec![0; BUFFER] };
        wire.flush(settings.command).await?;
        match wire.hear(settings.command).await? {
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
        patience: Duration,
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
    pub(super) async fn flush(&mut self, patience: Duration) -> Result<(), WireError> {
        let output = self.client.transmit();
        if output.is_empty() {
            return Ok(());
        }
        timeout(patience, self.socket.write_all(&output))
            .await
            .map_err(|_| WireError::TooSlow(patience))??;
        Ok(())
    }

    /// The message at hand is dropped; said with the next word.
    pub(super) fn abort(&mut self) {
        self.client.abort();
    }

    async fn hear(&mut self, patience: Duration) -> Result<Heard, WireError> {
        loop {
            if let Some(heard) = self.client.next_word()? {
                return Ok(heard);
            }
            let read = timeout(patience, self.socket.read(&mut self.buffer)).await;
            match read.map_err(|_| WireError::TooSlow(patience))?? {
                0 => return Err(WireError::Closed),
                count => self.client.receive(&self.buffer[..count]),
            }
        }
    }
}

async fn connect(place: &Place) -> std::io::Result<Box<dyn Socket>> {
    Ok(match place {
        Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Place::Inet(host, port) => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
    })
}
