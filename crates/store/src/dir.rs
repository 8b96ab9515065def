//! Open folders: every file operation of the store is one name relative to one of them.
//!
//! A name is a single path component, and no call follows a symbolic link, so nothing can leave the tree:
//! what `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` does for a path, these rules do for each
//! of its steps, on every kernel.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

/// Files of the store are for its own user alone.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: Mode = Mode::RWXU;
const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// File systems of one machine, by their magic numbers (statfs(2)): ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, ZFS, bcachefs.
const LOCAL: [i64; 7] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x2fc1_2fc1, 0xca45_1a4e];
/// Deepest folder inside a folder that is being removed; Maildirs have two levels.
const MAX_REMOVE_DEPTH: usize = 16;

/// One open folder.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

/// What a change of a file or folder shows in: its identity, size and modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: u64,
}

impl Stamp {
    /// Takes the stamp out of what `stat` said.
    #[allow(clippy::useless_conversion, reason = "the fields have other types on other architectures")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            inode: u64::from(stat.st_ino),
            size: stat.st_size.try_into().unwrap_or_default(),
            seconds: i64::from(stat.st_mtime),
            nanoseconds: u64::from(stat.st_mtime_nsec),
        }
    }

    /// Octets in the file.
    pub(crate) fn size(self) -> u64 {
        self.size
    }

    /// Modification time in seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }
}

/// Whether `name` is one step down and nothing else.
pub(crate) fn is_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

/// The one gate all names pass.
fn component(name: &[u8]) -> io::Result<&[u8]> {
    if is_component(name) { Ok(name) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// `Ok(None)` for a file that is not there.
pub(crate) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Dir {
    /// Opens the root of the store. The operator's own path may well go through symbolic links.
    pub(crate) fn open_root(path: &Path) -> io::Result<Self> {
        let flags = OPEN_DIR.difference(OFlags::NOFOLLOW);
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Leads to this very folder while it is open, where `/proc` is there.
    pub(crate) fn as_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Whether inotify tells of every change: not where other machines can make one, or the files beneath can change.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_possible_wrap,
        reason = "the field has other types on other architectures"
    )]
    pub(crate) fn tells_of_changes(&self) -> bool {
        rustix::fs::fstatfs(&self.0).is_ok_and(|found| LOCAL.contains(&(found.f_type as i64)))
    }

    /// A second handle on the same folder.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Opens a folder inside this one.
    pub(crate) fn open(&self, name: impl AsRef<[u8]>) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(&self.0, component(name.as_ref())?, OPEN_DIR, Mode::empty())?))
    }

    /// Makes a folder with mode 0700, whatever the umask is, and opens it.
    pub(crate) fn create(&self, name: impl AsRef<[u8]>) -> io::Result<Self> {
        let name = component(name.as_ref())?;
        rustix::fs::mkdirat(&self.0, name, DIR_MODE)?;
        let dir = self.open(name)?;
        rustix::fs::fchmod(&dir.0, DIR_MODE)?;
        Ok(dir)
    }

    /// Opens a folder, made first where it is missing; `true` when it was made just now, here or by another program
    /// that was faster: its name may not be on disk yet. A file or a link in its place is an error.
    pub(crate) fn open_or_create(&self, name: impl AsRef<[u8]>) -> io::Result<(Self, bool)> {
        let name = name.as_ref();
        if let Some(dir) = found(self.open(name))? {
            return Ok((dir, false));
        }
        match self.create(name) {
            Ok(dir) => Ok((dir, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((self.open(name)?, true)),
            Err(error) => Err(error),
        }
    }

    /// Puts this folder's entries on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// What the folder itself looks like now.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.0)?)
    }

    /// Which folder of the disk this is: file system and inode.
    #[allow(clippy::useless_conversion, reason = "the fields have other types on other architectures")]
    pub(crate) fn place(&self) -> io::Result<(u64, u64)> {
        let stat = self.stat()?;
        Ok((u64::from(stat.st_dev), u64::from(stat.st_ino)))
    }

    /// Whether the folder was removed from the tree while it is open here.
    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.stat()?.st_nlink == 0)
    }

    /// Looks at an entry without following a link.
    pub(crate) fn stat_at(&self, name: &[u8]) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.0, component(name)?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Calls `each` for every entry but `.` and `..`.
    pub(crate) fn read(&self, mut each: impl FnMut(&[u8], FileType)) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if is_component(name) {
                each(name, entry.file_type());
            }
        }
        Ok(())
    }

    /// The names of the entries of one kind.
    pub(crate) fn names(&self, wanted: FileType) -> io::Result<Vec<Vec<u8>>> {
        let (mut names, mut doubtful) = (Vec::new(), Vec::new());
        self.read(|name, kind| match kind {
            FileType::Unknown => doubtful.push(name.to_vec()),
            kind if kind == wanted => names.push(name.to_vec()),
            _ => {}
        })?;
        for name in doubtful {
            let stat = found(self.stat_at(&name))?;
            if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == wanted) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Opens a regular file for reading. A FIFO or a device is refused without waiting for it.
    pub(crate) fn open_file(&self, name: impl AsRef<[u8]>) -> io::Result<File> {
        self.open_regular(name.as_ref(), OFlags::RDONLY)
    }

    /// Opens a regular file for reading and writing.
    pub(crate) fn open_file_to_write(&self, name: impl AsRef<[u8]>) -> io::Result<File> {
        self.open_regular(name.as_ref(), OFlags::RDWR)
    }

    /// Opens a regular file for adding at its end, whoever else does the same.
    pub(crate) fn open_file_to_append(&self, name: impl AsRef<[u8]>) -> io::Result<File> {
        self.open_regular(name.as_ref(), OFlags::WRONLY | OFlags::APPEND)
    }

    fn open_regular(&self, name: &[u8], access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, component(name)?, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        Ok(file.into())
    }

    /// Makes a new file with mode 0600, whatever the umask is.
    pub(crate) fn create_file(&self, name: impl AsRef<[u8]>) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, component(name.as_ref())?, flags, FILE_MODE)?;
        // To look is cheaper than to set the same once more, which writes the inode.
        if Mode::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FILE_MODE {
            rustix::fs::fchmod(&file, FILE_MODE)?;
        }
        Ok(file.into())
    }

    /// Makes a file without a name on this file system; `None` where the file system cannot.
    pub(crate) fn create_unnamed(&self) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, c".", flags, FILE_MODE) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file; a missing one is `Ok(false)`.
    pub(crate) fn unlink(&self, name: impl AsRef<[u8]>) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.0, component(name.as_ref())?, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves an entry, over one that may be there.
    pub(crate) fn rename(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, component(from)?, &to_dir.0, component(to)?)?)
    }

    /// Moves an entry to a name that must be free.
    pub(crate) fn rename_to_free(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> io::Result<()> {
        let (from, to) = (component(from)?, component(to)?);
        match rustix::fs::renameat_with(&self.0, from, &to_dir.0, to, RenameFlags::NOREPLACE) {
            // Some network file systems lack the flag; a folder is then replaced only when it is empty.
            Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(&self.0, from, &to_dir.0, to)?),
            result => Ok(result?),
        }
    }

    /// Gives a file a second name.
    pub(crate) fn link(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.0, component(from)?, &to_dir.0, component(to)?, AtFlags::empty())?)
    }

    /// Removes a folder and all that is in it, links as links.
    pub(crate) fn remove_tree(&self, name: &[u8]) -> io::Result<()> {
        self.remove_level(name, MAX_REMOVE_DEPTH)
    }

    fn remove_level(&self, name: &[u8], depth: usize) -> io::Result<()> {
        let dir = self.open(name)?;
        let mut entries = Vec::new();
        dir.read(|name, _| entries.push(name.to_vec()))?;
        for entry in entries {
            match rustix::fs::unlinkat(&dir.0, entry.as_slice(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) if depth > 0 => dir.remove_level(&entry, depth - 1)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::fs::unlinkat(&self.0, component(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Removes a folder that is empty; `false` where it is not, or not there.
    pub(crate) fn remove_if_empty(&self, name: &[u8]) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.0, component(name)?, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Free space of the file system below this folder.
    pub(crate) fn free_space(&self) -> io::Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(&self.0)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn names_are_single_steps_down() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        for name in ["", ".", "..", "../x", "/etc", "a/b", "a\0b"] {
            assert!(dir.open(name).is_err(), "{name:?}");
            assert!(dir.create(name).is_err(), "{name:?}");
            assert!(dir.create_file(name).is_err(), "{name:?}");
            assert!(dir.unlink(name).is_err(), "{name:?}");
            assert!(dir.rename(name.as_bytes(), &dir, b"x").is_err(), "{name:?}");
        }
    }

    #[test]
    fn links_and_special_files_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        symlink("/etc", temp.path().join("folder")).unwrap();
        symlink("/etc/passwd", temp.path().join("file")).unwrap();
        symlink("nowhere", temp.path().join("dangling")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, temp.path().join("fifo"), Mode::RWXU).unwrap();
        assert!(dir.open("folder").is_err());
        for name in ["file", "dangling", "fifo"] {
            assert!(dir.open_file(name).is_err(), "{name}");
        }
    }

    #[test]
    fn removing_a_tree_leaves_what_its_links_point_at() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        std::fs::write(temp.path().join("kept"), "x").unwrap();
        let tree = dir.create("tree").unwrap();
        tree.create("cur").unwrap().create_file("a").unwrap();
        symlink(temp.path(), temp.path().join("tree/link")).unwrap();
        dir.remove_tree(b"tree").unwrap();
        assert!(temp.path().join("kept").exists());
        assert!(!temp.path().join("tree").exists());
    }

    #[test]
    fn modes_are_for_the_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        dir.create("d").unwrap();
        dir.create_file("f").unwrap();
        let mode = |name: &str| temp.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("d"), mode("f")), (0o700, 0o600));
    }
}
