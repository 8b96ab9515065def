//! Joins one stream to one session: the only place where IMAP touches a socket.

use std::io;
use std::ops::Range;
use std::time::Duration;

use kings_imap::{Event, Progress, Response, Session};
use kings_net::{Shutdown, receive};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::carrier::{COMMAND, Carrier, HIGH_WATER, RATE};
use crate::imap::{Client, News};
use crate::socket::Link;

/// Longest silence after login, IDLE included (RFC 3501 §5.4: at least 30 minutes; RFC 2177 §3 has
/// clients speak every 29).
const INACTIVITY: Duration = Duration::from_secs(30 * 60 + 30);
/// Time that a message may take before its rate counts.
const MESSAGE_GRACE: Duration = Duration::from_mins(1);
/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By LOGOUT or by a BYE of ours.
    Closed,
    /// The client left without a word.
    Left,
    /// The client waits for our part of the handshake; then go on.
    StartTls,
}

/// One stream with its session.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) carrier: Carrier<S>,
    pub(crate) session: Session,
    /// When the client was last answered; while it is a stranger, when it came.
    since: Instant,
    /// When the command or message that is coming began, and `received` at that moment.
    began: Option<(Instant, u64)>,
}

impl<S: Link> Wire<S> {
    pub(crate) fn new(stream: S, session: Session) -> Self {
        Self { carrier: Carrier::new(stream), session, since: Instant::now(), began: None }
    }

    /// Drives the session until it ends or wants TLS. All waiting for the peer happens here.
    ///
    /// Output leaves when the input is used up, so commands sent at once are answered in few writes.
    pub(crate) async fn drive(&mut self, client: &mut Client, shutdown: &Shutdown) -> io::Result<End> {
        loop {
            while let Some(event) = self.session.next_event() {
                match event {
                    Event::Closed => return self.close().await,
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
            let heard = self.wait(client, shutdown).await?;
            self.carrier.forget_pace();
            match heard {
                Heard::Bytes | Heard::Deadline => {}
                Heard::Accounts => {
                    client.end_if_closed(&mut self.session);
                }
                Heard::News => {
                    client.tell_news(&mut self.session).await;
                    self.flush().await?;
                }
                Heard::End => return Ok(End::Left),
            }
        }
    }

    /// Sends what waits, if it is much.
    pub(crate) async fn relieve(&mut self) -> io::Result<()> {
        if self.session.output_len() > HIGH_WATER { self.flush().await } else { Ok(()) }
    }

    /// Sends part of a message behind the text that announced it. All of it goes, or the session ends.
    pub(crate) async fn send_content(&mut self, content: &[u8], range: Range<usize>) -> io::Result<()> {
        self.flush().await?;
        let Some(content) = content.get(range) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is shorter than announced"));
        };
        self.carrier.write(content).await
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let output = self.session.transmit();
        self.carrier.send(&output).await
    }

    async fn close(&mut self) -> io::Result<End> {
        self.flush().await?;
        self.carrier.shutdown().await?;
        Ok(End::Closed)
    }

    /// Waits for bytes, for news while the client idles or of its account, for the end of its time, or for ours.
    async fn wait(&mut self, client: &mut Client, shutdown: &Shutdown) -> io::Result<Heard> {
        let deadline = self.deadline();
        let idling = self.session.is_idling();
        // A message on its way may still arrive whole; only then is the client told.
        let may_stop = self.session.progress() != Progress::Message;
        let session = &mut self.session;
        tokio::select! {
            () = shutdown.cancelled(), if may_stop => session.bye("Server is shutting down"),
            news = client.news(idling) => return Ok(match news {
                News::Mailbox => Heard::News,
                News::Accounts => Heard::Accounts,
            }),
            received = timeout_at(deadline, receive(&mut self.carrier.stream, |bytes| session.receive(bytes))) => {
                if let Ok(received) = received {
                    let count = received?;
                    self.carrier.received += count as u64;
                    return Ok(if count == 0 { Heard::End } else { Heard::Bytes });
                }
                debug!("too slow");
                session.bye("Too slow");
            }
        }
        Ok(Heard::Deadline)
    }

    /// When the client must have said something complete.
    fn deadline(&mut self) -> Instant {
        let progress = self.session.progress();
        if progress == Progress::Between {
            self.began = None;
            return self.since + self.patience();
        }
        let (began, before) = *self.began.get_or_insert((Instant::now(), self.carrier.received));
        match progress {
            Progress::Message => {
                let octets = self.carrier.received - before;
                began + MESSAGE_GRACE + Duration::from_secs(octets / RATE)
            }
            Progress::Command | Progress::Between if self.session.is_authenticated() => began + COMMAND,
            Progress::Command | Progress::Between => self.since + self.patience(),
        }
    }

    /// How long the client may be silent, or be a stranger.
    fn patience(&self) -> Duration {
        if self.session.is_authenticated() { INACTIVITY } else { self.carrier.patience_for_strangers() }
    }

    /// Adds a response; sends it when much is waiting.
    pub(crate) async fn respond(&mut self, response: &Response) -> io::Result<()> {
        self.session.respond(response);
        self.relieve().await
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Bytes,
    /// Accounts were removed, closed or added: time to see whether this one is still there.
    Accounts,
    /// The mailbox changed while the client idles.
    News,
    /// The session has its BYE ready.
    Deadline,
    End,
}
