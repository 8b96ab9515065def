//! STATUS (RFC 3501 §6.3.10), with the items of later RFCs.

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
    /// Octets of all messages, each as RFC822.SIZE has it (RFC 8438 §3).
    Size,
    /// Largest message that APPEND takes, in octets (RFC 7889 §3.1).
    AppendLimit,
    /// When anything changed last (RFC 7162 §3.1.7).
    HighestModSeq,
    /// Messages with `\Deleted` (RFC 9208 §4.1.4).
    Deleted,
    /// Octets that EXPUNGE would free (RFC 9208 §4.1.4).
    DeletedStorage,
    /// The mailbox's own name (RFC 8474 §4.3).
    MailboxId,
}

impl StatusItem {
    const ALL: [Self; 11] = [
        Self::Messages,
        Self::Recent,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Size,
        Self::AppendLimit,
        Self::HighestModSeq,
        Self::Deleted,
        Self::DeletedStorage,
        Self::MailboxId,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Size => "SIZE",
            Self::AppendLimit => "APPENDLIMIT",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::Deleted => "DELETED",
            Self::DeletedStorage => "DELETED-STORAGE",
            Self::MailboxId => "MAILBOXID",
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
    let items = items(cursor)?;
    Ok(Command::Request(Request::Status { mailbox, items }))
}

/// `(MESSAGES UNSEEN)`, one at the least.
pub(super) fn items(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>, SyntaxError> {
    let items = cursor.list(2 * StatusItem::ALL.len(), StatusItem::parse)?;
    if items.is_empty() { Err(SyntaxError::StatusItem) } else { Ok(items) }
}
