//! Moves entries on: what an entry needs next is begun here, and its end is an event.

use std::sync::Arc;
use std::time::Duration;

use kings_mail::id::TraceId;
use tokio::time::sleep;

use super::{Event, Runner};
use crate::active::{Queued, Release, Step};
use crate::carry;
use crate::deliver::Deliver;
use crate::lanes::{Admission, Wish};
use crate::queue::Queue;
use crate::recipient::Occasion;
use crate::spool::Name;
use crate::timetable::Due;

impl<D: Deliver> Runner<D> {
    /// Moves these entries on, and those that get a place to run because of it.
    pub(super) fn advance_all(&mut self, mut ids: Vec<TraceId>) {
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
            let called = self.queue.timetable().take_called(id);
            match called {
                Some(due) => self.spawn_load(due),
                None => ids.extend(self.forfeit(id)),
            }
        }
    }

    /// Starts what may run of an entry; returns others that got a place it had no use for.
    fn start_attempts(&mut self, id: TraceId) -> Vec<TraceId> {
        let Some(active) = self.active.get_mut(&id) else { return Vec::new() };
        let ends = active.releasing || active.fate.is_some() || self.shutdown.is_cancelled();
        let groups = if ends { Vec::new() } else { active.groups() };
        active.queued = Queued::No;
        let now = self.queue.clock().now();
        for (destination, places) in groups {
            let (sender, asked) = (&active.entry.reverse_path, active.is_asked());
            match self.lanes.admit(Wish { destination: &destination, id, sender, asked }, now.uptime) {
                Admission::Closed(why) => active.suspend(&places, &why, now),
                Admission::Run => {
                    let (queue, deliver) = (self.queue.clone(), Arc::clone(&self.deliver));
                    let (name, span) = (active.name, active.entry.content);
                    let attempt = active.start(destination.clone(), &places);
                    self.tasks.spawn(async move {
                        let finished = carry::attempt(&queue, deliver, name, span, attempt).await;
                        Event::Attempted { id, destination, places, finished }
                    });
                }
                Admission::InLine => active.queued = Queued::InLine,
                Admission::Full if active.queued == Queued::No => active.queued = Queued::Full,
                Admission::Full => {}
            }
        }
        self.forfeit(id)
    }

    /// Does the next step of an entry, after a pause.
    pub(super) fn advance_after(&mut self, id: TraceId, pause: Duration) {
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
            Step::Report(occasion, places) => self.spawn_report(id, occasion, places),
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
                self.queue.timetable().put_in_line(name.id);
            }
            Release::Now { asked } => {
                self.active.remove(&name.id);
                let now = self.queue.clock().now().uptime;
                self.queue.timetable().put_back(name, now, asked);
            }
            Release::At(next) => self.spawn_on_disk(Duration::ZERO, move |queue| {
                let name = queue.reschedule(name, next);
                Event::Renamed { name, next }
            }),
        }
    }

    pub(super) fn spawn_scan(&mut self, pause: Duration) {
        let stop = self.shutdown.clone();
        self.spawn_on_disk(pause, move |queue| Event::Scanned(queue.scan(&stop)));
    }

    pub(super) fn spawn_load(&mut self, due: Due) {
        self.loading.insert(due.name.id);
        self.spawn_on_disk(Duration::ZERO, move |queue| Event::Loaded(due, queue.spool().load(due.name)));
    }

    pub(super) fn spawn_set_aside(&mut self, name: Name, pause: Duration) {
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

    /// Builds a notification and posts it.
    fn spawn_report(&mut self, id: TraceId, occasion: Occasion, places: Vec<usize>) {
        let Some(active) = self.active.get(&id) else { return };
        let (queue, deliver) = (self.queue.clone(), Arc::clone(&self.deliver));
        let (name, entry) = (active.name, active.entry.clone());
        self.tasks.spawn(async move {
            let posted = carry::report(&queue, deliver, (name, &entry), occasion, &places).await;
            Event::Reported { id, occasion, places, posted }
        });
    }
}
