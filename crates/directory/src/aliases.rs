//! The alias file, in the syntax of Postfix's virtual(5).

use std::collections::HashMap;
use std::fmt;

use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;

use crate::passwd_file::BadLine;

/// All aliases of one reading of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aliases {
    by_address: HashMap<Address, Vec<Goal>>,
    by_domain: HashMap<Domain, Vec<Goal>>,
}

/// What stands on the right of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A whole address.
    Address(Address),
    /// `@other.example`: the same local part there.
    SameNameAt(Domain),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::SameNameAt(domain) => write!(f, "@{domain}"),
        }
    }
}

impl Goal {
    /// The address this goal gives for mail to `local_part`.
    pub(crate) fn address(&self, local_part: &LocalPart) -> Address {
        match self {
            Self::Address(address) => address.clone(),
            Self::SameNameAt(domain) => Address::new(local_part.clone(), Host::Domain(domain.clone())),
        }
    }
}

impl Aliases {
    /// [`Aliases::read`] of a text without a fault.
    pub(crate) fn parse(text: &str, origin: Option<&Domain>) -> Result<Self, Vec<BadLine>> {
        let (aliases, complaints) = Self::read(text, origin);
        if complaints.is_empty() { Ok(aliases) } else { Err(complaints) }
    }

    /// Reads `pattern target[, target]`: a pattern is `user@domain`, `user` (of the first hosted domain, as
    /// Postfix completes with its origin) or `@domain`; a line that begins with white space goes on with
    /// the one before. All complaints at once, with the rest.
    pub(crate) fn read(text: &str, origin: Option<&Domain>) -> (Self, Vec<BadLine>) {
        let mut aliases = Self::default();
        let mut complaints = Vec::new();
        for (line, rule) in rules(text) {
            if let Err(what) = aliases.insert(&rule, origin) {
                complaints.push(BadLine { line, what });
            }
        }
        (aliases, complaints)
    }

    fn insert(&mut self, rule: &str, origin: Option<&Domain>) -> Result<(), String> {
        let (pattern, targets) = key_and_value(rule);
        let goals = goals(targets, origin)?;
        if goals.is_empty() {
            return Err(format!("alias {pattern} has no target"));
        }
        let twice = match goal(pattern, origin)? {
            Goal::Address(address) => self.by_address.insert(address.folded(), goals).is_some(),
            Goal::SameNameAt(domain) => self.by_domain.insert(domain, goals).is_some(),
        };
        if twice { Err(format!("alias {pattern} stands here a second time")) } else { Ok(()) }
    }

    /// The targets of exactly this (folded) address.
    pub(crate) fn of_address(&self, folded: &Address) -> Option<&[Goal]> {
        self.by_address.get(folded).map(Vec::as_slice)
    }

    /// Every alias as it is written, with its targets.
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, &[Goal])> {
        let addresses =
            self.by_address.iter().map(|(address, goals)| (address.to_string(), goals.as_slice()));
        let domains = self.by_domain.iter().map(|(domain, goals)| (format!("@{domain}"), goals.as_slice()));
        addresses.chain(domains)
    }

    /// Every alias as it is written, and the whole addresses that it leads to.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (String, &Address)> {
        self.all().flat_map(|(name, goals)| {
            goals.iter().filter_map(move |goal| match goal {
                Goal::Address(address) => Some((name.clone(), address)),
                Goal::SameNameAt(_) => None,
            })
        })
    }

    /// The targets of `@domain`.
    pub(crate) fn of_domain(&self, domain: &Domain) -> Option<&[Goal]> {
        self.by_domain.get(domain).map(Vec::as_slice)
    }
}

/// Logical lines with the number of their first line.
pub(crate) fn rules(text: &str) -> Vec<(usize, String)> {
    let mut rules: Vec<(usize, String)> = Vec::new();
    for (line, content) in crate::passwd_file::lines(text) {
        match rules.last_mut() {
            Some((_, rule)) if content.starts_with([' ', '\t']) => {
                rule.push(' ');
                rule.push_str(content.trim());
            }
            _ => rules.push((line, content.trim().to_owned())),
        }
    }
    rules
}

/// What stands left and right of the first white space that is not quoted.
pub(crate) fn key_and_value(rule: &str) -> (&str, &str) {
    let (key, value) = rule.split_once(outside_quotes(char::is_whitespace)).unwrap_or((rule, ""));
    (key, value.trim())
}

/// All targets of a right side.
pub(crate) fn goals(text: &str, origin: Option<&Domain>) -> Result<Vec<Goal>, String> {
    split_targets(text).map(|target| goal(target, origin)).collect()
}

/// Commas and white space part targets.
fn split_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split(outside_quotes(|c| c == ',' || c.is_whitespace())).filter(|target| !target.is_empty())
}

/// Says of each character in its turn whether it parts what stands around it: inside quotes none does (virtual(5)).
fn outside_quotes(parts: fn(char) -> bool) -> impl FnMut(char) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    move |c: char| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && parts(c),
        }
        false
    }
}

fn goal(text: &str, origin: Option<&Domain>) -> Result<Goal, String> {
    let wrong = || format!("\"{text}\" is neither an address nor @domain");
    if let Some(domain) = text.strip_prefix('@') {
        return Domain::parse(domain).map(Goal::SameNameAt).map_err(|_| wrong());
    }
    if text.contains('@') {
        return Address::parse(text).map(Goal::Address).map_err(|_| wrong());
    }
    let origin = origin.ok_or_else(wrong)?;
    let local_part = LocalPart::parse(text).map_err(|_| wrong())?;
    Ok(Goal::Address(Address::new(local_part, Host::Domain(origin.clone()))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Result<Aliases, Vec<BadLine>> {
        Aliases::parse(text, Some(&Domain::parse("example.org").unwrap()))
    }

    fn targets(aliases: &Aliases, address: &str) -> Vec<String> {
        let address = Address::parse(address).unwrap();
        let goals = aliases.of_address(&address).unwrap_or_default();
        goals.iter().map(|goal| goal.address(&address.local_part).to_string()).collect()
    }

    #[test]
    fn the_syntax_is_that_of_postfix_virtual() {
        let aliases = parse(
            "# comment\nSales@Example.org ann@example.org, joe@elsewhere.example\n\
             team  ann@example.org\n\tjoe@example.org,\n   bob\n\n@old.example @example.org\n\
             odd@example.org \"a, b\"@example.org\n",
        )
        .unwrap();
        assert_eq!(targets(&aliases, "sales@example.org"), ["ann@example.org", "joe@elsewhere.example"]);
        assert_eq!(
            targets(&aliases, "team@example.org"),
            ["ann@example.org", "joe@example.org", "bob@example.org"]
        );
        assert_eq!(targets(&aliases, "odd@example.org"), ["\"a, b\"@example.org"]);
        assert!(aliases.of_domain(&Domain::parse("old.example").unwrap()).is_some());
    }

    #[test]
    fn a_quoted_left_side_is_one_name() {
        let aliases = parse(
            "\"quoted user\"@example.org bob@example.org, \"a, b\"@example.org\n\
             \"a, \\\" \\\\\"@example.org\tann@example.org\n\"plain\"@example.org joe@example.org\n\
             \"of the origin\" joe@example.org\n",
        )
        .unwrap();
        for (address, expected) in [
            ("\"quoted user\"@example.org", &["bob@example.org", "\"a, b\"@example.org"][..]),
            ("\"a, \\\" \\\\\"@example.org", &["ann@example.org"]),
            ("plain@example.org", &["joe@example.org"]),
            ("\"of the origin\"@example.org", &["joe@example.org"]),
            ("quoted@example.org", &[]),
        ] {
            assert_eq!(targets(&aliases, address), expected, "{address}");
        }
        // A quote that does not end takes the target with it.
        for broken in
            ["\"quoted user@example.org bob@example.org\n", "\"a\"b c\"@example.org bob@example.org\n"]
        {
            assert_eq!(parse(broken).unwrap_err().len(), 1, "{broken}");
        }
    }

    #[test]
    fn bad_rules_are_named_by_line() {
        let complaints =
            parse("lonely\nx@example.org not an@@address\nx@example.org a\nx@example.org b\n").unwrap_err();
        assert_eq!(complaints.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [1, 2, 4]);
    }
}
