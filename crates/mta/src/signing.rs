//! Signing what leaves (RFC 6376), and sealing what is passed on (RFC 8617): which keys a message gets, and the fields
//! to put in front of it.

mod keys;
mod renew;

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::header::{self, Field, Fields};
use kings_msgauth::arc::{self, ChainValidation, Sealer};
use kings_msgauth::dkim::opendkim::Hosts;
use kings_msgauth::dkim::{PrivateKey, Rules, Signer, SigningIdentity};
use kings_msgauth::results;
use kings_store::Incoming;
use tracing::{error, warn};

pub(crate) use self::keys::CannotSign;
use self::keys::{Chosen, sealing};
pub use self::keys::{Fault, Finder, Key, Private, Tables};
use crate::author;
use crate::core::{blocking, for_each_piece, now};

/// All keys of this server. Clones share them; the default has none and signs nothing.
#[derive(Clone, Debug, Default)]
pub struct Signing(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    domains: HashMap<Domain, Vec<Key>>,
    tables: Option<Tables>,
    trusted: Hosts,
    valid_for: Option<Duration>,
    /// Our own name.
    server: Option<Domain>,
}

impl Signing {
    /// Signs for these domains, for authors of `tables` as these say, and what `trusted` hosts bring. Signatures expire after
    /// `valid_for` (RFC 6376 §3.5, `x=`); without it they stay valid. Seals never expire.
    ///
    /// Mail from `server` itself, bounces first of all, has the key of the nearest domain above where that name has none:
    /// DMARC takes it for this one's (RFC 9989 §4.4.1).
    pub fn new(
        domains: HashMap<Domain, Vec<Key>>,
        tables: Option<Tables>,
        trusted: Hosts,
        valid_for: Option<Duration>,
        server: Option<Domain>,
    ) -> Self {
        Self(Arc::new(Inner { domains, tables, trusted, valid_for, server }))
    }

    pub(crate) fn trusts_anybody(&self) -> bool {
        self.0.trusted != Hosts::default()
    }

    /// Whether mail of this client is signed as our own (OpenDKIM's `InternalHosts`). `name` is its name by DNS, where
    /// that leads back to it.
    pub(crate) fn trusts(&self, client: IpAddr, name: Option<&str>) -> bool {
        self.0.trusted.contains(client, name)
    }

    /// Whether mail of this author is to be signed, also with a key that cannot be used now.
    pub(crate) fn has_key(&self, author: &Address) -> bool {
        self.0.keys(author).map_or(true, |keys| !keys.is_empty())
    }

    /// For whom a message of ours is signed: its author, or where it is another house's and sent again, whoever does that
    /// (RFC 6376 §5.4: any identity that answers for it). Those of the author's house stay as they are.
    fn signer(&self, head: &[u8]) -> Option<Address> {
        let author = author::first_author(head)?;
        if self.has_key(&author) {
            return Some(author);
        }
        author::resender(head).filter(|resender| self.has_key(resender))
    }

    /// The signatures of a message that has passed through `signer`.
    pub(crate) async fn finish(&self, author: Address, signer: Signer) -> Result<String, CannotSign> {
        let keys = self.0.clone();
        blocking(move || keys.finish(&author, signer)).await
    }

    /// The signatures of a message, ready to be put in front of it; empty where there is no key for its author.
    pub(crate) async fn fields(&self, content: &Arc<Incoming>) -> Result<String, CannotSign> {
        let Some(author) = self.signer(content.head()) else { return Ok(String::new()) };
        let (keys, content) = (self.0.clone(), content.clone());
        blocking(move || keys.sign(&author, content.reader())).await
    }
}

/// What we found of a message's authentication, for those that it is sent on or passed on to.
#[derive(Debug)]
pub(crate) struct Seal {
    signing: Signing,
    /// This server: where it sends mail on for domains without a key, it seals as itself.
    hostname: Domain,
    finding: Finding,
}

/// What a seal says.
#[derive(Clone, Debug)]
struct Finding {
    /// The value of our Authentication-Results.
    results: String,
    validation: ChainValidation,
}

impl Seal {
    /// `None` while nobody can tell whether the chain holds: sealed as broken it would stay so.
    pub(crate) fn new(
        signing: &Signing,
        hostname: &Domain,
        results_field: &str,
        report: &arc::Report,
    ) -> Option<Self> {
        let (_, results) = results_field.split_once(':')?;
        let finding = Finding { results: results.trim().to_owned(), validation: report.validation()? };
        Some(Self { signing: signing.clone(), hostname: hostname.clone(), finding })
    }

    /// What was found when the message came, for a copy that could not be sent on at once: our own field in front of the
    /// first Received field says it. `None` where it does not speak of a chain, and where the copy is sealed already.
    pub(crate) fn recalled(signing: &Signing, hostname: &Domain, head: &[u8]) -> Option<Self> {
        let own = &head[..own_end(head)?];
        if header::first(own, "ARC-Seal").is_some() {
            return None;
        }
        let is_ours = |field: &Field<'_>| results::claims_to_be(hostname, field.value);
        let field = header::all(own, results::FIELD).find(is_ours)?;
        let text = std::str::from_utf8(field.value).ok()?.trim();
        let chain = results::read(text)?.into_iter().find(|statement| statement.method == "arc")?;
        let finding =
            Finding { results: text.to_owned(), validation: ChainValidation::parse(&chain.result)? };
        Some(Self { signing: signing.clone(), hostname: hostname.clone(), finding })
    }

    /// The three fields of the next set, for a copy that leaves on behalf of this address with `trace` in front of the
    /// content: the alias that sends it on, or a recipient that this server passes mail on for. The key is that of the
    /// address, or else the server's own; without either there are no fields.
    ///
    /// Blocking. A message that cannot be sealed leaves unsealed, and the log says why.
    pub(crate) fn fields(&self, on_behalf_of: Option<&Address>, trace: &str, content: impl Read) -> String {
        let keys = &self.signing.0;
        let own = on_behalf_of.and_then(|address| sealing(keys.keys(address).unwrap_or_default()));
        match own.or_else(|| keys.of_server(&self.hostname)) {
            Some(chosen) => self.finding.sealed_with(&chosen, trace, content),
            None => String::new(),
        }
    }
}

impl Finding {
    fn sealed_with(&self, chosen: &Chosen<'_>, trace: &str, content: impl Read) -> String {
        let domain = chosen.domain;
        self.seal(chosen, trace, content).unwrap_or_else(|error| {
            warn!(%error, %domain, "a message is sent on unsealed");
            String::new()
        })
    }

    fn seal(&self, chosen: &Chosen<'_>, trace: &str, content: impl Read) -> Result<String, CannotSeal> {
        let private = chosen.private()?;
        let mut sealer = Sealer::new(Rules::default());
        sealer.push(trace.as_bytes());
        for_each_piece(content, |piece| {
            sealer.push(piece);
            Ok::<_, io::Error>(())
        })?;
        let identity = identity(chosen, &private);
        Ok(sealer.finish(&identity, &self.results, self.validation, now())?)
    }
}

/// Why a message is sent on unsealed.
#[derive(Debug, thiserror::Error)]
enum CannotSeal {
    #[error(transparent)]
    Key(#[from] CannotSign),
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Seal(#[from] arc::SealError),
}

fn identity<'a>(chosen: &'a Chosen<'a>, key: &'a PrivateKey) -> SigningIdentity<'a> {
    SigningIdentity {
        domain: chosen.domain,
        selector: &chosen.key.selector,
        key,
        agent: chosen.agent.as_deref(),
    }
}

/// Where the first Received field begins. It is ours, and so is what stands in front of it.
fn own_end(message: &[u8]) -> Option<usize> {
    let mut fields = Fields::new(message);
    let received = fields.find(|field| field.is("Received"))?;
    Some(fields.position() - received.raw.len())
}

impl Inner {
    /// The keys for mail of this author, each with the domain it signs for.
    fn keys<'a>(&'a self, author: &'a Address) -> Result<Vec<Chosen<'a>>, CannotSign> {
        let Some(own) = author.domain() else { return Ok(Vec::new()) };
        let listed = self.tables.as_ref().map(|tables| tables.keys(author, own)).transpose()?;
        match listed {
            Some(listed) if !listed.is_empty() => Ok(listed),
            _ => Ok(self.of_domain(own, own)),
        }
        .map(|keys| if keys.is_empty() { self.above(own) } else { keys })
    }

    /// What the server itself signs with where its name has no key.
    fn above(&self, author: &Domain) -> Vec<Chosen<'_>> {
        if self.server.as_ref() != Some(author) {
            return Vec::new();
        }
        let with_keys = |name: Domain| self.domains.get_key_value(&name).filter(|(_, keys)| !keys.is_empty());
        let nearest = author.with_parents().find_map(with_keys);
        nearest.map(|(domain, _)| self.of_domain(domain, domain)).unwrap_or_default()
    }

    fn of_domain<'a>(&'a self, domain: &Domain, author: &'a Domain) -> Vec<Chosen<'a>> {
        let keys = self.domains.get(domain).into_iter().flatten();
        keys.map(|key| Chosen::new(key, author)).collect()
    }

    /// The key of this server: of its own name, or of the nearest domain above it that has one.
    fn of_server(&self, hostname: &Domain) -> Option<Chosen<'_>> {
        hostname.with_parents().find_map(|name| {
            let (domain, _) = self.domains.get_key_value(&name)?;
            sealing(self.of_domain(domain, domain))
        })
    }

    /// The key to seal with again where a `d=` and an `s=` stand in a seal: that one, or where it is gone by now, another
    /// of its domain.
    fn sealer<'a>(&'a self, domain: &'a Domain, selector: &str) -> Option<Chosen<'a>> {
        self.named(domain, selector).or_else(|| {
            let listed = self.tables.iter().flat_map(|tables| tables.keys.values());
            let listed = listed.filter(|key| key.domain.as_ref() == Some(domain));
            let own = self.domains.get(domain).into_iter().flatten();
            sealing(own.chain(listed).map(|key| Chosen::new(key, domain)).collect())
        })
    }

    /// The key that a `d=` and an `s=` name, with that domain.
    fn named<'a>(&'a self, domain: &'a Domain, selector: &str) -> Option<Chosen<'a>> {
        let own = self.domains.get(domain).into_iter().flatten();
        let listed = self.tables.iter().flat_map(|tables| tables.keys.values());
        let is_named = |key: &&Key| {
            key.domain.as_ref().is_none_or(|own| own == domain)
                && key.selector.to_string().eq_ignore_ascii_case(selector)
        };
        own.chain(listed).find(is_named).map(|key| Chosen { domain, ..Chosen::new(key, domain) })
    }

    /// Blocking: reads the message, and an RSA signature takes about a millisecond.
    fn sign(&self, author: &Address, content: impl Read) -> Result<String, CannotSign> {
        let valid_for = self.valid_for.map(|time| time.as_secs());
        let mut signer = Signer::new(Rules { valid_for, ..Rules::default() });
        for_each_piece(content, |piece| {
            signer.push(piece);
            Ok::<_, io::Error>(())
        })
        .map_err(CannotSign::from)
        .and_then(|()| self.finish(author, signer))
        .inspect_err(|cause| error!(%cause, %author, "mail of ours cannot be signed, so it waits"))
    }

    fn finish(&self, author: &Address, signer: Signer) -> Result<String, CannotSign> {
        let keys = self.keys(author)?;
        let private = keys.iter().map(Chosen::private).collect::<Result<Vec<_>, _>>()?;
        let identities = keys.iter().zip(&private).map(|(chosen, private)| identity(chosen, private));
        Ok(signer.finish(&identities.collect::<Vec<_>>(), now())?)
    }
}

#[cfg(test)]
mod tests;
