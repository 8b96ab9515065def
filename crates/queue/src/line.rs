//! Who is next at a busy destination: senders take turns, and each one's messages go in order of arrival.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound::{Excluded, Unbounded};

use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;

/// A sender as far as turns go. Two that share a number by chance share their turns, which does little harm;
/// nobody can choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sender(u32);

/// Gives senders their numbers.
#[derive(Default)]
pub(crate) struct Senders(RandomState);

impl Senders {
    /// The number of a sender.
    pub(crate) fn number(&self, reverse_path: &ReversePath) -> Sender {
        let hash = self.0.hash_one(reverse_path.to_string());
        Sender(u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default())
    }
}

/// The entries that wait: one set of pairs, so that an entry costs as little as a line of one sender does.
#[derive(Default)]
pub(crate) struct Line {
    waiting: BTreeSet<(Sender, TraceId)>,
    /// Who had the last turn.
    last: Option<Sender>,
}

impl Line {
    /// Adds an entry, unless it waits already.
    pub(crate) fn push(&mut self, sender: Sender, id: TraceId) {
        self.waiting.insert((sender, id));
    }

    /// Takes the oldest entry of the sender whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<TraceId> {
        let after_last = self.last.and_then(|last| {
            let end = (last, TraceId::new(u64::MAX, u32::MAX));
            self.waiting.range((Excluded(end), Unbounded)).next()
        });
        let next = *after_last.or_else(|| self.waiting.first())?;
        self.waiting.remove(&next);
        self.last = Some(next.0);
        Some(next.1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn id(number: u64) -> TraceId {
        TraceId::new(number, 0)
    }

    #[test]
    fn a_sender_of_thousands_delays_a_sender_of_one_by_one_turn() {
        let mut line = Line::default();
        for number in 0..10_000 {
            line.push(Sender(7), id(number));
        }
        for (sender, number) in [(3, 20_000), (9, 20_001)] {
            line.push(Sender(sender), id(number));
        }
        let first: Vec<TraceId> = std::iter::from_fn(|| line.pop()).take(5).collect();
        assert_eq!(first, [20_000, 0, 20_001, 1, 2].map(id));
    }

    #[test]
    fn an_entry_waits_once_and_everyone_is_served() {
        let mut line = Line::default();
        for number in [5, 1, 5, 3] {
            line.push(Sender(1), id(number));
        }
        line.push(Sender(u32::MAX), id(2));
        let all: Vec<TraceId> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!((all, line.is_empty()), ([1, 2, 3, 5].map(id).into(), true));
    }

    #[test]
    fn one_address_is_one_sender() {
        let senders = Senders::default();
        let number = |text: &str| senders.number(&ReversePath::parse(text).unwrap());
        assert_eq!(number("ann@example.org"), number("ann@example.org"));
        let all: BTreeSet<Sender> = (0..50).map(|n| number(&format!("u{n}@example.org"))).collect();
        assert!(all.len() > 45, "{all:?}");
    }

    /// With its slot in the timetable it stays below 200 bytes (see there): half-empty nodes are the worst.
    #[test]
    fn waiting_here_costs_no_more_than_waiting_for_a_time() {
        assert!(size_of::<(Sender, TraceId)>() * 2 <= 48);
    }
}
