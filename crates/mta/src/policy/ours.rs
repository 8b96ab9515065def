//! Names of ours in the From field of a message from outside: never believed in silence.

use kings_mail::address_list::{self, Entry};
use kings_mail::domain::Domain;
use kings_mail::header;
use kings_msgauth::dmarc::DmarcResult;

use crate::authenticate::Check;
use crate::author;
use crate::facts::Verdict;

/// The names that only we, and those we let, may write from.
pub(crate) struct Ours<'a> {
    /// Our own name.
    pub(crate) hostname: &'a Domain,
    /// Whether a domain is hosted here.
    pub(crate) hosts: &'a (dyn Fn(&Domain) -> bool + Sync),
}

impl Ours<'_> {
    /// What follows where `author` is of ours, and DMARC came to `result` or was not asked; `None` where there is nothing
    /// to say.
    ///
    /// Somebody else may be let to write from a name below ours, a newsletter's sender say, and prove it by means that DMARC
    /// is not told of: there a failure counts, and the rest is told. Where DMARC is not to count, it is told as well.
    pub(crate) fn unproven(
        &self,
        author: &Domain,
        dmarc: Check,
        result: Option<DmarcResult>,
    ) -> Option<Verdict> {
        if result == Some(DmarcResult::Pass) {
            return None;
        }
        let is_ours = self.is_ours(author);
        if !is_ours && !self.is_below_ours(author) {
            return None;
        }
        let counts = dmarc == Check::Enforce && (is_ours || result == Some(DmarcResult::Fail));
        Some(if counts { Verdict::Junk } else { Verdict::Accept })
    }

    /// The first domain of ours that the name for people in From shows an address of, where `author`, the domain that the
    /// message is really from, has nothing to do with it. DMARC cannot help: it proves the address that nobody looks at.
    pub(crate) fn shown(&self, author: &Domain, head: &[u8]) -> Option<Domain> {
        if self.is_ours(author) || self.is_below_ours(author) {
            return None;
        }
        let field = header::first(head, "From")?;
        let shown = address_list::parse(field.value).into_iter().filter_map(|entry| match entry {
            Entry::Mailbox(mailbox) => Some(author::shown_domains(&mailbox)),
            Entry::GroupStart(_) | Entry::GroupEnd => None,
        });
        let mut shown = shown.flatten().filter_map(|text| Domain::parse(&text).ok());
        // Whoever has the domain above one of ours speaks for it: a company whose mail host is all that is here.
        let is_above = |shown: &Domain| shown.with_parents().skip(1).any(|domain| domain == *author);
        shown.find(|shown| self.is_ours(shown) && !is_above(shown))
    }

    fn is_ours(&self, domain: &Domain) -> bool {
        domain == self.hostname || (self.hosts)(domain)
    }

    fn is_below_ours(&self, domain: &Domain) -> bool {
        domain.with_parents().skip(1).any(|domain| (self.hosts)(&domain))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_of_ours_are_believed_with_proof_alone() {
        let hostname = Domain::parse("mail.example.com").unwrap();
        let hosts = |domain: &Domain| domain.as_str() == "example.org";
        let ours = Ours { hostname: &hostname, hosts: &hosts };
        let (enforce, tag, off) = (Check::Enforce, Check::Tag, Check::Off);
        let (pass, fail, none) = (Some(DmarcResult::Pass), Some(DmarcResult::Fail), Some(DmarcResult::None));
        let (junk, told) = (Some(Verdict::Junk), Some(Verdict::Accept));
        let cases = [
            ("example.org", enforce, pass, None),
            ("example.org", enforce, fail, junk),
            ("example.org", enforce, none, junk),
            ("example.org", enforce, Some(DmarcResult::TempError), junk),
            ("example.org", tag, fail, told),
            ("example.org", tag, pass, None),
            ("example.org", off, None, told),
            ("mail.example.com", enforce, none, junk),
            ("mail.example.com", off, None, told),
            ("news.example.org", enforce, fail, junk),
            ("a.news.example.org", enforce, none, told),
            ("news.example.org", enforce, pass, None),
            ("news.example.org", tag, fail, told),
            // Above ours, beside it, and alike.
            ("example.com", enforce, fail, None),
            ("org", enforce, fail, None),
            ("notexample.org", enforce, fail, None),
            ("sub.mail.example.com", enforce, fail, None),
        ];
        for (author, check, result, expected) in cases {
            let author = Domain::parse(author).unwrap();
            assert_eq!(ours.unproven(&author, check, result), expected, "{author} {check:?} {result:?}");
        }
    }

    #[test]
    fn an_address_of_ours_in_the_name_of_a_stranger_is_found() {
        let hostname = Domain::parse("mail.example.com").unwrap();
        let hosts = |domain: &Domain| ["example.org", "mx.corp.example"].contains(&domain.as_str());
        let ours = Ours { hostname: &hostname, hosts: &hosts };
        let cases = [
            ("\"boss@example.org\" <x@bad.example>", Some("example.org")),
            ("\"Boss <BOSS@EXAMPLE.ORG>\" <x@bad.example>", Some("example.org")),
            ("x@bad.example (boss@example.org)", Some("example.org")),
            ("=?utf-8?q?boss=40example=2Eorg?= <x@bad.example>", Some("example.org")),
            ("a@bad.example, \"boss@example.org\" <x@bad.example>", Some("example.org")),
            ("\"c@other.example root@mail.example.com\" <x@bad.example>", Some("mail.example.com")),
            ("\"ann@mx.corp.example\" <x@bad.example>", Some("mx.corp.example")),
            // Its honest mirrors.
            ("\"ann@mx.corp.example\" <ann@corp.example>", None),
            ("\"boss@example.org\" <boss@example.org>", None),
            ("\"boss@example.org\" <news@news.example.org>", None),
            ("\"boss@mail.example.com\" <root@mail.example.com>", None),
            ("\"boss@bad.example\" <x@bad.example>", None),
            ("\"boss@notexample.org\" <x@bad.example>", None),
            ("\"boss@example.org.bad.example\" <x@bad.example>", None),
            ("Example.org newsletter <x@bad.example>", None),
            ("boss.example.org@bad.example", None),
        ];
        for (field, expected) in cases {
            let head = format!("From: {field}\r\n\r\n");
            let author = kings_msgauth::dmarc::author_domain(head.as_bytes()).unwrap();
            let shown = ours.shown(&author, head.as_bytes());
            assert_eq!(shown.as_ref().map(Domain::as_str), expected, "{field}");
        }
    }
}
