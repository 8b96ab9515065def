//! The IMAP server: a session of `imap` over the mailboxes of `store`, logins by `directory`.

mod acl;
mod append;
mod catenate;
mod client;
mod convert;
mod copy;
mod expunge;
mod fetch;
mod learn;
mod list;
mod login;
mod mailbox;
mod metadata;
mod multisearch;
mod neighbours;
mod notify;
mod place;
mod quota;
mod report;
mod search;
mod select;
mod selected;
mod sort;
mod status;
mod store;
mod trouble;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kings_imap::{Namespaces, Session, Settings};
use kings_net::{Connection, Service, Shutdown};
use kings_sasl::Mechanisms;
use kings_store::Naming;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::door::{Door, People};
use crate::peer::Peer;
use crate::protocol::{self, Protocol};
use crate::sessions::Place;

pub(crate) use client::Client;
use neighbours::Neighbours;
pub use place::Sharing;
pub(crate) use trouble::Trouble;
use wire::Wire;

/// What the server is made from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who may log in, and how much they may have at once.
    pub people: People,
    /// Largest message that APPEND takes, in octets.
    pub append_octets: u64,
    /// How clients see the names of mailboxes.
    pub naming: Naming,
    /// With whom accounts share mailboxes.
    pub sharing: Sharing,
    /// Whether they may be shared with everybody at once.
    pub shares_with_anyone: bool,
}

/// The service behind `imap` and `imaps` listeners. Clones share everything.
#[derive(Clone, Debug)]
pub struct Imap(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) door: Door,
    pub(crate) append_octets: u64,
    pub(crate) naming: Naming,
    sharing: Sharing,
    shares_with_anyone: bool,
    neighbours: Neighbours,
}

impl Imap {
    /// Makes the server. Those made later, after a reload, count their sessions anew.
    pub fn new(parts: Parts) -> Self {
        let Parts { people, append_octets, naming, sharing, shares_with_anyone } = parts;
        let (door, neighbours) = (Door::new(people), Neighbours::default());
        Self(Arc::new(Inner { door, append_octets, naming, sharing, shares_with_anyone, neighbours }))
    }

    /// Serves a client that is under TLS, or needs none, over any stream until it leaves.
    pub async fn serve_stream<S>(&self, stream: S, peer: SocketAddr, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        protocol::serve_stream(self, stream, peer, shutdown).await;
    }
}

impl Protocol for Imap {
    const NAME: &'static str = "imap";
    type Session = Session;
    type Client = Client;

    fn door(&self) -> &Door {
        &self.0.door
    }

    fn client(&self, peer: Peer, stranger: Option<Place<IpAddr>>) -> Client {
        Client::new(Arc::clone(&self.0), peer, stranger)
    }

    fn session(&self, tls: bool, mechanisms: Mechanisms, refusal: Option<&'static str>) -> Session {
        let Inner { append_octets, naming, sharing, .. } = *self.0;
        let Naming { separator, below_inbox, .. } = naming;
        let settings = Settings {
            tls,
            starttls: !tls,
            namespaces: Namespaces { separator, below_inbox, shares: sharing != Sharing::Off },
            message_bytes: append_octets,
            mechanisms,
        };
        match refusal {
            Some(text) => Session::refusing(settings, text),
            None => Session::new(settings),
        }
    }
}

impl Service for Imap {
    async fn serve(&self, connection: Connection) {
        protocol::serve(self, connection).await;
    }

    fn busy(&self) -> &'static [u8] {
        b"* BYE Too many connections, try again later\r\n"
    }
}
