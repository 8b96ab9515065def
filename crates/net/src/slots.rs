//! How many connections are open, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kings_mail::network::client_network;

/// Above this share of its slots a listener is short of them and hurries its clients.
const PRESSED_PERCENT: usize = 80;

/// Counts open connections of one listener. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Slots(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
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
    /// This client address.
    Address,
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
    /// Books the slot on a client address too, at most `most` per address.
    pub(crate) fn book(&mut self, client: IpAddr, most: usize) -> Result<(), Full> {
        let network = client_network(client);
        let mut counts = self.slots.counts();
        let count = counts.by_network.entry(network).or_default();
        if *count >= most {
            return Err(Full::Address);
        }
        *count += 1;
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
    use super::*;

    #[test]
    fn a_dropped_slot_is_free_again_in_both_counts() {
        let slots = Slots::default();
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let mut first = slots.take(2).unwrap();
        first.book(client, 1).unwrap();
        let mut second = slots.take(2).unwrap();
        assert_eq!(second.book(client, 1), Err(Full::Address));
        assert_eq!(slots.take(2).err(), Some(Full::Listener));
        drop(first);
        second.book(client, 1).unwrap();
        drop(second);
        assert_eq!(slots.open(), 0);
        assert!(slots.counts().by_network.is_empty());
    }

    #[test]
    fn one_ipv6_site_is_one_client() {
        let slots = Slots::default();
        let mut first = slots.take(9).unwrap();
        first.book("2001:db8::1".parse().unwrap(), 1).unwrap();
        let mut second = slots.take(9).unwrap();
        assert_eq!(second.book("2001:db8::ffff:1".parse().unwrap(), 1), Err(Full::Address));
        assert_eq!(second.book("2001:db8:0:1::1".parse().unwrap(), 1), Ok(()));
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
}
