//! `[login]`: how people log in.

use kings_sasl::{Mechanism, Mechanisms};

use super::reader::{Section, Source};

/// `[login]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// What to offer; `None` for what all accounts can use.
    pub(crate) mechanisms: Option<Mechanisms>,
    /// Whether the -PLUS forms of SCRAM are offered too.
    pub(crate) channel_binding: bool,
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
        Self {
            mechanisms: is_there.then(|| listed.into_iter().collect()),
            channel_binding: section.flag(source, "channel_binding").unwrap_or(false),
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
