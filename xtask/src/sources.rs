//! The files of the repository, as the other modules read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}

/// One text file: its path from the root, with slashes, and its text.
pub struct Source {
    /// As in `crates/smtp/src/reply.rs`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// All files below `folders` with one of these endings, sorted by path.
pub fn files(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for folder in folders {
        collect(&root, &root.join(folder), endings, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// All Rust files of the project.
pub fn rust() -> Vec<Source> {
    files(&["crates", "xtask", "fuzz"], &["rs"])
}

fn collect(root: &Path, folder: &Path, endings: &[&str], found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let has_ending = path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known));
        if path.is_dir() && !path.ends_with("target") {
            collect(root, &path, endings, found);
        } else if has_ending && let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}
