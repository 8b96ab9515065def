//! Signing what leaves (RFC 6376), and sealing what is passed on (RFC 8617): which keys a message gets, and the fields
//! to put in front of it.

mod renew;

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_msgauth::arc::{self, ChainValidation, Sealer};
use kings_msgauth::dkim::opendkim::{Hosts, SigningTable};
use kings_msgauth::dkim::{Algorithm, PrivateKey, Rules, Selector, SignError, Signer, SigningIdentity};
use kings_store::Incoming;
use tracing::{error, warn};

use crate::author;
use crate::core::{blocking, for_each_piece, now};

/// A key in use.
#[derive(Debug)]
pub struct Key {
    /// `d=`; `None` stands for the domain of the author.
    pub domain: Option<Domain>,
    /// `s=`: where the public half is published.
    pub selector: Selector,
    /// The secret half.
    pub private: PrivateKey,
}

/// OpenDKIM's tables, where an operator keeps them.
#[derive(Debug)]
pub struct Tables {
    /// Which author gets which keys.
    pub signing: SigningTable,
    /// The keys by the names that the signing table calls them.
    pub keys: HashMap<String, Key>,
    /// All keys that match, not only the first (OpenDKIM's `MultipleSignatures`).
    pub every: bool,
}

/// All keys of this server. Clones share them; the default has none and signs nothing.
#[derive(Clone, Debug, Default)]
pub struct Signing(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    domains: HashMap<Domain, Vec<Key>>,
    tables: Option<Tables>,
    trusted: Hosts,
}

impl Signing {
    /// Signs for these domains, for authors of `tables` as these say, and what `trusted` hosts bring.
    pub fn new(domains: HashMap<Domain, Vec<Key>>, tables: Option<Tables>, trusted: Hosts) -> Self {
        Self(Arc::new(Inner { domains, tables, trusted }))
    }

    pub(crate) fn trusts_anybody(&self) -> bool {
        self.0.trusted != Hosts::default()
    }

    /// Whether mail of this client is signed as our own (OpenDKIM's `InternalHosts`). `name` is its name by DNS, where
    /// that leads back to it.
    pub(crate) fn trusts(&self, client: IpAddr, name: Option<&str>) -> bool {
        self.0.trusted.contains(client, name)
    }

    /// Whether there is a key for mail of this author.
    pub(crate) fn has_key(&self, author: &Address) -> bool {
        !self.0.keys(author).is_empty()
    }

    /// The signatures of a message that has passed through `signer`.
    pub(crate) async fn finish(&self, author: Address, signer: Signer) -> Result<String, SignError> {
        let keys = self.0.clone();
        blocking(move || signer.finish(&keys.identities(&author), now())).await
    }

    /// The signatures of a message, ready to be put in front of it; empty where there is no key for its author.
    ///
    /// A message that cannot be signed leaves unsigned, and the log says why: its receivers decide, and nothing is lost.
    pub(crate) async fn fields(&self, content: &Arc<Incoming>) -> String {
        let authors = author::authors(content.head()).unwrap_or_default();
        let Some(author) = authors.into_iter().next() else { return String::new() };
        if !self.has_key(&author) {
            return String::new();
        }
        let (keys, content) = (self.0.clone(), content.clone());
        blocking(move || keys.sign(&author, content.reader())).await
    }
}

/// What we found of a message's authentication, for those that it is sent on to.
#[derive(Debug)]
pub(crate) struct Seal {
    signing: Signing,
    /// The value of our Authentication-Results.
    results: String,
    validation: ChainValidation,
}

impl Seal {
    /// `None` while nobody can tell whether the chain holds: sealed as broken it would stay so.
    pub(crate) fn new(signing: &Signing, results_field: &str, report: &arc::Report) -> Option<Self> {
        let (_, results) = results_field.split_once(':')?;
        let results = results.trim().to_owned();
        Some(Self { signing: signing.clone(), results, validation: report.validation()? })
    }

    /// The three fields of the next set, for a copy that `alias` sends on with `trace` in front of the content; empty
    /// where its domain has no key. With a key of each kind the RSA one seals: many validators know no other.
    ///
    /// Blocking. A message that cannot be sealed leaves unsealed, and the log says why.
    pub(crate) fn fields(&self, alias: &Address, trace: &str, content: impl Read) -> String {
        let keys = self.signing.0.keys(alias);
        let is_rsa = |(_, key): &&(&Domain, &Key)| key.private.algorithm() == Algorithm::RsaSha256;
        let Some((domain, key)) = keys.iter().find(is_rsa).or(keys.first()) else { return String::new() };
        let mut sealer = Sealer::new(Rules::default());
        sealer.push(trace.as_bytes());
        let read = for_each_piece(content, |piece| {
            sealer.push(piece);
            Ok::<_, io::Error>(())
        });
        if let Err(error) = read {
            error!(%error, %alias, "a message is sent on unsealed: it cannot be read");
            return String::new();
        }
        let identity = SigningIdentity { domain, selector: &key.selector, key: &key.private };
        sealer.finish(&identity, &self.results, self.validation, now()).unwrap_or_else(|error| {
            warn!(%error, %alias, "a message is sent on unsealed");
            String::new()
        })
    }
}

impl Inner {
    /// The keys for mail of this author, each with the domain it signs for.
    fn keys<'a>(&'a self, author: &'a Address) -> Vec<(&'a Domain, &'a Key)> {
        let Some(own) = author.domain() else { return Vec::new() };
        let listed = self.tables.iter().flat_map(|tables| {
            let names = tables.signing.keys(&author.to_string(), tables.every);
            names.into_iter().filter_map(|name| tables.keys.get(name))
        });
        let listed: Vec<&Key> = listed.collect();
        let keys = if listed.is_empty() {
            self.domains.get(own).map(|keys| keys.iter().collect()).unwrap_or_default()
        } else {
            listed
        };
        keys.into_iter().map(|key| (key.domain.as_ref().unwrap_or(own), key)).collect()
    }

    fn identities<'a>(&'a self, author: &'a Address) -> Vec<SigningIdentity<'a>> {
        let keys = self.keys(author).into_iter();
        keys.map(|(domain, key)| SigningIdentity { domain, selector: &key.selector, key: &key.private })
            .collect()
    }

    /// Blocking: reads the message, and an RSA signature takes about a millisecond.
    fn sign(&self, author: &Address, content: impl Read) -> String {
        let mut signer = Signer::new(Rules::default());
        let read = for_each_piece(content, |piece| {
            signer.push(piece);
            Ok::<_, io::Error>(())
        });
        if let Err(error) = read {
            error!(%error, %author, "a message leaves unsigned: it cannot be read");
            return String::new();
        }
        signer.finish(&self.identities(author), now()).unwrap_or_else(|error| {
            error!(%error, %author, "a message leaves unsigned");
            String::new()
        })
    }
}
