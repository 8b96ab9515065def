//! What is answered on port 80 to an authority that looks whether a name is ours (HTTP-01, RFC 8555 §8.3).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tokens that somebody may ask for now at `/.well-known/acme-challenge/TOKEN`, with the answer to each. Whoever orders a
/// certificate puts them there; the HTTP server looks them up. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<RwLock<HashMap<String, String>>>);

impl Tokens {
    /// The body to answer with, as it stands, or `None` where nobody awaits that question: any other path is a 404. The
    /// token may be anything that came over the network; it is compared with those we were given, and used for nothing else.
    pub fn answer(&self, token: &str) -> Option<String> {
        self.read().get(token).cloned()
    }

    /// Answers `token` for as long as what is returned is kept.
    #[must_use = "the token is answered no more once this is dropped"]
    pub fn publish(&self, token: &str, answer: &str) -> Published {
        self.write().insert(token.to_owned(), answer.to_owned());
        Published { tokens: self.clone(), token: token.to_owned() }
    }

    /// Every update leaves the map whole, so a panic elsewhere does not spoil it.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, String>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, String>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One token that is answered; dropped, it is not any more.
#[derive(Debug)]
pub struct Published {
    tokens: Tokens,
    token: String,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.tokens.write().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_it_is_published_and_neither_before_nor_after() {
        let tokens = Tokens::default();
        let seen_by_the_server = tokens.clone();
        assert_eq!(seen_by_the_server.answer("evaGxfADs6pSRb2LAv9IZ"), None);
        let published = tokens.publish("evaGxfADs6pSRb2LAv9IZ", "evaGxfADs6pSRb2LAv9IZ.thumbprint");
        let answer = seen_by_the_server.answer("evaGxfADs6pSRb2LAv9IZ");
        assert_eq!(answer.as_deref(), Some("evaGxfADs6pSRb2LAv9IZ.thumbprint"));
        for other in ["", "evaGxfADs6pSRb2LAv9I", "EVAGXFADS6PSRB2LAV9IZ", "../evaGxfADs6pSRb2LAv9IZ"] {
            assert_eq!(seen_by_the_server.answer(other), None, "{other}");
        }
        drop(published);
        assert_eq!(seen_by_the_server.answer("evaGxfADs6pSRb2LAv9IZ"), None);
    }

    #[test]
    fn two_orders_publish_side_by_side() {
        let tokens = Tokens::default();
        let first = tokens.publish("one", "1");
        let second = tokens.publish("two", "2");
        drop(first);
        assert_eq!((tokens.answer("one"), tokens.answer("two").as_deref()), (None, Some("2")));
        drop(second);
    }
}
