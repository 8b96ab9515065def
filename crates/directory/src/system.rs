//! Aliases of the machine's own users, in the syntax of aliases(5): who reads root's mail.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;

use crate::aliases::rules;
use crate::passwd_file::BadLine;

/// Deepest nesting of `:include:` files.
const MAX_INCLUDE_DEPTH: usize = 5;
/// The one file that may be a target: mail for it is thrown away.
const NOBODY: &str = "/dev/null";
/// Most targets of one alias, included ones counted.
const MAX_TARGETS: usize = 1_000;

/// One reading of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemAliases {
    aliases: HashMap<String, Meaning>,
    complaints: Vec<BadLine>,
}

/// What an alias stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// These; nobody where all there is to it is `/dev/null`.
    Targets(Vec<Address>),
    /// Nobody can tell: its line has a target that Kings does not serve, or none at all. Its mail waits at the sender.
    Unusable,
}

/// Reads a file that an alias includes, or says why not.
pub(crate) type Include<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

impl SystemAliases {
    /// Reads `name: target, target`; a line that begins with white space goes on with the one before. Bare names are
    /// of `origin`, and `/dev/null` is nobody. A target that is a command or another file makes its alias unusable,
    /// since Kings runs no shell and writes to mailboxes alone; all other lines act. Of two lines for one name the
    /// first counts, as with postalias(1).
    pub(crate) fn parse(text: &str, origin: &Domain, include: &mut Include<'_>) -> Self {
        let mut read = Self::default();
        for (line, rule) in rules(text) {
            if let Err(what) = read.insert(&rule, origin, include) {
                read.complaints.push(BadLine { line, what });
            }
        }
        read
    }

    fn insert(&mut self, rule: &str, origin: &Domain, include: &mut Include<'_>) -> Result<(), String> {
        let (name, targets) = split_name(rule)?;
        let vacant = match self.aliases.entry(name.to_lowercase()) {
            Entry::Vacant(vacant) => vacant,
            Entry::Occupied(_) => {
                return Err(format!("alias {name} stands here a second time; this line is not used"));
            }
        };
        let mut found = Collected::default();
        let collected = collect(targets, origin, include, &mut found, 0).and_then(|()| {
            let nothing = found.addresses.is_empty() && !found.discard;
            if nothing { Err("it has no target".to_owned()) } else { Ok(()) }
        });
        vacant.insert(match collected {
            Ok(()) => Meaning::Targets(found.addresses),
            Err(_) => Meaning::Unusable,
        });
        collected.map_err(|what| format!("mail for {name} is put off: {what}"))
    }

    /// What this (folded) local part stands for.
    pub(crate) fn of(&self, folded: &LocalPart) -> Option<&Meaning> {
        self.aliases.get(folded.as_str())
    }

    /// Every alias that acts, and the addresses that it leads to.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (String, &Address)> {
        self.aliases.iter().flat_map(|(name, meaning)| {
            let targets = match meaning {
                Meaning::Targets(targets) => targets.as_slice(),
                Meaning::Unusable => &[],
            };
            targets.iter().map(move |target| (name.clone(), target))
        })
    }

    /// The lines that do not act, and why.
    pub(crate) fn complaints(&self) -> &[BadLine] {
        &self.complaints
    }
}

/// Reads an alias file as [`kings_directory`](crate) does, with includes that lead nowhere; gives the number of
/// aliases, or of complaints. Apart from the file system, so that any text may be tried.
pub fn try_system_aliases(text: &str, origin: &Domain) -> Result<usize, usize> {
    let mut include = |_: &str| Ok("someone, :include:/again\n".to_owned());
    let read = SystemAliases::parse(text, origin, &mut include);
    if read.complaints.is_empty() { Ok(read.aliases.len()) } else { Err(read.complaints.len()) }
}

/// `name: rest` or `"odd name": rest`.
fn split_name(rule: &str) -> Result<(String, &str), String> {
    let (name, rest) = match rule.strip_prefix('"') {
        Some(quoted) => {
            let (name, rest) = quoted.split_once('"').ok_or("the quotes do not end")?;
            (name, rest.trim_start().strip_prefix(':').ok_or("a rule reads  name: target, target")?)
        }
        None => rule.split_once(':').ok_or("a rule reads  name: target, target")?,
    };
    let name = name.trim();
    if name.is_empty() || name.contains('@') || name.contains(char::is_control) {
        return Err(format!(
            "\"{name}\" is no local name; whole addresses belong into the file of [aliases] file"
        ));
    }
    Ok((name.to_owned(), rest))
}

/// What stands behind a name.
#[derive(Default)]
struct Collected {
    addresses: Vec<Address>,
    /// [`NOBODY`] is among it.
    discard: bool,
}

fn collect(
    text: &str,
    origin: &Domain,
    include: &mut Include<'_>,
    found: &mut Collected,
    depth: usize,
) -> Result<(), String> {
    for target in split(text)? {
        if let Some(path) = target.strip_prefix(":include:") {
            if depth >= MAX_INCLUDE_DEPTH {
                return Err(format!("more than {MAX_INCLUDE_DEPTH} :include: files within each other"));
            }
            let text = include(path.trim())?;
            let lines = crate::passwd_file::lines(&text).map(|(_, line)| line).collect::<Vec<_>>();
            collect(&lines.join(","), origin, include, found, depth + 1)?;
        } else if target == NOBODY {
            found.discard = true;
        } else {
            found.addresses.push(address(&target, origin)?);
        }
        if found.addresses.len() > MAX_TARGETS {
            return Err(format!("more than {MAX_TARGETS} targets"));
        }
    }
    Ok(())
}

/// Targets between commas; quotes keep a comma inside, and are dropped where they enclose a whole target that is
/// no address (`"|command"`).
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    let parts: Vec<String> =
        parts.map(|part| whole(part.trim()).to_owned()).filter(|part| !part.is_empty()).collect();
    if quoted { Err("the quotes do not end".to_owned()) } else { Ok(parts) }
}

fn whole(part: &str) -> &str {
    let inside = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
    inside.filter(|inside| !inside.contains('"')).unwrap_or(part)
}

fn address(target: &str, origin: &Domain) -> Result<Address, String> {
    if target.starts_with('|') {
        return Err(format!(
            "\"{target}\" is a command, and Kings runs none: let a program read a mailbox instead"
        ));
    }
    if target.starts_with('/') || target.starts_with(':') {
        return Err(format!("\"{target}\" is a file, and Kings writes to mailboxes alone: name an account"));
    }
    // `\name` stops aliases at Postfix; here a name that leads to itself ends at its account anyway.
    let target = target.strip_prefix('\\').unwrap_or(target);
    if target.contains('@') {
        return Address::parse(target).map_err(|_| format!("\"{target}\" is no address"));
    }
    let wrong = |_| format!("\"{target}\" is neither a name nor an address; commas part several");
    Ok(Address::new(LocalPart::parse(target).map_err(wrong)?, Host::Domain(origin.clone())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> SystemAliases {
        let mut include = |path: &str| match path {
            "/etc/list" => Ok("# the team\nann, joe@elsewhere.example\n\nbob\n".to_owned()),
            "/etc/loop" => Ok(":include:/etc/loop\n".to_owned()),
            "/etc/evil" => Ok("\"|rm -rf /\"\n".to_owned()),
            _ => Err(format!("cannot read {path}")),
        };
        SystemAliases::parse(text, &Domain::parse("example.org").unwrap(), &mut include)
    }

    #[test]
    fn the_syntax_is_that_of_aliases_5() {
        let aliases = parse(
            "# comment\nroot: ann\nPostmaster:    root,\n   joe@elsewhere.example\n\n\
             team: :include:/etc/list, carol\nann: \\ann, copy@elsewhere.example\n\"odd name\": \"a, b\"@example.org\n\
             bin: /dev/null\nnotes: /dev/null, ann\n",
        );
        assert_eq!(aliases.complaints().len(), 0, "{:?}", aliases.complaints());
        let of = |name: &str| match aliases.of(&LocalPart::parse(name).unwrap()) {
            Some(Meaning::Targets(found)) => {
                found.iter().map(Address::to_string).collect::<Vec<_>>().join(" ")
            }
            Some(Meaning::Unusable) => "unusable".to_owned(),
            None => "unknown".to_owned(),
        };
        assert_eq!(of("root"), "ann@example.org");
        assert_eq!(of("postmaster"), "root@example.org joe@elsewhere.example");
        assert_eq!(of("team"), "ann@example.org joe@elsewhere.example bob@example.org carol@example.org");
        assert_eq!(of("ann"), "ann@example.org copy@elsewhere.example");
        assert_eq!(of("\"odd name\""), "\"a, b\"@example.org");
        assert_eq!(of("bin"), "");
        assert_eq!(of("notes"), "ann@example.org");
        assert_eq!(of("nobody"), "unknown");
    }

    #[test]
    fn commands_files_and_endless_includes_are_refused_by_line() {
        let cases = [
            ("a: |cat\n", "is a command"),
            ("a: \"|/usr/bin/vacation ann\"\n", "is a command"),
            ("a: b, \"|cat\"\n", "is a command"),
            ("a: /var/mail/a\n", "is a file"),
            ("a: /dev/null/x\n", "is a file"),
            ("a: :include:/etc/evil\n", "is a command"),
            ("a: :include:/etc/loop\n", "within each other"),
            ("a: :include:/etc/absent\n", "cannot read"),
            ("a: \"b\n", "quotes do not end"),
            ("a: b c\n", "commas part several"),
            ("a: b@@c\n", "no address"),
            ("a:\n", "no target"),
        ];
        let a = LocalPart::parse("a").unwrap();
        for (text, what) in cases {
            let aliases = parse(text);
            assert!(aliases.complaints()[0].what.contains(what), "{text}: {:?}", aliases.complaints());
            assert_eq!(aliases.of(&a), Some(&Meaning::Unusable), "{text}");
        }
        for (text, what) in [("a\n", "name: target"), ("a@b.example: c\n", "no local name")] {
            let aliases = parse(text);
            assert!(aliases.complaints()[0].what.contains(what), "{text}: {:?}", aliases.complaints());
            assert_eq!(aliases.of(&a), None, "{text}");
        }
    }

    #[test]
    fn a_line_that_makes_no_sense_spoils_no_other() {
        let aliases = parse("a: |x\nb: c\nd: /x\nB: e\n");
        let lines: Vec<usize> = aliases.complaints().iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [1, 3, 4]);
        let c = Meaning::Targets(vec![Address::parse("c@example.org").unwrap()]);
        assert_eq!(aliases.of(&LocalPart::parse("b").unwrap()), Some(&c));
    }
}
