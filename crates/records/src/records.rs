//! The handle that all flows share.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_mail::domain::Domain;

use crate::acquaintance::{self, Acquaintance, Acquaintances, Key, MAX_OF_A_KIND, Seen};
use crate::database;
use crate::judged::{self, Judged, Kind, ReportDay, ReportKind};
use crate::received_report::{self, ReceivedReport};
use crate::sts::{self, StsEntry};
use crate::tls_result::{self, DayOfResults, TlsResult};
use crate::trace::{self, Event, Query};
use crate::writer::{self, Note};

/// Notes that wait for the writer thread; beyond that they are dropped: at 2,000 messages a second this is more
/// than a second of a stalled disk.
const WAITING: usize = 16 * 1024;
/// Longest wait for the writer at shutdown.
const FLUSH: Duration = Duration::from_secs(3);

/// Where the records are and how long they stay.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file.
    pub file: PathBuf,
    /// How long trace and TLS results stay.
    pub keep: Duration,
}

/// The records cannot be opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// SQLite's own words.
    #[error("records: {0}")]
    Database(#[from] rusqlite::Error),
    /// A later version of Kings wrote the file.
    #[error("records: the file is of version {0}, which a later Kings wrote")]
    Newer(i64),
    /// A damaged file cannot be moved out of the way.
    #[error("records: cannot set the damaged file aside: {0}")]
    SetAside(io::Error),
    /// The file cannot be closed to other users.
    #[error("records: cannot make the file private: {0}")]
    Private(io::Error),
    /// The thread that writes cannot be started.
    #[error("records: cannot start the writer: {0}")]
    Thread(io::Error),
}

/// Notes facts and answers questions about them. Clones share one writer.
#[derive(Clone, Debug, Default)]
pub struct Records(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    queue: SyncSender<Note>,
    dropped: Arc<AtomicU64>,
    /// The whole cache of policies: a question about one must not wait for the disk.
    policies: Mutex<HashMap<Domain, StsEntry>>,
    /// For the same reason.
    acquaintances: Mutex<Acquaintances>,
}

impl Records {
    /// Opens or makes the file, and starts the writer.
    pub fn open(settings: Settings) -> Result<Self, RecordsError> {
        let connection = database::open(&settings.file)?;
        let policies = Mutex::new(sts::load(&connection, now().as_secs())?);
        let acquaintances = Mutex::new(acquaintance::load(&connection, now().as_secs())?);
        let (queue, notes) = mpsc::sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        writer::start(connection, notes, settings.keep, dropped.clone()).map_err(RecordsError::Thread)?;
        Ok(Self(Some(Arc::new(Inner { settings, queue, dropped, policies, acquaintances }))))
    }

    /// Records that remember nothing: for tests, and for a server whose file cannot be opened.
    pub fn none() -> Self {
        Self(None)
    }

    /// Notes one step of a message. Never waits.
    pub fn trace(&self, event: Event) {
        self.note(Note::Trace(now(), event));
    }

    /// Notes how a session with an MX host went. Never waits.
    pub fn tls(&self, result: TlsResult) {
        self.note(Note::Tls(now(), result));
    }

    /// Notes a message that DMARC judged. Never waits.
    pub fn judged(&self, mail: Judged) {
        self.note(Note::Judged(now(), mail));
    }

    /// Keeps a report of others. Never waits.
    pub fn keep_report(&self, report: ReceivedReport) {
        self.note(Note::Report(report));
    }

    /// Notes that a report has gone, or that there is nobody to send it to; [`flush`](Self::flush) waits for it.
    pub fn report_sent(&self, report: ReportDay) {
        self.note(Note::Sent(report));
    }

    /// Domains and days within `days` of which something is on record; `unsent_only`: and no report has gone. Blocking.
    pub fn report_days(
        &self,
        kind: ReportKind,
        days: std::ops::Range<u64>,
        unsent_only: bool,
    ) -> Result<Vec<ReportDay>, RecordsError> {
        let Some(inner) = &self.0 else { return Ok(Vec::new()) };
        judged::days(&database::read(&inner.settings.file)?, kind, days, unsent_only)
    }

    /// What DMARC judged of one domain and day, the most frequent first. Blocking.
    pub fn judged_mail(&self, domain: &Domain, day: u64) -> Result<Vec<Kind>, RecordsError> {
        let Some(inner) = &self.0 else { return Ok(Vec::new()) };
        judged::kinds(&database::read(&inner.settings.file)?, domain, day)
    }

    /// How the sessions with one domain went on one day. Blocking.
    pub fn tls_results(&self, domain: &Domain, day: u64) -> Result<Vec<DayOfResults>, RecordsError> {
        let Some(inner) = &self.0 else { return Ok(Vec::new()) };
        let mut days = tls_result::days(&database::read(&inner.settings.file)?)?;
        days.retain(|found| found.day == day && found.domain == domain.as_str());
        Ok(days)
    }

    /// The policy kept for this domain, unless it has expired.
    pub fn policy(&self, domain: &Domain) -> Option<StsEntry> {
        let kept = self.0.as_ref()?.policies().get(domain).cloned();
        kept.filter(|entry| entry.expires > now().as_secs())
    }

    /// Keeps a policy that was fetched just now, for this long.
    pub fn keep_policy(&self, domain: &Domain, id: &str, policy: &str, max_age: Duration) {
        let Some(inner) = &self.0 else { return };
        let fetched = now().as_secs();
        let entry = StsEntry {
            id: id.to_owned(),
            policy: policy.to_owned(),
            fetched,
            expires: fetched.saturating_add(max_age.as_secs()),
        };
        sts::insert(&mut inner.policies(), domain.clone(), entry.clone());
        self.note(Note::Policy(domain.clone(), entry));
    }

    /// The policies that expire before then: it is time to ask for them again.
    pub fn policies_expiring_within(&self, time: Duration) -> Vec<(Domain, StsEntry)> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let (now, then) = (now().as_secs(), now().saturating_add(time).as_secs());
        let policies = inner.policies();
        let expiring = policies.iter().filter(|(_, entry)| (now..then).contains(&entry.expires));
        expiring.map(|(domain, entry)| (domain.clone(), entry.clone())).collect()
    }

    /// When somebody was met as this kind, unless that is too long ago.
    pub fn seen(&self, kind: Acquaintance, key: &Key) -> Option<Seen> {
        self.0.as_ref()?.acquaintances().get(kind, key, now().as_secs())
    }

    /// Notes that somebody was met just now, and the first time then. Never waits.
    pub fn meet(&self, kind: Acquaintance, key: Key, first: u64) {
        let Some(inner) = &self.0 else { return };
        let seen = Seen { first, last: now().as_secs().max(first) };
        let room = inner.acquaintances().put(kind, key, seen, MAX_OF_A_KIND);
        if let Some(last) = room {
            self.note(Note::Forget(kind, last));
        }
        self.note(Note::Met(kind, key, seen));
    }

    /// The steps of all messages that fit the question, oldest first. Blocking.
    pub fn find(&self, query: &Query) -> Result<Vec<Event>, RecordsError> {
        let Some(inner) = &self.0 else { return Ok(Vec::new()) };
        trace::find(&database::read(&inner.settings.file)?, query)
    }

    /// How many messages each step has happened to since then (a time since 1970), by the word of the step. Blocking.
    pub fn steps_since(&self, since: Duration) -> Result<Vec<(String, u64)>, RecordsError> {
        let Some(inner) = &self.0 else { return Ok(Vec::new()) };
        trace::steps_since(&database::read(&inner.settings.file)?, since)
    }

    /// Waits until all notes so far are written. Blocking, for a few seconds at most.
    pub fn flush(&self) {
        let Some(inner) = &self.0 else { return };
        let (done, written) = mpsc::sync_channel(1);
        if inner.queue.send(Note::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }

    /// Notes that were dropped because the writer was behind.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.dropped.load(Ordering::Relaxed))
    }

    fn note(&self, note: Note) {
        let Some(inner) = &self.0 else { return };
        if inner.queue.try_send(note).is_err() {
            inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// A panic of another holder leaves a map that is still whole.
    fn policies(&self) -> MutexGuard<'_, HashMap<Domain, StsEntry>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquaintances(&self) -> MutexGuard<'_, Acquaintances> {
        self.acquaintances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers from a file that another process may be writing to, as commands do.
pub mod reader {
    use super::{
        DayOfResults, Event, Query, ReceivedReport, RecordsError, database, received_report, tls_result,
        trace,
    };
    use std::path::Path;

    /// The steps of all messages that fit the question, oldest first.
    pub fn find(file: &Path, query: &Query) -> Result<Vec<Event>, RecordsError> {
        trace::find(&database::read(file)?, query)
    }

    /// TLS results by day and domain, oldest first.
    pub fn tls_results(file: &Path) -> Result<Vec<DayOfResults>, RecordsError> {
        tls_result::days(&database::read(file)?)
    }

    /// Reports of others, in the order of the time that they are about.
    pub fn reports(file: &Path) -> Result<Vec<ReceivedReport>, RecordsError> {
        received_report::all(&database::read(file)?)
    }
}

/// Time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
