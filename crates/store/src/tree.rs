//! The folders of an account's mailboxes: the one place where names become folders of the disk, for either layout.

mod flat;
mod nested;

use std::io;
use std::path::{Path, PathBuf};

use crate::dir::{Dir, found};
use crate::error::StoreError;
use crate::folder::{self, NewMailbox, is_no_folder};
use crate::mailbox_layout::MailboxLayout;
use crate::name::MailboxName;
use crate::quota::{Usage, count_mailbox};

/// What a mailbox is called while it is removed. Dovecot knows the name in Maildir++, hides it and sweeps it.
pub(crate) const TRASHED: &str = "..DOVECOT-TRASHED";
/// Attempts to remove an earlier leftover of that name.
const DELETE_ATTEMPTS: usize = 3;

/// The folder of an account, and how its mailboxes lie in it.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: Dir,
    layout: MailboxLayout,
}

/// A mailbox that was taken out of sight, on its way to be removed.
#[derive(Debug)]
pub(crate) struct Trash {
    holder: Dir,
}

impl Trash {
    /// Its folders, as far as they were there.
    pub(crate) fn open(&self) -> io::Result<Dir> {
        self.holder.open(TRASHED)
    }

    /// Removes it for good.
    pub(crate) fn remove(self) -> io::Result<()> {
        self.holder.remove_tree(TRASHED.as_bytes())
    }
}

impl Tree {
    pub(crate) fn new(dir: Dir, layout: MailboxLayout) -> Self {
        Self { dir, layout }
    }

    /// The folder of the account, which is that of the inbox too.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn layout(&self) -> MailboxLayout {
        self.layout
    }

    /// The folder of a mailbox, with nothing in it opened or made; `None` when there is no such mailbox.
    pub(crate) fn folder(&self, name: &MailboxName) -> io::Result<Option<Dir>> {
        let Some(dir) = self.open(name)? else { return Ok(None) };
        let is_mailbox = name.is_inbox() || self.layout == MailboxLayout::MaildirPlusPlus || has_mail(&dir)?;
        Ok(is_mailbox.then_some(dir))
    }

    /// Whether a folder has this name, of a mailbox or not.
    pub(crate) fn has(&self, name: &MailboxName) -> io::Result<bool> {
        Ok(self.open(name)?.is_some())
    }

    fn open(&self, name: &MailboxName) -> io::Result<Option<Dir>> {
        match self.layout.steps(name) {
            Some(steps) => down(&self.dir, &steps),
            None => Ok(None),
        }
    }

    /// The mailboxes that have a folder of their own, in no order. The inbox is not among them.
    pub(crate) fn names(&self) -> io::Result<Vec<MailboxName>> {
        match self.layout {
            MailboxLayout::MaildirPlusPlus => flat::names(&self.dir),
            MailboxLayout::Fs => Ok(nested::names(&self.dir)?.mailboxes),
        }
    }

    /// The mailboxes, and the folders that are only on the way to others.
    pub(crate) fn names_and_levels(&self) -> io::Result<(Vec<MailboxName>, Vec<MailboxName>)> {
        match self.layout {
            MailboxLayout::MaildirPlusPlus => Ok((flat::names(&self.dir)?, Vec::new())),
            MailboxLayout::Fs => nested::names(&self.dir).map(|names| (names.mailboxes, names.levels)),
        }
    }

    /// Where a mailbox or a level lies below the folder at `account`. Only for watching.
    pub(crate) fn path(&self, account: &Path, name: &MailboxName) -> PathBuf {
        let steps = self.layout.steps(name).unwrap_or_default();
        steps.iter().fold(account.to_owned(), |path, step| path.join(step))
    }

    /// The folders whose entries are names too, besides that of the account.
    pub(crate) fn name_holders(&self) -> io::Result<Vec<MailboxName>> {
        match self.layout {
            MailboxLayout::MaildirPlusPlus => Ok(Vec::new()),
            MailboxLayout::Fs => {
                nested::names(&self.dir).map(|names| [names.mailboxes, names.levels].concat())
            }
        }
    }

    /// The folders above that of a mailbox, that of the account first.
    pub(crate) fn above(&self, name: &MailboxName) -> io::Result<Vec<Dir>> {
        let steps = self.layout.steps(name).unwrap_or_default();
        let mut above = vec![self.dir.try_clone()?];
        for step in steps.split_last().map_or(&[][..], |(_, above)| above) {
            let next = above.last().unwrap_or(&self.dir).open(step)?;
            above.push(next);
        }
        Ok(above)
    }

    /// Makes a mailbox, durably: until it is whole there is none. Returns its GUID.
    pub(crate) fn create(
        &self,
        name: &MailboxName,
        unique: &str,
        new: &NewMailbox<'_>,
    ) -> Result<String, StoreError> {
        let steps = self.layout.steps(name).ok_or(StoreError::BadName)?;
        let Some((leaf, above)) = steps.split_last() else { return Err(StoreError::AlreadyExists) };
        match self.layout {
            MailboxLayout::MaildirPlusPlus => flat::create(&self.dir, leaf, (unique, new)),
            MailboxLayout::Fs => nested::create(&self.dir, (above, leaf), (unique, new)),
        }
    }

    /// Takes a mailbox out of sight in one step, durably. Those below it stay.
    pub(crate) fn set_aside(&self, name: &MailboxName) -> Result<Trash, StoreError> {
        let steps = self.layout.steps(name).ok_or(StoreError::NoSuchMailbox)?;
        let Some((leaf, above)) = steps.split_last() else { return Err(StoreError::CannotDeleteInbox) };
        match self.layout {
            MailboxLayout::MaildirPlusPlus => flat::set_aside(&self.dir, leaf),
            MailboxLayout::Fs => nested::set_aside(&self.dir, above, leaf),
        }
    }

    /// Removes a folder that is no mailbox and on the way to none; `false` where it is not there or not empty.
    pub(crate) fn remove_level(&self, name: &MailboxName) -> Result<bool, StoreError> {
        let steps = self.layout.steps(name).unwrap_or_default();
        let Some((leaf, above)) = steps.split_last() else { return Ok(false) };
        let Some(above) = down(&self.dir, above)? else { return Ok(false) };
        // A folder of Maildir++ is a mailbox, and never empty.
        let removed = self.layout == MailboxLayout::Fs && above.remove_if_empty(leaf.as_bytes())?;
        if removed {
            above.sync()?;
        }
        Ok(removed)
    }

    /// Renames a mailbox or level and all below it, durably: all of them or none. `each` has the names of all mailboxes that
    /// move, parents before children.
    pub(crate) fn rename(
        &self,
        (from, to): (&MailboxName, &MailboxName),
        each: &[(MailboxName, MailboxName)],
    ) -> Result<(), StoreError> {
        let steps = |name: &MailboxName| self.layout.steps(name).ok_or(StoreError::BadName);
        match self.layout {
            MailboxLayout::MaildirPlusPlus => {
                let pair = |(from, to): &(MailboxName, MailboxName)| {
                    Ok((steps(from)?.concat(), steps(to)?.concat()))
                };
                flat::rename(&self.dir, &each.iter().map(pair).collect::<Result<Vec<_>, StoreError>>()?)
            }
            MailboxLayout::Fs => nested::rename(&self.dir, &steps(from)?, &steps(to)?),
        }
    }

    /// Everything in those mailboxes of the account that count.
    pub(crate) fn count(&self, counts: &dyn Fn(&MailboxName) -> bool) -> io::Result<Usage> {
        let inbox = if counts(&MailboxName::inbox()) { count_mailbox(&self.dir)? } else { Usage::default() };
        match self.layout {
            MailboxLayout::MaildirPlusPlus => flat::count(&self.dir, inbox, counts),
            MailboxLayout::Fs => nested::count(&self.dir, inbox, counts),
        }
    }
}

/// Goes down step by step; `None` where a step is missing or no folder.
pub(crate) fn down(from: &Dir, steps: &[String]) -> io::Result<Option<Dir>> {
    let mut below = from.try_clone()?;
    for step in steps {
        below = match below.open(step) {
            Err(error) if is_no_folder(&error) => return Ok(None),
            next => next?,
        };
    }
    Ok(Some(below))
}

/// Whether a folder is a mailbox where folders may be levels only.
fn has_mail(dir: &Dir) -> io::Result<bool> {
    use rustix::fs::FileType;
    let cur = found(dir.stat_at(b"cur"))?;
    Ok(cur.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
}

/// Builds a mailbox in `workshop` and has it put in its place; what was not is removed.
fn built(
    workshop: &Dir,
    (unique, new): (&str, &NewMailbox<'_>),
    place: impl FnOnce(&str) -> Result<(), StoreError>,
) -> Result<String, StoreError> {
    let unfinished = format!("{}{unique}", folder::UNFINISHED);
    let made = folder::build(workshop, &unfinished, new).and_then(|guid| place(&unfinished).map(|()| guid));
    if made.is_err() {
        // What cannot be removed now is swept as a leftover later.
        let _ = workshop.remove_tree(unfinished.as_bytes());
    }
    made
}
