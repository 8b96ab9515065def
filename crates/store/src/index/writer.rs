//! The thread that writes the index: one order after the other, the file of the last one kept open while more are waiting.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};

use rusqlite::Connection;
use tracing::warn;

use super::database::IndexError;
use super::sheets::{self, Row};
use super::{Files, Key, Waiting, concordances, database};
use crate::concordance::Concordance;
use crate::message::{ModSeq, Uid, UidValidity};
use crate::sync::locked;

/// Something to write.
#[derive(Debug)]
pub(super) enum Order {
    /// The page of this mailbox that waits.
    Page(Key),
    Learn {
        key: Key,
        validity: UidValidity,
        rows: Vec<Row>,
        octets: usize,
    },
    AddWords {
        key: Key,
        validity: UidValidity,
        number: u32,
        new: Box<Concordance>,
        octets: usize,
    },
    Forget {
        key: Key,
        validity: UidValidity,
        uids: Vec<Uid>,
    },
    ForgetMailbox(Key),
    ForgetOthers(Files, Vec<String>),
    Remake(Files),
}

/// Writes what is ordered until there is nobody left to order anything.
pub(super) fn write_all(orders: &Receiver<Order>, waiting: &Waiting) {
    let mut open = Open::default();
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                open.0 = None;
                let Ok(order) = orders.recv() else { return };
                order
            }
        };
        carry_out(order, waiting, &mut open);
    }
}

fn carry_out(order: Order, waiting: &Waiting, open: &mut Open) {
    match order {
        Order::Page(key) => write_page(&key, waiting, open),
        Order::Learn { key, validity, rows, octets } => {
            open.write(&key.0.sheets, |sheets| sheets::write(sheets, &key.1, validity, &rows));
            waiting.octets.fetch_sub(octets, Relaxed);
        }
        Order::AddWords { key: (files, guid), validity, number, new, octets } => {
            open.write(&files.sheets, |sheets| concordances::write(sheets, &guid, validity, number, &new));
            waiting.octets.fetch_sub(octets, Relaxed);
        }
        Order::Forget { key, validity, uids } => {
            open.change(&key.0.sheets, |sheets| sheets::forget(sheets, &key.1, validity, &uids));
        }
        Order::ForgetMailbox((files, guid)) => {
            open.change(&files.sheets, |sheets| sheets::forget_mailbox(sheets, &guid));
            if let Err(error) = database::forget(&files.numbers, |known| known == guid) {
                warn!(file = %files.numbers.display(), %error, "an index cannot be written");
            }
        }
        Order::ForgetOthers(files, guids) => {
            open.change(&files.sheets, |sheets| sheets::forget_others(sheets, &guids));
            if let Err(error) =
                database::forget(&files.numbers, |known| !guids.iter().any(|guid| guid == known))
            {
                warn!(file = %files.numbers.display(), %error, "an index cannot be written");
            }
        }
        Order::Remake(files) => {
            open.0 = None;
            database::remove(&files.sheets);
        }
    }
}

fn write_page(key: &Key, waiting: &Waiting, open: &mut Open) {
    let Some(page) = locked(&waiting.pages).get(key).cloned() else { return };
    if let Err(error) = database::write(&key.0.numbers, &page) {
        warn!(file = %key.0.numbers.display(), %error, "an index cannot be written");
    }
    // What went while nobody counted left its sheets behind.
    if page.indexed == ModSeq::ZERO {
        open.change(&key.0.sheets, |sheets| sheets::forget_lost(sheets, &page.guid, &page.snapshot));
    }
    let mut pages = locked(&waiting.pages);
    if pages.get(key).is_some_and(|kept| Arc::ptr_eq(kept, &page)) {
        pages.remove(key);
    }
}

/// The sheets of one account, open for writing.
#[derive(Default)]
struct Open(Option<(PathBuf, Connection)>);

impl Open {
    /// Changes what there is; without a file there is nothing to change.
    fn change(&mut self, file: &Path, change: impl Fn(&mut Connection) -> Result<(), IndexError>) {
        if file.exists() {
            self.write(file, change);
        }
    }

    /// Writes; a damaged file is made anew.
    fn write(&mut self, file: &Path, write: impl Fn(&mut Connection) -> Result<(), IndexError>) {
        let mut result = self.connection(file).and_then(&write);
        if let Err(IndexError::Database(error)) = &result
            && database::is_damage(error)
        {
            warn!(file = %file.display(), %error, "a damaged index is made anew");
            self.0 = None;
            database::remove(file);
            result = self.connection(file).and_then(&write);
        }
        if let Err(error) = result {
            warn!(file = %file.display(), %error, "an index cannot be written");
            self.0 = None;
        }
    }

    fn connection(&mut self, file: &Path) -> Result<&mut Connection, IndexError> {
        // A file that was removed meanwhile would take what nobody ever reads.
        if self.0.as_ref().is_some_and(|(known, _)| known != file || !file.exists()) {
            self.0 = None;
        }
        match &mut self.0 {
            Some((_, connection)) => Ok(connection),
            empty => Ok(&mut empty.insert((file.to_owned(), sheets::open(file)?)).1),
        }
    }
}
