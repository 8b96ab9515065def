//! What a client hears of the messages that were found, and what `$` becomes (RFC 4731, RFC 5182).

use std::num::NonZeroU32;

use super::Returns;
use crate::response::{ExtendedSearch, Response};
use crate::sequence::{ModSeq, SequenceNumber, SequenceSet, Uid};

/// How a search ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What to say; nothing where the client only wants the result kept (RFC 5182 §2.1).
    pub response: Option<Response>,
    /// What `$` means from now on; as before, without one.
    pub saved: Option<Vec<Uid>>,
}

/// Tells `found`, which rises, or is sorted, as the command under `tag` wants to hear it. With `modseq`, which tells when a message
/// changed last, the answer tells it of what it names (RFC 7162 §3.1.6, RFC 7162 §3.1.10).
pub fn answer(
    tag: &[u8],
    (uid, returns): (bool, Option<Returns>),
    found: &[(SequenceNumber, Uid)],
    modseq: Option<&dyn Fn(Uid) -> ModSeq>,
) -> Answer {
    let highest = |found: &[(SequenceNumber, Uid)]| {
        modseq.and_then(|modseq| found.iter().map(|(_, message)| modseq(*message)).max())
    };
    let told = |&(number, message): &(SequenceNumber, Uid)| if uid { message.0 } else { number.0 };
    let Some(returns) = returns else {
        let all = found.iter().map(told).map(NonZeroU32::get).collect();
        return Answer {
            response: Some(Response::Search { found: all, modseq: highest(found), sorted: false }),
            saved: None,
        };
    };
    let (first, last) = (found.first(), found.last());
    let says = returns.min || returns.max || returns.all || returns.count || returns.partial.is_some();
    let extended = || ExtendedSearch {
        tag: tag.to_vec(),
        mailbox: None,
        uid,
        min: first.filter(|_| returns.min).map(told),
        max: last.filter(|_| returns.max).map(told),
        all: if returns.all { SequenceSet::of_numbers(found.iter().map(told)) } else { None },
        partial: returns
            .partial
            .map(|range| (range, SequenceSet::of_numbers(range.of(found).iter().map(told)))),
        count: returns.count.then_some(found.len()),
        modseq: highest(&named(returns, found)),
    };
    Answer {
        response: says.then(|| Response::ExtendedSearch(extended())),
        saved: returns.save.then(|| kept(&named(returns, found))),
    }
}

/// What is kept rises, however it was sorted.
fn kept(named: &[(SequenceNumber, Uid)]) -> Vec<Uid> {
    let mut uids: Vec<Uid> = named.iter().map(|(_, uid)| *uid).collect();
    uids.sort_unstable();
    uids
}

/// What is kept, and whose changes count: with MIN or MAX and nothing more, those two only (RFC 5182 §2.4,
/// RFC 7162 §3.1.10), and with PARTIAL no more than it tells. COUNT is of all (RFC 9394 §3.2).
fn named(returns: Returns, found: &[(SequenceNumber, Uid)]) -> Vec<(SequenceNumber, Uid)> {
    let is_part = returns.min || returns.max || returns.partial.is_some();
    if !is_part || returns.all || returns.count {
        return found.to_vec();
    }
    let part = returns.partial.map(|range| range.of(found)).unwrap_or_default();
    let ends = [found.first().filter(|_| returns.min), found.last().filter(|_| returns.max)];
    let mut named: Vec<(SequenceNumber, Uid)> = ends.into_iter().flatten().chain(part).copied().collect();
    named.sort_unstable_by_key(|(_, uid)| *uid);
    named.dedup();
    named
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::command::Enabled;
    use crate::cursor::Cursor;
    use crate::partial::Partial;

    fn found(messages: &[(u32, u32)]) -> Vec<(SequenceNumber, Uid)> {
        let number = |number| NonZeroU32::new(number).unwrap();
        messages.iter().map(|(n, uid)| (SequenceNumber(number(*n)), Uid(number(*uid)))).collect()
    }

    /// The words of RETURN, what is said, what is kept.
    type Case<'a> = (&'a str, Option<&'a str>, Option<&'a [u32]>);

    #[test]
    fn every_combination_says_and_keeps_what_the_rfcs_want() {
        let messages = found(&[(2, 20), (3, 30), (7, 70)]);
        let cases: [Case<'_>; 16] = [
            ("", Some("UID ALL 20,30,70"), None),
            ("ALL", Some("UID ALL 20,30,70"), None),
            ("MIN", Some("UID MIN 20"), None),
            ("MAX MIN", Some("UID MIN 20 MAX 70"), None),
            ("COUNT", Some("UID COUNT 3"), None),
            ("MIN MAX ALL COUNT", Some("UID MIN 20 MAX 70 ALL 20,30,70 COUNT 3"), None),
            ("SAVE", None, Some(&[20, 30, 70])),
            ("SAVE MIN", Some("UID MIN 20"), Some(&[20])),
            ("SAVE MAX", Some("UID MAX 70"), Some(&[70])),
            ("SAVE MIN MAX", Some("UID MIN 20 MAX 70"), Some(&[20, 70])),
            ("SAVE MIN COUNT", Some("UID MIN 20 COUNT 3"), Some(&[20, 30, 70])),
            ("SAVE ALL MAX", Some("UID MAX 70 ALL 20,30,70"), Some(&[20, 30, 70])),
            ("PARTIAL", Some("UID PARTIAL (2:2 30)"), None),
            ("SAVE PARTIAL", Some("UID PARTIAL (2:2 30)"), Some(&[30])),
            ("SAVE MAX PARTIAL", Some("UID MAX 70 PARTIAL (2:2 30)"), Some(&[30, 70])),
            ("SAVE PARTIAL COUNT", Some("UID PARTIAL (2:2 30) COUNT 3"), Some(&[20, 30, 70])),
        ];
        for (words, said, kept) in cases {
            let has = |word| words.split(' ').any(|given| given == word);
            let returns = Returns {
                min: has("MIN"),
                max: has("MAX"),
                all: has("ALL") || words.is_empty(),
                count: has("COUNT"),
                save: has("SAVE"),
                partial: has("PARTIAL").then(|| Partial::read(&mut Cursor::new(b"2:2")).unwrap()),
            };
            let answer = answer(b"a", (true, Some(returns)), &messages, None);
            let text = answer.response.map(|response| {
                let mut out = Vec::new();
                response.write_to(&mut out, Enabled::default());
                String::from_utf8(out).unwrap()
            });
            let expected = said.map(|said| format!("* ESEARCH (TAG \"a\") {said}\r\n"));
            assert_eq!(text, expected, "{words}");
            let numbers = answer.saved.map(|uids| uids.iter().map(|uid| uid.0.get()).collect::<Vec<_>>());
            assert_eq!(numbers.as_deref(), kept, "{words}");
        }
    }

    #[test]
    fn one_message_is_kept_once_and_none_empties_what_was_kept() {
        let returns = Returns { min: true, max: true, save: true, ..Returns::default() };
        let one = answer(b"a", (false, Some(returns)), &found(&[(4, 9)]), None);
        assert_eq!(one.saved.map(|uids| uids.len()), Some(1));
        assert_eq!(answer(b"a", (false, Some(returns)), &[], None).saved, Some(Vec::new()));
    }

    #[test]
    fn the_last_change_of_what_is_told_is_told() {
        let messages = found(&[(2, 20), (3, 30), (7, 70)]);
        // The second one has changed last.
        let modseq = |uid: Uid| ModSeq(if uid.0.get() == 30 { 99 } else { u64::from(uid.0.get()) });
        let said = |returns: Option<Returns>, messages: &[(SequenceNumber, Uid)]| {
            let mut out = Vec::new();
            answer(b"a", (false, returns), messages, Some(&modseq))
                .response
                .unwrap()
                .write_to(&mut out, Enabled::default());
            String::from_utf8(out).unwrap()
        };
        let (min, max) =
            (Returns { min: true, ..Returns::default() }, Returns { max: true, ..Returns::default() });
        assert_eq!(said(None, &messages), "* SEARCH 2 3 7 (MODSEQ 99)\r\n");
        assert_eq!(said(None, &[]), "* SEARCH\r\n");
        assert_eq!(said(Some(min), &messages), "* ESEARCH (TAG \"a\") MIN 2 MODSEQ 20\r\n");
        assert_eq!(said(Some(max), &messages), "* ESEARCH (TAG \"a\") MAX 7 MODSEQ 70\r\n");
        let both = Returns { max: true, ..min };
        assert_eq!(said(Some(both), &messages), "* ESEARCH (TAG \"a\") MIN 2 MAX 7 MODSEQ 70\r\n");
        let with_count = Returns { count: true, ..min };
        assert_eq!(said(Some(with_count), &messages), "* ESEARCH (TAG \"a\") MIN 2 COUNT 3 MODSEQ 99\r\n");
        assert_eq!(said(Some(with_count), &[]), "* ESEARCH (TAG \"a\") COUNT 0\r\n");
    }
}
