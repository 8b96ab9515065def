//! How many sessions one account, and how many strangers one address may have.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kings_mail::address::Address;
use kings_net::IpNet;

/// Counts by key. Clones share the counts.
#[derive(Debug)]
pub(crate) struct Counter<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

/// One session of an account from one address.
pub(crate) type AccountKey = (Address, IpNet);

/// A counted place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    counter: Counter<K>,
    key: K,
}

impl<K: Eq + Hash> Clone for Counter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash> Default for Counter<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Counter<K> {
    /// Takes one of `most` places; `None` when all are taken.
    pub(crate) fn take(&self, key: K, most: usize) -> Option<Place<K>> {
        let mut counts = self.counts();
        let count = counts.entry(key.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { counter: self.clone(), key })
    }
}

impl<K: Eq + Hash> Counter<K> {
    /// Every update leaves the counts whole, so a panic elsewhere does not spoil them.
    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.counter.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 that one IPv6 site has at the least.
pub(crate) fn network(client: IpAddr) -> IpNet {
    let client = client.to_canonical();
    let whole = IpNet::from(client);
    match client {
        IpAddr::V4(_) => whole,
        IpAddr::V6(_) => IpNet::new(client, 64).map_or(whole, |network| network.trunc()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn places_come_back_when_sessions_end() {
        let counter = Counter::default();
        let places: Vec<_> = (0..3).map(|_| counter.take("ann", 3)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(counter.take("ann", 3).is_none());
        assert!(counter.take("bob", 3).is_some());
        drop(places);
        assert!(counter.take("ann", 1).is_some());
        assert!(counter.counts().is_empty());
    }

    #[test]
    fn one_ipv6_site_is_one_client() {
        let networks =
            ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"]
                .map(|client| network(client.parse().unwrap()));
        assert_eq!(networks[0], networks[1]);
        assert_ne!(networks[0], networks[2]);
        assert_eq!(networks[3], networks[4]);
    }
}
