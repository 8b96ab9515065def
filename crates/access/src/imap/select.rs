//! SELECT and EXAMINE (RFC 3501 §6.3.1, RFC 7162 §3.2.5), and CLOSE (RFC 3501 §6.4.2).

use kings_imap::command::{Resync, Select};
use kings_mail::rights::Rights;

use kings_imap::{Code, Condition, Removed, Response, SequenceNumber, Session, Tagged, vanished};

use super::convert::{modseq_to_imap, modseq_to_store, to_imap};
use super::expunge;
use super::report::respond_flags;
use super::selected::Selected;
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

impl Client {
    pub(super) async fn select<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        select: &Select,
    ) -> Result<Tagged, Trouble> {
        // The mailbox that was selected stays loaded meanwhile: clients select the same one again.
        let _loaded = self.selected.take().map(|selected| selected.mailbox);
        let mailbox = self.open(&select.mailbox, Rights::READ).await?;
        let enabled = wire.session.enabled();
        let tells_modseq = enabled.condstore;
        let (selected, id) = Selected::open(mailbox, select.read_only, tells_modseq).await?;
        greet(&mut wire.session, &selected);
        if enabled.rev2
            && let Some(list) = self.list_selected(&selected.mailbox).await?
        {
            wire.respond(&list).await?;
        }
        status(&mut wire.session, Code::MailboxId(id), "Its own name");
        if let Some(resync) = &select.resync {
            selected.resync(wire, resync).await?;
        }
        let code = if selected.view.is_read_only() { Code::ReadOnly } else { Code::ReadWrite };
        self.selected = Some(selected);
        Ok(Tagged::with(Condition::Ok, code, "Selected"))
    }

    /// Whatever happens to the messages, nothing is selected afterwards.
    pub(super) async fn close(&mut self, session: &Session) -> Result<Tagged, Trouble> {
        let Some(selected) = self.selected.take() else { return Ok(Tagged::DONE) };
        // Without the right to expunge, nothing is (RFC 4314 §4).
        let Ok(mailbox) = selected.to_change(Rights::EXPUNGE).cloned() else { return Ok(Tagged::DONE) };
        let removing = mailbox.clone();
        let removed = blocking(move || removing.expunge(None)).await?;
        Ok(expunge::done(session, &removed, &mailbox.snapshot()))
    }
}

impl Selected {
    /// Tells a client that was here before what is gone and what has changed meanwhile (RFC 7162 §3.2.5.1). What it knew
    /// under another UIDVALIDITY means nothing, and it hears of that one anyway.
    async fn resync<S: Link>(&self, wire: &mut Wire<S>, resync: &Resync) -> Result<(), Trouble> {
        if resync.validity != self.compared.uid_validity.0 {
            return Ok(());
        }
        let since = modseq_to_store(resync.modseq);
        let removed = self.removed_since(since).await?;
        let above = match removed {
            Removed::Unknown => resync.proven(&self.view),
            Removed::These(_) => None,
        };
        let uid_next = to_imap(self.compared.uid_next);
        let gone = vanished(&self.view, uid_next, (resync.known.as_ref(), above), removed);
        if let Some(uids) = gone {
            wire.respond(&Response::Vanished { earlier: true, uids }).await?;
        }
        // What the client does not say that it knows is none of its business (RFC 7162 §3.2.5.1).
        let told = resync.known.as_ref().map(|known| self.view.with_uids(known));
        let told = told.unwrap_or_else(|| self.view.iter().collect());
        for (number, uid) in told {
            let changed = self.view.flags(uid).filter(|known| known.modseq > since);
            if let Some(known) = changed {
                wire.respond(&self.fetch_flags((number, uid), &known, true)).await?;
            }
        }
        Ok(())
    }

    /// What went after `since`.
    pub(super) async fn removed_since(&self, since: kings_store::ModSeq) -> Result<Removed, Trouble> {
        let mailbox = self.to_read()?.clone();
        let removed = blocking(move || mailbox.removed_since(since)).await?;
        let uids = removed.map(|uids| uids.into_iter().map(to_imap).collect());
        Ok(uids.map_or(Removed::Unknown, Removed::These))
    }
}

/// What a client must know of a mailbox to begin with.
fn greet(session: &mut Session, selected: &Selected) {
    let snapshot = &selected.compared;
    respond_flags(session, &selected.keywords, selected.kinds());
    session.respond(&Response::Exists(selected.view.len()));
    session.respond(&Response::Recent(selected.view.recent_count()));
    if let Some(number) = snapshot.first_unseen().and_then(SequenceNumber::from_index) {
        status(session, Code::Unseen(number), "First unseen message");
    }
    status(session, Code::UidValidity(snapshot.uid_validity.0.get()), "UIDs are valid");
    status(session, Code::UidNext(to_imap(snapshot.uid_next)), "Next UID");
    status(session, Code::HighestModSeq(modseq_to_imap(snapshot.highest_modseq)), "Highest");
}

fn status(session: &mut Session, code: Code, text: &'static str) {
    session.respond(&Response::Status(Tagged::with(Condition::Ok, code, text)));
}
