//! Findings, one by one and together, and the verdicts that they lead to.

use std::net::Ipv4Addr;

use kings_mail::domain::Domain;

use super::*;

fn decided(verdict: Verdict, reasons: Vec<Reason>) -> Decision {
    Decision { verdict, decisive: reasons.len(), reasons }
}

fn author(domain: &str, why: &str) -> Author {
    Author { domain: Some(domain.to_owned()), is_name: false, why: why.to_owned() }
}

fn known(helo: Option<Standing>, sender_domain: Option<Standing>, quarantine: Option<&str>) -> Known {
    let sender = Facts { bad_helo: false, helo, sender_domain };
    Known { sender, quarantine: quarantine.map(str::to_owned), ..Known::default() }
}

#[test]
fn the_strongest_finding_decides_and_all_that_count_are_named() {
    let rules = |bad_helo, unknown_helo, unknown_sender_domain| Rules {
        bad_helo,
        unknown_helo,
        unknown_sender_domain,
    };
    let (accept, junk, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Reject);
    let unknown = Some(Standing::Unknown);
    let why = || Reason::Quarantine("spam".to_owned());
    let cases = [
        (known(None, None, None), rules(reject, reject, reject), accept, vec![]),
        (known(unknown, None, None), rules(accept, accept, reject), accept, vec![]),
        (known(unknown, None, None), rules(accept, junk, accept), junk, vec![Reason::UnknownHelo]),
        (known(None, unknown, None), rules(accept, accept, junk), junk, vec![Reason::UnknownSenderDomain]),
        (
            known(None, Some(Standing::NullMx), None),
            rules(junk, junk, junk),
            junk,
            vec![Reason::SenderTakesNoMail],
        ),
        (
            known(Some(Standing::Unsure), Some(Standing::Unsure), None),
            rules(junk, junk, junk),
            accept,
            vec![],
        ),
        (known(Some(Standing::Known), Some(Standing::Known), None), rules(junk, junk, junk), accept, vec![]),
        (known(None, None, Some("spam")), Rules::default(), accept, vec![why()]),
        (
            known(unknown, None, Some("spam")),
            rules(accept, reject, accept),
            reject,
            vec![Reason::UnknownHelo, why()],
        ),
    ];
    for (known, rules, verdict, reasons) in cases {
        let decision = message(&known, rules, Verdicts::default());
        assert_eq!((decision.verdict, decision.reasons), (verdict, reasons), "{known:?}");
    }
    let bad = Known { sender: Facts { bad_helo: true, ..Facts::default() }, ..Known::default() };
    assert_eq!(message(&bad, rules(junk, accept, accept), Verdicts::default()).reasons, [Reason::BadHelo]);
}

#[test]
fn domains_get_what_they_ask_for_and_ours_are_never_believed_unproven() {
    let why = || "because".to_owned();
    let spf = Known { spf_fail: Some(why()), ..Known::default() };
    let dmarc =
        |policy| Known { dmarc_fail: vec![(policy, author("bank.example", "because"))], ..Known::default() };
    let nobody = Known { no_author: Some(why()), ..Known::default() };
    let ours = |verdict| Known { unproven: Some(("example.org".to_owned(), verdict)), ..Known::default() };
    let doubt =
        Known { undecided: vec![(Policy::None, author("bank.example", "because"))], ..Known::default() };
    let usual = Verdicts::default();
    let patient = Verdicts { dmarc_temperror: OnDoubt::Always(Verdict::Defer), ..usual };
    let mild = Verdicts { dmarc_reject: Verdict::Junk, dmarc_quarantine: Verdict::Accept, ..usual };
    let strict = Verdicts { spf_fail: Verdict::Reject, ..usual };
    let shows_ours = Some(("example.org".to_owned(), "bad.example".to_owned()));
    let shown = Known { shows_ours, sealed: Some("lists.example".to_owned()), ..Known::default() };
    let wary = Verdicts { impersonation: Verdict::Junk, ..usual };
    let severe = Verdicts { impersonation: Verdict::Reject, ..usual };
    let cases = [
        (&spf, usual, Verdict::Accept),
        (&spf, strict, Verdict::Reject),
        (&nobody, mild, Verdict::Junk),
        (&dmarc(Policy::None), strict, Verdict::Accept),
        (&dmarc(Policy::Quarantine), usual, Verdict::Junk),
        (&dmarc(Policy::Quarantine), mild, Verdict::Accept),
        (&dmarc(Policy::Reject), usual, Verdict::Reject),
        (&dmarc(Policy::Reject), mild, Verdict::Junk),
        (&ours(Verdict::Junk), mild, Verdict::Junk),
        (&ours(Verdict::Accept), strict, Verdict::Accept),
        (&shown, strict, Verdict::Accept),
        (&shown, wary, Verdict::Junk),
        (&shown, severe, Verdict::Reject),
        (&doubt, strict, Verdict::Accept),
        (&doubt, patient, Verdict::Defer),
    ];
    for (known, verdicts, expected) in cases {
        assert_eq!(message(known, Rules::default(), verdicts).verdict, expected, "{known:?} {verdicts:?}");
    }
}

/// What the operator makes of a policy counts, not how strict its name sounds.
#[test]
fn of_several_authors_the_strictest_consequence_decides_and_each_is_named() {
    let (bank, shop) = (author("bank.example", "nothing passed"), author("shop.example", "nothing passed"));
    let slow = author("slow.example", "no answer");
    let known = Known {
        dmarc_fail: vec![(Policy::Reject, bank.clone()), (Policy::Quarantine, shop.clone())],
        undecided: vec![(Policy::None, slow.clone())],
        no_author: Some("it is odd".to_owned()),
        ..Known::default()
    };
    let (fails, doubt) = (Reason::DmarcFail, |author| Reason::Undecided(Policy::None, author));
    let odd = || Reason::NoAuthor("it is odd".to_owned());
    let set = |dmarc_reject, dmarc_quarantine, dmarc_temperror, no_author| Verdicts {
        dmarc_reject,
        dmarc_quarantine,
        dmarc_temperror: OnDoubt::Always(dmarc_temperror),
        no_author,
        ..Verdicts::default()
    };
    let (accept, junk, defer, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject);
    let (bank, shop, slow) = (|| fails(bank.clone()), || fails(shop.clone()), || doubt(slow.clone()));
    let cases = [
        (Verdicts::default(), reject, vec![bank()], vec![shop(), odd(), slow()]),
        (set(junk, reject, accept, junk), reject, vec![shop()], vec![bank(), odd(), slow()]),
        (set(accept, junk, accept, accept), junk, vec![shop()], vec![slow()]),
        (set(junk, accept, defer, junk), defer, vec![slow()], vec![bank(), odd()]),
        (set(junk, accept, accept, reject), reject, vec![odd()], vec![bank(), slow()]),
        (set(reject, reject, accept, accept), reject, vec![bank(), shop()], vec![slow()]),
        (set(accept, accept, accept, accept), accept, vec![slow()], vec![]),
    ];
    for (verdicts, verdict, led, others) in cases {
        let decision = message(&known, Rules::default(), verdicts);
        let mut found = decision.reasons.clone();
        let others_found = found.split_off(decision.decisive);
        assert_eq!(decision.verdict, verdict, "{verdicts:?}");
        let same = |one: &[Reason], other: &[Reason]| {
            one.len() == other.len() && one.iter().all(|reason| other.contains(reason))
        };
        assert!(same(&found, &led) && same(&others_found, &others), "{verdicts:?}: {decision}");
    }
    let swapped = message(&known, Rules::default(), set(junk, reject, accept, accept));
    assert_eq!(
        swapped.refusal().map(|reply| reply.text.into_owned()).as_deref(),
        Some("Not accepted: DMARC fails for shop.example: nothing passed")
    );
}

#[test]
fn an_author_who_is_no_more_than_a_name_loses_no_message() {
    let name = Author { is_name: true, ..author("bank.example", "nothing passed") };
    let (accept, junk, defer, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject);
    for (set, of_name, of_address) in
        [(accept, accept, accept), (junk, junk, junk), (defer, junk, defer), (reject, junk, reject)]
    {
        let verdicts =
            Verdicts { dmarc_reject: set, dmarc_temperror: OnDoubt::Always(set), ..Verdicts::default() };
        let address = author("bank.example", "nothing passed");
        for (author, expected) in [(&name, of_name), (&address, of_address)] {
            let failed = Known { dmarc_fail: vec![(Policy::Reject, author.clone())], ..Known::default() };
            assert_eq!(message(&failed, Rules::default(), verdicts).verdict, expected, "{author:?} {set:?}");
            let unsure = Known { undecided: vec![(Policy::Reject, author.clone())], ..Known::default() };
            assert_eq!(message(&unsure, Rules::default(), verdicts).verdict, expected, "{author:?} {set:?}");
        }
    }
    let known = Known { dmarc_fail: vec![(Policy::Reject, name)], ..Known::default() };
    assert_eq!(
        message(&known, Rules::default(), Verdicts::default()).to_string(),
        "junk; DMARC fails for bank.example, an address that the name in From shows: nothing passed"
    );
}

#[test]
fn doubt_and_a_claim_on_us_are_told_even_where_nothing_follows() {
    let unproven = Some(("example.org".to_owned(), Verdict::Accept));
    let known = Known {
        unproven,
        undecided: vec![(Policy::None, author("bank.example", "no answer"))],
        ..Known::default()
    };
    let decision = message(&known, Rules::default(), Verdicts::default());
    assert_eq!(
        decision.to_string(),
        "accept; it says to be from example.org, which is ours, and does not prove it; DMARC cannot tell for now about bank.example: no answer"
    );
    assert_eq!(decision.refusal(), None);
    let shows_ours = Some(("example.org".to_owned(), "bad.example".to_owned()));
    let shown = Known { shows_ours, ..Known::default() };
    let shown = message(&shown, Rules::default(), Verdicts::default());
    assert_eq!(
        shown.to_string(),
        "accept; the name in From shows an address at example.org, which is ours, and it is from bad.example"
    );
    let patient = Verdicts { dmarc_temperror: OnDoubt::Always(Verdict::Defer), ..Verdicts::default() };
    let undecided = Known { unproven: None, ..known };
    let reply = message(&undecided, Rules::default(), patient).refusal().map(|reply| reply.to_string());
    assert_eq!(
        reply.as_deref(),
        Some("451 4.7.1 Not accepted: DMARC cannot tell for now about bank.example: no answer")
    );
}

/// Doubt about a domain that wants to be protected opens no inbox, and loses nothing: all policies against all settings.
#[test]
fn what_dmarc_cannot_tell_is_filed_where_the_policy_is_known_and_asks_for_more_than_nothing() {
    use OnDoubt::{Always, ByPolicy};
    let (accept, junk, defer, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject);
    let usual = Verdicts::default();
    let with = |dmarc_temperror| Verdicts { dmarc_temperror, ..usual };
    let lenient = Verdicts { dmarc_reject: accept, dmarc_quarantine: accept, ..usual };
    let stern = Verdicts { dmarc_reject: defer, dmarc_quarantine: reject, ..usual };
    assert_eq!(usual.dmarc_temperror, ByPolicy);
    let cases = [
        (usual, [accept, junk, junk]),
        (lenient, [accept, accept, accept]),
        (stern, [accept, junk, junk]),
        (with(Always(accept)), [accept, accept, accept]),
        (with(Always(junk)), [junk, junk, junk]),
        (with(Always(defer)), [defer, defer, defer]),
    ];
    let said = [
        "",
        " (what fails is to be put aside, says its policy)",
        " (what fails is to be refused, says its policy)",
    ];
    for (verdicts, expected) in cases {
        let policies = [Policy::None, Policy::Quarantine, Policy::Reject];
        for ((policy, verdict), said) in policies.into_iter().zip(expected).zip(said) {
            let undecided = vec![(policy, author("bank.example", "no answer"))];
            let known = Known { undecided, ..Known::default() };
            let text = message(&known, Rules::default(), verdicts).to_string();
            let why = format!("DMARC cannot tell for now about bank.example: no answer{said}");
            assert_eq!(text, format!("{}; {why}", verdict.as_str()), "{verdicts:?}");
            // Who is excused is excused from doubt as well.
            let sealed = Known { sealed: Some("lists.example".to_owned()), ..known };
            assert_eq!(message(&sealed, Rules::default(), verdicts).verdict, accept, "{verdicts:?}");
        }
    }
}

/// What came often is told from the number on that the operator gives, and files or refuses where he says so.
#[test]
fn a_signature_that_comes_again_and_again_is_told_and_counts_where_the_switch_says_so() {
    let (accept, junk, defer, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject);
    let usual = Verdicts::default();
    let with = |dkim_repeats, dkim_repeats_from| Verdicts { dkim_repeats, dkim_repeats_from, ..usual };
    let cases = [
        (usual, 99, accept, false),
        (usual, 100, accept, true),
        (usual, u64::MAX, accept, true),
        (with(reject, 0), u64::MAX, accept, false),
        (with(junk, 1), 0, accept, false),
        (with(junk, 1), 1, junk, true),
        (with(defer, 10), 9, accept, false),
        (with(defer, 10), 10, defer, true),
        (with(reject, 10), 11, reject, true),
    ];
    for (verdicts, count, verdict, is_told) in cases {
        let known = Known { repeated: Some(("bank.example".to_owned(), count)), ..Known::default() };
        let told = format!(
            "; its signature of bank.example has come to {count} recipients within a day, a mailing or a replay"
        );
        let expected = verdict.as_str().to_owned() + if is_told { &told } else { "" };
        assert_eq!(message(&known, Rules::default(), verdicts).to_string(), expected, "{verdicts:?}");
        // Who may pass mail on may bring a replay too.
        let sealed =
            Known { sealed: Some("lists.example".to_owned()), spf_fail: Some("x".to_owned()), ..known };
        assert_eq!(message(&sealed, Rules::default(), verdicts).verdict, verdict, "{verdicts:?}");
    }
}

#[test]
fn several_authors_are_a_reason_where_the_switch_says_so() {
    let (accept, junk, defer, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject);
    let domains = ["a.example".to_owned(), "b.example".to_owned(), "c.example".to_owned()];
    assert_eq!(Verdicts::default().several_authors, accept);
    for set in [accept, junk, defer, reject] {
        let verdicts = Verdicts { several_authors: set, ..Verdicts::default() };
        for (count, expected) in [(0, accept), (1, accept), (2, set), (3, set)] {
            let known = Known { several: domains[..count].to_vec(), ..Known::default() };
            let decision = message(&known, Rules::default(), verdicts);
            assert_eq!(decision.verdict, expected, "{set:?} {count}");
            let told = format!("it has authors of several domains: {}", domains[..count].join(", "));
            assert_eq!(decision.to_string().contains(&told), expected != accept, "{decision}");
        }
    }
}

#[test]
fn a_listed_sealer_explains_failures_of_authentication_and_nothing_else() {
    let why = || "because".to_owned();
    let sealed = Known {
        spf_fail: Some(why()),
        dmarc_fail: vec![(Policy::Reject, author("bank.example", "because"))],
        unproven: Some(("example.org".to_owned(), Verdict::Junk)),
        sealed: Some("lists.example".to_owned()),
        ..Known::default()
    };
    let strict = Verdicts { spf_fail: Verdict::Reject, ..Verdicts::default() };
    let reason = || Reason::Sealed("lists.example".to_owned());
    let saved = message(&sealed, Rules::default(), strict);
    assert_eq!((saved.verdict, &saved.reasons[..]), (Verdict::Accept, &[reason()][..]));
    assert!(
        saved.field().replace("\r\n\t", " ").contains("lists.example, whose seals count"),
        "{}",
        saved.field()
    );

    let spam = Known { quarantine: Some(why()), ..sealed.clone() };
    let held_back = message(&spam, Rules::default(), strict);
    let reasons = [Reason::Quarantine(why()), reason()];
    assert_eq!((held_back.verdict, &held_back.reasons[..]), (Verdict::Accept, &reasons[..]));
    assert_eq!((held_back.hold(), saved.hold()), (Some(why().as_str()), None));
    let unsealed = Known { sealed: None, ..sealed };
    assert_eq!(message(&unsealed, Rules::default(), strict).verdict, Verdict::Reject);
    // Where nothing fails there is nothing to explain.
    let fine = Known { sealed: Some("lists.example".to_owned()), ..Known::default() };
    assert_eq!(message(&fine, Rules::default(), strict).reasons, []);
}

#[test]
fn lists_count_by_their_weights_and_not_against_those_who_are_welcome() {
    let on = |zone: &str, weight| Listing {
        domain: None,
        zone: zone.to_owned(),
        weight,
        codes: vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 10)],
    };
    let usual = Verdicts::default();
    let junk = Verdicts { dnsbl_listed: Verdict::Junk, ..usual };
    let high = Verdicts { dnsbl_threshold: 3, ..usual };
    let (a, b, good) = (on("a.test", 2), on("b.test", 1), on("good.test", -2));
    let cases = [
        (vec![], vec![], usual, Verdict::Accept),
        (vec![a.clone()], vec![], usual, Verdict::Reject),
        (vec![a.clone()], vec![], junk, Verdict::Junk),
        (vec![a.clone()], vec![b.clone()], usual, Verdict::Accept),
        (vec![a.clone()], vec![], high, Verdict::Accept),
        (vec![a.clone(), b.clone()], vec![], high, Verdict::Reject),
        (vec![a.clone(), good.clone()], vec![], usual, Verdict::Accept),
        (vec![good], vec![], Verdicts { dnsbl_threshold: -5, ..usual }, Verdict::Accept),
    ];
    for (block, welcome, verdicts, expected) in cases {
        let known = Known { listings: Listings { block, welcome }, ..Known::default() };
        assert_eq!(message(&known, Rules::default(), verdicts).verdict, expected, "{known:?} {verdicts:?}");
    }
    let of = |domain: &str| Listing { domain: Domain::parse(domain).ok(), ..on("d.test", 1) };
    let sentence = |block: Vec<Listing>| Listings { block, welcome: vec![] }.against(1).unwrap_or_default();
    let codes = "(127.0.0.2, 127.0.0.10)";
    assert_eq!(
        sentence(vec![a.clone(), of("evil.test")]),
        format!(
            "the client is on the list a.test {codes}, the domain evil.test is on the list d.test {codes}"
        )
    );
    assert_eq!(
        sentence(vec![of("evil.test")]),
        format!("the domain evil.test is on the list d.test {codes}")
    );
    let known = Known { listings: Listings { block: vec![a, b], welcome: vec![] }, ..Known::default() };
    let reply = message(&known, Rules::default(), usual).refusal().map(|reply| reply.to_string());
    assert_eq!(
        reply.as_deref(),
        Some(
            "550 5.7.1 Not accepted: the client is on the list a.test (127.0.0.2, 127.0.0.10) and the list b.test \
             (127.0.0.2, 127.0.0.10)"
        )
    );
}

#[test]
fn the_ehlo_name_counts_only_where_the_switch_says_so() {
    let known = Known { spf_helo_fail: Some("why".to_owned()), ..Known::default() };
    let usual = Verdicts::default();
    assert_eq!(message(&known, Rules::default(), usual).verdict, Verdict::Accept);
    let strict = Verdicts { spf_helo_fail: Verdict::Junk, ..usual };
    let decision = message(&known, Rules::default(), strict);
    assert_eq!(decision.field(), "X-Kings-Verdict: junk; SPF of the EHLO name fails: why\r\n");
}

#[test]
fn a_refusal_says_why_and_anything_else_is_no_refusal() {
    let decision = |verdict| decided(verdict, vec![Reason::UnknownHelo]);
    assert_eq!(decision(Verdict::Accept).refusal(), None);
    assert_eq!(decision(Verdict::Junk).refusal(), None);
    let deferred = decision(Verdict::Defer).refusal().map(|reply| reply.to_string());
    assert_eq!(
        deferred.as_deref(),
        Some("451 4.7.1 Not accepted: the EHLO name of the client does not exist")
    );
    assert_eq!(decision(Verdict::Reject).refusal().map(|reply| reply.code), Some(550));
}

/// Each code says no more than what happened (RFC 7372 §3.2, §3.4).
#[test]
fn the_code_of_a_refusal_tells_which_checks_failed() {
    let spf = || Reason::SpfFail("why".to_owned());
    let helo = || Reason::HeloSpfFail("why".to_owned());
    let soft = || Reason::SpfSoftFail("why".to_owned());
    let dmarc = || Reason::DmarcFail(author("bank.test", "nothing passed"));
    let ours = || Reason::NotOurs("example.org".to_owned());
    let cases = [
        (vec![spf()], 23),
        (vec![spf(), helo()], 23),
        (vec![soft()], 1),
        (vec![dmarc()], 26),
        (vec![spf(), dmarc(), ours()], 26),
        (vec![ours()], 1),
        (vec![spf(), ours()], 1),
        (vec![spf(), Reason::UnknownHelo], 1),
        (vec![dmarc(), Reason::Listed("listed".to_owned())], 1),
        (vec![], 1),
    ];
    for (reasons, detail) in cases {
        let status = |verdict| decided(verdict, reasons.clone()).refusal().and_then(|reply| reply.status);
        assert_eq!(status(Verdict::Reject), Some(Status(5, 7, detail)), "{reasons:?}");
        // These codes are for what is final.
        assert_eq!(status(Verdict::Defer), Some(Status(4, 7, 1)), "{reasons:?}");
    }
    // What did not decide has no say in it.
    let listed = Reason::Listed("listed".to_owned());
    let decision = Decision { verdict: Verdict::Reject, reasons: vec![spf(), listed], decisive: 1 };
    assert_eq!(decision.refusal().and_then(|reply| reply.status), Some(Status(5, 7, 23)));
}

#[test]
fn what_a_known_host_passes_on_fails_nothing_and_claims_are_told_all_the_same() {
    let why = || "because".to_owned();
    let host = IpAddr::from([192, 0, 2, 1]);
    let failing = Known {
        spf_fail: Some(why()),
        spf_helo_fail: Some(why()),
        dmarc_fail: vec![(Policy::Reject, author("bank.example", "because"))],
        unproven: Some(("example.org".to_owned(), Verdict::Junk)),
        ..Known::default()
    };
    let strict =
        Verdicts { spf_fail: Verdict::Reject, spf_helo_fail: Verdict::Reject, ..Verdicts::default() };
    assert_eq!(message(&failing, Rules::default(), strict).verdict, Verdict::Reject);
    let known = Known { forwarder: Some(host), ..failing };
    let passed = message(&known, Rules::default(), strict);
    assert_eq!(passed.verdict, Verdict::Accept);
    assert_eq!(passed.reasons, [Reason::NotOurs("example.org".to_owned()), Reason::PassedOn(host)]);
    // What it says itself counts, and what the content says.
    let junk = message(&Known { junk_before: Some(host), ..known.clone() }, Rules::default(), strict);
    assert_eq!((junk.verdict, junk.decisive), (Verdict::Junk, 1));
    assert_eq!(junk.reasons.first(), Some(&Reason::JunkBefore(host)));
    let nobody = Known { no_author: Some(why()), ..known };
    assert_eq!(message(&nobody, Rules::default(), strict).verdict, Verdict::Junk);
    let fine = Known { forwarder: Some(host), ..Known::default() };
    assert_eq!(message(&fine, Rules::default(), strict).reasons, []);
}

#[test]
fn softfail_and_a_missing_author_lead_to_what_the_switches_say() {
    let softly = Known { spf_softfail: Some("why".to_owned()), ..Known::default() };
    let nobody = Known { no_author: Some("why".to_owned()), ..Known::default() };
    let usual = Verdicts::default();
    for verdict in [Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject] {
        let set = Verdicts { spf_softfail: verdict, no_author: verdict, ..usual };
        assert_eq!(message(&softly, Rules::default(), set).verdict, verdict);
        assert_eq!(message(&nobody, Rules::default(), set).verdict, verdict);
    }
    assert_eq!(message(&softly, Rules::default(), usual).verdict, Verdict::Accept);
    assert_eq!(message(&nobody, Rules::default(), usual).verdict, Verdict::Junk);
}

#[test]
fn a_refusal_tells_what_led_to_it_and_nothing_else() {
    let listing = Listing { domain: None, zone: "a.test".to_owned(), weight: 1, codes: vec![] };
    let listings = Listings { block: vec![listing], welcome: vec![] };
    let greylisted = Some(Duration::from_mins(5));
    let unproven = Some(("example.org".to_owned(), Verdict::Junk));
    let listed = Known { listings, unproven: unproven.clone(), greylisted, ..Known::default() };
    let refused = message(&listed, Rules::default(), Verdicts::default());
    let text = |decision: &Decision| decision.refusal().map(|reply| reply.text.into_owned());
    assert_eq!(text(&refused).as_deref(), Some("Not accepted: the client is on the list a.test ()"));
    // The trace tells what else was found, and nobody was told to come again.
    let told = refused.to_string();
    assert!(told.contains("which is ours") && !told.contains("greylisting"), "{told}");
    let stranger = Known { unproven, greylisted, ..Known::default() };
    let deferred = message(&stranger, Rules::default(), Verdicts::default());
    let sentence = "the sender is new here (greylisting), try again in 300 seconds";
    assert_eq!(text(&deferred), Some(format!("Not accepted: {sentence}")));
    assert!(
        deferred.to_string().starts_with(&format!("defer; {sentence}; it says to be from")),
        "{deferred}"
    );
}

#[test]
fn the_field_is_folded_and_read_back() {
    let clean = decided(Verdict::Accept, vec![]);
    assert_eq!(clean.field(), "X-Kings-Verdict: accept\r\n");
    let reasons = vec![Reason::UnknownHelo, Reason::Quarantine("x".repeat(100))];
    let junk = decided(Verdict::Junk, reasons).field();
    assert!(junk.lines().all(|line| line.len() < 120), "{junk}");
    assert!(junk.starts_with(
        "X-Kings-Verdict: junk; the EHLO name of the client does not exist; a filter\r\n\twants"
    ));
    assert!(is_junk(junk.as_bytes()));
    assert!(!is_junk(clean.field().as_bytes()));
    assert!(!is_junk(b"Subject: junk\r\n\r\nX-Kings-Verdict: junk\r\n"));
    assert!(!is_unproven(junk.as_bytes()));
    for domain in ["example.org", "a-very-long-name-that-breaks-the-line-behind-it.example.org"] {
        let reasons = vec![Reason::UnknownHelo, Reason::NotOurs(domain.to_owned())];
        assert!(is_unproven(decided(Verdict::Junk, reasons).field().as_bytes()), "{domain}");
    }
    for domain in ["example.org", "a-very-long-name-that-breaks-the-line-behind-it.example.org"] {
        let known = Known { forged_path: Some(domain.to_owned()), ..Known::default() };
        let told = message(&known, Rules::default(), Verdicts::default());
        let field = told.field();
        assert_eq!(told.verdict, Verdict::Accept);
        assert!(has_forged_path(field.as_bytes()) && !is_unproven(field.as_bytes()), "{field}");
    }
    assert!(!has_forged_path(junk.as_bytes()) && !has_forged_path(clean.field().as_bytes()));
    assert!(!is_junk(b"X-Kings-Verdict: junkyard\r\n\r\n"));
}
