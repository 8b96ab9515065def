//! What an issuer has said about tokens, for a little while: mail programs log in many times a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use kings_mail::address::Address;
use kings_sasl::Secret;

use crate::introspection::Inactive;

/// Most answers remembered at once; beyond it those that are over go first, then all.
const MAX_ANSWERS: usize = 10_000;

/// Answers by the hash of their token, so that no token lies in memory longer than its login.
#[derive(Debug, Default)]
pub(crate) struct Answers(HashMap<[u8; 32], Kept>);

#[derive(Debug)]
struct Kept {
    verdict: Result<Address, Inactive>,
    until: Instant,
}

impl Answers {
    /// What was said about the token, if that still counts.
    pub(crate) fn find(&self, token: &Secret, now: Instant) -> Option<Result<Address, Inactive>> {
        let kept = self.0.get(&key(token)).filter(|kept| now < kept.until)?;
        Some(kept.verdict.clone())
    }

    /// Remembers an answer for so long.
    pub(crate) fn keep(
        &mut self,
        token: &Secret,
        verdict: &Result<Address, Inactive>,
        life: Duration,
        now: Instant,
    ) {
        if life.is_zero() {
            return;
        }
        if self.0.len() >= MAX_ANSWERS {
            self.0.retain(|_, kept| now < kept.until);
        }
        if self.0.len() >= MAX_ANSWERS {
            self.0.clear();
        }
        self.0.insert(key(token), Kept { verdict: verdict.clone(), until: now + life });
    }
}

fn key(token: &Secret) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.expose().as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_answer_counts_for_its_time_and_its_token_alone() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let (ann, second) = (Address::parse("ann@example.org").unwrap(), Duration::from_secs(1));
        answers.keep(&Secret::new("a"), &Ok(ann.clone()), second * 10, now);
        answers.keep(&Secret::new("b"), &Err(Inactive::Inactive), second * 10, now);
        answers.keep(&Secret::new("c"), &Ok(ann.clone()), Duration::ZERO, now);
        assert_eq!(answers.find(&Secret::new("a"), now + second * 9), Some(Ok(ann)));
        assert_eq!(answers.find(&Secret::new("b"), now + second * 9), Some(Err(Inactive::Inactive)));
        assert_eq!(answers.find(&Secret::new("a"), now + second * 10), None);
        assert_eq!(answers.find(&Secret::new("c"), now), None);
        assert_eq!(answers.find(&Secret::new("A"), now), None);
    }

    #[test]
    fn a_flood_of_tokens_does_not_fill_the_memory() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        for number in 0..MAX_ANSWERS + 10 {
            let token = Secret::new(number.to_string());
            answers.keep(&token, &Err(Inactive::Inactive), Duration::from_mins(1), now);
        }
        assert!(answers.0.len() <= MAX_ANSWERS);
    }
}
