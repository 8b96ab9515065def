//! Domains whose mail is passed on to a server behind this one, and who exists there.

use std::collections::HashSet;
use std::path::PathBuf;

use kings_mail::address::Address;
use kings_mail::domain::Domain;

use crate::passwd_file::{BadLine, lines};

/// A domain that this server takes mail for and passes on: a backup MX, or a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayDomain {
    /// Its name.
    pub name: Domain,
    /// Who exists there, in the syntax of Postfix's `relay_recipient_maps`. Without it everybody seems to, and what
    /// the other server refuses must be bounced to senders that may be forged.
    pub recipients: Option<PathBuf>,
}

/// One reading of a recipients file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recipients {
    addresses: HashSet<Address>,
    domains: HashSet<Domain>,
}

impl Recipients {
    /// Reads `user@domain` or `@domain` at the start of each line; what follows it is ignored, as in Postfix.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<BadLine>> {
        let mut recipients = Self::default();
        let mut complaints = Vec::new();
        for (line, content) in lines(text) {
            let word = content.split_whitespace().next().unwrap_or_default();
            let known = match word.strip_prefix('@') {
                Some(domain) => Domain::parse(domain).map(|domain| recipients.domains.insert(domain)).is_ok(),
                None => Address::parse(word).map(|a| recipients.addresses.insert(a.folded())).is_ok(),
            };
            if !known {
                complaints
                    .push(BadLine { line, what: format!("\"{word}\" is neither an address nor @domain") });
            }
        }
        if complaints.is_empty() { Ok(recipients) } else { Err(complaints) }
    }

    /// Whether this (folded) address is listed.
    pub(crate) fn knows(&self, folded: &Address) -> bool {
        self.addresses.contains(folded) || folded.domain().is_some_and(|domain| self.domains.contains(domain))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn recipients_are_listed_as_in_postfix() {
        let recipients =
            Recipients::parse("# who\nAnn@Behind.example OK\nbob@behind.example\tx\n@all.example x\n")
                .unwrap();
        let knows = |text: &str| recipients.knows(&Address::parse(text).unwrap().folded());
        assert!(knows("ANN@behind.example") && knows("bob@behind.example") && knows("any@all.example"));
        assert!(!knows("carol@behind.example"));
        assert_eq!(Recipients::parse("ann\n\n@\n").unwrap_err().len(), 2);
    }
}
