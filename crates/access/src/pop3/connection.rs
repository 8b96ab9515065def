//! Joins one stream to one POP3 session: all waiting for the client happens here.

use std::io;
use std::time::Duration;

use kings_net::{Shutdown, receive};
use kings_pop3::{Event, Session};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::client::Client;
use crate::carrier::{Carrier, HIGH_WATER};
use crate::socket::Link;

/// Longest silence after login, and longest wait for the rest of a command (RFC 1939 §3: at least ten minutes).
const INACTIVITY: Duration = Duration::from_secs(10 * 60 + 30);

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By QUIT or from our side.
    Closed,
    /// The client left without a word: nothing was removed.
    Left,
    /// The client waits for our part of the handshake; then go on.
    StartTls,
}

/// One stream with its session.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) carrier: Carrier<S>,
    pub(super) session: Session,
    /// When the client was last answered; while it is a stranger, when it came.
    since: Instant,
}

impl<S: Link> Wire<S> {
    pub(super) fn new(stream: S, session: Session) -> Self {
        Self { carrier: Carrier::new(stream), session, since: Instant::now() }
    }

    /// Drives the session until it ends or wants TLS.
    pub(super) async fn drive(&mut self, client: &mut Client, shutdown: &Shutdown) -> io::Result<End> {
        loop {
            while let Some(event) = self.session.next_event() {
                match event {
                    Event::Closed => {
                        self.flush().await?;
                        self.carrier.shutdown().await?;
                        return Ok(End::Closed);
                    }
                    Event::StartTls => {
                        self.flush().await?;
                        return Ok(End::StartTls);
                    }
                    event => client.answer(self, event).await?,
                }
            }
            if self.session.output_len() > 0 {
                self.flush().await?;
                // Strangers get one span for all they say before the login.
                if self.session.is_authenticated() {
                    self.since = Instant::now();
                }
            }
            if self.wait(client, shutdown).await? == Heard::End {
                return Ok(End::Left);
            }
            self.carrier.forget_pace();
        }
    }

    /// Sends what waits, if it is much.
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        if self.session.output_len() > HIGH_WATER { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let output = self.session.transmit();
        self.carrier.send(&output).await
    }

    /// Waits for bytes, for news of the account, for the end of the client's time, or for ours.
    async fn wait(&mut self, client: &mut Client, shutdown: &Shutdown) -> io::Result<Heard> {
        let patience =
            if self.session.is_authenticated() { INACTIVITY } else { self.carrier.patience_for_strangers() };
        let deadline = self.since + patience;
        let session = &mut self.session;
        tokio::select! {
            () = shutdown.cancelled() => session.bye("Server is shutting down"),
            () = client.accounts_changed() => {
                client.end_if_closed(session);
            }
            received = timeout_at(deadline, receive(&mut self.carrier.stream, |bytes| session.receive(bytes))) => {
                if let Ok(received) = received {
                    let count = received?;
                    self.carrier.received += count as u64;
                    return Ok(if count == 0 { Heard::End } else { Heard::Something });
                }
                debug!("too slow");
                session.bye("Too slow");
            }
        }
        Ok(Heard::Something)
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Bytes, or the session has its last word ready, or goes on.
    Something,
    End,
}
