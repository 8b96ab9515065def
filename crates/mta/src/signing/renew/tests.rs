//! Which signatures of a message are ours to make again.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn signing() -> Signing {
    crate::signing::tests::signing(&["here.example"])
}

const CONTENT: &str = "From: ann@here.example\r\nSubject: x\r\n\r\nbody\r\n";
const RECEIVED: &str = "Received: from x by mx.here.example\r\n";
const OWN: &str = "DKIM-Signature: v=1; a=ed25519-sha256; d=here.example;\r\n\ts=one; bh=x; b=y\r\n";

fn removed(signing: &Signing, message: &str) -> (Removed, String) {
    let (removed, rest) = signing.remove_own(message.as_bytes().to_vec());
    (removed, String::from_utf8(rest).unwrap())
}

#[test]
fn our_own_signature_is_taken_off_and_made_again_over_what_leaves() {
    let signing = signing();
    let others = "DKIM-Signature: v=1; d=far.example; s=one; b=z\r\n";
    let message = format!("{OWN}{others}X: y\r\n{RECEIVED}{CONTENT}");
    let (own, rest) = removed(&signing, &message);
    assert_eq!(rest, format!("{others}X: y\r\n{RECEIVED}{CONTENT}"));
    let renewed = signing.renew(&own, rest.as_bytes()).unwrap();
    assert!(renewed.contains("d=here.example") && renewed.contains("s=one"), "{renewed}");
    let changed = signing.renew(&own, rest.replace("body", "other").as_bytes()).unwrap();
    let hash = |text: &str| tag(&Fields::new(text.as_bytes()).next().unwrap(), "bh");
    assert!(hash(&renewed).is_some() && hash(&renewed) != hash(&changed), "{renewed}{changed}");
}

/// Keys change while mail waits in the queue: what the old one signed, the new one signs again.
#[test]
fn what_a_key_that_is_gone_signed_is_signed_again_with_those_of_today() {
    let signing = signing();
    let gone = OWN.replace("s=one", "s=gone");
    let others = OWN.replace("here.example", "far.example");
    let (own, rest) = removed(&signing, &format!("{gone}{others}{OWN}{RECEIVED}{CONTENT}"));
    assert_eq!(rest, format!("{others}{RECEIVED}{CONTENT}"));
    let renewed = signing.renew(&own, rest.as_bytes()).unwrap();
    assert!(renewed.matches("DKIM-Signature").count() == 1 && renewed.contains("s=one;"), "{renewed}");
    assert!(!renewed.contains("gone"), "{renewed}");
}

/// The signature of whoever sends again what another house wrote is as much ours; those of that house are not.
#[test]
fn a_resenders_signature_is_made_again_and_the_authors_is_left_alone() {
    let signing = signing();
    let again = CONTENT.replace("From: ann@here", "Resent-From: ann@here.example\r\nFrom: joe@far");
    let theirs = OWN.replace("here.example", "far.example");
    let message = format!("{OWN}{RECEIVED}{theirs}{again}");
    let (own, rest) = removed(&signing, &message);
    assert_eq!(rest, format!("{RECEIVED}{theirs}{again}"));
    let renewed = signing.renew(&own, rest.as_bytes()).unwrap();
    assert!(renewed.contains("d=here.example") && renewed.contains("resent-from"), "{renewed}");
}

/// Whoever writes under our name from outside must not get a signature by sending something that has to be converted.
#[test]
fn what_came_from_outside_is_never_signed() {
    let signing = signing();
    let strangers = [
        format!("{RECEIVED}{OWN}{CONTENT}"),
        format!("{OWN}{CONTENT}"),
        format!("{RECEIVED}{CONTENT}"),
        format!(
            "ARC-Seal: i=1; cv=none; d=far.example; s=one\r\nARC-Authentication-Results: i=1; x\r\n{RECEIVED}{CONTENT}"
        ),
        format!("X: y\r\n{RECEIVED}{OWN}ARC-Seal: i=1; cv=none\r\n{CONTENT}"),
        format!("{}{RECEIVED}{CONTENT}", OWN.replace("here.example", "far.example")),
        format!(
            "ARC-Seal: i=1; cv=none; d=sub.here.example; s=one\r\nARC-Authentication-Results: i=1; x\r\n{RECEIVED}{CONTENT}"
        ),
        format!("{}{RECEIVED}{CONTENT}", OWN.replace("here.example", "sub.here.example")),
        format!("{}{RECEIVED}{CONTENT}", OWN.replace("here.example", "example")),
        format!("{OWN}{RECEIVED}{}", CONTENT.replace("here", "far")),
        String::new(),
    ];
    for message in strangers {
        let (own, rest) = removed(&signing, &message);
        assert_eq!(rest, message);
        assert_eq!(signing.renew(&own, rest.as_bytes()).unwrap(), "", "{message}");
    }
}

#[test]
fn our_seal_is_made_again_with_what_it_said_whichever_key_made_it() {
    for selector in ["one", "gone"] {
        our_seal_is_made_again(selector);
    }
}

fn our_seal_is_made_again(selector: &str) {
    let signing = signing();
    let set = format!(
        "ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=here.example; s={selector}; b=x\r\n\
         ARC-Message-Signature: i=1; d=here.example; s={selector}; bh=x; b=y\r\n\
         ARC-Authentication-Results: i=1; mx.here.example;\r\n\tspf=pass smtp.mailfrom=far.example\r\n"
    );
    let trace = format!("Delivered-To: away@elsewhere.example\r\n{RECEIVED}");
    let content = CONTENT.replace("here", "far");
    let (own, rest) = removed(&signing, &format!("{set}{trace}{content}"));
    assert_eq!(rest, format!("{trace}{content}"));
    let renewed = signing.renew(&own, rest.as_bytes()).unwrap();
    for expected in
        ["ARC-Seal: i=1;", "cv=none", "ARC-Message-Signature: i=1;", "mx.here.example;", "spf=pass", "s=one;"]
    {
        assert!(renewed.contains(expected), "{expected}: {renewed}");
    }
}
