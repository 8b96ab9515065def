//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1).

use kings_imap::{Code, Condition, SequenceSet, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::Snapshot;

use super::convert::{modseq_to_imap, to_store};
use super::{Client, Trouble};
use crate::blocking::blocking;

impl Client {
    /// The EXPUNGE responses come from the comparison after the command.
    pub(super) async fn expunge(
        &mut self,
        session: &Session,
        set: Option<&SequenceSet>,
    ) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        let mailbox = selected.to_change(Rights::EXPUNGE)?.clone();
        let only: Option<Vec<_>> =
            set.map(|set| selected.view.with_uids(set).into_iter().map(|(_, uid)| to_store(uid)).collect());
        let removing = mailbox.clone();
        let removed = blocking(move || removing.expunge(only.as_deref())).await?;
        Ok(done(session, &removed, &mailbox.snapshot()))
    }
}

/// A client with a cache has the number of a removal that it asked for (RFC 7162 §3.2.7, RFC 7162 §3.2.8).
pub(super) fn done(session: &Session, removed: &[kings_store::Uid], snapshot: &Snapshot) -> Tagged {
    if removed.is_empty() || !session.enabled().qresync {
        return Tagged::DONE;
    }
    Tagged::with(Condition::Ok, Code::HighestModSeq(modseq_to_imap(snapshot.highest_modseq)), "Done")
}
