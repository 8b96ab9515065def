//! `trait DnsProvider`: who can change a zone, in one step that happens whole or not at all.

use std::collections::BTreeSet;
use std::future::Future;

use kings_mail::domain::DnsName;

use crate::record::{Data, Kind, RecordSet, Txt};

/// A server or service that records can be changed at.
pub trait DnsProvider: Send + Sync {
    /// The zone that a name is in, the longest one where there are several. [`ProviderError::NotOurs`] where nothing of it
    /// can be changed here.
    fn zone_of(&self, name: &DnsName) -> impl Future<Output = Result<DnsName, ProviderError>> + Send;

    /// All that stands under these names, apart from what their zone is made of (SOA) and signed with.
    fn list(
        &self,
        zone: &DnsName,
        names: &BTreeSet<DnsName>,
    ) -> impl Future<Output = Result<Listing, ProviderError>> + Send;

    /// Does all of the changes, or none of them. What a change took for granted and is not so any more is
    /// [`ProviderError::Changed`].
    fn change(
        &self,
        zone: &DnsName,
        changes: &[Change],
    ) -> impl Future<Output = Result<Ticket, ProviderError>> + Send;

    /// Waits until every name server of the zone has it.
    fn wait(&self, zone: &DnsName, ticket: &Ticket)
    -> impl Future<Output = Result<(), ProviderError>> + Send;
}

/// What stands under some names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What can be read.
    pub sets: Vec<RecordSet>,
    /// What is there and must stay as it is.
    pub opaque: Vec<Opaque>,
}

impl Listing {
    /// The records of one name and type.
    pub fn get(&self, name: &DnsName, kind: Kind) -> Option<&RecordSet> {
        self.sets.iter().find(|set| set.name == *name && set.kind == kind)
    }
}

/// Records that are there and cannot be told as a [`RecordSet`]: of another type, or with rules that belong to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Whose they are.
    pub name: DnsName,
    /// Their type.
    pub kind: String,
    /// Why they stay.
    pub why: String,
}

/// One set of records becomes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose records.
    pub name: DnsName,
    /// Of which type.
    pub kind: Kind,
    /// What is there; `None` is nothing.
    pub before: Option<RecordSet>,
    /// What is to be there; `None` is nothing.
    pub after: Option<RecordSet>,
}

impl Change {
    /// The way back.
    #[must_use]
    pub fn undone(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }
}

/// By what a provider knows a change that is on its way to all name servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(pub String);

/// Why nothing was changed, or nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The zone of the name is somebody else's.
    #[error("{0} is in no zone that can be changed here")]
    NotOurs(DnsName),
    /// The key, the login or the rights are not good for it.
    #[error("{0}")]
    Refused(String),
    /// Our clock and theirs differ, so that what we sign is not believed.
    #[error("the clock of this machine is wrong, or that of the name server: {0}")]
    Clock(String),
    /// What is there is not what it was a moment ago: look again.
    #[error("the records have changed meanwhile: {0}")]
    Changed(String),
    /// No record can be like this.
    #[error("{0}")]
    Impossible(String),
    /// Nobody knows now: try again.
    #[error("{0}")]
    Temporary(String),
}

impl ProviderError {
    /// Whether the same may go well in a while.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Temporary(_) | Self::Changed(_) => true,
            Self::NotOurs(_) | Self::Refused(_) | Self::Clock(_) | Self::Impossible(_) => false,
        }
    }
}

/// The zone of a name that can be changed by way of this provider; `None` where the name is in none of its zones.
pub async fn zone_served(
    provider: &impl DnsProvider,
    name: &DnsName,
) -> Result<Option<DnsName>, ProviderError> {
    match provider.zone_of(name).await {
        Ok(zone) => Ok(Some(zone)),
        Err(ProviderError::NotOurs(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a TXT record comes to those that a name has already, or goes from them; `None` where nothing is to be done.
pub fn changed_txt(
    before: Option<&RecordSet>,
    name: &DnsName,
    text: &Txt,
    there: bool,
    ttl: u32,
) -> Option<Change> {
    let mut data = before.map(|set| set.data.clone()).unwrap_or_default();
    let wanted = Data::Txt(text.clone());
    if data.contains(&wanted) == there {
        return None;
    }
    if there {
        data.push(wanted);
    } else {
        data.retain(|found| *found != wanted);
    }
    let ttl = before.map_or(ttl, |set| set.ttl);
    let after = (!data.is_empty()).then(|| RecordSet { name: name.clone(), kind: Kind::Txt, ttl, data });
    Some(Change { name: name.clone(), kind: Kind::Txt, before: before.cloned(), after })
}

/// How long the answer to a challenge may be kept, in seconds: the next one comes soon.
const CHALLENGE_TTL: u32 = 60;

/// Puts one TXT record beside those that are there, and waits until every name server has it: what the challenge DNS-01 asks
/// for (RFC 8555 §8.4).
pub async fn add_txt(provider: &impl DnsProvider, name: &DnsName, text: &str) -> Result<(), ProviderError> {
    set_txt(provider, name, &Txt::new(text), true).await
}

/// Takes one TXT record away and leaves the others.
pub async fn remove_txt(
    provider: &impl DnsProvider,
    name: &DnsName,
    text: &str,
) -> Result<(), ProviderError> {
    set_txt(provider, name, &Txt::new(text), false).await
}

/// Two who answer challenges of one name at a time change the same set: whoever comes second looks again.
const TRIES: usize = 4;

async fn set_txt(
    provider: &impl DnsProvider,
    name: &DnsName,
    text: &Txt,
    there: bool,
) -> Result<(), ProviderError> {
    let zone = provider.zone_of(name).await?;
    let names = BTreeSet::from([name.clone()]);
    let mut tries = 1;
    loop {
        let listing = provider.list(&zone, &names).await?;
        let before = listing.get(name, Kind::Txt);
        let Some(change) = changed_txt(before, name, text, there, CHALLENGE_TTL) else { return Ok(()) };
        match provider.change(&zone, &[change]).await {
            Err(ProviderError::Changed(_)) if tries < TRIES => tries += 1,
            Err(error) => return Err(error),
            // What is only taken away nobody waits for.
            Ok(_) if !there => return Ok(()),
            Ok(ticket) => return provider.wait(&zone, &ticket).await,
        }
    }
}
