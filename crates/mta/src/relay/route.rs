//! Where a message goes next: a host the config names, or the MX hosts of its domain in their order.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use kings_dns::{Dns, DnsError, Mx};
use kings_mail::domain::{DnsName, Domain};
use kings_mail::dsn::Status;
use kings_queue::{Destination, Outcome};
use kings_smtp::client::Protocol;

use super::login::Credentials;
use super::outcome::{deferred, failed};
use super::source::Source;
use super::{Level, Settings, SmartHost};

/// Most MX hosts that one attempt visits (Postfix's `smtp_mx_session_limit` is of the same kind).
const MAX_HOSTS: usize = 10;

/// One host to visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) host: HostName,
    /// Of its MX record: hosts of one preference are equals.
    pub(crate) preference: u16,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Level,
    pub(crate) login: Option<Credentials>,
    /// Named in the config: it may have any address.
    pub(crate) configured: bool,
    /// DNSSEC vouches for the MX record that leads here, or there is none to vouch for; DANE asks for it.
    pub(crate) authenticated: bool,
    /// What to leave from.
    pub(crate) source: Source,
}

impl NextHop {
    /// How it is called in logs and reports.
    pub(crate) fn described(&self, address: &Address) -> String {
        match address {
            Address::Inet(address) => format!("{}[{}]", self.host, address.ip()),
            Address::Socket(path) => path.display().to_string(),
        }
    }

    /// The same with the port, where nobody has answered to any name.
    pub(crate) fn place(&self, address: &Address) -> String {
        match address {
            Address::Inet(inet) => format!("{}:{}", self.described(address), inet.port()),
            Address::Socket(_) => self.described(address),
        }
    }
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Inet(SocketAddr),
    Socket(PathBuf),
}

/// What is known of a host before its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostName {
    Name(DnsName),
    Address(IpAddr),
    /// Not a host at all: a socket file of this one.
    Socket(PathBuf),
}

impl std::fmt::Display for HostName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// Why there is no way to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// The domain does not exist, or has neither MX nor address (RFC 5321 §5.1).
    NoDomain(String),
    /// The domain says that it takes no mail (RFC 7505 §3).
    NullMx(String),
    /// The best host is this server, which does not know the domain (RFC 5321 §5.1: a loop); how it was seen.
    Ourselves(String),
    /// Those that would be asked before this server have no address now.
    NobodyBeforeUs,
    /// The host has only addresses that no public server has.
    Private(String),
    /// DNS does not answer now.
    Temporary(String),
}

impl NoRoute {
    /// The only place where a missing route becomes an outcome. Only a clear answer of DNS is final.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NoDomain(name) => {
                failed(Status(5, 1, 2), format!("{name} does not exist or takes no mail"))
            }
            Self::NullMx(name) => failed(Status(5, 1, 10), format!("{name} says that it takes no mail")),
            Self::Ourselves(sign) => failed(
                Status(5, 4, 6),
                format!("mail loops back to this server, which does not host the domain: {sign}"),
            ),
            Self::NobodyBeforeUs => {
                deferred(Status(4, 4, 4), "no mail server that is preferred to this one has an address")
            }
            Self::Private(name) => failed(Status(5, 4, 4), format!("{name} has no public address")),
            Self::Temporary(text) => deferred(Status(4, 4, 3), text.clone()),
        }
    }
}

/// The MX hosts of this destination, in the order in which to visit them.
pub(crate) async fn next_hops<D: Dns>(
    dns: &D,
    settings: &Settings,
    destination: &Destination,
) -> Result<Vec<NextHop>, NoRoute> {
    let (hosts, authenticated) = match destination {
        Destination::Domain(domain) => mail_hosts(dns, domain).await?,
        Destination::Literal(address) => (vec![(0, HostName::Address(*address))], false),
        Destination::Here => return Err(NoRoute::Ourselves("there is no other".to_owned())),
    };
    let hop = |(preference, host)| NextHop {
        host,
        preference,
        port: settings.port,
        protocol: Protocol::Smtp,
        tls: settings.tls,
        login: None,
        configured: false,
        authenticated,
        source: Source::default(),
    };
    Ok(hosts.into_iter().map(hop).collect())
}

/// The one host that the config names.
pub(crate) fn smart_hop(smart_host: &SmartHost) -> Result<NextHop, NoRoute> {
    let SmartHost { host, port, login, tls } = smart_host;
    let host = match host.parse() {
        Ok(address) => HostName::Address(address),
        Err(_) => HostName::Name(DnsName::parse(host).map_err(|_| NoRoute::NoDomain(host.clone()))?),
    };
    Ok(NextHop {
        host,
        preference: 0,
        port: *port,
        protocol: Protocol::Smtp,
        tls: *tls,
        login: login.clone(),
        configured: true,
        authenticated: false,
        source: Source::default(),
    })
}

/// Several of them, of which the first is preferred.
pub(crate) fn in_turn(hosts: &[SmartHost]) -> Result<Vec<NextHop>, NoRoute> {
    let hop = |(preference, host)| Ok(NextHop { preference, ..smart_hop(host)? });
    (0..).zip(hosts).map(hop).collect()
}

/// The LMTP server behind a socket file; nobody can listen in on the way there.
pub(crate) fn socket_hop(path: PathBuf) -> NextHop {
    NextHop {
        host: HostName::Socket(path),
        preference: 0,
        port: 0,
        protocol: Protocol::Lmtp,
        tls: Level::None,
        login: None,
        configured: true,
        authenticated: false,
        source: Source::default(),
    }
}

/// RFC 5321 §5.1: MX records, or the domain itself where there are none; and whether DNSSEC vouches for them. Of a
/// host without MX records its addresses say that (RFC 7672 §2.2.2).
async fn mail_hosts<D: Dns>(dns: &D, domain: &Domain) -> Result<(Vec<(u16, HostName)>, bool), NoRoute> {
    let name = DnsName::from(domain);
    let answer = match dns.mx(&name).await {
        Ok(answer) => answer,
        Err(DnsError::NoRecord) => return Ok((vec![(0, HostName::Name(name))], true)),
        Err(DnsError::NoDomain) => return Err(NoRoute::NoDomain(domain.to_string())),
        Err(error @ DnsError::Temporary(_)) => return Err(temporary(domain.as_str(), &error)),
    };
    let mut random = [0; 8];
    // Without random bytes hosts of equal preference are visited in one order; nothing worse.
    let _ = getrandom::fill(&mut random);
    Ok((order(domain, answer.records, u64::from_ne_bytes(random))?, answer.authenticated))
}

pub(super) fn temporary(name: &str, error: &DnsError) -> NoRoute {
    NoRoute::Temporary(format!("cannot look up {name}: {error}"))
}

/// Lowest preference first, equal ones in the order of chance.
fn order(domain: &Domain, mut records: Vec<Mx>, chance: u64) -> Result<Vec<(u16, HostName)>, NoRoute> {
    records.sort_by_cached_key(|mx| (mx.preference, shuffled(mx, chance)));
    let host = |mx: Mx| Some((mx.preference, HostName::Name(mx.exchange?)));
    let hosts: Vec<_> = records.into_iter().filter_map(host).take(MAX_HOSTS).collect();
    if hosts.is_empty() { Err(NoRoute::NullMx(domain.to_string())) } else { Ok(hosts) }
}

/// A place among equals that changes with `chance` (FNV-1a).
fn shuffled(mx: &Mx, chance: u64) -> u64 {
    let name = mx.exchange.as_ref().map(DnsName::as_str).unwrap_or_default();
    name.bytes().fold(chance ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn zone() -> Zone {
        Zone::default()
            .with_mx(name("three.example"), 20, Some(name("c.example")))
            .with_mx(name("three.example"), 10, Some(name("a.example")))
            .with_mx(name("three.example"), 10, Some(name("b.example")))
            .with_mx(name("null.example"), 0, None)
            .with_address(name("plain.example"), "192.0.2.7".parse().unwrap())
            .with_address(name("a.example"), "2001:db8::1".parse().unwrap())
            .with_address(name("a.example"), "192.0.2.1".parse().unwrap())
            .with_address(name("inside.example"), "127.0.0.1".parse().unwrap())
            .with_address(name("mixed.example"), "10.0.0.1".parse().unwrap())
            .with_address(name("mixed.example"), "192.0.2.2".parse().unwrap())
            .with_name(name("bare.example"))
            .with_failure(name("broken.example"))
    }

    fn settings() -> Settings {
        Settings {
            smart_hosts: Vec::new(),
            port: 25,
            allow_private: Vec::new(),
            tls: Level::May,
            mta_sts_port: 443,
            routes: super::super::Routes::default(),
            families: Vec::new(),
            sources: super::super::Sources::default(),
            ourselves: super::super::Ourselves::default(),
        }
    }

    async fn hops(domain: &str) -> Result<Vec<String>, NoRoute> {
        let destination = Destination::Domain(Domain::parse(domain).unwrap());
        let hops = next_hops(&zone(), &settings(), &destination).await?;
        Ok(hops.iter().map(|hop| hop.host.to_string()).collect())
    }

    #[tokio::test]
    async fn mx_records_are_walked_as_rfc_5321_says() {
        let mut three = hops("three.example").await.unwrap();
        assert_eq!(three[2], "c.example");
        three.sort();
        assert_eq!(three, ["a.example", "b.example", "c.example"]);
        assert_eq!(hops("plain.example").await.unwrap(), ["plain.example"]);
        assert_eq!(hops("null.example").await, Err(NoRoute::NullMx("null.example".into())));
        assert_eq!(hops("absent.example").await, Err(NoRoute::NoDomain("absent.example".into())));
        assert!(matches!(hops("broken.example").await, Err(NoRoute::Temporary(_))));
    }

    #[test]
    fn equal_hosts_change_places_by_chance() {
        let records = || ["a", "b", "c"].map(|n| Mx { preference: 10, exchange: Some(name(n)) }).to_vec();
        let domain = Domain::parse("d.example").unwrap();
        let first = |chance| order(&domain, records(), chance).unwrap()[0].1.to_string();
        let seen: std::collections::HashSet<String> = (0..50).map(first).collect();
        assert_eq!(seen.len(), 3);
    }
}
