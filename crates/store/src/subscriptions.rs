//! The account's `subscriptions` file, in either of Dovecot's two forms.
//!
//! Version 2 starts with `V\t2` and an empty line and has tabs between the levels; Dovecot 2.3 writes it
//! for new accounts. Older files are one name a line with dots, or slashes where the layout has them. A file keeps the form
//! it has, and its lines, known or not, keep their order.

use std::io::Read;

use kings_mail::utf7;

use crate::dir::found;
use crate::dotlock::{DotLock, SUBSCRIPTIONS};
use crate::error::StoreError;
use crate::mailbox_layout::MailboxLayout;
use crate::name::MailboxName;
use crate::tree::Tree;

pub(crate) const NAME: &str = "subscriptions";
const HEADER: &[u8] = b"V\t2\n\n";
/// Far beyond 10,000 mailboxes with long names.
const MAX_OCTETS: u64 = 16 * 1024 * 1024;

/// The subscribed names, whether or not the mailboxes exist.
pub(crate) fn read(tree: &Tree) -> Result<Vec<MailboxName>, StoreError> {
    Ok(File::read(tree)?.names())
}

/// Adds `add` and takes `remove` away, durably. Nothing is written when nothing changes.
pub(crate) fn change(tree: &Tree, add: &[MailboxName], remove: &[MailboxName]) -> Result<(), StoreError> {
    let lock = DotLock::acquire_empty(tree.dir(), NAME, SUBSCRIPTIONS)?;
    let before = File::read(tree)?;
    let mut after = before.clone();
    for name in remove {
        let line = after.line(name);
        after.lines.retain(|known| *known != line);
    }
    for name in add {
        let line = after.line(name);
        if !after.lines.contains(&line) {
            after.lines.push(line);
        }
    }
    if after == before { Ok(()) } else { lock.replace(&after.to_bytes()) }
}

/// The subscribed names of mailboxes of others: `shared/joe@example.org/Lists`, levels parted by slashes.
pub(crate) fn read_others(tree: &Tree) -> Result<Vec<String>, StoreError> {
    Ok(File::read(tree)?.others())
}

/// Adds such a name or takes it away, durably.
pub(crate) fn change_other(tree: &Tree, name: &str, subscribes: bool) -> Result<(), StoreError> {
    let lock = DotLock::acquire_empty(tree.dir(), NAME, SUBSCRIPTIONS)?;
    let before = File::read(tree)?;
    let mut after = before.clone();
    let line = after.other_line(name);
    after.lines.retain(|known| *known != line);
    if subscribes {
        after.lines.push(line);
    }
    if after == before { Ok(()) } else { lock.replace(&after.to_bytes()) }
}

/// What the file says, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    layout: MailboxLayout,
    tabs: bool,
    lines: Vec<Vec<u8>>,
}

impl File {
    fn read(tree: &Tree) -> Result<Self, StoreError> {
        let Some(file) = found(tree.dir().open_file(NAME))? else {
            return Ok(Self::parse(HEADER, tree.layout()));
        };
        let mut bytes = Vec::new();
        file.take(MAX_OCTETS).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes, tree.layout()))
    }

    pub(crate) fn parse(bytes: &[u8], layout: MailboxLayout) -> Self {
        let (tabs, rest) = bytes.strip_prefix(HEADER).map_or((false, bytes), |rest| (true, rest));
        let lines = rest.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        Self { layout, tabs, lines: lines.map(<[u8]>::to_vec).collect() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let header = if self.tabs { HEADER } else { b"" };
        let mut out = header.to_vec();
        for line in &self.lines {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out
    }

    /// How this file writes `name`. Encoded names hold no tab, so nothing needs Dovecot's tab escapes.
    fn line(&self, name: &MailboxName) -> Vec<u8> {
        let line = if self.tabs { name.encoded().replace('/', "\t") } else { self.layout.joined(name) };
        line.into_bytes()
    }

    /// The same of a mailbox of others, as Dovecot writes it: its levels may hold dots, so slashes part them in the old form.
    fn other_line(&self, name: &str) -> Vec<u8> {
        let parted = if self.tabs { "\t" } else { "/" };
        name.split('/').map(utf7::encode).collect::<Vec<_>>().join(parted).into_bytes()
    }

    /// Whether a line names a mailbox of others: an address stands where no mailbox of ours could have one.
    fn is_other(&self, line: &[u8]) -> bool {
        let parted = if self.tabs { b'\t' } else { b'/' };
        let mut levels = line.split(|octet| *octet == parted);
        levels.next() == Some(b"shared") && levels.next().is_some_and(|owner| owner.contains(&b'@'))
    }

    fn others(&self) -> Vec<String> {
        let parted = if self.tabs { '\t' } else { '/' };
        let name = |line: &Vec<u8>| {
            let line = std::str::from_utf8(line).ok()?;
            let levels: Result<Vec<String>, _> = line.split(parted).map(utf7::decode).collect();
            levels.ok().map(|levels| levels.join("/"))
        };
        self.lines.iter().filter(|line| self.is_other(line)).filter_map(name).collect()
    }

    pub(crate) fn names(&self) -> Vec<MailboxName> {
        let plain = |line: &Vec<u8>| {
            let name = if self.tabs {
                MailboxName::decode(line.split(|&octet| octet == b'\t'))
            } else {
                self.layout.parted(line)
            };
            name.filter(|name| self.layout.can_hold(name))
        };
        self.lines.iter().filter(|line| !self.is_other(line)).filter_map(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dir::Dir;

    fn tree(temp: &tempfile::TempDir) -> Tree {
        Tree::new(Dir::open_root(temp.path()).unwrap(), MailboxLayout::default())
    }

    fn name(text: &str) -> MailboxName {
        MailboxName::parse(text, '.').unwrap()
    }

    #[test]
    fn both_forms_are_read_and_kept() {
        let cases = [
            (None, "V\t2\n\nSent\nA\tB\nGr&APwA3w-e\n"),
            (Some("V\t2\n\nOld\tOne\n"), "V\t2\n\nOld\tOne\nSent\nA\tB\nGr&APwA3w-e\n"),
            (Some("Sent\n~odd/line\n"), "Sent\n~odd/line\nA.B\nGr&APwA3w-e\n"),
            (Some("no end"), "no end\nSent\nA.B\nGr&APwA3w-e\n"),
        ];
        for (before, after) in cases {
            let temp = tempfile::tempdir().unwrap();
            let dir = tree(&temp);
            let path = temp.path().join(NAME);
            if let Some(text) = before {
                std::fs::write(&path, text).unwrap();
            }
            change(&dir, &[name("Sent"), name("A.B"), name("Grüße"), name("Sent")], &[]).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            assert!(read(&dir).unwrap().contains(&name("A.B")));
            change(&dir, &[], &[name("Sent"), name("A.B"), name("Grüße")]).unwrap();
            assert!(!read(&dir).unwrap().contains(&name("Sent")));
        }
    }

    #[test]
    fn names_of_others_stand_beside_our_own_and_are_none_of_them() {
        let other = "shared/joe@example.org/L\u{fc}ck/2026";
        for (before, line) in [
            ("V\t2\n\nSent\n", "shared\tjoe@example.org\tL&APw-ck\t2026\n"),
            ("Sent\n", "shared/joe@example.org/L&APw-ck/2026\n"),
        ] {
            let temp = tempfile::tempdir().unwrap();
            let dir = tree(&temp);
            std::fs::write(temp.path().join(NAME), before).unwrap();
            change_other(&dir, other, true).unwrap();
            change_other(&dir, other, true).unwrap();
            assert_eq!(std::fs::read_to_string(temp.path().join(NAME)).unwrap(), format!("{before}{line}"));
            assert_eq!(read_others(&dir).unwrap(), [other]);
            assert_eq!(read(&dir).unwrap(), [name("Sent")]);
            change_other(&dir, other, false).unwrap();
            assert_eq!(std::fs::read_to_string(temp.path().join(NAME)).unwrap(), before);
        }
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        let temp = tempfile::tempdir().unwrap();
        let dir = tree(&temp);
        change(&dir, &[], &[name("Sent")]).unwrap();
        assert!(!temp.path().join(NAME).exists());
        assert!(!temp.path().join("subscriptions.lock").exists());
    }
}
