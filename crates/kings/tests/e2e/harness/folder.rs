//! A folder that lives as long as its owner.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A new folder in the place for temporary files, removed when dropped.
///
/// Others may enter it: Postfix and Dovecot work under accounts of their own.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("kings-{name}-"))
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The same as text, for configuration files.
    pub(crate) fn text(&self, name: &str) -> String {
        self.join(name).to_str().expect("the temporary folder has a name in UTF-8").to_owned()
    }

    pub(crate) fn create(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}
