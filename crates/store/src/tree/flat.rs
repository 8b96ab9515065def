//! Maildir++: all mailboxes beside each other in the folder of the account, with a dot before each name.

use std::io;

use rustix::fs::FileType;

use super::{DELETE_ATTEMPTS, TRASHED, Trash, built};
use crate::dir::{Dir, found};
use crate::error::StoreError;
use crate::folder::{NewMailbox, is_no_folder, is_taken};
use crate::mailbox_layout::MailboxLayout;
use crate::name::MailboxName;
use crate::quota::{Usage, count_mailbox};

pub(super) fn names(account: &Dir) -> io::Result<Vec<MailboxName>> {
    let name = |entry: &Vec<u8>| MailboxLayout::MaildirPlusPlus.parted(entry.strip_prefix(b".")?);
    let folders = account.names(FileType::Directory)?;
    Ok(folders.iter().filter_map(name).filter(|name| !name.is_inbox()).collect())
}

/// In one step: it is built under another name first, so that a crash leaves either no mailbox or a whole one.
pub(super) fn create(
    account: &Dir,
    folder: &str,
    new: (&str, &NewMailbox<'_>),
) -> Result<String, StoreError> {
    let guid = built(account, new, |unfinished| {
        match account.rename_to_free(unfinished.as_bytes(), account, folder.as_bytes()) {
            Err(error) if is_taken(&error) => Err(StoreError::AlreadyExists),
            result => Ok(result?),
        }
    })?;
    account.sync()?;
    Ok(guid)
}

pub(super) fn set_aside(account: &Dir, folder: &str) -> Result<Trash, StoreError> {
    for _ in 0..DELETE_ATTEMPTS {
        match account.rename_to_free(folder.as_bytes(), account, TRASHED.as_bytes()) {
            Err(error) if is_taken(&error) => {
                found(account.remove_tree(TRASHED.as_bytes()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoSuchMailbox);
            }
            result => {
                result?;
                account.sync()?;
                return Ok(Trash { holder: account.try_clone()? });
            }
        }
    }
    Err(StoreError::Locked)
}

/// What was renamed before a failure is renamed back.
pub(super) fn rename(account: &Dir, renames: &[(String, String)]) -> Result<(), StoreError> {
    let step = |from: &str, to: &str| match account.rename_to_free(from.as_bytes(), account, to.as_bytes()) {
        Err(error) if is_taken(&error) => Err(StoreError::AlreadyExists),
        result => Ok(result?),
    };
    for (done, (from, to)) in renames.iter().enumerate() {
        if let Err(error) = step(from, to) {
            for (from, to) in renames[..done].iter().rev() {
                step(to, from)?;
            }
            return Err(error);
        }
    }
    Ok(account.sync()?)
}

/// A folder that is no mailbox by its name counts all the same.
pub(super) fn count(account: &Dir, inbox: Usage, counts: &dyn Fn(&MailboxName) -> bool) -> io::Result<Usage> {
    let named = |folder: &[u8]| MailboxLayout::MaildirPlusPlus.parted(folder.strip_prefix(b".")?);
    let mut folders = Vec::new();
    account.read(|name, kind| {
        // A folder with two dots is one that is being removed.
        let is_folder = matches!(kind, FileType::Directory | FileType::Unknown);
        let is_folder = is_folder && name.starts_with(b".") && !name.starts_with(b"..");
        if is_folder && named(name).is_none_or(|mailbox| counts(&mailbox)) {
            folders.push(name.to_vec());
        }
    })?;
    let mut usage = inbox;
    for name in folders {
        match account.open(&name) {
            Ok(folder) => usage = usage.plus(count_mailbox(&folder)?),
            Err(error) if is_no_folder(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(usage)
}
