//! BINARY: parts of a message without their transfer encoding (RFC 3516 §4).

use std::borrow::Cow;
use std::io::Write;

use kings_mail::mime::Kind;
use kings_mail::transfer::Encoding;

use super::{Content, clip};
use crate::command::fetch::{Binary, Item};
use crate::text::put;

/// Whether every encoding is known that `items` want undone. Otherwise nothing of the message is told (RFC 3516 §4.3).
pub fn is_decodable(items: &[Item], content: &Content<'_>) -> bool {
    let path = |item: &'_ Item| match item {
        Item::Binary(Binary { path, .. }) | Item::BinarySize(path) => Some(path.clone()),
        _ => None,
    };
    items.iter().filter_map(path).all(|path| {
        let part = (!path.is_empty()).then(|| content.tree().find(&path)).flatten();
        part.is_none_or(|part| part.kind != Kind::Leaf || !matches!(part.encoding, Encoding::Other(_)))
    })
}

/// What was decoded for one response.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The part before, which clients ask for in pieces.
    last: Option<(Vec<u32>, Vec<u8>)>,
    /// Octets that were told.
    told: usize,
}

pub(super) fn write(
    out: &mut Vec<u8>,
    binary: &Binary,
    content: Option<&Content<'_>>,
    decoded: &mut Decoded,
) {
    out.extend_from_slice(b"BINARY[");
    numbers(out, &binary.path);
    out.push(b']');
    if let Some((origin, _)) = binary.partial {
        put!(out, "<{origin}>");
    }
    let Some(content) = content else { return out.extend_from_slice(b" NIL") };
    let before = decoded.told;
    let Some(octets) = decoded.part(content, &binary.path) else {
        return out.extend_from_slice(b" NIL");
    };
    let octets = &octets[clip(0..octets.len(), binary.partial)];
    // All parts together are no longer than the message: who asks for more asks for the same again and again.
    let told = before + octets.len();
    if told > 2 * content.octets.len() {
        return out.extend_from_slice(b" NIL");
    }
    // Only a `literal8` may hold NUL.
    let mark = if octets.contains(&0) { "~" } else { "" };
    put!(out, " {mark}{{{}}}\r\n", octets.len());
    out.extend_from_slice(octets);
    decoded.told = told;
}

/// A part that is not there has no octets.
pub(super) fn write_size(
    out: &mut Vec<u8>,
    path: &[u32],
    content: Option<&Content<'_>>,
    decoded: &mut Decoded,
) {
    out.extend_from_slice(b"BINARY.SIZE[");
    numbers(out, path);
    let size = content.and_then(|content| decoded.part(content, path)).map_or(0, <[u8]>::len);
    put!(out, "] {size}");
}

fn numbers(out: &mut Vec<u8>, path: &[u32]) {
    for (place, number) in path.iter().enumerate() {
        let dot = if place > 0 { "." } else { "" };
        put!(out, "{dot}{number}");
    }
}

impl Decoded {
    /// Parts that hold others, and the message itself, have no encoding (RFC 2045 §6.4).
    fn part<'a>(&'a mut self, content: &'a Content<'_>, path: &[u32]) -> Option<&'a [u8]> {
        if path.is_empty() {
            return Some(content.octets);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            // Not two at a time.
            self.last = None;
            match content.tree().find(path)?.content(content.octets) {
                Cow::Borrowed(octets) => return Some(octets),
                Cow::Owned(octets) => self.last = Some((path.to_vec(), octets)),
            }
        }
        self.last.as_ref().map(|(_, octets)| octets.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_and_again_is_bounded_by_the_message() {
        let message = format!("Content-Transfer-Encoding: base64\r\n\r\n{}\r\n", "QUJD".repeat(1_000));
        let content = Content::new(message.as_bytes());
        let (mut out, mut decoded) = (Vec::new(), Decoded::default());
        let whole = Binary { path: vec![1], partial: None, peek: true };
        for place in 0..10 {
            out.clear();
            write(&mut out, &whole, Some(&content), &mut decoded);
            let expected: &[u8] = if place < 2 { b"BINARY[1] {3000}\r\nABC" } else { b"BINARY[1] NIL" };
            assert!(
                out.starts_with(expected),
                "{place}: {}",
                String::from_utf8_lossy(&out[..20.min(out.len())])
            );
        }
        // Sizes and pieces go on.
        out.clear();
        write_size(&mut out, &[1], Some(&content), &mut decoded);
        assert_eq!(out, b"BINARY.SIZE[1] 3000");
        out.clear();
        write(&mut out, &Binary { partial: Some((3, 3)), ..whole }, Some(&content), &mut decoded);
        assert!(out.starts_with(b"BINARY[1]<3> {3}\r\nABC"), "{}", String::from_utf8_lossy(&out));
    }
}
