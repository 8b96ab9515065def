//! SPF under attack: whatever a domain publishes, a check asks little of DNS, ends, and says why.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt::Write;
use std::future::{pending, ready};

use common::name;
use kings_dns::Zone;
use kings_mail::path::ReversePath;
use kings_msgauth::spf::{Limits, MAX_EXPLANATION, MAX_RECORD, Outcome, Question, Reason, SpfResult, check};
use proptest::prelude::*;

fn question(path: &ReversePath) -> Question<'_> {
    Question {
        client: "192.0.2.1".parse().unwrap(),
        helo: "h.example",
        mail_from: Some(path),
        receiver: "mail.receiver.example",
        time: 0,
        limits: Limits::default(),
    }
}

fn outcome(zone: &Zone, sender: &str) -> Outcome {
    let path = ReversePath::parse(sender).unwrap();
    common::now(check(zone, &question(&path), pending()))
}

#[test]
fn a_record_over_the_limit_is_a_permerror_however_little_of_it_counts() {
    let mut text = "v=spf1 ip4:192.0.2.1".to_owned();
    while text.len() <= 64 * 1024 {
        text.push_str(" ip4:198.51.100.1");
    }
    let zone = Zone::default()
        .with_txt(name("big.example"), text.as_bytes())
        .with_txt(name("fits.example"), &text.as_bytes()[..MAX_RECORD / 17 * 17 + 3]);
    assert_eq!(outcome(&zone, "u@big.example").result, SpfResult::PermError);
    assert_eq!(outcome(&zone, "u@fits.example").result, SpfResult::Pass);
}

#[test]
fn ten_thousand_txt_records_are_looked_through_once() {
    let mut zone = Zone::default();
    for number in 0..10_000 {
        zone = zone.with_txt(name("many.example"), format!("noise {number}"));
    }
    assert_eq!(outcome(&zone, "u@many.example").result, SpfResult::None);
    zone = zone.with_txt(name("many.example"), "v=spf1 +all");
    assert_eq!(outcome(&zone, "u@many.example").result, SpfResult::Pass);
}

#[test]
fn macros_without_end_are_refused_or_cut() {
    let mut zone = Zone::default();
    zone = zone.with_txt(name("open.example"), format!("v=spf1 a:{}", "%{".repeat(5_000)));
    let text = format!("v=spf1 exists:{}.%{{d}} -all exp=why.wide.example", "%{s}%{S}%{l}".repeat(1_300));
    zone = zone.with_txt(name("wide.example"), text);
    zone = zone.with_txt(name("why.wide.example"), "%{s}".repeat(4_000));
    assert_eq!(outcome(&zone, "u@open.example").result, SpfResult::PermError);
    let wide = outcome(&zone, &format!("{}@wide.example", "l".repeat(64)));
    assert_eq!(wide.result, SpfResult::Fail);
    assert_eq!(wide.explanation.unwrap().len(), MAX_EXPLANATION);
}

#[test]
fn a_tree_of_includes_ends_at_the_tenth() {
    let mut zone = Zone::default();
    for depth in 0..12 {
        let mut text = "v=spf1".to_owned();
        for branch in 0..50 {
            write!(text, " include:n{}.example", (depth + 1) * 50 + branch).unwrap();
        }
        for branch in 0..50 {
            zone = zone.with_txt(name(&format!("n{}.example", depth * 50 + branch)), text.as_str());
        }
    }
    let outcome = outcome(&zone, "u@n0.example");
    assert_eq!(outcome.reason, Reason::TooManyLookups { limit: 10 });
    assert_eq!((outcome.result, outcome.lookups), (SpfResult::PermError, 10));
}

#[test]
fn when_the_time_is_over_the_check_ends_with_a_temperror() {
    let path = ReversePath::parse("u@silent.example").unwrap();
    let zone = Zone::default().with_silence(name("silent.example"));
    let outcome = common::now(check(&zone, &question(&path), ready(())));
    assert_eq!((outcome.result, outcome.reason), (SpfResult::TempError, Reason::TimedOut));
    // What is there already counts, though the time is over.
    let zone = Zone::default().with_txt(name("silent.example"), "v=spf1 -all");
    assert_eq!(common::now(check(&zone, &question(&path), ready(()))).result, SpfResult::Fail);
}

/// RFC 7208 §4.3: nobody publishes a record for it, whatever a zone may hold under its octets.
#[test]
fn an_address_literal_is_no_domain_and_asks_nothing() {
    let zone = ["[192.0.2.1]", "[192.0.2.1].x"]
        .iter()
        .fold(Zone::default(), |zone, literal| zone.with_txt(name(literal), "v=spf1 +all"));
    for sender in ["u@[192.0.2.1]", ""] {
        let path = ReversePath::parse(sender).unwrap();
        let asked = Question { helo: "[192.0.2.1]", ..question(&path) };
        let outcome = common::now(check(&zone, &asked, pending()));
        let expected = (SpfResult::None, None, Reason::NotADomain);
        assert_eq!((outcome.result, outcome.domain, outcome.reason), expected, "{sender}");
    }
}

#[test]
fn limits_are_the_callers() {
    let zone = Zone::default().with_txt(name("d.example"), "v=spf1 a:x.example a:y.example a:z.example -all");
    let path = ReversePath::parse("u@d.example").unwrap();
    let with = |lookups, void_lookups| {
        let question = Question { limits: Limits { lookups, void_lookups }, ..question(&path) };
        common::now(check(&zone, &question, pending())).reason
    };
    assert_eq!(with(2, 9), Reason::TooManyLookups { limit: 2 });
    assert_eq!(with(9, 2), Reason::TooManyVoidLookups { limit: 2 });
    assert!(matches!(with(9, 3), Reason::Matched { .. }));
}

#[test]
fn a_reason_is_one_printable_line() {
    let zone = Zone::default()
        .with_txt(name("long.example"), format!("v=spf1 a:{} -all", "x".repeat(5_000)))
        .with_txt(name("odd.example"), "v=spf1 a:\r\nX-Spam: no\u{e4}");
    for sender in ["u@long.example", "u@odd.example", "u@absent.example", "u@[192.0.2.1]"] {
        let reason = outcome(&zone, sender).reason.to_string();
        assert!(reason.len() < 300 && reason.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{reason}");
    }
}

proptest! {
    /// Any text makes a result, within the limits, and a reason fit for a header field.
    #[test]
    fn any_record_makes_a_result(text in "( ?(-|\\?|~)?(a|mx|ptr|all|include|exists|ip4|ip6|exp=|redirect=|x=)[:/=]?[%{}a-z0-9./:-]{0,12}){0,8}", local in "[ -~]{1,20}") {
        let local = format!("\"{}\"@d.example", local.replace(['\\', '"'], "x"));
        let zone = Zone::default().with_txt(name("d.example"), format!("v=spf1 {text}"));
        let outcome = outcome(&zone, &local);
        prop_assert!(outcome.lookups <= 10);
        let reason = outcome.reason.to_string();
        prop_assert!(reason.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{}", reason);
        prop_assert_ne!(outcome.result, SpfResult::TempError);
    }
}
