//! The queue as the mail flow sees it: take messages in, and run them. What operators see is in [`crate::list`] and
//! [`crate::order`].

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, Hold};
use kings_mail::id::TraceId;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, WallClock};
use crate::deliver::{Deliver, Handover, Notification, Report};
use crate::disk::{Disk, SystemDisk, blocking};
use crate::draft::{CHUNK, Draft};
use crate::entry::Head;
use crate::fresh::{Fresh, Whole};
use crate::lanes::Limits;
use crate::notices::Notices;
use crate::notification::{self, Excerpt};
use crate::record::{self, Fact, Record};
use crate::runner::Runner;
use crate::schedule::{DELAY_WARNING, Lifetimes, uptime_of};
use crate::spool::{HELD, Name, Spool, SubmitError};
use crate::timetable::Timetable;

/// Steps on disk that the runner has under way at the same time.
const DISK_TURNS: usize = 64;

/// What a queue must know.
#[derive(Clone)]
pub struct Settings {
    /// Folder that holds everything; created if its parent exists. No other process may use it meanwhile.
    pub root: PathBuf,
    /// Our name in notifications.
    pub hostname: Domain,
    /// Bytes that must stay free for new messages to be taken.
    pub free_space_reserve: u64,
    /// How many attempts run at once.
    pub limits: Limits,
    /// After how long in the queue a sender is told that a message is late, once; `None` for never.
    pub delay_warning: Option<Duration>,
    /// How long messages are tried.
    pub lifetimes: Lifetimes,
    /// Who hears of what goes wrong beside the senders.
    pub notices: Notices,
    /// How long running attempts may take to end at shutdown before they are abandoned.
    pub shutdown_grace: Duration,
    /// Where dates come from.
    pub wall_clock: WallClock,
}

impl Settings {
    /// The usual values: 100 MB free (twice the largest message), a warning after 4 hours, 5 days of attempts, 10 s of
    /// grace, the system's clock.
    pub fn new(root: impl Into<PathBuf>, hostname: Domain) -> Self {
        Self {
            root: root.into(),
            hostname,
            free_space_reserve: 100 * 1024 * 1024,
            limits: Limits::default(),
            delay_warning: Some(DELAY_WARNING),
            lifetimes: Lifetimes::default(),
            notices: Notices::default(),
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
    timetable: Mutex<Timetable>,
    fresh: Mutex<Fresh>,
    /// Something may be due earlier than the runner thinks.
    changed: Notify,
    /// The first look at the folder is done.
    scanned: AtomicBool,
    /// Somebody runs it.
    running: AtomicBool,
    clock: Clock,
    /// Bounds the threads that the runner keeps waiting for the disk.
    disk_turns: Semaphore,
    hostname: Domain,
    limits: Limits,
    delay_warning: Option<Duration>,
    lifetimes: Lifetimes,
    notices: Notices,
    shutdown_grace: Duration,
}

impl Queue {
    /// Opens the folder and removes submissions that a crash cut off. Blocking, but its time does not grow
    /// with the queue: entries are looked for by [`Queue::run`].
    pub fn open(settings: Settings) -> io::Result<Self> {
        Self::open_on(settings, Arc::new(SystemDisk))
    }

    pub(crate) fn open_on(settings: Settings, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let Settings {
            root,
            hostname,
            free_space_reserve,
            limits,
            delay_warning,
            lifetimes,
            notices,
            shutdown_grace,
            wall_clock,
        } = settings;
        Ok(Self(Arc::new(Inner {
            spool: Spool::open(&root, free_space_reserve, disk)?,
            timetable: Mutex::default(),
            fresh: Mutex::default(),
            changed: Notify::new(),
            scanned: AtomicBool::new(false),
            running: AtomicBool::new(false),
            clock: Clock::new(wall_clock),
            disk_turns: Semaphore::new(DISK_TURNS),
            hostname,
            limits,
            delay_warning,
            lifetimes,
            notices,
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

    /// What tells the sender of a message that needed no entry, as the copies of all its recipients were taken
    /// over at once: `done` says by whom, in their order, and `beginning` holds the header. `None` unless there is a
    /// sender who asked to hear of success (RFC 3461 §5.2).
    pub fn success(
        &self,
        id: TraceId,
        envelope: Envelope,
        done: &[Handover],
        beginning: &[u8],
    ) -> Option<Notification> {
        let now = self.0.clock.now();
        let message = Head { id, arrived: now.wall, envelope, content_length: 0, content_checksum: 0 };
        notification::of_success(message, done, beginning, self.hostname(), now)
    }

    /// What tells the writer of a message that was refused when nobody heard the reply: `why` holds for all recipients
    /// of the envelope. `None` unless there is a sender who wants to hear of failures (RFC 3461 §4.1). Last, whether all
    /// of the content goes back, as it does where it is given whole, up to [`crate::MAX_RETURNED_MESSAGE`], and can stand in a
    /// report; else its header does.
    pub fn refusal(
        &self,
        id: TraceId,
        envelope: Envelope,
        why: &Report,
        content: Returnable,
    ) -> Option<(Notification, bool)> {
        let now = self.0.clock.now();
        let message = Head { id, arrived: now.wall, envelope, content_length: 0, content_checksum: 0 };
        let excerpt = match content {
            Returnable::Whole(content) => Excerpt::Whole(content),
            Returnable::Beginning(beginning) => Excerpt::Beginning(beginning),
        };
        notification::of_refusal(message, &record::as_kept(why.clone()), excerpt, self.hostname(), now)
    }

    /// Looks for what is in the queue already and delivers everything when it is due, until `shutdown`.
    ///
    /// Running attempts then get the grace of the settings to end; what is abandoned is tried again after
    /// the next start. Only one such call may be active.
    pub async fn run<D: Deliver>(&self, deliver: Arc<D>, shutdown: CancellationToken) {
        self.0.running.store(true, Ordering::Relaxed);
        Runner::new(self.clone(), deliver, shutdown).run().await;
        self.0.running.store(false, Ordering::Relaxed);
    }

    /// How many entries are known: all of them once the first look at the folder is done.
    pub fn len(&self) -> usize {
        self.timetable().len()
    }

    /// Whether no entry is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first look at the folder is done, so that every entry is known.
    pub fn is_scanned(&self) -> bool {
        self.0.scanned.load(Ordering::Relaxed)
    }

    /// Looks for what is in the folder, for when [`Queue::run`] does not. Blocking.
    pub fn look(&self) -> io::Result<()> {
        self.scan(&CancellationToken::new())?;
        self.set_scanned();
        Ok(())
    }

    /// Looks again while [`Queue::run`] goes on, for what somebody has put into the folder meanwhile.
    pub async fn look_again(&self) -> io::Result<()> {
        self.on_disk(|queue| queue.scan(&CancellationToken::new())).await
    }

    pub(crate) fn set_scanned(&self) {
        self.0.scanned.store(true, Ordering::Relaxed);
    }

    /// Whether [`Queue::run`] does: what is ordered is done at once then, else at the next start.
    pub fn is_running(&self) -> bool {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Adds an entry to the timetable, with what need not be read of it.
    ///
    /// A look at the folder may have found the file before: then it may have been read, tried and written to already,
    /// and what is in memory is out of date. Under one lock, so that nobody takes the entry in between.
    fn announce(&self, name: Name, due: u64, whole: Option<Whole>) {
        let mut timetable = self.timetable();
        if timetable.add(name, due)
            && let Some(whole) = whole
        {
            self.fresh().keep(whole);
        }
    }

    /// Adds what the folder holds to the timetable, without opening it. Blocking.
    pub(crate) fn scan(&self, stop: &CancellationToken) -> io::Result<()> {
        self.0.spool.scan(|batch| {
            let now = self.0.clock.now();
            let mut timetable = self.timetable();
            for &name in batch {
                timetable.add(name, uptime_of(name.next, now));
            }
            drop(timetable);
            self.changed().notify_one();
            if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// Writes the time of the next attempt into the name of an entry; gives the name it has then. The records hold
    /// the time as well, so an old name costs no more than one look too early. Blocking.
    pub(crate) fn reschedule(&self, name: Name, next: u64) -> Name {
        let renamed = self.spool().rename(name, next).unwrap_or_else(|error| {
            tracing::warn!(id = %name.id, %error, "a queue entry could not be renamed");
            name
        });
        if renamed != name {
            // At once, for whoever reads the list meanwhile.
            self.timetable().rename(renamed);
            if let Err(error) = self.spool().sync_names() {
                tracing::warn!(id = %name.id, %error, "a queue entry may have its old name after a power cut");
            }
        }
        renamed
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

    pub(crate) fn timetable(&self) -> MutexGuard<'_, Timetable> {
        self.0.timetable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What need not be read from the disk.
    pub(crate) fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(crate) fn delay_warning(&self) -> Option<Duration> {
        self.0.delay_warning
    }

    pub(crate) fn lifetimes(&self) -> Lifetimes {
        self.0.lifetimes
    }

    pub(crate) fn notices(&self) -> &Notices {
        &self.0.notices
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        self.0.shutdown_grace
    }
}

/// What of a message can go back to its writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returnable {
    /// All of it: at most [`crate::MAX_RETURNED_MESSAGE`] octets.
    Whole(Vec<u8>),
    /// Its first octets, with the header in them.
    Beginning(Vec<u8>),
}

/// What is known about a message's recipients before the first attempt.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Those, by their place in the envelope, that nobody has to try: their failure is reported to the sender.
    pub given_up: Vec<(usize, Report)>,
    /// Why all others wait until an operator releases them.
    pub held: Option<Report>,
}

impl Beginning {
    fn records(&self, at: u64, recipients: usize) -> Vec<Record> {
        let kept = |report: &Report| record::as_kept(report.clone());
        let failure = |(recipient, report): &(usize, Report)| Record {
            at,
            recipient: *recipient,
            fact: Fact::Failed(kept(report)),
        };
        let is_open = |place: &usize| self.given_up.iter().all(|(given_up, _)| given_up != place);
        let held = self.held.iter().flat_map(|why| {
            let hold = move |recipient| Record { at, recipient, fact: Fact::Held(Some(kept(why))) };
            (0..recipients).filter(is_open).map(hold)
        });
        self.given_up.iter().map(failure).chain(held).collect()
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
        self.stage(id, envelope, &Beginning::default())?.commit()
    }

    /// Writes the message under `id` to the disk, where it waits for its commit and does not count before:
    /// for a caller that has something else to store meanwhile and must do both or neither.
    ///
    /// `beginning` says what is known about its recipients already.
    pub fn stage(
        self,
        id: TraceId,
        envelope: &Envelope,
        beginning: &Beginning,
    ) -> Result<Staged, SubmitError> {
        let Self { queue, draft } = self;
        if queue.timetable().contains(id) {
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
        let records = beginning.records(now.wall, head.envelope.recipients.len());
        let first_attempt = if beginning.held.is_some() { HELD } else { head.first_attempt() };
        let entry = queue.spool().stage(&head, &draft, &records)?;
        // What happened already stands in the file alone.
        let content = draft.into_content().filter(|_| records.is_empty());
        let whole = content.and_then(|content| Whole::new(entry, || content));
        Ok(Staged { queue, head: Some(head), first_attempt, whole })
    }
}

/// A message that is on disk and does not count yet; dropped, it leaves nothing. All calls block, and so does
/// dropping.
pub struct Staged {
    queue: Queue,
    /// `None` once it is committed.
    head: Option<Head>,
    /// In seconds since 1970, or [`HELD`].
    first_attempt: u64,
    whole: Option<Whole>,
}

impl Staged {
    /// Makes the message count, and has it tried at once. It takes no more space, so a full disk does not
    /// stop it. After `Ok` it survives a crash.
    pub fn commit(self) -> Result<(), SubmitError> {
        Self::commit_all(vec![self])
    }

    /// The same for several entries of one queue, all or none: they share a sync.
    pub fn commit_all(mut entries: Vec<Self>) -> Result<(), SubmitError> {
        let Some(queue) = entries.first().map(|entry| entry.queue.clone()) else { return Ok(()) };
        let taken = |entry: &mut Self| Some((entry.head.take()?, entry.first_attempt));
        let heads: Vec<(Head, u64)> = entries.iter_mut().filter_map(taken).collect();
        let staged: Vec<(&Head, u64)> = heads.iter().map(|(head, first)| (head, *first)).collect();
        let names = queue.spool().publish(&staged)?;
        let now = queue.clock().now();
        for (name, entry) in names.into_iter().zip(&mut entries) {
            queue.announce(name, uptime_of(name.next, now), entry.whole.take());
        }
        queue.changed().notify_one();
        for (Head { id, envelope, content_length: bytes, .. }, _) in heads {
            let recipients = envelope.recipients.len();
            tracing::info!(%id, reverse_path = %envelope.reverse_path, recipients, bytes, "queued");
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(head) = &self.head {
            self.queue.spool().unstage(head);
        }
    }
}

/// The envelope as an entry keeps it: the size is known better, and a wait has become a time.
fn as_kept(envelope: &Envelope, now: u64) -> Envelope {
    let mut kept = envelope.clone();
    (kept.parameters.size, kept.parameters.submitter) = (None, None);
    kept.parameters.hold = kept.parameters.hold.map(|hold| match hold {
        Hold::For(seconds) => Hold::Until(now.saturating_add(seconds)),
        Hold::Until(time) => Hold::Until(time),
    });
    kept
}
