//! The shortest time between two logins of one account (RFC 2449 §6.6).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kings_mail::address::Address;
use tokio::time::Instant;

/// When each account logged in last, as long as that counts.
#[derive(Debug)]
pub(super) struct Pauses {
    delay: Duration,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    logins: HashMap<Address, Instant>,
    swept: Instant,
}

impl Pauses {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, last: Mutex::new(Last { logins: HashMap::new(), swept: Instant::now() }) }
    }

    /// For CAPA.
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.delay.as_secs()).unwrap_or(u32::MAX)
    }

    /// Notes a login of now; `false` when the last one was too short ago. That one goes on counting: who asks too often
    /// does not wait the longer for it.
    pub(super) fn may_log_in(&self, account: &Address) -> bool {
        let now = Instant::now();
        // Every update leaves the map whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now - last.swept >= self.delay {
            last.logins.retain(|_, login| now - *login < self.delay);
            last.swept = now;
        }
        if last.logins.get(account).is_some_and(|login| now - *login < self.delay) {
            return false;
        }
        last.logins.insert(account.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn logins_keep_their_distance_and_are_forgotten_after_it() {
        let pauses = Pauses::new(Duration::from_mins(1));
        let [ann, joe] = ["ann@example.org", "joe@example.org"].map(|text| Address::parse(text).unwrap());
        assert!(pauses.may_log_in(&ann));
        assert!(pauses.may_log_in(&joe));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!pauses.may_log_in(&ann));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pauses.may_log_in(&ann));
        assert_eq!(pauses.last.lock().unwrap().logins.len(), 1, "Joe's login counts no more");
    }
}
