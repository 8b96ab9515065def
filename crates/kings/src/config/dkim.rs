//! `[dkim]`: where keys to sign with are, beside those that `kings dkim` keeps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kings_msgauth::dkim::opendkim::Matching;
use kings_queue::Lifetimes;

use super::queue::duration;
use super::reader::{Section, Source};

/// OpenDKIM's files, read as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dkim {
    /// `KeyTable` and `SigningTable`; one makes no sense without the other.
    pub(crate) tables: Option<Tables>,
    /// `InternalHosts`: whose mail is signed, and not verified.
    pub(crate) trusted_hosts: Option<PathBuf>,
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
        let days = |time: Duration| time.as_secs().div_ceil(24 * 60 * 60);
        source.complain(format!(
            "[dkim] signature_lifetime: signatures of {} days expire before mail that waits {} days here has left, {} by \
             [submission] future_release_days and {} in the queue: make it longer",
            days(lifetime),
            days(longest_wait),
            days(longest_hold),
            days(in_queue),
        ));
    }
}

/// Which author's mail gets which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) key_table: PathBuf,
    pub(crate) signing_table: PathBuf,
    pub(crate) matching: Matching,
    /// `MultipleSignatures`
    pub(crate) every: bool,
}

impl Tables {
    /// The tables as a config names them, with the kind of each in front where it is said.
    pub(super) fn read(folder: &Path, key_table: &str, signing_table: &str, every: bool) -> Self {
        let wildcards = signing_table.strip_prefix("refile:");
        Self {
            key_table: folder.join(plain(key_table)),
            signing_table: folder.join(wildcards.unwrap_or_else(|| plain(signing_table))),
            matching: if wildcards.is_some() { Matching::Wildcards } else { Matching::Plain },
            every,
        }
    }
}

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Dkim {
    let folder = source.folder.to_owned();
    let key_table = section.text(source, "key_table");
    let signing_table = section.text(source, "signing_table");
    let every = section.flag(source, "multiple_signatures").unwrap_or(false);
    let trusted_hosts = section.text(source, "trusted_hosts").map(|text| folder.join(plain(&text)));
    let lifetime = |text: &str| duration(text).ok_or("another text");
    let signature_lifetime = section.parsed(source, "signature_lifetime", "a time such as \"60d\"", lifetime);
    let tables = match (key_table, signing_table) {
        (Some(key_table), Some(signing_table)) => {
            Some(Tables::read(&folder, &key_table, &signing_table, every))
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

/// OpenDKIM lets the kind of a plain file be said.
fn plain(text: &str) -> &str {
    text.strip_prefix("file:").or_else(|| text.strip_prefix("refile:")).unwrap_or(text)
}
