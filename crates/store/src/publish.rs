//! Showing a mailbox: what the state has, with the number of each message's last change.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::OnceLock;

use crate::clock::unix_micros;
use crate::flags::Flags;
use crate::history::History;
use crate::index::{Digest, Noted, Page};
use crate::mailbox::Shared;
use crate::mailbox_file;
use crate::maildir::{self, Letters};
use crate::message::{Message, ModSeq, Snapshot, Uid, UidValidity};
use crate::scan::Place;
use crate::state::{Measurements, State};

impl Shared {
    /// Shows the mailbox as the state has it, if that differs from what is shown.
    pub(crate) fn publish(&self, state: &mut State, measured: &Measurements) {
        let Some(validity) = NonZeroU32::new(state.header.validity) else { return };
        let Some(uid_next) = Uid::new(state.header.next) else { return };
        let before = self.snapshot_of(state);
        let shown = before.as_ref().map_or(&[][..], |snapshot| &snapshot.messages);
        let (mut messages, mut gone) = listed(state, shown, measured);
        let uid_validity = UidValidity(validity);
        if before.is_none() {
            gone = self.begin_history(state, uid_validity, &mut messages);
        }
        if let (Some(index), Some(guid)) = (&self.account.index, &state.header.guid) {
            index.forget(guid, uid_validity, gone.clone());
        }
        state.history.note(&mut messages, gone, |ceiling| self.raise_ceiling(ceiling));
        let keywords = state.keywords.known(state.letters_in_use());
        let highest_modseq = state.history.highest();
        let snapshot = Snapshot {
            uid_validity,
            uid_next,
            generation: 0,
            messages,
            keywords,
            highest_modseq,
            unseen: OnceLock::new(),
        };
        if before.is_none_or(|before| !snapshot.shows_the_same(&before)) {
            self.show(snapshot);
        }
    }

    /// Finds out when the messages of a mailbox that is looked at for the first time changed last, as far as the index
    /// knows. Returns what is gone since the index was written.
    fn begin_history(&self, state: &mut State, validity: UidValidity, messages: &mut [Message]) -> Vec<Uid> {
        let on_disk = mailbox_file::ceiling(&self.folder.root).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read how far the changes of a mailbox were counted");
            ModSeq::ZERO
        });
        let (index, guid) = (self.account.index.as_ref(), state.header.guid.as_deref());
        let remembered = index.zip(guid).and_then(|(index, guid)| index.recall(guid, validity, on_disk));
        let Some(remembered) = remembered else {
            // In the same process the UIDs may have been given anew: counting goes on.
            let ceiling = on_disk.max(state.history.ceiling()).max(state.history.highest());
            state.history = History::anew(ceiling, unix_micros());
            return Vec::new();
        };
        state.history = History::resumed(remembered.count);
        recognise(messages, &remembered.messages)
    }

    /// A number that is given without a ceiling is still below the clock, from which a later count begins.
    fn raise_ceiling(&self, ceiling: ModSeq) {
        if let Err(error) = mailbox_file::raise_ceiling(&self.folder.root, ceiling) {
            tracing::warn!(%error, "cannot write down how far the changes of a mailbox are counted");
        }
    }

    /// Has the index take in what it does not know yet.
    pub(crate) fn put_by(&self, state: &State) {
        let (Some(index), Some(guid)) = (&self.account.index, &state.header.guid) else { return };
        let Some(snapshot) = self.snapshot_of(state) else { return };
        if let Some((count, indexed)) = state.history.to_index() {
            index.keep(Page { guid: guid.clone(), snapshot, count, indexed });
        }
    }
}

/// The messages of the state. Those that are new, or whose flags differ from what is `shown`, come without a number;
/// beside them what is shown and gone.
fn listed(state: &State, shown: &[Message], measured: &Measurements) -> (Vec<Message>, Vec<Uid>) {
    let mut told = shown.iter().peekable();
    let mut flags: HashMap<Letters, Flags> = HashMap::new();
    let mut messages = Vec::with_capacity(state.members.len());
    let mut gone = Vec::new();
    for member in &state.members {
        let (Some(uid), Some(file)) = (Uid::new(member.entry.uid), &member.file) else { continue };
        while let Some(lost) = told.next_if(|message| message.uid < uid) {
            gone.push(lost.uid);
        }
        let old = told.next_if(|message| message.uid == uid);
        let new = || measured.get(&member.entry.base).map(|m| (m.date, m.crlf));
        let Some((internal_date, size)) = old.map(|m| (m.internal_date, m.size)).or_else(new) else {
            continue;
        };
        let letters = maildir::letters(&file.info);
        let flags = flags.entry(letters).or_insert_with(|| state.keywords.flags(letters)).clone();
        let modseq = old.filter(|old| old.flags == flags).map_or(ModSeq::ZERO, |old| old.modseq);
        let arrived_new = file.place == Place::New;
        messages.push(Message { uid, flags, internal_date, size, arrived_new, modseq });
    }
    gone.extend(told.map(|message| message.uid));
    (messages, gone)
}

/// Gives messages the numbers that were noted, where their flags are still the same. Returns what was noted and is gone.
fn recognise(messages: &mut [Message], noted: &[Noted]) -> Vec<Uid> {
    let mut noted = noted.iter().peekable();
    let mut gone = Vec::new();
    for message in messages {
        while let Some(lost) = noted.next_if(|noted| noted.uid < message.uid) {
            gone.push(lost.uid);
        }
        if let Some(noted) = noted.next_if(|noted| noted.uid == message.uid)
            && noted.flags == Digest::of(&message.flags)
        {
            message.modseq = noted.modseq;
        }
    }
    gone.extend(noted.map(|noted| noted.uid));
    gone
}
