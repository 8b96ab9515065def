//! The files of accounts and aliases apart from the disk, so that any text may be tried as one.

use kings_mail::domain::Domain;

use crate::aliases::{self, Aliases};
use crate::passwd_file::{Accounts, BadLine};

/// Reads a passwd-file: each account, and whether anybody can log in to it; or the numbers of the lines that are wrong.
pub fn try_passwd_file(text: &str) -> Result<Vec<(String, bool)>, Vec<usize>> {
    let accounts = Accounts::parse(text, None).map_err(|complaints| lines_of(&complaints))?;
    Ok(accounts.iter().map(|entry| (entry.address.to_string(), entry.can_log_in())).collect())
}

/// Reads a table of virtual(5): each alias with its targets as they can be written again, in the order of their names;
/// or the numbers of the lines that are wrong.
pub fn try_virtual_aliases(text: &str, origin: &Domain) -> Result<Vec<(String, Vec<String>)>, Vec<usize>> {
    let aliases = Aliases::parse(text, Some(origin)).map_err(|complaints| lines_of(&complaints))?;
    let written = |goals: &[aliases::Goal]| goals.iter().map(ToString::to_string).collect();
    let mut all: Vec<_> = aliases.all().map(|(name, goals)| (name, written(goals))).collect();
    all.sort_unstable();
    Ok(all)
}

fn lines_of(complaints: &[BadLine]) -> Vec<usize> {
    complaints.iter().map(|bad| bad.line).collect()
}
