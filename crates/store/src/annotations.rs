//! `kings-metadata`: what clients note about a mailbox, or about the account (RFC 5464).
//!
//! A first line with the version, then each entry: a line with its name and the length of its value, and the value on lines of
//! its own. It is written whole, beside the old one, and takes its place.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use kings_mutants::planted;

use crate::account::Account;
use crate::dir::{Dir, found};
use crate::error::StoreError;
use crate::mailbox::Mailbox;
use crate::name::{MailboxName, SpecialUse};
use crate::notices::AccountEvent;
use crate::sync::locked;

/// Values by the names of their entries.
pub type Annotations = BTreeMap<String, Vec<u8>>;

/// Most octets of one value.
pub const MAX_ANNOTATION: usize = 32 * 1024;
/// Most entries of one mailbox, and octets of all their names and values.
const MAX_ENTRIES: usize = 500;
const MAX_OCTETS: usize = 1024 * 1024;

/// Of a mailbox, in its folder.
const NAME: &str = "kings-metadata";
/// Of the account, in its folder, which is that of the inbox.
const ACCOUNT: &str = "kings-metadata-account";
const VERSION: &str = "kings-metadata 1";

impl Mailbox {
    /// What is noted about the mailbox.
    pub fn annotations(&self) -> Result<Annotations, StoreError> {
        let _state = self.0.state()?;
        Ok(read(&self.0.folder.root, NAME)?)
    }

    /// Changes entries, durably, all of them or none; `None` removes one.
    ///
    /// Fails with [`StoreError::TooManyAnnotations`] when there would be too many, or too large ones.
    pub fn annotate(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        let _state = self.0.state()?;
        if changes.is_empty() {
            return Ok(());
        }
        change(&self.0.folder.root, NAME, changes)?;
        self.0.account.hearers.event(&noted(Some(self.name()), changes));
        Ok(())
    }

    /// The same together with what the mailbox is for: all of it or none, but for a crash in between.
    ///
    /// Fails as [`Account::assign`] too.
    pub fn annotate_and_assign(
        &self,
        changes: &[(String, Option<Vec<u8>>)],
        uses: &[SpecialUse],
    ) -> Result<(), StoreError> {
        let before = self.annotations()?;
        self.annotate(changes)?;
        let assigned = Account(Arc::clone(&self.0.account)).assign(&self.name(), uses);
        if assigned.is_err() {
            let as_before = |(name, _): &(String, _)| (name.clone(), before.get(name).cloned());
            self.annotate(&changes.iter().map(as_before).collect::<Vec<_>>())?;
        }
        assigned
    }
}

impl Account {
    /// What is noted about the account.
    pub fn annotations(&self) -> Result<Annotations, StoreError> {
        let _alone = locked(&self.0.assigning);
        Ok(read(self.0.tree.dir(), ACCOUNT)?)
    }

    /// As [`Mailbox::annotate`].
    pub fn annotate(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        let _alone = locked(&self.0.assigning);
        change(self.0.tree.dir(), ACCOUNT, changes)?;
        self.0.hearers.event(&noted(None, changes));
        Ok(())
    }
}

fn noted(mailbox: Option<MailboxName>, changes: &[(String, Option<Vec<u8>>)]) -> AccountEvent {
    AccountEvent::Noted { mailbox, entries: changes.iter().map(|(name, _)| name.clone()).collect() }
}

fn change(folder: &Dir, file: &str, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
    let mut annotations = read(folder, file)?;
    for (name, value) in changes {
        match value {
            Some(value) => annotations.insert(name.clone(), value.clone()),
            None => annotations.remove(name),
        };
    }
    let octets: usize = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    let fits = annotations.values().all(|value| value.len() <= MAX_ANNOTATION);
    if annotations.len() > MAX_ENTRIES || octets > MAX_OCTETS || !fits {
        return Err(StoreError::TooManyAnnotations);
    }
    Ok(write(folder, file, &annotations)?)
}

fn write(folder: &Dir, name: &str, annotations: &Annotations) -> io::Result<()> {
    let unfinished = format!("{name}.tmp");
    let mut text = format!("{VERSION}\n").into_bytes();
    for (entry, value) in annotations {
        text.extend_from_slice(format!("{entry} {}\n", value.len()).as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    folder.unlink(&unfinished)?;
    let mut file = folder.create_file(&unfinished)?;
    file.write_all(&text)?;
    if !planted("metadata-renamed-before-its-sync") {
        file.sync_all()?;
    }
    folder.rename(unfinished.as_bytes(), folder, name.as_bytes())?;
    if planted("metadata-folder-not-synced") {
        return Ok(());
    }
    folder.sync()
}

/// A file of a later version is an error and stays as it is. What is damaged ends what can be read.
fn read(folder: &Dir, name: &str) -> io::Result<Annotations> {
    let Some(file) = found(folder.open_file(name))? else { return Ok(Annotations::new()) };
    let mut octets = Vec::new();
    file.take(4 * MAX_OCTETS as u64).read_to_end(&mut octets)?;
    let (version, mut rest) = split_line(&octets).unwrap_or_default();
    if version != VERSION.as_bytes() && version.starts_with(b"kings-metadata ") {
        return Err(io::Error::other(format!("{name} is of a version that is not known here")));
    }
    let mut annotations = Annotations::new();
    while let Some((entry, value, behind)) = next_entry(rest) {
        annotations.insert(entry, value);
        rest = behind;
    }
    if !rest.is_empty() {
        tracing::warn!(file = name, "what is noted about a mailbox is damaged");
    }
    Ok(annotations)
}

fn next_entry(text: &[u8]) -> Option<(String, Vec<u8>, &[u8])> {
    let (line, rest) = split_line(text)?;
    let (name, length) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
    Some((name.to_owned(), value.to_vec(), rest.strip_prefix(b"\n")?))
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|octet| *octet == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn set(name: &str, value: &[u8]) -> (String, Option<Vec<u8>>) {
        (name.to_owned(), Some(value.to_vec()))
    }

    #[test]
    fn what_is_noted_is_read_back_whatever_it_holds() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        assert!(read(&folder, NAME).unwrap().is_empty());
        std::fs::write(temp.path().join("kings-metadata.tmp"), "left by a crash").unwrap();
        let odd = b"a\n/shared/b 3\nx\0\xff".as_slice();
        change(&folder, NAME, &[set("/shared/comment", b"one"), set("/private/a b", odd)]).unwrap();
        change(&folder, NAME, &[set("/private/c", b""), ("/shared/comment".to_owned(), None)]).unwrap();
        let expected = [("/private/a b".to_owned(), odd.to_vec()), ("/private/c".to_owned(), Vec::new())];
        assert_eq!(read(&folder, NAME).unwrap(), expected.into());
        let text = std::fs::read(temp.path().join(NAME)).unwrap();
        assert!(text.starts_with(b"kings-metadata 1\n/private/a b 17\na\n"));
    }

    #[test]
    fn too_much_changes_nothing_and_damage_harms_nobody() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        change(&folder, NAME, &[set("/private/a", b"1")]).unwrap();
        let before = std::fs::read(temp.path().join(NAME)).unwrap();
        let many: Vec<_> = (0..=MAX_ENTRIES).map(|n| set(&format!("/private/{n}"), b"")).collect();
        let heavy: Vec<_> =
            (0..40).map(|n| set(&format!("/private/{n}"), &vec![b'x'; MAX_ANNOTATION])).collect();
        for refused in [many, heavy, vec![set("/private/b", &vec![b'x'; MAX_ANNOTATION + 1])]] {
            let result = change(&folder, NAME, &refused);
            assert!(matches!(result, Err(StoreError::TooManyAnnotations)), "{result:?}");
            assert_eq!(std::fs::read(temp.path().join(NAME)).unwrap(), before);
        }
        for damaged in [
            "",
            "x",
            "kings-metadata 1\n/private/a 9\nx\n",
            "kings-metadata 1\n/private/a -1\nx\n",
            "\u{fffd}\n",
        ] {
            std::fs::write(temp.path().join(NAME), damaged).unwrap();
            assert!(read(&folder, NAME).unwrap().is_empty(), "{damaged}");
        }
        std::fs::write(temp.path().join(NAME), "kings-metadata 2\nwhat comes later\n").unwrap();
        assert!(change(&folder, NAME, &[set("/private/a", b"1")]).is_err());
        assert!(std::fs::read_to_string(temp.path().join(NAME)).unwrap().starts_with("kings-metadata 2\n"));
    }
}
