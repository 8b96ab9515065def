//! The index: what would otherwise be lost or have to be read anew at a start. Everything in it can be made again.
//!
//! One SQLite file for each account, opened for as long as one mailbox is read or written. A thread of its own writes:
//! no session waits for it. What it has not written yet is answered from memory.

mod database;
mod packed;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tracing::warn;

use crate::history::Count;
use crate::message::{ModSeq, Snapshot, UidValidity};
use crate::sync::locked;
pub(crate) use packed::{Digest, Noted};

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
    file: PathBuf,
}

/// The indexes of all accounts, and the thread that writes them.
#[derive(Debug)]
pub(crate) struct Index {
    folder: PathBuf,
    waiting: Arc<Waiting>,
    /// `None` at the end: the thread writes what waits and is over.
    orders: Option<Sender<Key>>,
    writer: Option<JoinHandle<()>>,
}

type Key = (PathBuf, String);
type Waiting = Mutex<HashMap<Key, Arc<Page>>>;

impl Index {
    /// Begins to write below `folder`, which is made when it is needed. Without a thread there is no index.
    pub(crate) fn start(folder: PathBuf) -> Option<Arc<Self>> {
        let waiting = Arc::new(Waiting::default());
        let (orders, received) = channel();
        let shared = Arc::clone(&waiting);
        let thread = std::thread::Builder::new().name("index".to_owned());
        let writer = thread.spawn(move || write_all(&received, &shared));
        let writer = writer.inspect_err(|error| warn!(%error, "no thread for the index")).ok()?;
        Some(Arc::new(Self { folder, waiting, orders: Some(orders), writer: Some(writer) }))
    }

    /// The index of the account with these folders, each a name that can be one.
    pub(crate) fn of_account(self: &Arc<Self>, folders: &[String]) -> AccountIndex {
        let folder = folders.iter().fold(self.folder.clone(), |folder, name| folder.join(name));
        AccountIndex { index: Arc::clone(self), file: folder.join("index.sqlite") }
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
        let key = (self.file.clone(), guid.to_owned());
        let waiting = locked(&self.index.waiting).get(&key).cloned();
        let found = match waiting {
            Some(page) => Some((page.snapshot.uid_validity, page.remembered())),
            None => database::read(&self.file, guid).unwrap_or_else(|error| {
                warn!(file = %self.file.display(), %error, "an index cannot be read, and is made anew");
                None
            }),
        };
        let (kept_validity, remembered) = found?;
        (kept_validity == validity && remembered.count.ceiling == ceiling).then_some(remembered)
    }

    /// Has a mailbox written, soon.
    pub(crate) fn keep(&self, page: Page) {
        let key = (self.file.clone(), page.guid.clone());
        locked(&self.index.waiting).insert(key.clone(), Arc::new(page));
        if let Some(orders) = &self.index.orders {
            let _ = orders.send(key);
        }
    }
}

impl Page {
    fn remembered(&self) -> Remembered {
        let messages = self.snapshot.messages.iter().map(Noted::of).collect();
        Remembered { count: self.count.clone(), messages }
    }
}

/// Writes what is ordered until there is nobody left to order anything.
fn write_all(orders: &Receiver<Key>, waiting: &Waiting) {
    for key in orders {
        let Some(page) = locked(waiting).get(&key).cloned() else { continue };
        if let Err(error) = database::write(&key.0, &page) {
            warn!(file = %key.0.display(), %error, "an index cannot be written");
        }
        let mut waiting = locked(waiting);
        if waiting.get(&key).is_some_and(|kept| Arc::ptr_eq(kept, &page)) {
            waiting.remove(&key);
        }
    }
}
