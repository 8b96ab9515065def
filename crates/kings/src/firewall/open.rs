//! What is open: values, and how they follow from the config.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use kings_net::Place;

use crate::config::Listen;

/// How a port is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One port: `8080`, which is TCP, or `51820/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Opening {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
}

/// It is no port.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("another text")]
pub(crate) struct BadOpening;

impl FromStr for Opening {
    type Err = BadOpening;

    fn from_str(text: &str) -> Result<Self, BadOpening> {
        let (port, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((port, "tcp")) => (port, Protocol::Tcp),
            Some((port, "udp")) => (port, Protocol::Udp),
            Some(_) => return Err(BadOpening),
        };
        // A sign is no part of a port, whatever Rust takes.
        let is_plain = port.bytes().all(|octet| octet.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_plain && *port != 0).ok_or(BadOpening)?;
        Ok(Self { port, protocol })
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// Everything that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// Never empty: whoever works here from afar must not be locked out.
    pub(crate) ssh: BTreeSet<u16>,
    /// Ports of the server, each with the key of `[listen]` that it is for.
    pub(crate) mail: BTreeMap<u16, &'static str>,
    /// `[firewall] allow`.
    pub(crate) others: BTreeSet<Opening>,
    /// Keys with a port that the kernel chooses: no rule can name it.
    pub(crate) unknown: BTreeSet<&'static str>,
}

impl Open {
    /// What is reached from outside by this config: servers on loopback and socket files are not.
    pub(crate) fn new(ssh: BTreeSet<u16>, listen: &Listen, others: BTreeSet<Opening>) -> Self {
        let (mut mail, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        let outside = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        let lmtp: Vec<SocketAddr> = listen.lmtp.iter().filter_map(tcp).collect();
        let servers: [(&'static str, &[SocketAddr]); 10] = [
            ("smtp", &listen.smtp),
            ("submission", &listen.submission),
            ("submissions", &listen.submissions),
            ("lmtp", &lmtp),
            ("imap", &listen.imap),
            ("imaps", &listen.imaps),
            ("pop3", &listen.pop3),
            ("pop3s", &listen.pop3s),
            ("http", &listen.http),
            ("https", &listen.https),
        ];
        for (name, addresses) in servers {
            for address in addresses.iter().filter(outside) {
                match address.port() {
                    0 => drop(unknown.insert(name)),
                    port => drop(mail.insert(port, name)),
                }
            }
        }
        Self { ssh, mail, others, unknown }
    }

    /// Whether this is let in.
    pub(crate) fn lets_in(&self, opening: Opening) -> bool {
        let Opening { port, protocol } = opening;
        let tcp = protocol == Protocol::Tcp && (self.ssh.contains(&port) || self.mail.contains_key(&port));
        tcp || self.others.contains(&opening)
    }
}

fn tcp(place: &Place) -> Option<SocketAddr> {
    match place {
        Place::Tcp(address) => Some(*address),
        Place::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_port_is_a_number_with_or_without_its_protocol() {
        let opening = |port, protocol| Ok(Opening { port, protocol });
        let cases = [
            ("8080", opening(8080, Protocol::Tcp)),
            ("8080/tcp", opening(8080, Protocol::Tcp)),
            ("51820/udp", opening(51820, Protocol::Udp)),
            ("65535", opening(65535, Protocol::Tcp)),
            ("0", Err(BadOpening)),
            ("65536", Err(BadOpening)),
            ("+80", Err(BadOpening)),
            ("", Err(BadOpening)),
            ("/udp", Err(BadOpening)),
            ("80/sctp", Err(BadOpening)),
            ("80/UDP", Err(BadOpening)),
            ("80-90", Err(BadOpening)),
            ("80 accept; flush ruleset", Err(BadOpening)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Opening>(), expected, "{text}");
        }
    }

    #[test]
    fn what_listens_to_the_outside_is_open_and_loopback_is_not() {
        let at = |text: &str| vec![text.parse::<SocketAddr>().unwrap()];
        let listen = Listen {
            smtp: at("[::]:25"),
            imap: at("127.0.0.1:143"),
            pop3: at("[::1]:110"),
            imaps: at("192.0.2.1:993"),
            https: at("[::]:0"),
            http: at("[::ffff:127.0.0.1]:80"),
            lmtp: vec!["unix:/run/lmtp".parse().unwrap(), "0.0.0.0:24".parse().unwrap()],
            ..Listen::default()
        };
        let open = Open::new(BTreeSet::from([22]), &listen, BTreeSet::from(["53/udp".parse().unwrap()]));
        assert_eq!(open.mail, BTreeMap::from([(25, "smtp"), (993, "imaps"), (24, "lmtp")]));
        assert_eq!(open.unknown, BTreeSet::from(["https"]));
        for (opening, expected) in [
            ("22", true),
            ("25", true),
            ("53/udp", true),
            ("53", false),
            ("25/udp", false),
            ("143", false),
            ("80", false),
        ] {
            assert_eq!(open.lets_in(opening.parse().unwrap()), expected, "{opening}");
        }
    }
}
