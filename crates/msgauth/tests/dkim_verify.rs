//! Verifying what a second, naive signer signed, and what nobody should have signed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{BadKey, KeyRecord, Keys, MAX_SIGNATURES, Report, Verdict, Verifier, Word};
use kings_msgauth::results;
use support::{NOW, Plan, ed25519, first, name, now, record, rsa, verify, zone};

const MESSAGE: &str = "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: Hello,\r\n  world\r\n\r\n\
    Hi  Bob \r\n\r\n tabs\tand   blanks\t\r\n\r\n\r\n";

const RSA_2048: &str = include_str!("data/rsa2048.pem");

#[test]
fn all_four_mixes_verify_with_both_algorithms_however_the_message_arrives() {
    for key in [ed25519(), rsa(RSA_2048)] {
        let zone = zone(&record(&key));
        for forms in ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"] {
            let signed = Plan { forms, ..Plan::default() }.sign(&key, MESSAGE);
            for piece in [1, 7, 64, 10_000] {
                let mut verifier = Verifier::new();
                signed.as_bytes().chunks(piece).for_each(|piece| verifier.push(piece));
                let questions = verifier.questions().unwrap();
                assert_eq!(questions.names(), [name("s._domainkey.example.org")]);
                let report = verifier.end().finish(&now(questions.ask(&zone)), DateTime::from_unix(NOW));
                assert_eq!(report.word(), Word::Pass, "{forms} {piece} {report:?}");
            }
            let bare = signed.replace("\r\n", "\n");
            assert_eq!(verify(&bare, &zone).word(), Word::Pass, "LF counts as CRLF: {forms}");
        }
    }
}

#[test]
fn each_form_forgives_what_it_says_and_nothing_else() {
    // What is changed, and whether simple and relaxed still verify.
    let cases = [
        ("Subject: Hello", "subject:  Hello", false, true),
        ("Hello,\r\n  world", "Hello, world", false, true),
        ("Hello,\r\n  world", "Hello,world", false, false),
        ("Hi  Bob \r\n", "Hi Bob\r\n", false, true),
        ("Hi  Bob ", "HiBob", false, false),
        (" tabs", "tabs", false, false),
        ("\r\n\r\n\r\n", "\r\n", true, true),
        ("To: bob", "To: rob", false, false),
        ("From: Ann", "X-New: field\r\nFrom: Ann", true, true),
        ("From: Ann", "From: Eve <eve@example.com>\r\nFrom: Ann", false, false),
        ("To: bob@example.net\r\n", "To: bob@example.net\r\nTo: eve@example.com\r\n", false, false),
    ];
    let key = ed25519();
    let zone = zone(&record(&key));
    for (from, to, simple, relaxed) in cases {
        for (forms, expected) in [("simple/simple", simple), ("relaxed/relaxed", relaxed)] {
            let signed = Plan { forms, ..Plan::default() }.sign(&key, MESSAGE).replace(from, to);
            assert_eq!(verify(&signed, &zone).word() == Word::Pass, expected, "{forms} {to:?}");
        }
    }
}

#[test]
fn an_oversigned_field_cannot_be_added() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let names = "from:from:to:to:subject:subject:cc".to_owned();
    let signed = Plan { names, ..Plan::default() }.sign(&key, MESSAGE);
    assert_eq!(verify(&signed, &zone).word(), Word::Pass);
    for added in
        ["From: Eve <eve@example.com>", "subject: other", "Cc: eve@example.com", "TO : eve@example.com"]
    {
        let changed = format!("{added}\r\n{signed}");
        assert_eq!(first(&changed, &zone), (Word::Fail, "the signature does not match the header".into()));
    }
}

/// HOSTILE mail of the kind that RFC 6376 §8.15 warns of: readers may show the field that was added in the place of the
/// signed one. What says the same, or stands in the place of nothing that is signed, deceives nobody who is not deceived
/// by one such field alone.
#[test]
fn a_field_that_is_shown_may_not_be_added_where_the_signer_did_not_forbid_it() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let original =
        MESSAGE.replacen("Subject:", "Content-Type: text/plain\r\nMIME-Version: 1.0\r\nSubject:", 1);
    let plan = |names: &str| Plan { names: names.to_owned(), ..Plan::default() }.sign(&key, &original);
    let signed = plan("from:to:subject:content-type:mime-version");
    for (added, name) in [
        ("Subject: other", "subject"),
        ("SUBJECT : other", "subject"),
        ("To: somebody@else.example", "to"),
        ("Content-Type: text/html", "content-type"),
    ] {
        let reason = format!("there is more than one {name} field, and it does not cover all of them");
        assert_eq!(first(&format!("{added}\r\n{signed}"), &zone), (Word::Neutral, reason));
    }
    let passes = |added: &str, signed: &str| {
        assert_eq!(verify(&format!("{added}\r\n{signed}"), &zone).word(), Word::Pass, "{added}");
    };
    for added in [
        "Content-Type: text/plain",
        "MIME-Version: 1.0",
        "MIME-Version: 1.00",
        "Reply-To: eve@example.com\r\nReply-To: joe@example.com",
        "Received: x\r\nReceived: y",
        "Comments: a\r\nComments: b",
        "X-To: a",
    ] {
        passes(added, &signed);
    }
    passes("Subject: other", &plan("from"));
    // Two of them, and both are the signer's.
    let two = format!("Subject: first\r\n{MESSAGE}");
    let signed = |names: &str| Plan { names: names.to_owned(), ..Plan::default() }.sign(&key, &two);
    assert_eq!(verify(&signed("from:subject:subject"), &zone).word(), Word::Pass);
    assert_eq!(verify(&signed("from:subject"), &zone).word(), Word::Neutral);
}

#[test]
fn tags_of_the_signature_decide() {
    let cases = [
        ("", Word::Pass, "Ed25519 key"),
        ("; i=ann@example.org", Word::Pass, "Ed25519 key"),
        ("; i=ann@mail.EXAMPLE.org", Word::Pass, "Ed25519 key"),
        ("; i=@org", Word::PermError, "i= is not of the domain in d="),
        ("; i=@notexample.org", Word::PermError, "i= is not of the domain in d="),
        ("; i=ann", Word::PermError, "the signature has a bad i="),
        ("; t=1700000000; x=1700000000", Word::PermError, "the signature has a bad x="),
        ("; q=dns/txt", Word::Pass, "Ed25519 key"),
        ("; q=http:dns/txt", Word::Pass, "Ed25519 key"),
        ("; q=http", Word::Neutral, "the signature has an unknown q="),
        ("; t=1789999999", Word::Pass, "Ed25519 key"),
        ("; t=1790000299", Word::Pass, "Ed25519 key"),
        ("; t=1790000301", Word::Policy, "the signature is from the future"),
        ("; x=1789999800", Word::Pass, "Ed25519 key"),
        ("; x=1789999000", Word::Policy, "the signature has expired"),
        ("; t=1789999000; x=1789998000", Word::PermError, "the signature has a bad x="),
        ("; t=-1", Word::PermError, "the signature has a bad t="),
        ("; t=", Word::PermError, "the signature has a bad t="),
        ("; x=99999999999999999999999999", Word::Pass, "Ed25519 key"),
        ("; l=5", Word::Policy, "l= covers 5 of 28 octets of the body"),
        ("; l=0", Word::Policy, "l= covers 0 of 28 octets of the body"),
        ("; l=28", Word::Policy, "l= covers 28 of 28 octets of the body"),
        ("; l=29", Word::Fail, "the body is shorter than l= says"),
        ("; zz=anything at all; z=From:x|To:y", Word::Pass, "Ed25519 key"),
        ("; v=1", Word::PermError, "the signature holds the tag v= is there twice"),
    ];
    let key = ed25519();
    let zone = zone(&record(&key));
    for (more, word, reason) in cases {
        let signed = Plan { more: more.into(), ..Plan::default() }.sign(&key, MESSAGE);
        assert_eq!(first(&signed, &zone), (word, reason.to_owned()), "{more}");
    }
}

#[test]
fn a_body_that_grew_behind_l_is_no_pass() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let signed = Plan { more: "; l=28".into(), ..Plan::default() }.sign(&key, MESSAGE);
    let grown = format!("{signed}Send money.\r\n");
    let (word, reason) = first(&grown, &zone);
    assert_eq!((word, reason.as_str()), (Word::Policy, "l= covers 28 of 45 octets of the body"));
    assert_eq!(first(&signed.replace("Hi", "Ho"), &zone).0, Word::Fail);
}

#[test]
fn a_field_that_is_no_signature_is_told_by_its_fault_and_asks_nothing() {
    let good = "v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA";
    let long =
        ["label", "=63"].map(str::len).into_iter().map(|_| "a".repeat(63)).collect::<Vec<_>>().join(".");
    let cases = [
        ("v=1; ", "", Word::PermError, "the signature has no v="),
        ("v=1", "v=2", Word::Neutral, "the signature has an unknown v="),
        ("a=rsa-sha256; ", "", Word::PermError, "the signature has no a="),
        ("rsa-sha256", "rsa-md5", Word::Neutral, "the signature has an unknown a="),
        ("d=example.org", "d=", Word::PermError, "the signature has a bad d="),
        ("d=example.org", "d=exa\"mple.org", Word::PermError, "the signature has a bad d="),
        ("d=example.org", "d=example..org", Word::PermError, "the signature has a bad d="),
        ("d=example.org", "d=\u{fffd}.org", Word::PermError, "the signature has a bad d="),
        ("d=example.org", "d=\0.org", Word::PermError, "the signature holds octets that are not text"),
        ("s=s", "s=../x", Word::PermError, "the signature has a bad s="),
        ("s=s", "s=a b", Word::PermError, "the signature has a bad s="),
        ("s=s", "s=a.", Word::PermError, "the signature has a bad s="),
        ("s=s", &format!("s={}", "a".repeat(300)), Word::PermError, "the signature has a bad s="),
        ("s=s", &format!("s={long}.{long}"), Word::PermError, "selector and domain are too long for DNS"),
        ("h=from", "h=to:subject", Word::PermError, "the signature does not cover From"),
        ("h=from", "h=", Word::PermError, "the signature has a bad h="),
        ("h=from", "h=from:\u{e4}", Word::PermError, "the signature has a bad h="),
        ("bh=47DEQ", "bh=47", Word::PermError, "the signature has a bad bh="),
        ("bh=47DEQ", "bh=****", Word::PermError, "the signature has a bad bh="),
        ("b=AAAA", "b=", Word::PermError, "the signature has a bad b="),
        ("; b=AAAA", "", Word::PermError, "the signature has no b="),
        ("; b=AAAA", "; c=strange; b=AAAA", Word::Neutral, "the signature has an unknown c="),
        ("; b=AAAA", "; c=simple/x; b=AAAA", Word::Neutral, "the signature has an unknown c="),
        ("; b=AAAA", "; b", Word::PermError, "the signature holds something that is not a tag"),
    ];
    for (from, to, word, reason) in cases {
        let message = format!("DKIM-Signature: {}\r\nFrom: a\r\n\r\n", good.replacen(from, to, 1));
        let mut verifier = Verifier::new();
        verifier.push(message.as_bytes());
        assert_eq!(verifier.questions().unwrap().names(), [], "{to}");
        assert_eq!(first(&message, &Zone::default()), (word, reason.to_owned()), "{to}");
    }
}

#[test]
fn sha1_is_not_even_looked_up() {
    let message = "DKIM-Signature: v=1; a=rsa-sha1; d=example.org; s=s; h=from;\r\n\tbh=2jmj7l5rSw0yVb/vlWAYkK/YBwk=; \
        b=AAAA\r\nFrom: a\r\n\r\n";
    let mut verifier = Verifier::new();
    verifier.push(message.as_bytes());
    assert_eq!(verifier.questions().unwrap().names(), []);
    assert_eq!(first(message, &Zone::default()), (Word::Fail, "rsa-sha1 is no longer valid".into()));
}

#[test]
fn tags_of_the_key_decide() {
    let key = ed25519();
    let p = key.public();
    let cases = [
        (format!("k=ed25519; p={p}"), "; i=@a.example.org", Word::Pass, "Ed25519 key"),
        (format!("v=DKIM1; k=Ed25519; p={p}"), "", Word::Pass, "Ed25519 key"),
        (
            format!("v=DKIM1; k=ed25519; n=note; g=; s=*; h=sha1:sha256; p={p};"),
            "",
            Word::Pass,
            "Ed25519 key",
        ),
        (format!("v=DKIM1; k=ed25519; s=tlsrpt : email; t=s; p={p}"), "", Word::Pass, "Ed25519 key"),
        // Words of the grammar have no case.
        (format!("v=DKIM1; k=ED25519; s=EMAIL; h=SHA1:SHA256; p={p}"), "", Word::Pass, "Ed25519 key"),
        (
            format!("v=DKIM1; k=ed25519; t=S; p={p}"),
            "; i=@a.example.org",
            Word::PermError,
            "the key does not speak for subdomains",
        ),
        (format!("v=DKIM1; k=ed25519; h=SHA1; p={p}"), "", Word::PermError, "the key is not for sha256"),
        (format!("v=dkim1; k=ed25519; p={p}"), "", Word::PermError, "the record is no DKIM1 key"),
        (
            format!(" v = DKIM1 ;\tk\r\n = ed25519; p =\t{} {}\r\n\t{} ; ", &p[..9], &p[9..20], &p[20..]),
            "",
            Word::Pass,
            "Ed25519 key",
        ),
        (
            format!("v=DKIM1; k=ed25519; t=s; p={p}"),
            "; i=@a.example.org",
            Word::PermError,
            "the key does not speak for subdomains",
        ),
        (
            format!("v=DKIM1; k=ed25519; s=tlsrpt; p={p}"),
            "",
            Word::PermError,
            "the key is not for mail but for TLS reports",
        ),
        (format!("v=DKIM1; k=ed25519; h=sha1; p={p}"), "", Word::PermError, "the key is not for sha256"),
        (format!("k=ed25519; v=DKIM1; p={p}"), "", Word::PermError, "the record is no DKIM1 key"),
        (format!("v=DKIM2; k=ed25519; p={p}"), "", Word::PermError, "the record is no DKIM1 key"),
        ("v=DKIM1; k=ed25519; p=".into(), "", Word::PermError, "the key is revoked"),
        ("v=DKIM1; k=ed25519; p=AAAA".into(), "", Word::PermError, "the key record holds no public key"),
        ("v=DKIM1; k=ed25519; p=***".into(), "", Word::PermError, "the key record holds no public key"),
        ("v=DKIM1; k=ed25519".into(), "", Word::PermError, "the key record holds no public key"),
        (format!("v=DKIM1; k=dsa; p={p}"), "", Word::PermError, "the key is of an unknown kind"),
        (format!("v=DKIM1; k=rsa; p={p}"), "", Word::PermError, "the key record holds no public key"),
        (
            format!("v=DKIM1; p={}", rsa(RSA_2048).public()),
            "",
            Word::PermError,
            "the key is of another kind than the signature",
        ),
        (
            format!("p={p}; k=ed25519; p={p}"),
            "",
            Word::PermError,
            "the key record holds the tag p= is there twice",
        ),
        ("v=spf1 -all".into(), "", Word::PermError, "the record is no DKIM1 key"),
        ("garbage".into(), "", Word::PermError, "the key record holds something that is not a tag"),
        (
            format!("p={}", "A".repeat(9_000)),
            "",
            Word::PermError,
            "the key record is longer than 8192 octets",
        ),
        (
            format!("v=DKIM1; k=ed25519; p={}", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
            "",
            Word::Fail,
            "the signature does not match the header",
        ),
    ];
    for (record, more, word, reason) in cases {
        let signed = Plan { more: more.into(), ..Plan::default() }.sign(&key, MESSAGE);
        assert_eq!(first(&signed, &zone(&record)), (word, reason.to_owned()), "{record:.60}");
    }
}

#[test]
fn the_length_of_an_rsa_key_decides() {
    let public = |bits: &str| format!("v=DKIM1; p={bits}");
    let cases = [
        (include_str!("data/rsa512.public"), Err(BadKey::TooShort(512))),
        (include_str!("data/rsa768.public"), Err(BadKey::TooShort(768))),
        (include_str!("data/rsa1023.public"), Err(BadKey::TooShort(1_023))),
        (include_str!("data/rsa1024.public"), Ok(Some(1_024))),
        (include_str!("data/rsa2048.public"), Ok(Some(2_048))),
        (include_str!("data/rsa2048.pkcs1"), Ok(Some(2_048))),
    ];
    for (key, expected) in cases {
        let found = KeyRecord::parse(public(key).as_bytes()).map(|record| record.rsa_bits());
        assert_eq!(found, expected, "{key}");
    }
    let key = rsa(RSA_2048);
    let signed = Plan::default().sign(&key, MESSAGE);
    assert_eq!(first(&signed, &zone(&record(&key))), (Word::Pass, "2048-bit RSA key".to_owned()));
}

/// Whoever forges a message can name a key about which DNS never answers; what does not fit the body is no proof with any.
#[test]
fn a_signature_of_another_body_is_no_doubt_where_its_key_cannot_be_asked_for() {
    let key = ed25519();
    let signed = Plan::default().sign(&key, MESSAGE);
    let silent = Zone::default().with_failure(name("s._domainkey.example.org"));
    assert_eq!(verify(&signed, &silent).word(), Word::TempError);
    assert_eq!(verify(&format!("{signed}more\r\n"), &silent).word(), Word::Fail);
}

#[test]
fn a_test_key_is_said_to_be_one() {
    let key = ed25519();
    let signed = Plan::default().sign(&key, MESSAGE);
    for (flags, testing) in [("", false), ("t=y; ", true), ("t=s:y; ", true), ("t=x; ", false)] {
        let zone = zone(&record(&key).replace("k=", &format!("{flags}k=")));
        assert_eq!(verify(&signed, &zone).signatures[0].testing, testing, "{flags}");
    }
}

#[test]
fn of_several_records_the_one_that_verifies_counts() {
    let key = ed25519();
    let signed = Plan::default().sign(&key, MESSAGE);
    let other = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let cases: [(&[&str], Word); 4] = [
        (&["v=spf1 -all", other, &record(&key)], Word::Pass),
        (&[&record(&key), "v=spf1 -all"], Word::Pass),
        (&[other, "x", "y", "z", &record(&key)], Word::PermError),
        (&[other, other], Word::Fail),
    ];
    for (records, word) in cases {
        let add = |zone: Zone, text: &&str| zone.with_txt(name("s._domainkey.example.org"), *text);
        let zone = records.iter().fold(Zone::default(), add);
        assert_eq!(verify(&signed, &zone).word(), word, "{records:?}");
    }
}

/// What a rotation does: the record of the old key stays while its mail is under way.
#[test]
fn mail_of_the_old_key_verifies_as_long_as_its_record_is_there() {
    let key = ed25519();
    let signed = Plan::default().sign(&key, MESSAGE);
    let with = |zone: Zone, selector: &str, record: &str| {
        zone.with_txt(name(&format!("{selector}._domainkey.example.org")), record)
    };
    let new = || with(Zone::default(), "new", &record(&rsa(RSA_2048)));
    let cases = [
        (with(new(), "s", &record(&key)), Word::Pass, "Ed25519 key"),
        (new(), Word::PermError, "there is no key"),
        (with(new(), "s", "v=DKIM1; k=ed25519; p="), Word::PermError, "the key is revoked"),
    ];
    for (zone, word, reason) in cases {
        assert_eq!(first(&signed, &zone), (word, reason.to_owned()));
    }
}

#[test]
fn an_absent_key_is_permanent_and_a_silent_server_is_not() {
    let signed = Plan::default().sign(&ed25519(), MESSAGE);
    let selector = || name("s._domainkey.example.org");
    let cases = [
        (Zone::default(), Word::PermError, "there is no key"),
        (Zone::default().with_name(selector()), Word::PermError, "there is no key"),
        (Zone::default().with_failure(selector()), Word::TempError, "the key cannot be had now: SERVFAIL"),
    ];
    for (zone, word, reason) in cases {
        assert_eq!(first(&signed, &zone), (word, reason.to_owned()));
    }
    let mut verifier = Verifier::new();
    verifier.push(signed.as_bytes());
    let report = verifier.end().finish(&Keys::default(), DateTime::from_unix(NOW));
    assert_eq!(report.word(), Word::TempError);
}

#[test]
fn one_pass_is_enough_and_the_first_fault_speaks_otherwise() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let signed = Plan::default().sign(&key, MESSAGE);
    let broken = "DKIM-Signature: v=1\r\n";
    assert_eq!(verify(MESSAGE, &zone), Report::default());
    assert_eq!(verify(MESSAGE, &zone).word(), Word::None);
    assert_eq!(verify(&format!("{broken}{signed}"), &zone).word(), Word::Pass);
    assert_eq!(verify(&format!("{broken}{}", signed.replace("Hi", "Ho")), &zone).word(), Word::PermError);
}

#[test]
fn starts_of_signatures_tell_them_apart() {
    let start = |text: &str| {
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b={text}\r\n"
        )
    };
    let message = format!(
        "{}{}{}From: a\r\n\r\n",
        start("AAAA AAAA BBBB"),
        start("AAAAAAAABCCC"),
        start("DDDDDDDDDDDD")
    );
    let report = verify(&message, &Zone::default());
    let starts: Vec<_> =
        report.signatures.iter().map(|one| one.claim.as_ref().unwrap().start.as_str()).collect();
    assert_eq!(starts, ["AAAAAAAABB", "AAAAAAAABC", "DDDDDDDD"]);
}

#[test]
fn a_thousand_signatures_cost_no_more_than_eight() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let signed = Plan::default().sign(&key, MESSAGE);
    let (field, _) = signed.split_once("\r\nFrom").unwrap();
    let many = format!("{}{MESSAGE}", format!("{field}\r\n").repeat(1_000));
    let report = verify(&many, &zone);
    assert_eq!((report.signatures.len(), report.ignored), (MAX_SIGNATURES, 1_000 - MAX_SIGNATURES));
    assert_eq!(report.word(), Word::Pass);
    // What is left out is said in the results.
    let told = results::of_dkim(&report);
    assert_eq!(told.len(), MAX_SIGNATURES + 1);
    let field = results::field(&Domain::parse("mx.example").unwrap(), &told);
    assert!(field.contains("dkim=policy (992 more signatures, not looked at)"), "{field}");
    let broken = format!("{}{signed}", "DKIM-Signature: v=1\r\n".repeat(MAX_SIGNATURES));
    assert_eq!((verify(&broken, &zone).word(), verify(&broken, &zone).ignored), (Word::Pass, 1));
}

#[test]
fn whoever_adds_signatures_of_his_own_takes_none_of_the_authors_from_a_message() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let signed = Plan::default().sign(&key, MESSAGE);
    let (field, _) = signed.split_once("\r\nFrom").unwrap();
    let foreign = |domain: &str| format!("{field}\r\n").replace("d=example.org", &format!("d={domain}"));
    let verdict = |above: &str| {
        let report = verify(&format!("{above}{signed}"), &zone);
        (report.word(), report.signatures.len(), report.ignored)
    };
    assert_ne!(foreign("list.test"), format!("{field}\r\n"));
    assert_eq!(verdict(&foreign("list.test").repeat(50)), (Word::Pass, MAX_SIGNATURES, 43));
    // In the author's own name none but a forger adds any, and nobody looks further.
    assert_eq!(verdict(&foreign("example.org; x=1").repeat(7)).0, Word::Pass);
    assert_eq!(verdict(&foreign("example.org; x=1").repeat(8)), (Word::Fail, MAX_SIGNATURES, 1));
}

#[test]
fn hostile_headers_end_in_an_answer() {
    let signed = Plan::default().sign(&ed25519(), MESSAGE);
    let giant_names = format!("h={}from:to:subject", "a:".repeat(60_000));
    let cases: [(Vec<u8>, Word); 6] = [
        (b"DKIM-Signature:".to_vec(), Word::PermError),
        (b"dkim-SIGNATURE\t: ;\r\n\r\n".to_vec(), Word::PermError),
        (b"DKIM-Signature: v=1; \xff\xfe=\x80\r\n\r\n".to_vec(), Word::PermError),
        (format!("DKIM-Signature: {}\r\n\r\n", "a=1;".repeat(10_000)).into_bytes(), Word::PermError),
        (format!("X: {}\r\n{signed}", "x".repeat(300_000)).into_bytes(), Word::PermError),
        (signed.replace("h=from:to:subject", &giant_names).into_bytes(), Word::TempError),
    ];
    for (message, word) in cases {
        let mut verifier = Verifier::new();
        verifier.push(&message);
        let report = verifier.end().finish(&Keys::default(), DateTime::from_unix(NOW));
        assert_eq!(report.word(), word, "{}", message[..message.len().min(80)].escape_ascii());
    }
}

#[test]
fn eight_bit_text_and_nul_are_content() {
    let key = ed25519();
    let zone = zone(&record(&key));
    let message = MESSAGE.replace("Hi", "H\u{e4}\0\u{1f600}").replace("Hello", "K\u{e4}se");
    let signed = Plan::default().sign(&key, &message);
    assert_eq!(first(&signed, &zone).0, Word::Pass);
    assert_eq!(first(&signed.replace('\0', ""), &zone).1, Verdict::BodyChanged.to_string());
}
