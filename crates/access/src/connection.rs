//! Joins one stream to one session, whatever it speaks: all waiting for a client happens here.

use std::io;
use std::time::Duration;

use kings_net::Shutdown;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::carrier::{COMMAND, Carrier, HIGH_WATER, RATE};
use crate::protocol::{Client, News, Session, Stage, Step};
use crate::socket::Link;

/// Time that a message may take before its rate counts.
const MESSAGE_GRACE: Duration = Duration::from_mins(1);

/// Commands that a client may say whatever it sends; beyond them, one for each octet. Compressed ones that differ in their tags
/// alone still take more; nothing else bounds what a few octets can have us do.
const COMMANDS_UNASKED: u64 = 10_000;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its last word was said, by the client or by us.
    Closed,
    /// The client left without a word.
    Left,
    /// The client waits for our part of the handshake; then go on.
    StartTls,
}

impl End {
    /// For the line in the log.
    pub(crate) fn describe(end: &io::Result<Self>) -> String {
        match end {
            Ok(Self::Closed) => "closed".to_owned(),
            Ok(Self::Left | Self::StartTls) => "left".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// One stream with its session.
#[derive(Debug)]
pub(crate) struct Wire<L, S> {
    pub(crate) carrier: Carrier<L>,
    pub(crate) session: S,
    /// When the client was last answered; while it is a stranger, when it came.
    since: Instant,
    /// Somebody was logged in when the last answer was sent.
    was_known: bool,
    /// When the command or message that is coming began, `received` at that moment, and the commands that were answered by then.
    began: Option<(Instant, u64, u64)>,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Bytes; or the session has its last word ready.
    Something,
    News(News),
    End,
}

impl<L: Link, S: Session> Wire<L, S> {
    pub(crate) fn new(stream: L, session: S) -> Self {
        Self { carrier: Carrier::new(stream), session, since: Instant::now(), began: None, was_known: false }
    }

    /// Drives the session until it ends or wants TLS.
    ///
    /// Output leaves when the input is used up, so commands sent at once are answered in few writes.
    pub(crate) async fn drive<C>(&mut self, client: &mut C, shutdown: &Shutdown) -> io::Result<End>
    where
        C: Client<Session = S>,
    {
        loop {
            while let Some(step) = self.session.next_step() {
                match step {
                    Step::Closed => return self.close().await,
                    Step::StartTls => {
                        self.flush().await?;
                        return Ok(End::StartTls);
                    }
                    Step::StartCompression => {
                        self.flush().await?;
                        let unread = self.session.compression_started();
                        self.carrier.start_compression(&unread);
                    }
                    Step::EndCompression => {
                        self.flush().await?;
                        self.carrier.end_compression();
                        self.session.compression_ended();
                    }
                    Step::Answer(event) => client.answer(self, event).await?,
                }
            }
            if self.session.output_len() > 0 {
                self.flush().await?;
                // Strangers get one span for all they say before the login, which begins anew when one ends.
                let is_known = self.session.is_authenticated();
                if std::mem::replace(&mut self.was_known, is_known) || is_known {
                    self.since = Instant::now();
                }
            }
            if self.inflate().await? {
                continue;
            }
            self.carrier.rest();
            let heard = self.wait(client, shutdown).await?;
            self.carrier.forget_pace();
            match heard {
                Heard::Something => {}
                Heard::News(News::Accounts) => {
                    client.end_if_closed(&mut self.session);
                }
                Heard::News(News::Mailbox) => {
                    client.tell_news(self).await?;
                    self.flush().await?;
                }
                Heard::End => return Ok(End::Left),
            }
        }
    }

    /// Has the session hear some more of what came compressed, if any waits. Others get their turn in between: a few octets
    /// can become many.
    async fn inflate(&mut self) -> io::Result<bool> {
        if self.session.commands() > COMMANDS_UNASKED + self.carrier.received {
            self.session.bye("Too many commands in so few octets");
            return Ok(true);
        }
        match self.carrier.inflate() {
            Ok(Some(octets)) => {
                self.session.receive(&octets);
                tokio::task::yield_now().await;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => {
                self.session.bye("What you send is not compressed as agreed");
                self.close().await?;
                Err(error)
            }
        }
    }

    /// Sends what waits, if it is much.
    pub(crate) async fn relieve(&mut self) -> io::Result<()> {
        if self.session.output_len() > HIGH_WATER { self.flush().await } else { Ok(()) }
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

    /// Waits for bytes, for news that the client is to hear or of its account, for the end of its time, or for ours.
    async fn wait<C>(&mut self, client: &mut C, shutdown: &Shutdown) -> io::Result<Heard>
    where
        C: Client<Session = S>,
    {
        let deadline = self.deadline();
        // A client whose octets are there at every look is never waited for, so that no timer would go off.
        if deadline <= Instant::now() {
            debug!("too slow");
            self.session.bye("Too slow");
            return Ok(Heard::Something);
        }
        let hears_news = self.session.hears_news();
        // A message on its way may still arrive whole; only then is the client told.
        let may_stop = self.session.stage() != Stage::Message;
        let session = &mut self.session;
        tokio::select! {
            () = shutdown.cancelled(), if may_stop => session.bye("Server is shutting down"),
            news = client.news(hears_news) => return Ok(Heard::News(news)),
            received = timeout_at(deadline, self.carrier.receive(|bytes| session.receive(bytes))) => {
                if let Ok(received) = received {
                    let count = received?;
                    return Ok(if count == 0 { Heard::End } else { Heard::Something });
                }
                debug!("too slow");
                session.bye("Too slow");
            }
        }
        Ok(Heard::Something)
    }

    /// When the client must have said something complete.
    fn deadline(&mut self) -> Instant {
        let stage = self.session.stage();
        if stage == Stage::Between {
            self.began = None;
            return self.since + self.patience();
        }
        // A client that sends on and on may never be seen between two commands.
        let answered = self.session.commands();
        let goes_on = self.began.filter(|(.., before)| *before == answered);
        let (began, before, _) = goes_on.unwrap_or_else(|| (Instant::now(), self.carrier.received, answered));
        self.began = Some((began, before, answered));
        match stage {
            Stage::Message => {
                let octets = self.carrier.received - before;
                began + MESSAGE_GRACE + Duration::from_secs(octets / RATE)
            }
            Stage::Command | Stage::Between if self.session.is_authenticated() => began + COMMAND,
            Stage::Command | Stage::Between => self.since + self.patience(),
        }
    }

    /// How long the client may be silent, or be a stranger.
    fn patience(&self) -> Duration {
        if self.session.is_authenticated() { S::INACTIVITY } else { self.carrier.patience_for_strangers() }
    }
}
