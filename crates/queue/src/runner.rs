//! The task that takes due entries, has them delivered, and records what came of it.
//!
//! All state is in one place and changes only when an event arrives; whatever waits (disk, deliverer) runs in
//! a task of its own that ends in an event. What to do next with an entry is decided in [`crate::active`].

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kings_mail::dsn::Status;
use kings_mail::id::TraceId;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::active::{Active, Fate, Queued, Release, Step};
use crate::carry;
use crate::deliver::{Deliver, Destination, Outcome, PostError, Report};
use crate::entry::{Damage, Entry};
use crate::lanes::{Admission, Lanes};
use crate::queue::Queue;
use crate::schedule::{Due, FIRST_RETRY};
use crate::spool::{LoadError, Name};

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
    tasks: JoinSet<Event>,
}

/// The end of a task.
enum Event {
    Scanned(io::Result<()>),
    Loaded(Due, Result<Entry, LoadError>),
    Attempted {
        id: TraceId,
        destination: Destination,
        places: Vec<usize>,
        outcomes: Result<Vec<Outcome>, LoadError>,
    },
    Written {
        id: TraceId,
        count: usize,
        tail: io::Result<u64>,
    },
    Reported {
        id: TraceId,
        places: Vec<usize>,
        posted: Result<(), PostError>,
    },
    /// The entry was removed or set aside, or the disk refused.
    Ended {
        id: TraceId,
        result: io::Result<()>,
    },
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
            tasks: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        self.spawn_scan(Duration::ZERO);
        let (queue, shutdown) = (self.queue.clone(), self.shutdown.clone());
        loop {
            self.take_due();
            let next_due = self.has_room().then(|| queue.schedule().next_due()).flatten();
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
            let uptime = self.queue.clock().now().uptime;
            let Some(due) = self.queue.schedule().take_due(uptime) else { return };
            self.spawn_load(due);
        }
    }

    fn handle(&mut self, ended: Result<Event, tokio::task::JoinError>) {
        match ended {
            Ok(Event::Scanned(result)) => self.scanned(result),
            Ok(Event::Loaded(due, result)) => self.loaded(due, result),
            Ok(Event::Attempted { id, destination, places, outcomes }) => {
                self.attempted(id, &destination, &places, outcomes);
            }
            Ok(Event::Written { id, count, tail }) => self.written(id, count, tail),
            Ok(Event::Reported { id, places, posted }) => self.reported(id, &places, posted),
            Ok(Event::Ended { id, result }) => self.ended(id, result),
            Ok(Event::Renamed { name, next }) => self.renamed(name, next),
            Err(error) => {
                tracing::error!(%error, "a task of the queue failed; its entry rests until a restart");
            }
        }
    }

    fn scanned(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => tracing::debug!(entries = self.queue.len(), "queue read"),
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
                let active = Active::new(due, entry, self.queue.clock().now(), jitter());
                self.active.insert(id, active);
                self.advance_all(vec![id]);
            }
            Err(error) => {
                self.not_loaded(due, error);
                let called = self.lanes.forfeit(id);
                self.advance_all(called);
            }
        }
    }

    fn not_loaded(&mut self, due: Due, error: LoadError) {
        let id = due.name.id;
        match error {
            LoadError::Gone => self.queue.schedule().forget(id),
            LoadError::Damaged(Damage::LaterVersion) => {
                tracing::error!(%id, "a queue entry was written by a later version; it stays and is not tried");
                self.queue.schedule().forget(id);
            }
            LoadError::Damaged(damage) => {
                tracing::error!(%id, %damage, "a queue entry is damaged and is set aside");
                self.spawn_set_aside(due.name, Duration::ZERO);
            }
            LoadError::Io(error) => {
                tracing::error!(%id, %error, "a queue entry cannot be read; trying again later");
                self.try_later(due);
            }
        }
    }

    fn try_later(&self, due: Due) {
        let later = self.queue.clock().now().uptime.saturating_add(milliseconds(FIRST_RETRY));
        self.queue.schedule().put_back(due.name, later, due.asked);
    }

    fn attempted(
        &mut self,
        id: TraceId,
        destination: &Destination,
        places: &[usize],
        outcomes: Result<Vec<Outcome>, LoadError>,
    ) {
        let now = self.queue.clock().now();
        if let Some(active) = self.active.get_mut(&id) {
            match outcomes {
                Ok(outcomes) => active.settle(places, outcomes, now),
                Err(LoadError::Gone) => active.abandon(Fate::Gone),
                Err(LoadError::Damaged(damage)) => {
                    tracing::error!(%id, %damage, "a queue entry is damaged and is set aside");
                    active.abandon(Fate::Damaged);
                }
                Err(LoadError::Io(error)) => {
                    tracing::error!(%id, %error, "a queue entry cannot be read; trying again later");
                    let unread = Report::ours(Status::LOCAL_TROUBLE, "the message could not be read");
                    active.settle(places, vec![Outcome::Deferred(unread); places.len()], now);
                }
            }
        }
        let mut affected = self.lanes.release(destination);
        affected.push(id);
        self.advance_all(affected);
    }

    fn written(&mut self, id: TraceId, count: usize, tail: io::Result<u64>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.busy = false;
        match tail {
            Ok(tail) => active.written(count, tail),
            Err(error) if error.kind() == io::ErrorKind::NotFound => active.fate = Some(Fate::Gone),
            // The outcomes stay in memory and nothing is repeated, unless we are ended before the disk recovers.
            Err(error) => {
                tracing::error!(%id, %error, "outcomes cannot be recorded; trying again");
                return self.rest(id);
            }
        }
        self.advance_all(vec![id]);
    }

    fn reported(&mut self, id: TraceId, places: &[usize], posted: Result<(), PostError>) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.busy = false;
        match posted {
            Ok(()) => active.reported(places, self.queue.clock().now()),
            Err(PostError::Later(reason)) => {
                tracing::warn!(%id, reason, "a bounce cannot be posted now");
                active.report_later = true;
            }
            Err(PostError::Never(reason)) => {
                tracing::error!(%id, reason, "a bounce cannot be posted; the failure is known here alone");
                active.reported(places, self.queue.clock().now());
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
                let taken = self.queue.schedule().taken(id);
                if let Some(due) = taken {
                    self.try_later(due);
                }
            }
        }
    }

    fn renamed(&mut self, name: Name, next: u64) {
        let due = Active::due_after(next, self.queue.clock().now());
        self.active.remove(&name.id);
        self.queue.schedule().put_back(name, due, None);
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
        self.queue.schedule().forget(id);
        let called = self.lanes.forfeit(id);
        self.advance_all(called);
    }

    /// Moves these entries on, and those that get a place to run because of it.
    fn advance_all(&mut self, mut ids: Vec<TraceId>) {
        while let Some(id) = ids.pop() {
            if self.active.contains_key(&id) {
                ids.extend(self.start_attempts(id));
                self.advance_after(id, Duration::ZERO);
                continue;
            }
            // Two destinations may call the same entry: it is read once and finds both places then.
            if self.loading.contains(&id) {
                continue;
            }
            let taken = self.queue.schedule().taken(id);
            match taken {
                Some(due) => self.spawn_load(due),
                None => ids.extend(self.lanes.forfeit(id)),
            }
        }
    }

    /// Starts what may run of an entry; returns others that got a place it had no use for.
    fn start_attempts(&mut self, id: TraceId) -> Vec<TraceId> {
        let Some(active) = self.active.get_mut(&id) else { return Vec::new() };
        let ends = active.releasing || active.fate.is_some() || self.shutdown.is_cancelled();
        let groups = if ends { Vec::new() } else { active.groups() };
        active.queued = Queued::No;
        for (destination, places) in groups {
            match self.lanes.admit(&destination, id) {
                Admission::Run => {
                    let (queue, deliver) = (self.queue.clone(), Arc::clone(&self.deliver));
                    let (name, span) = (active.name, active.entry.content);
                    let attempt = active.start(destination.clone(), &places);
                    self.tasks.spawn(async move {
                        let outcomes = carry::attempt(&queue, deliver, name, span, attempt).await;
                        Event::Attempted { id, destination, places, outcomes }
                    });
                }
                Admission::InLine => active.queued = Queued::InLine,
                Admission::Full if active.queued == Queued::No => active.queued = Queued::Full,
                Admission::Full => {}
            }
        }
        self.lanes.forfeit(id)
    }

    /// Does the next step of an entry, after a pause.
    fn advance_after(&mut self, id: TraceId, pause: Duration) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let step = active.next_step(self.queue.clock().now());
        let (name, tail) = (active.name, active.entry.tail);
        active.busy = step != Step::Wait || active.busy;
        match step {
            Step::Wait => {}
            Step::Write(count, bytes) => self.spawn_on_disk(pause, move |queue| {
                let tail = queue.spool().append(name, tail, &bytes);
                Event::Written { id, count, tail }
            }),
            Step::Report(places) => self.spawn_report(id, places),
            Step::Remove => self.spawn_on_disk(pause, move |queue| {
                let result = queue.spool().remove(name);
                Event::Ended { id, result }
            }),
            Step::SetAside => self.spawn_set_aside(name, pause),
            Step::Forget => self.forget(id),
            Step::Release(release) => {
                active.releasing = true;
                self.release(name, release);
            }
        }
    }

    fn release(&mut self, name: Name, release: Release) {
        match release {
            Release::InLine => {
                self.active.remove(&name.id);
            }
            Release::Now { asked } => {
                self.active.remove(&name.id);
                let now = self.queue.clock().now().uptime;
                self.queue.schedule().put_back(name, now, asked);
            }
            Release::At(next) => self.spawn_on_disk(Duration::ZERO, move |queue| {
                // The records hold the time as well, so an old name costs no more than one look too early.
                let name = queue.spool().reschedule(name, next).unwrap_or_else(|error| {
                    tracing::warn!(id = %name.id, %error, "a queue entry could not be renamed");
                    name
                });
                Event::Renamed { name, next }
            }),
        }
    }

    fn spawn_scan(&mut self, pause: Duration) {
        let stop = self.shutdown.clone();
        self.spawn_on_disk(pause, move |queue| Event::Scanned(queue.scan(&stop)));
    }

    fn spawn_load(&mut self, due: Due) {
        self.loading.insert(due.name.id);
        self.spawn_on_disk(Duration::ZERO, move |queue| Event::Loaded(due, queue.spool().load(due.name)));
    }

    fn spawn_set_aside(&mut self, name: Name, pause: Duration) {
        self.spawn_on_disk(pause, move |queue| {
            let result = queue.spool().set_aside(name);
            Event::Ended { id: name.id, result }
        });
    }

    /// Runs disk work in a task, after a pause that a shutdown cuts short.
    fn spawn_on_disk(&mut self, pause: Duration, work: impl FnOnce(&Queue) -> Event + Send + 'static) {
        let (queue, shutdown) = (self.queue.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            if !pause.is_zero() {
                let _ = shutdown.run_until_cancelled(sleep(pause)).await;
            }
            queue.on_disk(work).await
        });
    }

    /// Builds a bounce and posts it.
    fn spawn_report(&mut self, id: TraceId, places: Vec<usize>) {
        let Some(active) = self.active.get(&id) else { return };
        let (queue, deliver) = (self.queue.clone(), Arc::clone(&self.deliver));
        let (name, entry) = (active.name, active.entry.clone());
        self.tasks.spawn(async move {
            let posted = carry::report(&queue, deliver, name, entry, &places).await;
            Event::Reported { id, places, posted }
        });
    }
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
