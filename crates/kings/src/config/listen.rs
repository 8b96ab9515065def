//! `[listen]`: which servers run, and where.

use std::net::{IpAddr, SocketAddr};

use kings_mta::Trusted;
use kings_net::{IpNet, Place};

use super::reader::{Section, Source};

/// Addresses per server; an empty list is a server that does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listen {
    /// Peers that open with a PROXY header.
    pub(crate) proxy_from: Vec<IpNet>,
    /// Mail from other servers.
    pub(crate) smtp: Vec<SocketAddr>,
    /// Submission with STARTTLS.
    pub(crate) submission: Vec<SocketAddr>,
    /// Submission under TLS from the first byte.
    pub(crate) submissions: Vec<SocketAddr>,
    /// Mail from a mail server in front of us.
    pub(crate) lmtp: Vec<Place>,
    /// Who may open the socket files of LMTP.
    pub(crate) lmtp_access: SocketAccess,
    /// Logins for a mail server in front of us, by Dovecot's protocol; socket files alone, for passwords go over them.
    pub(crate) auth: Vec<Place>,
    /// Who may open them.
    pub(crate) auth_access: SocketAccess,
    /// Hosts that may use XCLIENT.
    pub(crate) xclient_from: Vec<IpNet>,
    /// Hosts that may use XFORWARD.
    pub(crate) xforward_from: Vec<IpNet>,
    /// IMAP with STARTTLS.
    pub(crate) imap: Vec<SocketAddr>,
    /// IMAP under TLS from the first byte.
    pub(crate) imaps: Vec<SocketAddr>,
    /// POP3 with STLS.
    pub(crate) pop3: Vec<SocketAddr>,
    /// POP3 under TLS from the first byte.
    pub(crate) pop3s: Vec<SocketAddr>,
    /// The tokens of certificate orders, and the way to HTTPS.
    pub(crate) http: Vec<SocketAddr>,
    /// Client configuration and MTA-STS policies.
    pub(crate) https: Vec<SocketAddr>,
}

/// `lmtp_mode` and `lmtp_group`, `auth_mode` and `auth_group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketAccess {
    pub(crate) mode: u32,
    /// By name; the group of the user that the server becomes where it is not said.
    pub(crate) group: Option<String>,
}

impl Default for SocketAccess {
    fn default() -> Self {
        Self { mode: 0o660, group: None }
    }
}

/// The keys with addresses.
const TCP: [&str; 10] =
    ["smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "http", "https"];

/// Servers of the design that are not built yet.
const NOT_BUILT: [&str; 1] = ["managesieve"];

impl Listen {
    /// Hosts that speak for others.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted { xclient_from: self.xclient_from.clone(), xforward_from: self.xforward_from.clone() }
    }

    pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Self {
        let mut addresses = |key| {
            section.list(
                source,
                key,
                "an address with its port such as \"[::]:25\"",
                str::parse::<SocketAddr>,
            )
        };
        let listen = Self {
            smtp: addresses("smtp"),
            submission: addresses("submission"),
            submissions: addresses("submissions"),
            imap: addresses("imap"),
            imaps: addresses("imaps"),
            pop3: addresses("pop3"),
            pop3s: addresses("pop3s"),
            http: addresses("http"),
            https: addresses("https"),
            ..Self::default()
        };
        for key in NOT_BUILT {
            let Some(value) = section.value(key) else { continue };
            let off = value.get_ref().as_array().is_some_and(|addresses| addresses.iter().next().is_none());
            if !off {
                source.complain_at(
                    value.span(),
                    format!("the {key} server is not built yet: remove {key} from [listen]"),
                );
            }
        }
        let mut networks =
            |key| section.list(source, key, "a network such as \"127.0.0.0/8\"", str::parse::<IpNet>);
        let listen = Self {
            proxy_from: networks("proxy_from"),
            xclient_from: networks("xclient_from"),
            xforward_from: networks("xforward_from"),
            ..listen
        };
        let listen = Self {
            lmtp: read_lmtp(source, section),
            lmtp_access: access(source, section, ["lmtp_mode", "lmtp_group"]),
            auth: read_auth(source, section),
            auth_access: access(source, section, ["auth_mode", "auth_group"]),
            ..listen
        };
        complain_of_clashes(source, section);
        if listen.is_empty() {
            source
                .complain("nothing listens: add [listen] with smtp = [\"[::]:25\"] and the others you want");
        }
        listen
    }

    fn is_empty(&self) -> bool {
        let Self { smtp, submission, submissions, lmtp, auth, imap, imaps, pop3, pop3s, http, https, .. } =
            self;
        let tcp = [smtp, submission, submissions, imap, imaps, pop3, pop3s, http, https];
        lmtp.is_empty() && auth.is_empty() && tcp.iter().all(|all| all.is_empty())
    }

    /// With the lists of `other` that act at once after a reload.
    pub(crate) fn with_networks_of(&self, other: &Self) -> Self {
        Self {
            proxy_from: other.proxy_from.clone(),
            xclient_from: other.xclient_from.clone(),
            xforward_from: other.xforward_from.clone(),
            ..self.clone()
        }
    }
}

/// Two servers at one address, or at one of a machine and at all it has: the second would not get it.
fn complain_of_clashes(source: &mut Source<'_>, section: &mut Section<'_>) {
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    for key in TCP {
        let items = section.value(key).and_then(|value| value.get_ref().as_array());
        for item in items.into_iter().flatten() {
            let Some(address) = item.get_ref().as_str().and_then(|text| text.parse::<SocketAddr>().ok())
            else {
                continue;
            };
            if let Some((other, held)) = taken.iter().find(|(_, held)| clash(*held, address)) {
                source.complain_at(
                    item.span(),
                    format!(
                        "{key} = \"{address}\" cannot be had beside {other} = \"{held}\", which takes the same connections: remove \
                         one of them, or give it another port"
                    ),
                );
            }
            taken.push((key, address));
        }
    }
}

/// Whether the kernel gives only one of them: `0.0.0.0` takes every address of IPv4, `[::]` those of both kinds. With port 0
/// it looks for free ones.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip(), other.ip());
    let same = a.to_canonical() == b.to_canonical() || takes(a, b) || takes(b, a);
    one.port() != 0 && one.port() == other.port() && same
}

fn read_lmtp(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<Place> {
    let example = "\"unix:/run/kings-smtp/lmtp.sock\" or \"127.0.0.1:24\"";
    section.list(source, "lmtp", example, str::parse::<Place>)
}

fn read_auth(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<Place> {
    let example = "\"unix:/var/spool/postfix/private/auth\"";
    section.list(source, "auth", example, |text| match text.parse::<Place>() {
        Ok(place @ Place::Unix(_)) => Ok(place),
        Ok(Place::Tcp(_)) => Err("an address, and passwords go over it in clear"),
        Err(_) => Err("no socket file"),
    })
}

fn access(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    [mode, group]: [&'static str; 2],
) -> SocketAccess {
    let usual = SocketAccess::default();
    let octal = |text: &str| match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(_) | Err(_) => Err("another text"),
    };
    SocketAccess {
        mode: section.parsed(source, mode, "permissions such as \"0660\"", octal).unwrap_or(usual.mode),
        group: section.text(source, group),
    }
}
