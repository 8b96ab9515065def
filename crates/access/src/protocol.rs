//! What IMAP and POP3 have in common: a client's way from the greeting over a login and STARTTLS to the line in the log.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kings_directory::ClientFacts;
use kings_net::{Connection, Shutdown};
use kings_sasl::Mechanisms;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::connection::{End, Wire};
use crate::door::Door;
use crate::peer::Peer;
use crate::sessions::Place;
use crate::socket::{Calm, HANDSHAKE, Link, Socket};

/// A server that is made of sessions and clients of one kind.
pub(crate) trait Protocol: Send + Sync {
    /// What the log calls it.
    const NAME: &'static str;
    type Session: Session;
    type Client: Client<Session = Self::Session>;

    /// Where its people come in.
    fn door(&self) -> &Door;
    /// Our side of somebody who has just come, with its place among those who have not logged in, where it has one.
    fn client(&self, peer: Peer, stranger: Option<Place<IpAddr>>) -> Self::Client;
    /// A session that begins with its greeting; or, with a text, one that says no in its place and is over.
    fn session(&self, tls: bool, mechanisms: Mechanisms, refusal: Option<&'static str>) -> Self::Session;
}

/// What a session wants next.
#[derive(Debug)]
pub(crate) enum Step<E> {
    /// An answer of the client's side.
    Answer(E),
    /// To transmit and shake hands.
    StartTls,
    /// To transmit; from then on all is compressed (RFC 4978).
    StartCompression,
    /// To transmit; from then on nothing is compressed.
    EndCompression,
    /// To transmit and close.
    Closed,
}

/// How far a client has got with what it is saying: deadlines depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is owed.
    Between,
    /// A command has begun and is not complete.
    Command,
    /// A message is coming.
    Message,
}

/// A session without IO, as a connection drives it.
pub(crate) trait Session: Send {
    type Event: Send;
    /// Longest silence after login.
    const INACTIVITY: Duration;

    fn next_step(&mut self) -> Option<Step<Self::Event>>;
    fn receive(&mut self, bytes: &[u8]);
    fn output_len(&self) -> usize;
    fn transmit(&mut self) -> Vec<u8>;
    fn is_authenticated(&self) -> bool;
    fn stage(&self) -> Stage;
    /// Whether news of the mailbox may be told now.
    fn hears_news(&self) -> bool;
    fn bye(&mut self, text: &'static str);
    /// How many commands it has answered, whatever came of them; 0 where nothing depends on it.
    fn commands(&self) -> u64 {
        0
    }
    fn tls_started(&mut self);
    /// Gives what was received and not read yet: it is compressed.
    fn compression_started(&mut self) -> Vec<u8> {
        Vec::new()
    }
    fn compression_ended(&mut self) {}
    fn offer(&mut self, mechanisms: Mechanisms);
}

/// What a client hears of that says nothing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Its mailbox may have changed.
    Mailbox,
    /// Accounts were removed, closed or added: time to see whether its own is still there.
    Accounts,
}

/// Our side of one client: who it is, and what answers it.
pub(crate) trait Client: Send {
    type Session: Session;

    /// What it may log in with, once the handshake has shown more of it.
    fn mechanisms(&mut self, facts: ClientFacts) -> Mechanisms;
    /// Answers one event. Only a broken stream is an error.
    fn answer<L: Link>(
        &mut self,
        wire: &mut Wire<L, Self::Session>,
        event: <Self::Session as Session>::Event,
    ) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits for news; of the mailbox, only with `mailbox`. For ever where there is neither.
    fn news(&mut self, mailbox: bool) -> impl Future<Output = News> + Send;
    /// Tells news of the mailbox, or of others; a broken stream is an error.
    fn tell_news<L: Link>(
        &mut self,
        wire: &mut Wire<L, Self::Session>,
    ) -> impl Future<Output = io::Result<()>> + Send;
    /// Ends the session of an account that was removed or closed since its login; true if it did.
    fn end_if_closed(&self, session: &mut Self::Session) -> bool;
    /// The one line in the log for each session; those that never logged in are noise. Beside the end, octets received
    /// and sent.
    fn log_end(&self, end: &io::Result<End>, traffic: (u64, u64), began: Instant);
}

/// Serves a client that is under TLS, or needs none, over any stream until it leaves.
pub(crate) async fn serve_stream<P, S>(protocol: &P, stream: S, peer: SocketAddr, shutdown: &Shutdown)
where
    P: Protocol,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let peer = Peer::stranger(peer, P::NAME);
    let facts = ClientFacts::new(peer.origin());
    let mut client = protocol.client(peer, None);
    let session = protocol.session(true, client.mechanisms(facts), None);
    let mut wire = Wire::new(Calm(stream), session);
    let began = Instant::now();
    let end = wire.drive(&mut client, shutdown).await;
    client.log_end(&end, (wire.carrier.received, wire.carrier.sent), began);
}

/// Serves a client of a listener until it leaves, with the handshake that it may ask for.
pub(crate) async fn serve<P: Protocol>(protocol: &P, connection: Connection) {
    let peer = Peer::of(&connection, P::NAME);
    let shutdown = connection.shutdown.clone();
    let stranger = protocol.door().stranger(&peer);
    let refusal = stranger.is_none().then_some("Too many connections from your address");
    let mut client = protocol.client(peer.clone(), stranger);
    let mechanisms = client.mechanisms(peer.facts(&connection.stream));
    let session = protocol.session(connection.stream.tls().is_some(), mechanisms, refusal);
    let mut wire = Wire::new(Socket::new(connection), session);
    let began = Instant::now();
    let end = loop {
        match wire.drive(&mut client, &shutdown).await {
            Ok(End::StartTls) => match start_tls(protocol.door(), wire).await {
                Ok(secured) => {
                    wire = secured;
                    wire.session.offer(client.mechanisms(peer.facts(wire.carrier.stream.inner())));
                }
                Err(error) => return tracing::debug!(%error, "TLS handshake failed"),
            },
            end => break end,
        }
    };
    client.log_end(&end, (wire.carrier.received, wire.carrier.sent), began);
}

async fn start_tls<S: Session>(door: &Door, mut wire: Wire<Socket, S>) -> io::Result<Wire<Socket, S>> {
    let tls = Arc::clone(&door.people.tls);
    wire.carrier.stream = timeout(HANDSHAKE, wire.carrier.stream.accept_tls(tls)).await??;
    wire.session.tls_started();
    Ok(wire)
}
