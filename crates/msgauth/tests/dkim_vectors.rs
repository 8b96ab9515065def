//! The signed messages that RFC 6376 and RFC 8463 print.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::DnsName;
use kings_msgauth::dkim::{Algorithm, Report, Verdict, Word, check};

/// RFC 6376 §A.2.
const RFC6376: &str = include_str!("data/rfc6376.eml");
/// RFC 6376 §C.
const RFC6376_KEY: &str = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt\
    IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gb\
    to/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
/// RFC 8463 §A.3.
const RFC8463: &str = include_str!("data/rfc8463.eml");
/// RFC 8463 §A.2.
const ED25519_KEY: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// RFC 8463 §A.2.
const RSA_KEY: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR\
    iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC\
    DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3\
    Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

fn verify(message: &str, zone: &Zone) -> Report {
    let message = message.replace('\n', "\r\n");
    let future = check(message.as_bytes(), zone, DateTime::from_unix(1_790_000_000));
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(report) => report,
        Poll::Pending => panic!("a zone in memory never waits"),
    }
}

fn zone(records: &[(&str, &str)]) -> Zone {
    records
        .iter()
        .fold(Zone::default(), |zone, (name, text)| zone.with_txt(DnsName::parse(name).unwrap(), *text))
}

#[test]
fn the_message_of_rfc_6376_verifies() {
    let zone = zone(&[("brisbane._domainkey.example.com", RFC6376_KEY)]);
    let report = verify(RFC6376, &zone);
    let [checked] = &report.signatures[..] else { panic!("{report:?}") };
    assert_eq!(checked.verdict, Verdict::Valid { rsa_bits: Some(1_024) });
    assert_eq!(checked.verdict.to_string(), "weak key: 1024-bit RSA");
    let claim = checked.claim.as_ref().unwrap();
    assert_eq!(claim.domain.as_str(), "example.com");
    assert_eq!(claim.selector.as_str(), "brisbane");
    assert_eq!(claim.identity.to_string(), "joe@football.example.com");
    assert_eq!((claim.algorithm, claim.start.as_str()), (Algorithm::RsaSha256, "AuUoFEfD"));
    assert_eq!(report.word(), Word::Pass);
}

#[test]
fn the_message_of_rfc_6376_does_not_verify_once_changed() {
    let zone = zone(&[("brisbane._domainkey.example.com", RFC6376_KEY)]);
    let changes = [
        ("game. Are", "game.  Are", Verdict::BodyChanged),
        ("dinner ready?", "dinner ready!", Verdict::HeaderChanged),
        ("From: Joe", "From:  Joe", Verdict::HeaderChanged),
        ("q=dns/txt;", "q=dns/txt; ", Verdict::HeaderChanged),
    ];
    for (from, to, expected) in changes {
        let report = verify(&RFC6376.replace(from, to), &zone);
        assert_eq!(report.signatures[0].verdict, expected, "{to}");
        assert_eq!(report.word(), Word::Fail);
    }
}

#[test]
fn both_signatures_of_rfc_8463_verify() {
    let zone = zone(&[
        ("brisbane._domainkey.football.example.com", ED25519_KEY),
        ("test._domainkey.football.example.com", RSA_KEY),
    ]);
    let report = verify(RFC8463, &zone);
    let verdicts: Vec<_> = report.signatures.iter().map(|checked| &checked.verdict).collect();
    assert_eq!(verdicts, [&Verdict::Valid { rsa_bits: None }, &Verdict::Valid { rsa_bits: Some(1_024) }]);
    let changed = verify(&RFC8463.replace("hungry", "angry"), &zone);
    assert!(changed.signatures.iter().all(|checked| checked.verdict == Verdict::BodyChanged));
    let changed = verify(&RFC8463.replace("To: Suzie", "To: Susie"), &zone);
    assert!(changed.signatures.iter().all(|checked| checked.verdict == Verdict::HeaderChanged));
}
