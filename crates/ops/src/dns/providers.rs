//! All who can change records, behind one type.

use std::collections::BTreeSet;

use kings_dns::{Change, DnsProvider, Listing, ProviderError, Ticket};
use kings_mail::domain::DnsName;

use super::rfc2136::Rfc2136;
use super::route53::Route53;

/// Whoever the config names.
#[derive(Clone)]
pub enum Provider {
    /// A name server that takes updates.
    Rfc2136(Box<Rfc2136>),
    /// Amazon's service.
    Route53(Box<Route53>),
}

impl DnsProvider for Provider {
    async fn zone_of(&self, name: &DnsName) -> Result<DnsName, ProviderError> {
        match self {
            Self::Rfc2136(server) => server.zone_of(name).await,
            Self::Route53(account) => account.zone_of(name).await,
        }
    }

    async fn list(&self, zone: &DnsName, names: &BTreeSet<DnsName>) -> Result<Listing, ProviderError> {
        match self {
            Self::Rfc2136(server) => server.list(zone, names).await,
            Self::Route53(account) => account.list(zone, names).await,
        }
    }

    async fn change(&self, zone: &DnsName, changes: &[Change]) -> Result<Ticket, ProviderError> {
        match self {
            Self::Rfc2136(server) => server.change(zone, changes).await,
            Self::Route53(account) => account.change(zone, changes).await,
        }
    }

    async fn wait(&self, zone: &DnsName, ticket: &Ticket) -> Result<(), ProviderError> {
        match self {
            Self::Rfc2136(server) => server.wait(zone, ticket).await,
            Self::Route53(account) => account.wait(zone, ticket).await,
        }
    }
}
