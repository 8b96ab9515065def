//! When to try again, and how long a message has waited.

use std::time::Duration;

use kings_mail::path::ReversePath;

use crate::clock::Moment;

/// How long a message is tried before its sender is told, where nothing else is said (RFC 5321 §4.5.4.1: at least four
/// to five days).
///
/// Bounces wait as long as other mail: the server of their recipient may be down just as long.
pub const LIFETIME: Duration = Duration::from_hours(5 * 24);
/// How long messages are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// From the first attempt to the last, of mail that somebody sent (Postfix's `maximal_queue_lifetime`); zero is one
    /// attempt.
    pub mail: Duration,
    /// The same of mail without a sender, such as bounces (Postfix's `bounce_queue_lifetime`).
    pub bounces: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { mail: LIFETIME, bounces: LIFETIME }
    }
}

impl Lifetimes {
    /// Of a message with this sender.
    pub(crate) fn of(self, reverse_path: &ReversePath) -> Duration {
        match reverse_path {
            ReversePath::Null => self.bounces,
            ReversePath::Address(_) => self.mail,
        }
    }
}

/// After how long a sender is told that a message is late (RFC 5321 §4.5.4.1 leaves it to us; four hours are
/// Sendmail's habit).
pub const DELAY_WARNING: Duration = Duration::from_hours(4);
/// Wait after the first attempt. RFC 5321 §4.5.4.1 asks for 30 minutes in general and for less at first;
/// five minutes get past greylisting.
pub const FIRST_RETRY: Duration = Duration::from_mins(5);
/// Longest wait between attempts; RFC 5321 §4.5.4.1 suggests two to three hours, four are common.
pub const LONGEST_RETRY: Duration = Duration::from_hours(4);
/// A wait with the largest jitter: no attempt is ever planned further ahead.
const LONGEST_WAIT: Duration = Duration::from_mins(4 * 60 + 24);
/// The most that time without evidence adds to an age: a little more than the longest wait.
const LONGEST_STEP: Duration = Duration::from_hours(5);

/// Wait before the next attempt, or `None` when it is time to give up.
///
/// `attempts` counts those made, `age` is the time since arrival; the last attempt falls on the end of the
/// lifetime. `jitter` in `0.0..1.0` adds up to a tenth, so that messages deferred together do not come back
/// together; it is an argument, so that a test is exact.
pub(crate) fn next_delay(attempts: u32, age: Duration, lifetime: Duration, jitter: f64) -> Option<Duration> {
    let left = lifetime.checked_sub(age).filter(|left| !left.is_zero())?;
    let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    Some(doubled.min(LONGEST_RETRY).mul_f64(1.0 + jitter / 10.0).min(left))
}

/// How long a message has waited, from the `times` (seconds since 1970) when something happened to it.
///
/// Wall clocks jump: a year ahead must not expire all mail, a year back must not keep it for ever. So only
/// the time in which the clock ran steadily before our eyes counts in full; what lies before (we were not
/// running, or the clock was set) counts at most five hours from one record to the next.
pub(crate) fn age(times: &[u64], now: Moment) -> Duration {
    let ends = times.iter().skip(1).copied().chain([now.wall]);
    let seen: Duration = times.iter().zip(ends).map(|(&from, to)| step(from, to, now.steady_since)).sum();
    // A clock that shows less than when something happened was set back after that, and has run since.
    let set_back = times.last().is_some_and(|&last| now.wall < last);
    let since = if set_back { now.wall.saturating_sub(now.steady_since) } else { 0 };
    seen + Duration::from_secs(since)
}

fn step(from: u64, to: u64, steady_since: u64) -> Duration {
    if to <= from {
        return Duration::ZERO;
    }
    let seen_from = steady_since.clamp(from, to);
    let unseen = Duration::from_secs(seen_from - from).min(LONGEST_STEP);
    unseen + Duration::from_secs(to - seen_from)
}

/// The uptime in milliseconds at which `next` (seconds since 1970) is reached; never further ahead than a
/// wait can be, so that a clock set back does not hold mail until it has caught up.
pub(crate) fn uptime_of(next: u64, now: Moment) -> u64 {
    let wait = Duration::from_secs(next.saturating_sub(now.wall)).min(LONGEST_WAIT);
    now.uptime.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    #[test]
    fn waits_double_then_level_then_end_with_the_lifetime() {
        let minutes = |attempts, age| {
            next_delay(attempts, Duration::from_mins(age), LIFETIME, 0.0).map(|delay| delay.as_secs() / 60)
        };
        let cases = [
            (0, 0, Some(5)),
            (1, 0, Some(5)),
            (2, 5, Some(10)),
            (3, 15, Some(20)),
            (6, 155, Some(160)),
            (7, 315, Some(240)),
            (40, 7_000, Some(200)),
            (u32::MAX, 7_199, Some(1)),
            (1, 7_200, None),
            (1, 1_000_000, None),
        ];
        for (attempts, age, expected) in cases {
            assert_eq!(minutes(attempts, age), expected, "{attempts} attempts, {age} min");
        }
    }

    #[test]
    fn jitter_adds_at_most_a_tenth() {
        let delay = |jitter| next_delay(1, Duration::ZERO, LIFETIME, jitter).unwrap();
        assert_eq!(delay(0.5), Duration::from_secs(315));
        assert!(delay(0.999_999) < Duration::from_secs(330));
    }

    #[test]
    fn a_message_is_tried_about_thirty_five_times_in_five_days() {
        assert_eq!(attempts_within(LIFETIME), 36);
    }

    /// Postfix's `maximal_queue_lifetime`; with none there is one attempt.
    #[test]
    fn a_shorter_life_has_fewer_attempts_and_ends_with_one() {
        let hours = [(0, 1), (1, 5), (24, 12), (240, 66)];
        for (hours, expected) in hours {
            assert_eq!(attempts_within(Duration::from_hours(hours)), expected, "{hours} hours");
        }
    }

    fn attempts_within(lifetime: Duration) -> u32 {
        let (mut attempts, mut age) = (1, Duration::ZERO);
        while let Some(delay) = next_delay(attempts, age, lifetime, 0.0) {
            (attempts, age) = (attempts + 1, age + delay);
        }
        assert_eq!(age, lifetime);
        attempts
    }

    fn moment(wall: u64, steady_since: u64) -> Moment {
        Moment { wall, steady_since, uptime: 0 }
    }

    #[test]
    fn age_is_the_time_that_passed_and_not_what_the_clock_jumped() {
        let year = 365 * DAY;
        let t = 50 * year;
        let cases: [(&str, &[u64], Moment, u64); 10] = [
            ("just arrived", &[t], moment(t, t), 0),
            ("seen in full", &[t], moment(t + 3 * DAY, t - HOUR), 3 * DAY),
            ("attempts do not matter", &[t, t + DAY, t + 2 * DAY], moment(t + 3 * DAY, t), 3 * DAY),
            ("off for two days", &[t], moment(t + 2 * DAY, t + 2 * DAY), 5 * HOUR),
            ("off, then on for a day", &[t], moment(t + 3 * DAY, t + 2 * DAY), DAY + 5 * HOUR),
            ("off for an hour", &[t, t + HOUR], moment(t + 2 * HOUR, t + 2 * HOUR), 2 * HOUR),
            ("a year ahead", &[t, t + HOUR], moment(t + year, t + year), 6 * HOUR),
            ("a year back", &[t, t + HOUR], moment(t - year, t - year), HOUR),
            ("a year and then an hour", &[t, t + HOUR], moment(t - year + HOUR, t - year), 2 * HOUR),
            (
                "1970 at boot, then right",
                &[t, t + HOUR, 7, 300, t + 3 * HOUR],
                moment(t + 3 * HOUR, t + 3 * HOUR),
                6 * HOUR + 293,
            ),
        ];
        for (name, times, now, expected) in cases {
            assert_eq!(age(times, now), Duration::from_secs(expected), "{name}");
        }
        assert_eq!(age(&[], moment(0, 0)), Duration::ZERO);
        assert!(age(&[0, u64::MAX], moment(u64::MAX, 0)) > LIFETIME, "no overflow");
    }

    #[test]
    fn a_clock_set_back_does_not_hold_mail() {
        let now = Moment { wall: 1_000_000, steady_since: 0, uptime: 5_000 };
        let cases = [(999_000, 5_000), (1_000_300, 305_000), (40_000_000, 5_000 + 264 * 60_000)];
        for (next, expected) in cases {
            assert_eq!(uptime_of(next, now), expected, "{next}");
        }
    }
}
