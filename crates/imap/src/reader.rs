//! From bytes to commands: lines, literals, and what must be thrown away, all within fixed memory.

use crate::limits::MAX_DRAINED_LITERAL;

/// Longest `~{4294967295+}` with its CRLF: how much of a dropped line must be remembered.
const MAX_LITERAL_MARK: usize = 16;

/// The announcement of a literal at the end of a line (RFC 3501 §4.3, RFC 7888 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) size: u64,
    /// `{n}`: the client waits for our go-ahead; with `{n+}` it does not.
    pub(crate) waits: bool,
    /// `~{n}`: it may hold NUL (RFC 3516 §4.4).
    pub(crate) binary: bool,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole command, or a line during an exchange; its literals in place, without its final CRLF.
    Line(Vec<u8>),
    /// As a line, but it ended in LF alone.
    BareLineFeed(Vec<u8>),
    /// The command so far ends in the announcement of a literal. Answer with [`Reader::gather`],
    /// [`Reader::stream`] or [`Reader::refuse`].
    Literal(Literal),
    /// Part of a streamed literal; behind the last one the rest of the command follows as a line.
    Chunk(Vec<u8>),
    /// Longer than the limit: the beginning, for its tag. The rest is dropped as it comes.
    TooLong(Vec<u8>),
    /// A refused literal that is too large to be dropped: close.
    Flood,
}

/// Cuts the stream. Every octet is looked at once, however it arrives.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    input: Vec<u8>,
    /// Octets of `input` that are used up.
    used: usize,
    /// The command so far.
    command: Vec<u8>,
    /// Where its current line begins: octets of a literal before it announce nothing.
    line_start: usize,
    mode: Mode,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Reading a line of a command.
    #[default]
    Line,
    /// Reading octets of a literal into the command.
    Gather(u64),
    /// Handing octets of a literal on.
    Stream(u64),
    /// Dropping octets of a refused literal; then the rest of its command is dropped.
    Skip(u64),
    /// Dropping a line; `command` keeps its last octets.
    Drop,
}

impl Reader {
    /// Takes what the peer sent.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Forgets everything received and not yet used: before a TLS handshake (RFC 3501 §6.2.1).
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back what was received and not used; between two commands.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.input.split_off(self.used);
        (self.input, self.used) = (Vec::new(), 0);
        unread
    }

    /// The next frame, as far as bytes have come. `limit` is for the whole command.
    pub(crate) fn next(&mut self, limit: usize) -> Option<Frame> {
        loop {
            if self.used == self.input.len() {
                // An idle connection holds no buffer.
                (self.input, self.used) = (Vec::new(), 0);
                return None;
            }
            match self.mode {
                Mode::Line => {
                    if let Some(frame) = self.line(limit) {
                        return Some(frame);
                    }
                }
                Mode::Gather(left) => {
                    let piece = self.take(left);
                    self.command.extend_from_slice(&piece);
                    self.mode = after(left, &piece, Mode::Gather, Mode::Line);
                    self.line_start = self.command.len();
                }
                Mode::Stream(left) => {
                    let piece = self.take(left);
                    self.mode = after(left, &piece, Mode::Stream, Mode::Line);
                    return Some(Frame::Chunk(piece));
                }
                Mode::Skip(left) => {
                    let piece = self.take(left);
                    self.mode = after(left, &piece, Mode::Skip, Mode::Drop);
                }
                Mode::Drop => {
                    if let Some(frame) = self.drop_line() {
                        return Some(frame);
                    }
                }
            }
        }
    }

    /// Whether nothing of a command has come.
    pub(crate) fn is_between_commands(&self) -> bool {
        self.mode == Mode::Line && self.command.is_empty() && self.used == self.input.len()
    }

    /// The command so far, while it waits for an answer to [`Frame::Literal`].
    pub(crate) fn so_far(&self) -> &[u8] {
        &self.command
    }

    /// The literal becomes part of the command.
    pub(crate) fn gather(&mut self, literal: Literal) {
        self.line_start = self.command.len();
        self.mode = if literal.size == 0 { Mode::Line } else { Mode::Gather(literal.size) };
    }

    /// The literal is handed on in chunks; the command so far is forgotten.
    pub(crate) fn stream(&mut self, literal: Literal) {
        self.forget_command();
        self.mode = if literal.size == 0 { Mode::Line } else { Mode::Stream(literal.size) };
    }

    /// The command is refused: a client that waits will not send the literal (RFC 3501 §7.5), from
    /// another one it is read and dropped, with the rest of its command. `false`: too large for that.
    #[must_use]
    pub(crate) fn refuse(&mut self, literal: Literal) -> bool {
        self.forget_command();
        self.mode = match literal {
            Literal { waits: true, .. } => Mode::Line,
            Literal { size: 0, .. } => Mode::Drop,
            Literal { size, .. } => Mode::Skip(size),
        };
        literal.waits || literal.size <= MAX_DRAINED_LITERAL
    }

    fn forget_command(&mut self) -> Vec<u8> {
        self.line_start = 0;
        std::mem::take(&mut self.command)
    }

    /// Up to `most` octets of the input.
    fn take(&mut self, most: u64) -> Vec<u8> {
        let available = self.input.len() - self.used;
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(available);
        let start = self.used;
        self.used += count;
        if start == 0 && self.used == self.input.len() {
            self.used = 0;
            return std::mem::take(&mut self.input);
        }
        self.input[start..self.used].to_vec()
    }

    /// Moves input to the command up to the end of the line.
    fn line(&mut self, limit: usize) -> Option<Frame> {
        let (piece, is_whole) = self.up_to_line_end();
        if self.command.len() + piece.len() > limit {
            let line = &self.command[self.line_start..];
            let tail = line[line.len().saturating_sub(MAX_LITERAL_MARK)..].to_vec();
            let mut start = self.forget_command();
            self.command = tail;
            start.extend_from_slice(&piece[..piece.len().min(limit.saturating_sub(start.len()))]);
            // Read again as a line to drop: it may end in a literal that must be dropped too.
            self.used -= piece.len();
            self.mode = Mode::Drop;
            return Some(Frame::TooLong(start));
        }
        self.command.extend_from_slice(&piece);
        if !is_whole {
            return None;
        }
        if let Some(literal) = announced(&self.command[self.line_start..]) {
            return Some(Frame::Literal(literal));
        }
        let mut line = self.forget_command();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
            return Some(Frame::Line(line));
        }
        Some(Frame::BareLineFeed(line))
    }

    fn up_to_line_end(&mut self) -> (Vec<u8>, bool) {
        let rest = &self.input[self.used..];
        let end = rest.iter().position(|octet| *octet == b'\n').map(|at| at + 1);
        let piece = rest[..end.unwrap_or(rest.len())].to_vec();
        self.used += piece.len();
        (piece, end.is_some())
    }

    fn drop_line(&mut self) -> Option<Frame> {
        let (piece, is_whole) = self.up_to_line_end();
        self.command.extend_from_slice(&piece[piece.len().saturating_sub(MAX_LITERAL_MARK)..]);
        let excess = self.command.len().saturating_sub(MAX_LITERAL_MARK);
        self.command.drain(..excess);
        if is_whole { self.end_of_dropped_line() } else { None }
    }

    /// A dropped line may announce another literal of the same command, which is dropped too. A client
    /// that waits has our answer already and will not send it.
    fn end_of_dropped_line(&mut self) -> Option<Frame> {
        let literal = announced(&self.command).unwrap_or(Literal { size: 0, waits: true, binary: false });
        if self.refuse(literal) { None } else { Some(Frame::Flood) }
    }
}

fn after(left: u64, piece: &[u8], more: impl Fn(u64) -> Mode, done: Mode) -> Mode {
    match left - piece.len() as u64 {
        0 => done,
        left => more(left),
    }
}

/// The literal that a line announces at its end; a size beyond 32 bits is none (RFC 3501 §9 `number`).
fn announced(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"}\r\n")?;
    let (line, waits) = line.strip_suffix(b"+").map_or((line, true), |line| (line, false));
    let digits = line.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let (rest, digits) = line.split_at(line.len() - digits);
    let rest = rest.strip_suffix(b"{")?;
    let size: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Literal { size: size.into(), waits, binary: rest.ends_with(b" ~") || rest.ends_with(b"(~") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn literals_are_announced_at_the_very_end_of_a_line() {
        type Case<'a> = (&'a [u8], Option<(u64, bool)>);
        let cases: [Case<'_>; 11] = [
            (b"a LOGIN {3}\r\n", Some((3, true))),
            (b"a LOGIN {3+}\r\n", Some((3, false))),
            (b"a LOGIN {0}\r\n", Some((0, true))),
            (b"a LOGIN {4294967295}\r\n", Some((4_294_967_295, true))),
            (b"a LOGIN {4294967296}\r\n", None),
            (b"a LOGIN {99999999999999999999}\r\n", None),
            (b"a LOGIN {-1}\r\n", None),
            (b"a LOGIN {}\r\n", None),
            (b"a LOGIN {3} \r\n", None),
            (b"a LOGIN 3}\r\n", None),
            (b"a LOGIN {3}\n", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(size, waits)| Literal { size, waits, binary: false });
            assert_eq!(announced(line), expected, "{}", line.escape_ascii());
        }
        let binary = |line: &[u8]| announced(line).unwrap().binary;
        assert!(binary(b"a APPEND x ~{3+}\r\n") && binary(b"a APPEND x UTF8 (~{3}\r\n"));
        assert!(!binary(b"a LOGIN x~{3}\r\n") && !binary(b"a LOGIN ~ {3}\r\n"));
    }

    /// Feeds `input` in pieces and drops every literal.
    fn frames(input: &[u8], limit: usize, piece: usize) -> Vec<Frame> {
        let mut reader = Reader::default();
        let mut frames = Vec::new();
        for piece in input.chunks(piece) {
            reader.receive(piece);
            while let Some(frame) = reader.next(limit) {
                match frame {
                    Frame::Literal(literal) => assert!(reader.refuse(literal)),
                    frame => frames.push(frame),
                }
            }
        }
        frames
    }

    #[test]
    fn a_refused_command_is_dropped_with_all_its_literals() {
        let input = b"a X {4+}\r\n1\r\n4 {2+}\r\nab rest\r\nb NOOP\r\nc X {9}\r\nd NOOP\n";
        for piece in [1, 2, 3, 100] {
            let expected = [Frame::Line(b"b NOOP".to_vec()), Frame::BareLineFeed(b"d NOOP".to_vec())];
            assert_eq!(frames(input, 100, piece), expected);
        }
    }

    #[test]
    fn a_long_line_is_dropped_in_little_memory() {
        let line = [b"a ".as_slice(), &[b'('; 4000], b" {3+}\r\n\r\n\r\nb NOOP\r\n"].concat();
        for piece in [1, 7, 5000] {
            let frames = frames(&line, 100, piece);
            assert!(
                matches!(&frames[0], Frame::TooLong(start) if start.starts_with(b"a (") && start.len() <= 100)
            );
            assert_eq!(frames[1..], [Frame::Line(b"b NOOP".to_vec())]);
        }
        let mut reader = Reader::default();
        for _ in 0..100_000 {
            reader.receive(b"((((((((");
            while reader.next(100).is_some() {}
        }
        assert!(reader.command.capacity() < 200 && reader.input.capacity() < 200);
    }
}
