//! Messages on their way to the client: dots doubled, and cut where TOP wants it (RFC 1939 §3, RFC 1939 §7).

/// Turns the CRLF form of one message into the lines of a multi-line reply, a piece at a time.
#[derive(Clone, Debug)]
pub struct Stuffer {
    /// What comes next begins a line.
    at_line_start: bool,
    /// The last octet was a CR.
    after_cr: bool,
    /// What was written last is a whole line end, or nothing was written.
    after_line_end: bool,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// The header comes, of the body so many lines; the line now has so many octets, up to two.
    Header { lines: u64, length: u8 },
    /// So many lines of the body are left.
    Body(u64),
    /// No more.
    Over,
}

impl Stuffer {
    /// The whole message, or with `lines` its header and so many lines of its body (TOP).
    pub fn new(lines: Option<u64>) -> Self {
        let part = lines.map_or(Part::Whole, |lines| Part::Header { lines, length: 0 });
        Self { at_line_start: true, after_cr: false, after_line_end: true, part }
    }

    /// Whether the rest of the message is not wanted.
    pub fn is_over(&self) -> bool {
        self.part == Part::Over
    }

    /// Adds what the client shall see of this piece.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !rest.is_empty() && !self.is_over() {
            // A bare line feed is no line end of ours, but a client may take it for one and see a dot behind it.
            let end = rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1);
            let (line, behind) = rest.split_at(end);
            if self.at_line_start && line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
            self.pass(line);
            rest = behind;
        }
    }

    /// Ends the reply: a line end where the message has none, and the dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.after_line_end {
            out.extend_from_slice(if self.after_cr { b"\n" } else { b"\r\n" });
        }
        out.extend_from_slice(b".\r\n");
    }

    fn pass(&mut self, line: &[u8]) {
        let ends = line.last() == Some(&b'\n');
        let before = line.len().checked_sub(2).and_then(|at| line.get(at));
        self.after_line_end = ends && before.map_or(self.after_cr, |octet| *octet == b'\r');
        self.after_cr = line.last() == Some(&b'\r');
        self.at_line_start = ends;
        self.part = match self.part {
            Part::Header { lines, length } => {
                let more = line.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')).take(1).count();
                let length = length.saturating_add(u8::from(more > 0));
                match (ends, length) {
                    (true, 0) if lines == 0 => Part::Over,
                    (true, 0) => Part::Body(lines),
                    (true, _) => Part::Header { lines, length: 0 },
                    (false, _) => Part::Header { lines, length },
                }
            }
            Part::Body(1) if ends => Part::Over,
            Part::Body(lines) if ends => Part::Body(lines - 1),
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn shown(message: &[u8], lines: Option<u64>, piece: usize) -> Vec<u8> {
        let mut stuffer = Stuffer::new(lines);
        let mut out = Vec::new();
        for piece in message.chunks(piece) {
            stuffer.write(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_a_line_of_its_own() {
        let cases: [(&[u8], &[u8]); 11] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b".a\r\n..b\r\n", b"..a\r\n...b\r\n.\r\n"),
            (b"a.b\r\n", b"a.b\r\n.\r\n"),
            (b"a\r\n.", b"a\r\n..\r\n.\r\n"),
            // What is no line end for us may be one for the client.
            (b"a\n.\r\nb", b"a\n..\r\nb\r\n.\r\n"),
            (b"a\r.\r\n", b"a\r.\r\n.\r\n"),
            (b"a\n", b"a\n\r\n.\r\n"),
        ];
        for (message, expected) in cases {
            for piece in [1, 2, 100] {
                let shown = shown(message, None, piece);
                assert_eq!(shown, expected, "{} in {piece}", message.escape_ascii());
            }
        }
    }

    #[test]
    fn top_shows_the_header_its_empty_line_and_so_many_lines() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n.two\r\nthree\r\n";
        let cases: [(u64, &[u8]); 5] = [
            (0, b"A: 1\r\nB: 2\r\n\r\n.\r\n"),
            (1, b"A: 1\r\nB: 2\r\n\r\none\r\n.\r\n"),
            (2, b"A: 1\r\nB: 2\r\n\r\none\r\n..two\r\n.\r\n"),
            (3, b"A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
            (u64::MAX, b"A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
        ];
        for (lines, expected) in cases {
            for piece in [1, 2, 3, 100] {
                assert_eq!(shown(message, Some(lines), piece), expected, "TOP {lines} in {piece}");
            }
        }
        assert_eq!(shown(b"\r\nbody\r\n", Some(0), 1), b"\r\n.\r\n");
        assert_eq!(shown(b"A: 1\r\n", Some(5), 1), b"A: 1\r\n.\r\n");
    }

    /// As a client undoes it.
    fn unstuffed(reply: &[u8]) -> Vec<u8> {
        let body = reply.strip_suffix(b".\r\n").unwrap();
        let mut out = Vec::new();
        for line in body.split_inclusive(|octet| *octet == b'\n') {
            out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        out
    }

    proptest! {
        #[test]
        fn a_client_gets_back_what_was_sent(
            lines in proptest::collection::vec("[.a\r]{0,3}", 0..6),
            piece in 1_usize..9,
        ) {
            let message: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            prop_assert_eq!(unstuffed(&shown(&message, None, piece)), message.clone());
            // No line of the reply but the last is a dot alone.
            let reply = shown(&message, None, piece);
            let ends = reply.windows(4).filter(|window| window == b"\n.\r\n").count();
            prop_assert_eq!(ends, usize::from(!message.is_empty()));
        }

        #[test]
        fn whatever_the_line_ends_are_the_last_dot_is_a_line_of_its_own(
            message in "[.a\r\n]{0,12}",
            lines in proptest::option::of(0_u64..4),
            piece in 1_usize..5,
        ) {
            let reply = shown(message.as_bytes(), lines, piece);
            let before = reply.strip_suffix(b".\r\n").unwrap();
            prop_assert!(before.is_empty() || before.ends_with(b"\r\n"), "{}", reply.escape_ascii());
            // Nowhere before may a client see that dot, whether it goes by CRLF or by LF.
            for end in [&b"\n.\r\n"[..], b"\n.\n"] {
                let seen = reply.windows(end.len()).position(|window| window == end);
                prop_assert!(seen.is_none_or(|at| at + 4 == reply.len()), "{}", reply.escape_ascii());
            }
        }
    }
}
