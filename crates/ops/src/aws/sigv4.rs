//! Requests to Amazon's services, signed (AWS Signature Version 4).
//!
//! By hand: the steps are few, and the crate for it brings its own types of HTTP and a second HMAC.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

/// Who we are at Amazon.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKey {
    /// The id of the key, which is no secret.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// What goes with keys that a role lends for a while.
    pub session: Option<String>,
}

impl std::fmt::Debug for AwsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AwsKey({})", self.id)
    }
}

/// What is signed of a request.
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// Names and values, not yet encoded.
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// `20150830T123600Z`
    pub(crate) time: &'a str,
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// All but letters, digits and `-._~` as `%XX`.
fn encoded(text: &str) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect()
}

/// The query of an address, in the order in which it is signed.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    pairs.join("&")
}

/// The header fields that a request has to carry.
pub(crate) fn fields(unsigned: &Unsigned<'_>, key: &AwsKey) -> Vec<(&'static str, String)> {
    let Unsigned { method, host, path, query: pairs, body, region, service, time } = unsigned;
    let mut signed = vec![("host", (*host).to_owned()), ("x-amz-date", (*time).to_owned())];
    signed.extend(key.session.iter().map(|session| ("x-amz-security-token", session.clone())));
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let payload = hex(digest(&SHA256, body).as_ref());
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{payload}", query(pairs));
    let date = time.get(..8).unwrap_or_default();
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let mut derived = mac(format!("AWS4{}", key.secret).as_bytes(), date);
    for part in [region, service, "aws4_request"] {
        derived = mac(&derived, part);
    }
    let signature = hex(&mac(&derived, &text));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        key.id
    );
    signed.remove(0);
    signed.push(("authorization", authorization));
    signed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    type Case<'t> = (&'t AwsKey, &'t str, &'t str, &'t [(&'t str, &'t str)], &'t [u8], &'t str);

    /// `get-vanilla`, `post-vanilla` and `get-vanilla-query-order-key-case` of Amazon's test suite for signatures; the last one
    /// is what botocore 1.43 makes of a key that a role lends.
    #[test]
    fn the_signatures_of_the_test_suite_come_out() {
        let key = AwsKey {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session: None,
        };
        let lent = AwsKey { session: Some("TOKEN==".to_owned()), ..key.clone() };
        let place = "/2013-04-01/hostedzone/Z1/rrset/";
        let cases: [Case<'_>; 4] = [
            (&key, "GET", "/", &[], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (&key, "POST", "/", &[], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                &key,
                "GET",
                "/",
                &[("Param2", "value2"), ("Param1", "value1")],
                b"",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                &lent,
                "POST",
                place,
                &[("name", "a b/c")],
                b"<x/>",
                "b901c23ae6d18020cfba84dfc6cab45d3e25616bc973f6bb3b14ba424a3c0ff1",
            ),
        ];
        for (key, method, path, query, body, expected) in cases {
            let unsigned = Unsigned {
                method,
                host: "example.amazonaws.com",
                path,
                query,
                body,
                region: "us-east-1",
                service: "service",
                time: "20150830T123600Z",
            };
            let fields = fields(&unsigned, key);
            assert_eq!(fields[0], ("x-amz-date", "20150830T123600Z".to_owned()));
            let (name, authorization) = fields.last().unwrap();
            assert_eq!(*name, "authorization");
            assert!(authorization.ends_with(&format!("Signature={expected}")), "{fields:?}");
        }
        assert!(!format!("{key:?}").contains("wJalr"));
        assert_eq!(query(&[("name", "a b/c+d")]), "name=a%20b%2Fc%2Bd");
    }
}
