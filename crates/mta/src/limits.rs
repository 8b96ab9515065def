//! How much one client or account may bring, and how long those wait who guess at names.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kings_mail::address::Address;
use kings_mail::network::client_network;
use kings_net::{Buckets, Rate};
use kings_queue::Destination;
use kings_smtp::reply::Reply;

use crate::policy::{self, Guesses, Patience};

/// In which time unknown recipients of one address add up.
const GUESSES_SPAN: Duration = Duration::from_mins(10);
/// How often the postmaster hears that reports to one domain are withheld.
const TOLD: Rate = Rate { most: 1, per: Duration::from_hours(24) };
/// How often the postmaster hears of sessions that went wrong, and of those of one client.
pub(crate) const ALERTS: Rate = Rate { most: 12, per: Duration::from_hours(1) };
const ALERTS_OF_CLIENT: Rate = Rate { most: 1, per: Duration::from_hours(1) };
/// How long an answer to a guesser is held back, as Postfix's `smtpd_error_sleep_time`.
const DELAY: Duration = Duration::from_secs(1);

/// What one client address, or one account, may bring. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Transactions begun in a minute.
    pub messages_per_minute: u32,
    /// Transactions begun in an hour.
    pub messages_per_hour: u32,
    /// Recipients named in an hour.
    pub recipients_per_hour: u32,
}

/// The rates that an operator may set. An address is an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// For mail from other servers, by address.
    pub address: Allowance,
    /// For mail from our users, by account: many of them may share an address.
    pub account: Allowance,
    /// Commands refused for good in an hour, by address; who is above it is not heard. 0 is no limit.
    pub errors_per_hour: u32,
    /// Unknown recipients in ten minutes, by address; who is above it waits for each answer, and at twice as
    /// many is not answered any more. 0 is no limit.
    pub unknown_recipients: u32,
    /// Reports of delivery to one domain that is not ours, in an hour. 0 is no limit.
    pub reports_per_hour: u32,
}

impl Rates {
    /// No limit at all.
    pub const UNLIMITED: Self = {
        let none = Allowance { messages_per_minute: 0, messages_per_hour: 0, recipients_per_hour: 0 };
        Self { address: none, account: none, errors_per_hour: 0, unknown_recipients: 0, reports_per_hour: 0 }
    };

    fn guesses(&self) -> Rate {
        Rate { most: self.unknown_recipients, per: GUESSES_SPAN }
    }
}

/// What all clients have brought of late. Clones share the counts; it outlives a reload of the config.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    messages_of_minute: Buckets<Who>,
    messages_of_hour: Buckets<Who>,
    recipients: Buckets<Who>,
    errors: Buckets<IpAddr>,
    guesses: Buckets<IpAddr>,
    reports: Buckets<Destination>,
    /// Of which domains the postmaster has heard.
    told: Buckets<Destination>,
    alerts: Buckets<()>,
    alerts_of_client: Buckets<IpAddr>,
    /// Of how many sessions the postmaster has not heard since the last one that was told.
    untold: u64,
    /// Sessions that wait for a delayed answer now.
    waiting: usize,
}

/// What becomes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporting {
    Goes,
    /// `first`: the postmaster has not heard of it lately.
    Withheld {
        first: bool,
    },
}

/// Whose mail is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Network(IpAddr),
    Account(Address),
}

impl Traffic {
    /// Whether this client has made too many errors to be heard.
    pub(crate) fn is_shut_out(&self, client: IpAddr, rates: &Rates, now: Instant) -> bool {
        self.counts().errors.is_full(&client_network(client), Rate::hour(rates.errors_per_hour), now)
    }

    /// Counts a report to this domain.
    pub(crate) fn report(&self, to: &Destination, rates: &Rates, now: Instant) -> Reporting {
        let mut counts = self.counts();
        if counts.reports.take(to, Rate::hour(rates.reports_per_hour), now) {
            return Reporting::Goes;
        }
        Reporting::Withheld { first: counts.told.take(to, TOLD, now) }
    }

    /// Whether the postmaster is told of a session of this client, and of how many he was not since the last time.
    pub(crate) fn alert(&self, client: IpAddr, now: Instant) -> Option<u64> {
        let (mut counts, network) = (self.counts(), client_network(client));
        let is_told = !counts.alerts.is_full(&(), ALERTS, now)
            && counts.alerts_of_client.take(&network, ALERTS_OF_CLIENT, now);
        if !is_told {
            counts.untold += 1;
            return None;
        }
        counts.alerts.add(&(), ALERTS, now);
        Some(std::mem::take(&mut counts.untold))
    }

    /// Every update leaves the counts whole, so a panic elsewhere does not spoil them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_to_wait(&self) -> Waiting {
        self.counts().waiting += 1;
        Waiting(self.clone())
    }
}

/// One more session waits for as long as this lives.
struct Waiting(Traffic);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.counts().waiting -= 1;
    }
}

/// What one session brings, counted on its client. A client that is exempt has none of its own.
#[derive(Debug)]
pub(crate) struct Meter {
    traffic: Traffic,
    rates: Rates,
    network: Option<IpAddr>,
    guesses: u32,
    delays: u32,
    errors: usize,
}

impl Meter {
    /// For a session of `client`; `exempt`: neither rates nor delays apply.
    pub(crate) fn new(traffic: &Traffic, rates: Rates, client: IpAddr, exempt: bool) -> Self {
        let network = (!exempt).then(|| client_network(client));
        Self { traffic: traffic.clone(), rates, network, guesses: 0, delays: 0, errors: 0 }
    }

    /// Counts a transaction, of an account where somebody has logged in; refuses one too many.
    pub(crate) fn message(&self, account: Option<&Address>, now: Instant) -> Result<(), Reply> {
        let Some((who, allowance)) = self.counted(account) else { return Ok(()) };
        let (minute, hour) =
            (Rate::minute(allowance.messages_per_minute), Rate::hour(allowance.messages_per_hour));
        let mut counts = self.traffic.counts();
        if counts.messages_of_hour.is_full(&who, hour, now)
            || !counts.messages_of_minute.take(&who, minute, now)
        {
            return Err(Reply::TOO_MUCH_MAIL);
        }
        counts.messages_of_hour.add(&who, hour, now);
        Ok(())
    }

    /// Counts a recipient, likewise.
    pub(crate) fn recipient(&self, account: Option<&Address>, now: Instant) -> Result<(), Reply> {
        let Some((who, allowance)) = self.counted(account) else { return Ok(()) };
        let rate = Rate::hour(allowance.recipients_per_hour);
        let fits = self.traffic.counts().recipients.take(&who, rate, now);
        if fits { Ok(()) } else { Err(Reply::TOO_MUCH_MAIL) }
    }

    fn counted(&self, account: Option<&Address>) -> Option<(Who, Allowance)> {
        let network = self.network?;
        Some(match account {
            Some(account) => (Who::Account(account.clone()), self.rates.account),
            None => (Who::Network(network), self.rates.address),
        })
    }

    /// Counts errors; `so_far` is their number in this session.
    pub(crate) fn errors(&mut self, so_far: usize, now: Instant) {
        let new = so_far.saturating_sub(std::mem::replace(&mut self.errors, so_far));
        let Some(network) = self.network else { return };
        for _ in 0..new {
            self.traffic.counts().errors.add(&network, Rate::hour(self.rates.errors_per_hour), now);
        }
    }

    /// Counts a recipient that does not exist.
    pub(crate) fn unknown_recipient(&mut self, now: Instant) {
        let Some(network) = self.network else { return };
        self.guesses += 1;
        self.traffic.counts().guesses.add(&network, self.rates.guesses(), now);
    }

    /// Waits before a recipient is looked at, if its client has been guessing; the wait is the same whether
    /// the recipient exists or not.
    pub(crate) async fn hold_back(&mut self) -> Result<(), Reply> {
        let Some(guesses) = self.guesses(Instant::now()) else { return Ok(()) };
        match policy::guessing(&guesses) {
            Patience::Answer => Ok(()),
            Patience::HangUp => Err(Reply::TOO_MANY_GUESSES),
            Patience::Wait => {
                self.delays += 1;
                let waiting = self.traffic.begin_to_wait();
                tokio::time::sleep(DELAY).await;
                drop(waiting);
                Ok(())
            }
        }
    }

    fn guesses(&self, now: Instant) -> Option<Guesses> {
        let network = self.network?;
        let counts = self.traffic.counts();
        Some(Guesses {
            of_session: self.guesses,
            of_address: counts.guesses.level(&network, self.rates.guesses(), now),
            allowed: self.rates.unknown_recipients,
            delays: self.delays,
            waiting: counts.waiting,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const CLIENT: &str = "192.0.2.1";

    fn meter(traffic: &Traffic, rates: Rates, client: &str, exempt: bool) -> Meter {
        Meter::new(traffic, rates, client.parse().unwrap(), exempt)
    }

    fn rates(messages_per_minute: u32, messages_per_hour: u32, recipients_per_hour: u32) -> Rates {
        let address = Allowance { messages_per_minute, messages_per_hour, recipients_per_hour };
        Rates { address, account: address, ..Rates::UNLIMITED }
    }

    #[test]
    fn the_postmaster_hears_of_a_client_once_an_hour_and_of_few_clients() {
        let (traffic, start) = (Traffic::default(), Instant::now());
        let client = |number: u8| IpAddr::from([192, 0, 2, number]);
        assert_eq!(traffic.alert(client(0), start), Some(0));
        assert_eq!(traffic.alert(client(0), start), None);
        let told = (1..=200).filter(|&number| traffic.alert(client(number), start).is_some()).count();
        assert_eq!(told, 11);
        let later = start + Duration::from_hours(1);
        assert_eq!(traffic.alert(client(0), later), Some(189));
        assert_eq!(traffic.alert(client(1), later), Some(0));
    }

    #[test]
    fn reports_to_one_domain_are_counted_and_the_postmaster_hears_of_each_once_a_day() {
        let (traffic, start) = (Traffic::default(), Instant::now());
        let rates = Rates { reports_per_hour: 2, ..Rates::UNLIMITED };
        let to = |name: &str| Destination::Domain(kings_mail::domain::Domain::parse(name).unwrap());
        let [first, again] = [true, false].map(|first| Reporting::Withheld { first });
        let cases = [
            ("a.example", 0, Reporting::Goes),
            ("a.example", 0, Reporting::Goes),
            ("a.example", 0, first),
            ("a.example", 1, again),
            ("b.example", 1, Reporting::Goes),
            ("b.example", 1, Reporting::Goes),
            ("b.example", 1, first),
            ("a.example", 1_800, Reporting::Goes),
            ("a.example", 1_800, again),
            ("a.example", 100_000, Reporting::Goes),
            ("a.example", 100_000, Reporting::Goes),
            ("a.example", 100_000, first),
        ];
        for (number, (name, seconds, expected)) in cases.into_iter().enumerate() {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(traffic.report(&to(name), &rates, now), expected, "case {number}");
        }
        let unlimited = |_| traffic.report(&to("c.example"), &Rates::UNLIMITED, start) == Reporting::Goes;
        assert!((0..1_000).all(unlimited));
    }

    #[test]
    fn messages_are_counted_by_minute_and_by_hour_over_all_sessions_of_a_client() {
        let (traffic, start) = (Traffic::default(), Instant::now());
        let rates = rates(2, 4, 0);
        let cases = [(0, true), (0, true), (1, false), (30, true), (60, true), (120, false), (1_000, true)];
        for (seconds, expected) in cases {
            let now = start + Duration::from_secs(seconds);
            let fits = meter(&traffic, rates, CLIENT, false).message(None, now).is_ok();
            assert_eq!(fits, expected, "after {seconds} s");
        }
        assert_eq!(meter(&traffic, rates, "192.0.2.2", false).message(None, start), Ok(()));
    }

    #[test]
    fn an_account_is_counted_wherever_it_writes_from_and_apart_from_its_address() {
        let (traffic, now) = (Traffic::default(), Instant::now());
        let [ann, bob] = ["ann@example.org", "bob@example.org"].map(|text| Address::parse(text).unwrap());
        let here = meter(&traffic, rates(0, 0, 1), CLIENT, false);
        let there = meter(&traffic, rates(0, 0, 1), "2001:db8::1", false);
        assert_eq!(here.recipient(Some(&ann), now), Ok(()));
        assert_eq!(there.recipient(Some(&ann), now), Err(Reply::TOO_MUCH_MAIL));
        assert_eq!(there.recipient(Some(&bob), now), Ok(()));
        assert_eq!(there.recipient(None, now), Ok(()));
        let neighbour = meter(&traffic, rates(0, 0, 1), "2001:db8::2", false);
        assert_eq!(neighbour.recipient(None, now), Err(Reply::TOO_MUCH_MAIL), "one /64 is one client");
    }

    #[test]
    fn errors_of_all_sessions_shut_a_client_out_until_they_are_forgotten() {
        let (traffic, now) = (Traffic::default(), Instant::now());
        let rates = Rates { errors_per_hour: 5, ..Rates::UNLIMITED };
        let client = CLIENT.parse().unwrap();
        for session in 1..=2 {
            let mut meter = meter(&traffic, rates, CLIENT, false);
            meter.errors(1, now);
            meter.errors(1, now);
            meter.errors(3, now);
            assert_eq!(traffic.is_shut_out(client, &rates, now), session == 2);
        }
        assert!(!traffic.is_shut_out(client, &rates, now + Duration::from_mins(30)));
        assert!(!traffic.is_shut_out("192.0.2.2".parse().unwrap(), &rates, now));
    }

    #[test]
    fn nothing_is_counted_on_a_client_that_is_exempt() {
        let (traffic, now) = (Traffic::default(), Instant::now());
        let rates = Rates { errors_per_hour: 1, unknown_recipients: 1, ..rates(1, 1, 1) };
        let mut exempt = meter(&traffic, rates, CLIENT, true);
        let ann = Address::parse("ann@example.org").unwrap();
        for _ in 0..5 {
            assert_eq!(exempt.message(None, now), Ok(()));
            assert_eq!(exempt.message(Some(&ann), now), Ok(()));
            assert_eq!(exempt.recipient(None, now), Ok(()));
            exempt.unknown_recipient(now);
        }
        exempt.errors(9, now);
        assert!(!traffic.is_shut_out(CLIENT.parse().unwrap(), &rates, now));
        assert!(exempt.guesses(now).is_none());
        let counted = meter(&traffic, rates, CLIENT, false);
        assert_eq!(counted.guesses(now).unwrap().of_address, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guesser_waits_then_is_hung_up_on_and_its_neighbours_are_not() {
        let traffic = Traffic::default();
        let rates = Rates { unknown_recipients: 4, ..Rates::UNLIMITED };
        let mut guesser = meter(&traffic, rates, CLIENT, false);
        let mut waits = Vec::new();
        let ended = loop {
            let before = tokio::time::Instant::now();
            if let Err(reply) = guesser.hold_back().await {
                break reply;
            }
            waits.push(before.elapsed().as_millis() >= DELAY.as_millis());
            guesser.unknown_recipient(Instant::now());
        };
        assert_eq!(waits, [false, false, true, true, true, true, true, true]);
        assert_eq!(ended, Reply::TOO_MANY_GUESSES);
        assert_eq!(traffic.counts().waiting, 0);
        let mut again = meter(&traffic, rates, CLIENT, false);
        assert_eq!(again.hold_back().await, Err(Reply::TOO_MANY_GUESSES));
        let mut neighbour = meter(&traffic, rates, "192.0.2.2", false);
        assert_eq!(neighbour.hold_back().await, Ok(()));
    }
}
