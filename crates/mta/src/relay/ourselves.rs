//! Which next hops are this server: what goes there comes back (RFC 5321 §5.1).

use std::net::{IpAddr, SocketAddr};

use kings_mail::domain::Domain;
use kings_net::is_own;
use kings_smtp::client::Protocol;

use super::route::NextHop;

/// Where mail servers answer each other (RFC 5321 §4.5.4.2).
const SMTP: u16 = 25;

/// Where others find this server.
#[derive(Clone, Debug, Default)]
pub struct Ourselves {
    /// Where it takes mail of other servers.
    pub listening: Vec<SocketAddr>,
    /// Addresses that lead to it though no interface of this machine has them, as behind a router that translates
    /// (Postfix's `proxy_interfaces`).
    pub addresses: Vec<IpAddr>,
}

impl Ourselves {
    /// Whether an address is one of this machine's, or leads to it.
    pub(crate) fn have(&self, ip: IpAddr) -> bool {
        is_own(ip) || self.lead_here(ip)
    }

    /// Whether a connection to there comes back to this server. Another server on this machine, at an address or a port
    /// of its own, is not us; a translated address has us at the port of MX hosts.
    pub(super) fn answer_at(&self, ip: IpAddr, hop: &NextHop) -> bool {
        let listens = |listening: &SocketAddr| {
            let (at, ip) = (listening.ip().to_canonical(), ip.to_canonical());
            let is_there = match at {
                IpAddr::V4(at) if at.is_unspecified() => ip.is_ipv4() && is_own(ip),
                // Takes IPv4 as well.
                IpAddr::V6(at) if at.is_unspecified() => is_own(ip),
                at => at == ip,
            };
            listening.port() == hop.port && is_there
        };
        let translated = (!hop.configured || hop.port == SMTP) && self.lead_here(ip);
        hop.protocol == Protocol::Smtp && (translated || self.listening.iter().any(listens))
    }

    fn lead_here(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.to_canonical() == ip.to_canonical())
    }
}

/// Whether a host that calls itself like us is us. A filter that the config names, at a port of its own, may bear the
/// name of this machine (Postfix looks at port 25 alone as well).
pub(super) fn is_called_like_us(name: Option<&str>, hop: &NextHop, hostname: &Domain) -> bool {
    let is_mail_server = hop.protocol == Protocol::Smtp && (!hop.configured || hop.port == SMTP);
    is_mail_server && name.and_then(|name| Domain::parse(name).ok()).as_ref() == Some(hostname)
}
