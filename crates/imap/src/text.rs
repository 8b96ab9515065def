//! Strings on their way out: quoted where that is safe, else a literal, so that no text can end a line.

use std::io::Write;

use kings_mail::utf7;

use crate::command::Enabled;
use crate::cursor::is_atom_char;

/// Strings longer than this go as literals: clients have small buffers for quoted ones.
const MAX_QUOTED: usize = 1_000;

/// Appends formatted text; writing to memory cannot fail.
macro_rules! put {
    ($out:expr, $($arguments:tt)*) => {
        write!($out, $($arguments)*).expect("a Vec takes every write")
    };
}
pub(crate) use put;

/// Appends a `string` (RFC 3501 §9): quoted if all of it is printable ASCII, else a literal.
///
/// NUL is dropped: no form of a string may hold it (RFC 3501 §9 `CHAR8`).
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |octet: &u8| matches!(octet, b' '..=b'~');
    if text.len() <= MAX_QUOTED && text.iter().all(is_plain) {
        out.push(b'"');
        for octet in text {
            if matches!(octet, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*octet);
        }
        out.push(b'"');
        return;
    }
    let octets = || text.iter().filter(|octet| **octet != 0);
    put!(out, "{{{}}}\r\n", octets().count());
    out.extend(octets());
}

/// Appends a `nstring`: NIL for nothing (RFC 3501 §9).
pub(crate) fn nstring(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text.as_bytes()),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends a mailbox name in modified UTF-7 (RFC 3501 §5.1.3), or in UTF-8 for a client that has enabled it (RFC 9051
/// §5.1), always as a string: names with spaces or wildcards then look like all others.
pub(crate) fn mailbox(out: &mut Vec<u8>, name: &str, enabled: Enabled) {
    if !enabled.has_utf8_names() {
        return string(out, utf7::encode(name).as_bytes());
    }
    if name.len() > MAX_QUOTED || name.contains(char::is_control) {
        return string(out, name.as_bytes());
    }
    put!(out, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
}

/// Appends an `astring` of ASCII: bare where that is possible.
pub(crate) fn astring(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() && text.bytes().all(is_atom_char) {
        out.extend_from_slice(text.as_bytes());
    } else {
        string(out, text.as_bytes());
    }
}

/// Appends octets as they are: NIL for none, a `literal8` where they hold NUL (RFC 5464 §5 `value`).
pub(crate) fn value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend_from_slice(b"NIL"),
        Some(octets) if octets.contains(&0) => {
            put!(out, "~{{{}}}\r\n", octets.len());
            out.extend_from_slice(octets);
        }
        Some(octets) => string(out, octets),
    }
}

/// Appends items with single spaces between them.
pub(crate) fn spaced<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T),
) {
    for (place, each) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        item(out, each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_could_break_a_line_becomes_a_literal() {
        let long = "x".repeat(MAX_QUOTED + 1);
        let long_literal = format!("{{{}}}\r\n{long}", long.len());
        let cases: [(&str, &str); 8] = [
            ("", "\"\""),
            ("plain text", "\"plain text\""),
            (r#"a "b" \c"#, r#""a \"b\" \\c""#),
            ("a\r\n* BYE", "{8}\r\na\r\n* BYE"),
            ("tab\t", "{4}\r\ntab\t"),
            ("é", "{2}\r\né"),
            ("a\0b\n", "{3}\r\nab\n"),
            (&long, &long_literal),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            string(&mut out, text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text:?}");
        }
    }
}
