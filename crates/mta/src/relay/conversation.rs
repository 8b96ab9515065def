//! One connection to one host: it is opened, greeted, and then takes message after message.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use kings_net::{Stream, receive};
use kings_queue::{Contact, Outcome, Report};
use kings_smtp::client::{Event, Protocol, Session, Settings, StartTls, Transaction};
use kings_smtp::reply::Reply;
use kings_smtp::{client, reply};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use super::cargo::Cargo;
use super::host::{Failure, Outfit, contact_of};
use super::login::Habits;
use super::ourselves::is_called_like_us;
use super::route::{Address, NextHop, NoRoute};
use super::secured::HostTls;

/// Longest wait for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Longest wait for a piece of content to be taken (RFC 5321 §4.5.3.2.5).
const DATA_BLOCK: Duration = Duration::from_mins(3);
/// Longest wait for the goodbye to be taken; nothing depends on it.
const GOODBYE: Duration = Duration::from_secs(5);
/// Where TLS begins with the first byte (RFC 8314 §3.3).
const SUBMISSIONS: u16 = 465;

/// A connection whose server is ready for a message.
pub(super) struct Conversation {
    pub(super) stream: Stream,
    session: Session,
    tls: HostTls,
    start_tls: StartTls,
    protocol: Protocol,
    pub(super) opened: Instant,
    /// Messages it has been given.
    pub(super) messages: u32,
}

/// What one message has come to at a host.
pub(super) struct Done {
    pub(super) outcomes: Vec<client::Outcome>,
    /// The message was sent and the final reply did not come: going to another host might deliver it twice.
    pub(super) doubtful: bool,
    /// The server had nothing to say but goodbye.
    pub(super) unheard: bool,
    /// The recipient at whose RCPT the server closed the connection.
    pub(super) hung_up_at: Option<usize>,
    /// What it means that this server has taken over.
    pub(super) taken: fn(Report) -> Outcome,
    /// The connection, when it may be used again.
    pub(super) conversation: Option<Conversation>,
}

impl Done {
    pub(super) fn contact(&self) -> Contact {
        let said = |outcome: &client::Outcome| match outcome {
            client::Outcome::Refused { reply, .. } => contact_of(reply),
            client::Outcome::Accepted(_) | client::Outcome::Incapable(_) | client::Outcome::Broken(_) => {
                Contact::Answered
            }
        };
        self.outcomes.iter().map(said).min().unwrap_or(Contact::Answered)
    }

    /// Puts outcomes back into their places, the lowest first.
    pub(super) fn with(mut self, aside: Vec<(usize, client::Outcome)>) -> Self {
        for (place, outcome) in aside {
            self.outcomes.insert(place.min(self.outcomes.len()), outcome);
            self.hung_up_at = self.hung_up_at.map(|at| at + usize::from(place <= at));
        }
        self
    }

    /// Of the recipients those that came to nothing only because the server hung up at another one.
    pub(super) fn cut_off(&self) -> Vec<usize> {
        let Some(at) = self.hung_up_at else { return Vec::new() };
        let places = self.outcomes.iter().enumerate();
        let places =
            places.filter(|(place, outcome)| *place != at && matches!(outcome, client::Outcome::Broken(_)));
        places.map(|(place, _)| place).collect()
    }

    /// Of the recipients those that were too many for one transaction, where it took others.
    pub(super) fn too_many(&self) -> Vec<usize> {
        if self.doubtful || !self.outcomes.iter().any(|one| matches!(one, client::Outcome::Accepted(_))) {
            return Vec::new();
        }
        let places = self.outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_too_many());
        places.map(|(place, _)| place).collect()
    }
}

/// Where to connect to, and how.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) hop: &'a NextHop,
    pub(super) tls: &'a HostTls,
    pub(super) start_tls: StartTls,
    pub(super) address: &'a Address,
    /// Longest wait for the connection itself.
    pub(super) patience: Duration,
}

impl Conversation {
    /// Connects, and comes to the point where a message can be given.
    pub(super) async fn open(way: Way<'_>, outfit: Outfit<'_>) -> Result<Self, Failure> {
        let Outfit { hostname, habits, .. } = outfit;
        let Way { hop, tls, start_tls, address, patience } = way;
        let stream = timeout(patience, connect(hop, address)).await;
        let stream = stream
            .map_err(|_| Failure::Connect(io::ErrorKind::TimedOut.into()))?
            .map_err(Failure::Connect)?;
        let implicit = hop.port == SUBMISSIONS && hop.protocol == Protocol::Smtp;
        let session = Session::new(Settings {
            hostname: hostname.clone(),
            protocol: hop.protocol,
            start_tls,
            login: habits.login(hop),
            tls: implicit,
        });
        let conversation = Self {
            stream,
            session,
            tls: tls.clone(),
            start_tls,
            protocol: hop.protocol,
            opened: Instant::now(),
            messages: 0,
        };
        let conversation = if implicit { conversation.secure().await? } else { conversation };
        let ready = conversation.greet(hop, habits).await?;
        if is_called_like_us(ready.session.features().host.as_deref(), hop, hostname) {
            ready.leave().await;
            let sign = format!("{} answers under its name", hop.described(address));
            return Err(Failure::NoRoute(NoRoute::Ourselves(sign)));
        }
        Ok(ready)
    }

    async fn greet(mut self, hop: &NextHop, habits: &Habits) -> Result<Self, Failure> {
        loop {
            let event = self.session.next_event().map_err(|bad| Failure::Session(bad.to_string()))?;
            let step = match event {
                Some(Event::Ready) => {
                    self.note_clear_text(matches!(self.stream, Stream::Plain(_)));
                    habits.learn(hop, &self.session);
                    return Ok(self);
                }
                Some(Event::StartTls) => {
                    self.flush().await?;
                    self = self.secure().await?;
                    self.session.tls_started();
                    Ok(())
                }
                Some(Event::Refused(reply)) => {
                    habits.learn(hop, &self.session);
                    self.leave().await;
                    return Err(Failure::Refused(reply));
                }
                Some(Event::Unfit(reply)) => {
                    self.note_clear_text(reply == client::no_tls());
                    habits.learn(hop, &self.session);
                    self.leave().await;
                    return Err(Failure::Unfit(reply));
                }
                // Before a transaction there is nothing to send or to settle.
                Some(Event::Closed | Event::SendContent(_) | Event::Settled(_)) => {
                    return Err(Failure::Session("the server closed it".to_owned()));
                }
                None => self.listen().await,
            };
            if step.is_err()
                && let Some((_, reply)) = self.session.logins_refused().last()
            {
                // Some hang up after a login that they refuse: that is why, and the next connection goes on from there.
                habits.learn(hop, &self.session);
                return Err(Failure::Refused(reply.clone()));
            }
            step?;
        }
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

    /// Takes out the recipients that the server cannot be asked about.
    pub(super) fn set_aside(&self, transaction: &mut Transaction) -> Vec<(usize, client::Outcome)> {
        self.session.set_aside(transaction)
    }

    /// Whether the server could take it if only its content were 7-bit.
    pub(super) fn wants_seven_bit(&self, transaction: &Transaction) -> bool {
        self.session.wants_seven_bit(transaction)
    }

    /// One message; whatever happens, each of its recipients has an outcome.
    pub(super) async fn hand_over(mut self, transaction: Transaction, cargo: &Cargo) -> Done {
        if let Some(lack) = self.session.lacks(&transaction) {
            return self.done(vec![lack; transaction.recipients.len()]).await;
        }
        self.messages += 1;
        self.session.send(transaction);
        loop {
            let event = match self.session.next_event() {
                Ok(event) => event,
                Err(bad) => return self.broken(&bad.to_string()),
            };
            let step = match event {
                Some(Event::Settled(outcomes)) => return self.done(outcomes).await,
                Some(Event::SendContent(range)) => self.send(cargo, range).await,
                None => self.listen().await,
                // The others belong to the greeting.
                Some(
                    Event::Closed | Event::Ready | Event::StartTls | Event::Refused(_) | Event::Unfit(_),
                ) => {
                    return self.broken("the server closed it");
                }
            };
            if let Err(error) = step {
                let hung_up_at = if is_hung_up(&error) { self.session.asks_about() } else { None };
                return Done { hung_up_at, ..self.broken(&error.to_string()) };
            }
        }
    }

    /// Sends what waits, then hears what the server says.
    async fn listen(&mut self) -> io::Result<()> {
        self.flush().await?;
        let session = &mut self.session;
        let patience = session.patience();
        match timeout(patience, receive(&mut self.stream, |bytes| session.receive(bytes))).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(heard) => heard.map(|_| ()),
            Err(_) => {
                self.session.timed_out();
                Err(io::ErrorKind::TimedOut.into())
            }
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

    async fn send(&mut self, cargo: &Cargo, range: Range<u64>) -> io::Result<()> {
        let mut from = range.start;
        while from < range.end {
            let piece = cargo.piece(from, range.end).await?;
            from += piece.len() as u64;
            self.session.content(&piece);
            if from < range.end {
                self.flush().await?;
            }
        }
        // The end leaves with the last piece.
        self.session.end_content();
        Ok(())
    }

    /// The message is settled; the connection may go on.
    async fn done(self, outcomes: Vec<client::Outcome>) -> Done {
        let unheard = self.messages > 0 && !self.session.has_been_heard();
        let taken = self.taken();
        let conversation = if self.session.is_reusable() {
            Some(self)
        } else {
            self.leave().await;
            None
        };
        Done { outcomes, doubtful: false, unheard, hung_up_at: None, taken, conversation }
    }

    /// The connection is of no use any more.
    fn broken(mut self, why: &str) -> Done {
        let doubtful = self.session.awaits_final_reply();
        let unheard = !self.session.has_been_heard();
        let reason = Reply::new(451, reply::Status(4, 4, 2), "").with_text(why.to_owned());
        let outcomes = self.session.abandon(&reason);
        let taken = self.taken();
        Done { outcomes, doubtful, unheard, hung_up_at: None, taken, conversation: None }
    }

    /// LMTP has the last word about a mailbox (RFC 2033 §1); a server that offers DSN reports by itself, and of any
    /// other nothing more will be heard (RFC 3461 §5.2).
    fn taken(&self) -> fn(Report) -> Outcome {
        match self.protocol {
            Protocol::Lmtp => Outcome::Delivered,
            Protocol::Smtp if self.session.features().dsn => Outcome::PassedOn,
            Protocol::Smtp => Outcome::Relayed,
        }
    }

    /// Says goodbye and does not wait for the answer.
    pub(super) async fn leave(mut self) {
        self.session.quit();
        let _ = timeout(GOODBYE, self.flush()).await;
        let _ = timeout(GOODBYE, self.stream.shutdown()).await;
    }
}

/// Whether the other side closed the connection, in whichever way.
fn is_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

async fn connect(hop: &NextHop, address: &Address) -> io::Result<Stream> {
    match address {
        Address::Inet(address) => {
            let socket = connect_from(hop.source.of(address.ip()), *address).await?;
            let _ = socket.set_nodelay(true);
            Ok(Stream::Plain(socket))
        }
        Address::Socket(path) => connect_to_file(path).await,
    }
}

async fn connect_to_file(path: &Path) -> io::Result<Stream> {
    Ok(Stream::Unix(UnixStream::connect(path).await?))
}

/// The address to leave from is at fault, and not the host.
fn unusable(source: IpAddr, error: &io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            format!("{source}, the source of the config, is no address of this machine")
        }
        _ => format!("{source}, the source of the config, cannot be used: {error}"),
    };
    io::Error::new(error.kind(), text)
}

async fn connect_from(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(source, 0)).map_err(|error| unusable(source, &error))?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn an_address_to_leave_from_that_is_not_ours_is_named_as_such_and_one_of_ours_is_used() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let strange = Some("198.51.100.7".parse().unwrap());
        let error = connect_from(strange, address).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "198.51.100.7, the source of the config, is no address of this machine"
        );
        let ours = "127.0.0.9".parse().unwrap();
        let socket = connect_from(Some(ours), address).await.unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), ours);
    }
}
