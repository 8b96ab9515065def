//! Passwords that were right a while ago, so that a client that logs in for each message costs one slow hash and not a
//! thousand: what Dovecot's `auth_cache_size` and `auth_cache_ttl` are for.
//!
//! Only what was right is kept, and not itself: an HMAC under a key that this process made up, over account, stored hash
//! and password together. So a new password, another hash of the same one and a removed account are not found here;
//! `nologin` and `allow_nets` are looked at every time. What is wrong pays its hash every time, and so does what is right
//! for an account that is closed to the client: neither is told from the other by time. What time does tell, that
//! somebody has logged in of late, it tells only to who knows the password.
//!
//! The price: who reads this process's memory finds a key and HMACs of some passwords, which are guessed faster than
//! the slow hashes in the file. That is why they do not stay long.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac::{self, Context, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;
use kings_mail::address::Address;
use kings_sasl::Secret;

/// Logins remembered at once, some 100 octets each; beyond it the oldest goes first.
const MAX_ENTRIES: usize = 10_000;

/// A login that was right.
pub(crate) type Mark = [u8; 32];

/// The marks of the last logins that were right.
#[derive(Debug)]
pub(crate) struct Verified {
    lifetime: Duration,
    most: usize,
    marks: HashSet<Mark>,
    /// The same in the order of their coming, which is that of their end.
    order: VecDeque<(Instant, Mark)>,
}

impl Verified {
    /// Keeps each mark so long; zero: none at all.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, most: MAX_ENTRIES, marks: HashSet::new(), order: VecDeque::new() }
    }

    /// Whether this login was right not long ago.
    pub(crate) fn holds(&mut self, mark: &Mark, now: Instant) -> bool {
        self.forget(now, self.most);
        self.marks.contains(mark)
    }

    /// Remembers a login. One that is remembered does not live longer for it.
    pub(crate) fn add(&mut self, mark: Mark, now: Instant) {
        if self.lifetime.is_zero() {
            return;
        }
        self.forget(now, self.most - 1);
        if self.marks.insert(mark) {
            self.order.push_back((now, mark));
        }
    }

    /// Drops what is too old, and then the oldest until so many are left.
    fn forget(&mut self, now: Instant, most: usize) {
        while let Some((since, mark)) = self.order.front() {
            if now.duration_since(*since) < self.lifetime && self.order.len() <= most {
                return;
            }
            self.marks.remove(mark);
            self.order.pop_front();
        }
    }
}

/// A key that nobody else has and that ends with the process; `None` where the system has no random numbers now, and
/// nothing is remembered.
pub(crate) fn key() -> Option<Key> {
    Key::generate(HMAC_SHA256, &SystemRandom::new()).ok()
}

/// The mark of a password for an account with this `{SCHEME}hash`.
pub(crate) fn mark(key: &Key, account: &Address, stored: &str, password: &Secret) -> Option<Mark> {
    let mut context = Context::with_key(key);
    for part in [account.to_string().as_str(), stored, password.expose()] {
        // With its length, so that no two triples read the same.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let tag: hmac::Tag = context.sign();
    tag.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LIFETIME: Duration = Duration::from_mins(10);

    #[test]
    fn a_mark_is_that_of_one_account_one_hash_and_one_password() {
        let key = key().unwrap();
        let of = |account: &str, stored: &str, password: &str| {
            mark(&key, &Address::parse(account).unwrap(), stored, &Secret::new(password)).unwrap()
        };
        let one = of("ann@example.org", "{X}hash", "secret");
        assert_eq!(one, of("ann@example.org", "{X}hash", "secret"));
        let others = [
            of("bob@example.org", "{X}hash", "secret"),
            of("ann@example.org", "{X}hush", "secret"),
            of("ann@example.org", "{X}hash", "Secret"),
            of("ann@example.org", "{X}hashs", "ecret"),
            of("ann@example.org", "{X}has", "hsecret"),
            of("ann@example.org", "", "{X}hashsecret"),
            mark(
                &super::key().unwrap(),
                &Address::parse("ann@example.org").unwrap(),
                "{X}hash",
                &Secret::new("secret"),
            )
            .unwrap(),
        ];
        assert!(!others.contains(&one));
    }

    #[test]
    fn a_mark_ends_with_its_time_however_often_it_is_asked_for() {
        let start = Instant::now();
        let mut verified = Verified::new(LIFETIME);
        verified.add([1; 32], start);
        let late = start + Duration::from_secs(599);
        assert!(verified.holds(&[1; 32], late) && !verified.holds(&[2; 32], late));
        verified.add([1; 32], late);
        assert!(!verified.holds(&[1; 32], start + LIFETIME));
        assert!(verified.marks.is_empty() && verified.order.is_empty());
        verified.add([1; 32], start + LIFETIME);
        assert!(verified.holds(&[1; 32], start + LIFETIME), "and begins anew with the next hash");
    }

    #[test]
    fn the_oldest_makes_room_and_memory_stays_bounded() {
        let now = Instant::now();
        let mut verified = Verified { most: 3, ..Verified::new(LIFETIME) };
        for number in 0..10 {
            verified.add([number; 32], now);
            assert!(verified.marks.len() <= 3 && verified.order.len() == verified.marks.len());
        }
        let held: Vec<u8> = (0..10).filter(|number| verified.holds(&[*number; 32], now)).collect();
        assert_eq!(held, [7, 8, 9]);
    }

    #[test]
    fn without_a_lifetime_nothing_is_kept() {
        let now = Instant::now();
        let mut verified = Verified::new(Duration::ZERO);
        verified.add([1; 32], now);
        assert!(!verified.holds(&[1; 32], now) && verified.order.is_empty());
    }
}
