//! What can go wrong in the store, named so that each flow can choose its own words for it.

use std::io;

/// Why the store refused or failed. Users match every variant: there is no wildcard arm in a reply table.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No mailbox of this name, or it was deleted while it was open.
    #[error("no such mailbox")]
    NoSuchMailbox,
    /// A mailbox of this name exists.
    #[error("the mailbox exists already")]
    AlreadyExists,
    /// The name cannot stand for a mailbox or an account on disk.
    #[error("not a name the store can keep")]
    BadName,
    /// A mailbox was made for this use already, and there is one for each (RFC 6154 §3).
    #[error("another mailbox was made for this use")]
    UseTaken,
    /// INBOX always exists (RFC 9051 §6.3.5).
    #[error("INBOX cannot be deleted")]
    CannotDeleteInbox,
    /// The message is gone: expunged here or by another program.
    #[error("the message is gone")]
    Expunged,
    /// The text cannot be a keyword (RFC 9051 §9 `flag-keyword`).
    #[error("not a keyword")]
    BadKeyword,
    /// A Maildir holds 26 keywords, one letter each.
    #[error("the mailbox has no room for another keyword")]
    TooManyKeywords,
    /// There would be more, or more octets, noted about a mailbox than it can have (RFC 5464 §4.3).
    #[error("too much is noted about the mailbox")]
    TooManyAnnotations,
    /// The file is larger than any message the store reads.
    #[error("the message is too large to read")]
    TooLarge,
    /// The message begins as a compressed file does, and would be taken for one when it is read.
    #[error("the message looks like a compressed file")]
    LooksCompressed,
    /// The file system is full, over quota, or below the reserve kept for the queue.
    #[error("no space left for mail")]
    NoSpace,
    /// The account holds as much as it may (RFC 9208 §4.3.1, RFC 3463 §3.3).
    #[error("the account is over its quota")]
    OverQuota,
    /// Another program held the mailbox lock for longer than the rules allow.
    #[error("the mailbox is locked by another program")]
    Locked,
    /// Anything else the file system said. Nothing was promised to be stored.
    #[error("mail storage: {0}")]
    Io(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for StoreError {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_full_disk_and_a_full_quota_are_told_apart_from_other_trouble() {
        assert!(matches!(Errno::NOSPC.into(), StoreError::NoSpace));
        assert!(matches!(Errno::DQUOT.into(), StoreError::NoSpace));
        assert!(matches!(Errno::IO.into(), StoreError::Io(_)));
        assert!(matches!(Errno::ROFS.into(), StoreError::Io(_)));
    }
}
