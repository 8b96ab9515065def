//! Header fields over raw bytes: where they start and end, their unfolded values, and what a new message may carry.
//!
//! Lines may end in CRLF or LF; a CR elsewhere is content. The header ends at the first empty line, and a
//! message without one is all header. A line that is no field (the mbox line `From ann Fri Nov 6`, a
//! sentence that lost its empty line) is stepped over together with its folded lines, as Dovecot does:
//! stopping there would hide the fields behind it from our checks but not from other readers.

use std::cmp::Ordering;

use crate::charset;

/// Largest header of a new message, in octets, with its line ends (DESIGN limits; RFC 5322 sets none).
pub const MAX_HEADER_BLOCK: usize = 256 * 1024;
/// Longest field of a new message with all its folded lines, in octets.
pub const MAX_FIELD: usize = 64 * 1024;
/// Most fields of a new message; lines that are no field count as well.
pub const MAX_FIELDS: usize = 1_000;

/// One header field, borrowed from the message (RFC 5322 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As written, without white space before the colon, which RFC 5322 §4.5 allows readers to meet.
    pub name: &'a str,
    /// Everything behind the colon, with folding and the final line end.
    pub value: &'a [u8],
    /// The whole field, with folding and the final line end.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    fn parse(raw: &'a [u8]) -> Option<Self> {
        let name_end = raw.iter().position(|&octet| octet == b':' || !octet.is_ascii_graphic())?;
        let gap = raw[name_end..].iter().take_while(|&&octet| is_wsp(octet)).count();
        let value = raw[name_end + gap..].strip_prefix(b":")?;
        let name = std::str::from_utf8(&raw[..name_end]).ok().filter(|name| !name.is_empty())?;
        Some(Self { name, value, raw })
    }

    /// Compares names as RFC 5322 §1.2.2 does, without case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line (RFC 5322 §2.2.3), trimmed, as text; see [`unfold`].
    pub fn text(&self) -> String {
        unfold(self.value)
    }
}

/// A field value on one line: CR, LF and NUL are dropped wherever they stand, the ends are trimmed
/// (RFC 5322 §2.2.3). Octets beyond ASCII become text as [`charset::guess`] says; encoded words stay.
pub fn unfold(value: &[u8]) -> String {
    let line: Vec<u8> = value.iter().copied().filter(|octet| !b"\r\n\0".contains(octet)).collect();
    charset::guess(line.trim_ascii()).into_owned()
}

/// Offset of the first octet of the body: behind the empty line, or the length where there is none.
pub fn header_end(content: &[u8]) -> usize {
    let mut at = 0;
    while at < content.len() {
        let end = line_end(content, at);
        if is_blank(&content[at..end]) {
            return end;
        }
        at = end;
    }
    content.len()
}

/// Offset behind the line that starts at `start`.
pub(crate) fn line_end(content: &[u8], start: usize) -> usize {
    let rest = &content[start..];
    rest.iter().position(|&octet| octet == b'\n').map_or(content.len(), |at| start + at + 1)
}

pub(crate) fn is_blank(line: &[u8]) -> bool {
    line == b"\r\n" || line == b"\n"
}

fn is_wsp(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// The fields of a header in order; stops at the empty line, so a whole message may be given too.
#[derive(Clone, Debug)]
pub struct Fields<'a>(Lines<'a>);

impl<'a> Fields<'a> {
    /// Reads the header at the start of `content`.
    pub fn new(content: &'a [u8]) -> Self {
        Self(Lines { content, at: 0 })
    }

    /// Offset behind the field that came last: its octets are the `raw.len()` before it.
    pub fn position(&self) -> usize {
        self.0.at
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.0.by_ref().find_map(Field::parse)
    }
}

/// Header lines with the folded lines that belong to them, fields or not.
#[derive(Clone, Debug)]
struct Lines<'a> {
    content: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut end = line_end(self.content, start);
        if start == end || is_blank(&self.content[start..end]) {
            self.at = self.content.len();
            return None;
        }
        while self.content.get(end).copied().is_some_and(is_wsp) {
            end = line_end(self.content, end);
        }
        self.at = end;
        Some(&self.content[start..end])
    }
}

/// The first field of this name.
pub fn first<'a>(content: &'a [u8], name: &str) -> Option<Field<'a>> {
    Fields::new(content).find(|field| field.is(name))
}

/// Every field of this name, in order.
pub fn all<'a>(content: &'a [u8], name: &str) -> impl Iterator<Item = Field<'a>> {
    Fields::new(content).filter(move |field| field.is(name))
}

/// Which fields a partial copy of a header keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The named ones: IMAP `HEADER.FIELDS`.
    Named,
    /// All others: IMAP `HEADER.FIELDS.NOT`.
    Others,
}

/// A copy of the header with the chosen fields alone, unchanged and in order, and its empty line
/// (RFC 9051 §6.4.5.1: the line is there exactly if the message has it). Lines that are no field go.
pub fn select(content: &[u8], names: &[&str], keep: Keep) -> Vec<u8> {
    let mut names = names.to_vec();
    names.sort_by(|a, b| compare_names(a, b));
    let is_named = |name: &str| names.binary_search_by(|probe| compare_names(probe, name)).is_ok();
    let mut out: Vec<u8> = Fields::new(content)
        .filter(|field| is_named(field.name) == (keep == Keep::Named))
        .flat_map(|field| field.raw)
        .copied()
        .collect();
    let header = &content[..header_end(content)];
    let last_line = header.split_inclusive(|&octet| octet == b'\n').next_back();
    out.extend_from_slice(last_line.filter(|line| is_blank(line)).unwrap_or_default());
    out
}

/// The message without the named fields; everything else keeps its bytes, lines that are no field too.
pub fn without(content: &[u8], names: &[&str]) -> Vec<u8> {
    let is_named =
        |line: &[u8]| Field::parse(line).is_some_and(|field| names.iter().any(|name| field.is(name)));
    let mut kept = Vec::with_capacity(content.len());
    let mut rest = content;
    for line in (Lines { content: &content[..header_end(content)], at: 0 }) {
        if !is_named(line) {
            kept.extend_from_slice(line);
        }
        rest = &rest[line.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// A line of a header as a careless reader may take it: by its name without blanks, controls and octets beyond ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookalike<'a> {
    name: &'a [u8],
    /// Everything behind the first colon, with folding and the final line end.
    pub value: &'a [u8],
}

impl<'a> Lookalike<'a> {
    fn read(raw: &'a [u8]) -> Option<Self> {
        let colon = raw.iter().position(|octet| *octet == b':')?;
        Some(Self { name: &raw[..colon], value: &raw[colon + 1..] })
    }

    /// Compares names without case.
    pub fn is(&self, name: &str) -> bool {
        let visible = self.name.iter().filter(|octet| octet.is_ascii_graphic());
        visible.map(u8::to_ascii_lowercase).eq(name.bytes().map(|octet| octet.to_ascii_lowercase()))
    }
}

/// The message without the lines that are unwanted, however their names are dressed up; `None` where there is none.
/// Everything else keeps its octets.
pub fn without_lookalikes(content: &[u8], is_unwanted: impl Fn(&Lookalike<'_>) -> bool) -> Option<Vec<u8>> {
    let mut kept: Option<Vec<u8>> = None;
    let mut at = 0;
    for line in (Lines { content: &content[..header_end(content)], at: 0 }) {
        if Lookalike::read(line).is_some_and(|line| is_unwanted(&line)) {
            kept.get_or_insert_with(|| content[..at].to_vec());
        } else if let Some(kept) = &mut kept {
            kept.extend_from_slice(line);
        }
        at += line.len();
    }
    kept.map(|mut kept| {
        kept.extend_from_slice(&content[at..]);
        kept
    })
}

fn compare_names(a: &str, b: &str) -> Ordering {
    let lower = |octet: u8| octet.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}

/// What [`check`] found in a header that may be accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderSummary {
    /// Fields, counting lines that are no field.
    pub fields: usize,
    /// `Received` fields: how many hosts have passed the message on (RFC 5321 §6.3).
    pub received: usize,
    /// Whether there is a From field. Its absence is no error: DMARC then has nothing to say.
    pub has_from: bool,
    /// Offset of the first line that is no field, for the log and for policy: real mail contains
    /// mbox lines and headers that run into the text, so it is not refused here.
    pub stray_line: Option<usize>,
}

/// Why a new message is refused for its header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Over [`MAX_HEADER_BLOCK`].
    #[error("the header is longer than {MAX_HEADER_BLOCK} octets")]
    TooLarge,
    /// A field over [`MAX_FIELD`].
    #[error("a header field is longer than {MAX_FIELD} octets")]
    FieldTooLong,
    /// Over [`MAX_FIELDS`].
    #[error("there are more than {MAX_FIELDS} header fields")]
    TooManyFields,
    /// RFC 5322 §2.2 keeps NUL out, and readers disagree about what follows it.
    #[error("the header contains a NUL octet")]
    Nul,
    /// It begins with a blank: whatever a server writes on top would go on in it (RFC 5322 §2.2.3).
    #[error("the first line begins with a blank")]
    LeadingBlank,
    /// RFC 5322 §3.6 permits one; with two, the field we check need not be the one people are shown.
    #[error("there is more than one From field")]
    SecondFrom,
}

/// Checks the header of a new message against our limits and the one rule on which all else rests: at
/// most one From field. Reads up to the empty line, so the start of the content may be given.
pub fn check(content: &[u8]) -> Result<HeaderSummary, BadHeader> {
    let header = &content[..header_end(content)];
    if header.len() > MAX_HEADER_BLOCK {
        return Err(BadHeader::TooLarge);
    }
    if header.contains(&0) {
        return Err(BadHeader::Nul);
    }
    if header.first().copied().is_some_and(is_wsp) {
        return Err(BadHeader::LeadingBlank);
    }
    let mut summary = HeaderSummary::default();
    let mut at = 0;
    for line in (Lines { content: header, at }) {
        summary.count(line, at)?;
        at += line.len();
    }
    Ok(summary)
}

impl HeaderSummary {
    fn count(&mut self, line: &[u8], at: usize) -> Result<(), BadHeader> {
        if line.len() > MAX_FIELD {
            return Err(BadHeader::FieldTooLong);
        }
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(BadHeader::TooManyFields);
        }
        match Field::parse(line) {
            Some(field) if field.is("From") && self.has_from => return Err(BadHeader::SecondFrom),
            Some(field) if field.is("From") => self.has_from = true,
            Some(field) if field.is("Received") => self.received += 1,
            Some(_) => {}
            None => self.stray_line = self.stray_line.or(Some(at)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn names_and_values(content: &[u8]) -> Vec<(&str, String)> {
        Fields::new(content).map(|field| (field.name, field.text())).collect()
    }

    #[test]
    fn fields_are_found_in_every_shape() {
        let cases: [(&str, &[(&str, &str)]); 12] = [
            ("", &[]),
            ("\r\nSubject: body\r\n", &[]),
            ("Subject: a\r\n\r\nTo: body\r\n", &[("Subject", "a")]),
            ("Subject: a\nTo: b\n\nbody", &[("Subject", "a"), ("To", "b")]),
            ("Subject: a\r\n b\r\n\tc\r\nTo: d\r\n", &[("Subject", "a b\tc"), ("To", "d")]),
            ("Subject: a\r\n \r\n b\r\n\r\n", &[("Subject", "a  b")]),
            ("Subject:\r\n", &[("Subject", "")]),
            ("Subject: no line end", &[("Subject", "no line end")]),
            ("From : x\r\nTo\t: y\r\n", &[("From", "x"), ("To", "y")]),
            ("From ann Fri Nov  6 10:00:00 2026\r\nTo: b\r\n", &[("To", "b")]),
            (" folded first\r\nstray\r\n more\r\n: x\r\nTo: b\r\n", &[("To", "b")]),
            ("Subject: K\u{e4}se\r\n", &[("Subject", "K\u{e4}se")]),
        ];
        for (content, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|&(name, value)| (name, value.to_owned())).collect();
            assert_eq!(names_and_values(content.as_bytes()), expected, "{content:?}");
        }
    }

    #[test]
    fn the_header_ends_behind_the_first_empty_line() {
        let cases = [
            ("", 0),
            ("a", 1),
            ("\r\n", 2),
            ("\nx", 1),
            ("A: b\r\n\r\nx", 8),
            ("A: b\n\nx", 6),
            ("A: b\r\n", 6),
        ];
        for (content, expected) in cases {
            assert_eq!(header_end(content.as_bytes()), expected, "{content:?}");
        }
    }

    #[test]
    fn unfolding_leaves_no_line_end_behind() {
        assert_eq!(unfold(b" a\r\n b\rc\nd\0 \r\n"), "a bcd");
        assert_eq!(unfold(b" K\xe4se\r\n"), "K\u{e4}se");
    }

    #[test]
    fn fields_are_chosen_by_name_without_case() {
        let content = b"From ann\r\nSubject: a\r\n b\r\nX: 1\r\nSUBJECT: c\r\n\r\nbody";
        let subjects = b"Subject: a\r\n b\r\nSUBJECT: c\r\n\r\n".to_vec();
        assert_eq!(select(content, &["to", "subject"], Keep::Named), subjects);
        assert_eq!(select(content, &["subject"], Keep::Others), b"X: 1\r\n\r\n");
        assert_eq!(select(b"X: 1\r\n", &[], Keep::Others), b"X: 1\r\n");
        assert_eq!(first(content, "subject").unwrap().text(), "a b");
        assert_eq!(all(content, "subject").count(), 2);
        assert_eq!(first(content, "body"), None);
    }

    #[test]
    fn a_header_over_a_limit_is_refused() {
        let field = |length: usize| format!("X: {}\r\n", "x".repeat(length - 5));
        let cases = [
            (field(MAX_FIELD), Ok(1)),
            (field(MAX_FIELD + 1), Err(BadHeader::FieldTooLong)),
            (format!("X: a\r\n {}", field(MAX_FIELD)), Err(BadHeader::FieldTooLong)),
            (field(MAX_FIELD).repeat(4), Ok(4)),
            (field(MAX_FIELD).repeat(4) + "\r\n", Err(BadHeader::TooLarge)),
            ("X:\r\n".repeat(MAX_FIELDS), Ok(MAX_FIELDS)),
            ("X:\r\n".repeat(MAX_FIELDS + 1), Err(BadHeader::TooManyFields)),
            ("stray\r\n".repeat(MAX_FIELDS + 1), Err(BadHeader::TooManyFields)),
            ("X: a\0b\r\n".into(), Err(BadHeader::Nul)),
            ("X: a\r\n\r\n\0".into(), Ok(1)),
            (" X: a\r\nY: b\r\n".into(), Err(BadHeader::LeadingBlank)),
            ("\t\r\nY: b\r\n".into(), Err(BadHeader::LeadingBlank)),
            ("\r\n Y: b\r\n".into(), Ok(0)),
            ("From: a\r\nfrom : b\r\n".into(), Err(BadHeader::SecondFrom)),
            ("From: a\r\nstray\r\nFROM: b\r\n".into(), Err(BadHeader::SecondFrom)),
            ("From: a\r\n\r\nFrom: b\r\n".into(), Ok(1)),
            ("From a\r\nFrom: b\r\n".into(), Ok(2)),
        ];
        for (header, expected) in cases {
            let fields = check(header.as_bytes()).map(|summary| summary.fields);
            assert_eq!(fields, expected, "{header:.40}");
        }
    }

    #[test]
    fn lookalikes_go_however_their_names_are_dressed_up() {
        let unwanted = |content: &[u8]| without_lookalikes(content, |line| line.is("X-Seal"));
        for line in [
            "X-Seal: 1",
            "x-seal\t : 1",
            "X-Seal\u{b}: 1",
            "\u{a0}X-Se\u{ad}al: 1\r\n 2",
            "X-Seal:",
            "X -Seal\u{7f}:",
        ] {
            let content = format!("A: b\r\n{line}\r\nC: d\r\n\r\nX-Seal: body\r\n");
            let expected = b"A: b\r\nC: d\r\n\r\nX-Seal: body\r\n".to_vec();
            assert_eq!(unwanted(content.as_bytes()), Some(expected), "{line:?}");
        }
        for line in ["X-Sealed: 1", "XX-Seal: 1", "X_Seal: 1", "A: X-Seal: 1", "X-Seal", ": X-Seal"] {
            assert_eq!(unwanted(format!("{line}\r\n\r\nX-Seal: body").as_bytes()), None, "{line:?}");
        }
        assert_eq!(unwanted(b"X-Seal: 1"), Some(Vec::new()));
    }

    #[test]
    fn the_summary_counts_what_policy_asks() {
        let content = b"Received: a\r\nRECEIVED: b\r\n c\r\nFrom ann\r\nX-From: x\r\n\r\nReceived: body";
        let expected = HeaderSummary { fields: 4, received: 2, has_from: false, stray_line: Some(30) };
        assert_eq!(check(content), Ok(expected));
    }

    proptest! {
        #[test]
        fn fields_and_strays_cover_the_header_exactly(content in r"[A-c:\r\n \t]{0,60}") {
            let content = content.as_bytes();
            let end = header_end(content);
            let lines: Vec<u8> = Lines { content, at: 0 }.flatten().copied().collect();
            prop_assert_eq!(&content[..lines.len()], &lines[..]);
            let rest = &content[lines.len()..end];
            prop_assert!(rest.is_empty() || is_blank(rest));
            let mut fields = Fields::new(content);
            while let Some(field) = fields.next() {
                prop_assert!(field.raw.ends_with(field.value));
                prop_assert_eq!(&content[fields.position() - field.raw.len()..fields.position()], field.raw);
            }
        }
    }
}
