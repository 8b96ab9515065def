//! How many sessions one account, and how many strangers one address may have.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kings_mail::address::Address;

/// Counts by key. Clones share the counts.
#[derive(Debug)]
pub(crate) struct Counter<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

/// One session of an account from one address.
pub(crate) type AccountKey = (Address, IpAddr);

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
}
