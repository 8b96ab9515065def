//! The selected mailbox: the store's side of it and what this client believes.

use std::sync::Arc;

use kings_imap::{SequenceNumber, SequenceSet, Tagged, View};
use kings_store::{Flags, Keyword, Mailbox, Snapshot};
use tokio::sync::watch::Receiver;

use super::Trouble;
use super::convert::to_imap;
use crate::blocking::blocking;

/// A mailbox after SELECT or EXAMINE.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(super) mailbox: Mailbox,
    pub(super) view: View<Flags>,
    pub(super) changes: Receiver<u64>,
    /// The snapshot that the view was compared with last.
    pub(super) compared: Arc<Snapshot>,
    /// Keywords that the client was told of in FLAGS.
    pub(super) keywords: Vec<Keyword>,
    /// The client has not been told yet of some that are gone.
    pub(super) owes_expunge: bool,
}

/// A message that a command means.
pub(super) type Wanted = (SequenceNumber, kings_imap::Uid);

impl Selected {
    /// Looks at the mailbox and begins the view.
    pub(super) async fn open(mailbox: Mailbox, read_only: bool) -> Result<Self, Trouble> {
        let changes = mailbox.changes();
        let (snapshot, recent) = look(&mailbox, read_only).await?;
        let messages = snapshot.messages.iter().map(|message| (to_imap(message.uid), message.flags.clone()));
        let view = View::new(messages, recent.into_iter().map(to_imap), read_only);
        let keywords = snapshot.keywords.clone();
        Ok(Self { mailbox, view, changes, compared: snapshot, keywords, owes_expunge: false })
    }

    /// The messages that a command means.
    pub(super) fn resolve(&self, set: &SequenceSet, uid: bool) -> Result<Vec<Wanted>, Trouble> {
        self.view.resolve(set, uid).map_err(|_| Trouble::Refused(Tagged::NO_SUCH_NUMBER))
    }

    /// Refuses changes through EXAMINE (RFC 3501 §6.3.2).
    pub(super) fn must_be_writable(&self) -> Result<(), Trouble> {
        if self.view.is_read_only() { Err(Trouble::Refused(Tagged::READ_ONLY)) } else { Ok(()) }
    }
}

/// The mailbox now. A session that may write takes new mail out of `new`: it is `\Recent` for this one
/// alone (RFC 3501 §2.3.2); EXAMINE leaves it there.
pub(super) async fn look(
    mailbox: &Mailbox,
    read_only: bool,
) -> Result<(Arc<Snapshot>, Vec<kings_store::Uid>), Trouble> {
    let mailbox = mailbox.clone();
    let look = move || if read_only { Ok((mailbox.refresh()?, Vec::new())) } else { mailbox.select() };
    Ok(blocking(look).await?)
}
