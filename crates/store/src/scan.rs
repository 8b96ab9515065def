//! Looks at `new` and `cur`: which message files there are, and what one file's record says of it.

use std::io;

use rustix::fs::FileType;

use crate::clock::unix_now;
use crate::compressed;
use crate::dir::{Dir, Stamp, found};
use crate::folder::Folder;
use crate::maildir;
use crate::uidlist::Entry;

/// A folder's modification time younger than this proves nothing: a change within the same tick of the
/// clock does not move it again.
const UNPROVEN: i64 = 2;

/// Where a message file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `new`: nobody has selected the mailbox since it arrived.
    New,
    /// `cur`
    Cur,
}

/// One file seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) place: Place,
    pub(crate) name: Box<[u8]>,
}

impl Seen {
    /// The part of the name that never changes.
    pub(crate) fn base(&self) -> &[u8] {
        maildir::split(&self.name).0
    }
}

/// One reading of both folders.
#[derive(Debug)]
pub(crate) struct Pass {
    /// `new` before `cur`: a file that moves meanwhile is seen twice rather than never.
    pub(crate) seen: Vec<Seen>,
    /// Entries that cannot be messages: special files, names with line ends.
    pub(crate) ignored: usize,
    /// The folders' stamps before the reading.
    pub(crate) stamps: Stamps,
    /// The stamps were the same afterwards.
    pub(crate) quiet: bool,
    /// What was not seen is not there: a change meanwhile would have shown.
    pub(crate) proven: bool,
    /// Proven by stamps so old that every later change shows in them.
    pub(crate) lasting: bool,
}

/// What both folders looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    new: Stamp,
    cur: Stamp,
}

impl Stamps {
    /// The stamps now.
    pub(crate) fn of(folder: &Folder) -> io::Result<Self> {
        Ok(Self { new: Stamp::of(&folder.new.stat()?), cur: Stamp::of(&folder.cur.stat()?) })
    }

    /// Whether a later change would show in the stamps. A time in the future never proves anything.
    fn are_old_at(&self, now: i64) -> bool {
        self.new.seconds().max(self.cur.seconds()) < now - UNPROVEN
    }
}

/// Reads both folders once.
pub(crate) fn pass(folder: &Folder) -> io::Result<Pass> {
    let now = unix_now();
    let stamps = Stamps::of(folder)?;
    let (mut seen, mut ignored) = (Vec::new(), 0);
    for (place, dir) in [(Place::New, &folder.new), (Place::Cur, &folder.cur)] {
        let mut doubtful = Vec::new();
        dir.read(|name, kind| match kind {
            // Dot files are for programs' own use, here as in Dovecot.
            _ if name.starts_with(b".") => {}
            // A line end cannot be written in a uidlist. The file stays for a person to look at.
            _ if name.contains(&b'\n') || name.contains(&b'\r') => ignored += 1,
            _ if maildir::split(name).0.is_empty() => ignored += 1,
            FileType::RegularFile => seen.push(Seen { place, name: name.into() }),
            FileType::Unknown => doubtful.push(name.to_vec()),
            _ => ignored += 1,
        })?;
        for name in doubtful {
            match found(dir.stat_at(&name))?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Some(FileType::RegularFile) => seen.push(Seen { place, name: name.into() }),
                Some(_) => ignored += 1,
                None => {}
            }
        }
    }
    let quiet = Stamps::of(folder)? == stamps;
    let lasting = quiet && stamps.are_old_at(now);
    Ok(Pass { seen, ignored, stamps, quiet, proven: lasting, lasting })
}

/// What the snapshot tells of a file beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Octets on disk; before it was compressed, where it was.
    pub(crate) disk: u64,
    /// Octets of the CRLF form.
    pub(crate) crlf: u64,
    /// Modification time in seconds since 1970.
    pub(crate) date: i64,
    /// The file had to be read to know.
    pub(crate) counted: bool,
}

/// Measures one file; `None` when it is not there, or no message.
///
/// The rule for sizes: the name (or the uidlist) is believed about the CRLF form when what it says about
/// the octets on disk is true and both agree with each other; else the file is read. So a file that was
/// changed or misnamed is found out at the price of a `stat`. A wrong `W=` beside a right
/// `S=` is corrected when the content is read. Of a compressed file the octets before it was compressed count, and the
/// name is believed.
pub(crate) fn measure(dir: &Dir, name: &[u8], entry: Option<&Entry>) -> io::Result<Option<Measured>> {
    let Some(stat) = found(dir.stat_at(name))? else { return Ok(None) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let (disk, date) = (Stamp::of(&stat).size(), stat.st_mtime);
    let base = maildir::split(name).0;
    if let Some(crlf) = told_size(base, entry, disk) {
        return Ok(Some(Measured { disk, crlf, date, counted: false }));
    }
    let Some(mut file) = found(dir.open_file(name))? else { return Ok(None) };
    if let Some(disk) = maildir::size_field(base, b'S').or_else(|| noted_size(entry, b'S'))
        && let Some(crlf) = told_size(base, entry, disk)
        && compressed::is_compressed(&mut file)?
    {
        return Ok(Some(Measured { disk, crlf, date, counted: false }));
    }
    let (disk, crlf) = compressed::measure(file)?;
    Ok(Some(Measured { disk, crlf, date, counted: true }))
}

/// The size of the CRLF form as the name or the uidlist tells it, if it can be believed.
fn told_size(base: &[u8], entry: Option<&Entry>, disk: u64) -> Option<u64> {
    let noted = |key| noted_size(entry, key);
    let in_name = |key| maildir::size_field(base, key);
    let told = if noted(b'S') == Some(disk) && noted(b'W').is_some() {
        noted(b'W')
    } else if in_name(b'S') == Some(disk) {
        in_name(b'W').or_else(|| noted(b'W'))
    } else {
        None
    };
    told.filter(|crlf| (disk..=disk.saturating_mul(2)).contains(crlf))
}

fn noted_size(entry: Option<&Entry>, key: u8) -> Option<u64> {
    std::str::from_utf8(entry?.extension(key)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use rustix::fs::Mode;

    use super::*;
    use crate::mailbox_layout::MailboxLayout;
    use crate::name::MailboxName;
    use crate::tree::Tree;

    fn temp() -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap();
        let tree = Tree::new(Dir::open_root(temp.path()).unwrap(), MailboxLayout::default());
        let folder = Folder::open(&tree, &MailboxName::inbox()).unwrap().unwrap();
        (temp, folder)
    }

    #[test]
    fn only_regular_files_with_plain_names_are_messages() {
        let (temp, folder) = temp();
        let cur = temp.path().join("cur");
        std::fs::write(cur.join("good:2,S"), "x").unwrap();
        std::fs::write(cur.join(std::ffi::OsStr::from_bytes(b"latin\xe9")), "x").unwrap();
        std::fs::write(cur.join("n".repeat(255)), "x").unwrap();
        std::fs::write(temp.path().join("new/fresh"), "x").unwrap();
        std::fs::write(cur.join(".hidden"), "x").unwrap();
        std::fs::write(cur.join("two\nlines"), "x").unwrap();
        std::fs::write(cur.join(":2,S"), "x").unwrap();
        std::fs::create_dir(cur.join("folder")).unwrap();
        symlink("/etc/passwd", cur.join("link")).unwrap();
        symlink("nowhere", cur.join("dangling")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, cur.join("fifo"), Mode::RWXU).unwrap();
        let pass = pass(&folder).unwrap();
        let mut names: Vec<&[u8]> = pass.seen.iter().map(|seen| &*seen.name).collect();
        names.sort_unstable();
        assert_eq!(names, [b"fresh".as_slice(), b"good:2,S", b"latin\xe9", "n".repeat(255).as_bytes()]);
        assert_eq!(pass.ignored, 6);
        assert!(pass.quiet && !pass.proven, "folders changed a moment ago");
    }

    #[test]
    fn sizes_in_names_are_believed_only_when_they_agree_with_the_file() {
        let (temp, folder) = temp();
        let text = "a\r\nb\n";
        let ours = |extensions: &str| Entry {
            uid: 1,
            extensions: Some(extensions.as_bytes().into()),
            base: (*b"x").into(),
        };
        let cases = [
            ("a,S=5,W=6", None, 6, false),
            ("b,S=5,W=7", None, 7, false),
            ("c,S=5,W=4", None, 6, true),
            ("d,S=5,W=11", None, 6, true),
            ("e,S=6,W=6", None, 6, true),
            ("f,W=6", None, 6, true),
            ("g", None, 6, true),
            ("h", Some(ours("S5 W6")), 6, false),
            ("i", Some(ours("S4 W6")), 6, true),
            ("j,S=5", Some(ours("W6")), 6, false),
            ("k,S=4", Some(ours("W6")), 6, true),
            // A name cannot change; what was found to be wrong with it is noted beside the UID.
            ("l,S=5,W=8", Some(ours("S5 W6")), 6, false),
        ];
        for (name, entry, crlf, counted) in cases {
            std::fs::write(temp.path().join("cur").join(name), text).unwrap();
            let measured = measure(&folder.cur, name.as_bytes(), entry.as_ref()).unwrap().unwrap();
            assert_eq!((measured.disk, measured.crlf, measured.counted), (5, crlf, counted), "{name}");
        }
        assert_eq!(measure(&folder.cur, b"missing", None).unwrap(), None);
    }
}
