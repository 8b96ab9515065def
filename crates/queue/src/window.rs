//! How many attempts one destination may have at once, learned from how it answers.
//!
//! It starts small, doubles while all goes well, and halves when the destination has enough of us or cannot be
//! reached. One that stays silent is closed: after a pause it is probed with one attempt at a time until it
//! answers, and in between nothing is tried in vain.

use std::time::Duration;

use crate::deliver::{Contact, Report};

/// What a destination that nothing is known of may have at once.
const START: usize = 2;
/// Pause before the first probe of a closed destination; it doubles with each one in vain.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// Longest pause between probes.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);

/// See the module. Times are uptimes in milliseconds.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    /// Good answers since the size changed.
    good: usize,
    /// Attempts that were under way when the size shrank: what goes wrong with them is known already.
    stale: usize,
    closed: Option<Closed>,
}

/// The destination does not answer.
#[derive(Debug)]
struct Closed {
    /// When it may be probed.
    until: u64,
    pause: Duration,
    /// What was found.
    why: Report,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: START, good: 0, stale: 0, closed: None }
    }
}

impl Window {
    /// How many attempts may run now; 0 during the pause of a closed destination.
    pub(crate) fn size(&self, now: u64) -> usize {
        match &self.closed {
            Some(closed) if now < closed.until => 0,
            Some(_) => 1,
            None => self.size,
        }
    }

    /// Why nothing is tried now; `None` where something may be.
    pub(crate) fn why_not(&self, now: u64) -> Option<&Report> {
        self.closed.as_ref().filter(|closed| now < closed.until).map(|closed| &closed.why)
    }

    /// Whether the destination is closed, even if a probe may run.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Whether nothing was learned yet that is worth keeping.
    pub(crate) fn is_new(&self) -> bool {
        self.closed.is_none() && self.size == START
    }

    /// Learns from the end of an attempt while `running` others are under way.
    pub(crate) fn learn(
        &mut self,
        contact: Contact,
        report: Option<&Report>,
        running: usize,
        most: usize,
        now: u64,
    ) {
        let stale = self.stale > 0;
        self.stale = self.stale.saturating_sub(1).min(running);
        match contact {
            Contact::Answered => self.grow(most),
            Contact::Crowded | Contact::Silent if stale => {}
            Contact::Silent if self.size == 1 => self.close(report, now),
            Contact::Crowded | Contact::Silent => self.shrink(running),
        }
    }

    fn grow(&mut self, most: usize) {
        if self.closed.take().is_some() {
            self.good = 0;
            return;
        }
        self.good += 1;
        if self.good >= self.size {
            self.size = (self.size * 2).min(most).max(1);
            self.good = 0;
        }
    }

    fn shrink(&mut self, running: usize) {
        self.size = (self.size / 2).max(1);
        self.good = 0;
        self.stale = running;
        // Somebody answered, if only to send us away.
        self.closed = None;
    }

    fn close(&mut self, report: Option<&Report>, now: u64) {
        let pause = self.closed.as_ref().map_or(FIRST_PAUSE, |closed| (closed.pause * 2).min(LONGEST_PAUSE));
        let until = now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        let unknown = || Report::ours(kings_mail::dsn::Status(4, 4, 1), "no server could be reached");
        self.closed = Some(Closed { until, pause, why: report.cloned().unwrap_or_else(unknown) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Contact::{Answered, Crowded, Silent};

    const MINUTE: u64 = 60_000;

    /// Sizes after each of these ends, with this many others under way.
    fn sizes(window: &mut Window, ends: &[(Contact, usize)]) -> Vec<usize> {
        let learn = |&(contact, running): &(Contact, usize)| {
            window.learn(contact, None, running, 20, 0);
            window.size
        };
        ends.iter().map(learn).collect()
    }

    #[test]
    fn it_doubles_with_every_full_round_of_good_answers_up_to_the_limit() {
        let rounds = sizes(&mut Window::default(), &[(Answered, 0); 2 + 4 + 8 + 16 + 3]);
        let doubled: Vec<usize> = [0, 1, 2, 5, 6, 13, 14, 29, 30, 32].map(|end| rounds[end]).into();
        assert_eq!(doubled, [2, 4, 4, 8, 8, 16, 16, 20, 20, 20]);
    }

    #[test]
    fn one_wave_of_refusals_halves_it_once() {
        let mut window = Window { size: 16, ..Window::default() };
        let wave: Vec<_> = (0..16).rev().map(|running| (Crowded, running)).collect();
        assert_eq!(sizes(&mut window, &wave), [8; 16]);
        assert_eq!(sizes(&mut window, &[(Crowded, 7), (Answered, 6), (Crowded, 5)]), [4, 4, 4]);
        assert_eq!(sizes(&mut window, &[(Silent, 0), (Crowded, 0), (Crowded, 0)]), [4, 2, 1]);
        assert!(!window.is_closed());
    }

    #[test]
    fn a_silent_destination_is_closed_and_probed_once_at_a_time_with_longer_pauses_until_it_answers() {
        let mut window = Window::default();
        assert_eq!(sizes(&mut window, &[(Silent, 1), (Silent, 0)]), [1, 1]);
        assert!(!window.is_closed(), "the second one was under way already");
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            window.learn(Silent, None, 0, 20, now);
            let pause = (1..60).find(|minute| window.size(now + minute * MINUTE) == 1).unwrap_or_default();
            assert_eq!((window.size(now), window.why_not(now).is_some()), (0, true));
            pauses.push(pause);
            now += pause * MINUTE;
            assert_eq!((window.size(now), window.why_not(now)), (1, None));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
        let reopened = sizes(&mut window, &[(Answered, 0), (Answered, 0), (Answered, 0), (Answered, 0)]);
        assert_eq!(reopened, [1, 2, 2, 4]);
    }

    #[test]
    fn one_that_sends_us_away_is_not_silent() {
        let mut window = Window::default();
        sizes(&mut window, &[(Silent, 0), (Silent, 0)]);
        assert!(window.is_closed());
        assert_eq!(sizes(&mut window, &[(Crowded, 0)]), [1]);
        assert!(!window.is_closed());
    }
}
