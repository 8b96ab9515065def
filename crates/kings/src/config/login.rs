//! `[login]`: how people log in.

use std::time::Duration;

use kings_directory::LoginNames;
use kings_mail::domain::Domain;
use kings_sasl::{Mechanism, Mechanisms};

use super::queue::duration;
use super::reader::{Section, Source};

/// How long a password that was right spares its account the next slow hash: long enough for whoever logs in for each
/// message, and shorter than Dovecot's hour, since marks of passwords lie in memory meanwhile.
const CACHE_TTL: Duration = Duration::from_mins(10);
/// The longest that can be asked for.
const MOST_CACHE_TTL: Duration = Duration::from_hours(24);

/// `[login]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// What to offer; `None` for what all accounts can use.
    pub(crate) mechanisms: Option<Mechanisms>,
    /// Whether the -PLUS forms of SCRAM are offered too.
    pub(crate) channel_binding: bool,
    /// How long a password that was right spares its account the next slow hash; zero: never.
    pub(crate) remember: Duration,
    /// What login names mean.
    pub(crate) names: LoginNames,
}

impl Login {
    pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Self {
        let is_there = section.value("mechanisms").is_some();
        // EXTERNAL is checked with [tls], which says whose certificates count.
        let example = "a mechanism such as \"SCRAM-SHA-256\", and channel_binding = true for its -PLUS form";
        let listed = section.list(source, "mechanisms", example, |name| match Mechanism::parse(name) {
            Some(Mechanism::Scram { plus: true, .. }) | None => Err("unknown"),
            Some(mechanism) => Ok(mechanism),
        });
        if is_there && listed.is_empty() {
            source.complain("[login] mechanisms is empty: nobody could log in");
        }
        let what = "a time such as \"10m\", at most \"24h\"; \"0s\" for none";
        let remember = section.parsed(source, "cache_ttl", what, |text| {
            duration(text).filter(|time| *time <= MOST_CACHE_TTL).ok_or("too long")
        });
        Self {
            mechanisms: is_there.then(|| listed.into_iter().collect()),
            channel_binding: section.flag(source, "channel_binding").unwrap_or(false),
            remember: remember.unwrap_or(CACHE_TTL),
            names: LoginNames {
                default_domain: section.parsed(
                    source,
                    "default_domain",
                    "a domain such as \"example.org\"",
                    Domain::parse,
                ),
                masters: section.path(source, "master_users"),
            },
        }
    }

    /// Complains of what only `[tls]` makes possible.
    pub(super) fn check(&self, source: &mut Source<'_>, asks_for_certificates: bool) {
        if self.mechanisms.is_some_and(|list| list.contains(Mechanism::External)) && !asks_for_certificates {
            source.complain(
                "[login] mechanisms has EXTERNAL, which needs client_ca = \"ca.pem\" in [tls]: the authority whose certificates log people in",
            );
        }
    }
}
