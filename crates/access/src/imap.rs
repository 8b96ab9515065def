//! The IMAP server: a session of `imap` over the mailboxes of `store`, logins by `directory`.

mod append;
mod client;
mod convert;
mod copy;
mod expunge;
mod fetch;
mod list;
mod login;
mod mailbox;
mod report;
mod search;
mod select;
mod selected;
mod status;
mod store;
mod trouble;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use kings_directory::ClientFacts;
use kings_imap::{Session, Settings};
use kings_net::{Connection, Service, Shutdown};
use kings_sasl::Mechanisms;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::connection::{End, Wire};
use crate::door::{Door, People};
use crate::peer::Peer;
use crate::socket::{Calm, HANDSHAKE, Socket};

pub(crate) use client::Client;
pub(crate) use report::News;
pub(crate) use trouble::Trouble;

/// What the log calls it.
const PROTOCOL: &str = "imap";

/// What the server is made from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who may log in, and how much they may have at once.
    pub people: People,
    /// Largest message that APPEND takes, in octets.
    pub append_octets: u64,
    /// Between the levels of mailbox names.
    pub separator: char,
}

/// The service behind `imap` and `imaps` listeners. Clones share everything.
#[derive(Clone, Debug)]
pub struct Imap(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) door: Door,
    pub(crate) append_octets: u64,
    pub(crate) separator: char,
}

impl Imap {
    /// Makes the server. Those made later, after a reload, count their sessions anew.
    pub fn new(parts: Parts) -> Self {
        let Parts { people, append_octets, separator } = parts;
        Self(Arc::new(Inner { door: Door::new(people), append_octets, separator }))
    }

    /// Serves a client that is under TLS, or needs none, over any stream until it leaves.
    pub async fn serve_stream<S>(&self, stream: S, peer: SocketAddr, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let peer = Peer::stranger(peer, PROTOCOL);
        let peer_origin = peer.origin();
        let mut client = Client::new(Arc::clone(&self.0), peer);
        let mechanisms = client.mechanisms(ClientFacts::new(peer_origin));
        let mut wire = Wire::new(Calm(stream), Session::new(self.settings(true, mechanisms)));
        let began = Instant::now();
        let end = wire.drive(&mut client, shutdown).await;
        client.log_end(&wire, &end, began);
    }

    fn settings(&self, tls: bool, mechanisms: Mechanisms) -> Settings {
        let Inner { append_octets, separator, .. } = *self.0;
        Settings { tls, starttls: !tls, separator, message_bytes: append_octets, mechanisms }
    }
}

impl Service for Imap {
    async fn serve(&self, connection: Connection) {
        let peer = Peer::of(&connection, PROTOCOL);
        let shutdown = connection.shutdown.clone();
        let mut client = Client::new(Arc::clone(&self.0), peer.clone());
        let mechanisms = client.mechanisms(peer.facts(&connection.stream));
        let settings = self.settings(connection.stream.tls().is_some(), mechanisms);
        let stranger = self.0.door.stranger(&peer);
        let session = match &stranger {
            Some(_) => Session::new(settings),
            None => Session::refusing(settings, "Too many connections from your address"),
        };
        client.count_until_login(stranger);
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
        b"* BYE Too many connections, try again later\r\n"
    }
}

impl Imap {
    async fn start_tls(&self, mut wire: Wire<Socket>) -> io::Result<Wire<Socket>> {
        let tls = Arc::clone(&self.0.door.people.tls);
        wire.carrier.stream = timeout(HANDSHAKE, wire.carrier.stream.accept_tls(tls)).await??;
        wire.session.tls_started();
        Ok(wire)
    }
}
