//! The reserve of free space that new mail may not touch.

use rustix::fs::StatVfs;

use crate::dir::Dir;
use crate::error::StoreError;

/// The share of inodes kept free, one in this many (1%).
const INODE_SHARE: u64 = 100;

/// Refuses with [`StoreError::NoSpace`] when less than `reserve` octets or 1% of the inodes are free.
///
/// Only new mail asks: flags, deletion and the queue's own records work to the last block.
pub(crate) fn check(dir: &Dir, reserve: u64) -> Result<(), StoreError> {
    if suffices(&dir.free_space()?, reserve) { Ok(()) } else { Err(StoreError::NoSpace) }
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
