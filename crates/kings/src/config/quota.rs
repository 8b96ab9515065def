//! `[quota]`: how much mail accounts may hold, and what senders hear when one is full.

use kings_directory::{Allowance, BadQuota, QuotaRule};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::FullMailbox;
use kings_store::QuotaLimits;

use super::reader::{Section, Source};

/// By how many hundredths of its limit the last message may go past it: Dovecot's `quota_grace`.
const GRACE: Allowance = Allowance::Percent(10);

/// Rules for all accounts and for those of each domain; the lines of the accounts file stand above them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quotas {
    all: QuotaRule,
    domains: Vec<(Domain, QuotaRule)>,
    grace: Allowance,
}

impl Quotas {
    /// What one account may hold; `own`: what its line in the accounts file says.
    pub(crate) fn limits(&self, account: &Address, own: QuotaRule) -> QuotaLimits {
        let rules = self.domains.iter().filter(|(domain, _)| account.domain() == Some(domain));
        let rules = std::iter::once(self.all).chain(rules.map(|(_, rule)| *rule));
        let rules = rules.chain([own]);
        let (octets, messages) = rules.fold((None, None), |most, rule| rule.within(most));
        let grace = QuotaRule { octets: Some(self.grace), messages: None }.within((octets, None)).0;
        QuotaLimits { octets, messages, grace: grace.unwrap_or_default() }
    }
}

pub(super) fn read(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    domains: Vec<(Domain, QuotaRule)>,
) -> (Quotas, FullMailbox) {
    let all = rule(source, section, ["storage", "messages"]);
    let size = "a part of the limit such as \"10%\", or a size such as \"10M\"";
    let grace = section.parsed(source, "grace", size, |text| match Allowance::octets(text, 1)? {
        // Nothing may go past the limit then.
        Allowance::Unlimited if text != "unlimited" => Ok(Allowance::Limit(0)),
        grace => Ok::<_, BadQuota>(grace),
    });
    let choices = [("defer", FullMailbox::Defer), ("reject", FullMailbox::Reject)];
    let full = section.choice(source, "when_full", &choices).unwrap_or_default();
    (Quotas { all, domains, grace: grace.unwrap_or(GRACE) }, full)
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
    QuotaRule { octets, messages }
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
        let rule = |octets| QuotaRule { octets: Some(octets), messages: None };
        let none = QuotaRule::default();
        let cases = [
            ("", "", none, (None, None, 0)),
            ("", "[quota]\nstorage = \"100M\"\nmessages = 7", none, (Some(100 * MIB), Some(7), 10 * MIB)),
            ("quota_storage = \"50M\"", "[quota]\nstorage = \"100M\"", none, (Some(50 * MIB), None, 5 * MIB)),
            ("quota_storage = \"50%\"", "[quota]\nstorage = \"100M\"", none, (Some(50 * MIB), None, 5 * MIB)),
            ("quota_storage = \"unlimited\"", "[quota]\nstorage = \"100M\"", none, (None, None, 0)),
            ("quota_messages = 5", "[quota]\nmessages = 9", none, (None, Some(5), 0)),
            ("", "[quota]\nstorage = \"100M\"", rule(Allowance::Limit(MIB)), (Some(MIB), None, MIB / 10)),
            ("", "[quota]\nstorage = \"100M\"", rule(Allowance::Unlimited), (None, None, 0)),
            ("", "", rule(Allowance::Limit(MIB)), (Some(MIB), None, MIB / 10)),
            ("", "[quota]\nstorage = \"100M\"\ngrace = \"1M\"", none, (Some(100 * MIB), None, MIB)),
            ("", "[quota]\nstorage = \"100M\"\ngrace = \"0\"", none, (Some(100 * MIB), None, 0)),
            ("", "[quota]\nstorage = \"100M\"\ngrace = \"0%\"", none, (Some(100 * MIB), None, 0)),
        ];
        let ann = Address::parse("ann@example.org").unwrap();
        for (domain, quota, own, expected) in cases {
            let limits = settings(domain, quota).unwrap().quotas.limits(&ann, own);
            let found = (limits.octets, limits.messages, limits.grace);
            assert_eq!(found, expected, "{domain} {quota} {own:?}");
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
