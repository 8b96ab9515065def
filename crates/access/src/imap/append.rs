//! APPEND (RFC 3501 §6.3.11, RFC 3502) and REPLACE (RFC 8508): messages go to the store piece by piece and are never held whole.

use kings_imap::command::Replaced;
use kings_imap::{Append, Arriving, Code, Condition, Response, SequenceSet, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::{Appended, FlagKinds, HEAD_OCTETS, Incoming, Mailbox};

use super::catenate::Source;
use super::convert::{flag_set, to_imap, to_store};
use super::place::Opened;
use super::{Client, Trouble, Wire, expunge};
use crate::blocking::{Failure, blocking};
use crate::socket::Link;

/// The messages of one APPEND on their way in. A failure to keep one is told at the end of the last: the client must be
/// heard out first.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Where they go, once the first was let in.
    target: Option<Opened>,
    /// The message that goes, and the octets for which that makes room.
    replaces: Option<(kings_store::Uid, Option<u64>)>,
    pub(super) messages: Vec<Appended>,
    /// What the last part was taken from: the next one is mostly of the same message.
    pub(super) source: Option<Box<Source>>,
    pub(super) failure: Option<Trouble>,
}

impl Intake {
    /// Octets and messages that need room, with so many more octets. What REPLACE removes makes some.
    pub(super) fn size_with(&self, more: u64) -> (u64, u64) {
        let octets = more + self.messages.iter().map(|message| message.content.len()).sum::<u64>();
        match self.replaces {
            Some((_, Some(goes))) => (octets.saturating_sub(goes), 0),
            Some((_, None)) | None => (octets, self.messages.len() as u64),
        }
    }

    /// Where the messages go; its owner pays for them.
    pub(super) fn target(&self) -> Result<&Mailbox, Trouble> {
        self.target.as_ref().ok_or(Trouble::Refused(Tagged::SERVER_BUG))?.to(Rights::INSERT)
    }

    /// A message that CATENATE makes of nothing is found so when it is complete.
    fn must_have_octets(&self) -> Result<(), Trouble> {
        let is_empty =
            self.failure.is_none() && self.messages.last().is_some_and(|last| last.content.is_empty());
        if is_empty { Err(Trouble::Refused(Tagged::EMPTY_MESSAGE)) } else { Ok(()) }
    }

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
        let rights = self.target.as_ref().map_or(Rights::NONE, Opened::rights);
        // Flags that this client may not set are left out (RFC 4314 §4).
        let flags = flag_set(&message.flags).map_err(Trouble::Store)?.only(FlagKinds::of(rights));
        self.messages.push(Appended { content, flags, internal_date: message.internal_date });
        Ok(())
    }
}

impl Client {
    /// Whether the first message may come: all that can be refused now need not be sent.
    pub(super) async fn begin_append(&mut self, append: Append) -> Result<(), Trouble> {
        self.intake = Intake::default();
        let target = self.open(&append.mailbox, Rights::INSERT).await.map_err(Trouble::about_target)?;
        self.intake.replaces =
            append.replaces.map(|replaced| self.replaced(replaced, &target)).transpose()?;
        self.intake.target = Some(target);
        self.let_in(&append.message).await
    }

    /// Whether one more may come.
    pub(super) async fn next_append(&mut self, message: &Arriving) -> Result<(), Trouble> {
        self.intake.must_have_octets()?;
        self.let_in(message).await
    }

    /// Tells the client to go on. A refusal ends the command: what came before is forgotten.
    pub(super) fn let_come<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        leave: Result<(), Trouble>,
    ) -> std::io::Result<()> {
        match leave {
            Ok(()) => wire.session.accept_message(),
            Err(trouble) => {
                self.intake = Intake::default();
                wire.session.finish(trouble.into_result()?);
            }
        }
        Ok(())
    }

    async fn let_in(&mut self, message: &Arriving) -> Result<(), Trouble> {
        if message.size == Some(0) {
            return Err(Trouble::Refused(Tagged::EMPTY_MESSAGE));
        }
        if let Some(failure) = self.intake.failure.take() {
            return Err(failure);
        }
        let store = self.inner.door.people.store.clone();
        let (octets, others) = self.intake.size_with(message.size.unwrap_or(0));
        let makes_room = matches!(self.intake.replaces, Some((_, Some(_))));
        let count = if makes_room { 0 } else { others + 1 };
        let target = self.intake.target()?.clone();
        let content = blocking(move || target.has_room(octets, count).and_then(|()| store.begin())).await?;
        self.intake.add(content, message)
    }

    /// The message that REPLACE names.
    fn replaced(
        &mut self,
        replaced: Replaced,
        target: &Opened,
    ) -> Result<(kings_store::Uid, Option<u64>), Trouble> {
        let selected = self.selected()?;
        let snapshot = selected.to_change(Rights::REMOVES)?.snapshot();
        let set = SequenceSet::one(replaced.number);
        let wanted = selected.resolve(&set, replaced.uid)?;
        let (_, uid) = wanted.first().ok_or(Trouble::Refused(Tagged::EXPUNGED))?;
        let uid = to_store(*uid);
        let message = snapshot.message(uid).ok_or(Trouble::Refused(Tagged::EXPUNGED))?;
        Ok((uid, selected.mailbox.is_beside(target).then_some(message.size)))
    }

    /// Stores the messages; they are on disk before the client hears their UIDs.
    pub(super) async fn end_append(&mut self, session: &mut Session) -> Result<Tagged, Trouble> {
        self.intake.must_have_octets().inspect_err(|_| self.intake = Intake::default())?;
        let Intake { target: Some(target), replaces, messages, failure, .. } =
            std::mem::take(&mut self.intake)
        else {
            return Err(Trouble::Refused(Tagged::SERVER_BUG));
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some((uid, _)) = replaces {
            return self.replace(session, uid, (target, messages)).await;
        }
        let into = target.to(Rights::INSERT)?.clone();
        let stored = blocking(move || into.append(&messages)).await;
        let (validity, uids) = stored.map_err(|failure| Trouble::from(failure).about_target())?;
        let uids: Vec<_> = uids.into_iter().map(to_imap).collect();
        self.has_brought(&target, &uids);
        let uids = SequenceSet::of(&uids).ok_or(Trouble::Refused(Tagged::SERVER_BUG))?;
        Ok(stored_as(&target, Code::AppendUid(validity.0.get(), uids)))
    }

    /// APPENDUID comes before the news that the old message is gone (RFC 8508 §3.3).
    async fn replace(
        &mut self,
        session: &mut Session,
        uid: kings_store::Uid,
        (target, mut messages): (Opened, Vec<Appended>),
    ) -> Result<Tagged, Trouble> {
        let message = messages.pop().ok_or(Trouble::Refused(Tagged::SERVER_BUG))?;
        let mailbox = self.selected()?.to_change(Rights::REMOVES)?.clone();
        let (here, into) = (mailbox.clone(), target.to(Rights::INSERT)?.clone());
        let replaced = blocking(move || mailbox.replace(uid, &message, &into)).await;
        let (validity, added) = replaced.map_err(|failure| Trouble::from(failure).about_target())?;
        self.has_brought(&target, &[to_imap(added)]);
        let uids = SequenceSet::of(&[to_imap(added)]).ok_or(Trouble::Refused(Tagged::SERVER_BUG))?;
        let code = Code::AppendUid(validity.0.get(), uids);
        session.respond(&Response::Status(stored_as(&target, code)));
        Ok(expunge::done(session, &[uid], &here.snapshot()))
    }
}

/// UIDs of a mailbox that may not be read are nobody's business (RFC 4315 §3).
fn stored_as(target: &Opened, code: Code) -> Tagged {
    if target.rights().contain(Rights::READ) {
        Tagged::with(Condition::Ok, code, "Stored")
    } else {
        Tagged::ok("Stored")
    }
}
