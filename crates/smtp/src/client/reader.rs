//! Reads the replies of other servers, which may be anything.

use std::borrow::Cow;

use crate::reply::{Reply, Status, split_status};

/// Longest reply line (RFC 5321 §4.5.3.1.5 asks for 512; some servers put whole web addresses in).
const MAX_LINE: usize = 4_096;
/// Most lines of one reply.
const MAX_LINES: usize = 200;
/// Most text that is kept of one reply.
const MAX_TEXT: usize = 2_048;

/// What came is not an SMTP reply: the session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// A line without a code of 200 to 599 and a space, hyphen or end behind it.
    #[error("the server's reply is not SMTP")]
    Malformed,
    /// Lines of one reply with different codes (RFC 5321 §4.2.1).
    #[error("the server's reply has several codes")]
    MixedCodes,
    /// A line or a reply without end.
    #[error("the server's reply is too long")]
    TooLong,
    /// A reply that cannot belong to the command whose turn it is, among commands that were sent together.
    #[error("the server's replies are out of step")]
    OutOfStep,
}

/// Collects bytes into replies.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    input: Vec<u8>,
    code: Option<u16>,
    status: Option<Status>,
    text: String,
    lines: usize,
}

impl Reader {
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Throws away all that has been received.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing waits that was not part of a reply given out.
    pub(crate) fn is_empty(&self) -> bool {
        self.input.is_empty() && self.code.is_none()
    }

    /// The next whole reply. Lines may end with a bare LF: nothing follows from where a reply line ends.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, BadReply> {
        while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            if end > MAX_LINE || self.lines == MAX_LINES {
                return Err(BadReply::TooLong);
            }
            if self.take_line(line.trim_ascii_end())? {
                return Ok(self.finish());
            }
        }
        if self.input.len() > MAX_LINE { Err(BadReply::TooLong) } else { Ok(None) }
    }

    /// True when this was the last line of its reply.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, BadReply> {
        let (digits, rest) = line.split_first_chunk::<3>().ok_or(BadReply::Malformed)?;
        let code = code(*digits).ok_or(BadReply::Malformed)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(BadReply::MixedCodes);
        }
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(BadReply::Malformed),
        };
        self.code = Some(code);
        self.lines += 1;
        self.keep_text(&String::from_utf8_lossy(text));
        Ok(last)
    }

    fn keep_text(&mut self, text: &str) {
        let text = match split_status(text) {
            Some((status, rest)) => {
                self.status.get_or_insert(status);
                rest
            }
            None => text,
        };
        if self.lines > 1 && self.text.len() < MAX_TEXT {
            self.text.push('\n');
        }
        let room = MAX_TEXT.saturating_sub(self.text.len());
        self.text.extend(text.chars().filter(|c| !c.is_control()).take(room));
    }

    fn finish(&mut self) -> Option<Reply> {
        let code = self.code.take()?;
        self.lines = 0;
        // An enhanced code of another class than the basic one is a slip of the server; the basic one counts.
        let status = self.status.take().filter(|status| u16::from(status.0) == code / 100);
        Some(Reply { code, status, text: Cow::Owned(std::mem::take(&mut self.text)) })
    }
}

fn code(digits: [u8; 3]) -> Option<u16> {
    let all = digits.iter().all(u8::is_ascii_digit) && matches!(digits[0], b'2'..=b'5');
    all.then(|| digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8], chunk: usize) -> Result<Vec<String>, BadReply> {
        let mut reader = Reader::default();
        let mut replies = Vec::new();
        for bytes in wire.chunks(chunk) {
            reader.receive(bytes);
            while let Some(reply) = reader.next()? {
                let status = reply.status.map(|status| status.to_string()).unwrap_or_default();
                replies.push(format!("{}|{status}|{}", reply.code, reply.text));
            }
        }
        Ok(replies)
    }

    #[test]
    fn replies_are_read_defensively() {
        let endless = "250-x\r\n".repeat(201);
        let long = format!("250 {}\r\n", "x".repeat(5_000));
        let unfinished = "x".repeat(5_000);
        let cases: [(&str, Result<&[&str], BadReply>); 16] = [
            ("250 2.0.0 OK\r\n", Ok(&["250|2.0.0|OK"])),
            ("250-a\r\n250-b\r\n250 c\r\n", Ok(&["250||a\nb\nc"])),
            ("550-5.1.1 No\r\n550 5.1.1 such user\r\n", Ok(&["550|5.1.1|No\nsuch user"])),
            ("250\r\n", Ok(&["250||"])),
            ("250 \n354 go\n", Ok(&["250||", "354||go"])),
            ("550 5.7.2\r\n", Ok(&["550|5.7.2|"])),
            ("450 5.1.1 odd\r\n", Ok(&["450||odd"])),
            ("550 caf\u{e9} \u{1b}[31mred\r\n", Ok(&["550||caf\u{e9} [31mred"])),
            ("250-a\r\n550 b\r\n", Err(BadReply::MixedCodes)),
            ("999 x\r\n", Err(BadReply::Malformed)),
            ("25x x\r\n", Err(BadReply::Malformed)),
            ("250x\r\n", Err(BadReply::Malformed)),
            ("\r\n", Err(BadReply::Malformed)),
            (&endless, Err(BadReply::TooLong)),
            (&long, Err(BadReply::TooLong)),
            (&unfinished, Err(BadReply::TooLong)),
        ];
        for (wire, expected) in cases {
            for chunk in [usize::MAX, 1, 7] {
                let expected =
                    expected.map(|replies| replies.iter().map(|&r| r.to_owned()).collect::<Vec<_>>());
                assert_eq!(read(wire.as_bytes(), chunk.min(wire.len())), expected, "{wire:.40} by {chunk}");
            }
        }
    }
}
