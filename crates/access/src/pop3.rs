//! The POP3 server: a session of `kings_pop3` over the inbox, logins by `directory`.

mod client;
mod inbox;
mod pause;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kings_mail::address::Address;
use kings_net::{Connection, Service, Shutdown};
use kings_pop3::{Session, Settings, UidlFormat};
use kings_sasl::Mechanisms;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::door::{Door, People};
use crate::peer::Peer;
use crate::protocol::{self, Protocol};
use crate::sessions::{Counter, Place};
use client::Client;
use pause::Pauses;

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
pub(crate) struct Inner {
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
        protocol::serve_stream(self, stream, peer, shutdown).await;
    }
}

impl Protocol for Pop3 {
    const NAME: &'static str = "pop3";
    type Session = Session;
    type Client = Client;

    fn door(&self) -> &Door {
        &self.0.door
    }

    fn client(&self, peer: Peer, stranger: Option<Place<IpAddr>>) -> Client {
        Client::new(Arc::clone(&self.0), peer, stranger)
    }

    fn session(&self, tls: bool, mechanisms: Mechanisms, refusal: Option<&'static str>) -> Session {
        let login_delay = self.0.pauses.as_ref().map(Pauses::seconds);
        let settings = Settings { tls, stls: !tls, mechanisms, login_delay };
        match refusal {
            Some(text) => Session::refusing(settings, text),
            None => Session::new(settings),
        }
    }
}

impl Service for Pop3 {
    async fn serve(&self, connection: Connection) {
        protocol::serve(self, connection).await;
    }

    fn busy(&self) -> &'static [u8] {
        b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"
    }
}
