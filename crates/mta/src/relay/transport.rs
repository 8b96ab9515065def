//! Where a table sends mail: the right sides of Postfix's transport(5) and `sender_dependent_relayhost_maps`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use kings_directory::Meaning;
use kings_mail::domain::Domain;

use super::rules::Action;
use super::{Level, SmartHost};

/// What `lmtp:` means without a port (RFC 2033 §5 leaves it open; Postfix's `lmtp_tcp_port`).
const LMTP_PORT: u16 = 24;
/// What `smtp:` means without a port.
const SMTP_PORT: u16 = 25;
/// Most next hops of one list, as of the MX hosts that one attempt visits.
pub const MAX_IN_TURN: usize = 10;
/// Ports by their names in services(5).
const PORTS: [(&str, u16); 5] =
    [("smtp", SMTP_PORT), ("lmtp", LMTP_PORT), ("submission", 587), ("submissions", 465), ("smtps", 465)];

/// The right side of transport(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As if there were no table (`:`).
    Unchanged,
    /// To the MX hosts of the recipient's domain (`smtp:`).
    Mx,
    /// To the MX hosts of this domain, whoever the recipient is (`smtp:DOMAIN`).
    MxOf(Domain, Option<u16>),
    /// To this host (`smtp:[HOST]`).
    Host(String, u16),
    /// To the first of these hosts that takes it (`smtp:[HOST], [OTHER]`).
    Hosts(Vec<(String, u16)>),
    /// To the LMTP server at this host.
    Lmtp(String, u16),
    /// To the LMTP server behind this socket file.
    LmtpSocket(PathBuf),
    /// Nowhere, for this reason.
    Discard(String),
    /// Back to the sender with this text, or off until later where it begins with a status of class 4.
    Error(String),
}

/// The right side of `sender_dependent_relayhost_maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayHost(pub(super) Transport);

impl Meaning for Transport {
    const MAY_BE_FILLED: bool = false;
    const NEEDS_VALUE: bool = true;
}

impl Meaning for RelayHost {
    const MAY_BE_FILLED: bool = false;
    const NEEDS_VALUE: bool = true;
}

impl FromStr for Transport {
    type Err = String;

    /// `transport:nexthop`, either of which may be empty. An empty text is no `:`: with Postfix an empty answer of a table is a
    /// fault of it.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "a transport is missing: \":\" leaves things as they are without the table".to_owned()
            );
        }
        let (transport, next_hop) = text.split_once(':').unwrap_or((text, ""));
        let (transport, next_hop) = (transport.trim(), next_hop.trim());
        match transport {
            "" if next_hop.is_empty() => Ok(Self::Unchanged),
            "" | "smtp" | "relay" => smtp(next_hop),
            "lmtp" => lmtp(next_hop),
            "discard" => Ok(Self::Discard(next_hop.to_owned())),
            "error" => Ok(Self::Error(or_else(next_hop, "5.0.0 no mail goes there").to_owned())),
            "retry" => Ok(Self::Error(later(or_else(next_hop, "mail waits for now")))),
            // It stands in the tables of those whose mail does end here, where it never acts.
            "local" | "virtual" => Ok(Self::Error(format!(
                "4.3.5 the table of routes leaves mail to {transport}, but no [[domain]] of this server has its mailboxes"
            ))),
            other => Err(format!(
                "\"{other}\" is no transport here: smtp, relay, lmtp, discard, error and retry are; a program that takes mail needs \
                 to speak LMTP or SMTP"
            )),
        }
    }
}

impl FromStr for RelayHost {
    type Err = String;

    /// `nexthop`; `DUNNO` says nothing, as if there were no line.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("DUNNO") => Ok(Self(Transport::Unchanged)),
            "" => {
                Err("a relay host is missing: \"[HOST]:PORT\", \"DOMAIN\" for its MX hosts, or DUNNO"
                    .to_owned())
            }
            text => smtp(text).map(Self),
        }
    }
}

impl Transport {
    /// The same as a route of the config; `known` are the hosts whose logins and levels of TLS the config says.
    pub(super) fn action<'a>(
        self,
        known: impl Iterator<Item = &'a SmartHost> + Clone,
        tls: Level,
    ) -> Option<Action> {
        Some(match self {
            Self::Unchanged => return None,
            Self::Mx => Action::Mx(None),
            Self::MxOf(domain, port) => Action::MxOf(domain, port),
            Self::Host(host, port) => Action::Host(dressed(known, host, port, tls)),
            Self::Hosts(hosts) => {
                let dressed = |(host, port)| dressed(known.clone(), host, port, tls);
                Action::Hosts(hosts.into_iter().map(dressed).collect())
            }
            Self::Lmtp(host, port) => Action::Lmtp(SmartHost { host, port, login: None, tls }),
            Self::LmtpSocket(path) => Action::LmtpSocket(path),
            Self::Discard(why) => Action::Discard(why),
            Self::Error(text) => Action::Error(text),
        })
    }
}

/// As the config has this host, or without a login.
fn dressed<'a>(
    mut known: impl Iterator<Item = &'a SmartHost>,
    host: String,
    port: u16,
    tls: Level,
) -> SmartHost {
    let same = |other: &&SmartHost| other.port == port && other.host.eq_ignore_ascii_case(&host);
    known.find(same).cloned().unwrap_or(SmartHost { host, port, login: None, tls })
}

/// The next hops of smtp(8): one, or several hosts that are tried in their order.
fn smtp(next_hop: &str) -> Result<Transport, String> {
    let all: Vec<&str> = next_hop.split(is_gap).filter(|one| !one.is_empty()).collect();
    if all.len() > MAX_IN_TURN {
        return Err(format!(
            "{} next hops are more than the {MAX_IN_TURN} that one attempt visits",
            all.len()
        ));
    }
    match all[..] {
        [] if next_hop.is_empty() => Ok(Transport::Mx),
        [] => Err(unreadable(next_hop)),
        [one] => one_smtp(one),
        _ => all.into_iter().map(in_turn).collect::<Result<_, _>>().map(Transport::Hosts),
    }
}

fn is_gap(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

/// One of several: MX hosts have an order of their own, which would have to stand within that of the list.
fn in_turn(text: &str) -> Result<(String, u16), String> {
    match one_smtp(text)? {
        Transport::Host(name, port) => Ok((name, port)),
        _ => Err(format!("\"{text}\" is no host: of several next hops each must be one, as [{text}]")),
    }
}

/// `[HOST]`, `[HOST]:PORT`; and `DOMAIN`, `DOMAIN:PORT` for its MX hosts.
fn one_smtp(next_hop: &str) -> Result<Transport, String> {
    match place(next_hop)? {
        Place { name, port, bracketed: true } => Ok(Transport::Host(name, port.unwrap_or(SMTP_PORT))),
        Place { name, port, bracketed: false } => match (name.parse::<IpAddr>(), Domain::parse(&name)) {
            (Ok(_), _) => Ok(Transport::Host(name, port.unwrap_or(SMTP_PORT))),
            (_, Ok(domain)) => Ok(Transport::MxOf(domain, port)),
            (Err(_), Err(_)) => Err(unreadable(next_hop)),
        },
    }
}

/// The next hops of lmtp(8): `unix:/PATH`, `inet:HOST:PORT`, `HOST:PORT`; brackets change nothing, for MX hosts are not asked.
fn lmtp(next_hop: &str) -> Result<Transport, String> {
    if let Some(path) = next_hop.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(format!(
                "lmtp:{next_hop} must be a whole path, such as \"lmtp:unix:/var/spool/postfix/private/dovecot-lmtp\""
            ));
        }
        return Ok(Transport::LmtpSocket(path));
    }
    if next_hop.is_empty() {
        return Err("lmtp: needs a host or \"unix:/PATH\": a domain has no LMTP servers".to_owned());
    }
    let Place { name, port, .. } = place(next_hop.strip_prefix("inet:").unwrap_or(next_hop))?;
    Ok(Transport::Lmtp(name, port.unwrap_or(LMTP_PORT)))
}

/// A host or domain as it stands before a port.
struct Place {
    name: String,
    port: Option<u16>,
    bracketed: bool,
}

fn place(text: &str) -> Result<Place, String> {
    if text.contains(is_gap) {
        return Err(format!("\"{text}\" is more than one host: lmtp: goes to one"));
    }
    let (name, behind, bracketed) = match text.strip_prefix('[') {
        Some(inside) => {
            let (name, behind) = inside.split_once(']').ok_or_else(|| unreadable(text))?;
            (without_ipv6(name), behind, true)
        }
        None => {
            let (name, behind) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name, behind, false)
        }
    };
    let port = match behind.strip_prefix(':') {
        Some(port) => Some(port_of(port).ok_or_else(|| unreadable(text))?),
        None if behind.is_empty() => None,
        None => return Err(unreadable(text)),
    };
    let is_host = name.parse::<IpAddr>().is_ok() || Domain::parse(name).is_ok();
    is_host.then(|| Place { name: name.to_owned(), port, bracketed }).ok_or_else(|| unreadable(text))
}

fn without_ipv6(name: &str) -> &str {
    match name.split_once(':') {
        Some((tag, address)) if tag.eq_ignore_ascii_case("ipv6") => address,
        _ => name,
    }
}

fn port_of(text: &str) -> Option<u16> {
    let named = PORTS.iter().find(|(name, _)| *name == text).map(|(_, port)| *port);
    named.or_else(|| text.parse().ok()).filter(|port| *port > 0)
}

fn unreadable(text: &str) -> String {
    format!("\"{text}\" is no next hop: \"[HOST]:PORT\" is a host, \"DOMAIN:PORT\" the MX hosts of a domain")
}

fn or_else<'a>(text: &'a str, usual: &'a str) -> &'a str {
    if text.is_empty() { usual } else { text }
}

/// Words of retry(8), which puts off whatever status they begin with.
fn later(text: &str) -> String {
    match super::rules::error_status(text) {
        (kings_mail::dsn::Status(4, ..), _) => text.to_owned(),
        (_, words) => format!("4.0.0 {words}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn right_sides_mean_what_transport_5_says() {
        use Transport::{Discard, Error, Host, Hosts, Lmtp, LmtpSocket, Mx, MxOf, Unchanged};
        let host = |name: &str, port| Host(name.to_owned(), port);
        for (text, expected) in [
            (":", Unchanged),
            ("smtp:", Mx),
            ("smtp", Mx),
            ("relay:", Mx),
            ("smtp:[hub.example]", host("hub.example", 25)),
            ("smtp:[hub.example]:587", host("hub.example", 587)),
            ("relay:[hub.example]:submission", host("hub.example", 587)),
            (":[hub.example]", host("hub.example", 25)),
            ("smtp:[192.0.2.1]:2525", host("192.0.2.1", 2525)),
            (
                "smtp:[a.example], [b.example]:26",
                Hosts(vec![("a.example".into(), 25), ("b.example".into(), 26)]),
            ),
            ("relay:[a.example],192.0.2.1,", Hosts(vec![("a.example".into(), 25), ("192.0.2.1".into(), 25)])),
            ("smtp:192.0.2.1:2525", host("192.0.2.1", 2525)),
            ("smtp:[2001:db8::1]:26", host("2001:db8::1", 26)),
            ("smtp:[IPv6:2001:db8::1]", host("2001:db8::1", 25)),
            ("smtp:hub.example", MxOf(domain("hub.example"), None)),
            (":hub.example:2525", MxOf(domain("hub.example"), Some(2525))),
            ("lmtp:unix:/run/dovecot/lmtp", LmtpSocket("/run/dovecot/lmtp".into())),
            ("lmtp:inet:127.0.0.1:2424", Lmtp("127.0.0.1".into(), 2424)),
            ("lmtp:[mailbox.example]", Lmtp("mailbox.example".into(), 24)),
            ("lmtp:mailbox.example", Lmtp("mailbox.example".into(), 24)),
            ("discard:", Discard(String::new())),
            ("discard:nobody reads it", Discard("nobody reads it".into())),
            ("error:5.1.2 gone: for good", Error("5.1.2 gone: for good".into())),
            ("error:mail for *.example.com is not deliverable", {
                Error("mail for *.example.com is not deliverable".into())
            }),
            ("retry:4.2.1 next week", Error("4.2.1 next week".into())),
            ("retry:5.2.1 next week", Error("4.0.0 next week".into())),
            ("retry:next week", Error("4.0.0 next week".into())),
            ("retry:5.2.1", Error("4.0.0".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert!(matches!("virtual:".parse(), Ok(Error(text)) if text.starts_with("4.3.5 ")));
        for (text, what) in [
            ("", "a transport is missing"),
            ("maildrop:x", "\"maildrop\" is no transport"),
            ("hub.example", "\"hub.example\" is no transport"),
            ("[hub.example]:25", "\"[hub.example]\" is no transport"),
            ("smtp:[hub.example", "is no next hop"),
            ("smtp:[hub.example]x", "is no next hop"),
            ("smtp:[hub.example]:0", "is no next hop"),
            ("smtp:[hub.example]:x", "is no next hop"),
            ("smtp:2001:db8::1", "is no next hop"),
            ("smtp::25", "is no next hop"),
            ("smtp:unix:/run/x", "is no next hop"),
            ("smtp:[a.example], b.example", "of several next hops each must be one, as [b.example]"),
            ("smtp:[a.example], x:[b.example]", "is no next hop"),
            ("smtp:,", "is no next hop"),
            ("smtp:[a] [b] [c] [d] [e] [f] [g] [h] [i] [j] [k]", "11 next hops are more"),
            ("lmtp:[a.example], [b.example]", "is more than one host"),
            ("lmtp:", "needs a host"),
            ("lmtp:unix:private/lmtp", "must be a whole path"),
        ] {
            let told = text.parse::<Transport>().unwrap_err();
            assert!(told.contains(what), "{text}: {told}");
        }
    }

    #[test]
    fn relay_hosts_are_next_hops_without_a_transport() {
        for (text, expected) in [
            ("[hub.example]:587", Transport::Host("hub.example".into(), 587)),
            ("hub.example", Transport::MxOf(domain("hub.example"), None)),
            (
                "[a.example] [b.example]:26",
                Transport::Hosts(vec![("a.example".into(), 25), ("b.example".into(), 26)]),
            ),
            ("dunno", Transport::Unchanged),
        ] {
            assert_eq!(text.parse(), Ok(RelayHost(expected)), "{text}");
        }
        for wrong in ["", "smtp:[hub.example]", "lmtp:unix:/x", "[a.example] b.example"] {
            assert!(wrong.parse::<RelayHost>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_that_the_config_knows_has_its_login_and_level() {
        let known = SmartHost { host: "Hub.example".into(), port: 587, login: None, tls: Level::Verify };
        let level = |text: &str| {
            let action = text.parse::<Transport>().unwrap().action(std::iter::once(&known), Level::May);
            match action {
                Some(Action::Host(host) | Action::Lmtp(host)) => Some(host.tls),
                Some(Action::Hosts(hosts)) => hosts.iter().map(|host| host.tls).max(),
                _ => None,
            }
        };
        for (text, expected) in [
            ("smtp:[hub.example]:587", Some(Level::Verify)),
            ("smtp:[hub.example]:25", Some(Level::May)),
            ("smtp:[hub.example]:25, [hub.example]:587", Some(Level::Verify)),
            ("smtp:[hub.example]:25, [hub.example]:26", Some(Level::May)),
            ("smtp:[other.example]:587", Some(Level::May)),
            ("lmtp:[hub.example]:587", Some(Level::May)),
            (":", None),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }
}
