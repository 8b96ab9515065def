//! What every part of one store needs: its root folder, fresh names and the free-space rule.

use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::error::StoreError;
use crate::maildir::NameMaker;
use crate::space;

/// The root of the store.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) dir: Dir,
    /// Only for watching: files are reached through [`Dir`]s.
    pub(crate) path: PathBuf,
    pub(crate) names: NameMaker,
    reserve: u64,
}

impl Root {
    /// Opens the folder, made when its parent exists. `reserve` is the free space mail may not use, in octets.
    pub(crate) fn open(path: &Path, reserve: u64) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) => {
                if let Some(parent) = path.canonicalize()?.parent() {
                    Dir::open_root(parent)?.sync()?;
                }
            }
            Err(_) => {}
        }
        let dir = Dir::open_root(path)?;
        Ok(Self { dir, path: path.canonicalize()?, names: NameMaker::new(), reserve })
    }

    /// Refuses when new mail would eat into the reserve.
    pub(crate) fn check_space(&self) -> Result<(), StoreError> {
        space::check(&self.dir, self.reserve)
    }
}
