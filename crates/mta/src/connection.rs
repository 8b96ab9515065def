//! Joins one connection to one session: the only place where SMTP touches a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kings_mail::seam::Seam;
use kings_net::{Connection, receive};
use kings_smtp::reply::Reply;
use kings_smtp::server::{Event, Session};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::decide::{Challenge, Decide, Final, Peer};

/// Longest wait for a whole command, whatever trickles in meanwhile (RFC 5321 §4.5.3.2.7); also for a
/// client to take our replies.
const COMMAND: Duration = Duration::from_mins(5);
/// The same when slots are short.
const COMMAND_PRESSED: Duration = Duration::from_secs(10);
/// Time that content may take before its rate counts.
const DATA_GRACE: Duration = Duration::from_mins(1);
/// Slowest content that is waited for, in octets a second.
const DATA_RATE: u64 = 500;
/// How long, and for how many octets, a client is read whose session has ended by our word.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_OCTETS: usize = 1024 * 1024;
/// Longest handshake after STARTTLS.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By QUIT or by a reply of ours.
    Closed,
    /// The client left without a word.
    Left,
}

/// Drives one session to its end. All waiting for the peer happens here.
///
/// Replies leave only when the input is used up, so that pipelined commands are answered in one write
/// (RFC 2920 §3.2).
pub(crate) async fn drive<D: Decide>(
    connection: Connection,
    mut session: Session,
    tls: Arc<ServerConfig>,
    decide: &mut D,
) -> io::Result<End> {
    if connection.stream.tls().is_some() {
        session.offer(decide.mechanisms(&connection.stream));
    }
    let dialogue = Dialogue::new(session);
    Driver { connection, dialogue, tls, decide, since: Instant::now(), data: None }.run().await
}

/// A session and the message that it brings.
pub(crate) struct Dialogue {
    pub(crate) session: Session,
    seam: Seam,
}

impl Dialogue {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, seam: Seam::default() }
    }
}

struct Driver<'a, D> {
    connection: Connection,
    dialogue: Dialogue,
    tls: Arc<ServerConfig>,
    decide: &'a mut D,
    /// Since when a whole command is waited for.
    since: Instant,
    /// Since when content comes, and how many octets have.
    data: Option<(Instant, u64)>,
}

impl<D: Decide> Driver<'_, D> {
    async fn run(mut self) -> io::Result<End> {
        loop {
            let mut progress = false;
            while let Some(event) = self.dialogue.session.next_event() {
                progress = true;
                match event {
                    Event::Closed => return self.close().await,
                    Event::StartTls => self = self.start_tls().await?,
                    event => {
                        let tls = self.connection.stream.tls().map(|facts| facts.description);
                        answer(&mut self.dialogue, self.decide, event, tls).await;
                    }
                }
            }
            progress |= self.flush().await?;
            // Only a whole command, or its refusal, moves the deadline: one that trickles in does not.
            if progress {
                self.since = Instant::now();
            }
            if self.wait().await? == Heard::Nothing {
                return Ok(End::Left);
            }
        }
    }

    async fn start_tls(mut self) -> io::Result<Self> {
        self.flush().await?;
        self.connection.stream =
            timeout(HANDSHAKE, self.connection.stream.accept_tls(self.tls.clone())).await??;
        self.dialogue.session.tls_started();
        self.dialogue.session.offer(self.decide.mechanisms(&self.connection.stream));
        Ok(self)
    }

    /// Sends what waits to be sent; false when there was nothing.
    async fn flush(&mut self) -> io::Result<bool> {
        self.decide.faults(self.dialogue.session.faults());
        let output = self.dialogue.session.transmit();
        if output.is_empty() {
            return Ok(false);
        }
        let patience = self.patience();
        let stream = &mut self.connection.stream;
        let write = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        timeout(patience, write).await??;
        Ok(true)
    }

    async fn close(mut self) -> io::Result<End> {
        self.flush().await?;
        timeout(COMMAND_PRESSED, self.connection.stream.shutdown()).await??;
        if !self.dialogue.session.has_quit() {
            let _ = timeout(LINGER, self.drain()).await;
        }
        Ok(End::Closed)
    }

    /// Reads on for a moment: closing with bytes unread resets the connection, and our last reply, the reason, would
    /// be lost on its way.
    async fn drain(&mut self) -> io::Result<()> {
        let mut octets = 0;
        while octets < LINGER_OCTETS {
            match receive(&mut self.connection.stream, |_| {}).await? {
                0 => break,
                count => octets += count,
            }
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        if self.connection.pressed() { COMMAND_PRESSED } else { COMMAND }
    }

    /// Waits for bytes. A deadline or a shutdown is heard too: the session then has its last reply ready.
    async fn wait(&mut self) -> io::Result<Heard> {
        let deadline = self.deadline();
        // Slots may become short while we wait, so even a long deadline is looked at again before long.
        let look_up = deadline.min(Instant::now() + COMMAND_PRESSED);
        let Connection { stream, shutdown, peer, .. } = &mut self.connection;
        let session = &mut self.dialogue.session;
        let idle = session.is_idle();
        tokio::select! {
            // A message on its way may still arrive whole; only then is the client told.
            () = shutdown.cancelled(), if idle => self.dialogue.session.close(&Reply::SHUTDOWN),
            received = timeout_at(look_up, receive(stream, |bytes| session.receive(bytes))) => match received {
                Ok(received) => {
                    let count = received?;
                    if let Some((_, octets)) = &mut self.data {
                        *octets += count as u64;
                    }
                    return Ok(if count == 0 { Heard::Nothing } else { Heard::Something });
                }
                Err(_) if Instant::now() < deadline => {}
                Err(_) => {
                    debug!(client = %peer, "too slow");
                    session.close(&Reply::TIMEOUT);
                }
            },
        }
        Ok(Heard::Something)
    }

    fn deadline(&mut self) -> Instant {
        self.data_deadline().unwrap_or_else(|| self.since + self.patience())
    }

    /// While content comes it must keep up its rate; the deadline moves with every octet.
    fn data_deadline(&mut self) -> Option<Instant> {
        if !self.dialogue.session.in_data() {
            self.data = None;
            return None;
        }
        let (begin, octets) = *self.data.get_or_insert((Instant::now(), 0));
        Some(begin + DATA_GRACE + Duration::from_secs(octets / DATA_RATE))
    }
}

/// Lets `decide` answer one event of a session. `tls`: version and cipher suite, where TLS is on.
///
/// Every message comes by here, whatever listener it came to: what is kept, checked and signed is header, empty line and
/// body from here on.
pub(crate) async fn answer<D: Decide>(
    dialogue: &mut Dialogue,
    decide: &mut D,
    event: Event,
    tls: Option<String>,
) {
    let Dialogue { session, seam } = dialogue;
    let reply = match event {
        Event::Login(turn) => match decide.log_in(turn).await {
            Ok(reply) => reply,
            Err(Challenge(challenge)) => return session.challenge(&challenge),
        },
        Event::Hello { name, extended } => {
            let reply = decide.hello(&name, extended, &Peer { client: session.client(), tls }).await;
            if reply.is_positive() {
                decide.discard();
            }
            reply
        }
        Event::Mail(path, parameters) => {
            let peer = Peer { client: session.client(), tls };
            decide.mail(&path, parameters, &peer).await
        }
        Event::Rcpt(recipient) => match session.envelope() {
            Some(envelope) => decide.rcpt(&recipient, envelope).await,
            None => Reply::BAD_SEQUENCE,
        },
        Event::Begin => {
            *seam = Seam::default();
            match session.envelope() {
                Some(envelope) => decide.begin(envelope).await,
                None => Reply::BAD_SEQUENCE,
            }
        }
        Event::Content => return decide.content(&seam.pass(session.content())).await,
        Event::Discard => return decide.discard(),
        Event::End(envelope) => {
            decide.content(&seam.pass(session.content())).await;
            decide.content(&std::mem::take(seam).finish()).await;
            let reply = decide.end(envelope, &Peer { client: session.client(), tls }).await;
            decide.discard();
            match reply {
                Final::Same(reply) => reply,
                Final::Each(replies) => return session.answer_each(&replies),
            }
        }
        Event::Xclient(claim) => decide.become_other(&claim),
        Event::Xforward(claim) => decide.forwarded(&claim),
        // The loop has taken care of them.
        Event::StartTls | Event::Closed => return,
    };
    session.answer(&reply);
}

/// Whether there is anything to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
}

#[cfg(test)]
mod tests;
