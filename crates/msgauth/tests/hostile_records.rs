//! Hostile records, a row each: the right result, few questions to DNS and none that is odd, little time, never a panic.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::future::pending;

use common::watched::{Watched, crowded, timed};
use common::{name, now, with_line};
use kings_dns::Zone;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::path::ReversePath;
use kings_msgauth::dmarc::{self, Evidence, Proof};
use kings_msgauth::dns_list::{self, List, Subject};
use kings_msgauth::{iprev, results, spf};

fn zone(lines: &[&str]) -> Zone {
    lines.iter().fold(Zone::default(), |zone, line| with_line(zone, line))
}

fn spf_outcome(dns: &Watched, helo: &str, sender: Option<&str>) -> spf::Outcome {
    let path = sender.map(|sender| ReversePath::parse(sender).unwrap_or_else(|_| panic!("{sender}")));
    let question = spf::Question {
        client: "192.0.2.1".parse().unwrap(),
        helo,
        mail_from: path.as_ref(),
        receiver: "mail.receiver.example",
        time: 0,
        limits: spf::Limits::default(),
    };
    now(spf::check(dns, &question, pending()))
}

struct SpfRow {
    what: &'static str,
    zone: Zone,
    result: &'static str,
    /// What the reason says.
    reason: &'static str,
    /// Most questions to DNS.
    questions: usize,
}

fn row(
    what: &'static str,
    zone: Zone,
    result: &'static str,
    reason: &'static str,
    questions: usize,
) -> SpfRow {
    SpfRow { what, zone, result, reason, questions }
}

fn published(record: impl Into<Vec<u8>>) -> Zone {
    Zone::default().with_txt(name("d.example"), record)
}

fn spf_rows_of_size() -> Vec<SpfRow> {
    let many = |zone: Zone, count: usize, text: &'static str| {
        crowded(zone, count, move |zone, _| zone.with_txt(name("d.example"), text))
    };
    vec![
        // DNS joins the strings of a record: 10,000 of them are one text.
        row(
            "10,000 strings",
            published("v=spf1 -all ".to_owned() + &"a ".repeat(10_000)),
            "permerror",
            "longer than",
            1,
        ),
        row(
            "64 KB of networks",
            published("v=spf1".to_owned() + &" ip4:192.0.2.1".repeat(4_682)),
            "permerror",
            "longer than",
            1,
        ),
        row(
            "64 KB of one word",
            published(format!("v=spf1 a:{}", "x".repeat(65_000))),
            "permerror",
            "longer than",
            1,
        ),
        row(
            "16 KB of terms that ask",
            published("v=spf1".to_owned() + &" a:x.example".repeat(1_300)),
            "permerror",
            "in vain",
            4,
        ),
        row("10,000 other records", many(Zone::default(), 10_000, "noise"), "none", "no record", 1),
        row("10,000 records", many(Zone::default(), 10_000, "v=spf1 +all"), "permerror", "more than one", 1),
        row("an empty record", published(""), "none", "no record", 1),
        row("NUL", published("v=spf1 +all\0"), "permerror", "malformed", 1),
        row("8-bit", published(b"v=spf1 a:\xff\xfe +all".as_slice()), "permerror", "malformed", 1),
        row("line ends", published("v=spf1 +all\r\nX-Spam: no"), "permerror", "malformed", 1),
        row("a tab", published("v=spf1\t+all"), "none", "no record", 1),
        row("another version", published("v=spf10 +all"), "none", "no record", 1),
        row("percent signs", published(format!("v=spf1 a:{}", "%".repeat(9_001))), "permerror", "macro", 1),
        row(
            "open braces",
            published(format!("v=spf1 exists:{}", "%{".repeat(8_000))),
            "permerror",
            "macro",
            1,
        ),
    ]
}

fn spf_rows_of_loops() -> Vec<SpfRow> {
    vec![
        row(
            "include of itself",
            published("v=spf1 include:d.example -all"),
            "permerror",
            "more than 10 terms",
            11,
        ),
        row(
            "include in a ring",
            zone(&["d.example TXT v=spf1 include:e.example", "e.example TXT v=spf1 include:d.example"]),
            "permerror",
            "more than 10 terms",
            11,
        ),
        row(
            "redirect to itself",
            published("v=spf1 redirect=d.example"),
            "permerror",
            "more than 10 terms",
            11,
        ),
        row(
            "redirect in a ring",
            zone(&["d.example TXT v=spf1 redirect=e.example", "e.example TXT v=spf1 redirect=d.example"]),
            "permerror",
            "more than 10 terms",
            11,
        ),
        row("redirect by macro", published("v=spf1 redirect=%{d}"), "permerror", "more than 10 terms", 11),
        row("a name that grows", published("v=spf1 include:%{d}.%{d}"), "permerror", "leads to no record", 2),
        row(
            "aliases in a ring",
            zone(&["d.example CNAME e.example", "e.example CNAME d.example"]),
            "temperror",
            "too many aliases",
            1,
        ),
        row(
            "include of such",
            zone(&["d.example TXT v=spf1 include:e.example -all", "e.example CNAME e.example"]),
            "temperror",
            "too many aliases",
            2,
        ),
    ]
}

fn spf_rows_of_crowds() -> Vec<SpfRow> {
    let eleven = |zone: Zone, count: usize| {
        crowded(zone, count, |zone, host| {
            let host = format!("mx{host}.example");
            zone.with_mx(name("d.example"), 1, Some(name(&host)))
                .with_address(name(&host), "198.51.100.1".parse().unwrap())
        })
    };
    let reverse = |zone: Zone, count: usize| {
        crowded(zone, count, |zone, host| {
            zone.with_reverse("192.0.2.1".parse().unwrap(), name(&format!("p{host}.example")))
        })
    };
    let ten_mx = published("v=spf1".to_owned() + &" mx".repeat(10) + " -all");
    vec![
        row("eleven MX hosts", eleven(published("v=spf1 mx -all"), 11), "permerror", "more than 10 MX", 2),
        row(
            "10,000 MX hosts",
            eleven(published("v=spf1 mx -all"), 10_000),
            "permerror",
            "more than 10 MX",
            2,
        ),
        // The most that RFC 7208 §4.6.4 lets a domain ask of us.
        row("ten times ten MX hosts", eleven(ten_mx, 10), "fail", "matched -all", 111),
        row(
            "10,000 reverse names",
            reverse(published("v=spf1 ptr -all"), 10_000),
            "fail",
            "matched -all",
            12,
        ),
        row(
            "ten times ptr",
            reverse(published("v=spf1".to_owned() + &" ptr".repeat(10) + " -all"), 10_000),
            "fail",
            "matched -all",
            12,
        ),
        row(
            "eleven times ptr",
            published("v=spf1".to_owned() + &" ptr".repeat(11) + " -all"),
            "permerror",
            "in vain",
            2,
        ),
        row(
            "three names in vain",
            published("v=spf1 a:x.example exists:y.example mx:z.example +all"),
            "permerror",
            "in vain",
            4,
        ),
        row(
            "SERVFAIL before a match",
            zone(&["d.example TXT v=spf1 a:b.example +all", "b.example FAILS"]),
            "temperror",
            "does not answer",
            2,
        ),
    ]
}

fn spf_rows_of_names() -> Vec<SpfRow> {
    let wide = format!("v=spf1 exists:{}.example -all", "%{s}".repeat(3_000));
    let deep = format!("v=spf1 exists:{}example -all", "%{l}.".repeat(120));
    let long_explanation =
        published("v=spf1 -all exp=why.example").with_txt(name("why.example"), "%{s}".repeat(16_000));
    vec![
        row("macros without end", published(wide), "fail", "matched -all", 2),
        row("labels without end", published(deep), "fail", "matched -all", 2),
        row(
            "a label of 64 octets",
            published(format!("v=spf1 a:{}.example -all", "x".repeat(64))),
            "fail",
            "matched -all",
            1,
        ),
        row(
            "a name of 300 octets",
            published(format!("v=spf1 a:{}example -all", "x.".repeat(150))),
            "fail",
            "matched -all",
            2,
        ),
        row("empty labels", published("v=spf1 a:a..b.example -all"), "fail", "matched -all", 1),
        row(
            "a slash and a backslash",
            published("v=spf1 exists:a\\032b.example -all"),
            "fail",
            "matched -all",
            1,
        ),
        row("a quote", published("v=spf1 exists:a\"b.example -all"), "fail", "matched -all", 1),
        row("a space by macro", published("v=spf1 exists:a%_b.example -all"), "fail", "matched -all", 1),
        row("a dot alone", published("v=spf1 exists:. -all"), "permerror", "not a domain", 1),
        row(
            "include of no name",
            published("v=spf1 include:a..b.example -all"),
            "permerror",
            "leads to no record",
            1,
        ),
        row(
            "redirect to no name",
            published("v=spf1 redirect=%{l}..example"),
            "permerror",
            "leads to no record",
            1,
        ),
        row("an explanation without end", long_explanation, "fail", "matched -all", 2),
        row(
            "an explanation in a ring",
            zone(&["d.example TXT v=spf1 -all exp=e.example", "e.example CNAME e.example"]),
            "fail",
            "matched -all",
            2,
        ),
        row(
            "an 8-bit explanation",
            zone(&["d.example TXT v=spf1 -all exp=e.example", "e.example TXT no\\xff\\x00\\x0d\\x0a"]),
            "fail",
            "matched -all",
            2,
        ),
    ]
}

#[test]
fn hostile_spf_records() {
    let rows = [spf_rows_of_size(), spf_rows_of_loops(), spf_rows_of_crowds(), spf_rows_of_names()];
    for SpfRow { what, zone, result, reason, questions } in rows.into_iter().flatten() {
        let dns = Watched::new(zone);
        let local = "l".repeat(64);
        let found = timed(what, || spf_outcome(&dns, "h.example", Some(&format!("{local}@d.example"))));
        let told = found.reason.to_string();
        assert_eq!(found.result.as_str(), result, "{what}: {told}");
        assert!(told.contains(reason), "{what}: {told}");
        let asked = dns.count();
        assert!(asked <= questions, "{what}: {asked} questions");
        let field = results::field(
            &Domain::parse("mail.example.org").unwrap(),
            &[results::MethodResult::new("spf", found.result.as_str()).because(&told)],
        );
        assert!(field.len() < 600 && field.is_ascii(), "{what}: {field}");
        assert!(found.explanation.is_none_or(|text| text.len() <= spf::MAX_EXPLANATION), "{what}");
    }
}

/// Local parts and EHLO names are a sender's to choose; macros carry them into questions.
#[test]
fn hostile_senders_ask_nothing_odd() {
    let record = "v=spf1 exists:%{l}.a.example exists:%{l1r+-.}.b.example exists:%{h}.c.example -all";
    let dns = Watched::new(zone(&[
        &format!("d.example TXT {record}"),
        "a.example EXISTS",
        "h.example TXT v=spf1 -all",
    ]));
    let longest = "x".repeat(64);
    let senders = [
        "\"a b\"@d.example",
        "\"a\\\\b\"@d.example",
        "\"a..b\"@d.example",
        "\".\"@d.example",
        "\"$(reboot)\"@d.example",
        "\"a;b|c`d\"@d.example",
        "a+b-c@d.example",
        "\"\\\"\"@d.example",
        "\"@\"@d.example",
        "\"*\"@d.example",
        "gr\u{fc}n@d.example",
        &format!("{longest}@d.example"),
        &format!("{}@d.example", "a.".repeat(31) + "a"),
        "u@[192.0.2.1]",
        "u@localhost",
    ];
    let giant = "x".repeat(100_000);
    let names = [
        "",
        ".",
        "..",
        "a..b",
        "a b.example",
        "a\\032b.example",
        "\u{e4}.example",
        "\u{fffd}.example",
        "a\0b.example",
        "[192.0.2.1]",
        "localhost",
        "192.0.2.1",
        "$(x).example",
        "x) by us (.example",
        giant.as_str(),
        "a\r\nb.example",
        &format!("{longest}x.example"),
    ];
    for sender in senders {
        for helo in names {
            let found = timed(sender, || spf_outcome(&dns, helo, Some(sender)));
            assert!(
                ["fail", "permerror", "none"].contains(&found.result.as_str()),
                "{sender} {helo}: {found:?}"
            );
            assert!(dns.count() <= 4, "{sender} {helo:.40}");
        }
    }
    for helo in names {
        let found = timed(helo, || spf_outcome(&dns, helo, None));
        assert_eq!((found.result.as_str(), dns.count() <= 1), ("none", true), "{helo:.40}");
    }
}

#[test]
fn hostile_dmarc_records() {
    let record = |text: String| Zone::default().with_txt(name("_dmarc.d.example"), text);
    let many = |count: usize, text: &'static str| {
        crowded(Zone::default(), count, move |zone, _| zone.with_txt(name("_dmarc.d.example"), text))
    };
    let addresses = "v=DMARC1; p=reject; rua=".to_owned() + &"mailto:a@x.example,".repeat(700);
    let cases = [
        ("64 KB", record(format!("v=DMARC1; p=reject; x={}", "y".repeat(65_000))), "none"),
        ("10,000 tags", record("v=DMARC1; p=reject; ".to_owned() + &"sp=none;".repeat(10_000)), "none"),
        ("700 addresses", record(addresses), "fail"),
        ("10,000 records", many(10_000, "v=DMARC1; p=reject"), "none"),
        ("10,000 other records", many(10_000, "v=spf1 -all"), "none"),
        ("NUL", record("v=DMARC1; p=re\0ject".to_owned()), "none"),
        ("NUL in another tag", record("v=DMARC1; p=reject; x=\0".to_owned()), "fail"),
        ("8-bit", zone(&["_dmarc.d.example TXT v=DMARC1; p=\\xff\\xfe"]), "none"),
        (
            "aliases in a ring",
            zone(&["_dmarc.d.example CNAME e.example", "e.example CNAME _dmarc.d.example"]),
            "temperror",
        ),
        ("SERVFAIL", zone(&["_dmarc.d.example FAILS"]), "temperror"),
        ("no policy at all", record("v=DMARC1".to_owned()), "fail"),
    ];
    for (what, zone, result) in cases {
        let dns = Watched::new(zone);
        let evidence = Evidence { dkim: &[], spf: None };
        let found = timed(what, || now(dmarc::evaluate(&dns, b"From: a@d.example\r\n\r\n", evidence)));
        assert_eq!(found.result.as_str(), result, "{what}: {found:?}");
        assert!(dns.count() <= 2, "{what}");
    }
}

/// Neither a deep author nor a thousand signatures of deep domains make the walks long.
#[test]
fn deep_domains_are_walked_a_bounded_way() {
    let deep = |number: usize| format!("{}n{number}.d.example", "a.".repeat(110));
    let dns = Watched::new(zone(&["_dmarc.d.example TXT v=DMARC1; p=reject"]));
    let head = format!("From: a@{}\r\n\r\n", deep(0));
    let signers: Vec<(DnsName, Proof)> =
        (1..1_000).map(|number| (name(&deep(number)), Proof::TempError)).collect();
    let evidence = Evidence { dkim: &signers, spf: None };
    let found = timed("deep", || now(dmarc::evaluate(&dns, head.as_bytes(), evidence)));
    assert_eq!(found.result.as_str(), "temperror", "{found:?}");
    let most = (1 + dmarc::MAX_IDENTIFIERS) * dmarc::MAX_QUERIES;
    let asked = dns.count();
    assert!(asked <= most, "{asked} questions, {most} at most");
}

#[test]
fn hostile_reverse_names_and_lists() {
    let client = "192.0.2.1".parse().unwrap();
    let reverse = |count: usize| {
        crowded(Zone::default(), count, |zone, host| {
            zone.with_reverse(client, name(&format!("p{host}.example")))
        })
    };
    let ring = zone(&["192.0.2.1 PTR a.example", "a.example CNAME b.example", "b.example CNAME a.example"]);
    for (what, zone, result) in [
        ("10,000 names", reverse(10_000), "fail"),
        ("a ring", ring, "temperror"),
        ("none", Zone::default(), "permerror"),
    ] {
        let dns = Watched::new(zone);
        let found = timed(what, || now(iprev::check(&dns, client)));
        assert_eq!(found.result.as_str(), result, "{what}");
        assert!(dns.count() <= 1 + iprev::MAX_NAMES, "{what}");
    }
    let listed = name("1.2.0.192.bl.example");
    let crowd = crowded(Zone::default(), 10_000, |zone, number| {
        let octet = u8::try_from(number % 200).unwrap();
        zone.with_address(listed.clone(), format!("10.0.0.{octet}").parse().unwrap())
    });
    let ring = Zone::default().with_alias(listed.clone(), listed.clone());
    let list = List::parse("bl.example").unwrap();
    for (what, zone) in [("10,000 answers of no list", crowd), ("a ring", ring)] {
        let dns = Watched::new(zone);
        let found = timed(what, || now(dns_list::look_up(&dns, &list, Subject::Address(client))));
        assert!(!matches!(found, dns_list::Verdict::Listed(_)), "{what}: {found:?}");
        assert_eq!(dns.count(), 1, "{what}");
    }
}
