//! Certificates made for the purpose, against every kind of record.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;

use super::*;

/// A root, an authority below it, and a server's certificate of that authority.
struct Chain {
    root: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    server: CertificateDer<'static>,
    expired: CertificateDer<'static>,
    stranger: CertificateDer<'static>,
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn chain() -> Chain {
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let middle = CertifiedIssuer::signed_by(authority("middle"), key(), &root).unwrap();
    let stranger = CertifiedIssuer::self_signed(authority("stranger"), key()).unwrap();
    let parameters = CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
    let mut old = parameters.clone();
    old.not_before = date_time_ymd(2001, 1, 1);
    old.not_after = date_time_ymd(2002, 1, 1);
    Chain {
        root: root.der().clone(),
        authority: middle.der().clone(),
        server: parameters.signed_by(&key(), &middle).unwrap().der().clone(),
        expired: old.signed_by(&key(), &middle).unwrap().der().clone(),
        stranger: stranger.der().clone(),
    }
}

fn record(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Tlsa {
    let selected = match selector {
        0 => certificate.as_ref().to_vec(),
        _ => ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info().as_ref().to_vec(),
    };
    let data = match matching {
        0 => selected,
        1 => digest(&SHA256, &selected).as_ref().to_vec(),
        _ => digest(&SHA512, &selected).as_ref().to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

/// What a server that shows `shown` meets, in a word.
fn judge(records: &[Tlsa], name: &str, shown: &[&CertificateDer<'static>]) -> &'static str {
    let Some(dane) = Dane::new(records, vec![DnsName::parse(name).unwrap()]) else { return "unusable" };
    let others: Vec<CertificateDer<'static>> = shown[1..].iter().map(|der| (*der).clone()).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_790_000_000));
    match dane.check(shown[0], &others, now, &aws_lc_rs::default_provider()) {
        Ok(()) => "good",
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => "no match",
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "other name",
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "expired",
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn every_selector_and_matching_type_finds_its_certificate_and_no_other() {
    let c = chain();
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let ee = |certificate| [record(3, selector, matching, certificate)];
        let ta = |certificate| [record(2, selector, matching, certificate)];
        let told = format!("{selector} {matching}");
        assert_eq!(judge(&ee(&c.server), "mx.example.org", &[&c.server]), "good", "3 {told}");
        assert_eq!(judge(&ee(&c.stranger), "mx.example.org", &[&c.server]), "no match", "3 {told}");
        // Of an authority a record of usage 3 says nothing.
        assert_eq!(
            judge(&ee(&c.authority), "mx.example.org", &[&c.server, &c.authority]),
            "no match",
            "3 {told}"
        );
        assert_eq!(
            judge(&ta(&c.authority), "mx.example.org", &[&c.server, &c.authority]),
            "good",
            "2 {told}"
        );
        assert_eq!(
            judge(&ta(&c.root), "mx.example.org", &[&c.server, &c.authority, &c.root]),
            "good",
            "2 {told}"
        );
    }
}

#[test]
fn names_and_dates_count_below_a_trust_anchor_alone() {
    let c = chain();
    let ee = |certificate| [record(3, 1, 1, certificate)];
    let ta = [record(2, 0, 1, &c.authority)];
    let cases: [(&[Tlsa], &str, &[&CertificateDer<'static>], &str); 6] = [
        (&ee(&c.expired), "mx.example.org", &[&c.expired], "good"),
        (&ee(&c.server), "other.example.org", &[&c.server], "good"),
        (&ta, "mx.example.org", &[&c.expired, &c.authority], "expired"),
        (&ta, "other.example.org", &[&c.server, &c.authority], "other name"),
        // The digest of an authority that the server does not show says nothing about it (RFC 7672 §3.1.2).
        (&ta, "mx.example.org", &[&c.server], "no match"),
        // The whole authority in DNS needs not be shown (RFC 7671 §5.2.3).
        (&[record(2, 0, 0, &c.authority)], "mx.example.org", &[&c.server], "good"),
    ];
    for (records, name, shown, expected) in cases {
        assert_eq!(judge(records, name, shown), expected, "{name} {}", shown.len());
    }
}

#[test]
fn a_stranger_cannot_be_the_anchor_of_a_chain_that_does_not_lead_to_it() {
    let c = chain();
    let dane =
        Dane::new(&[record(2, 0, 1, &c.stranger)], vec![DnsName::parse("mx.example.org").unwrap()]).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_790_000_000));
    let shown = [c.authority.clone(), c.stranger.clone()];
    let result = dane.check(&c.server, &shown, now, &aws_lc_rs::default_provider());
    assert!(matches!(result, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))), "{result:?}");
}

#[test]
fn records_that_smtp_cannot_use_do_not_count() {
    let c = chain();
    let digest =
        |usage, selector, matching, length| Tlsa { usage, selector, matching, data: vec![7; length] };
    let unusable = [
        record(0, 0, 1, &c.authority),
        record(1, 0, 1, &c.server),
        digest(4, 0, 1, 32),
        digest(255, 0, 1, 32),
        digest(3, 2, 1, 32),
        digest(3, 0, 3, 32),
        digest(3, 0, 1, 31),
        digest(3, 0, 2, 32),
        digest(3, 0, 0, 0),
    ];
    assert_eq!(judge(&unusable, "mx.example.org", &[&c.server]), "unusable");
    let mut mixed = unusable.to_vec();
    mixed.push(record(3, 1, 1, &c.server));
    assert_eq!(judge(&mixed, "mx.example.org", &[&c.server]), "good");
    assert_eq!(judge(&mixed, "mx.example.org", &[&c.expired]), "no match");
}

#[test]
fn the_stronger_digest_counts_where_both_are_published() {
    let c = chain();
    let weak_is_right = [record(3, 1, 1, &c.server), record(3, 1, 2, &c.stranger)];
    assert_eq!(judge(&weak_is_right, "mx.example.org", &[&c.server]), "no match");
    let other_selector = [record(3, 1, 1, &c.server), record(3, 0, 2, &c.stranger)];
    assert_eq!(judge(&other_selector, "mx.example.org", &[&c.server]), "good");
    let rollover = [record(3, 1, 2, &c.stranger), record(3, 1, 2, &c.server)];
    assert_eq!(judge(&rollover, "mx.example.org", &[&c.server]), "good");
}
