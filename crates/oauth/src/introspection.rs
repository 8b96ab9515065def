//! Asking the issuer what a token is worth (RFC 7662).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kings_fetch::{Fetch, Request, Url};
use kings_mail::address::Address;
use kings_sasl::Secret;

use crate::claims::{BadClaims, Claims, Rules};

/// Longest wait for an answer: a mail program waits behind it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most octets of an answer.
const MAX_ANSWER: usize = 32 * 1024;

/// Where an issuer answers questions about its tokens, and who we are to it.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// The endpoint.
    pub url: Url,
    /// Our name there.
    pub client_id: String,
    /// Our password there.
    pub client_secret: Secret,
    /// Longest time that an answer is remembered; a token that is withdrawn works so long. Zero: not at all.
    pub remember: Duration,
}

/// Why an issuer's word lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Inactive {
    /// Expired, withdrawn, or never given out.
    #[error("its issuer says that it is not active")]
    Inactive,
    /// It is good, but not for us.
    #[error(transparent)]
    Claims(#[from] BadClaims),
}

/// What one answer says, and how many seconds that stays so at most.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) account: Result<Address, Inactive>,
    pub(crate) life: Option<u64>,
}

impl Introspection {
    /// Asks. The error is the reason why nobody can tell; it never holds the token.
    pub(crate) async fn ask(&self, fetch: &Fetch, token: &Secret) -> Result<Vec<u8>, String> {
        let body = format!("token={}&token_type_hint=access_token", encoded(token.expose()));
        let request = Request::post(self.url.clone(), "application/x-www-form-urlencoded", body)
            .with_field("accept", "application/json")
            .with_field("authorization", &self.authorization())
            .within(PATIENCE)
            .at_most(MAX_ANSWER);
        let response = fetch.send(request).await.map_err(|error| error.to_string())?;
        match response.status {
            200 => Ok(response.body),
            // Our own login there, which the config has wrong (RFC 7662 §2.3).
            401 | 403 => Err(format!("{} does not accept client_id and its secret", self.url.host())),
            status => Err(format!("{} answers {status}", self.url.host())),
        }
    }

    /// RFC 6749 §2.3.1: both halves are encoded before they are joined.
    fn authorization(&self) -> String {
        let pair = format!("{}:{}", encoded(&self.client_id), encoded(self.client_secret.expose()));
        format!("Basic {}", STANDARD.encode(pair))
    }
}

/// Reads an answer (RFC 7662 §2.2); `None` where it is none.
pub(crate) fn read(body: &[u8], rules: &Rules, now: u64) -> Option<Verdict> {
    let answer = Claims::parse(body)?;
    if !answer.flag("active")? {
        return Some(Verdict { account: Err(Inactive::Inactive), life: None });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as it should")]
    let life = answer.expires().map(|end| (end as u64).saturating_sub(now));
    Some(Verdict { account: rules.judge_answer(&answer, now).map_err(Inactive::from), life })
}

/// `application/x-www-form-urlencoded`: all but letters, digits and `-._` as `%XX`.
fn encoded(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(octet).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules(audience: &[&str]) -> Rules {
        Rules {
            issuer: "https://id.example.org".into(),
            audience: audience.iter().map(|&name| name.to_owned()).collect(),
            account: vec!["email".into(), "username".into()],
            domains: Vec::new(),
            scope: None,
            leeway: Duration::ZERO,
        }
    }

    #[test]
    fn an_answer_is_read_and_judged() {
        let ann = Ok(Address::parse("ann@example.org").unwrap());
        let cases = [
            (r#"{"active":true,"username":"ann@example.org"}"#, ann.clone(), None),
            (r#"{"active":true,"username":"ann@example.org","exp":1800000007}"#, ann, Some(7)),
            (r#"{"active":false,"username":"ann@example.org"}"#, Err(Inactive::Inactive), None),
            (
                r#"{"active":true,"username":"ann@example.org","exp":1800000000}"#,
                Err(Inactive::Claims(BadClaims::Expired)),
                Some(0),
            ),
            (
                r#"{"active":true,"username":"ann@example.org","iss":"https://other.example"}"#,
                Err(Inactive::Claims(BadClaims::Issuer)),
                None,
            ),
            (r#"{"active":true}"#, Err(Inactive::Claims(BadClaims::NoAccount)), None),
        ];
        for (text, account, life) in cases {
            assert_eq!(read(text.as_bytes(), &rules(&[]), NOW), Some(Verdict { account, life }), "{text}");
        }
    }

    #[test]
    fn with_an_audience_the_answer_must_have_it() {
        let with = r#"{"active":true,"username":"ann@example.org","aud":["kings"]}"#;
        let without = r#"{"active":true,"username":"ann@example.org"}"#;
        let account = |text: &str| read(text.as_bytes(), &rules(&["kings"]), NOW).unwrap().account;
        assert!(account(with).is_ok());
        assert_eq!(account(without), Err(Inactive::Claims(BadClaims::Audience)));
    }

    #[test]
    fn what_is_no_answer_decides_nothing() {
        for text in ["", "[]", "{}", r#"{"active":"true"}"#, r#"{"active":1}"#, "<html>"] {
            assert_eq!(read(text.as_bytes(), &rules(&[]), NOW), None, "{text}");
        }
    }

    #[test]
    fn form_fields_are_encoded() {
        assert_eq!(encoded("a-b.c_d~e/f+g=&%"), "a-b.c_d%7Ee%2Ff%2Bg%3D%26%25");
    }
}
