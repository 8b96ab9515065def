//! Who seals what goes on to others, and what it says when that happens later.
#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;

use kings_msgauth::dkim::Selector;

use super::*;

/// A key for each of these domains.
pub(super) fn signing(names: &[&str]) -> Signing {
    signing_for(names, None)
}

fn signing_for(names: &[&str], valid_for: Option<Duration>) -> Signing {
    let key = |name: &&str| {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let private = PrivateKey::from_pkcs8(pair.as_ref()).unwrap().into();
        let key = Key { domain: None, selector: Selector::parse("one").unwrap(), private };
        (Domain::parse(name).unwrap(), vec![key])
    };
    Signing::new(names.iter().map(key).collect(), None, Hosts::default(), valid_for, Some(mx()))
}

fn mx() -> Domain {
    Domain::parse("mx.here.example").unwrap()
}

const OWN: &str =
    "Authentication-Results: mx.here.example;\r\n\tspf=pass smtp.mailfrom=far.example;\r\n\tarc=none\r\n";
const RECEIVED: &str = "Received: from x by mx.here.example\r\n";
const CONTENT: &str = "From: joe@far.example\r\nSubject: x\r\n\r\nbody\r\n";

fn sealed(signing: &Signing, on_behalf_of: Option<&str>) -> String {
    let head = format!("{OWN}{RECEIVED}{CONTENT}");
    let seal = Seal::recalled(signing, &mx(), head.as_bytes()).unwrap();
    let address = on_behalf_of.map(|address| Address::parse(address).unwrap());
    seal.fields(address.as_ref(), "", head.as_bytes())
}

#[test]
fn a_domain_without_a_key_is_sealed_for_by_the_server_itself() {
    let both = signing(&["here.example", "other.example"]);
    let cases = [
        (Some("away@other.example"), "d=other.example;"),
        (Some("away@keyless.example"), "d=here.example;"),
        (None, "d=here.example;"),
    ];
    for (address, expected) in cases {
        let fields = sealed(&both, address);
        assert_eq!(fields.matches(expected).count(), 2, "{address:?}: {fields}");
    }
    assert!(sealed(&signing(&["mx.here.example", "here.example"]), None).contains("d=mx.here.example;"));
    assert_eq!(sealed(&signing(&["other.example"]), Some("away@keyless.example")), "");
}

#[test]
fn a_message_is_signed_for_its_author_else_for_who_sends_it_again() {
    let keys = signing(&["here.example", "other.example"]);
    let (ours, theirs) = ("From: ann@here.example\r\n", "From: joe@far.example\r\n");
    let cases = [
        (ours.to_owned(), Some("ann@here.example")),
        (theirs.to_owned(), None),
        (format!("Resent-From: bob@other.example\r\n{theirs}"), Some("bob@other.example")),
        (format!("Resent-From: Bob <bob@other.example>\r\n{ours}"), Some("ann@here.example")),
        (format!("Resent-From: joe@far.example\r\n{theirs}"), None),
        // The newest resent fields count, and no others.
        (format!("Resent-From: x@far.example\r\nX: y\r\nResent-From: bob@other.example\r\n{theirs}"), None),
        (format!("Resent-To: x@far.example\r\nX: y\r\nResent-From: bob@other.example\r\n{theirs}"), None),
        (format!("Resent-Sender: bob@other.example\r\n{theirs}"), None),
        (format!("{theirs}\r\nResent-From: bob@other.example\r\n"), None),
        ("Resent-From: bob@other.example\r\nFrom: ?\r\n".to_owned(), None),
    ];
    for (head, expected) in cases {
        let found = keys.signer(format!("{head}\r\n").as_bytes());
        assert_eq!(found.map(|address| address.to_string()).as_deref(), expected, "{head}");
    }
}

/// Bounces come from the server's own name, which has no key of its own where a domain above it is hosted.
#[test]
fn mail_of_the_server_itself_is_signed_by_the_domain_above_it() {
    let cases = [
        (&["here.example"][..], "root@mx.here.example", "d=here.example;"),
        (&["mx.here.example", "here.example"], "root@mx.here.example", "d=mx.here.example;"),
        (&["other.example"], "root@mx.here.example", ""),
        // No other name below it is ours to sign for.
        (&["here.example"], "root@web.here.example", ""),
        (&["here.example"], "root@a.mx.here.example", ""),
    ];
    // A name that could have keys and has none hides no key above it.
    let mut keyless = Arc::into_inner(signing(&["here.example"]).0).unwrap();
    keyless.domains.insert(mx(), Vec::new());
    let field = keyless.sign(&Address::parse("root@mx.here.example").unwrap(), CONTENT.as_bytes()).unwrap();
    assert!(field.contains("d=here.example;"), "{field}");
    for (names, author, expected) in cases {
        let keys = signing(names);
        let address = Address::parse(author).unwrap();
        assert_eq!(keys.has_key(&address), !expected.is_empty(), "{names:?} {author}");
        let field = keys.0.sign(&address, format!("From: {author}\r\n\r\nbody\r\n").as_bytes()).unwrap();
        assert!(field.contains(expected), "{field}");
        assert_eq!(field.is_empty(), expected.is_empty(), "{field}");
    }
}

/// Those of a message that is changed on its way out are made anew, and count from then.
#[test]
fn signatures_expire_where_that_is_wanted_and_seals_never_do() {
    let number = |field: &str, tag: &str| -> Option<u64> {
        let tag = format!("{tag}=");
        field.split([';', ' ']).find_map(|word| word.trim().strip_prefix(&tag)?.parse().ok())
    };
    for days in [None, Some(60)] {
        let valid_for = days.map(|days| Duration::from_hours(24 * days));
        let keys = signing_for(&["here.example"], valid_for);
        let author = Address::parse("ann@here.example").unwrap();
        let field = keys.0.sign(&author, &b"From: ann@here.example\r\n\r\nbody\r\n"[..]).unwrap();
        let lifetime = number(&field, "x").map(|end| end - number(&field, "t").unwrap());
        assert_eq!(lifetime, valid_for.map(|time| time.as_secs()), "{field}");
        let seal = sealed(&keys, Some("away@here.example"));
        assert_eq!((seal.is_empty(), number(&seal, "x")), (false, None), "{seal}");
    }
}

#[test]
fn what_was_found_when_it_came_is_sealed_when_it_goes_on_later() {
    let keys = signing(&["here.example"]);
    let fields = sealed(&keys, Some("away@here.example"));
    for expected in ["cv=none", "i=1; mx.here.example;", "spf=pass", "smtp.mailfrom=far.example"] {
        assert!(fields.contains(expected), "{expected}: {fields}");
    }
    let broken = format!("{}{RECEIVED}{CONTENT}", OWN.replace("arc=none", "arc=fail"));
    assert_eq!(
        Seal::recalled(&keys, &mx(), broken.as_bytes()).unwrap().finding.validation,
        ChainValidation::Fail
    );
    // Not ours, not told of a chain, not certain, sealed already, or no word of ours at all.
    let nothing = [
        format!("{RECEIVED}{OWN}{CONTENT}"),
        format!("{}{RECEIVED}{CONTENT}", OWN.replace("mx.here", "mx.far")),
        format!("{}{RECEIVED}{CONTENT}", OWN.replace(";\r\n\tarc=none", "")),
        format!("{}{RECEIVED}{CONTENT}", OWN.replace("arc=none", "arc=temperror")),
        format!("ARC-Seal: i=1\r\n{OWN}{RECEIVED}{CONTENT}"),
        format!("{OWN}{CONTENT}"),
        String::new(),
    ];
    for message in nothing {
        assert!(Seal::recalled(&keys, &mx(), message.as_bytes()).is_none(), "{message}");
    }
}
