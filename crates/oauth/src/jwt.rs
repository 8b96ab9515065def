//! A signed token in its compact form (RFC 7515 §3.1), taken apart: nothing of it may be believed before its signature is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::claims::Claims;

/// Longest token, in octets: what fits a line of AUTH (RFC 4954 §4.4: 12,288) once it is unpacked from base64.
pub const MAX_TOKEN: usize = 9 * 1024;

/// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1). `none` and the HMACs are no signatures of an issuer, and not
/// among them: with an HMAC, whoever has the public key could make tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their registered names")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this name, which is written in one way only.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// Why a text is no token that a signature could be checked of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwt {
    /// More than [`MAX_TOKEN`] octets.
    #[error("longer than {MAX_TOKEN} octets")]
    TooLong,
    /// Not three parts in base64url, the first of them a JSON object with `alg`. It may be a token of another kind.
    #[error("not a signed JSON web token")]
    OtherKind,
    /// `none`, an HMAC, or something unknown.
    #[error("algorithm {0:?} is not accepted")]
    Algorithm(String),
    /// It wants something understood that we do not know (RFC 7515 §4.1.11).
    #[error("it has critical header parameters")]
    Critical,
    /// The second part is no JSON object.
    #[error("its claims are not a JSON object")]
    Claims,
}

/// A token whose signature has not been checked.
#[derive(Clone, Debug)]
pub struct Jwt<'a> {
    /// How it says that it is signed.
    pub algorithm: Algorithm,
    /// Which key it names (RFC 7515 §4.1.4).
    pub key_id: Option<String>,
    /// What it claims.
    pub claims: Claims,
    /// What the signature is made of.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl<'a> Jwt<'a> {
    /// Takes a token apart.
    pub fn parse(text: &'a str) -> Result<Self, BadJwt> {
        if text.len() > MAX_TOKEN {
            return Err(BadJwt::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(BadJwt::OtherKind)?;
        let (header, claims) = signed.split_once('.').ok_or(BadJwt::OtherKind)?;
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BadJwt::OtherKind);
        let (header, claims, signature) = (part(header)?, part(claims)?, part(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| BadJwt::OtherKind)?;
        let algorithm = Algorithm::parse(&header.alg).ok_or(BadJwt::Algorithm(header.alg))?;
        if header.crit.is_some() {
            return Err(BadJwt::Critical);
        }
        let claims = Claims::parse(&claims).ok_or(BadJwt::Claims)?;
        Ok(Self { algorithm, key_id: header.kid, claims, signed: signed.as_bytes(), signature })
    }
}
