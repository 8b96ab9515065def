//! Slows password guessing: failed logins per client network and per login name within a minute.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use kings_mail::address::Address;
use kings_mail::network::client_network;

/// The span over which failures are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Networks, and names, remembered at once; beyond it the oldest windows are dropped first.
const MAX_KEYS: usize = 100_000;
/// Octets of a login name that count: as many as an address has at most (RFC 5321 §4.5.3.1).
const MAX_NAME: usize = 320;

/// Counts failures by network (an IPv4 address, or a /64), and by the name that was tried, which need not exist.
#[derive(Debug)]
pub(crate) struct Throttle {
    networks: Windows<IpAddr>,
    names: Windows<String>,
    /// Failures since the beginning.
    failures: u64,
}

impl Throttle {
    /// Allows so many failures a minute.
    pub(crate) fn new(per_network: u32, per_name: u32) -> Self {
        Self { networks: Windows::new(per_network), names: Windows::new(per_name), failures: 0 }
    }

    /// Whether this client must wait, whatever it tries.
    pub(crate) fn is_closed(&self, client: IpAddr, now: Instant) -> bool {
        self.networks.is_closed(&client_network(client), now)
    }

    /// Whether strangers must wait who try this name.
    pub(crate) fn is_closed_for(&self, name: &str, now: Instant) -> bool {
        !name.is_empty() && self.names.is_closed(&key(name), now)
    }

    /// How many there were, and how many networks must wait now.
    pub(crate) fn guesses(&self, now: Instant) -> Guesses {
        let keys = self.networks.windows.keys();
        let networks_shut_out = keys.filter(|network| self.networks.is_closed(network, now)).count();
        Guesses { failures: self.failures, networks_shut_out }
    }

    /// Counts one failed login.
    pub(crate) fn record_failure(&mut self, client: IpAddr, name: &str, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.networks.record(client_network(client), now);
        if !name.is_empty() {
            self.names.record(key(name), now);
        }
    }
}

/// Failed logins, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// Since the config was read.
    pub failures: u64,
    /// Networks that must wait just now.
    pub networks_shut_out: usize,
}

/// All ways to write an account are one name.
fn key(name: &str) -> String {
    let folded =
        Address::parse(name).map_or_else(|_| name.to_lowercase(), |address| address.folded().to_string());
    folded.chars().take(MAX_NAME).collect()
}

#[derive(Debug)]
struct Windows<K> {
    most: u32,
    windows: HashMap<K, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    count: u32,
}

impl<K: Eq + Hash> Windows<K> {
    fn new(most: u32) -> Self {
        Self { most, windows: HashMap::new() }
    }

    fn is_closed(&self, key: &K, now: Instant) -> bool {
        let window = self.windows.get(key);
        window.is_some_and(|window| window.count >= self.most && now.duration_since(window.began) < WINDOW)
    }

    fn record(&mut self, key: K, now: Instant) {
        if self.windows.len() >= MAX_KEYS && !self.windows.contains_key(&key) {
            self.prune(now);
        }
        let window = self.windows.entry(key).or_insert(Window { began: now, count: 0 });
        if now.duration_since(window.began) >= WINDOW {
            *window = Window { began: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
    }

    /// Drops what has expired; if a flood of keys is younger than that, everything: one free round for
    /// them is better than memory without bound.
    fn prune(&mut self, now: Instant) {
        self.windows.retain(|_, window| now.duration_since(window.began) < WINDOW);
        if self.windows.len() >= MAX_KEYS {
            self.windows.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_waits_out_the_minute_and_neighbours_do_not() {
        let mut throttle = Throttle::new(2, 100);
        let start = Instant::now();
        let [guesser, neighbour] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        throttle.record_failure(guesser, "ann", start);
        assert!(!throttle.is_closed(guesser, start));
        assert_eq!(throttle.guesses(start), Guesses { failures: 1, networks_shut_out: 0 });
        throttle.record_failure(guesser, "ann", start);
        assert_eq!(throttle.guesses(start), Guesses { failures: 2, networks_shut_out: 1 });
        assert_eq!(throttle.guesses(start + WINDOW).networks_shut_out, 0);
        assert!(throttle.is_closed(guesser, start + Duration::from_secs(59)));
        assert!(!throttle.is_closed(neighbour, start));
        assert!(!throttle.is_closed(guesser, start + WINDOW));
        throttle.record_failure(guesser, "ann", start + WINDOW);
        assert!(!throttle.is_closed(guesser, start + WINDOW));
    }

    #[test]
    fn memory_stays_bounded_under_a_flood_of_networks() {
        let mut throttle = Throttle::new(1, 1);
        let now = Instant::now();
        for n in 0..MAX_KEYS + 10 {
            let network = IpAddr::from(u32::try_from(n).unwrap_or(0).to_be_bytes());
            throttle.record_failure(network, &n.to_string(), now);
        }
        assert!(throttle.networks.windows.len() <= MAX_KEYS);
        assert!(throttle.names.windows.len() <= MAX_KEYS);
    }

    #[test]
    fn many_networks_at_one_name_are_counted_together_however_they_write_it() {
        let mut throttle = Throttle::new(10, 3);
        let now = Instant::now();
        for (last, name) in ["ann@example.org", "ANN@Example.org", "ann@EXAMPLE.org"].iter().enumerate() {
            assert!(!throttle.is_closed_for("ann@example.org", now));
            throttle.record_failure(IpAddr::from([192, 0, 2, u8::try_from(last).unwrap_or(0)]), name, now);
        }
        assert!(throttle.is_closed_for("ann@example.org", now));
        assert!(!throttle.is_closed_for("joe@example.org", now) && !throttle.is_closed_for("", now));
        assert!(!throttle.is_closed_for("ann@example.org", now + WINDOW));
    }
}
