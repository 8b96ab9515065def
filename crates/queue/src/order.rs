//! What an operator can do to an entry: retry, hold, release, drop.

use std::collections::BTreeSet;
use std::time::Instant;

use kings_mail::date::DateTime;
use kings_mail::dsn::Status;
use kings_mail::id::TraceId;

use crate::active::Active;
use crate::deliver::Report;
use crate::entry::Entry;
use crate::list::PATIENCE;
use crate::notification::date;
use crate::queue::Queue;
use crate::recipient::Progress;
use crate::record::{Fact, Record};
use crate::spool::{HELD, LoadError, Name};
use crate::timetable::Unavailable;

/// `5.7.0`: given up by somebody who may (RFC 3463 §3.8).
const DROPPED: Status = Status(5, 7, 0);

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Try all its recipients now, unless somebody wants it to wait.
    Retry,
    /// Try nobody any more, until it is released.
    Hold,
    /// Go on, now, with what was held by an operator or is held by its sender (RFC 4865).
    Release,
    /// Delete it, and tell nobody.
    Drop,
    /// Give it up: its sender is told as of any failure.
    Bounce,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no entry of this id.
    #[error("the queue holds no entry of this id")]
    Unknown,
    /// It is in the hands of the runner.
    #[error("it is being tried just now: ask again in a moment")]
    Busy,
    /// An operator holds it, or a rule does.
    #[error("it is held: release it first")]
    Held,
    /// Its sender wants it to wait (RFC 4865), and only a release ends that.
    #[error("its sender wants it to wait until {until}; release it with  kings queue release {id}")]
    Wanted {
        /// Which entry.
        id: TraceId,
        /// Until when.
        until: DateTime,
    },
    /// It cannot be read, or not be changed.
    #[error("{0}")]
    Failed(String),
}

impl From<Unavailable> for OrderError {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Unknown => Self::Unknown,
            Unavailable::Busy => Self::Busy,
            Unavailable::Held => Self::Held,
        }
    }
}

impl From<LoadError> for OrderError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Gone => Self::Unknown,
            LoadError::Damaged(_) | LoadError::Io(_) | LoadError::Mended => Self::Failed(error.to_string()),
        }
    }
}

impl Queue {
    /// Carries out an order; it is on disk when this returns.
    pub async fn order(&self, id: TraceId, order: Order) -> Result<(), OrderError> {
        if order == Order::Retry && self.is_running() {
            self.on_disk(move |queue| queue.check_sender(id)).await?;
            let now = self.clock().now();
            self.timetable().force(id, now)?;
        } else {
            let name = self.timetable().take_to_change(id)?;
            self.fresh().take(id);
            // Once begun it is finished, even if nobody waits for it any more.
            self.on_disk(move |queue| queue.change(name, order)).await?;
        }
        self.changed().notify_one();
        Ok(())
    }

    /// Whether its sender lets it be tried.
    fn check_sender(&self, id: TraceId) -> Result<(), OrderError> {
        let name = self.timetable().name(id).ok_or(OrderError::Unknown)?;
        let load = |name| self.spool().load(name);
        match self.load_renamed(name, Instant::now() + PATIENCE, load) {
            Ok(entry) if !entry.is_released(self.clock().now()) => Err(wanted(&entry)),
            // What cannot be read is set aside when it is tried.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The entries that their senders want to wait. Each that is not due is opened.
    pub async fn wanted(&self) -> BTreeSet<TraceId> {
        self.on_disk(|queue| {
            let now = queue.clock().now();
            let names = queue.timetable().names_after(None, usize::MAX);
            let later = names.into_iter().filter(|name| name.next > now.wall && name.next != HELD);
            let is_wanted = |name: &Name| {
                queue.spool().load(*name).is_ok_and(|entry| !entry.is_released(queue.clock().now()))
            };
            later.filter(is_wanted).map(|name| name.id).collect()
        })
        .await
    }

    /// Makes every entry that is not held due at once, but for these; returns which they are. What its sender wants to
    /// wait is not tried even so. `None` while nobody runs the queue: what is due stands in the files alone then, and each
    /// has to be ordered.
    pub fn retry_all(&self, but: &BTreeSet<TraceId>) -> Option<Vec<TraceId>> {
        if !self.is_running() {
            return None;
        }
        let now = self.clock().now();
        let forced = self.timetable().force_all(now, but);
        self.changed().notify_one();
        Some(forced)
    }

    /// Changes an entry that was taken for that, and gives it back to the timetable.
    fn change(&self, name: Name, order: Order) -> Result<(), OrderError> {
        let changed = self.carry_out(name, order);
        let now = self.clock().now();
        match &changed {
            Ok(None) => self.timetable().forget(name.id),
            Ok(Some(name)) => self.timetable().put_back(*name, Active::due_after(name.next, now), None),
            Err(_) => self.timetable().put_back(name, Active::due_after(name.next, now), None),
        }
        if changed.is_ok() {
            tracing::info!(id = %name.id, ?order, "an operator's order");
        }
        changed.map(drop)
    }

    /// Writes the order into the entry; gives its new name, or `None` if it is no more.
    fn carry_out(&self, name: Name, order: Order) -> Result<Option<Name>, OrderError> {
        let failed = |error: std::io::Error| OrderError::from(LoadError::from(error));
        if order == Order::Drop {
            self.spool().remove(name).map_err(failed)?;
            return Ok(None);
        }
        let mut entry = self.spool().load(name)?;
        let moment = self.clock().now();
        let (now, waits) = (moment.wall, !entry.is_released(moment));
        let places = match order {
            Order::Hold => entry.places(|r| matches!(r.progress, Progress::Open { .. })),
            Order::Release if waits => entry.unfinished(),
            Order::Release => entry.places(|r| r.progress == Progress::Held),
            Order::Retry if waits => return Err(wanted(&entry)),
            Order::Retry if entry.is_held() => return Err(OrderError::Held),
            Order::Retry | Order::Bounce | Order::Drop => entry.unfinished(),
        };
        let mut bytes = Vec::new();
        for recipient in places {
            let record = Record { at: now, recipient, fact: fact(order, now) };
            record.write_to(entry.seed, &mut bytes);
            entry.apply(&record).map_err(LoadError::from)?;
        }
        if !bytes.is_empty() {
            self.spool().append(name, entry.tail, &bytes).map_err(failed)?;
        }
        let next = match (entry.next(), entry.is_held()) {
            (Some(next), _) => next,
            (None, true) => HELD,
            (None, false) => now,
        };
        Ok(Some(self.reschedule(name, next)))
    }
}

fn wanted(entry: &Entry) -> OrderError {
    OrderError::Wanted { id: entry.id, until: date(entry.appointed()) }
}

fn fact(order: Order, now: u64) -> Fact {
    match order {
        Order::Hold => Fact::Held(None),
        Order::Release | Order::Retry => Fact::Released { next: now },
        Order::Bounce | Order::Drop => Fact::Failed(Report::ours(DROPPED, "given up by the administrator")),
    }
}
