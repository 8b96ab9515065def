//! The structure of a chain: which fields belong to which set, and whether that is a chain at all (RFC 8617 §4, §5.2).

use std::fmt;
use std::ops::Range;

use kings_mail::domain::{DnsName, Domain};

use crate::dkim::base64;
use crate::dkim::header::{Header, RawField};
use crate::dkim::tags::Tags;
use crate::dkim::{Algorithm, Selector, Signature, Verdict};

/// Most sets of one message (RFC 8617 §4.2.1).
pub const MAX_SETS: u8 = 50;

pub(crate) const RESULTS: &str = "arc-authentication-results";
pub(crate) const SIGNATURE: &str = "arc-message-signature";
pub(crate) const SEAL: &str = "arc-seal";

/// `cv=`: what a sealer found of the chain before it (RFC 8617 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainValidation {
    /// There was no chain.
    None,
    /// The chain held.
    Pass,
    /// The chain was broken, for good.
    Fail,
}

impl ChainValidation {
    /// As `cv=` and `arc=` name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }

    /// Reads a value of `cv=`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Pass, Self::Fail].into_iter().find(|word| text.eq_ignore_ascii_case(word.as_str()))
    }
}

impl fmt::Display for ChainValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The header is too long to be looked at.
    #[error("the header is too long")]
    TooLarge,
    /// Over [`MAX_SETS`].
    #[error("there are more than {MAX_SETS} sets")]
    TooManySets,
    /// An `i=` is missing or is no number from 1 to 50.
    #[error("a field of the chain has no instance")]
    NoInstance,
    /// Not each of the three fields once for every instance from 1.
    #[error("the sets of the chain are not complete")]
    Incomplete,
    /// An ARC-Seal that cannot be read.
    #[error("seal {0} is malformed")]
    BadSeal(u8),
    /// `cv=` is not none at the first set and pass at the others.
    #[error("seal {0} says something else of the chain than its place")]
    WrongValidation(u8),
    /// An earlier host found the chain broken.
    #[error("the chain was broken before")]
    BrokenBefore,
    /// The newest ARC-Message-Signature does not verify.
    #[error("message signature {0}: {1}")]
    Message(u8, Verdict),
    /// An ARC-Seal does not verify.
    #[error("seal {0}: {1}")]
    Seal(u8, Verdict),
}

/// One set, by the places of its fields among those of their name.
pub(crate) struct SetPlace {
    pub(crate) instance: u8,
    results: usize,
    signature: usize,
    seal: usize,
}

impl SetPlace {
    /// The three fields in the order in which seals cover them (RFC 8617 §5.1.1).
    pub(crate) fn fields<'a>(&self, header: &'a Header) -> Option<[RawField<'a>; 3]> {
        Some([
            header.named(RESULTS).nth(self.results)?,
            header.named(SIGNATURE).nth(self.signature)?,
            header.named(SEAL).nth(self.seal)?,
        ])
    }
}

/// The sets of a header from the first to the newest; none at all is no fault.
pub(crate) fn sets(header: &Header) -> Result<Vec<SetPlace>, Fault> {
    let results = instances(header, RESULTS)?;
    let signatures = instances(header, SIGNATURE)?;
    let seals = instances(header, SEAL)?;
    if results.len() != seals.len() || signatures.len() != seals.len() {
        return Err(Fault::Incomplete);
    }
    let together = results.iter().zip(&signatures).zip(&seals).zip(1..);
    let set = |(((results, signature), seal), instance): (((&Place, &Place), &Place), u8)| {
        let complete = [results.0, signature.0, seal.0].iter().all(|found| *found == instance);
        let place = SetPlace { instance, results: results.1, signature: signature.1, seal: seal.1 };
        complete.then_some(place).ok_or(Fault::Incomplete)
    };
    together.map(set).collect()
}

/// An instance, and the place of the field among those of its name.
type Place = (u8, usize);

fn instances(header: &Header, name: &str) -> Result<Vec<Place>, Fault> {
    let fields = header.named(name);
    if fields.len() > usize::from(MAX_SETS) {
        return Err(Fault::TooManySets);
    }
    let found: Option<Vec<u8>> = fields.map(|field| instance(name, field.value())).collect();
    let mut found: Vec<Place> = found.ok_or(Fault::NoInstance)?.into_iter().zip(0..).collect();
    found.sort_unstable();
    Ok(found)
}

/// `i=`: of the results it stands first (RFC 8617 §4.1.1).
fn instance(name: &str, value: &[u8]) -> Option<u8> {
    let number = if name == RESULTS {
        let first = value.split(|octet| *octet == b';').next()?;
        Tags::parse(first).ok()?.get("i")?.to_owned()
    } else {
        Tags::parse(value).ok()?.get("i")?.to_owned()
    };
    let digits = !number.starts_with('0') && number.bytes().all(|octet| octet.is_ascii_digit());
    number.parse().ok().filter(|instance| digits && (1..=MAX_SETS).contains(instance))
}

/// The highest instance that any field of a chain, whole or not, claims.
pub(crate) fn highest(header: &Header) -> u8 {
    let claimed = |name| header.named(name).filter_map(move |field| instance(name, field.value()));
    [RESULTS, SIGNATURE, SEAL].into_iter().flat_map(claimed).max().unwrap_or(0)
}

/// What an ARC-Seal says (RFC 8617 §4.1.3).
pub(crate) struct Seal {
    pub(crate) validation: ChainValidation,
    pub(crate) algorithm: Algorithm,
    pub(crate) domain: Domain,
    pub(crate) selector: Selector,
    pub(crate) key_name: DnsName,
    pub(crate) octets: Vec<u8>,
    /// Where the value of `b=` stands in the field's value.
    pub(crate) hole: Range<usize>,
}

impl Seal {
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let tags = Tags::parse(value).ok()?;
        // A seal covers fields by rule, so these must not be there.
        if ["h", "bh", "c"].iter().any(|tag| tags.get(tag).is_some()) {
            return None;
        }
        let domain = Domain::parse(tags.get("d")?).ok()?;
        let selector = Selector::parse(tags.get("s")?)?;
        Some(Self {
            validation: ChainValidation::parse(tags.get("cv")?)?,
            algorithm: Algorithm::parse(tags.get("a")?)
                .filter(|algorithm| *algorithm != Algorithm::RsaSha1)?,
            key_name: DnsName::parse(&format!("{selector}._domainkey.{domain}")).ok()?,
            octets: base64::decode(tags.get("b")?).filter(|octets| !octets.is_empty())?,
            hole: tags.tag("b")?.range.clone(),
            domain,
            selector,
        })
    }
}

/// The seals of the sets, each saying what its place demands (RFC 8617 §5.2 step 3).
pub(crate) fn seals(header: &Header, sets: &[SetPlace]) -> Result<Vec<Seal>, Fault> {
    let mut seals = Vec::with_capacity(sets.len());
    for set in sets {
        let [_, _, field] = set.fields(header).ok_or(Fault::Incomplete)?;
        seals.push(Seal::parse(field.value()).ok_or(Fault::BadSeal(set.instance))?);
    }
    if seals.last().is_some_and(|seal| seal.validation == ChainValidation::Fail) {
        return Err(Fault::BrokenBefore);
    }
    for (seal, set) in seals.iter().zip(sets) {
        let expected = if set.instance == 1 { ChainValidation::None } else { ChainValidation::Pass };
        if seal.validation != expected {
            return Err(Fault::WrongValidation(set.instance));
        }
    }
    Ok(seals)
}

/// An ARC-Message-Signature: a DKIM signature whose `i=` is an instance (RFC 8617 §4.1.2).
pub(crate) fn message_signature(value: &[u8]) -> Result<Signature, Verdict> {
    let signature = Signature::parse_arc(value)?;
    if signature.names.iter().any(|name| name == SEAL) {
        return Err(crate::dkim::BadSignature::Malformed("h").into());
    }
    Ok(signature)
}
