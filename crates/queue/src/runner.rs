//! The task that takes due entries, has them delivered, and records what came of it.
//!
//! All state is in one place and changes only when an event arrives; whatever waits (disk, deliverer) runs in
//! a task of its own that ends in an event. What to do next with an entry is decided in [`crate::active`] and begun in
//! [`advance`].

mod advance;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kings_mail::dsn::Status;
use kings_mail::id::TraceId;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::active::{Active, Fate, Terms};
use crate::deliver::{Content, Deliver, Finished, Lane, Outcome, PostError, Report};
use crate::entry::{Damage, Entry};
use crate::lanes::{Lanes, Learned};
use crate::queue::Queue;
use crate::recipient::Occasion;
use crate::schedule::FIRST_RETRY;
use crate::spool::{LoadError, Name};
use crate::timetable::Due;

/// Most entries held in memory at once. Those that wait for a busy destination are not.
const MAX_ACTIVE: usize = 1_000;
/// Wait before a failed step on disk is tried again.
const DISK_RETRY: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Runner<D> {
    queue: Queue,
    deliver: Arc<D>,
    shutdown: CancellationToken,
    lanes: Lanes,
    active: HashMap<TraceId, Active>,
    /// Entries being read: each once, however many places it is called to meanwhile.
    loading: HashSet<TraceId>,
    /// Settled entries that wait until those before them are removed.
    settled: Vec<Name>,
    is_removing: bool,
    tasks: JoinSet<Event>,
}

/// The end of a task.
enum Event {
    Scanned(io::Result<()>),
    Loaded(Due, Box<Result<Entry, LoadError>>),
    Attempted {
        id: TraceId,
        lane: Lane,
        places: Vec<usize>,
        finished: Result<Finished, LoadError>,
    },
    Written {
        id: TraceId,
        count: usize,
        tail: io::Result<u64>,
    },
    Reported {
        id: TraceId,
        occasion: Occasion,
        places: Vec<usize>,
        posted: Result<(), PostError>,
    },
    /// The entry was removed or set aside, or the disk refused.
    Ended {
        id: TraceId,
        result: io::Result<()>,
    },
    /// The same for several that went together.
    Removed(Vec<(TraceId, io::Result<()>)>),
    Renamed {
        name: Name,
        next: u64,
    },
}

impl<D: Deliver> Runner<D> {
    pub(crate) fn new(queue: Queue, deliver: Arc<D>, shutdown: CancellationToken) -> Self {
        let lanes = Lanes::new(queue.limits());
        Self {
            queue,
            deliver,
            shutdown,
            lanes,
            active: HashMap::new(),
            loading: HashSet::new(),
            settled: Vec::new(),
            is_removing: false,
            tasks: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        self.spawn_scan(Duration::ZERO);
        let (queue, shutdown) = (self.queue.clone(), self.shutdown.clone());
        loop {
            self.take_due();
            let next_due = self.has_room().then(|| queue.timetable().next_due()).flatten();
            let timer = async {
                match next_due {
                    Some(due) => sleep_until(queue.clock().instant(due)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = self.tasks.join_next() => self.handle(ended),
                () = queue.changed().notified() => {}
                () = timer => {}
            }
        }
        self.drain().await;
    }

    /// Lets what runs come to its end and be recorded, but not for ever.
    async fn drain(mut self) {
        let grace = self.queue.shutdown_grace();
        let ended = timeout(grace, async {
            while let Some(ended) = self.tasks.join_next().await {
                self.handle(ended);
            }
        });
        if ended.await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "attempts abandoned at shutdown; they will be repeated");
        }
    }

    fn has_room(&self) -> bool {
        self.active.len() + self.loading.len() < MAX_ACTIVE && self.lanes.has_room()
    }

    fn take_due(&mut self) {
        while self.has_room() {
            if let Some(id) = self.lanes.in_vain() {
                self.advance_all(vec![id]);
                continue;
            }
            let uptime = self.uptime();
            let Some(due) = self.queue.timetable().take_due(uptime) else { return };
            let ready = self.load(due);
            self.advance_all(ready.into_iter().collect());
        }
    }

    fn uptime(&self) -> u64 {
        self.queue.clock().now().uptime
    }

    fn handle(&mut self, ended: Result<Event, tokio::task::JoinError>) {
        match ended {
            Ok(Event::Scanned(result)) => self.scanned(result),
            Ok(Event::Loaded(due, result)) => self.loaded(due, *result),
            Ok(Event::Attempted { id, lane, places, finished }) => {
                self.attempted(id, &lane, &places, finished);
            }
            Ok(Event::Written { id, count, tail }) => self.written(id, count, tail),
            Ok(Event::Reported { id, occasion, places, posted }) => {
                self.reported(id, occasion, &places, posted);
            }
            Ok(Event::Ended { id, result }) => self.ended(id, result),
            Ok(Event::Removed(results)) => {
                self.is_removing = false;
                for (id, result) in results {
                    self.ended(id, result);
                }
                self.spawn_removal();
            }
            Ok(Event::Renamed { name, next }) => self.renamed(name, next),
            Err(error) => {
                tracing::error!(%error, "a task of the queue failed; its entry rests until a restart");
                // It may have been that one; two at once do no harm.
                self.is_removing = false;
            }
        }
    }

    fn scanned(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.queue.set_scanned();
                tracing::debug!(entries = self.queue.len(), "queue read");
            }
            Err(error) if self.shutdown.is_cancelled() => tracing::error!(%error, "the queue cannot be read"),
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read; trying again");
                self.spawn_scan(DISK_RETRY);
            }
        }
    }

    fn loaded(&mut self, due: Due, result: Result<Entry, LoadError>) {
        let id = due.name.id;
        self.loading.remove(&id);
        match result {
            Ok(entry) => {
                self.begin(due, entry, None);
                self.advance_all(vec![id]);
            }
            Err(error) => {
                self.not_loaded(due, error);
                let called = self.forfeit(id);
                self.advance_all(called);
            }
        }
    }

    fn begin(&mut self, due: Due, entry: Entry, content: Option<Content>) {
        let lifetime = self.queue.lifetimes().of(&entry.reverse_path);
        let terms = Terms { jitter: jitter(), delay_warning: self.queue.delay_warning(), lifetime };
        let active = Active::new(due, (entry, content), self.queue.clock().now(), terms);
        self.active.insert(due.name.id, active);
    }

    fn not_loaded(&mut self, due: Due, error: LoadError) {
        let id = due.name.id;
        match error {
            LoadError::Gone => self.queue.timetable().forget(id),
            LoadError::Damaged(Damage::LaterVersion) => {
                tracing::error!(%id, "a queue entry was written by a later version; it stays and is not tried");
                self.queue.timetable().leave_alone(id);
            }
            LoadError::Damaged(damage) => {
                tracing::error!(%id, %damage, "a queue entry is damaged and is set aside");
                self.spawn_set_aside(due.name, Duration::ZERO);
            }
            error @ (LoadError::Io(_) | LoadError::Mended) => {
                tracing::error!(%id, %error, "a queue entry cannot be read; trying again later");
                self.try_later(due);
            }
        }
    }

    /// Gives back the places that an entry has no use for; returns who has them now.
    fn forfeit(&mut self, id: TraceId) -> Vec<TraceId> {
        let now = self.uptime();
        self.lanes.forfeit(id, now)
    }

    fn try_later(&self, due: Due) {
        let later = self.queue.clock().now().uptime.saturating_add(milliseconds(FIRST_RETRY));
        self.queue.timetable().put_back(due.name, later, due.asked);
    }

    fn attempted(
        &mut self,
        id: TraceId,
        lane: &Lane,
        places: &[usize],
        finished: Result<Finished, LoadError>,
    ) {
        let now = self.queue.clock().now();
        let contact = finished.as_ref().ok().map(|finished| finished.contact);
        let why = finished.as_ref().ok().and_then(|finished| deferral(&finished.outcomes).cloned());
        if let Some(active) = self.active.get_mut(&id) {
            match finished {
                Ok(finished) => active.settle(places, finished.outcomes, now),
                Err(LoadError::Gone) => active.abandon(Fate::Gone),
                Err(LoadError::Damaged(damage)) => {
                    tracing::error!(%id, %damage, "a queue entry is damaged and is set aside");
                    active.abandon(Fate::Damaged);
                }
                Err(error @ (LoadError::Io(_) | LoadError::Mended)) => {
                    tracing::error!(%id, %error, "a queue entry cannot be read; trying again later");
                    let unread = Report::ours(Status::LOCAL_TROUBLE, "the message could not be read");
                    active.settle(places, vec![Outcome::Deferred(unread); places.len()], now);
                }
            }
        }
        let learned = contact.map(|contact| Learned { contact, report: why.as_ref() });
        let mut affected = self.lanes.release(lane, learned, now.uptime);
        affected.push(id);
        self.advance_all(affected);
    }

    fn written(&mut self, id: TraceId, count: usize, tail: io::Result<u64>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.busy = false;
        match tail {
            Ok(tail) => active.written(count, tail),
            Err(error) if error.kind() == io::ErrorKind::NotFound => active.fate = Some(Fate::Gone),
            // The outcomes stay in memory and nothing is repeated, unless we are ended before the disk recovers. It holds up
            // no mail: what is due again is tried again, and what is settled goes, for removing needs no room.
            Err(error) if !active.is_over() => {
                tracing::error!(%id, %error, "outcomes cannot be recorded; trying again");
                let is_due = active.renew(self.queue.clock().now());
                let called = if is_due { self.start_attempts(id) } else { Vec::new() };
                self.rest(id);
                return self.advance_all(called);
            }
            Err(error) => tracing::debug!(%id, %error, "outcomes are not recorded, and need not be any more"),
        }
        self.advance_all(vec![id]);
    }

    fn reported(&mut self, id: TraceId, occasion: Occasion, places: &[usize], posted: Result<(), PostError>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.busy = false;
        match posted {
            Ok(()) => active.reported(occasion, places, self.queue.clock().now()),
            Err(PostError::Later(reason)) => {
                tracing::warn!(%id, reason, "a notification cannot be posted now");
                active.report_later = true;
            }
            Err(PostError::Never(reason)) => {
                tracing::error!(%id, reason, "a notification cannot be posted; what it says is known here alone");
                active.reported(occasion, places, self.queue.clock().now());
            }
        }
        self.advance_all(vec![id]);
    }

    fn ended(&mut self, id: TraceId, result: io::Result<()>) {
        match result {
            Ok(()) => self.forget(id),
            Err(error) => {
                tracing::error!(%id, %error, "a queue entry cannot be removed or moved; trying again");
                if let Some(active) = self.active.get_mut(&id) {
                    active.busy = false;
                    return self.rest(id);
                }
                let taken = self.queue.timetable().taken(id);
                if let Some(due) = taken {
                    self.try_later(due);
                }
            }
        }
    }

    fn renamed(&mut self, name: Name, next: u64) {
        let due = Active::due_after(next, self.queue.clock().now());
        self.active.remove(&name.id);
        self.queue.timetable().put_back(name, due, None);
    }

    /// Tries the step again after a while: with the same entry in memory, or not at all when shutting down.
    fn rest(&mut self, id: TraceId) {
        if self.shutdown.is_cancelled() {
            self.active.remove(&id);
            return;
        }
        self.advance_after(id, DISK_RETRY);
    }

    fn forget(&mut self, id: TraceId) {
        self.active.remove(&id);
        self.queue.timetable().forget(id);
        let called = self.forfeit(id);
        self.advance_all(called);
    }
}

/// Why the first of those who wait on does.
fn deferral(outcomes: &[Outcome]) -> Option<&Report> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Deferred(report) => Some(report),
        Outcome::Delivered(_) | Outcome::Relayed(_) | Outcome::PassedOn(_) | Outcome::Failed(_) => None,
    })
}

/// A number in `0.0..1.0`. Where the system has no randomness to give, messages merely come back together.
fn jitter() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
