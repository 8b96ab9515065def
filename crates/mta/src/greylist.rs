//! Greylisting: who of the strangers at port 25 has been met before, and what is remembered of them.
//!
//! It acts at the end of a message, as rspamd's does, not at RCPT as postgrey: only there DMARC has spoken, and with it
//! a domain is known again wherever its mail comes from. The price is the content of a stranger's first attempt. Callouts
//! that end before DATA notice nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kings_mail::address::Address;
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_net::IpNet;
use kings_records::{Acquaintance, Key, Records};
use tracing::info;

use crate::authenticate::Standing;
use crate::core::now;
use crate::facts::Verdict;
use crate::inbound::is_in;
use crate::policy::greylist::{Because, GreyFacts, Greylisting, Times, greylisting};
use crate::policy::verdict::Decision;

pub use crate::policy::greylist::{DELAY, RETRY_WINDOW};

/// Recipients of one message that are remembered: ours. One of them who knows the sender is enough.
const MAX_RECIPIENTS: usize = 50;
/// Who was met this short a time ago need not be noted again.
const FRESH: Duration = Duration::from_hours(24);

/// `[inbound] greylist` and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greylist {
    /// How long a stranger waits.
    pub delay: Duration,
    /// How long it may take to come again.
    pub retry_window: Duration,
    /// Clients that never wait.
    pub exempt: Vec<IpNet>,
}

/// What is known of a message besides its envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) client: IpAddr,
    /// The client is a host of ours: it signs as we do, speaks for others, or passes mail on to us.
    pub(crate) is_trusted: bool,
    /// A list of good senders names it.
    pub(crate) is_welcome: bool,
    pub(crate) standing: &'a Standing,
}

/// The sender of one message, looked up, and what follows from that.
#[derive(Debug)]
pub(crate) struct Stranger {
    /// This sender, from there, to each recipient.
    triplets: Vec<Key>,
    domain: Option<Key>,
    outcome: Greylisting,
    times: Times,
}

impl Stranger {
    pub(crate) fn look_up(
        greylist: &Greylist,
        records: &Records,
        envelope: &Envelope,
        circumstances: Circumstances<'_>,
    ) -> Self {
        let Circumstances { client, is_trusted, is_welcome, standing } = circumstances;
        let times = Times { delay: greylist.delay, retry_window: greylist.retry_window };
        let triplets = triplets(envelope, client, standing);
        let domain = standing.proven.as_deref().map(|domain| key(&["domain", domain]));
        let is_friend = |key: &Key| records.seen(Acquaintance::Friend, key).is_some();
        let writer = envelope.reverse_path.address().filter(|_| !standing.is_doubtful);
        let facts = GreyFacts {
            exempt: is_trusted || is_in(&greylist.exempt, client),
            welcome: is_welcome,
            for_postmaster: envelope.recipients.iter().all(is_postmaster),
            domain_is_friend: domain.as_ref().is_some_and(is_friend),
            was_written_to: writer.is_some_and(|address| is_friend(&correspondent(address))),
            has_written: triplets.iter().any(is_friend),
            waited: triplets.iter().filter_map(|key| waited(records, key, times)).max(),
        };
        Self { triplets, domain, outcome: greylisting(facts, times), times }
    }

    /// How long the sender is to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self.outcome {
            Greylisting::Wait(time) => Some(time),
            Greylisting::Pass(_) => None,
        }
    }

    /// Remembers who waits, and who was let in with nothing to say against it.
    pub(crate) fn remember(&self, records: &Records, id: TraceId, decision: &Decision) {
        match (self.outcome, decision.verdict) {
            (Greylisting::Wait(_), Verdict::Defer) => {
                for key in &self.triplets {
                    let since = waited(records, key, self.times).unwrap_or_default();
                    let first = seconds().saturating_sub(since.as_secs());
                    records.meet(Acquaintance::Stranger, *key, first);
                }
            }
            (Greylisting::Pass(because), Verdict::Accept) => {
                info!(%id, greylisting = %because, "the sender need not wait");
                // Whoever passes without having proven anything is no friend by that.
                if !matches!(because, Because::Exempt | Because::ForPostmaster) {
                    self.triplets.iter().chain(&self.domain).for_each(|key| befriend(records, key));
                }
            }
            (Greylisting::Wait(_) | Greylisting::Pass(_), _) => {}
        }
    }
}

/// Notes whom one of our users has written to: their answer need not wait.
pub(crate) fn written_to(records: &Records, recipients: &[Recipient]) {
    for recipient in recipients {
        if let ForwardPath::Address(address) = &recipient.path {
            befriend(records, &correspondent(address));
        }
    }
}

fn befriend(records: &Records, key: &Key) {
    let now = seconds();
    let known = records.seen(Acquaintance::Friend, key);
    if known.is_none_or(|seen| seen.last.saturating_add(FRESH.as_secs()) <= now) {
        records.meet(Acquaintance::Friend, *key, known.map_or(now, |seen| seen.first));
    }
}

/// How long ago the first attempt was; one that is too long ago is none, and must not hide another.
fn waited(records: &Records, key: &Key, times: Times) -> Option<Duration> {
    let seen = records.seen(Acquaintance::Stranger, key)?;
    let waited = Duration::from_secs(seconds().saturating_sub(seen.first));
    (waited <= times.retry_window).then_some(waited)
}

fn correspondent(address: &Address) -> Key {
    key(&["correspondent", &address.folded().to_string()])
}

/// Where from, who, to whom. A proven domain stands for all its hosts: large ones try again from another network.
fn triplets(envelope: &Envelope, client: IpAddr, standing: &Standing) -> Vec<Key> {
    let origin = standing.proven.clone().unwrap_or_else(|| network(client));
    let sender = match &envelope.reverse_path {
        ReversePath::Address(address) => address.folded().to_string(),
        ReversePath::Null => String::new(),
    };
    let to = |recipient: &Recipient| {
        key(&["triplet", &origin, &sender, &recipient.path.to_string().to_lowercase()])
    };
    envelope.recipients.iter().take(MAX_RECIPIENTS).map(to).collect()
}

/// The /24 of an IPv4 address, as postgrey has it, and the /64 of an IPv6 address, which is one host's.
fn network(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from(u128::from(address) >> 64 << 64)),
    }
}

fn is_postmaster(recipient: &Recipient) -> bool {
    match &recipient.path {
        ForwardPath::Postmaster => true,
        ForwardPath::Address(address) => {
            let local_part = address.local_part.as_str();
            ["postmaster", "abuse"].iter().any(|name| local_part.eq_ignore_ascii_case(name))
        }
    }
}

/// A digest of words; NUL stands in none of them.
fn key(words: &[&str]) -> Key {
    let digest = digest(&SHA256, words.join("\0").as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&digest.as_ref()[..size_of::<Key>()]);
    key
}

/// Seconds since 1970.
fn seconds() -> u64 {
    u64::try_from(now().unix()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::envelope::MailParameters;
    use kings_records::Settings;

    use super::*;

    #[test]
    fn a_first_attempt_that_is_too_long_ago_hides_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { file: folder.path().join("records"), keep: Duration::from_hours(1) };
        let records = Records::open(settings).unwrap();
        let greylist = Greylist { delay: DELAY, retry_window: RETRY_WINDOW, exempt: Vec::new() };
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let mut envelope =
            Envelope::new(ReversePath::parse("joe@example.net").unwrap(), MailParameters::default());
        for recipient in ["ann@example.org", "bob@example.org"] {
            envelope.recipients.push(Recipient::from(ForwardPath::parse(recipient).unwrap()));
        }
        let standing = Standing::default();
        let outcome = |ago: [Duration; 2]| {
            let keys = triplets(&envelope, client, &standing);
            for (key, ago) in keys.into_iter().zip(ago) {
                records.meet(Acquaintance::Stranger, key, seconds() - ago.as_secs());
            }
            let circumstances =
                Circumstances { client, is_trusted: false, is_welcome: false, standing: &standing };
            Stranger::look_up(&greylist, &records, &envelope, circumstances).outcome
        };
        let (long_ago, enough) = (RETRY_WINDOW + Duration::from_hours(1), DELAY * 2);
        assert_eq!(outcome([long_ago, enough]), Greylisting::Pass(Because::HasWaited));
        assert_eq!(outcome([enough, long_ago]), Greylisting::Pass(Because::HasWaited));
        assert_eq!(outcome([long_ago, long_ago]), Greylisting::Wait(DELAY));
    }

    #[test]
    fn neighbours_are_one_origin_and_a_proven_domain_is_one_wherever_it_comes_from() {
        let envelope = |from: &str, to: &str| {
            let mut envelope = Envelope::new(ReversePath::parse(from).unwrap(), MailParameters::default());
            envelope.recipients.push(Recipient::from(ForwardPath::parse(to).unwrap()));
            envelope
        };
        let nobody = Standing::default();
        let proven = Standing { proven: Some("example.net".to_owned()), is_doubtful: false };
        let first =
            triplets(&envelope("joe@example.net", "bob@example.org"), "192.0.2.1".parse().unwrap(), &nobody);
        let proven_first =
            triplets(&envelope("joe@example.net", "bob@example.org"), "192.0.2.1".parse().unwrap(), &proven);
        let cases = [
            ("joe@example.net", "bob@example.org", "192.0.2.254", true),
            ("JOE@Example.net", "Bob@example.org", "::ffff:192.0.2.7", true),
            ("joe@example.net", "bob@example.org", "192.0.3.1", false),
            ("joe@example.net", "ann@example.org", "192.0.2.1", false),
            ("eve@example.net", "bob@example.org", "192.0.2.1", false),
        ];
        for (from, to, client, same) in cases {
            let found = triplets(&envelope(from, to), client.parse().unwrap(), &nobody);
            assert_eq!(found == first, same, "{from} {to} {client}");
        }
        let elsewhere = envelope("joe@example.net", "bob@example.org");
        assert_eq!(triplets(&elsewhere, "2001:db8::1".parse().unwrap(), &proven), proven_first);
        assert_ne!(first, proven_first);
        let six = |address: &str| network(address.parse().unwrap());
        assert_eq!(six("2001:db8:1:2:3:4:5:6"), six("2001:db8:1:2::1"));
        assert_ne!(six("2001:db8:1:2::1"), six("2001:db8:1:3::1"));
    }
}
