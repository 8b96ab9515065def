//! Tells the client what has changed in its mailbox (RFC 3501 §7).

use std::io;
use std::sync::Arc;

use kings_imap::command::Shown;
use kings_imap::command::fetch::{Fetch, Item};
use kings_imap::view::Reports;
use kings_imap::{Change, Code, Condition, Flag, Response, SequenceSet, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::{FlagKinds, Keyword, MAX_KEYWORDS, ModSeq, Snapshot, StoreError};
use tracing::warn;

use super::convert::{flag_names, keyword_names, modseq_to_imap, to_imap};
use super::notify::Watching;
use super::selected::{AsTold, Known, Selected, Wanted, known, look};
use super::{Client, Trouble, Wire};
use crate::socket::Link;

/// What news of the selected mailbox may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    arrivals: bool,
    removals: bool,
    flags: bool,
}

impl Scope {
    /// By the command, by what a client wants to hear at all, and by what it has done itself.
    fn new(reports: Reports, watching: Option<&Watching>, shown: Shown) -> Self {
        if reports == Reports::Nothing {
            return Self { arrivals: false, removals: false, flags: false };
        }
        let may_remove = reports == Reports::Everything;
        let Some(watching) = watching else {
            return Self { arrivals: true, removals: may_remove, flags: true };
        };
        let events = watching.selected().map(|news| news.events).unwrap_or_default();
        Self {
            arrivals: events.messages,
            removals: may_remove && (events.messages || shown.removals),
            flags: events.flags || shown.flags,
        }
    }

    fn is_nothing(self) -> bool {
        !self.arrivals && !self.removals && !self.flags
    }

    /// Everything but removals is told.
    fn is_whole(self) -> bool {
        self.arrivals && self.flags
    }
}

impl Client {
    /// Compares the view with the mailbox and tells the difference, as far as `reports` and the client's own wishes let it.
    ///
    /// A failure does not spoil the command that was carried out before. A mailbox that is gone ends the
    /// session: there is no other way to tell (RFC 2180 §3.3).
    pub(super) async fn report<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        reports: Reports,
        shown: Shown,
    ) -> io::Result<()> {
        let scope = Scope::new(reports, self.watching.as_deref(), shown);
        let Some(selected) = &mut self.selected else { return Ok(()) };
        if scope.is_nothing() {
            return Ok(());
        }
        match selected.report(&mut wire.session, scope).await {
            Ok(arrived) => return self.show_arrived(wire, arrived).await,
            Err(Trouble::Store(StoreError::NoSuchMailbox) | Trouble::Refused(_)) => {
                let is_gone = selected.mailbox.is_mine() || selected.mailbox.rights().contain(Rights::READ);
                self.selected = None;
                let other = "The selected mailbox is not shared with you any more";
                wire.session.bye(if is_gone { "The selected mailbox was deleted" } else { other });
            }
            Err(trouble) => warn!(%trouble, "cannot look for changes in a mailbox"),
        }
        Ok(())
    }

    /// Tells what NOTIFY asks of new messages (RFC 5465 §5.2), but for those that the client has brought itself.
    async fn show_arrived<S: Link>(&mut self, wire: &mut Wire<S>, arrived: Vec<Wanted>) -> io::Result<()> {
        let (Some(watching), Some(selected)) = (&self.watching, &mut self.selected) else { return Ok(()) };
        let Some(news) = watching.selected() else { return Ok(()) };
        if selected.owes_expunge && !news.delayed {
            // At once, when the command is over.
            selected.changes.mark_changed();
        }
        let own = std::mem::take(&mut selected.own_arrivals);
        let arrived: Vec<Wanted> = arrived.into_iter().filter(|(_, uid)| !own.contains(uid)).collect();
        let uids: Vec<_> = arrived.iter().map(|(_, uid)| *uid).collect();
        let Some(set) = SequenceSet::of(&uids).filter(|_| !news.items.is_empty()) else { return Ok(()) };
        let enabled = wire.session.enabled();
        let mut items = news.items.clone();
        if !enabled.uid_only && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        // As in all news of messages for who wants to know (RFC 7162 §3.1).
        if enabled.condstore && !items.contains(&Item::ModSeq) {
            items.push(Item::ModSeq);
        }
        let fetch = Fetch { uid: true, set, items, changed_since: None, vanished: false, partial: None };
        match self.send_messages(wire, &arrived, &fetch).await {
            Err(Trouble::Stream(error)) => Err(error),
            Err(trouble) => {
                warn!(%trouble, "cannot show a new message");
                Ok(())
            }
            Ok(_) => Ok(()),
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
    /// Gives the messages that are new.
    async fn report(&mut self, session: &mut Session, scope: Scope) -> Result<Vec<Wanted>, Trouble> {
        self.changes.mark_unchanged();
        let (snapshot, recent) = look(self.to_read()?, self.view.is_read_only()).await?;
        if snapshot.uid_validity != self.compared.uid_validity {
            session.bye("The messages of the selected mailbox have new UIDs");
            return Ok(Vec::new());
        }
        let last = self.view.last();
        self.view.add_recent(recent.into_iter().map(to_imap));
        if snapshot.generation == self.compared.generation && !self.owes_expunge && !self.owes_more {
            return Ok(Vec::new());
        }
        self.tell_keywords(session, &snapshot);
        self.compare(session, &snapshot, scope);
        self.compared = snapshot;
        Ok(self.view.behind(last))
    }

    /// The flags that this client may change.
    pub(super) fn kinds(&self) -> FlagKinds {
        let rights = if self.view.is_read_only() { Rights::NONE } else { self.mailbox.rights() };
        FlagKinds::of(rights)
    }

    fn compare(&mut self, session: &mut Session, snapshot: &Arc<Snapshot>, scope: Scope) {
        let tells_modseq = self.tells_modseq;
        let reports = if scope.removals { Reports::Everything } else { Reports::AllButExpunge };
        let now = snapshot.messages.iter().map(|message| known(message, tells_modseq));
        let (changes, count) = if scope.is_whole() {
            (self.view.update(now, reports), snapshot.messages.len())
        } else {
            // What is not told stays as the client knows it.
            let known = |(uid, now): (kings_imap::Uid, Known)| match self.view.flags(uid) {
                Some(_) if scope.flags => Some((uid, now)),
                Some(told) => Some((uid, told)),
                None => scope.arrivals.then_some((uid, now)),
            };
            let now: Vec<_> = now.filter_map(known).collect();
            let count = now.len();
            (self.view.update(now, reports), count)
        };
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
        self.owes_expunge = self.view.len() > count;
        self.owes_more = !scope.is_whole();
        if !self.owes_expunge && !self.owes_more {
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
            respond_flags(session, &self.keywords, self.kinds());
        }
    }
}

/// FLAGS and PERMANENTFLAGS (RFC 3501 §7.1, RFC 3501 §7.2.6): those of some kinds can be changed for good.
pub(super) fn respond_flags(session: &mut Session, keywords: &[Keyword], kinds: FlagKinds) {
    let flags: Vec<Flag> = Flag::SYSTEM.into_iter().chain(keyword_names(keywords)).collect();
    let is_permanent = |flag: &&Flag| match flag {
        Flag::Seen => kinds.seen,
        Flag::Deleted => kinds.deleted,
        _ => kinds.others,
    };
    let permanent = flags.iter().filter(is_permanent).cloned().collect();
    session.respond(&Response::Flags(flags));
    // `\*` promises that a new keyword can be made (RFC 3501 §7.1); a Maildir has letters for so many only.
    let code = Code::PermanentFlags(permanent, kinds.others && keywords.len() < MAX_KEYWORDS);
    session.respond(&Response::Status(Tagged::with(Condition::Ok, code, "These stay")));
}
