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

pub(super) fn write(out: &mut Vec<u8>, binary: &Binary, content: Option<&Content<'_>>) {
    out.extend_from_slice(b"BINARY[");
    numbers(out, &binary.path);
    out.push(b']');
    if let Some((origin, _)) = binary.partial {
        put!(out, "<{origin}>");
    }
    let Some(octets) = content.and_then(|content| decoded(content, &binary.path)) else {
        return out.extend_from_slice(b" NIL");
    };
    let octets = &octets[clip(0..octets.len(), binary.partial)];
    // Only a `literal8` may hold NUL.
    let mark = if octets.contains(&0) { "~" } else { "" };
    put!(out, " {mark}{{{}}}\r\n", octets.len());
    out.extend_from_slice(octets);
}

/// A part that is not there has no octets.
pub(super) fn write_size(out: &mut Vec<u8>, path: &[u32], content: Option<&Content<'_>>) {
    out.extend_from_slice(b"BINARY.SIZE[");
    numbers(out, path);
    let size = content.and_then(|content| decoded(content, path)).map_or(0, |octets| octets.len());
    put!(out, "] {size}");
}

fn numbers(out: &mut Vec<u8>, path: &[u32]) {
    for (place, number) in path.iter().enumerate() {
        let dot = if place > 0 { "." } else { "" };
        put!(out, "{dot}{number}");
    }
}

/// Parts that hold others, and the message itself, have no encoding (RFC 2045 §6.4).
fn decoded<'a>(content: &Content<'a>, path: &[u32]) -> Option<Cow<'a, [u8]>> {
    if path.is_empty() {
        return Some(Cow::Borrowed(content.octets));
    }
    content.tree().find(path).map(|part| part.content(content.octets))
}
