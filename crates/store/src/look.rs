//! Looking at a mailbox: gathers what is on disk until it can be relied on.

use std::io;
use std::io::Read;
use std::sync::Arc;

use crate::clock::unix_now;
use crate::dir::{Dir, Stamp, found};
use crate::dotlock::{DotLock, MAILBOX};
use crate::error::StoreError;
use crate::folder::random_guid;
use crate::keywords::{self, Keywords};
use crate::list_file;
use crate::mailbox::Shared;
use crate::maildir;
use crate::message::{Snapshot, Uid};
use crate::roster::{self, Matching, Member, Reconciled};
use crate::scan::{self, Pass, Place, Seen};
use crate::state::{Measurements, State};
use crate::uidlist::{self, Entry, Header, Health};

/// Most readings of the folders in one look: each after the first because files moved under the one before.
const MAX_PASSES: usize = 8;
/// Readings in a row that prove a file gone when the folders seemed quiet at the last of them.
const ENOUGH_PASSES: usize = 3;
/// Two names of one file are a leftover, not a rename in progress, after this many seconds (as Dovecot).
const TWIN_AGE: i64 = 30;
/// Far beyond 26 keywords.
const MAX_KEYWORDS_FILE: u64 = 64 * 1024;

/// Readings of the folders that can be relied on, and what files were measured.
pub(crate) struct Settled {
    pub(crate) pass: Pass,
    pub(crate) matching: Matching,
    pub(crate) measured: Measurements,
}

impl Shared {
    /// The folder for a place.
    pub(crate) fn dir(&self, place: Place) -> &Dir {
        match place {
            Place::New => &self.folder.new,
            Place::Cur => &self.folder.cur,
        }
    }

    /// Waits for the mailbox lock.
    pub(crate) fn lock_list(&self) -> Result<DotLock<'_>, StoreError> {
        DotLock::acquire(&self.folder.root, uidlist::NAME, MAILBOX)
    }

    /// Waits for the mailbox lock, which a full or read-only disk cannot hold: then whatever needs no new
    /// space goes on without it.
    pub(crate) fn lock_unless_full(&self) -> Result<Option<DotLock<'_>>, StoreError> {
        match self.lock_list() {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if cannot_write(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notices what changed since the last look.
    ///
    /// Without news, or with none but what was done here, this costs a few system calls. With nothing but changed flags no
    /// lock is needed. New files, and files that seem gone, are looked at again under the lock, which keeps Dovecot still.
    pub(crate) fn look(&self, state: &mut State) -> Result<(), StoreError> {
        self.read_keywords(state)?;
        let on_disk = state.on_disk.as_ref().map(|on_disk| on_disk.stamp);
        let list_is_known = on_disk.is_some() && list_file::stamp(&self.folder.root)? == on_disk;
        if list_is_known && (self.is_up_to_date(state) || state.has_looked_at(&self.folder)?) {
            return Ok(());
        }
        if list_is_known && !state.rewrite && self.look_at_flags(state)? {
            return Ok(());
        }
        match self.lock_unless_full()? {
            Some(lock) => self.look_locked(state, &lock),
            None => self.look_without_writing(state),
        }
    }

    /// Looks although nothing seems to have changed, because a file was not where it should be.
    pub(crate) fn look_again(&self, state: &mut State, lock: Option<&DotLock<'_>>) -> Result<(), StoreError> {
        state.must_look();
        match lock {
            Some(lock) => self.look_locked(state, lock),
            None => self.look(state),
        }
    }

    /// Whether somebody else wrote the list since it was last read or written here.
    pub(crate) fn list_changed(&self, state: &State) -> Result<bool, StoreError> {
        let known = state.on_disk.as_ref().map(|on_disk| on_disk.stamp);
        Ok(known.is_none() || list_file::stamp(&self.folder.root)? != known)
    }

    /// One reading without the lock; `false` when it shows anything but known files with other flags.
    fn look_at_flags(&self, state: &mut State) -> Result<bool, StoreError> {
        let pass = self.read_folders(state)?;
        let matching = self.match_files(state, &pass);
        let lost = pairs(state, &matching).any(|(member, seen)| member.file.is_some() && seen.is_none());
        let back = pairs(state, &matching).any(|(member, seen)| member.file.is_none() && seen.is_some());
        let news = back || !matching.strangers.is_empty() || !matching.twins.is_empty();
        if news || lost && !pass.proven {
            return Ok(false);
        }
        state.place(&pass, &matching.files);
        self.publish(state, &Measurements::new());
        Ok(true)
    }

    /// The whole look, under the lock.
    pub(crate) fn look_locked(&self, state: &mut State, lock: &DotLock<'_>) -> Result<(), StoreError> {
        self.read_keywords(state)?;
        self.read_list(state, true)?;
        let settled = self.settle(state)?;
        self.admit(state, lock, settled)
    }

    /// As much of a look as a disk allows that takes no writes: files without a UID stay unseen.
    fn look_without_writing(&self, state: &mut State) -> Result<(), StoreError> {
        self.read_list(state, false)?;
        let Settled { pass, matching, measured } = self.settle(state)?;
        if !matching.strangers.is_empty() {
            tracing::warn!(waiting = matching.strangers.len(), "no space to give UIDs to new messages");
        }
        state.place(&pass, &matching.files);
        state.must_look();
        self.publish(state, &measured);
        Ok(())
    }
}

/// Whether of two files with one base it is `first` that came later: the UID belongs to the other one. That is the one that
/// was there at the last look, or the one in `cur`, where nothing is put by those who deliver.
fn is_newcomer(state: &State, first: &Seen, second: &Seen) -> bool {
    let known = state.members.iter().find(|member| *member.entry.base == *first.base());
    let known = known.and_then(Member::file_name);
    let is_known = |seen: &Seen| {
        known.as_ref().is_some_and(|(place, name)| *place == seen.place && **name == *seen.name)
    };
    is_known(second) || !is_known(first) && first.place == Place::New && second.place == Place::Cur
}

/// Members with the numbers of their files.
fn pairs<'a>(state: &'a State, matching: &'a Matching) -> impl Iterator<Item = (&'a Member, Option<usize>)> {
    state.members.iter().zip(matching.files.iter().copied())
}

pub(crate) fn cannot_write(error: &StoreError) -> bool {
    match error {
        StoreError::NoSpace => true,
        StoreError::Io(error) => error.kind() == io::ErrorKind::ReadOnlyFilesystem,
        _ => false,
    }
}

// Gather: the list, the keywords, the files.
impl Shared {
    /// Reads the keywords when their file changed.
    pub(crate) fn read_keywords(&self, state: &mut State) -> Result<(), StoreError> {
        let stat = found(self.folder.root.stat_at(keywords::NAME.as_bytes()))?;
        let stamp = stat.map(|stat| Stamp::of(&stat));
        if stamp == state.keywords_stamp {
            return Ok(());
        }
        let mut text = Vec::new();
        if let Some(file) = found(self.folder.root.open_file(keywords::NAME))? {
            file.take(MAX_KEYWORDS_FILE).read_to_end(&mut text)?;
        }
        (state.keywords, state.keywords_stamp) = (Keywords::parse(&text), stamp);
        state.must_look();
        Ok(())
    }

    /// Reads the list when somebody else wrote it. A list that is lost, damaged or contradicts what clients
    /// were told is given up, with all its UIDs, for a higher UIDVALIDITY; that needs `may_write`.
    fn read_list(&self, state: &mut State, may_write: bool) -> Result<(), StoreError> {
        if !self.list_changed(state)? {
            return Ok(());
        }
        let Some((parsed, on_disk)) = list_file::read(&self.folder.root)? else {
            return self.renumber(state, 0, may_write);
        };
        let told = parsed.header.validity;
        if parsed.health == Health::Damaged {
            tracing::warn!(validity = told, "a damaged dovecot-uidlist is replaced");
            state.inherit(parsed);
            return self.renumber(state, told, may_write);
        }
        if told < state.header.validity {
            return self.renumber(state, told, may_write);
        }
        if told > state.header.validity && may_write {
            self.account.reserve_validity(told)?;
        }
        if told > state.header.validity {
            (state.header, state.members) = (Header::default(), Vec::new());
        }
        let unfinished = parsed.health == Health::Rewrite;
        let known = std::mem::take(&mut state.members);
        match roster::reconcile(known, &state.header, parsed) {
            Reconciled::Members { members, header, incomplete } => {
                (state.members, state.header) = (members, header);
                state.rewrite = unfinished || incomplete;
                state.on_disk = Some(on_disk);
                Ok(())
            }
            Reconciled::Contradiction => {
                tracing::warn!(validity = told, "dovecot-uidlist gave a UID to another message");
                self.renumber(state, told, may_write)
            }
        }
    }

    /// Starts over under a UIDVALIDITY above the last one and above `told`.
    pub(crate) fn renumber(&self, state: &mut State, told: u32, may_write: bool) -> Result<(), StoreError> {
        if !may_write {
            return Err(StoreError::NoSpace);
        }
        let validity = self.account.next_validity(told.max(state.header.validity))?;
        let guid = match state.header.guid.take() {
            Some(guid) => guid,
            None => random_guid()?,
        };
        for member in std::mem::take(&mut state.members) {
            state.remember(member.entry);
        }
        let further = std::mem::take(&mut state.header.further);
        state.header = Header { validity, next: 1, guid: Some(guid), further };
        (state.on_disk, state.rewrite) = (None, true);
        Ok(())
    }

    /// Reads the folders once.
    fn read_folders(&self, state: &mut State) -> io::Result<Pass> {
        self.listen_anew(state);
        let mut pass = scan::pass(&self.folder)?;
        pass.proven |= self.was_still();
        Ok(pass)
    }

    fn match_files(&self, state: &State, pass: &Pass) -> Matching {
        let exists = |seen: &Seen| self.dir(seen.place).stat_at(&seen.name).is_ok();
        roster::match_files(&state.members, &pass.seen, exists)
    }

    /// Reads the folders until a reading can be relied on.
    ///
    /// Another program's rename can hide a file from a reading. A file counts as gone only when a reading
    /// missed it during which the folders provably did not change, or when several in a row missed it.
    pub(crate) fn settle(&self, state: &mut State) -> Result<Settled, StoreError> {
        let before = self.snapshot_of(state);
        let mut measured = Measurements::new();
        let mut earlier: Vec<(Vec<Seen>, Matching)> = Vec::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut pass = self.read_folders(state)?;
            let mut matching = self.match_files(state, &pass);
            let is_last = attempt >= MAX_PASSES;
            if self.part_twins(state, &pass, &matching)? && !is_last {
                continue;
            }
            let vanished =
                self.measure_all(state, (&pass, &mut matching), before.as_deref(), &mut measured)?;
            if !pass.proven {
                roster::recall(&earlier, &mut pass.seen, &mut matching);
            }
            let lost = pairs(state, &matching)
                .any(|(member, seen)| seen.is_none() && (member.file.is_some() || before.is_none()));
            let sure = pass.proven || attempt >= ENOUGH_PASSES && pass.quiet;
            if is_last || !vanished && (!lost || sure) {
                return Ok(Settled { pass, matching, measured });
            }
            earlier.push((pass.seen, matching));
        }
    }

    /// Measures what the last snapshot does not tell. A file that is not there any more is struck out;
    /// `true` when that happened.
    fn measure_all(
        &self,
        state: &State,
        (pass, matching): (&Pass, &mut Matching),
        before: Option<&Snapshot>,
        measured: &mut Measurements,
    ) -> Result<bool, StoreError> {
        let is_told = |uid: u32| before.zip(Uid::new(uid)).is_some_and(|(b, uid)| b.message(uid).is_some());
        let mut vanished = false;
        let mut measure = |seen: &Seen, entry: Option<&Entry>| -> Result<bool, StoreError> {
            if !measured.contains_key(seen.base()) {
                let noted = entry.cloned().or_else(|| state.orphan(seen.base()));
                let Some(found) = scan::measure(self.dir(seen.place), &seen.name, noted.as_ref())? else {
                    vanished = true;
                    return Ok(false);
                };
                measured.insert(seen.base().into(), found);
            }
            Ok(true)
        };
        for (member, file) in state.members.iter().zip(&mut matching.files) {
            let Some(number) = *file else { continue };
            if !is_told(member.entry.uid) && !measure(&pass.seen[number], Some(&member.entry))? {
                *file = None;
            }
        }
        let mut strangers = Vec::with_capacity(matching.strangers.len());
        for number in matching.strangers.drain(..) {
            if measure(&pass.seen[number], None)? {
                strangers.push(number);
            }
        }
        matching.strangers = strangers;
        Ok(vanished)
    }

    /// Gives the newcomer of two files with the same base a base of its own; `true` when the folders have to
    /// be read again.
    ///
    /// Two names of one file are different: one of them goes once it is no rename in progress.
    fn part_twins(&self, state: &State, pass: &Pass, matching: &Matching) -> Result<bool, StoreError> {
        let mut changed = false;
        for &(first, second) in &matching.twins {
            let (mut first, mut second) = (&pass.seen[first], &pass.seen[second]);
            if is_newcomer(state, first, second) {
                (first, second) = (second, first);
            }
            let dir = self.dir(second.place);
            let both =
                (found(self.dir(first.place).stat_at(&first.name))?, found(dir.stat_at(&second.name))?);
            let (Some(a), Some(b)) = both else {
                changed = true;
                continue;
            };
            if (a.st_ino, a.st_dev) != (b.st_ino, b.st_dev) {
                let info = maildir::split(&second.name).1;
                let fresh = [self.account.root.names.unique()?.as_bytes(), info].concat();
                tracing::warn!(file = %String::from_utf8_lossy(&second.name), "two messages had one name");
                found(dir.rename(&second.name, dir, &fresh))?;
                changed = true;
            } else if b.st_nlink > 1 && b.st_ctime < unix_now() - TWIN_AGE {
                tracing::warn!(file = %String::from_utf8_lossy(&second.name), "removing a second name");
                changed |= dir.unlink(&second.name)?;
            }
        }
        Ok(changed)
    }

    /// The last snapshot, if its UIDs mean what the state's do.
    pub(crate) fn snapshot_of(&self, state: &State) -> Option<Arc<Snapshot>> {
        let shown = self.shown();
        (shown.generation > 0 && shown.uid_validity.0.get() == state.header.validity).then_some(shown)
    }
}
