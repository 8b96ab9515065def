//! Parameters of MIME fields, with the split and extended ones of RFC 2231.

use std::borrow::Cow;

use super::scanner::Scanner;
use crate::transfer::{is_token_octet, unescape};
use crate::{charset, encoded_word};

/// Most parameters read from one field, each piece of a split one counted; the rest is ignored.
pub const MAX_PARAMETERS: usize = 100;

/// The parameters of one field, in order, split ones put together (RFC 2231 §3), names unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(pub(super) Vec<Parameter>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Lower case, without the stars of RFC 2231.
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    /// The value is `charset'language'percent-encoded` (RFC 2231 §4).
    pub(super) extended: bool,
}

impl Parameters {
    /// Names and values as IMAP shows them: nothing decoded, an extended name with its star.
    pub fn listed(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.0.iter().map(|parameter| {
            let name = &parameter.name;
            let name = if parameter.extended { format!("{name}*").into() } else { name.into() };
            (name, charset::guess(&parameter.value))
        })
    }

    /// The decoded value, the one that the filter, IMAP search and the webmail all use.
    ///
    /// The extended form wins over the plain one (RFC 2231 §4, RFC 6266 §4.3). Encoded words in a plain
    /// value are decoded though RFC 2047 §5 forbids them there: most attachment names come like that.
    /// CR, LF and NUL never come out.
    pub fn get(&self, name: &str) -> Option<String> {
        let parameter = self.named(name).max_by_key(|parameter| parameter.extended)?;
        let text = if parameter.extended {
            let (label, octets) = parameter.percent_decoded();
            charset::decode(&octets, &label).into_owned()
        } else {
            encoded_word::decode(&charset::guess(&parameter.value)).into_owned()
        };
        Some(text.replace(['\r', '\n', '\0'], ""))
    }

    /// The value before its octets become text. Here the plain form wins: this is for boundaries, in
    /// which most readers know no other.
    pub(super) fn octets(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let parameter = self.named(name).min_by_key(|parameter| parameter.extended)?;
        Some(if parameter.extended {
            parameter.percent_decoded().1.into()
        } else {
            (&parameter.value).into()
        })
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Parameter> {
        self.0.iter().filter(move |parameter| parameter.name.eq_ignore_ascii_case(name))
    }

    /// Reads `;name=value` until the end. Of two equal names the first counts.
    pub(super) fn scan(scanner: Scanner<'_>) -> Self {
        let mut plain = Self::default();
        let mut pieces: Vec<Piece> = Vec::new();
        for (attribute, value) in scanner.take(MAX_PARAMETERS) {
            match split_attribute(&attribute) {
                Some((name, None, extended)) => plain.add(Parameter { name: name.into(), value, extended }),
                Some((name, Some(number), extended)) => {
                    pieces.push(Piece { name: name.into(), number, extended, value });
                }
                None => {}
            }
        }
        // Stable, so of two pieces with one number the first stays in front.
        pieces.sort_by(|a, b| (&a.name, a.number).cmp(&(&b.name, b.number)));
        for group in pieces.chunk_by(|a, b| a.name == b.name) {
            if let Some(joined) = join(group) {
                plain.add(joined);
            }
        }
        plain
    }

    /// All of them as they stand behind a type, in ASCII: values with other octets are extended (RFC 2231 §4). Where a name has
    /// a plain value as well as an extended one, the one that counts is kept: see [`Parameters::get`] and `octets`.
    pub(crate) fn in_ascii(&self) -> String {
        let mut out = String::new();
        for parameter in &self.0 {
            let Parameter { name, extended, .. } = parameter;
            let is_odd = self.named(name).any(|one| !one.extended && !one.value.is_ascii());
            let is_twice = self.named(name).any(|one| one.extended != *extended);
            if is_odd && is_twice && *extended == (name == "boundary") {
                continue;
            }
            let (star, value) = parameter.in_ascii();
            out.push_str(";\r\n ");
            out.push_str(name);
            out.push_str(star);
            out.push('=');
            let is_token = !value.is_empty() && value.bytes().all(is_token_octet);
            if is_token {
                out.push_str(&value);
            } else {
                out.push('"');
                out.push_str(&value.replace('\\', "\\\\").replace('"', "\\\""));
                out.push('"');
            }
        }
        out
    }

    fn add(&mut self, new: Parameter) {
        let is_known = self.0.iter().any(|old| old.name == new.name && old.extended == new.extended);
        if !is_known && !new.name.is_empty() {
            self.0.push(new);
        }
    }
}

impl Parameter {
    /// Character set and octets of an extended value. Without its two quotes all of it is the value.
    fn percent_decoded(&self) -> (String, Vec<u8>) {
        let mut fields = self.value.splitn(3, |&octet| octet == b'\'');
        let (label, encoded) = match (fields.next(), fields.next(), fields.next()) {
            (Some(label), Some(_language), Some(encoded)) => (label, encoded),
            _ => (&b""[..], &self.value[..]),
        };
        let mut octets = Vec::with_capacity(encoded.len());
        unescape(encoded, b'%', &mut octets);
        (charset::guess(label).into_owned(), octets)
    }

    /// The star of an extended name or nothing, and the value in ASCII.
    fn in_ascii(&self) -> (&'static str, String) {
        let star = if self.extended { "*" } else { "" };
        match std::str::from_utf8(&self.value) {
            Ok(value) if value.is_ascii() => return (star, value.to_owned()),
            _ => {}
        }
        let mut encoded = Vec::new();
        if self.extended {
            for &octet in &self.value {
                match octet {
                    0x80.. => encoded.extend_from_slice(format!("%{octet:02X}").as_bytes()),
                    octet => encoded.push(octet),
                }
            }
        } else {
            // As `charset::guess` reads it.
            let is_utf8 = std::str::from_utf8(&self.value).is_ok();
            encoded.extend_from_slice(if is_utf8 { b"utf-8''" } else { b"windows-1252''" });
            percent_encode(&self.value, &mut encoded);
        }
        ("*", String::from_utf8_lossy(&encoded).into_owned())
    }
}

/// One piece of a split parameter: `name*number` or `name*number*` (RFC 2231 §3, §4.1).
struct Piece {
    name: String,
    number: u32,
    extended: bool,
    value: Vec<u8>,
}

/// Name, number of the piece, and whether the value is extended; `None` where the stars stand wrong.
fn split_attribute(attribute: &str) -> Option<(&str, Option<u32>, bool)> {
    let Some((name, marks)) = attribute.split_once('*') else { return Some((attribute, None, false)) };
    if marks.is_empty() {
        return Some((name, None, true));
    }
    let (digits, extended) = marks.strip_suffix('*').map_or((marks, false), |digits| (digits, true));
    Some((name, Some(piece_number(digits)?), extended))
}

/// RFC 2231 §7: no sign and no leading zero, so `*01` cannot stand for a second `*1`.
fn piece_number(digits: &str) -> Option<u32> {
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| canonical)
}

/// Puts sorted pieces of one name together, as far as they go without a gap from number 0.
fn join(pieces: &[Piece]) -> Option<Parameter> {
    let mut whole: Vec<&Piece> = Vec::new();
    for piece in pieces {
        match usize::try_from(piece.number) {
            Ok(number) if number == whole.len() => whole.push(piece),
            Ok(number) if number < whole.len() => {}
            _ => break,
        }
    }
    let first = whole.first()?;
    let extended = whole.iter().any(|piece| piece.extended);
    // A charset can only stand in the first piece; where that is plain, an empty one takes its place.
    let mut value = if extended && !first.extended { b"''".to_vec() } else { Vec::new() };
    for piece in &whole {
        if extended && !piece.extended {
            percent_encode(&piece.value, &mut value);
        } else {
            value.extend(&piece.value);
        }
    }
    Some(Parameter { name: first.name.clone(), value, extended })
}

fn percent_encode(octets: &[u8], out: &mut Vec<u8>) {
    for &octet in octets {
        if is_token_octet(octet) && !b"*'%".contains(&octet) {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
}
