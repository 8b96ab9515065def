//! The public keys of an issuer (RFC 7517), and whether a token was signed with one of them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::jwt::{Algorithm, Jwt};

/// Most keys of one issuer; real ones have two to ten.
pub const MAX_KEYS: usize = 64;
/// Octets of an RSA modulus: RFC 7518 §3.3 wants 2,048 bits, and more than 8,192 only cost time.
const RSA_OCTETS: std::ops::RangeInclusive<usize> = 256..=1024;
/// Most octets of an RSA exponent.
const MAX_EXPONENT: usize = 8;

/// The keys of one issuer that can check signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, where it says so (RFC 7517 §4.4).
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of P-256, uncompressed.
    P256(Vec<u8>),
    /// A point of P-384, uncompressed.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The text is not a set of keys that we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// No JSON object with a list `keys`.
    #[error("not a JSON web key set")]
    NotASet,
    /// More than [`MAX_KEYS`].
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    /// No key of it can check a signature of the accepted kinds.
    #[error("none of its keys can check signatures")]
    NoneUsable,
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The set has no such key.
    #[error("its key is not among those of the issuer")]
    UnknownKey,
    /// It was not made with the key.
    #[error("its signature is wrong")]
    Wrong,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys of other kinds, for other purposes, or that are broken are left out (RFC 7517 §5).
    pub fn parse(json: &[u8]) -> Result<Self, BadKeySet> {
        let set: RawSet = serde_json::from_slice(json).map_err(|_| BadKeySet::NotASet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(BadKeySet::TooMany);
        }
        let raw = set.keys.into_iter().filter_map(|key| serde_json::from_value::<RawKey>(key).ok());
        let keys: Vec<Key> = raw.filter_map(|key| Key::new(&key)).collect();
        if keys.is_empty() { Err(BadKeySet::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: such a set is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has a key that may have signed this token.
    pub fn has_key_for(&self, token: &Jwt<'_>) -> bool {
        self.candidates(token).next().is_some()
    }

    /// Whether one of the keys that may have signed the token has.
    pub fn verify(&self, token: &Jwt<'_>) -> Result<(), BadSignature> {
        let mut candidates = self.candidates(token).peekable();
        if candidates.peek().is_none() {
            return Err(BadSignature::UnknownKey);
        }
        let is_signed = candidates.any(|key| key.material.verifies(token));
        if is_signed { Ok(()) } else { Err(BadSignature::Wrong) }
    }

    /// Keys of the right kind; where key and token both have a name, of that name.
    fn candidates<'a>(&'a self, token: &'a Jwt<'_>) -> impl Iterator<Item = &'a Key> {
        let may_be_named = |key: &Key| match (&key.id, &token.key_id) {
            (Some(has), Some(wanted)) => has == wanted,
            _ => true,
        };
        self.0.iter().filter(move |key| key.fits(token.algorithm) && may_be_named(key))
    }
}

impl Key {
    fn new(raw: &RawKey) -> Option<Self> {
        let may_verify = raw.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && raw.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        let algorithm = match &raw.alg {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        let material = Material::new(raw)?;
        may_verify.then(|| Self { id: raw.kid.clone(), algorithm, material })
    }

    /// The kind of the key decides what a token may be signed with, not the token alone (RFC 8725 §3.1).
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
                matches!(self.material, Material::Rsa { .. })
            }
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
                matches!(self.material, Material::Rsa { .. })
            }
            Algorithm::Es256 => matches!(self.material, Material::P256(_)),
            Algorithm::Es384 => matches!(self.material, Material::P384(_)),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
        };
        kind && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

impl Material {
    fn new(raw: &RawKey) -> Option<Self> {
        let number = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => {
                let strip = |number: Vec<u8>| -> Vec<u8> {
                    number.into_iter().skip_while(|octet| *octet == 0).collect()
                };
                let (n, e) = (strip(number(&raw.n)?), strip(number(&raw.e)?));
                let fits = RSA_OCTETS.contains(&n.len()) && (1..=MAX_EXPONENT).contains(&e.len());
                fits.then_some(Self::Rsa { n, e })
            }
            ("EC", Some("P-256")) => point(&number(&raw.x)?, &number(&raw.y)?, 32).map(Self::P256),
            ("EC", Some("P-384")) => point(&number(&raw.x)?, &number(&raw.y)?, 48).map(Self::P384),
            ("OKP", Some("Ed25519")) => number(&raw.x).filter(|key| key.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }

    fn verifies(&self, token: &Jwt<'_>) -> bool {
        let (signed, signature) = (token.signed, token.signature.as_slice());
        match self {
            Self::Rsa { n, e } => rsa(token.algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            Self::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(signed, signature).is_ok()
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok(),
        }
    }
}

/// SEC 1 §2.3.3: both coordinates in full length (RFC 7518 §6.2.1.2).
fn point(x: &[u8], y: &[u8], octets: usize) -> Option<Vec<u8>> {
    (x.len() == octets && y.len() == octets).then(|| [&[4], x, y].concat())
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}
