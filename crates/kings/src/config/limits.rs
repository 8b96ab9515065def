//! `[limits]`: how much of what, and from whom.

use std::time::Duration;

use kings_mta::{Allowance, Rates};
use kings_net::{IpNet, Rate};

use super::duration;
use super::reader::{Section, Source};

/// Largest message where nothing else is said, in octets.
pub(crate) const MESSAGE_BYTES: u64 = 50 * 1024 * 1024;

/// `[limits]`; the numbers of the design where the file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest message, in octets.
    pub(crate) message_bytes: u64,
    /// Most recipients of one message.
    pub(crate) recipients: usize,
    /// SMTP connections in all, and from one address or /64.
    pub(crate) smtp_connections: usize,
    pub(crate) smtp_connections_per_address: usize,
    /// New SMTP connections, and new IMAP connections, from one address or /64.
    pub(crate) smtp_arrivals: Rate,
    pub(crate) imap_arrivals: Rate,
    /// HTTP connections in all, and from one address or /64, and new ones.
    pub(crate) http_connections: usize,
    pub(crate) http_connections_per_address: usize,
    pub(crate) http_arrivals: Rate,
    /// How much mail in which time.
    pub(crate) rates: Rates,
    /// IMAP connections in all, not yet logged in from one address, and of one account.
    pub(crate) imap_connections: usize,
    pub(crate) imap_connections_per_address: usize,
    pub(crate) imap_connections_per_account: usize,
    /// Shortest time between two logins to POP3, where there is one.
    pub(crate) pop3_login_delay: Option<Duration>,
    /// Failed logins from one address or /64 within a minute.
    pub(crate) login_failures_per_minute: u32,
    /// Failed logins to one account within a minute, before strangers must wait.
    pub(crate) login_failures_per_account: u32,
    /// Octets that stay free on the disk.
    pub(crate) free_space_reserve: u64,
    /// Octets of memory above which new work is put off; 0: no limit of ours.
    pub(crate) memory: Option<u64>,
    /// Clients without connection and rate limits.
    pub(crate) exempt: Vec<IpNet>,
    pub(crate) threads: Threads,
}

/// How many threads the program may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    /// Those that serve connections; `None`: one for each processor.
    pub(crate) workers: Option<usize>,
    /// Those that wait for the disk.
    pub(crate) blocking: usize,
}

impl Default for Threads {
    /// Enough for fifty messages that wait for the disk together and all else that goes on.
    fn default() -> Self {
        Self { workers: None, blocking: 128 }
    }
}

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Limits {
    let message_bytes = section.number(source, "message_bytes", 1_024).unwrap_or(MESSAGE_BYTES);
    let smtp_arrivals = Rate::minute(rate(source, section, "smtp_connections_per_minute", 600));
    let imap_arrivals = Rate::minute(rate(source, section, "imap_connections_per_minute", 600));
    let http_arrivals = Rate::minute(rate(source, section, "http_connections_per_minute", 600));
    let rates = rates(source, section);
    let pop3_login_delay = login_delay(source, section);
    let mut count = |key, usual: usize| {
        section.number(source, key, 1).map_or(usual, |number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    let failures = count("login_failures_per_minute", 10);
    let failures_per_account = count("login_failures_per_account", 30);
    Limits {
        smtp_arrivals,
        imap_arrivals,
        http_arrivals,
        http_connections: count("http_connections", 1_000),
        http_connections_per_address: count("http_connections_per_address", 50),
        rates,
        message_bytes,
        recipients: count("recipients", kings_mail::envelope::MAX_RECIPIENTS),
        smtp_connections: count("smtp_connections", 5_000),
        smtp_connections_per_address: count("smtp_connections_per_address", 50),
        imap_connections: count("imap_connections", 20_000),
        imap_connections_per_address: count("imap_connections_per_address", 50),
        imap_connections_per_account: count("imap_connections_per_account", 20),
        pop3_login_delay,
        login_failures_per_minute: u32::try_from(failures).unwrap_or(u32::MAX),
        login_failures_per_account: u32::try_from(failures_per_account).unwrap_or(u32::MAX),
        // Room for two of the largest messages, so that the queue can be drained on a full disk.
        free_space_reserve: section
            .number(source, "free_space_reserve", 0)
            .unwrap_or_else(|| (2 * message_bytes).max(64 * 1024 * 1024)),
        memory: section.number(source, "memory", 0),
        threads: Threads {
            workers: section
                .number(source, "worker_threads", 1)
                .and_then(|count| usize::try_from(count).ok()),
            blocking: section
                .number(source, "blocking_threads", 1)
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(Threads::default().blocking),
        },
        exempt: section.list(source, "exempt", "a network such as \"127.0.0.0/8\"", str::parse::<IpNet>),
    }
}

/// Zero is none. More than a day would lock people out rather than slow them down.
fn login_delay(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Duration> {
    let time = "a time such as \"1m\", at most \"1d\"; \"0s\" for none";
    let delay = section.parsed(source, "pop3_login_delay", time, |text| {
        duration(text).filter(|delay| *delay <= Duration::from_hours(24)).ok_or("another text")
    });
    delay.filter(|delay| !delay.is_zero())
}

fn rates(source: &mut Source<'_>, section: &mut Section<'_>) -> Rates {
    let mut rate = |key, usual| rate(source, section, key, usual);
    Rates {
        address: Allowance {
            messages_per_minute: rate("messages_per_minute_per_address", 1_200),
            messages_per_hour: rate("messages_per_hour_per_address", 20_000),
            recipients_per_hour: rate("recipients_per_hour_per_address", 50_000),
        },
        account: Allowance {
            messages_per_minute: rate("messages_per_minute_per_account", 600),
            messages_per_hour: rate("messages_per_hour_per_account", 5_000),
            recipients_per_hour: rate("recipients_per_hour_per_account", 20_000),
        },
        errors_per_hour: rate("errors_per_hour_per_address", 300),
        unknown_recipients: rate("unknown_recipients_per_address", 20),
        reports_per_hour: rate("reports_per_hour_per_domain", 500),
    }
}

/// How many in a span of time; 0 is no limit.
fn rate(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str, usual: u32) -> u32 {
    section.number(source, key, 0).map_or(usual, |number| u32::try_from(number).unwrap_or(u32::MAX))
}
