//! Taking in what a look found: who gets which UID, written down before it is shown.

use crate::dotlock::{DotLock, MAILBOX};
use crate::error::StoreError;
use crate::flags::Flags;
use crate::keywords;
use crate::list_file::{self, OnDisk};
use crate::look::{Settled, cannot_write};
use crate::mailbox::Shared;
use crate::maildir::{self, Letters};
use crate::message::Uid;
use crate::roster::{Infos, Matching, Member};
use crate::scan::{Measured, Seen};
use crate::state::{Measurements, State};
use crate::uidlist::Entry;

/// Files that had to be read for their size before the list is written anew with the sizes in it.
const WORTH_NOTING: usize = 64;
/// The list is written anew when more than one line in this many has no file (as Dovecot, 75%).
const GONE_SHARE: usize = 4;

impl Shared {
    /// Takes the files seen into the mailbox: UIDs for new ones, on disk before anyone sees them.
    pub(crate) fn admit(
        &self,
        state: &mut State,
        lock: &DotLock<'_>,
        settled: Settled,
    ) -> Result<(), StoreError> {
        let Settled { pass, mut matching, measured } = settled;
        self.retire_returned(state, &mut matching);
        state.place(&pass, &matching.files);
        note_sizes(state, &measured);
        let mut names: Vec<&Seen> = matching.strangers.iter().map(|number| &pass.seen[*number]).collect();
        names.sort_by(|a, b| maildir::arrival_order(&a.name, &b.name));
        if !state.has_uids_for(names.len()) {
            // Nobody lives to see it, but a hostile list can start just below the end.
            state.must_look();
            self.renumber(state, 0, true)?;
            let settled = self.settle(state)?;
            return self.admit(state, lock, settled);
        }
        let arrivals = arrivals(state, &names, &measured);
        match self.write_list(state, lock, arrivals) {
            Ok(()) => {}
            Err(error) => {
                state.must_look();
                if !cannot_write(&error) || state.on_disk.is_none() {
                    return Err(error);
                }
                tracing::warn!(waiting = names.len(), "no space to give UIDs to new messages");
            }
        }
        self.publish(state, &measured);
        Ok(())
    }

    /// Notes sizes that were found by reading: they go before what the names tell.
    pub(crate) fn note_measured(
        &self,
        measured: impl Iterator<Item = (Box<[u8]>, Measured)>,
    ) -> Result<(), StoreError> {
        let measured: Measurements = measured.collect();
        if measured.is_empty() {
            return Ok(());
        }
        let mut state = self.state()?;
        let lock = self.lock_list()?;
        self.look_locked(&mut state, &lock)?;
        for member in &mut state.members {
            if let Some(counted) = measured.get(&member.entry.base) {
                note_size(&mut member.entry, *counted);
            }
        }
        state.rewrite = true;
        self.write_list(&mut state, &lock, Vec::new())
    }

    /// A file that came back after clients were told it is gone is a new message: a UID must not appear in
    /// the middle of what a session has seen (RFC 9051 §2.3.1.1).
    fn retire_returned(&self, state: &mut State, matching: &mut Matching) {
        let Some(before) = self.snapshot_of(state) else { return };
        let mut files = std::mem::take(&mut matching.files).into_iter();
        let strangers = &mut matching.strangers;
        let members = std::mem::take(&mut state.members);
        for member in members {
            let file = files.next().flatten();
            let uid = Uid::new(member.entry.uid);
            let was_gone = uid.is_some_and(|uid| uid < before.uid_next && before.message(uid).is_none());
            match file {
                Some(number) if was_gone => {
                    strangers.push(number);
                    state.remember(member.entry);
                    state.rewrite = true;
                }
                file => {
                    matching.files.push(file);
                    state.members.push(member);
                }
            }
        }
    }

    /// Writes the list with `arrivals`, whose UIDs start at the next one, and takes them in.
    ///
    /// When that fails the UIDs are lost, not used again: nobody knows what reached the disk.
    pub(crate) fn write_list(
        &self,
        state: &mut State,
        lock: &DotLock<'_>,
        arrivals: Vec<Member>,
    ) -> Result<(), StoreError> {
        if arrivals.is_empty() && state.on_disk.is_some() && !state.rewrite {
            return Ok(());
        }
        if let Some(last) = arrivals.last() {
            state.header.next = state.header.next.max(last.entry.uid + 1);
        }
        let written = match state.on_disk.as_ref().filter(|on_disk| is_appendable(state, on_disk)) {
            Some(on_disk) => {
                let entries: Vec<Entry> = arrivals.iter().map(|member| member.entry.clone()).collect();
                list_file::append(&self.folder.root, on_disk, state.header.next, &entries)?
            }
            None => {
                let members = state.members.iter().filter(|member| member.file.is_some());
                let entries = members.chain(&arrivals).map(|member| &member.entry);
                let written = list_file::rewrite(&self.folder.root, lock, &state.header, entries)?;
                state.members.retain(|member| member.file.is_some());
                written
            }
        };
        state.on_disk = Some(written);
        state.rewrite = false;
        for member in &arrivals {
            state.orphaned.remove(&member.entry.base);
        }
        state.members.extend(arrivals);
        Ok(())
    }

    /// The letters for `flags` in this mailbox, names for new keywords written first. Needs the lock when
    /// there are new ones.
    pub(crate) fn letters_for(
        &self,
        state: &mut State,
        lock: Option<&DotLock<'_>>,
        flags: &Flags,
    ) -> Result<Letters, StoreError> {
        self.read_keywords(state)?;
        if let Some(letters) = state.keywords.letters(flags) {
            return Ok(letters);
        }
        lock.ok_or(StoreError::NoSpace)?;
        let keywords = state.keywords.with_letters_for(flags, state.letters_in_use());
        let keywords = keywords.ok_or(StoreError::TooManyKeywords)?;
        // The mailbox lock guards this file too; a lock of its own is a leftover (as Dovecot treats it).
        self.folder.root.unlink(format!("{}.lock", keywords::NAME))?;
        let lock = DotLock::acquire_empty(&self.folder.root, keywords::NAME, MAILBOX)?;
        lock.replace(keywords.to_text().as_bytes())?;
        self.read_keywords(state)?;
        state.keywords.letters(flags).ok_or(StoreError::TooManyKeywords)
    }
}

/// Whether lines can be appended rather than the list be written anew.
fn is_appendable(state: &State, on_disk: &OnDisk) -> bool {
    let gone = state.members.iter().filter(|member| member.file.is_none()).count();
    !state.rewrite && on_disk.takes(state.header.next) && gone * GONE_SHARE <= state.members.len()
}

/// Lines for new files: the next UIDs in the order given, sizes that had to be counted noted with them.
fn arrivals(state: &State, names: &[&Seen], measured: &Measurements) -> Vec<Member> {
    let mut infos = Infos::default();
    let mut member = |(uid, seen): (u32, &&Seen)| {
        let extensions = state.orphaned.get(seen.base()).cloned();
        let mut entry = Entry { uid, extensions, base: seen.base().into() };
        if let Some(counted) = measured.get(seen.base()).filter(|measured| measured.counted) {
            note_size(&mut entry, *counted);
        }
        Member { entry, file: Some(infos.locate(seen)) }
    };
    (state.header.next..).zip(names).map(&mut member).collect()
}

/// Notes the sizes of known messages that had to be counted, when they are many: then they are worth
/// writing the list anew, and the next start need not read the files.
fn note_sizes(state: &mut State, measured: &Measurements) {
    let is_counted = |member: &Member| {
        member.file.is_some() && measured.get(&member.entry.base).is_some_and(|measured| measured.counted)
    };
    if state.members.iter().filter(|member| is_counted(member)).count() < WORTH_NOTING {
        return;
    }
    for member in state.members.iter_mut().filter(|member| is_counted(member)) {
        let counted = measured[&member.entry.base];
        note_size(&mut member.entry, counted);
    }
    state.rewrite = true;
}

fn note_size(entry: &mut Entry, measured: Measured) {
    entry.set_extension(b'S', measured.disk);
    entry.set_extension(b'W', measured.crlf);
}
