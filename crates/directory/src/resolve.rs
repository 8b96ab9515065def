//! From a recipient to the accounts and outside addresses it stands for.

mod domains;
mod roles;
mod tags;
#[cfg(test)]
mod tests;
mod walk;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::path::ForwardPath;

use self::walk::{Found, Walk};
use crate::aliases::Goal;
use crate::directory::HostedDomain;
use crate::lookup::Lines;
use crate::owners::Owners;
use crate::passwd_file::Accounts;
use crate::relays::Listed;
use crate::system::{Meaning, SystemAliases};
use crate::table::Stop;
use crate::tables::Tables;

pub(crate) use self::domains::LOCALHOST;
pub(crate) use self::roles::is_role;

/// Most targets one recipient may stand for (virtual_alias_expansion_limit of Postfix).
const MAX_TARGETS: usize = 1_000;
/// Longest chain of aliases.
const MAX_DEPTH: usize = 50;
/// Of whose names the aliases count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of domains that we take mail for: what a stranger may ask about.
    Ours,
    /// Those of every domain, as with Postfix's `virtual_alias_maps`: where mail may go that we have taken.
    Everywhere,
}

/// What a recipient stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// These, none twice; not all are nobody's. None at all where the mail is to be thrown away.
    Targets(Vec<Target>),
    /// The domain is ours and has no such name, or only an alias that leads to none.
    Unknown,
    /// The domain is not ours, and no alias leads from this address.
    Elsewhere(Address),
    /// Aliases that only lead to each other, or to too many: a fault of the alias file.
    Looping,
    /// Nobody can tell now: a table of the config does not answer.
    Unavailable,
}

/// One of those that a recipient stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where its copy goes.
    pub place: Place,
    /// Who hears of a copy that fails, in the place of its sender: `owner-NAME`, where the alias `NAME` leads here and
    /// there is such an address (Postfix's `owner_request_special`).
    pub owner: Option<Address>,
}

/// One place a message goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A mailbox here.
    Account(Address),
    /// An address at another server.
    Remote(Address),
    /// An address of ours that is nobody's: its copy fails, while the others are served (RFC 5321 §3.9.1).
    Nobody(Address),
}

impl From<Place> for Target {
    /// Without an owner.
    fn from(place: Place) -> Self {
        Self { place, owner: None }
    }
}

/// One reading of all files, and the questions asked of it.
pub(crate) struct Book<'a> {
    pub(crate) hostname: &'a Domain,
    pub(crate) domains: &'a [HostedDomain],
    pub(crate) accounts: &'a Accounts,
    pub(crate) tables: Tables<'a>,
    /// The machine's own users, where it has any: the domain they write from, and their aliases.
    pub(crate) machine: Option<(&'a Domain, &'a SystemAliases)>,
    pub(crate) relays: &'a [(Domain, Option<Lines<Listed>>)],
    /// Who may write as whom, where it is not as accounts and aliases have it.
    pub(crate) owners: &'a Lines<Owners>,
    /// What may part a name from its tag: `ann+tag@` is ann's (RFC 5233 §1).
    pub(crate) delimiters: &'a str,
}

impl Book<'_> {
    pub(crate) fn resolve(&self, path: &ForwardPath, reach: Reach) -> Result<Resolution, Stop> {
        let address = match path {
            ForwardPath::Postmaster => self.postmaster(),
            ForwardPath::Address(address) => address.clone(),
        };
        let is_ours = self.is_ours(&address);
        let may_ask = is_ours || reach == Reach::Everywhere || self.takes_mail_of(&address);
        if !may_ask || self.lookup(&address)?.is_none() {
            return if is_ours { Ok(Resolution::Unknown) } else { self.beyond(address) };
        }
        let mut walk = Walk::default();
        self.expand(&address, &mut walk, 0)?;
        Ok(match walk {
            Walk { overrun: true, .. } => Resolution::Looping,
            Walk { mut targets, dead, discard, .. } if discard || !targets.is_empty() => {
                targets.extend(dead);
                Resolution::Targets(targets)
            }
            // An alias that leads to nobody must not make postmaster, or root, nobody.
            Walk { .. } if is_ours && self.is_role(&address) => match self.first_account(&address) {
                Some(account) => Resolution::Targets(vec![Place::Account(account).into()]),
                None => Resolution::Unknown,
            },
            Walk { circle: true, .. } => Resolution::Looping,
            Walk { .. } => Resolution::Unknown,
        })
    }

    /// Walks the aliases, which addresses of other domains may have too. An address met a second time ends its branch:
    /// at its account, or at the other server, if it has one, else in nothing, so that a circle gives one delivery and
    /// never two.
    fn expand(&self, address: &Address, walk: &mut Walk, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH || walk.len() >= MAX_TARGETS {
            walk.overrun = true;
            return Ok(());
        }
        let folded = address.folded();
        if !walk.seen.insert(folded.clone()) {
            match self.account_of(&folded) {
                Some(account) => walk.add(Place::Account(account)),
                None if !self.is_ours(address) => walk.add(Place::Remote(address.clone())),
                None if walk.is_dead(&folded) => {}
                None => walk.circle = true,
            }
            return Ok(());
        }
        match self.lookup(address)? {
            Some(Found::Account(account)) => walk.add(Place::Account(account)),
            Some(Found::Aliases(goals)) => {
                let outer = walk.owner.clone();
                if let Some(owner) = self.owner_of(address)? {
                    walk.owner = Some(owner);
                }
                for goal in goals {
                    self.expand(&goal, walk, depth + 1)?;
                }
                walk.owner = outer;
            }
            Some(Found::Nobody) => walk.discard = true,
            None if !self.is_ours(address) => walk.add(Place::Remote(address.clone())),
            None => walk.add(Place::Nobody(folded)),
        }
        Ok(())
    }

    /// One step. The order is Postfix's (virtual(5): full address, then without its tag, then `@domain`; aliases(5)
    /// of the machine before its accounts), with one mercy: an account is never hidden by a catch-all of its domain.
    fn lookup(&self, address: &Address) -> Result<Option<Found>, Stop> {
        if !self.is_ours(address) {
            return self.lookup_beyond(address);
        }
        let folded = address.folded();
        let (base, tag) = self.split_tag(&folded);
        if let Some(goals) = self.tables.of_address(address)? {
            return Ok(Some(Found::at(&goals, &address.local_part)));
        }
        if let Some(home) = self.at_home(address) {
            return Ok(Some(Found::Aliases(vec![home])));
        }
        if let Some(goals) = self.system(&folded)? {
            return Ok(Some(Found::of_machine(goals.to_vec())));
        }
        if self.accounts.get(&folded).is_some() {
            return Ok(Some(Found::Account(folded)));
        }
        if tag.is_some() {
            if let Some(found) = self.untagged(address)? {
                return Ok(Some(found));
            }
            let own_tag = self.split_tag(address).1;
            if let Some(goals) = self.system(&base)? {
                let tagged = |goal: &Address| self.with_tag(goal.clone(), own_tag.as_deref());
                return Ok(Some(Found::of_machine(goals.iter().map(tagged).collect())));
            }
        }
        if self.accounts.get(&base).is_some() {
            return Ok(Some(Found::Account(base)));
        }
        match self.catch_all(address)? {
            Some(found) => Ok(Some(found)),
            None => self.role(&base),
        }
    }

    /// The same for an address that is not ours: the aliases alone, in their order.
    fn lookup_beyond(&self, address: &Address) -> Result<Option<Found>, Stop> {
        if self.tables.all.is_empty() {
            return Ok(None);
        }
        if let Some(goals) = self.tables.of_address(address)? {
            return Ok(Some(Found::at(&goals, &address.local_part)));
        }
        if let Some(found) = self.untagged(address)? {
            return Ok(Some(found));
        }
        let Some(domain) = address.domain() else { return Ok(None) };
        Ok(self.tables.of_domain(domain)?.map(|goals| Found::at(&goals, &address.local_part)))
    }

    /// The aliases of an address without its tag, which goes along; `None` also where it has no tag.
    fn untagged(&self, address: &Address) -> Result<Option<Found>, Stop> {
        let (base, tag) = self.split_tag(&address.folded());
        if tag.is_none() {
            return Ok(None);
        }
        let own_tag = self.split_tag(address).1;
        let tagged = |goal: &Goal| self.with_tag(goal.address(&base.local_part), own_tag.as_deref());
        let goals = self.tables.of_base(&base)?;
        Ok(goals.map(|goals| Found::Aliases(goals.iter().map(tagged).collect())))
    }

    fn system(&self, folded: &Address) -> Result<Option<&[Address]>, Stop> {
        match self.system_alias(folded) {
            Some(Meaning::Targets(targets)) => Ok(Some(targets)),
            Some(Meaning::Unusable) => Err(Stop::Unavailable),
            None => Ok(None),
        }
    }

    fn is_system_alias(&self, folded: &Address) -> bool {
        self.system_alias(folded).is_some()
    }

    fn system_alias(&self, folded: &Address) -> Option<&Meaning> {
        let (origin, aliases) = self.machine?;
        if folded.domain() == Some(origin) { aliases.of(&folded.local_part) } else { None }
    }

    fn catch_all(&self, address: &Address) -> Result<Option<Found>, Stop> {
        let Some(domain) = address.domain() else { return Ok(None) };
        let Some(hosted) = self.hosted(domain) else { return Ok(None) };
        if let Some(goals) = self.tables.of_domain(domain)? {
            return Ok(Some(Found::at(&goals, &address.local_part)));
        }
        Ok(hosted.catch_all.clone().map(|target| Found::Aliases(vec![target])))
    }

    /// Whether the account may write as this address: its own (with any tag), or one that leads to it; where a table says who
    /// may, those alone.
    pub(crate) fn may_send_as(&self, account: &Address, from: &Address) -> Result<bool, Stop> {
        if let Some(owners) = self.looked_up(self.owners, from)? {
            return Ok(owners.have(account));
        }
        let folded = from.folded();
        if self.account_of(&folded).as_ref() == Some(account) {
            return Ok(true);
        }
        let resolution = self.resolve(&ForwardPath::Address(folded), Reach::Ours)?;
        Ok(
            matches!(resolution, Resolution::Targets(targets) if targets.iter().any(|target| target.place == Place::Account(account.clone()))),
        )
    }
}
