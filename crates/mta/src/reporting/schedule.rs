//! When reports leave: a pure function of the time, of the round before, and of what is there.
//!
//! A day is told about once it is over, never while it lasts: a server that has just been set up has nothing to tell before
//! its first midnight (UTC), and nothing after it unless strangers have come by whose domains ask to be told.

use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};
use kings_mail::domain::Domain;
use kings_records::ReportDay;

/// In seconds.
pub(super) const DAY: u64 = 24 * 60 * 60;
/// From midnight until the first report leaves, in seconds: ours. What happened before it is on record by then.
const SETTLED: u64 = 60;
/// Reports leave within this time after that, each domain at a moment of its own, in seconds: ours.
const SPREAD: u64 = 60 * 60;
/// Days that are still told about after the server was down, or while nobody could say where to send a report: ours;
/// RFC 8460 §5.5 asks for one day.
const LATEST: u64 = 3;
/// Pause before what could not be sent is tried again, in seconds: ours. It is the longest between two rounds as well, so
/// that a clock that was set is noticed.
const RETRY: u64 = 60 * 60;
/// Shortest pause between two rounds, in seconds: ours. Many domains whose moments are close go in one round.
pub(super) const SHORTEST: u64 = 60;

/// What one look at the clock leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// To be sent now, in the order in which they were found.
    pub(super) due: Vec<ReportDay>,
    /// When to look again, in seconds since 1970.
    pub(super) next: u64,
}

/// The days that may be told about at `now` (seconds since 1970): over, and not too long ago.
pub(super) fn days(now: u64) -> Range<u64> {
    let today = now / DAY;
    today.saturating_sub(LATEST)..today
}

/// Decides. `last` is when the round before was, if there was one since the start; `found` is what has not been sent of
/// [`days`], and whatever else it holds is left alone.
pub(super) fn round(now: u64, last: Option<u64>, found: Vec<ReportDay>) -> Round {
    let days = days(now);
    // A clock that was set back says nothing about what was tried.
    let last = last.filter(|last| *last <= now);
    let rested = last.is_none_or(|last| now - last >= RETRY);
    let is_new = |moment: u64| last.is_none_or(|last| moment > last);
    let (mut due, mut next) = (Vec::new(), now + RETRY);
    for report in found.into_iter().filter(|report| days.contains(&report.day)) {
        let moment = moment(&report);
        if moment > now {
            next = next.min(moment);
        } else if rested || is_new(moment) {
            due.push(report);
        }
    }
    // The first moment at which there is another day to tell about.
    let settled = days.end * DAY + SETTLED;
    let settled = if settled > now { settled } else { settled + DAY };
    let next = next.min(settled).max(now + SHORTEST);
    Round { due, next }
}

/// When a report may leave: the servers of the world do not all write to one domain at midnight.
fn moment(report: &ReportDay) -> u64 {
    (report.day + 1) * DAY + SETTLED + place(&report.domain)
}

fn place(domain: &Domain) -> u64 {
    let hash = digest(&SHA256, domain.as_str().as_bytes());
    let number = hash.as_ref().iter().take(4).fold(0, |number, octet| number << 8 | u64::from(*octet));
    number % SPREAD
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_records::ReportKind;

    use super::*;

    /// Far from 1970, and a Monday like any other.
    const TODAY: u64 = 20_000;
    const MIDNIGHT: u64 = TODAY * DAY;

    fn report(domain: &str, day: u64) -> ReportDay {
        ReportDay { kind: ReportKind::Dmarc, domain: Domain::parse(domain).unwrap(), day }
    }

    /// The two domains of the tables, the one whose moment is earlier first.
    fn pair() -> (ReportDay, ReportDay) {
        let (a, b) = (report("a.example", TODAY - 1), report("b.example", TODAY - 1));
        assert!(moment(&a).abs_diff(moment(&b)) > 3 * SHORTEST, "other names are needed");
        if moment(&a) < moment(&b) { (a, b) } else { (b, a) }
    }

    #[test]
    fn reports_leave_at_their_moment_and_what_waits_is_tried_each_hour() {
        let (early, late) = pair();
        let (at_early, at_late) = (moment(&early), moment(&late));
        let both = || vec![early.clone(), late.clone()];
        let (noon, tomorrow) = (MIDNIGHT + DAY / 2, MIDNIGHT + DAY + SETTLED);
        let cases = [
            ("nothing is there", noon, None, vec![], vec![], noon + RETRY),
            ("midnight", MIDNIGHT, None, vec![], vec![], MIDNIGHT + SETTLED),
            ("both before their moments", MIDNIGHT + SETTLED, None, both(), vec![], at_early),
            ("a second too early", at_early - 1, None, both(), vec![], at_early - 1 + SHORTEST),
            ("the first", at_early, None, both(), vec![&early], at_late),
            ("the first was sent", at_early + 90, Some(at_early), vec![late.clone()], vec![], at_late),
            ("the first waits", at_late, Some(at_late - 90), both(), vec![&late], at_late + RETRY),
            ("both wait", at_late + 90, Some(at_late), both(), vec![], at_late + 90 + RETRY),
            ("an hour later", noon, Some(noon - RETRY), both(), vec![&early, &late], noon + RETRY),
            ("a second less", noon, Some(noon - RETRY + 1), both(), vec![], noon + RETRY),
            ("after a start", noon, None, both(), vec![&early, &late], noon + RETRY),
            ("a clock set back", noon, Some(noon + 1), both(), vec![&early, &late], noon + RETRY),
            ("before the next midnight", tomorrow - 600, None, vec![], vec![], tomorrow),
            ("just after it", tomorrow - 5, None, vec![], vec![], tomorrow - 5 + SHORTEST),
        ];
        for (name, now, last, found, due, next) in cases {
            let due = due.into_iter().cloned().collect();
            assert_eq!(round(now, last, found), Round { due, next }, "{name}");
        }
    }

    #[test]
    fn a_day_is_told_about_when_it_is_over_and_not_for_ever() {
        let noon = MIDNIGHT + DAY / 2;
        let cases = [
            (TODAY + 1, false),
            (TODAY, false),
            (TODAY - 1, true),
            (TODAY - LATEST, true),
            (TODAY - LATEST - 1, false),
            (0, false),
            (u64::MAX, false),
        ];
        for (day, is_due) in cases {
            let found = vec![report("a.example", day)];
            assert_eq!(round(noon, None, found).due.len(), usize::from(is_due), "{day}");
        }
        // A clock that was never set.
        for now in [0, 1, DAY] {
            assert_eq!(round(now, Some(5), Vec::new()).due, []);
        }
    }

    #[test]
    fn moments_are_spread_over_an_hour_after_midnight() {
        let moments: Vec<u64> =
            (0..200).map(|n| moment(&report(&format!("d{n}.example"), TODAY - 1))).collect();
        let (first, end) = (MIDNIGHT + SETTLED, MIDNIGHT + SETTLED + SPREAD);
        assert!(moments.iter().all(|moment| (first..end).contains(moment)), "{moments:?}");
        let quarter = |n: u64| (first + n * SPREAD / 4)..(first + (n + 1) * SPREAD / 4);
        for n in 0..4 {
            let count = moments.iter().filter(|moment| quarter(n).contains(moment)).count();
            assert!((20..=80).contains(&count), "{count} of 200 in quarter {n}");
        }
    }
}
