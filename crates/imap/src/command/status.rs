//! STATUS (RFC 3501 §6.3.10).

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};

/// What STATUS can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// Messages there are.
    Messages,
    /// Messages with `\Recent`.
    Recent,
    /// The next UID.
    UidNext,
    /// UIDVALIDITY.
    UidValidity,
    /// Messages without `\Seen`.
    Unseen,
}

impl StatusItem {
    const ALL: [Self; 5] = [Self::Messages, Self::Recent, Self::UidNext, Self::UidValidity, Self::Unseen];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
        }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, SyntaxError> {
        let word = cursor.word()?;
        Self::ALL.into_iter().find(|item| item.as_str() == word).ok_or(SyntaxError::StatusItem)
    }
}

pub(super) fn status(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let items = cursor.list(2 * StatusItem::ALL.len(), StatusItem::parse)?;
    if items.is_empty() {
        return Err(SyntaxError::StatusItem);
    }
    Ok(Command::Request(Request::Status { mailbox, items }))
}
