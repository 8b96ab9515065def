//! GETMETADATA and SETMETADATA (RFC 5464 §4).

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::{MAX_ENTRY, MAX_METADATA_ENTRIES, MAX_SELECT_OPTIONS};
use crate::response::Annotation;

/// GETMETADATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadata {
    /// `None` for the server: what is noted about the account.
    pub mailbox: Option<String>,
    /// Names of entries; `/private` and `/shared` stand for all below them.
    pub entries: Vec<String>,
    /// What below each is told as well.
    pub depth: Depth,
    /// Longer values are not told (RFC 5464 §4.2.1).
    pub max_size: Option<u32>,
}

/// How far below an entry GETMETADATA looks (RFC 5464 §4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The entry alone.
    #[default]
    Zero,
    /// And those directly below it.
    One,
    /// And all below it.
    Infinity,
}

/// SETMETADATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMetadata {
    /// `None` for the server.
    pub mailbox: Option<String>,
    /// Entries and what they become; `None` removes one.
    pub entries: Vec<Annotation>,
}

impl GetMetadata {
    /// Whether the entry `name` is told. Both in lower case.
    pub fn wants(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| match name.strip_prefix(entry.as_str()) {
            Some("") => true,
            Some(below) => match (self.depth, below.strip_prefix('/')) {
                (Depth::Zero, _) | (_, None) => false,
                (Depth::One, Some(below)) => !below.contains('/'),
                (Depth::Infinity, Some(_)) => true,
            },
            None => false,
        })
    }
}

pub(super) fn get(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let mut get = GetMetadata { mailbox: None, entries: Vec::new(), depth: Depth::Zero, max_size: None };
    let has_options = cursor.peek() == Some(b'(');
    if has_options {
        options(cursor, &mut get)?;
    }
    get.mailbox = mailbox(cursor)?;
    cursor.space()?;
    // The grammar wants them before the mailbox, but the examples of RFC 5464 §4.2.1 have them behind it.
    if !has_options && are_options(cursor.clone()) {
        options(cursor, &mut get)?;
    }
    get.entries = if cursor.peek() == Some(b'(') { names(cursor)? } else { vec![entry(cursor)?] };
    Ok(Command::Request(Request::GetMetadata(get)))
}

/// Whether a list is one of options: names of entries begin with a slash.
fn are_options(mut cursor: Cursor<'_>) -> bool {
    cursor.eat(b'(') && cursor.word().is_ok_and(|word| word == "MAXSIZE" || word == "DEPTH")
}

/// A list of them and the space behind it.
fn options(cursor: &mut Cursor<'_>, get: &mut GetMetadata) -> Result<(), SyntaxError> {
    if cursor.list(MAX_SELECT_OPTIONS, |cursor| option(cursor, get))?.is_empty() {
        return Err(SyntaxError::Modifier);
    }
    cursor.space()
}

/// `MAXSIZE 1024` and `DEPTH infinity`.
fn option(cursor: &mut Cursor<'_>, get: &mut GetMetadata) -> Result<(), SyntaxError> {
    let word = cursor.word()?;
    cursor.space()?;
    match word.as_str() {
        "MAXSIZE" if get.max_size.is_none() => get.max_size = Some(cursor.number()?),
        "DEPTH" => {
            get.depth = match cursor.word()?.as_str() {
                "0" => Depth::Zero,
                "1" => Depth::One,
                "INFINITY" => Depth::Infinity,
                _ => return Err(SyntaxError::Modifier),
            }
        }
        _ => return Err(SyntaxError::Modifier),
    }
    Ok(())
}

pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let entries = cursor.list(MAX_METADATA_ENTRIES, |cursor| {
        let name = entry(cursor)?;
        cursor.space()?;
        let value = cursor.nstring_or_binary()?.map(std::borrow::Cow::into_owned);
        // The two roots hold nothing themselves.
        if name.matches('/').count() < 2 { Err(SyntaxError::Entry) } else { Ok((name, value)) }
    })?;
    if entries.is_empty() {
        return Err(SyntaxError::Entry);
    }
    Ok(Command::Request(Request::SetMetadata(SetMetadata { mailbox, entries })))
}

/// Whether a literal behind `command` may hold NUL: it is a value.
pub(crate) fn takes_binary(command: &[u8]) -> bool {
    let mut cursor = Cursor::new(command);
    cursor.tag().is_ok() && cursor.eat_word(" SETMETADATA ")
}

/// The empty name is the server.
fn mailbox(cursor: &mut Cursor<'_>) -> Result<Option<String>, SyntaxError> {
    if cursor.clone().astring()?.is_empty() {
        cursor.astring()?;
        return Ok(None);
    }
    cursor.mailbox().map(Some)
}

/// `(/shared/comment /private/comment)`, one at the least.
pub(super) fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, SyntaxError> {
    let names = cursor.list(MAX_METADATA_ENTRIES, entry)?;
    if names.is_empty() { Err(SyntaxError::Entry) } else { Ok(names) }
}

/// RFC 5464 §3.2; names have no case, and are kept in lower case.
fn entry(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let name = cursor.astring()?;
    let is_plain = |octet: &u8| matches!(octet, b' '..=b'~') && !b"*%".contains(octet);
    let name = std::str::from_utf8(&name).map_err(|_| SyntaxError::Entry)?.to_ascii_lowercase();
    let is_rooted =
        |root: &str| name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_whole = !name.contains("//") && !name.ends_with('/') && name.len() <= MAX_ENTRY;
    let is_good = name.bytes().all(|octet| is_plain(&octet)) && is_whole;
    (is_good && (is_rooted("/private") || is_rooted("/shared"))).then_some(name).ok_or(SyntaxError::Entry)
}
