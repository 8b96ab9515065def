//! SEARCH (RFC 3501 §6.4.4): what is known of the messages first, then those that must be read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_imap::search::{Facts, Key, Needed, Program, Search, Searched, TEXTS_VERSION, answer};
use kings_imap::{ModSeq, Tagged, View};
use kings_mail::date::DateTime;
use kings_store::{Hint, Mailbox, Snapshot, StoreError, Texts, Uid, Wanted as TextsWanted};

use super::convert::{flag_names, modseq_to_imap, to_store};
use super::selected::{Known, Wanted};
use super::trouble::Unread;
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

/// Longest a search may work in all; a mailbox that needs more wants an index.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// Time after which a search lets others have its thread.
pub(super) const SLICE: Duration = Duration::from_millis(200);

/// A search under way; it moves to a blocking thread and back.
pub(super) struct Work {
    mailbox: Mailbox,
    snapshot: Arc<Snapshot>,
    program: Program,
    /// Every message of the view, and which are `\Recent`.
    messages: Vec<(Wanted, bool)>,
    /// Unix time at which it began: ages are as of then.
    now: i64,
    next: usize,
    found: Vec<Wanted>,
    unread: Unread,
    /// What is known of the words of messages; `None` where they tell nothing.
    texts: Option<Texts>,
    /// What they tell of each of `messages`; empty before anybody asked.
    hints: Vec<Hint>,
}

impl Client {
    pub(super) async fn search<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        search: Search,
    ) -> Result<Tagged, Trouble> {
        let Search { uid, returns, modseq, key } = search;
        // What cannot be searched leaves nothing to mean by `$` (RFC 5182 §2.1).
        if returns.is_some_and(|returns| returns.save) {
            self.selected()?.view.save(Vec::new());
        }
        let (found, unread) = self.find(key).await?;
        let snapshot = self.selected()?.to_read()?.snapshot();
        let last_change = |uid| {
            let message = snapshot.message(to_store(uid));
            message.map_or(ModSeq::default(), |message| modseq_to_imap(message.modseq))
        };
        let last_change = modseq.then_some(&last_change as &dyn Fn(_) -> _);
        let answer = answer(wire.session.tag(), (uid, returns), &found, last_change);
        if let Some(response) = answer.response {
            wire.respond(&response).await?;
        }
        // What fails saves nothing (RFC 5182 §2.1).
        if let Some(saved) = answer.saved.filter(|_| unread.is_empty()) {
            self.selected()?.view.save(saved);
        }
        Ok(unread.into_result())
    }

    /// The messages that are as `key` wants them, rising, and what could not be read; without a key its character set is unknown.
    pub(super) async fn find(&mut self, key: Option<Key>) -> Result<(Vec<Wanted>, Unread), Trouble> {
        let Some(key) = key else { return Err(Trouble::Refused(Tagged::BAD_CHARSET)) };
        self.find_until(key, Instant::now()).await
    }

    /// The same in a search that began before.
    pub(super) async fn find_until(
        &mut self,
        key: Key,
        began: Instant,
    ) -> Result<(Vec<Wanted>, Unread), Trouble> {
        let selected = self.selected()?;
        let mailbox = selected.to_read()?.clone();
        let snapshot = mailbox.snapshot();
        Work::over(mailbox, snapshot, &selected.view, key).finish(began).await
    }
}

impl Work {
    /// A search of the messages that a view has.
    pub(super) fn over(mailbox: Mailbox, snapshot: Arc<Snapshot>, view: &View<Known>, key: Key) -> Self {
        Self {
            mailbox,
            snapshot,
            program: Program::new(key, view),
            messages: view.iter().map(|wanted| (wanted, view.is_recent(wanted.1))).collect(),
            now: unix_now(),
            next: 0,
            found: Vec::new(),
            unread: Unread::default(),
            texts: None,
            hints: Vec::new(),
        }
    }

    /// Works until all is found, as long as there is patience since the search began.
    pub(super) async fn finish(self, began: Instant) -> Result<(Vec<Wanted>, Unread), Trouble> {
        let mut work = blocking(move || Ok(self.with_hints())).await?;
        while work.next < work.messages.len() {
            if began.elapsed() > PATIENCE {
                return Err(Trouble::Refused(Tagged::SEARCH_LIMIT));
            }
            work = blocking(move || work.slice()).await?;
        }
        Ok((work.found, work.unread))
    }

    /// Asks what the words of messages tell.
    fn with_hints(mut self) -> Self {
        let wanted = self.program.needed(&|needed| match needed {
            Needed::Anything => TextsWanted::Anything,
            Needed::Text(text) => TextsWanted::Text(text.to_owned()),
            Needed::All(all) => TextsWanted::All(all),
            Needed::AnyOf(all) => TextsWanted::AnyOf(all),
        });
        let uids: Vec<Uid> = self.messages.iter().map(|((_, uid), _)| to_store(*uid)).collect();
        self.texts = self.mailbox.texts(TEXTS_VERSION);
        match self.texts.as_mut().and_then(|texts| texts.look(&uids, &wanted)) {
            Some(hints) => self.hints = hints,
            None => self.texts = None,
        }
        self
    }

    /// Goes on for a while.
    fn slice(mut self) -> Result<Self, StoreError> {
        let began = Instant::now();
        while let Some((wanted, recent)) = self.messages.get(self.next).copied()
            && began.elapsed() < SLICE
        {
            let hint = self.hints.get(self.next).copied();
            if self.matches(wanted, recent, hint)? {
                self.found.push(wanted);
            }
            self.next += 1;
        }
        Ok(self)
    }

    /// A message that is gone, or cannot be read, matches nothing.
    fn matches(
        &mut self,
        (number, uid): Wanted,
        recent: bool,
        hint: Option<Hint>,
    ) -> Result<bool, StoreError> {
        let Some(message) = self.snapshot.message(to_store(uid)) else { return Ok(false) };
        if self.program.is_all() {
            return Ok(true);
        }
        let flags = flag_names(&message.flags);
        let arrived = DateTime::from_unix(message.internal_date).day();
        let age = u64::try_from(self.now.saturating_sub(message.internal_date)).unwrap_or(0);
        let (size, modseq) = (message.size, modseq_to_imap(message.modseq));
        let identity =
            if self.program.needs_identity() { self.mailbox.identities(&[message.uid])?.pop() } else { None };
        let identity = identity.flatten();
        let email_id = identity.as_ref().map_or("", |identity| identity.email_id.as_str());
        let saved = identity.as_ref().and_then(|identity| identity.saved);
        let saved = saved.map(|saved| DateTime::from_unix(saved).day());
        let facts = Facts { number, uid, flags: &flags, recent, arrived, age, size, modseq, email_id, saved };
        if let Some(verdict) = self.program.quick(&facts) {
            return Ok(verdict);
        }
        if hint == Some(Hint::Impossible) {
            return Ok(false);
        }
        match self.mailbox.read(message.uid) {
            Ok(content) => {
                let searched = Searched::new(content.as_ref());
                if let Some(texts) = self.texts.as_mut().filter(|_| hint == Some(Hint::Unknown)) {
                    texts.learn(message.uid, searched.texts());
                }
                Ok(self.program.full(&facts, &searched))
            }
            Err(error) => self.unread.note(error).map(|()| false),
        }
    }
}

fn unix_now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}
