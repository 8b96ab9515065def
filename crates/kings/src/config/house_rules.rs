//! What an operator wants beside the delivery of a message: copies, and rules about headers.

use std::path::{Path, PathBuf};

use kings_directory::{BadRule, Keys};
use kings_mail::address::Address;
use kings_mta::delegation::Access;
use kings_mta::{BodyChecks, ContentChecks, ContentTables, Copies, HeaderChecks, HouseRules};

use super::reader::{Section, Source};
use super::rewriting;

/// What goes for mail of more than one kind: copies and other names.
pub(super) fn of_all(source: &mut Source<'_>, top: &mut Section<'_>, delimiters: &str) -> HouseRules {
    let copies = Copies { delimiters: delimiters.to_owned(), ..copies(source, top) };
    let rewriting = Box::new(rewriting::read(source, top, delimiters));
    HouseRules { copies, rewriting, ..HouseRules::default() }
}

/// `always_bcc` and its friends: keys at the top of the file.
fn copies(source: &mut Source<'_>, top: &mut Section<'_>) -> Copies {
    let always = top.parsed(source, "always_bcc", "an address", Address::parse);
    let by_sender = top.lookup(source, "sender_bcc", Keys::Address);
    let by_recipient = top.lookup(source, "recipient_bcc", Keys::Address);
    Copies { always, by_sender, by_recipient, delimiters: String::new() }
}

/// `client_access` and its sisters of `[inbound]`.
pub(super) fn access(source: &mut Source<'_>, section: &mut Section<'_>) -> Access {
    Access {
        clients: section.lookup_of_hosts(source, "client_access"),
        names: section.lookup(source, "helo_access", Keys::Access),
        senders: section.lookup(source, "sender_access", Keys::Access),
        recipients: section.lookup(source, "recipient_access", Keys::Access),
        delimiters: String::new(),
    }
}

/// `header_checks` and its sisters of a section.
pub(super) fn content_checks(source: &mut Source<'_>, section: &mut Section<'_>) -> ContentChecks {
    let header = table(source, section, "header_checks", HeaderChecks::parse);
    let mime_header = table(source, section, "mime_header_checks", HeaderChecks::parse);
    let nested_header = table(source, section, "nested_header_checks", HeaderChecks::parse);
    let body = table(source, section, "body_checks", BodyChecks::parse).unwrap_or_default();
    ContentTables { header: header.unwrap_or_default(), mime_header, nested_header, body }.into()
}

fn table<T>(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Vec<BadRule>>,
) -> Option<T> {
    let (path, text) = file(source, section, key)?;
    let complaints = match parse(&text) {
        Ok(table) => return Some(table),
        Err(rules) => rules.into_iter().map(|rule| (rule.line, rule.what)),
    };
    complain(source, &path, complaints);
    None
}

fn file(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Option<(PathBuf, String)> {
    let path = section.pattern_file(source, key)?;
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
