//! Entries that are on disk and still in memory too: most are sent before anybody had to read them back.

use std::collections::HashMap;

use kings_mail::id::TraceId;

use crate::deliver::Content;
use crate::entry::Entry;

/// Longest entry that is kept, envelope and content, in octets: what an attempt holds in memory anyway.
const MAX_ENTRY: u64 = 64 * 1024;
/// Most octets of all that are kept; those that do not fit are read from the disk, as after a restart.
const MAX_IN_ALL: u64 = 8 * 1024 * 1024;

/// An entry as its file says, and its content.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) entry: Entry,
    pub(crate) content: Content,
}

/// Entries that wait for an attempt, each until somebody takes it, or changes its file.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    kept: HashMap<TraceId, Whole>,
    octets: u64,
}

impl Whole {
    /// `None` for what is too long to be kept; `tail` is the length of its file so far.
    pub(crate) fn new(entry: Entry, content: impl FnOnce() -> Content) -> Option<Self> {
        (entry.tail <= MAX_ENTRY).then(|| Self { entry, content: content() })
    }
}

impl Fresh {
    /// Keeps an entry if there is room for it.
    pub(crate) fn keep(&mut self, whole: Whole) {
        let octets = self.octets + whole.entry.tail;
        if whole.entry.tail <= MAX_ENTRY && octets <= MAX_IN_ALL {
            self.octets = octets;
            if let Some(before) = self.kept.insert(whole.entry.id, whole) {
                self.octets -= before.entry.tail;
            }
        }
    }

    /// Hands over an entry, or lets go of it.
    pub(crate) fn take(&mut self, id: TraceId) -> Option<Whole> {
        let whole = self.kept.remove(&id)?;
        self.octets -= whole.entry.tail;
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::entry::Head;
    use crate::testing::{envelope, id};

    fn whole(number: u64, octets: usize) -> Option<Whole> {
        let head = Head {
            id: id(number),
            arrived: 0,
            envelope: envelope("a@b.example", &["c@d.example"]),
            content_length: octets as u64,
            content_checksum: 0,
        };
        Whole::new(Entry::new(head, 0, 0), || Content::from(vec![0; octets]))
    }

    #[test]
    fn what_is_long_is_not_kept_and_all_together_have_a_limit() {
        let longest = usize::try_from(MAX_ENTRY).unwrap();
        assert!(whole(1, longest + 1).is_none());
        let mut fresh = Fresh::default();
        let most = MAX_IN_ALL / MAX_ENTRY;
        for number in 0..most + 5 {
            fresh.keep(whole(number, longest).unwrap());
        }
        assert_eq!((fresh.kept.len() as u64, fresh.octets), (most, MAX_IN_ALL));
        assert!(fresh.take(id(0)).is_some() && fresh.take(id(0)).is_none() && fresh.take(id(most)).is_none());
        fresh.keep(whole(most, longest).unwrap());
        assert!(fresh.take(id(most)).is_some());
        (0..most).for_each(|number| drop(fresh.take(id(number))));
        assert_eq!((fresh.kept.len(), fresh.octets), (0, 0));
    }

    #[test]
    fn an_entry_kept_twice_counts_once() {
        let mut fresh = Fresh::default();
        fresh.keep(whole(1, 10).unwrap());
        fresh.keep(whole(1, 7).unwrap());
        assert_eq!((fresh.kept.len(), fresh.octets), (1, 7));
    }
}
