//! MIME content in another form that decodes to the same: as 7-bit content, for a next hop without 8BITMIME (RFC 6152 §3),
//! and without lines that are too long for mail (RFC 5322 §2.1.1).
//!
//! Every part that holds octets above 127 gets a transfer encoding, quoted-printable or base64, whichever is shorter; what
//! the parts decode to does not change. Parts that are 7-bit already keep their bytes. Headers cannot be converted, nor
//! can parts whose type or signature forbids an encoding: such a message has to go back to its sender.

mod encode;
mod fold;

use std::ops::Range;

use crate::content_type::ContentType;
use crate::header::{self, Fields};
use crate::mime::{self, Kind, MAX_PARTS, Part};
use crate::transfer::Encoding;

/// Longest line of mail without its CRLF, in octets (RFC 5322 §2.1.1).
pub const MAX_LINE: usize = 998;
const FIELD: &str = "Content-Transfer-Encoding";

/// Why a message cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconvertible {
    /// An octet above 127 in the header of the message or of a part, or in a delimiter: it is text of a charset that
    /// nobody named, or needs SMTPUTF8.
    #[error("there are 8-bit octets in a header")]
    Header,
    /// A `multipart/signed` with 8-bit content: encoding it would break the signature (RFC 1847 §2.1).
    #[error("a signature covers 8-bit content")]
    Signed,
    /// A part of a type that may not have an encoding (RFC 2045 §6.4), or whose encoding is not known.
    #[error("a part with 8-bit content may not be encoded")]
    Opaque,
    /// As many parts as are read: the last of them may hold more that are not seen.
    #[error("there are too many parts")]
    Crowded,
}

/// Converts a message, in its CRLF form. What is 7-bit, and does not claim otherwise, comes back as it is.
///
/// Reads and builds all of it in memory; `O(n)` in time, and the result is at most about three times as long. Octets
/// above 127 in front of the first part of a multipart, and behind its last one, which no reader shows
/// (RFC 2046 §5.1.1), become question marks.
pub fn to_seven_bit(message: &[u8]) -> Result<Vec<u8>, Unconvertible> {
    let tree = mime::parse(message);
    // RFC 2045 §6.4: what is a multipart for others may not be encoded as a whole.
    if !message.is_ascii() && tree.walk().count() >= MAX_PARTS - 1 {
        return Err(Unconvertible::Crowded);
    }
    let out = Vec::with_capacity(message.len() + message.len() / 4);
    let mut writer = Writer { message, goal: Goal::SevenBit, at: 0, out };
    writer.part(&tree, true)?;
    writer.filler(message.len())?;
    Ok(writer.out)
}

/// Gives each part with a line over [`MAX_LINE`] an encoding, and folds such lines of headers where there is a blank; all
/// else keeps its octets, 8-bit ones too. What cannot be folded, and what lies between parts, stays as it is:
/// [`has_long_line`] tells.
///
/// In memory and time as [`to_seven_bit`].
pub fn to_short_lines(message: &[u8]) -> Result<Vec<u8>, Unconvertible> {
    let tree = mime::parse(message);
    if has_long_line(message) && tree.walk().count() >= MAX_PARTS - 1 {
        return Err(Unconvertible::Crowded);
    }
    let out = Vec::with_capacity(message.len() + message.len() / 4);
    let mut writer = Writer { message, goal: Goal::ShortLines, at: 0, out };
    writer.part(&tree, true)?;
    writer.filler(message.len())?;
    Ok(writer.out)
}

/// Whether a line is longer than mail may have it (RFC 5322 §2.1.1).
pub fn has_long_line(text: &[u8]) -> bool {
    let length = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len();
    text.split(|&octet| octet == b'\n').any(|line| length(line) > MAX_LINE)
}

/// What a conversion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    SevenBit,
    ShortLines,
}

/// The shorter 7-bit form of the content of a part, and the name of its encoding (RFC 2045 §6). It has no line end behind
/// it but its own; what it decodes to is `content`.
pub fn encoded(content: &[u8]) -> (&'static str, Vec<u8>) {
    if encode::suits_base64(content) {
        ("base64", encode::base64(content))
    } else {
        ("quoted-printable", encode::quoted_printable(content))
    }
}

/// Walks over the message in the order of its bytes.
struct Writer<'a> {
    message: &'a [u8],
    goal: Goal,
    /// What lies before is written.
    at: usize,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.message.get(range.clone()).unwrap_or_default()
    }

    /// Whether octets are as they should be already.
    fn fits(&self, octets: &[u8]) -> bool {
        match self.goal {
            Goal::SevenBit => octets.is_ascii(),
            Goal::ShortLines => !has_long_line(octets),
        }
    }

    /// Whether the part says that it is more than is wanted.
    fn claims_too_much(&self, part: &Part) -> bool {
        self.goal == Goal::SevenBit && claims_more(part)
    }

    /// One part with all that it holds. `is_message`: its header is that of a message.
    fn part(&mut self, part: &Part, is_message: bool) -> Result<(), Unconvertible> {
        let fits = self.fits(self.slice(&part.body));
        if self.goal == Goal::SevenBit && !self.slice(&part.header).is_ascii() {
            return Err(Unconvertible::Header);
        }
        let children = match &part.kind {
            Kind::Leaf => return self.leaf(part, is_message),
            // RFC 6532 §3.7: its headers are 8-bit by right, and it may have an encoding, unlike other messages.
            Kind::Message(_) if !fits && part.content_type.is("message", "global") => {
                return self.encoded(part, is_message);
            }
            Kind::Multipart(_) if !fits && part.content_type.is("multipart", "signed") => {
                return Err(Unconvertible::Signed);
            }
            Kind::Message(message) => std::slice::from_ref(&**message),
            Kind::Multipart(parts) => parts.as_slice(),
        };
        self.header(part, self.claims_too_much(part).then_some("7bit"), is_message);
        for child in children {
            self.filler(child.header.start)?;
            self.part(child, matches!(part.kind, Kind::Message(_)))?;
        }
        self.filler(part.body.end)
    }

    fn leaf(&mut self, part: &Part, is_message: bool) -> Result<(), Unconvertible> {
        let body = self.slice(&part.body);
        let keeps_body = self.fits(body) && (!self.claims_too_much(part) || is_plain(body));
        if !keeps_body {
            return self.encoded(part, is_message);
        }
        self.header(part, self.claims_too_much(part).then_some("7bit"), is_message);
        self.copy(&part.body);
        Ok(())
    }

    /// The part with an encoding: its own, or the one that suits its content.
    fn encoded(&mut self, part: &Part, is_message: bool) -> Result<(), Unconvertible> {
        if !may_be_encoded(self.slice(&part.header)) {
            return Err(Unconvertible::Opaque);
        }
        let content = part.encoding.decode(self.slice(&part.body));
        let (name, mut body) = match part.encoding {
            Encoding::Base64 => ("base64", encode::base64(&content)),
            Encoding::QuotedPrintable => ("quoted-printable", encode::quoted_printable(&content)),
            Encoding::Other(_) => return Err(Unconvertible::Opaque),
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary => encoded(&content),
        };
        // Only the last line of a message needs an end: that of a part belongs to the delimiter behind it.
        if name == "base64" && part.body.end == self.message.len() && !body.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
        self.header(part, Some(name), is_message);
        self.out.append(&mut body);
        self.at = part.body.end;
        Ok(())
    }

    /// The header, with another encoding if one is given, and folded where lines are to be short.
    fn header(&mut self, part: &Part, encoding: Option<&str>, is_message: bool) {
        let start = self.out.len();
        self.header_with(part, encoding, is_message);
        if self.goal == Goal::ShortLines && has_long_line(&self.out[start..]) {
            let folded = fold::fold(&self.out[start..]);
            self.out.truncate(start);
            self.out.extend_from_slice(&folded);
        }
    }

    fn header_with(&mut self, part: &Part, encoding: Option<&str>, is_message: bool) {
        let Some(encoding) = encoding else { return self.copy(&part.header) };
        let header = self.message.get(part.header.clone()).unwrap_or_default();
        let (mut fields, mut copied, mut is_named) = (Fields::new(header), 0, false);
        while let Some(field) = fields.next() {
            if !field.is(FIELD) {
                continue;
            }
            let end = fields.position();
            self.out.extend_from_slice(&header[copied..end - field.raw.len()]);
            if !is_named {
                self.out.extend_from_slice(format!("{FIELD}: {encoding}").as_bytes());
                self.out.extend_from_slice(line_end_of(field.raw));
            }
            (copied, is_named) = (end, true);
        }
        let blank = header.len() - line_end_of(header).len();
        if is_named {
            self.out.extend_from_slice(&header[copied..]);
        } else {
            self.out.extend_from_slice(&header[..blank]);
            if is_message && header::first(header, "MIME-Version").is_none() {
                self.out.extend_from_slice(b"MIME-Version: 1.0\r\n");
            }
            self.out.extend_from_slice(format!("{FIELD}: {encoding}\r\n").as_bytes());
            self.out.extend_from_slice(&header[blank..]);
        }
        self.at = part.header.end;
    }

    fn copy(&mut self, range: &Range<usize>) {
        let bytes = self.message.get(range.clone()).unwrap_or_default();
        self.out.extend_from_slice(bytes);
        self.at = range.end;
    }

    /// What lies between parts: delimiters, and lines that nobody reads.
    fn filler(&mut self, until: usize) -> Result<(), Unconvertible> {
        let filler = self.message.get(self.at..until).unwrap_or_default();
        if self.goal == Goal::ShortLines {
            self.out.extend_from_slice(filler);
            self.at = until;
            return Ok(());
        }
        let is_delimiter = |line: &[u8]| line.starts_with(b"--") && !line.is_ascii();
        if !filler.is_ascii() && filler.split(|&octet| octet == b'\n').any(is_delimiter) {
            return Err(Unconvertible::Header);
        }
        self.out.extend(filler.iter().map(|&octet| if octet.is_ascii() { octet } else { b'?' }));
        self.at = until;
        Ok(())
    }
}

/// Whether the part says that its content is not 7-bit.
fn claims_more(part: &Part) -> bool {
    matches!(part.encoding, Encoding::EightBit | Encoding::Binary)
}

/// What may stand under the label `7bit` (RFC 2045 §2.7).
fn is_plain(body: &[u8]) -> bool {
    !body.contains(&0)
        && body.split(|&octet| octet == b'\n').all(|line| {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            text.len() <= MAX_LINE && !text.contains(&b'\r')
        })
}

/// RFC 2045 §6.4 forbids encodings where other parts are held; RFC 6532 §3.5 lifts that for the new types of
/// internationalized mail.
fn may_be_encoded(header: &[u8]) -> bool {
    let declared = header::first(header, "Content-Type").and_then(|field| ContentType::parse(field.value));
    declared.is_none_or(|declared| match declared.kind.as_str() {
        "multipart" => false,
        "message" => declared.subtype.starts_with("global"),
        _ => true,
    })
}

fn line_end_of(text: &[u8]) -> &[u8] {
    let length = if text.ends_with(b"\r\n") { 2 } else { usize::from(text.ends_with(b"\n")) };
    &text[text.len() - length..]
}

#[cfg(test)]
mod tests;
