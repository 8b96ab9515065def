//! `[submission]`: what our own users may ask for, and what of them is told.

use std::time::Duration;

use kings_mta::{ForeignSenders, Outgoing};

use super::policy_service;
use super::reader::{Section, Source};

/// Longest wait that a client may ask for, where nothing else is said.
const FUTURE_RELEASE_DAYS: u64 = 30;
/// More days than anybody waits for a letter; it also keeps the moment within four-digit years.
const MOST_DAYS: u64 = 3_650;

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Outgoing {
    let days = section.number(source, "future_release_days", 0).unwrap_or(FUTURE_RELEASE_DAYS);
    let foreign = [("reject", ForeignSenders::Reject), ("accept", ForeignSenders::Accept)];
    Outgoing {
        client_in_received: section.flag(source, "client_in_received").unwrap_or(false),
        longest_hold: Duration::from_secs(days.min(MOST_DAYS) * 24 * 60 * 60),
        foreign_senders: section.choice(source, "foreign_senders", &foreign).unwrap_or_default(),
        remembers_correspondents: false,
        policy_service: policy_service::read(source, section),
    }
}
