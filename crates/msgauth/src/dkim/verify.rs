//! Verifying: the message goes in piece by piece, the keys come from DNS meanwhile, a report comes out.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use kings_dns::{Dns, DnsError};
use kings_mail::date::DateTime;
use kings_mail::domain::DnsName;

use super::canonical::{BodyHash, BodyHasher, Canonicalization};
use super::choice::Choice;
use super::header::{Header, HeaderTooLarge, RawField};
use super::key::{BadKey, KeyRecord};
use super::signature::{BadSignature, Signature};
use super::stream::{self, Signed, Stream};
use super::verdict::{Checked, Report, Verdict};
use crate::together::all;

/// TXT records under one selector that are tried; RFC 6376 §3.6.2.2 wants one.
const MAX_RECORDS: usize = 4;
/// How far the clocks of signer and verifier may differ, in seconds (as OpenDKIM's ClockDrift).
const CLOCK_SKEW: u64 = 300;

/// Takes a message in pieces of any size.
#[derive(Default)]
pub struct Verifier(Stream<Body>);

/// The message from its empty line on.
struct Body {
    header: Header,
    choice: Choice,
    hashers: Vec<(BodyKind, BodyHasher)>,
}

/// Signatures of one kind share a hash.
type BodyKind = (Canonicalization, Option<u64>);

impl Verifier {
    /// Waits for the first octet of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next octets of the message, with dots unstuffed. LF alone counts as CRLF.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.push(piece, Body::new);
    }

    /// Which keys to fetch, as soon as the header is whole: ask while the body arrives.
    pub fn questions(&self) -> Option<Questions> {
        self.0.questions()
    }

    /// The message is whole.
    pub fn end(self) -> Ended {
        Ended(self.0.end(Body::new).ok())
    }
}

/// A whole message that waits for keys.
pub struct Ended(Option<Body>);

impl Ended {
    /// Which keys to fetch, where they were not asked for before.
    pub fn questions(&self) -> Questions {
        self.0.as_ref().map(Signed::questions).unwrap_or_default()
    }

    /// Verifies. A signature whose key is not among `keys` gets a temperror.
    pub fn finish(self, keys: &Keys, now: DateTime) -> Report {
        match self.0 {
            None => Report { too_large: Some(HeaderTooLarge), ..Report::default() },
            Some(body) => body.finish(keys, u64::try_from(now.unix()).unwrap_or(0)),
        }
    }
}

/// Verifies a message that is there as a whole.
pub async fn check(message: &[u8], dns: &impl Dns, now: DateTime) -> Report {
    let mut verifier = Verifier::new();
    verifier.push(message);
    let ended = verifier.end();
    let keys = ended.questions().ask(dns).await;
    ended.finish(&keys, now)
}

impl stream::Body for Body {
    fn push(&mut self, piece: &[u8]) {
        self.hashers.iter_mut().for_each(|(_, hasher)| hasher.push(piece));
    }
}

impl Signed for Body {
    fn questions(&self) -> Questions {
        self.choice.verifiable().map(|signature| signature.key_name.clone()).collect()
    }
}

impl Body {
    fn new(header: Header) -> Self {
        let choice = Choice::of(&header);
        let mut hashers: Vec<(BodyKind, BodyHasher)> = Vec::new();
        for signature in choice.verifiable() {
            let kind = (signature.body_form, signature.length);
            if hashers.iter().all(|(known, _)| *known != kind) {
                hashers.push((kind, BodyHasher::new(kind.0, kind.1)));
            }
        }
        Self { header, choice, hashers }
    }

    fn finish(self, keys: &Keys, now: u64) -> Report {
        let Self { header, choice: Choice { signatures, ignored }, hashers } = self;
        let bodies: Vec<(BodyKind, BodyHash)> =
            hashers.into_iter().map(|(kind, hasher)| (kind, hasher.finish())).collect();
        let fields: Vec<RawField<'_>> = header.named("dkim-signature").collect();
        let one = |(place, signature): (usize, Result<Signature, BadSignature>)| {
            let signature = match signature {
                Ok(signature) => signature,
                Err(bad) => return Checked::new(bad.into(), false, None),
            };
            let body = bodies.iter().find(|(kind, _)| *kind == (signature.body_form, signature.length));
            let Some((_, body)) = body else { return Checked::new(Verdict::Sha1, false, Some(&signature)) };
            let (verdict, testing) = check_signature(&header, &fields[place], &signature, body, keys, now);
            Checked::new(verdict, testing, Some(&signature))
        };
        let signatures = signatures.into_iter().map(one).collect();
        let mut report = Report { signatures, ignored, too_large: None };
        report.shorten();
        report
    }
}

/// RFC 6376 §3.7: the chosen fields, then the signature without its value and CRLF.
fn header_hash(header: &Header, field: &RawField<'_>, signature: &Signature) -> Digest {
    let mut context = Context::new(&SHA256);
    header.hash(&signature.names, signature.header_form, &mut context);
    let mut canonical = Vec::new();
    field.unsigned(signature.header_form, &signature.hole, &mut canonical);
    context.update(&canonical);
    context.finish()
}

/// Verifies one signature with the keys of its selector, and says whether the key is on trial.
pub(crate) fn check_signature(
    header: &Header,
    field: &RawField<'_>,
    signature: &Signature,
    body: &BodyHash,
    keys: &Keys,
    now: u64,
) -> (Verdict, bool) {
    let hash = header_hash(header, field, signature);
    let (verdict, testing) = match keys.records(&signature.key_name) {
        // What does not fit its body is no signature of it, whatever the key would say.
        Err(doubt @ Verdict::KeyUnavailable(_)) => (body_fault(signature, body).unwrap_or(doubt), false),
        Err(verdict) => (verdict, false),
        Ok(records) => best_record(records, |record| match usable_key(signature, record) {
            Err(bad) => (bad.into(), false),
            Ok(key) => (of_service(&key, verify(signature, &key, body, &hash, now)), key.testing),
        }),
    };
    match (&verdict, header.doubled(&signature.names)) {
        (Verdict::Valid { .. }, Some(name)) => (Verdict::Doubled(name), testing),
        _ => (verdict, testing),
    }
}

/// What a key for TLS reports alone says is worth nothing for other mail, which the caller knows.
fn of_service(key: &KeyRecord, verdict: Verdict) -> Verdict {
    match verdict {
        verdict if !key.tls_reports_only => verdict,
        Verdict::Valid { .. } => Verdict::TlsReportsOnly,
        _ => BadKey::Service.into(),
    }
}

/// The best of the records under the selector: one that verifies, else the last fault (RFC 6376 §6.1.2).
pub(crate) fn best_record(records: &[Vec<u8>], check: impl Fn(&[u8]) -> (Verdict, bool)) -> (Verdict, bool) {
    let mut outcome = (Verdict::NoKey, false);
    for record in records.iter().take(MAX_RECORDS) {
        outcome = check(record);
        if !matches!(outcome.0, Verdict::BadKey(_) | Verdict::HeaderChanged) {
            break;
        }
    }
    outcome
}

fn usable_key(signature: &Signature, record: &[u8]) -> Result<KeyRecord, BadKey> {
    let key = KeyRecord::parse(record)?;
    if !key.serves(signature.algorithm) {
        return Err(BadKey::OtherKind);
    }
    if key.strict && signature.identity.domain != signature.domain {
        return Err(BadKey::Subdomain);
    }
    Ok(key)
}

fn body_fault(signature: &Signature, body: &BodyHash) -> Option<Verdict> {
    if signature.length.is_some_and(|length| length > body.length) {
        return Some(Verdict::BodyTooShort);
    }
    (body.hash.as_ref() != signature.body_hash).then_some(Verdict::BodyChanged)
}

fn verify(signature: &Signature, key: &KeyRecord, body: &BodyHash, hash: &Digest, now: u64) -> Verdict {
    if let Some(fault) = body_fault(signature, body) {
        return fault;
    }
    if !key.verifies(hash, &signature.octets) {
        return Verdict::HeaderChanged;
    }
    match signature.length {
        Some(covered) => Verdict::PartOfBody { covered, whole: body.length },
        None if signature.expires.is_some_and(|expires| expires.saturating_add(CLOCK_SKEW) < now) => {
            Verdict::Expired
        }
        None if signature.signed.is_some_and(|signed| signed > now.saturating_add(CLOCK_SKEW)) => {
            Verdict::FromTheFuture
        }
        None => Verdict::Valid { rsa_bits: key.rsa_bits() },
    }
}

/// The names to ask for TXT records, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions(Vec<DnsName>);

impl FromIterator<DnsName> for Questions {
    fn from_iter<I: IntoIterator<Item = DnsName>>(names: I) -> Self {
        let mut seen = HashSet::new();
        Self(names.into_iter().filter(|name| seen.insert(name.clone())).collect())
    }
}

impl Questions {
    /// The names.
    pub fn names(&self) -> &[DnsName] {
        &self.0
    }

    /// Asks for all keys at once. How long to wait is up to the caller: [`Keys::default`] serves where it gave up.
    pub async fn ask(self, dns: &impl Dns) -> Keys {
        let asked = self.0.iter().map(|name| dns.txt(name));
        let answers = all(asked).await;
        let answers = answers.into_iter().map(|answer| answer.map(|answer| answer.records));
        Keys(self.0.iter().cloned().zip(answers).collect())
    }
}

/// What DNS said about the keys of one message.
#[derive(Clone, Debug, Default)]
pub struct Keys(HashMap<DnsName, Result<Vec<Vec<u8>>, DnsError>>);

impl Keys {
    /// Only a temporary failure is worth another attempt (RFC 6376 §6.1.2).
    pub(crate) fn records(&self, name: &DnsName) -> Result<&[Vec<u8>], Verdict> {
        match self.0.get(name) {
            None => Err(Verdict::KeyUnavailable("no answer in time".to_owned())),
            Some(Ok(records)) => Ok(records),
            Some(Err(DnsError::NoDomain | DnsError::NoRecord)) => Err(Verdict::NoKey),
            Some(Err(DnsError::Temporary(why))) => Err(Verdict::KeyUnavailable(why.clone())),
        }
    }
}
