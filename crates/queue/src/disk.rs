//! The changes the spool makes on disk, each one step that may fail or be the last before a crash.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Every change of a file or directory goes through here, so that tests can fail any of them and look at
/// what a crash between any two would leave.
pub(crate) trait Disk: Send + Sync {
    /// A new, empty file, for this server's eyes alone.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// All of `bytes`, from `offset` on.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file.
    fn set_len(&self, file: &File, length: u64) -> io::Result<()>;
    /// Waits until the bytes are on disk. After a failure the same bytes must be written again before another
    /// sync means anything: the kernel reports a lost page once and then calls it clean.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives the file another name; refuses to take the place of another file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Waits until the names in the directory are on disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's disk.
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Network file systems do not know the flag; ids are unique anyway.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !to.exists() => fs::rename(from, to),
            result => Ok(result?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Whether the disk, the quota or the inodes are used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Runs disk work on a thread that may block: the one place of this crate that does.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going away and this task with it.
        Err(_) => std::future::pending().await,
    }
}
