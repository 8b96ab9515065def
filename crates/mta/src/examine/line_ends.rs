//! What port 25 says of the line ends of a message, where it is a file.

use kings_smtp::data::Chunks;
use kings_smtp::reply::Reply;

/// A file ends its lines as they are sent, or, like Maildirs, with LF alone: its first line tells.
pub(super) struct LineEnds {
    chunks: Chunks,
    /// Lines end with LF alone, once there was one.
    is_stored: Option<bool>,
    after_cr: bool,
    /// What the reader hands out is of no use here.
    content: Vec<u8>,
}

impl Default for LineEnds {
    fn default() -> Self {
        Self { chunks: Chunks::new(u64::MAX), is_stored: None, after_cr: false, content: Vec::new() }
    }
}

impl LineEnds {
    pub(super) fn read(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|octet| *octet == b'\n') {
            let line = part.strip_suffix(b"\n");
            let is_bare =
                line.is_some_and(|line| !(line.ends_with(b"\r") || line.is_empty() && self.after_cr));
            if line.is_some() {
                self.is_stored.get_or_insert(is_bare);
            }
            match line.filter(|_| is_bare && self.is_stored == Some(true)) {
                Some(line) => {
                    self.chunks.read(line, &mut self.content);
                    self.chunks.read(b"\r\n", &mut self.content);
                }
                None => self.chunks.read(part, &mut self.content),
            }
            self.content.clear();
            self.after_cr = part.ends_with(b"\r");
        }
    }

    /// The refusal at the end of data, where there is one.
    pub(super) fn refusal(mut self) -> Option<Reply> {
        self.chunks.finish(&mut self.content);
        self.chunks.fault().map(|_| Reply::BAD_LINE_ENDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_refused_as_on_port_25_and_stored_ones_count_as_sent() {
        let cases: [(&[u8], bool); 12] = [
            (b"", true),
            (b"a: b\r\n\r\nc\r\n", true),
            (b"a: b\n\nc\n", true),
            (b"a: b\n\nc", true),
            (b"a: b\n\r\nc\r\n", true),
            (b"a: b\r\n\nc\r\n", false),
            (b"a: b\r\n\r\nc\n", false),
            (b"a: b\r\n\r\nc\rd\r\n", false),
            (b"a: b\n\nc\rd\n", false),
            (b"a: b\n\nc\r", false),
            (b"a: b\r\n\r\nc\0d\r\n", false),
            (b"a: b\n\nc\r\r\n", false),
        ];
        for (message, is_fine) in cases {
            for size in [1, 2, 1_000] {
                let mut lines = LineEnds::default();
                message.chunks(size).for_each(|piece| lines.read(piece));
                assert_eq!(lines.refusal().is_none(), is_fine, "{message:?} {size}");
            }
        }
    }
}
