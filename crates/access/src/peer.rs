//! Who is at the other end of a connection, and what holds for them.

use std::net::{IpAddr, SocketAddr};

use kings_directory::{ClientFacts, Origin};
use kings_net::{Connection, Stream};
use kings_sasl::scram::Binding;

/// What a connection shows of its client.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Counts, rates and delays are lifted.
    pub(crate) exempt: bool,
    /// What it speaks, for the log: `imap` or `pop3`.
    protocol: &'static str,
}

impl Peer {
    pub(crate) fn of(connection: &Connection, protocol: &'static str) -> Self {
        Self { address: connection.peer, exempt: connection.exempt, protocol }
    }

    /// Somebody behind a stream that no listener took.
    pub(crate) fn stranger(address: SocketAddr, protocol: &'static str) -> Self {
        Self { address, exempt: false, protocol }
    }

    /// For the directory, which counts failures, and for the log.
    pub(crate) fn origin(&self) -> Origin {
        Origin { protocol: self.protocol, address: self.ip(), exempt: self.exempt }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// What counts in a login besides what the client says.
    pub(crate) fn facts(&self, stream: &Stream) -> ClientFacts {
        let binding =
            Binding::of(stream.exporter(), stream.shown_certificate().and_then(kings_tls::end_point));
        ClientFacts {
            origin: self.origin(),
            certificate_names: stream.peer_certificate().map(kings_tls::names_of_client).unwrap_or_default(),
            bindings: binding,
        }
    }
}
