//! What a message carries to its content filter and back (FILTER in header_checks(5)), so that it is known when it returns.
//!
//! The address of a filter is often shared with every program of the machine, and whoever hands in a message may write what
//! he likes into its header, and knows the id it was given. So a field is added for the filter alone, signed with a
//! secret of this server, and taken off whatever comes in: it is only ever seen on the way there and back.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use kings_mail::header::{Field, Fields};
use kings_mail::id::TraceId;

use crate::relay::Filter;

/// `X-Kings-Filter: ID SIGNATURE`.
pub(crate) const FIELD: &str = "X-Kings-Filter";
/// Most passes of one message that are looked at: it carries one for each filter that it has gone through.
const MAX_CARRIED: usize = 10;

/// Fewest characters of a secret.
const SHORTEST_SECRET: usize = 16;

/// Makes passes and knows its own; without a secret there are none, and nothing is known to come back.
#[derive(Clone, Debug, Default)]
pub struct Passes(Option<Arc<hmac::Key>>);

/// The secret is missing, or easily guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has {SHORTEST_SECRET} characters or more")]
pub struct ShortSecret;

/// What somebody hands in, as far as it may come back from a filter.
pub(crate) struct Returned {
    client: IpAddr,
    carried: Vec<(TraceId, String)>,
}

impl Returned {
    /// `head` as it came, before our own fields are taken off.
    pub(crate) fn new(client: IpAddr, head: &[u8]) -> Self {
        let pass = |field: Field<'_>| {
            let text = field.text();
            let (id, signature) = text.trim().split_once(' ')?;
            Some((TraceId::parse(id)?, signature.trim().to_owned()))
        };
        let fields = Fields::new(head).filter(|field| field.name.eq_ignore_ascii_case(FIELD));
        Self { client, carried: fields.take(MAX_CARRIED).filter_map(pass).collect() }
    }
}

impl Passes {
    /// `secret`: kept over restarts, so that what is at a filter meanwhile is still known.
    pub fn new(secret: &str) -> Result<Self, ShortSecret> {
        let secret = secret.trim().as_bytes();
        let is_long = secret.len() >= SHORTEST_SECRET;
        is_long.then(|| Self(Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))))).ok_or(ShortSecret)
    }

    /// The filter that a message goes through, with the field that it carries there; nothing where it comes from there:
    /// from its address, and with a pass to it.
    pub(crate) fn issue(
        &self,
        filter: Option<Filter>,
        returned: &Returned,
        id: TraceId,
    ) -> (Option<Box<str>>, String) {
        let Some(filter) = filter.filter(|filter| !self.comes_back(filter, returned)) else {
            return (None, String::new());
        };
        let pass = self.sign(id, &filter).map(|signature| format!("{FIELD}: {id} {signature}\r\n"));
        (Some(filter.as_str().into()), pass.unwrap_or_default())
    }

    fn comes_back(&self, filter: &Filter, returned: &Returned) -> bool {
        let is_own = |(id, given): &(TraceId, String)| {
            let own = self.sign(*id, filter);
            own.is_some_and(|own| {
                constant_time::verify_slices_are_equal(own.as_bytes(), given.as_bytes()).is_ok()
            })
        };
        filter.is_at(returned.client) && returned.carried.iter().any(is_own)
    }

    fn sign(&self, id: TraceId, filter: &Filter) -> Option<String> {
        let text = format!("{} {}", id.message(), filter.as_str());
        let signature = hmac::sign(self.0.as_ref()?, text.as_bytes());
        Some(signature.as_ref().iter().map(|octet| format!("{octet:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn filter(text: &str) -> Option<Filter> {
        text.parse().ok()
    }

    #[test]
    fn a_filter_gets_a_message_once_and_nobody_passes_it_by() {
        let passes = Passes::new("of the tests, and long").unwrap();
        let here = "smtp:[127.0.0.1]:10025";
        let first = TraceId::new(1_795_000_000_000_000, 1);
        let new = |head: &str| Returned::new("127.0.0.1".parse().unwrap(), head.as_bytes());
        let (to, pass) = passes.issue(filter(here), &new("Subject: x\r\n\r\n"), first);
        assert_eq!(to.as_deref(), Some(here));
        let (_, elsewhere) = passes.issue(filter("smtp:[127.0.0.1]:10026"), &new("\r\n"), first);
        let (_, foreign) =
            Passes::new("of others, and as long").unwrap().issue(filter(here), &new("\r\n"), first);
        let other = TraceId::new(1_795_000_000_000_000, 2);
        let altered = pass.replace(&first.to_string(), &other.to_string());
        let cut = format!("{}\r\n", &pass[..pass.len() - 4]);
        let received = format!("Received: from x by mx.example with ESMTP id {first}; date\r\n");
        let cases = [
            (pass.clone(), "127.0.0.1", false),
            (pass.clone(), "127.0.0.9", false),
            (pass.to_lowercase(), "::1", false),
            (format!("{foreign}{pass}"), "127.0.0.1", false),
            (pass.replace(' ', "\r\n "), "127.0.0.1", false),
            (pass.clone(), "192.0.2.1", true),
            (received, "127.0.0.1", true),
            (elsewhere, "127.0.0.1", true),
            (foreign.clone(), "127.0.0.1", true),
            (altered, "127.0.0.1", true),
            (cut, "127.0.0.1", true),
            (format!("{FIELD}: {first}\r\n{FIELD}:\r\n"), "127.0.0.1", true),
            (format!("{}{pass}", foreign.repeat(MAX_CARRIED)), "127.0.0.1", true),
            (format!("Subject: x\r\n\r\n{pass}"), "127.0.0.1", true),
            (String::new(), "127.0.0.1", true),
        ];
        for (head, client, goes_there) in cases {
            let returned = Returned::new(client.parse().unwrap(), format!("{head}\r\n").as_bytes());
            let (to, pass) = passes.issue(filter(here), &returned, other);
            assert_eq!((to.is_some(), !pass.is_empty()), (goes_there, goes_there), "{client} {head}");
            assert_eq!(passes.issue(None, &returned, other), (None, String::new()), "no rule, no filter");
        }
    }

    #[test]
    fn without_a_secret_nothing_comes_back() {
        for short in ["", "\n", "fifteen letters\n"] {
            assert!(Passes::new(short).is_err(), "{short}");
        }
        assert!(Passes::new("sixteen letters.\n").is_ok());
        let (none, id) = (Passes::default(), TraceId::new(1, 1));
        let returned =
            Returned::new("127.0.0.1".parse().unwrap(), format!("{FIELD}: {id} \r\n\r\n").as_bytes());
        let (to, pass) = none.issue(filter("lmtp:unix:/run/filter"), &returned, id);
        assert!(to.is_some() && pass.is_empty());
    }
}
