//! `dovecot-uidlist` on disk: read, appended to and written anew. Its lock is held by the caller.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use kings_mutants::planted;

use crate::dir::{Dir, Stamp, found};
use crate::dotlock::DotLock;
use crate::error::StoreError;
use crate::uidlist::{self, Entry, Header, Health, Parsed};

/// Where Dovecot writes a new list before it takes the old one's place.
const UNFINISHED: &str = "dovecot-uidlist.tmp";
/// More than any list of a real mailbox: 10 million messages of 100 octets.
const MAX_OCTETS: u64 = 1 << 30;
/// Longest first line read when only that is wanted.
const MAX_HEADER: u64 = 4096;

/// The list as it was when it was last read or written here.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    /// Changes when anybody else writes the list.
    pub(crate) stamp: Stamp,
    /// Where `N` can be overwritten; `None` when lines may not simply be appended.
    next_digits: Option<Range<usize>>,
}

impl OnDisk {
    /// Whether lines can be appended and `N` raised to `next` in place.
    pub(crate) fn takes(&self, next: u32) -> bool {
        self.next_digits.as_ref().is_some_and(|digits| next.to_string().len() <= digits.len())
    }
}

/// The list's stamp now.
pub(crate) fn stamp(folder: &Dir) -> io::Result<Option<Stamp>> {
    Ok(found(folder.stat_at(uidlist::NAME.as_bytes()))?.map(|stat| Stamp::of(&stat)))
}

/// Reads the list; `None` when there is none.
pub(crate) fn read(folder: &Dir) -> io::Result<Option<(Parsed, OnDisk)>> {
    let Some(file) = found(folder.open_file(uidlist::NAME))? else { return Ok(None) };
    let stamp = stamp_of(&file)?;
    let mut bytes = Vec::new();
    file.take(MAX_OCTETS).read_to_end(&mut bytes)?;
    let parsed = understood(&bytes)?;
    let next_digits = parsed.next_digits.clone().filter(|_| parsed.health == Health::Whole);
    Ok(Some((parsed, OnDisk { stamp, next_digits })))
}

/// The first line of the list; all that is not there is empty.
pub(crate) fn header(folder: &Dir) -> io::Result<Header> {
    let Some(file) = found(folder.open_file(uidlist::NAME))? else { return Ok(Header::default()) };
    let mut bytes = Vec::new();
    file.take(MAX_HEADER).read_to_end(&mut bytes)?;
    Ok(understood(&bytes)?.header)
}

/// A list of a version that came after us is an error and stays as it is: UIDs given anew would have every client fetch all
/// its mail again.
fn understood(bytes: &[u8]) -> io::Result<Parsed> {
    match uidlist::later_version(bytes) {
        Some(version) => {
            let text = format!(
                "dovecot-uidlist is of version {version}, which is not known here: it is left as it is"
            );
            Err(io::Error::other(text))
        }
        None => Ok(uidlist::parse(bytes)),
    }
}

/// Appends lines and raises `N`, with one sync for both. After an error nothing was appended, but the
/// UIDs may not be used again: who knows what reached the disk.
pub(crate) fn append(
    folder: &Dir,
    on_disk: &OnDisk,
    next: u32,
    entries: &[Entry],
) -> Result<OnDisk, StoreError> {
    let digits = on_disk.next_digits.clone().filter(|_| on_disk.takes(next));
    let digits = digits.ok_or_else(|| io::Error::other("the uidlist cannot be appended to"))?;
    let file = folder.open_file_to_write(uidlist::NAME)?;
    let end = on_disk.stamp.size();
    if stamp_of(&file)? != on_disk.stamp {
        return Err(StoreError::Locked);
    }
    let result = write_tail(&file, &digits, next, end, entries);
    if let Err(error) = result {
        file.set_len(end)?;
        return Err(error.into());
    }
    Ok(OnDisk { stamp: stamp_of(&file)?, next_digits: on_disk.next_digits.clone() })
}

fn write_tail(file: &File, digits: &Range<usize>, next: u32, end: u64, entries: &[Entry]) -> io::Result<()> {
    let mut lines = Vec::new();
    for entry in entries {
        entry.write_to(&mut lines);
    }
    let width = digits.len();
    file.write_all_at(&lines, end)?;
    file.write_all_at(format!("{next:0width$}").as_bytes(), digits.start as u64)?;
    if planted("uidlist-lines-not-synced") {
        return Ok(());
    }
    file.sync_data()
}

/// Writes the whole list and puts it in place, durably.
pub(crate) fn rewrite<'a>(
    folder: &Dir,
    lock: &DotLock<'_>,
    header: &Header,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<OnDisk, StoreError> {
    let mut text = Vec::new();
    header.write_to(&mut text);
    for entry in entries {
        entry.write_to(&mut text);
    }
    folder.unlink(UNFINISHED)?;
    let mut file = folder.create_file(UNFINISHED)?;
    file.write_all(&text)?;
    if !planted("uidlist-renamed-before-its-sync") {
        file.sync_all()?;
    }
    if !lock.is_ours()? {
        return Err(StoreError::Locked);
    }
    folder.rename(UNFINISHED.as_bytes(), folder, uidlist::NAME.as_bytes())?;
    if !planted("uidlist-folder-not-synced") {
        folder.sync()?;
    }
    let parsed = uidlist::header_digits(&text);
    Ok(OnDisk { stamp: stamp_of(&file)?, next_digits: parsed })
}

fn stamp_of(file: &File) -> io::Result<Stamp> {
    Ok(Stamp::of(&rustix::fs::fstat(file)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dotlock::MAILBOX;

    fn entry(uid: u32) -> Entry {
        Entry { uid, extensions: None, base: format!("{uid}.host").into_bytes().into() }
    }

    #[test]
    fn appended_lines_and_the_next_uid_are_both_there() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        let lock = DotLock::acquire(&folder, uidlist::NAME, MAILBOX).unwrap();
        let header = Header { validity: 7, next: 2, guid: Some("0".repeat(32)), further: b"Zx".to_vec() };
        let on_disk = rewrite(&folder, &lock, &header, [entry(1)].iter()).unwrap();
        let on_disk = append(&folder, &on_disk, 4, &[entry(2), entry(3)]).unwrap();
        let on_disk = append(&folder, &on_disk, 4_000_000_001, &[entry(4_000_000_000)]).unwrap();
        let text = std::fs::read_to_string(temp.path().join(uidlist::NAME)).unwrap();
        let guid = "0".repeat(32);
        assert_eq!(
            text,
            format!(
                "3 V7 N4000000001 G{guid} Zx\n1 :1.host\n2 :2.host\n3 :3.host\n4000000000 :4000000000.host\n"
            )
        );
        let (parsed, read_back) = read(&folder).unwrap().unwrap();
        assert_eq!(parsed.entries.len(), 4);
        assert_eq!(read_back.stamp, on_disk.stamp);
        assert_eq!(super::header(&folder).unwrap().validity, 7);
    }

    #[test]
    fn digits_that_do_not_fit_ask_for_a_rewrite() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        let guid = "0".repeat(32);
        std::fs::write(temp.path().join(uidlist::NAME), format!("3 V7 N9 G{guid}\n")).unwrap();
        let (_, on_disk) = read(&folder).unwrap().unwrap();
        assert!(on_disk.takes(9) && !on_disk.takes(10));
        std::fs::write(temp.path().join(uidlist::NAME), format!("3 V7 N9 G{guid}\n1 :cut")).unwrap();
        let (_, on_disk) = read(&folder).unwrap().unwrap();
        assert!(!on_disk.takes(9), "an unfinished line must not be glued to the next one");
    }

    #[test]
    fn a_list_changed_by_others_is_not_appended_to() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        let path = temp.path().join(uidlist::NAME);
        std::fs::write(&path, format!("3 V7 N0000000001 G{}\n", "0".repeat(32))).unwrap();
        let (_, on_disk) = read(&folder).unwrap().unwrap();
        std::fs::write(&path, format!("3 V7 N0000000002 G{}\n1 :a\n", "0".repeat(32))).unwrap();
        assert!(append(&folder, &on_disk, 2, &[entry(1)]).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("\n1 :a\n"));
    }
}
