//! APPEND and REPLACE up to each of their messages (RFC 3501 §6.3.11, RFC 3502 §6.3.11, RFC 8508 §3).

use std::num::NonZeroU32;

use kings_mail::date::DateTime;

use super::Enabled;
use crate::cursor::{Cursor, SyntaxError};
use crate::flag::Flag;

/// What APPEND says before the message comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Where to, decoded.
    pub mailbox: String,
    /// The first message.
    pub message: Arriving,
    /// REPLACE: the message of the selected mailbox that goes when this one is there.
    pub replaces: Option<Replaced>,
}

/// The message that REPLACE names (RFC 8508 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its UID, not its number.
    pub uid: bool,
    /// `None` for the last one, `*`.
    pub number: Option<NonZeroU32>,
}

/// What is said of one message before it comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Arriving {
    /// Flags the message starts with.
    pub flags: Vec<Flag>,
    /// The INTERNALDATE it gets; now without one.
    pub internal_date: Option<DateTime>,
    /// Octets that will come.
    pub size: u64,
    /// It stands in `UTF8 (...)` (RFC 6855 §4).
    pub utf8: bool,
}

/// Reads `tag APPEND mailbox [flags] [date] ` up to the literal that is the message, or `tag REPLACE number mailbox ...`.
///
/// `None`: this is neither, or the literal at the end is its mailbox name. `command` ends in the CRLF
/// behind the literal's size, which the reader has read already.
pub(crate) fn append_head(
    command: &[u8],
    enabled: Enabled,
    size: u64,
) -> Option<Result<Append, SyntaxError>> {
    let mut cursor = Cursor::new(command).of(enabled);
    cursor.tag().ok()?;
    let is_append = cursor.eat_word(" APPEND ");
    let uid = !is_append && cursor.eat_word(" UID REPLACE ");
    if !is_append && !uid && !cursor.eat_word(" REPLACE ") {
        return None;
    }
    let replaces = if is_append { Ok(None) } else { replaced(&mut cursor, uid).map(Some) };
    if cursor.clone().announces_literal() {
        return None;
    }
    Some(replaces.and_then(|replaces| arguments(&mut cursor, size, replaces)))
}

/// Reads ` [flags] [date] ` behind a message, up to the literal that is the next one. `text` ends as that of
/// [`append_head`].
pub(crate) fn next_message(
    text: &[u8],
    enabled: Enabled,
    (size, behind_utf8): (u64, bool),
) -> Result<Arriving, SyntaxError> {
    let mut cursor = Cursor::new(text).of(enabled);
    if behind_utf8 {
        cursor.expect(b')', SyntaxError::Parenthesis)?;
    }
    arriving(&mut cursor, size)
}

fn arguments(cursor: &mut Cursor<'_>, size: u64, replaces: Option<Replaced>) -> Result<Append, SyntaxError> {
    Ok(Append { mailbox: cursor.mailbox()?, message: arriving(cursor, size)?, replaces })
}

/// `4 ` or `* `.
fn replaced(cursor: &mut Cursor<'_>, uid: bool) -> Result<Replaced, SyntaxError> {
    let number = if cursor.eat(b'*') { None } else { Some(cursor.nz_number()?) };
    cursor.space()?;
    Ok(Replaced { uid, number })
}

fn arriving(cursor: &mut Cursor<'_>, size: u64) -> Result<Arriving, SyntaxError> {
    cursor.space()?;
    let flags = if cursor.peek() == Some(b'(') {
        let flags = cursor.flag_list()?;
        cursor.space()?;
        flags
    } else {
        Vec::new()
    };
    let internal_date = if cursor.peek() == Some(b'"') {
        let text = cursor.string()?;
        let date = std::str::from_utf8(&text).ok().and_then(DateTime::parse_imap).ok_or(SyntaxError::Date)?;
        cursor.space()?;
        Some(date)
    } else {
        None
    };
    let utf8 = cursor.eat_word("UTF8 (");
    // RFC 6855 §4: only for those who have enabled it, and always a `literal8`.
    if utf8 && !(cursor.enabled.utf8 && cursor.peek() == Some(b'~')) || !cursor.clone().announces_literal() {
        return Err(SyntaxError::Literal);
    }
    Ok(Arriving { flags, internal_date, size, utf8 })
}
