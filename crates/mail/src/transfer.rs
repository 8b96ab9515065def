//! Content transfer encodings (RFC 2045 §6): their names, and decoders that take what real mail contains.

use std::borrow::Cow;

use crate::content_type::scanner::Scanner;

/// The value of Content-Transfer-Encoding (RFC 2045 §6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, also what an absent or unreadable field means (RFC 2045 §6.1).
    #[default]
    SevenBit,
    /// `8bit`
    EightBit,
    /// `binary`
    Binary,
    /// `base64`
    Base64,
    /// `quoted-printable`
    QuotedPrintable,
    /// A token we do not know, in lower case, such as `x-uuencode`: its content stays as it is.
    Other(String),
}

impl Encoding {
    /// Reads a field value; anything that is not one token counts as `7bit`. Comments may stand beside it (RFC 2045 §6.1); parameters
    /// may not, but some senders write them.
    pub fn parse(value: &str) -> Self {
        let mut scanner = Scanner { rest: value.as_bytes() };
        let token = scanner.token().filter(|_| scanner.is_at_end_or_parameters()).unwrap_or_default();
        match token.as_str() {
            "7bit" => Self::SevenBit,
            "8bit" => Self::EightBit,
            "binary" => Self::Binary,
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            "" => Self::SevenBit,
            _ => Self::Other(token),
        }
    }

    /// The name as IMAP shows it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Binary => "binary",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
            Self::Other(token) => token,
        }
    }

    /// Whether the content stands there as it is, the only thing allowed for a part that holds other
    /// parts (RFC 2045 §6.4).
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }

    /// The content without its encoding; never longer than the body.
    pub fn decode<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        match self {
            Self::Base64 => Cow::Owned(base64(body)),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(body)),
            _ => Cow::Borrowed(body),
        }
    }
}

/// RFC 2045 §5.1 `token`.
pub(crate) fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && !br#"()<>@,;:\"/[]?="#.contains(&octet)
}

/// Decodes base64, ignoring every octet outside the alphabet as RFC 2045 §6.8 asks.
///
/// Padding ends a group of four and decoding goes on behind it, so bodies glued together from several
/// encoded pieces come out whole. A last group that is cut short gives the octets it is sure of.
pub fn base64(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len() / 4 * 3);
    let mut group = 0_u32;
    let mut bits = 0_u32;
    for &octet in encoded {
        if octet == b'=' {
            bits = 0;
        }
        let Some(sextet) = sextet(octet) else { continue };
        group = group << 6 | u32::from(sextet);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits & 0xff) as u8);
        }
    }
    out
}

fn sextet(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Decodes quoted-printable (RFC 2045 §6.7); line ends stay as they are.
///
/// White space before a line end is dropped, as transport may have added it. A `=` that starts no valid
/// sequence is kept as text, and one that ends the body is a soft line break.
pub fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    for line in encoded.split_inclusive(|&octet| octet == b'\n') {
        let blank = line.iter().rev().take_while(|octet| b" \t\r\n".contains(octet)).count();
        let text = &line[..line.len() - blank];
        let line_end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
        // White space that ends the body without a line end is content that was cut, not transport's.
        let text = if line_end == 0 && !text.ends_with(b"=") { line } else { text };
        if let Some(text) = text.strip_suffix(b"=") {
            unescape(text, b'=', &mut out);
        } else {
            unescape(text, b'=', &mut out);
            out.extend_from_slice(&line[line.len() - line_end..]);
        }
    }
    out
}

/// Appends `text` with every `mark` and two hexadecimal digits replaced by the octet they name.
pub(crate) fn unescape(text: &[u8], mark: u8, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        let escaped = if octet == mark { hex_pair(tail) } else { None };
        out.push(escaped.unwrap_or(octet));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
}

/// The octet that the first two characters name in hexadecimal, in either case.
fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_takes_what_mail_contains() {
        let cases: [(&str, &[u8]); 10] = [
            ("aGVsbG8=", b"hello"),
            ("aGVs\r\nbG8=\r\n", b"hello"),
            ("aGVsbG8", b"hello"),
            ("a!G-V s_b*G8=", b"hello"),
            ("aGVsbG8=aGVsbG8=", b"hellohello"),
            ("aGVsbG8==aGVsbG8", b"hellohello"),
            ("a", b""),
            ("aG", b"h"),
            ("====", b""),
            ("", b""),
        ];
        for (encoded, expected) in cases {
            assert_eq!(base64(encoded.as_bytes()), expected, "{encoded}");
        }
    }

    #[test]
    fn quoted_printable_takes_what_mail_contains() {
        let cases = [
            ("K=C3=A4se", "Käse"),
            ("K=c3=a4se", "Käse"),
            ("soft =\r\nbreak\r\n", "soft break\r\n"),
            ("soft = \t\r\nbreak", "soft break"),
            ("soft =\nbreak", "soft break"),
            ("trailing  \r\nspace \r\n", "trailing\r\nspace\r\n"),
            ("encoded=20\r\n", "encoded \r\n"),
            ("at the end=", "at the end"),
            ("at the end ", "at the end "),
            ("1=2, =Z9, =4", "1=2, =Z9, =4"),
            ("==41", "=A"),
            ("a\r\n\r\nb", "a\r\n\r\nb"),
            ("", ""),
        ];
        for (encoded, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(encoded.as_bytes())), expected, "{encoded}");
        }
    }

    #[test]
    fn an_unreadable_encoding_is_7bit() {
        let cases = [
            (" BASE64 ", Encoding::Base64),
            ("Quoted-Printable", Encoding::QuotedPrintable),
            ("x-uuencode", Encoding::Other("x-uuencode".into())),
            ("?invalid", Encoding::SevenBit),
            ("8bit 7bit", Encoding::SevenBit),
            ("base64 (in (many) lines)", Encoding::Base64),
            ("(see RFC 2045) base64", Encoding::Base64),
            ("base64; charset=utf-8", Encoding::Base64),
            ("x-uuencode;", Encoding::Other("x-uuencode".into())),
            ("base64 base64", Encoding::SevenBit),
            ("\"base64\"", Encoding::SevenBit),
            ("(base64)", Encoding::SevenBit),
            ("", Encoding::SevenBit),
        ];
        for (value, expected) in cases {
            assert_eq!(Encoding::parse(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn base64_round_trips(bytes: Vec<u8>) {
            use ::base64::Engine;
            let encoded = ::base64::engine::general_purpose::STANDARD.encode(&bytes);
            prop_assert_eq!(base64(encoded.as_bytes()), bytes);
        }

        #[test]
        fn decoders_never_grow(bytes: Vec<u8>) {
            prop_assert!(base64(&bytes).len() <= bytes.len());
            prop_assert!(quoted_printable(&bytes).len() <= bytes.len());
        }
    }
}
