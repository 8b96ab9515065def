//! The alias tables in the order of the config, whatever each of them is made of.

use std::collections::HashMap;
use std::path::PathBuf;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use tracing::{error, warn};

use crate::aliases::{self, Aliases, Goal};
use crate::regexp_table::RegexpTable;
use crate::socketmap::{Answer, Socketmap};

/// Where aliases are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AliasSource {
    /// A file in the syntax of Postfix's virtual(5).
    Virtual(PathBuf),
    /// A file in the syntax of regexp_table(5).
    Regexp(PathBuf),
    /// Another program.
    Socketmap(Socketmap),
}

/// One source after reading.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    Virtual(Aliases),
    Regexp(RegexpTable),
    Socketmap(Socketmap),
}

/// What only another program can tell: which table, which key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    table: usize,
    key: String,
}

/// Why a lookup cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It needs this answer first.
    Ask(Question),
    /// A table does not work now, or gives nonsense: nobody can tell.
    Unavailable,
}

/// What other programs have said while one recipient is looked up.
pub(crate) type Answers = HashMap<Question, Option<String>>;

/// Everything there is to look aliases up in.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) all: &'a [Table],
    pub(crate) answers: &'a Answers,
    /// Completes bare names on the right side.
    pub(crate) origin: Option<&'a Domain>,
}

impl Tables<'_> {
    /// The targets of this address, in the first table that has any.
    pub(crate) fn of_address(&self, address: &Address) -> Result<Option<Vec<Goal>>, Stop> {
        self.first(|at, table| match table {
            Table::Regexp(table) => self.in_regexp(table, address),
            Table::Virtual(aliases) => Ok(aliases.of_address(&address.folded()).map(<[Goal]>::to_vec)),
            Table::Socketmap(_) => self.asked(at, address.folded().to_string()),
        })
    }

    /// The same for an address without its tag. Pattern tables are not asked: they see addresses whole, as in
    /// Postfix.
    pub(crate) fn of_base(&self, folded: &Address) -> Result<Option<Vec<Goal>>, Stop> {
        self.first(|at, table| match table {
            Table::Regexp(_) => Ok(None),
            Table::Virtual(aliases) => Ok(aliases.of_address(folded).map(<[Goal]>::to_vec)),
            Table::Socketmap(_) => self.asked(at, folded.to_string()),
        })
    }

    /// The targets of `@domain`.
    pub(crate) fn of_domain(&self, domain: &Domain) -> Result<Option<Vec<Goal>>, Stop> {
        self.first(|at, table| match table {
            Table::Regexp(_) => Ok(None),
            Table::Virtual(aliases) => Ok(aliases.of_domain(domain).map(<[Goal]>::to_vec)),
            Table::Socketmap(_) => self.asked(at, format!("@{domain}")),
        })
    }

    fn first(
        &self,
        mut look: impl FnMut(usize, &Table) -> Result<Option<Vec<Goal>>, Stop>,
    ) -> Result<Option<Vec<Goal>>, Stop> {
        for (at, table) in self.all.iter().enumerate() {
            if let Some(goals) = look(at, table)? {
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

    fn asked(&self, table: usize, key: String) -> Result<Option<Vec<Goal>>, Stop> {
        let question = Question { table, key };
        match self.answers.get(&question) {
            None => Err(Stop::Ask(question)),
            Some(None) => Ok(None),
            Some(Some(text)) => self.goals(text, &question.key).map(Some),
        }
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

/// Asks another program; `None` where it cannot tell now.
pub(crate) async fn ask(tables: &[Table], question: &Question) -> Option<Option<String>> {
    let Some(Table::Socketmap(socketmap)) = tables.get(question.table) else { return None };
    match socketmap.ask(&question.key).await {
        Ok(Answer::Found(text)) => Some(Some(text)),
        Ok(Answer::NotFound) => Some(None),
        Err(error) => {
            warn!(key = question.key, %error, "a socketmap table does not answer");
            None
        }
    }
}
