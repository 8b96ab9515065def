//! APPEND (RFC 3501 §6.3.11): the message goes to the store piece by piece and is never held whole.

use kings_imap::{Append, Code, Condition, Tagged};
use kings_mail::date::DateTime;
use kings_store::{Flags, HEAD_OCTETS, Incoming, Mailbox};

use super::convert::{flag_set, to_imap};
use super::{Client, Trouble};
use crate::blocking::{Failure, blocking};

/// The message on its way in, if there is one. A failure to keep it is told at its end: the client must be
/// heard out first.
#[derive(Debug, Default)]
pub(super) struct Intake {
    message: Option<Result<Incoming, Trouble>>,
    target: Option<Target>,
}

#[derive(Debug)]
struct Target {
    mailbox: Mailbox,
    flags: Flags,
    internal_date: Option<DateTime>,
}

impl Intake {
    /// Keeps a piece. Up to [`HEAD_OCTETS`] stay in memory, so writing them cannot block.
    pub(super) async fn write(&mut self, octets: Vec<u8>) {
        let Some(Ok(mut incoming)) = self.message.take_if(|message| message.is_ok()) else { return };
        let kept = if incoming.len() + octets.len() as u64 <= HEAD_OCTETS as u64 {
            incoming.write(&octets).map(|()| incoming).map_err(Failure::Store)
        } else {
            blocking(move || incoming.write(&octets).map(|()| incoming)).await
        };
        self.message = Some(kept.map_err(Trouble::from));
    }
}

impl Client {
    /// Whether the message may come: all that can be refused now need not be sent.
    pub(super) async fn begin_append(&mut self, append: Append) -> Result<(), Trouble> {
        if append.size == 0 {
            return Err(Trouble::Refused(Tagged::EMPTY_MESSAGE));
        }
        let mailbox = self.open(&append.mailbox).await.map_err(Trouble::about_target)?;
        let flags = flag_set(&append.flags).map_err(Trouble::Store)?;
        let store = self.inner.door.people.store.clone();
        let incoming = blocking(move || store.begin()).await?;
        let target = Target { mailbox, flags, internal_date: append.internal_date };
        self.intake = Intake { message: Some(Ok(incoming)), target: Some(target) };
        Ok(())
    }

    /// Stores the message; it is on disk before the client hears its UID.
    pub(super) async fn end_append(&mut self) -> Result<Tagged, Trouble> {
        let Intake { message: Some(message), target: Some(target) } = std::mem::take(&mut self.intake) else {
            return Err(Trouble::Refused(Tagged::SERVER_BUG));
        };
        let incoming = message?;
        let Target { mailbox, flags, internal_date } = target;
        let stored = blocking(move || mailbox.append(&incoming, &flags, internal_date)).await;
        let (validity, uid) = stored.map_err(|failure| Trouble::from(failure).about_target())?;
        let code = Code::AppendUid(validity.0.get(), to_imap(uid));
        Ok(Tagged::with(Condition::Ok, code, "Stored"))
    }
}
