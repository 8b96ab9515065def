//! The content filter that a rule sends a message through (header_checks(5): FILTER), before it goes to its recipients.

use std::net::IpAddr;
use std::str::FromStr;

use super::transport::Transport;

/// A filter, as FILTER writes it: a host or socket whose address is plain to see, so that what comes back from there is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    to: Transport,
}

impl Filter {
    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this client is at the address of the filter: what it brings has been there.
    pub(crate) fn is_at(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        match &self.to {
            Transport::Host(host, _) | Transport::Lmtp(host, _) => match host.parse::<IpAddr>() {
                Ok(ip) if ip.to_canonical().is_loopback() => client.is_loopback(),
                Ok(ip) => ip.to_canonical() == client,
                Err(_) => client.is_loopback(),
            },
            _ => client.is_loopback(),
        }
    }

    /// Where it is.
    pub(super) fn into_transport(self) -> Transport {
        self.to
    }
}

impl FromStr for Filter {
    type Err = String;

    /// `transport:nexthop`, as in transport(5).
    fn from_str(text: &str) -> Result<Self, String> {
        let to = text.parse::<Transport>().map_err(|what| format!("FILTER: {what}"))?;
        let is_plain = match &to {
            Transport::Host(host, _) | Transport::Lmtp(host, _) => {
                host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
            }
            Transport::LmtpSocket(_) => true,
            Transport::Unchanged
            | Transport::Hosts(_)
            | Transport::Mx
            | Transport::MxOf(..)
            | Transport::Discard(_)
            | Transport::Error(_) => false,
        };
        if is_plain {
            Ok(Self { text: text.into(), to })
        } else {
            Err(format!(
                "FILTER \"{text}\" must name an address, such as smtp:[127.0.0.1]:10025, or lmtp:unix:/PATH: what comes back from \
                 elsewhere could not be told from other mail, and would go round"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_comes_back_from_a_filter_is_known_by_its_address() {
        for (filter, client, expected) in [
            ("smtp:[10.0.0.5]:10025", "10.0.0.5", true),
            ("smtp:[10.0.0.5]:10025", "::ffff:10.0.0.5", true),
            ("smtp:[10.0.0.5]:10025", "10.0.0.6", false),
            ("smtp:[10.0.0.5]:10025", "127.0.0.1", false),
            ("smtp:[127.0.0.1]:10025", "127.0.0.2", true),
            ("smtp:[127.0.0.1]:10025", "::1", true),
            ("smtp:[127.0.0.1]:10025", "192.0.2.1", false),
            ("smtp:[localhost]:10025", "127.0.0.1", true),
            ("lmtp:unix:/run/filter", "127.0.0.1", true),
            ("lmtp:unix:/run/filter", "192.0.2.1", false),
        ] {
            let found = filter.parse::<Filter>().unwrap().is_at(client.parse().unwrap());
            assert_eq!(found, expected, "{filter} {client}");
        }
    }

    #[test]
    fn a_filter_is_a_host_with_an_address_or_a_socket() {
        for wrong in [
            "",
            ":",
            "smtp:",
            "smtp:[filter.example]:10025",
            "smtp:filter.example",
            "discard:",
            "error:no",
            "amavis:[127.0.0.1]:10024",
            "lmtp:unix:filter",
        ] {
            let told = wrong.parse::<Filter>().unwrap_err();
            assert!(told.starts_with("FILTER"), "{wrong}: {told}");
        }
    }
}
