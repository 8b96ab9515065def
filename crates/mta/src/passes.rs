//! What a message carries to its content filter and back (FILTER in header_checks(5)), so that it is known when it returns.
//!
//! The address of a filter is often shared with every program of the machine, and whoever hands in a message may write what
//! he likes into its header, and knows the id it was given. So a field is added for the filter alone, signed with a
//! secret of this server, and taken off whatever comes in. No report tells it: whoever has one passes the filter by.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use kings_mail::header::{self, Field, Fields};
use kings_mail::id::TraceId;
use kings_mail::trace;

use crate::core::now;
use crate::policy::verdict;
use crate::relay::Filter;

/// `X-Kings-Filter: ID SIGNATURE FILTER`.
pub(crate) const FIELD: &str = trace::PASS;
/// Most passes of one message that are looked at: it carries one for each filter that it has gone through.
const MAX_CARRIED: usize = 10;
/// How long a pass is good, from the arrival of its message on: it may wait for its filter as long as mail usually lives, and
/// the filter may keep it as long. An older one is none, so that its message goes there again.
const MAX_AGE: u64 = 10 * 86_400;

/// Fewest characters of a secret.
const SHORTEST_SECRET: usize = 16;

/// Makes passes and knows its own; without a secret there are none, and nothing is known to come back.
#[derive(Clone, Debug, Default)]
pub struct Passes(Option<Arc<hmac::Key>>);

/// The secret is missing, or easily guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has {SHORTEST_SECRET} characters or more")]
pub struct ShortSecret;

/// What somebody hands in, as far as it comes back from filters of ours.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    /// Those it has gone through.
    through: Vec<Filter>,
    /// The field of what was thought of it before; empty where it begins here, and nobody judged it.
    verdict: String,
}

impl Returned {
    /// Whether it was here before, and comes from the filter that it went to then.
    pub(crate) fn is_back(&self) -> bool {
        !self.through.is_empty()
    }

    /// What was thought of it when it came first, from elsewhere.
    pub(crate) fn verdict(&self) -> Option<&str> {
        Some(self.verdict.as_str()).filter(|verdict| !verdict.is_empty())
    }

    /// Whether that files it into the junk.
    pub(crate) fn is_junk(&self) -> bool {
        verdict::is_junk(self.verdict.as_bytes())
    }
}

impl Passes {
    /// `secret`: kept over restarts, so that what is at a filter meanwhile is still known.
    pub fn new(secret: &str) -> Result<Self, ShortSecret> {
        let secret = secret.trim().as_bytes();
        let is_long = secret.len() >= SHORTEST_SECRET;
        is_long.then(|| Self(Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))))).ok_or(ShortSecret)
    }

    /// Whether what this client hands in comes back; `head` as it came, before our own fields are taken off.
    pub(crate) fn read(&self, client: IpAddr, head: &[u8]) -> Returned {
        let carried = Fields::new(head).filter(|field| field.is(FIELD)).take(MAX_CARRIED);
        let through: Vec<Filter> = carried.filter_map(|field| self.filter_of(&field, client)).collect();
        let verdict = header::first(head, verdict::FIELD).filter(|_| !through.is_empty());
        let verdict = verdict.map(|field| String::from_utf8_lossy(field.raw).into_owned());
        Returned { through, verdict: verdict.unwrap_or_default() }
    }

    /// The filter of a pass that is ours and not too old, and that this client is.
    fn filter_of(&self, field: &Field<'_>, client: IpAddr) -> Option<Filter> {
        let text = field.text();
        let (id, rest) = text.trim().split_once(char::is_whitespace)?;
        let (signature, filter) = rest.trim_start().split_once(char::is_whitespace)?;
        let (id, filter) = (TraceId::parse(id)?, filter.trim_start().parse::<Filter>().ok()?);
        let own = self.sign(id, &filter)?;
        let is_own = constant_time::verify_slices_are_equal(own.as_bytes(), signature.as_bytes()).is_ok();
        let age = u64::try_from(now().unix()).unwrap_or_default().saturating_sub(id.unix_seconds());
        (is_own && age <= MAX_AGE && filter.is_at(client)).then_some(filter)
    }

    /// The filter that a message goes through, with the fields that it carries there, for those before it too; nothing where
    /// it comes from there.
    pub(crate) fn issue(
        &self,
        filter: Option<Filter>,
        returned: &Returned,
        id: TraceId,
    ) -> (Option<Box<str>>, String) {
        let Some(filter) = filter.filter(|filter| !returned.through.contains(filter)) else {
            return (None, String::new());
        };
        let pass = |filter: &Filter| {
            let signature = self.sign(id, filter)?;
            Some(format!("{FIELD}: {id} {signature}\r\n\t{}\r\n", filter.as_str()))
        };
        let all = returned.through.iter().chain([&filter]);
        let passes = all.filter_map(pass).collect();
        (Some(filter.as_str().into()), passes)
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
    use crate::core::new_id;

    use super::*;

    const HERE: &str = "smtp:[127.0.0.1]:10025";
    const OTHER: &str = "smtp:[127.0.0.1]:10026";

    fn filter(text: &str) -> Option<Filter> {
        text.parse().ok()
    }

    fn passes() -> Passes {
        Passes::new("of the tests, and long").unwrap()
    }

    fn read(passes: &Passes, client: &str, head: &str) -> Returned {
        passes.read(client.parse().unwrap(), format!("{head}\r\n").as_bytes())
    }

    #[test]
    fn a_filter_gets_a_message_once_and_nobody_passes_it_by() {
        let (passes, first, other) = (passes(), new_id(), new_id());
        let issue = |passes: &Passes, to: &str, id| passes.issue(filter(to), &Returned::default(), id);
        let (to, pass) = issue(&passes, HERE, first);
        assert_eq!(to.as_deref(), Some(HERE));
        let (_, elsewhere) = issue(&passes, OTHER, first);
        let (_, foreign) = issue(&Passes::new("of others, and as long").unwrap(), HERE, first);
        let (_, old) = issue(&passes, HERE, aged(MAX_AGE + 60));
        let (_, aged) = issue(&passes, HERE, aged(MAX_AGE - 60));
        let altered = pass.replace(&first.to_string(), &other.to_string());
        let cut = pass.replace("\r\n\t", "").replace(HERE, &format!(" {HERE}"));
        let short = cut.replacen(&cut[cut.find(" smtp").unwrap() - 4..cut.find(" smtp").unwrap()], "", 1);
        let received = format!("Received: from x by mx.example with ESMTP id {first}; date\r\n");
        let cases = [
            (pass.clone(), "127.0.0.1", false),
            (aged, "127.0.0.1", false),
            (pass.clone(), "127.0.0.9", false),
            (pass.to_lowercase(), "::1", false),
            (format!("{foreign}{pass}"), "127.0.0.1", false),
            (cut, "127.0.0.1", false),
            (pass.clone(), "192.0.2.1", true),
            (old, "127.0.0.1", true),
            (received, "127.0.0.1", true),
            (elsewhere.clone(), "127.0.0.1", true),
            (elsewhere.replace(OTHER, HERE), "127.0.0.1", true),
            (foreign.clone(), "127.0.0.1", true),
            (altered, "127.0.0.1", true),
            (short, "127.0.0.1", true),
            (format!("{FIELD}: {first}\r\n{FIELD}:\r\n{FIELD}: {first} 00\r\n"), "127.0.0.1", true),
            (format!("{}{pass}", foreign.repeat(MAX_CARRIED)), "127.0.0.1", true),
            (format!("Subject: x\r\n\r\n{pass}"), "127.0.0.1", true),
            (String::new(), "127.0.0.1", true),
        ];
        for (head, client, goes_there) in cases {
            let returned = read(&passes, client, &head);
            let (to, pass) = passes.issue(filter(HERE), &returned, other);
            assert_eq!((to.is_some(), !pass.is_empty()), (goes_there, goes_there), "{client} {head}");
            assert_eq!(passes.issue(None, &returned, other), (None, String::new()), "no rule, no filter");
        }
    }

    /// The id of a message that arrived so many seconds ago.
    fn aged(seconds: u64) -> TraceId {
        TraceId::new((u64::try_from(now().unix()).unwrap() - seconds) * 1_000_000, 1)
    }

    #[test]
    fn of_two_filters_each_gets_it_once() {
        let (passes, id) = (passes(), new_id());
        let (_, first) = passes.issue(filter(HERE), &Returned::default(), id);
        let (to, both) = passes.issue(filter(OTHER), &read(&passes, "127.0.0.1", &first), id);
        assert_eq!((to.as_deref(), both.matches(FIELD).count()), (Some(OTHER), 2));
        let returned = read(&passes, "127.0.0.1", &both);
        for to in [HERE, OTHER] {
            assert_eq!(passes.issue(filter(to), &returned, id), (None, String::new()));
        }
        assert_eq!(passes.issue(filter("lmtp:unix:/x"), &returned, id).1.matches(FIELD).count(), 3);
    }

    #[test]
    fn what_was_thought_of_it_counts_for_what_comes_back_alone() {
        let (passes, id) = (passes(), new_id());
        let (_, pass) = passes.issue(filter(HERE), &Returned::default(), id);
        let junk = "X-Kings-Verdict: junk;\r\n\tit is listed\r\n";
        let cases = [
            (format!("{junk}{pass}"), Some(junk), true),
            (format!("{pass}X-Kings-Verdict: accept\r\n"), Some("X-Kings-Verdict: accept\r\n"), false),
            (pass.clone(), None, false),
            (junk.to_owned(), None, false),
        ];
        for (head, expected, is_junk) in cases {
            let returned = read(&passes, "127.0.0.1", &head);
            assert_eq!((returned.verdict(), returned.is_junk()), (expected, is_junk), "{head}");
            assert_eq!(returned.is_back(), head.contains(FIELD));
        }
    }

    #[test]
    fn without_a_secret_nothing_comes_back() {
        for short in ["", "\n", "fifteen letters\n"] {
            assert!(Passes::new(short).is_err(), "{short}");
        }
        assert!(Passes::new("sixteen letters.\n").is_ok());
        let (none, id) = (Passes::default(), new_id());
        let returned = read(&none, "127.0.0.1", &format!("{FIELD}: {id}  lmtp:unix:/run/filter\r\n"));
        let (to, pass) = none.issue(filter("lmtp:unix:/run/filter"), &returned, id);
        assert!(to.is_some() && pass.is_empty() && !returned.is_back());
    }
}
