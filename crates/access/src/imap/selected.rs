//! The selected mailbox: the store's side of it and what this client believes.

use std::sync::Arc;

use kings_mail::rights::Rights;

use kings_imap::{SequenceNumber, SequenceSet, Tagged, Told, View};
use kings_store::{Flags, Keyword, Mailbox, Message, ModSeq, Snapshot, StoreError};
use tokio::sync::watch::Receiver;

use super::Trouble;
use super::convert::to_imap;
use super::place::Opened;
use crate::blocking::blocking;

/// A mailbox after SELECT or EXAMINE.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(super) mailbox: Opened,
    pub(super) view: View<Known>,
    /// The view has the numbers of changes: the client wants to hear them (RFC 7162 §3.1).
    pub(super) tells_modseq: bool,
    pub(super) changes: Receiver<u64>,
    /// The snapshot that the view was compared with last.
    pub(super) compared: Arc<Snapshot>,
    /// Keywords that the client was told of in FLAGS.
    pub(super) keywords: Vec<Keyword>,
    /// The client has not been told yet of some that are gone.
    pub(super) owes_expunge: bool,
    /// There may be more that it was not told because it did not want to hear it (RFC 5465 §3.1).
    pub(super) owes_more: bool,
    /// Messages that the client has brought itself and was not told of yet.
    pub(super) own_arrivals: Vec<kings_imap::Uid>,
}

/// What a client knows of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) flags: Flags,
    /// Zero for clients that do not ask.
    pub(super) modseq: ModSeq,
}

/// A snapshot, as the view has it.
#[derive(Debug)]
pub(super) struct AsTold {
    snapshot: Arc<Snapshot>,
    with_modseq: bool,
}

impl AsTold {
    pub(super) fn of(snapshot: &Arc<Snapshot>, with_modseq: bool) -> Arc<Self> {
        Arc::new(Self { snapshot: snapshot.clone(), with_modseq })
    }
}

impl Told<Known> for AsTold {
    fn len(&self) -> usize {
        self.snapshot.messages.len()
    }

    fn uid(&self, index: usize) -> Option<kings_imap::Uid> {
        self.snapshot.messages.get(index).map(|message| to_imap(message.uid))
    }

    fn flags(&self, index: usize) -> Option<Known> {
        self.snapshot.messages.get(index).map(|message| known(message, self.with_modseq).1)
    }
}

/// A message that a command means.
pub(super) type Wanted = (SequenceNumber, kings_imap::Uid);

impl Selected {
    /// Looks at the mailbox and begins the view; with the mailbox's own name.
    pub(super) async fn open(
        mailbox: Opened,
        read_only: bool,
        tells_modseq: bool,
    ) -> Result<(Self, String), Trouble> {
        let read_only = read_only || !mailbox.rights().contain_any(Rights::CHANGES);
        let asked = mailbox.to(Rights::READ)?.clone();
        let changes = asked.changes();
        let ((snapshot, recent), id) =
            blocking(move || Ok((look_now(&asked, read_only)?, asked.id()?))).await?;
        let told = AsTold::of(&snapshot, tells_modseq);
        let view = View::of(told, recent.into_iter().map(to_imap), read_only);
        let keywords = snapshot.keywords.clone();
        let compared = snapshot;
        let selected = Self {
            mailbox,
            view,
            tells_modseq,
            changes,
            compared,
            keywords,
            owes_expunge: false,
            owes_more: false,
            own_arrivals: Vec::new(),
        };
        Ok((selected, id))
    }

    /// Has the client hear the numbers of changes from now on. What it knows of messages so far counts as known with them.
    pub(super) fn begin_modseq(&mut self) {
        self.tells_modseq = true;
        if self.view.is_shared() {
            return self.view.share(AsTold::of(&self.compared, true));
        }
        for message in &self.compared.messages {
            let (uid, known) = known(message, true);
            if self.view.flags(uid).is_some_and(|told| told.flags == known.flags) {
                self.view.note_flags(uid, known);
            }
        }
    }

    /// The messages that a command means.
    pub(super) fn resolve(&self, set: &SequenceSet, uid: bool) -> Result<Vec<Wanted>, Trouble> {
        self.view.resolve(set, uid).map_err(|_| Trouble::Refused(Tagged::NO_SUCH_NUMBER))
    }

    /// The mailbox, to look at.
    pub(super) fn to_read(&self) -> Result<&Mailbox, Trouble> {
        self.mailbox.to(Rights::READ)
    }

    /// Refuses changes without the rights for them, and through EXAMINE (RFC 3501 §6.3.2).
    pub(super) fn to_change(&self, needs: Rights) -> Result<&Mailbox, Trouble> {
        let mailbox = self.mailbox.to(needs)?;
        if self.view.is_read_only() { Err(Trouble::Refused(Tagged::READ_ONLY)) } else { Ok(mailbox) }
    }
}

/// A message as the view has it.
pub(super) fn known(message: &Message, with_modseq: bool) -> (kings_imap::Uid, Known) {
    let modseq = if with_modseq { message.modseq } else { ModSeq::ZERO };
    (to_imap(message.uid), Known { flags: message.flags.clone(), modseq })
}

/// The mailbox now. A session that may write takes new mail out of `new`: it is `\Recent` for this one
/// alone (RFC 3501 §2.3.2); EXAMINE leaves it there.
pub(super) async fn look(mailbox: &Mailbox, read_only: bool) -> Result<Look, Trouble> {
    let mailbox = mailbox.clone();
    Ok(blocking(move || look_now(&mailbox, read_only)).await?)
}

/// The mailbox, and which of its messages are `\Recent` for who looks.
type Look = (Arc<Snapshot>, Vec<kings_store::Uid>);

fn look_now(mailbox: &Mailbox, read_only: bool) -> Result<Look, StoreError> {
    if read_only { Ok((mailbox.refresh()?, Vec::new())) } else { mailbox.select() }
}
