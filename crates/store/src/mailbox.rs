//! An open mailbox: what it shows, and the calls that change it.

use std::io::{self, Read};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch::Receiver;

use crate::account::{Account, AccountState};
use crate::change::Stored;
use crate::compressed;
use crate::copy::{Appended, Copied};
use crate::dir::found;
use crate::error::StoreError;
use crate::expunged::Fate;
use crate::flags::{FlagChange, FlagKinds, Flags};
use crate::folder::Folder;
use crate::heard::{Heard, Own};
use crate::message::{Content, Message, ModSeq, Snapshot, Uid, UidValidity};
use crate::name::MailboxName;
use crate::pop3::Pop3Facts;
use crate::roster::Member;
use crate::scan::Place;
use crate::state::{Measurements, State};
use crate::sync::locked;

/// Largest file read as a message, in octets: twenty times the default message limit.
pub const MAX_MESSAGE_FILE: u64 = 1 << 30;

/// A mailbox that is open. Clones and further opens share one state; the last one gone forgets it.
#[derive(Clone, Debug)]
pub struct Mailbox(pub(crate) Arc<Shared>);

/// What all handles of one mailbox share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) account: Arc<AccountState>,
    pub(crate) folder: Folder,
    pub(crate) heard: Heard,
    name: Mutex<MailboxName>,
    pub(crate) state: Mutex<State>,
    /// Held by one move at a time, over all its steps. Never taken with a lock of another mailbox held.
    pub(crate) moving: Mutex<()>,
    /// Apart from the state, so that looking at it never waits for the disk.
    shown: Mutex<Arc<Snapshot>>,
    deleted: AtomicBool,
}

impl Shared {
    /// A mailbox that nobody has looked at yet.
    pub(crate) fn new(account: Arc<AccountState>, name: &MailboxName, folder: Folder) -> Self {
        let heard = Heard::new(&folder, account.watcher.as_ref());
        Self {
            state: Mutex::new(State::new(Own::new(&heard))),
            heard,
            folder,
            name: Mutex::new(name.clone()),
            moving: Mutex::default(),
            shown: Mutex::new(Arc::new(nothing())),
            deleted: AtomicBool::new(false),
            account,
        }
    }

    /// Takes the state for a change, unless the mailbox is gone.
    pub(crate) fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = locked(&self.state);
        if self.deleted.load(Relaxed) || self.folder.cur.is_removed()? {
            return Err(StoreError::NoSuchMailbox);
        }
        Ok(state)
    }

    /// Why something could not be done in the folder of this mailbox: what is missing there is all of it, where the mailbox is gone.
    pub(crate) fn or_gone(&self, error: StoreError) -> StoreError {
        let is_gone = || self.deleted.load(Relaxed) || self.folder.tmp.is_removed().unwrap_or(false);
        if is_gone() { StoreError::NoSuchMailbox } else { error }
    }

    /// Looks for the first time, once.
    pub(crate) fn load(&self) -> Result<(), StoreError> {
        let mut state = self.state()?;
        if self.shown().generation == 0 { self.look(&mut state) } else { Ok(()) }
    }

    /// What the mailbox shows now.
    pub(crate) fn shown(&self) -> Arc<Snapshot> {
        Arc::clone(&locked(&self.shown))
    }

    /// Shows `snapshot`, with the next generation, and tells those who wait.
    pub(crate) fn show(&self, mut snapshot: Snapshot) {
        let mut shown = locked(&self.shown);
        snapshot.generation = shown.generation + 1;
        *shown = Arc::new(snapshot);
        drop(shown);
        self.bump();
    }

    /// Tells those who wait that something changed.
    pub(crate) fn bump(&self) {
        self.heard.changes.send_modify(|count| *count += 1);
    }

    /// Its name now.
    pub(crate) fn name(&self) -> MailboxName {
        locked(&self.name).clone()
    }

    /// Follows a rename.
    pub(crate) fn rename(&self, name: &MailboxName) {
        *locked(&self.name) = name.clone();
        self.bump();
    }

    /// Follows a deletion: every later call answers that there is no such mailbox.
    pub(crate) fn delete(&self) {
        self.deleted.store(true, Relaxed);
        self.bump();
    }

    /// Waits for those who are at something in a mailbox that was deleted: their lock lies in its folder. Nobody comes after them.
    pub(crate) fn let_finish(&self) {
        drop(locked(&self.state));
    }
}

/// Stands for "never looked", with generation 0; no handle is given out before the first look.
fn nothing() -> Snapshot {
    Snapshot {
        uid_validity: UidValidity(NonZeroU32::MIN),
        uid_next: Uid(NonZeroU32::MIN),
        generation: 0,
        messages: Vec::new(),
        keywords: Vec::new(),
        highest_modseq: ModSeq::ZERO,
        unseen: OnceLock::new(),
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !self.deleted.load(Relaxed) {
            self.put_by(&state);
        }
    }
}

impl Mailbox {
    /// Its name now: another session may have renamed it.
    pub fn name(&self) -> MailboxName {
        self.0.name()
    }

    /// What was seen last, without a look at the disk.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.shown()
    }

    /// Looks at the folders: gives UIDs to new files, durably, and notices flags and removals by others.
    ///
    /// Costs a few system calls when nothing was changed but by this store, or nothing at all for two seconds. When the disk is full new messages
    /// stay unseen until their UIDs can be written; everything else still works.
    pub fn refresh(&self) -> Result<Arc<Snapshot>, StoreError> {
        let mut state = self.0.state()?;
        self.0.look(&mut state)?;
        Ok(self.snapshot())
    }

    /// As [`refresh`](Self::refresh), and moves what is in `new` to `cur`.
    ///
    /// The UIDs moved are `\Recent` for this caller (RFC 3501 §2.3.2): each message is given to one caller.
    pub fn select(&self) -> Result<(Arc<Snapshot>, Vec<Uid>), StoreError> {
        let mut state = self.0.state()?;
        self.0.look(&mut state)?;
        let recent = self.0.take_new(&mut state)?;
        Ok((self.snapshot(), recent))
    }

    /// Reads a message in CRLF form.
    ///
    /// Fails with [`StoreError::Expunged`] when it is gone; a file that another program renamed is looked
    /// for once more. A size that was shown wrong is shown right afterwards.
    pub fn read(&self, uid: Uid) -> Result<Content, StoreError> {
        let content = match self.0.read_file(uid)? {
            Some(bytes) => bytes,
            None => {
                let mut state = self.0.state()?;
                self.0.look_again(&mut state, None)?;
                drop(state);
                self.0.read_file(uid)?.ok_or(StoreError::Expunged)?
            }
        };
        let content = Content::from_file(compressed::expand(content));
        self.0.correct_size(uid, content.as_ref().len() as u64);
        Ok(content)
    }

    /// Changes flags by renaming files, durably. Returns the state after the change of every message that
    /// still exists. UIDs that do not are passed over.
    pub fn store_flags(&self, uids: &[Uid], change: &FlagChange) -> Result<Vec<(Uid, Flags)>, StoreError> {
        Ok(self.0.store_flags_unless_changed(uids, change, None)?.flags)
    }

    /// As [`store_flags`](Self::store_flags), but leaves alone what has changed after `since`, in this store or by
    /// another program (RFC 7162 §3.1.3).
    pub fn store_flags_unless_changed(
        &self,
        uids: &[Uid],
        change: &FlagChange,
        since: ModSeq,
    ) -> Result<Stored, StoreError> {
        self.0.store_flags_unless_changed(uids, change, Some(since))
    }

    /// The UIDs of messages that were removed after `since`, in the order of their removal; `None` when not all of them
    /// are remembered (RFC 7162 §3.2.5.1).
    pub fn removed_since(&self, since: ModSeq) -> Result<Option<Vec<Uid>>, StoreError> {
        Ok(self.0.state()?.history.removed_since(since))
    }

    /// Removes the messages with `\Deleted`, durably: all of them, or those among `only` (RFC 4315 §2.1).
    /// Returns what was removed.
    pub fn expunge(&self, only: Option<&[Uid]>) -> Result<Vec<Uid>, StoreError> {
        self.0.expunge(only)
    }

    /// Removes messages whatever their flags are, durably. Returns what was removed; UIDs that are gone are passed over.
    pub fn remove(&self, uids: &[Uid]) -> Result<Vec<Uid>, StoreError> {
        let mut state = self.0.state()?;
        self.0.remove(&mut state, uids, (|_| true, Fate::Expunged))
    }

    /// What is kept for POP3 of the messages that [`snapshot`](Self::snapshot) shows, where something is; `with_names`
    /// gives their own names as well, and then tells of all.
    pub fn pop3_facts(&self, with_names: bool) -> Result<Vec<Pop3Facts>, StoreError> {
        let state = self.0.state()?;
        Ok(state.members.iter().filter_map(|member| Pop3Facts::of(&member.entry, with_names)).collect())
    }

    /// Adds messages, durably, all or none of them; their UIDs rise in this order. They are nobody's `\Recent`.
    pub fn append(&self, messages: &[Appended]) -> Result<(UidValidity, Vec<Uid>), StoreError> {
        self.0.append(messages)
    }

    /// Adds a message to `target`, durably, and then removes `uid` here (RFC 8508 §3). A crash in between leaves both.
    ///
    /// It needs no room for what the old one has. Fails with [`StoreError::Expunged`] when that one is gone: then nothing is
    /// added.
    pub fn replace(
        &self,
        uid: Uid,
        message: &Appended,
        target: &Self,
    ) -> Result<(UidValidity, Uid), StoreError> {
        self.0.replace(uid, message, &target.0)
    }

    /// Copies messages with their flags and dates, durably, all or none of them (RFC 9051 §6.4.7).
    ///
    /// Fails with [`StoreError::Expunged`] when one of them is gone.
    pub fn copy_to(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        self.0.copy_to(uids, &target.0, FlagKinds::ALL)
    }

    /// As [`copy_to`](Self::copy_to), with the flags of some kinds only.
    pub fn copy_some_flags_to(
        &self,
        uids: &[Uid],
        target: &Self,
        kinds: FlagKinds,
    ) -> Result<Copied, StoreError> {
        self.0.copy_to(uids, &target.0, kinds)
    }

    /// Copies messages and then removes them here, durably. A crash in between leaves both (RFC 6851 §3.3).
    ///
    /// Gives the pairs of those that were moved; messages that another program took away meanwhile are not
    /// among them. Fails with [`StoreError::Expunged`] when one was gone before, or all are gone.
    pub fn move_to(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        self.0.move_to(uids, &target.0, FlagKinds::ALL)
    }

    /// As [`move_to`](Self::move_to), with the flags of some kinds only.
    pub fn move_some_flags_to(
        &self,
        uids: &[Uid],
        target: &Self,
        kinds: FlagKinds,
    ) -> Result<Copied, StoreError> {
        self.0.move_to(uids, &target.0, kinds)
    }

    /// Whether the account that the mailbox is of has room for so many more octets and messages.
    pub fn has_room(&self, octets: u64, messages: u64) -> Result<(), StoreError> {
        Account(Arc::clone(&self.0.account)).has_room(&self.0.name(), octets, messages)
    }

    /// Counts changes: by any handle of this mailbox, by delivery, and by other programs where inotify works.
    ///
    /// A moved count says that a [`refresh`](Self::refresh) may show something new.
    pub fn changes(&self) -> Receiver<u64> {
        self.0.heard.changes.subscribe()
    }
}

impl Shared {
    /// Moves new messages to `cur`. Their names keep flags that other programs gave them in `new`.
    fn take_new(&self, state: &mut State) -> Result<Vec<Uid>, StoreError> {
        let waiting = state.uids_in(Place::New);
        if waiting.is_empty() {
            return Ok(waiting);
        }
        let lock = self.lock_unless_full()?;
        let mut taken = Vec::new();
        for uid in waiting {
            if self.move_to_cur(state, uid)? {
                taken.push(uid);
            }
        }
        self.folder.cur.sync()?;
        drop(lock);
        self.publish(state, &Measurements::new());
        Ok(taken)
    }

    /// `false` when another program was faster: the next look finds the file.
    fn move_to_cur(&self, state: &mut State, uid: Uid) -> Result<bool, StoreError> {
        let Some(member) = state.member_mut(uid) else { return Ok(false) };
        let (Some((_, old)), Some(file)) = (member.file_name(), member.file.as_mut()) else {
            return Ok(false);
        };
        let info: Arc<[u8]> = if file.info.is_empty() { (*b":2,").into() } else { Arc::clone(&file.info) };
        let mut new = [&*member.entry.base, &*info].concat();
        match self.folder.new.rename(&old, &self.folder.cur, &new) {
            Ok(()) => (file.place, file.info) = (Place::Cur, info),
            // A name of full length has no room for flags, and needs none in `cur`.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                self.folder.new.rename(&old, &self.folder.cur, &old)?;
                file.place = Place::Cur;
                new.clone_from(&old);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        state.own.took(Place::New, &old);
        state.own.put(Place::Cur, &new);
        Ok(true)
    }

    /// The octets on disk; `None` when the file is not where it was.
    fn read_file(&self, uid: Uid) -> Result<Option<Vec<u8>>, StoreError> {
        let located = self.state()?.member(uid).and_then(Member::file_name);
        let Some((place, name)) = located else { return Ok(None) };
        let Some(file) = found(self.dir(place).open_file(&name))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(MAX_MESSAGE_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_MESSAGE_FILE {
            return Err(StoreError::TooLarge);
        }
        Ok(Some(bytes))
    }

    fn correct_size(&self, uid: Uid, size: u64) {
        let is_right = |message: &Message| message.size == size;
        let snapshot = self.shown();
        if snapshot.message(uid).is_none_or(is_right) {
            return;
        }
        // Under the lock of the state nobody else shows another snapshot meanwhile.
        let state = locked(&self.state);
        let shown = self.shown();
        let mut messages = shown.messages.clone();
        if let Ok(place) = messages.binary_search_by_key(&uid, |message| message.uid) {
            tracing::info!(%uid, told = messages[place].size, size, "a file's name told a wrong size");
            messages[place].size = size;
            self.show(Snapshot {
                messages,
                generation: 0,
                keywords: shown.keywords.clone(),
                unseen: shown.unseen.clone(),
                ..*shown
            });
        }
        drop(state);
    }
}
