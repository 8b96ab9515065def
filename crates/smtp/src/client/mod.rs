//! The client side of one SMTP or LMTP session: hand over one message after another, settle each recipient.

mod commands;
mod features;
mod reader;
mod session;
mod survey;
mod transaction;

pub use self::features::Features;
pub use self::reader::BadReply;
pub use self::session::{Event, Login, Protocol, Session, Settings, StartTls, no_tls};
pub use self::survey::{ContentFacts, Survey};
pub use self::transaction::{Outcome, Transaction};
