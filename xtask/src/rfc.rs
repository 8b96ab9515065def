//! The RFC index: which section stands behind which line, in code and in tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::Context;
use serde::Deserialize;

use crate::sources::{self, Source};

/// docs/rfcs.toml: what we say about each RFC.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    rfc: Vec<Rfc>,
}

/// One RFC.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rfc {
    number: u16,
    title: String,
    status: Status,
    /// What is missing of one that is done in part, and why.
    note: Option<String>,
}

/// How much of it is done.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Yes,
    Partial,
    Planned,
    No,
}

/// Finds `RFC 5321 §4.1.4` in one source line, as (number, section). A second section may follow as `, §4.5`.
pub fn citations(line: &str) -> impl Iterator<Item = (u16, &str)> {
    line.match_indices("RFC ").flat_map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        let (number, rest) = rest.split_once(" §").unwrap_or_default();
        let number: Option<u16> = number.parse().ok();
        number.into_iter().flat_map(move |number| sections(rest).map(move |section| (number, section)))
    })
}

fn sections(mut rest: &str) -> impl Iterator<Item = &str> {
    let mut more = true;
    std::iter::from_fn(move || {
        if !std::mem::take(&mut more) {
            return None;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        let section = rest[..end].trim_end_matches('.');
        if let Some(next) = rest[end..].strip_prefix(", §") {
            rest = next;
            more = true;
        }
        Some(section)
    })
}

type Index = BTreeMap<u16, BTreeMap<Vec<u32>, (String, Vec<String>)>>;

fn collect(sources: &[Source]) -> Index {
    let mut index = Index::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            for (rfc, section) in citations(line) {
                let entry = index.entry(rfc).or_default().entry(sort_key(section)).or_default();
                section.clone_into(&mut entry.0);
                entry.1.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    index
}

/// `4.10` comes after `4.9`.
fn sort_key(section: &str) -> Vec<u32> {
    section
        .split('.')
        .map(|part| part.parse().unwrap_or_else(|_| part.bytes().map(u32::from).sum::<u32>() + 1_000))
        .collect()
}

fn sources() -> Vec<Source> {
    sources::files(&["crates", "fuzz"], &["rs", "smtp", "imap", "pop3"])
}

fn list() -> anyhow::Result<List> {
    let text = fs::read_to_string(sources::root().join("docs/rfcs.toml")).context("docs/rfcs.toml")?;
    Ok(toml::from_str(&text)?)
}

/// The text of docs/rfc.md.
pub fn index() -> anyhow::Result<String> {
    let mut index = collect(&sources());
    let mut text = String::from(
        "# RFC index\n\nMade by `cargo xtask rfc` from the sections that code and tests cite; titles and status from `rfcs.toml`.\n",
    );
    for rfc in list()?.rfc {
        let status = format!("{:?}", rfc.status).to_lowercase();
        write!(text, "\n## RFC {}: {} ({status})\n", rfc.number, rfc.title)?;
        if let Some(note) = rfc.note {
            write!(text, "\n{note}\n")?;
        }
        for (section, places) in index.remove(&rfc.number).unwrap_or_default().into_values() {
            write!(text, "\n- §{section}: {}", places.join(", "))?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// RFCs that are cited and not listed, or listed twice.
pub fn unlisted() -> anyhow::Result<Vec<String>> {
    let mut known: Vec<u16> = list()?.rfc.iter().map(|rfc| rfc.number).collect();
    known.sort_unstable();
    let twice = known
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| format!("RFC {} is listed twice", pair[0]));
    let mut faults: Vec<String> = twice.collect();
    for (number, sections) in collect(&sources()) {
        if known.binary_search(&number).is_err() {
            let places = sections.into_values().flat_map(|(_, places)| places).next().unwrap_or_default();
            faults.push(format!("RFC {number} is cited in {places} and missing in docs/rfcs.toml"));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_found_in_every_form() {
        let line = "(RFC 5321 §4.1.4; RFC 8461 §5, §10.2.) RFC 7505 and RFC 2047 §5.";
        let found: Vec<_> = citations(line).collect();
        assert_eq!(found, [(5321, "4.1.4"), (8461, "5"), (8461, "10.2"), (2047, "5")]);
    }
}
