//! New messages with a UID at once: APPEND, COPY and MOVE.

use std::collections::HashSet;
use std::sync::Arc;

use kings_mail::date::DateTime;
use kings_mutants::planted;

use crate::error::StoreError;
use crate::expunged::Fate;
use crate::flags::{FlagKinds, Flags};
use crate::identity::inherited;
use crate::incoming::Incoming;
use crate::mailbox::Shared;
use crate::maildir;
use crate::message::{Uid, UidValidity};
use crate::partial::Partial;
use crate::quota::{Claim, Usage};
use crate::roster::{Located, Member};
use crate::scan::Place;
use crate::state::State;
use crate::sync::locked;
use crate::uidlist::Entry;

/// What COPYUID tells (RFC 4315 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Of the target mailbox.
    pub validity: UidValidity,
    /// Source and target UIDs, in the order of the request.
    pub pairs: Vec<(Uid, Uid)>,
}

/// A message on its way into a mailbox by APPEND.
#[derive(Debug)]
pub struct Appended {
    /// Its content, whole.
    pub content: Incoming,
    /// The flags it starts with.
    pub flags: Flags,
    /// When it arrived; now where nothing is said.
    pub internal_date: Option<DateTime>,
}

/// A file in `tmp` of its mailbox, the flags it shall have there, and the extensions of its line.
type Staged<'a> = (Partial<'a>, Flags, Option<Box<[u8]>>);

impl Shared {
    /// See [`Mailbox::append`](crate::Mailbox::append).
    pub(crate) fn append(&self, messages: &[Appended]) -> Result<(UidValidity, Vec<Uid>), StoreError> {
        self.add(messages, Claim::Saved)
    }

    fn add(&self, messages: &[Appended], who: Claim) -> Result<(UidValidity, Vec<Uid>), StoreError> {
        let root = &self.account.root;
        root.check_space()?;
        let stage = |message: &Appended| {
            let date = message.internal_date.map(DateTime::unix);
            let partial = Partial::write(&self.folder.tmp, &root.names, (b"", &message.content), date)?;
            Ok((partial, message.flags.clone(), None))
        };
        let staged = messages.iter().map(stage).collect::<Result<Vec<_>, StoreError>>();
        self.adopt(staged.map_err(|error| self.or_gone(error))?, who)
    }

    /// See [`Mailbox::replace`](crate::Mailbox::replace). Of two that replace one message at once, one finds it gone.
    pub(crate) fn replace(
        &self,
        uid: Uid,
        message: &Appended,
        target: &Self,
    ) -> Result<(UidValidity, Uid), StoreError> {
        let _alone = locked(&self.moving);
        self.load()?;
        let mut state = self.state()?;
        self.look(&mut state)?;
        drop(state);
        let shown = self.shown();
        let old = shown.message(uid).ok_or(StoreError::Expunged)?;
        // Only what it is larger needs room.
        let more = Usage { octets: message.content.len().saturating_sub(old.size), messages: 0 };
        let counts = self.account.ledger.counts(&self.name());
        let who = if counts { self.claim_for(target) } else { Claim::Saved };
        if who == Claim::Moved {
            self.account.claim(&target.name(), more, Claim::Saved)?;
        }
        let (validity, added) = target.add(std::slice::from_ref(message), who)?;
        let added = added.into_iter().next().ok_or(StoreError::Expunged)?;
        let mut state = self.state()?;
        let removed = self.remove(&mut state, &[uid], (|_| true, Fate::Expunged))?;
        drop(state);
        if removed.is_empty() {
            target.take_out(vec![(uid, added)])?;
            return Err(StoreError::Expunged);
        }
        Ok((validity, added))
    }

    /// See [`Mailbox::copy_to`](crate::Mailbox::copy_to).
    ///
    /// The two mailboxes are locked one after the other, never together: copies in both directions at
    /// once cannot wait for each other, and source and target may be the same.
    pub(crate) fn copy_to(
        &self,
        uids: &[Uid],
        target: &Self,
        kinds: FlagKinds,
    ) -> Result<Copied, StoreError> {
        self.second_names(uids, target, (Claim::Saved, kinds))
    }

    /// What is moved needs no room twice, unless somebody else gets it.
    fn claim_for(&self, target: &Self) -> Claim {
        if Arc::ptr_eq(&self.account, &target.account) { Claim::Moved } else { Claim::Saved }
    }

    fn second_names(
        &self,
        uids: &[Uid],
        target: &Self,
        (who, kinds): (Claim, FlagKinds),
    ) -> Result<Copied, StoreError> {
        self.account.root.check_space()?;
        let mut staged = self.stage(uids, target).map_err(|error| target.or_gone(error))?;
        for (_, flags, _) in &mut staged {
            *flags = flags.only(kinds);
        }
        let (validity, new_uids) = target.adopt(staged, who)?;
        Ok(Copied { validity, pairs: uids.iter().copied().zip(new_uids).collect() })
    }

    /// See [`Mailbox::move_to`](crate::Mailbox::move_to).
    ///
    /// The copies are on disk before the first original goes, so a crash leaves a message twice and never
    /// loses it. Two moves of the same messages must not both keep their copies: here one waits for the other
    /// and then finds the originals gone. Another program knows nothing of that, but a file can be unlinked
    /// only once: whoever did not unlink the original takes the copy back.
    pub(crate) fn move_to(
        &self,
        uids: &[Uid],
        target: &Self,
        kinds: FlagKinds,
    ) -> Result<Copied, StoreError> {
        let _alone = locked(&self.moving);
        let mut copied = self.second_names(uids, target, (self.claim_for(target), kinds))?;
        let mut state = self.state()?;
        // What somebody else took into his account is gone for the owner of this one.
        let is_same = Arc::ptr_eq(&self.account, &target.account);
        let fate = if is_same { Fate::Gone } else { Fate::Expunged };
        let removed: HashSet<Uid> = self.remove(&mut state, uids, (|_| true, fate))?.into_iter().collect();
        drop(state);
        let (moved, lost) = copied.pairs.into_iter().partition(|(original, _)| removed.contains(original));
        copied.pairs = moved;
        target.take_out(lost)?;
        if copied.pairs.is_empty() && !uids.is_empty() { Err(StoreError::Expunged) } else { Ok(copied) }
    }

    /// Removes copies whose originals somebody else removed, and perhaps moved, at the same time.
    fn take_out(&self, pairs: Vec<(Uid, Uid)>) -> Result<(), StoreError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let copies: Vec<Uid> = pairs.into_iter().map(|(_, copy)| copy).collect();
        let mut state = self.state()?;
        self.remove(&mut state, &copies, (|_| true, Fate::Gone)).map(drop)
    }

    /// Gives every message a second name in `tmp` of the target.
    fn stage<'a>(&self, uids: &[Uid], target: &'a Self) -> Result<Vec<Staged<'a>>, StoreError> {
        let mut state = self.state()?;
        let mut staged = Vec::with_capacity(uids.len());
        let mut looked = false;
        for &uid in uids {
            let one = match self.stage_one(&state, uid, target) {
                Err(StoreError::Expunged) if !looked => {
                    looked = true;
                    self.look_again(&mut state, None)?;
                    self.stage_one(&state, uid, target)
                }
                result => result,
            };
            staged.push(one?);
        }
        Ok(staged)
    }

    fn stage_one<'a>(&self, state: &State, uid: Uid, target: &'a Self) -> Result<Staged<'a>, StoreError> {
        let member = state.member(uid).ok_or(StoreError::Expunged)?;
        let (place, name) = member.file_name().ok_or(StoreError::Expunged)?;
        let shown = self.shown();
        let size = shown.message(uid).ok_or(StoreError::Expunged)?.size;
        let flags = state.keywords.flags(maildir::letters(maildir::split(&name).1));
        let from = (self.dir(place), name.as_slice());
        let partial = Partial::link(&target.folder.tmp, &self.account.root.names, from, size)?;
        Ok((partial, flags, Some(inherited(&member.entry))))
    }

    /// Gives files in `tmp` their places and UIDs, all or none.
    ///
    /// First the files and their folder, then the list: a crash in between leaves messages without UIDs,
    /// which the next look numbers, and nobody was told of them yet.
    fn adopt(&self, staged: Vec<Staged<'_>>, who: Claim) -> Result<(UidValidity, Vec<Uid>), StoreError> {
        let size = staged.iter().map(|(partial, ..)| Usage::message(partial.measured().disk));
        let room = self.account.claim(&self.name(), size.fold(Usage::default(), Usage::plus), who)?;
        let mut state = self.state()?;
        self.account.settle(&self.name(), &self.folder)?;
        let lock = self.lock_list()?;
        if self.list_changed(&state)? {
            // UIDs that others gave stand below the next one and must be shown before it.
            self.look_again(&mut state, Some(&lock))?;
        }
        if !state.has_uids_for(staged.len()) {
            self.renumber(&mut state, 0, true)?;
            self.look_again(&mut state, Some(&lock))?;
        }
        let mut members = Vec::with_capacity(staged.len());
        for ((partial, flags, extensions), uid) in staged.iter().zip(state.header.next..) {
            let letters = self.letters_for(&mut state, Some(&lock), flags)?;
            let file = Located { place: Place::Cur, info: maildir::info_with(b"", letters).into() };
            let entry = Entry { uid, extensions: extensions.clone(), base: partial.base().into() };
            members.push(Member { entry, file: Some(file) });
        }
        let uids = members.iter().filter_map(|member| Uid::new(member.entry.uid)).collect();
        let measured =
            staged.iter().map(|(partial, ..)| (partial.base().into(), partial.measured())).collect();
        let mut placed = Vec::with_capacity(staged.len());
        let written = self
            .place_all(&mut state, staged, &members, &mut placed)
            .and_then(|()| self.write_list(&mut state, &lock, members));
        if let Err(error) = written {
            self.take_back(&placed);
            state.must_look();
            return Err(error);
        }
        self.account.fill(room);
        self.publish(&mut state, &measured);
        Ok((self.shown().uid_validity, uids))
    }

    fn place_all(
        &self,
        state: &mut State,
        staged: Vec<Staged<'_>>,
        members: &[Member],
        placed: &mut Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let names = members.iter().filter_map(Member::file_name);
        for ((partial, ..), (_, name)) in staged.into_iter().zip(names) {
            partial.place(&self.folder.cur, &name)?;
            state.own.put(Place::Cur, &name);
            placed.push(name);
        }
        if !planted("added-not-synced") {
            self.folder.cur.sync()?;
        }
        Ok(())
    }

    fn take_back(&self, placed: &[Vec<u8>]) {
        for name in placed {
            if let Err(error) = self.folder.cur.unlink(name) {
                tracing::warn!(%error, "a copy that failed cannot be removed and will show up");
            }
        }
    }
}
