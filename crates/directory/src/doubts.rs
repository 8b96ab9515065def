//! What the files say that cannot be meant: aliases that lead to nobody.

use kings_mail::address::Address;
use kings_mail::path::ForwardPath;

use crate::directory::Directory;
use crate::reading::Files;
use crate::resolve::{Reach, Resolution};
use crate::table::{Answers, Table};

/// Most aliases to nobody that are told one by one.
const MAX_DEAD_ENDS: usize = 20;

impl Directory {
    /// Aliases with a target in a domain of ours that is nobody. What only another program can tell is not asked.
    pub(crate) fn dead_ends(&self, files: &Files) -> Vec<String> {
        let is_dead = |target: &Address| {
            let path = ForwardPath::Address(target.clone());
            let found =
                self.ask_files(files, &Answers::default(), |book| book.resolve(&path, Reach::Everywhere));
            matches!(found, Ok(Resolution::Unknown | Resolution::Looping))
        };
        let virtual_ends = files.tables.iter().flat_map(|table| match table {
            Table::Plain(aliases) => aliases.ends().collect(),
            Table::Regexp(_) | Table::Cidr(_) | Table::Socketmap(_) => Vec::new(),
        });
        let ends = virtual_ends.chain(files.system.ends()).filter(|(_, target)| is_dead(target));
        let told = |(alias, target)| {
            format!("alias {alias} leads to {target}, which is no account and no alias that ends")
        };
        let mut told: Vec<String> = ends.map(told).collect();
        told.sort_unstable();
        let more = told.len().saturating_sub(MAX_DEAD_ENDS);
        told.truncate(MAX_DEAD_ENDS);
        told.extend((more > 0).then(|| format!("{more} more aliases lead to nobody")));
        told
    }
}
