//! What can go wrong with a request, and the only place where it becomes a result for the client.

use std::io;

use kings_imap::Tagged;
use kings_store::StoreError;
use tracing::{error, warn};

use crate::blocking::Failure;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The request itself is at fault, or the state of the mailbox; the client hears this.
    #[error("{}", .0.text)]
    Refused(Tagged),
    /// The store said no.
    #[error(transparent)]
    Store(StoreError),
    /// A store call panicked.
    #[error("a store call crashed")]
    Crashed,
    /// The client cannot be reached: the session ends.
    #[error(transparent)]
    Stream(#[from] io::Error),
}

impl Trouble {
    /// The result that the client hears; the cause of local trouble stays in our log.
    pub(crate) fn into_result(self) -> io::Result<Tagged> {
        match self {
            Self::Refused(tagged) => Ok(tagged),
            Self::Store(error) => Ok(result(&error)),
            Self::Crashed => {
                error!("a store call crashed");
                Ok(Tagged::SERVER_BUG)
            }
            Self::Stream(error) => Err(error),
        }
    }

    /// The same for a mailbox that is only a target: the client may create it and try again
    /// (RFC 3501 §6.3.11).
    pub(crate) fn about_target(self) -> Self {
        match self {
            Self::Store(StoreError::NoSuchMailbox) => Self::Refused(Tagged::TRY_CREATE),
            other => other,
        }
    }
}

/// What could not be read while a command went on with the others: the first failure counts.
#[derive(Debug, Default)]
pub(crate) struct Unread(Option<StoreError>);

impl Unread {
    /// Notes why a message could not be read. One that is gone, or no mail, is not missed; a mailbox that is gone ends everything.
    pub(crate) fn note(&mut self, error: StoreError) -> Result<(), StoreError> {
        match error {
            StoreError::Expunged | StoreError::TooLarge => Ok(()),
            StoreError::Io(_) => {
                self.0.get_or_insert(error);
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Whether nothing was noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What both have.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// How the command went that has told all the others.
    pub(crate) fn into_result(self) -> Tagged {
        let Some(error) = self.0 else { return Tagged::DONE };
        error!(%error, "some messages cannot be searched");
        Tagged::SOME_UNREADABLE
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => Self::Store(error),
            Failure::Crashed => Self::Crashed,
        }
    }
}

fn result(error: &StoreError) -> Tagged {
    match error {
        StoreError::NoSuchMailbox => Tagged::NO_MAILBOX,
        StoreError::AlreadyExists => Tagged::MAILBOX_EXISTS,
        StoreError::BadName => Tagged::BAD_NAME,
        StoreError::TooManyAnnotations => Tagged::TOO_MUCH_METADATA,
        StoreError::UseTaken => Tagged::USE_TAKEN,
        StoreError::CannotDeleteInbox => Tagged::INBOX_STAYS,
        StoreError::Expunged => Tagged::EXPUNGED,
        StoreError::BadKeyword => Tagged::BAD_KEYWORD,
        StoreError::TooManyKeywords => Tagged::TOO_MANY_KEYWORDS,
        StoreError::TooLarge => Tagged::TOO_BIG,
        StoreError::LooksCompressed => Tagged::LOOKS_COMPRESSED,
        StoreError::NoSpace => {
            warn!("no space left for mail");
            Tagged::NO_SPACE
        }
        StoreError::OverQuota => Tagged::OVER_QUOTA,
        StoreError::Locked => {
            warn!("a mailbox stays locked by another program");
            Tagged::IN_USE
        }
        StoreError::Io(error) => {
            error!(%error, "mail storage failed");
            Tagged::TRY_LATER
        }
    }
}
