//! Moves entries on: what an entry needs next is begun here, and its end is an event.

use std::sync::Arc;
use std::time::Duration;

use kings_mail::id::TraceId;
use kings_mail::path::ForwardPath;
use kings_mutants::planted;
use tokio::time::sleep;

use super::{Event, Runner};
use crate::active::{Active, Group, Queued, Release, Step};
use crate::carry;
use crate::deliver::Deliver;
use crate::entry::Entry;
use crate::fresh::Whole;
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
                Some(due) => ids.extend(self.load(due)),
                None => ids.extend(self.forfeit(id)),
            }
        }
    }

    /// Starts what may run of an entry; returns others that got a place it had no use for.
    pub(super) fn start_attempts(&mut self, id: TraceId) -> Vec<TraceId> {
        let Some(active) = self.active.get_mut(&id) else { return Vec::new() };
        let ends = active.releasing || active.fate.is_some() || self.shutdown.is_cancelled();
        let deliver = &self.deliver;
        let lane = |entry: &Entry, recipient: &ForwardPath| {
            deliver.lane(&entry.reverse_path, &entry.parameters, recipient)
        };
        let groups = if ends { Vec::new() } else { active.groups(lane) };
        active.queued = Queued::No;
        let now = self.queue.clock().now();
        for Group { lane, places } in groups {
            let (sender, asked) = (&active.entry.reverse_path, active.is_asked());
            match self.lanes.admit(Wish { lane: &lane, id, sender, asked }, now.uptime) {
                Admission::Closed(why) => active.suspend(&places, &why, now),
                Admission::Run => {
                    let (queue, deliver) = (self.queue.clone(), Arc::clone(&self.deliver));
                    let (place, at_hand) = ((active.name, active.entry.content), active.content.clone());
                    let attempt = active.start(&places);
                    let name = active.name;
                    self.tasks.spawn(async move {
                        if planted("removed-before-the-final-reply") {
                            let _ = queue.on_disk(move |queue| queue.spool().remove(name)).await;
                        }
                        let finished = carry::attempt(&queue, deliver, place, at_hand, attempt).await;
                        Event::Attempted { id, lane, places, finished }
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
            Step::Remove if pause.is_zero() => {
                self.settled.push(name);
                self.spawn_removal();
            }
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
                self.keep_whole(name.id);
                self.queue.timetable().put_in_line(name.id);
            }
            // From the disk again: what goes round at once must not go round in here.
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

    /// Lets go of an entry, which need not be read again if it is short.
    fn keep_whole(&mut self, id: TraceId) {
        if let Some(whole) = self.active.remove(&id).and_then(Active::into_whole) {
            self.queue.fresh().keep(whole);
        }
    }

    pub(super) fn spawn_scan(&mut self, pause: Duration) {
        let stop = self.shutdown.clone();
        self.spawn_on_disk(pause, move |queue| Event::Scanned(queue.scan(&stop)));
    }

    /// Takes an entry up: its id if it is ready to be moved on, which it is later if it has to be read.
    pub(super) fn load(&mut self, due: Due) -> Option<TraceId> {
        let id = due.name.id;
        let whole = self.queue.fresh().take(id);
        match whole {
            Some(Whole { entry, content }) => {
                self.begin(due, entry, Some(content));
                Some(id)
            }
            None => {
                self.spawn_load(due);
                None
            }
        }
    }

    fn spawn_load(&mut self, due: Due) {
        self.loading.insert(due.name.id);
        self.spawn_on_disk(Duration::ZERO, move |queue| {
            Event::Loaded(due, Box::new(queue.spool().load(due.name)))
        });
    }

    /// Removes all that is settled by now; what comes meanwhile goes together with the next.
    pub(super) fn spawn_removal(&mut self) {
        if self.is_removing || self.settled.is_empty() {
            return;
        }
        self.is_removing = true;
        let names = std::mem::take(&mut self.settled);
        self.spawn_on_disk(Duration::ZERO, move |queue| {
            let results = queue.spool().remove_all(&names);
            Event::Removed(names.into_iter().map(|name| name.id).zip(results).collect())
        });
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
            if planted("bounce-after-the-removal") {
                let _ = queue.on_disk(move |queue| queue.spool().remove(name)).await;
            }
            let posted = carry::report(&queue, deliver, (name, &entry), occasion, &places).await;
            Event::Reported { id, occasion, places, posted }
        });
    }
}
