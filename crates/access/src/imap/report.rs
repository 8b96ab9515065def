//! Tells the client what has changed in its mailbox (RFC 3501 §7).

use std::sync::Arc;

use kings_imap::view::Reports;
use kings_imap::{Change, Code, Condition, Flag, Response, SequenceSet, Session, Tagged};
use kings_store::{Keyword, MAX_KEYWORDS, ModSeq, Snapshot, StoreError};
use tracing::warn;

use super::convert::{flag_names, keyword_names, modseq_to_imap, to_imap};
use super::selected::{AsTold, Known, Selected, Wanted, known, look};
use super::{Client, Trouble};

impl Client {
    /// Compares the view with the mailbox and tells the difference, as far as `reports` lets it.
    ///
    /// A failure does not spoil the command that was carried out before. A mailbox that is gone ends the
    /// session: there is no other way to tell (RFC 2180 §3.3).
    pub(super) async fn report(&mut self, session: &mut Session, reports: Reports) {
        let Some(selected) = &mut self.selected else { return };
        if reports == Reports::Nothing {
            return;
        }
        match selected.report(session, reports).await {
            Ok(()) => {}
            Err(Trouble::Store(StoreError::NoSuchMailbox)) => {
                self.selected = None;
                session.bye("The selected mailbox was deleted");
            }
            Err(trouble) => warn!(%trouble, "cannot look for changes in a mailbox"),
        }
    }
}

impl Client {
    /// Begins to tell the numbers of changes to a client that has just shown that it understands them; the last one of
    /// the mailbox comes first (RFC 7162 §3.1).
    pub(super) fn begin_modseq(&mut self, session: &mut Session) {
        let Some(selected) = &mut self.selected else { return };
        if session.enabled().condstore && !selected.tells_modseq {
            selected.begin_modseq();
            let code = Code::HighestModSeq(modseq_to_imap(selected.compared.highest_modseq));
            session.respond(&Response::Status(Tagged::with(Condition::Ok, code, "Highest")));
        }
    }
}

impl Selected {
    async fn report(&mut self, session: &mut Session, reports: Reports) -> Result<(), Trouble> {
        self.changes.mark_unchanged();
        let (snapshot, recent) = look(&self.mailbox, self.view.is_read_only()).await?;
        if snapshot.uid_validity != self.compared.uid_validity {
            session.bye("The messages of the selected mailbox have new UIDs");
            return Ok(());
        }
        self.view.add_recent(recent.into_iter().map(to_imap));
        if snapshot.generation != self.compared.generation || self.owes_expunge {
            self.tell_keywords(session, &snapshot);
            self.compare(session, &snapshot, reports);
            self.compared = snapshot;
        }
        Ok(())
    }

    fn compare(&mut self, session: &mut Session, snapshot: &Arc<Snapshot>, reports: Reports) {
        let tells_modseq = self.tells_modseq;
        let now = snapshot.messages.iter().map(|message| known(message, tells_modseq));
        let changes = self.view.update(now, reports);
        let as_uids = session.enabled().hears_vanished();
        if as_uids {
            let gone = changes.iter().filter_map(|change| match change {
                Change::Expunge(_, uid) => Some(*uid),
                _ => None,
            });
            if let Some(uids) = SequenceSet::of(&gone.collect::<Vec<_>>()) {
                session.respond(&Response::Vanished { earlier: false, uids });
            }
        }
        for change in changes {
            let response = match change {
                Change::Expunge(..) if as_uids => continue,
                change => self.response(change),
            };
            session.respond(&response);
        }
        self.owes_expunge = self.view.len() > snapshot.messages.len();
        if !self.owes_expunge {
            self.view.share(AsTold::of(snapshot, tells_modseq));
        }
    }

    fn response(&self, change: Change<Known>) -> Response {
        match change {
            Change::Expunge(number, _) => Response::Expunge(number),
            Change::Exists(count) => Response::Exists(count),
            Change::Recent(count) => Response::Recent(count),
            Change::Flags { number, uid, flags: known } => self.fetch_flags((number, uid), &known, true),
        }
    }

    /// What has changed of a message.
    pub(super) fn fetch_flags(&self, (number, uid): Wanted, known: &Known, with_flags: bool) -> Response {
        Response::FetchFlags {
            number,
            uid,
            flags: with_flags.then(|| flag_names(&known.flags)),
            recent: self.view.is_recent(uid),
            modseq: (known.modseq != ModSeq::ZERO).then(|| modseq_to_imap(known.modseq)),
        }
    }

    /// A keyword that the client has not seen is announced before the first message that carries it
    /// (RFC 3501 §7.2.6).
    fn tell_keywords(&mut self, session: &mut Session, snapshot: &Snapshot) {
        if self.keywords != snapshot.keywords {
            self.keywords.clone_from(&snapshot.keywords);
            respond_flags(session, &self.keywords, self.view.is_read_only());
        }
    }
}

/// FLAGS and PERMANENTFLAGS (RFC 3501 §7.1, RFC 3501 §7.2.6): all can be changed for good, or none.
pub(super) fn respond_flags(session: &mut Session, keywords: &[Keyword], read_only: bool) {
    let flags: Vec<Flag> = Flag::SYSTEM.into_iter().chain(keyword_names(keywords)).collect();
    let permanent = if read_only { Vec::new() } else { flags.clone() };
    session.respond(&Response::Flags(flags));
    // `\*` promises that a new keyword can be made (RFC 3501 §7.1); a Maildir has letters for so many only.
    let code = Code::PermanentFlags(permanent, !read_only && keywords.len() < MAX_KEYWORDS);
    session.respond(&Response::Status(Tagged::with(Condition::Ok, code, "These stay")));
}
