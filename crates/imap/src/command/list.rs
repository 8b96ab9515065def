//! LIST and LSUB (RFC 3501 §6.3.8), with what SPECIAL-USE needs of RFC 5258.

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::{MAX_LIST_PATTERNS, MAX_MAILBOX};

/// LIST or LSUB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The answers are LSUB responses: subscribed names, with their parents for `%` (RFC 3501 §6.3.9).
    pub lsub: bool,
    /// Put before each pattern; on the wire's modified UTF-7, as the patterns are.
    pub reference: Vec<u8>,
    /// One or more (RFC 5258 §3). One that is empty asks for the separator.
    pub patterns: Vec<Vec<u8>>,
    /// Which mailboxes (RFC 5258 §3.1).
    pub select: ListOptions,
    /// What to tell about each (RFC 5258 §3.2). CHILDREN is always told (RFC 3348 §3).
    pub tell: ListOptions,
}

/// The options of both kinds that are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only subscribed ones; or: say which are subscribed.
    pub subscribed: bool,
    /// Only those with a special use (RFC 6154 §2); or: say which use. We always say.
    pub special_use: bool,
}

pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let select = if cursor.peek() == Some(b'(') {
        let options = options(cursor, &["SUBSCRIBED", "SPECIAL-USE", "REMOTE"])?;
        cursor.space()?;
        options
    } else {
        ListOptions::default()
    };
    let reference = name(cursor)?;
    cursor.space()?;
    let patterns =
        if cursor.peek() == Some(b'(') { cursor.list(MAX_LIST_PATTERNS, name)? } else { vec![name(cursor)?] };
    let tell = if cursor.eat_word(" RETURN ") {
        options(cursor, &["SUBSCRIBED", "SPECIAL-USE", "CHILDREN"])?
    } else {
        ListOptions::default()
    };
    Ok(Command::Request(Request::List(List { lsub: false, reference, patterns, select, tell })))
}

pub(super) fn lsub(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let reference = name(cursor)?;
    cursor.space()?;
    let patterns = vec![name(cursor)?];
    let (select, tell) = (ListOptions { subscribed: true, special_use: false }, ListOptions::default());
    Ok(Command::Request(Request::List(List { lsub: true, reference, patterns, select, tell })))
}

fn name(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, SyntaxError> {
    let name = cursor.list_mailbox()?;
    if name.len() > MAX_MAILBOX { Err(SyntaxError::Mailbox) } else { Ok(name.into_owned()) }
}

fn options(cursor: &mut Cursor<'_>, known: &[&str]) -> Result<ListOptions, SyntaxError> {
    let words = cursor.list(MAX_LIST_PATTERNS, Cursor::word)?;
    if !words.iter().all(|word| known.contains(&word.as_str())) {
        return Err(SyntaxError::ListOption);
    }
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    Ok(ListOptions { subscribed: has("SUBSCRIBED"), special_use: has("SPECIAL-USE") })
}
