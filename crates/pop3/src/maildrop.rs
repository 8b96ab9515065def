//! The messages of one session: their numbers never change, and what is marked goes at QUIT alone (RFC 1939 §4 to §6).

use crate::command::MessageNumber;
use crate::reply::Reply;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Octets of the CRLF form.
    pub octets: u64,
    /// Its unique-id (RFC 1939 §7); in a box, for there may be a million.
    pub uidl: Box<str>,
}

/// What a client sees from its login to its QUIT.
#[derive(Clone, Debug, Default)]
pub struct Maildrop {
    entries: Vec<Entry>,
    deleted: Vec<bool>,
}

impl Maildrop {
    /// Takes the messages in the order of their numbers.
    pub fn new(entries: Vec<Entry>) -> Self {
        let deleted = vec![false; entries.len()];
        Self { entries, deleted }
    }

    /// How many are not marked, and their octets.
    pub(crate) fn stat(&self) -> (usize, u64) {
        let mut stat = (0, 0);
        for (entry, _) in self.entries.iter().zip(&self.deleted).filter(|(_, deleted)| !**deleted) {
            stat = (stat.0 + 1, stat.1 + entry.octets);
        }
        stat
    }

    /// The place of a message that is there and not marked.
    pub(crate) fn place(&self, number: MessageNumber) -> Result<usize, Reply> {
        let place = usize::try_from(number.0.get() - 1).map_err(|_| Reply::NO_SUCH_MESSAGE)?;
        match self.deleted.get(place) {
            Some(false) => Ok(place),
            Some(true) => Err(Reply::IS_DELETED),
            None => Err(Reply::NO_SUCH_MESSAGE),
        }
    }

    /// The message at a place.
    pub(crate) fn entry(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// The messages from `place` on that are not marked, with their places.
    pub(crate) fn from(&self, place: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let all = self.entries.iter().zip(&self.deleted).enumerate().skip(place);
        all.filter(|(_, (_, deleted))| !**deleted).map(|(place, (entry, _))| (place, entry))
    }

    /// Marks a message (DELE).
    pub(crate) fn mark(&mut self, place: usize) {
        if let Some(deleted) = self.deleted.get_mut(place) {
            *deleted = true;
        }
    }

    /// Forgets all marks (RSET).
    pub(crate) fn unmark_all(&mut self) {
        self.deleted.fill(false);
    }

    /// The places of what is marked.
    pub(crate) fn marked(&self) -> Vec<usize> {
        let marked = self.deleted.iter().enumerate().filter(|(_, deleted)| **deleted);
        marked.map(|(place, _)| place).collect()
    }
}
