//! Unique-ids as Dovecot's `pop3_uidl_format` describes them, so that no client downloads anything again.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::limits::{MAX_UIDL, MAX_UIDL_FORMAT};

/// How unique-ids are made: `%u` the UID, `%v` the UIDVALIDITY, `%g` and `%f` the message's own name (the GUID of its
/// line in the uidlist, or else the base of its file's name), `%%` a percent sign. Between `%` and a number's letter may
/// stand a width with a leading `0`, filled with zeros, and `X` for hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidlFormat(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number { which: Which, width: usize, hexadecimal: bool },
    Guid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Uid,
    Validity,
}

/// What a unique-id is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UidlParts<'a> {
    /// The UID.
    pub uid: u32,
    /// The mailbox's UIDVALIDITY.
    pub validity: u32,
    /// The message's own name; looked at only where [`UidlFormat::wants_guid`].
    pub guid: &'a str,
}

/// Why a format cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUidlFormat {
    /// A letter behind `%` that stands for nothing here.
    #[error("only %u, %v, %g, %f and %% are known, numbers as in %08Xu")]
    Unknown,
    /// Two messages would have the same.
    #[error("neither %u nor %g is in it, so all messages would have the same unique-id")]
    NotUnique,
    /// Too long, or a character that RFC 1939 does not allow.
    #[error("unique-ids are 1 to 70 printable ASCII characters without blanks")]
    Text,
}

impl Default for UidlFormat {
    /// Dovecot's: `%08Xu%08Xv`.
    fn default() -> Self {
        let number = |which| Piece::Number { which, width: 8, hexadecimal: true };
        Self(vec![number(Which::Uid), number(Which::Validity)])
    }
}

impl FromStr for UidlFormat {
    type Err = BadUidlFormat;

    fn from_str(text: &str) -> Result<Self, BadUidlFormat> {
        // RFC 1939 §7: characters 0x21 to 0x7E.
        if text.len() > MAX_UIDL_FORMAT || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(BadUidlFormat::Text);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('%') {
            push_text(&mut pieces, before);
            rest = read_variable(&mut pieces, behind)?;
        }
        push_text(&mut pieces, rest);
        let format = Self(pieces);
        let is_unique = |piece: &Piece| match piece {
            Piece::Text(_) => false,
            Piece::Guid => true,
            Piece::Number { which, .. } => *which == Which::Uid,
        };
        if !format.0.iter().any(is_unique) {
            return Err(BadUidlFormat::NotUnique);
        }
        let largest = UidlParts { uid: u32::MAX, validity: u32::MAX, guid: "g" };
        if format.write(largest).len() > MAX_UIDL {
            return Err(BadUidlFormat::Text);
        }
        Ok(format)
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if let (Some(Piece::Text(last)), false) = (pieces.last_mut(), text.is_empty()) {
        last.push_str(text);
    } else if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// What stands behind a percent sign; gives what follows.
fn read_variable<'a>(pieces: &mut Vec<Piece>, text: &'a str) -> Result<&'a str, BadUidlFormat> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (width, rest) = text.split_at(digits);
    // Without the zero Dovecot cuts to the width, and unique-ids would not be unique.
    if !width.is_empty() && !width.starts_with('0') {
        return Err(BadUidlFormat::Unknown);
    }
    // No variable is longer than a unique-id may be.
    let width = if width.is_empty() { 0 } else { width.parse().map_err(|_| BadUidlFormat::Text)? };
    if width > MAX_UIDL {
        return Err(BadUidlFormat::Text);
    }
    let (hexadecimal, rest) = rest.strip_prefix('X').map_or((false, rest), |rest| (true, rest));
    let number = |which| Piece::Number { which, width, hexadecimal };
    let mut letters = rest.chars();
    let is_plain = digits == 0 && !hexadecimal;
    match letters.next() {
        Some('u') => pieces.push(number(Which::Uid)),
        Some('v') => pieces.push(number(Which::Validity)),
        Some('g' | 'f') if is_plain => pieces.push(Piece::Guid),
        Some('%') if is_plain => push_text(pieces, "%"),
        _ => return Err(BadUidlFormat::Unknown),
    }
    Ok(letters.as_str())
}

impl UidlFormat {
    /// Whether [`UidlParts::guid`] is looked at.
    pub fn wants_guid(&self) -> bool {
        self.0.contains(&Piece::Guid)
    }

    /// The unique-id of a message.
    pub fn write(&self, parts: UidlParts<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Guid => out.push_str(parts.guid),
                Piece::Number { which, width, hexadecimal } => {
                    let number = match which {
                        Which::Uid => parts.uid,
                        Which::Validity => parts.validity,
                    };
                    let number = if *hexadecimal { format!("{number:x}") } else { number.to_string() };
                    out.extend(std::iter::repeat_n('0', width.saturating_sub(number.len())));
                    let _ = write!(out, "{number}");
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const PARTS: UidlParts<'_> = UidlParts { uid: 0xABC, validity: 1_795_479_510, guid: "0a1b" };

    #[test]
    fn formats_give_what_dovecot_gives() {
        let cases = [
            ("%08Xu%08Xv", "00000abc6b04d7d6"),
            ("%v.%u", "1795479510.2748"),
            ("%v-%u", "1795479510-2748"),
            ("UID%u-%v", "UID2748-1795479510"),
            ("%Xv%Xu", "6b04d7d6abc"),
            ("%08u", "00002748"),
            ("%g", "0a1b"),
            ("x%f%%", "x0a1b%"),
        ];
        for (format, expected) in cases {
            assert_eq!(format.parse::<UidlFormat>().unwrap().write(PARTS), expected, "{format}");
        }
        assert_eq!(UidlFormat::default(), "%08Xu%08Xv".parse().unwrap());
        assert!("%g".parse::<UidlFormat>().unwrap().wants_guid());
        assert!(!UidlFormat::default().wants_guid());
    }

    #[test]
    fn formats_that_cannot_work_are_refused() {
        let long = "x".repeat(MAX_UIDL_FORMAT) + "%u";
        let cases = [
            ("", BadUidlFormat::NotUnique),
            ("%v", BadUidlFormat::NotUnique),
            ("%%u", BadUidlFormat::NotUnique),
            ("%m", BadUidlFormat::Unknown),
            ("%", BadUidlFormat::Unknown),
            ("%08g", BadUidlFormat::Unknown),
            ("%X%", BadUidlFormat::Unknown),
            ("a b%u", BadUidlFormat::Text),
            ("\u{e4}%u", BadUidlFormat::Text),
            ("%071u", BadUidlFormat::Text),
            ("%8u", BadUidlFormat::Unknown),
            ("%099999999999999999999u", BadUidlFormat::Text),
            ("%040u%040v", BadUidlFormat::Text),
            (long.as_str(), BadUidlFormat::Text),
        ];
        for (format, expected) in cases {
            assert_eq!(format.parse::<UidlFormat>(), Err(expected), "{format}");
        }
    }
}
