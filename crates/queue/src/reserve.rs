//! A file that only takes up room, to be given back when the disk is full and an outcome must be recorded.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};

/// What is set aside: room for a record in each of 256 entries at 4 KB a block.
const RESERVE: u64 = 1024 * 1024;
/// What is given back at a time.
const STEP: u64 = 64 * 1024;

/// The reserve of one queue.
pub(crate) struct Reserve(Mutex<File>);

impl Reserve {
    /// Opens the file, and fills it as far as the disk allows.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let reserve = Self(Mutex::new(file));
        reserve.refill();
        Ok(reserve)
    }

    /// Takes room again after some was given back. Not getting it is no error: the next time may do.
    pub(crate) fn refill(&self) {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata().is_ok_and(|metadata| metadata.len() < RESERVE)
            && let Err(error) = fill(&file)
        {
            tracing::debug!(%error, "the queue's disk reserve is not full");
        }
    }

    /// Gives some room back to the file system; `false` when nothing is left to give.
    pub(crate) fn release(&self) -> bool {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let give_back = || {
            let length = file.metadata()?.len();
            if length == 0 {
                return Ok(false);
            }
            file.set_len(length.saturating_sub(STEP))?;
            // Blocks count as free only when the file system has written down that they are.
            file.sync_all().map(|()| true)
        };
        give_back().unwrap_or_else(|error: io::Error| {
            tracing::warn!(%error, "the queue's disk reserve could not be given back");
            false
        })
    }
}

fn fill(file: &File) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, RESERVE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; usize::try_from(RESERVE).unwrap_or_default()];
            file.write_all_at(&zeros, 0)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_reserve_is_given_back_step_by_step_and_filled_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let reserve = Reserve::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().len(), RESERVE);
        let steps = std::iter::repeat_with(|| reserve.release()).take_while(|given| *given).count();
        assert_eq!(steps as u64, RESERVE / STEP);
        assert_eq!(path.metadata().unwrap().len(), 0);
        reserve.refill();
        assert_eq!(path.metadata().unwrap().len(), RESERVE);
    }
}
