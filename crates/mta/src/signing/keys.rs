//! The keys to sign with: which of them a message gets, and what it means when one of these cannot be used.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::opendkim::{SigningEntry, SigningTable};
use kings_msgauth::dkim::{Algorithm, PrivateKey, Selector, SignError};
use kings_smtp::reply::{Reply, Status};

/// A key in use, or one that should be.
#[derive(Debug)]
pub struct Key {
    /// `d=`; `None` stands for the domain of the author.
    pub domain: Option<Domain>,
    /// `s=`: where the public half is published.
    pub selector: Selector,
    /// The secret half.
    pub private: Private,
}

/// The secret half of a key.
#[derive(Debug)]
pub enum Private {
    /// It is there.
    Known(Arc<PrivateKey>),
    /// It should be there: mail that it would sign waits until it is.
    Missing(Fault),
    /// Each author's domain has its own (`%` in the path of a KeyTable): looked for when it is needed.
    OfAuthor(Finder),
}

impl From<PrivateKey> for Private {
    fn from(key: PrivateKey) -> Self {
        Self::Known(Arc::new(key))
    }
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody can tell what is there.
    #[error("{0}")]
    Unreadable(String),
    /// What is there is no key.
    #[error("{0}")]
    NoKey(String),
}

type Find = dyn Fn(&Domain) -> Result<PrivateKey, Fault> + Send + Sync;

/// Finds the key of a domain. Blocking.
#[derive(Clone)]
pub struct Finder(pub Arc<Find>);

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finder(..)")
    }
}

impl Private {
    /// Blocking where it is looked for.
    fn get(&self, domain: &Domain) -> Result<Arc<PrivateKey>, Fault> {
        match self {
            Self::Known(key) => Ok(key.clone()),
            Self::Missing(fault) => Err(fault.clone()),
            Self::OfAuthor(finder) => finder.0(domain).map(Arc::new),
        }
    }
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

/// Why mail that should be signed is not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotSign {
    #[error("the signing table names the key {0:?}, which the key table does not have")]
    UnknownKey(String),
    #[error("the key {selector} of {domain} cannot be used: {fault}")]
    Key { domain: Domain, selector: String, fault: Fault },
    #[error("the message cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Message(#[from] SignError),
}

impl CannotSign {
    /// Unsigned it would be refused or filed as junk by others, and nobody would know why: it waits, and the log says why.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            Self::UnknownKey(_) | Self::Key { .. } | Self::Read(_) | Self::Message(SignError::Crypto) => {
                Reply::UNSIGNED
            }
            // Never so where the header was looked at before.
            Self::Message(SignError::TooLarge(_) | SignError::NoFrom) => {
                Reply::new(550, Status(5, 6, 0), "The header is none that can be signed")
            }
        }
    }
}

/// A key for one message.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) domain: &'a Domain,
    pub(super) key: &'a Key,
    /// Of the author, or the same where there is none.
    pub(super) author: &'a Domain,
    /// `i=`
    pub(super) agent: Option<String>,
}

impl<'a> Chosen<'a> {
    pub(super) fn new(key: &'a Key, author: &'a Domain) -> Self {
        Self { domain: key.domain.as_ref().unwrap_or(author), key, author, agent: None }
    }

    /// The secret half. Blocking.
    pub(super) fn private(&self) -> Result<Arc<PrivateKey>, CannotSign> {
        self.key.private.get(self.author).map_err(|fault| CannotSign::Key {
            domain: self.domain.clone(),
            selector: self.key.selector.to_string(),
            fault,
        })
    }
}

impl Tables {
    /// The keys for mail of this author. One that is missing is no reason to leave out another that the table names.
    pub(super) fn keys<'a>(
        &'a self,
        author: &Address,
        own: &'a Domain,
    ) -> Result<Vec<Chosen<'a>>, CannotSign> {
        let entries = self.signing.keys(&author.to_string(), self.every).into_iter();
        let key = |entry: &SigningEntry| {
            let name = if entry.key == "%" { own.as_str() } else { &entry.key };
            let key = self.keys.get(name).ok_or_else(|| CannotSign::UnknownKey(name.to_owned()))?;
            let chosen = Chosen::new(key, own);
            let agent = entry.identity.as_deref().map(|text| text.replace('%', own.as_str()));
            let agent = agent.filter(|agent| may_sign(agent, chosen.domain));
            Ok(Chosen { agent, ..chosen })
        };
        entries.map(key).collect()
    }
}

/// Whether a domain may sign for this identity (RFC 6376 §3.5, `i=`); one that it may not is left out, as by OpenDKIM.
fn may_sign(agent: &str, domain: &Domain) -> bool {
    let host = agent.rsplit_once('@').map(|(_, host)| host.to_ascii_lowercase());
    let below = |host: &str| host.strip_suffix(domain.as_str()).is_some_and(|above| above.ends_with('.'));
    host.is_some_and(|host| host == domain.as_str() || below(&host))
}

/// With a key of each kind the RSA one seals: many validators know no other.
pub(super) fn sealing(mut keys: Vec<Chosen<'_>>) -> Option<Chosen<'_>> {
    keys.retain(|chosen| !matches!(chosen.key.private, Private::Missing(_)));
    let is_rsa = |chosen: &Chosen<'_>| match &chosen.key.private {
        Private::Known(key) => key.algorithm() == Algorithm::RsaSha256,
        Private::Missing(_) | Private::OfAuthor(_) => false,
    };
    let at = keys.iter().position(is_rsa).unwrap_or(0);
    (at < keys.len()).then(|| keys.swap_remove(at))
}
