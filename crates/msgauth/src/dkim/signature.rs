//! The DKIM-Signature field, read into what it claims (RFC 6376 §3.5).

use std::fmt;
use std::ops::Range;

use kings_mail::domain::{DnsName, Domain, MAX_LABEL};

use super::base64;
use super::canonical::Canonicalization;
use super::tags::{BadTags, Tags, compact, items};

/// Octets of a SHA-256 hash.
const HASH_OCTETS: usize = 32;
/// Longest signature that is read, in octets: twice that of the longest key.
const MAX_SIGNATURE: usize = 2 * 1024;

/// `a=`: how the signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 over SHA-256.
    RsaSha256,
    /// Ed25519 over SHA-256 (RFC 8463 §3).
    Ed25519Sha256,
    /// Never valid any more (RFC 8301 §3.1).
    RsaSha1,
}

impl Algorithm {
    /// As `a=` and `header.a` name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
            Self::RsaSha1 => "rsa-sha1",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::RsaSha256, Self::Ed25519Sha256, Self::RsaSha1]
            .into_iter()
            .find(|algorithm| text.eq_ignore_ascii_case(algorithm.as_str()))
    }
}

/// `s=`: which of a domain's keys. Labels of letters, digits, hyphens and underscores, so that nothing else
/// gets into a question to DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector(String);

impl Selector {
    /// Reads a selector; upper case becomes lower.
    pub fn parse(text: &str) -> Option<Self> {
        let letter = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let is_label = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(letter);
        text.split('.').all(is_label).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a field is no signature that could be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Not a list of tags.
    #[error("the signature holds {0}")]
    Tags(#[from] BadTags),
    /// A tag that must be there is not.
    #[error("the signature has no {0}=")]
    Missing(&'static str),
    /// A tag whose value is not of its form.
    #[error("the signature has a bad {0}=")]
    Malformed(&'static str),
    /// A tag whose value may mean something to others.
    #[error("the signature has an unknown {0}=")]
    Unknown(&'static str),
    /// `h=` lacks From, so that anybody could write under any name (RFC 6376 §6.1.1).
    #[error("the signature does not cover From")]
    FromNotSigned,
    /// `i=` is not of the domain `d=` or one below it.
    #[error("i= is not of the domain in d=")]
    OtherIdentity,
    /// The name of the key does not fit into DNS.
    #[error("selector and domain are too long for DNS")]
    NameTooLong,
}

/// What one signature claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `a=`
    pub algorithm: Algorithm,
    /// `d=`: who answers for the message.
    pub domain: Domain,
    /// `s=`
    pub selector: Selector,
    /// `i=`: on whose behalf; `@` and the domain where it says nothing. Without control characters.
    pub identity: Identity,
    /// `c=`, first half.
    pub header_form: Canonicalization,
    /// `c=`, second half.
    pub body_form: Canonicalization,
    /// `h=`, in lower case, in order.
    pub names: Vec<String>,
    /// `l=`: octets of the canonical body that are covered.
    pub length: Option<u64>,
    /// `t=`, in seconds since 1970.
    pub signed: Option<u64>,
    /// `x=`, in seconds since 1970.
    pub expires: Option<u64>,
    /// `b=` as written, without white space.
    pub text: String,
    pub(crate) octets: Vec<u8>,
    pub(crate) body_hash: [u8; HASH_OCTETS],
    pub(crate) key_name: DnsName,
    /// Where the value of `b=` stands in the field's value.
    pub(crate) hole: Range<usize>,
}

/// `i=`: the agent or user the domain signs for (RFC 6376 §3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Before the `@`, as written (quoted-printable); often empty.
    pub local_part: String,
    /// The domain of `d=`, or one below it.
    pub domain: Domain,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl Signature {
    /// Where the key is published (RFC 6376 §3.6.2.1).
    pub fn key_name(&self) -> &DnsName {
        &self.key_name
    }

    /// Reads a field's value.
    pub fn parse(value: &[u8]) -> Result<Self, BadSignature> {
        let tags = Tags::parse(value)?;
        if required(&tags, "v")? != "1" {
            return Err(BadSignature::Unknown("v"));
        }
        Self::claims(&tags, tags.get("i"))
    }

    /// Reads an ARC-Message-Signature: no version, and `i=` is another thing (RFC 8617 §4.1.2).
    pub(crate) fn parse_arc(value: &[u8]) -> Result<Self, BadSignature> {
        Self::claims(&Tags::parse(value)?, None)
    }

    /// Everything but the version.
    fn claims(tags: &Tags<'_>, agent: Option<&str>) -> Result<Self, BadSignature> {
        let hole = tags.tag("b").ok_or(BadSignature::Missing("b"))?.range.clone();
        let algorithm = Algorithm::parse(required(tags, "a")?).ok_or(BadSignature::Unknown("a"))?;
        let (header_form, body_form) = forms(tags.get("c"))?;
        let domain = Domain::parse(required(tags, "d")?).map_err(|_| BadSignature::Malformed("d"))?;
        let selector = Selector::parse(required(tags, "s")?).ok_or(BadSignature::Malformed("s"))?;
        let key_name = DnsName::parse(&format!("{selector}._domainkey.{domain}"));
        if !tags.get("q").is_none_or(|methods| items(methods).any(|method| method == "dns/txt")) {
            return Err(BadSignature::Unknown("q"));
        }
        let (signed, expires) = (number(tags, "t")?, number(tags, "x")?);
        if signed.zip(expires).is_some_and(|(signed, expires)| expires <= signed) {
            return Err(BadSignature::Malformed("x"));
        }
        let names = names(required(tags, "h")?)?;
        if !names.iter().any(|name| name == "from") {
            return Err(BadSignature::FromNotSigned);
        }
        Ok(Self {
            algorithm,
            identity: identity(agent, &domain)?,
            header_form,
            body_form,
            names,
            length: number(tags, "l")?,
            signed,
            expires,
            text: compact(required(tags, "b")?),
            octets: octets(required(tags, "b")?)?,
            body_hash: body_hash(required(tags, "bh")?, algorithm)?,
            key_name: key_name.map_err(|_| BadSignature::NameTooLong)?,
            domain,
            selector,
            hole,
        })
    }
}

fn required<'a>(tags: &Tags<'a>, name: &'static str) -> Result<&'a str, BadSignature> {
    tags.get(name).ok_or(BadSignature::Missing(name))
}

/// `c=`: `header/body`; what is not said is simple.
fn forms(value: Option<&str>) -> Result<(Canonicalization, Canonicalization), BadSignature> {
    let Some(value) = value else { return Ok(Default::default()) };
    let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
    let form = |text| Canonicalization::parse(text).ok_or(BadSignature::Unknown("c"));
    Ok((form(header)?, form(body)?))
}

/// At most 19 digits count: more than any time or size needs (RFC 6376 §3.5 permits 76 for `l=`).
fn number(tags: &Tags<'_>, name: &'static str) -> Result<Option<u64>, BadSignature> {
    let Some(value) = tags.get(name) else { return Ok(None) };
    let digits = !value.is_empty() && value.len() <= 76 && value.bytes().all(|octet| octet.is_ascii_digit());
    if !digits {
        return Err(BadSignature::Malformed(name));
    }
    Ok(Some(value.parse().unwrap_or(u64::MAX)))
}

fn names(value: &str) -> Result<Vec<String>, BadSignature> {
    let is_name = |name: &str| name.bytes().all(|octet| octet.is_ascii_graphic());
    if value.is_empty() || !items(value).all(is_name) {
        return Err(BadSignature::Malformed("h"));
    }
    Ok(items(value).map(str::to_ascii_lowercase).collect())
}

fn octets(value: &str) -> Result<Vec<u8>, BadSignature> {
    let octets = base64::decode(value).filter(|octets| (1..=MAX_SIGNATURE).contains(&octets.len()));
    octets.ok_or(BadSignature::Malformed("b"))
}

/// A hash of SHA-1 is not kept: nothing is compared with it.
fn body_hash(value: &str, algorithm: Algorithm) -> Result<[u8; HASH_OCTETS], BadSignature> {
    let octets = base64::decode(value).ok_or(BadSignature::Malformed("bh"))?;
    match algorithm {
        Algorithm::RsaSha1 => Ok([0; HASH_OCTETS]),
        _ => octets.try_into().map_err(|_| BadSignature::Malformed("bh")),
    }
}

fn identity(value: Option<&str>, domain: &Domain) -> Result<Identity, BadSignature> {
    let Some(value) = value else {
        return Ok(Identity { local_part: String::new(), domain: domain.clone() });
    };
    let value = compact(value);
    let (local_part, host) = value.rsplit_once('@').ok_or(BadSignature::Malformed("i"))?;
    let host = Domain::parse(host).map_err(|_| BadSignature::Malformed("i"))?;
    let below = host
        .as_str()
        .strip_suffix(domain.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    below
        .then(|| Identity { local_part: local_part.to_owned(), domain: host })
        .ok_or(BadSignature::OtherIdentity)
}
