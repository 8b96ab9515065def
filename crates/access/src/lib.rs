//! IMAP servers over the store.
//!
//! `connection` is the only place that touches a socket, `blocking` the only one that starts blocking work;
//! `imap` has one file for each command or group of close ones.

mod blocking;
mod connection;
mod imap;
mod sessions;
mod socket;

pub use imap::{Imap, Parts};
