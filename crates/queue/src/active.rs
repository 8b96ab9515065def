//! An entry in the runner's hands, and the decision what to do with it next.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

use kings_mail::dsn::Status;
use kings_mail::envelope;

use crate::clock::Moment;
use crate::deliver::{Attempt, Content, Destination, Outcome, Report};
use crate::entry::Entry;
use crate::record::{Fact, Record, as_kept};
use crate::schedule::{Due, FIRST_RETRY, next_delay, uptime_of};
use crate::spool::Name;

/// Most recipients in one attempt: what every server takes in one transaction (RFC 5321 §4.5.3.1.8), and no
/// more is unrecorded at any time.
const MAX_PER_ATTEMPT: usize = 100;
/// Recipients due within this of each other are tried together.
const TOGETHER: Duration = Duration::from_mins(1);

/// An entry that has been read because its time has come.
pub(crate) struct Active {
    pub(crate) name: Name,
    pub(crate) entry: Entry,
    asked: Option<NonZeroU64>,
    /// Recipients to be tried at this time or before are tried now; in seconds since 1970.
    until: u64,
    /// One draw for all recipients, so that they stay together.
    jitter: f64,
    /// Places of those that were tried since it was read, or are being tried.
    tried: BTreeSet<usize>,
    /// Attempts that run.
    running: usize,
    /// What happened and is not on disk yet, oldest first.
    unwritten: Vec<Record>,
    /// A step on disk, or the posting of a bounce, is under way.
    pub(crate) busy: bool,
    /// It is on its way back to the schedule under a new name: nothing starts any more.
    pub(crate) releasing: bool,
    pub(crate) queued: Queued,
    /// Its bounce could not be posted now.
    pub(crate) report_later: bool,
    pub(crate) fate: Option<Fate>,
}

/// Whether recipients wait for a place to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// None does.
    No,
    /// The id stands in line at a destination and will be called.
    InLine,
    /// All places were taken: to be tried again as soon as one is free.
    Full,
}

/// How an entry ends that cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is to be set aside.
    Damaged,
    /// Somebody removed its file.
    Gone,
}

/// What to do with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: something is under way, and its end asks again.
    Wait,
    /// Append this many records, written as these bytes.
    Write(usize, Vec<u8>),
    /// Tell the sender about the recipients at these places.
    Report(Vec<usize>),
    /// Delete it: everybody is settled.
    Remove,
    /// Move it away: it is damaged.
    SetAside,
    /// Forget it: it is gone.
    Forget,
    /// Give it back to the schedule.
    Release(Release),
}

/// How an entry goes back to the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It stays taken until its destination calls it.
    InLine,
    /// At once, behind those that are due longer.
    Now { asked: Option<NonZeroU64> },
    /// With the time of its next attempt (seconds since 1970) in its name.
    At(u64),
}

impl Active {
    pub(crate) fn new(due: Due, entry: Entry, now: Moment, jitter: f64) -> Self {
        let Due { name, asked } = due;
        // The schedule said "now" by a clock that does not jump; so whatever the wall clock says, those
        // whose time stands in the name are due.
        let until = now.wall.max(name.next.saturating_add(TOGETHER.as_secs()));
        Self {
            name,
            entry,
            asked,
            until,
            jitter,
            tried: BTreeSet::new(),
            running: 0,
            unwritten: Vec::new(),
            busy: false,
            releasing: false,
            queued: Queued::No,
            report_later: false,
            fate: None,
        }
    }

    /// The recipients to be tried now: by destination, and no more at once than one attempt takes.
    pub(crate) fn groups(&self) -> Vec<(Destination, Vec<usize>)> {
        let mut by_destination: BTreeMap<Destination, Vec<usize>> = BTreeMap::new();
        let asked = self.asked.map(NonZeroU64::get);
        for place in self.entry.due(self.until, asked).filter(|place| !self.tried.contains(place)) {
            let destination = Destination::from(self.entry.recipients[place].path());
            by_destination.entry(destination).or_default().push(place);
        }
        let attempts = |(destination, places): (Destination, Vec<usize>)| {
            let chunks: Vec<_> = places.chunks(MAX_PER_ATTEMPT).map(<[usize]>::to_vec).collect();
            chunks.into_iter().map(move |chunk| (destination.clone(), chunk))
        };
        by_destination.into_iter().flat_map(attempts).collect()
    }

    /// Counts the recipients at these places as being tried, and describes the attempt.
    pub(crate) fn start(
        &mut self,
        destination: Destination,
        places: &[usize],
    ) -> impl FnOnce(Content) -> Attempt + use<> {
        self.tried.extend(places);
        self.running += 1;
        let recipients = || places.iter().map(|&place| &self.entry.recipients[place]);
        let addressed: Vec<envelope::Recipient> =
            recipients().map(|recipient| recipient.addressed.clone()).collect();
        let number = recipients().map(|recipient| recipient.attempts).max().unwrap_or(0).saturating_add(1);
        let (id, parameters) = (self.entry.id, self.entry.parameters.clone());
        let reverse_path = self.entry.reverse_path.clone();
        move |content| Attempt {
            id,
            reverse_path,
            parameters,
            destination,
            recipients: addressed,
            number,
            content,
        }
    }

    /// Ends an attempt whose message could not be read.
    pub(crate) fn abandon(&mut self, fate: Fate) {
        self.running -= 1;
        self.fate = Some(fate);
    }

    /// Ends an attempt: takes in one outcome per place.
    pub(crate) fn settle(&mut self, places: &[usize], outcomes: Vec<Outcome>, now: Moment) {
        self.running -= 1;
        let silent =
            || Outcome::Deferred(Report::ours(Status::LOCAL_TROUBLE, "the attempt ended without an outcome"));
        let outcomes = outcomes.into_iter().chain(std::iter::repeat_with(silent));
        let age = self.entry.age(now);
        for (&place, outcome) in places.iter().zip(outcomes) {
            let fact = self.fact(place, outcome, age, now);
            self.note(Record { at: now.wall, recipient: place, fact });
        }
    }

    fn fact(&self, place: usize, outcome: Outcome, age: Duration, now: Moment) -> Fact {
        let attempts = self.entry.recipients[place].attempts.saturating_add(1);
        match outcome {
            Outcome::Delivered(report) | Outcome::Relayed(report) | Outcome::PassedOn(report) => {
                Fact::Delivered(as_kept(report))
            }
            Outcome::Failed(report) => Fact::Failed(as_kept(report)),
            Outcome::Deferred(report) => match next_delay(attempts, age, self.jitter) {
                Some(delay) => {
                    let next = now.wall.saturating_add(delay.as_secs().max(1));
                    Fact::Deferred { report: as_kept(report), next }
                }
                None => Fact::Failed(Report { status: Status::EXPIRED, ..as_kept(report) }),
            },
        }
    }

    /// Takes in that the sender knows of the failures at these places.
    pub(crate) fn reported(&mut self, places: &[usize], now: Moment) {
        for &place in places {
            self.note(Record { at: now.wall, recipient: place, fact: Fact::Reported });
        }
    }

    fn note(&mut self, record: Record) {
        log(&self.entry, &record);
        self.entry.apply(&record).expect("the place came from this entry");
        self.unwritten.push(record);
    }

    /// The oldest `count` records are on disk; the next go to `tail`.
    pub(crate) fn written(&mut self, count: usize, tail: u64) {
        self.unwritten.drain(..count);
        self.entry.tail = tail;
    }

    /// What to do next. Every outcome is on disk before anything is built on it; only where the whole entry
    /// goes away is its deletion the record, for it works on the fullest disk.
    pub(crate) fn next_step(&self, now: Moment) -> Step {
        if self.busy {
            return Step::Wait;
        }
        let idle = self.running == 0;
        if idle && self.fate == Some(Fate::Gone) {
            return Step::Forget;
        }
        if idle && self.entry.is_settled() {
            return Step::Remove;
        }
        if !self.unwritten.is_empty() {
            let mut bytes = Vec::new();
            for record in &self.unwritten {
                record.write_to(self.entry.seed, &mut bytes);
            }
            return Step::Write(self.unwritten.len(), bytes);
        }
        if !idle {
            return Step::Wait;
        }
        if self.fate == Some(Fate::Damaged) {
            return Step::SetAside;
        }
        let unreported = self.entry.unreported();
        if !unreported.is_empty() && !self.report_later {
            return Step::Report(unreported);
        }
        Step::Release(self.release(now))
    }

    fn release(&self, now: Moment) -> Release {
        match self.queued {
            Queued::InLine => Release::InLine,
            Queued::Full => Release::Now { asked: self.asked },
            Queued::No => {
                let again = self.report_later.then(|| now.wall.saturating_add(FIRST_RETRY.as_secs()));
                Release::At(self.entry.next().into_iter().chain(again).min().unwrap_or(now.wall))
            }
        }
    }

    /// The uptime at which it is due when released with `next` in its name; never at once, so that a clock
    /// gone wrong cannot make the runner spin.
    pub(crate) fn due_after(next: u64, now: Moment) -> u64 {
        uptime_of(next, now).max(now.uptime.saturating_add(1_000))
    }
}

/// One line per recipient and attempt.
fn log(entry: &Entry, record: &Record) {
    let recipient = &entry.recipients[record.recipient];
    let (outcome, report, next_attempt) = match &record.fact {
        Fact::Delivered(report) => ("delivered", report, None),
        Fact::Deferred { report, next } => ("deferred", report, Some(*next)),
        Fact::Failed(report) => ("failed", report, None),
        Fact::Reported => return,
    };
    tracing::info!(
        id = %entry.id, reverse_path = %entry.reverse_path, forward_path = %recipient.path(), outcome,
        status = %report.status, remote = report.remote.as_deref(), reply = report.reply,
        attempt = recipient.attempts.saturating_add(1), next_attempt, "attempt"
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::entry::Head;
    use kings_mail::id::TraceId;

    const NOW: Moment = Moment { wall: 1_000, steady_since: 0, uptime: 50_000 };

    fn active(recipients: &[&str]) -> Active {
        let id = TraceId::new(1, 1);
        let head = Head {
            id,
            arrived: 1_000,
            envelope: crate::testing::envelope("", recipients),
            content_length: 0,
            content_checksum: 0,
        };
        let due = Due { name: Name { id, next: 1_000 }, asked: None };
        Active::new(due, Entry::new(head, 0, 0), NOW, 0.0)
    }

    fn run(active: &mut Active, places: &[usize], outcomes: Vec<Outcome>) {
        let _attempt = active.start(Destination::Here, places);
        active.settle(places, outcomes, NOW);
    }

    fn report() -> Report {
        Report::ours(Status(4, 0, 0), "so")
    }

    #[test]
    fn recipients_travel_by_destination_and_at_most_a_hundred_together() {
        let mut many: Vec<String> = (0..150).map(|n| format!("u{n}@a.example")).collect();
        many.push("x@b.example".into());
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut active = active(&names);
        let sizes = |active: &Active| {
            active.groups().iter().map(|(to, places)| format!("{to} {}", places.len())).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&active), ["a.example 100", "a.example 50", "b.example 1"]);
        let (destination, places) = active.groups().remove(0);
        let attempt = active.start(destination, &places)(Content::from(vec![]));
        assert_eq!((attempt.recipients.len(), attempt.number), (100, 1));
        assert_eq!(sizes(&active), ["a.example 50", "b.example 1"]);
    }

    #[test]
    fn a_wholly_delivered_entry_is_removed_without_a_record() {
        let mut active = active(&["a@a.example"]);
        run(&mut active, &[0], vec![Outcome::Delivered(report())]);
        assert_eq!(active.next_step(NOW), Step::Remove);
        active.busy = true;
        assert_eq!(active.next_step(NOW), Step::Wait);
    }

    #[test]
    fn outcomes_are_written_while_other_attempts_run() {
        let mut active = active(&["a@a.example", "b@b.example"]);
        let _running = active.start(Destination::Here, &[1]);
        run(&mut active, &[0], vec![Outcome::Delivered(report())]);
        let Step::Write(1, bytes) = active.next_step(NOW) else { panic!("it is not written") };
        active.written(1, bytes.len() as u64);
        assert_eq!(active.next_step(NOW), Step::Wait);
    }

    #[test]
    fn a_failure_is_written_then_reported_then_removed() {
        let mut active = active(&["a@a.example"]);
        run(&mut active, &[0], vec![Outcome::Failed(report())]);
        assert!(matches!(active.next_step(NOW), Step::Write(1, _)));
        active.written(1, 10);
        assert_eq!(active.next_step(NOW), Step::Report(vec![0]));
        active.report_later = true;
        assert_eq!(active.next_step(NOW), Step::Release(Release::At(1_300)));
        active.reported(&[0], NOW);
        assert_eq!(active.next_step(NOW), Step::Remove);
    }

    #[test]
    fn a_deferral_is_released_with_its_next_attempt() {
        let mut active = active(&["a@a.example", "b@b.example"]);
        run(&mut active, &[0], vec![Outcome::Deferred(report())]);
        run(&mut active, &[1], vec![]);
        active.written(2, 10);
        assert_eq!(active.next_step(NOW), Step::Release(Release::At(1_300)));
        active.queued = Queued::InLine;
        assert_eq!(active.next_step(NOW), Step::Release(Release::InLine));
        active.queued = Queued::Full;
        assert_eq!(active.next_step(NOW), Step::Release(Release::Now { asked: None }));
    }

    #[test]
    fn a_deferral_after_the_lifetime_is_a_failure() {
        let mut active = active(&["a@a.example"]);
        let _attempt = active.start(Destination::Here, &[0]);
        let later = Moment { wall: 1_000 + 5 * 86_400, ..NOW };
        active.settle(&[0], vec![Outcome::Deferred(report())], later);
        assert_eq!(active.entry.unreported(), [0]);
        assert_eq!(active.entry.recipients[0].last.as_ref().unwrap().1.status, Status::EXPIRED);
    }

    #[test]
    fn damaged_and_vanished_entries_end_when_nothing_runs() {
        for (fate, step) in [(Fate::Damaged, Step::SetAside), (Fate::Gone, Step::Forget)] {
            let mut active = active(&["a@a.example", "b@b.example"]);
            let _both = (active.start(Destination::Here, &[0]), active.start(Destination::Here, &[1]));
            active.abandon(fate);
            assert_eq!(active.next_step(NOW), Step::Wait);
            active.abandon(fate);
            assert_eq!(active.next_step(NOW), step);
        }
    }

    #[test]
    fn a_clock_gone_wrong_makes_nobody_spin() {
        assert_eq!(Active::due_after(0, NOW), 51_000);
        assert_eq!(Active::due_after(1_300, NOW), 350_000);
    }
}
