//! The table of all rules, in the order of the page that documents them.

mod header;
mod html;
mod links;
mod lists;
mod mime;
mod parts;

use super::Rule;

/// All rules by subject. `docs/score.md` is written from this table.
pub const RULES: &[&[&Rule]] =
    &[header::RULES, mime::RULES, parts::RULES, html::RULES, links::RULES, lists::RULES];

/// The rule of this name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().flatten().copied().find(|rule| rule.id == id)
}

/// `some` where it holds.
fn when(holds: bool, fact: impl FnOnce() -> String) -> Option<String> {
    holds.then(fact)
}
