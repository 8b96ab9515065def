//! Encoded words of header fields (RFC 2047) to text, for search and display.

use std::borrow::Cow;

use crate::{charset, transfer};

/// Decodes every encoded word in `text`, which is an unfolded field value.
///
/// White space between two encoded words belongs to neither and goes (RFC 2047 §6.2). Neighbours of one
/// character set are joined before it is applied: senders split in the middle of a character, though
/// RFC 2047 §5 forbids it. A word with an unknown character set or a broken form stays as it is. CR, LF and
/// NUL that come out of an encoded word are dropped, so a decoded value can never start a new line.
pub fn decode(text: &str) -> Cow<'_, str> {
    decode_with(text, None, false)
}

/// The same as those few programs read it that know more character sets; `None` where that is no other text
/// ([`charset::decode_otherwise`]). For asking who might be shown as the author, never for showing.
pub fn decode_otherwise(text: &str) -> Option<String> {
    otherwise(text, None)
}

/// The same with the marks of [`decode_with_breaks`].
pub(crate) fn decode_otherwise_with_breaks(text: &str, mark: char) -> Option<String> {
    otherwise(text, Some(mark))
}

fn otherwise(text: &str, mark: Option<char>) -> Option<String> {
    let other = decode_with(text, mark, true);
    (other != decode_with(text, mark, false)).then(|| other.into_owned())
}

/// The same with a mark for each CR, LF and NUL that comes out of an encoded word: some readers take what stands behind
/// it for no part of the text.
pub(crate) fn decode_with_breaks(text: &str, mark: char) -> Cow<'_, str> {
    decode_with(text, Some(mark), false)
}

fn decode_with(text: &str, mark: Option<char>, otherwise: bool) -> Cow<'_, str> {
    if !text.contains("=?") {
        return Cow::Borrowed(text);
    }
    let mut decoded = Decoded { mark, otherwise, ..Decoded::default() };
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        let (between, from_mark) = rest.split_at(at);
        let used = if let Some(word) = Word::parse(from_mark, otherwise) {
            if decoded.run.is_empty() || !is_white_space(between) {
                decoded.literal(between);
            }
            decoded.word(&word);
            word.length
        } else {
            decoded.literal(between);
            decoded.literal("=?");
            "=?".len()
        };
        rest = &from_mark[used..];
    }
    decoded.literal(rest);
    Cow::Owned(decoded.text)
}

/// Most octets between `=?utf-8?Q?` and `?=`: a word has at most 75 (RFC 2047 §2).
const MAX_ENCODED: usize = 63;

/// A text as encoded words that may stand in a phrase, such as a name before an address (RFC 2047 §5), folded between them.
pub fn encode_phrase(text: &str) -> String {
    words(text).join("\r\n ")
}

/// The same word by word.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in text.chars() {
        // No letter is split between two words.
        let piece: String = letter.encode_utf8(&mut [0; 4]).bytes().map(in_phrase).collect();
        match words.last_mut() {
            Some(word) if word.len() + piece.len() <= MAX_ENCODED => word.push_str(&piece),
            _ => words.push(piece),
        }
    }
    words.into_iter().map(|word| format!("=?utf-8?Q?{word}?=")).collect()
}

fn in_phrase(octet: u8) -> String {
    match octet {
        b' ' => "_".to_owned(),
        octet if octet.is_ascii_alphanumeric() || b"!*+-/".contains(&octet) => char::from(octet).to_string(),
        octet => format!("={octet:02X}"),
    }
}

fn is_white_space(text: &str) -> bool {
    text.bytes().all(|octet| octet == b' ' || octet == b'\t')
}

/// `=?charset?encoding?encoded-text?=` (RFC 2047 §2), decoded to octets.
struct Word<'a> {
    charset: &'a str,
    octets: Vec<u8>,
    /// Octets from `=?` through `?=`.
    length: usize,
}

impl<'a> Word<'a> {
    /// `text` starts with `=?`. Lengths over 75 are accepted, and spaces inside: both occur.
    ///
    /// Looks no further than the third `?` behind the mark, and the next word cannot start before
    /// that, so a text full of broken words is still read only twice.
    fn parse(text: &'a str, otherwise: bool) -> Option<Self> {
        let mut fields = text["=?".len()..].splitn(4, '?');
        let (charset, encoding, encoded, rest) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        rest.strip_prefix('=')?;
        // RFC 2231 §5: a language may follow the character set.
        let charset = charset.split('*').next().unwrap_or(charset);
        let is_known =
            || charset::is_known(charset) || (otherwise && charset::decode_otherwise(b"", charset).is_some());
        if !is_known() {
            return None;
        }
        let octets = match encoding {
            "B" | "b" => transfer::base64(encoded.as_bytes()),
            "Q" | "q" => q_encoding(encoded),
            _ => return None,
        };
        Some(Self { charset, octets, length: text.len() - rest.len() + 1 })
    }
}

/// RFC 2047 §4.2: quoted-printable with `_` for the space.
fn q_encoding(encoded: &str) -> Vec<u8> {
    let spaced: Vec<u8> = encoded.bytes().map(|octet| if octet == b'_' { b' ' } else { octet }).collect();
    let mut out = Vec::with_capacity(spaced.len());
    transfer::unescape(&spaced, b'=', &mut out);
    out
}

/// The text so far, and the run of encoded words at its end that one character set will decode.
#[derive(Default)]
struct Decoded<'a> {
    text: String,
    run: Run<'a>,
    /// What stands for a CR, LF or NUL; nothing where there is none.
    mark: Option<char>,
    /// As few programs read it.
    otherwise: bool,
}

#[derive(Default)]
struct Run<'a> {
    charset: Option<&'a str>,
    octets: Vec<u8>,
}

impl Run<'_> {
    fn is_empty(&self) -> bool {
        self.charset.is_none()
    }
}

impl<'a> Decoded<'a> {
    fn word(&mut self, word: &Word<'a>) {
        if self.run.charset.is_some_and(|charset| !charset.eq_ignore_ascii_case(word.charset)) {
            self.end_run();
        }
        self.run.charset = Some(word.charset);
        self.run.octets.extend_from_slice(&word.octets);
    }

    fn literal(&mut self, text: &str) {
        self.end_run();
        self.text.push_str(text);
    }

    fn end_run(&mut self) {
        let Run { charset, octets } = std::mem::take(&mut self.run);
        let charset = charset.unwrap_or_default();
        let other = self.otherwise.then(|| charset::decode_otherwise(&octets, charset)).flatten();
        let text = other.map_or_else(|| charset::decode(&octets, charset), Cow::Owned);
        let mark = self.mark;
        let kept = |c: char| if matches!(c, '\r' | '\n' | '\0') { mark } else { Some(c) };
        self.text.extend(text.chars().filter_map(kept));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_becomes_encoded_words_and_is_read_back() {
        let cases = [
            ("Ré", "=?utf-8?Q?R=C3=A9?="),
            ("Zoë \"Z\" (x) _?=", "=?utf-8?Q?Zo=C3=AB_=22Z=22_=28x=29_=5F=3F=3D?="),
            (
                "ééééééééééé",
                "=?utf-8?Q?=C3=A9=C3=A9=C3=A9=C3=A9=C3=A9=C3=A9=C3=A9=C3=A9=C3=A9=C3=A9?=\r\n =?utf-8?Q?=C3=A9?=",
            ),
        ];
        for (name, expected) in cases {
            let encoded = encode_phrase(name);
            assert_eq!(encoded, expected);
            assert_eq!(decode(&encoded.replace("\r\n", "")), name);
        }
    }

    #[test]
    fn encoded_words_become_text() {
        let cases = [
            ("plain", "plain"),
            // The examples of RFC 2047 §8.
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=   =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
            ("=?UTF-8?B?S8Okc2U=?=", "Käse"),
            ("=?utf-8*de?q?K=C3=A4se?=", "Käse"),
            ("=?UTF-8?Q?K=C3?= =?utf-8?B?pHNl?=", "Käse"),
            ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a b?=", "a b"),
            ("=?utf-8?q??=", ""),
            ("x=?utf-8?q?a?=y", "xay"),
            ("=?x-unknown?q?a?=", "=?x-unknown?q?a?="),
            ("=?utf-7?q?+ADw-?=", "=?utf-7?q?+ADw-?="),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?utf-8?q?a?b?=", "=?utf-8?q?a?b?="),
            ("=?utf-8?q?a", "=?utf-8?q?a"),
            ("=?", "=?"),
            ("=?=?=?utf-8?q?a?=", "=?=?a"),
            ("=?utf-8?q?a?= =?broken =?utf-8?q?b?=", "a =?broken b"),
            ("=?utf-8?q?=0D=0ABcc:_x=00?=", "Bcc: x"),
            ("=?utf-8?b?4pyT?= =?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "✓=?utf-8?q?a?="),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text), expected, "{text}");
        }
    }

    #[test]
    fn what_few_programs_read_is_told_where_it_is_another_text() {
        let cases = [
            ("=?utf-7?q?ceo+AEA-bank.test?=", Some("ceo@bank.test")),
            ("=?UTF-7*en?B?Y2VvK0FFQS1iYW5rLnRlc3Q=?= x", Some("ceo@bank.test x")),
            ("=?unicode-1-1-utf-7?q?+AA0ACg-Bcc?=", Some("Bcc")),
            // The order of octets that the RFC gives it, and its mirror, which everybody reads.
            ("=?utf-16?q?=00c=00e=00o=00=40?=", Some("ceo@")),
            ("=?utf-16?q?=FE=FF=00c=00e=00o=00=40?=", None),
            ("=?utf-16be?q?=00c=00e=00o=00=40?=", None),
            ("=?utf-8?q?ceo?=", None),
            ("=?x-unknown?q?ceo=40x?=", Some("ceo@x")),
            ("=?cp037?q?=83=85=96=7C=A7?=", Some("ceo@x")),
            ("=?utf-32?q?c=00=00=00=40=00=00=00?=", Some("c@")),
            ("=?x-unknown?x?ceo?=", None),
            ("=?iso-8859-2?q?ceo?=", None),
            ("ceo+AEA-bank.test", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode_otherwise(text).as_deref(), expected, "{text}");
        }
        assert_eq!(decode("=?utf-7?q?+ADw-?="), "=?utf-7?q?+ADw-?=", "we show none of it");
    }

    #[test]
    fn a_megabyte_of_broken_words_is_read_in_one_pass() {
        for piece in ["=?", "=?a?", "=?utf-8?q?", "=?utf-8?q?a", "=?utf-8?q?a? "] {
            let text = piece.repeat(1_000_000 / piece.len());
            assert_eq!(decode(&text), text, "{piece}");
        }
        let valid = "=?utf-8?q?a?= ".repeat(70_000);
        assert_eq!(decode(&valid).trim_end().len(), 70_000);
    }

    proptest! {
        #[test]
        fn any_text_decodes_without_line_ends(text in r"[=?utf8qQbB_A-F0-9 \t]{0,80}") {
            let decoded = decode(&text);
            prop_assert!(!decoded.contains(['\r', '\n', '\0']));
            prop_assert!(decoded.len() <= 3 * text.len());
        }
    }
}
