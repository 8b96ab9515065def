//! Names that somebody must answer to, and whoever owns a list.

use kings_mail::address::{Address, Host, LocalPart};

use super::{Book, Found};
use crate::table::Stop;

/// Who answers for a domain.
pub(super) const POSTMASTER: &str = "postmaster";

/// Names that reach somebody in every domain (RFC 5321 §4.5.1, RFC 2142 §2).
const ROLES: [&str; 2] = [POSTMASTER, "abuse"];

/// What the name of a list is joined with for the address of its owner, and of whoever keeps its members.
pub(super) const OWNER: &str = "owner-";
pub(super) const REQUEST: &str = "-request";

/// Who gets what the machine itself has to say.
const ROOT: &str = "root";

/// Whether a name reaches somebody in every domain.
pub(crate) fn is_role(name: &LocalPart) -> bool {
    ROLES.iter().any(|role| role.eq_ignore_ascii_case(name.as_str()))
}

impl Book<'_> {
    /// `<Postmaster>` without a domain.
    pub(super) fn postmaster(&self) -> Address {
        let local_part = LocalPart::parse(POSTMASTER).expect("a plain word");
        Address::new(local_part, Host::Domain(self.hostname.clone()))
    }

    /// `owner-NAME` for the alias `NAME`, if it has a line of its own: a catch-all owns no list.
    pub(super) fn owner_of(&self, alias: &Address) -> Result<Option<Address>, Stop> {
        let (base, _) = self.split_tag(&alias.folded());
        let name = base.local_part.as_str();
        let Ok(local_part) = LocalPart::parse(&format!("{OWNER}{name}")) else { return Ok(None) };
        let owner = Address::new(local_part, base.host.clone());
        let known = !name.starts_with(OWNER)
            && (self.accounts.get(&owner).is_some()
                || self.is_system_alias(&owner)
                || self.tables.of_base(&owner)?.is_some());
        Ok(known.then_some(owner))
    }

    /// Where a role name goes that nobody took: to postmaster of the first domain, else to the first account
    /// of the domain, else to the first of all.
    pub(super) fn role(&self, address: &Address) -> Result<Option<Found>, Stop> {
        if !self.is_role(address) {
            return Ok(None);
        }
        let Some(first) = self.domains.first() else { return Ok(None) };
        for name in [address.local_part.as_str(), POSTMASTER] {
            let local_part = LocalPart::parse(name).expect("role names are plain words");
            let central = Address::new(local_part, Host::Domain(first.name.clone()));
            let known = self.accounts.get(&central).is_some()
                || self.is_system_alias(&central)
                || self.tables.of_base(&central)?.is_some();
            if known && central != *address {
                return Ok(Some(Found::Aliases(vec![central])));
            }
        }
        Ok(self.first_account(address).map(Found::Account))
    }

    pub(super) fn first_account(&self, address: &Address) -> Option<Address> {
        let here = self.accounts.iter().find(|entry| entry.address.domain() == address.domain());
        let account = here.or_else(|| self.accounts.iter().next())?;
        Some(account.address.clone())
    }

    /// postmaster and abuse anywhere; root where the machine has users of its own.
    pub(super) fn is_role(&self, address: &Address) -> bool {
        let is = |role: &str| role.eq_ignore_ascii_case(self.split_tag(address).0.local_part.as_str());
        ROLES.into_iter().any(is)
            || (is(ROOT) && address.domain().is_some_and(|domain| self.is_machine(domain)))
    }
}
