//! Our own signatures and seal of a message that has to be changed on its way out: taken off, and made again.

use kings_mail::address::Address;
use kings_mail::header::{self, Field, Fields};
use kings_msgauth::arc::ChainValidation;

use super::{Seal, Signing};
use crate::author;

/// What was taken off a message.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// Whose signature it had.
    author: Option<Address>,
    /// The alias that sent it on, and what its seal said.
    seal: Option<(Address, String, ChainValidation)>,
}

impl Signing {
    /// Takes our signatures and our seal off a message. Only what stands in front of the first Received field can be
    /// ours: that one is ours as well, and whatever came from outside begins behind it.
    pub(crate) fn remove_own(&self, message: Vec<u8>) -> (Removed, Vec<u8>) {
        let Some(own) = own_end(&message) else { return (Removed::default(), message) };
        let (author, alias) = (first_author(&message), delivered_to(&message[..own]));
        let (mut removed, mut rest) = (Removed::default(), Vec::with_capacity(message.len()));
        let (mut results, mut validation) = (None, None);
        let mut fields = Fields::new(&message[..own]);
        let mut copied = 0;
        while let Some(field) = fields.next() {
            if field.is("DKIM-Signature") && author.as_ref().is_some_and(|author| self.made(author, &field)) {
                removed.author.clone_from(&author);
            } else if field.is("ARC-Seal") {
                validation = tag(&field, "cv").as_deref().and_then(ChainValidation::parse);
            } else if field.is("ARC-Authentication-Results") {
                results = results_of(&field);
            } else if !field.is("ARC-Message-Signature") {
                continue;
            }
            let end = fields.position();
            rest.extend_from_slice(&message[copied..end - field.raw.len()]);
            copied = end;
        }
        rest.extend_from_slice(&message[copied..]);
        removed.seal = alias.zip(results).zip(validation).map(|((alias, results), cv)| (alias, results, cv));
        (removed, rest)
    }

    /// Makes again what [`Signing::remove_own`] took off: the fields to put in front of the changed message. Blocking.
    pub(crate) fn renew(&self, removed: &Removed, content: &[u8]) -> String {
        let signatures =
            removed.author.as_ref().map(|author| self.0.sign(author, content)).unwrap_or_default();
        let Some((alias, results, validation)) = &removed.seal else { return signatures };
        let seal = Seal { signing: self.clone(), results: results.clone(), validation: *validation };
        seal.fields(alias, &signatures, content) + &signatures
    }

    /// Whether a signature names a key that mail of this author is signed with.
    fn made(&self, author: &Address, field: &Field<'_>) -> bool {
        let (Some(domain), Some(selector)) = (tag(field, "d"), tag(field, "s")) else { return false };
        let is_same = |own: &dyn ToString, named: &str| own.to_string().eq_ignore_ascii_case(named);
        self.0
            .keys(author)
            .iter()
            .any(|(own, key)| is_same(own, &domain) && is_same(&key.selector, &selector))
    }
}

/// Where the first Received field begins.
fn own_end(message: &[u8]) -> Option<usize> {
    let mut fields = Fields::new(message);
    let received = fields.find(|field| field.is("Received"))?;
    Some(fields.position() - received.raw.len())
}

fn first_author(message: &[u8]) -> Option<Address> {
    author::authors(message).ok()?.into_iter().next()
}

fn delivered_to(own: &[u8]) -> Option<Address> {
    Address::parse(header::first(own, "Delivered-To")?.text().trim()).ok()
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
