//! Cuts a byte stream into command lines with a limit, strictly at CRLF.

use memchr::{memchr, memchr2};

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A whole line, without its CRLF: text with no CR, LF or NUL in it.
    Text(&'a str),
    /// A line that cannot be text; what belongs to it is gone or will be skipped. `chunk`: it [`announces_chunk`].
    Broken { chunk: bool },
    /// A line over the limit; the rest of it will be skipped.
    TooLong { chunk: bool },
}

/// Whether a line, or the beginning of one, is BDAT in some form: what follows it is counted by its client, and not made of
/// lines (RFC 3030 §2).
pub(crate) fn announces_chunk(line: &[u8]) -> bool {
    match line.trim_ascii_start().split_at_checked(4) {
        Some((verb, rest)) => {
            verb.eq_ignore_ascii_case(b"BDAT") && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
        }
        None => false,
    }
}

/// Keeps what has been received and not yet read.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    input: Vec<u8>,
    /// How far `input` has been read; cut off when it is used up.
    start: usize,
    /// How far the line at `start` has been searched, so that a slow line is not searched again and again.
    searched: usize,
    /// The line at the front was refused: drop it up to its CRLF.
    skipping: bool,
}

impl Lines {
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.input.len()
    }

    /// Throws away all that has been received.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The unread bytes; [`Lines::consume`] says how many were used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.input[self.start..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.advance(count);
        self.tidy();
    }

    fn advance(&mut self, count: usize) {
        self.start += count;
        self.searched = 0;
    }

    /// An idle session keeps no buffer: ten thousand of them would keep ten thousand.
    fn tidy(&mut self) {
        if self.is_empty() {
            self.input = Vec::new();
            self.start = 0;
        }
    }

    /// The next line of at most `limit` octets with its CRLF, or `None` when it is not there yet.
    ///
    /// A bare LF refuses the line at once, so that a person at a terminal gets an answer; what follows it
    /// up to the next CRLF belongs to the refused line and is never a command of its own.
    pub(crate) fn next(&mut self, limit: usize) -> Option<Line<'_>> {
        self.tidy();
        if self.skipping && !self.skip() {
            return None;
        }
        let unread = self.unread();
        let from = self.searched.saturating_sub(1);
        let Some(at) = memchr(b'\n', &unread[from..]).map(|at| from + at) else {
            return self.unfinished(limit);
        };
        let whole = at > 0 && unread[at - 1] == b'\r';
        let start = self.start;
        self.advance(at + 1);
        self.skipping = !whole;
        let line = &self.input[start..start + at];
        if at >= limit {
            return Some(Line::TooLong { chunk: announces_chunk(line) });
        }
        // The buffer stays until the next call, since the line lies in it.
        Some(text(line, whole))
    }

    /// No LF yet: a line that is too long already is refused now.
    fn unfinished(&mut self, limit: usize) -> Option<Line<'_>> {
        let chunk = announces_chunk(self.unread());
        let unread = self.unread().len();
        if unread < limit {
            self.searched = unread;
            return None;
        }
        // The last octet stays: it may be the CR of the CRLF that ends the skipping.
        self.consume(unread - 1);
        self.skipping = true;
        Some(Line::TooLong { chunk })
    }

    /// Drops input up to and with the next CRLF; false when it has not come yet.
    fn skip(&mut self) -> bool {
        let unread = self.unread();
        if let Some(at) = unread.windows(2).position(|pair| pair == b"\r\n") {
            self.consume(at + 2);
            self.skipping = false;
            return true;
        }
        let keep = usize::from(unread.last() == Some(&b'\r'));
        self.consume(unread.len() - keep);
        false
    }
}

/// A line without its LF.
fn text(line: &[u8], whole: bool) -> Line<'_> {
    let inside = line.strip_suffix(b"\r").filter(|inside| whole && memchr2(0, b'\r', inside).is_none());
    match inside.map(std::str::from_utf8) {
        Some(Ok(text)) => Line::Text(text),
        Some(Err(_)) | None => Line::Broken { chunk: announces_chunk(line) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16;

    /// The lines; what is none is in angle brackets.
    fn all(input: &[u8], chunk: usize) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for bytes in input.chunks(chunk) {
            lines.receive(bytes);
            while let Some(line) = lines.next(LIMIT) {
                found.push(match line {
                    Line::Text(text) => text.to_owned(),
                    Line::Broken { chunk: false } => "<broken>".to_owned(),
                    Line::TooLong { chunk: false } => "<too long>".to_owned(),
                    Line::Broken { chunk: true } | Line::TooLong { chunk: true } => "<no chunk>".to_owned(),
                });
            }
            assert!(!lines.is_empty() || lines.input.capacity() == 0, "an idle session keeps no buffer");
        }
        found
    }

    #[test]
    fn only_crlf_ends_a_line_however_the_bytes_arrive() {
        let cases: [(&[u8], &[&str]); 16] = [
            (b"NOOP\r\nQUIT\r\n", &["NOOP", "QUIT"]),
            (b"NOOP\nRSET\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"NOOP\rRSET\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"NOOP\r\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"NO\0OP\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"NO\xffOP\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"\n\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"\r\nQUIT\r\n", &["", "QUIT"]),
            (b"0123456789abcd\r\nQUIT\r\n", &["0123456789abcd", "QUIT"]),
            (b"0123456789abcdefghijklmnopqr\r\nQUIT\r\n", &["<too long>", "QUIT"]),
            (b"BDAT 5\nx\r\nQUIT\r\n", &["<no chunk>", "QUIT"]),
            (b" bdat\r5\r\nQUIT\r\n", &["<no chunk>", "QUIT"]),
            (b"BDAT\r\r\nQUIT\r\n", &["<no chunk>", "QUIT"]),
            (b"BDAT 0000000000000000005 LAST\r\nQUIT\r\n", &["<no chunk>", "QUIT"]),
            (b"BDATA\xff\r\nQUIT\r\n", &["<broken>", "QUIT"]),
            (b"BDA\rT 5\r\nQUIT\r\n", &["<broken>", "QUIT"]),
        ];
        for (input, expected) in cases {
            for chunk in [usize::MAX, 1, 3] {
                assert_eq!(all(input, chunk.min(input.len())), expected, "{input:?} by {chunk}");
            }
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut lines = Lines::default();
        let mut refused = 0;
        for _ in 0..10_000 {
            lines.receive(&[b'x'; 100]);
            refused += usize::from(lines.next(LIMIT) == Some(Line::TooLong { chunk: false }));
            assert!(lines.input.capacity() < 1_000);
        }
        assert_eq!(refused, 1);
    }
}
