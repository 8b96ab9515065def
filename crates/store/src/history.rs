//! When each message changed last, and which ones went when: modification sequences (RFC 7162 §3.1).
//!
//! A number is used once its ceiling is on disk. Whoever loads a mailbox and finds that somebody counted on since the
//! index was written believes no number of the index: it counts on above the ceiling, and above the clock in
//! microseconds, which is ahead of every count.

use std::collections::VecDeque;

use crate::message::{Message, ModSeq, Uid};

/// Numbers reserved at a time. It is also how far counting jumps ahead after a crash.
const BLOCK: u64 = 1 << 20;
/// Removals that are remembered for each mailbox. Clients from before hear of all UIDs that are not there.
pub(crate) const MAX_REMOVALS: usize = 10_000;

/// The count of one mailbox.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The last number given; [`ModSeq::ZERO`] before the first look.
    highest: ModSeq,
    /// Removals up to this number may be forgotten.
    floor: ModSeq,
    /// By rising number.
    removals: VecDeque<Removal>,
    /// What the mailbox's file says.
    ceiling: ModSeq,
    /// The ceiling was raised since the mailbox was loaded: only then may numbers be given.
    is_reserved: bool,
    /// Up to where the index knows everything; zero when it is to be written whole.
    indexed: ModSeq,
}

/// A message that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) uid: Uid,
    pub(crate) modseq: ModSeq,
}

/// What the index keeps of a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) ceiling: ModSeq,
    pub(crate) highest: ModSeq,
    pub(crate) floor: ModSeq,
    pub(crate) removals: Vec<Removal>,
}

impl History {
    /// Counts on where nothing is known but a ceiling: above it, and above `now`, in microseconds since 1970.
    pub(crate) fn anew(ceiling: ModSeq, now: u64) -> Self {
        let start = ceiling.max(ModSeq::new(now));
        Self { highest: start, floor: start.next(), ceiling, ..Self::default() }
    }

    /// Counts on where the index stopped.
    pub(crate) fn resumed(count: Count) -> Self {
        let Count { ceiling, highest, floor, removals } = count;
        Self { highest, floor, ceiling, removals: removals.into(), is_reserved: false, indexed: highest }
    }

    /// The last number given.
    pub(crate) fn highest(&self) -> ModSeq {
        self.highest
    }

    /// What the mailbox's file says.
    pub(crate) fn ceiling(&self) -> ModSeq {
        self.ceiling
    }

    /// The number of the next change. `reserve` puts a new ceiling on disk, when one is needed.
    pub(crate) fn next(&mut self, reserve: impl FnOnce(ModSeq)) -> ModSeq {
        self.highest = self.highest.next();
        if !self.is_reserved || self.highest > self.ceiling {
            self.ceiling = self.highest.max(self.ceiling).plus(BLOCK);
            self.is_reserved = true;
            reserve(self.ceiling);
        }
        self.highest
    }

    /// Gives messages without a number that of one change, in which `gone` went. A count that begins anew has its first
    /// number for a mailbox without messages, too: clients are told one.
    pub(crate) fn note(&mut self, messages: &mut [Message], gone: Vec<Uid>, reserve: impl FnOnce(ModSeq)) {
        let begins = self.floor > self.highest;
        if !begins && gone.is_empty() && messages.iter().all(|message| message.modseq != ModSeq::ZERO) {
            return;
        }
        let modseq = self.next(reserve);
        for message in messages.iter_mut().filter(|message| message.modseq == ModSeq::ZERO) {
            message.modseq = modseq;
        }
        for uid in gone {
            self.removals.push_back(Removal { uid, modseq });
        }
        while self.removals.len() > MAX_REMOVALS {
            self.floor = self.removals.pop_front().map_or(self.floor, |oldest| oldest.modseq);
        }
    }

    /// What went after `since`; `None` when not all of it is remembered.
    pub(crate) fn removed_since(&self, since: ModSeq) -> Option<Vec<Uid>> {
        let later = self.removals.iter().filter(|removal| removal.modseq > since);
        (since >= self.floor).then(|| later.map(|removal| removal.uid).collect())
    }

    /// What the index lacks, if anything: the count, and up to where it knows the messages.
    pub(crate) fn to_index(&self) -> Option<(Count, ModSeq)> {
        let count = || Count {
            ceiling: self.ceiling,
            highest: self.highest,
            floor: self.floor,
            removals: self.removals.iter().copied().collect(),
        };
        (self.highest > self.indexed).then(|| (count(), self.indexed))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::flags::Flags;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn message(number: u32, modseq: u64) -> Message {
        let modseq = ModSeq::new(modseq);
        Message {
            uid: uid(number),
            flags: Flags::default(),
            internal_date: 0,
            size: 1,
            arrived_new: false,
            modseq,
        }
    }

    #[test]
    fn a_ceiling_is_reserved_before_the_first_number_and_at_each_end_of_a_block() {
        let mut reserved = Vec::new();
        let mut history = History::anew(ModSeq::new(50), 7);
        for _ in 0..BLOCK + 2 {
            history.next(|ceiling| reserved.push(ceiling.get()));
        }
        assert_eq!(reserved, [51 + BLOCK, 52 + 2 * BLOCK]);
        assert_eq!(history.highest().get(), 52 + BLOCK);
        // Another load of the same mailbox may not count on under a ceiling that it has not raised itself.
        let (count, indexed) = history.to_index().unwrap();
        assert_eq!((count.ceiling.get(), indexed), (52 + 2 * BLOCK, ModSeq::ZERO));
        let mut again = History::resumed(count);
        assert_eq!(again.to_index(), None, "nothing has changed");
        assert_eq!(again.next(|ceiling| reserved.push(ceiling.get())).get(), 53 + BLOCK);
        assert_eq!(reserved.last(), Some(&(52 + 3 * BLOCK)));
    }

    #[test]
    fn counting_anew_is_above_the_ceiling_and_above_the_clock() {
        assert_eq!(History::anew(ModSeq::new(50), 7).next(|_| {}).get(), 51);
        assert_eq!(History::anew(ModSeq::new(7), 50).next(|_| {}).get(), 51);
        assert_eq!(
            History::anew(ModSeq::MAX, 50).next(|_| {}),
            ModSeq::MAX,
            "the end of all numbers is no panic"
        );
    }

    #[test]
    fn one_change_has_one_number_and_what_has_one_keeps_it() {
        let mut history = History::anew(ModSeq::ZERO, 10);
        let mut messages = [message(1, 5), message(2, 0), message(3, 0)];
        history.note(&mut messages, vec![uid(9)], |_| {});
        assert_eq!(messages.each_ref().map(|message| message.modseq.get()), [5, 11, 11]);
        history.note(&mut messages, Vec::new(), |_| panic!("nothing has changed"));
        assert_eq!(history.highest().get(), 11);
        assert_eq!(history.removed_since(ModSeq::new(11)), Some(vec![]));
        assert_eq!(history.removed_since(ModSeq::new(10)), None, "from before the count began");
        let mut empty = History::anew(ModSeq::ZERO, 10);
        let mut reserved = None;
        empty.note(&mut [], Vec::new(), |ceiling| reserved = Some(ceiling));
        assert!(reserved.is_some_and(|ceiling| ceiling > empty.highest()) && empty.highest().get() == 11);
    }

    #[test]
    fn removals_are_remembered_up_to_a_limit() {
        let mut history = History::anew(ModSeq::ZERO, 0);
        history.note(&mut [message(1, 0)], Vec::new(), |_| {});
        for number in 0..MAX_REMOVALS {
            history.note(&mut [], vec![uid(u32::try_from(number).unwrap() + 2)], |_| {});
        }
        assert_eq!(history.removed_since(ModSeq::new(1)).map(|gone| gone.len()), Some(MAX_REMOVALS));
        history.note(&mut [], vec![uid(1)], |_| {});
        assert_eq!(history.removed_since(ModSeq::new(1)), None);
        assert_eq!(history.removed_since(ModSeq::new(2)).map(|gone| gone.len()), Some(MAX_REMOVALS));
    }
}
