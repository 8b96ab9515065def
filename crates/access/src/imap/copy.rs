//! COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851 §3).

use kings_imap::command::Copy;
use kings_imap::{Code, Condition, Response, SequenceSet, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::{Copied, FlagKinds};

use super::convert::{to_imap, to_store};
use super::{Client, Trouble, expunge};
use crate::blocking::blocking;

impl Client {
    /// All or nothing. The EXPUNGE responses of MOVE come from the comparison after the command, behind
    /// COPYUID, as RFC 6851 §4.3 has it.
    pub(super) async fn copy(&mut self, session: &mut Session, copy: &Copy) -> Result<Tagged, Trouble> {
        let selected = self.selected()?;
        let mailbox = if copy.removes {
            selected.to_change(Rights::REMOVES)?.clone()
        } else {
            selected.to_read()?.clone()
        };
        let wanted = selected.resolve(&copy.set, copy.uid)?;
        let here = mailbox.clone();
        let target = self.open(&copy.mailbox, Rights::INSERT).await.map_err(Trouble::about_target)?;
        let (kinds, tells) = (FlagKinds::of(target.rights()), target.rights().contain(Rights::READ));
        let uids: Vec<_> = wanted.into_iter().map(|(_, uid)| to_store(uid)).collect();
        if uids.is_empty() {
            return Ok(Tagged::DONE);
        }
        let (removes, into) = (copy.removes, target.to(Rights::INSERT)?.clone());
        let copied = blocking(move || {
            if removes {
                mailbox.move_some_flags_to(&uids, &into, kinds)
            } else {
                mailbox.copy_some_flags_to(&uids, &into, kinds)
            }
        })
        .await
        .map_err(|failure| Trouble::from(failure).about_target())?;
        self.has_brought(&target, &copied.pairs.iter().map(|pair| to_imap(pair.1)).collect::<Vec<_>>());
        let Some(code) = copy_uid(&copied) else { return Ok(Tagged::DONE) };
        // UIDs of a mailbox that may not be read are nobody's business (RFC 4315 §3).
        let result = if tells { Tagged::with(Condition::Ok, code, "Copied") } else { Tagged::ok("Copied") };
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
