//! Bearer tokens, the keys of their issuers, and what they claim.

use std::time::Duration;

use kings_mail::charset;
use kings_oauth::claims::{Claims, Rules};
use kings_oauth::jwks::{KeySet, MAX_KEYS};
use kings_oauth::jwt::{Jwt, MAX_TOKEN};

/// A public key of Ed25519 whose private half nobody here has.
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// No input is a token of somebody whose private key it does not know, whatever it claims.
pub fn oauth_token(data: &[u8]) {
    let text = charset::guess(data);
    let Ok(token) = Jwt::parse(&text) else { return };
    assert!(text.len() <= MAX_TOKEN && text.split('.').count() == 3);
    let keys = KeySet::parse(KEYS.as_bytes()).expect("a constant");
    assert!(keys.verify(&token).is_err());
    judge(&token.claims);
}

/// A set of keys is small, and claims name an account only while they are good.
pub fn oauth_keys(data: &[u8]) {
    if let Ok(keys) = KeySet::parse(data) {
        assert!((1..=MAX_KEYS).contains(&keys.len()));
    }
    if let Some(claims) = Claims::parse(data) {
        judge(&claims);
    }
}

fn judge(claims: &Claims) {
    let rules = Rules {
        issuer: "https://id.example.org".into(),
        audience: vec!["kings".into()],
        account: vec!["email".into()],
        domains: Vec::new(),
        scope: None,
        leeway: Duration::from_mins(1),
    };
    if let Ok(account) = rules.judge(claims, 1_800_000_000) {
        assert_eq!(claims.text("iss"), Some("https://id.example.org"));
        assert_ne!(claims.flag("email_verified"), Some(false));
        assert_eq!(account, account.folded());
    }
}
