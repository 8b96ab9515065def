//! Our own signatures and seal of a message that has to be changed on its way out: taken off, and made again.

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::header::{self, Field, Fields};
use kings_msgauth::arc::ChainValidation;

use super::{CannotSign, Finding, Signing, own_end};

/// The fields of a set (RFC 8617 §4.1).
const SET: [&str; 3] = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

/// What was taken off a message.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// Whose signature it had.
    author: Option<Address>,
    /// Whose key sealed it (`d=`, `s=`), and what the seal said.
    seal: Option<(Domain, String, Finding)>,
}

impl Signing {
    /// Takes our signatures and our seal off a message. Only what stands in front of the first Received field can be
    /// ours: that one is ours as well, and whatever came from outside begins behind it.
    pub(crate) fn remove_own(&self, message: Vec<u8>) -> (Removed, Vec<u8>) {
        let Some(own) = own_end(&message) else { return (Removed::default(), message) };
        let author = self.signer(&message);
        let mut removed = Removed { author: None, seal: self.own_seal(&message[..own]) };
        let mut rest = Vec::with_capacity(message.len());
        let mut fields = Fields::new(&message[..own]);
        let mut copied = 0;
        while let Some(field) = fields.next() {
            if field.is("DKIM-Signature") && author.as_ref().is_some_and(|author| self.made(author, &field)) {
                removed.author.clone_from(&author);
            } else if removed.seal.is_none() || !SET.iter().any(|name| field.is(name)) {
                continue;
            }
            let end = fields.position();
            rest.extend_from_slice(&message[copied..end - field.raw.len()]);
            copied = end;
        }
        rest.extend_from_slice(&message[copied..]);
        (removed, rest)
    }

    /// Makes again what [`Signing::remove_own`] took off: the fields to put in front of the changed message. Blocking.
    pub(crate) fn renew(&self, removed: &Removed, content: &[u8]) -> Result<String, CannotSign> {
        let author = removed.author.as_ref();
        let signatures = author.map(|author| self.0.sign(author, content)).transpose()?.unwrap_or_default();
        let sealed = removed.seal.as_ref().and_then(|(domain, selector, finding)| {
            let chosen = self.0.sealer(domain, selector)?;
            Some(finding.sealed_with(&chosen, &signatures, content))
        });
        Ok(sealed.unwrap_or_default() + &signatures)
    }

    /// The seal among these fields, if it is of a domain that we have a key of.
    fn own_seal(&self, own: &[u8]) -> Option<(Domain, String, Finding)> {
        let seal = header::first(own, SET[0])?;
        let results = results_of(&header::first(own, SET[2])?)?;
        let validation = ChainValidation::parse(&tag(&seal, "cv")?)?;
        let (domain, selector) = (Domain::parse(&tag(&seal, "d")?).ok()?, tag(&seal, "s")?);
        self.0.sealer(&domain, &selector)?;
        Some((domain, selector, Finding { results, validation }))
    }

    /// Whether a signature is of a domain that mail of this author is signed for, with whatever key: keys change while mail
    /// waits. While nobody can tell which domains these are it may be: then none can be made in its place either, and the
    /// message waits.
    fn made(&self, author: &Address, field: &Field<'_>) -> bool {
        let Some(domain) = tag(field, "d") else { return false };
        let is_named = |own: &Domain| own.as_str().eq_ignore_ascii_case(&domain);
        self.0.keys(author).map_or(true, |keys| keys.iter().any(|own| is_named(own.domain)))
    }
}

/// The value of a tag (RFC 6376 §3.2).
fn tag(field: &Field<'_>, name: &str) -> Option<String> {
    let text = field.text();
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    tags.into_iter().find(|(tag, _)| tag.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// What stands behind the instance (RFC 8617 §4.1.1).
fn results_of(field: &Field<'_>) -> Option<String> {
    let (_, results) = std::str::from_utf8(field.value).ok()?.split_once(';')?;
    Some(results.trim().to_owned())
}

#[cfg(test)]
mod tests;
