//! The POP3 server: a session of `kings_pop3` over the inbox, logins by `directory`.

mod client;
mod connection;
mod inbox;
mod pause;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kings_directory::ClientFacts;
use kings_mail::address::Address;
use kings_net::{Connection, Service, Shutdown};
use kings_pop3::{Session, Settings, UidlFormat};
use kings_sasl::Mechanisms;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::door::{Door, People};
use crate::peer::Peer;
use crate::sessions::Counter;
use crate::socket::{Calm, HANDSHAKE, Socket};
use client::Client;
use connection::{End, Wire};
use pause::Pauses;

/// What the log calls it.
const PROTOCOL: &str = "pop3";

/// What the server is made from.
#[derive(Clone, Debug)]
pub struct Pop3Parts {
    /// Who may log in, and how much they may have at once.
    pub people: People,
    /// How unique-ids are made.
    pub uidl: UidlFormat,
    /// Shortest time between two logins of an account; `None`: any.
    pub login_delay: Option<Duration>,
    /// One session at a time has an account's inbox, as RFC 1939 §4 describes it. Without it, as Dovecot has it, sessions
    /// share it: a client that lost its connection need not wait until we notice.
    pub lock_session: bool,
}

/// The service behind `pop3` and `pop3s` listeners. Clones share everything.
#[derive(Clone, Debug)]
pub struct Pop3(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    door: Door,
    uidl: UidlFormat,
    pauses: Option<Pauses>,
    /// Sessions by account, where one alone may have the inbox.
    locks: Option<Counter<Address>>,
}

impl Pop3 {
    /// Makes the server. Those made later, after a reload, count their sessions anew.
    pub fn new(parts: Pop3Parts) -> Self {
        let Pop3Parts { people, uidl, login_delay, lock_session } = parts;
        Self(Arc::new(Inner {
            door: Door::new(people),
            uidl,
            pauses: login_delay.map(Pauses::new),
            locks: lock_session.then(Counter::default),
        }))
    }

    /// Serves a client that is under TLS, or needs none, over any stream until it leaves.
    pub async fn serve_stream<S>(&self, stream: S, peer: SocketAddr, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let peer = Peer::stranger(peer, PROTOCOL);
        let facts = ClientFacts::new(peer.origin());
        let mut client = Client::new(Arc::clone(&self.0), peer, None);
        let mechanisms = client.mechanisms(facts);
        let mut wire = Wire::new(Calm(stream), Session::new(self.settings(true, mechanisms)));
        let began = Instant::now();
        let end = wire.drive(&mut client, shutdown).await;
        client.log_end(&wire, &end, began);
    }

    fn settings(&self, tls: bool, mechanisms: Mechanisms) -> Settings {
        let login_delay = self.0.pauses.as_ref().map(Pauses::seconds);
        Settings { tls, stls: !tls, mechanisms, login_delay }
    }

    async fn start_tls(&self, mut wire: Wire<Socket>) -> io::Result<Wire<Socket>> {
        let tls = Arc::clone(&self.0.door.people.tls);
        wire.carrier.stream = timeout(HANDSHAKE, wire.carrier.stream.accept_tls(tls)).await??;
        wire.session.tls_started();
        Ok(wire)
    }
}

impl Service for Pop3 {
    async fn serve(&self, connection: Connection) {
        let peer = Peer::of(&connection, PROTOCOL);
        let shutdown = connection.shutdown.clone();
        let stranger = self.0.door.stranger(&peer);
        let is_welcome = stranger.is_some();
        let mut client = Client::new(Arc::clone(&self.0), peer.clone(), stranger);
        let mechanisms = client.mechanisms(peer.facts(&connection.stream));
        let settings = self.settings(connection.stream.tls().is_some(), mechanisms);
        let session = if is_welcome {
            Session::new(settings)
        } else {
            Session::refusing(settings, "Too many connections from your address")
        };
        let mut wire = Wire::new(Socket::new(connection), session);
        let began = Instant::now();
        let end = loop {
            match wire.drive(&mut client, &shutdown).await {
                Ok(End::StartTls) => match self.start_tls(wire).await {
                    Ok(secured) => {
                        wire = secured;
                        wire.session.offer(client.mechanisms(peer.facts(wire.carrier.stream.inner())));
                    }
                    Err(error) => return tracing::debug!(%error, "TLS handshake failed"),
                },
                end => break end,
            }
        };
        client.log_end(&wire, &end, began);
    }

    fn busy(&self) -> &'static [u8] {
        b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"
    }
}
