//! APPEND (RFC 3501 §6.3.11, RFC 3502): messages go to the store piece by piece and are never held whole.

use kings_imap::{Append, Arriving, Code, Condition, SequenceSet, Tagged};
use kings_store::{Appended, HEAD_OCTETS, Incoming, Mailbox};

use super::convert::{flag_set, to_imap};
use super::{Client, Trouble};
use crate::blocking::{Failure, blocking};

/// The messages of one APPEND on their way in. A failure to keep one is told at the end of the last: the client must be
/// heard out first.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Where they go, once the first was let in.
    target: Option<Mailbox>,
    messages: Vec<Appended>,
    failure: Option<Trouble>,
}

impl Intake {
    /// Keeps a piece of the last message. Up to [`HEAD_OCTETS`] stay in memory, so writing them cannot block.
    pub(super) async fn write(&mut self, octets: Vec<u8>) {
        if self.failure.is_some() {
            return;
        }
        let Some(Appended { mut content, flags, internal_date }) = self.messages.pop() else { return };
        let kept = if content.len() + octets.len() as u64 <= HEAD_OCTETS as u64 {
            content.write(&octets).map(|()| content).map_err(Failure::Store)
        } else {
            blocking(move || content.write(&octets).map(|()| content)).await
        };
        match kept {
            Ok(content) => self.messages.push(Appended { content, flags, internal_date }),
            Err(failure) => self.failure = Some(failure.into()),
        }
    }

    fn add(&mut self, content: Incoming, message: &Arriving) -> Result<(), Trouble> {
        let flags = flag_set(&message.flags).map_err(Trouble::Store)?;
        self.messages.push(Appended { content, flags, internal_date: message.internal_date });
        Ok(())
    }
}

impl Client {
    /// Whether the first message may come: all that can be refused now need not be sent.
    pub(super) async fn begin_append(&mut self, append: Append) -> Result<(), Trouble> {
        self.intake = Intake::default();
        let mailbox = self.open(&append.mailbox).await.map_err(Trouble::about_target)?;
        self.intake.target = Some(mailbox);
        self.let_in(&append.message).await
    }

    /// Whether one more may come. A refusal ends the command: those before it are forgotten.
    pub(super) async fn next_append(&mut self, message: &Arriving) -> Result<(), Trouble> {
        let outcome = self.let_in(message).await;
        if outcome.is_err() {
            self.intake = Intake::default();
        }
        outcome
    }

    async fn let_in(&mut self, message: &Arriving) -> Result<(), Trouble> {
        if message.size == 0 {
            return Err(Trouble::Refused(Tagged::EMPTY_MESSAGE));
        }
        if let Some(failure) = self.intake.failure.take() {
            return Err(failure);
        }
        let store = self.inner.door.people.store.clone();
        let before = self.intake.messages.iter().map(|message| message.content.len()).sum::<u64>();
        let (octets, count) = (before + message.size, self.intake.messages.len() as u64 + 1);
        let content =
            self.on_account(move |account| account.has_room(octets, count).and_then(|()| store.begin()));
        let content = content.await?;
        self.intake.add(content, message)
    }

    /// Stores the messages; they are on disk before the client hears their UIDs.
    pub(super) async fn end_append(&mut self) -> Result<Tagged, Trouble> {
        let Intake { target: Some(mailbox), messages, failure } = std::mem::take(&mut self.intake) else {
            return Err(Trouble::Refused(Tagged::SERVER_BUG));
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        let stored = blocking(move || mailbox.append(&messages)).await;
        let (validity, uids) = stored.map_err(|failure| Trouble::from(failure).about_target())?;
        let uids: Vec<_> = uids.into_iter().map(to_imap).collect();
        let uids = SequenceSet::of(&uids).ok_or(Trouble::Refused(Tagged::SERVER_BUG))?;
        Ok(Tagged::with(Condition::Ok, Code::AppendUid(validity.0.get(), uids), "Stored"))
    }
}
