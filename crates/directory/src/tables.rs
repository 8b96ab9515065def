//! The alias tables in the order of the config, whatever each of them is made of.

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use tracing::error;

use crate::aliases::{self, Aliases, Goal};
use crate::regexp_table::RegexpTable;
use crate::socketmap::Socketmap;
use crate::table::{Answers, Stop, Table};

/// Everything there is to look aliases up in.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) all: &'a [Table<Aliases>],
    pub(crate) answers: &'a Answers,
    /// Completes bare names on the right side.
    pub(crate) origin: Option<&'a Domain>,
}

impl Tables<'_> {
    /// The targets of this address, in the first table that has any.
    pub(crate) fn of_address(&self, address: &Address) -> Result<Option<Vec<Goal>>, Stop> {
        self.first(|table| match table {
            Table::Regexp(table) => self.in_regexp(table, address),
            Table::Plain(aliases) => Ok(aliases.of_address(&address.folded()).map(<[Goal]>::to_vec)),
            // No address of a person is one of a host.
            Table::Cidr(_) => Ok(None),
            Table::Socketmap(socketmap) => self.asked(socketmap, &address.folded().to_string()),
        })
    }

    /// The same for an address without its tag. Pattern tables are not asked: they see addresses whole, as in
    /// Postfix.
    pub(crate) fn of_base(&self, folded: &Address) -> Result<Option<Vec<Goal>>, Stop> {
        self.first(|table| match table {
            Table::Regexp(_) | Table::Cidr(_) => Ok(None),
            Table::Plain(aliases) => Ok(aliases.of_address(folded).map(<[Goal]>::to_vec)),
            Table::Socketmap(socketmap) => self.asked(socketmap, &folded.to_string()),
        })
    }

    /// The targets of `@domain`.
    pub(crate) fn of_domain(&self, domain: &Domain) -> Result<Option<Vec<Goal>>, Stop> {
        self.first(|table| match table {
            Table::Regexp(_) | Table::Cidr(_) => Ok(None),
            Table::Plain(aliases) => Ok(aliases.of_domain(domain).map(<[Goal]>::to_vec)),
            Table::Socketmap(socketmap) => self.asked(socketmap, &format!("@{domain}")),
        })
    }

    fn first(
        &self,
        mut look: impl FnMut(&Table<Aliases>) -> Result<Option<Vec<Goal>>, Stop>,
    ) -> Result<Option<Vec<Goal>>, Stop> {
        for table in self.all {
            if let Some(goals) = look(table)? {
                return Ok(Some(goals));
            }
        }
        Ok(None)
    }

    /// What a stranger puts into quotes must not become a list of targets, so a rule that copies part of its
    /// input is not for such addresses.
    fn in_regexp(&self, table: &RegexpTable, address: &Address) -> Result<Option<Vec<Goal>>, Stop> {
        let text = address.to_string();
        let Some(found) = table.find(&text) else { return Ok(None) };
        if found.substituted && text.starts_with('"') {
            return Ok(None);
        }
        self.goals(&found.text, &text).map(Some)
    }

    fn asked(&self, socketmap: &Socketmap, key: &str) -> Result<Option<Vec<Goal>>, Stop> {
        self.answers.of(socketmap, key)?.map(|text| self.goals(&text, key)).transpose()
    }

    /// A result that is no list of targets is a fault of ours: nobody's mail is refused for it.
    fn goals(&self, text: &str, key: &str) -> Result<Vec<Goal>, Stop> {
        match aliases::goals(text, self.origin) {
            Ok(goals) if !goals.is_empty() => Ok(goals),
            Ok(_) => {
                error!(key, "an alias table gives no target");
                Err(Stop::Unavailable)
            }
            Err(what) => {
                error!(key, what, "an alias table gives no usable target");
                Err(Stop::Unavailable)
            }
        }
    }
}
