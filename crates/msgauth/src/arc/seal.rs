//! Sealing what we pass on (RFC 8617 §5.1).

use aws_lc_rs::digest::{Context, SHA256};
use kings_mail::date::DateTime;

use super::chain::{ChainValidation, MAX_SETS, SEAL, Seal, highest, sets};
use crate::dkim::base64;
use crate::dkim::canonical::{BodyHasher, Canonicalization};
use crate::dkim::fold::Folder;
use crate::dkim::header::Header;
use crate::dkim::sign::{SignedBody, with_field};
use crate::dkim::stream::Stream;
use crate::dkim::{Cover, HeaderTooLarge, Rules, SignError, SigningIdentity};

/// Why a message is passed on without a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It cannot be signed either.
    #[error("{0}")]
    Sign(#[from] SignError),
    /// There are 50 sets (RFC 8617 §4.2.1).
    #[error("the chain is full")]
    Full,
    /// An earlier host sealed that the chain is broken: nothing can mend it (RFC 8617 §5.1).
    #[error("the chain was sealed as broken")]
    BrokenBefore,
    /// `cv=none` where there are sets, or another where there are none.
    #[error("the chain is another one than was validated")]
    OtherChain,
    /// Control characters in the results.
    #[error("the results hold something that does not belong into a field")]
    Results,
}

impl From<HeaderTooLarge> for SealError {
    fn from(large: HeaderTooLarge) -> Self {
        Self::Sign(large.into())
    }
}

/// Takes the message as it will leave, in pieces of any size.
pub struct Sealer {
    rules: Rules,
    stream: Stream<SignedBody>,
}

impl Sealer {
    /// Waits for the first octet. Of the rules, fields of ARC and results are left out of the signature, and
    /// DKIM-Signature fields come into it (RFC 8617 §4.1.2).
    pub fn new(mut rules: Rules) -> Self {
        let kept = |name: &str| {
            let name = name.to_ascii_lowercase();
            !name.starts_with("arc-") && name != "authentication-results" && name != "dkim-signature"
        };
        rules.names.retain(|(name, _)| kept(name));
        rules.names.push(("dkim-signature".to_owned(), Cover::Present));
        Self { rules, stream: Stream::default() }
    }

    /// Takes the next octets as they will be sent. LF alone counts as CRLF.
    pub fn push(&mut self, piece: &[u8]) {
        let form = self.rules.body_form;
        self.stream.push(piece, |header| SignedBody::new(header, form));
    }

    /// The message is whole: the three fields of the next set, to be put in front of it.
    ///
    /// `results` is the value of our own Authentication-Results (authserv-id and what follows); `validation` is
    /// [`super::Report::validation`] of the message as it came.
    pub fn finish(
        self,
        identity: &SigningIdentity<'_>,
        results: &str,
        validation: ChainValidation,
        now: DateTime,
    ) -> Result<String, SealError> {
        let form = self.rules.body_form;
        let SignedBody { header, hasher } = self.stream.end(|header| SignedBody::new(header, form))?;
        let instance = next_instance(&header, validation)?;
        let now = u64::try_from(now.unix()).unwrap_or(0);
        let results = results_field(instance, results)?;
        let signature = self.rules.message_signature(&header, hasher, identity, instance, now)?;
        let mut sealed = Context::new(&SHA256);
        // A broken chain is not covered: only the news that it is (RFC 8617 §5.1.2).
        if validation != ChainValidation::Fail {
            for set in sets(&header).unwrap_or_default() {
                for field in set.fields(&header).into_iter().flatten() {
                    update(&mut sealed, field.raw);
                }
            }
        }
        update(&mut sealed, results.as_bytes());
        update(&mut sealed, signature.as_bytes());
        let seal = seal_field(identity, instance, validation, now, sealed)?;
        Ok(seal + &signature + &results)
    }
}

fn update(sealed: &mut Context, field: &[u8]) {
    let mut canonical = Vec::new();
    Canonicalization::Relaxed.field(field, &mut canonical);
    sealed.update(&canonical);
}

fn next_instance(header: &Header, validation: ChainValidation) -> Result<u8, SealError> {
    let highest = highest(header);
    let broken = |value| Seal::parse(value).is_some_and(|seal| seal.validation == ChainValidation::Fail);
    if header.named(SEAL).any(|field| broken(field.value())) {
        return Err(SealError::BrokenBefore);
    }
    let whole = sets(header).is_ok_and(|sets| sets.len() == usize::from(highest));
    match validation {
        ChainValidation::None if highest > 0 => Err(SealError::OtherChain),
        ChainValidation::Pass if highest == 0 || !whole => Err(SealError::OtherChain),
        _ if highest >= MAX_SETS => Err(SealError::Full),
        _ => Ok(highest + 1),
    }
}

/// Folded anew at white space.
fn results_field(instance: u8, results: &str) -> Result<String, SealError> {
    let text = results.replace("\r\n", "");
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err(SealError::Results);
    }
    let mut field = Folder::new("ARC-Authentication-Results:");
    field.word(&format!(" i={instance};"));
    text.split_ascii_whitespace().for_each(|word| field.word(&format!(" {word}")));
    Ok(field.finish())
}

fn seal_field(
    identity: &SigningIdentity<'_>,
    instance: u8,
    validation: ChainValidation,
    now: u64,
    sealed: Context,
) -> Result<String, SealError> {
    let mut field = Folder::new("ARC-Seal:");
    field.word(&format!(" i={instance};"));
    field.word(&format!(" a={};", identity.key.algorithm().as_str()));
    field.word(&format!(" t={now};"));
    field.word(&format!(" cv={validation};"));
    field.word(&format!(" d={};", identity.domain));
    field.word(&format!(" s={};", identity.selector));
    field.word(" b=");
    let hash = with_field(sealed, Canonicalization::Relaxed, field.text());
    field.base64(&base64::encode(identity.key.sign(&hash).ok_or(SignError::Crypto)?));
    Ok(field.finish())
}

impl Rules {
    /// RFC 8617 §4.1.2.
    fn message_signature(
        &self,
        header: &Header,
        hasher: BodyHasher,
        identity: &SigningIdentity<'_>,
        instance: u8,
        now: u64,
    ) -> Result<String, SignError> {
        let names = self.names_for(header)?;
        let body_hash = base64::encode(hasher.finish().hash);
        let mut covered = Context::new(&SHA256);
        header.hash(&names, self.header_form, &mut covered);
        let mut field = Folder::new("ARC-Message-Signature:");
        field.word(&format!(" i={instance};"));
        self.claims(&mut field, identity, &names, &body_hash, now);
        let hash = with_field(covered, self.header_form, field.text());
        field.base64(&base64::encode(identity.key.sign(&hash).ok_or(SignError::Crypto)?));
        Ok(field.finish())
    }
}
