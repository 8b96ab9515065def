//! IMAP4rev2 and rev1: grammar, responses, session state, the selected view. No IO.
//!
//! Server side of RFC 3501, and of RFC 9051 for clients that enable it. Bytes go into a [`Session`], [`Event`]s come out; the
//! caller answers them with [`Response`]s and [`Tagged`] results. Nothing here knows accounts or files.

pub mod command;
pub mod fetch;
pub mod flag;
pub mod learn;
pub mod limits;
pub mod list;
pub mod pattern;
pub mod response;
pub mod search;
pub mod sequence;
pub mod sort;
pub mod thread;
pub mod url;
pub mod vanished;
pub mod view;

mod cursor;
mod partial;
mod reader;
mod session;
mod text;

pub use command::{Append, Arriving, Command, Replaced, Request, parse, parse_from};
pub use cursor::SyntaxError;
pub use flag::Flag;
pub use partial::Partial;
pub use response::{
    Code, Condition, Namespaces, OTHERS_PREFIX, OTHERS_SEPARATOR, QUOTA_ROOT, QuotaResource, Response,
    StatusValue, Tagged,
};
pub use sequence::{ModSeq, SequenceNumber, SequenceSet, Uid};
pub use session::{Event, Progress, Session, Settings};
pub use url::PartUrl;
pub use vanished::{Removed, vanished};
pub use view::{Change, Told, View};
