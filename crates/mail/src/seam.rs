//! The seam between header and body: the empty line that a message lacks is put in while it streams by.
//!
//! What we write on top of a message, what readers show as its header and what a signature covers all hang on where
//! the header ends. A line that is no field ends it (as in Postfix's cleanup), and so does the end of the message; both
//! get the empty line that RFC 5322 §2.1 wants there. Without it our own fields would run into the text, and a field
//! behind a stray line would be one to some readers and text to others.

use std::borrow::Cow;

/// Longest field name, with the blanks before its colon, that is waited for: the longest line of RFC 5322 §2.1.1.
const MAX_NAME: usize = 998;
/// What the line of an mbox that opens a message is called, as in Postfix; otherwise it would end the header at once.
const MAILBOX_LINE: &[u8] = b"X-Mailbox-Line: ";

/// One message on its way in.
#[derive(Debug, Default)]
pub struct Seam {
    state: State,
    /// The beginning of a line that may still become a field.
    held: Vec<u8>,
    /// Something came before this line.
    is_begun: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the beginning of a line, or in what may be the name of a field.
    #[default]
    Name,
    /// Behind that name, in blanks.
    Gap,
    /// In a line that starts with a CR.
    Cr,
    /// In a line of the header.
    Line,
    /// In the body.
    Body,
}

/// What a line turns out to be.
enum Is {
    /// A field, or a line that goes on with one.
    Header,
    /// The empty line.
    Empty,
    /// The line of an mbox.
    Mailbox,
    Text,
}

impl Seam {
    /// The next piece of the message, with what has to stand before it.
    pub fn pass<'a>(&mut self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        if self.state == State::Body {
            return Cow::Borrowed(piece);
        }
        let mut out = Vec::with_capacity(self.held.len() + piece.len() + MAILBOX_LINE.len());
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.state {
                State::Body => {
                    out.extend_from_slice(rest);
                    break;
                }
                State::Line => self.line(rest, &mut out),
                State::Name | State::Gap | State::Cr => self.octet(rest, &mut out),
            };
        }
        Cow::Owned(out)
    }

    /// What the message lacks at its end.
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.state {
            State::Body => return out,
            State::Line => out.extend_from_slice(b"\r\n\r\n"),
            State::Name | State::Gap | State::Cr if self.held.is_empty() => out.extend_from_slice(b"\r\n"),
            State::Name | State::Gap | State::Cr => self.settle(&Is::Text, &mut out),
        }
        out
    }

    /// To the end of a line of the header; gives what is left.
    fn line<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = rest.iter().position(|&octet| octet == b'\n').map_or(rest.len(), |at| at + 1);
        out.extend_from_slice(&rest[..end]);
        if rest[..end].ends_with(b"\n") {
            self.state = State::Name;
        }
        &rest[end..]
    }

    /// One octet of a line that may be anything yet; gives what is left.
    fn octet<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let octet = rest[0];
        let is = match (self.state, octet) {
            (State::Cr, b'\n') => Some(Is::Empty),
            (State::Name, b'\n') if self.held.is_empty() => Some(Is::Empty),
            (State::Name, b'\r') if self.held.is_empty() => {
                self.state = State::Cr;
                None
            }
            // What begins with a blank goes on with the line before; before the first there is none, and whether that may
            // be is not decided here.
            (State::Name, b' ' | b'\t') if self.held.is_empty() => Some(Is::Header),
            (State::Name | State::Gap, b':') if !self.held.is_empty() => Some(Is::Header),
            (State::Name | State::Gap, b' ' | b'\t') => {
                self.state = State::Gap;
                None
            }
            (State::Name, octet) if octet.is_ascii_graphic() && octet != b':' => None,
            _ if self.opens_mailbox() => Some(Is::Mailbox),
            _ => Some(Is::Text),
        };
        let is = is.or_else(|| (self.held.len() >= MAX_NAME).then_some(Is::Text));
        if matches!(is, Some(Is::Mailbox | Is::Text)) {
            // It is looked at again as text: it may end the line.
            self.settle(is.as_ref().unwrap_or(&Is::Text), out);
            return rest;
        }
        self.held.push(octet);
        if let Some(is) = is {
            self.settle(&is, out);
        }
        &rest[1..]
    }

    /// `From ann Fri Nov 6 ...`, maybe quoted, before anything else.
    fn opens_mailbox(&self) -> bool {
        let quoted = self.held.iter().take_while(|&&octet| octet == b'>').count();
        !self.is_begun && self.held[quoted..].starts_with(b"From ")
    }

    fn settle(&mut self, is: &Is, out: &mut Vec<u8>) {
        self.state = match is {
            Is::Header | Is::Mailbox => State::Line,
            Is::Empty | Is::Text => State::Body,
        };
        out.extend_from_slice(match is {
            Is::Mailbox => MAILBOX_LINE,
            Is::Text => b"\r\n",
            Is::Header | Is::Empty => b"",
        });
        // Several lines of an mbox may stand one above the other.
        self.is_begun |= !matches!(is, Is::Mailbox);
        out.append(&mut self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{self, Fields};

    fn whole(content: &[u8], size: usize) -> Vec<u8> {
        let mut seam = Seam::default();
        let mut out: Vec<u8> = content.chunks(size).flat_map(|piece| seam.pass(piece).into_owned()).collect();
        out.extend(seam.finish());
        out
    }

    fn passed(content: &[u8]) -> Vec<u8> {
        let expected = whole(content, content.len().max(1));
        for size in 1..12 {
            assert_eq!(whole(content, size), expected, "{size} {}", content.escape_ascii());
        }
        expected
    }

    #[test]
    fn an_empty_line_stands_between_header_and_body() {
        let cases = [
            // It lacks: the message ends in its header, at the end of a line and within one.
            ("", "\r\n"),
            ("A: 1\r\n", "A: 1\r\n\r\n"),
            ("A: 1", "A: 1\r\n\r\n"),
            ("A: 1\r\n 2\r\n", "A: 1\r\n 2\r\n\r\n"),
            ("A: 1\r\n ", "A: 1\r\n \r\n\r\n"),
            ("A:\r\n", "A:\r\n\r\n"),
            // A line that is no field begins the body, and what looks like fields behind it is text.
            ("text", "\r\ntext"),
            ("text\r\n", "\r\ntext\r\n"),
            ("A: 1\r\ntext\r\nB: 2\r\n\r\nmore\r\n", "A: 1\r\n\r\ntext\r\nB: 2\r\n\r\nmore\r\n"),
            ("A: 1\r\ntext", "A: 1\r\n\r\ntext"),
            ("A: 1\r\nsome text: of it\r\n", "A: 1\r\n\r\nsome text: of it\r\n"),
            ("A: 1\r\n: x\r\n", "A: 1\r\n\r\n: x\r\n"),
            ("A: 1\r\n:\r\n", "A: 1\r\n\r\n:\r\n"),
            ("A: 1\r\n\u{e4}: x\r\n", "A: 1\r\n\r\n\u{e4}: x\r\n"),
            ("A: 1\r\nB\r\n\r\n", "A: 1\r\n\r\nB\r\n\r\n"),
            ("A: 1\r\nB \r\n", "A: 1\r\n\r\nB \r\n"),
            ("A: 1\r\n.\r\n", "A: 1\r\n\r\n.\r\n"),
            // An mbox line is none of the body when it comes first, and text anywhere else.
            ("From ann Fri\r\nA: 1\r\n\r\nx", "X-Mailbox-Line: From ann Fri\r\nA: 1\r\n\r\nx"),
            (">From ann\r\nFrom bob\r\n", "X-Mailbox-Line: >From ann\r\nX-Mailbox-Line: From bob\r\n\r\n"),
            ("From \r\nA: 1\r\n\r\n", "X-Mailbox-Line: From \r\nA: 1\r\n\r\n"),
            ("A: 1\r\nFrom ann\r\n", "A: 1\r\n\r\nFrom ann\r\n"),
            ("From\r\n", "\r\nFrom\r\n"),
            ("from ann\r\n", "\r\nfrom ann\r\n"),
            // It is there.
            ("\r\n", "\r\n"),
            ("\n", "\n"),
            ("\r\ntext\r\n", "\r\ntext\r\n"),
            ("A: 1\r\n\r\n", "A: 1\r\n\r\n"),
            ("A: 1\n\ntext\n", "A: 1\n\ntext\n"),
            ("A: 1\r\n \r\n\tx\r\n\r\ntext\r\n", "A: 1\r\n \r\n\tx\r\n\r\ntext\r\n"),
            ("A : 1\r\nB \t : 2\r\n\r\ntext", "A : 1\r\nB \t : 2\r\n\r\ntext"),
            ("From : ann\r\n\r\n", "From : ann\r\n\r\n"),
            // Refused elsewhere: it stays what it is.
            (" text\r\nA: 1\r\n\r\n", " text\r\nA: 1\r\n\r\n"),
        ];
        for (content, expected) in cases {
            let passed = passed(content.as_bytes());
            assert_eq!(passed.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        }
    }

    #[test]
    fn a_name_that_never_ends_is_text_and_is_not_held() {
        let longest = format!("{}:x\r\n\r\n", "a".repeat(MAX_NAME));
        assert_eq!(passed(longest.as_bytes()), longest.as_bytes());
        let longer = format!("{}:x\r\n\r\n", "a".repeat(MAX_NAME + 1));
        assert_eq!(passed(longer.as_bytes()), format!("\r\n{longer}").into_bytes());
        let mut seam = Seam::default();
        for _ in 0..10_000 {
            seam.pass(b"aaaaaaaaaaaaaaaaaaaa");
            assert!(seam.held.len() <= MAX_NAME);
        }
    }

    #[test]
    fn what_has_passed_is_header_and_body_for_every_reader() {
        for content in ["x", "A: 1\r\nx\r\nFrom: a\r\n\r\n", "A: 1", "From x\r\nB:\r\n c", "A\r\n: b"] {
            let out = passed(content.as_bytes());
            let header = &out[..header::header_end(&out)];
            assert!(header.ends_with(b"\r\n"), "{content:?}");
            let fields: usize = Fields::new(header).map(|field| field.raw.len()).sum();
            assert_eq!(fields + 2, header.len(), "{content:?}");
            assert_eq!(passed(&out), out, "{content:?}");
        }
    }
}
