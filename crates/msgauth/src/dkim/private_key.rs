//! Private keys: read from PEM, and what of them goes into DNS.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

use super::base64;
use super::signature::Algorithm;

/// Longest key file that is read, in octets; a key of 8,192 bits takes 7 KB.
const MAX_PEM: usize = 64 * 1024;

/// Why a text is no private key to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrivateKey {
    /// Over 64 KB.
    #[error("longer than any private key")]
    TooLong,
    /// No `-----BEGIN ... PRIVATE KEY-----`, no matching end, or no base64 between them.
    #[error("not a private key in PEM")]
    NotPem,
    /// A passphrase would be needed.
    #[error("the private key is encrypted; DKIM keys are kept without a passphrase")]
    Encrypted,
    /// Another kind of key, or one that is damaged.
    #[error("not an RSA or Ed25519 private key")]
    Kind,
    /// RFC 8301 §3.2 asks signers for 2,048 bits.
    #[error("the RSA key has fewer than 2048 bits; make a new one and publish it")]
    TooShort,
}

/// A key that signs. It is never printed.
pub struct PrivateKey(Inner);

enum Inner {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl PrivateKey {
    /// Reads the first private key of a PEM file: RSA in PKCS#1 or PKCS#8, Ed25519 in PKCS#8.
    pub fn from_pem(text: &str) -> Result<Self, BadPrivateKey> {
        if text.len() > MAX_PEM {
            return Err(BadPrivateKey::TooLong);
        }
        let (label, body) = first_block(text).ok_or(BadPrivateKey::NotPem)?;
        if label.starts_with("ENCRYPTED") || body.contains("Proc-Type:") {
            return Err(BadPrivateKey::Encrypted);
        }
        let der = base64::decode(body).ok_or(BadPrivateKey::NotPem)?;
        match label {
            "RSA " => Self::from_pkcs1(&der),
            "" => Self::from_pkcs8(&der),
            _ => Err(BadPrivateKey::Kind),
        }
    }

    /// Reads what stands between the lines of such a file, as one text: either structure.
    pub fn from_base64(text: &str) -> Result<Self, BadPrivateKey> {
        if text.len() > MAX_PEM {
            return Err(BadPrivateKey::TooLong);
        }
        let der = base64::decode(text).ok_or(BadPrivateKey::NotPem)?;
        match Self::from_pkcs8(&der) {
            Err(BadPrivateKey::Kind) => Self::from_pkcs1(&der),
            read => read,
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, BadPrivateKey> {
        RsaKeyPair::from_der(der).map(Box::new).map(Inner::Rsa).map(Self).map_err(rejected)
    }

    /// Reads a PKCS#8 structure (RFC 5958 §2), as generators give it.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, BadPrivateKey> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self(Inner::Ed25519(Box::new(pair))));
        }
        RsaKeyPair::from_pkcs8(der).map(Box::new).map(Inner::Rsa).map(Self).map_err(rejected)
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Inner::Rsa(_) => Algorithm::RsaSha256,
            Inner::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Bits of an RSA key.
    pub fn rsa_bits(&self) -> Option<usize> {
        match &self.0 {
            Inner::Rsa(pair) => Some(pair.public_modulus_len() * 8),
            Inner::Ed25519(_) => None,
        }
    }

    /// The value of `p=`: `SubjectPublicKeyInfo` for RSA, the 32 octets for Ed25519 (RFC 8463 §4.1).
    pub fn public(&self) -> String {
        match &self.0 {
            Inner::Rsa(pair) => {
                let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
                // A key pair always has a public half; an RSAPublicKey serves as well (RFC 6376 §3.6.1).
                der.map_or_else(
                    |_| base64::encode(pair.public_key().as_ref()),
                    |der| base64::encode(der.as_ref()),
                )
            }
            Inner::Ed25519(pair) => base64::encode(pair.public_key().as_ref()),
        }
    }

    /// Signs a hash; `None` only where the library finds itself unable to.
    pub(crate) fn sign(&self, hash: &Digest) -> Option<Vec<u8>> {
        match &self.0 {
            Inner::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, hash, &mut signature).ok()?;
                Some(signature)
            }
            Inner::Ed25519(pair) => Some(pair.try_sign(hash.as_ref()).ok()?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm().as_str())
    }
}

/// What stands before `PRIVATE KEY` in the first such line, and everything up to its end.
fn first_block(text: &str) -> Option<(&str, &str)> {
    let end_of_begin = "PRIVATE KEY-----";
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once(end_of_begin)?;
    let (body, _) = rest.split_once(&format!("-----END {label}PRIVATE KEY-----"))?;
    (!label.contains('-')).then_some((label, body))
}

fn rejected(why: aws_lc_rs::error::KeyRejected) -> BadPrivateKey {
    if why.to_string() == "TooSmall" { BadPrivateKey::TooShort } else { BadPrivateKey::Kind }
}
