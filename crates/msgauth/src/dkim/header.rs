//! The header section of a message while it arrives, and the fields that a signature chooses from it.

use std::collections::HashMap;

use aws_lc_rs::digest::Context;
use kings_mail::header::{Fields, MAX_HEADER_BLOCK};
use memchr::memchr;

use super::canonical::Canonicalization;

/// The header is longer than [`MAX_HEADER_BLOCK`]: such a message is refused before anybody asks for its
/// signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header is longer than {MAX_HEADER_BLOCK} octets")]
pub struct HeaderTooLarge;

/// Fields that a header has once at the most (RFC 5322 §3.6, RFC 2045 §3) and that people are shown, or that decide how
/// they are shown the rest. Readers differ about which of two counts.
const ONCE: [&str; 10] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "content-type",
    "content-transfer-encoding",
];

/// Collects a header until its empty line; line ends become CRLF.
#[derive(Default)]
pub(crate) struct Collector {
    raw: Vec<u8>,
    line_start: usize,
}

impl Collector {
    /// Takes octets, and gives back those behind the empty line once that was among them.
    pub(crate) fn push<'a>(&mut self, mut piece: &'a [u8]) -> Result<Option<&'a [u8]>, HeaderTooLarge> {
        while let Some(at) = memchr(b'\n', piece) {
            self.keep(&piece[..at])?;
            piece = &piece[at + 1..];
            if self.end_line() {
                return Ok(Some(piece));
            }
        }
        self.keep(piece)?;
        Ok(None)
    }

    fn keep(&mut self, text: &[u8]) -> Result<(), HeaderTooLarge> {
        if self.raw.len() + text.len() > MAX_HEADER_BLOCK {
            return Err(HeaderTooLarge);
        }
        self.raw.extend_from_slice(text);
        Ok(())
    }

    /// Whether the line that ends here is the empty one.
    fn end_line(&mut self) -> bool {
        if self.raw[self.line_start..].ends_with(b"\r") {
            self.raw.pop();
        }
        if self.raw.len() == self.line_start {
            return true;
        }
        self.raw.extend_from_slice(b"\r\n");
        self.line_start = self.raw.len();
        false
    }

    /// The header is whole: its empty line came, or the message ended without one. A last CR without LF is content,
    /// as it is in a body.
    pub(crate) fn finish(mut self) -> Header {
        if self.raw.len() > self.line_start {
            self.raw.extend_from_slice(b"\r\n");
        }
        Header::new(self.raw)
    }
}

/// A whole header.
pub(crate) struct Header {
    raw: Vec<u8>,
    /// The fields from top to bottom.
    fields: Vec<Place>,
    /// Where the fields of a name stand in `fields`, names in lower case.
    index: HashMap<String, Vec<usize>>,
}

/// Where one field stands, and its colon.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    value: usize,
    end: usize,
}

impl Header {
    fn new(raw: Vec<u8>) -> Self {
        let mut fields = Vec::new();
        let mut index: HashMap<String, Vec<usize>> = HashMap::new();
        let mut reader = Fields::new(&raw);
        while let Some(field) = reader.next() {
            let end = reader.position();
            let (start, value) = (end - field.raw.len(), end - field.value.len());
            index.entry(field.name.to_ascii_lowercase()).or_default().push(fields.len());
            fields.push(Place { start, value, end });
        }
        Self { raw, fields, index }
    }

    /// The whole of it, with CRLF at the end of each line.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.raw
    }

    /// The fields of a name (given in lower case) from top to bottom.
    pub(crate) fn named(
        &self,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = RawField<'_>> + ExactSizeIterator {
        let places = self.index.get(name).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|&place| self.field(self.fields[place]))
    }

    fn field(&self, place: Place) -> RawField<'_> {
        RawField { raw: &self.raw[place.start..place.end], value_start: place.value - place.start }
    }

    /// The fields that a list of names chooses: each name the next field of that name from the bottom up, and
    /// nothing when they are used up (RFC 6376 §5.4.2).
    pub(crate) fn choose<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = RawField<'a>> {
        let mut used: HashMap<&str, usize> = HashMap::new();
        names.iter().filter_map(move |name| {
            let places = self.index.get(name)?;
            let used = used.entry(name).or_default();
            *used += 1;
            let place = places.len().checked_sub(*used)?;
            Some(self.field(self.fields[places[place]]))
        })
    }
}

impl Header {
    /// A field that may stand in a header once, stands there more often with another value, and is covered by this list of
    /// names, but not each time: somebody may have added one that is shown in the place of the signed one (RFC 6376
    /// §8.15). What is not signed at all deceives as well alone.
    pub(crate) fn doubled(&self, names: &[String]) -> Option<&'static str> {
        ONCE.into_iter().find(|once| {
            let places = self.index.get(*once).map_or(&[][..], Vec::as_slice);
            let signed = names.iter().filter(|name| name == once).count();
            let value = |place: &usize| self.field(self.fields[*place]).value();
            let differ = || places.windows(2).any(|pair| value(&pair[0]) != value(&pair[1]));
            signed > 0 && signed < places.len() && differ()
        })
    }

    /// Hashes the fields that a list of names chooses (RFC 6376 §3.7).
    pub(crate) fn hash(&self, names: &[String], form: Canonicalization, context: &mut Context) {
        let mut canonical = Vec::new();
        for field in self.choose(names) {
            canonical.clear();
            form.field(field.raw, &mut canonical);
            context.update(&canonical);
        }
    }
}

/// One field with its folding and final CRLF.
#[derive(Clone, Copy)]
pub(crate) struct RawField<'a> {
    pub(crate) raw: &'a [u8],
    value_start: usize,
}

impl<'a> RawField<'a> {
    /// Everything behind the colon.
    pub(crate) fn value(&self) -> &'a [u8] {
        &self.raw[self.value_start..]
    }

    /// Appends the field as its own signature covers it: without what stands in `hole` (a part of the value)
    /// and without its CRLF (RFC 6376 §3.7).
    pub(crate) fn unsigned(&self, form: Canonicalization, hole: &std::ops::Range<usize>, out: &mut Vec<u8>) {
        let (before, after) = (self.value_start + hole.start, self.value_start + hole.end);
        let mut raw = self.raw[..before].to_vec();
        raw.extend_from_slice(&self.raw[after..]);
        let raw = raw.strip_suffix(b"\r\n").unwrap_or(&raw);
        form.field(raw, out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn collect(message: &[u8], piece: usize) -> (Header, Vec<u8>) {
        let mut collector = Collector::default();
        let mut pieces = message.chunks(piece);
        let mut body = Vec::new();
        for piece in pieces.by_ref() {
            if let Some(rest) = collector.push(piece).unwrap() {
                body.extend_from_slice(rest);
                break;
            }
        }
        pieces.for_each(|piece| body.extend_from_slice(piece));
        (collector.finish(), body)
    }

    #[test]
    fn a_header_ends_at_its_empty_line_however_it_arrives() {
        let cases: [(&str, &str, &str); 7] = [
            ("A: b\r\nC: d\r\n\r\nbody\r\n\r\n", "A: b\r\nC: d\r\n", "body\r\n\r\n"),
            ("A: b\nC: d\n\nbody", "A: b\r\nC: d\r\n", "body"),
            ("\r\nbody", "", "body"),
            ("", "", ""),
            ("A: b", "A: b\r\n", ""),
            ("A: b\r", "A: b\r\r\n", ""),
            ("A: b\r\r\n\r\r\n\r\nx", "A: b\r\r\n\r\r\n", "x"),
        ];
        for (message, header, body) in cases {
            for piece in [1, 2, 3, 1_000] {
                let found = collect(message.as_bytes(), piece);
                assert_eq!(
                    (&found.0.raw[..], &found.1[..]),
                    (header.as_bytes(), body.as_bytes()),
                    "{message:?}"
                );
            }
        }
    }

    #[test]
    fn fields_are_chosen_from_the_bottom_up() {
        let (header, _) = collect(b"A: 1\r\nB: 2\r\na : 3\r\n x\r\nstray\r\nA: 4\r\n\r\n", 7);
        let names: Vec<String> = ["a", "b", "a", "c", "a", "a", "b"].map(str::to_owned).into();
        let chosen: Vec<&[u8]> = header.choose(&names).map(|field| field.value()).collect();
        assert_eq!(chosen, [&b" 4\r\n"[..], b" 2\r\n", b" 3\r\n x\r\n", b" 1\r\n"]);
        assert_eq!(header.named("a").len(), 3);
    }

    #[test]
    fn a_header_without_end_is_given_up() {
        let mut collector = Collector::default();
        let line = [&[b'x'; 1_022][..], b"\r\n"].concat();
        for _ in 0..MAX_HEADER_BLOCK / line.len() {
            assert_eq!(collector.push(&line), Ok(None));
        }
        assert_eq!(collector.push(&line), Err(HeaderTooLarge));
    }
}
