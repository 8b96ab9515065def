//! SCRAM (RFC 5802, RFC 7677): a password is proven by both sides and shown by neither.

mod client;
mod keys;
mod message;
mod server;

pub(crate) use client::Exchange as ClientExchange;
pub use keys::{Keys, MAX_ITERATIONS, MIN_ITERATIONS};
pub(crate) use server::Exchange as ServerExchange;
pub(crate) use server::Heard;

use std::borrow::Cow;

use aws_lc_rs::{digest, hmac, pbkdf2};

/// The hash that a SCRAM mechanism is named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// RFC 5802
    Sha1,
    /// RFC 7677
    Sha256,
}

impl Hash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    /// Octets of a key.
    fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// What ties an exchange to its TLS connection, so that nobody between the two ends can pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `tls-exporter` (RFC 9266 §2) or `tls-server-end-point` (RFC 5929 §4).
    pub name: &'static str,
    /// What both ends compute from the connection.
    pub data: Vec<u8>,
}

impl Binding {
    /// The one of TLS 1.3.
    pub fn exporter(exported: [u8; 32]) -> Self {
        Self { name: "tls-exporter", data: exported.to_vec() }
    }

    /// Those of one connection, the better one first. Without the one of TLS 1.3 there is none at all: a client that sees
    /// -PLUS offered under TLS 1.2 would use `tls-unique` (RFC 5802 §6), which is broken there (RFC 9266 §1).
    ///
    /// `end_point` is the hash of our certificate: it shows that nobody between us shows another one, not that both mean
    /// the same connection.
    pub fn of(exported: Option<[u8; 32]>, end_point: Option<Vec<u8>>) -> Vec<Self> {
        let Some(exported) = exported else { return Vec::new() };
        let end_point = end_point.map(|data| Self { name: "tls-server-end-point", data });
        std::iter::once(Self::exporter(exported)).chain(end_point).collect()
    }
}

/// SASLprep for a string that is to be compared (RFC 4013 §2); `None` for one that holds forbidden characters.
pub(crate) fn normalize(text: &str) -> Option<String> {
    stringprep::saslprep(text).ok().map(Cow::into_owned)
}

/// SASLprep for a password. One with forbidden characters is taken as it is, as PostgreSQL and Dovecot do:
/// whoever has such a password could not log in otherwise.
fn prepare(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}
