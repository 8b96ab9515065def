//! The socket of a filter: bytes in and out, in time, until the mail server or we say farewell.

use std::io;
use std::time::Duration;

use kings_dns::Dns;
use kings_milter::{Actions, Breach, Event, Offer, Server, Stage, Steps};
use kings_net::{Connection, Service, Stream, receive};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::session::Session;
use super::{Filter, Settings};

/// Longest silence of a mail server: its client may type by hand. That of libmilter (`smfi_settimeout`).
const IDLE: Duration = Duration::from_secs(7_210);
/// Longest time an answer may take to leave.
const WRITE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Breach(#[from] Breach),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("nothing was said for {} s", IDLE.as_secs())]
    Silent,
    #[error("an answer could not leave for {} s", WRITE.as_secs())]
    Stuck,
}

/// Odd commands are none of our business, nor are recipients unless the settings ask for some; what is only taken note of
/// needs no answer.
pub(super) fn offer(settings: &Settings) -> Offer {
    let told = [Stage::Helo, Stage::Mail, Stage::Header, Stage::Body].map(Steps::unanswered);
    let left_out = [Stage::Data, Stage::Unknown].map(Steps::without);
    let rcpt = if settings.unsigned_to.is_empty() { Steps::without } else { Steps::unanswered };
    let steps = told
        .into_iter()
        .chain(left_out)
        .chain([rcpt(Stage::Rcpt)])
        .fold(Steps::LEADING_SPACE, |all, one| all | one);
    let actions = Actions::ADD_HEADERS | Actions::CHANGE_HEADERS | Actions::QUARANTINE;
    Offer { actions, steps, symbols: Vec::new() }
}

impl<D: Dns + 'static> Service for Filter<D> {
    async fn serve(&self, mut connection: Connection) {
        let peer = connection.peer;
        match self.converse(&mut connection).await {
            Ok(()) => debug!(%peer, "a mail server has gone"),
            Err(error) => warn!(%peer, %error, "the connection of a mail server is closed"),
        }
    }

    /// The protocol has no word for it: the mail server finds the connection closed and does what it does without us.
    fn busy(&self) -> &'static [u8] {
        b""
    }
}

impl<D: Dns + 'static> Filter<D> {
    async fn converse(&self, connection: &mut Connection) -> Result<(), WireError> {
        let shutdown = connection.shutdown.clone();
        let (mut server, mut session) = (Server::new(offer(&self.0.settings)), Session::new(self.0.clone()));
        loop {
            if !self.hear_all(&mut server, &mut session).await? {
                return Ok(());
            }
            write(&mut connection.stream, &server.transmit()).await?;
            let read = timeout(IDLE, receive(&mut connection.stream, |bytes| server.receive(bytes)));
            let read = tokio::select! {
                // A message that is under way gets its answer.
                () = shutdown.cancelled(), if !session.is_in_message() => return Ok(()),
                read = read => read,
            };
            if read.map_err(|_| WireError::Silent)?? == 0 {
                return Ok(());
            }
        }
    }

    /// Does all that the bytes so far ask for; false when the mail server has said farewell.
    pub(super) async fn hear_all(
        &self,
        server: &mut Server,
        session: &mut Session<D>,
    ) -> Result<bool, WireError> {
        while let Some(event) = server.next_event()? {
            match event {
                Event::Asked(command) => {
                    let (changes, answer) = session.hear(server, command).await;
                    server.answer(&changes, &answer);
                }
                Event::Told(command) => drop(session.hear(server, command).await),
                Event::Abort => session.abort(),
                Event::NextClient => *session = Session::new(self.0.clone()),
                Event::Quit => return Ok(false),
            }
        }
        Ok(true)
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> Result<(), WireError> {
    if bytes.is_empty() {
        return Ok(());
    }
    Ok(timeout(WRITE, stream.write_all(bytes)).await.map_err(|_| WireError::Stuck)??)
}
