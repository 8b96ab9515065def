//! A second, naive signer: it holds the whole message and shares no code with what it tests.
#![allow(dead_code, reason = "each test uses its own part")]

pub(crate) mod judges;

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
use kings_msgauth::dkim::{Canonicalization, Report, Rules, Word, check};

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

/// The white space of mail. That of Unicode has more, which is 8-bit text here.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

fn name_of(field: &str) -> String {
    // Not folded: what stands on another line than its colon is no name (RFC 5322 §4.5.8).
    field.split(':').next().unwrap_or_default().trim_matches([' ', '\t']).to_ascii_lowercase()
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

/// Header and body as text, octets as characters and lines with CRLF.
fn split(message: &[u8]) -> (String, String) {
    let text: String = message.iter().map(|&octet| char::from(octet)).collect();
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let (header, body) = match text.strip_prefix("\r\n") {
        Some(body) => ("", body),
        None => text.split_once("\r\n\r\n").unwrap_or((&text, "")),
    };
    (header.to_owned(), body.to_owned())
}

/// What a signature field covers of a message that stands below it, as text (octets as characters).
pub(crate) fn covered(
    field: &str,
    message: &[u8],
    header_form: &str,
    body_form: &str,
) -> (Vec<String>, String) {
    let (header, body) = split(message);
    let (_, names) = field.split_once("h=").expect("h=");
    let (names, _) = names.split_once(';').expect("an end of h=");
    let mut left: HashMap<String, Vec<String>> = HashMap::new();
    for field in fields(&header).into_iter().filter(|field| field.contains(':')) {
        left.entry(name_of(&field)).or_default().push(field);
    }
    let mut chosen = Vec::new();
    for name in names.split(':').map(|name| name.trim_matches(WHITE)) {
        chosen.push(
            left.get_mut(name)
                .and_then(Vec::pop)
                .map_or(String::new(), |field| canonical_field(header_form, &field)),
        );
    }
    (chosen, canonical_body(body_form, &body))
}

/// The rules of all four mixes.
pub(crate) fn all_rules() -> impl Iterator<Item = Rules> {
    use Canonicalization::{Relaxed, Simple};
    let forms = [(Simple, Simple), (Simple, Relaxed), (Relaxed, Simple), (Relaxed, Relaxed)];
    forms.into_iter().map(|(header_form, body_form)| Rules { header_form, body_form, ..Rules::default() })
}

/// Small messages, odd in every way that canonical forms are about.
pub(crate) const CORPUS: &[&str] = &[
    // No body, no empty line, no line end.
    "From: a",
    "From: a\r\n",
    "From: a\r\n\r\n",
    "From: a\n\n",
    "From: a\r",
    "From: a\r\nSubject: b\r",
    // Empty lines, and lines of white space.
    "From: a\r\n\r\n\r\n\r\n",
    "From: a\r\n\r\n \r\n\t\r\n\r\n",
    "From: a\r\n\r\n\r\nx\r\n\r\n \r\ny \t\r\n\r\n\r\n",
    // A last line without an end; white space at both ends, in runs, and around single words.
    "From: a\r\n\r\n x  y",
    "From: a\r\n\r\n\t \tx \t  y\t\t\r\n  \r\nz ",
    // Bare LF, bare CR, and both.
    "From: a\nSubject: b\n c\n\nx\n\ny \n",
    "From: a\r\nSubject: b\rc\r\n\r\nx\ry\r\r\nz\n\r\n",
    // Folding: at once, on a line of its own, by tabs, with a line of white space inside.
    "Subject:\r\n x\r\nFrom: a\r\n\tb\r\n\t  c \r\n\r\n.\r\n",
    "Subject: x\r\n \r\n y\r\nFrom: a\r\n\r\n..\r\n",
    // White space before the colon, none behind it, nothing at all; colons in values; no field at all.
    "SUBJECT \t:x:y: z\r\nfrom:a\r\nCc:\r\nTo: \r\nno field\r\n\r\nFrom: b\r\n",
    // Fields more than once, apart and in other cases; one that nobody covers.
    "To: a\r\nFrom: b\r\nX-A: c\r\nTO: d\r\nto: a\r\nFrom: e\r\n\r\nx\r\n",
    // 8 bit, NUL, and a line of other controls.
    "From: \u{e9} <a>\r\nSubject: \u{a0}\u{85}\u{feff}x\r\n\r\n\u{e9}\u{a0} \0\x0b\x0c \x7f\r\n",
];

/// What may become of an octet: another bit, its other case, and whatever separates words, lines and fields. Each of
/// four turns has two of them, to be done with in seconds.
pub(crate) fn replacements(octet: u8, turn: usize) -> impl Iterator<Item = u8> {
    let all = [octet ^ 1, octet ^ 0x20, octet ^ 0x80, b' ', b'\t', b'\r', b'\n', b':'];
    all.into_iter().skip(turn % 4).step_by(4).filter(move |other| *other != octet)
}

/// All that a signature field of a message depends on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The field without the value of `b=`, in its canonical form.
    field: String,
    /// The value of `b=` without white space.
    octets: String,
    /// The fields and the body it covers.
    covered: (Vec<String>, String),
}

/// What the fields of a name (in lower case) claim, where they cover fields and a body by those forms.
pub(crate) fn claims(name: &str, message: &[u8], rules: &Rules) -> Vec<Claim> {
    let (header_form, body_form) = (rules.header_form.as_str(), rules.body_form.as_str());
    let claim = |field: String| {
        // One that has lost its list covers nothing.
        let has_names = field.split_once("h=").is_some_and(|(_, rest)| rest.contains(';'));
        let covered = has_names.then(|| covered(&field, message, header_form, body_form));
        let (field, octets) = without_signature(&field);
        Claim { field: canonical_field(header_form, &field), octets, covered: covered.unwrap_or_default() }
    };
    named(name, message).into_iter().map(claim).collect()
}

/// All that the seals of a message depend on besides its signatures, which they cover as well.
pub(crate) fn sealed(message: &[u8]) -> Vec<String> {
    let relaxed = |name| named(name, message).into_iter().map(|field| canonical_field("relaxed", &field));
    let seals = named("arc-seal", message).into_iter().flat_map(|field| {
        let (field, octets) = without_signature(&field);
        [canonical_field("relaxed", &field), octets]
    });
    relaxed("arc-authentication-results").chain(relaxed("arc-message-signature")).chain(seals).collect()
}

fn named(name: &str, message: &[u8]) -> Vec<String> {
    let (header, _) = split(message);
    fields(&header).into_iter().filter(|field| field.contains(':') && name_of(field) == name).collect()
}

/// A field with an empty `b=`, and the value that stood there, without white space.
fn without_signature(field: &str) -> (String, String) {
    let (name, value) = field.split_once(':').expect("a colon");
    let mut octets = String::new();
    let tags: Vec<&str> = value
        .split(';')
        .map(|tag| match tag.split_once('=') {
            Some((key, value)) if key.trim_matches(WHITE) == "b" => {
                octets.extend(value.split(WHITE));
                // Padding says nothing that the length does not.
                octets.truncate(octets.trim_end_matches('=').len());
                &tag[..=key.len()]
            }
            _ => tag,
        })
        .collect();
    (format!("{name}:{}", tags.join(";")), octets)
}
