//! OpenDKIM's tables, read as they are: KeyTable, SigningTable, and the host lists TrustedHosts and InternalHosts.

mod addresses;
pub mod conf;
mod hosts;

use std::collections::BTreeSet;

use kings_mail::domain::Domain;

pub use self::addresses::Addresses;
pub use self::hosts::Hosts;

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
    #[error(
        "no client is meant by {0:?}, as with OpenDKIM: write an address, a network such as 10.2.0.0/16, a host name or .domain"
    )]
    Host(String),
    /// A network as OpenDKIM never asks for it.
    #[error("no client is meant by {0:?}, as with OpenDKIM: write {1}")]
    Network(String, String),
    /// `*.example.org` where patterns are none.
    #[error("no client is meant by {0:?}, as with OpenDKIM: write .{1} for the names below {1}")]
    Wildcard(String, Domain),
    /// It stands for the networks that OpenDKIM asks about and for its own opposite as well.
    #[error(
        "{0:?} means others than it seems to, as with OpenDKIM: write networks such as 10.2.0.0/16 and .domain"
    )]
    HostPattern(String),
    /// A name of a KeyTable with `*`.
    #[error("patterns as the names of keys are not read: name each key")]
    KeyPattern,
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
    /// In a file of the author's domain, which stands for each `%`.
    FileOfAuthor(String),
    /// In the table.
    Here(PrivateKey),
}

impl KeySource {
    /// Told apart as opendkim.conf(5) says. What is no key is never repeated in a complaint: it may be a damaged one.
    fn parse(text: &str) -> Result<Self, BadLine> {
        if conf::is_path(text) {
            let kind = if text.contains('%') { Self::FileOfAuthor } else { Self::File };
            return Ok(kind(text.to_owned()));
        }
        PrivateKey::from_base64(text).map(Self::Here).map_err(BadLine::PrivateKey)
    }
}

/// Reads a KeyTable (opendkim.conf(5)).
pub fn key_table(text: &str) -> Result<Vec<KeyEntry>, Vec<Complaint>> {
    table(text, |line| {
        let (name, value) = pair(line)?;
        if name.contains('*') {
            return Err(BadLine::KeyPattern);
        }
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
    entries: Vec<SigningEntry>,
}

/// One line of a SigningTable: `pattern key` or `pattern key:identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningEntry {
    /// In lower case.
    pub pattern: String,
    /// What the KeyTable calls the key; `%` stands for the domain of the author.
    pub key: String,
    /// `i=`, in which `%` stands for the domain of the author.
    pub identity: Option<String>,
}

impl SigningTable {
    /// Reads the lines `pattern key` (opendkim.conf(5)). Of equal patterns without wildcards the first counts.
    pub fn parse(text: &str, matching: Matching) -> Result<Self, Vec<Complaint>> {
        let mut entries: Vec<SigningEntry> = table(text, |line| {
            let (pattern, value) = pair(line)?;
            let anyone = matching == Matching::Wildcards || pattern == "*" || pattern.ends_with("@*");
            if pattern.contains(char::is_control) || (pattern.contains('*') && !anyone) {
                return Err(BadLine::Pattern);
            }
            let (key, identity) = value.split_once(':').map_or((value, ""), |(key, rest)| (key, rest.trim()));
            let identity = (!identity.is_empty()).then(|| identity.to_owned());
            Ok(SigningEntry { pattern: pattern.to_lowercase(), key: key.trim().to_owned(), identity })
        })?;
        if matching == Matching::Plain {
            let mut seen = BTreeSet::new();
            entries.retain(|entry| seen.insert(entry.pattern.clone()));
        }
        Ok(Self { matching, entries })
    }

    /// All lines that count, in the order of the file.
    pub fn entries(&self) -> &[SigningEntry] {
        &self.entries
    }

    /// The lines for mail of this author, without case: the first that matches, or all with `every`, as
    /// `MultipleSignatures` says.
    pub fn keys(&self, author: &str, every: bool) -> Vec<&SigningEntry> {
        let author = author.to_lowercase();
        let found: Vec<&SigningEntry> = match self.matching {
            Matching::Plain => self.plain(&author),
            Matching::Wildcards => {
                self.entries.iter().filter(|entry| wildcard(&entry.pattern, &author)).collect()
            }
        };
        if every { found } else { found.into_iter().take(1).collect() }
    }

    /// `user@host`, `host`, `user@.parent`, `.parent` and so on up, `user@*`, `*`.
    fn plain(&self, author: &str) -> Vec<&SigningEntry> {
        let Some((user, host)) = author.rsplit_once('@') else { return Vec::new() };
        let parents = host.match_indices('.').map(|(at, _)| &host[at..]);
        let below = parents.flat_map(|parent| [format!("{user}@{parent}"), parent.to_owned()]);
        let exact = [author.to_owned(), host.to_owned()];
        let candidates = exact.into_iter().chain(below).chain([format!("{user}@*"), "*".to_owned()]);
        candidates
            .filter_map(|candidate| self.entries.iter().find(|entry| entry.pattern == candidate))
            .collect()
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
