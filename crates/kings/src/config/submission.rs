//! `[submission]`: what our own users may ask for, and what of them is told.

use std::time::Duration;

use kings_mta::{ForeignSenders, Outgoing};
use kings_net::IpNet;

use super::policy_service;
use super::reader::{Section, Source};

/// Longest wait that a client may ask for, where nothing else is said.
const FUTURE_RELEASE_DAYS: u64 = 30;
/// More days than anybody waits for a letter; it also keeps the moment within four-digit years.
const MOST_DAYS: u64 = 3_650;

/// Shortest prefixes of networks that are somebody's own: those of private addresses.
const WIDEST: [u8; 2] = [8, 7];

/// `networks`: who needs no login. A network of half the world would make an open relay.
fn networks(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<IpNet> {
    let what = "a network such as \"10.0.0.0/8\"";
    let networks = section.list(source, "networks", what, str::parse::<IpNet>);
    let widest = |network: &IpNet| WIDEST[usize::from(network.addr().is_ipv6())];
    let wide = networks.iter().find(|network| network.prefix_len() < widest(network));
    if let (Some(wide), Some(value)) = (wide, section.value("networks")) {
        let text = format!(
            "[submission] networks: {wide} is no network of your own, and whoever is in it could send to everybody"
        );
        source.complain_at(value.span(), text);
    }
    networks
}

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Outgoing {
    let days = section.number(source, "future_release_days", 0).unwrap_or(FUTURE_RELEASE_DAYS);
    let foreign = [("reject", ForeignSenders::Reject), ("accept", ForeignSenders::Accept)];
    Outgoing {
        client_in_received: section.flag(source, "client_in_received").unwrap_or(false),
        longest_hold: Duration::from_secs(days.min(MOST_DAYS) * 24 * 60 * 60),
        foreign_senders: section.choice(source, "foreign_senders", &foreign).unwrap_or_default(),
        remembers_correspondents: false,
        policy_service: policy_service::read(source, section),
        networks: networks(source, section),
    }
}
