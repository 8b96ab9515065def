//! From bytes to lines, within fixed memory.

use crate::limits::MAX_LINE;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A line without its line end: CRLF, or LF alone, which Dovecot takes as well; a message never comes this way.
    Line(Vec<u8>),
    /// A line over the limit; it was dropped as it came.
    TooLong,
}

/// Cuts the stream. Every octet is looked at once, however it arrives.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    input: Vec<u8>,
    /// Octets of `input` that are used up.
    used: usize,
    line: Vec<u8>,
    dropping: bool,
}

impl Reader {
    /// Takes what the peer sent.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Forgets everything received and not yet used: before a TLS handshake.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing of a line has come.
    pub(crate) fn is_between_lines(&self) -> bool {
        self.line.is_empty() && !self.dropping && self.used == self.input.len()
    }

    /// The next line, as far as bytes have come.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let rest = &self.input[self.used..];
        let Some(length) = rest.iter().position(|octet| *octet == b'\n') else {
            if !self.dropping {
                self.line.extend_from_slice(rest);
            }
            // A CR at the end may still belong to the line end.
            if self.line.len() > MAX_LINE + 1 {
                (self.line, self.dropping) = (Vec::new(), true);
            }
            // An idle connection holds no buffer.
            (self.input, self.used) = (Vec::new(), 0);
            return None;
        };
        self.used += length + 1;
        if std::mem::take(&mut self.dropping) {
            return Some(Frame::TooLong);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&rest[..length]);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(if line.len() > MAX_LINE { Frame::TooLong } else { Frame::Line(line) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &[u8], piece: usize) -> Vec<Frame> {
        let mut reader = Reader::default();
        let mut frames = Vec::new();
        for piece in input.chunks(piece) {
            reader.receive(piece);
            frames.extend(std::iter::from_fn(|| reader.next()));
        }
        assert!(reader.is_between_lines());
        frames
    }

    #[test]
    fn lines_end_in_crlf_or_lf_and_have_a_limit_however_they_come() {
        let longest = [b"x".repeat(MAX_LINE), b"\r\n".to_vec()].concat();
        let longer = [b"x".repeat(MAX_LINE + 1), b"\r\n".to_vec()].concat();
        let far_longer = [b"x".repeat(3 * MAX_LINE), b"\nNOOP\r\n".to_vec()].concat();
        let input = [b"STAT\r\nLIST\n\r\na\rb\r\n".as_slice(), &longest, &longer, &far_longer].concat();
        for piece in [1, 2, 3, 7, 5_000, usize::MAX] {
            let mut expected: Vec<Frame> =
                [&b"STAT"[..], b"LIST", b"", b"a\rb"].map(|line| Frame::Line(line.to_vec())).into();
            expected.push(Frame::Line(b"x".repeat(MAX_LINE)));
            expected.extend([Frame::TooLong, Frame::TooLong, Frame::Line(b"NOOP".to_vec())]);
            assert_eq!(frames(&input, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_end_takes_little_memory() {
        let mut reader = Reader::default();
        for _ in 0..10_000 {
            reader.receive(&[b'x'; 1_000]);
            assert_eq!(reader.next(), None);
            assert!(reader.line.capacity() <= 4 * MAX_LINE && reader.input.capacity() <= 4 * MAX_LINE);
        }
        assert!(!reader.is_between_lines());
    }
}
