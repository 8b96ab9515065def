//! The CRLF form of a file: what IMAP and POP3 count and send, whatever stands on disk.

use std::io::{self, Read};

use crate::incoming::CHUNK;

/// Counts what the CRLF form has more than the bytes seen: line feeds without their carriage return.
///
/// Fed in pieces; a CRLF may be cut between two of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineEnds {
    bare: u64,
    after_cr: bool,
}

impl LineEnds {
    /// Counts on with the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let after_cr = |at: usize| at.checked_sub(1).map_or(self.after_cr, |before| piece[before] == b'\r');
        let bare = memchr::memchr_iter(b'\n', piece).filter(|&at| !after_cr(at)).count() as u64;
        self.bare += bare;
        if let Some(&last) = piece.last() {
            self.after_cr = last == b'\r';
        }
    }

    /// Line feeds without a carriage return so far.
    pub(crate) fn bare(self) -> u64 {
        self.bare
    }
}

/// Octets read and octets of the CRLF form.
pub(crate) fn measure(mut file: impl Read) -> io::Result<(u64, u64)> {
    let mut ends = LineEnds::default();
    let mut buffer = vec![0; CHUNK];
    let mut octets = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((octets, octets + ends.bare())),
            count => {
                ends.feed(&buffer[..count]);
                octets += count as u64;
            }
        }
    }
}

/// Gives every bare line feed its carriage return. A bare carriage return is content and stays.
pub(crate) fn to_crlf(bytes: Vec<u8>) -> Vec<u8> {
    let mut ends = LineEnds::default();
    ends.feed(&bytes);
    if ends.bare() == 0 {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len() + usize::try_from(ends.bare()).unwrap_or_default());
    let mut after_cr = false;
    for byte in bytes {
        if byte == b'\n' && !after_cr {
            out.push(b'\r');
        }
        out.push(byte);
        after_cr = byte == b'\r';
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_bare_line_feeds_change() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"", b""),
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"a\nb\n", b"a\r\nb\r\n"),
            (b"a\r\nb\nc\r\n", b"a\r\nb\r\nc\r\n"),
            (b"\n\n", b"\r\n\r\n"),
            (b"a\rb\r\r\n", b"a\rb\r\r\n"),
            (b"\r", b"\r"),
        ];
        for (disk, crlf) in cases {
            assert_eq!(to_crlf(disk.to_vec()), crlf);
            assert_eq!(measure(disk).unwrap(), (disk.len() as u64, crlf.len() as u64));
        }
    }

    #[test]
    fn a_line_end_cut_in_two_counts_once() {
        let mut ends = LineEnds::default();
        for piece in ["a\r", "", "\n", "b", "\nc"] {
            ends.feed(piece.as_bytes());
        }
        assert_eq!(ends.bare(), 1);
    }
}
