//! The client side of one SMTP session: hand over one message after another, settle each recipient.

mod reader;
mod session;

pub use self::reader::BadReply;
pub use self::session::{Event, Features, Outcome, Session, Settings, StartTls, Transaction, no_tls};
