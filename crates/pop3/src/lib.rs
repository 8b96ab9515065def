//! POP3: grammar, replies, session state, the maildrop. No IO.
//!
//! Server side of RFC 1939 with the extensions of RFC 2449, RFC 2595, RFC 5034 and RFC 6856. Bytes go into a [`Session`],
//! [`Event`]s come out; the caller answers them. Nothing here knows accounts or files.

pub mod limits;
pub mod maildrop;

mod command;
mod content;
mod reader;
mod reply;
mod session;
mod uidl;

pub use command::{BadCommand, Command, MessageNumber, parse};
pub use content::Stuffer;
pub use maildrop::{Entry, Maildrop};
pub use reply::{Code, Reply};
pub use session::{Event, Session, Settings};
pub use uidl::{BadUidlFormat, UidlFormat, UidlParts};
