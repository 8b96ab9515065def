//! Chains of seals: made, validated, broken in every way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::arc::{
    Chain, ChainValidation, Fault, MAX_SETS, Report, SealError, Sealer, Verifier, check,
};
use kings_msgauth::dkim::{
    Cover, Keys, PrivateKey, Rules, Selector, SigningIdentity, Verdict, Word, key_files,
};
use support::{CORPUS, NOW, all_rules, claims, name, now, replacements, sealed};

const MESSAGE: &str =
    "From: Ann <ann@example.org>\r\nTo: list@a.example\r\nSubject: Hello\r\n\r\nHi  all\r\n";
const RESULTS: &str =
    "mx.example; spf=pass smtp.mailfrom=ann@example.org;\r\n dkim=pass header.d=example.org";
const HOSTS: [&str; 3] = ["a.example", "b.example", "c.example"];

fn key(host: &str) -> PrivateKey {
    let rsa = host == "b.example";
    let pem = if rsa { include_str!("data/rsa2048.pem") } else { include_str!("data/ed25519.pem") };
    PrivateKey::from_pem(pem).unwrap()
}

fn zone() -> Zone {
    let add = |zone: Zone, host: &&str| {
        zone.with_txt(name(&format!("arc._domainkey.{host}")), key_files::record(&key(host)))
    };
    HOSTS.iter().fold(Zone::default(), add)
}

fn seal(host: &str, message: &str, validation: ChainValidation) -> Result<String, SealError> {
    seal_by(Rules::default(), host, message, validation)
}

fn seal_by(
    rules: Rules,
    host: &str,
    message: &str,
    validation: ChainValidation,
) -> Result<String, SealError> {
    seal_with(rules, host, message, RESULTS, validation)
}

fn seal_with(
    rules: Rules,
    host: &str,
    message: &str,
    results: &str,
    validation: ChainValidation,
) -> Result<String, SealError> {
    let (domain, selector, key) = (Domain::parse(host).unwrap(), Selector::parse("arc").unwrap(), key(host));
    let mut sealer = Sealer::new(rules);
    message.as_bytes().chunks(13).for_each(|piece| sealer.push(piece));
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    let fields = sealer.finish(&identity, results, validation, DateTime::from_unix(NOW))?;
    assert!(fields.lines().all(|line| line.len() <= 78), "{fields}");
    Ok(fields + message)
}

fn validate(message: &str) -> Report {
    now(check(message.as_bytes(), &zone(), DateTime::from_unix(NOW)))
}

/// The message after so many hosts, each with a trace field of its own and what it found of the chain.
fn passed_on(hosts: usize) -> String {
    (0..hosts).fold(MESSAGE.to_owned(), |message, number| {
        let validation = validate(&message).validation().unwrap();
        let message = format!("Received: by {}; now\r\n{message}", HOSTS[number % 3]);
        seal(HOSTS[number % 3], &message, validation).unwrap()
    })
}

#[test]
fn a_chain_of_three_hosts_holds() {
    assert_eq!(validate(MESSAGE), Report { chain: Chain::None, sets: Vec::new() });
    let message = passed_on(3);
    let report = validate(&message);
    assert_eq!((report.chain.clone(), report.word(), report.oldest_pass()), (Chain::Pass, Word::Pass, 0));
    let sealers: Vec<&str> = report.sets.iter().map(|set| set.sealer.as_str()).collect();
    assert_eq!(sealers, HOSTS);
    let expected = "i=1; mx.example; spf=pass smtp.mailfrom=ann@example.org; dkim=pass header.d=example.org";
    assert_eq!(report.sets[0].results, expected);
    for piece in [1, 17, 1_000] {
        let mut verifier = Verifier::default();
        message.as_bytes().chunks(piece).for_each(|piece| verifier.push(piece));
        let questions = verifier.questions().unwrap();
        assert_eq!(questions.names().len(), 3);
        assert_eq!(verifier.end().finish(&now(questions.ask(&zone())), DateTime::from_unix(NOW)), report);
    }
}

/// RFC 8617 §7.2.2; the address is what the first sealer says, and nothing else that it could write there gets in.
#[test]
fn a_report_names_the_sealers_from_the_newest_and_the_first_client() {
    assert_eq!(validate(MESSAGE).comment(), "arc=none");
    let chain = "arc=pass as[2].d=b.example as[2].s=arc as[1].d=a.example as[1].s=arc";
    let cases = [
        ("mx.example; spf=pass", ""),
        ("mx.example; arc=none smtp.remote-ip=192.0.2.7", " remote-ip[1]=192.0.2.7"),
        ("mx.example; spf=pass; iprev=pass smtp.remote-ip=\"2001:db8::1a\"", " remote-ip[1]=2001:db8::1a"),
        ("mx.example; arc=none smtp.remote-ip=\"10.0.0.1 as[1].d=bank.example\"", ""),
        ("mx.example; spf=pass (smtp.remote-ip=192.0.2.7)", ""),
    ];
    for (results, client) in cases {
        let first =
            seal_with(Rules::default(), "a.example", MESSAGE, results, ChainValidation::None).unwrap();
        let second = seal("b.example", &first, ChainValidation::Pass).unwrap();
        assert_eq!(validate(&second).comment(), format!("{chain}{client}"), "{results}");
    }
}

#[test]
fn a_later_host_may_change_the_message_and_seal_it_anew() {
    let changed = passed_on(1).replace("Subject: Hello", "Subject: [list] Hello") + "-- \r\nfooter\r\n";
    let report = validate(&changed);
    assert_eq!(report.chain, Chain::Fail(Fault::Message(1, Verdict::BodyChanged)));
    assert_eq!(report.sets[0].seal.word(), Word::Pass);
    let sealed = seal("b.example", &changed, ChainValidation::Pass).unwrap();
    let report = validate(&sealed);
    assert_eq!((report.chain.clone(), report.oldest_pass()), (Chain::Pass, 2));
    assert_eq!(report.sets[0].message, Verdict::BodyChanged);
}

#[test]
fn every_part_of_a_chain_holds_it() {
    let message = passed_on(2);
    // What is changed, and which link breaks first.
    let cases = [
        ("Subject: Hello", "Subject: hello", "message signature 2"),
        ("Hi  all", "Hi all!", "message signature 2"),
        ("i=1; mx.example; spf=pass", "i=1; mx.example; spf=fail", "seal 2"),
        ("i=2; mx.example; spf=pass", "i=2; mx.example; spf=fail", "seal 2"),
        ("cv=pass", "cv=none", "seal 2 says something else"),
        ("cv=none", "cv=pass", "seal 1 says something else"),
        ("cv=pass", "cv=fail", "the chain was broken before"),
        ("cv=pass", "cv=maybe", "seal 2 is malformed"),
        ("ARC-Seal: i=2; a=rsa-sha256;", "ARC-Seal: i=2; a=rsa-sha256; h=from;", "seal 2 is malformed"),
        ("ARC-Seal: i=2; a=rsa-sha256;", "ARC-Seal: i=2; a=rsa-sha1;", "seal 2 is malformed"),
        (
            "ARC-Seal: i=2; a=rsa-sha256;",
            "ARC-Seal: i=2; a=ed25519-sha256;",
            "seal 2: the key is of another kind",
        ),
        ("ARC-Seal: i=2", "ARC-Seal: i=3", "the sets of the chain are not complete"),
        ("ARC-Seal: i=2", "ARC-Seal: i=1", "the sets of the chain are not complete"),
        ("ARC-Seal: i=2", "ARC-Seal: i=0", "a field of the chain has no instance"),
        ("ARC-Seal: i=2", "ARC-Seal: i=51", "a field of the chain has no instance"),
        ("ARC-Seal: i=2", "ARC-Seal: i=02", "a field of the chain has no instance"),
        ("ARC-Seal: i=2;", "ARC-Seal:", "a field of the chain has no instance"),
        ("ARC-Seal: i=2", "X-Seal: i=2", "the sets of the chain are not complete"),
        ("ARC-Message-Signature: i=1", "X-Signature: i=1", "the sets of the chain are not complete"),
        ("ARC-Authentication-Results: i=1", "X-Results: i=1", "the sets of the chain are not complete"),
        (
            "ARC-Authentication-Results: i=1;",
            "ARC-Authentication-Results:",
            "a field of the chain has no instance",
        ),
        ("ARC-Seal: i=2", "ARC-Seal: i=2; i=2", "a field of the chain has no instance"),
    ];
    for (from, to, expected) in cases {
        let changed = message.replacen(from, to, 1);
        assert_ne!(changed, message, "{from}");
        let report = validate(&changed);
        let Chain::Fail(fault) = &report.chain else { panic!("{to}: {report:?}") };
        assert!(fault.to_string().starts_with(expected), "{to}: {fault}");
        assert_eq!((report.word(), report.validation()), (Word::Fail, Some(ChainValidation::Fail)));
    }
}

/// Changes each octet from `start` on in the ways of this turn: the chain holds while it and what it covers mean the same.
/// Returns how many changes broke it, and how many did not.
fn change_every_octet(rules: &Rules, message: &[u8], start: usize, turn: usize) -> (usize, usize) {
    let zone = zone();
    let holds = |message: &[u8]| now(check(message, &zone, DateTime::from_unix(NOW))).chain == Chain::Pass;
    let meaning = |message: &[u8]| (sealed(message), claims("arc-message-signature", message, rules));
    let original = meaning(message);
    assert!(holds(message), "{}", message.escape_ascii());
    let (mut broken, mut kept) = (0, 0);
    for at in start..message.len() {
        for octet in replacements(message[at], turn + at) {
            let mut changed = message.to_vec();
            changed[at] = octet;
            let same = meaning(&changed) == original;
            assert_eq!(holds(&changed), same, "{at}: {octet}: {}", changed.escape_ascii());
            broken += usize::from(!same);
            kept += usize::from(same);
        }
    }
    (broken, kept)
}

#[test]
fn every_changed_octet_of_what_a_chain_covers_breaks_it() {
    // With Ed25519, and with RSA.
    for host in ["a.example", "b.example"] {
        for (turn, rules) in all_rules().enumerate() {
            let (mut broken, mut kept) = (0, 0);
            for message in CORPUS {
                let sealed = seal_by(rules.clone(), host, message, ChainValidation::None).unwrap();
                let start = sealed.len() - message.len();
                let counts = change_every_octet(&rules, sealed.as_bytes(), start, turn);
                (broken, kept) = (broken + counts.0, kept + counts.1);
            }
            assert!(broken > 400 && kept > 20, "{broken} {kept}");
        }
    }
}

#[test]
fn every_changed_octet_of_a_set_breaks_the_chain() {
    // With Ed25519 and with RSA in turn: the form of the message matters little to a set, the algorithm less.
    for ((turn, rules), host) in all_rules().enumerate().zip(["a.example", "b.example"].into_iter().cycle()) {
        let sealed = seal_by(rules.clone(), host, "From: a\r\n\r\nx\r\n", ChainValidation::None).unwrap();
        let (broken, kept) = change_every_octet(&rules, sealed.as_bytes(), 0, turn);
        assert!(broken > 800 && kept > 10, "{broken} {kept}");
    }
}

#[test]
fn fields_in_another_order_are_the_same_chain() {
    let message = passed_on(2);
    let (results, rest) = message.split_at(message.find("ARC-Message-Signature: i=2").unwrap());
    let (signature, rest) = rest.split_at(rest.find("ARC-Authentication-Results: i=2").unwrap());
    assert_eq!(validate(&format!("{signature}{results}{rest}")).chain, Chain::Pass);
    let twice = format!("{results}{message}");
    assert_eq!(validate(&twice).chain, Chain::Fail(Fault::Incomplete));
}

#[test]
fn a_broken_chain_is_sealed_once_as_broken_and_never_again() {
    let broken = passed_on(2).replace("Hi  all", "Hi none");
    assert_eq!(validate(&broken).validation(), Some(ChainValidation::Fail));
    let sealed = seal("c.example", &broken, ChainValidation::Fail).unwrap();
    assert!(sealed.starts_with("ARC-Seal: i=3;") && sealed.contains("cv=fail"), "{sealed}");
    assert_eq!(validate(&sealed).chain, Chain::Fail(Fault::BrokenBefore));
    assert_eq!(seal("a.example", &sealed, ChainValidation::Fail), Err(SealError::BrokenBefore));
}

#[test]
fn what_was_not_validated_is_not_sealed() {
    let message = passed_on(1);
    let incomplete = message.replace("ARC-Message-Signature: i=1", "X: i=1");
    let cases = [
        (MESSAGE, ChainValidation::Pass, SealError::OtherChain),
        (message.as_str(), ChainValidation::None, SealError::OtherChain),
        (incomplete.as_str(), ChainValidation::Pass, SealError::OtherChain),
    ];
    for (message, validation, expected) in cases {
        assert_eq!(seal("a.example", message, validation), Err(expected));
    }
    let (domain, selector, key) =
        (Domain::parse("a.example").unwrap(), Selector::parse("arc").unwrap(), key("a.example"));
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    let mut sealer = Sealer::new(Rules::default());
    sealer.push(MESSAGE.as_bytes());
    let refused = sealer.finish(&identity, "mx\nX: y", ChainValidation::None, DateTime::from_unix(NOW));
    assert_eq!(refused, Err(SealError::Results));
}

#[test]
fn fifty_sets_are_the_most() {
    let full = passed_on(usize::from(MAX_SETS));
    assert_eq!(validate(&full).chain, Chain::Pass);
    assert_eq!(seal("a.example", &full, ChainValidation::Pass), Err(SealError::Full));
    let more = format!("ARC-Seal: i=1; a=b\r\n{full}");
    assert_eq!(validate(&more).chain, Chain::Fail(Fault::TooManySets));
}

#[test]
fn a_silent_server_leaves_the_chain_unknown() {
    let mut verifier = Verifier::default();
    verifier.push(passed_on(1).as_bytes());
    let report = verifier.end().finish(&Keys::default(), DateTime::from_unix(NOW));
    assert_eq!((report.word(), report.validation()), (Word::TempError, None));
    let absent = now(check(passed_on(1).as_bytes(), &Zone::default(), DateTime::from_unix(NOW)));
    assert_eq!(absent.chain, Chain::Fail(Fault::Message(1, Verdict::NoKey)));
}

#[test]
fn a_message_signature_must_cover_the_message_and_not_the_seals() {
    let message = passed_on(1);
    for (from, to) in [("h=from:", "h=arc-seal:from:"), ("h=from:from:", "h=to:to:"), ("; h=", "; l=1; h=")] {
        let changed = message.replacen(from, to, 1);
        assert_ne!(changed, message, "{from}");
        let Chain::Fail(Fault::Message(1, verdict)) = validate(&changed).chain else { panic!("{to}") };
        assert_ne!(verdict.word(), Word::Pass, "{to}");
    }
}

/// A sealer that signs what is there once leaves room for another one on top.
#[test]
fn a_message_signature_that_leaves_room_for_a_second_subject_holds_no_chain_with_one() {
    let careless = Rules { names: vec![("subject".to_owned(), Cover::Present)], ..Rules::default() };
    let mut sealer = Sealer::new(careless);
    sealer.push(MESSAGE.as_bytes());
    let (domain, selector, key) =
        (Domain::parse(HOSTS[0]).unwrap(), Selector::parse("arc").unwrap(), key(HOSTS[0]));
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    let fields = sealer.finish(&identity, RESULTS, ChainValidation::None, DateTime::from_unix(NOW)).unwrap();
    let message = fields + MESSAGE;
    assert_eq!(validate(&message).chain, Chain::Pass);
    assert_eq!(validate(&format!("Comments: x\r\n{message}")).chain, Chain::Pass);
    let Chain::Fail(Fault::Message(1, verdict)) = validate(&format!("Subject: other\r\n{message}")).chain
    else {
        panic!("it holds")
    };
    assert_eq!(verdict, Verdict::Doubled("subject"));
}
