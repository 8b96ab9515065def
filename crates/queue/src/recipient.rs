//! One recipient of a message: how far it is, and what its sender is to be told.

use std::time::Duration;

use kings_mail::envelope;
use kings_mail::path::ForwardPath;

use crate::active::Terms;
use crate::clock::Moment;
use crate::deliver::{Handover, Report};
use crate::record::Fact;
use crate::schedule::next_delay;

/// One recipient and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    /// What RCPT said.
    pub(crate) addressed: envelope::Recipient,
    pub(crate) progress: Progress,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// How often it was put off without an attempt, as its destination did not answer others.
    put_off: u32,
    /// How often of these because it was due, and nobody had asked for it: the waits grow with that.
    pub(crate) by_schedule: u32,
    /// Somebody has it tried now that was not due.
    ordered: bool,
    /// The last outcome, or why it is held, and when that was, in seconds since 1970.
    pub(crate) last: Option<(u64, Report)>,
    /// The sender knows how it ended.
    told: bool,
    /// The sender knows that it takes long.
    pub(crate) warned: bool,
}

/// Where a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// To be tried at `next`, in seconds since 1970; the time of arrival before the first attempt.
    Open { next: u64 },
    /// Not to be tried until an operator releases it.
    Held,
    /// Done.
    Delivered(Handover),
    /// Given up.
    Failed,
}

/// Where a recipient stands, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// Not tried yet.
    New,
    /// Tried, or put off as its destination does not answer, and to be tried again.
    Deferred,
    /// Waits until an operator releases it.
    Held,
    /// Done.
    Delivered,
    /// Given up.
    Failed,
}

impl RecipientState {
    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::New, Self::Deferred, Self::Held, Self::Delivered, Self::Failed];
        all.into_iter().find(|state| state.as_str() == word)
    }

    /// The word for lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl Recipient {
    /// One that nothing happened to yet.
    pub(crate) fn new(addressed: envelope::Recipient, first_attempt: u64) -> Self {
        let progress = Progress::Open { next: first_attempt };
        Self {
            addressed,
            progress,
            attempts: 0,
            put_off: 0,
            by_schedule: 0,
            ordered: false,
            last: None,
            told: false,
            warned: false,
        }
    }

    /// Who it is for.
    pub(crate) fn path(&self) -> &ForwardPath {
        &self.addressed.path
    }

    /// Where it stands, for lists.
    pub(crate) fn state(&self) -> RecipientState {
        match self.progress {
            Progress::Open { .. } if self.attempts == 0 && self.put_off == 0 => RecipientState::New,
            Progress::Open { .. } => RecipientState::Deferred,
            Progress::Held => RecipientState::Held,
            Progress::Delivered(_) => RecipientState::Delivered,
            Progress::Failed => RecipientState::Failed,
        }
    }

    /// When it is to be tried, in seconds since 1970; `None` while it is held and once it is over.
    pub(crate) fn next(&self) -> Option<u64> {
        match self.progress {
            Progress::Open { next } => Some(next),
            Progress::Held | Progress::Delivered(_) | Progress::Failed => None,
        }
    }

    /// When to try it again after an attempt that has just failed; `None` when it is time to give up. An attempt that
    /// somebody asked for before it `was_due` comes in addition to those of the schedule: it neither lengthens a wait nor
    /// ends a life.
    pub(crate) fn next_attempt(
        &self,
        was_due: bool,
        now: Moment,
        age: Duration,
        terms: Terms,
    ) -> Option<u64> {
        if let Some(planned) = self.next().filter(|planned| !was_due && *planned > now.wall) {
            return Some(planned);
        }
        let made = self.by_schedule.saturating_add(u32::from(!self.ordered));
        let delay = next_delay(made, age, terms.lifetime, terms.jitter)?;
        Some(now.wall.saturating_add(delay.as_secs().max(1)))
    }

    /// Takes in what happened at this time, in seconds since 1970.
    pub(crate) fn apply(&mut self, at: u64, fact: &Fact) {
        let report = match fact {
            Fact::Delivered(handover, report) => {
                self.progress = Progress::Delivered(*handover);
                report
            }
            Fact::Deferred { report, next } => {
                // One for which somebody asked leaves the plan as it is.
                let by_schedule = !self.ordered && self.next() != Some(*next);
                self.by_schedule = self.by_schedule.saturating_add(u32::from(by_schedule));
                self.progress = Progress::Open { next: *next };
                report
            }
            Fact::Failed(report) => {
                self.progress = Progress::Failed;
                report
            }
            Fact::Reported => return self.told = true,
            Fact::Warned => return self.warned = true,
            Fact::Held(why) => {
                self.progress = Progress::Held;
                // No attempt, but what there is to say about it last.
                self.last = why.clone().map(|why| (at, why)).or_else(|| self.last.take());
                return;
            }
            Fact::Released { next } => {
                self.ordered = true;
                self.progress = Progress::Open { next: *next };
                return;
            }
        };
        self.ordered = false;
        self.attempts = self.attempts.saturating_add(u32::from(fact.is_attempt()));
        self.put_off = self.put_off.saturating_add(u32::from(!fact.is_attempt()));
        self.last = Some((at, report.clone()));
    }

    /// What the sender is to be told about its end and was not yet. A message without a sender speaks of
    /// nothing but failures, and of these to the postmaster (RFC 3461 §4.1, RFC 5321 §6.1).
    pub(crate) fn owed(&self, has_sender: bool) -> Option<Occasion> {
        let notify = self.addressed.notify;
        let owed = match self.progress {
            Progress::Open { .. } | Progress::Held | Progress::Delivered(Handover::PassedOn) => None,
            Progress::Delivered(Handover::Mailbox | Handover::Relayed | Handover::Expanded) => {
                (has_sender && notify.on_success()).then_some(Occasion::Success)
            }
            Progress::Failed => notify.on_failure().then_some(Occasion::Failure),
        };
        owed.filter(|_| !self.told)
    }
}

/// What a sender is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// It will not be delivered.
    Failure,
    /// It takes long.
    Delay,
    /// It was delivered, or passed on.
    Success,
}
