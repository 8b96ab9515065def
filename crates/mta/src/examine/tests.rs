//! Messages before a judge, with DNS in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use kings_dns::Zone;
use kings_mail::domain::DnsName;
use kings_smtp::reply::Reply;

use super::*;

fn zone() -> Zone {
    let name = |text: &str| DnsName::parse(text).unwrap();
    Zone::default()
        .with_txt(name("example.net"), b"v=spf1 ip4:192.0.2.1 -all")
        .with_txt(name("_dmarc.example.net"), b"v=DMARC1; p=reject")
        .with_failure(name("broken.example"))
}

async fn examine(inbound: Inbound, told: Circumstances, pieces: &[&[u8]]) -> Examination {
    let hostname = Domain::parse("mail.example.org").unwrap();
    let mut examiner = Examiner::begin(zone(), hostname, inbound, told);
    for piece in pieces {
        examiner.content(piece);
    }
    examiner.finish(&[Domain::parse("example.org").unwrap()]).await
}

fn told(client: Option<&str>, helo: Option<&str>, mail_from: Option<&str>) -> Circumstances {
    Circumstances {
        client: client.map(|client| client.parse().unwrap()),
        helo: helo.map(str::to_owned),
        mail_from: mail_from.map(|path| ReversePath::parse(path).unwrap()),
    }
}

fn enforced() -> Inbound {
    Inbound { methods: every(Check::Enforce), ..Inbound::default() }
}

const LETTER: &[u8] = b"From: joe@example.net\r\nSubject: x\r\n\r\nhello\r\n";

#[tokio::test]
async fn what_the_config_leaves_out_is_judged_and_does_not_count() {
    let forger = told(Some("192.0.2.9"), Some("example.net"), Some("joe@example.net"));
    let strict = examine(enforced(), forger.clone(), &[LETTER]).await;
    assert_eq!(strict.judgement.verdict, Verdict::Reject);
    assert_eq!(strict.judgement, strict.strictly);
    assert!(strict.field.contains("spf=fail") && strict.field.contains("dmarc=fail"), "{}", strict.field);
    let lenient = examine(Inbound::default(), forger, &[LETTER]).await;
    assert_eq!(lenient.judgement, Judgement { verdict: Verdict::Accept, reasons: vec![] });
    assert_eq!(lenient.strictly, strict.judgement);
    assert_eq!(lenient.field, "");
    assert_eq!(lenient.mail_from, strict.mail_from);
}

/// As a server takes it: a line that is no field begins the body, and the author behind it is text.
#[tokio::test]
async fn a_field_behind_a_line_that_is_none_is_text() {
    let of_joe = || told(Some("192.0.2.1"), Some("example.net"), Some("joe@example.net"));
    let stray = b"Subject: x\r\nstray\r\nFrom: joe@example.net\r\n\r\nhello\r\n";
    let found = examine(enforced(), of_joe(), &[&stray[..20], &stray[20..]]).await;
    assert_eq!(found.judgement.verdict, Verdict::Junk, "{:?}", found.judgement.reasons);
    assert!(found.oddities.iter().any(|odd| odd.contains("no field, at octet 12")), "{:?}", found.oddities);
    let whole = examine(enforced(), of_joe(), &[LETTER]).await;
    assert_eq!(whole.judgement.verdict, Verdict::Accept, "{:?}", whole.judgement.reasons);
}

#[tokio::test]
async fn what_nobody_told_is_not_judged_and_is_named() {
    let cases = [
        (told(None, None, None), (false, false, false), 3),
        (told(Some("192.0.2.1"), None, None), (true, false, false), 2),
        (told(Some("192.0.2.1"), Some("example.net"), None), (true, true, false), 1),
        (told(Some("192.0.2.1"), None, Some("joe@example.net")), (true, false, true), 1),
        (told(Some("192.0.2.1"), None, Some("")), (true, false, false), 2),
        (told(Some("192.0.2.1"), Some("example.net"), Some("")), (true, true, true), 0),
        (told(None, Some("example.net"), Some("joe@example.net")), (false, false, false), 1),
    ];
    for (told, expected, untold) in cases {
        let found = examine(enforced(), told.clone(), &[LETTER]).await;
        let done = (found.iprev.is_some(), found.helo.is_some(), found.mail_from.is_some());
        assert_eq!((done, found.untold.len()), (expected, untold), "{told:?}");
        assert!(!found.sender.contains(&"bad_helo"), "{told:?}");
    }
}

/// A claim on one of our names is no lie for want of what nobody told.
#[tokio::test]
async fn spf_that_nobody_could_ask_convicts_nobody() {
    let of = |author: &str| format!("From: {author}\r\nSubject: x\r\n\r\nhello\r\n").into_bytes();
    let (accept, junk, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Reject);
    let cases = [
        // Author, reverse-path, as it is judged, if SPF fails.
        ("joe@example.net", None, accept, Some(reject)),
        ("joe@example.net", Some("joe@example.net"), accept, Some(reject)),
        ("joe@example.net", Some("joe@sub.example.net"), accept, Some(reject)),
        ("joe@example.net", Some("joe@other.example"), reject, None),
        ("joe@example.net", Some("joe@[192.0.2.1]"), reject, None),
        ("ann@example.org", None, accept, Some(junk)),
        ("ann@example.org", Some("joe@other.example"), junk, None),
        ("joe@nobody.example", None, accept, None),
        ("joe@example.net, ann@example.org", Some("ann@example.org"), reject, None),
    ];
    for (author, path, verdict, failed) in cases {
        let found = examine(enforced(), told(None, None, path), &[&of(author)]).await;
        assert_eq!(found.judgement.verdict, verdict, "{author} {path:?}: {:?}", found.judgement);
        assert_eq!(found.if_spf_fails.as_ref().map(|other| other.verdict), failed, "{author} {path:?}");
        assert_eq!((found.is_open(), found.is_unsure()), (failed.is_some(), false), "{author} {path:?}");
    }
    // Nothing depends on what does not count.
    let found = examine(Inbound::default(), told(None, None, None), &[LETTER]).await;
    assert_eq!((found.judgement.verdict, found.is_open()), (Verdict::Accept, false));
}

/// What port 25 says of line ends comes first.
#[tokio::test]
async fn a_bare_cr_and_nul_are_refused_as_on_port_25() {
    let sender = || told(Some("192.0.2.1"), Some("example.net"), Some("joe@example.net"));
    for more in [b"a\rb\r\n".as_slice(), b"\0\r\n", b"a\n"] {
        let found = examine(enforced(), sender(), &[LETTER, more]).await;
        assert_eq!(found.judgement.verdict, Verdict::Reject, "{more:?}");
        assert_eq!(found.judgement.reasons[0], Reply::BAD_LINE_ENDS.text, "{more:?}");
    }
    let stored: Vec<u8> = LETTER.iter().copied().filter(|octet| *octet != b'\r').collect();
    assert_eq!(examine(enforced(), sender(), &[&stored]).await.judgement.verdict, Verdict::Accept);
}

#[tokio::test]
async fn the_pieces_make_no_difference_and_a_bad_header_is_refused_first() {
    let sender = || told(Some("192.0.2.1"), Some("example.net"), Some("joe@example.net"));
    let whole = examine(enforced(), sender(), &[LETTER]).await;
    let octets: Vec<&[u8]> = LETTER.chunks(1).collect();
    let one_by_one = examine(enforced(), sender(), &octets).await;
    assert_eq!((whole.judgement.verdict, &whole.field), (Verdict::Accept, &one_by_one.field));
    assert_eq!(whole.octets, LETTER.len() as u64);

    let two = [b"From: ceo@example.com\r\n", LETTER].concat();
    let refused = examine(Inbound::default(), sender(), &[&two]).await;
    assert_eq!(refused.judgement.verdict, Verdict::Reject);
    assert_eq!(refused.judgement.reasons, ["Message has more than one From field"]);

    let many = b"From: a@a.example, b@b.example, c@c.example, d@d.example, ceo@example.com\r\n\r\nhello\r\n";
    let refused = examine(enforced(), sender(), &[many]).await;
    assert_eq!(refused.judgement.verdict, Verdict::Reject);
    assert_eq!(refused.judgement.reasons[0], "From field names too many authors, or is too long");
    let taken = examine(Inbound::default(), sender(), &[many]).await;
    assert_eq!((taken.judgement.verdict, taken.strictly.verdict), (Verdict::Accept, Verdict::Reject));
}

#[tokio::test]
async fn a_dns_that_does_not_answer_is_told() {
    let sender = told(Some("192.0.2.1"), Some("example.net"), Some("joe@broken.example"));
    let found = examine(enforced(), sender, &[LETTER]).await;
    assert!(found.is_unsure());
    let sender = told(Some("192.0.2.1"), Some("example.net"), Some("joe@example.net"));
    assert!(!examine(enforced(), sender, &[LETTER]).await.is_unsure());
}

#[test]
fn trace_fields_fill_only_what_nobody_told() {
    let head = b"Return-Path: <joe@example.net>\r\nReceived: from far.example ([192.0.2.7])\r\n\tby x with SMTP; now\r\n\
                 Received: from older ([192.0.2.8]) by y\r\n\r\n";
    let of_trace = Circumstances::default().or_of_trace(head);
    assert_eq!(of_trace, told(Some("192.0.2.7"), Some("far.example"), Some("joe@example.net")));
    let known = told(Some("192.0.2.1"), Some("example.net"), Some(""));
    assert_eq!(known.clone().or_of_trace(head), known);
}
