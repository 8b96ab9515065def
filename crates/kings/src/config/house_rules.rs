//! What an operator wants beside the delivery of a message: copies, and rules about headers.

use std::path::{Path, PathBuf};

use kings_mail::address::Address;
use kings_mta::{AddressMap, Copies, HeaderChecks};

use super::reader::{Section, Source};

/// `always_bcc` and its friends: keys at the top of the file.
pub(super) fn copies(source: &mut Source<'_>, top: &mut Section<'_>) -> Copies {
    let always = top.parsed(source, "always_bcc", "an address", Address::parse);
    let by_sender = map(source, top, "sender_bcc");
    let by_recipient = map(source, top, "recipient_bcc");
    Copies { always, by_sender, by_recipient, delimiters: String::new() }
}

fn map(source: &mut Source<'_>, top: &mut Section<'_>, key: &'static str) -> AddressMap {
    let Some((path, text)) = file(source, top, key) else { return AddressMap::default() };
    AddressMap::parse(&text).unwrap_or_else(|lines| {
        complain(source, &path, lines.into_iter());
        AddressMap::default()
    })
}

/// `header_checks` of a section.
pub(super) fn header_checks(source: &mut Source<'_>, section: &mut Section<'_>) -> HeaderChecks {
    let Some((path, text)) = file(source, section, "header_checks") else { return HeaderChecks::default() };
    HeaderChecks::parse(&text).unwrap_or_else(|rules| {
        complain(source, &path, rules.into_iter().map(|rule| (rule.line, rule.what)));
        HeaderChecks::default()
    })
}

fn file(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Option<(PathBuf, String)> {
    let path = section.path(source, key)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => Some((path, text)),
        Err(error) => {
            source.complain(format!("cannot read {key} {}: {error}", path.display()));
            None
        }
    }
}

fn complain(source: &mut Source<'_>, path: &Path, lines: impl Iterator<Item = (usize, String)>) {
    for (line, what) in lines {
        source.complain(format!("{}:{line}: {what}", path.display()));
    }
}
