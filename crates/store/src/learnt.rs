//! What was learnt from the messages of a mailbox: kept for the next one who would have to read them.

use crate::index::AccountIndex;
use crate::index::sheets::{Row, Seal, Sheet, Sheets};
use crate::mailbox::Mailbox;
use crate::message::{Snapshot, Uid, UidValidity};
use crate::sync::locked;

/// What one message told to whoever read it. What stands in the sheets is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// The message.
    pub uid: Uid,
    /// One for each of [`Sheet::ALL`], in that order.
    pub sheets: [Vec<u8>; Sheet::ALL.len()],
}

/// The sheets of one mailbox, opened for one command. It holds files open: it is dropped soon.
#[derive(Debug)]
pub struct Memory {
    mailbox: Mailbox,
    version: u32,
    guid: String,
    validity: UidValidity,
    /// `None` where nothing is kept, or what is kept cannot be read.
    sheets: Option<Sheets>,
    learnt: Vec<Learnt>,
}

/// What is learnt is handed on to be written in pieces of so many messages.
const PIECE: usize = 200;

impl Mailbox {
    /// Opens what was learnt from messages, by makers of sheets of this `version`; `None` where nothing is ever kept.
    pub fn memory(&self, version: u32) -> Option<Memory> {
        let (guid, validity) = self.identity()?;
        let sheets = self.0.account.index.as_ref()?.sheets(&guid, validity);
        Some(Memory { mailbox: self.clone(), version, guid, validity, sheets, learnt: Vec::new() })
    }

    /// What the index knows it by.
    pub(crate) fn identity(&self) -> Option<(String, UidValidity)> {
        let validity = self.snapshot().uid_validity;
        let state = locked(&self.0.state);
        let guid = (state.header.validity == validity.0.get()).then(|| state.header.guid.clone())??;
        Some((guid, validity))
    }

    /// The seals of messages that are there, with their places among `uids`.
    pub(crate) fn seals(
        &self,
        validity: UidValidity,
        version: u32,
        uids: &[Uid],
    ) -> Vec<(usize, (Uid, Seal))> {
        let snapshot = self.snapshot();
        if snapshot.uid_validity != validity {
            return Vec::new();
        }
        let state = locked(&self.0.state);
        let seal = |snapshot: &Snapshot, uid| {
            let (message, member) = (snapshot.message(uid)?, state.member(uid)?);
            Some((uid, Seal::of(message, &member.entry.base, version)))
        };
        let all = uids.iter().enumerate();
        all.filter_map(|(place, uid)| Some((place, seal(&snapshot, *uid)?))).collect()
    }
}

impl Memory {
    /// Hands what is kept of messages to `take`, with its place among `uids`, which rise. What is damaged, or was learnt
    /// from a file that is another one now, does not come.
    pub fn recall(&mut self, sheet: Sheet, uids: &[Uid], mut take: impl FnMut(usize, &[u8])) {
        let Some(sheets) = &self.sheets else { return };
        let (places, wanted): (Vec<usize>, Vec<(Uid, Seal)>) = self.seals(uids).into_iter().unzip();
        let read = sheets.read(sheet, &wanted, &mut |place, sheet| take(places[place], sheet));
        if let Err(error) = read {
            tracing::warn!(%error, "what was learnt from messages cannot be read, and is made anew");
            self.sheets = None;
            self.index(AccountIndex::remake);
        }
    }

    /// Keeps what was learnt, soon, if there is room.
    pub fn learn(&mut self, learnt: Learnt) {
        self.learnt.push(learnt);
        if self.learnt.len() >= PIECE {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        let learnt = std::mem::take(&mut self.learnt);
        let uids: Vec<Uid> = learnt.iter().map(|learnt| learnt.uid).collect();
        let seals = self.seals(&uids);
        let mut learnt: Vec<Option<Learnt>> = learnt.into_iter().map(Some).collect();
        let rows = seals.into_iter().filter_map(|(place, (uid, seal))| {
            Some(Row { uid, seal, sheets: learnt.get_mut(place)?.take()?.sheets })
        });
        let rows: Vec<Row> = rows.collect();
        if !rows.is_empty() {
            self.index(|index| index.learn(&self.guid, self.validity, rows));
        }
    }

    fn seals(&self, uids: &[Uid]) -> Vec<(usize, (Uid, Seal))> {
        self.mailbox.seals(self.validity, self.version, uids)
    }

    fn index(&self, order: impl FnOnce(&AccountIndex)) {
        if let Some(index) = &self.mailbox.0.account.index {
            order(index);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !self.learnt.is_empty() {
            self.hand_on();
        }
    }
}
