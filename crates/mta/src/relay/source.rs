//! From which of our own addresses a message leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kings_mail::address::Host;
use kings_mail::domain::Domain;
use kings_mail::path::ReversePath;

/// Addresses to leave from; the system chooses where one is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Towards IPv4 hosts.
    pub ipv4: Option<Ipv4Addr>,
    /// Towards IPv6 hosts.
    pub ipv6: Option<Ipv6Addr>,
}

impl Source {
    /// The address for this host.
    pub(crate) fn of(&self, host: IpAddr) -> Option<IpAddr> {
        match host {
            IpAddr::V4(_) => self.ipv4.map(IpAddr::V4),
            IpAddr::V6(_) => self.ipv6.map(IpAddr::V6),
        }
    }

    /// These addresses, and those of `other` where one is missing.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self { ipv4: self.ipv4.or(other.ipv4), ipv6: self.ipv6.or(other.ipv6) }
    }
}

impl FromIterator<IpAddr> for Source {
    /// The last address of each kind.
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        let mut source = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(address) => source.ipv4 = Some(address),
                IpAddr::V6(address) => source.ipv6 = Some(address),
            }
        }
        source
    }
}

/// Which addresses are for which mail.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// For mail of senders in these domains.
    pub by_domain: Vec<(Domain, Source)>,
    /// For all other mail.
    pub usual: Source,
}

impl Sources {
    /// For a message of this sender.
    pub(crate) fn of(&self, reverse_path: &ReversePath) -> Source {
        let domain = match reverse_path {
            ReversePath::Address(address) => match &address.host {
                Host::Domain(domain) => Some(domain),
                Host::Literal(_) => None,
            },
            ReversePath::Null => None,
        };
        let own = self.by_domain.iter().find(|(name, _)| Some(name) == domain).map(|(_, source)| *source);
        own.unwrap_or_default().or(self.usual)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn source(addresses: &[&str]) -> Source {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn the_senders_domain_comes_before_the_usual_address_of_the_same_kind() {
        let sources = Sources {
            by_domain: vec![(Domain::parse("b.example").unwrap(), source(&["192.0.2.2"]))],
            usual: source(&["192.0.2.1", "2001:db8::1"]),
        };
        let cases = [
            ("ann@a.example", "192.0.2.9", "192.0.2.1"),
            ("ann@b.example", "192.0.2.9", "192.0.2.2"),
            ("ann@b.example", "2001:db8::9", "2001:db8::1"),
            ("ann@sub.b.example", "192.0.2.9", "192.0.2.1"),
            ("", "192.0.2.9", "192.0.2.1"),
        ];
        for (sender, host, expected) in cases {
            let chosen = sources.of(&ReversePath::parse(sender).unwrap()).of(host.parse().unwrap());
            assert_eq!(chosen, Some(expected.parse().unwrap()), "{sender} to {host}");
        }
        assert_eq!(Source::default().of("192.0.2.9".parse().unwrap()), None);
    }
}
