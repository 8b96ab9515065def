//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §3).

use kings_mail::rights::Rights;

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::MAX_IDENTIFIER;

/// A command about rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acl {
    /// RFC 4314 §3.1
    Set {
        /// Of which mailbox.
        mailbox: String,
        /// Whose rights; with a minus, what is taken from them.
        identifier: String,
        /// `+` and `-` change what is there.
        change: RightsChange,
    },
    /// RFC 4314 §3.2
    Delete {
        /// Of which mailbox.
        mailbox: String,
        /// Whose rights.
        identifier: String,
    },
    /// RFC 4314 §3.3
    Get(String),
    /// RFC 4314 §3.4
    List {
        /// Of which mailbox.
        mailbox: String,
        /// Whose rights.
        identifier: String,
    },
    /// RFC 4314 §3.5
    Mine(String),
}

/// What SETACL does with the rights that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsChange {
    /// These and no others.
    Replace(Rights),
    /// `+`: these as well.
    Add(Rights),
    /// `-`: all but these.
    Remove(Rights),
}

pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    let (mailbox, identifier) = mailbox_and_identifier(cursor)?;
    cursor.space()?;
    let letters = cursor.utf8()?;
    let rights = |letters: &str| Rights::parse(letters).ok_or(SyntaxError::Rights);
    let change = match (letters.strip_prefix('+'), letters.strip_prefix('-')) {
        (Some(more), _) => RightsChange::Add(rights(more)?),
        (_, Some(less)) => RightsChange::Remove(rights(less)?),
        (None, None) => RightsChange::Replace(rights(&letters)?),
    };
    Ok(request(Acl::Set { mailbox, identifier, change }))
}

pub(super) fn delete(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    let (mailbox, identifier) = mailbox_and_identifier(cursor)?;
    Ok(request(Acl::Delete { mailbox, identifier }))
}

pub(super) fn get(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    cursor.mailbox().map(Acl::Get).map(request)
}

pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    let (mailbox, identifier) = mailbox_and_identifier(cursor)?;
    Ok(request(Acl::List { mailbox, identifier }))
}

pub(super) fn mine(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    cursor.mailbox().map(Acl::Mine).map(request)
}

fn request(acl: Acl) -> Command {
    Command::Request(Request::Acl(acl))
}

/// An identifier is kept in a file by the line, so it holds no end of one.
fn mailbox_and_identifier(cursor: &mut Cursor<'_>) -> Result<(String, String), SyntaxError> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let identifier = cursor.utf8()?;
    let name = identifier.strip_prefix('-').unwrap_or(&identifier);
    let is_good =
        !name.is_empty() && identifier.len() <= MAX_IDENTIFIER && !identifier.contains(char::is_control);
    if is_good { Ok((mailbox, identifier)) } else { Err(SyntaxError::Identifier) }
}
