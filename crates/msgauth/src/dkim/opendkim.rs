//! OpenDKIM's tables, read as they are: KeyTable, SigningTable, and the host lists TrustedHosts and InternalHosts.

pub mod conf;

use std::net::IpAddr;

use kings_mail::domain::Domain;

use super::private_key::{BadPrivateKey, PrivateKey};
use super::signature::Selector;

/// Why a line of a table says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// A key without a value.
    #[error("there is nothing behind the name")]
    NoValue,
    /// Not `domain:selector:path`.
    #[error("not of the form domain:selector:path")]
    NotAKey,
    /// The part before the first colon.
    #[error("the domain is none")]
    Domain,
    /// The part before the second colon.
    #[error("the selector is none")]
    Selector,
    /// The part behind the second colon is neither a path nor a key.
    #[error("the key is neither a path, which begins with / or ./, nor a private key in base64: {0}")]
    PrivateKey(BadPrivateKey),
    /// A pattern nothing can match.
    #[error("the pattern is no address, domain or wildcard")]
    Pattern,
    /// Not an address, a network or a name.
    #[error("not an address, a network or a host name")]
    Host,
}

/// A complaint about one line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Complaint {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: BadLine,
}

/// Lines that say something: without comments, blank lines and the white space around, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let without_comment = |line: &str| line.find('#').unwrap_or(line.len());
    let lines =
        text.lines().enumerate().map(move |(at, line)| (at + 1, line[..without_comment(line)].trim()));
    lines.filter(|(_, line)| !line.is_empty())
}

/// Collects what `read` makes of each line, or every complaint.
fn table<T>(text: &str, read: impl Fn(&str) -> Result<T, BadLine>) -> Result<Vec<T>, Vec<Complaint>> {
    let mut entries = Vec::new();
    let mut complaints = Vec::new();
    for (line, content) in lines(text) {
        match read(content) {
            Ok(entry) => entries.push(entry),
            Err(what) => complaints.push(Complaint { line, what }),
        }
    }
    if complaints.is_empty() { Ok(entries) } else { Err(complaints) }
}

fn pair(line: &str) -> Result<(&str, &str), BadLine> {
    let (name, value) = line.split_once(char::is_whitespace).ok_or(BadLine::NoValue)?;
    Ok((name, value.trim()))
}

/// One line of a KeyTable: `name domain:selector:path`.
#[derive(Debug)]
pub struct KeyEntry {
    /// What the SigningTable calls the key.
    pub name: String,
    /// `d=`; `None` for `%`, the domain of the author.
    pub domain: Option<Domain>,
    /// `s=`
    pub selector: Selector,
    /// The private key.
    pub key: KeySource,
}

/// Where the private key of a KeyTable is.
#[derive(Debug)]
pub enum KeySource {
    /// In this file, beside the table unless the path is absolute.
    File(String),
    /// In the table.
    Here(PrivateKey),
}

impl KeySource {
    /// Told apart as opendkim.conf(5) says. What is no key is never repeated in a complaint: it may be a damaged one.
    fn parse(text: &str) -> Result<Self, BadLine> {
        if conf::is_path(text) {
            return Ok(Self::File(text.to_owned()));
        }
        PrivateKey::from_base64(text).map(Self::Here).map_err(BadLine::PrivateKey)
    }
}

/// Reads a KeyTable (opendkim.conf(5)).
pub fn key_table(text: &str) -> Result<Vec<KeyEntry>, Vec<Complaint>> {
    table(text, |line| {
        let (name, value) = pair(line)?;
        let mut parts = value.splitn(3, ':').map(str::trim);
        let (Some(domain), Some(selector), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadLine::NotAKey);
        };
        let domain = match domain {
            "%" => None,
            domain => Some(Domain::parse(domain).map_err(|_| BadLine::Domain)?),
        };
        let selector = Selector::parse(selector).ok_or(BadLine::Selector)?;
        if key.is_empty() {
            return Err(BadLine::NotAKey);
        }
        Ok(KeyEntry { name: name.to_owned(), domain, selector, key: KeySource::parse(key)? })
    })
}

/// How the lines of a SigningTable are meant; opendkim.conf says it with the prefix `refile:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Without prefix, or `file:`: the first of address, domain, parent domains that is there.
    Plain,
    /// `refile:`: the patterns with `*` that match, in order.
    Wildcards,
}

/// A SigningTable: which author's mail is signed with which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningTable {
    matching: Matching,
    /// Patterns in lower case with the name of a key.
    entries: Vec<(String, String)>,
}

impl SigningTable {
    /// Reads the lines `pattern key` (opendkim.conf(5)).
    pub fn parse(text: &str, matching: Matching) -> Result<Self, Vec<Complaint>> {
        let entries = table(text, |line| {
            let (pattern, key) = pair(line)?;
            let anyone = matching == Matching::Wildcards || pattern == "*" || pattern.ends_with("@*");
            if pattern.contains(char::is_control) || (pattern.contains('*') && !anyone) {
                return Err(BadLine::Pattern);
            }
            // A third column names the signer (`i=`); we sign without one.
            let key = key.split_whitespace().next().unwrap_or(key);
            Ok((pattern.to_lowercase(), key.to_owned()))
        })?;
        Ok(Self { matching, entries })
    }

    /// Each pattern with the name of its key, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(pattern, key)| (pattern.as_str(), key.as_str()))
    }

    /// The names of the keys for mail of this author, without case: the first that matches, or with `every` (as
    /// `MultipleSignatures` says) all of the same pattern (plain) or all that match (wildcards).
    pub fn keys(&self, author: &str, every: bool) -> Vec<&str> {
        let author = author.to_lowercase();
        let found: Vec<&str> = match self.matching {
            Matching::Plain => self.plain(&author),
            Matching::Wildcards => {
                let matching = self.entries.iter().filter(|(pattern, _)| wildcard(pattern, &author));
                matching.map(|(_, key)| key.as_str()).collect()
            }
        };
        if every { found } else { found.into_iter().take(1).collect() }
    }

    /// `user@host`, `host`, `user@.parent`, `.parent` and so on up, `user@*`, `*`: each with the keys it has.
    fn plain(&self, author: &str) -> Vec<&str> {
        let Some((user, host)) = author.rsplit_once('@') else { return Vec::new() };
        let parents = host.match_indices('.').map(|(at, _)| &host[at..]);
        let below = parents.flat_map(|parent| [format!("{user}@{parent}"), parent.to_owned()]);
        let exact = [author.to_owned(), host.to_owned()];
        let mut candidates = exact.into_iter().chain(below).chain([format!("{user}@*"), "*".to_owned()]);
        let keys = |candidate: String| -> Vec<&str> {
            let matching = self.entries.iter().filter(|(pattern, _)| *pattern == candidate);
            matching.map(|(_, key)| key.as_str()).collect()
        };
        candidates
            .find_map(|candidate| Some(keys(candidate)).filter(|keys| !keys.is_empty()))
            .unwrap_or_default()
    }
}

/// Whether `*` in the pattern can stand for what the text has there; linear in both, as the greedy way is.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// TrustedHosts, InternalHosts, ExternalIgnoreList: whose mail is signed rather than verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<(bool, Host)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Network(IpAddr, u8),
    /// A name in lower case.
    Name(String),
    /// `.example.org`: every name below it, kept with its dot.
    Below(String),
}

impl Hosts {
    /// Reads one host on each line: an address, `net/bits`, a name, `.parent`; `!` in front takes it out.
    pub fn parse(text: &str) -> Result<Self, Vec<Complaint>> {
        table(text, |line| {
            let (listed, entry) = line.strip_prefix('!').map_or((true, line), |rest| (false, rest.trim()));
            Ok((listed, Host::parse(entry).ok_or(BadLine::Host)?))
        })
        .map(Self)
    }

    /// Whether a client is on the list by its name or by its address. In each the most exact entry decides, and
    /// `!` among equals, in the order in which OpenDKIM asks (`dkimf_checkhost`, `dkimf_checkip`).
    ///
    /// `name` must be confirmed: anybody can claim one in the reverse zone of his addresses.
    pub fn contains(&self, address: IpAddr, name: Option<&str>) -> bool {
        let address = address.to_canonical();
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        self.decide(|host| host.is_name(name.as_deref()?)) || self.decide(|host| host.is_address(address))
    }

    fn decide(&self, rank: impl Fn(&Host) -> Option<usize>) -> bool {
        let matching = self.0.iter().filter_map(|(listed, host)| Some((rank(host)?, !*listed)));
        matching.max().is_some_and(|(_, refused)| !refused)
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = unbracketed(address).parse().ok()?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= width)?;
            return Some(Self::Network(address, bits));
        }
        if let Ok(address) = unbracketed(text).parse::<IpAddr>() {
            return Some(Self::Network(address, if address.is_ipv4() { 32 } else { 128 }));
        }
        let (below, name) = text.strip_prefix('.').map_or((false, text), |name| (true, name));
        let domain = Domain::parse(name).ok()?;
        Some(if below { Self::Below(format!(".{domain}")) } else { Self::Name(domain.to_string()) })
    }

    /// How much of the name the entry knows.
    fn is_name(&self, name: &str) -> Option<usize> {
        match self {
            Self::Name(own) => (name == own).then_some(usize::MAX),
            Self::Below(parent) => name.ends_with(parent.as_str()).then_some(parent.len()),
            Self::Network(..) => None,
        }
    }

    /// How many bits of the address the entry knows.
    fn is_address(&self, address: IpAddr) -> Option<usize> {
        match self {
            Self::Network(network, bits) => {
                in_network(address, *network, *bits).then_some(usize::from(*bits))
            }
            Self::Name(_) | Self::Below(_) => None,
        }
    }
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

fn in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let spare = width - u32::from(bits);
        spare >= width || (a >> spare) == (b >> spare)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
        _ => false,
    }
}
