//! A second, naive signer: it holds the whole message and shares no code with what it tests.
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::DnsName;
use kings_msgauth::dkim::{Report, Word, check};

/// When everything happens, in seconds since 1970.
pub(crate) const NOW: i64 = 1_790_000_000;

/// A zone in memory never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a zone in memory never waits"),
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

pub(crate) fn ed25519() -> Key {
    Key::Ed25519(Box::new(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()))
}

/// A key of RFC 8017 in PEM.
pub(crate) fn rsa(pem: &str) -> Key {
    let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    Key::Rsa(Box::new(RsaKeyPair::from_der(&STANDARD.decode(body).unwrap()).unwrap()))
}

impl Key {
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// The `p=` of its record.
    pub(crate) fn public(&self) -> String {
        STANDARD.encode(match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
        })
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Self::Ed25519(pair) => pair.sign(digest(&SHA256, message).as_ref()).as_ref().to_vec(),
        }
    }
}

/// What the signature says; each test changes what it is about.
#[derive(Clone)]
pub(crate) struct Plan {
    /// `header/body`
    pub(crate) forms: &'static str,
    /// `h=`
    pub(crate) names: String,
    /// Tags at the end, such as `; l=5`.
    pub(crate) more: String,
    /// `d=`
    pub(crate) domain: String,
    /// `s=`
    pub(crate) selector: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            forms: "relaxed/relaxed",
            names: "from:to:subject".into(),
            more: String::new(),
            domain: "example.org".into(),
            selector: "s".into(),
        }
    }
}

impl Plan {
    /// The message with its signature on top.
    pub(crate) fn sign(&self, key: &Key, message: &str) -> String {
        let (header, body) = message.split_once("\r\n\r\n").expect("a header and a body");
        let (header_form, body_form) = self.forms.split_once('/').expect("two forms");
        let limit = self.more.split("l=").nth(1).and_then(|rest| rest.split(';').next()?.trim().parse().ok());
        let canonical = canonical_body(body_form, body);
        let covered = &canonical[..limit.unwrap_or(canonical.len()).min(canonical.len())];
        let field = format!(
            "DKIM-Signature: v=1; a={}; c={}; d={}; s={};\r\n h={}; bh={}{};\r\n b=",
            key.algorithm(),
            self.forms,
            self.domain,
            self.selector,
            self.names,
            STANDARD.encode(digest(&SHA256, covered.as_bytes())),
            self.more,
        );
        let mut left: HashMap<String, Vec<String>> = HashMap::new();
        for field in fields(header) {
            left.entry(name_of(&field)).or_default().push(field);
        }
        let mut signed = String::new();
        for name in self.names.split(':') {
            if let Some(field) = left.get_mut(&name.trim().to_ascii_lowercase()).and_then(Vec::pop) {
                signed.push_str(&canonical_field(header_form, &field));
                signed.push_str("\r\n");
            }
        }
        signed.push_str(&canonical_field(header_form, &field));
        format!("{field}{}\r\n{message}", STANDARD.encode(key.sign(signed.as_bytes())))
    }
}

fn name_of(field: &str) -> String {
    field.split(':').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The fields of a header, without their last CRLF.
fn fields(header: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in header.split("\r\n") {
        match fields.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push_str("\r\n");
                last.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

fn words(text: &str) -> String {
    text.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn canonical_field(form: &str, field: &str) -> String {
    if form == "simple" {
        return field.to_owned();
    }
    let (_, value) = field.split_once(':').expect("a colon");
    format!("{}:{}", name_of(field), words(&value.replace("\r\n", "")))
}

fn canonical_body(form: &str, body: &str) -> String {
    let relaxed = |line: &str| {
        let start = if line.starts_with([' ', '\t']) && !words(line).is_empty() { " " } else { "" };
        format!("{start}{}", words(line))
    };
    let lines = body.split("\r\n").map(|line| if form == "simple" { line.to_owned() } else { relaxed(line) });
    let mut lines: Vec<String> = lines.collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    match lines.len() {
        0 if form == "simple" => "\r\n".to_owned(),
        0 => String::new(),
        _ => lines.join("\r\n") + "\r\n",
    }
}

/// A zone with one record for the selector `s` of example.org.
pub(crate) fn zone(record: &str) -> Zone {
    Zone::default().with_txt(name("s._domainkey.example.org"), record)
}

/// The record of a key.
pub(crate) fn record(key: &Key) -> String {
    let kind = key.algorithm().split('-').next().unwrap_or_default();
    format!("v=DKIM1; k={kind}; p={}", key.public())
}

pub(crate) fn verify(message: &str, zone: &Zone) -> Report {
    now(check(message.as_bytes(), zone, DateTime::from_unix(NOW)))
}

/// The word and the reason of the first signature.
pub(crate) fn first(message: &str, zone: &Zone) -> (Word, String) {
    let report = verify(message, zone);
    let checked = report.signatures.first().expect("a signature");
    (checked.verdict.word(), checked.verdict.to_string())
}

/// What a signature field covers of a message that stands below it, as text (octets as characters).
pub(crate) fn covered(
    field: &str,
    message: &[u8],
    header_form: &str,
    body_form: &str,
) -> (Vec<String>, String) {
    let text: String = message.iter().map(|&octet| char::from(octet)).collect();
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let (header, body) = match text.strip_prefix("\r\n") {
        Some(body) => ("", body),
        None => text.split_once("\r\n\r\n").unwrap_or((&text, "")),
    };
    let (_, names) = field.split_once("h=").expect("h=");
    let (names, _) = names.split_once(';').expect("an end of h=");
    let mut left: HashMap<String, Vec<String>> = HashMap::new();
    for field in fields(header).into_iter().filter(|field| field.contains(':')) {
        left.entry(name_of(&field)).or_default().push(field);
    }
    let mut chosen = Vec::new();
    for name in names.split(':').map(str::trim) {
        chosen.push(
            left.get_mut(name)
                .and_then(Vec::pop)
                .map_or(String::new(), |field| canonical_field(header_form, &field)),
        );
    }
    (chosen, canonical_body(body_form, body))
}
