//! Slows password guessing: failed logins per client network and minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use kings_mail::network::client_network;

/// The span over which failures are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Networks remembered at once; beyond it the oldest windows are dropped first.
const MAX_NETWORKS: usize = 100_000;

/// Counts failures by network: an IPv4 address, or a /64.
#[derive(Debug)]
pub(crate) struct Throttle {
    most: u32,
    failures: HashMap<IpAddr, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    count: u32,
}

impl Throttle {
    /// Allows `most` failures a minute.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, failures: HashMap::new() }
    }

    /// Whether this client must wait.
    pub(crate) fn is_closed(&self, client: IpAddr, now: Instant) -> bool {
        let window = self.failures.get(&client_network(client));
        window.is_some_and(|window| window.count >= self.most && now.duration_since(window.began) < WINDOW)
    }

    /// Counts one failed login.
    pub(crate) fn record_failure(&mut self, client: IpAddr, now: Instant) {
        let network = client_network(client);
        if self.failures.len() >= MAX_NETWORKS && !self.failures.contains_key(&network) {
            self.prune(now);
        }
        let window = self.failures.entry(network).or_insert(Window { began: now, count: 0 });
        if now.duration_since(window.began) >= WINDOW {
            *window = Window { began: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
    }

    /// Drops what has expired; if a flood of networks is younger than that, everything: one free round for
    /// them is better than memory without bound.
    fn prune(&mut self, now: Instant) {
        self.failures.retain(|_, window| now.duration_since(window.began) < WINDOW);
        if self.failures.len() >= MAX_NETWORKS {
            self.failures.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_waits_out_the_minute_and_neighbours_do_not() {
        let mut throttle = Throttle::new(2);
        let start = Instant::now();
        let [guesser, neighbour] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        throttle.record_failure(guesser, start);
        assert!(!throttle.is_closed(guesser, start));
        throttle.record_failure(guesser, start);
        assert!(throttle.is_closed(guesser, start + Duration::from_secs(59)));
        assert!(!throttle.is_closed(neighbour, start));
        assert!(!throttle.is_closed(guesser, start + WINDOW));
        throttle.record_failure(guesser, start + WINDOW);
        assert!(!throttle.is_closed(guesser, start + WINDOW));
    }

    #[test]
    fn memory_stays_bounded_under_a_flood_of_networks() {
        let mut throttle = Throttle::new(1);
        let now = Instant::now();
        for n in 0..MAX_NETWORKS + 10 {
            throttle.record_failure(IpAddr::from(u32::try_from(n).unwrap_or(0).to_be_bytes()), now);
        }
        assert!(throttle.failures.len() <= MAX_NETWORKS);
    }
}
