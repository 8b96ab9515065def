//! Outgoing mail on disk: spool, schedule, runner, delivery status notifications.
//!
//! A message that leaves is one file from its 250 to its last recipient: envelope, content, and one line for
//! each thing that happened since. [`Queue`] takes messages in and runs them; how a message travels is the
//! business of whoever implements [`Deliver`].

mod active;
mod carry;
mod clock;
mod deliver;
mod disk;
mod draft;
mod entry;
mod fresh;
mod lanes;
mod line;
mod list;
mod notices;
mod notification;
mod order;
mod queue;
mod recipient;
mod record;
mod reserve;
mod runner;
mod schedule;
mod shared_sync;
mod spool;
#[cfg(test)]
mod testing;
mod timetable;
mod trial;
mod window;

pub use clock::WallClock;
pub use deliver::{
    Attempt, Contact, Content, ContentReader, Deliver, Destination, Finished, Handover, Lane, Notification,
    Outcome, PostError, Report,
};
pub use lanes::Limits;
pub use list::{DamagedEntry, Details, Filter, Happening, ListedEntry, ListedRecipient, Page};
pub use notices::Notices;
pub use notification::MAX_RETURNED_MESSAGE;
pub use order::{Order, OrderError};
pub use queue::{Beginning, Queue, Returnable, Settings, Staged, Submission};
pub use recipient::RecipientState;
pub use schedule::{DELAY_WARNING, FIRST_RETRY, LIFETIME, LONGEST_RETRY, Lifetimes};
pub use spool::{MAX_ENVELOPE, SubmitError};
pub use trial::{try_entry, with_true_checksums};
