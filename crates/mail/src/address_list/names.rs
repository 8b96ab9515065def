//! Names for people and comments in an address list that are not ASCII: where they stand, and what they say.

use std::ops::Range;

use super::lexer::{Kind, Token, lex, lex_mended};
use super::{Piece, phrase, pieces};
use crate::encoded_word;

/// An address of nobody, by its domain (RFC 6858 §2.1).
const NOBODY: &str = " <invalid@internationalized-address.invalid>";

/// A place in the text of a field that is to be written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Range<usize>,
    /// With its parentheses.
    pub(crate) is_comment: bool,
    /// What it says, without quotes and encoded words; `None` for a place where the line may be folded.
    pub(crate) text: Option<String>,
}

/// All of them, in no order. Nothing in a field that two readers may part in two ways, since a mark in it is never closed.
pub(crate) fn changes(text: &str) -> Vec<Change> {
    let tokens = lex(text);
    let form = |tokens: &[Token<'_>]| -> Vec<(Kind, usize)> {
        tokens.iter().map(|token| (token.kind, token.raw.len())).collect()
    };
    if form(&lex_mended(text)) != form(&tokens) {
        return Vec::new();
    }
    let place = |token: &Token<'_>| {
        let start = token.raw.as_ptr() as usize - text.as_ptr() as usize;
        start..start + token.raw.len()
    };
    let mut changes = Vec::new();
    for token in &tokens {
        let at = place(token);
        if token.kind == Kind::Comment && !token.raw.is_ascii() {
            changes.push(Change { at, is_comment: true, text: Some(said(&token.text())) });
        } else if token.is(",") && text[at.end..].starts_with([' ', '\t']) {
            changes.push(Change { at: at.end..at.end, is_comment: false, text: None });
        }
    }
    for piece in pieces(&tokens) {
        for run in name(&piece).split(|token| token.kind == Kind::Comment) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let is_ascii = run.iter().all(|token| token.raw.is_ascii());
            // A mark in it may be that of an address, which is nobody's to encode.
            if is_ascii || run.iter().any(|token| matches!(token.kind, Kind::Special | Kind::Literal)) {
                continue;
            }
            let at = place(first).start..place(last).end;
            changes.push(Change { at, is_comment: false, text: Some(said(&phrase(run))) });
        }
    }
    changes
}

/// The list with an address that nobody can write to in the place of each that is not ASCII, which is told as its name
/// (RFC 6858 §2.1); one to a line.
pub(crate) fn without_unicode_addresses(text: &str) -> String {
    let tokens = lex(text);
    let (mut out, mut separator) = (String::new(), "");
    for piece in pieces(&tokens) {
        let (tokens, nobody, end, next) = match piece {
            Piece::Address([]) => continue,
            Piece::Address(tokens) => (tokens, NOBODY, "", ",\r\n "),
            Piece::GroupStart(tokens) => (tokens, "", ":", "\r\n "),
            Piece::GroupEnd => {
                out.push(';');
                separator = ",\r\n ";
                continue;
            }
        };
        out.push_str(std::mem::replace(&mut separator, next));
        let raw = raw(tokens, text);
        if raw.is_ascii() {
            out.push_str(raw);
        } else {
            out.push_str(&encoded_word::encode_phrase(&said(raw)));
            out.push_str(nobody);
        }
        out.push_str(end);
    }
    out
}

/// What stands in `text` from the first token to the last.
fn raw<'a>(tokens: &[Token<'_>], text: &'a str) -> &'a str {
    let at = |token: &Token<'_>| token.raw.as_ptr() as usize - text.as_ptr() as usize;
    let range = tokens.first().zip(tokens.last()).map(|(first, last)| at(first)..at(last) + last.raw.len());
    range.and_then(|range| text.get(range)).unwrap_or_default()
}

/// What stands before the address, or names a group.
fn name<'t, 'a>(piece: &Piece<'t, 'a>) -> &'t [Token<'a>] {
    match piece {
        Piece::Address(tokens) => {
            let opening = tokens.iter().position(|token| token.is("<"));
            opening.map_or(&tokens[..0], |at| &tokens[..at])
        }
        Piece::GroupStart(tokens) => tokens,
        Piece::GroupEnd => &[],
    }
}

fn said(text: &str) -> String {
    encoded_word::decode(text).into_owned()
}
