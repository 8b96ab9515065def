//! What a certificate of ours says: names, dates, whose it is.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use kings_dns::Tlsa;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The names in DNS that it is for, in small letters (RFC 5280 §4.2.1.6).
    pub names: Vec<String>,
    /// From when it is good.
    pub not_before: SystemTime,
    /// And until when.
    pub not_after: SystemTime,
    /// Who gave it, as text.
    pub issuer: String,
    /// Nobody but its owner vouches for it.
    pub is_self_signed: bool,
    /// SHA-256 of its public key, as `3 1 1` of TLSA has it (RFC 6698 §2.1).
    pub key_digest: [u8; 32],
}

impl Described {
    /// `None` where it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(certificate).ok()?;
        let alternative = read.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Some(Self {
            names: names.collect(),
            not_before: time(read.validity().not_before),
            not_after: time(read.validity().not_after),
            issuer: read.issuer().to_string(),
            is_self_signed: read.issuer() == read.subject(),
            key_digest: sha256(read.public_key().raw),
        })
    }

    /// The record of DNS that names this key, and goes on to name it when the certificate is renewed (RFC 7671 §5.1).
    pub fn tlsa(&self) -> Tlsa {
        tlsa_of(self.key_digest)
    }

    /// Whether it is for this name (RFC 6125 §6.4), without its last dot.
    pub fn is_for(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.names.iter().any(|known| *known == name || Some(known) == wildcard.as_ref())
    }
}

/// `3 1 1` of a public key, given as its SubjectPublicKeyInfo (RFC 5280 §4.1).
pub fn tlsa_of_key(key: &[u8]) -> Tlsa {
    tlsa_of(sha256(key))
}

fn tlsa_of(key_digest: [u8; 32]) -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: key_digest.to_vec() }
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut digested = [0; 32];
    digested.copy_from_slice(digest(&SHA256, octets).as_ref());
    digested
}

fn time(at: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(at.timestamp().unsigned_abs());
    let shifted = if at.timestamp() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    shifted.unwrap_or(SystemTime::UNIX_EPOCH)
}
