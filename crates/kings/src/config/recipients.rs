//! `[[domain]]`, `[aliases]` and `[local]`: whose mail comes here, and what its names stand for.

use std::time::Duration;

use std::path::PathBuf;

use kings_directory::{HostedDomain, Machine, QuotaRule, RelayDomain, TableSource};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::relay::{self, Action, Level, Recipients, Rule};

use super::mta_sts::{self, Wish};
use super::outbound::{action, source_addresses};
use super::reader::{Complaint, Section, Source};
use super::required;
use super::{quota, retention};
use crate::local::{QueueRights, Users};

/// All `[[domain]]` blocks, by what becomes of their mail.
#[derive(Default)]
pub(super) struct Domains {
    /// It ends here.
    pub(super) hosted: Vec<HostedDomain>,
    /// It is passed on.
    pub(super) relays: Vec<RelayDomain>,
    /// Where to.
    pub(super) routes: Vec<Rule>,
    /// Which of our addresses the mail of their senders leaves from.
    pub(super) sources: Vec<(Domain, relay::Source)>,
    /// How much mail their accounts may hold.
    pub(super) quotas: Vec<(Domain, QuotaRule)>,
    /// How long their expunged mail can be put back.
    pub(super) kept: Vec<(Domain, Duration)>,
    /// Their MTA-STS policies, where they have their own.
    pub(super) mta_sts: Vec<(Domain, Wish)>,
}

pub(super) fn domains(source: &mut Source<'_>, top: &mut Section<'_>) -> Domains {
    let mut domains = Domains::default();
    let sections = top.sections(source, "domain");
    if sections.is_empty() {
        source.complain("no domain is hosted: add [[domain]] with name = \"example.org\"");
    }
    for mut section in sections {
        domains.read(source, &mut section);
        section.finish(source);
    }
    domains
}

impl Domains {
    fn read(&mut self, source: &mut Source<'_>, section: &mut Section<'_>) {
        let name = required(source, section, "name", "example.org", |source, section, key| {
            section.parsed(source, key, "a domain such as \"example.org\"", Domain::parse)
        });
        let catch_all = section.parsed(source, "catch_all", "an address", Address::parse);
        let relay_to = section.parsed(source, "relay_to", "\"smtp:HOST:PORT\" or \"mx\"", relay_to);
        let is_listed = section.value("recipients").is_some();
        let recipients = section.tables(source, "recipients");
        let recipients = is_listed.then_some(recipients);
        let leaves_from = source_addresses(source, section);
        let quota = quota::rule(source, section, ["quota_storage", "quota_messages"]);
        let kept = retention::time(source, section);
        let policy = mta_sts::wish(source, section, "mta_sts");
        let Some(name) = name else { return };
        self.mta_sts.extend(policy.map(|wish| (name.clone(), wish)));
        self.sources.push((name.clone(), leaves_from));
        if self.hosted.iter().any(|known| known.name == name)
            || self.relays.iter().any(|known| known.name == name)
        {
            return source.complain(format!("domain {name} stands in two [[domain]] blocks"));
        }
        let Some(relay_to) = relay_to else {
            if recipients.is_some() {
                source.complain(format!(
                    "domain {name} has recipients but no relay_to: a hosted domain has accounts and aliases instead"
                ));
            }
            self.quotas.push((name.clone(), quota));
            self.kept.extend(kept.map(|time| (name.clone(), time)));
            return self.hosted.push(HostedDomain { name, catch_all });
        };
        if quota != QuotaRule::default() {
            source.complain(format!(
                "domain {name} is passed on, so nothing of it is stored: it has no quota here"
            ));
        }
        if catch_all.is_some() {
            source.complain(format!("domain {name} is passed on, so it has no catch_all here"));
        }
        self.routes.extend(relay_to.map(|action| Rule {
            matches: Recipients::Domain(name.clone()).into(),
            action,
            source: relay::Source::default(),
        }));
        self.relays.push(RelayDomain { name, recipients });
    }
}

/// A host, or `None` for the MX hosts of the domain that are better than this one.
fn relay_to(text: &str) -> Result<Option<Action>, &'static str> {
    match text {
        "mx" => Ok(None),
        _ if text.starts_with("smtp:") || text.starts_with("lmtp:") => {
            action(text, None, Level::May).map(Some)
        }
        _ => Err("no host"),
    }
}

/// What `kings config check` says about domains that take mail for anybody.
pub(super) fn backscatter(relays: &[RelayDomain]) -> impl Iterator<Item = Complaint> + '_ {
    relays.iter().filter(|relay| relay.recipients.is_none()).map(|relay| Complaint {
        line: None,
        what: format!(
            "domain {} is passed on without a list of recipients: what the other server refuses is bounced to senders \
             that may be forged (backscatter); add recipients = \"FILE\" with one address a line",
            relay.name
        ),
    })
}

/// `[aliases]`.
pub(super) struct Aliases {
    pub(super) tables: Vec<TableSource>,
    /// Aliases of the machine's own users.
    pub(super) system: Option<PathBuf>,
}

pub(super) fn aliases(source: &mut Source<'_>, section: &mut Section<'_>) -> Aliases {
    let file = section.path(source, "file").map(TableSource::Plain);
    let more = section.tables(source, "files");
    let system = section.path(source, "system");
    Aliases { tables: file.into_iter().chain(more).collect(), system }
}

/// `[local]`: the domain that the machine's users write from, and, where the section is there at all, how they hand in
/// mail.
pub(super) fn local(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
) -> (Option<Domain>, Option<crate::local::Settings>) {
    let origin = section.parsed(source, "origin", "a domain such as \"example.org\"", Domain::parse);
    let folder = section.path(source, "folder").unwrap_or_else(|| crate::local::DEFAULT_FOLDER.into());
    let name = |text: &str| if text.is_empty() { Err("nobody") } else { Ok(text.to_owned()) };
    let trusted_users = section.list(source, "trusted_users", "a user name such as \"www-data\"", name);
    let queue = QueueRights {
        list: queue_users(source, section, "may_list_queue"),
        flush: queue_users(source, section, "may_flush_queue"),
    };
    (origin, section.is_there().then_some(crate::local::Settings { folder, trusted_users, queue }))
}

/// Users who may do something with the queue; all, where nothing is said, as with Postfix.
fn queue_users(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Users {
    if section.value(key).is_none() {
        return Users::All;
    }
    let name = |text: &str| if text.is_empty() { Err("nobody") } else { Ok(text.to_owned()) };
    Users::named(section.list(source, key, "a user name such as \"nagios\", or \"*\" for all", name))
}

/// The machine has users of its own as soon as the config says anything about them.
pub(super) fn machine(
    source: &mut Source<'_>,
    hosted: &[HostedDomain],
    hostname: Option<&Domain>,
    (origin, is_there): (Option<Domain>, bool),
    aliases: Option<PathBuf>,
) -> Option<Machine> {
    if !is_there && aliases.is_none() {
        return None;
    }
    if let Some(domain) = &origin
        && hostname != Some(domain)
        && !hosted.iter().any(|known| known.name == *domain)
    {
        source.complain(format!(
            "[local] origin {domain} is neither hosted here nor the hostname: answers to the machine's users would not arrive"
        ));
    }
    let origin = origin.or_else(|| Some(hosted.first()?.name.clone()))?;
    Some(Machine { origin, aliases })
}
