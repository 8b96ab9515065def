//! What TLS sessions are resumed from: kept in memory alone, not many, and none for longer than a day.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// Sessions that are kept at once, about a kilobyte each; the oldest goes first. As many as rustls keeps by itself.
const MOST: usize = 256;
/// How long a secret may open a session again: whoever takes it from our memory reads what it opened. No key is made for tickets
/// that would open all of them.
const LONGEST: Duration = Duration::from_hours(24);

/// Sessions that may be resumed.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_name: HashMap<Vec<u8>, (Instant, Vec<u8>)>,
    /// The names in the order in which they came, also of those that are gone.
    in_order: VecDeque<(Instant, Vec<u8>)>,
}

impl Sessions {
    /// Every update leaves the sessions whole, so a panic elsewhere does not spoil them.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, name: Vec<u8>, secret: Vec<u8>, now: Instant) {
        self.in_order.push_back((now, name.clone()));
        self.by_name.insert(name, (now, secret));
        self.forget(now);
    }

    fn get(&mut self, name: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.forget(now);
        self.by_name.get(name).map(|(_, secret)| secret.clone())
    }

    fn take(&mut self, name: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.forget(now);
        self.by_name.remove(name).map(|(_, secret)| secret)
    }

    /// Drops what is too old, and the oldest beyond the room there is.
    fn forget(&mut self, now: Instant) {
        while let Some((came, name)) = self.in_order.front() {
            let is_old = now.saturating_duration_since(*came) >= LONGEST;
            if !is_old && self.in_order.len() <= MOST {
                break;
            }
            // The name may have come again since.
            if self.by_name.get(name).is_some_and(|(since, _)| since == came) {
                self.by_name.remove(name);
            }
            self.in_order.pop_front();
        }
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, name: Vec<u8>, secret: Vec<u8>) -> bool {
        self.kept().put(name, secret, Instant::now());
        true
    }

    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.kept().get(name, Instant::now())
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.kept().take(name, Instant::now())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn name(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn a_session_is_resumed_within_a_day_and_never_after_it() {
        let start = Instant::now();
        for (hours, expected) in [(0, true), (23, true), (24, false), (48, false)] {
            let mut kept = Kept::default();
            kept.put(name(1), b"secret".to_vec(), start);
            let now = start + hours * HOUR;
            assert_eq!(kept.get(&name(1), now).is_some(), expected, "after {hours} h");
            assert_eq!(kept.take(&name(1), now).is_some(), expected, "after {hours} h");
            assert_eq!(kept.take(&name(1), now), None, "a session is taken once");
        }
    }

    #[test]
    fn old_secrets_leave_memory_when_others_come() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        (0..10).for_each(|number| kept.put(name(number), Vec::new(), start));
        kept.put(name(3), b"anew".to_vec(), start + 20 * HOUR);
        kept.put(name(10), Vec::new(), start + 25 * HOUR);
        assert_eq!((kept.by_name.len(), kept.in_order.len()), (2, 2));
        assert_eq!(kept.get(&name(3), start + 25 * HOUR).as_deref(), Some(&b"anew"[..]));
    }

    #[test]
    fn a_flood_of_sessions_takes_no_more_room_than_there_is() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for number in 0..10 * MOST {
            kept.put(name(number), Vec::new(), now);
            assert!(kept.in_order.len() <= MOST && kept.by_name.len() <= MOST);
        }
        assert!(kept.get(&name(10 * MOST - 1), now).is_some());
        assert_eq!(kept.get(&name(0), now), None);
        // Those that were taken leave no trace for ever either.
        for number in 0..10 * MOST {
            kept.put(name(number), Vec::new(), now);
            kept.take(&name(number), now);
        }
        assert!(kept.in_order.len() <= MOST && kept.by_name.is_empty());
    }
}
