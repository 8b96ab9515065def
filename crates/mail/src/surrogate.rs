//! What a program gets that knows ASCII headers alone, in the place of a message with other ones (RFC 6858).
//!
//! Only headers are made anew, those of parts and of messages within the message too. Text and names become encoded words,
//! parameters get the form of RFC 2231, and an address that is not ASCII becomes the name of one that nobody can write to
//! (RFC 6858 §2.1). What has no other form goes (RFC 6858 §2.4). Bodies keep every octet: 8-bit content is MIME's since
//! long, and to encode it would break signatures that need not break.

use std::ops::Range;

use crate::content_type::{ContentType, Disposition};
use crate::header::{Field, Fields, unfold};
use crate::transfer::Encoding;
use crate::{address_list, mime, raw_header};

/// What differs from the message, in its order: the octets of a header, and those in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surrogate(Vec<(Range<usize>, Vec<u8>)>);

impl Surrogate {
    /// Of a message in its CRLF form; empty where all headers are ASCII. In memory it holds headers alone.
    pub fn of(message: &[u8]) -> Self {
        if message.is_ascii() {
            return Self::default();
        }
        let root = mime::parse(message);
        let headers = root.walk().map(|part| part.header.clone());
        let other = headers.filter_map(|at| {
            let header = message.get(at.clone()).filter(|header| !header.is_ascii())?;
            Some((at, in_ascii(header)))
        });
        Self(other.collect())
    }

    /// Whether the message itself will do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The octets to be sent in the place of `message`, from which this was made.
    pub fn pieces<'a>(&'a self, message: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let kept_until = self.0.iter().map(|(at, _)| at.start).chain([message.len()]);
        let kept_from = [0].into_iter().chain(self.0.iter().map(|(at, _)| at.end));
        let made = self.0.iter().map(|(_, made)| made.as_slice()).chain([&b""[..]]);
        let kept =
            kept_from.zip(kept_until).map(|(from, until)| message.get(from..until).unwrap_or_default());
        kept.zip(made).flat_map(|(kept, made)| [kept, made])
    }
}

fn in_ascii(header: &[u8]) -> Vec<u8> {
    let declared = raw_header::declared_charset(header);
    let mut out = Vec::with_capacity(header.len() + header.len() / 2);
    let (mut fields, mut copied) = (Fields::new(header), 0);
    while let Some(field) = fields.next() {
        let end = fields.position();
        odd_lines(&header[copied..end - field.raw.len()], &mut out);
        copied = end;
        if field.raw.is_ascii() {
            out.extend_from_slice(field.raw);
        } else if let Some(other) = field_in_ascii(&field, declared.as_deref()) {
            // A delimiter right behind a header takes its last line end.
            let other = if field.raw.ends_with(b"\n") { &*other } else { other.trim_end() };
            out.extend_from_slice(other.as_bytes());
        }
    }
    odd_lines(&header[copied..], &mut out);
    out
}

/// What is no field, and the empty line.
fn odd_lines(lines: &[u8], out: &mut Vec<u8>) {
    out.extend(lines.iter().map(|&octet| if octet.is_ascii() { octet } else { b'?' }));
}

/// The field in another form, if there is one.
fn field_in_ascii(field: &Field<'_>, declared: Option<&str>) -> Option<String> {
    let words = raw_header::field_in_words(field, declared);
    if words.as_ref().is_some_and(|field| field.is_ascii()) {
        return words;
    }
    let name = field.name;
    if raw_header::is_address_field(field) {
        let value =
            words.as_deref().and_then(|field| field.split_once(':')).map(|(_, value)| value.as_bytes());
        let text = unfold(value.unwrap_or(field.value));
        return Some(format!("{name}: {}\r\n", address_list::names::without_unicode_addresses(&text)));
    }
    let written = if field.is("Content-Type") {
        ContentType::parse(field.value)
            .map(|it| format!("{}/{}{}", it.kind, it.subtype, it.parameters.in_ascii()))
    } else if field.is("Content-Disposition") {
        Disposition::parse(field.value).map(|it| format!("{}{}", it.kind, it.parameters.in_ascii()))
    } else if field.is("Content-Transfer-Encoding") {
        // Without it the body would be read as it stands.
        Some(Encoding::parse(&field.text()).as_str().to_owned())
    } else {
        return None;
    };
    // A broken one stays broken: without it another one might count.
    Some(format!("{name}: {}\r\n", written.unwrap_or_else(|| "?".to_owned())))
}

#[cfg(test)]
mod tests;
