//! Signing, judged by our own verifier and by a naive reading of what a signature covers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{
    Cover, PrivateKey, Report, Rules, Selector, SignError, Signer, SigningIdentity, Word, check, key_files,
};
use proptest::prelude::*;
use support::{CORPUS, NOW, all_rules, claims, name, now, replacements};

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
        let identity = |(selector, key)| SigningIdentity { domain: &self.domain, selector, key, agent: None };
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

/// Changes each octet from `start` on in the ways of this turn: exactly those signatures hold that cover the same as before.
/// Returns how many changes broke one, and how many broke none.
fn change_every_octet(
    (turn, rules): (usize, &Rules),
    signed: &[u8],
    zone: &Zone,
    start: usize,
) -> (usize, usize) {
    let original = claims("dkim-signature", signed, rules);
    assert_eq!(passes(&verify(signed, zone)), original.len(), "{}", signed.escape_ascii());
    let (mut broken, mut kept) = (0, 0);
    for at in start..signed.len() {
        for octet in replacements(signed[at], turn + at) {
            let mut changed = signed.to_vec();
            changed[at] = octet;
            let claims = claims("dkim-signature", &changed, rules);
            let expected = claims.iter().filter(|claim| original.contains(claim)).count();
            let report = verify(&changed, zone);
            assert_eq!(passes(&report), expected, "{at}: {octet}: {}: {report:?}", changed.escape_ascii());
            broken += usize::from(expected < original.len());
            kept += usize::from(expected == original.len());
        }
    }
    (broken, kept)
}

#[test]
fn every_changed_octet_of_a_covered_part_breaks_the_signature() {
    let keys = Keys::new(&[RSA, ED25519]);
    let zone = keys.zone();
    for (turn, rules) in all_rules().enumerate() {
        let (mut broken, mut kept) = (0, 0);
        for message in CORPUS.iter().chain([&MESSAGE]) {
            let signed = keys.sign(&rules, message.as_bytes());
            let counts = change_every_octet((turn, &rules), &signed, &zone, signed.len() - message.len());
            (broken, kept) = (broken + counts.0, kept + counts.1);
        }
        assert!(broken > 750 && kept > 100, "{broken} {kept}");
    }
}

/// Not only what separates words and lines: each octet of one message as each of the 255 others.
#[test]
fn every_octet_as_every_other_breaks_the_signature_unless_the_same_is_covered() {
    let keys = Keys::new(&[ED25519]);
    let zone = keys.zone();
    let message = "From: A <a@b.c>\r\nSubject: x\r\nX-Y: z\r\n\r\nHi  you \r\n";
    for rules in all_rules() {
        let signed = keys.sign(&rules, message.as_bytes());
        let original = claims("dkim-signature", &signed, &rules);
        let (mut broken, mut kept) = (0, 0);
        for at in signed.len() - message.len()..signed.len() {
            for octet in (0..=u8::MAX).filter(|octet| *octet != signed[at]) {
                let mut changed = signed.clone();
                changed[at] = octet;
                let is_same = claims("dkim-signature", &changed, &rules) == original;
                let report = verify(&changed, &zone);
                assert_eq!(
                    passes(&report),
                    usize::from(is_same),
                    "{at}: {octet}: {}",
                    changed.escape_ascii()
                );
                broken += usize::from(!is_same);
                kept += usize::from(is_same);
            }
        }
        assert_eq!(broken + kept, 255 * message.len());
        assert!(broken > 8_000 && kept > 500, "{broken} {kept}");
    }
}

#[test]
fn every_changed_octet_of_the_signature_itself_breaks_it() {
    let keys = Keys::new(&[RSA, ED25519]);
    for (turn, rules) in all_rules().enumerate() {
        let signed = keys.sign(&rules, b"From: a\r\n\r\nx\r\n");
        let (broken, kept) = change_every_octet((turn, &rules), &signed, &keys.zone(), 0);
        assert!(broken > 1_200 && kept > 0, "{broken} {kept}");
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
    fn whatever_is_signed_verifies_until_it_changes(
        fields in prop::collection::vec(("From|To|Cc|Subject|X-[a-z]{1,5}|Date|received", r"([ -~\t]|\r\n[ \t]|é){0,80}"), 0..12),
        body in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'\t')], 0..300),
        piece in 1_usize..50,
        (at, octet) in any::<(prop::sample::Index, u8)>(),
    ) {
        let header: String = fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        let message = [format!("From: ann\r\n{header}\r\n").as_bytes(), &body].concat();
        let keys = Keys::new(&[RSA, ED25519]);
        for rules in all_rules() {
            let field = keys.fields(&rules, &message, piece).unwrap();
            prop_assert!(field.lines().all(|line| line.len() <= 78), "{}", field);
            let report = verify(&[field.as_bytes(), &message].concat(), &keys.zone());
            prop_assert_eq!(passes(&report), 2, "{:?} {:?}", report, field);
            let mut changed = [field.as_bytes(), &message].concat();
            let original = claims("dkim-signature", &changed, &rules);
            changed[field.len() + at.index(message.len())] = octet;
            let kept = claims("dkim-signature", &changed, &rules).iter().filter(|claim| original.contains(claim)).count();
            prop_assert_eq!(passes(&verify(&changed, &keys.zone())), kept, "{}", changed.escape_ascii());
        }
    }
}
