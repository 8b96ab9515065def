//! `[quota]`: how much mail accounts may hold, and what senders hear when one is full.

use kings_directory::{Allowance, BadQuota, Difference, MailboxRule, QuotaRule};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::FullMailbox;
use kings_store::{AccountQuota, MailboxAllowance, MailboxQuota, Naming, QuotaLimits};

use super::reader::{Section, Source};

/// By how many hundredths of its limit the last message may go past it: Dovecot's `quota_grace`.
const GRACE: Allowance = Allowance::Percent(10);

/// Rules for all accounts and for those of each domain; the lines of the accounts file stand above them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quotas {
    all: QuotaRule,
    domains: Vec<(Domain, QuotaRule)>,
    grace: Allowance,
    naming: Naming,
}

impl Quotas {
    /// What one account may hold; `own`: what its line in the accounts file says.
    pub(crate) fn of(&self, account: &Address, own: &QuotaRule) -> AccountQuota {
        let rules = self.domains.iter().filter(|(domain, _)| account.domain() == Some(domain));
        let rules = std::iter::once(&self.all).chain(rules.map(|(_, rule)| rule));
        let rules = rules.chain([own]);
        let (octets, messages) = rules.fold((None, None), |most, rule| rule.within(most));
        let grace = QuotaRule { octets: Some(own.grace.unwrap_or(self.grace)), ..QuotaRule::default() };
        let grace = grace.within((octets, None)).0.unwrap_or_default();
        // The account's own are asked first.
        let mailboxes = own.mailboxes.iter().chain(&self.all.mailboxes);
        let mailboxes = mailboxes.map(|rule| mailbox_quota(rule, self.naming)).collect();
        AccountQuota { limits: QuotaLimits { octets, messages, grace }, mailboxes }
    }
}

fn mailbox_quota(rule: &MailboxRule, naming: Naming) -> MailboxQuota {
    let difference = |difference: Option<Difference>| match difference {
        Some(Difference::Number(number)) => kings_store::Difference::Number(number),
        Some(Difference::Percent(percent)) => kings_store::Difference::Percent(percent),
        None => kings_store::Difference::Number(0),
    };
    let allowance = if rule.ignored {
        MailboxAllowance::Ignored
    } else {
        MailboxAllowance::Differs { octets: difference(rule.octets), messages: difference(rule.messages) }
    };
    MailboxQuota { mask: rule.mask.clone(), naming, allowance }
}

pub(super) fn read(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    domains: Vec<(Domain, QuotaRule)>,
    naming: Naming,
) -> (Quotas, FullMailbox) {
    let mut section = top.section(source, "quota");
    let mut all = rule(source, &mut section, ["storage", "messages"]);
    let form = "rules for mailboxes such as \"Trash:storage=+100M\" or \"Spam:ignore\"";
    let rules = section.list(source, "rules", form, |text| match text.split_once(':') {
        Some(("*" | "?", _)) => {
            Err(BadQuota::new("what goes for all mailboxes is said by storage and messages".to_owned()))
        }
        // Whether it is one; they are put together below.
        _ => QuotaRule::default().hear_rule(1, text).map(|()| text.to_owned()),
    });
    for text in rules {
        let _ = all.hear_rule(1, &text);
    }
    let size = "a part of the limit such as \"10%\", or a size such as \"10M\"";
    let grace = section.parsed(source, "grace", size, kings_directory::grace);
    let choices = [("defer", FullMailbox::Defer), ("reject", FullMailbox::Reject)];
    let full = section.choice(source, "when_full", &choices).unwrap_or_default();
    section.finish(source);
    (Quotas { all, domains, grace: grace.unwrap_or(GRACE), naming }, full)
}

/// Two keys of a section: a size, and a number of messages.
pub(super) fn rule(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    [storage, messages]: [&'static str; 2],
) -> QuotaRule {
    let size = "a size such as \"1G\", or \"unlimited\"";
    let octets = section.parsed(source, storage, size, |text| Allowance::octets(text, 1));
    let is_number = section.value(messages).is_some_and(|value| value.get_ref().as_integer().is_some());
    let messages = if is_number {
        section.number(source, messages, 1).map(Allowance::Limit)
    } else {
        section.parsed(source, messages, "a number, or \"unlimited\"", Allowance::messages)
    };
    QuotaRule { octets, messages, ..QuotaRule::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::config::tests::SMALLEST;

    const MIB: u64 = 1 << 20;

    fn settings(domain: &str, quota: &str) -> Result<Settings, Vec<String>> {
        let text = SMALLEST.replacen("[accounts]", &format!("{domain}\n[accounts]"), 1) + quota;
        let complaints = |all: Vec<crate::config::Complaint>| all.iter().map(ToString::to_string).collect();
        Settings::parse(&text, Path::new("/etc/kings-smtp")).map_err(complaints)
    }

    #[test]
    fn an_account_stands_above_its_domain_and_that_above_the_rest() {
        let rule = |octets| QuotaRule { octets: Some(octets), ..QuotaRule::default() };
        let none = QuotaRule::default;
        let cases = [
            ("", "", none(), (None, None, 0)),
            ("", "[quota]\nstorage = \"100M\"\nmessages = 7", none(), (Some(100 * MIB), Some(7), 10 * MIB)),
            (
                "quota_storage = \"50M\"",
                "[quota]\nstorage = \"100M\"",
                none(),
                (Some(50 * MIB), None, 5 * MIB),
            ),
            (
                "quota_storage = \"50%\"",
                "[quota]\nstorage = \"100M\"",
                none(),
                (Some(50 * MIB), None, 5 * MIB),
            ),
            ("quota_storage = \"unlimited\"", "[quota]\nstorage = \"100M\"", none(), (None, None, 0)),
            ("quota_messages = 5", "[quota]\nmessages = 9", none(), (None, Some(5), 0)),
            ("", "[quota]\nstorage = \"100M\"", rule(Allowance::Limit(MIB)), (Some(MIB), None, MIB / 10)),
            ("", "[quota]\nstorage = \"100M\"", rule(Allowance::Unlimited), (None, None, 0)),
            ("", "", rule(Allowance::Limit(MIB)), (Some(MIB), None, MIB / 10)),
            ("", "[quota]\nstorage = \"100M\"\ngrace = \"1M\"", none(), (Some(100 * MIB), None, MIB)),
            ("", "[quota]\nstorage = \"100M\"\ngrace = \"0\"", none(), (Some(100 * MIB), None, 0)),
            ("", "[quota]\nstorage = \"100M\"\ngrace = \"0%\"", none(), (Some(100 * MIB), None, 0)),
        ];
        let ann = Address::parse("ann@example.org").unwrap();
        for (domain, quota, own, expected) in cases {
            let limits = settings(domain, quota).unwrap().quotas.of(&ann, &own).limits;
            let found = (limits.octets, limits.messages, limits.grace);
            assert_eq!(found, expected, "{domain} {quota} {own:?}");
        }
    }

    #[test]
    fn rules_for_mailboxes_are_an_accounts_own_and_then_those_of_all() {
        let text = "[quota]\nstorage = \"100M\"\nrules = [\"Trash:storage=+10M\", \"Spam*:ignore\", \"Trash:messages=+1\"]";
        let mut own = QuotaRule::default();
        own.hear_rule(2, "Trash:storage=+10%").unwrap();
        own.hear_rule(3, "Sent.*:storage=-50M").unwrap();
        let quotas = settings("", text).unwrap().quotas;
        let ann = Address::parse("ann@example.org").unwrap();
        let of = |own: &QuotaRule, name: &str| {
            let mailbox = quotas.naming.read(name).unwrap();
            quotas
                .of(&ann, own)
                .of(&mailbox)
                .map(|limits| (limits.octets.map(|octets| octets / MIB), limits.messages))
        };
        let none = QuotaRule::default();
        for (name, with_own, without) in [
            ("INBOX", Some((Some(100), None)), Some((Some(100), None))),
            ("Trash", Some((Some(110), None)), Some((Some(110), Some(1)))),
            ("Sent.2024", Some((Some(50), None)), Some((Some(100), None))),
            ("Spam.2024", None, None),
        ] {
            assert_eq!((of(&own, name), of(&none, name)), (with_own, without), "{name}");
        }
    }

    #[test]
    fn what_is_no_quota_is_said() {
        for (domain, quota, told) in [
            ("", "[quota]\nstorage = \"much\"", "storage"),
            ("", "[quota]\nstorage = 5", "storage"),
            ("", "[quota]\nmessages = 0", "messages"),
            ("", "[quota]\nmessages = \"1G\"", "messages"),
            ("", "[quota]\ngrace = \"little\"", "grace"),
            ("", "[quota]\nrules = [\"Trash:storage=+lots\"]", "rules"),
            ("", "[quota]\nrules = [\"*:storage=1G\"]", "rules"),
            ("", "[quota]\nrules = [\"Trash\"]", "rules"),
            ("", "[quota]\nwhen_full = \"discard\"", "when_full"),
            ("quota_storage = \"1X\"", "", "quota_storage"),
            ("relay_to = \"mx\"\nquota_storage = \"1G\"", "", "no quota here"),
        ] {
            let complaints = settings(domain, quota).err().unwrap_or_default();
            assert!(
                complaints.iter().any(|complaint| complaint.contains(told)),
                "{domain} {quota}: {complaints:?}"
            );
        }
    }
}
