//! The reserve of free space that new mail may not touch.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::fs::StatVfs;

use crate::dir::Dir;
use crate::error::StoreError;
use crate::sync::locked;

/// The share of inodes kept free, one in this many (1%).
const INODE_SHARE: u64 = 100;

/// How long a look at the free space is good for when it found enough. The reserve is far more than what can
/// arrive in that time.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Watches over the reserve of one file system.
#[derive(Debug)]
pub(crate) struct Space {
    reserve: u64,
    /// When there last was enough.
    sufficed: Mutex<Option<Instant>>,
}

impl Space {
    /// Keeps `reserve` octets and 1% of the inodes free.
    pub(crate) fn new(reserve: u64) -> Self {
        Self { reserve, sufficed: Mutex::new(None) }
    }

    /// Refuses with [`StoreError::NoSpace`] when less than the reserve is free.
    ///
    /// Only new mail asks: flags, deletion and the queue's own records work to the last block.
    pub(crate) fn check(&self, dir: &Dir) -> Result<(), StoreError> {
        if self.sufficed_just_now() {
            return Ok(());
        }
        let suffices = suffices(&dir.free_space()?, self.reserve);
        *locked(&self.sufficed) = suffices.then(Instant::now);
        if suffices { Ok(()) } else { Err(StoreError::NoSpace) }
    }

    /// Whether a look within the last moment found enough.
    pub(crate) fn sufficed_just_now(&self) -> bool {
        locked(&self.sufficed).is_some_and(|when| when.elapsed() < LOOK_INTERVAL)
    }
}

/// Some file systems (btrfs, many network ones) make inodes as needed and report none at all.
fn suffices(space: &StatVfs, reserve: u64) -> bool {
    let octets = space.f_bavail.saturating_mul(space.f_frsize);
    let inodes = space.f_files == 0 || space.f_favail >= space.f_files / INODE_SHARE;
    octets >= reserve && inodes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_look_that_found_too_little_is_never_remembered() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let greedy = Space::new(u64::MAX);
        for _ in 0..2 {
            assert!(matches!(greedy.check(&dir), Err(StoreError::NoSpace)));
            assert!(!greedy.sufficed_just_now());
        }
        let modest = Space::new(0);
        assert!(!modest.sufficed_just_now());
        modest.check(&dir).unwrap();
        assert!(modest.sufficed_just_now());
        std::thread::sleep(LOOK_INTERVAL);
        assert!(!modest.sufficed_just_now());
    }

    #[test]
    fn octets_and_inodes_both_count() {
        let temp = tempfile::tempdir().unwrap();
        let mut space = Dir::open_root(temp.path()).unwrap().free_space().unwrap();
        (space.f_frsize, space.f_bavail, space.f_files, space.f_favail) = (4096, 10, 1000, 10);
        assert!(suffices(&space, 40_960));
        assert!(!suffices(&space, 40_961));
        space.f_favail = 9;
        assert!(!suffices(&space, 0));
        (space.f_files, space.f_favail) = (0, 0);
        assert!(suffices(&space, 0));
    }
}
