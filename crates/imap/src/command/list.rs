//! LIST and LSUB (RFC 3501 §6.3.8) with the options of RFC 5258, and STATUS for each mailbox (RFC 5819).

use kings_mail::utf7;

use super::metadata;
use super::status::{self, StatusItem};
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
    /// RECURSIVEMATCH: also names above chosen ones that the patterns do not show (RFC 5258 §3.1).
    pub recursive: bool,
    /// What to tell about each (RFC 5258 §3.2). CHILDREN is always told (RFC 3348 §3).
    pub tell: ListOptions,
    /// What STATUS tells of each; nothing where it was not asked for (RFC 5819 §2).
    pub status: Vec<StatusItem>,
    /// Entries that METADATA tells of each (RFC 9590 §3).
    pub metadata: Vec<String>,
    /// MYRIGHTS tells of each (RFC 8440 §4).
    pub my_rights: bool,
}

/// The options of both kinds that are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only subscribed ones; or: say which are subscribed.
    pub subscribed: bool,
    /// Only those with a special use (RFC 6154 §2); or: say which use. We always say.
    pub special_use: bool,
}

/// What stands in one pair of parentheses.
#[derive(Debug, Default)]
struct Words {
    options: ListOptions,
    recursive: bool,
    status: Vec<StatusItem>,
    metadata: Vec<String>,
    my_rights: bool,
}

pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let select = if cursor.peek() == Some(b'(') {
        let select = words(cursor, selection)?;
        cursor.space()?;
        select
    } else {
        Words::default()
    };
    // RFC 5258 §3.1: it needs something else to match.
    if select.recursive && select.options == ListOptions::default() {
        return Err(SyntaxError::ListOption);
    }
    let reference = name(cursor)?;
    cursor.space()?;
    let patterns =
        if cursor.peek() == Some(b'(') { cursor.list(MAX_LIST_PATTERNS, name)? } else { vec![name(cursor)?] };
    if patterns.is_empty() {
        return Err(SyntaxError::String);
    }
    let tell = if cursor.eat_word(" RETURN ") { words(cursor, returned)? } else { Words::default() };
    let (select, recursive) = (select.options, select.recursive);
    let Words { options: tell, status, metadata, my_rights, .. } = tell;
    Ok(Command::Request(Request::List(List {
        lsub: false,
        reference,
        patterns,
        select,
        recursive,
        tell,
        status,
        metadata,
        my_rights,
    })))
}

pub(super) fn lsub(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let reference = name(cursor)?;
    cursor.space()?;
    let patterns = vec![name(cursor)?];
    let (select, tell) = (ListOptions { subscribed: true, special_use: false }, ListOptions::default());
    let list = List {
        lsub: true,
        reference,
        patterns,
        select,
        recursive: false,
        tell,
        status: Vec::new(),
        metadata: Vec::new(),
        my_rights: false,
    };
    Ok(Command::Request(Request::List(list)))
}

fn name(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, SyntaxError> {
    let name = cursor.list_mailbox()?;
    if name.len() > MAX_MAILBOX {
        return Err(SyntaxError::Mailbox);
    }
    if !cursor.enabled.has_utf8_names() {
        return Ok(name.into_owned());
    }
    // Patterns are matched in modified UTF-7, which leaves the wildcards and the separator as they are.
    let name = std::str::from_utf8(&name).map_err(|_| SyntaxError::Mailbox)?;
    Ok(utf7::encode(name).into_bytes())
}

type Reader = fn(&mut Cursor<'_>, &str, &mut Words) -> Result<(), SyntaxError>;

fn words(cursor: &mut Cursor<'_>, read: Reader) -> Result<Words, SyntaxError> {
    let mut words = Words::default();
    cursor.list(MAX_LIST_PATTERNS, |cursor| {
        let word = cursor.word()?;
        read(cursor, &word, &mut words)
    })?;
    Ok(words)
}

/// RFC 5258 §3.1. There are no remote mailboxes, so REMOTE adds none.
fn selection(_: &mut Cursor<'_>, word: &str, words: &mut Words) -> Result<(), SyntaxError> {
    match word {
        "SUBSCRIBED" => words.options.subscribed = true,
        "SPECIAL-USE" => words.options.special_use = true,
        "RECURSIVEMATCH" => words.recursive = true,
        "REMOTE" => {}
        _ => return Err(SyntaxError::ListOption),
    }
    Ok(())
}

/// RFC 5258 §3.2, RFC 5819 §2, RFC 8440 §4, RFC 9590 §3.
fn returned(cursor: &mut Cursor<'_>, word: &str, words: &mut Words) -> Result<(), SyntaxError> {
    match word {
        "SUBSCRIBED" => words.options.subscribed = true,
        "SPECIAL-USE" => words.options.special_use = true,
        "CHILDREN" => {}
        "MYRIGHTS" => words.my_rights = true,
        "STATUS" => {
            cursor.space()?;
            words.status = status::items(cursor)?;
        }
        "METADATA" => {
            cursor.space()?;
            words.metadata = metadata::names(cursor)?;
        }
        _ => return Err(SyntaxError::ListOption),
    }
    Ok(())
}
