//! Public keys as domains publish them, and what they verify (RFC 6376 §3.6.1, RFC 8463 §4).

use aws_lc_rs::digest::Digest;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
};

use super::base64;
use super::signature::Algorithm;
use super::tags::{BadTags, Tags, items};

/// Shorter RSA keys verify nothing (RFC 8301 §3.2).
pub const MIN_RSA_BITS: usize = 1_024;
/// Longer RSA keys verify nothing: the work for one signature is bounded (RFC 8301 §3.2 asks for 4,096).
pub const MAX_RSA_BITS: usize = 8_192;
/// Shorter RSA keys are called weak in the result (RFC 8301 §3.2: signers should use at least this).
pub const STRONG_RSA_BITS: usize = 2_048;
/// Longest record that is read, in octets; a key of 8,192 bits fits three times.
const MAX_RECORD: usize = 8 * 1024;
/// Octets of an Ed25519 public key (RFC 8032 §5.1.5).
const ED25519_OCTETS: usize = 32;

/// Why a record holds no key that could verify this signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Over 8 KB.
    #[error("the key record is longer than {MAX_RECORD} octets")]
    TooLong,
    /// Not a list of tags.
    #[error("the key record holds {0}")]
    Tags(#[from] BadTags),
    /// `v=` is something else than `DKIM1`, or does not stand first.
    #[error("the record is no DKIM1 key")]
    Version,
    /// `k=` is neither `rsa` nor `ed25519`.
    #[error("the key is of an unknown kind")]
    Kind,
    /// No `p=`, or no public key in it.
    #[error("the key record holds no public key")]
    NoKey,
    /// `p=` is empty.
    #[error("the key is revoked")]
    Revoked,
    /// Under [`MIN_RSA_BITS`].
    #[error("the RSA key has only {0} bits")]
    TooShort(usize),
    /// Over [`MAX_RSA_BITS`].
    #[error("the RSA key has {0} bits, more than anybody verifies")]
    TooStrong(usize),
    /// `h=` does not name sha256.
    #[error("the key is not for sha256")]
    Hash,
    /// `s=` names neither `email` nor `*`.
    #[error("the key is not for mail")]
    Service,
    /// `k=` is not what the signature's `a=` wants.
    #[error("the key is of another kind than the signature")]
    OtherKind,
    /// `t=s`, and `i=` names a subdomain.
    #[error("the key does not speak for subdomains")]
    Subdomain,
}

/// One TXT record below `_domainkey`, with all its strings joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key itself.
    pub(crate) key: PublicKeyData,
    /// `t=y`: the domain is trying out DKIM.
    pub testing: bool,
    /// `t=s`: `i=` must be of the very domain.
    pub strict: bool,
    /// `s=tlsrpt`: it signs reports about TLS and no other mail (RFC 8460 §3).
    pub tls_reports_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKeyData {
    /// `der` is an `RSAPublicKey` (RFC 8017 §A.1.1).
    Rsa {
        der: Vec<u8>,
        bits: usize,
    },
    Ed25519([u8; ED25519_OCTETS]),
}

impl KeyRecord {
    /// Reads a record. `g=`, which RFC 6376 dropped, and unknown tags are ignored.
    pub fn parse(record: &[u8]) -> Result<Self, BadKey> {
        if record.len() > MAX_RECORD {
            return Err(BadKey::TooLong);
        }
        let tags = Tags::parse(record)?;
        let version = tags.get("v").is_none_or(|version| version == "DKIM1" && tags.first() == Some("v"));
        if !version {
            return Err(BadKey::Version);
        }
        // Values have case where nothing else is said (RFC 6376 §3.2), but words of a grammar in ABNF have none (RFC 5234
        // §2.3): OpenDKIM takes h=SHA256 too, and dkimpy asks for no h= at all.
        let is_one_of = |item: &str, words: &[&str]| words.iter().any(|word| item.eq_ignore_ascii_case(word));
        let lists = |tag: &str, wanted: &[&str]| {
            tags.get(tag).is_none_or(|list| items(list).any(|item| is_one_of(item, wanted)))
        };
        let tls_reports_only = !lists("s", &["*", "email"]);
        if tls_reports_only && !lists("s", &["tlsrpt"]) {
            return Err(BadKey::Service);
        }
        if !lists("h", &["sha256"]) {
            return Err(BadKey::Hash);
        }
        let flag =
            |flag| tags.get("t").is_some_and(|flags| items(flags).any(|item| is_one_of(item, &[flag])));
        let key = public_key(tags.get("k").unwrap_or("rsa"), tags.get("p").ok_or(BadKey::NoKey)?)?;
        Ok(Self { key, testing: flag("y"), strict: flag("s"), tls_reports_only })
    }

    /// Whether both hold the same public key.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Bits of an RSA key.
    pub fn rsa_bits(&self) -> Option<usize> {
        match self.key {
            PublicKeyData::Rsa { bits, .. } => Some(bits),
            PublicKeyData::Ed25519(_) => None,
        }
    }

    /// Whether this is a key for the algorithm.
    pub(crate) fn serves(&self, algorithm: Algorithm) -> bool {
        let kind = match self.key {
            PublicKeyData::Rsa { .. } => Algorithm::RsaSha256,
            PublicKeyData::Ed25519(_) => Algorithm::Ed25519Sha256,
        };
        kind == algorithm
    }

    /// Whether the signature is this key's over the hash. Ed25519 signs the hash itself (RFC 8463 §3).
    pub(crate) fn verifies(&self, hash: &Digest, signature: &[u8]) -> bool {
        let valid = match &self.key {
            PublicKeyData::Rsa { der, .. } => {
                UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, der)
                    .verify_digest(hash, signature)
            }
            PublicKeyData::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(hash.as_ref(), signature)
            }
        };
        valid.is_ok()
    }
}

fn public_key(kind: &str, text: &str) -> Result<PublicKeyData, BadKey> {
    if text.is_empty() {
        return Err(BadKey::Revoked);
    }
    let octets = base64::decode(text);
    match kind.to_ascii_lowercase().as_str() {
        "rsa" => rsa(&octets.ok_or(BadKey::NoKey)?),
        "ed25519" => {
            let key = octets.and_then(|octets| octets.try_into().ok());
            key.map(PublicKeyData::Ed25519).ok_or(BadKey::NoKey)
        }
        _ => Err(BadKey::Kind),
    }
}

/// RFC 6376 §3.6.1 says `RSAPublicKey`, its examples and everybody's keys are `SubjectPublicKeyInfo`: both are
/// read.
fn rsa(der: &[u8]) -> Result<PublicKeyData, BadKey> {
    let key = PublicKey::from_der(der).map_err(|_| BadKey::NoKey)?;
    let der = key.as_ref().to_vec();
    let bits = RsaParameters::public_modulus_len(&der).map_err(|_| BadKey::NoKey)?;
    match bits as usize {
        bits if bits < MIN_RSA_BITS => Err(BadKey::TooShort(bits)),
        bits if bits > MAX_RSA_BITS => Err(BadKey::TooStrong(bits)),
        bits => Ok(PublicKeyData::Rsa { der, bits }),
    }
}
