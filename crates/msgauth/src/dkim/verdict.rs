//! What came of a signature: one value, its word for Authentication-Results, its reason for people.

use std::fmt;

use kings_mail::domain::Domain;

use super::canonical::Canonicalization;
use super::header::HeaderTooLarge;
use super::key::{BadKey, STRONG_RSA_BITS};
use super::signature::{Algorithm, BadSignature, Identity, Selector, Signature};

/// The words of RFC 8601 §2.7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// The message carries no signature.
    None,
    /// The signature is good and policy may trust it.
    Pass,
    /// The signature is not this message's.
    Fail,
    /// Good or not, it is none that we act on.
    Policy,
    /// It is of a kind that we do not know.
    Neutral,
    /// The key could not be had now; later it may be.
    TempError,
    /// It can never be verified.
    PermError,
}

impl Word {
    /// As Authentication-Results spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of one signature. [`Verdict::word`] sums it up; the text tells people why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// It verifies.
    #[error("{}", strength(*.rsa_bits))]
    Valid {
        /// Bits of the key where it is RSA; under [`STRONG_RSA_BITS`] it is called weak.
        rsa_bits: Option<usize>,
    },
    /// It verifies, but covers the beginning of the body alone: anybody can append to it (RFC 6376 §8.2).
    #[error("l= covers {covered} of {whole} octets of the body")]
    PartOfBody {
        /// Octets of the canonical body that are signed.
        covered: u64,
        /// Octets of the whole canonical body.
        whole: u64,
    },
    /// It verifies, but a field that a header has once stands there more often, and not all of them are signed.
    #[error("there is more than one {0} field, and it does not cover all of them")]
    Doubled(&'static str),
    /// It verifies, but `x=` is over.
    #[error("the signature has expired")]
    Expired,
    /// It verifies, but `t=` is to come.
    #[error("the signature is from the future")]
    FromTheFuture,
    /// The body hash differs.
    #[error("the body was changed")]
    BodyChanged,
    /// `l=` is longer than the body.
    #[error("the body is shorter than l= says")]
    BodyTooShort,
    /// The body is the signer's, the signature is not that of the header and the key.
    #[error("the signature does not match the header")]
    HeaderChanged,
    /// RFC 8301 §3.1.
    #[error("rsa-sha1 is no longer valid")]
    Sha1,
    /// The field is no signature.
    #[error("{0}")]
    BadSignature(#[from] BadSignature),
    /// The key is none, or none for this signature.
    #[error("{0}")]
    BadKey(#[from] BadKey),
    /// It verifies, by a key that signs TLS reports and no other mail (RFC 8460 §3).
    #[error("the key is not for mail but for TLS reports")]
    TlsReportsOnly,
    /// Nothing is published under the selector.
    #[error("there is no key")]
    NoKey,
    /// DNS does not answer for now.
    #[error("the key cannot be had now: {0}")]
    KeyUnavailable(String),
}

fn strength(rsa_bits: Option<usize>) -> String {
    match rsa_bits {
        Some(bits) if bits < STRONG_RSA_BITS => format!("weak key: {bits}-bit RSA"),
        Some(bits) => format!("{bits}-bit RSA key"),
        None => "Ed25519 key".to_owned(),
    }
}

impl Verdict {
    /// The one place where an outcome becomes a word (RFC 8601 §2.7.1).
    pub fn word(&self) -> Word {
        match self {
            Self::Valid { .. } => Word::Pass,
            Self::PartOfBody { .. } | Self::Expired | Self::FromTheFuture => Word::Policy,
            Self::BodyChanged | Self::BodyTooShort | Self::HeaderChanged | Self::Sha1 => Word::Fail,
            Self::Doubled(_) | Self::BadSignature(BadSignature::Unknown(_)) => Word::Neutral,
            Self::BadSignature(_) | Self::BadKey(_) | Self::TlsReportsOnly | Self::NoKey => Word::PermError,
            Self::KeyUnavailable(_) => Word::TempError,
        }
    }
}

/// One signature with its outcome: what an Authentication-Results field says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What came of it.
    pub verdict: Verdict,
    /// The key says `t=y`: policy should not hold a failure against the domain (RFC 6376 §3.6.1).
    pub testing: bool,
    /// Who signed, where the field could be read.
    pub claim: Option<Claim>,
}

/// What a readable signature says of itself; each is safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `header.d`
    pub domain: Domain,
    /// `header.i`
    pub identity: Identity,
    /// `header.s`
    pub selector: Selector,
    /// `header.a`
    pub algorithm: Algorithm,
    /// `header.b`: the first characters of the signature, at least 8, as many as tell it from the others
    /// (RFC 6008 §4).
    pub start: String,
    /// The fields that are signed, in lower case; one that stands there more often than in the header may not be added.
    pub names: Vec<String>,
    /// How the header was prepared, and how the body.
    pub forms: (Canonicalization, Canonicalization),
    /// When it was signed, and until when it is good, in seconds since 1970, where it says so.
    pub times: (Option<u64>, Option<u64>),
}

impl Checked {
    pub(crate) fn new(verdict: Verdict, testing: bool, signature: Option<&Signature>) -> Self {
        let claim = signature.map(|signature| Claim {
            domain: signature.domain.clone(),
            identity: signature.identity.clone(),
            selector: signature.selector.clone(),
            algorithm: signature.algorithm,
            start: signature.text.clone(),
            names: signature.names.clone(),
            forms: (signature.header_form, signature.body_form),
            times: (signature.signed, signature.expires),
        });
        Self { verdict, testing, claim }
    }
}

/// Everything found in one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The signatures that were looked at, from top to bottom; [`MAX_SIGNATURES`](super::MAX_SIGNATURES) at most.
    pub signatures: Vec<Checked>,
    /// How many more there are.
    pub ignored: usize,
    /// Nothing was looked at.
    pub too_large: Option<HeaderTooLarge>,
}

impl Report {
    /// The word for the whole message: pass if any signature passes, else what came of the first one.
    pub fn word(&self) -> Word {
        let words = || self.signatures.iter().map(|checked| checked.verdict.word());
        match self.too_large {
            Some(HeaderTooLarge) => Word::PermError,
            None if words().any(|word| word == Word::Pass) => Word::Pass,
            None => words().next().unwrap_or(Word::None),
        }
    }

    /// Shortens the start of each signature to 8 characters, or to what tells it from the others.
    pub(crate) fn shorten(&mut self) {
        let full: Vec<String> = self.claims().map(|claim| claim.start.clone()).collect();
        for claim in self.signatures.iter_mut().filter_map(|checked| checked.claim.as_mut()) {
            let others = || full.iter().filter(|other| **other != claim.start);
            let shared = others().map(|other| shared_start(other, &claim.start)).max().unwrap_or(0);
            claim.start.truncate((shared + 1).max(8));
        }
    }

    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.signatures.iter().filter_map(|checked| checked.claim.as_ref())
    }
}

/// Base64 is ASCII, so octets are characters.
fn shared_start(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}
