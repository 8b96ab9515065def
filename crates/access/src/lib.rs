//! IMAP and POP3 servers over the store, and the socket by which another mail server checks logins.
//!
//! `protocol` says what both have in common; `carrier` with `connection` is where sockets are touched, `blocking` the only
//! place that starts blocking work; `door` is where people come in. `imap` has one file for each command or group of close ones.

mod auth;
mod blocking;
mod carrier;
mod connection;
mod deflate;
mod door;
mod imap;
mod peer;
mod pop3;
mod protocol;
mod sessions;
mod socket;

pub use auth::Auth;
pub use door::People;
pub use imap::{Imap, Parts, Sharing};
pub use kings_pop3::UidlFormat;
pub use pop3::{Pop3, Pop3Parts};
