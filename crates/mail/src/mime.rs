//! The MIME tree of a message as ranges of its bytes (RFC 2045, RFC 2046): the one parser for IMAP, filters and webmail.
//!
//! Parsing never fails. Where a message is broken the tree says what most readers would show; where it
//! passes a limit, the rest is one part of type `application/octet-stream` that nobody looks into.

mod parser;

use std::borrow::Cow;
use std::ops::Range;

use crate::charset;
use crate::content_type::{ContentType, Disposition};
use crate::transfer::Encoding;

/// Deepest nesting: a part that holds parts is opened only with fewer than this many around it
/// (DESIGN limits; Dovecot has the same number).
pub const MAX_DEPTH: usize = 100;
/// Most parts of one message, those that hold others counted too. The last one takes all the rest.
pub const MAX_PARTS: usize = 10_000;

/// One node of the tree. The root is the message itself; see [`parse`].
///
/// Ranges are offsets into the parsed bytes. Children lie inside the body of their parent, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Header fields and the empty line behind them. Where a delimiter cuts the header off, the line
    /// end before it belongs to the delimiter, as in bodies.
    pub header: Range<usize>,
    /// From behind the empty line to the delimiter, whose preceding line end is not included
    /// (RFC 2046 §5.1.1), or to the end.
    pub body: Range<usize>,
    /// Line ends in the body, what IMAP calls its size in lines.
    pub lines: usize,
    /// The type that [`Part::kind`] agrees with: `multipart` and `message/rfc822` only if they were
    /// opened, and the default where the field is missing or broken.
    pub content_type: ContentType,
    /// Content-Transfer-Encoding.
    pub encoding: Encoding,
    /// Content-ID, with its angle brackets.
    pub id: Option<String>,
    /// Content-Description, encoded words left as they are.
    pub description: Option<String>,
    /// Content-Disposition (RFC 2183).
    pub disposition: Option<Disposition>,
    /// Content-Language (RFC 3282): the tags in order, empty without the field.
    pub language: Vec<String>,
    /// Content-Location (RFC 2557 §4).
    pub location: Option<String>,
    /// Content-MD5 (RFC 1864), not verified.
    pub md5: Option<String>,
    /// What the body holds.
    pub kind: Kind,
}

/// What a body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text or data.
    Leaf,
    /// At least one part: a multipart without any gets an empty text part, because IMAP's
    /// BODYSTRUCTURE cannot say "none" (RFC 9051 §9; Dovecot does the same).
    Multipart(Vec<Part>),
    /// A whole message: `message/rfc822` (RFC 2046 §5.2.1) or `message/global` (RFC 6532 §3.7).
    Message(Box<Part>),
}

/// Reads a message in its CRLF form (LF is understood as well). Linear in time, bounded in depth.
///
/// Choices where the RFCs are silent or senders wrong:
/// * MIME-Version is not asked for; of several equal fields the first counts.
/// * A delimiter is a whole line: `--boundary`, `--boundary--`, with white space behind. Longer lines that
///   only start like one are content, so `--aa` never ends a part delimited by `--a`.
/// * With one boundary used on two levels, the innermost open multipart is meant.
/// * A delimiter of an outer multipart closes the inner ones, even inside a header.
/// * `multipart` without a boundary parameter is `text/plain`; `multipart` and `message/rfc822` with an
///   encoding that RFC 2045 §6.4 forbids for them stay closed, as `application/octet-stream`.
pub fn parse(message: &[u8]) -> Part {
    parser::parse(message)
}

/// Which bytes of a part are meant (RFC 9051 §6.4.5.1 `section-text`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facet {
    /// `BODY[]`: the whole message. `BODY[1.2]`: the body of a part.
    Whole,
    /// `HEADER`: of the message, or of the message inside a `message/rfc822` part.
    Header,
    /// `TEXT`: its body.
    Text,
    /// `1.2.MIME`: the header of the part itself.
    Mime,
}

impl Part {
    /// The part that IMAP numbers `path` from this message on (RFC 9051 §6.4.5.1); the message for `[]`.
    ///
    /// Parts of a multipart count from 1; a message that is no multipart is its own part 1; numbers
    /// behind a `message/rfc822` part count inside its message.
    pub fn find(&self, path: &[u32]) -> Option<&Self> {
        let Some((&first, rest)) = path.split_first() else { return Some(self) };
        rest.iter().try_fold(self.numbered(first)?, |part, &number| part.nested(number))
    }

    /// Part `number` of the message whose root this is.
    fn numbered(&self, number: u32) -> Option<&Self> {
        match &self.kind {
            Kind::Multipart(parts) => nth(parts, number),
            Kind::Leaf | Kind::Message(_) => (number == 1).then_some(self),
        }
    }

    /// Part `number` below this numbered part.
    fn nested(&self, number: u32) -> Option<&Self> {
        match &self.kind {
            Kind::Leaf => None,
            Kind::Multipart(parts) => nth(parts, number),
            Kind::Message(message) => message.numbered(number),
        }
    }

    /// The bytes of one IMAP section, `None` where it does not exist.
    pub fn section(&self, path: &[u32], facet: Facet) -> Option<Range<usize>> {
        let part = self.find(path)?;
        match (facet, path) {
            (Facet::Whole, []) => Some(part.header.start..part.body.end),
            (Facet::Whole, _) => Some(part.body.clone()),
            (Facet::Mime, []) => None,
            (Facet::Mime, _) => Some(part.header.clone()),
            (Facet::Header, _) => Some(part.message(path)?.header.clone()),
            (Facet::Text, _) => Some(part.message(path)?.body.clone()),
        }
    }

    /// The message that HEADER and TEXT speak of: the root, or what a `message/rfc822` part holds.
    fn message(&self, path: &[u32]) -> Option<&Self> {
        match &self.kind {
            _ if path.is_empty() => Some(self),
            Kind::Message(message) => Some(message),
            Kind::Leaf | Kind::Multipart(_) => None,
        }
    }

    /// This part and all below it, parents first, in the order of the bytes.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut ahead = vec![self];
        std::iter::from_fn(move || {
            let part = ahead.pop()?;
            match &part.kind {
                Kind::Leaf => {}
                Kind::Multipart(parts) => ahead.extend(parts.iter().rev()),
                Kind::Message(message) => ahead.push(message),
            }
            Some(part)
        })
    }

    /// The name under which to save the part: `filename` of its disposition, else `name` of its type.
    ///
    /// Decoded, and safe from line ends, but it may contain slashes: a file name only after more checks.
    pub fn file_name(&self) -> Option<String> {
        let named = self.disposition.as_ref().and_then(|disposition| disposition.parameters.get("filename"));
        named.or_else(|| self.content_type.parameters.get("name"))
    }

    /// The body without its transfer encoding. `message` is what was parsed.
    pub fn content<'a>(&self, message: &'a [u8]) -> Cow<'a, [u8]> {
        let body = message.get(self.body.clone()).unwrap_or_default();
        if self.kind == Kind::Leaf { self.encoding.decode(body) } else { Cow::Borrowed(body) }
    }

    /// The content as text in the character set that the part names.
    pub fn text(&self, message: &[u8]) -> String {
        charset::decode(&self.content(message), &self.content_type.charset()).into_owned()
    }
}

/// IMAP part numbers start at 1.
fn nth(parts: &[Part], number: u32) -> Option<&Part> {
    parts.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

#[cfg(test)]
mod tests;
