//! One mailbox's folders on disk: made whole, opened, and swept of leftovers.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_mutants::planted;
use rustix::fs::FileType;

use crate::acl;
use crate::dir::{Dir, found};
use crate::error::StoreError;
use crate::mailbox_file;
use crate::name::{MailboxName, SpecialUse};
use crate::tree::{TRASHED, Tree};
use crate::uidlist::{self, Header};

/// Age after which a file in `tmp` has lost its writer, as the first Maildir programs had it.
const LEFTOVER_AGE: Duration = Duration::from_hours(36);
/// Marks a folder of Maildir++ as a mailbox of the account above it.
const MARK: &str = "maildirfolder";
/// Starts the name of a folder that is being made; without a leading dot it is nobody's mailbox.
pub(crate) const UNFINISHED: &str = "kings-new-";

/// What a new mailbox begins with.
#[derive(Debug)]
pub(crate) struct NewMailbox<'a> {
    pub(crate) validity: u32,
    pub(crate) uses: &'a [SpecialUse],
    pub(crate) acl: &'a [u8],
}

/// The open folders of one mailbox.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Holds the side files and the three below.
    pub(crate) root: Dir,
    pub(crate) cur: Dir,
    pub(crate) new: Dir,
    pub(crate) tmp: Dir,
}

impl Folder {
    /// Opens the mailbox `name` of the account, `None` when it has no folder.
    ///
    /// Other programs make a mailbox in steps: missing parts of one are added.
    pub(crate) fn open(tree: &Tree, name: &MailboxName) -> io::Result<Option<Self>> {
        tree.folder(name)?.map(Self::complete).transpose()
    }

    /// Opens the three folders in `root`, made where they are missing.
    fn complete(root: Dir) -> io::Result<Self> {
        let ((tmp, a), (new, b), (cur, c)) =
            (root.open_or_create("tmp")?, root.open_or_create("new")?, root.open_or_create("cur")?);
        if (a || b || c) && !planted("new-mailbox-not-synced") {
            root.sync()?;
        }
        Ok(Self { root, cur, new, tmp })
    }

    /// Whether both are the same folder of the disk.
    pub(crate) fn is_same_as(&self, other: &Self) -> io::Result<bool> {
        let (a, b) = (self.cur.stat()?, other.cur.stat()?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) && a.st_nlink > 0)
    }
}

/// Builds a whole mailbox, under a name that is none, and returns its GUID. All of it but that name is on disk then.
pub(crate) fn build(workshop: &Dir, unfinished: &str, new: &NewMailbox<'_>) -> Result<String, StoreError> {
    let root = workshop.create(unfinished)?;
    for part in ["cur", "new", "tmp"] {
        root.create(part)?.sync()?;
    }
    root.create_file(MARK)?.sync_all()?;
    let mut text = Vec::new();
    let guid = random_guid()?;
    let header = Header { validity: new.validity, next: 1, guid: Some(guid.clone()), further: Vec::new() };
    header.write_to(&mut text);
    let mut list = root.create_file(uidlist::NAME)?;
    list.write_all(&text)?;
    list.sync_all()?;
    mailbox_file::begin(&root, new.uses)?;
    if !new.acl.is_empty() {
        let mut file = root.create_file(acl::NAME)?;
        file.write_all(new.acl)?;
        file.sync_all()?;
    }
    root.sync()?;
    Ok(guid)
}

/// A new mailbox GUID: 128 random bits in hexadecimal digits.
pub(crate) fn random_guid() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

/// Nothing there, or something that is no folder: a file, or a link, which is not followed.
pub(crate) fn is_no_folder(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// The target of a rename is in use.
pub(crate) fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
}

/// Removes files from `tmp` whose writers are long gone, and folders of the same age that were being made or removed.
pub(crate) fn sweep(root: &Dir, now: SystemTime) -> io::Result<()> {
    if let Some(tmp) = found(root.open("tmp"))? {
        for name in leftovers(root, now)? {
            tracing::info!(file = %String::from_utf8_lossy(&name), "removing a leftover from tmp");
            tmp.unlink(&name)?;
        }
        sweep_unfinished(&tmp, now)?;
    }
    sweep_unfinished(root, now)
}

fn sweep_unfinished(dir: &Dir, now: SystemTime) -> io::Result<()> {
    let is_unfinished = |name: &[u8], kind| {
        kind == FileType::Directory && (name.starts_with(UNFINISHED.as_bytes()) || name == TRASHED.as_bytes())
    };
    for name in older_than(dir, now, is_unfinished)? {
        dir.remove_tree(&name)?;
    }
    Ok(())
}

/// The files in `tmp` whose writers are long gone.
///
/// The age is that of the last change of the file's record: its modification time can be an old
/// message's date.
pub(crate) fn leftovers(root: &Dir, now: SystemTime) -> io::Result<Vec<Vec<u8>>> {
    match found(root.open("tmp"))? {
        Some(tmp) => older_than(&tmp, now, |_, kind| kind == FileType::RegularFile),
        None => Ok(Vec::new()),
    }
}

fn older_than(
    dir: &Dir,
    now: SystemTime,
    wanted: impl Fn(&[u8], FileType) -> bool,
) -> io::Result<Vec<Vec<u8>>> {
    let Some(limit) = now.checked_sub(LEFTOVER_AGE).and_then(|time| time.duration_since(UNIX_EPOCH).ok())
    else {
        return Ok(Vec::new());
    };
    let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    let mut names = Vec::new();
    dir.read(|name, _| names.push(name.to_vec()))?;
    let mut old = Vec::new();
    for name in names {
        let Some(stat) = found(dir.stat_at(&name))? else { continue };
        if stat.st_ctime < limit && wanted(&name, FileType::from_raw_mode(stat.st_mode)) {
            old.push(name);
        }
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn leftovers_go_after_thirty_six_hours_and_nothing_else_does() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let folder = Folder::complete(root.try_clone().unwrap()).unwrap();
        for n in 0..100 {
            folder.tmp.create_file(format!("left{n}")).unwrap();
        }
        folder.cur.create_file("mail").unwrap();
        root.create("kings-new-1").unwrap().create("cur").unwrap();
        root.create(".Sent").unwrap();
        let count = |name: &str| std::fs::read_dir(temp.path().join(name)).unwrap().count();
        sweep(&root, SystemTime::now() + Duration::from_hours(35)).unwrap();
        assert_eq!((count("tmp"), count("cur"), count(".")), (100, 1, 5));
        sweep(&root, SystemTime::now() + Duration::from_hours(37)).unwrap();
        assert_eq!((count("tmp"), count("cur"), count(".")), (0, 1, 4));
    }
}
