//! Signing, judged by our own verifier and by a naive reading of what a signature covers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{
    Canonicalization, Cover, PrivateKey, Report, Rules, Selector, SignError, Signer, SigningIdentity, Word,
    check, key_files,
};
use proptest::prelude::*;
use support::{NOW, covered, name, now};

const RSA: &str = include_str!("data/rsa2048.pem");
const ED25519: &str = include_str!("data/ed25519.pem");

const MESSAGE: &str = "Received: from a.example by b.example; Sun, 22 Nov 2026 10:00:00 +0000\r\n\
    From: Ann <ann@example.org>\r\nTo: bob@example.net,\r\n\tcarol@example.net\r\nSubject:  Hello  world \r\n\
    Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nX-Mailer: none\r\n\r\n\
    Hi  Bob,\r\n\r\n \t\r\n tabs\tand   blanks\t\r\n-- \r\nAnn\r\n\r\n";

struct Keys {
    domain: Domain,
    keys: Vec<(Selector, PrivateKey)>,
}

impl Keys {
    fn new(pems: &[&str]) -> Self {
        let key = |(number, pem): (usize, &&str)| {
            (Selector::parse(&format!("s{number}")).unwrap(), PrivateKey::from_pem(pem).unwrap())
        };
        let keys = pems.iter().enumerate().map(key).collect();
        Self { domain: Domain::parse("example.org").unwrap(), keys }
    }

    fn identities(&self) -> Vec<SigningIdentity<'_>> {
        let identity = |(selector, key)| SigningIdentity { domain: &self.domain, selector, key };
        self.keys.iter().map(|(selector, key)| identity((selector, key))).collect()
    }

    fn zone(&self) -> Zone {
        let add = |zone: Zone, (selector, key): &(Selector, PrivateKey)| {
            zone.with_txt(name(&format!("{selector}._domainkey.example.org")), key_files::record(key))
        };
        self.keys.iter().fold(Zone::default(), add)
    }

    fn fields(&self, rules: &Rules, message: &[u8], piece: usize) -> Result<String, SignError> {
        let mut signer = Signer::new(rules.clone());
        message.chunks(piece).for_each(|piece| signer.push(piece));
        signer.finish(&self.identities(), DateTime::from_unix(NOW))
    }

    fn sign(&self, rules: &Rules, message: &[u8]) -> Vec<u8> {
        [self.fields(rules, message, usize::MAX).unwrap().as_bytes(), message].concat()
    }
}

fn verify(message: &[u8], zone: &Zone) -> Report {
    now(check(message, zone, DateTime::from_unix(NOW)))
}

fn passes(report: &Report) -> usize {
    report.signatures.iter().filter(|one| one.verdict.word() == Word::Pass).count()
}

fn all_rules() -> impl Iterator<Item = Rules> {
    use Canonicalization::{Relaxed, Simple};
    let forms = [(Simple, Simple), (Simple, Relaxed), (Relaxed, Simple), (Relaxed, Relaxed)];
    forms.into_iter().map(|(header_form, body_form)| Rules { header_form, body_form, ..Rules::default() })
}

#[test]
fn what_is_signed_with_both_keys_verifies_twice_however_it_arrives() {
    let keys = Keys::new(&[RSA, ED25519]);
    for rules in all_rules() {
        let whole = keys.fields(&rules, MESSAGE.as_bytes(), usize::MAX).unwrap();
        for piece in [1, 3, 100] {
            assert_eq!(keys.fields(&rules, MESSAGE.as_bytes(), piece).unwrap(), whole);
        }
        let report = verify(format!("{whole}{MESSAGE}").as_bytes(), &keys.zone());
        assert_eq!((passes(&report), report.signatures.len()), (2, 2), "{report:?}");
        let bare = keys.fields(&rules, MESSAGE.replace("\r\n", "\n").as_bytes(), 7).unwrap();
        assert_eq!(bare, whole, "LF counts as CRLF");
    }
}

#[test]
fn a_field_looks_like_this() {
    let keys = Keys::new(&[ED25519]);
    let rules = Rules { valid_for: Some(3_600), ..Rules::default() };
    let field = keys.fields(&rules, MESSAGE.as_bytes(), 100).unwrap();
    let (start, _) = field.split_once("bh=").unwrap();
    let expected = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=s0;\r\n \
        t=1790000000; x=1790003600; h=from:from:reply-to:subject:subject:to:to:cc:\r\n \
        content-type:content-transfer-encoding:date:date:message-id:message-id;\r\n ";
    assert_eq!(start, expected);
    assert!(field.ends_with("\r\n") && field.lines().all(|line| line.len() <= 78), "{field}");
}

#[test]
fn nobody_can_add_a_field_that_people_see() {
    let keys = Keys::new(&[ED25519]);
    let signed = keys.sign(&Rules::default(), MESSAGE.as_bytes());
    for added in
        ["From: eve", "subject: x", "To: x", "CC: x", "Reply-To: eve", "Content-Type: text/html", "Date: x"]
    {
        for changed in [
            [format!("{added}\r\n").as_bytes(), &signed].concat(),
            String::from_utf8(signed.clone()).unwrap().replace("X-Mailer: none", added).into_bytes(),
        ] {
            assert_eq!(verify(&changed, &keys.zone()).word(), Word::Fail, "{added}");
        }
    }
    let harmless = [b"Received: from x\r\nList-Id: <x.example>\r\nX-Spam: no\r\n", &signed[..]].concat();
    assert_eq!(verify(&harmless, &keys.zone()).word(), Word::Pass);
}

#[test]
fn every_changed_octet_of_a_covered_part_breaks_the_signature() {
    let keys = Keys::new(&[ED25519]);
    let zone = keys.zone();
    for rules in all_rules() {
        let field = keys.fields(&rules, MESSAGE.as_bytes(), usize::MAX).unwrap();
        let meaning =
            |message: &[u8]| covered(&field, message, rules.header_form.as_str(), rules.body_form.as_str());
        let original = meaning(MESSAGE.as_bytes());
        let (mut broken, mut kept) = (0, 0);
        // The first octet could become white space, and its field a part of the signature above it.
        for at in 1..MESSAGE.len() {
            for octet in [MESSAGE.as_bytes()[at] ^ 1, b' ', b'\t', b'\r', b'\n', b':', 0, 0xe4] {
                let mut changed = MESSAGE.as_bytes().to_vec();
                changed[at] = octet;
                let same = meaning(&changed) == original;
                let report = verify(&[field.as_bytes(), &changed].concat(), &zone);
                assert_eq!(passes(&report) == 1, same, "{at}: {octet}: {}", changed.escape_ascii());
                broken += usize::from(!same);
                kept += usize::from(same);
            }
        }
        assert!(broken > 1_500 && kept > 500, "{broken} {kept}");
    }
}

#[test]
fn every_changed_octet_of_the_signature_itself_breaks_it() {
    let keys = Keys::new(&[ED25519]);
    let signed = keys.sign(&Rules::default(), MESSAGE.as_bytes());
    let end = signed.windows(12).position(|window| window == b"\r\nReceived: ").unwrap();
    for at in 0..end {
        if !signed[at].is_ascii_alphanumeric() {
            continue;
        }
        for octet in [b'A', b'7', b'-', b'/'] {
            let mut changed = signed.clone();
            changed[at] = octet;
            // The name of the field, and algorithm and forms, mean the same in either case.
            if octet.eq_ignore_ascii_case(&signed[at]) {
                continue;
            }
            assert_ne!(
                verify(&changed, &keys.zone()).word(),
                Word::Pass,
                "{at}: {}",
                changed[..end].escape_ascii()
            );
        }
    }
}

#[test]
fn rules_choose_what_is_covered() {
    let keys = Keys::new(&[ED25519]);
    let names =
        |names: &[(&str, Cover)]| names.iter().map(|(name, cover)| ((*name).to_owned(), *cover)).collect();
    let rules = |list| Rules { names: names(list), ..Rules::default() };
    let message = b"A: 1\r\na: 2\r\nFrom: ann\r\n\r\n";
    let cases: [(Rules, &str); 5] = [
        (rules(&[]), "h=from:from;"),
        (rules(&[("FROM", Cover::Present)]), "h=from;"),
        (rules(&[("a", Cover::Present), ("b", Cover::Present)]), "h=from:from:a:a;"),
        (rules(&[("a", Cover::OneMore), ("b", Cover::OneMore)]), "h=from:from:a:a:a:b;"),
        (rules(&[("A", Cover::PresentAndOneMore), ("b", Cover::PresentAndOneMore)]), "h=from:from:a:a:a;"),
    ];
    for (rules, expected) in cases {
        let field = keys.fields(&rules, message, usize::MAX).unwrap();
        assert!(field.contains(expected), "{field}");
        assert_eq!(verify(&[field.as_bytes(), message].concat(), &keys.zone()).word(), Word::Pass);
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let keys = Keys::new(&[ED25519]);
    let huge = format!("From: a\r\nX: {}\r\n\r\n", "x".repeat(300_000));
    let cases = [("", SignError::NoFrom), ("To: a\r\n\r\nFrom: b\r\n", SignError::NoFrom)];
    for (message, expected) in cases {
        assert_eq!(keys.fields(&Rules::default(), message.as_bytes(), 10), Err(expected), "{message}");
    }
    let refused = keys.fields(&Rules::default(), huge.as_bytes(), 1_000);
    assert!(matches!(refused, Err(SignError::TooLarge(_))));
    let bare = keys.sign(&Rules::default(), b"From: a");
    assert_eq!(passes(&verify(&bare, &keys.zone())), 1, "a header alone is a message");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_signed_verifies(
        fields in prop::collection::vec(("From|To|Cc|Subject|X-[a-z]{1,5}|Date|received", r"([ -~\t]|\r\n[ \t]|é){0,80}"), 0..12),
        body in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'\t')], 0..300),
        piece in 1_usize..50,
    ) {
        let header: String = fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        let message = [format!("From: ann\r\n{header}\r\n").as_bytes(), &body].concat();
        let keys = Keys::new(&[RSA, ED25519]);
        for rules in all_rules() {
            let field = keys.fields(&rules, &message, piece).unwrap();
            prop_assert!(field.lines().all(|line| line.len() <= 78), "{}", field);
            let report = verify(&[field.as_bytes(), &message].concat(), &keys.zone());
            prop_assert_eq!(passes(&report), 2, "{:?} {:?}", report, field);
        }
    }
}
