//! The one thread that writes: it takes what has gathered, and commits it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_mail::domain::Domain;
use rusqlite::Connection;
use tracing::warn;

use crate::acquaintance::{self, Acquaintance, Key, Seen};
use crate::judged::{self, Judged, ReportDay};
use crate::received_report::{self, ReceivedReport};
use crate::sts::{self, StsEntry};
use crate::tls_result::{self, TlsResult};
use crate::trace::{self, Event};

/// How long notes gather before they are committed together.
const GATHER: Duration = Duration::from_millis(100);
/// How often it is looked meanwhile whether somebody wants a flush.
const LOOKS: u32 = 5;
/// Most notes of one commit.
const BATCH: usize = 2_000;
/// How often what is too old goes.
const PRUNE: Duration = Duration::from_hours(1);

/// One fact on its way to the disk.
#[derive(Debug)]
pub(crate) enum Note {
    Trace(Duration, Event),
    Tls(Duration, TlsResult),
    Policy(Domain, StsEntry),
    Judged(Duration, Judged),
    Sent(ReportDay),
    Report(ReceivedReport),
    Met(Acquaintance, Key, Seen),
    /// Those of a kind that were last seen then or before.
    Forget(Acquaintance, u64),
    /// Says that everything before it is written.
    Flush(SyncSender<()>),
}

/// Runs until the last handle is gone.
pub(crate) fn start(
    connection: Connection,
    notes: Receiver<Note>,
    keep: Duration,
    dropped: Arc<AtomicU64>,
) -> io::Result<()> {
    let mut writer = Writer { connection, keep, dropped, told: 0, pruned: None };
    thread::Builder::new().name("records".to_owned()).spawn(move || writer.run(&notes))?;
    Ok(())
}

struct Writer {
    connection: Connection,
    keep: Duration,
    dropped: Arc<AtomicU64>,
    /// How many of the dropped ones the log knows of.
    told: u64,
    pruned: Option<Instant>,
}

impl Writer {
    fn run(&mut self, notes: &Receiver<Note>) {
        while let Ok(first) = notes.recv() {
            let batch = gather(first, notes);
            if let Err(error) = self.write(&batch) {
                let lost = batch.len() as u64;
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                warn!(%error, lost, "cannot write to the records");
            }
            for note in batch {
                if let Note::Flush(done) = note {
                    let _ = done.try_send(());
                }
            }
            self.tell_of_dropped();
        }
    }

    fn write(&mut self, batch: &[Note]) -> rusqlite::Result<()> {
        let due = self.pruned.is_none_or(|last| last.elapsed() >= PRUNE);
        let transaction = self.connection.transaction()?;
        for note in batch {
            match note {
                Note::Trace(at, event) => trace::write(&transaction, *at, event)?,
                Note::Tls(at, result) => tls_result::write(&transaction, *at, result)?,
                Note::Policy(domain, entry) => sts::write(&transaction, domain, entry)?,
                Note::Judged(at, mail) => judged::write(&transaction, *at, mail)?,
                Note::Sent(report) => judged::mark_sent(&transaction, report)?,
                Note::Report(report) => received_report::write(&transaction, report)?,
                Note::Met(kind, key, seen) => acquaintance::write(&transaction, *kind, key, *seen)?,
                Note::Forget(kind, last) => acquaintance::forget(&transaction, *kind, *last)?,
                Note::Flush(_) => {}
            }
        }
        if due {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            trace::prune(&transaction, now.saturating_sub(self.keep))?;
            tls_result::prune(&transaction, now.saturating_sub(self.keep))?;
            judged::prune(&transaction, now.saturating_sub(self.keep))?;
            received_report::prune(&transaction, now.saturating_sub(self.keep))?;
            sts::prune(&transaction, now.as_secs())?;
            acquaintance::prune(&transaction, now.as_secs())?;
            self.pruned = Some(Instant::now());
        }
        transaction.commit()
    }

    fn tell_of_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            warn!(dropped = dropped - self.told, "the records were behind, and notes were dropped");
            self.told = dropped;
        }
    }
}

/// What comes within a moment of the first note; a flush ends the moment.
///
/// The thread looks now and then instead of waiting for each note: otherwise every message would wake it twice.
fn gather(first: Note, notes: &Receiver<Note>) -> Vec<Note> {
    let mut batch = vec![first];
    for _ in 0..LOOKS {
        if matches!(batch.last(), Some(Note::Flush(_))) {
            break;
        }
        thread::sleep(GATHER / LOOKS);
        while let Ok(note) = notes.try_recv() {
            batch.push(note);
            if batch.len() >= BATCH || matches!(batch.last(), Some(Note::Flush(_))) {
                return batch;
            }
        }
    }
    batch
}
