//! STORE (RFC 3501 §6.4.6).

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::flag::Flag;
use crate::limits::{MAX_FLAGS, MAX_SELECT_OPTIONS};
use crate::sequence::{ModSeq, SequenceSet};

/// STORE or UID STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Whether the set holds UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What happens to the flags.
    pub mode: StoreMode,
    /// `.SILENT`: the client knows the outcome and wants no FETCH responses for its own change.
    pub silent: bool,
    /// The flags.
    pub flags: Vec<Flag>,
    /// Only messages that have not changed after this (RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`: these and no others, `\Recent` apart.
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

pub(super) fn store(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let set = cursor.set()?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        let modifiers = cursor.list(MAX_SELECT_OPTIONS, |cursor| modifier(cursor, &mut unchanged_since))?;
        if modifiers.is_empty() {
            return Err(SyntaxError::Modifier);
        }
        cursor.space()?;
    }
    let (mode, silent) = item(cursor)?;
    cursor.space()?;
    let flags = if cursor.peek() == Some(b'(') { cursor.flag_list()? } else { bare_flags(cursor)? };
    Ok(Command::Request(Request::Store(Store { uid, set, mode, silent, flags, unchanged_since })))
}

/// `UNCHANGEDSINCE 12121230045`, once.
fn modifier(cursor: &mut Cursor<'_>, unchanged_since: &mut Option<ModSeq>) -> Result<(), SyntaxError> {
    if cursor.word()? != "UNCHANGEDSINCE" || unchanged_since.is_some() {
        return Err(SyntaxError::Modifier);
    }
    cursor.space()?;
    *unchanged_since = Some(cursor.modseq()?);
    Ok(())
}

fn item(cursor: &mut Cursor<'_>) -> Result<(StoreMode, bool), SyntaxError> {
    match cursor.word()?.as_str() {
        "FLAGS" => Ok((StoreMode::Replace, false)),
        "FLAGS.SILENT" => Ok((StoreMode::Replace, true)),
        "+FLAGS" => Ok((StoreMode::Add, false)),
        "+FLAGS.SILENT" => Ok((StoreMode::Add, true)),
        "-FLAGS" => Ok((StoreMode::Remove, false)),
        "-FLAGS.SILENT" => Ok((StoreMode::Remove, true)),
        _ => Err(SyntaxError::StoreItem),
    }
}

/// RFC 3501 §9 `store-att-flags` allows flags without parentheses, but at least one.
fn bare_flags(cursor: &mut Cursor<'_>) -> Result<Vec<Flag>, SyntaxError> {
    let mut flags = vec![cursor.flag()?];
    while cursor.eat(b' ') {
        if flags.len() >= MAX_FLAGS {
            return Err(SyntaxError::TooMany);
        }
        flags.push(cursor.flag()?);
    }
    Ok(flags)
}
