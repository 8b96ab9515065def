//! `[dkim]`: where keys to sign with are, beside those that `kings dkim` keeps.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kings_msgauth::dkim::opendkim::Matching;
use kings_msgauth::dkim::opendkim::conf::DataSet;
use kings_queue::Lifetimes;

use super::queue::{duration, written};
use super::reader::{Section, Source};

/// OpenDKIM's files, read as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dkim {
    /// `KeyTable` and `SigningTable`; one makes no sense without the other.
    pub(crate) tables: Option<Tables>,
    /// `InternalHosts`: whose mail is signed, and not verified.
    pub(crate) trusted_hosts: Option<Table>,
    /// After which signatures expire; `None` for never.
    pub(crate) signature_lifetime: Option<Duration>,
}

impl Dkim {
    /// A message is signed when it comes and may wait before it leaves: at the wish of its sender (`longest_hold`), and for
    /// servers that do not answer. What expires on the way would fail at its receiver. Bounces are signed as well, but
    /// nobody holds them.
    pub(super) fn check(&self, source: &mut Source<'_>, longest_hold: Duration, lifetimes: Lifetimes) {
        let in_queue = lifetimes.mail.max(lifetimes.bounces.saturating_sub(longest_hold));
        let longest_wait = longest_hold.saturating_add(in_queue);
        let Some(lifetime) = self.signature_lifetime.filter(|lifetime| *lifetime <= longest_wait) else {
            return;
        };
        source.complain(format!(
            "[dkim] signature_lifetime: signatures of {} expire before mail that waits {longest} here has left, {} by \
             [submission] future_release_days and {} in the queue: make it longer than \"{longest}\"",
            written(lifetime),
            written(longest_hold),
            written(in_queue),
            longest = written(longest_wait),
        ));
    }
}

/// Which author's mail gets which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) key_table: Table,
    pub(crate) signing_table: Table,
    /// `MultipleSignatures`
    pub(crate) every: bool,
    /// Whether to warn of key files that others may read (`RequireSafeKeys`).
    pub(crate) safe: bool,
}

/// A data set of OpenDKIM's: where its entries are, and how they are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) place: TablePlace,
    pub(crate) matching: Matching,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TablePlace {
    /// One on each line of a file.
    File(PathBuf),
    /// Here, as lines of such a file.
    Here(String),
}

impl Table {
    /// A table as a config names it, with its kind in front (opendkim(8), "DATA SETS"). What has no kind is a file.
    pub(super) fn read(folder: &Path, value: &str) -> Result<Self, String> {
        let place = match DataSet::parse(value) {
            DataSet::File(path) => TablePlace::File(folder.join(path)),
            DataSet::List(_) if !value.starts_with("csl:") => TablePlace::File(folder.join(value)),
            DataSet::List(list) => {
                let entry = |entry: &str| format!("{}\n", entry.trim().replacen('=', " ", 1));
                TablePlace::Here(list.split(',').map(entry).collect())
            }
            DataSet::Database(kind) => {
                return Err(format!("{kind} is not read: write file:, refile: or csl:"));
            }
        };
        let matching = if value.starts_with("refile:") { Matching::Wildcards } else { Matching::Plain };
        Ok(Self { place, matching })
    }

    /// Where paths in it begin.
    pub(crate) fn folder(&self) -> &Path {
        match &self.place {
            TablePlace::File(path) => path.parent().unwrap_or(Path::new("/")),
            TablePlace::Here(_) => Path::new("/"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            TablePlace::File(path) => path.display().fmt(f),
            TablePlace::Here(_) => f.write_str("csl:"),
        }
    }
}

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Dkim {
    let folder = source.folder.to_owned();
    let mut table = |key: &'static str| {
        let text = section.text(source, key)?;
        let table = Table::read(&folder, &text);
        table.map_err(|error| source.complain(format!("[dkim] {key}: {error}"))).ok()
    };
    let (key_table, signing_table) = (table("key_table"), table("signing_table"));
    let trusted_hosts = table("trusted_hosts");
    let every = section.flag(source, "multiple_signatures").unwrap_or(false);
    let lifetime = |text: &str| duration(text).ok_or("another text");
    let signature_lifetime = section.parsed(source, "signature_lifetime", "a time such as \"60d\"", lifetime);
    let tables = match (key_table, signing_table) {
        (Some(key_table), Some(signing_table)) => {
            Some(Tables { key_table, signing_table, every, safe: true })
        }
        (None, None) => None,
        (Some(_), None) => {
            source.complain("[dkim] has a key_table and no signing_table: add signing_table = \"refile:/etc/opendkim/SigningTable\"");
            None
        }
        (None, Some(_)) => {
            source.complain(
                "[dkim] has a signing_table and no key_table: add key_table = \"/etc/opendkim/KeyTable\"",
            );
            None
        }
    };
    Dkim { tables, trusted_hosts, signature_lifetime }
}
