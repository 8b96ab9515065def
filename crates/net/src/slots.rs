//! How many connections are open, in all and from one address, and how often new ones come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kings_mail::network::client_network;

use crate::rate::{Buckets, Rate};

/// Above this share of its slots a listener is short of them and hurries its clients.
const PRESSED_PERCENT: usize = 80;

/// Counts open connections of one listener. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Slots(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
    arrivals: Buckets<IpAddr>,
}

/// A taken slot; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    network: Option<IpAddr>,
}

/// No room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The listener as a whole.
    Listener,
    /// The memory of the process.
    Memory,
    /// This client address.
    Address,
    /// This client address has come too often of late.
    Rate,
}

/// What one client address may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Open connections at once.
    pub(crate) open: usize,
    /// New connections.
    pub(crate) arrivals: Rate,
}

impl Share {
    /// For a client whose connections are not counted.
    pub(crate) const UNLIMITED: Self = Self { open: usize::MAX, arrivals: Rate::minute(0) };
}

impl Slots {
    /// Takes one slot of `most`.
    pub(crate) fn take(&self, most: usize) -> Result<Slot, Full> {
        let mut counts = self.counts();
        if counts.total >= most {
            return Err(Full::Listener);
        }
        counts.total += 1;
        Ok(Slot { slots: self.clone(), network: None })
    }

    /// Whether more than 80% of `most` are taken.
    pub fn pressed(&self, most: usize) -> bool {
        self.counts().total * 100 > most * PRESSED_PERCENT
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.counts().total
    }

    /// Every update leaves the counts whole, so a panic elsewhere does not spoil them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Books the slot on a client address too: an IPv4 address, or an IPv6 /64.
    pub(crate) fn book(&mut self, client: IpAddr, share: Share, now: Instant) -> Result<(), Full> {
        let network = client_network(client);
        let mut counts = self.slots.counts();
        if counts.by_network.get(&network).is_some_and(|open| *open >= share.open) {
            return Err(Full::Address);
        }
        if !counts.arrivals.take(&network, share.arrivals, now) {
            return Err(Full::Rate);
        }
        *counts.by_network.entry(network).or_default() += 1;
        drop(counts);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        counts.total -= 1;
        let Some(network) = self.network else { return };
        if let Some(count) = counts.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                counts.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use super::*;

    const ONE: Share = Share { open: 1, ..Share::UNLIMITED };

    #[test]
    fn a_dropped_slot_is_free_again_in_both_counts() {
        let (slots, now) = (Slots::default(), Instant::now());
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let mut first = slots.take(2).unwrap();
        first.book(client, ONE, now).unwrap();
        let mut second = slots.take(2).unwrap();
        assert_eq!(second.book(client, ONE, now), Err(Full::Address));
        assert_eq!(slots.take(2).err(), Some(Full::Listener));
        drop(first);
        second.book(client, ONE, now).unwrap();
        drop(second);
        assert_eq!(slots.open(), 0);
        assert!(slots.counts().by_network.is_empty());
    }

    #[test]
    fn one_ipv6_site_is_one_client() {
        let (slots, now) = (Slots::default(), Instant::now());
        let mut first = slots.take(9).unwrap();
        first.book("2001:db8::1".parse().unwrap(), ONE, now).unwrap();
        let mut second = slots.take(9).unwrap();
        assert_eq!(second.book("2001:db8::ffff:1".parse().unwrap(), ONE, now), Err(Full::Address));
        assert_eq!(second.book("2001:db8:0:1::1".parse().unwrap(), ONE, now), Ok(()));
    }

    #[test]
    fn pressed_begins_above_four_fifths() {
        let slots = Slots::default();
        let held: Vec<Slot> = (0..8).map(|_| slots.take(10).unwrap()).collect();
        assert!(!slots.pressed(10));
        let ninth = slots.take(10).unwrap();
        assert!(slots.pressed(10));
        drop((held, ninth));
    }

    #[test]
    fn connections_that_come_too_often_are_refused_though_none_is_open() {
        let (slots, now) = (Slots::default(), Instant::now());
        let [busy, same_site, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let share = Share { arrivals: Rate::minute(2), ..Share::UNLIMITED };
        let connect = |client, now| slots.take(9).unwrap().book(client, share, now);
        assert_eq!(connect(busy, now), Ok(()));
        assert_eq!(connect(same_site, now), Ok(()));
        assert_eq!(connect(busy, now), Err(Full::Rate));
        assert_eq!(connect(other, now), Ok(()));
        assert_eq!(connect(busy, now + Duration::from_secs(30)), Ok(()));
        assert!(slots.counts().by_network.is_empty());
    }
}
