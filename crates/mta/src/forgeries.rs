//! Fields that only this server writes: whoever hands a message in has not written them, whatever it says.

use kings_mail::domain::Domain;
use kings_mail::header;
use kings_msgauth::results;
use kings_smtp::reply::Reply;
use kings_store::Incoming;

use crate::core::Core;
use crate::intake;
use crate::passes::{self, Returned};
use crate::policy::verdict;

/// How far whoever hands a message in may speak for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Strangers and users: results in our name are none of ours (RFC 8601 §5).
    Anybody,
    /// A mail server in front of us, or a program that the operator trusts: its results may well be in our name, for it
    /// may have asked our own milter, or hand back what we gave it. A verdict is not: that it calls a
    /// message junk is noted before this, and anything else is judged anew.
    Trusted,
}

impl Source {
    /// What our own filter hands back has been here before, and carries what we found then.
    pub(crate) fn of(returned: &Returned) -> Self {
        if returned.is_back() { Self::Trusted } else { Self::Anybody }
    }
}

/// Where bounces go says the envelope, and we write it on top (RFC 5321 §4.4). What else is there is of an earlier delivery or
/// of a forger, and programs that look for the last of them would believe it; Postfix drops it likewise
/// (`message_drop_headers`).
const RETURN_PATH: &str = "Return-Path";

/// The head of a message without such fields; `None` where there is none.
pub(crate) fn removed(hostname: &Domain, head: &[u8], source: Source) -> Option<Vec<u8>> {
    let without_verdict = header::without_lookalikes(head, |line| {
        line.is(verdict::FIELD) || line.is(passes::FIELD) || line.is(RETURN_PATH)
    });
    let rest = without_verdict.as_deref().unwrap_or(head);
    let without_results = match source {
        Source::Anybody => results::without_forged(hostname, rest),
        Source::Trusted => None,
    };
    without_results.or(without_verdict)
}

/// The message without such fields.
pub(crate) async fn scrub(core: &Core, content: Incoming, source: Source) -> Result<Incoming, Reply> {
    let Some(head) = removed(&core.hostname, content.head(), source) else { return Ok(content) };
    intake::with_head(&core.store, content, head).await.map_err(|error| intake::refusal(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_verdict_is_nobodys_and_results_in_our_name_are_those_of_whom_we_trust() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let (verdict, ours) =
            ("x-kings-verdict : accept\r\n", "Authentication-Results: mail.example.org; dmarc=pass\r\n");
        let others = "Authentication-Results: relay.example.net; dmarc=pass\r\n";
        let letter = "From: a@b.example\r\nX-Kings: x\r\n\r\nX-Kings-Verdict: body\r\n";
        let cases = [
            (String::new(), "", ""),
            (verdict.to_owned(), "", ""),
            ("x-Kings-Filter:\r\n 1l19xvdl4ntdk4g 00\r\n".to_owned(), "", ""),
            (ours.to_owned(), "", ours),
            (others.to_owned(), others, others),
            ("RETURN-PATH :\r\n <eve@evil.example>\r\n".to_owned(), "", ""),
            ("Return-Path-X: <x>\r\n".to_owned(), "Return-Path-X: <x>\r\n", "Return-Path-X: <x>\r\n"),
            (format!("Return-Path: <x>\r\n{others}Return-Path: <>\r\n"), others, others),
            (format!("{ours}{verdict}{others}"), others, &format!("{ours}{others}")),
        ];
        for (fields, from_anybody, from_trusted) in cases {
            let head = format!("{fields}{letter}");
            for (source, expected) in [(Source::Anybody, from_anybody), (Source::Trusted, from_trusted)] {
                let found = removed(&hostname, head.as_bytes(), source);
                let expected = format!("{expected}{letter}");
                let text = found.map_or_else(|| head.clone(), |head| String::from_utf8(head).unwrap());
                assert_eq!(text, expected, "{source:?} {fields}");
            }
        }
    }
}
