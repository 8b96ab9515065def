//! When a certificate is ordered: pure, so that months are tested in a microsecond.

/// The first wait after a failure, in seconds. Let's Encrypt forgives one failed look at a name every 12 minutes.
const FIRST_PAUSE: u64 = 10 * 60;
/// The longest.
const LONGEST_PAUSE: u64 = 6 * 60 * 60;
/// How soon it is looked again whether DNS has a name at last: nobody is asked but our own resolver.
pub(crate) const PAUSE_FOR_DNS: u64 = 60;
/// How old a certificate is at least before the word of its authority renews it: a window that lies behind us must not order
/// without end.
const LEAST_AGE: u64 = 60 * 60;
/// How long the word of an authority to wait counts: a slip of its clock must not end renewals.
const LONGEST_PATIENCE: u64 = 8 * 24 * 60 * 60;

/// Everything the time of the next order depends on. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) now: u64,
    /// From when until when the certificate that serves is good; `None` where there is none.
    pub(crate) validity: Option<(u64, u64)>,
    /// When the authority suggests to renew it (RFC 9773 §4.2).
    pub(crate) window: Option<(u64, u64)>,
    /// Failures since the last success.
    pub(crate) failures: u32,
    /// When it was tried last.
    pub(crate) last_try: Option<u64>,
    /// The authority does not want to hear of it before.
    pub(crate) not_before: Option<u64>,
    /// The last try only found that DNS does not have the name yet.
    pub(crate) waits_for_dns: bool,
    /// From 0 to 1, drawn once for each certificate: machines that were set up together do not renew together.
    pub(crate) jitter: f64,
}

/// When the next order is due; not after `now` means at once.
pub(crate) fn due(facts: &Facts) -> u64 {
    let wanted = match (facts.validity, facts.window) {
        (None, _) => 0,
        // A uniform draw from the window (RFC 9773 §4.2); one that has passed is due.
        (Some(_), Some((start, end))) => {
            let drawn = start + share(end.saturating_sub(start), facts.jitter);
            drawn.max(facts.last_try.map_or(0, |last| last.min(facts.now) + LEAST_AGE))
        }
        (Some((from, until)), None) => {
            let life = until.saturating_sub(from);
            // At one third of life left, or up to a twentieth of it earlier.
            until.saturating_sub(life / 3 + share(life / 20, facts.jitter))
        }
    };
    let patience = match (facts.failures, facts.last_try) {
        (0, _) | (_, None) => 0,
        // A clock that went back must not put it off for years.
        (failures, Some(last)) => last.min(facts.now) + pause(facts, failures),
    };
    let told = facts.not_before.filter(|until| *until <= facts.now + LONGEST_PATIENCE).unwrap_or(0);
    wanted.max(patience).max(told)
}

fn pause(facts: &Facts, failures: u32) -> u64 {
    if facts.waits_for_dns {
        return PAUSE_FOR_DNS;
    }
    let doubled = FIRST_PAUSE.saturating_mul(2u64.saturating_pow((failures - 1).min(32)));
    let pause = doubled.min(LONGEST_PAUSE);
    pause + share(pause / 4, facts.jitter)
}

/// This part of a number of seconds.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a few years, times a number from 0 to 1"
)]
fn share(seconds: u64, part: f64) -> u64 {
    (seconds as f64 * part.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;
    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_name_without_a_certificate_is_due_and_one_with_it_at_a_third_of_life_left() {
        assert_eq!(due(&Facts { now: NOW, ..Facts::default() }), 0);
        for days in [6, 45, 90, 398] {
            let life = days * DAY;
            let facts = Facts { now: NOW, validity: Some((NOW, NOW + life)), ..Facts::default() };
            assert_eq!(due(&facts), NOW + life - life / 3, "{days}");
            let early = due(&Facts { jitter: 1.0, ..facts });
            assert_eq!(early, NOW + life - life / 3 - life / 20, "{days}");
        }
    }

    #[test]
    fn the_window_of_the_authority_counts_before_our_own_rule_and_a_past_one_is_due() {
        let validity = Some((NOW, NOW + 90 * DAY));
        let facts =
            Facts { now: NOW, validity, window: Some((NOW + DAY, NOW + 3 * DAY)), ..Facts::default() };
        assert_eq!(due(&facts), NOW + DAY);
        assert_eq!(due(&Facts { jitter: 0.5, ..facts }), NOW + 2 * DAY);
        assert!(due(&Facts { window: Some((NOW - 2 * DAY, NOW - DAY)), jitter: 0.9, ..facts }) < NOW);
        // The certificate that was just ordered is not ordered again at once, whatever is said of it.
        let just_now = Facts { window: Some((NOW - 2 * DAY, NOW - DAY)), last_try: Some(NOW), ..facts };
        assert_eq!(due(&just_now), NOW + HOUR);
        // An end before its beginning is no more than its beginning.
        assert_eq!(due(&Facts { window: Some((NOW, NOW - DAY)), jitter: 0.9, ..facts }), NOW);
    }

    #[test]
    fn failures_double_the_pause_up_to_six_hours() {
        let after =
            |failures| due(&Facts { now: NOW, failures, last_try: Some(NOW), ..Facts::default() }) - NOW;
        let minutes: Vec<u64> = (1..9).map(|failures| after(failures) / 60).collect();
        assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 360, 360]);
        assert_eq!(after(u32::MAX), 6 * HOUR);
        let with_jitter =
            Facts { now: NOW, failures: 1, last_try: Some(NOW), jitter: 1.0, ..Facts::default() };
        assert_eq!(due(&with_jitter) - NOW, 750);
    }

    #[test]
    fn a_name_that_dns_lacks_is_looked_for_every_minute() {
        let facts =
            Facts { now: NOW, failures: 9, last_try: Some(NOW), waits_for_dns: true, ..Facts::default() };
        assert_eq!(due(&facts), NOW + 60);
    }

    #[test]
    fn the_authority_is_left_in_peace_for_as_long_as_it_says_but_not_for_years() {
        let facts = Facts { now: NOW, failures: 1, last_try: Some(NOW), ..Facts::default() };
        assert_eq!(due(&Facts { not_before: Some(NOW + 5 * HOUR), ..facts }), NOW + 5 * HOUR);
        assert_eq!(due(&Facts { not_before: Some(NOW + 60), ..facts }), NOW + 600);
        assert_eq!(due(&Facts { not_before: Some(NOW + 900 * DAY), ..facts }), NOW + 600);
    }

    #[test]
    fn a_clock_that_went_back_puts_nothing_off() {
        let facts = Facts { now: NOW, failures: 1, last_try: Some(NOW + 365 * DAY), ..Facts::default() };
        assert_eq!(due(&facts), NOW + 600);
    }
}
