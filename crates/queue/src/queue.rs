//! The queue as others see it: take messages in, run them, list them, try them now.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, Hold};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::bounce::date;
use crate::clock::{Clock, WallClock};
use crate::deliver::Deliver;
use crate::disk::{Disk, SystemDisk, blocking};
use crate::draft::{CHUNK, Draft};
use crate::entry::{Entry, Head, RecipientState};
use crate::lanes::Limits;
use crate::runner::Runner;
use crate::schedule::{Schedule, uptime_of};
use crate::spool::{LoadError, Name, Spool, SubmitError};

/// Steps on disk that the runner has under way at the same time.
const DISK_TURNS: usize = 64;

/// What a queue must know.
#[derive(Clone)]
pub struct Settings {
    /// Folder that holds everything; created if its parent exists. No other process may use it meanwhile.
    pub root: PathBuf,
    /// Our name in bounces.
    pub hostname: Domain,
    /// Bytes that must stay free for new messages to be taken.
    pub free_space_reserve: u64,
    /// How many attempts run at once.
    pub limits: Limits,
    /// How long running attempts may take to end at shutdown before they are abandoned.
    pub shutdown_grace: Duration,
    /// Where dates come from.
    pub wall_clock: WallClock,
}

impl Settings {
    /// The usual values: 100 MB free (twice the largest message), 10 s of grace, the system's clock.
    pub fn new(root: impl Into<PathBuf>, hostname: Domain) -> Self {
        Self {
            root: root.into(),
            hostname,
            free_space_reserve: 100 * 1024 * 1024,
            limits: Limits::default(),
            shutdown_grace: Duration::from_secs(10),
            wall_clock: Arc::new(SystemTime::now),
        }
    }
}

/// Messages on their way out; cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    spool: Spool,
    schedule: Mutex<Schedule>,
    /// Something may be due earlier than the runner thinks.
    changed: Notify,
    clock: Clock,
    /// Bounds the threads that the runner keeps waiting for the disk.
    disk_turns: Semaphore,
    hostname: Domain,
    limits: Limits,
    shutdown_grace: Duration,
}

impl Queue {
    /// Opens the folder and removes submissions that a crash cut off. Blocking, but its time does not grow
    /// with the queue: entries are looked for by [`Queue::run`].
    pub fn open(settings: Settings) -> io::Result<Self> {
        Self::open_on(settings, Arc::new(SystemDisk))
    }

    pub(crate) fn open_on(settings: Settings, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let Settings { root, hostname, free_space_reserve, limits, shutdown_grace, wall_clock } = settings;
        Ok(Self(Arc::new(Inner {
            spool: Spool::open(&root, free_space_reserve, disk)?,
            schedule: Mutex::default(),
            changed: Notify::new(),
            clock: Clock::new(wall_clock),
            disk_turns: Semaphore::new(DISK_TURNS),
            hostname,
            limits,
            shutdown_grace,
        })))
    }

    /// Begins to take in a message, or refuses because space is short. Blocking.
    pub fn begin(&self) -> Result<Submission, SubmitError> {
        self.0.spool.check_space()?;
        Ok(Submission { queue: self.clone(), draft: Draft::new() })
    }

    /// Takes in a whole message: [`Queue::begin`], [`Submission::write`] and [`Submission::commit`] on a thread that may block.
    pub async fn submit<R>(&self, id: TraceId, envelope: Envelope, mut content: R) -> Result<(), SubmitError>
    where
        R: Read + Send + 'static,
    {
        let queue = self.clone();
        blocking(move || {
            let mut submission = queue.begin()?;
            let mut buffer = vec![0; CHUNK];
            loop {
                match content.read(&mut buffer)? {
                    0 => return submission.commit(id, &envelope),
                    count => submission.write(&buffer[..count])?,
                }
            }
        })
        .await
    }

    /// Looks for what is in the queue already and delivers everything when it is due, until `shutdown`.
    ///
    /// Running attempts then get the grace of the settings to end; what is abandoned is tried again after
    /// the next start. Only one such call may be active.
    pub async fn run<D: Deliver>(&self, deliver: Arc<D>, shutdown: CancellationToken) {
        Runner::new(self.clone(), deliver, shutdown).run().await;
    }

    /// Makes an entry due at once, all its recipients with it; `false` if there is none of this id.
    pub fn retry(&self, id: TraceId) -> bool {
        let found = self.schedule().force(id, self.0.clock.now());
        self.changed().notify_one();
        found
    }

    /// Makes every entry due at once; returns how many there are.
    pub fn retry_all(&self) -> usize {
        let count = self.schedule().force_all(self.0.clock.now());
        self.changed().notify_one();
        count
    }

    /// How many entries are known: all of them once the first look at the folder is done.
    pub fn len(&self) -> usize {
        self.schedule().len()
    }

    /// Whether no entry is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads every entry: a snapshot for lists, oldest first. It opens each file, so a large queue takes a while.
    pub async fn list(&self) -> io::Result<Listing> {
        self.on_disk(Self::read_all).await
    }

    fn read_all(&self) -> io::Result<Listing> {
        let mut names = Vec::new();
        self.0.spool.scan(|batch| {
            names.extend_from_slice(batch);
            ControlFlow::Continue(())
        })?;
        names.sort_unstable_by_key(|name| name.id);
        names.dedup_by_key(|name| name.id);
        let mut listing = Listing::default();
        for name in names {
            match self.load_renamed(name) {
                Ok(entry) => listing.entries.push(ListedEntry::from(&entry)),
                Err(LoadError::Gone) => {}
                Err(error) => {
                    listing.damaged.push(DamagedEntry { name: name.to_string(), reason: error.to_string() });
                }
            }
        }
        for (name, bytes) in self.0.spool.damaged()? {
            listing.damaged.push(DamagedEntry { name, reason: format!("set aside, {bytes} bytes") });
        }
        Ok(listing)
    }

    /// Loads an entry that may get another name just now.
    fn load_renamed(&self, name: Name) -> Result<Entry, LoadError> {
        match self.0.spool.load(name) {
            Err(LoadError::Gone) => {
                let renamed = self.schedule().name(name.id).ok_or(LoadError::Gone)?;
                self.0.spool.load(renamed)
            }
            result => result,
        }
    }

    /// Adds what the folder holds to the schedule, without opening it. Blocking.
    pub(crate) fn scan(&self, stop: &CancellationToken) -> io::Result<()> {
        self.0.spool.scan(|batch| {
            let now = self.0.clock.now();
            let mut schedule = self.schedule();
            for &name in batch {
                schedule.add(name, uptime_of(name.next, now));
            }
            drop(schedule);
            self.changed().notify_one();
            if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// Runs disk work on a thread that may block.
    pub(crate) async fn on_disk<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> T + Send + 'static,
    {
        let queue = self.clone();
        // Held until the work is done; the semaphore is never closed.
        let _turn = self.0.disk_turns.acquire().await;
        blocking(move || work(&queue)).await
    }

    pub(crate) fn spool(&self) -> &Spool {
        &self.0.spool
    }

    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.0.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn hostname(&self) -> &Domain {
        &self.0.hostname
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        self.0.shutdown_grace
    }
}

/// A message on its way into the queue; dropped, it leaves nothing. All calls block.
pub struct Submission {
    queue: Queue,
    draft: Draft,
}

impl Submission {
    /// Takes the next bytes of the content, which is kept exactly as it is.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SubmitError> {
        Ok(self.draft.write(bytes, self.queue.spool())?)
    }

    /// Stores the message under `id`, and has it tried at once. When this returns `Ok` it is on disk, file
    /// and directory: now is the time for the 250 (RFC 5321 §6.1).
    pub fn commit(self, id: TraceId, envelope: &Envelope) -> Result<(), SubmitError> {
        let Self { queue, draft } = self;
        if queue.schedule().contains(id) {
            return Err(SubmitError::DuplicateId(id));
        }
        let now = queue.clock().now();
        let head = Head {
            id,
            arrived: now.wall,
            envelope: as_kept(envelope, now.wall),
            content_length: draft.length(),
            content_checksum: draft.checksum(),
        };
        let name = queue.spool().commit(&head, &draft)?;
        queue.schedule().add(name, now.uptime);
        queue.changed().notify_one();
        tracing::info!(
            %id, reverse_path = %envelope.reverse_path, recipients = envelope.recipients.len(), bytes = head.content_length,
            "queued"
        );
        Ok(())
    }
}

/// The envelope as an entry keeps it: the size is known better, and a wait has become a time.
fn as_kept(envelope: &Envelope, now: u64) -> Envelope {
    let mut kept = envelope.clone();
    kept.parameters.size = None;
    kept.parameters.hold = kept.parameters.hold.map(|hold| match hold {
        Hold::For(seconds) => Hold::Until(now.saturating_add(seconds)),
        Hold::Until(time) => Hold::Until(time),
    });
    kept
}

/// The queue at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Oldest first.
    pub entries: Vec<ListedEntry>,
    /// What cannot be read. None of it is tried.
    pub damaged: Vec<DamagedEntry>,
}

/// An entry as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// The name of the message here.
    pub id: TraceId,
    /// Where its failures are reported.
    pub reverse_path: ReversePath,
    /// Length of the content in octets.
    pub bytes: u64,
    /// When it was taken in.
    pub arrived: DateTime,
    /// All its recipients, settled ones too.
    pub recipients: Vec<ListedRecipient>,
}

/// A recipient as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRecipient {
    /// Who it is for.
    pub forward_path: ForwardPath,
    /// How far it is.
    pub state: RecipientState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; `None` once it is settled.
    pub next_attempt: Option<DateTime>,
    /// What was said last.
    pub last_reply: Option<String>,
}

/// A file that is no readable entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedEntry {
    /// What it is called: the id it had, and more.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl From<&Entry> for ListedEntry {
    fn from(entry: &Entry) -> Self {
        let recipient = |recipient: &crate::entry::Recipient| ListedRecipient {
            forward_path: recipient.path().clone(),
            state: recipient.state(),
            attempts: recipient.attempts,
            next_attempt: recipient.next().map(date),
            last_reply: recipient.last.as_ref().map(|(_, report)| report.reply.clone()),
        };
        Self {
            id: entry.id,
            reverse_path: entry.reverse_path.clone(),
            bytes: entry.content.length,
            arrived: date(entry.arrived),
            recipients: entry.recipients.iter().map(recipient).collect(),
        }
    }
}
