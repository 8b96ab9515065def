//! From a recipient to the accounts and outside addresses it stands for.

use std::collections::HashSet;

use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;
use kings_mail::path::ForwardPath;

use crate::aliases::Goal;
use crate::directory::HostedDomain;
use crate::passwd_file::Accounts;
use crate::relays::Recipients;
use crate::system::{Meaning, SystemAliases};
use crate::tables::{Stop, Tables};

/// Most targets one recipient may stand for (virtual_alias_expansion_limit of Postfix).
const MAX_TARGETS: usize = 1_000;
/// Longest chain of aliases.
const MAX_DEPTH: usize = 50;
/// Names that reach somebody in every domain (RFC 5321 §4.5.1, RFC 2142 §2).
const ROLES: [&str; 2] = ["postmaster", "abuse"];
/// What the name of a list is joined with for the address of its owner, and of whoever keeps its members.
const OWNER: &str = "owner-";
const REQUEST: &str = "-request";
/// Who gets what the machine itself has to say.
const ROOT: &str = "root";
/// The machine under the name that it has for its own users alone (RFC 6761 §6.3).
pub(crate) const LOCALHOST: &str = "localhost";

/// Whether a name reaches somebody in every domain.
pub(crate) fn is_role(name: &LocalPart) -> bool {
    ROLES.iter().any(|role| role.eq_ignore_ascii_case(name.as_str()))
}

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
    /// These, at least one, none twice.
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
}

/// One reading of all files, and the questions asked of it.
pub(crate) struct Book<'a> {
    pub(crate) hostname: &'a Domain,
    pub(crate) domains: &'a [HostedDomain],
    pub(crate) accounts: &'a Accounts,
    pub(crate) tables: Tables<'a>,
    /// The machine's own users, where it has any: the domain they write from, and their aliases.
    pub(crate) machine: Option<(&'a Domain, &'a SystemAliases)>,
    pub(crate) relays: &'a [(Domain, Option<Recipients>)],
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
            return Ok(if is_ours { Resolution::Unknown } else { self.beyond(address) });
        }
        let mut walk = Walk::default();
        self.expand(&address, &mut walk, 0)?;
        Ok(match walk {
            Walk { overrun: true, .. } => Resolution::Looping,
            Walk { targets, nobody, .. } if nobody || !targets.is_empty() => Resolution::Targets(targets),
            // An alias that leads to nobody must not make postmaster, or root, nobody.
            Walk { .. } if is_ours && self.is_role(&address) => match self.first_account(&address) {
                Some(account) => Resolution::Targets(vec![Place::Account(account).into()]),
                None => Resolution::Unknown,
            },
            Walk { circle: true, .. } => Resolution::Looping,
            Walk { .. } => Resolution::Unknown,
        })
    }

    /// Whether mail for the domain comes to us, though it does not end here: one that we pass on for, or the name of
    /// this host.
    fn takes_mail_of(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| {
            domain == self.hostname || self.relays.iter().any(|(name, _)| name == domain)
        })
    }

    /// An address that no alias leads from and whose mail does not end here: perhaps of a domain that we pass on for.
    fn beyond(&self, address: Address) -> Resolution {
        let relay = address.domain().and_then(|domain| self.relays.iter().find(|(name, _)| name == domain));
        let Some((_, recipients)) = relay else { return Resolution::Elsewhere(address) };
        let folded = address.folded();
        let base = self.split_tag(&folded).0;
        let known = recipients.as_ref().is_none_or(|list| {
            // Whoever relays for a domain takes mail for its postmaster (RFC 5321 §4.5.1).
            folded.local_part.as_str() == ROLES[0] || list.knows(&folded) || list.knows(&base)
        });
        if known { Resolution::Targets(vec![Place::Remote(address).into()]) } else { Resolution::Unknown }
    }

    /// Whether mail for this address ends here: a hosted domain, a name of the machine, or a role name at our own
    /// host name.
    fn is_ours(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| {
            self.hosted(domain).is_some()
                || self.is_machine(domain)
                || (domain == self.hostname && self.is_role(address))
        })
    }

    fn hosted(&self, domain: &Domain) -> Option<&HostedDomain> {
        self.domains.iter().find(|hosted| hosted.name == *domain)
    }

    /// Whether the domain is a name of the machine, or the one its users write from.
    fn is_machine(&self, domain: &Domain) -> bool {
        self.machine.is_some_and(|(origin, _)| {
            domain == origin || domain == self.hostname || domain.as_str() == LOCALHOST
        })
    }

    /// `<Postmaster>` without a domain.
    fn postmaster(&self) -> Address {
        let local_part = LocalPart::parse(ROLES[0]).expect("a plain word");
        Address::new(local_part, Host::Domain(self.hostname.clone()))
    }

    /// Walks the aliases, which addresses of other domains may have too. An address met a second time ends its branch:
    /// at its account, or at the other server, if it has one, else in nothing, so that a circle gives one delivery and
    /// never two.
    fn expand(&self, address: &Address, walk: &mut Walk, depth: usize) -> Result<(), Stop> {
        if depth > MAX_DEPTH || walk.targets.len() >= MAX_TARGETS {
            walk.overrun = true;
            return Ok(());
        }
        let folded = address.folded();
        if !walk.seen.insert(folded.clone()) {
            match self.account_of(&folded) {
                Some(account) => walk.add(Place::Account(account)),
                None if !self.is_ours(address) => walk.add(Place::Remote(address.clone())),
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
            Some(Found::Nobody) => walk.nobody = true,
            None if !self.is_ours(address) => walk.add(Place::Remote(address.clone())),
            None => {}
        }
        Ok(())
    }

    /// `owner-NAME` for the alias `NAME`, if it has a line of its own: a catch-all owns no list.
    fn owner_of(&self, alias: &Address) -> Result<Option<Address>, Stop> {
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

    /// The names of the machine mean the domain that its users write from.
    fn at_home(&self, address: &Address) -> Option<Address> {
        let (origin, _) = self.machine?;
        let domain = address.domain()?;
        let elsewhere = domain != origin && self.is_machine(domain) && self.hosted(domain).is_none();
        elsewhere.then(|| Address::new(address.local_part.clone(), Host::Domain(origin.clone())))
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

    /// Where a role name goes that nobody took: to postmaster of the first domain, else to the first account
    /// of the domain, else to the first of all.
    fn role(&self, address: &Address) -> Result<Option<Found>, Stop> {
        if !self.is_role(address) {
            return Ok(None);
        }
        let Some(first) = self.domains.first() else { return Ok(None) };
        for name in [address.local_part.as_str(), ROLES[0]] {
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

    fn first_account(&self, address: &Address) -> Option<Address> {
        let here = self.accounts.iter().find(|entry| entry.address.domain() == address.domain());
        let account = here.or_else(|| self.accounts.iter().next())?;
        Some(account.address.clone())
    }

    /// postmaster and abuse anywhere; root where the machine has users of its own.
    fn is_role(&self, address: &Address) -> bool {
        let is = |role: &str| role.eq_ignore_ascii_case(self.split_tag(address).0.local_part.as_str());
        ROLES.into_iter().any(is)
            || (is(ROOT) && address.domain().is_some_and(|domain| self.is_machine(domain)))
    }

    /// The account that an address is by itself, with or without a tag.
    fn account_of(&self, folded: &Address) -> Option<Address> {
        let (base, _) = self.split_tag(folded);
        [folded, &base].into_iter().find(|address| self.accounts.get(address).is_some()).cloned()
    }

    /// Whether the account may write as this address: its own (with any tag), or one that leads to it.
    pub(crate) fn may_send_as(&self, account: &Address, from: &Address) -> Result<bool, Stop> {
        let folded = from.folded();
        if self.account_of(&folded).as_ref() == Some(account) {
            return Ok(true);
        }
        let resolution = self.resolve(&ForwardPath::Address(folded), Reach::Ours)?;
        Ok(
            matches!(resolution, Resolution::Targets(targets) if targets.iter().any(|target| target.place == Place::Account(account.clone()))),
        )
    }

    /// `ann+tag@x` as (`ann@x`, `+tag`); without a tag the address itself. `owner-list` and `list-request` are names, also
    /// where a tag begins with `-`.
    fn split_tag(&self, address: &Address) -> (Address, Option<String>) {
        let text = address.local_part.as_str();
        let is_special = |text: &str| text.starts_with(OWNER) || text.ends_with(REQUEST);
        let is_name = self.delimiters.contains('-') && is_special(&text.to_lowercase());
        let at = text.find(|c| self.delimiters.contains(c)).filter(|at| *at > 0 && !is_name);
        let base = at.and_then(|at| Some((LocalPart::parse(&text[..at]).ok()?, &text[at..])));
        match base {
            Some((name, tag)) => (Address::new(name, address.host.clone()), Some(tag.to_owned())),
            None => (address.clone(), None),
        }
    }

    /// A tag travels along the alias, as with Postfix's `propagate_unmatched_extensions`.
    fn with_tag(&self, target: Address, tag: Option<&str>) -> Address {
        let tagged = tag.filter(|_| self.split_tag(&target).1.is_none());
        let name =
            tagged.and_then(|tag| LocalPart::parse(&format!("{}{tag}", target.local_part.as_str())).ok());
        name.map_or(target.clone(), |name| Address::new(name, target.host))
    }
}

impl From<Place> for Target {
    /// Without an owner.
    fn from(place: Place) -> Self {
        Self { place, owner: None }
    }
}

enum Found {
    Account(Address),
    Aliases(Vec<Address>),
    /// Somebody wants the mail thrown away.
    Nobody,
}

impl Found {
    fn of_machine(goals: Vec<Address>) -> Self {
        if goals.is_empty() { Self::Nobody } else { Self::Aliases(goals) }
    }

    fn at(goals: &[Goal], local_part: &LocalPart) -> Self {
        Self::Aliases(goals.iter().map(|goal| goal.address(local_part)).collect())
    }
}

#[derive(Default)]
struct Walk {
    seen: HashSet<Address>,
    targets: Vec<Target>,
    /// Of the innermost alias that has one.
    owner: Option<Address>,
    /// An alias led to `/dev/null`.
    nobody: bool,
    /// An alias led back to itself.
    circle: bool,
    /// The chain was too long or the targets too many.
    overrun: bool,
}

impl Walk {
    fn add(&mut self, place: Place) {
        if self.targets.iter().all(|target| target.place != place) {
            self.targets.push(Target { place, owner: self.owner.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::aliases::Aliases;
    use crate::regexp_table::RegexpTable;
    use crate::socketmap::Socketmap;
    use crate::tables::{Answers, Table};

    const USERS: &str = "ann@example.org:{PLAIN}a\njoe@example.org:{PLAIN}b\neve@second.example:{PLAIN}c\n";
    const ALIASES: &str = "\
sales@example.org ann@example.org, joe@elsewhere.example
all@example.org sales@example.org, joe@example.org
ann@example.org ann@example.org, copy@elsewhere.example
ring@example.org gnir@example.org
gnir@example.org ring@example.org
half@example.org flah@example.org
flah@example.org half@example.org, joe@example.org
@second.example eve@second.example
@old.example @example.org
dead@example.org nobody@example.org
";

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// What a test asks its questions of; the default has one table, [`ALIASES`].
    struct Shelf {
        tables: Vec<Table>,
        answers: Answers,
        machine: Option<(Domain, SystemAliases)>,
        relays: Vec<(Domain, Option<Recipients>)>,
        delimiters: &'static str,
    }

    impl Default for Shelf {
        fn default() -> Self {
            let aliases = Aliases::parse(ALIASES, Some(&domain("example.org"))).unwrap();
            Self {
                tables: vec![Table::Virtual(aliases)],
                answers: Answers::default(),
                machine: None,
                relays: Vec::new(),
                delimiters: "+",
            }
        }
    }

    impl Shelf {
        fn with(table: Table) -> Self {
            Self { tables: vec![table], ..Self::default() }
        }

        fn with_machine(aliases: &str) -> Self {
            let origin = domain("example.org");
            let aliases = SystemAliases::parse(aliases, &origin, &mut |path| Err(path.to_owned()));
            Self { machine: Some((origin, aliases)), ..Self::default() }
        }

        fn ask<T>(&self, question: impl FnOnce(&Book<'_>) -> T) -> T {
            let hosted = |name: &str, catch_all: Option<&str>| HostedDomain {
                name: domain(name),
                catch_all: catch_all.map(address),
            };
            let domains = [
                hosted("example.org", None),
                hosted("second.example", None),
                hosted("old.example", None),
                hosted("third.example", Some("joe@example.org")),
            ];
            let (hostname, accounts) = (domain("mail.example.org"), Accounts::parse(USERS).unwrap());
            let origin = Some(&domains[0].name);
            question(&Book {
                hostname: &hostname,
                domains: &domains,
                accounts: &accounts,
                tables: Tables { all: &self.tables, answers: &self.answers, origin },
                machine: self.machine.as_ref().map(|(origin, aliases)| (origin, aliases)),
                relays: &self.relays,
                delimiters: self.delimiters,
            })
        }

        fn resolve(&self, path: &str) -> String {
            self.resolve_within(Reach::Everywhere, path)
        }

        fn resolve_within(&self, reach: Reach, path: &str) -> String {
            match self.ask(|book| book.resolve(&ForwardPath::parse(path).unwrap(), reach)) {
                Ok(Resolution::Targets(targets)) => {
                    let show = |target: &Target| {
                        let owner =
                            target.owner.as_ref().map(|owner| format!("({owner}) ")).unwrap_or_default();
                        match &target.place {
                            Place::Account(address) => format!("{owner}{address}"),
                            Place::Remote(address) => format!("{owner}-> {address}"),
                        }
                    };
                    targets.iter().map(show).collect::<Vec<_>>().join(" ")
                }
                Ok(Resolution::Unknown) => "unknown".into(),
                Ok(Resolution::Elsewhere(address)) => format!("elsewhere {address}"),
                Ok(Resolution::Looping) => "looping".into(),
                Ok(Resolution::Unavailable) | Err(Stop::Unavailable) => "unavailable".into(),
                Err(Stop::Ask(question)) => format!("ask {question:?}"),
            }
        }

        #[track_caller]
        fn resolves(&self, cases: &[(&str, &str)]) {
            for (path, expected) in cases {
                assert_eq!(self.resolve(path), *expected, "{path}");
            }
        }
    }

    #[test]
    fn recipients_resolve_by_one_table() {
        let cases = [
            ("joe@example.org", "joe@example.org"),
            ("JOE@Example.Org", "joe@example.org"),
            ("joe+list@example.org", "joe@example.org"),
            ("nobody@example.org", "unknown"),
            ("nobody+joe@example.org", "unknown"),
            ("joe@elsewhere.example", "elsewhere joe@elsewhere.example"),
            ("joe@mail.example.org", "elsewhere joe@mail.example.org"),
            ("joe@[192.0.2.1]", "elsewhere joe@[192.0.2.1]"),
            ("sales@example.org", "ann@example.org -> copy@elsewhere.example -> joe@elsewhere.example"),
            (
                "sales+Q3@example.org",
                "ann@example.org -> copy+Q3@elsewhere.example -> joe+Q3@elsewhere.example",
            ),
            (
                "all@example.org",
                "ann@example.org -> copy@elsewhere.example -> joe@elsewhere.example joe@example.org",
            ),
            ("ring@example.org", "looping"),
            ("half@example.org", "joe@example.org"),
            ("dead@example.org", "unknown"),
            ("anybody@second.example", "eve@second.example"),
            ("eve@second.example", "eve@second.example"),
            ("joe@old.example", "joe@example.org"),
            ("joe+x@old.example", "joe@example.org"),
            ("nobody@old.example", "unknown"),
            ("anybody@third.example", "joe@example.org"),
            ("postmaster", "ann@example.org"),
            ("Postmaster@example.org", "ann@example.org"),
            ("abuse@second.example", "eve@second.example"),
            ("abuse@mail.example.org", "ann@example.org"),
            ("abuse@elsewhere.example", "elsewhere abuse@elsewhere.example"),
        ];
        Shelf::default().resolves(&cases);
    }

    #[test]
    fn the_machines_own_users_are_known_under_its_names() {
        let shelf = Shelf::with_machine(
            "root: joe\npostmaster: root\nwww-data: root, ops@elsewhere.example\nann: ann, log\n",
        );
        shelf.resolves(&[
            ("root@example.org", "joe@example.org"),
            ("root@localhost", "joe@example.org"),
            ("Root@mail.example.org", "joe@example.org"),
            ("joe@localhost", "joe@example.org"),
            ("joe+x@mail.example.org", "joe@example.org"),
            ("www-data@localhost", "joe@example.org -> ops@elsewhere.example"),
            ("www-data+cron@localhost", "joe@example.org -> ops+cron@elsewhere.example"),
            ("postmaster", "joe@example.org"),
            ("nobody@localhost", "unknown"),
            ("www-data@second.example", "eve@second.example"),
            ("root@elsewhere.example", "elsewhere root@elsewhere.example"),
        ]);
    }

    #[test]
    fn an_alias_that_cannot_be_served_puts_its_own_mail_off_and_dev_null_takes_all() {
        let shelf = Shelf::with_machine(
            "vacation: ann, \"|vacation ann\"\nlog: /var/log/mail\nbin: /dev/null\nrubbish: bin\nabuse: /dev/null\nops: joe, bin\n\
             list: vacation, joe\n",
        );
        shelf.resolves(&[
            ("vacation@localhost", "unavailable"),
            ("log+x@example.org", "unavailable"),
            ("list@localhost", "unavailable"),
            ("bin@localhost", ""),
            ("rubbish+tag@example.org", ""),
            ("abuse@example.org", ""),
            ("ops@localhost", "joe@example.org"),
            ("ann@example.org", "ann@example.org -> copy@elsewhere.example"),
            ("root@localhost", "ann@example.org"),
        ]);
    }

    #[test]
    fn roots_mail_reaches_somebody_even_without_an_alias() {
        for aliases in ["", "postmaster: root\n", "root: nobody\n"] {
            let shelf = Shelf::with_machine(aliases);
            shelf.resolves(&[
                ("root@localhost", "ann@example.org"),
                ("postmaster@example.org", "ann@example.org"),
            ]);
        }
        Shelf::default()
            .resolves(&[("root@example.org", "unknown"), ("root@localhost", "elsewhere root@localhost")]);
    }

    #[test]
    fn patterns_see_whole_addresses_and_strangers_write_no_targets() {
        let table = "/^list-(.*)@example\\.org$/ $1@lists.example\n/^(.*)@old\\.example$/ $1@example.org\n\
                     /^plain@/ joe\n/^broken@/ a@@b\n";
        let shelf = Shelf::with(Table::Regexp(RegexpTable::parse(table).unwrap()));
        shelf.resolves(&[
            ("list-dev@example.org", "-> dev@lists.example"),
            ("List-Dev@example.org", "-> Dev@lists.example"),
            ("joe+x@old.example", "joe@example.org"),
            ("plain@example.org", "joe@example.org"),
            ("broken@example.org", "unavailable"),
            ("joe@example.org", "joe@example.org"),
            ("\"list-a@evil.example, b\"@example.org", "unknown"),
            ("list-dev@elsewhere.example", "elsewhere list-dev@elsewhere.example"),
        ]);
    }

    #[test]
    fn another_program_is_asked_key_by_key_and_nobody_is_refused_meanwhile() {
        let mut shelf = Shelf::with(Table::Socketmap(Socketmap::parse("unix:/run/x:virtual").unwrap()));
        let path = ForwardPath::parse("Info+x@example.org").unwrap();
        let mut asked = Vec::new();
        let found = loop {
            match shelf.ask(|book| book.resolve(&path, Reach::Everywhere)) {
                Ok(resolution) => break resolution,
                Err(Stop::Ask(question)) => {
                    let text = format!("{question:?}");
                    let answer =
                        text.contains("\"info@example.org\"").then(|| "joe, @second.example".to_owned());
                    shelf.answers.insert(question, answer);
                    asked.push(text);
                }
                Err(Stop::Unavailable) => panic!("unavailable"),
            }
        };
        let eve = Place::Remote(address("info+x@elsewhere.example")).into();
        assert!(matches!(found, Resolution::Targets(targets) if !targets.contains(&eve)));
        assert!(
            asked[0].contains("info+x@example.org") && asked[1].contains("info@example.org"),
            "{asked:?}"
        );
    }

    #[test]
    fn a_relay_domain_knows_its_recipients_or_takes_all() {
        let list = Recipients::parse("ann@behind.example x\n").unwrap();
        let relays = vec![(domain("behind.example"), Some(list)), (domain("open.example"), None)];
        Shelf { relays, ..Shelf::default() }.resolves(&[
            ("Ann@behind.example", "-> Ann@behind.example"),
            ("ann+x@behind.example", "-> ann+x@behind.example"),
            ("bob@behind.example", "unknown"),
            ("Postmaster@behind.example", "-> Postmaster@behind.example"),
            ("postmaster@elsewhere.example", "elsewhere postmaster@elsewhere.example"),
            ("any@open.example", "-> any@open.example"),
            ("any@sub.open.example", "elsewhere any@sub.open.example"),
        ]);
    }

    /// Postfix's `virtual_alias_maps`, which act for every recipient, whatever its class.
    #[test]
    fn aliases_act_for_relay_domains_and_for_all_others() {
        let table = "moved@behind.example ann@example.org\nbob@behind.example bob@behind.example, joe@example.org\n\
                     @gone.example ann@example.org\n@renamed.example @example.org\n\
                     boss@partner.example joe@example.org, eve@far.example\neve@far.example eve@home.example\n\
                     team@example.org boss@partner.example, ann@example.org\n\
                     one@far.example two@far.example\ntwo@far.example one@far.example\n\
                     lost@far.example nobody@example.org\njoe@mail.example.org joe@example.org\n";
        let list = Recipients::parse("ann@behind.example x\n").unwrap();
        let relays = vec![
            (domain("behind.example"), Some(list)),
            (domain("gone.example"), Some(Recipients::default())),
            (domain("open.example"), None),
        ];
        let aliases = Aliases::parse(table, Some(&domain("example.org"))).unwrap();
        let shelf = Shelf { relays, ..Shelf::with(Table::Virtual(aliases)) };
        let ours = [
            // An alias makes a recipient that is in no list.
            ("Moved@behind.example", "ann@example.org"),
            ("moved+x@behind.example", "ann@example.org"),
            ("bob@behind.example", "-> bob@behind.example joe@example.org"),
            ("ann@behind.example", "-> ann@behind.example"),
            ("eve@behind.example", "unknown"),
            ("anybody@gone.example", "ann@example.org"),
            ("postmaster@gone.example", "ann@example.org"),
            ("any@open.example", "-> any@open.example"),
            ("joe@mail.example.org", "joe@example.org"),
            // A target beyond has aliases, too.
            ("team@example.org", "joe@example.org -> eve@home.example ann@example.org"),
        ];
        let beyond = [
            ("Boss@partner.example", "joe@example.org -> eve@home.example"),
            ("boss+x@partner.example", "joe@example.org -> eve+x@home.example"),
            ("joe@renamed.example", "joe@example.org"),
            ("one@far.example", "-> one@far.example"),
            ("lost@far.example", "unknown"),
        ];
        let plain = [
            ("joe@far.example", "elsewhere joe@far.example"),
            ("joe@[192.0.2.1]", "elsewhere joe@[192.0.2.1]"),
        ];
        shelf.resolves(&[&ours[..], &beyond, &plain].concat());
        for (path, expected) in ours.into_iter().chain(plain) {
            assert_eq!(shelf.resolve_within(Reach::Ours, path), expected, "{path}");
        }
        for (path, _) in beyond {
            let found = shelf.resolve_within(Reach::Ours, path);
            assert!(found.starts_with("elsewhere "), "a stranger is told of {path}: {found}");
        }
        let (joe, boss) = (address("joe@example.org"), address("boss@partner.example"));
        assert_eq!(shelf.ask(|book| book.may_send_as(&joe, &boss)), Ok(false));
    }

    #[test]
    fn no_program_is_asked_about_what_strangers_may_not_send_to() {
        let shelf = Shelf::with(Table::Socketmap(Socketmap::parse("unix:/run/x:virtual").unwrap()));
        let within = |reach| shelf.resolve_within(reach, "joe@far.example");
        assert_eq!(within(Reach::Ours), "elsewhere joe@far.example");
        assert!(within(Reach::Everywhere).starts_with("ask "));
    }

    #[test]
    fn tags_begin_where_the_config_says() {
        let minus = Shelf { delimiters: "-+", ..Shelf::default() };
        minus.resolves(&[("joe-x@example.org", "joe@example.org"), ("joe+x@example.org", "joe@example.org")]);
        let none = Shelf { delimiters: "", ..Shelf::default() };
        none.resolves(&[("joe+x@example.org", "unknown"), ("joe@example.org", "joe@example.org")]);
    }

    #[test]
    fn mail_of_a_list_is_its_owners_where_the_list_has_one() {
        let lists = "list@example.org ann@example.org, joe@elsewhere.example\nowner-list@example.org joe@example.org\n\
                     all@example.org list@example.org, joe@example.org\nplain@example.org ann@example.org\n\
                     owner-owner-list@example.org ann@example.org\n@second.example ann@example.org\n";
        let aliases = || Table::Virtual(Aliases::parse(lists, Some(&domain("example.org"))).unwrap());
        let members =
            "(owner-list@example.org) ann@example.org (owner-list@example.org) -> joe@elsewhere.example";
        let cases = [
            ("List@example.org", members),
            ("all@example.org", &format!("{members} joe@example.org")),
            ("plain@example.org", "ann@example.org"),
            ("owner-list@example.org", "joe@example.org"),
            // A catch-all that would take mail for an owner makes none.
            ("list@second.example", "ann@example.org"),
            ("ann@example.org", "ann@example.org"),
        ];
        Shelf::with(aliases()).resolves(&cases);
        let tagged = [
            (
                "list-x@example.org",
                "(owner-list@example.org) ann@example.org (owner-list@example.org) -> joe-x@elsewhere.example",
            ),
            ("owner-list@example.org", "joe@example.org"),
            ("joe-request@example.org", "unknown"),
            ("joe-x@example.org", "joe@example.org"),
        ];
        Shelf { delimiters: "-", ..Shelf::with(aliases()) }.resolves(&tagged);
    }

    #[test]
    fn an_account_writes_as_itself_and_as_its_aliases() {
        let cases = [
            ("joe@example.org", "joe@example.org", true),
            ("joe@example.org", "Joe+shop@example.org", true),
            ("joe@example.org", "all@example.org", true),
            ("ann@example.org", "sales@example.org", true),
            ("joe@example.org", "sales@example.org", false),
            ("joe@example.org", "ann@example.org", false),
            ("joe@example.org", "joe@elsewhere.example", false),
            ("joe@example.org", "joe@old.example", true),
            ("joe@example.org", "any@third.example", true),
            ("joe@example.org", "nobody@example.org", false),
        ];
        for (account, from, expected) in cases {
            let (account, from) = (address(account), address(from));
            let may = Shelf::default().ask(|book| book.may_send_as(&account, &from));
            assert_eq!(may, Ok(expected), "{account} as {from}");
        }
    }

    #[test]
    fn a_long_chain_or_a_wide_alias_is_a_fault_not_a_flood() {
        use std::fmt::Write;
        let mut text = String::new();
        for step in 0..100 {
            writeln!(text, "c{step}@example.org c{}@example.org", step + 1).unwrap();
        }
        let wide: Vec<String> = (0..1_001).map(|n| format!("u{n}@elsewhere.example")).collect();
        writeln!(text, "wide@example.org {}", wide.join(", ")).unwrap();
        let aliases = Aliases::parse(&text, Some(&domain("example.org"))).unwrap();
        let shelf = Shelf::with(Table::Virtual(aliases));
        shelf.resolves(&[("c0@example.org", "looping"), ("wide@example.org", "looping")]);
    }
}
