//! Other names for the addresses of our own users' mail, in envelope and header: Postfix's `canonical_maps`, those of senders
//! and recipients, and `masquerade_domains`.
//!
//! It comes last before a message is signed: after header rules and filters, as in Postfix, so that a signature covers what leaves.
//! Mail of strangers is none of it; aliases lead that, and its senders are theirs.

mod header;
mod masquerade;

use std::str::FromStr;
use std::sync::Arc;

use kings_directory::{Lookup, Meaning, Nearness, Unavailable, answered};
use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_smtp::reply::Reply;
use kings_store::{Incoming, Store};
use tracing::error;

pub use self::masquerade::Masquerade;
use crate::intake;

/// How often a table may rename what it has renamed; then it goes round.
const MAX_NESTING: usize = 100;

/// Where an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The reverse-path.
    EnvelopeSender,
    /// A forward-path.
    EnvelopeRecipient,
    /// A field that names who writes.
    HeaderSender,
    /// A field that names who is written to.
    HeaderRecipient,
}

/// The places that a table is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes(Vec<Class>);

impl Classes {
    /// These.
    pub fn of(classes: impl IntoIterator<Item = Class>) -> Self {
        Self(classes.into_iter().collect())
    }

    fn has(&self, class: Class) -> bool {
        self.0.contains(&class)
    }
}

/// What an address is called instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherName {
    /// This.
    Address(Address),
    /// The same name in another domain.
    Domain(Domain),
}

impl Meaning for OtherName {
    const NEEDS_VALUE: bool = true;
}

impl FromStr for OtherName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let domain = text.strip_prefix('@').and_then(|domain| Domain::parse(domain).ok());
        domain
            .map(Self::Domain)
            .or_else(|| Address::parse(text).ok().map(Self::Address))
            .ok_or_else(|| format!("\"{text}\" is not one whole address, nor @domain"))
    }
}

/// One table with the places it is for.
#[derive(Clone, Debug, Default)]
pub struct Canonical {
    /// The other names.
    pub names: Lookup<OtherName>,
    /// Where they stand.
    pub classes: Classes,
}

/// All that gives other names. The default gives none.
#[derive(Clone, Debug, Default)]
pub struct Rewriting {
    /// Each of them is asked about what the one before has made.
    pub tables: Vec<Canonical>,
    /// Domains whose parts are not shown; after the tables.
    pub masquerade: Masquerade,
    /// What parts a name from its tag: `ann+tag@` is called as `ann@` is, with its tag, unless it has a line of its own.
    pub delimiters: String,
}

/// Why a message waits at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A table does not answer.
    Unavailable,
    /// A table goes round.
    Endless,
}

impl Rewriting {
    /// Whether there is nothing to do for any message.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.names.is_empty()) && self.masquerade.is_empty()
    }

    /// Whom a recipient stands for, as it will be when the message is there.
    pub(crate) async fn recipient(&self, path: &ForwardPath) -> Result<ForwardPath, Reply> {
        match path {
            ForwardPath::Address(address) => {
                let other = self.rewritten(Class::EnvelopeRecipient, address.clone()).await;
                other.map(ForwardPath::Address).map_err(reply)
            }
            ForwardPath::Postmaster => Ok(ForwardPath::Postmaster),
        }
    }

    /// Envelope and header of a message of one of our users.
    pub(crate) async fn message(
        &self,
        store: &Store,
        (envelope, content): (Envelope, Arc<Incoming>),
    ) -> Result<(Envelope, Arc<Incoming>), Reply> {
        if self.is_empty() {
            return Ok((envelope, content));
        }
        let Envelope { reverse_path, recipients, parameters } = envelope;
        let reverse_path = match reverse_path {
            ReversePath::Address(address) => {
                ReversePath::Address(self.rewritten(Class::EnvelopeSender, address).await.map_err(reply)?)
            }
            ReversePath::Null => ReversePath::Null,
        };
        let mut renamed: Vec<Recipient> = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let path = self.recipient(&recipient.path).await?;
            // Two names of one recipient get one copy.
            if renamed.iter().all(|known| known.path != path) {
                renamed.push(Recipient { path, ..recipient });
            }
        }
        let head = self.header(content.head()).await.map_err(reply)?;
        let content = match head {
            Some(head) => intake::shared_with_head(store, content, head)
                .await
                .map_err(|error| intake::refusal(&error))?,
            None => content,
        };
        Ok((Envelope { reverse_path, recipients: renamed, parameters }, content))
    }

    /// What an address is called in a place of this class.
    async fn rewritten(&self, class: Class, mut address: Address) -> Result<Address, Fault> {
        for table in self.tables.iter().filter(|table| table.classes.has(class)) {
            address = self.by_table(&table.names, address).await?;
        }
        Ok(self.masquerade.shown(class, address))
    }

    /// Again and again, until the table has no other name for what it gave.
    async fn by_table(&self, names: &Lookup<OtherName>, mut address: Address) -> Result<Address, Fault> {
        for _ in 0..MAX_NESTING {
            let Some(next) = self.once(names, &address).await? else { return Ok(address) };
            if next.folded() == address.folded() {
                return Ok(next);
            }
            address = next;
        }
        error!(%address, "a table of other names goes round: no mail with this address is taken");
        Err(Fault::Endless)
    }

    async fn once(&self, names: &Lookup<OtherName>, address: &Address) -> Result<Option<Address>, Fault> {
        let found = answered(|answers| names.nearest(Some(address), &self.delimiters, answers)).await;
        let Some((nearness, name)) = found.map_err(|Unavailable| Fault::Unavailable)? else {
            return Ok(None);
        };
        Ok(match name {
            OtherName::Domain(domain) => Address::join(address.local_part.clone(), Host::Domain(domain)).ok(),
            OtherName::Address(other) if nearness == Nearness::Untagged => {
                self.with_tag_of(address, &other).or(Some(other))
            }
            OtherName::Address(other) => Some(other),
        })
    }

    /// `anna+tag@` where `ann+tag@` was found as `ann@`.
    fn with_tag_of(&self, address: &Address, other: &Address) -> Option<Address> {
        let bare = address.without_tag(&self.delimiters)?;
        let tag = address.local_part.as_str().strip_prefix(bare.local_part.as_str())?;
        let local_part = LocalPart::parse(&format!("{}{tag}", other.local_part.as_str())).ok()?;
        Address::join(local_part, other.host.clone()).ok()
    }
}

/// The only place where a fault becomes a reply: nothing of it is the sender's, and the message may be sent again.
fn reply(fault: Fault) -> Reply {
    match fault {
        Fault::Unavailable | Fault::Endless => Reply::TRY_LATER,
    }
}

#[cfg(test)]
mod tests;
