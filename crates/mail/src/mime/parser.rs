//! Builds the MIME tree in one pass over the lines.

use std::collections::BTreeMap;

use super::{Kind, MAX_DEPTH, MAX_PARTS, Part};
use crate::content_type::{ContentType, Disposition};
use crate::header::{Fields, is_blank, line_end};
use crate::transfer::Encoding;

pub(super) fn parse(message: &[u8]) -> Part {
    let mut parser = Parser {
        input: message,
        at: Mark::default(),
        settled: 0,
        parts: 0,
        open: BTreeMap::new(),
        levels: 0,
    };
    parser.part(Mark::default(), 0, Outer::Plain).0
}

/// Reads each line once. A delimiter costs two look-ups in `open`, however many multiparts are open, so
/// time stays linear; the recursion is [`MAX_DEPTH`] deep at most.
struct Parser<'a> {
    input: &'a [u8],
    at: Mark,
    /// A line end before this offset ends a header or a delimiter line; it cannot start a delimiter too.
    settled: usize,
    parts: usize,
    /// Boundary of each open multipart, with its level; of equal ones the innermost.
    open: BTreeMap<Vec<u8>, usize>,
    /// How many multiparts are open.
    levels: usize,
}

/// A place, and the number of line ends before it.
#[derive(Clone, Copy, Default)]
struct Mark {
    offset: usize,
    line_ends: usize,
}

/// A delimiter line (RFC 2046 §5.1.1) of the open multipart `level`.
struct Delimiter {
    level: usize,
    /// `--boundary--`: no more parts.
    is_last: bool,
    /// The line end before it is part of it (RFC 2046 §5.1.1).
    content_end: Mark,
}

/// What surrounds a part decides its default type (RFC 2046 §5.1.5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    Plain,
    Digest,
}

/// How the body is to be read.
enum Shape {
    Leaf,
    Multipart(Vec<u8>),
    Message,
}

impl Parser<'_> {
    /// Reads one part, and the delimiter that ended it. `start` is where reading stands, except for a
    /// message whose own `message/rfc822` header was cut off: that one is empty and lies before.
    fn part(&mut self, start: Mark, depth: usize, outer: Outer) -> (Part, Option<Delimiter>) {
        self.parts += 1;
        // One place is kept for the empty text of a multipart without parts.
        let is_last = self.parts >= MAX_PARTS - 1;
        if is_last {
            // No delimiter is recognised any more: this part reaches to the end.
            self.open.clear();
        }
        let body_start = self.header();
        let header = start.offset..body_start.offset;
        let mut part = described(&self.input[header.clone()], outer);
        part.header = header;
        let may_open = depth < MAX_DEPTH && !is_last;
        let (kind, delimiter) = match shape(&mut part, may_open) {
            Shape::Leaf => (Kind::Leaf, self.next_delimiter()),
            Shape::Message => {
                let (message, delimiter) = self.part(body_start, depth + 1, Outer::Plain);
                (Kind::Message(Box::new(message)), delimiter)
            }
            Shape::Multipart(boundary) => {
                let is_digest = part.content_type.subtype == "digest";
                let outer = if is_digest { Outer::Digest } else { Outer::Plain };
                let (mut parts, delimiter) = self.multipart(boundary, depth, outer);
                if parts.is_empty() {
                    self.parts += 1;
                    parts.push(Part::empty(body_start.offset));
                }
                (Kind::Multipart(parts), delimiter)
            }
        };
        part.kind = kind;
        let end = delimiter.as_ref().map_or(self.at, |delimiter| delimiter.content_end);
        part.body = body_start.offset..end.offset;
        part.lines = end.line_ends - body_start.line_ends;
        (part, delimiter)
    }

    /// Reads through the empty line or to the end, or stops before a delimiter; gives the header's end.
    fn header(&mut self) -> Mark {
        while self.at.offset < self.input.len() {
            if let Some(delimiter) = self.delimiter() {
                return delimiter.content_end;
            }
            if is_blank(self.line()) {
                self.settled = self.at.offset;
                break;
            }
        }
        self.at
    }

    /// Reads preamble, parts and epilogue; gives the delimiter of an outer multipart that ended it.
    fn multipart(&mut self, boundary: Vec<u8>, depth: usize, outer: Outer) -> (Vec<Part>, Option<Delimiter>) {
        let level = self.levels;
        self.levels += 1;
        let shadowed = self.open.insert(boundary.clone(), level);
        let mut parts = Vec::new();
        let mut delimiter = self.next_delimiter();
        while delimiter.as_ref().is_some_and(|found| found.level == level && !found.is_last) {
            let (part, next) = self.part(self.at, depth + 1, outer);
            parts.push(part);
            delimiter = next;
        }
        self.levels -= 1;
        match shadowed {
            Some(outer_level) => self.open.insert(boundary, outer_level),
            None => self.open.remove(&boundary),
        };
        if delimiter.as_ref().is_some_and(|found| found.level == level) {
            delimiter = self.next_delimiter();
        }
        (parts, delimiter)
    }

    /// Reads through the next delimiter line.
    fn next_delimiter(&mut self) -> Option<Delimiter> {
        while self.at.offset < self.input.len() {
            let delimiter = self.delimiter();
            self.line();
            if delimiter.is_some() {
                self.settled = self.at.offset;
                return delimiter;
            }
        }
        None
    }

    /// Whether a delimiter starts here; does not read it.
    fn delimiter(&self) -> Option<Delimiter> {
        if self.open.is_empty() || !self.input[self.at.offset..].starts_with(b"--") {
            return None;
        }
        let line = &self.input[self.at.offset..line_end(self.input, self.at.offset)];
        let mark = line["--".len()..].trim_ascii_end();
        let level_of = |boundary: &[u8]| self.open.get(boundary).copied();
        let content_end = self.before_line_end();
        let found = |is_last| move |level| Delimiter { level, is_last, content_end };
        let next = level_of(mark).map(found(false));
        let last = mark.strip_suffix(b"--").and_then(level_of).map(found(true));
        // With boundaries `a` and `a--`, the line `--a--` is about the inner one of the two.
        [next, last].into_iter().flatten().max_by_key(|delimiter| delimiter.level)
    }

    /// Reads one line.
    fn line(&mut self) -> &[u8] {
        let start = self.at.offset;
        self.at.offset = line_end(self.input, start);
        let line = &self.input[start..self.at.offset];
        self.at.line_ends += usize::from(line.ends_with(b"\n"));
        line
    }

    /// The place before the line end that precedes this line, if that one is free.
    fn before_line_end(&self) -> Mark {
        let content = &self.input[self.settled..self.at.offset];
        let length = if content.ends_with(b"\r\n") { 2 } else { usize::from(content.ends_with(b"\n")) };
        Mark { offset: self.at.offset - length, line_ends: self.at.line_ends - usize::from(length > 0) }
    }
}

/// The part that a header describes; ranges, lines and kind are still to be filled in.
fn described(header: &[u8], outer: Outer) -> Part {
    let mut part = Part::empty(0);
    let mut content_type = None;
    let mut encoding = None;
    let mut language = None;
    for field in Fields::new(header) {
        match field.name.to_ascii_lowercase().as_str() {
            "content-type" => set(&mut content_type, || Some(ContentType::parse(field.value))),
            "content-transfer-encoding" => set(&mut encoding, || Some(Encoding::parse(&field.text()))),
            "content-id" => set(&mut part.id, || Some(field.text())),
            "content-description" => set(&mut part.description, || Some(field.text())),
            "content-disposition" => set(&mut part.disposition, || Disposition::parse(field.value)),
            "content-language" => set(&mut language, || Some(tags(&field.text()))),
            "content-location" => set(&mut part.location, || Some(field.text())),
            "content-md5" => set(&mut part.md5, || Some(field.text())),
            _ => {}
        }
    }
    part.content_type = match content_type {
        None if outer == Outer::Digest => ContentType::new("message", "rfc822"),
        other => other.flatten().unwrap_or_else(ContentType::text_plain),
    };
    part.encoding = encoding.unwrap_or_default();
    part.language = language.unwrap_or_default();
    part
}

/// The first field of a name counts.
fn set<T>(slot: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
    if slot.is_none() {
        *slot = value();
    }
}

/// `en, fi (Finnish)` as tags (RFC 3282 §2).
fn tags(value: &str) -> Vec<String> {
    let tag = |item: &str| item.split(['(', ' ', '\t']).find(|tag| !tag.is_empty()).map(str::to_owned);
    value.split(',').filter_map(tag).collect()
}

/// Decides how the body is read, and makes the type say the same.
fn shape(part: &mut Part, may_open: bool) -> Shape {
    let content_type = &part.content_type;
    let is_message = content_type.is("message", "rfc822") || content_type.is("message", "global");
    let shape = if content_type.kind == "multipart" {
        let Some(boundary) = content_type.boundary() else {
            part.content_type = ContentType::text_plain();
            return Shape::Leaf;
        };
        Shape::Multipart(boundary)
    } else if is_message {
        Shape::Message
    } else {
        return Shape::Leaf;
    };
    if may_open && part.encoding.is_identity() {
        return shape;
    }
    part.content_type = ContentType::new("application", "octet-stream");
    Shape::Leaf
}

impl Part {
    /// An empty text at this place.
    fn empty(at: usize) -> Self {
        Self {
            header: at..at,
            body: at..at,
            lines: 0,
            content_type: ContentType::text_plain(),
            encoding: Encoding::default(),
            id: None,
            description: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            md5: None,
            kind: Kind::Leaf,
        }
    }
}
