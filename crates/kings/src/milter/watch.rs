//! Whether the keys have changed since they were read: other programs change them, `kings dkim rotate` first of all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Looks at the folders of all keys.
pub(super) struct Watch {
    folder: PathBuf,
    /// As it was when the keys were read.
    read: Vec<File>,
    /// As it was at the last look.
    seen: Vec<File>,
}

/// A file, by all that tells it from another one in its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    path: PathBuf,
    modified: Option<SystemTime>,
    inode: u64,
    octets: u64,
}

impl Watch {
    /// To be made before the keys are read: what changes meanwhile is seen at the next look.
    pub(super) fn new(folder: PathBuf) -> Self {
        let read = files(&folder);
        Self { folder, seen: read.clone(), read }
    }

    /// Whether the keys are others than those that were read. Not while they change: two looks must see the same.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = files(&self.folder);
        let has_settled = now == self.seen;
        self.seen = now;
        if !has_settled || self.seen == self.read {
            return false;
        }
        self.read.clone_from(&self.seen);
        true
    }
}

/// The files in the folder of each domain. What cannot be read is as good as gone: reading the keys will say so.
fn files(folder: &Path) -> Vec<File> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<File> = entries(folder)
        .flat_map(|domain| entries(&domain.path()))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let modified = metadata.modified().ok();
            Some(File { path: entry.path(), modified, inode: metadata.ino(), octets: metadata.len() })
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keys_are_read_again_once_they_are_others_and_have_settled() {
        let folder = tempfile::tempdir().unwrap();
        let domain = folder.path().join("example.org");
        let mut watch = Watch::new(folder.path().join("none"));
        assert!(!watch.has_changed() && !watch.has_changed());
        let mut watch = Watch::new(folder.path().to_owned());
        fs::create_dir(&domain).unwrap();
        assert!(!watch.has_changed(), "an empty folder holds no key");
        fs::write(domain.join("one.next"), "key").unwrap();
        // Seen for the first time: the next file may be on its way.
        assert!(!watch.has_changed());
        fs::write(domain.join("one-ed25519.next"), "key").unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
        assert!(!watch.has_changed(), "they are read");
        fs::rename(domain.join("one.next"), domain.join("one.private")).unwrap();
        assert_eq!((watch.has_changed(), watch.has_changed(), watch.has_changed()), (false, true, false));
        fs::remove_file(domain.join("one.private")).unwrap();
        assert_eq!((watch.has_changed(), watch.has_changed(), watch.has_changed()), (false, true, false));
    }
}
