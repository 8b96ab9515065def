//! What every part of one store needs: its root folder, fresh names and the free-space rule.

use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::error::StoreError;
use crate::maildir::NameMaker;
use crate::shared_sync::SharedSyncs;
use crate::space::Space;

/// The root of the store.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) dir: Dir,
    /// Only for watching: files are reached through [`Dir`]s.
    pub(crate) path: PathBuf,
    pub(crate) names: NameMaker,
    /// Folder syncs that concurrent deliveries share.
    pub(crate) syncs: SharedSyncs,
    space: Space,
}

impl Root {
    /// Opens the folder, made when its parent exists. `reserve` is the free space mail may not use, in octets.
    pub(crate) fn open(path: &Path, reserve: u64) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let made = match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            result => result.is_ok(),
        };
        let dir = Dir::open_root(path)?;
        let path = path.canonicalize()?;
        if let Some(parent) = path.parent() {
            sync_name(parent, made)?;
        }
        Ok(Self {
            dir,
            path,
            names: NameMaker::new(),
            syncs: SharedSyncs::default(),
            space: Space::new(reserve),
        })
    }

    /// Refuses when new mail would eat into the reserve.
    pub(crate) fn check_space(&self) -> Result<(), StoreError> {
        self.space.check(&self.dir)
    }

    /// Whether the last look at the free space is so young that no other is needed: asks the disk nothing.
    pub(crate) fn has_space_for_sure(&self) -> bool {
        self.space.sufficed_just_now()
    }
}

/// Puts the root's own name on disk, also when it was there: who made it may have died before the sync, or be about to
/// do it. A parent that this user may not read is the business of whoever made the root in it.
fn sync_name(parent: &Path, made: bool) -> io::Result<()> {
    match Dir::open_root(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !made => Ok(()),
        dir => dir?.sync(),
    }
}
