//! The two transfer encodings for 7-bit transport (RFC 2045 §6.7, §6.8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest line of encoded content, without its CRLF (RFC 2045 §6.7 (5), §6.8).
const LINE: usize = 76;
/// Octets whose base64 form fills a line.
const LINE_OF_BASE64: usize = LINE / 4 * 3;

/// Whether base64 is the shorter form: quoted-printable has three octets for one, base64 four for three.
pub(super) fn suits_base64(content: &[u8]) -> bool {
    let escaped = content.iter().filter(|&&octet| !is_literal(octet) && !b" \t\r\n".contains(&octet)).count();
    escaped > content.len() / 6
}

/// Lines of base64; the last one has no end.
pub(super) fn base64(content: &[u8]) -> Vec<u8> {
    let lines: Vec<String> = content.chunks(LINE_OF_BASE64).map(|chunk| STANDARD.encode(chunk)).collect();
    lines.join("\r\n").into_bytes()
}

/// Quoted-printable text that [`crate::transfer::quoted_printable`] decodes to exactly `content`; line ends are kept.
///
/// No line of it starts with a hyphen or a dot, so none can be taken for a delimiter, or for the end of DATA.
pub(super) fn quoted_printable(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 4);
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        let end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
        let (text, end) = line.split_at(line.len() - end);
        let mut column = 0;
        for (at, &octet) in text.iter().enumerate() {
            let is_last = at + 1 == text.len();
            // One column is kept for the mark of a soft line break.
            if column + width(octet, is_last, column == 0) > LINE - 1 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            let wide = width(octet, is_last, column == 0);
            if wide == 1 {
                out.push(octet);
            } else {
                escape(octet, &mut out);
            }
            column += wide;
        }
        out.extend_from_slice(end);
    }
    out
}

fn escape(octet: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'=', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]);
}

/// How many columns an octet takes. White space at the end of a line would be lost (RFC 2045 §6.7 (3)).
fn width(octet: u8, is_last: bool, is_first: bool) -> usize {
    let stands = match octet {
        b' ' | b'\t' => !is_last,
        b'-' | b'.' => !is_first,
        octet => is_literal(octet),
    };
    if stands { 1 } else { 3 }
}

/// RFC 2045 §6.7 (2).
fn is_literal(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b'='
}
