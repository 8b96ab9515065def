//! Gather: to how many recipients one signature has come of late. Whoever replays a good message sends it to many, and each
//! copy of it verifies (RFC 6376 §8.6).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kings_msgauth::dkim;

/// How long a signature is remembered from its first copy on: ours; a replay is a matter of hours.
const WINDOW: Duration = Duration::from_hours(24);
/// Most signatures that are remembered, less than a megabyte of them: ours. The oldest give way.
const MAX_SIGNATURES: usize = 16_384;
/// How much of `b=` tells one signature from another, in characters (RFC 6008 §3).
const START: usize = 8;

/// What came of late; one for all sessions. It begins anew with the server.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// Nobody outside can make two signatures one.
    hasher: RandomState,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    seen: HashMap<u64, Seen>,
    /// In the order of their first copies.
    order: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Instant,
    recipients: u64,
}

/// The good signatures of one message.
#[derive(Debug, Default)]
pub(crate) struct Signatures(Vec<(u64, String)>);

impl Repeats {
    /// Those of a message that are good: nobody counts against a domain what it has not signed.
    pub(crate) fn signatures(&self, report: Option<&dkim::Report>) -> Signatures {
        let signatures = report.into_iter().flat_map(|report| &report.signatures);
        let good = signatures.filter(|checked| checked.verdict.word() == dkim::Word::Pass);
        let named = good.filter_map(|checked| {
            let claim = checked.claim.as_ref()?;
            let start = claim.start.get(..START).unwrap_or(&claim.start);
            let name = (claim.domain.as_str(), claim.selector.to_string(), start);
            Some((self.hasher.hash_one(name), claim.domain.to_string()))
        });
        Signatures(named.collect())
    }

    /// The domain of the signature that came to the most recipients before, and to how many.
    pub(crate) fn most(&self, signatures: &Signatures, now: Instant) -> Option<(String, u64)> {
        let known = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = signatures.0.iter().filter_map(|(key, domain)| {
            let seen = known.seen.get(key).filter(|seen| seen.is_fresh(now))?;
            Some((domain, seen.recipients))
        });
        counted.max_by_key(|(_, recipients)| *recipients).map(|(domain, count)| (domain.clone(), count))
    }

    /// Another copy was taken, for so many.
    pub(crate) fn note(&self, signatures: &Signatures, recipients: usize, now: Instant) {
        let recipients = u64::try_from(recipients).unwrap_or(u64::MAX);
        let mut known = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in &signatures.0 {
            known.add(*key, recipients, now);
        }
    }
}

impl Shelf {
    fn add(&mut self, key: u64, recipients: u64, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let is_stale = self.seen.get(oldest).is_none_or(|seen| !seen.is_fresh(now));
            if !is_stale && (self.order.len() < MAX_SIGNATURES || self.seen.contains_key(&key)) {
                break;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
        match self.seen.entry(key) {
            Entry::Occupied(mut seen) => {
                let seen = seen.get_mut();
                seen.recipients = seen.recipients.saturating_add(recipients);
            }
            Entry::Vacant(place) => {
                place.insert(Seen { since: now, recipients });
                self.order.push_back(key);
            }
        }
    }
}

impl Seen {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn named(keys: &[u64]) -> Signatures {
        Signatures(keys.iter().map(|key| (*key, format!("d{key}.example"))).collect())
    }

    #[test]
    fn copies_add_up_for_a_day_and_each_signature_for_itself() {
        let (repeats, begin) = (Repeats::default(), Instant::now());
        let most = |keys: &[u64], hours| {
            let most = repeats.most(&named(keys), begin + Duration::from_hours(hours));
            most.map(|(domain, count)| format!("{domain} {count}"))
        };
        assert_eq!(most(&[1], 0), None);
        repeats.note(&named(&[1, 2]), 3, begin);
        repeats.note(&named(&[2]), 1, begin + Duration::from_hours(1));
        repeats.note(&named(&[]), 1_000, begin);
        for (keys, hours, expected) in [
            (&[1][..], 0, Some("d1.example 3")),
            (&[2], 0, Some("d2.example 4")),
            (&[1, 2, 3], 23, Some("d2.example 4")),
            (&[3], 0, None),
            (&[], 0, None),
            (&[1, 2], 24, None),
        ] {
            assert_eq!(most(keys, hours).as_deref(), expected, "{keys:?} {hours}");
        }
        // A day later it is another mailing.
        repeats.note(&named(&[2]), 1, begin + Duration::from_hours(24));
        assert_eq!(most(&[2], 25).as_deref(), Some("d2.example 1"));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_give_way() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        let last = MAX_SIGNATURES as u64 + 1;
        for key in 0..=last {
            repeats.note(&named(&[key]), 1, now);
        }
        let counted = |key| repeats.most(&named(&[key]), now).map(|(_, count)| count);
        assert_eq!([counted(0), counted(1), counted(2), counted(last)], [None, None, Some(1), Some(1)]);
        // One that is known pushes nobody out.
        repeats.note(&named(&[last]), u64::MAX.try_into().unwrap(), now);
        assert_eq!([counted(2), counted(last)], [Some(1), Some(u64::MAX)]);
        let shelf = repeats.shelf.lock().unwrap();
        assert_eq!((shelf.seen.len(), shelf.order.len()), (MAX_SIGNATURES, MAX_SIGNATURES));
    }
}
