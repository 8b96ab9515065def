//! COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851 §3).

use kings_imap::command::Copy;
use kings_imap::{Code, Condition, Response, SequenceSet, Session, Tagged};
use kings_store::Copied;

use super::convert::{to_imap, to_store};
use super::{Client, Trouble, expunge};
use crate::blocking::blocking;

impl Client {
    /// All or nothing. The EXPUNGE responses of MOVE come from the comparison after the command, behind
    /// COPYUID, as RFC 6851 §4.3 has it.
    pub(super) async fn copy(&mut self, session: &mut Session, copy: &Copy) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        if copy.removes {
            selected.must_be_writable()?;
        }
        let wanted = selected.resolve(&copy.set, copy.uid)?;
        let (mailbox, here) = (selected.mailbox.clone(), selected.mailbox.clone());
        let target = self.open(&copy.mailbox).await.map_err(Trouble::about_target)?;
        let uids: Vec<_> = wanted.into_iter().map(|(_, uid)| to_store(uid)).collect();
        if uids.is_empty() {
            return Ok(Tagged::DONE);
        }
        let (removes, into) = (copy.removes, target.clone());
        let copied =
            blocking(
                move || if removes { mailbox.move_to(&uids, &into) } else { mailbox.copy_to(&uids, &into) },
            )
            .await
            .map_err(|failure| Trouble::from(failure).about_target())?;
        self.has_brought(&target, &copied.pairs.iter().map(|pair| to_imap(pair.1)).collect::<Vec<_>>());
        let Some(code) = copy_uid(&copied) else { return Ok(Tagged::DONE) };
        let result = Tagged::with(Condition::Ok, code, "Copied");
        if removes {
            session.respond(&Response::Status(result));
            let moved: Vec<_> = copied.pairs.iter().map(|pair| pair.0).collect();
            return Ok(expunge::done(session, &moved, &here.snapshot()));
        }
        Ok(result)
    }
}

/// Originals and copies in the same order (RFC 4315 §3).
fn copy_uid(copied: &Copied) -> Option<Code> {
    let list = |side: fn(&(kings_store::Uid, kings_store::Uid)) -> kings_store::Uid| {
        SequenceSet::of(&copied.pairs.iter().map(side).map(to_imap).collect::<Vec<_>>())
    };
    Some(Code::CopyUid {
        validity: copied.validity.0.get(),
        from: list(|pair| pair.0)?,
        to: list(|pair| pair.1)?,
    })
}
