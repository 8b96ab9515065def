//! SORT and THREAD (RFC 5256 §3): finds messages, then learns of them what puts them in order.

use std::sync::Arc;
use std::time::Instant;

use kings_imap::command::sort::{Sort, Thread};
use kings_imap::search::{Search, answer};
use kings_imap::sort::{Arrival, Sorter};
use kings_imap::thread::Threader;
use kings_imap::{ModSeq, Response, Tagged};
use kings_store::{Mailbox, Sheet, Snapshot, StoreError};

use super::convert::{modseq_to_imap, to_store};
use super::learn::Learner;
use super::search::{PATIENCE, SLICE};
use super::selected::Wanted;
use super::trouble::Unread;
use super::{Client, Trouble, Wire};
use crate::blocking::blocking;
use crate::socket::Link;

/// Takes what was learnt of messages, whatever it is for.
trait Gather: Send + 'static {
    const SHEET: Sheet;
    fn take(&mut self, place: usize, arrival: Arrival, sheet: &[u8]);
    fn is_full(&self) -> bool;
}

impl Gather for Sorter {
    const SHEET: Sheet = Sheet::Sorting;

    fn take(&mut self, place: usize, arrival: Arrival, sheet: &[u8]) {
        self.take(place, arrival, sheet);
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }
}

impl Gather for Threader {
    const SHEET: Sheet = Sheet::Threading;

    fn take(&mut self, place: usize, arrival: Arrival, sheet: &[u8]) {
        self.take(place, arrival.arrived, sheet);
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }
}

impl Client {
    pub(super) async fn sort<S: Link>(&mut self, wire: &mut Wire<S>, sort: Sort) -> Result<Tagged, Trouble> {
        let Sort { search: Search { uid, returns, modseq, key }, criteria } = sort;
        if returns.is_some_and(|returns| returns.save) {
            self.selected()?.view.save(Vec::new());
        }
        let (found, unfound) = self.find(key).await?;
        let sorter = Sorter::new(criteria);
        let needs_sheets = sorter.needs_sheets();
        let (sorter, unread) = self.gather(&found, sorter, needs_sheets).await?;
        let unread = unfound.and(unread);
        let in_order: Vec<Wanted> = blocking(move || {
            Ok(sorter.places().into_iter().filter_map(|place| found.get(place).copied()).collect())
        })
        .await?;
        let snapshot = self.selected()?.to_read()?.snapshot();
        let last_change = |uid| {
            let message = snapshot.message(to_store(uid));
            message.map_or(ModSeq::default(), |message| modseq_to_imap(message.modseq))
        };
        let last_change = modseq.then_some(&last_change as &dyn Fn(_) -> _);
        let answer = answer(wire.session.tag(), (uid, returns), &in_order, last_change);
        if let Some(response) = answer.response {
            wire.respond(&response.as_sorted()).await?;
        }
        if let Some(saved) = answer.saved.filter(|_| unread.is_empty()) {
            self.selected()?.view.save(saved);
        }
        Ok(unread.into_result())
    }

    pub(super) async fn thread<S: Link>(
        &mut self,
        wire: &mut Wire<S>,
        thread: Thread,
    ) -> Result<Tagged, Trouble> {
        let Thread { search: Search { uid, key, .. }, algorithm } = thread;
        let (found, unfound) = self.find(key).await?;
        let (threader, unread) = self.gather(&found, Threader::new(algorithm), true).await?;
        let name = move |place: usize| {
            let name = |(number, message): &Wanted| if uid { message.0 } else { number.0 };
            found.get(place).map_or(0, |wanted| name(wanted).get())
        };
        let threads = blocking(move || Ok(threader.threads(name))).await?;
        let threads = threads.map_err(|_| Trouble::Refused(Tagged::SEARCH_LIMIT))?;
        wire.respond(&Response::Thread(threads)).await?;
        Ok(unfound.and(unread).into_result())
    }

    /// Hands on what is known of the messages found, and reads those of which nothing is.
    async fn gather<G: Gather>(
        &mut self,
        found: &[Wanted],
        into: G,
        needs_sheets: bool,
    ) -> Result<(G, Unread), Trouble> {
        let mailbox = self.selected()?.to_read()?.clone();
        let uids: Vec<kings_store::Uid> = found.iter().map(|(_, uid)| to_store(*uid)).collect();
        let snapshot = mailbox.snapshot();
        let began = Instant::now();
        let mut work =
            blocking(move || Ok(Work::begun(&mailbox, snapshot, (uids, needs_sheets), into))).await?;
        while !work.missing.is_empty() {
            if began.elapsed() > PATIENCE {
                return Err(Trouble::Refused(Tagged::SEARCH_LIMIT));
            }
            work = blocking(move || work.slice()).await?;
        }
        if work.into.is_full() {
            return Err(Trouble::Refused(Tagged::SEARCH_LIMIT));
        }
        Ok((work.into, work.unread))
    }
}

/// Learning under way; it moves to a blocking thread and back.
struct Work<G> {
    snapshot: Arc<Snapshot>,
    learner: Learner,
    uids: Vec<kings_store::Uid>,
    into: G,
    /// The places of messages that must be read, the last first.
    missing: Vec<usize>,
    unread: Unread,
}

impl<G: Gather> Work<G> {
    /// Takes what is kept.
    fn begun(
        mailbox: &Mailbox,
        snapshot: Arc<Snapshot>,
        (uids, needs_sheets): (Vec<kings_store::Uid>, bool),
        mut into: G,
    ) -> Self {
        if !needs_sheets {
            for (place, uid) in uids.iter().enumerate() {
                into.take(place, arrival(&snapshot, *uid), b"");
            }
            let learner = Learner::without_memory(mailbox);
            return Self { snapshot, learner, uids, into, missing: Vec::new(), unread: Unread::default() };
        }
        let mut learner = Learner::new(mailbox);
        let mut is_known = vec![false; uids.len()];
        learner.recall(G::SHEET, &uids, |place, sheet| {
            if !into.is_full() && !std::mem::replace(&mut is_known[place], true) {
                into.take(place, arrival(&snapshot, uids[place]), sheet);
            }
        });
        let missing = (0..uids.len()).rev().filter(|place| !is_known[*place]).collect();
        Self { snapshot, learner, uids, into, missing, unread: Unread::default() }
    }

    /// Reads messages for a while. One that is gone, or cannot be read, says nothing; the client hears of it afterwards.
    fn slice(mut self) -> Result<Self, StoreError> {
        let began = Instant::now();
        while began.elapsed() < SLICE
            && let Some(place) = self.missing.pop()
        {
            let uid = self.uids[place];
            let sheet = match self.learner.read(G::SHEET, uid) {
                Ok(sheet) => sheet,
                Err(error) => self.unread.note(error).map(|()| Vec::new())?,
            };
            self.into.take(place, arrival(&self.snapshot, uid), &sheet);
            if self.into.is_full() {
                self.missing.clear();
            }
        }
        Ok(self)
    }
}

fn arrival(snapshot: &Snapshot, uid: kings_store::Uid) -> Arrival {
    let message = snapshot.message(uid);
    message.map(|m| Arrival { arrived: m.internal_date, size: m.size }).unwrap_or_default()
}
