//! Tokens, good ones and ones with one thing wrong, against the keys and rules of an issuer.

#![allow(clippy::unwrap_used, reason = "tests")]

mod signer;

use std::time::Duration;

use kings_mail::domain::Domain;
use kings_oauth::claims::{BadClaims, Claims, Rules};
use kings_oauth::jwks::{BadKeySet, BadSignature, KeySet, MAX_KEYS};
use kings_oauth::jwt::{BadJwt, Jwt, MAX_TOKEN};
use proptest::prelude::*;
use serde_json::{Value, json};
use signer::{Signer, encode};

const NOW: u64 = 1_800_000_000;

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example.org".into(),
        audience: vec!["kings".into()],
        account: vec!["email".into(), "upn".into()],
        domains: vec![Domain::parse("example.org").unwrap()],
        scope: Some("mail".into()),
        leeway: Duration::from_mins(1),
    }
}

fn good() -> Value {
    json!({
        "iss": "https://id.example.org", "aud": "kings", "exp": NOW + 300, "nbf": NOW - 300,
        "email": "Ann@Example.org", "scope": "openid mail",
    })
}

fn judge(claims: &Value) -> Result<String, BadClaims> {
    let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
    rules().judge(&claims, NOW).map(|account| account.to_string())
}

#[test]
fn every_algorithm_is_taken_with_its_own_key_and_refused_with_any_other() {
    let signers = Signer::all();
    let set =
        |signer: &Signer| KeySet::parse(json!({ "keys": [signer.jwk()] }).to_string().as_bytes()).unwrap();
    for signer in &signers {
        let text = signer.sign(&good());
        let token = Jwt::parse(&text).unwrap();
        assert_eq!(set(signer).verify(&token), Ok(()), "{}", signer.name());
        for other in signers.iter().filter(|other| other.name() != signer.name()) {
            assert!(set(other).verify(&token).is_err(), "{} with {}", signer.name(), other.name());
        }
    }
}

#[test]
fn one_changed_octet_of_any_part_is_no_token_any_more() {
    for signer in Signer::all() {
        let keys = KeySet::parse(json!({ "keys": [signer.jwk()] }).to_string().as_bytes()).unwrap();
        let text = signer.sign(&good());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let verified = Jwt::parse(&changed).ok().map(|token| keys.verify(&token));
            assert_ne!(verified, Some(Ok(())), "{} at {at}", signer.name());
        }
    }
}

#[test]
fn keys_are_chosen_by_name_where_they_have_one() {
    let signers = [Signer::ed25519(), Signer::ed25519()];
    let named = |signer: &Signer, name: &str| {
        let mut key = signer.jwk();
        key["kid"] = name.into();
        key
    };
    let keys = json!({ "keys": [named(&signers[0], "old"), named(&signers[1], "new")] }).to_string();
    let keys = KeySet::parse(keys.as_bytes()).unwrap();
    let token = |header: Value| signers[1].sign_with(&header, &good());
    let verify = |text: &str| keys.verify(&Jwt::parse(text).unwrap());
    assert_eq!(verify(&token(json!({ "alg": "EdDSA", "kid": "new" }))), Ok(()));
    assert_eq!(verify(&token(json!({ "alg": "EdDSA" }))), Ok(()), "without a name all are tried");
    assert_eq!(verify(&token(json!({ "alg": "EdDSA", "kid": "old" }))), Err(BadSignature::Wrong));
    assert_eq!(verify(&token(json!({ "alg": "EdDSA", "kid": "other" }))), Err(BadSignature::UnknownKey));
}

#[test]
fn unsigned_tokens_and_those_of_shared_secrets_are_refused() {
    let signer = Signer::rsa("RS256");
    for algorithm in ["none", "None", "HS256", "HS512", "rs256", "ES512", ""] {
        let text = signer.sign_with(&json!({ "alg": algorithm }), &good());
        assert_eq!(Jwt::parse(&text).unwrap_err(), BadJwt::Algorithm(algorithm.into()));
    }
    // The public key as the secret of an HMAC: a set that offers one is of no use.
    let oct = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }] }).to_string();
    assert_eq!(KeySet::parse(oct.as_bytes()), Err(BadKeySet::NoneUsable));
    // A key for one algorithm is for no other.
    let text = signer.sign_with(&json!({ "alg": "RS256" }), &good());
    let mut key = signer.jwk();
    key["alg"] = "PS256".into();
    let keys = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
    assert_eq!(keys.verify(&Jwt::parse(&text).unwrap()), Err(BadSignature::UnknownKey));
}

#[test]
fn what_is_no_token_is_told_apart() {
    let part = |value: &str| encode(value.as_bytes());
    let (header, claims) = (part(r#"{"alg":"EdDSA"}"#), part("{}"));
    let long = "x".repeat(MAX_TOKEN + 1);
    let cases = [
        ("opaque".to_owned(), BadJwt::OtherKind),
        (String::new(), BadJwt::OtherKind),
        (format!("{header}.{claims}"), BadJwt::OtherKind),
        (format!("{header}.{claims}.A.B"), BadJwt::OtherKind),
        (format!("{header}=.{claims}.AAAA"), BadJwt::OtherKind),
        (format!("{}.{claims}.AAAA", part("[]")), BadJwt::OtherKind),
        (format!("{header}.{}.AAAA", part("[]")), BadJwt::Claims),
        (
            format!("{}.{claims}.AAAA", part(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#)),
            BadJwt::Critical,
        ),
        (format!("{}.{claims}.AAAA", part(r#"{"alg":"EdDSA","alg":"RS256"}"#)), BadJwt::OtherKind),
        (long.clone(), BadJwt::TooLong),
    ];
    for (text, expected) in cases {
        assert_eq!(Jwt::parse(&text).unwrap_err(), expected, "{text}");
    }
    assert_eq!(Jwt::parse(&long[1..]).unwrap_err(), BadJwt::OtherKind);
    assert!(Jwt::parse(&format!("{header}.{claims}.AAAA")).is_ok());
}

#[test]
fn every_claim_wrong_once() {
    assert_eq!(judge(&good()).as_deref(), Ok("ann@example.org"));
    let cases = [
        ("iss", json!("https://id.example.org/"), BadClaims::Issuer),
        ("iss", json!(["https://id.example.org"]), BadClaims::Issuer),
        ("iss", Value::Null, BadClaims::Issuer),
        ("aud", json!("other"), BadClaims::Audience),
        ("aud", json!(["other", "Kings"]), BadClaims::Audience),
        ("aud", json!({ "kings": true }), BadClaims::Audience),
        ("aud", Value::Null, BadClaims::Audience),
        ("exp", json!(NOW - 60), BadClaims::Expired),
        ("exp", json!("tomorrow"), BadClaims::Expired),
        ("exp", Value::Null, BadClaims::Expired),
        ("nbf", json!(NOW + 61), BadClaims::TooEarly),
        ("nbf", json!("today"), BadClaims::TooEarly),
        ("scope", json!("openid mailbox"), BadClaims::Scope),
        ("scope", Value::Null, BadClaims::Scope),
        ("email", json!(7), BadClaims::NoAccount),
        ("email", json!("@"), BadClaims::NoAccount),
        ("email_verified", json!(false), BadClaims::Unverified),
        ("email_verified", json!("false"), BadClaims::Unverified),
    ];
    for (name, value, expected) in cases {
        let mut claims = good();
        claims[name] = value.clone();
        assert_eq!(judge(&claims), Err(expected), "{name}: {value}");
    }
    for name in ["iss", "aud", "exp", "scope", "email"] {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        assert!(judge(&claims).is_err(), "without {name}");
    }
}

#[test]
fn claims_may_be_written_in_other_ways() {
    let cases = [
        ("aud", json!(["other", "kings"])),
        ("exp", json!(NOW - 59)),
        ("exp", json!(1_800_000_000.5)),
        ("nbf", json!(NOW + 60)),
        ("scp", json!(["mail"])),
        ("email_verified", json!(true)),
        ("email_verified", json!("true")),
    ];
    for (name, value) in cases {
        let mut claims = good();
        if name == "scp" {
            claims.as_object_mut().unwrap().remove("scope");
        }
        claims[name] = value.clone();
        assert_eq!(judge(&claims).as_deref(), Ok("ann@example.org"), "{name}: {value}");
    }
}

#[test]
fn the_account_comes_from_the_first_claim_that_is_there_and_from_the_issuers_domains() {
    let with = |email: Option<&str>, upn: Option<&str>| {
        let mut claims = good();
        claims["email"] = email.into();
        claims["upn"] = upn.into();
        judge(&claims)
    };
    assert_eq!(with(None, Some("joe@example.org")).as_deref(), Ok("joe@example.org"));
    assert_eq!(with(Some("ann@example.org"), Some("joe@example.org")).as_deref(), Ok("ann@example.org"));
    assert_eq!(with(Some("ann"), None).as_deref(), Ok("ann@example.org"), "completed");
    assert!(matches!(with(Some("ann@example.net"), None), Err(BadClaims::Domain(_))));
    let free = Rules { domains: Vec::new(), ..rules() };
    let judge_free = |email: &str| {
        let mut claims = good();
        claims["email"] = email.into();
        free.judge(&Claims::parse(claims.to_string().as_bytes()).unwrap(), NOW)
            .map(|account| account.to_string())
    };
    assert_eq!(judge_free("ann@example.net").as_deref(), Ok("ann@example.net"));
    assert_eq!(judge_free("ann"), Err(BadClaims::NoAccount));
}

#[test]
fn key_sets_are_read_with_limits_and_unusable_keys_left_out() {
    let good = Signer::es256().jwk();
    let count =
        |keys: Value| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).map(|keys| keys.len());
    assert_eq!(count(json!([good, 7, {}, { "kty": "RSA", "n": "AQAB", "e": "AQAB" }])), Ok(1));
    assert_eq!(count(Value::Array(vec![good.clone(); MAX_KEYS])), Ok(MAX_KEYS));
    assert_eq!(count(Value::Array(vec![good.clone(); MAX_KEYS + 1])), Err(BadKeySet::TooMany));
    for (name, value) in [("use", "enc"), ("alg", "ES384"), ("alg", "HS256"), ("crv", "P-521"), ("x", "AQAB")]
    {
        let mut bad = good.clone();
        bad[name] = value.into();
        let keys = KeySet::parse(json!({ "keys": [bad] }).to_string().as_bytes());
        let text = Signer::es256().sign(&self::good());
        let is_used = keys.is_ok_and(|keys| keys.has_key_for(&Jwt::parse(&text).unwrap()));
        assert!(!is_used, "{name} {value}");
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]"#] {
        assert_eq!(KeySet::parse(text.as_bytes()), Err(BadKeySet::NotASet), "{text}");
    }
    assert_eq!(count(json!([])), Err(BadKeySet::NoneUsable));
}

proptest! {
    #[test]
    fn a_token_is_good_until_it_expires_and_not_longer(life in 0_u64..100_000, later in 0_u64..200_000) {
        let mut claims = good();
        claims["exp"] = (NOW + life).into();
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        let is_good = rules().judge(&claims, NOW + later).is_ok();
        prop_assert_eq!(is_good, later < life + 60);
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,300}", parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        let _ = Jwt::parse(&text);
        let _ = Jwt::parse(&parts);
        let _ = KeySet::parse(text.as_bytes());
    }
}
