//! SMTP: grammar, replies, server session, client session. No IO.

pub mod claim;
pub mod client;
pub mod command;
pub mod data;
mod lines;
mod quirks;
pub mod reply;
pub mod server;
