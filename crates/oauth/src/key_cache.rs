//! The keys of an issuer as we remember them: when they are good, when to ask again, and what to do meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::jwks::KeySet;
use crate::jwt::Jwt;

/// How long keys are good where the issuer does not say.
const USUAL_LIFE: Duration = Duration::from_mins(10);
/// What the issuer says counts from here ...
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
/// ... to here: a key that was withdrawn must stop working one day.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// How long keys are used beyond their life while the issuer is down: over a weekend.
const KEPT: Duration = Duration::from_hours(72);
/// Tokens with made-up key names must not become questions to the issuer: at most one in this time.
const PAUSE: Duration = Duration::from_mins(1);
/// The same while we have no keys at all and every login waits for them.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// What to do with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Check it with these.
    Use(Arc<KeySet>),
    /// Ask the issuer, tell the outcome, and come again.
    Ask,
    /// The issuer has no such key, and we have just asked.
    Unknown,
    /// Nobody can tell now.
    Unavailable,
}

/// The memory of one issuer's keys.
#[derive(Debug, Default)]
pub(crate) struct KeyCache {
    held: Option<Held>,
    /// When we have last asked, and whether that went well.
    asked: Option<(Instant, bool)>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    since: Instant,
    life: Duration,
}

impl KeyCache {
    /// What to do with this token now.
    pub(crate) fn advise(&self, token: &Jwt<'_>, now: Instant) -> Advice {
        let age = |held: &Held| now.saturating_duration_since(held.since);
        let Some(held) = self.held.as_ref().filter(|held| age(held) < KEPT) else {
            return if self.may_ask(PAUSE_WITHOUT_KEYS, now) { Advice::Ask } else { Advice::Unavailable };
        };
        let knows_key = held.keys.has_key_for(token);
        if knows_key && (age(held) < held.life || !self.may_ask(PAUSE, now)) {
            return Advice::Use(held.keys.clone());
        }
        match self.asked {
            _ if self.may_ask(PAUSE, now) => Advice::Ask,
            Some((_, true)) => Advice::Unknown,
            Some((_, false)) | None => Advice::Unavailable,
        }
    }

    /// The issuer was asked: its keys and how many seconds they may be kept, or nothing.
    pub(crate) fn record(&mut self, answer: Option<(KeySet, Option<u64>)>, now: Instant) {
        self.asked = Some((now, answer.is_some()));
        if let Some((keys, seconds)) = answer {
            let life = seconds.map_or(USUAL_LIFE, Duration::from_secs).clamp(SHORTEST_LIFE, LONGEST_LIFE);
            self.held = Some(Held { keys: Arc::new(keys), since: now, life });
        }
    }

    fn may_ask(&self, pause: Duration, now: Instant) -> bool {
        self.asked.is_none_or(|(last, _)| now.saturating_duration_since(last) >= pause)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// A key of this name; nothing is signed here.
    fn keys(name: &str) -> KeySet {
        let x = "A".repeat(43);
        let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{name}","x":"{x}"}}]}}"#);
        KeySet::parse(text.as_bytes()).unwrap()
    }

    /// Tokens whose headers are `{"alg":"EdDSA","kid":"a"}` and the same with `b`.
    const A: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AAAA";
    const B: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImIifQ.e30.AAAA";

    fn advise(cache: &KeyCache, token: &str, now: Instant) -> Advice {
        cache.advise(&Jwt::parse(token).unwrap(), now)
    }

    #[test]
    fn keys_are_good_for_the_life_that_the_issuer_gives_them_within_bounds() {
        let start = Instant::now();
        for (said, life) in [
            (None, USUAL_LIFE),
            (Some(0), SHORTEST_LIFE),
            (Some(1_000), Duration::from_secs(1_000)),
            (Some(u64::MAX), LONGEST_LIFE),
        ] {
            let mut cache = KeyCache::default();
            assert_eq!(advise(&cache, A, start), Advice::Ask);
            cache.record(Some((keys("a"), said)), start);
            let last = start + life.saturating_sub(Duration::from_secs(1));
            assert!(matches!(advise(&cache, A, last), Advice::Use(_)), "{said:?}");
            assert_eq!(advise(&cache, A, start + life), Advice::Ask, "{said:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_asked_for_at_most_once_a_minute() {
        let (start, mut cache) = (Instant::now(), KeyCache::default());
        cache.record(Some((keys("a"), None)), start);
        assert_eq!(advise(&cache, B, start + MINUTE / 2), Advice::Unknown);
        assert_eq!(advise(&cache, B, start + MINUTE), Advice::Ask);
        cache.record(Some((keys("b"), None)), start + MINUTE);
        assert_eq!(advise(&cache, B, start + MINUTE), Advice::Use(Arc::new(keys("b"))));
        assert_eq!(advise(&cache, A, start + MINUTE), Advice::Unknown, "it was withdrawn");
    }

    #[test]
    fn old_keys_are_kept_while_the_issuer_is_down_and_what_they_do_not_know_is_doubt() {
        let (start, mut cache) = (Instant::now(), KeyCache::default());
        cache.record(Some((keys("a"), None)), start);
        let later = start + USUAL_LIFE;
        cache.record(None, later);
        assert!(matches!(advise(&cache, A, later), Advice::Use(_)));
        assert_eq!(advise(&cache, B, later), Advice::Unavailable);
        assert_eq!(advise(&cache, A, later + MINUTE), Advice::Ask, "it may be back");
        let monday = start + KEPT;
        cache.record(None, monday);
        assert_eq!(advise(&cache, A, monday), Advice::Unavailable, "not for ever");
    }

    #[test]
    fn without_any_keys_the_issuer_is_asked_again_soon() {
        let (start, mut cache) = (Instant::now(), KeyCache::default());
        cache.record(None, start);
        assert_eq!(advise(&cache, A, start), Advice::Unavailable);
        assert_eq!(advise(&cache, A, start + PAUSE_WITHOUT_KEYS), Advice::Ask);
    }
}
