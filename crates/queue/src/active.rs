//! An entry in the runner's hands, and the decision what to do with it next.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

use kings_mail::dsn::Status;
use kings_mail::envelope;
use kings_mail::path::ForwardPath;
use kings_mutants::planted;

use crate::clock::Moment;
use crate::deliver::{Attempt, Content, Handover, Lane, Outcome, Report};
use crate::entry::Entry;
use crate::fresh::Whole;
use crate::recipient::Occasion;
use crate::record::{Fact, Record, as_kept, not_tried};
use crate::schedule::{FIRST_RETRY, uptime_of};
use crate::spool::{HELD, Name};
use crate::timetable::Due;

/// Most recipients in one attempt, of which nothing is recorded until it ends: half of what every server takes in one
/// transaction (RFC 5321 §4.5.3.1.8), as with Postfix (`default_destination_recipient_limit`).
const MAX_PER_ATTEMPT: usize = 50;
/// Recipients due within this of each other are tried together.
const TOGETHER: Duration = Duration::from_mins(1);

/// What its plans depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// `0.0..1.0`: one draw for all recipients, so that they stay together.
    pub(crate) jitter: f64,
    /// After how long the sender is told that it takes long; `None` for never.
    pub(crate) delay_warning: Option<Duration>,
    /// How long it is tried.
    pub(crate) lifetime: Duration,
}

/// An entry that has been read because its time has come.
pub(crate) struct Active {
    pub(crate) name: Name,
    pub(crate) entry: Entry,
    /// Its content, where it need not be read.
    pub(crate) content: Option<Content>,
    asked: Option<NonZeroU64>,
    /// Recipients to be tried at this time or before are tried now; in seconds since 1970.
    /// `None` while the sender wants it to wait.
    until: Option<u64>,
    terms: Terms,
    /// Places of those that were tried since it was read, or are being tried.
    tried: BTreeSet<usize>,
    /// Attempts that run.
    running: usize,
    /// What happened and is not on disk yet, oldest first.
    unwritten: Vec<Record>,
    /// A step on disk, or the posting of a notification, is under way.
    pub(crate) busy: bool,
    /// It is on its way back to the timetable under a new name: nothing starts any more.
    pub(crate) releasing: bool,
    pub(crate) queued: Queued,
    /// Its notification could not be posted now.
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
    Report(Occasion, Vec<usize>),
    /// Delete it: everybody is settled.
    Remove,
    /// Move it away: it is damaged.
    SetAside,
    /// Forget it: it is gone.
    Forget,
    /// Give it back to the timetable.
    Release(Release),
}

/// How an entry goes back to the timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It stays taken until its destination calls it.
    InLine,
    /// At once, behind those that are due longer.
    Now { asked: Option<NonZeroU64> },
    /// With the time of its next attempt (seconds since 1970, or [`HELD`]) in its name.
    At(u64),
}

/// Recipients of one attempt, by their places in the entry.
pub(crate) struct Group {
    pub(crate) lane: Lane,
    pub(crate) places: Vec<usize>,
}

impl Active {
    /// `content`: where it need not be read.
    pub(crate) fn new(
        due: Due,
        (entry, content): (Entry, Option<Content>),
        now: Moment,
        terms: Terms,
    ) -> Self {
        let Due { name, asked } = due;
        // The timetable said "now" by a clock that does not jump; so whatever the wall clock says, those
        // whose time stands in the name are due, unless it was somebody who said so. Only what its sender wants to wait
        // has an age to say so.
        let named = if asked.is_some() { 0 } else { name.next.saturating_add(TOGETHER.as_secs()) };
        let until = now.wall.max(named);
        let until = Some(until).filter(|_| entry.is_released(now));
        Self {
            name,
            entry,
            content,
            asked,
            until,
            terms,
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

    /// The entry as it can wait in memory, when all that happened is on disk.
    pub(crate) fn into_whole(self) -> Option<Whole> {
        let content = self.content.filter(|_| self.unwritten.is_empty())?;
        Whole::new(self.entry, || content)
    }

    /// The recipients to be tried now: by lane, and no more at once than one attempt takes.
    pub(crate) fn groups(&self, lane: impl Fn(&Entry, &ForwardPath) -> Lane) -> Vec<Group> {
        let mut together: BTreeMap<Lane, Vec<usize>> = BTreeMap::new();
        let asked = self.asked.map(NonZeroU64::get);
        let due = self.until.into_iter().flat_map(|until| self.entry.due(until, asked));
        for place in due.filter(|place| !self.tried.contains(place)) {
            let lane = lane(&self.entry, self.entry.recipients[place].path());
            together.entry(lane).or_default().push(place);
        }
        let attempts = |(lane, places): (Lane, Vec<usize>)| {
            let chunks: Vec<_> = places.chunks(MAX_PER_ATTEMPT).map(<[usize]>::to_vec).collect();
            chunks.into_iter().map(move |places| Group { lane: lane.clone(), places })
        };
        together.into_iter().flat_map(attempts).collect()
    }

    /// Has those tried anew who are due again although what happened to them is not on disk yet. Whether anybody is.
    ///
    /// What is in memory tells who is done with, so that nobody gets the message twice for it; a crash forgets it, as it
    /// does after a first attempt.
    pub(crate) fn renew(&mut self, now: Moment) -> bool {
        let is_due = || self.entry.due(now.wall, None).next().is_some();
        if self.running > 0 || self.fate.is_some() || !self.entry.is_released(now) || !is_due() {
            return false;
        }
        self.tried.clear();
        (self.until, self.asked) = (Some(now.wall), None);
        true
    }

    /// Whether nothing is left to be done but to remove it.
    pub(crate) fn is_over(&self) -> bool {
        self.running == 0 && self.entry.is_settled()
    }

    /// Counts the recipients at these places as being tried, and describes the attempt.
    pub(crate) fn start(&mut self, places: &[usize]) -> impl FnOnce(Content) -> Attempt + use<> {
        self.tried.extend(places);
        self.running += 1;
        let recipients = || places.iter().map(|&place| &self.entry.recipients[place]);
        let addressed: Vec<envelope::Recipient> =
            recipients().map(|recipient| recipient.addressed.clone()).collect();
        let number = recipients().map(|recipient| recipient.attempts).max().unwrap_or(0).saturating_add(1);
        let (id, parameters) = (self.entry.id, self.entry.parameters.clone());
        let reverse_path = self.entry.reverse_path.clone();
        move |content| Attempt { id, reverse_path, parameters, recipients: addressed, number, content }
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

    /// Defers recipients who were not tried, since their destination has just been found not to answer.
    pub(crate) fn suspend(&mut self, places: &[usize], why: &Report, now: Moment) {
        self.tried.extend(places);
        self.running += 1;
        self.settle(places, vec![Outcome::Deferred(not_tried(why)); places.len()], now);
    }

    /// Whether somebody asked for an attempt.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    fn fact(&self, place: usize, outcome: Outcome, age: Duration, now: Moment) -> Fact {
        let recipient = &self.entry.recipients[place];
        let was_due = recipient.next().is_some_and(|next| self.until.is_some_and(|until| next <= until));
        match outcome {
            Outcome::Delivered(report) => Fact::Delivered(Handover::Mailbox, as_kept(report)),
            Outcome::Relayed(report) => Fact::Delivered(Handover::Relayed, as_kept(report)),
            Outcome::PassedOn(report) => Fact::Delivered(Handover::PassedOn, as_kept(report)),
            Outcome::Failed(report) => Fact::Failed(as_kept(report)),
            Outcome::Deferred(report) => match recipient.next_attempt(was_due, now, age, self.terms) {
                Some(next) => Fact::Deferred { report: as_kept(report), next },
                None => Fact::Failed(Report { status: Status::EXPIRED, ..as_kept(report) }),
            },
        }
    }

    /// Takes in that the sender knows what happened at these places.
    pub(crate) fn reported(&mut self, occasion: Occasion, places: &[usize], now: Moment) {
        for &place in places {
            let fact = match occasion {
                Occasion::Failure | Occasion::Success => Fact::Reported,
                Occasion::Delay => Fact::Warned,
            };
            self.note(Record { at: now.wall, recipient: place, fact });
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
        if !self.unwritten.is_empty() && (idle || !planted("attempt-recorded-late")) {
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
        match self.owed(now) {
            Some((occasion, places)) if !self.report_later => Step::Report(occasion, places),
            _ => Step::Release(self.release(now)),
        }
    }

    /// What the sender is to be told now.
    fn owed(&self, now: Moment) -> Option<(Occasion, Vec<usize>)> {
        let delayed = || match self.until_warning(now) {
            Some(wait) if wait.is_zero() => self.entry.unwarned(),
            Some(_) | None => Vec::new(),
        };
        let owed = [
            (Occasion::Failure, self.entry.owed(Occasion::Failure)),
            (Occasion::Success, self.entry.owed(Occasion::Success)),
            (Occasion::Delay, delayed()),
        ];
        owed.into_iter().find(|(_, places)| !places.is_empty())
    }

    /// How long until a sender who wants to hear of delays is told of one; `None` if nobody is.
    fn until_warning(&self, now: Moment) -> Option<Duration> {
        let warning = self.terms.delay_warning.filter(|_| !self.entry.unwarned().is_empty())?;
        Some(warning.saturating_sub(self.entry.age(now)))
    }

    fn release(&self, now: Moment) -> Release {
        match self.queued {
            Queued::InLine => Release::InLine,
            Queued::Full => Release::Now { asked: self.asked },
            Queued::No => {
                let in_a = |wait: Duration| now.wall.saturating_add(wait.as_secs().max(1));
                let again = self.report_later.then_some(FIRST_RETRY);
                let notice = again.or_else(|| self.until_warning(now)).map(in_a);
                let nothing = if self.entry.is_held() { HELD } else { now.wall };
                Release::At(self.entry.next().into_iter().chain(notice).min().unwrap_or(nothing))
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
    let (report, next_attempt) = match &record.fact {
        Fact::Delivered(_, report) | Fact::Failed(report) => (report, None),
        Fact::Deferred { report, next } => (report, Some(*next)),
        Fact::Reported | Fact::Warned | Fact::Held(_) | Fact::Released { .. } => return,
    };
    tracing::info!(
        id = %entry.id, reverse_path = %entry.reverse_path, forward_path = %recipient.path(), outcome = record.fact.word(),
        status = %report.status, remote = report.remote.as_deref(), reply = report.reply,
        attempt = record.fact.is_attempt().then_some(recipient.attempts.saturating_add(1)), next_attempt, "delivery attempt"
    );
}

#[cfg(test)]
mod tests;
