//! One lookup for everything that is found by an address: in the order of its tables, with the keys that Postfix tries.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use tracing::{debug, error, info, warn};

use crate::aliases;
use crate::directory::{DirectoryError, Unavailable};
use crate::passwd_file::BadLine;
use crate::reading::{LookClock, Reader, Watched, have_changed, marked_anew};
use crate::table::{Answers, Stop, Table, TableSource, answered};

/// Which keys an address has, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The address, the address without its tag, `@domain` (canonical(5), and most others); `<>` for no address.
    Address,
    /// The address, the address without its tag, `domain`, `.domain` of each domain above it, `*` (transport(5)).
    Transport,
    /// The address, the address without its tag, its domain and those above it, `name@`; `<>` for no address. For what is
    /// no address see [`Sought::host`] and [`Sought::client`] (access(5)).
    Access,
}

/// How far a key is from naming the very address; the order is that of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// It names the address.
    Address,
    /// It names the address that stands before the tag.
    Untagged,
    /// It names the domain, or nobody.
    Domain,
    /// It names a domain so many labels above.
    Below(usize),
    /// It names everybody.
    All,
}

/// What a key stands for.
pub trait Meaning: FromStr<Err = String> + Clone {
    /// Whether a pattern may put parts of the address into it. Postfix's trivial-rewrite(8) does not let it: whoever writes
    /// an address would choose where mail goes.
    const MAY_BE_FILLED: bool = true;
    /// Whether a line of a file means nothing with only a key on it: then it is passed over, as by postmap(1), with a
    /// warning ("expected format: key whitespace value").
    const NEEDS_VALUE: bool = false;
}

/// An address that something is looked up for.
pub struct Sought {
    /// As it came: patterns see it whole.
    whole: String,
    /// What all other tables are asked for, the nearest first.
    keys: Vec<(Nearness, String)>,
}

impl Sought {
    /// A name of a host: the name, and the domains above it, each as `domain` and `.domain`.
    pub fn host(name: &str) -> Self {
        let whole = name.to_ascii_lowercase();
        let keys = match Domain::parse(&whole) {
            Ok(domain) => with_domains_above(&domain),
            Err(_) => vec![whole.clone()],
        };
        Self { whole, keys: keys.into_iter().map(|key| (Nearness::Address, key)).collect() }
    }

    /// The address of a host, and the networks that it begins with: `192.0.2.1`, `192.0.2`, `192.0`, `192`.
    pub fn client(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let whole = address.to_string();
        let gap = if address.is_ipv4() { '.' } else { ':' };
        let mut keys = vec![whole.clone()];
        let mut rest = whole.as_str();
        while let Some((shorter, _)) = rest.rsplit_once(gap) {
            rest = shorter.trim_end_matches(gap);
            keys.push(rest.to_owned());
        }
        Self { whole, keys: keys.into_iter().map(|key| (Nearness::Address, key)).collect() }
    }
}

/// `parent_domain_matches_subdomains` has `smtpd_access_maps` in it, as with Postfix.
fn with_domains_above(domain: &Domain) -> Vec<String> {
    let keys = |(above, domain): (usize, Domain)| {
        let exact = Some(domain.to_string());
        let below = (above > 0).then(|| format!(".{domain}"));
        [below, exact].into_iter().flatten()
    };
    domain.with_parents().enumerate().flat_map(keys).collect()
}

impl Keys {
    /// What is asked for this address, or for none.
    pub fn of(self, address: Option<&Address>, delimiters: &str) -> Sought {
        let Some(address) = address else {
            return Sought { whole: "<>".to_owned(), keys: vec![(Nearness::Domain, "<>".to_owned())] };
        };
        let folded = address.folded();
        let base = folded.without_tag(delimiters);
        let mut keys = vec![(Nearness::Address, folded.to_string())];
        keys.extend(base.map(|base| (Nearness::Untagged, base.to_string())));
        match (self, folded.domain()) {
            (Self::Address, Some(domain)) => keys.push((Nearness::Domain, format!("@{domain}"))),
            (Self::Address, None) => {}
            (Self::Access, domain) => {
                let domains = domain.map(with_domains_above).unwrap_or_default();
                keys.extend(domains.into_iter().map(|key| (Nearness::Domain, key)));
                keys.push((Nearness::Domain, format!("{}@", folded.local_part)));
            }
            (Self::Transport, domain) => {
                for (above, domain) in domain.into_iter().flat_map(Domain::with_parents).enumerate() {
                    keys.push(match above {
                        0 => (Nearness::Domain, domain.to_string()),
                        _ => (Nearness::Below(above), format!(".{domain}")),
                    });
                }
                keys.push((Nearness::All, "*".to_owned()));
            }
        }
        Sought { whole: address.to_string(), keys }
    }

    /// The key as it is compared.
    fn read(self, word: &str) -> Result<String, String> {
        let domain = |text: &str| Domain::parse(text).ok();
        let found = match self {
            Self::Access if word == "<>" => Some(word.to_owned()),
            Self::Access if word.ends_with('@') => Address::parse(&format!("{word}a.example"))
                .ok()
                .map(|some| format!("{}@", some.folded().local_part)),
            Self::Access if is_network(word) => Some(word.to_ascii_lowercase()),
            _ if word.contains('@') && !word.starts_with('@') => {
                Address::parse(word).ok().map(|address| address.folded().to_string())
            }
            Self::Address if word == "<>" => Some(word.to_owned()),
            Self::Address => word.strip_prefix('@').and_then(domain).map(|domain| format!("@{domain}")),
            Self::Transport if word == "*" => Some(word.to_owned()),
            Self::Transport | Self::Access => match word.strip_prefix('.') {
                Some(rest) => domain(rest).map(|domain| format!(".{domain}")),
                None => domain(word).map(|domain| domain.to_string()),
            },
        };
        found.ok_or_else(|| match self {
            Self::Address => format!("\"{word}\" is neither an address nor @domain"),
            Self::Transport => format!("\"{word}\" is no address, domain, .domain or *"),
            Self::Access => {
                format!("\"{word}\" is no address, name@, domain, host address or beginning of one")
            }
        })
    }
}

/// One reading of the tables of a lookup.
#[derive(Clone, Debug)]
pub(crate) struct Lines<T>(Vec<Table<Entries<T>>>);

/// The lines of one file.
#[derive(Clone, Debug)]
pub(crate) struct Entries<T> {
    by_key: HashMap<String, T>,
    /// Lines that say nothing, by their numbers.
    passed_over: Vec<usize>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Meaning> Lines<T> {
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        what: &'static str,
        keys: Keys,
        from: &[TableSource],
    ) -> Self {
        let plain = |text: &str| entries(keys, text);
        let check = |text: &str| T::from_str(text).map(drop);
        let table = |source| {
            let table = reader.table(what, source, plain, check);
            if let (false, Table::Regexp(rules), TableSource::Regexp(path)) =
                (T::MAY_BE_FILLED, &table, source)
            {
                let filled = rules.results().filter(|(_, found)| found.substituted);
                let what = "a part of the address must not choose where mail goes: no $1 here";
                let bad = filled.map(|(line, _)| BadLine { line, what: what.to_owned() });
                reader.complain(path, bad.collect());
            }
            table
        };
        Self(from.iter().map(table).collect())
    }

    /// One table of these lines.
    #[cfg(test)]
    pub(crate) fn of(keys: Keys, text: &str) -> Self {
        let (entries, faults) = entries(keys, text);
        assert!(faults.is_empty(), "{faults:?}");
        Self(vec![Table::Plain(entries)])
    }

    /// What the tables say, however near the key.
    pub(crate) fn look(&self, sought: &Sought, answers: &Answers) -> Result<Option<T>, Stop> {
        Ok(self.nearest(sought, answers)?.map(|(_, found)| found))
    }

    /// What the first table says of the nearest key that any of them knows, as Postfix has it.
    fn nearest(&self, sought: &Sought, answers: &Answers) -> Result<Option<(Nearness, T)>, Stop> {
        for (at, (nearness, key)) in sought.keys.iter().enumerate() {
            for table in &self.0 {
                let found = match table {
                    Table::Plain(entries) => entries.by_key.get(key).cloned(),
                    Table::Regexp(table) if at == 0 => match table.find(&sought.whole) {
                        // What a stranger puts into quotes must not choose what a rule gives.
                        Some(found) if found.substituted && sought.whole.starts_with('"') => None,
                        // No table with such a rule is taken into use.
                        Some(found) if found.substituted && !T::MAY_BE_FILLED => {
                            return Err(Stop::Unavailable);
                        }
                        Some(found) => Some(meant(key, &found.text)?),
                        None => None,
                    },
                    Table::Cidr(table) if at == 0 => match table.find(&sought.whole) {
                        Some(text) => Some(meant(key, text)?),
                        None => None,
                    },
                    Table::Regexp(_) | Table::Cidr(_) => None,
                    Table::Socketmap(socketmap) => match answers.of(socketmap, key)? {
                        Some(text) => Some(meant(key, &text)?),
                        None => None,
                    },
                };
                if let Some(found) = found {
                    return Ok(Some((*nearness, found)));
                }
            }
        }
        Ok(None)
    }

    /// The keys that files name.
    fn keys(&self) -> Vec<String> {
        let of_table = |table: &Table<Entries<T>>| match table {
            Table::Plain(entries) => entries.by_key.keys().cloned().collect(),
            Table::Regexp(_) | Table::Cidr(_) | Table::Socketmap(_) => Vec::new(),
        };
        self.0.iter().flat_map(of_table).collect()
    }

    /// What files and fixed patterns can give.
    fn values(&self) -> Vec<T> {
        let of_table = |table: &Table<Entries<T>>| match table {
            Table::Plain(entries) => entries.by_key.values().cloned().collect(),
            Table::Regexp(table) => {
                let fixed = table.results().filter(|(_, found)| !found.substituted);
                fixed.filter_map(|(_, found)| T::from_str(&found.text).ok()).collect()
            }
            Table::Cidr(table) => table.results().filter_map(|(_, text)| T::from_str(text).ok()).collect(),
            Table::Socketmap(_) => Vec::new(),
        };
        self.0.iter().flat_map(of_table).collect()
    }

    /// The lines that say nothing; `from` are the sources that were read.
    fn passed_over(&self, from: &[TableSource]) -> Vec<String> {
        let mut told = Vec::new();
        for (table, source) in self.0.iter().zip(from) {
            let Table::Plain(Entries { passed_over, .. }) = table else { continue };
            let told_of = |line| {
                format!(
                    "{}: nothing stands to the right of the key, so the line is passed over",
                    source.at(line)
                )
            };
            told.extend(passed_over.iter().map(|&line| told_of(line)));
        }
        told
    }

    /// The rule that decides about this address, where that is a pattern, and one that does not fit every address.
    fn pattern_of(&self, from: &[TableSource], address: &str) -> Option<String> {
        self.0.iter().zip(from).find_map(|(table, source)| {
            let Table::Regexp(table) = table else { return None };
            let line = table.line_of(address)?;
            (table.line_of(ANYBODY) != Some(line)).then(|| source.at(line))
        })
    }
}

/// A host address, or the beginning of one at a dot or colon.
fn is_network(word: &str) -> bool {
    let octets = word.split('.').all(|part| part.parse::<u8>().is_ok_and(|octet| octet.to_string() == part));
    let groups = word.contains(':') && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    octets || groups
}

/// Whoever is found by a pattern for this address is found by one for all.
const ANYBODY: &str = "anybody@anywhere.invalid";

/// A result that makes no sense is a fault of ours: nobody's mail is refused for it.
fn meant<T: Meaning>(key: &str, text: &str) -> Result<T, Stop> {
    T::from_str(text).map_err(|what| {
        error!(key, what, "a table gives what cannot be used");
        Stop::Unavailable
    })
}

/// Of two lines with one key the first counts, as with Postfix.
fn entries<T: Meaning>(keys: Keys, text: &str) -> (Entries<T>, Vec<BadLine>) {
    let (mut entries, mut faults, mut passed_over) = (HashMap::new(), Vec::new(), Vec::new());
    for (line, rule) in aliases::rules(text) {
        let (word, value) = aliases::key_and_value(&rule);
        if T::NEEDS_VALUE && value.is_empty() {
            passed_over.push(line);
            continue;
        }
        match keys.read(word).and_then(|key| Ok((key, T::from_str(value)?))) {
            Ok((key, value)) => _ = entries.entry(key).or_insert(value),
            Err(what) => faults.push(BadLine { line, what }),
        }
    }
    (Entries { by_key: entries, passed_over }, faults)
}

/// Tables that are read again when their files change. Clones share one state; the default knows nothing.
#[derive(Debug)]
pub struct Lookup<T>(Option<Arc<Inner<T>>>);

struct Inner<T> {
    what: &'static str,
    keys: Keys,
    from: Vec<TableSource>,
    reading: ArcSwap<Reading<T>>,
    clock: LookClock,
}

struct Reading<T> {
    lines: Lines<T>,
    watched: Vec<Watched>,
}

impl<T> Clone for Lookup<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Lookup<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> fmt::Debug for Inner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("what", &self.what).field("from", &self.from).finish_non_exhaustive()
    }
}

impl<T: Meaning> Lookup<T> {
    /// Reads the tables; gives also what is wrong with them.
    pub fn open(what: &'static str, keys: Keys, from: Vec<TableSource>) -> (Self, Vec<DirectoryError>) {
        if from.is_empty() {
            return (Self::default(), Vec::new());
        }
        let (reading, faults) = Reading::read(what, keys, &from, &[]);
        let reading = ArcSwap::from_pointee(reading);
        (Self(Some(Arc::new(Inner { what, keys, from, reading, clock: LookClock::default() }))), faults)
    }

    /// Whether there are no tables at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What the tables say, as far as `answers` of other programs go.
    pub fn look(
        &self,
        address: Option<&Address>,
        delimiters: &str,
        answers: &Answers,
    ) -> Result<Option<T>, Stop> {
        Ok(self.nearest(address, delimiters, answers)?.map(|(_, found)| found))
    }

    /// The same, and how near the key was that it stands for.
    pub fn nearest(
        &self,
        address: Option<&Address>,
        delimiters: &str,
        answers: &Answers,
    ) -> Result<Option<(Nearness, T)>, Stop> {
        let Some(inner) = &self.0 else { return Ok(None) };
        inner.present().lines.nearest(&inner.keys.of(address, delimiters), answers)
    }

    /// What the tables say of this address, or of none.
    pub async fn find(&self, address: Option<&Address>, delimiters: &str) -> Result<Option<T>, Unavailable> {
        if self.is_empty() {
            return Ok(None);
        }
        answered(|answers| self.look(address, delimiters, answers)).await
    }

    /// What the tables say of something that is no address.
    pub async fn find_for(&self, sought: &Sought) -> Result<Option<T>, Unavailable> {
        let Some(inner) = &self.0 else { return Ok(None) };
        answered(|answers| inner.present().lines.look(sought, answers)).await
    }

    /// The keys that files name.
    pub fn keys(&self) -> Vec<String> {
        self.0.as_ref().map(|inner| inner.present().lines.keys()).unwrap_or_default()
    }

    /// A sentence about each line of a file that says nothing.
    pub fn passed_over(&self) -> Vec<String> {
        let told = |inner: &Arc<Inner<T>>| inner.present().lines.passed_over(&inner.from);
        self.0.as_ref().map(told).unwrap_or_default()
    }

    /// Where the rule stands that decides about this address, if that is a pattern, and not one for everybody.
    pub fn pattern_of(&self, address: &Address) -> Option<String> {
        let inner = self.0.as_ref()?;
        inner.present().lines.pattern_of(&inner.from, &address.to_string())
    }

    /// What files and fixed patterns can give.
    pub fn values(&self) -> Vec<T> {
        self.0.as_ref().map(|inner| inner.present().lines.values()).unwrap_or_default()
    }
}

impl<T: Meaning> Inner<T> {
    /// The reading that holds. Tables that make no sense any more are told once, and stay as they were.
    fn present(&self) -> Arc<Reading<T>> {
        if self.clock.is_due() && have_changed(&self.reading.load().watched) {
            self.read_again();
        }
        self.reading.load_full()
    }

    fn read_again(&self) {
        let old = self.reading.load_full();
        let (reading, faults) = Reading::read(self.what, self.keys, &self.from, &old.watched);
        match DirectoryError::of(faults) {
            None => {
                info!(table = self.what, "read again");
                for what in reading.lines.passed_over(&self.from) {
                    warn!(table = self.what, what, "a table says less than it has lines");
                }
                self.reading.store(Arc::new(reading));
            }
            Some(error @ DirectoryError::Unfinished { .. }) => debug!(%error, "looking again"),
            Some(error) => {
                error!(%error, "{} stays as it was", self.what);
                let watched = marked_anew(&old.watched);
                self.reading.store(Arc::new(Reading { lines: old.lines.clone(), watched }));
            }
        }
    }
}

impl<T: Meaning> Reading<T> {
    fn read(
        what: &'static str,
        keys: Keys,
        from: &[TableSource],
        old: &[Watched],
    ) -> (Self, Vec<DirectoryError>) {
        let mut reader = Reader::new(old);
        let lines = Lines::read(&mut reader, what, keys, from);
        let (watched, faults) = reader.done();
        (Self { lines, watched }, faults)
    }
}

#[cfg(test)]
mod tests;
