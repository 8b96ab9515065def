//! Whom we believe that a message was authentic when it came to him: sealers that the operator lists, and nobody else.

use kings_mail::domain::Domain;
use kings_msgauth::arc::{Chain, Report, Set};
use kings_msgauth::results;

/// The sealer whose word counts that DMARC passed for `author` (RFC 8617 §7.2), where there is one.
///
/// The chain must hold as a whole. From the newest set back each sealer must be listed, since any of them could have
/// written the message anew; the first of them that saw a pass for this author is believed.
pub(crate) fn voucher<'a>(report: &'a Report, sealers: &[Domain], author: &Domain) -> Option<&'a Domain> {
    if report.chain != Chain::Pass {
        return None;
    }
    let listed = report.sets.iter().rev().take_while(|set| sealers.contains(&set.sealer));
    listed.into_iter().find(|set| saw_pass(set, author)).map(|set| &set.sealer)
}

/// Whether all that a sealer says of DMARC is a pass for this author; what cannot be read says nothing.
fn saw_pass(set: &Set, author: &Domain) -> bool {
    let statements = results::read(&set.results).unwrap_or_default();
    let of_author = |said: &results::Statement| {
        let from = said.property("header.from").and_then(|from| Domain::parse(from).ok());
        said.result == "pass" && from.as_ref() == Some(author)
    };
    let mut dmarc = statements.iter().filter(|said| said.method == "dmarc").peekable();
    dmarc.peek().is_some() && dmarc.all(of_author)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_msgauth::arc::Fault;
    use kings_msgauth::dkim::{Selector, Verdict};

    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    /// A chain of sealers, each with what it says.
    fn report(chain: Chain, sets: &[(&str, &str)]) -> Report {
        let valid = Verdict::Valid { rsa_bits: None };
        let set = |((sealer, said), instance): (&(&str, &str), u8)| Set {
            instance,
            sealer: domain(sealer),
            selector: Selector::parse("k").unwrap(),
            results: format!("i={instance}; mx.{sealer}; {said}"),
            seal: valid.clone(),
            message: valid.clone(),
        };
        Report { chain, sets: sets.iter().zip(1..).map(set).collect() }
    }

    #[test]
    fn only_an_unbroken_row_of_listed_sealers_is_believed() {
        let pass = "spf=pass smtp.mailfrom=b.example; dmarc=pass (p=reject) header.from=Author.example";
        let fail = "spf=fail; dmarc=fail header.from=author.example";
        let (one, two) = (("one.example", pass), ("two.example", fail));
        let cases = [
            (Chain::Pass, vec![one], Some("one.example")),
            (Chain::Pass, vec![one, two], Some("one.example")),
            (Chain::Pass, vec![two, ("two.example", pass)], Some("two.example")),
            (Chain::Pass, vec![two], None),
            (Chain::Pass, vec![("stranger.example", pass)], None),
            (Chain::Pass, vec![("sub.one.example", pass)], None),
            // A stranger on top could have written what lies below it into a new message.
            (Chain::Pass, vec![one, ("stranger.example", pass)], None),
            (Chain::Pass, vec![("stranger.example", pass), two], None),
            (Chain::None, vec![], None),
            (Chain::Fail(Fault::BrokenBefore), vec![one], None),
            (Chain::Unknown(Fault::BrokenBefore), vec![one], None),
        ];
        for (chain, sets, expected) in cases {
            let found = report(chain.clone(), &sets);
            let sealers = [domain("one.example"), domain("two.example")];
            let believed = voucher(&found, &sealers, &domain("author.example")).map(Domain::to_string);
            assert_eq!(believed.as_deref(), expected, "{chain:?} {sets:?}");
            assert_eq!(voucher(&found, &[], &domain("author.example")), None, "nobody is listed");
        }
    }

    #[test]
    fn a_sealer_is_believed_for_this_author_and_only_when_all_it_says_agrees() {
        let cases = [
            ("dmarc=pass header.from=author.example", true),
            ("DMARC/1=Pass header.From=\"author.example\"", true),
            ("dmarc=pass header.from=other.example", false),
            ("dmarc=pass", false),
            ("dmarc=pass header.from=sub.author.example", false),
            ("dmarc=pass header.from=author.example; dmarc=fail header.from=author.example", false),
            ("spf=fail (dmarc=pass header.from=author.example)", false),
            ("spf=fail smtp.mailfrom=\"x; dmarc=pass header.from=author.example\"", false),
            ("dmarc=pass header.from=author.example (never closed", false),
            ("dmarc=bestguesspass header.from=author.example", false),
            ("none", false),
        ];
        for (said, expected) in cases {
            let found = report(Chain::Pass, &[("one.example", said)]);
            let believed = voucher(&found, &[domain("one.example")], &domain("author.example"));
            assert_eq!(believed.is_some(), expected, "{said}");
        }
    }
}
