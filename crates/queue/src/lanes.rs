//! How many attempts run at once: in all, and in each traffic.

use std::collections::HashMap;

use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;

use crate::deliver::{Contact, Lane, Report};
use crate::line::{Line, Senders};
use crate::window::Window;

/// How many attempts may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all. Half of them are kept for lanes that have none: however many attempts hang in slow lanes, another one
    /// still gets its turn.
    pub attempts: usize,
    /// For one destination, or one next hop of many destinations, once it has shown that it can take them: most servers refuse more than 10 to 50
    /// connections from one client.
    pub attempts_per_destination: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempts: 400, attempts_per_destination: 20 }
    }
}

/// Most lanes that are remembered while nothing runs there, before the least telling are forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// The attempts that run and the entries that wait for one to end. An entry that waits is not in memory:
/// its id stands in line here, and is handed over when a place is free.
pub(crate) struct Lanes {
    limits: Limits,
    running: usize,
    by_lane: HashMap<Lane, Traffic>,
    /// How many lanes there may be before those of no interest are dropped.
    prune_at: usize,
    /// Closed lanes with a line: nobody there waits for anything.
    emptying: Vec<Lane>,
    /// Places that were handed over and not taken yet; they count as running.
    promised: HashMap<TraceId, Vec<Lane>>,
    senders: Senders,
}

#[derive(Default)]
struct Traffic {
    running: usize,
    window: Window,
    line: Line,
}

/// A wish for an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) lane: &'a Lane,
    /// The entry, and whose turn it is.
    pub(crate) id: TraceId,
    pub(crate) sender: &'a ReversePath,
    /// Somebody asked for it: the pause of a closed lane is not waited for.
    pub(crate) asked: bool,
}

/// The answer to a wish for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may run; [`Lanes::release`] when it has ended.
    Run,
    /// The lane has enough for now; the id stands in its line.
    InLine,
    /// All places are taken and none of them by this lane: ask again when [`Lanes::has_room`].
    Full,
    /// Nobody answers there, as was found just before: an attempt would be in vain.
    Closed(Report),
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        let limits = Limits {
            attempts: limits.attempts.max(1),
            attempts_per_destination: limits.attempts_per_destination.max(1),
        };
        Self {
            limits,
            running: 0,
            by_lane: HashMap::new(),
            prune_at: MAX_REMEMBERED,
            emptying: Vec::new(),
            promised: HashMap::new(),
            senders: Senders::default(),
        }
    }

    /// Whether any place is free.
    pub(crate) fn has_room(&self) -> bool {
        self.running < self.limits.attempts
    }

    /// Asks for one attempt, at the uptime `now` in milliseconds.
    pub(crate) fn admit(&mut self, wish: Wish<'_>, now: u64) -> Admission {
        if self.take_promise(wish.lane, wish.id) {
            return Admission::Run;
        }
        let sender = self.senders.number(wish.sender);
        let (has_room, most) = (self.has_room(), self.most_per_lane());
        let traffic = self.traffic(wish.lane, now);
        let probe = wish.asked && traffic.running == 0;
        if !probe && let Some(why) = traffic.window.why_not(now) {
            return Admission::Closed(why.clone());
        }
        // Nobody waits for anything in the line of a closed lane.
        let first = traffic.line.is_empty() || traffic.window.is_closed();
        if has_room && (probe || first && traffic.running < traffic.window.size(now).min(most)) {
            traffic.running += 1;
            self.running += 1;
            return Admission::Run;
        }
        if traffic.running == 0 {
            return Admission::Full;
        }
        // Whoever runs there calls the line at its end.
        traffic.line.push(sender, wish.id);
        Admission::InLine
    }

    /// Ends one attempt, and learns from it. Returns those in line who have a place now; each must come for it
    /// with [`Lanes::admit`] or [`Lanes::forfeit`] it.
    pub(crate) fn release(&mut self, lane: &Lane, learned: Option<Learned<'_>>, now: u64) -> Vec<TraceId> {
        let Some(traffic) = self.by_lane.get_mut(lane) else { return Vec::new() };
        traffic.running -= 1;
        self.running -= 1;
        if let Some(Learned { contact, report }) = learned {
            let most = self.limits.attempts_per_destination;
            traffic.window.learn(contact, report, traffic.running, most, now);
        }
        if traffic.window.is_closed() {
            if !traffic.line.is_empty() && !self.emptying.contains(lane) {
                self.emptying.push(lane.clone());
            }
            return Vec::new();
        }
        let called = self.call(lane, now);
        self.forget_if_new(lane);
        called
    }

    /// Hands free places of a lane to its line.
    fn call(&mut self, lane: &Lane, now: u64) -> Vec<TraceId> {
        let mut called = Vec::new();
        while self.has_room() {
            let most = self.most_per_lane();
            let Some(traffic) = self.by_lane.get_mut(lane) else { break };
            if traffic.running >= traffic.window.size(now).min(most) {
                break;
            }
            let Some(id) = traffic.line.pop() else { break };
            traffic.running += 1;
            self.running += 1;
            self.promised.entry(id).or_default().push(lane.clone());
            called.push(id);
        }
        called
    }

    /// One of those who stand in the line of a lane that has closed since: it is to be told so.
    pub(crate) fn in_vain(&mut self) -> Option<TraceId> {
        while let Some(lane) = self.emptying.last() {
            let traffic = self.by_lane.get_mut(lane).filter(|traffic| traffic.window.is_closed());
            if let Some(id) = traffic.and_then(|traffic| traffic.line.pop()) {
                return Some(id);
            }
            self.emptying.pop();
        }
        None
    }

    /// Gives back the places that `id` was promised and had no use for; returns who has them now.
    pub(crate) fn forfeit(&mut self, id: TraceId, now: u64) -> Vec<TraceId> {
        let promised = self.promised.remove(&id).unwrap_or_default();
        promised.iter().flat_map(|lane| self.release(lane, None, now)).collect()
    }

    /// Most attempts that a lane may have while so many run in all.
    fn most_per_lane(&self) -> usize {
        let crowded = self.running >= self.limits.attempts / 2;
        if crowded { 1 } else { self.limits.attempts_per_destination }
    }

    fn traffic(&mut self, lane: &Lane, now: u64) -> &mut Traffic {
        if self.by_lane.len() >= self.prune_at {
            self.by_lane.retain(|_, traffic| {
                traffic.running > 0 || !traffic.line.is_empty() || traffic.window.why_not(now).is_some()
            });
            self.prune_at = MAX_REMEMBERED.max(self.by_lane.len() * 2);
        }
        self.by_lane.entry(lane.clone()).or_default()
    }

    fn forget_if_new(&mut self, lane: &Lane) {
        let is_new =
            |traffic: &Traffic| traffic.running == 0 && traffic.line.is_empty() && traffic.window.is_new();
        if self.by_lane.get(lane).is_some_and(is_new) {
            self.by_lane.remove(lane);
        }
    }

    fn take_promise(&mut self, lane: &Lane, id: TraceId) -> bool {
        let Some(promised) = self.promised.get_mut(&id) else { return false };
        let Some(place) = promised.iter().position(|promise| promise == lane) else { return false };
        promised.swap_remove(place);
        if promised.is_empty() {
            self.promised.remove(&id);
        }
        true
    }
}

/// What the end of an attempt says about its lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learned<'a> {
    pub(crate) contact: Contact,
    /// Why, where it did not answer.
    pub(crate) report: Option<&'a Report>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Admission::{Full, InLine, Run};
    use super::*;
    use crate::deliver::Destination;
    use kings_mail::domain::Domain;

    fn to(name: &str) -> Lane {
        Lane::Destination(Destination::Domain(Domain::parse(name).unwrap()))
    }

    fn id(number: u64) -> TraceId {
        TraceId::new(number, 0)
    }

    /// Lanes where every destination has shown what it can take.
    struct Proven(Lanes);

    impl Proven {
        fn new(attempts: usize, attempts_per_destination: usize) -> Self {
            Self(Lanes::new(Limits { attempts, attempts_per_destination }))
        }

        fn admit(&mut self, lane: &Lane, number: u64) -> Admission {
            let most = self.0.limits.attempts_per_destination;
            let traffic = self.0.traffic(lane, 0);
            (0..100).for_each(|_| traffic.window.learn(Contact::Answered, None, 0, most, 0));
            admit(&mut self.0, lane, number)
        }

        fn release(&mut self, lane: &Lane) -> Vec<TraceId> {
            self.0.release(lane, None, 0)
        }
    }

    fn admit(lanes: &mut Lanes, lane: &Lane, number: u64) -> Admission {
        let wish = Wish { lane, id: id(number), sender: &ReversePath::Null, asked: false };
        lanes.admit(wish, 0)
    }

    fn end(lanes: &mut Lanes, lane: &Lane, contact: Contact) -> Vec<TraceId> {
        lanes.release(lane, Some(Learned { contact, report: None }), 0)
    }

    #[test]
    fn a_busy_destination_makes_a_line_in_order_of_arrival() {
        let mut lanes = Proven::new(100, 2);
        let a = to("a.example");
        let answers: Vec<_> = [1, 2, 9, 3, 9].map(|number| lanes.admit(&a, number)).into();
        assert_eq!(answers, [Run, Run, InLine, InLine, InLine]);
        assert_eq!(lanes.admit(&to("b.example"), 4), Run);
        assert_eq!(lanes.release(&a), [id(3)]);
        assert_eq!(lanes.admit(&a, 5), InLine, "the place is promised");
        assert_eq!(lanes.admit(&a, 3), Run);
        assert_eq!(
            [lanes.release(&a), lanes.release(&a), lanes.release(&a)],
            [vec![id(5)], vec![id(9)], vec![]]
        );
    }

    #[test]
    fn a_promise_without_use_goes_to_the_next() {
        let mut lanes = Proven::new(100, 1);
        let a = to("a.example");
        for number in 1..=3 {
            lanes.admit(&a, number);
        }
        assert_eq!(lanes.release(&a), [id(2)]);
        let Proven(mut lanes) = lanes;
        assert_eq!(lanes.forfeit(id(2), 0), [id(3)]);
        assert_eq!(lanes.forfeit(id(2), 0), []);
        assert_eq!(lanes.forfeit(id(3), 0), []);
        assert!(lanes.running == 0 && lanes.promised.is_empty());
    }

    #[test]
    fn hanging_destinations_leave_places_for_others() {
        let mut lanes = Proven::new(20, 10);
        let mut number = 0;
        let mut admitted = |lanes: &mut Proven, lane: &Lane| {
            number += 1;
            lanes.admit(lane, number)
        };
        for lane in [to("a.example"), to("b.example")] {
            for _ in 0..15 {
                admitted(&mut lanes, &lane);
            }
        }
        let running = |lanes: &Proven, name| lanes.0.by_lane[&to(name)].running;
        assert_eq!((running(&lanes, "a.example"), running(&lanes, "b.example")), (10, 1));
        for other in 0..9 {
            assert_eq!(admitted(&mut lanes, &to(&format!("x{other}.example"))), Run);
        }
        assert_eq!(admitted(&mut lanes, &to("late.example")), Full);
        assert!(!lanes.0.has_room());
    }

    #[test]
    fn a_line_that_formed_in_a_crowd_moves_up_when_the_crowd_is_gone() {
        let mut lanes = Proven::new(8, 3);
        let (a, b) = (to("a.example"), to("b.example"));
        for number in 0..3 {
            lanes.admit(&b, number);
        }
        // One more place than half is taken from here on.
        let answers: Vec<_> = (10..14).map(|number| lanes.admit(&a, number)).collect();
        assert_eq!(answers, [Run, InLine, InLine, InLine]);
        assert_eq!([lanes.release(&b), lanes.release(&b)], [[], []]);
        assert_eq!(lanes.release(&a), [id(11), id(12), id(13)]);
    }

    #[test]
    fn every_destination_gets_at_least_one_with_the_smallest_limits() {
        let mut lanes = Proven::new(1, 1);
        assert_eq!(lanes.admit(&to("a.example"), 1), Run);
        assert_eq!(lanes.admit(&to("a.example"), 2), InLine);
        assert_eq!(lanes.admit(&to("b.example"), 3), Full);
        assert_eq!(lanes.release(&to("a.example")), [id(2)]);
    }

    /// The time series: how many run after each end, while a thousand wait.
    #[test]
    fn attempts_rise_while_all_goes_well_and_fall_when_it_does_not() {
        let mut lanes = Lanes::new(Limits { attempts: 400, attempts_per_destination: 8 });
        let a = to("a.example");
        (0..1_000).for_each(|number| drop(admit(&mut lanes, &a, number)));
        let mut series = vec![lanes.running];
        let mut ends = |lanes: &mut Lanes, contact, count| {
            for _ in 0..count {
                end(lanes, &a, contact);
                series.push(lanes.running);
            }
        };
        ends(&mut lanes, Contact::Answered, 6);
        ends(&mut lanes, Contact::Crowded, 5);
        ends(&mut lanes, Contact::Answered, 4);
        assert_eq!(series, [2, 2, 4, 4, 4, 4, 8, 7, 6, 5, 4, 4, 4, 4, 4, 8]);
    }

    #[test]
    fn a_closed_destination_sends_its_line_away_and_is_probed_by_one() {
        let mut lanes = Lanes::new(Limits::default());
        let (a, pause) = (to("a.example"), 60_000);
        let answers: Vec<_> = (0..5).map(|number| admit(&mut lanes, &a, number)).collect();
        assert_eq!(answers, [Run, Run, InLine, InLine, InLine]);
        assert_eq!(end(&mut lanes, &a, Contact::Silent), []);
        assert_eq!(end(&mut lanes, &a, Contact::Silent), [id(2)]);
        assert_eq!(admit(&mut lanes, &a, 2), Run);
        assert_eq!((end(&mut lanes, &a, Contact::Silent), lanes.running), (vec![], 0));
        assert_eq!([lanes.in_vain(), lanes.in_vain(), lanes.in_vain()], [Some(id(3)), Some(id(4)), None]);
        assert!(matches!(admit(&mut lanes, &a, 3), Admission::Closed(_)));
        let wish = Wish { lane: &a, id: id(4), sender: &ReversePath::Null, asked: false };
        assert_eq!(lanes.admit(wish, pause), Run, "the probe");
        assert_eq!(lanes.admit(Wish { id: id(5), ..wish }, pause), InLine);
        assert_eq!(lanes.release(&a, None, pause), [], "it learned nothing");
        assert_eq!(lanes.in_vain(), Some(id(5)));
        assert_eq!(lanes.admit(Wish { asked: true, ..wish }, 0), Run, "who asks does not wait for the pause");
        assert_eq!(end(&mut lanes, &a, Contact::Answered), []);
        assert_eq!(admit(&mut lanes, &a, 6), Run);
    }

    #[test]
    fn a_crowd_of_destinations_is_forgotten_when_nothing_is_known_of_it() {
        let mut lanes = Lanes::new(Limits::default());
        for number in 0..30_000 {
            let lane = to(&format!("d{number}.example"));
            assert_eq!(admit(&mut lanes, &lane, number), Run);
            end(&mut lanes, &lane, if number % 2 == 0 { Contact::Silent } else { Contact::Answered });
        }
        assert!(lanes.by_lane.len() <= MAX_REMEMBERED, "{}", lanes.by_lane.len());
    }
}
