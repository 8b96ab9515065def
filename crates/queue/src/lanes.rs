//! How many attempts run at once: in all, and for each destination.

use std::collections::{BTreeSet, HashMap};

use kings_mail::id::TraceId;

use crate::deliver::Destination;

/// How many attempts may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all. Half of them are kept for destinations that have none: however many attempts hang at slow
    /// destinations, another one still gets its turn.
    pub attempts: usize,
    /// For one destination: most servers refuse more than 10 to 50 connections from one client.
    pub attempts_per_destination: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempts: 400, attempts_per_destination: 10 }
    }
}

/// The attempts that run and the entries that wait for one to end. An entry that waits is not in memory:
/// its id stands in line here, in order of arrival, and is handed over when a place is free.
pub(crate) struct Lanes {
    limits: Limits,
    running: usize,
    busy: HashMap<Destination, Lane>,
    /// Places that were handed over and not taken yet; they count as running.
    promised: HashMap<TraceId, Vec<Destination>>,
}

#[derive(Default)]
struct Lane {
    running: usize,
    line: BTreeSet<TraceId>,
}

/// The answer to a wish for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may run; [`Lanes::release`] when it has ended.
    Run,
    /// The destination has enough for now; the id stands in its line.
    InLine,
    /// All places are taken and none of them by this destination: ask again when [`Lanes::has_room`].
    Full,
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        let limits = Limits {
            attempts: limits.attempts.max(1),
            attempts_per_destination: limits.attempts_per_destination.max(1),
        };
        Self { limits, running: 0, busy: HashMap::new(), promised: HashMap::new() }
    }

    /// Whether any place is free.
    pub(crate) fn has_room(&self) -> bool {
        self.running < self.limits.attempts
    }

    /// Whether a destination with `running` attempts may have one more.
    fn may_run(&self, running: usize) -> bool {
        let crowded = self.running >= self.limits.attempts / 2;
        self.has_room() && running < if crowded { 1 } else { self.limits.attempts_per_destination }
    }

    /// Asks for one attempt of entry `id`.
    pub(crate) fn admit(&mut self, destination: &Destination, id: TraceId) -> Admission {
        if self.take_promise(destination, id) {
            return Admission::Run;
        }
        let (running, nobody_waits) =
            self.busy.get(destination).map_or((0, true), |lane| (lane.running, lane.line.is_empty()));
        if nobody_waits && self.may_run(running) {
            self.running += 1;
            self.busy.entry(destination.clone()).or_default().running += 1;
            return Admission::Run;
        }
        match self.busy.get_mut(destination) {
            // A lane exists only while somebody runs in it, and whoever ends calls the line.
            Some(lane) => {
                lane.line.insert(id);
                Admission::InLine
            }
            None => Admission::Full,
        }
    }

    /// Ends one attempt. Returns those in line who have a place now; each must come for it with
    /// [`Lanes::admit`] or [`Lanes::forfeit`] it.
    pub(crate) fn release(&mut self, destination: &Destination) -> Vec<TraceId> {
        let mut called = Vec::new();
        let Some(mut lane) = self.busy.remove(destination) else { return called };
        lane.running -= 1;
        self.running -= 1;
        while self.may_run(lane.running) {
            let Some(id) = lane.line.pop_first() else { break };
            self.promised.entry(id).or_default().push(destination.clone());
            called.push(id);
            lane.running += 1;
            self.running += 1;
        }
        if lane.running > 0 {
            self.busy.insert(destination.clone(), lane);
        }
        called
    }

    /// Gives back the places that `id` was promised and had no use for; returns who has them now.
    pub(crate) fn forfeit(&mut self, id: TraceId) -> Vec<TraceId> {
        let promised = self.promised.remove(&id).unwrap_or_default();
        promised.iter().flat_map(|destination| self.release(destination)).collect()
    }

    fn take_promise(&mut self, destination: &Destination, id: TraceId) -> bool {
        let Some(promised) = self.promised.get_mut(&id) else { return false };
        let Some(place) = promised.iter().position(|promise| promise == destination) else { return false };
        promised.swap_remove(place);
        if promised.is_empty() {
            self.promised.remove(&id);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Admission::{InLine, Run};
    use super::*;
    use kings_mail::domain::Domain;

    fn to(name: &str) -> Destination {
        Destination::Domain(Domain::parse(name).unwrap())
    }

    fn id(number: u64) -> TraceId {
        TraceId::new(number, 0)
    }

    fn lanes(attempts: usize, attempts_per_destination: usize) -> Lanes {
        Lanes::new(Limits { attempts, attempts_per_destination })
    }

    #[test]
    fn a_busy_destination_makes_a_line_in_order_of_arrival() {
        let mut lanes = lanes(100, 2);
        let a = to("a.example");
        let answers: Vec<_> = [1, 2, 9, 3, 9].map(|number| lanes.admit(&a, id(number))).into();
        assert_eq!(answers, [Run, Run, InLine, InLine, InLine]);
        assert_eq!(lanes.admit(&to("b.example"), id(4)), Run);
        assert_eq!(lanes.release(&a), [id(3)]);
        assert_eq!(lanes.admit(&a, id(5)), InLine, "the place is promised");
        assert_eq!(lanes.admit(&a, id(3)), Run);
        assert_eq!(
            [lanes.release(&a), lanes.release(&a), lanes.release(&a)],
            [vec![id(5)], vec![id(9)], vec![]]
        );
    }

    #[test]
    fn a_promise_without_use_goes_to_the_next() {
        let mut lanes = lanes(100, 1);
        let a = to("a.example");
        for number in 1..=3 {
            lanes.admit(&a, id(number));
        }
        assert_eq!(lanes.release(&a), [id(2)]);
        assert_eq!(lanes.forfeit(id(2)), [id(3)]);
        assert_eq!(lanes.forfeit(id(2)), []);
        assert_eq!(lanes.forfeit(id(3)), []);
        assert!(lanes.running == 0 && lanes.busy.is_empty() && lanes.promised.is_empty());
    }

    #[test]
    fn hanging_destinations_leave_places_for_others() {
        let mut lanes = lanes(20, 10);
        let mut number = 0;
        let mut admitted = |lanes: &mut Lanes, destination: &Destination| {
            number += 1;
            lanes.admit(destination, id(number))
        };
        for destination in [to("a.example"), to("b.example")] {
            for _ in 0..15 {
                admitted(&mut lanes, &destination);
            }
        }
        assert_eq!((lanes.busy[&to("a.example")].running, lanes.busy[&to("b.example")].running), (10, 1));
        for other in 0..9 {
            assert_eq!(admitted(&mut lanes, &to(&format!("x{other}.example"))), Admission::Run);
        }
        assert_eq!(admitted(&mut lanes, &to("late.example")), Admission::Full);
        assert!(!lanes.has_room());
    }

    #[test]
    fn a_line_that_formed_in_a_crowd_moves_up_when_the_crowd_is_gone() {
        let mut lanes = lanes(8, 3);
        let (a, b) = (to("a.example"), to("b.example"));
        for number in 0..3 {
            lanes.admit(&b, id(number));
        }
        let answers: Vec<_> = (10..14).map(|number| lanes.admit(&a, id(number))).collect();
        assert_eq!(answers, [Admission::Run, Admission::InLine, Admission::InLine, Admission::InLine]);
        assert_eq!([lanes.release(&b), lanes.release(&b)], [[], []]);
        assert_eq!(lanes.release(&a), [id(11), id(12), id(13)]);
    }

    #[test]
    fn every_destination_gets_at_least_one_with_the_smallest_limits() {
        let mut lanes = lanes(1, 1);
        assert_eq!(lanes.admit(&to("a.example"), id(1)), Admission::Run);
        assert_eq!(lanes.admit(&to("a.example"), id(2)), Admission::InLine);
        assert_eq!(lanes.admit(&to("b.example"), id(3)), Admission::Full);
        assert_eq!(lanes.release(&to("a.example")), [id(2)]);
    }
}
