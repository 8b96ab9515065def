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
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kings_directory::{ClientFacts, Directory, Origin};
use kings_imap::{Session, Settings};
use kings_mail::network::client_network;
use kings_net::{Connection, Service, Shutdown, Stream};
use kings_sasl::Mechanisms;
use kings_sasl::scram::Binding;
use kings_store::Store;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::connection::{End, Wire};
use crate::sessions::{AccountKey, Counter};
use crate::socket::{Calm, Socket};

pub(crate) use client::Client;
pub(crate) use report::News;
pub(crate) use trouble::Trouble;

/// Longest handshake after STARTTLS.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What the server is made from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Checks logins.
    pub directory: Directory,
    /// Has the mailboxes.
    pub store: Store,
    /// For STARTTLS.
    pub tls: Arc<ServerConfig>,
    /// Largest message that APPEND takes, in octets.
    pub append_octets: u64,
    /// Most sessions of one account from one client (DESIGN limits: 20).
    pub connections_per_account: usize,
    /// Most connections of one client that have not logged in yet (DESIGN limits: 50).
    pub connections_per_address: usize,
    /// Between the levels of mailbox names.
    pub separator: char,
}

/// The service behind `imap` and `imaps` listeners. Clones share everything.
#[derive(Clone, Debug)]
pub struct Imap(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    /// Sessions by account and client.
    pub(crate) accounts: Counter<AccountKey>,
    /// Connections that have not logged in, by client.
    strangers: Counter<IpAddr>,
}

/// Who is at the other end, and what holds for them.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Counts, rates and delays are lifted.
    pub(crate) exempt: bool,
}

impl Peer {
    /// For the directory, which counts failures, and for the log.
    pub(crate) fn origin(&self) -> Origin {
        Origin { protocol: "imap", address: self.ip(), exempt: self.exempt }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

impl Imap {
    /// Makes the server. Those made later, after a reload, count their sessions anew.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, accounts: Counter::default(), strangers: Counter::default() }))
    }

    /// Serves a client that is under TLS, or needs none, over any stream until it leaves.
    pub async fn serve_stream<S>(&self, stream: S, peer: SocketAddr, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let peer = Peer { address: peer, exempt: false };
        let peer_origin = peer.origin();
        let mut client = Client::new(Arc::clone(&self.0), peer);
        let mechanisms = client.mechanisms(ClientFacts::new(peer_origin));
        let mut wire = Wire::new(Calm(stream), Session::new(self.settings(true, mechanisms)));
        let began = Instant::now();
        let end = wire.drive(&mut client, shutdown).await;
        client.log_end(&wire, &end, began);
    }

    fn settings(&self, tls: bool, mechanisms: Mechanisms) -> Settings {
        let Parts { append_octets, separator, .. } = self.0.parts;
        Settings { tls, starttls: !tls, separator, message_bytes: append_octets, mechanisms }
    }
}

impl Service for Imap {
    async fn serve(&self, connection: Connection) {
        let peer = Peer { address: connection.peer, exempt: connection.exempt };
        let shutdown = connection.shutdown.clone();
        let mut client = Client::new(Arc::clone(&self.0), peer.clone());
        let mechanisms = client.mechanisms(facts(&peer, &connection.stream));
        let settings = self.settings(connection.stream.tls().is_some(), mechanisms);
        let most = if peer.exempt { usize::MAX } else { self.0.parts.connections_per_address };
        let stranger = self.0.strangers.take(client_network(peer.ip()), most);
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
                        wire.session.offer(client.mechanisms(facts(&peer, wire.stream.inner())));
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

/// What the connection shows of its client.
fn facts(peer: &Peer, stream: &Stream) -> ClientFacts {
    ClientFacts {
        origin: peer.origin(),
        certificate_names: stream.peer_certificate().map(kings_tls::names_of_client).unwrap_or_default(),
        bindings: Binding::of(stream.exporter(), stream.shown_certificate().and_then(kings_tls::end_point)),
    }
}

impl Imap {
    async fn start_tls(&self, mut wire: Wire<Socket>) -> io::Result<Wire<Socket>> {
        wire.stream = timeout(HANDSHAKE, wire.stream.accept_tls(Arc::clone(&self.0.parts.tls))).await??;
        wire.session.tls_started();
        Ok(wire)
    }
}
