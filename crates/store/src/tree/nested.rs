//! Dovecot's `LAYOUT=fs`: folders in folders. One with `cur` in it is a mailbox, any other is only on the way to some.
//!
//! Dovecot takes every folder but `cur`, `new` and `tmp` for a name. So what is being made or removed is in the `tmp` of the
//! account, which no program looks through for folders, and parts of one file system can be renamed from there.

use std::io;

use rustix::fs::FileType;

use super::{DELETE_ATTEMPTS, TRASHED, Trash, built, down, has_mail};
use crate::acl;
use crate::dir::{Dir, found};
use crate::dotlock::{DotLock, MAILBOX};
use crate::error::StoreError;
use crate::folder::{NewMailbox, is_no_folder, is_taken};
use crate::mailbox_layout::{MailboxLayout, is_reserved};
use crate::name::{MAX_LEVELS, MailboxName};
use crate::quota::{Usage, count_mailbox};
use crate::uidlist;

/// Where what is unfinished lies.
const WORKSHOP: &str = "tmp";

/// The names of all folders.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) mailboxes: Vec<MailboxName>,
    pub(super) levels: Vec<MailboxName>,
}

pub(super) fn names(account: &Dir) -> io::Result<Names> {
    let mut names = Names::default();
    walk(account, &mut Vec::new(), &mut |name, dir| {
        if has_mail(dir)? {
            names.mailboxes.push(name);
        } else {
            names.levels.push(name);
        }
        Ok(())
    })?;
    Ok(names)
}

pub(super) fn count(account: &Dir, inbox: Usage, counts: &dyn Fn(&MailboxName) -> bool) -> io::Result<Usage> {
    let mut usage = inbox;
    walk(account, &mut Vec::new(), &mut |mailbox, dir| {
        if counts(&mailbox) {
            usage = usage.plus(count_mailbox(dir)?);
        }
        Ok(())
    })?;
    Ok(usage)
}

/// Calls `each` with every folder that has a name, parents before children. What cannot be opened has none, as with Dovecot.
fn walk(
    dir: &Dir,
    above: &mut Vec<Vec<u8>>,
    each: &mut dyn FnMut(MailboxName, &Dir) -> io::Result<()>,
) -> io::Result<()> {
    for entry in dir.names(FileType::Directory)? {
        let step = std::str::from_utf8(&entry).ok().filter(|step| !is_reserved(step, above.is_empty()));
        let inner = match step.map(|step| dir.open(step)) {
            None => continue,
            Some(Err(error)) if is_no_folder(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
                continue;
            }
            Some(inner) => inner?,
        };
        above.push(entry);
        let joined = above.join(&b'/');
        // The inbox is the account's folder; one of its name only has others in it.
        if joined == b"INBOX" {
            walk(&inner, above, each)?;
        } else if let Some(name) = MailboxLayout::Fs.parted(&joined) {
            each(name, &inner)?;
            if above.len() < MAX_LEVELS {
                walk(&inner, above, each)?;
            }
        }
        above.pop();
    }
    Ok(())
}

/// Makes the levels above where they are missing. A level that is there already becomes the mailbox.
pub(super) fn create(
    account: &Dir,
    (above, leaf): (&[String], &str),
    new: (&str, &NewMailbox<'_>),
) -> Result<String, StoreError> {
    let (workshop, _) = account.open_or_create(WORKSHOP)?;
    built(&workshop, new, |unfinished| {
        let above = down_or_make(account, above)?;
        match workshop.rename_to_free(unfinished.as_bytes(), &above, leaf.as_bytes()) {
            Err(error) if is_taken(&error) => fill(&workshop, unfinished, &above, leaf)?,
            result => result?,
        }
        Ok(above.sync()?)
    })
}

/// Moves what was built into a level that is there, `cur` at last: with that it is a mailbox.
fn fill(workshop: &Dir, unfinished: &str, above: &Dir, leaf: &str) -> Result<(), StoreError> {
    let level = match above.open(leaf) {
        Err(error) if is_no_folder(&error) => return Err(StoreError::AlreadyExists),
        level => level?,
    };
    let _lock = DotLock::acquire(&level, uidlist::NAME, MAILBOX)?;
    if found(level.stat_at(b"cur"))?.is_some() {
        return Err(StoreError::AlreadyExists);
    }
    let built = workshop.open(unfinished)?;
    for file in built.names(FileType::RegularFile)? {
        // Who may do what in a level is said by Dovecot's file there, and stays so.
        if file != acl::NAME.as_bytes() || found(level.stat_at(&file))?.is_none() {
            built.rename(&file, &level, &file)?;
        }
    }
    for part in ["tmp", "new"] {
        match built.rename_to_free(part.as_bytes(), &level, part.as_bytes()) {
            Err(error) if is_taken(&error) => {}
            result => result?,
        }
    }
    level.sync()?;
    match built.rename_to_free(b"cur", &level, b"cur") {
        Err(error) if is_taken(&error) => return Err(StoreError::AlreadyExists),
        result => result?,
    }
    level.sync()?;
    workshop.remove_tree(unfinished.as_bytes())?;
    Ok(())
}

/// Without `cur` it is no mailbox any more: that goes first, and everything else but the mailboxes in it follows.
pub(super) fn set_aside(account: &Dir, above: &[String], leaf: &str) -> Result<Trash, StoreError> {
    let Some(above) = down(account, above)? else { return Err(StoreError::NoSuchMailbox) };
    let mailbox = match above.open(leaf) {
        Err(error) if is_no_folder(&error) => return Err(StoreError::NoSuchMailbox),
        mailbox => mailbox?,
    };
    let (workshop, _) = account.open_or_create(WORKSHOP)?;
    let trashed = trash_in(&workshop)?;
    if found(mailbox.rename(b"cur", &trashed, b"cur"))?.is_none() {
        return Err(StoreError::NoSuchMailbox);
    }
    for part in ["new", "tmp"] {
        found(mailbox.rename(part.as_bytes(), &trashed, part.as_bytes()))?;
    }
    for file in mailbox.names(FileType::RegularFile)? {
        mailbox.unlink(file)?;
    }
    mailbox.sync()?;
    if above.remove_if_empty(leaf.as_bytes())? {
        above.sync()?;
    }
    Ok(Trash { holder: workshop })
}

fn trash_in(workshop: &Dir) -> Result<Dir, StoreError> {
    for _ in 0..DELETE_ATTEMPTS {
        match workshop.create(TRASHED) {
            Err(error) if is_taken(&error) => {
                found(workshop.remove_tree(TRASHED.as_bytes()))?;
            }
            trashed => return Ok(trashed?),
        }
    }
    Err(StoreError::Locked)
}

/// All below it moves with it, in one step.
pub(super) fn rename(account: &Dir, from: &[String], to: &[String]) -> Result<(), StoreError> {
    let (Some((from, above_from)), Some((to, above_to))) = (from.split_last(), to.split_last()) else {
        return Err(StoreError::BadName);
    };
    let above_from = down(account, above_from)?.ok_or(StoreError::NoSuchMailbox)?;
    let above_to = down_or_make(account, above_to)?;
    match above_from.rename_to_free(from.as_bytes(), &above_to, to.as_bytes()) {
        Err(error) if is_taken(&error) => return Err(StoreError::AlreadyExists),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::NoSuchMailbox),
        result => result?,
    }
    above_to.sync()?;
    Ok(above_from.sync()?)
}

/// Goes down, making levels where they are missing, durably.
fn down_or_make(account: &Dir, steps: &[String]) -> Result<Dir, StoreError> {
    let mut below = account.try_clone()?;
    for step in steps {
        let (next, made) = below
            .open_or_create(step)
            .map_err(|error| if is_no_folder(&error) { StoreError::BadName } else { error.into() })?;
        if made {
            below.sync()?;
        }
        below = next;
    }
    Ok(below)
}
