//! Outgoing mail on disk: spool, schedule, runner, bounce text.
//!
//! A message that leaves is one file from its 250 to its last recipient: envelope, content, and one line for
//! each thing that happened since. [`Queue`] takes messages in and runs them; how a message travels is the
//! business of whoever implements [`Deliver`].

mod active;
mod bounce;
mod carry;
mod clock;
mod deliver;
mod disk;
mod draft;
mod entry;
mod lanes;
mod queue;
mod record;
mod reserve;
mod runner;
mod schedule;
mod spool;
#[cfg(test)]
mod testing;

pub use clock::WallClock;
pub use deliver::{
    Attempt, Bounce, Content, ContentReader, Deliver, Destination, Outcome, PostError, Report,
};
pub use entry::RecipientState;
pub use lanes::Limits;
pub use queue::{DamagedEntry, ListedEntry, ListedRecipient, Listing, Queue, Settings, Submission};
pub use schedule::{FIRST_RETRY, LIFETIME, LONGEST_RETRY};
pub use spool::{MAX_ENVELOPE, SubmitError};
