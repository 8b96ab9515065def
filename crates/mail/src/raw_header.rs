//! Octets beyond ASCII in header fields as encoded words (RFC 2047), so that the message may leave for every host.
//!
//! Subjects and other free text, names for people and comments become words; addresses, identifiers and parameters have no
//! such form and keep their octets (RFC 2047 §5). What is not UTF-8 is read in the character set that the message names for
//! its own text, else as windows-1252, as everywhere in this crate ([`charset::guess`]).

use std::borrow::Cow;

use crate::address_list::names::{self, Change};
use crate::content_type::ContentType;
use crate::header::{self, Field, Fields, MAX_FIELD, MAX_HEADER_BLOCK};
use crate::{charset, encoded_word};

/// Longest line with an encoded word on it (RFC 2047 §2).
const MAX_LINE: usize = 76;

/// Fields that are lists of addresses, or of one.
const ADDRESSES: [&str; 18] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Errors-To",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Mail-Followup-To",
    "Mail-Reply-To",
    "List-Id",
];

/// Other fields that are no free text.
const STRUCTURED: [&str; 20] = [
    "Date",
    "Resent-Date",
    "Received",
    "Received-SPF",
    "Return-Path",
    "Delivered-To",
    "Message-ID",
    "Resent-Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "DKIM-Signature",
    "DomainKey-Signature",
    "Authentication-Results",
    "Auto-Submitted",
    "Autocrypt",
    "Archived-At",
    "Original-Recipient",
    "Keywords",
    "Newsgroups",
];
/// Whole families of them.
const STRUCTURED_FAMILIES: [&str; 3] = ["ARC-", "List-", "Content-"];

/// The head of a message with encoded words where they may stand; `None` where nothing changes. What is behind the header
/// comes back as it is.
pub fn encoded(head: &[u8]) -> Option<Vec<u8>> {
    let end = header::header_end(head);
    if head[..end].is_ascii() {
        return None;
    }
    let declared = declared_charset(&head[..end]);
    let (mut out, mut copied) = (Vec::with_capacity(end + end / 2), 0);
    let mut fields = Fields::new(&head[..end]);
    while let Some(field) = fields.next() {
        let Some(words) = field_in_words(&field, declared.as_deref()) else { continue };
        out.extend_from_slice(&head[copied..fields.position() - field.raw.len()]);
        out.extend_from_slice(words.as_bytes());
        copied = fields.position();
    }
    out.extend_from_slice(&head[copied..end]);
    let fits = out.len() <= MAX_HEADER_BLOCK.max(end);
    out.extend_from_slice(&head[end..]);
    (copied > 0 && fits).then_some(out)
}

/// What a field is, as far as encoded words go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Addresses,
    Other,
}

impl Form {
    fn of(field: &Field<'_>) -> Self {
        let is_family = |family: &&str| {
            field.name.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family))
        };
        if ADDRESSES.iter().any(|name| field.is(name)) {
            Self::Addresses
        } else if field.is("Content-Description") {
            Self::Text
        } else if STRUCTURED.iter().any(|name| field.is(name)) || STRUCTURED_FAMILIES.iter().any(is_family) {
            Self::Other
        } else {
            Self::Text
        }
    }
}

/// Whether the field is a list of addresses, or one of them.
pub(crate) fn is_address_field(field: &Field<'_>) -> bool {
    Form::of(field) == Form::Addresses
}

/// The whole field anew, if there is anything in it that may be encoded.
pub(crate) fn field_in_words(field: &Field<'_>, declared: Option<&str>) -> Option<String> {
    if field.value.is_ascii() {
        return None;
    }
    let line: Vec<u8> = field.value.iter().copied().filter(|octet| !b"\r\n\0".contains(octet)).collect();
    let text = text_of(line.trim_ascii(), declared);
    let mut changes = match Form::of(field) {
        Form::Text => vec![in_free_text(&text)?],
        Form::Addresses => names::changes(&text),
        Form::Other => return None,
    };
    changes.sort_by_key(|change| change.at.start);
    if changes.iter().all(|change| change.text.is_none()) {
        return None;
    }
    let mut writer = Writer { out: format!("{}: ", field.name) };
    let mut copied = 0;
    for change in changes {
        writer.out.push_str(text.get(copied..change.at.start)?);
        writer.change(&change, text.get(change.at.end..)?);
        copied = change.at.end;
    }
    writer.out.push_str(text.get(copied..)?);
    writer.out.push_str("\r\n");
    (writer.out.len() <= MAX_FIELD).then_some(writer.out)
}

/// From the first word that is not ASCII, or is encoded already, to the last one.
fn in_free_text(text: &str) -> Option<Change> {
    let is_gap = |c: char| matches!(c, ' ' | '\t');
    let is_special = |word: &str| !word.is_ascii() || word.contains("=?");
    let mut special = text.split(is_gap).filter(|word| is_special(word)).map(|word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    });
    let first = special.next()?;
    let at = first.start..special.next_back().map_or(first.end, |last| last.end);
    let text = encoded_word::decode(&text[at.clone()]).into_owned();
    Some(Change { at, is_comment: false, text: Some(text) })
}

fn text_of<'a>(octets: &'a [u8], declared: Option<&str>) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(octets) {
        return Cow::Borrowed(text);
    }
    let told = declared.map(|label| charset::decode(octets, label));
    told.filter(|text| !text.contains('\u{fffd}')).unwrap_or_else(|| charset::guess(octets))
}

/// What the message says of its own text, if ASCII is the same in it.
pub(crate) fn declared_charset(head: &[u8]) -> Option<String> {
    const SAMPLE: &str = "Az09 <@>.,:;\"\\()=?";
    let label = ContentType::parse(header::first(head, "Content-Type")?.value)?.parameters.get("charset")?;
    let is_fit = charset::is_known(&label) && charset::decode(SAMPLE.as_bytes(), &label) == SAMPLE;
    is_fit.then_some(label)
}

/// Writes a field, folded where words would make a line too long.
struct Writer {
    out: String,
}

impl Writer {
    fn change(&mut self, change: &Change, behind: &str) {
        let Some(text) = &change.text else { return self.out.push_str("\r\n") };
        if change.is_comment {
            self.out.push('(');
        } else if !self.out.ends_with([' ', '\t']) {
            self.out.push(' ');
        }
        for (place, word) in encoded_word::words(text).iter().enumerate() {
            if place > 0 {
                self.out.push_str("\r\n ");
            } else if self.column() + word.len() > MAX_LINE {
                self.fold_at_last_blank();
            }
            self.out.push_str(word);
        }
        if change.is_comment {
            self.out.push(')');
        } else if !behind.is_empty() && !behind.starts_with([' ', '\t']) {
            // RFC 2047 §5: a word in a phrase stands apart from all others.
            self.out.push(' ');
        }
    }

    fn column(&self) -> usize {
        self.out.len() - self.out.rfind('\n').map_or(0, |at| at + 1)
    }

    /// A line of blanks alone would end the header for some readers, so there is none.
    fn fold_at_last_blank(&mut self) {
        let line = &self.out[self.out.len() - self.column()..];
        if self.out.ends_with([' ', '\t']) && line.contains(|c| c != ' ' && c != '\t') {
            self.out.insert_str(self.out.len() - 1, "\r\n");
        }
    }
}

#[cfg(test)]
mod tests;
