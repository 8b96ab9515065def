//! From a recipient to the accounts and outside addresses it stands for.

use std::collections::HashSet;

use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;
use kings_mail::path::ForwardPath;

use crate::aliases::{Aliases, Goal};
use crate::directory::HostedDomain;
use crate::passwd_file::Accounts;

/// Parts a name from its tag: `ann+tag@` is ann's (RFC 5233 §1).
const TAG: char = '+';
/// Most targets one recipient may stand for (virtual_alias_expansion_limit of Postfix).
const MAX_TARGETS: usize = 1_000;
/// Longest chain of aliases.
const MAX_DEPTH: usize = 50;
/// Names that reach somebody in every domain (RFC 5321 §4.5.1, RFC 2142 §2).
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// What a recipient stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// These, at least one, none twice.
    Targets(Vec<Target>),
    /// The domain is ours and has no such name, or only an alias that leads to none.
    Unknown,
    /// The domain is not ours.
    Elsewhere(Address),
    /// Aliases that only lead to each other, or to too many: a fault of the alias file.
    Looping,
}

/// One place a message goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
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
    pub(crate) aliases: &'a Aliases,
}

impl Book<'_> {
    pub(crate) fn resolve(&self, path: &ForwardPath) -> Resolution {
        let address = match path {
            ForwardPath::Postmaster => self.postmaster(),
            ForwardPath::Address(address) => address.clone(),
        };
        if !self.is_ours(&address) {
            return Resolution::Elsewhere(address);
        }
        if self.lookup(&address).is_none() {
            return Resolution::Unknown;
        }
        let mut walk = Walk::default();
        self.expand(&address, &mut walk, 0);
        match walk {
            Walk { overrun: true, .. } => Resolution::Looping,
            Walk { targets, .. } if !targets.is_empty() => Resolution::Targets(targets),
            Walk { circle: true, .. } => Resolution::Looping,
            Walk { .. } => Resolution::Unknown,
        }
    }

    /// Whether mail for this address ends here: a hosted domain, or a role name at our own host name.
    fn is_ours(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| {
            self.hosted(domain).is_some() || (domain == self.hostname && is_role(address))
        })
    }

    fn hosted(&self, domain: &Domain) -> Option<&HostedDomain> {
        self.domains.iter().find(|hosted| hosted.name == *domain)
    }

    /// `<Postmaster>` without a domain.
    fn postmaster(&self) -> Address {
        let local_part = LocalPart::parse(ROLES[0]).expect("a plain word");
        Address::new(local_part, Host::Domain(self.hostname.clone()))
    }

    /// Walks the aliases. An address met a second time ends its branch: at its account if it has one, else
    /// in nothing, so that a circle gives one delivery and never two.
    fn expand(&self, address: &Address, walk: &mut Walk, depth: usize) {
        if depth > MAX_DEPTH || walk.targets.len() >= MAX_TARGETS {
            walk.overrun = true;
            return;
        }
        let folded = address.folded();
        if !walk.seen.insert(folded.clone()) {
            match self.account_of(&folded) {
                Some(account) => walk.add(Target::Account(account)),
                None => walk.circle = true,
            }
            return;
        }
        if !self.is_ours(address) {
            return walk.add(Target::Remote(address.clone()));
        }
        match self.lookup(address) {
            Some(Found::Account(account)) => walk.add(Target::Account(account)),
            Some(Found::Aliases(goals)) => {
                for goal in goals {
                    self.expand(&goal, walk, depth + 1);
                }
            }
            None => {}
        }
    }

    /// One step. The order is Postfix's (virtual(5): full address, then without its tag, then `@domain`), with
    /// one mercy: an account is never hidden by a catch-all of its domain.
    fn lookup(&self, address: &Address) -> Option<Found> {
        let folded = address.folded();
        let (base, tag) = split_tag(&folded);
        if let Some(goals) = self.aliases.of_address(&folded) {
            return Some(Found::Aliases(
                goals.iter().map(|goal| goal.address(&address.local_part)).collect(),
            ));
        }
        if self.accounts.get(&folded).is_some() {
            return Some(Found::Account(folded));
        }
        if let Some(goals) = tag.and(self.aliases.of_address(&base)) {
            let own_tag = split_tag(address).1;
            return Some(Found::Aliases(
                goals.iter().map(|goal| with_tag(goal, &base, own_tag.as_deref())).collect(),
            ));
        }
        if self.accounts.get(&base).is_some() {
            return Some(Found::Account(base));
        }
        self.catch_all(address).or_else(|| self.role(&base))
    }

    fn catch_all(&self, address: &Address) -> Option<Found> {
        let domain = address.domain()?;
        if is_role(&split_tag(&address.folded()).0) && self.hosted(domain).is_none() {
            return None;
        }
        if let Some(goals) = self.aliases.of_domain(domain) {
            return Some(Found::Aliases(
                goals.iter().map(|goal| goal.address(&address.local_part)).collect(),
            ));
        }
        self.hosted(domain)?.catch_all.clone().map(|target| Found::Aliases(vec![target]))
    }

    /// Where a role name goes that nobody took: to postmaster of the first domain, else to the first account
    /// of the domain, else to the first of all.
    fn role(&self, address: &Address) -> Option<Found> {
        if !is_role(address) {
            return None;
        }
        let first = &self.domains.first()?.name;
        let host = |domain: &Domain| Host::Domain(domain.clone());
        for name in [address.local_part.as_str(), ROLES[0]] {
            let local_part = LocalPart::parse(name).expect("role names are plain words");
            let central = Address::new(local_part, host(first));
            if self.aliases.of_address(&central).is_some() || self.accounts.get(&central).is_some() {
                return Some(Found::Aliases(vec![central]));
            }
        }
        let here = self.accounts.iter().find(|entry| entry.address.domain() == address.domain());
        let account = here.or_else(|| self.accounts.iter().next())?;
        Some(Found::Account(account.address.clone()))
    }

    /// The account that an address is by itself, with or without a tag.
    fn account_of(&self, folded: &Address) -> Option<Address> {
        let (base, _) = split_tag(folded);
        [folded, &base].into_iter().find(|address| self.accounts.get(address).is_some()).cloned()
    }

    /// Whether the account may write as this address: its own (with any tag), or one that leads to it.
    pub(crate) fn may_send_as(&self, account: &Address, from: &Address) -> bool {
        let folded = from.folded();
        if self.account_of(&folded).as_ref() == Some(account) {
            return true;
        }
        let resolution = self.resolve(&ForwardPath::Address(folded));
        matches!(resolution, Resolution::Targets(targets) if targets.contains(&Target::Account(account.clone())))
    }
}

enum Found {
    Account(Address),
    Aliases(Vec<Address>),
}

#[derive(Default)]
struct Walk {
    seen: HashSet<Address>,
    targets: Vec<Target>,
    /// An alias led back to itself.
    circle: bool,
    /// The chain was too long or the targets too many.
    overrun: bool,
}

impl Walk {
    fn add(&mut self, target: Target) {
        if !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }
}

fn is_role(address: &Address) -> bool {
    ROLES.iter().any(|role| role.eq_ignore_ascii_case(address.local_part.as_str()))
}

/// `ann+tag@x` as (`ann@x`, `tag`); without a tag the address itself.
fn split_tag(address: &Address) -> (Address, Option<String>) {
    let parts = address.local_part.as_str().split_once(TAG);
    let base = parts.and_then(|(name, tag)| Some((LocalPart::parse(name).ok()?, tag)));
    match base {
        Some((name, tag)) => (Address::new(name, address.host.clone()), Some(tag.to_owned())),
        None => (address.clone(), None),
    }
}

/// A tag travels along the alias, as with Postfix's `propagate_unmatched_extensions`.
fn with_tag(goal: &Goal, base: &Address, tag: Option<&str>) -> Address {
    let target = goal.address(&base.local_part);
    let tagged = tag.filter(|_| split_tag(&target).1.is_none());
    let name =
        tagged.and_then(|tag| LocalPart::parse(&format!("{}{TAG}{tag}", target.local_part.as_str())).ok());
    name.map_or(target.clone(), |name| Address::new(name, target.host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

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

    fn ask<T>(question: impl FnOnce(&Book<'_>) -> T) -> T {
        let domain = |text: &str| Domain::parse(text).unwrap();
        let hosted = |name: &str, catch_all: Option<&str>| HostedDomain {
            name: domain(name),
            catch_all: catch_all.map(|text| Address::parse(text).unwrap()),
        };
        let domains = [
            hosted("example.org", None),
            hosted("second.example", None),
            hosted("old.example", None),
            hosted("third.example", Some("joe@example.org")),
        ];
        let (hostname, accounts) = (domain("mail.example.org"), Accounts::parse(USERS).unwrap());
        let aliases = Aliases::parse(ALIASES, Some(&domains[0].name)).unwrap();
        question(&Book { hostname: &hostname, domains: &domains, accounts: &accounts, aliases: &aliases })
    }

    fn resolve(path: &str) -> String {
        let resolution = ask(|book| book.resolve(&ForwardPath::parse(path).unwrap()));
        match resolution {
            Resolution::Targets(targets) => {
                let show = |target: &Target| match target {
                    Target::Account(address) => address.to_string(),
                    Target::Remote(address) => format!("-> {address}"),
                };
                targets.iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Resolution::Unknown => "unknown".into(),
            Resolution::Elsewhere(address) => format!("elsewhere {address}"),
            Resolution::Looping => "looping".into(),
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
        for (path, expected) in cases {
            assert_eq!(resolve(path), expected, "{path}");
        }
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
            let (account, from) = (Address::parse(account).unwrap(), Address::parse(from).unwrap());
            assert_eq!(ask(|book| book.may_send_as(&account, &from)), expected, "{account} as {from}");
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
        let name = Domain::parse("example.org").unwrap();
        let aliases = Aliases::parse(&text, Some(&name)).unwrap();
        let domains = [HostedDomain { name: name.clone(), catch_all: None }];
        let book =
            Book { hostname: &name, domains: &domains, accounts: &Accounts::default(), aliases: &aliases };
        for path in ["c0@example.org", "wide@example.org"] {
            assert_eq!(book.resolve(&ForwardPath::parse(path).unwrap()), Resolution::Looping, "{path}");
        }
    }
}
