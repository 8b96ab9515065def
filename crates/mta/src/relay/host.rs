//! One visit to one host: connect, drive the client session, settle recipients.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::path::ForwardPath;
use kings_net::{Stream, receive};
use kings_queue::{Attempt, Contact, Content, Finished, Outcome};
use kings_smtp::client::{Event, Session, Settings, StartTls, Transaction};
use kings_smtp::reply::Reply;
use kings_smtp::{client, reply};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::outcome::{at_host, deferred};
use super::route::NextHop;
use super::secured::HostTls;

/// Longest wait for a connection: a host that is up answers within one round trip.
const CONNECT: Duration = Duration::from_secs(30);
/// Longest wait for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Longest wait for a piece of content to be taken (RFC 5321 §4.5.3.2.5).
const DATA_BLOCK: Duration = Duration::from_mins(3);
/// Octets of content read and sent at once.
const PIECE: usize = 64 * 1024;
/// Where TLS begins with the first byte (RFC 8314 §3.3).
const SUBMISSIONS: u16 = 465;

/// One attempt on its way from host to host, and what has become of each recipient.
pub(crate) struct Errand<'a> {
    hostname: &'a Domain,
    attempt: &'a Attempt,
    outcomes: Vec<Option<Outcome>>,
    contact: Contact,
}

/// What a visit has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Every recipient is settled, or it would be wrong to go on.
    Over,
    /// The host did not take the message for some: another host may.
    GoOn,
    /// Nobody answered at this address: the host may have another one.
    Silent,
}

/// Why a visit came to nothing before any recipient was asked for.
#[derive(Debug)]
enum Failure {
    Connect(io::Error),
    Handshake(io::Error),
    /// The session broke or made no sense.
    Session(String),
    /// Greeting, EHLO, STARTTLS or login was refused.
    Refused(Reply),
}

impl Failure {
    fn contact(&self) -> Contact {
        match self {
            Self::Connect(_) => Contact::Silent,
            Self::Handshake(_) => Contact::Answered,
            // Cutting the line is how some servers say that they have too many of us.
            Self::Session(_) => Contact::Crowded,
            Self::Refused(reply) => contact_of(reply),
        }
    }

    /// The only place where a failed visit becomes an outcome. A host that does not want us now may want us
    /// later, even if it says 5xx before it has heard of any recipient (Postfix's `smtp_skip_5xx_greeting`).
    fn outcome(&self, host: &str) -> Outcome {
        match self {
            Self::Connect(error) => deferred(Status(4, 4, 1), format!("cannot connect to {host}: {error}")),
            Self::Handshake(error) => {
                deferred(Status(4, 7, 5), format!("TLS handshake with {host} failed: {error}"))
            }
            Self::Session(text) => deferred(Status(4, 4, 2), format!("session with {host} broke: {text}")),
            Self::Refused(reply) => {
                at_host(client::Outcome::Refused { reply: reply.clone(), permanent: false }, host)
            }
        }
    }
}

/// A server that says 421 is going away, or has too many of us (RFC 5321 §3.8, Postfix's concurrency feedback).
fn contact_of(reply: &Reply) -> Contact {
    if reply.code == 421 { Contact::Crowded } else { Contact::Answered }
}

impl<'a> Errand<'a> {
    pub(crate) fn new(hostname: &'a Domain, attempt: &'a Attempt) -> Self {
        let outcomes = vec![None; attempt.recipients.len()];
        Self { hostname, attempt, outcomes, contact: Contact::Silent }
    }

    /// What has become of each recipient; one whom nobody was asked about is deferred.
    pub(crate) fn finished(self) -> Finished {
        let unasked = || deferred(Status(4, 4, 1), "no host could be asked");
        let outcomes = self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unasked)).collect();
        Finished { outcomes, contact: self.contact }
    }

    /// Remembers an outcome for all recipients that are not settled.
    pub(crate) fn note(&mut self, outcome: &Outcome) {
        for open in self.outcomes.iter_mut().filter(|known| !is_settled(known.as_ref())) {
            *open = Some(outcome.clone());
        }
    }

    /// Visits one address of a host. A handshake that fails where TLS is optional is followed by a second
    /// visit in clear.
    pub(crate) async fn visit(&mut self, hop: &NextHop, tls: &HostTls, address: SocketAddr) -> Visit {
        let host = format!("{}[{}]", hop.host, address.ip());
        let mut result = self.converse(hop, tls, tls.protection.start_tls(), address).await;
        if matches!(result, Err(Failure::Handshake(_))) && tls.protection.allows_clear_text() {
            debug!(host, ?result, "TLS does not work, trying without");
            result = self.converse(hop, tls, StartTls::Never, address).await;
        }
        match result {
            Ok(done) => {
                self.contact = self.contact.max(done.contact());
                self.settle(done.outcomes, &host);
                if done.doubtful || self.open().is_empty() { Visit::Over } else { Visit::GoOn }
            }
            Err(failure) => {
                self.contact = self.contact.max(failure.contact());
                self.note(&failure.outcome(&host));
                if matches!(failure, Failure::Connect(_)) { Visit::Silent } else { Visit::GoOn }
            }
        }
    }

    /// The places of recipients that another host may still take.
    fn open(&self) -> Vec<usize> {
        let places = self.outcomes.iter().enumerate();
        places.filter(|(_, outcome)| !is_settled(outcome.as_ref())).map(|(place, _)| place).collect()
    }

    fn settle(&mut self, outcomes: Vec<client::Outcome>, host: &str) {
        for (place, outcome) in self.open().into_iter().zip(outcomes) {
            self.outcomes[place] = Some(at_host(outcome, host));
        }
    }

    async fn converse(
        &self,
        hop: &NextHop,
        tls: &HostTls,
        start_tls: StartTls,
        address: SocketAddr,
    ) -> Result<Done, Failure> {
        let socket = timeout(CONNECT, TcpStream::connect(address)).await;
        let socket = socket
            .map_err(|_| Failure::Connect(io::ErrorKind::TimedOut.into()))?
            .map_err(Failure::Connect)?;
        let _ = socket.set_nodelay(true);
        let implicit = hop.port == SUBMISSIONS;
        let mut conversation = Conversation {
            stream: Stream::Plain(socket),
            session: Session::new(Settings {
                hostname: self.hostname.clone(),
                start_tls,
                login: hop.login.clone(),
                tls: implicit,
            }),
            tls,
            start_tls,
        };
        if implicit {
            conversation = conversation.secure().await?;
        }
        conversation.run(self.transaction(), &self.attempt.content).await
    }

    fn transaction(&self) -> Transaction {
        let recipients =
            self.open().into_iter().filter_map(|place| address(&self.attempt.recipients[place].path));
        Transaction {
            reverse_path: self.attempt.reverse_path.clone(),
            recipients: recipients.cloned().collect(),
            parameters: self.attempt.parameters.clone(),
        }
    }
}

/// `<Postmaster>` without a domain never leaves this server.
fn address(path: &ForwardPath) -> Option<&Address> {
    match path {
        ForwardPath::Address(address) => Some(address),
        ForwardPath::Postmaster => None,
    }
}

/// Taken over, or refused by the last word of a server. That a server lacks an extension is not a last word.
fn is_settled(outcome: Option<&Outcome>) -> bool {
    match outcome {
        Some(Outcome::Delivered(_) | Outcome::Relayed(_) | Outcome::PassedOn(_)) => true,
        Some(Outcome::Failed(report)) => !matches!(report.status, reply::Status(5, 6, 3 | 7)),
        Some(Outcome::Deferred(_)) | None => false,
    }
}

/// A visit that reached the recipients.
#[derive(Debug)]
struct Done {
    outcomes: Vec<client::Outcome>,
    /// The message was sent and the final reply did not come: going to another host might deliver it twice.
    doubtful: bool,
}

impl Done {
    fn contact(&self) -> Contact {
        let said = |outcome: &client::Outcome| match outcome {
            client::Outcome::Refused { reply, .. } => contact_of(reply),
            client::Outcome::Accepted(_) | client::Outcome::Incapable(_) => Contact::Answered,
        };
        self.outcomes.iter().map(said).min().unwrap_or(Contact::Answered)
    }
}

struct Conversation<'a> {
    stream: Stream,
    session: Session,
    tls: &'a HostTls,
    start_tls: StartTls,
}

impl Conversation<'_> {
    /// One message over this connection.
    async fn run(mut self, transaction: Transaction, content: &Content) -> Result<Done, Failure> {
        loop {
            let event = match self.session.next_event() {
                Ok(event) => event,
                Err(bad) => return self.broken(&bad.to_string()),
            };
            let step = match event {
                Some(Event::StartTls) => {
                    if let Err(error) = self.flush().await {
                        return self.broken(&error.to_string());
                    }
                    self = self.secure().await?;
                    self.session.tls_started();
                    Ok(())
                }
                Some(Event::Ready) => match self.lacks(&transaction) {
                    Some(lack) => return Ok(self.leave(vec![lack; transaction.recipients.len()]).await),
                    None => {
                        self.session.send(transaction.clone());
                        Ok(())
                    }
                },
                Some(Event::SendContent) => self.send(content).await,
                Some(Event::Settled(outcomes)) => return Ok(self.leave(outcomes).await),
                Some(Event::Refused(reply)) => {
                    self.note_clear_text(reply == client::no_tls());
                    self.leave(Vec::new()).await;
                    return Err(Failure::Refused(reply));
                }
                Some(Event::Closed) => return self.broken("the server closed it"),
                None => self.listen().await,
            };
            if let Err(error) = step {
                return self.broken(&error.to_string());
            }
        }
    }

    /// What the host lacks for this message.
    fn lacks(&self, transaction: &Transaction) -> Option<client::Outcome> {
        self.note_clear_text(matches!(self.stream, Stream::Plain(_)));
        self.session.lacks(transaction)
    }

    /// A host that was asked for TLS and has none is a result for the report.
    fn note_clear_text(&self, is_clear: bool) {
        if is_clear && self.start_tls != StartTls::Never {
            self.tls.not_offered();
        }
    }

    async fn secure(mut self) -> Result<Self, Failure> {
        let handshake = self.stream.connect_tls(self.tls.config.clone(), self.tls.server_name.clone());
        let secured =
            timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.tls.handshake_done(secured.as_ref().map(|_| ()));
        self.stream = secured.map_err(Failure::Handshake)?;
        Ok(self)
    }

    /// Sends what waits, then hears what the server says.
    async fn listen(&mut self) -> io::Result<()> {
        self.flush().await?;
        let session = &mut self.session;
        let patience = session.patience();
        match timeout(patience, receive(&mut self.stream, |bytes| session.receive(bytes))).await?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let output = self.session.transmit();
        if output.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        timeout(DATA_BLOCK, write).await?
    }

    async fn send(&mut self, content: &Content) -> io::Result<()> {
        let mut offset = 0;
        loop {
            let piece = content.read_at(offset, PIECE).await?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            self.session.content(&piece);
            self.flush().await?;
        }
        self.session.end_content();
        Ok(())
    }

    /// The connection is of no use any more. With a transaction under way its recipients have outcomes.
    fn broken(mut self, why: &str) -> Result<Done, Failure> {
        let doubtful = self.session.awaits_final_reply();
        let reason = Reply::new(451, reply::Status(4, 4, 2), "").with_text(format!("session broke: {why}"));
        let outcomes = self.session.abandon(&reason);
        if outcomes.is_empty() {
            Err(Failure::Session(why.to_owned()))
        } else {
            Ok(Done { outcomes, doubtful })
        }
    }

    /// Says goodbye and does not wait for the answer.
    async fn leave(mut self, outcomes: Vec<client::Outcome>) -> Done {
        self.session.quit();
        let _ = self.flush().await;
        let _ = timeout(self.session.patience(), self.stream.shutdown()).await;
        Done { outcomes, doubtful: false }
    }
}
