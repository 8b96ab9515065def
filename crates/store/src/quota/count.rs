//! Counting what an account holds: names of message files, and their sizes where the names do not tell.

use std::io;

use super::Usage;
use crate::dir::{Dir, found};
use crate::folder::is_no_folder;
use crate::maildir;

/// Everything in one mailbox.
pub(crate) fn mailbox(folder: &Dir) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for part in ["cur", "new"] {
        match folder.open(part) {
            Ok(dir) => usage = usage.plus(files(&dir)?),
            Err(error) if is_no_folder(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(usage)
}

fn files(dir: &Dir) -> io::Result<Usage> {
    let mut usage = Usage::default();
    let mut unnamed = Vec::new();
    dir.read(|name, _| match size_in_name(name) {
        Some(octets) => usage = usage.plus(Usage::message(octets)),
        None => unnamed.push(name.to_vec()),
    })?;
    for name in unnamed {
        // Gone in between: then it counts no more.
        if let Some(stat) = found(dir.stat_at(&name))? {
            usage = usage.plus(Usage::message(stat.st_size.try_into().unwrap_or_default()));
        }
    }
    Ok(usage)
}

/// What a file counts for by its name.
fn size_in_name(name: &[u8]) -> Option<u64> {
    maildir::size_field(maildir::split(name).0, b'S')
}

/// What a file counts for; nothing where it is gone.
pub(crate) fn file(dir: &Dir, name: &[u8]) -> io::Result<Usage> {
    let told = match size_in_name(name) {
        Some(octets) => Some(octets),
        None => found(dir.stat_at(name))?.map(|stat| stat.st_size.try_into().unwrap_or_default()),
    };
    Ok(told.map(Usage::message).unwrap_or_default())
}
