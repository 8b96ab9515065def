//! What a session must know of a content before it sees it.

use memchr::memchr3;

/// Facts about a whole content. They come from its octets alone: what its sender announced may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentFacts {
    /// Its length.
    pub octets: u64,
    /// It holds octets above 127 (RFC 6152 §3).
    pub eight_bit: bool,
    /// Every line ends with CRLF, and there is no bare CR, bare LF or NUL: it may leave exactly as it is.
    pub clean: bool,
}

/// Reads a content, piece by piece, for its [`ContentFacts`].
#[derive(Debug)]
pub struct Survey {
    facts: ContentFacts,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    Text,
    Cr,
}

impl Default for Survey {
    fn default() -> Self {
        let facts = ContentFacts { octets: 0, eight_bit: false, clean: true };
        Self { facts, place: Place::LineStart }
    }
}

impl Survey {
    /// The facts about a content that is whole.
    pub fn of(content: &[u8]) -> ContentFacts {
        let mut survey = Self::default();
        survey.take(content);
        survey.finish()
    }

    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.facts.octets = self.facts.octets.saturating_add(piece.len() as u64);
        self.facts.eight_bit |= !piece.is_ascii();
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if self.place == Place::Cr {
                self.place = Place::LineStart;
                if *first == b'\n' {
                    rest = &rest[1..];
                } else {
                    self.facts.clean = false;
                }
                continue;
            }
            rest = self.line(rest);
        }
    }

    /// The content is whole.
    pub fn finish(mut self) -> ContentFacts {
        self.facts.clean &= self.place == Place::LineStart;
        self.facts
    }

    /// Passes over text up to an octet that needs a decision, and over that; gives what is left.
    fn line<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let end = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(end);
        if !text.is_empty() {
            self.place = Place::Text;
        }
        match behind.first() {
            None => return behind,
            Some(b'\r') => self.place = Place::Cr,
            Some(b'\n') => {
                self.facts.clean = false;
                self.place = Place::LineStart;
            }
            Some(_) => {
                self.facts.clean = false;
                self.place = Place::Text;
            }
        }
        &behind[1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_octets_tell_what_a_content_needs() {
        // Content; 8-bit, clean.
        let cases: [(&[u8], bool, bool); 12] = [
            (b"", false, true),
            (b"Subject: x\r\n\r\nx\r\n", false, true),
            (b"Subject: x\r\n\r\n\xe9\r\n", true, true),
            (b"Subject: \xe9\r\n\r\nx\r\n", true, true),
            (b"\r\n\xe9\r\n", true, true),
            (b"Subject: x\r\n\xe9", true, false),
            (b"Subject: x\r\n\r\nx", false, false),
            (b"Subject: x\n\n\xe9\n", true, false),
            (b"a\rb\r\n", false, false),
            (b"a\r\n\r\n\r", false, false),
            (b"a\0b\r\n", false, false),
            (b"a\r\r\n\xe9\r\n", true, false),
        ];
        for (content, eight_bit, clean) in cases {
            let expected = ContentFacts { octets: content.len() as u64, eight_bit, clean };
            for chunk in [usize::MAX, 1, 2] {
                let mut survey = Survey::default();
                content.chunks(chunk.min(content.len().max(1))).for_each(|piece| survey.take(piece));
                assert_eq!(survey.finish(), expected, "{:?} by {chunk}", content.escape_ascii().to_string());
            }
        }
    }
}
