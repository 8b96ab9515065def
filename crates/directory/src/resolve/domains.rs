//! Whose domain an address is of: ours, the machine's, one that we pass on for, or another one.

use kings_mail::address::{Address, Host};
use kings_mail::domain::Domain;

use super::roles::POSTMASTER;
use super::{Book, Place, Resolution};
use crate::directory::HostedDomain;
use crate::lookup::{Keys, Lines, Meaning};
use crate::table::Stop;

/// The machine under the name that it has for its own users alone (RFC 6761 §6.3).
pub(crate) const LOCALHOST: &str = "localhost";

impl Book<'_> {
    /// Whether mail for the domain comes to us, though it does not end here: one that we pass on for, or the name of
    /// this host.
    pub(super) fn takes_mail_of(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| {
            domain == self.hostname || self.relays.iter().any(|(name, _)| name == domain)
        })
    }

    /// An address that no alias leads from and whose mail does not end here: perhaps of a domain that we pass on for.
    pub(super) fn beyond(&self, address: Address) -> Result<Resolution, Stop> {
        let relay = address.domain().and_then(|domain| self.relays.iter().find(|(name, _)| name == domain));
        let Some((_, recipients)) = relay else { return Ok(Resolution::Elsewhere(address)) };
        let known = match recipients {
            // Whoever relays for a domain takes mail for its postmaster (RFC 5321 §4.5.1).
            Some(_) if address.folded().local_part.as_str() == POSTMASTER => true,
            Some(list) => self.looked_up(list, &address)?.is_some(),
            None => true,
        };
        Ok(if known { Resolution::Targets(vec![Place::Remote(address).into()]) } else { Resolution::Unknown })
    }

    pub(super) fn looked_up<T>(&self, lines: &Lines<T>, address: &Address) -> Result<Option<T>, Stop>
    where
        T: Meaning,
    {
        lines.look(&Keys::Address.of(Some(address), self.delimiters), self.tables.answers)
    }

    /// Whether mail for this address ends here: a hosted domain, a name of the machine, or a role name at our own
    /// host name.
    pub(super) fn is_ours(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| {
            self.hosted(domain).is_some()
                || self.is_machine(domain)
                || (domain == self.hostname && self.is_role(address))
        })
    }

    pub(super) fn hosted(&self, domain: &Domain) -> Option<&HostedDomain> {
        self.domains.iter().find(|hosted| hosted.name == *domain)
    }

    /// Whether the domain is a name of the machine, or the one its users write from.
    pub(super) fn is_machine(&self, domain: &Domain) -> bool {
        self.machine.is_some_and(|(origin, _)| {
            domain == origin || domain == self.hostname || domain.as_str() == LOCALHOST
        })
    }

    /// The names of the machine mean the domain that its users write from.
    pub(super) fn at_home(&self, address: &Address) -> Option<Address> {
        let (origin, _) = self.machine?;
        let domain = address.domain()?;
        let elsewhere = domain != origin && self.is_machine(domain) && self.hosted(domain).is_none();
        elsewhere.then(|| Address::new(address.local_part.clone(), Host::Domain(origin.clone())))
    }
}
