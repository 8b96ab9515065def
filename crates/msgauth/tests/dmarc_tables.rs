//! DMARC against zones: which policy applies, what aligns, where reports may go.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{name, now, with_line};
use kings_dns::Zone;
use kings_mail::address::Address;
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::dmarc::{
    Evidence, Known, Outcome, Permission, Policy, Proof, Reason, Walk, discover, evaluate, permission,
};

fn zone(lines: &[&str]) -> Zone {
    lines.iter().fold(Zone::default(), |zone, line| with_line(zone, line))
}

/// `dkim` are the domains of valid signatures, `spf` the one of MAIL FROM, a `?` before it means a temperror.
fn judge(zone: &Zone, author: &str, dkim: &[&str], spf: &str) -> Outcome {
    let proof = |text: &str| match text.strip_prefix('?') {
        Some(text) => (name(text), Proof::TempError),
        None => (name(text), Proof::Pass),
    };
    let dkim: Vec<(DnsName, Proof)> = dkim.iter().map(|text| proof(text)).collect();
    let spf = (!spf.is_empty()).then(|| proof(spf));
    let evidence = Evidence { dkim: &dkim, spf: spf.as_ref().map(|(domain, proof)| (domain, *proof)) };
    now(evaluate(zone, format!("From: ann@{author}\r\n").as_bytes(), evidence))
}

/// What a message is judged by is known before SPF and DKIM are through: a forger whose own DNS drips has no time to win.
#[test]
fn once_the_policy_is_found_only_names_of_the_authors_organisation_are_asked_about() {
    let zone = zone(&["_dmarc.np.example TXT v=DMARC1; p=reject; sp=none; np=reject"]);
    // All that would be asked about later fails.
    let later =
        ["gone.np.example", "np.example", "_dmarc.np.example", "_dmarc.other.np.example", "drip.test"];
    let silent = later.iter().fold(Zone::default(), |zone, text| zone.with_failure(name(text)));
    let author = b"From: ceo@gone.np.example\r\n";
    for (spf, result, policy) in [
        ("drip.test", "fail", Policy::Reject),
        ("gone.np.example", "pass", Policy::Reject),
        ("np.example", "pass", Policy::Reject),
        // A name below it has to be looked at: it may be an organisation of its own.
        ("other.np.example", "temperror", Policy::Reject),
    ] {
        let spf = name(spf);
        let evidence = Evidence { dkim: &[], spf: Some((&spf, Proof::Pass)) };
        let outcome = now(now(discover(&zone, author)).judge(&silent, evidence));
        assert_eq!((outcome.result.as_str(), outcome.policy), (result, policy), "{spf}");
    }
}

#[test]
fn the_policy_is_that_of_the_domain_its_organisation_or_its_suffix() {
    let zone = zone(&[
        "_dmarc.example.com TXT v=DMARC1; p=reject; sp=quarantine; np=none",
        "_dmarc.own.example.com TXT v=DMARC1; p=none",
        "sub.example.com EXISTS",
        "_dmarc.bank TXT v=DMARC1; psd=y; p=none; sp=quarantine; np=reject",
        "real.bank A 192.0.2.1",
        "www.real.bank A 192.0.2.1",
        "_dmarc.test.example TXT v=DMARC1; p=reject; t=y",
        "_dmarc.test2.example TXT v=DMARC1; p=quarantine; t=y",
        "_dmarc.two.example TXT v=DMARC1; p=reject",
        "_dmarc.two.example TXT v=DMARC1; p=none",
        "_dmarc.a.two.example TXT v=spf1 -all",
        "_dmarc.bad.example TXT v=DMARC1; p=what",
        "_dmarc.badrua.example TXT v=DMARC1; p=what; rua=mailto:a@badrua.example",
        "_dmarc.nop.example TXT v=DMARC1; adkim=s",
        "_dmarc.broken.example FAILS",
        "_dmarc.np.example TXT v=DMARC1; p=none; np=reject",
        "gone.np.example FAILS",
        "_dmarc.np2.example TXT v=DMARC1; p=reject; sp=quarantine; np=reject",
        "gone.np2.example FAILS",
        "_dmarc.own.broken.example TXT v=DMARC1; p=reject",
    ]);
    let cases = [
        ("example.com", "fail", Policy::Reject, Some("example.com")),
        ("sub.example.com", "fail", Policy::Quarantine, Some("example.com")),
        ("gone.example.com", "fail", Policy::None, Some("example.com")),
        ("own.example.com", "fail", Policy::None, Some("own.example.com")),
        ("a.own.example.com", "fail", Policy::None, Some("example.com")),
        ("real.bank", "fail", Policy::Quarantine, Some("bank")),
        ("www.real.bank", "fail", Policy::Quarantine, Some("bank")),
        ("fake.bank", "fail", Policy::Reject, Some("bank")),
        ("bank", "fail", Policy::None, Some("bank")),
        ("test.example", "fail", Policy::Quarantine, Some("test.example")),
        ("test2.example", "fail", Policy::None, Some("test2.example")),
        ("two.example", "none", Policy::None, None),
        ("a.two.example", "none", Policy::None, None),
        ("bad.example", "none", Policy::None, None),
        ("badrua.example", "fail", Policy::None, Some("badrua.example")),
        ("nop.example", "fail", Policy::None, Some("nop.example")),
        ("absent.example", "none", Policy::None, None),
        ("broken.example", "temperror", Policy::None, None),
        ("a.broken.example", "temperror", Policy::None, None),
        ("no.np.example", "fail", Policy::Reject, Some("np.example")),
        // Whether it exists is not known: the milder of both is what is asked for in any case.
        ("gone.np.example", "fail", Policy::None, Some("np.example")),
        ("gone.np2.example", "fail", Policy::Quarantine, Some("np2.example")),
        // Its own record applies whatever is not known of the names above.
        ("own.broken.example", "fail", Policy::Reject, Some("own.broken.example")),
    ];
    for (author, result, policy, published) in cases {
        let outcome = judge(&zone, author, &[], "");
        assert_eq!(outcome.result.as_str(), result, "{author}: {outcome:?}");
        assert_eq!(outcome.policy, policy, "{author}: {outcome:?}");
        let at = outcome.published.as_ref().map(|(domain, _)| domain.to_string());
        assert_eq!(at.as_deref(), published, "{author}");
        assert_eq!(outcome.author.unwrap().as_str(), author);
    }
}

#[test]
fn what_passed_must_belong_to_the_author() {
    let zone = zone(&[
        "_dmarc.example.com TXT v=DMARC1; p=reject",
        "_dmarc.mail.example.com TXT v=DMARC1; p=none",
        "_dmarc.strict.example TXT v=DMARC1; p=reject; adkim=s; aspf=s",
        "_dmarc.half.example TXT v=DMARC1; p=reject; adkim=s",
        "_dmarc.uk TXT v=DMARC1; psd=y",
        "_dmarc.part.example.com TXT v=DMARC1; psd=n; p=reject",
    ]);
    // author, domains of signatures, domain of SPF, result, reason
    let cases: [(&str, &[&str], &str, &str, &str); 24] = [
        ("example.com", &["example.com"], "", "pass", "aligned: DKIM"),
        ("example.com", &[], "example.com", "pass", "aligned: SPF"),
        ("example.com", &["example.com"], "example.com", "pass", "aligned: DKIM and SPF"),
        ("example.com", &["news.example.com"], "", "pass", "aligned: DKIM"),
        ("example.com", &["mail.example.com"], "", "pass", "aligned: DKIM"),
        ("news.example.com", &["example.com"], "", "pass", "aligned: DKIM"),
        ("a.mail.example.com", &["b.example.com"], "", "pass", "aligned: DKIM"),
        ("example.com", &["example.net"], "example.org", "fail", "what passed belongs to other domains"),
        ("example.com", &["xexample.com"], "", "fail", "what passed belongs to other domains"),
        ("example.com", &["com"], "", "fail", "what passed belongs to other domains"),
        ("example.com", &["a.net", "b.net", "x.example.com"], "", "pass", "aligned: DKIM"),
        ("example.com", &[], "", "fail", "neither SPF nor DKIM passed"),
        ("strict.example", &["strict.example"], "", "pass", "aligned: DKIM"),
        (
            "strict.example",
            &["a.strict.example"],
            "a.strict.example",
            "fail",
            "what passed belongs to other domains",
        ),
        ("half.example", &["a.half.example"], "a.half.example", "pass", "aligned: SPF"),
        ("one.co.uk", &["two.co.uk"], "", "pass", "aligned: DKIM"),
        ("one.uk", &["two.uk"], "", "fail", "what passed belongs to other domains"),
        ("a.one.uk", &["one.uk"], "", "pass", "aligned: DKIM"),
        ("part.example.com", &["example.com"], "", "fail", "what passed belongs to other domains"),
        ("x.part.example.com", &["part.example.com"], "", "pass", "aligned: DKIM"),
        ("example.com", &["part.example.com"], "", "fail", "what passed belongs to other domains"),
        (
            "example.com",
            &["?example.com"],
            "",
            "temperror",
            "a check for the author's domain could not be finished",
        ),
        ("example.com", &["?example.net"], "", "fail", "neither SPF nor DKIM passed"),
        ("example.com", &["?example.com"], "example.com", "pass", "aligned: SPF"),
    ];
    for (author, dkim, spf, result, reason) in cases {
        let outcome = judge(&zone, author, dkim, spf);
        assert_eq!(
            (outcome.result.as_str(), outcome.reason.to_string().as_str()),
            (result, reason),
            "{author} {dkim:?} {spf}"
        );
    }
}

/// What is proven is told where nobody asks for proof, too: by relaxed alignment, and of names that share nothing but a
/// record by none (RFC 9989 §4.4).
#[test]
fn without_a_policy_nothing_fails_and_what_is_proven_is_known() {
    type Case = (&'static str, &'static [&'static str], &'static str, (bool, bool));
    let zone = zone(&["_dmarc.mail.example.org TXT v=DMARC1; psd=n", "_dmarc.broken.example.net FAILS"]);
    let cases: [Case; 7] = [
        ("example.com", &[], "example.com", (false, true)),
        ("example.com", &["example.com"], "", (true, false)),
        ("example.com", &["?example.com"], "example.net", (false, false)),
        ("example.com", &["example.net"], "mail.example.com", (false, false)),
        ("sub.example.com", &["example.com"], "example.com", (false, false)),
        ("example.org", &["mail.example.org"], "mail.example.org", (false, false)),
        ("example.net", &["broken.example.net"], "example.net", (false, true)),
    ];
    for (author, dkim, spf, expected) in cases {
        let outcome = judge(&zone, author, dkim, spf);
        assert_eq!((outcome.result.as_str(), outcome.published.is_none()), ("none", true), "{author}");
        assert_eq!((outcome.dkim_aligned, outcome.spf_aligned), expected, "{author} {dkim:?} {spf}");
        assert_eq!(outcome.organisation.as_ref().map(Domain::as_str), Some(author));
    }
}

/// RFC 9989 §4.10.2 and the examples there.
#[test]
fn the_organisational_domain_is_where_the_walk_says() {
    let cases: [(&[&str], &str, &str); 8] = [
        (
            &["_dmarc.mail.example.com TXT v=DMARC1", "_dmarc.example.com TXT v=DMARC1"],
            "a.mail.example.com",
            "example.com",
        ),
        (
            &["_dmarc.mail.example.com TXT v=DMARC1; psd=n", "_dmarc.example.com TXT v=DMARC1"],
            "a.mail.example.com",
            "mail.example.com",
        ),
        (&["_dmarc.com TXT v=DMARC1; psd=y"], "a.mail.example.com", "example.com"),
        (&["_dmarc.example.com TXT v=DMARC1; psd=y"], "mail.example.com", "mail.example.com"),
        (&["_dmarc.example.com TXT v=DMARC1; psd=y"], "example.com", "example.com"),
        (&[], "a.mail.example.com", "a.mail.example.com"),
        (&["_dmarc.com TXT v=DMARC1"], "a.example.com", "com"),
        (
            &["_dmarc.g.h.i.j.k.example.com TXT v=DMARC1; psd=y"],
            "a.b.c.d.e.f.g.h.i.j.k.example.com",
            "f.g.h.i.j.k.example.com",
        ),
    ];
    for (lines, start, expected) in cases {
        let start = Domain::parse(start).unwrap();
        let walk = now(Walk::from(&start, &zone(lines), &mut Known::default()));
        assert_eq!(walk.organisational_domain().unwrap().as_str(), expected, "{lines:?} {start}");
    }
}

#[test]
fn a_message_without_an_author_has_a_result_of_its_own() {
    let zone = zone(&["_dmarc.example.com TXT v=DMARC1; p=reject"]);
    let evidence = Evidence { dkim: &[], spf: None };
    for (head, result) in [
        ("Subject: x\r\n", "none"),
        ("From: a@example.com\r\nFrom: b@example.com\r\n", "permerror"),
        ("From: a@example.net, b@x..example\r\n", "permerror"),
        ("From: undisclosed:;\r\n", "permerror"),
        ("From: Ann\r\n", "permerror"),
        ("From: a@example.com, b@example.com\r\n", "fail"),
    ] {
        let outcome = now(evaluate(&zone, head.as_bytes(), evidence));
        assert_eq!(outcome.result.as_str(), result, "{head}: {outcome:?}");
        assert_eq!(matches!(outcome.reason, Reason::NoAuthor(_)), result != "fail", "{head}");
    }
}

/// RFC 9989 §11.5.
#[test]
fn of_several_authors_the_strictest_policy_that_fails_decides() {
    let zone = zone(&[
        "_dmarc.reject.example TXT v=DMARC1; p=reject",
        "_dmarc.quarantine.example TXT v=DMARC1; p=quarantine",
        "_dmarc.mild.example TXT v=DMARC1; p=none",
        "_dmarc.broken.example FAILS",
    ]);
    let proof = [(name("mild.example"), Proof::Pass), (name("reject.example"), Proof::Pass)];
    // From, whether there are valid signatures of mild.example and reject.example, whose result counts
    let cases = [
        ("a@mild.example, a@reject.example", false, "reject.example fail", 1),
        ("a@reject.example <a@mild.example>", false, "reject.example fail", 1),
        ("Team: a@mild.example, a@quarantine.example, a@reject.example;", false, "reject.example fail", 2),
        ("a@mild.example, a@quarantine.example", true, "quarantine.example fail", 1),
        ("a@mild.example, a@reject.example", true, "mild.example pass", 1),
        ("a@reject.example, a@mild.example", true, "reject.example pass", 1),
        ("a@reject.example, a@nobody.example", true, "nobody.example none", 1),
        ("a@reject.example, a@broken.example", true, "broken.example temperror", 1),
        ("a@broken.example, a@reject.example", false, "reject.example fail", 1),
        ("a@reject.example, a@x..example", true, " permerror", 1),
        ("a@x..example, a@reject.example", false, "reject.example fail", 1),
        ("a@reject.example, b@reject.example", true, "reject.example pass", 0),
    ];
    for (from, is_signed, expected, others) in cases {
        let evidence = Evidence { dkim: if is_signed { &proof } else { &[] }, spf: None };
        let outcome = now(evaluate(&zone, format!("From: {from}\r\n").as_bytes(), evidence));
        let author = outcome.author.as_ref().map(Domain::to_string).unwrap_or_default();
        assert_eq!(format!("{author} {}", outcome.result), expected, "{from}: {outcome:?}");
        assert_eq!((outcome.others.len(), outcome.each().count()), (others, others + 1), "{from}");
    }
}

/// RFC 9990 §3.
#[test]
fn reports_go_to_other_domains_only_where_these_agree() {
    let zone = zone(&[
        "_dmarc.example.com TXT v=DMARC1; rua=mailto:x@elsewhere.example",
        "example.com._report._dmarc.yes.example TXT v=DMARC1",
        "example.com._report._dmarc.other.example TXT v=DMARC1; rua=mailto:new@other.example",
        "example.com._report._dmarc.evil.example TXT v=DMARC1; rua=mailto:victim@third.example",
        "example.com._report._dmarc.noise.example TXT what",
        "example.com._report._dmarc.broken.example FAILS",
    ]);
    let cases = [
        ("a@example.com", Ok(Some("a@example.com"))),
        ("a@reports.example.com", Ok(Some("a@reports.example.com"))),
        ("a@yes.example", Ok(Some("a@yes.example"))),
        ("a@other.example", Ok(Some("new@other.example"))),
        ("a@evil.example", Ok(None)),
        ("a@noise.example", Ok(None)),
        ("a@absent.example", Ok(None)),
        ("a@[192.0.2.1]", Ok(None)),
        ("a@broken.example", Err(())),
    ];
    for (address, expected) in cases {
        let published_at = Domain::parse("example.com").unwrap();
        let got = now(permission(&zone, &published_at, &Address::parse(address).unwrap()));
        let expected = expected.map(|to| match to {
            Some(to) => Permission::Granted(vec![Address::parse(to).unwrap()]),
            None => Permission::Refused,
        });
        assert_eq!(got.map_err(|_| ()), expected, "{address}");
    }
}
