//! Hostile header fields and the keys they point to, a row each: the right result, few questions to DNS and none that is
//! odd, little time, never a panic.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt::Write as _;

use common::watched::{Watched, crowded, timed};
use common::{name, now, octets, with_line};
use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_msgauth::dmarc::{self, Evidence};
use kings_msgauth::{arc, dkim};

fn zone(lines: &[&str]) -> Zone {
    lines.iter().fold(Zone::default(), |zone, line| with_line(zone, line))
}

fn signature(tags: &str) -> String {
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let b = "A".repeat(86) + "==";
    format!("DKIM-Signature: v=1; a=ed25519-sha256; c=simple/relaxed; h=from; bh={hash}; b={b}; {tags}\r\n")
}

fn message(fields: &str) -> Vec<u8> {
    format!("{fields}From: a@d.example\r\n\r\n").into_bytes()
}

fn dkim_report(what: &str, dns: &Watched, message: &[u8]) -> dkim::Report {
    timed(what, || now(dkim::check(message, dns, DateTime::from_unix(1_790_000_000))))
}

#[test]
fn hostile_key_records() {
    let key = |text: &str| Zone::default().with_txt(name("s._domainkey.d.example"), octets(text));
    let p = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let many =
        crowded(Zone::default(), 10_000, |zone, _| zone.with_txt(name("s._domainkey.d.example"), "noise"));
    let cases = [
        (
            "64 KB",
            key(&format!("v=DKIM1; k=ed25519; n={}; p={p}", "n".repeat(65_000))),
            "permerror",
            "longer than",
        ),
        (
            "10,000 tags",
            key(&format!("v=DKIM1; k=ed25519; p={p}; {}", "n=;".repeat(2_000))),
            "permerror",
            "tag",
        ),
        ("10,000 records", many, "permerror", "no"),
        ("NUL", key(&format!("v=DKIM1; k=ed25519; p={}\\x00{}", &p[..20], &p[20..])), "permerror", ""),
        ("8-bit", key("v=DKIM1; k=ed25519; p=\\xff\\xfe"), "permerror", ""),
        ("no base64", key("v=DKIM1; k=ed25519; p=!!!!"), "permerror", "no public key"),
        ("a giant key", key(&format!("v=DKIM1; k=rsa; p={}", "A".repeat(8_000))), "permerror", ""),
        ("the wrong length", key("v=DKIM1; k=ed25519; p=AAAA"), "permerror", "no public key"),
        ("revoked", key("v=DKIM1; k=ed25519; p="), "permerror", "revoked"),
        ("twice p=", key(&format!("v=DKIM1; k=ed25519; p={p}; p={p}")), "permerror", ""),
        ("another version", key(&format!("v=DKIM2; k=ed25519; p={p}")), "permerror", "no DKIM1"),
        (
            "another service",
            key(&format!("v=DKIM1; k=ed25519; s=tlsrpt; p={p}")),
            "permerror",
            "not for mail",
        ),
        (
            "aliases in a ring",
            zone(&["s._domainkey.d.example CNAME s._domainkey.d.example"]),
            "temperror",
            "too many aliases",
        ),
        ("SERVFAIL", zone(&["s._domainkey.d.example FAILS"]), "temperror", "SERVFAIL"),
        ("nothing", Zone::default(), "permerror", "no key"),
    ];
    for (what, zone, word, reason) in cases {
        let dns = Watched::new(zone);
        let report = dkim_report(what, &dns, &message(&signature("d=d.example; s=s")));
        let verdict = &report.signatures[0].verdict;
        // The body hash is that of an empty body, so that only the key is at fault.
        assert_eq!(verdict.word().as_str(), word, "{what}: {verdict}");
        assert!(verdict.to_string().contains(reason), "{what}: {verdict}");
        assert_eq!(dns.count(), 1, "{what}");
    }
}

#[test]
fn hostile_signatures_ask_nothing_odd() {
    let label = "x".repeat(64);
    let long = "x.".repeat(130);
    let folded: String = "d=d.example; s=s".chars().fold(String::new(), |mut text, letter| {
        let _ = write!(text, "\r\n {letter}");
        text
    });
    let tags = "t0=a;".repeat(1_000);
    let rows: Vec<(&str, String, &str, usize)> = vec![
        ("a space in s=", signature("d=d.example; s=a b"), "permerror", 0),
        ("a path in s=", signature("d=d.example; s=../../etc"), "permerror", 0),
        ("empty labels in s=", signature("d=d.example; s=a..b"), "permerror", 0),
        ("a quote in s=", signature("d=d.example; s=\"a\""), "permerror", 0),
        ("an escape in s=", signature("d=d.example; s=a\\032b"), "permerror", 0),
        ("a star in s=", signature("d=d.example; s=*"), "permerror", 0),
        ("8-bit in s=", signature("d=d.example; s=\u{e4}"), "permerror", 0),
        ("NUL in s=", signature("d=d.example; s=a\0b"), "permerror", 0),
        ("a label of 64 in s=", signature(&format!("d=d.example; s={label}")), "permerror", 0),
        ("260 octets in s=", signature(&format!("d=d.example; s={long}x")), "permerror", 0),
        ("a name just too long", signature(&format!("d=d.example; s={}x", "x.".repeat(116))), "permerror", 0),
        ("empty labels in d=", signature("d=d..example; s=s"), "permerror", 0),
        ("a space in d=", signature("d=d example; s=s"), "permerror", 0),
        ("an address in d=", signature("d=[192.0.2.1]; s=s"), "permerror", 0),
        ("NUL in d=", signature("d=d\0.example; s=s"), "permerror", 0),
        ("i= of somebody else", signature("d=d.example; s=s; i=a@e.example"), "permerror", 0),
        ("no tag at all", "DKIM-Signature:\r\n".to_owned(), "permerror", 0),
        ("semicolons", format!("DKIM-Signature: {}\r\n", ";".repeat(50_000)), "permerror", 0),
        ("giant tag name", format!("DKIM-Signature: {}=1\r\n", "v".repeat(60_000)), "permerror", 0),
        ("giant value", signature(&format!("d=d.example; s=s; x={}", "9".repeat(60_000))), "permerror", 0),
        ("1,000 tags", signature(&format!("d=d.example; s=s; {tags}")), "permerror", 0),
        ("d= twice", signature("d=d.example; d=e.example; s=s"), "permerror", 0),
        (
            "l= beyond all numbers",
            signature("d=d.example; s=s; l=99999999999999999999999999"),
            "permerror",
            1,
        ),
        ("another algorithm", signature("d=d.example; s=s").replace("ed25519-", "rot13-"), "neutral", 0),
        ("SHA-1", signature("d=d.example; s=s").replace("ed25519-sha256", "rsa-sha1"), "fail", 0),
        ("folded at each letter", signature(&folded), "permerror", 0),
        (
            "100,000 names",
            signature("d=d.example; s=s").replace("h=from", &format!("h=from{}", ":x".repeat(60_000))),
            "permerror",
            1,
        ),
        ("1,000 signatures", signature("d=d.example; s=s").repeat(1_000), "permerror", 1),
        (
            "1,000 selectors",
            (0..1_000).map(|number| signature(&format!("d=d.example; s=s{number}"))).collect(),
            "permerror",
            dkim::MAX_SIGNATURES,
        ),
        (
            "300 KB",
            format!("X: {}\r\n{}", "x".repeat(300_000), signature("d=d.example; s=s")),
            "permerror",
            0,
        ),
    ];
    for (what, fields, word, questions) in rows {
        let dns = Watched::new(Zone::default());
        let report = dkim_report(what, &dns, &message(&fields));
        assert_eq!(report.word().as_str(), word, "{what}: {:?}", report.signatures.first());
        assert_eq!(dns.count(), questions, "{what}");
        assert!(report.signatures.len() <= dkim::MAX_SIGNATURES, "{what}");
    }
}

#[test]
fn hostile_chains_are_broken_or_none() {
    let set = |instance: &str, more: &str| {
        format!(
            "ARC-Seal: i={instance}; a=rsa-sha256; cv=none; d=d.example; s=s; b=AAAA{more}\r\n\
             ARC-Message-Signature: i={instance}; a=rsa-sha256; d=d.example; s=s; h=from; bh=AAAA; b=AAAA\r\n\
             ARC-Authentication-Results: i={instance}; mx.example; none\r\n"
        )
    };
    let all = |count: usize| (1..=count).map(|number| set(&number.to_string(), "")).collect::<String>();
    let giant = format!("ARC-Authentication-Results: i=1; {}\r\n", "a=b ".repeat(60_000));
    let rows: Vec<(&str, String)> = vec![
        ("1,000 seals alone", "ARC-Seal: i=1; a=rsa-sha256; b=\r\n".repeat(1_000)),
        ("1,000 results alone", "ARC-Authentication-Results: i=1; x\r\n".repeat(1_000)),
        ("51 sets", all(51)),
        ("300 sets", all(300)),
        ("the same set twice", set("1", "").repeat(2)),
        ("no set 1", set("2", "")),
        ("set 0", set("0", "")),
        ("set -1", set("-1", "")),
        ("set 4294967297", set("4294967297", "")),
        ("set 1 and a blank", set("1 1", "")),
        ("NUL", set("1\0", "")),
        ("8-bit", set("\u{e4}", "")),
        ("a giant result", format!("{}{giant}", set("1", ""))),
        ("a giant seal", set("1", &"A".repeat(60_000))),
        ("an odd selector", set("1", "").replace("s=s", "s=a b")),
        ("cv=fail", set("1", "").replace("cv=none", "cv=fail")),
        (
            "nothing but the name",
            "ARC-Seal:\r\nARC-Message-Signature:\r\nARC-Authentication-Results:\r\n".to_owned(),
        ),
        ("300 KB", format!("X: {}\r\n{}", "x".repeat(300_000), set("1", ""))),
    ];
    for (what, fields) in rows {
        let dns = Watched::new(Zone::default());
        let message = message(&fields);
        let checked = arc::check(&message, &dns, DateTime::from_unix(1_790_000_000));
        let report = timed(what, || now(checked));
        assert_eq!(report.word().as_str(), "fail", "{what}: {:?}", report.chain);
        assert!(dns.count() <= 1, "{what}");
        assert!(report.sets.len() <= usize::from(arc::MAX_SETS), "{what}");
    }
}

#[test]
fn hostile_authors_are_judged_or_nobody() {
    let crowd = format!("From: {}a@d.example\r\n", "a@d.example, ".repeat(10_000));
    let comments = |count| format!("From: {}a@d.example\r\n", "(".repeat(count));
    let quotes = |count| format!("From: \"{}\" <a@d.example>\r\n", "\\\"".repeat(count));
    let rows: [(&str, &str, &[&str]); 20] = [
        ("two fields", "From: a@d.example\r\nFrom: b@e.example\r\n", &["permerror"]),
        ("1,000 fields", &"From: a@d.example\r\n".repeat(1_000), &["permerror"]),
        ("in other cases", "FROM: a@d.example\r\nfrom : b@e.example\r\n", &["permerror"]),
        ("folded in the address", "From: a@d\r\n .example\r\n", &["fail"]),
        ("folded before the colon", "From\r\n : a@d.example\r\n", &["none", "permerror"]),
        ("two domains", "From: a@d.example, b@e.example\r\n", &["fail"]),
        ("a comment as an address", "From: a@d.example (x) <b@e.example>\r\n", &["fail"]),
        ("a group", "From: x: a@d.example;\r\n", &["fail"]),
        ("nothing", "From:\r\n", &["permerror"]),
        ("NUL", "From: a@d.exa\0mple\r\n", &["fail"]),
        ("a route", "From: <@e.example:a@d.example>\r\n", &["fail"]),
        ("a name without a domain", "From: root\r\n", &["permerror"]),
        ("an encoded address", "From: =?utf-8?q?a=40d.example?=\r\n", &["fail"]),
        ("a literal", "From: a@[192.0.2.1]\r\n", &["permerror"]),
        ("empty labels", "From: a@d..example\r\n", &["permerror"]),
        ("10,000 authors", &crowd, &["permerror"]),
        ("comments without end", &comments(8_000), &["fail"]),
        ("quotes without end", &quotes(4_000), &["fail"]),
        ("comments over the limit", &comments(60_000), &["permerror"]),
        ("quotes over the limit", &quotes(30_000), &["permerror"]),
    ];
    for (what, fields, expected) in rows {
        let dns = Watched::new(zone(&["_dmarc.d.example TXT v=DMARC1; p=reject"]));
        let head = format!("{fields}\r\n");
        let evidence = Evidence { dkim: &[], spf: None };
        let found = timed(what, || now(dmarc::evaluate(&dns, head.as_bytes(), evidence)));
        assert!(expected.contains(&found.result.as_str()), "{what}: {found:?}");
        assert!(dns.count() <= 2 * dmarc::MAX_AUTHOR_DOMAINS, "{what}");
        assert!(
            found.author.is_none_or(|author| author.as_str() == "d.example"),
            "{what}: nobody else's name"
        );
    }
    // A mail of 8-bit octets alone.
    let dns = Watched::new(Zone::default());
    let octets = [b"From: ".as_slice(), &[0xff; 5_000], b"@d.example\r\n\r\n"].concat();
    let found = now(dmarc::evaluate(&dns, &octets, Evidence { dkim: &[], spf: None }));
    assert_eq!((found.result.as_str(), dns.count()), ("none", 2));
}
