//! The index: what would otherwise be lost or have to be read anew at a start. Everything in it can be made again.
//!
//! Two SQLite files for each account, opened for as long as one mailbox is read or written: one with the numbers of
//! changes, one with what was learnt from messages ([`sheets`]). A thread of its own writes: no session waits for it. What
//! it has not written yet of the numbers is answered from memory.

mod concordances;
mod database;
mod packed;
pub(crate) mod sheets;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tracing::warn;

use crate::concordance::Concordance;
use crate::history::Count;
use crate::message::{ModSeq, Snapshot, Uid, UidValidity};
use crate::sync::locked;
pub(crate) use concordances::Concordances;
pub(crate) use database::IndexError;
pub(crate) use packed::{Digest, Noted, sealed, unsealed};
use sheets::Row;
use writer::Order;

const NUMBERS: &str = "index.sqlite";
const SHEETS: &str = "messages.sqlite";

/// Octets that were learnt and wait to be written. What comes beyond them is dropped, and learnt again another time.
const MAX_WAITING: usize = 16 << 20;

/// Searches that make concordances at a time, each of which takes memory (16 MB at most).
const MAX_LEARNERS: usize = 4;

/// All that is kept of one mailbox.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) guid: String,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) count: Count,
    /// Up to where the index knows the messages; zero: all are to be written.
    pub(crate) indexed: ModSeq,
}

/// What is known of a mailbox that is loaded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) count: Count,
    /// By rising UID.
    pub(crate) messages: Vec<Noted>,
}

/// The index of one account.
#[derive(Clone, Debug)]
pub(crate) struct AccountIndex {
    index: Arc<Index>,
    files: Files,
}

/// The files of one account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Files {
    /// The numbers of changes.
    numbers: PathBuf,
    /// What was learnt from messages.
    sheets: PathBuf,
}

/// The indexes of all accounts, and the thread that writes them.
#[derive(Debug)]
pub(crate) struct Index {
    folder: PathBuf,
    waiting: Arc<Waiting>,
    /// `None` at the end: the thread writes what waits and is over.
    orders: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
}

type Key = (Files, String);

/// What the thread has not written yet.
#[derive(Debug, Default)]
struct Waiting {
    pages: Mutex<HashMap<Key, Arc<Page>>>,
    /// Octets of sheets.
    octets: AtomicUsize,
    /// Who makes a concordance.
    learners: AtomicUsize,
}

impl Index {
    /// Begins to write below `folder`, which is made when it is needed. Without a thread there is no index.
    pub(crate) fn start(folder: PathBuf) -> Option<Arc<Self>> {
        let waiting = Arc::new(Waiting::default());
        let (orders, received) = channel();
        let shared = Arc::clone(&waiting);
        let thread = std::thread::Builder::new().name("index".to_owned());
        let writer = thread.spawn(move || writer::write_all(&received, &shared));
        let writer = writer.inspect_err(|error| warn!(%error, "no thread for the index")).ok()?;
        Some(Arc::new(Self { folder, waiting, orders: Some(orders), writer: Some(writer) }))
    }

    /// The index of the account with these folders, each a name that can be one.
    pub(crate) fn of_account(self: &Arc<Self>, folders: &[String]) -> AccountIndex {
        let folder = folders.iter().fold(self.folder.clone(), |folder, name| folder.join(name));
        let files = Files { numbers: folder.join(NUMBERS), sheets: folder.join(SHEETS) };
        AccountIndex { index: Arc::clone(self), files }
    }
}

impl AccountIndex {
    /// The files that SQLite finds damaged, by their names, and why.
    pub(crate) fn damage(&self) -> Vec<(&'static str, String)> {
        let files = [(NUMBERS, &self.files.numbers), (SHEETS, &self.files.sheets)];
        files.into_iter().filter_map(|(name, file)| Some((name, database::damage(file)?))).collect()
    }

    /// Removes a damaged file: what it held is made anew.
    pub(crate) fn remove(&self, name: &str) {
        database::remove(if name == NUMBERS { &self.files.numbers } else { &self.files.sheets });
    }
}

/// Who makes concordances, until it is dropped.
#[derive(Debug)]
pub(crate) struct Learner(Arc<Waiting>);

impl Drop for Learner {
    fn drop(&mut self) {
        self.0.learners.fetch_sub(1, Relaxed);
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            warn!("the thread of the index died; numbers of changes begin anew for some mailboxes");
        }
    }
}

impl AccountIndex {
    /// What is kept of a mailbox, if it was kept under this UIDVALIDITY and this ceiling.
    pub(crate) fn recall(&self, guid: &str, validity: UidValidity, ceiling: ModSeq) -> Option<Remembered> {
        let key = (self.files.clone(), guid.to_owned());
        let waiting = locked(&self.index.waiting.pages).get(&key).cloned();
        let found = match waiting {
            Some(page) => Some((page.snapshot.uid_validity, page.remembered())),
            None => database::read(&self.files.numbers, guid).unwrap_or_else(|error| {
                warn!(file = %self.files.numbers.display(), %error, "an index cannot be read, and is made anew");
                None
            }),
        };
        let (kept_validity, remembered) = found?;
        (kept_validity == validity && remembered.count.ceiling == ceiling).then_some(remembered)
    }

    /// Has a mailbox written, soon.
    pub(crate) fn keep(&self, page: Page) {
        let key = (self.files.clone(), page.guid.clone());
        locked(&self.index.waiting.pages).insert(key.clone(), Arc::new(page));
        self.order(Order::Page(key));
    }

    /// Opens what was learnt from the messages of a mailbox under this UIDVALIDITY, if anything was.
    pub(crate) fn sheets(&self, guid: &str, validity: UidValidity) -> Option<sheets::Sheets> {
        self.readable(sheets::Sheets::open(&self.files.sheets, guid, validity))
    }

    /// Opens the concordances of a mailbox under this UIDVALIDITY, if there are any.
    pub(crate) fn concordances(&self, guid: &str, validity: UidValidity) -> Option<Concordances> {
        self.readable(Concordances::open(&self.files.sheets, guid, validity))
    }

    /// What was opened of what was learnt; a file that cannot be read is made anew.
    fn readable<T>(&self, opened: Result<Option<T>, IndexError>) -> Option<T> {
        opened.unwrap_or_else(|error| {
            warn!(file = %self.files.sheets.display(), %error, "what was learnt from messages cannot be read");
            self.remake();
            None
        })
    }

    /// Has what was learnt written, soon; or not at all, while too much is waiting.
    pub(crate) fn learn(&self, guid: &str, validity: UidValidity, rows: Vec<Row>) {
        let octets = rows.iter().map(Row::octets).sum();
        if self.has_room(octets) {
            self.order(Order::Learn { key: (self.files.clone(), guid.to_owned()), validity, rows, octets });
        }
    }

    /// Lets somebody make concordances, unless enough do.
    pub(crate) fn learner(&self) -> Option<Learner> {
        let learner = Learner(self.index.waiting.clone());
        (self.index.waiting.learners.fetch_add(1, Relaxed) < MAX_LEARNERS).then_some(learner)
    }

    /// The same of words.
    pub(crate) fn add_words(&self, guid: &str, validity: UidValidity, number: u32, new: Concordance) {
        let octets = new.taken();
        if self.has_room(octets) {
            let key = (self.files.clone(), guid.to_owned());
            self.order(Order::AddWords { key, validity, number, new: Box::new(new), octets });
        }
    }

    /// Counts octets that wait, where there is room for them.
    fn has_room(&self, octets: usize) -> bool {
        let waiting = &self.index.waiting.octets;
        let before = waiting.fetch_add(octets, Relaxed);
        // One alone may be larger.
        let has_room = before == 0 || before + octets <= MAX_WAITING;
        if !has_room {
            waiting.fetch_sub(octets, Relaxed);
        }
        has_room
    }

    /// Forgets what was learnt from messages that are gone.
    pub(crate) fn forget(&self, guid: &str, validity: UidValidity, uids: Vec<Uid>) {
        if !uids.is_empty() {
            self.order(Order::Forget { key: (self.files.clone(), guid.to_owned()), validity, uids });
        }
    }

    /// Forgets all of a mailbox that is gone.
    pub(crate) fn forget_mailbox(&self, guid: &str) {
        let key = (self.files.clone(), guid.to_owned());
        locked(&self.index.waiting.pages).remove(&key);
        self.order(Order::ForgetMailbox(key));
    }

    /// Forgets all mailboxes but these.
    pub(crate) fn forget_others(&self, guids: Vec<String>) {
        self.order(Order::ForgetOthers(self.files.clone(), guids));
    }

    /// Has what was learnt made anew, since it is damaged.
    pub(crate) fn remake(&self) {
        self.order(Order::Remake(self.files.clone()));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.index.orders {
            let _ = orders.send(order);
        }
    }
}

impl Page {
    fn remembered(&self) -> Remembered {
        let messages = self.snapshot.messages.iter().map(Noted::of).collect();
        Remembered { count: self.count.clone(), messages }
    }
}
