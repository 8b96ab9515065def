//! The mail flow: receive, submit, decide, deliver, relay.
//!
//! Inbound reads as a straight line: [`connection`] -> [`receive`] -> [`policy`] -> [`deliver`]; submission
//! takes [`submit`] in the place of [`receive`], LMTP [`lmtp`]; what leaves goes on in [`relay`].

mod alerts;
mod authenticate;
mod author;
mod connection;
mod content_checks;
mod copies;
mod core;
mod decide;
pub mod delegation;
mod deliver;
pub mod examine;
mod facts;
pub mod filter;
mod forgeries;
mod greylist;
mod header_checks;
mod inbound;
mod intake;
mod limits;
mod lists;
mod lmtp;
mod local;
mod long_lines;
pub mod milter;
mod observed;
#[cfg(test)]
mod open_relay;
mod passes;
mod patience;
mod policy;
mod receive;
pub mod relay;
mod repeats;
mod reporting;
mod reports;
mod rewriting;
pub mod scoring;
pub mod signing;
mod srs;
mod submit;
mod traced;
mod transaction;

pub use crate::alerts::Alerts;
pub use crate::authenticate::{Check, Methods};
pub use crate::content_checks::{ContentChecks, Tables as ContentTables, try_content_checks};
pub use crate::copies::{Copies, CopyTo};
pub use crate::core::{Clients, Core, Dsn, FullMailbox, HouseRules, Limits, Outgoing, Parts, Trusted};
pub use crate::facts::{Rules, Verdict};
pub use crate::greylist::{DELAY as GREYLIST_DELAY, Greylist, RETRY_WINDOW as GREYLIST_RETRY_WINDOW};
pub use crate::header_checks::{BodyChecks, HeaderChecks, try_header_checks};
pub use crate::inbound::Inbound;
pub use crate::limits::{Allowance, Rates, Traffic};
pub use crate::lists::Lists;
pub use crate::lmtp::Lmtp;
pub use crate::local::{Dropped, Local, LocalUser};
pub use crate::passes::Passes;
pub use crate::policy::verdict::{Listing, Listings, OnDoubt, Verdicts};
pub use crate::policy::{EarlyTalker, ForeignSenders};
pub use crate::receive::Receive;
pub use crate::relay::Relay;
pub use crate::reporting::{DayLasts, Order, ReportSettings, Reporter, Reports, RoundDone, Sent, Way};
pub use crate::rewriting::{Canonical, Class, Classes, Masquerade, OtherName, Rewriting};
pub use crate::srs::{BadSecrets, BadSrs, Srs};
pub use crate::submit::Submit;
pub use crate::transaction::check_head;
