//! `keep_expunged`: how long mail can be put back after it was expunged.

use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::domain::Domain;

use super::queue::duration;
use super::reader::{Section, Source};

/// For all accounts, and for those of each domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    all: Option<Duration>,
    domains: Vec<(Domain, Duration)>,
}

impl Retention {
    pub(super) fn new(all: Option<Duration>, domains: Vec<(Domain, Duration)>) -> Self {
        Self { all, domains }
    }

    /// How long for one account; nothing where mail goes for good.
    pub(crate) fn of(&self, account: &Address) -> Option<Duration> {
        let own = self.domains.iter().find(|(domain, _)| account.domain() == Some(domain));
        own.map(|(_, time)| *time).or(self.all).filter(|time| !time.is_zero())
    }
}

/// The key of a section.
pub(super) fn time(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Duration> {
    section.parsed(source, "keep_expunged", "a time such as \"14d\"; \"0d\" for none", |text| {
        duration(text).ok_or("no time")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::config::tests::SMALLEST;

    #[test]
    fn a_domain_stands_above_the_rest() {
        let ann = Address::parse("ann@example.org").unwrap();
        for (domain, mailboxes, expected) in [
            ("", "", None),
            ("", "keep_expunged = \"14d\"", Some(14)),
            ("keep_expunged = \"7d\"", "", Some(7)),
            ("keep_expunged = \"7d\"", "keep_expunged = \"14d\"", Some(7)),
            ("keep_expunged = \"0d\"", "keep_expunged = \"14d\"", None),
            ("", "keep_expunged = \"0d\"", None),
        ] {
            let text = SMALLEST.replacen("[accounts]", &format!("{domain}\n[accounts]"), 1);
            let text = format!("{text}\n[mailboxes]\n{mailboxes}\n");
            let settings = Settings::parse(&text, Path::new("/etc/kings-smtp")).unwrap();
            let found = settings.mailboxes.retention.of(&ann).map(|time| time.as_secs() / 86_400);
            assert_eq!(found, expected, "{domain} {mailboxes}");
        }
        for bad in ["keep_expunged = 14", "keep_expunged = \"two weeks\"", "keep_expunged = \"-1d\""] {
            let text = format!("{SMALLEST}\n[mailboxes]\n{bad}\n");
            let told = Settings::parse(&text, Path::new("/etc/kings-smtp")).unwrap_err();
            assert!(told[0].to_string().contains("14d"), "{told:?}");
        }
    }
}
