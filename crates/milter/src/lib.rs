//! The milter protocol, both roles: the mail server that asks and the filter that answers. No IO.
//!
//! No RFC describes it. What stands here follows sendmail's `libmilter` (version 6 of its protocol) and what Postfix
//! sends and expects (`MILTER_README`); where the two differ, a comment says so.

mod answer;
mod client;
mod command;
mod fields;
mod options;
mod packet;
mod server;

pub use answer::{Answer, Change, ReplyText};
pub use client::{Client, Fault, Heard, Macros, Outcome, Sent};
pub use command::{Command, Family, Peer, Stage};
pub use fields::Malformed;
pub use options::{Actions, Options, Steps, SymbolLists, VERSION};
pub use packet::{MAX_CHUNK, MAX_PACKET, Packets, TooLarge};
pub use server::{Breach, Event, Offer, Server};
