//! Every wish about TLS against every other.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_dns::Tlsa;

use super::*;

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn records() -> Published {
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1; 32] };
    let sni = name("mx.example");
    Published::Records { dane: Dane::new(&[record], vec![sni.clone()]).unwrap(), sni, text: String::new() }
}

fn policy(mode: &str, mx: &str) -> Policy {
    Policy::parse(format!("version: STSv1\nmode: {mode}\nmax_age: 60\nmx: {mx}\n").as_bytes()).unwrap()
}

/// What is done with `mx.example`, in a word.
fn judge(level: Level, wish: &str, published: Published, policy: Option<&Policy>) -> &'static str {
    let facts = Facts {
        host: &HostName::Name(name("mx.example")),
        level,
        require_tls: wish.contains("require"),
        tls_optional: wish.contains("optional"),
        published,
        policy,
    };
    match decide(facts) {
        Ok(Protection::Level(Level::None)) => "clear",
        Ok(Protection::Level(Level::May)) => "may",
        Ok(Protection::Level(Level::Encrypt)) => "encrypt",
        Ok(Protection::Level(Level::Verify)) => "verify",
        Ok(Protection::Dane { .. }) => "dane",
        Ok(Protection::Watched(_)) => "watched",
        Err(Refusal::Dnssec { .. }) => "broken",
        Err(Refusal::NotNamed { .. }) => "not named",
    }
}

#[test]
fn the_strictest_wish_wins_and_dane_comes_first() {
    use Level::{Encrypt, May, None as Clear, Verify};
    use Published::Nothing;
    let unusable = || Published::Unusable(String::new());
    let broken = || Published::Broken("SERVFAIL".to_owned());
    let good = policy("enforce", "mx.example");
    let other = policy("enforce", "mx.other");
    let testing = policy("testing", "mx.other");
    let none = policy("none", "mx.other");
    let cases = [
        // The config alone.
        (Clear, "", Nothing, None, "clear"),
        (May, "", Nothing, None, "may"),
        (Encrypt, "", Nothing, None, "encrypt"),
        (Verify, "", Nothing, None, "verify"),
        // DANE.
        (May, "", records(), None, "dane"),
        (Verify, "", records(), None, "dane"),
        (May, "", unusable(), None, "encrypt"),
        (Verify, "", unusable(), None, "verify"),
        (May, "", broken(), None, "broken"),
        // MTA-STS.
        (May, "", Nothing, Some(&good), "verify"),
        (May, "", Nothing, Some(&other), "not named"),
        (May, "", Nothing, Some(&testing), "watched"),
        (Verify, "", Nothing, Some(&testing), "verify"),
        (May, "", Nothing, Some(&none), "may"),
        // DANE takes the place of MTA-STS, which never repairs it (RFC 8461 §2).
        (May, "", records(), Some(&other), "dane"),
        (May, "", broken(), Some(&good), "broken"),
        (May, "", unusable(), Some(&good), "verify"),
        (May, "", unusable(), Some(&other), "not named"),
        (May, "", unusable(), Some(&testing), "watched"),
        // REQUIRETLS: verified by one of the three, never less (RFC 8689 §4.2.1).
        (May, "require", Nothing, None, "verify"),
        (Clear, "require", Nothing, None, "verify"),
        (May, "require", records(), None, "dane"),
        (May, "require", unusable(), None, "verify"),
        (May, "require", Nothing, Some(&good), "verify"),
        (May, "require", Nothing, Some(&testing), "verify"),
        (May, "require", broken(), None, "broken"),
        // TLS-Required: No lifts what the domain asks for, not what the operator does (RFC 8689 §5).
        (May, "optional", records(), None, "may"),
        (May, "optional", broken(), None, "may"),
        (May, "optional", Nothing, Some(&other), "may"),
        (Encrypt, "optional", Nothing, Some(&good), "encrypt"),
        (May, "optional require", records(), None, "dane"),
        (May, "optional require", Nothing, None, "verify"),
        // The operator's "none" is for hosts that cannot do better.
        (Clear, "", records(), None, "clear"),
        (Clear, "", Nothing, Some(&good), "clear"),
    ];
    for (place, (level, wish, published, policy, expected)) in cases.into_iter().enumerate() {
        assert_eq!(judge(level, wish, published, policy), expected, "case {place}");
    }
}

#[test]
fn only_optional_tls_goes_on_in_clear() {
    let dane = match records() {
        Published::Records { dane, sni, .. } => Protection::Dane { dane, sni },
        other => panic!("{other:?}"),
    };
    let cases = [
        (Protection::Level(Level::None), StartTls::Never),
        (Protection::Level(Level::May), StartTls::IfOffered),
        (Protection::Level(Level::Encrypt), StartTls::Required),
        (Protection::Level(Level::Verify), StartTls::Required),
        (Protection::Watched(Level::May), StartTls::IfOffered),
        (Protection::Watched(Level::Encrypt), StartTls::Required),
        (dane, StartTls::Required),
    ];
    for (protection, expected) in cases {
        assert_eq!(protection.start_tls(), expected, "{protection:?}");
        assert_eq!(protection.allows_clear_text(), expected != StartTls::Required, "{protection:?}");
    }
}
