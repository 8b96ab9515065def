//! Bytes of a named character set to text; a wrong or unknown name never loses the message.

mod rare;
mod utf7;

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Decodes `bytes` as the character set `label` says (the labels of the WHATWG Encoding Standard).
///
/// A label nobody knows, and `us-ascii` with 8-bit octets in it, fall back to [`guess`]. UTF-7 counts as
/// unknown on purpose: decoding it has let scripts past filters that saw plain ASCII. Never fails; what
/// does not decode becomes U+FFFD. The text is at most three times as long as the bytes.
pub fn decode<'a>(bytes: &'a [u8], label: &str) -> Cow<'a, str> {
    match known(label) {
        Some(encoding) if encoding != WINDOWS_1252 || !is_ascii_label(label) => encoding.decode(bytes).0,
        _ => guess(bytes),
    }
}

/// What some programs read where [`decode`] reads something else: UTF-7 (RFC 2152), which a few still know, UTF-16
/// without a mark in the order of octets that RFC 2781 §4.3 gives it, where others take the order of PCs, UTF-32 and EBCDIC,
/// and of a set that nobody knows its octets as they are. `None` for all other character sets. For asking who might be
/// shown as the author, never for showing.
pub fn decode_otherwise(bytes: &[u8], label: &str) -> Option<String> {
    let label = label.trim().to_ascii_lowercase();
    match label.as_str() {
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "x-unicode-2-0-utf-7" | "csunicode11utf7" => {
            Some(utf7::decode(bytes))
        }
        "utf-16" | "utf16" | "csutf16" => Some(UTF_16BE.decode_with_bom_removal(bytes).0.into_owned()),
        "utf-32" | "utf32" | "utf-32be" | "utf-32le" | "ucs-4" | "iso-10646-ucs-4" => {
            Some(rare::utf32(bytes))
        }
        label if rare::is_ebcdic(label) => Some(rare::ebcdic(bytes)),
        label if known(label).is_none() => Some(guess(bytes).into_owned()),
        _ => None,
    }
}

/// Whether [`decode`] knows this character set.
pub fn is_known(label: &str) -> bool {
    known(label).is_some()
}

/// Text of bytes that name no character set: UTF-8 where that fits (RFC 6532 §3.2), else windows-1252,
/// which is what old programs that forgot the label mostly meant. Every octet string decodes.
pub fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// Text of an XML file, which may be in UTF-16 without saying so anywhere else: by its mark, or by how its first `<` is
/// written (XML 1.0, appendix F). Anything else as [`guess`] has it.
pub fn of_xml(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => UTF_16LE.decode_without_bom_handling(rest).0,
        [0xfe, 0xff, rest @ ..] => UTF_16BE.decode_without_bom_handling(rest).0,
        [b'<', 0, ..] => UTF_16LE.decode_without_bom_handling(bytes).0,
        [0, b'<', ..] => UTF_16BE.decode_without_bom_handling(bytes).0,
        _ => guess(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)),
    }
}

/// Without the Encoding Standard's "replacement" set, which turns a whole text into one U+FFFD.
fn known(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// The Encoding Standard reads these as windows-1252; senders put UTF-8 under them as often.
fn is_ascii_label(label: &str) -> bool {
    let label = label.trim();
    ["us-ascii", "ascii", "ansi_x3.4-1968"].iter().any(|name| label.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_and_every_octet_gives_text() {
        let cases: [(&[u8], &str, &str); 12] = [
            (b"plain", "us-ascii", "plain"),
            ("Käse".as_bytes(), "utf-8", "Käse"),
            (b"K\xe4se", "ISO-8859-1", "Käse"),
            (b"\x80", "iso-8859-15", "\u{80}"),
            (b"\xa4", "iso-8859-15", "€"),
            (b"\x1b$B$\"\x1b(B", "iso-2022-jp", "あ"),
            (b"\xfe\xff\x00A", "utf-16", "A"),
            (b"\x00A\xd8\x00", "utf-16be", "A\u{fffd}"),
            ("Käse".as_bytes(), "us-ascii", "Käse"),
            (b"K\xe4se", "us-ascii", "Käse"),
            (b"+ADw-script+AD4-", "utf-7", "+ADw-script+AD4-"),
            (b"K\xe4se", "x-nobody-knows", "Käse"),
        ];
        for (bytes, label, expected) in cases {
            assert_eq!(decode(bytes, label), expected, "{label}");
        }
    }

    #[test]
    fn a_file_of_xml_tells_its_octets_by_its_beginning() {
        let text = "<a>K\u{e4}se \u{1f600}</a>";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let with = |mark: &[u8], octets: &[u8]| [mark, octets].concat();
        let cases = [
            (text.as_bytes().to_vec(), text),
            (with(b"\xef\xbb\xbf", text.as_bytes()), text),
            (with(b"\xff\xfe", &little), text),
            (with(b"\xfe\xff", &big), text),
            (little, text),
            (big, text),
            (b"<a>K\xe4se</a>".to_vec(), "<a>K\u{e4}se</a>"),
            // What no file begins with, and half a unit at its end.
            (b"\0<\0a\0>\0".to_vec(), "<a>\u{fffd}"),
            (b"\xff\xfe".to_vec(), ""),
            (Vec::new(), ""),
        ];
        for (octets, expected) in cases {
            assert_eq!(of_xml(&octets), expected, "{octets:?}");
        }
    }

    #[test]
    fn a_set_that_swallows_the_text_is_not_used() {
        assert_eq!(decode(b"hello", "iso-2022-kr"), "hello");
        assert!(!is_known("iso-2022-kr"));
    }

    #[test]
    fn every_single_octet_guesses_to_one_character() {
        for octet in 0..=255_u8 {
            assert_eq!(guess(&[octet]).chars().count(), 1, "{octet}");
        }
    }
}
