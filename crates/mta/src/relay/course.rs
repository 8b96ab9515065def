//! Where the mail of one attempt is to go by the config, and which attempts count together because of it.

use std::path::Path;
use std::slice;

use kings_mail::domain::Domain;
use kings_queue::{Destination, Lane};

use super::SmartHost;
use super::rules::Action;

/// What the config says of a way; the first hop is known without DNS, or is left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course<'a> {
    /// To the MX hosts of its own domain.
    Mx(&'a Destination),
    /// To the MX hosts of this domain, at this port where one is named.
    MxOf(&'a Domain, Option<u16>),
    /// To these hosts in turn, over SMTP.
    Smtp(&'a [SmartHost]),
    /// To the LMTP server at this host.
    Lmtp(&'a SmartHost),
    /// To the LMTP server behind this socket file.
    Socket(&'a Path),
}

impl<'a> Course<'a> {
    /// The course that the action of a route sets, or else the smart hosts.
    pub(super) fn of(
        action: Option<&'a Action>,
        smart_hosts: &'a [SmartHost],
        destination: &'a Destination,
    ) -> Self {
        match action {
            Some(Action::LmtpSocket(path)) => Self::Socket(path),
            Some(Action::Lmtp(host)) => Self::Lmtp(host),
            Some(Action::Host(host)) => Self::Smtp(slice::from_ref(host)),
            Some(Action::Hosts(hosts)) => Self::Smtp(hosts),
            // Nobody is asked, so nobody can be busy or dead.
            Some(Action::Discard(_) | Action::Error(_) | Action::Mx(_)) => Self::Mx(destination),
            Some(Action::MxOf(domain, port)) => Self::MxOf(domain, *port),
            None if smart_hosts.is_empty() => Self::Mx(destination),
            None => Self::Smtp(smart_hosts),
        }
    }

    /// The domain whose MX hosts are asked: whose policies count, and who gets reports. A host that the config names says
    /// nothing about the domains behind it.
    pub(super) fn domain(self) -> Option<&'a Domain> {
        match self {
            Self::Mx(Destination::Domain(domain)) | Self::MxOf(domain, _) => Some(domain),
            Self::Mx(Destination::Literal(_) | Destination::Here)
            | Self::Smtp(_)
            | Self::Lmtp(_)
            | Self::Socket(_) => None,
        }
    }

    /// Whether it leads to one next hop, whoever the recipient is.
    pub(super) fn is_shared(self) -> bool {
        !matches!(self, Self::Mx(_))
    }

    /// The lane of mail on this course: that of the host which takes it all, whoever logs in there. Domains that
    /// happen to have the same MX host stay apart, as with Postfix: that is known only once DNS has been asked.
    pub(super) fn lane(self) -> Lane {
        let place =
            |SmartHost { host, port, .. }: &SmartHost| format!("{}:{port}", host.to_ascii_lowercase());
        match self {
            Self::Mx(destination) => Lane::Destination(destination.clone()),
            Self::MxOf(domain, None) => Lane::NextHop(format!("mx:{domain}")),
            Self::MxOf(domain, Some(port)) => Lane::NextHop(format!("mx:{domain}:{port}")),
            Self::Smtp(hosts) => {
                let places: Vec<String> = hosts.iter().map(place).collect();
                Lane::NextHop(format!("smtp:{}", places.join(", ")))
            }
            Self::Lmtp(host) => Lane::NextHop(format!("lmtp:{}", place(host))),
            Self::Socket(path) => Lane::NextHop(format!("unix:{}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_sasl::Secret;

    use super::super::login::Credentials;

    use super::super::Level;
    use super::*;

    fn host(host: &str, port: u16) -> SmartHost {
        SmartHost { host: host.to_owned(), port, login: None, tls: Level::May }
    }

    /// Attempts with one letter share a lane, and no others do.
    #[test]
    fn whatever_goes_to_one_next_hop_shares_a_lane() {
        let with_login =
            SmartHost { login: Some(Credentials::new("me", Secret::new("x"))), ..host("hub.example", 25) };
        let to = |domain: &str| Destination::Domain(Domain::parse(domain).unwrap());
        let socket = Action::LmtpSocket("/run/lmtp".into());
        let mx_of = |port| Some(Action::MxOf(Domain::parse("hub.example").unwrap(), port));
        let two = || Some(Action::Hosts(vec![host("hub.example", 25), host("other.example", 25)]));
        let cases: [(Option<Action>, Option<SmartHost>, &str, char); 20] = [
            (Some(Action::Mx(None)), Some(host("hub.example", 25)), "one.example", 'a'),
            (mx_of(None), None, "one.example", 'h'),
            (mx_of(None), Some(host("hub.example", 25)), "two.example", 'h'),
            (mx_of(Some(26)), None, "one.example", 'i'),
            (None, None, "hub.example", 'j'),
            (None, None, "one.example", 'a'),
            (None, None, "two.example", 'b'),
            (Some(Action::Discard(String::new())), Some(host("hub.example", 25)), "one.example", 'a'),
            (None, Some(host("hub.example", 25)), "one.example", 'c'),
            (None, Some(host("hub.example", 25)), "two.example", 'c'),
            (Some(Action::Host(host("HUB.example", 25))), None, "three.example", 'c'),
            (Some(Action::Host(with_login)), Some(host("other.example", 25)), "four.example", 'c'),
            (Some(Action::Host(host("hub.example", 587))), None, "one.example", 'd'),
            (Some(Action::Host(host("other.example", 25))), None, "one.example", 'e'),
            (two(), None, "one.example", 'k'),
            (two(), Some(host("hub.example", 25)), "two.example", 'k'),
            (Some(Action::Lmtp(host("hub.example", 25))), None, "one.example", 'f'),
            (Some(Action::Lmtp(host("hub.example", 25))), None, "two.example", 'f'),
            (Some(socket.clone()), None, "one.example", 'g'),
            (Some(socket), Some(host("hub.example", 25)), "two.example", 'g'),
        ];
        let lane =
            |(action, smart_host, domain, letter): &(Option<Action>, Option<SmartHost>, &str, char)| {
                (Course::of(action.as_ref(), smart_host.as_slice(), &to(domain)).lane(), *letter)
            };
        let lanes: Vec<_> = cases.iter().map(lane).collect();
        for (one, first) in &lanes {
            for (other, second) in &lanes {
                assert_eq!(one == other, first == second, "{one:?} {other:?}");
            }
        }
    }
}
