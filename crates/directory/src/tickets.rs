//! Passwords for a program of the machine's own: made up for one account, known to nobody else, and over within a minute.
//!
//! The self-test logs in as any mail program does, and nobody had to tell it a password. Nothing of this is kept on disk.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use kings_mail::address::Address;
use kings_sasl::Secret;

/// How long one is good.
const LIFETIME: Duration = Duration::from_mins(1);
/// Octets of one: nobody guesses it.
const OCTETS: usize = 32;
/// Most of them at once.
const MOST: usize = 16;

/// Those that are good now, by their digests.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Vec<Ticket>);

#[derive(Debug)]
struct Ticket {
    digest: [u8; 32],
    account: Address,
    until: Instant,
}

impl Tickets {
    /// A new password; `None` where the system has no random numbers now.
    pub(crate) fn issue(&mut self, account: &Address, now: Instant) -> Option<Secret> {
        let mut octets = [0; OCTETS];
        getrandom::fill(&mut octets).ok()?;
        let password = kings_sasl::encode(&octets);
        self.0.retain(|ticket| ticket.until > now);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        let digest = digest_of(&password)?;
        self.0.push(Ticket { digest, account: account.clone(), until: now + LIFETIME });
        Some(Secret::new(password))
    }

    /// Whose password this is. What is compared is a digest, so that time tells nothing of the password.
    pub(crate) fn account(&self, password: &Secret, now: Instant) -> Option<&Address> {
        let wanted = digest_of(password.expose())?;
        let found = self.0.iter().find(|ticket| ticket.digest == wanted && ticket.until > now);
        found.map(|ticket| &ticket.account)
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }
}

fn digest_of(password: &str) -> Option<[u8; 32]> {
    digest(&SHA256, password.as_bytes()).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_ticket_is_of_one_account_for_a_minute_and_another_password_is_none() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let [ann, bob] = ["ann@example.org", "bob@example.org"].map(|text| Address::parse(text).unwrap());
        let [of_ann, of_bob] = [&ann, &bob].map(|account| tickets.issue(account, now).unwrap());
        let last = now + Duration::from_secs(59);
        assert_eq!(tickets.account(&of_ann, now), Some(&ann));
        assert_eq!(tickets.account(&of_bob, last), Some(&bob));
        assert_eq!(tickets.account(&of_ann, now + LIFETIME), None);
        for wrong in ["", "secret", &of_ann.expose()[1..]] {
            assert_eq!(tickets.account(&Secret::new(wrong), now), None, "{wrong}");
        }
    }

    #[test]
    fn the_oldest_goes_when_there_are_many() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let ann = Address::parse("ann@example.org").unwrap();
        let all: Vec<_> = (0..=MOST).map(|_| tickets.issue(&ann, now).unwrap()).collect();
        assert_eq!(tickets.account(&all[0], now), None);
        assert!(all[1..].iter().all(|password| tickets.account(password, now).is_some()));
    }
}
