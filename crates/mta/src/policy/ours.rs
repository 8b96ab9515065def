//! Names of ours in the From field of a message from outside: never believed in silence, and never lent to others.

use kings_mail::address::Address;
use kings_mail::address_list::BadAuthors;
use kings_mail::domain::Domain;
use kings_mail::header;
use kings_mail::path::ReversePath;
use kings_msgauth::dmarc::{AuthorDomains, DmarcResult, NoAuthor, author_domains};
use kings_msgauth::spf::SpfResult;

use crate::authenticate::Check;
use crate::author;
use crate::facts::Verdict;

/// The names that only we, and those we let, may write from.
#[derive(Clone, Copy)]
pub(crate) struct Ours<'a> {
    /// Our own name.
    pub(crate) hostname: &'a Domain,
    /// What is hosted here, and what is passed on from here.
    pub(crate) domains: &'a [Domain],
}

/// Somebody whom a message says to be from.
#[derive(Clone, Debug)]
pub(crate) struct Claimant {
    pub(crate) domain: Domain,
    /// The organisation of that, where it has a policy: without one nobody asks for proof.
    pub(crate) organisation: Option<Domain>,
    /// What DMARC came to, where it was asked.
    pub(crate) result: Option<DmarcResult>,
}

impl Claimant {
    /// All whom the header names, as long as nobody is asked about them.
    pub(crate) fn all(head: &[u8]) -> Vec<Self> {
        let domains = author_domains(head).map(|authors| authors.domains).unwrap_or_default();
        domains.into_iter().map(|domain| Self { domain, organisation: None, result: None }).collect()
    }
}

/// Under which reverse-path a message leaves that an alias sends on to another server; the stricter the later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaving {
    /// That which suits the alias: its owner's, or one of ours that finds the first sender (SRS).
    #[default]
    Suited,
    /// The one that it came with.
    AsItCame,
    /// None for now: DNS does not tell whose it is.
    NotYet,
    /// None: it does not leave.
    Never,
}

impl Leaving {
    /// The domain of `path`, where it is one of ours that is not lent.
    pub(crate) fn forged(self, path: &ReversePath) -> Option<String> {
        let domain = path.address().and_then(Address::domain);
        domain.filter(|_| self == Self::Never).map(Domain::to_string)
    }
}

impl Ours<'_> {
    /// What follows where `author`, whom nothing proves, is of ours, and DMARC came to `result` or was not asked; `None`
    /// where there is nothing to say.
    ///
    /// Somebody else may be let to write from a name below ours, a newsletter's sender say, and prove it by means that DMARC
    /// is not told of: there a failure counts, as does an answer that cannot be had, lest who silences our name servers writes
    /// as anybody below us; the rest is told. Where DMARC is not to count, it is told as well.
    pub(crate) fn unproven(
        &self,
        author: &Domain,
        dmarc: Check,
        result: Option<DmarcResult>,
    ) -> Option<Verdict> {
        if !self.is_known(author) {
            return None;
        }
        let is_forged = matches!(result, Some(DmarcResult::Fail | DmarcResult::TempError));
        let counts = dmarc == Check::Enforce && (self.is_ours(author) || is_forged);
        Some(if counts { Verdict::Junk } else { Verdict::Accept })
    }

    /// How a message leaves of whose authors nothing proves `unproven`.
    ///
    /// SPF at the next server passes for us. A reverse-path of ours would so prove an author of our organisation there,
    /// whoever wrote the message: DMARC compares no more than the two names (RFC 9989 §4.4.2), and for a null one that in
    /// our EHLO. The path of a stranger proves nothing; with one of ours, or none, the message does not leave. A From field
    /// that shows somebody who cannot be told is anybody's whose name stands in it.
    pub(crate) fn sent_on(
        &self,
        head: &[u8],
        unproven: &[Claimant],
        path: &ReversePath,
        dmarc: Check,
    ) -> Leaving {
        let is_shared = |above: &Domain| self.names().any(|name| name.is_within(above));
        let shared = |claimant: &Claimant| claimant.organisation.as_ref().is_some_and(is_shared);
        let claims = unproven.iter().filter(|claimant| self.is_known(&claimant.domain) || shared(claimant));
        let mut claims = claims.peekable();
        let is_claimed = claims.peek().is_some()
            || match author_domains(head) {
                Ok(AuthorDomains { odd: None | Some(NoAuthor::Literal), .. })
                | Err(NoAuthor::NoField | NoAuthor::Literal) => false,
                Ok(_)
                | Err(NoAuthor::Several | NoAuthor::Fields(_) | NoAuthor::Malformed(_) | NoAuthor::OddHost) => {
                    self.stands_in(head).is_some()
                }
            };
        let is_unsure =
            claims.peek().is_some() && claims.all(|claimant| claimant.result == Some(DmarcResult::TempError));
        let above = || unproven.iter().filter(|claimant| shared(claimant)).flat_map(|one| &one.organisation);
        let is_own = |domain: &Domain| self.is_known(domain) || above().any(|above| domain.is_within(above));
        let lends = match path {
            ReversePath::Null => true,
            ReversePath::Address(address) => address.domain().is_some_and(is_own),
        };
        match (is_claimed, lends, dmarc) {
            (false, _, _) => Leaving::Suited,
            (true, false, _) => Leaving::AsItCame,
            (true, true, Check::Enforce) if is_unsure => Leaving::NotYet,
            (true, true, Check::Enforce) => Leaving::Never,
            (true, true, Check::Tag | Check::Off) => Leaving::Suited,
        }
    }

    /// How a message leaves whose reverse-path says to be of ours, or was made by us (SRS), where SPF comes to `spf` and no
    /// author of ours is proven: it has nothing to do with us then but that path, which is not lent to it.
    ///
    /// The next server finds our address allowed, for the same record that did not allow the client here; that includes
    /// `neutral`, which is told from `none` by that alone. Without a usable record nothing passes there either.
    pub(crate) fn lent(&self, path: &ReversePath, spf: SpfResult) -> Leaving {
        let domain = path.address().and_then(Address::domain);
        if !domain.is_some_and(|domain| self.is_known(domain)) {
            return Leaving::Suited;
        }
        match spf {
            SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Leaving::Never,
            SpfResult::TempError => Leaving::NotYet,
            SpfResult::Pass | SpfResult::None | SpfResult::PermError => Leaving::Suited,
        }
    }

    /// The first domain of ours that the name for people in From shows an address of, where none of `authors`, the domains
    /// that the message is really from, has anything to do with it; and the first of them. DMARC cannot help: it proves the
    /// address that nobody looks at.
    pub(crate) fn shown<'d>(&self, authors: &[&'d Domain], head: &[u8]) -> Option<(Domain, &'d Domain)> {
        let first = *authors.first()?;
        if authors.iter().any(|author| self.is_known(author)) {
            return None;
        }
        let field = header::first(head, "From")?;
        // All of it: programs make names of comments, of groups and of quoted local parts as well.
        let shown = author::domains_in(&field.text()).into_iter();
        let mut shown = shown.filter_map(|text| Domain::parse(&text).ok());
        // Whoever has the domain above one of ours speaks for it: a company whose mail host is all that is here.
        let is_above = |shown: &Domain| authors.iter().any(|author| shown.is_within(author));
        Some((shown.find(|shown| self.is_known(shown) && !is_above(shown))?, first))
    }

    /// Tells whether an author of this message is of another house: of no domain of ours, below one or passed on, and in a
    /// message whose From field shows none to people either.
    pub(crate) fn elsewhere(&self, head: &[u8]) -> impl Fn(&Address) -> bool {
        let of_another = |domain: &Domain| !self.is_known(domain);
        let shown = header::all(head, "From").flat_map(|field| author::domains_in(&field.text()));
        let shows_none = shown.filter_map(|text| Domain::parse(&text).ok()).all(|domain| of_another(&domain));
        move |author| shows_none && author.domain().is_some_and(of_another)
    }

    /// The first name of ours in the From field of a message whose authors are too many to be judged.
    pub(crate) fn among_many(&self, head: &[u8]) -> Option<&Domain> {
        let is_crowd =
            |why: &NoAuthor| matches!(why, NoAuthor::Several | NoAuthor::Malformed(BadAuthors::TooMany));
        author_domains(head).err().filter(is_crowd).and_then(|_| self.stands_in(head))
    }

    /// The first name of ours that stands in a From field, whatever it is there.
    fn stands_in(&self, head: &[u8]) -> Option<&Domain> {
        header::all(head, "From").find_map(|field| {
            let text = field.text().to_lowercase();
            self.names().find(|name| text.contains(name.as_str()))
        })
    }

    fn names(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter().chain([self.hostname])
    }

    fn is_ours(&self, domain: &Domain) -> bool {
        self.names().any(|name| name == domain)
    }

    /// Whether it is ours, or below a domain of ours.
    pub(crate) fn is_known(&self, domain: &Domain) -> bool {
        domain == self.hostname || self.domains.iter().any(|own| domain.is_within(own))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn names_of_ours_are_believed_with_proof_alone() {
        let ours = Ours { hostname: &domain("mail.example.com"), domains: &[domain("example.org")] };
        let (enforce, tag, off) = (Check::Enforce, Check::Tag, Check::Off);
        let (fail, none) = (Some(DmarcResult::Fail), Some(DmarcResult::None));
        let (junk, told) = (Some(Verdict::Junk), Some(Verdict::Accept));
        let cases = [
            ("example.org", enforce, fail, junk),
            ("example.org", enforce, none, junk),
            ("example.org", enforce, Some(DmarcResult::TempError), junk),
            ("example.org", tag, fail, told),
            ("example.org", off, None, told),
            ("mail.example.com", enforce, none, junk),
            ("mail.example.com", off, None, told),
            ("news.example.org", enforce, fail, junk),
            ("news.example.org", enforce, Some(DmarcResult::TempError), junk),
            ("news.example.org", enforce, Some(DmarcResult::PermError), told),
            ("news.example.org", tag, Some(DmarcResult::TempError), told),
            ("a.news.example.org", enforce, none, told),
            ("news.example.org", tag, fail, told),
            // Above ours, beside it, and alike.
            ("example.com", enforce, fail, None),
            ("org", enforce, fail, None),
            ("notexample.org", enforce, fail, None),
            ("sub.mail.example.com", enforce, fail, None),
        ];
        for (author, check, result, expected) in cases {
            assert_eq!(
                ours.unproven(&domain(author), check, result),
                expected,
                "{author} {check:?} {result:?}"
            );
        }
    }

    #[test]
    fn no_reverse_path_of_ours_is_lent_to_whoever_writes_in_our_name() {
        let (hostname, domains) =
            (domain("mail.example.com"), [domain("example.org"), domain("cs.uni.example")]);
        let ours = Ours { hostname: &hostname, domains: &domains };
        let (suited, as_it_came, never) = (Leaving::Suited, Leaving::AsItCame, Leaving::Never);
        let (eve, ann) = ("eve@evil.example", "ann@example.org");
        let cases = [
            // (From, the author's organisation where there is a policy, reverse-path, expected)
            ("ann@example.org", None, eve, as_it_came),
            ("ann@example.org", Some("example.org"), eve, as_it_came),
            ("ann@example.org", None, ann, never),
            ("ann@example.org", None, "x@bounces.example.org", never),
            ("ann@example.org", None, "x@cs.uni.example", never),
            ("ann@example.org", None, "root@mail.example.com", never),
            ("ann@example.org", None, "", never),
            ("ann@example.org", None, "eve@[192.0.2.1]", as_it_came),
            ("ann@news.example.org", None, eve, as_it_came),
            ("root@mail.example.com", None, eve, as_it_came),
            ("root@mail.example.com", None, "", never),
            // Of the organisation that a domain of ours, or our host name, belongs to.
            ("dean@uni.example", Some("uni.example"), eve, as_it_came),
            ("dean@law.uni.example", Some("uni.example"), eve, as_it_came),
            ("dean@law.uni.example", Some("uni.example"), "dean@law.uni.example", never),
            ("boss@example.com", Some("example.com"), "", never),
            // Authors that readers may not agree about.
            ("joe@evil.example <ann@example.org>", None, eve, as_it_came),
            ("Friends: ann@Example.Org;", None, ann, never),
            ("joe@evil.example, ann@example.org", None, ann, never),
            ("joe@far.example, ann@example..org.x", None, ann, suited),
            ("joe@far.example, ann@example.org..x", None, ann, never),
            ("Mail Delivery System", None, "", suited),
            // Nobody of ours: as ever.
            ("joe@far.example", Some("far.example"), "joe@far.example", suited),
            ("joe@far.example", Some("far.example"), "", suited),
            ("joe@notexample.org", Some("notexample.org"), eve, suited),
            ("dean@uni.example", None, "dean@uni.example", suited),
            ("ann@[192.0.2.1]", None, ann, suited),
        ];
        for (from, organisation, path, expected) in cases {
            let head = format!("From: {from}\r\n\r\n");
            let organisation = organisation.map(domain);
            let path = ReversePath::parse(path).unwrap();
            let told = format!("{from} {organisation:?} {path}");
            let sent_on = |check, result| {
                let mut authors = Claimant::all(head.as_bytes());
                for author in &mut authors {
                    (author.organisation, author.result) = (organisation.clone(), Some(result));
                }
                ours.sent_on(head.as_bytes(), &authors, &path, check)
            };
            let found = |check| sent_on(check, DmarcResult::Fail);
            assert_eq!(found(Check::Enforce), expected, "{told}");
            let unsure = match expected {
                Leaving::Never if author_domains(head.as_bytes()).is_ok_and(|found| found.odd.is_none()) => {
                    Leaving::NotYet
                }
                _ => expected,
            };
            assert_eq!(sent_on(Check::Enforce, DmarcResult::TempError), unsure, "{told}");
            // Where DMARC is not to count nothing is refused by it.
            let mild = if expected == never { suited } else { expected };
            assert_eq!((found(Check::Tag), found(Check::Off)), (mild, mild), "{told}");
        }
    }

    #[test]
    fn a_reverse_path_of_ours_is_lent_to_those_alone_whom_spf_lets_use_it() {
        use SpfResult::{Fail, Neutral, None, Pass, PermError, SoftFail, TempError};
        let (hostname, domains) =
            (domain("mail.example.com"), [domain("example.org"), domain("cs.uni.example")]);
        let ours = Ours { hostname: &hostname, domains: &domains };
        let all = [Pass, None, PermError, Neutral, SoftFail, Fail, TempError];
        let (suited, never) = (Leaving::Suited, Leaving::Never);
        let of_ours = [suited, suited, suited, never, never, never, Leaving::NotYet];
        let cases = [
            ("ann@example.org", of_ours),
            ("ann@bounces.example.org", of_ours),
            ("root@mail.example.com", of_ours),
            ("SRS0=HHHH=TT=far.example=carol@example.org", of_ours),
            ("SRS1=HHHH=far.example==HHHH=TT=x.example=carol@example.org", of_ours),
            ("x@cs.uni.example", of_ours),
            // Nothing of ours: as ever.
            ("", [suited; 7]),
            ("carol@far.example", [suited; 7]),
            ("SRS0=HHHH=TT=example.org=ann@far.example", [suited; 7]),
            ("dean@uni.example", [suited; 7]),
            ("x@example.com", [suited; 7]),
            ("x@notexample.org", [suited; 7]),
            ("ann@[192.0.2.1]", [suited; 7]),
        ];
        for (path, expected) in cases {
            let path = ReversePath::parse(path).unwrap();
            assert_eq!(all.map(|result| ours.lent(&path, result)), expected, "{path}");
        }
    }

    #[test]
    fn an_address_of_ours_in_the_name_of_a_stranger_is_found() {
        let (hostname, domains) =
            (domain("mail.example.com"), [domain("example.org"), domain("mx.corp.example")]);
        let ours = Ours { hostname: &hostname, domains: &domains };
        let cases = [
            ("\"boss@example.org\" <x@bad.example>", Some("example.org")),
            ("\"Boss <BOSS@EXAMPLE.ORG>\" <x@bad.example>", Some("example.org")),
            ("x@bad.example (boss@example.org)", Some("example.org")),
            ("=?utf-8?q?boss=40example=2Eorg?= <x@bad.example>", Some("example.org")),
            ("a@bad.example, \"boss@example.org\" <x@bad.example>", Some("example.org")),
            ("\"c@other.example root@mail.example.com\" <x@bad.example>", Some("mail.example.com")),
            ("\"ann@mx.corp.example\" <x@bad.example>", Some("mx.corp.example")),
            ("Joe (boss@example.org) <x@bad.example>", Some("example.org")),
            ("x@bad.example (Joe) (boss@example.org)", Some("example.org")),
            ("\"boss@example.org\": x@bad.example;", Some("example.org")),
            ("\"boss@example.org\"@bad.example", Some("example.org")),
            ("\"boss @ example.org\" <x@bad.example>", Some("example.org")),
            ("\"boss@sub.example.org\" <x@bad.example>", Some("sub.example.org")),
            ("=?utf-7?q?boss+AEA-example.org?= <x@bad.example>", Some("example.org")),
            (
                "=?utf-16?q?=00=40=00e=00x=00a=00m=00p=00l=00e=00.=00o=00r=00g?= <x@bad.example>",
                Some("example.org"),
            ),
            ("\"boss\u{ff20}example\u{ff0e}org\" <x@bad.example>", Some("example.org")),
            ("<joe@bad.example+.example.org>", Some("example.org")),
            ("\"boss@bad.example:example.org\" <x@bad.example>", Some("example.org")),
            // Its honest mirrors.
            ("<joe@bad.example+.notexample.org>", None),
            ("\"boss@bad.example\", Example.org <x@bad.example>", None),
            ("\"ann@mx.corp.example\" <ann@corp.example>", None),
            ("\"boss@example.org\" <boss@example.org>", None),
            ("\"boss@example.org\" <news@news.example.org>", None),
            ("\"boss@mail.example.com\" <root@mail.example.com>", None),
            ("\"boss@bad.example\" <x@bad.example>", None),
            ("\"boss@notexample.org\" <x@bad.example>", None),
            ("\"boss@example.org.bad.example\" <x@bad.example>", None),
            ("Example.org newsletter <x@bad.example>", None),
            ("boss.example.org@bad.example", None),
            ("=?utf-7?q?boss+AEA-bad.example?= <x@bad.example>", None),
            ("boss+AEA-example.org <x@bad.example>", None),
            ("\"b\u{202e}gro.elpmaxe@ssob\" <x@bad.example>", Some("example.org")),
            ("=?utf-8?q?=E2=80=AEgro=2Eelpmaxe=40ssob?= <x@bad.example>", Some("example.org")),
            ("\"boss@\u{202e}gro.elpmaxe\u{202c} x\" <x@bad.example>", Some("example.org")),
            ("\"b\u{202e}elpmaxe.dab@ssob\" <x@bad.example>", None),
            ("\"gro.elpmaxe@ssob\" <x@bad.example>", None),
            ("=?x-unknown?q?boss=40example=2Eorg?= <x@bad.example>", Some("example.org")),
            ("=?cp037?q?=82=96=7C=85=A7=81=94=97=93=85=4B=96=99=87?= <x@bad.example>", Some("example.org")),
            (
                "=?utf-32?b?AAAAYgAAAEAAAABlAAAAeAAAAGEAAABtAAAAcAAAAGwAAABlAAAALgAAAG8AAAByAAAAZw==?= <x@bad.example>",
                Some("example.org"),
            ),
            ("=?x-unknown?q?boss=40bad=2Eexample?= <x@bad.example>", None),
        ];
        for (field, expected) in cases {
            let head = format!("From: {field}\r\n\r\n");
            let authors = author_domains(head.as_bytes()).unwrap().domains;
            let shown = ours.shown(&authors.iter().collect::<Vec<_>>(), head.as_bytes());
            assert_eq!(shown.map(|(shown, _)| shown.to_string()).as_deref(), expected, "{field}");
        }
    }
}
