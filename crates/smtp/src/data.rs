//! The content of a message on the wire: dots and line ends, in both directions.

use memchr::{memchr_iter, memchr3};

/// Takes the content of DATA apart (RFC 5321 §4.5.2).
///
/// Only CR LF `.` CR LF ends it. A bare CR, a bare LF or NUL is a fault that lasts to the true end, so that
/// nothing behind it is ever taken for commands: two servers that disagree about the end of a message are
/// what SMTP smuggling needs.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    tally: Tally,
}

/// Takes the content of BDAT as it comes (RFC 3030 §2): dots mean nothing, line ends are as strict as in DATA,
/// since the next server may get the message by DATA.
#[derive(Debug, Default)]
pub struct Chunks {
    /// The content so far ends with a CR: its LF may stand in the next chunk.
    after_cr: bool,
    tally: Tally,
}

/// How much content has come, and what is wrong with it.
#[derive(Debug, Default)]
struct Tally {
    fault: Option<Fault>,
    /// Octets of content so far.
    size: u64,
    limit: u64,
}

/// Why a message is refused whatever its recipients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bare CR, a bare LF or NUL (RFC 5321 §2.3.8, §4.1.1.4).
    LineEnds,
    /// More octets than the limit (RFC 1870 §6).
    TooLarge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Behind a CRLF, or at the very beginning.
    #[default]
    LineStart,
    /// Inside a line.
    Text,
    /// Behind a CR inside a line.
    Cr,
    /// Behind a dot that opens a line.
    Dot,
    /// Behind that dot and a CR.
    DotCr,
}

/// How a piece of input ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input is used; the message goes on.
    More,
    /// The message has ended after this many octets of input.
    End(usize),
}

impl Decoder {
    /// Takes at most `limit` octets of content.
    pub fn new(limit: u64) -> Self {
        Self { state: State::default(), tally: Tally::new(limit) }
    }

    /// What is wrong with the message so far.
    pub fn fault(&self) -> Option<Fault> {
        self.tally.fault
    }

    /// Octets of content so far, dots removed.
    pub fn size(&self) -> u64 {
        self.tally.size
    }

    /// Reads input and appends content to `out`; nothing is appended once there is a fault.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match (self.state, byte) {
                (State::LineStart, b'.') => (self.state, at) = (State::Dot, at + 1),
                (State::Dot, b'\r') => (self.state, at) = (State::DotCr, at + 1),
                (State::DotCr, b'\n') => return Progress::End(at + 1),
                (State::Cr, b'\n') => {
                    self.tally.emit(b"\r\n", out);
                    (self.state, at) = (State::LineStart, at + 1);
                }
                // A CR that no LF follows; this byte is looked at again as text.
                (State::Cr | State::DotCr, _) => {
                    self.tally.fail(Fault::LineEnds, out);
                    self.state = State::Text;
                }
                (State::LineStart | State::Text | State::Dot, _) => at = self.text(input, at, out),
            }
        }
        Progress::More
    }

    /// Passes on text up to the next octet that needs a decision; gives the place behind it.
    fn text(&mut self, input: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
        let rest = &input[at..];
        let end = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        self.tally.emit(&rest[..end], out);
        self.state = State::Text;
        match rest.get(end) {
            None => return input.len(),
            Some(b'\r') => self.state = State::Cr,
            Some(_) => self.tally.fail(Fault::LineEnds, out),
        }
        at + end + 1
    }
}

impl Chunks {
    /// Takes at most `limit` octets of content.
    pub fn new(limit: u64) -> Self {
        Self { after_cr: false, tally: Tally::new(limit) }
    }

    /// What is wrong with the message so far.
    pub fn fault(&self) -> Option<Fault> {
        self.tally.fault
    }

    /// Octets of content so far.
    pub fn size(&self) -> u64 {
        self.tally.size
    }

    /// Reads a piece of a chunk and appends it to `out`; nothing is appended once there is a fault.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        loop {
            if self.after_cr {
                let Some((first, behind)) = rest.split_first() else { break };
                self.after_cr = false;
                if *first == b'\n' {
                    rest = behind;
                } else {
                    self.tally.fail(Fault::LineEnds, out);
                }
            }
            let Some(at) = memchr3(b'\r', b'\n', 0, rest) else { break };
            if rest[at] == b'\r' {
                self.after_cr = true;
            } else {
                self.tally.fail(Fault::LineEnds, out);
            }
            rest = &rest[at + 1..];
        }
        self.tally.emit(input, out);
    }

    /// The last chunk is whole: a CR at its end has no LF any more.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.after_cr {
            self.tally.fail(Fault::LineEnds, out);
        }
    }
}

impl Tally {
    fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > self.limit {
            self.fail(Fault::TooLarge, out);
        }
        if self.fault.is_none() {
            out.extend_from_slice(bytes);
        }
    }

    /// Broken line ends outweigh the size: a peer that does not agree with us about ends must go.
    fn fail(&mut self, fault: Fault, out: &mut Vec<u8>) {
        if self.fault != Some(Fault::LineEnds) {
            self.fault = Some(fault);
        }
        out.clear();
    }
}

/// Puts content into its wire form: dots doubled, every line end CRLF, the final dot (RFC 5321 §4.5.2).
///
/// Content that we took in has only CRLF. Should a bare CR or LF come from elsewhere it leaves as CRLF, never
/// as it is: the next server must not see another end than we do.
#[derive(Debug, Default)]
pub struct Encoder {
    state: EncoderState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum EncoderState {
    #[default]
    LineStart,
    Text,
    Cr,
}

impl Encoder {
    /// Appends the wire form of a piece of content.
    pub fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let mut rest = content;
        while let Some(first) = rest.first() {
            if self.state == EncoderState::Cr {
                self.state = EncoderState::LineStart;
                out.extend_from_slice(b"\r\n");
                rest = if *first == b'\n' { &rest[1..] } else { rest };
                continue;
            }
            if self.state == EncoderState::LineStart && *first == b'.' {
                out.push(b'.');
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..end]);
            self.state = match rest.get(end) {
                None => EncoderState::Text,
                Some(b'\r') => EncoderState::Cr,
                Some(_) => {
                    out.extend_from_slice(b"\r\n");
                    EncoderState::LineStart
                }
            };
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    /// Appends the end of the message; a last line without its end gets one.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.state != EncoderState::LineStart {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// Lines of the content, counted by their LF.
pub fn count_lines(content: &[u8]) -> usize {
    memchr_iter(b'\n', content).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, octets used (`None`: no end), fault.
    fn decode(input: &[u8], chunk: usize, limit: u64) -> (Vec<u8>, Option<usize>, Option<Fault>) {
        let mut decoder = Decoder::new(limit);
        let mut content = Vec::new();
        let mut used = 0;
        for piece in input.chunks(chunk.clamp(1, input.len().max(1))) {
            match decoder.decode(piece, &mut content) {
                Progress::More => used += piece.len(),
                Progress::End(count) => return (content, Some(used + count), decoder.fault()),
            }
        }
        (content, None, decoder.fault())
    }

    #[test]
    fn dots_are_removed_and_only_crlf_dot_crlf_ends() {
        let cases: [(&[u8], &[u8], Option<usize>); 7] = [
            (b".\r\n", b"", Some(3)),
            (b"a\r\n.\r\nQUIT", b"a\r\n", Some(6)),
            (b"..a\r\n...\r\n.b\r\n.\r\n", b".a\r\n..\r\nb\r\n", Some(17)),
            (b"a.\r\n.\r\n", b"a.\r\n", Some(7)),
            (b"a\r\n.", b"a\r\n", None),
            (b"a\r\n. \r\n", b"a\r\n \r\n", None),
            (
                "a\u{85}.\u{2028}.\u{b}.\u{c}.\r\n.\r\n".as_bytes(),
                "a\u{85}.\u{2028}.\u{b}.\u{c}.\r\n".as_bytes(),
                Some(17),
            ),
        ];
        for (input, content, end) in cases {
            for chunk in [usize::MAX, 1, 2, 3] {
                assert_eq!(decode(input, chunk, 100), (content.to_vec(), end, None), "{input:?} by {chunk}");
            }
        }
    }

    /// All 49 pairs of line ends around a dot, as SMTP smuggling tries them.
    #[test]
    fn no_other_line_ends_around_a_dot_end_the_message() {
        const ENDS: [&[u8]; 7] = [b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n", b"\0", b""];
        let evil = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n";
        for before in ENDS {
            for after in ENDS {
                let input = [b"Subject: x\r\n\r\ntext", before, b".", after, evil, b"text\r\n.\r\n"].concat();
                let end = input.windows(5).position(|five| five == b"\r\n.\r\n").map(|at| at + 5);
                let clean = |end: &[u8]| end.is_empty() || end == b"\r\n";
                for chunk in [usize::MAX, 1, 5] {
                    let (content, found, fault) = decode(&input, chunk, 10_000);
                    assert_eq!(found, end, "{before:?} . {after:?}");
                    // Where the end comes early and is broken, what follows is lost with the session.
                    assert_eq!(fault.is_none(), clean(before) && clean(after), "{before:?} . {after:?}");
                    assert_eq!(fault.is_some(), content.is_empty(), "{before:?} . {after:?}");
                }
            }
        }
    }

    /// Content and fault.
    fn chunked(content: &[u8], chunk: usize, limit: u64) -> (Vec<u8>, Option<Fault>) {
        let mut chunks = Chunks::new(limit);
        let mut out = Vec::new();
        for piece in content.chunks(chunk.clamp(1, content.len().max(1))) {
            chunks.read(piece, &mut out);
        }
        chunks.finish(&mut out);
        (out, chunks.fault())
    }

    #[test]
    fn chunks_are_taken_as_they_are_or_not_at_all() {
        let clean: [&[u8]; 6] =
            [b"", b"a", b"a\r\n", b".\r\n.\r\n", b"\r\n\r\n", b"a\r\n.\r\nMAIL FROM:<>\r\n"];
        let broken: [&[u8]; 8] =
            [b"\r", b"\n", b"\0", b"a\r\r\n", b"a\n\r\n", b"a\r\n\r", b"\rb\r\n", b"\r\n\n"];
        for chunk in [usize::MAX, 1, 2, 3] {
            for content in clean {
                assert_eq!(chunked(content, chunk, 100), (content.to_vec(), None), "{content:?} by {chunk}");
            }
            for content in broken {
                let refused = (vec![], Some(Fault::LineEnds));
                assert_eq!(chunked(content, chunk, 100), refused, "{content:?} by {chunk}");
            }
            assert_eq!(chunked(b"a\r\n", chunk, 3).1, None);
            assert_eq!(chunked(b"a\r\nb", chunk, 3), (vec![], Some(Fault::TooLarge)));
            assert_eq!(chunked(b"abcd\n", chunk, 3), (vec![], Some(Fault::LineEnds)));
        }
    }

    #[test]
    fn the_size_limit_is_of_the_content() {
        assert_eq!(decode(b"..234\r\n.\r\n", 1, 6).2, None);
        assert_eq!(decode(b"..2345\r\n.\r\n", 1, 6), (vec![], Some(11), Some(Fault::TooLarge)));
    }

    #[test]
    fn broken_line_ends_outweigh_the_size() {
        for input in [&b"a\nbcdefgh\r\n.\r\n"[..], b"abcdefgh\nx\r\n.\r\n", b"abcdefgh\nxyz\r\n.\r\n"] {
            assert_eq!(decode(input, 1, 3).2, Some(Fault::LineEnds), "{input:?}");
        }
    }

    fn encode(content: &[u8], chunk: usize) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut wire = Vec::new();
        for piece in content.chunks(chunk.clamp(1, content.len().max(1))) {
            encoder.encode(piece, &mut wire);
        }
        encoder.finish(&mut wire);
        wire
    }

    #[test]
    fn what_leaves_has_only_crlf_and_doubled_dots() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".\r\n..a\r\n", b"..\r\n...a\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n\r\n.\r\r\n", b"a\r\n\r\n..\r\n\r\n.\r\n"),
            (b"a\r\n.\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        ];
        for (content, expected) in cases {
            for chunk in [usize::MAX, 1, 2] {
                assert_eq!(encode(content, chunk), expected, "{content:?} by {chunk}");
            }
        }
    }

    #[test]
    fn decoding_undoes_encoding() {
        let content = b"Subject: .\r\n\r\n.\r\n..\r\n...x\r\n\r\n.";
        let wire = encode(content, 3);
        let (decoded, end, fault) = decode(&wire, 4, 1_000);
        assert_eq!(
            (decoded.as_slice(), end, fault),
            (&[content.as_slice(), b"\r\n"].concat()[..], Some(wire.len()), None)
        );
    }
}
