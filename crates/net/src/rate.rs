//! How often something happens, counted for each client in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Clients remembered at once, at about 64 octets each; beyond it the least busy half is forgotten.
const MAX_KEYS: usize = 100_000;

/// At most `most` in any span of `per`, which may come all at once; after that one more each `per / most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 is no limit.
    pub most: u32,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// `most` a minute.
    pub const fn minute(most: u32) -> Self {
        Self { most, per: Duration::from_mins(1) }
    }

    /// `most` an hour.
    pub const fn hour(most: u32) -> Self {
        Self { most, per: Duration::from_hours(1) }
    }

    /// The time after which one of them no longer counts.
    fn each(self) -> Duration {
        self.per / self.most.max(1)
    }
}

/// A leaky bucket for each key: what is put in drains at the rate's own pace. The clock is an argument.
///
/// Only the time at which a bucket will be empty is kept, so an empty bucket needs no memory.
#[derive(Debug)]
pub struct Buckets<K> {
    empty_at: HashMap<K, Instant>,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self { empty_at: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// Counts one, or says no and counts nothing when it would be one too many.
    pub fn take(&mut self, key: &K, rate: Rate, now: Instant) -> bool {
        let fits = !self.is_full(key, rate, now);
        if fits {
            self.add(key, rate, now);
        }
        fits
    }

    /// Counts one, whether it fits or not; an overflowing bucket stays at twice its size.
    pub fn add(&mut self, key: &K, rate: Rate, now: Instant) {
        if rate.most == 0 {
            return;
        }
        if self.empty_at.len() >= MAX_KEYS && !self.empty_at.contains_key(key) {
            self.prune(now);
        }
        let empty_at = self.empty_at.entry(key.clone()).or_insert(now);
        *empty_at = ((*empty_at).max(now) + rate.each()).min(now + 2 * rate.per);
    }

    /// Whether no more fits now; false where there is no limit.
    pub fn is_full(&self, key: &K, rate: Rate, now: Instant) -> bool {
        rate.most != 0 && self.level(key, rate, now) >= rate.most
    }

    /// How many count now.
    pub fn level(&self, key: &K, rate: Rate, now: Instant) -> u32 {
        let Some(empty_at) = self.empty_at.get(key) else { return 0 };
        let left = empty_at.saturating_duration_since(now).as_nanos();
        u32::try_from(left.div_ceil(rate.each().as_nanos().max(1))).unwrap_or(u32::MAX)
    }

    /// Forgets who has nothing to answer for; if that is not enough, the less busy half: who is close to the
    /// limit must not be able to hide behind a flood of new addresses.
    fn prune(&mut self, now: Instant) {
        self.empty_at.retain(|_, empty_at| *empty_at > now);
        if self.empty_at.len() < MAX_KEYS {
            return;
        }
        let mut times: Vec<Instant> = self.empty_at.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let busier = times.iter().filter(|time| **time > median).count();
        let mut as_busy = middle - busier;
        self.empty_at.retain(|_, empty_at| {
            let is_tie = *empty_at == median && as_busy > 0;
            as_busy -= usize::from(is_tie);
            *empty_at > median || is_tie
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let (mut buckets, start) = (Buckets::default(), Instant::now());
        let rate = Rate::minute(3);
        let at = |seconds| start + Duration::from_secs(seconds);
        let cases =
            [(0, true), (0, true), (1, true), (1, false), (19, false), (20, true), (20, false), (41, true)];
        for (number, (seconds, expected)) in cases.into_iter().enumerate() {
            assert_eq!(buckets.take(&"a", rate, at(seconds)), expected, "case {number}");
        }
        assert!(buckets.take(&"b", rate, at(41)), "another key has a bucket of its own");
        assert_eq!(buckets.level(&"a", rate, at(600)), 0);
    }

    #[test]
    fn levels_rise_with_what_is_added_and_drain_with_time() {
        let (mut buckets, now) = (Buckets::default(), Instant::now());
        let rate = Rate { most: 20, per: Duration::from_mins(10) };
        for expected in 1..=45 {
            buckets.add(&1, rate, now);
            assert_eq!(buckets.level(&1, rate, now), expected.min(40));
        }
        assert!(buckets.is_full(&1, rate, now));
        let later = now + Duration::from_mins(10);
        assert_eq!(buckets.level(&1, rate, later), 20);
        assert_eq!(buckets.level(&1, rate, later + Duration::from_mins(10)), 0);
    }

    #[test]
    fn zero_is_no_limit_and_needs_no_memory() {
        let (mut buckets, now) = (Buckets::default(), Instant::now());
        assert!((0..1_000).all(|_| buckets.take(&1, Rate::hour(0), now)));
        assert!(buckets.empty_at.is_empty());
    }

    #[test]
    fn a_flood_of_keys_is_forgotten_before_the_busy_ones() {
        let (mut buckets, now) = (Buckets::default(), Instant::now());
        let rate = Rate::minute(10);
        for _ in 0..10 {
            buckets.add(&0, rate, now);
        }
        for key in 1..=MAX_KEYS * 2 {
            buckets.add(&key, rate, now);
            assert!(buckets.empty_at.len() <= MAX_KEYS);
        }
        assert!(buckets.is_full(&0, rate, now));
        buckets.add(&usize::MAX, rate, now + Duration::from_mins(3));
        assert!(buckets.empty_at.len() <= MAX_KEYS);
    }
}
