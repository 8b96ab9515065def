//! Every entry of the queue, who is next, and in whose hands each one is.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::ops::Bound::{Excluded, Unbounded};

use kings_mail::id::TraceId;

use crate::clock::Moment;
use crate::spool::{HELD, Name};

/// Every entry of the queue, by id and by time of its next attempt: at most 200 bytes each.
#[derive(Default)]
pub(crate) struct Timetable {
    slots: BTreeMap<TraceId, Slot>,
    /// Those that wait, by the uptime in milliseconds when they are due.
    waiting: BTreeSet<(u64, TraceId)>,
}

/// What is known of an entry without opening it.
#[derive(Clone, Copy)]
struct Slot {
    /// The time in its name.
    named: u64,
    state: State,
    /// When somebody asked for an attempt, whatever the records say; in seconds since 1970.
    asked: Option<NonZeroU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting {
        due: u64,
    },
    /// In the hands of the runner.
    Taken,
    /// Not in memory; the runner is called when its destination has a place for it.
    InLine,
    /// Until somebody releases it.
    Held,
    /// In the hands of an operator.
    Changing,
}

/// An entry whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) name: Name,
    /// When somebody asked for an attempt of every recipient; in seconds since 1970.
    pub(crate) asked: Option<NonZeroU64>,
}

/// Why an entry is not to be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// There is none of this id.
    Unknown,
    /// It is being tried, or changed, just now.
    Busy,
    /// It is held.
    Held,
}

impl Timetable {
    /// Adds an entry, due at the uptime `due` unless its name says that it is held; one that is known already
    /// stays as it is. Says whether it is new.
    pub(crate) fn add(&mut self, name: Name, due: u64) -> bool {
        let is_new = !self.slots.contains_key(&name.id);
        if is_new {
            self.place(name, due, None);
        }
        is_new
    }

    fn place(&mut self, name: Name, due: u64, asked: Option<NonZeroU64>) {
        let state = if name.next == HELD { State::Held } else { State::Waiting { due } };
        if state != State::Held {
            self.waiting.insert((due, name.id));
        }
        self.slots.insert(name.id, Slot { named: name.next, state, asked });
    }

    /// Whether an entry has this id.
    pub(crate) fn contains(&self, id: TraceId) -> bool {
        self.slots.contains_key(&id)
    }

    /// Whether the runner has an entry in its hands or stands in line with it.
    pub(crate) fn is_active(&self, id: TraceId) -> bool {
        self.slots.get(&id).is_some_and(|slot| matches!(slot.state, State::Taken | State::InLine))
    }

    /// The present name of an entry.
    pub(crate) fn name(&self, id: TraceId) -> Option<Name> {
        self.slots.get(&id).map(|slot| Name { id, next: slot.named })
    }

    /// Takes in that the file of an entry has another name.
    pub(crate) fn rename(&mut self, name: Name) {
        if let Some(slot) = self.slots.get_mut(&name.id) {
            slot.named = name.next;
        }
    }

    /// The names of up to `most` entries behind `after`, in order of arrival.
    pub(crate) fn names_after(&self, after: Option<TraceId>, most: usize) -> Vec<Name> {
        let from = after.map_or(Unbounded, Excluded);
        let slots = self.slots.range((from, Unbounded)).take(most);
        slots.map(|(&id, slot)| Name { id, next: slot.named }).collect()
    }

    /// Whether so many entries stand up to `id`, itself among them. Counts no further.
    pub(crate) fn has_up_to(&self, id: TraceId, count: usize) -> bool {
        self.slots.range(..=id).take(count).count() == count
    }

    /// The entries of the message that has this id, in order.
    pub(crate) fn entries_of(&self, message: TraceId) -> Vec<TraceId> {
        let message = message.message();
        self.slots.range(message..=message.behind(u32::MAX)).map(|(&id, _)| id).collect()
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// When the next entry is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.waiting.first().map(|&(due, _)| due)
    }

    /// Takes the entry that is due longest, if one is; it stays taken until put back or forgotten.
    pub(crate) fn take_due(&mut self, uptime: u64) -> Option<Due> {
        let &(due, id) = self.waiting.first().filter(|(due, _)| *due <= uptime)?;
        self.waiting.remove(&(due, id));
        let slot = self.slots.get_mut(&id)?;
        slot.state = State::Taken;
        Some(Due { name: Name { id, next: slot.named }, asked: slot.asked })
    }

    /// A taken entry waits for its destination now, and not in memory.
    pub(crate) fn put_in_line(&mut self, id: TraceId) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.state == State::Taken) {
            slot.state = State::InLine;
        }
    }

    /// Takes an entry whose destination calls it; `None` if it does not stand in line any more.
    pub(crate) fn take_called(&mut self, id: TraceId) -> Option<Due> {
        let slot = self.slots.get_mut(&id).filter(|slot| slot.state == State::InLine)?;
        slot.state = State::Taken;
        Some(Due { name: Name { id, next: slot.named }, asked: slot.asked })
    }

    /// An entry that is taken already, to be looked at again.
    pub(crate) fn taken(&self, id: TraceId) -> Option<Due> {
        let slot = self.slots.get(&id).filter(|slot| slot.state == State::Taken)?;
        Some(Due { name: Name { id, next: slot.named }, asked: slot.asked })
    }

    /// Puts an entry back that is in somebody's hands, under its new name, due at the uptime `due`.
    pub(crate) fn put_back(&mut self, name: Name, due: u64, asked: Option<NonZeroU64>) {
        let in_hand = |slot: &Slot| matches!(slot.state, State::Taken | State::Changing);
        if self.slots.get(&name.id).is_some_and(in_hand) {
            self.place(name, due, asked);
        }
    }

    /// Leaves a taken entry alone for as long as this process runs.
    pub(crate) fn leave_alone(&mut self, id: TraceId) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.state == State::Taken) {
            slot.state = State::Held;
        }
    }

    /// Forgets an entry that is no more.
    pub(crate) fn forget(&mut self, id: TraceId) {
        if let Some(Slot { state: State::Waiting { due }, .. }) = self.slots.remove(&id) {
            self.waiting.remove(&(due, id));
        }
    }

    /// Takes an entry for an operator; it stays so until put back or forgotten.
    pub(crate) fn take_to_change(&mut self, id: TraceId) -> Result<Name, Unavailable> {
        let slot = self.slots.get_mut(&id).ok_or(Unavailable::Unknown)?;
        match slot.state {
            State::Taken | State::Changing => return Err(Unavailable::Busy),
            State::Waiting { due } => {
                self.waiting.remove(&(due, id));
            }
            State::InLine | State::Held => {}
        }
        slot.state = State::Changing;
        Ok(Name { id, next: slot.named })
    }

    /// Makes an entry due at once. One in the runner's hands is being tried already.
    pub(crate) fn force(&mut self, id: TraceId, now: Moment) -> Result<(), Unavailable> {
        let slot = self.slots.get_mut(&id).ok_or(Unavailable::Unknown)?;
        match slot.state {
            State::Taken => return Ok(()),
            State::Changing => return Err(Unavailable::Busy),
            State::Held => return Err(Unavailable::Held),
            State::Waiting { due } => {
                self.waiting.remove(&(due, id));
            }
            State::InLine => {}
        }
        self.waiting.insert((now.uptime, id));
        slot.state = State::Waiting { due: now.uptime };
        slot.asked = NonZeroU64::new(now.wall);
        Ok(())
    }

    /// Makes every entry that waits due at once, but for these; says which they are.
    pub(crate) fn force_all(&mut self, now: Moment, but: &BTreeSet<TraceId>) -> Vec<TraceId> {
        let waiting = std::mem::take(&mut self.waiting);
        let (left, waiting): (BTreeSet<_>, BTreeSet<_>) =
            waiting.into_iter().partition(|(_, id)| but.contains(id));
        self.waiting = left;
        for &(_, id) in &waiting {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.state = State::Waiting { due: now.uptime };
                slot.asked = NonZeroU64::new(now.wall);
                self.waiting.insert((now.uptime, id));
            }
        }
        waiting.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn name(number: u64) -> Name {
        Name { id: TraceId::new(number, 0), next: number }
    }

    #[test]
    fn entries_come_when_due_and_in_order() {
        let mut timetable = Timetable::default();
        timetable.add(name(1), 300);
        timetable.add(name(2), 100);
        timetable.add(name(2), 999);
        assert_eq!((timetable.len(), timetable.next_due()), (2, Some(100)));
        assert_eq!(timetable.take_due(99), None);
        assert_eq!(timetable.take_due(400), Some(Due { name: name(2), asked: None }));
        assert_eq!(timetable.take_due(400), Some(Due { name: name(1), asked: None }));
        assert_eq!((timetable.take_due(400), timetable.len()), (None, 2));
        timetable.put_back(Name { next: 77, ..name(1) }, 500, None);
        timetable.put_back(name(1), 1, None);
        assert_eq!(
            (timetable.next_due(), timetable.name(name(1).id)),
            (Some(500), Some(Name { next: 77, ..name(1) }))
        );
        timetable.forget(name(1).id);
        timetable.forget(name(2).id);
        assert_eq!((timetable.next_due(), timetable.len()), (None, 0));
    }

    #[test]
    fn an_entry_asked_for_is_due_at_once_and_says_so() {
        let mut timetable = Timetable::default();
        timetable.add(name(1), 300);
        timetable.add(name(2), 400);
        let now = Moment { wall: 77, steady_since: 0, uptime: 10 };
        assert_eq!(
            (timetable.force(name(2).id, now), timetable.force(name(3).id, now)),
            (Ok(()), Err(Unavailable::Unknown))
        );
        assert_eq!(timetable.take_due(10), Some(Due { name: name(2), asked: NonZeroU64::new(77) }));
        assert_eq!(timetable.force(name(2).id, now), Ok(()), "it is being tried");
        assert_eq!(timetable.force_all(now, &BTreeSet::from([name(1).id])), []);
        assert_eq!(timetable.take_due(10), None, "it is left where it was");
        assert_eq!(timetable.force_all(now, &BTreeSet::new()), [name(1).id]);
        assert_eq!(timetable.take_due(10).unwrap().name, name(1));
    }

    #[test]
    fn a_held_entry_is_never_due_and_one_in_hand_is_nobody_elses() {
        let mut timetable = Timetable::default();
        let held = Name { next: HELD, ..name(1) };
        timetable.add(held, 0);
        timetable.add(name(2), 5);
        let now = Moment { wall: 77, steady_since: 0, uptime: 10 };
        assert_eq!((timetable.len(), timetable.force(held.id, now)), (2, Err(Unavailable::Held)));
        assert_eq!(timetable.take_due(10).unwrap().name, name(2));
        assert_eq!(
            (timetable.take_due(u64::MAX), timetable.force_all(now, &BTreeSet::new())),
            (None, vec![])
        );
        assert_eq!(timetable.take_to_change(name(2).id), Err(Unavailable::Busy));
        timetable.put_in_line(name(2).id);
        assert_eq!(timetable.take_to_change(name(2).id), Ok(name(2)));
        assert_eq!(timetable.take_called(name(2).id), None, "it left the line");
        assert_eq!(timetable.force(name(2).id, now), Err(Unavailable::Busy));
        timetable.put_back(Name { next: HELD, ..name(2) }, 0, None);
        assert_eq!(timetable.take_to_change(held.id), Ok(held));
        timetable.put_back(name(1), 3, None);
        assert_eq!((timetable.take_due(10).unwrap().name, timetable.take_due(10)), (name(1), None));
    }

    #[test]
    fn pages_follow_each_other_in_order_of_arrival() {
        let mut timetable = Timetable::default();
        (0..5).rev().for_each(|number| assert!(timetable.add(name(number), number)));
        let first = timetable.names_after(None, 3);
        assert_eq!(first, [0, 1, 2].map(name));
        assert_eq!(timetable.names_after(Some(first[2].id), 3), [3, 4].map(name));
        assert_eq!(timetable.names_after(Some(name(4).id), 3), []);
        for (number, count, expected) in
            [(0, 1, true), (0, 2, false), (4, 5, true), (4, 6, false), (9, 5, true)]
        {
            assert_eq!(timetable.has_up_to(name(number).id, count), expected, "{count} up to {number}");
        }
    }

    /// The bound for a million entries is 200 bytes each: every entry has a slot and either waits or stands in a
    /// line, which costs less. Tree nodes are half full at worst; 16 bytes cover what nodes need for themselves.
    #[test]
    fn an_entry_costs_at_most_200_bytes_of_memory() {
        let slot = size_of::<TraceId>() + size_of::<Slot>();
        let waiting = size_of::<(u64, TraceId)>();
        assert!((slot + waiting) * 2 + 2 * 16 <= 200, "{slot} and {waiting}");
    }
}
