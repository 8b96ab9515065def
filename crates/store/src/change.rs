//! Flags and removal: what is done to message files by renaming and unlinking them.

use std::collections::HashSet;
use std::io;

use kings_mutants::planted;

use crate::dotlock::DotLock;
use crate::error::StoreError;
use crate::expunged::Fate;
use crate::flags::{FlagChange, Flags, SystemFlag};
use crate::mailbox::Shared;
use crate::maildir::{self, Letters};
use crate::message::{ModSeq, Uid};
use crate::quota::{Usage, count_file};
use crate::roster::Located;
use crate::scan::Place;
use crate::state::{Measurements, State};

/// What [`Mailbox::store_flags_unless_changed`](crate::Mailbox::store_flags_unless_changed) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The state after the change of every message that still exists and had not changed before.
    pub flags: Vec<(Uid, Flags)>,
    /// What had changed, and was left as it is.
    pub left_alone: HashSet<Uid>,
}

/// Files that are changed before it is heard what inotify tells of them.
const HEARD_TOGETHER: usize = 1_000;

/// What became of one file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Nothing had to be done, or the message is gone.
    Left,
    /// The file is not where it was: another program renamed or removed it.
    Moved,
}

/// A change in letters instead of names.
#[derive(Clone, Copy)]
enum LetterChange {
    Replace(Letters),
    Add(Letters),
    Remove(Letters),
    /// These, and of the old ones those outside of the second.
    ReplaceSome(Letters, Letters),
}

impl LetterChange {
    fn apply(self, old: Letters) -> Letters {
        match self {
            Self::Replace(new) => new,
            Self::Add(more) => {
                Letters { system: old.system | more.system, keywords: old.keywords | more.keywords }
            }
            Self::Remove(less) => {
                Letters { system: old.system & !less.system, keywords: old.keywords & !less.keywords }
            }
            Self::ReplaceSome(new, within) => Letters {
                system: old.system & !within.system | new.system,
                keywords: old.keywords & !within.keywords | new.keywords,
            },
        }
    }
}

impl Shared {
    /// See [`Mailbox::store_flags`](crate::Mailbox::store_flags) and, with `since`,
    /// [`Mailbox::store_flags_unless_changed`](crate::Mailbox::store_flags_unless_changed).
    ///
    /// The name of a file is the last word on its flags, so a rename from the name that was seen cannot
    /// undo what another program did meanwhile: it fails, and the change is applied to the new name.
    pub(crate) fn store_flags_unless_changed(
        &self,
        uids: &[Uid],
        change: &FlagChange,
        since: Option<ModSeq>,
    ) -> Result<Stored, StoreError> {
        let mut state = self.state()?;
        if since.is_some() {
            self.look(&mut state)?;
        }
        let lock = self.lock_unless_full()?;
        let mut left_alone = HashSet::new();
        let letters = self.letter_change(&mut state, lock.as_ref(), change)?;
        let mut touched = false;
        let result = self.each_once_more(&mut state, lock.as_ref(), uids, |state, uid| {
            // What another program did meanwhile was noticed by the look after a rename that failed.
            if since.is_some_and(|since| self.shown().message(uid).is_some_and(|shown| shown.modseq > since))
            {
                left_alone.insert(uid);
                return Ok(Outcome::Left);
            }
            let outcome = self.set_letters(state, uid, letters)?;
            touched |= outcome == Outcome::Done;
            Ok(outcome)
        });
        if touched && !planted("flags-not-synced") {
            self.folder.cur.sync()?;
        }
        self.publish(&mut state, &Measurements::new());
        result?;
        let shown = self.shown();
        let done = uids.iter().filter(|uid| !left_alone.contains(uid));
        let flags = done.filter_map(|uid| Some((*uid, shown.message(*uid)?.flags.clone()))).collect();
        Ok(Stored { flags, left_alone })
    }

    /// Only keywords that are set need letters: taking away one the mailbox never had changes nothing.
    fn letter_change(
        &self,
        state: &mut State,
        lock: Option<&DotLock<'_>>,
        change: &FlagChange,
    ) -> Result<LetterChange, StoreError> {
        Ok(match change {
            FlagChange::Replace(flags) => LetterChange::Replace(self.letters_for(state, lock, flags)?),
            FlagChange::Add(flags) => LetterChange::Add(self.letters_for(state, lock, flags)?),
            FlagChange::Remove(flags) => LetterChange::Remove(state.keywords.known_letters(flags)),
            FlagChange::ReplaceSome(flags, kinds) => {
                let within = Letters {
                    system: kinds.system_bits(),
                    keywords: if kinds.others { u32::MAX } else { 0 },
                };
                LetterChange::ReplaceSome(self.letters_for(state, lock, &flags.only(*kinds))?, within)
            }
        })
    }

    fn set_letters(&self, state: &mut State, uid: Uid, change: LetterChange) -> Result<Outcome, StoreError> {
        let Some(member) = state.member_mut(uid) else { return Ok(Outcome::Left) };
        let Some((place, old_name)) = member.file_name() else { return Ok(Outcome::Left) };
        let old_info = maildir::split(&old_name).1;
        let old = maildir::letters(old_info);
        let new = change.apply(old);
        if new == old {
            return Ok(Outcome::Left);
        }
        let info = maildir::info_with(old_info, new);
        let new_name = [&*member.entry.base, &info].concat();
        match self.dir(place).rename(&old_name, &self.folder.cur, &new_name) {
            Ok(()) => {
                member.file = Some(Located { place: Place::Cur, info: info.into() });
                state.own.took(place, &old_name);
                state.own.put(Place::Cur, &new_name);
                Ok(Outcome::Done)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Moved),
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                tracing::warn!(%uid, "a file name is too long to take flags");
                Ok(Outcome::Left)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Does something to each message. Those whose files moved are looked for again, once for all.
    fn each_once_more(
        &self,
        state: &mut State,
        lock: Option<&DotLock<'_>>,
        uids: &[Uid],
        mut act: impl FnMut(&mut State, Uid) -> Result<Outcome, StoreError>,
    ) -> Result<(), StoreError> {
        let mut moved = Vec::new();
        for (turn, some) in uids.chunks(HEARD_TOGETHER).enumerate() {
            // The queue of the kernel has room for some thousand of them; what comes last is heard by the next look.
            if turn > 0 {
                self.is_up_to_date(state);
            }
            for &uid in some {
                if act(state, uid)? == Outcome::Moved {
                    moved.push(uid);
                }
            }
        }
        if !moved.is_empty() {
            self.look_again(state, lock)?;
            for uid in moved {
                act(state, uid)?;
            }
        }
        Ok(())
    }

    /// See [`Mailbox::expunge`](crate::Mailbox::expunge).
    pub(crate) fn expunge(&self, only: Option<&[Uid]>) -> Result<Vec<Uid>, StoreError> {
        let mut state = self.state()?;
        let deleted = state.uids_where(|member| {
            member.file.as_ref().is_some_and(|file| is_deleted(maildir::letters(&file.info)))
        });
        let wanted: Vec<Uid> = match only {
            None => deleted,
            Some(only) => {
                let only: HashSet<&Uid> = only.iter().collect();
                deleted.into_iter().filter(|uid| only.contains(uid)).collect()
            }
        };
        self.remove(&mut state, &wanted, (is_deleted, Fate::Expunged))
    }

    /// Removes the files of `uids` whose letters still satisfy `may`, durably: what is expunged stands where it can be put
    /// back from, if the operator wants that. Returns what was removed.
    ///
    /// No lock: unlinking hides no other file from anybody, and must work on a full disk.
    pub(crate) fn remove(
        &self,
        state: &mut State,
        uids: &[Uid],
        (may, fate): (fn(Letters) -> bool, Fate),
    ) -> Result<Vec<Uid>, StoreError> {
        let mut removed = Vec::new();
        let account = &self.account;
        let is_kept = fate == Fate::Expunged && !uids.is_empty();
        let bin = if is_kept { account.retention.bin(&account.tree, &self.name()) } else { None };
        let mut size = Usage::default();
        let mark = self.account.ledger.mark();
        let mut touched = [false; 2];
        let result = self.each_once_more(state, None, uids, |state, uid| {
            let Some(member) = state.member_mut(uid) else { return Ok(Outcome::Left) };
            let Some((place, name)) = member.file_name() else { return Ok(Outcome::Left) };
            if !may(maildir::letters(maildir::split(&name).1)) {
                return Ok(Outcome::Left);
            }
            let counted = count_file(self.dir(place), &name)?;
            let taken = match &bin {
                Some(bin) => bin.take(self.dir(place), &name, &account.root.names)?,
                None => self.dir(place).unlink(&name)?,
            };
            if !taken {
                return Ok(Outcome::Moved);
            }
            size = size.plus(counted);
            member.file = None;
            state.own.took(place, &name);
            removed.push(uid);
            touched[usize::from(place == Place::New)] = true;
            Ok(Outcome::Done)
        });
        if let Some(bin) = bin.filter(|_| touched != [false; 2]) {
            bin.sync()?;
            account.bound_what_is_kept(Some(size.octets));
        }
        for (place, touched) in [Place::Cur, Place::New].into_iter().zip(touched) {
            if touched && !planted("expunge-not-synced") {
                self.dir(place).sync()?;
            }
        }
        self.account.gone(&self.name(), mark, size);
        self.publish(state, &Measurements::new());
        result.map(|()| removed)
    }
}

fn is_deleted(letters: Letters) -> bool {
    letters.system & SystemFlag::Deleted as u8 != 0
}
