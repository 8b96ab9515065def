//! Certificates from an ACME authority (RFC 8555): ordered, proven, kept and renewed.

mod account;
mod challenge;
mod http;
mod keeper;
mod order;
mod progress;
mod schedule;
mod shelf;
mod trouble;

pub use crate::challenge::{Dns01, Kind, Publish};
pub use crate::keeper::{Acme, Parts, Report, Settings};
pub use crate::shelf::Shelf;
pub use crate::trouble::Trouble;
