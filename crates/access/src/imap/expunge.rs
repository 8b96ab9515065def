//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1).

use kings_imap::{SequenceSet, Tagged};

use super::convert::to_store;
use super::{Client, Trouble};
use crate::blocking::blocking;

impl Client {
    /// The EXPUNGE responses come from the comparison after the command.
    pub(super) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        selected.must_be_writable()?;
        let only: Option<Vec<_>> =
            set.map(|set| selected.view.with_uids(set).into_iter().map(|(_, uid)| to_store(uid)).collect());
        let mailbox = selected.mailbox.clone();
        blocking(move || mailbox.expunge(only.as_deref())).await?;
        Ok(Tagged::DONE)
    }
}
