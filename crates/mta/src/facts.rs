//! Gather: what a client's own words and DNS say about who sends, asked for while the dialogue goes on.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kings_dns::{Dns, DnsError};
use kings_mail::address::Host;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::path::ReversePath;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest time a decision waits for one name, counted from MAIL; after it DNS has not answered.
const BUDGET: Duration = Duration::from_secs(5);

/// What a finding about a message leads to, from mild to strong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is recorded.
    #[default]
    Accept,
    /// It is recorded; the message belongs to the junk.
    Junk,
    /// The client may try again later.
    Defer,
    /// The client gets the message back.
    Reject,
}

impl Verdict {
    /// The word for fields, logs and people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Junk => "junk",
            Self::Defer => "defer",
            Self::Reject => "reject",
        }
    }

    /// Whether the client hears of it.
    pub(crate) fn refuses(self) -> bool {
        matches!(self, Self::Defer | Self::Reject)
    }
}

/// What findings about the sender of arriving mail lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The EHLO name is no full host name and no address literal, or it is ours.
    pub bad_helo: Verdict,
    /// The EHLO name has no MX, A or AAAA record. DNS is asked only when this is not `Accept`.
    pub unknown_helo: Verdict,
    /// The domain of the reverse-path has no such record, or says that it takes no mail.
    pub unknown_sender_domain: Verdict,
}

/// What DNS says of a name that sends mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Mail to it has a way.
    Known,
    /// There is no such name, or none of MX, A and AAAA.
    Unknown,
    /// It says that it takes no mail (RFC 7505 §3).
    NullMx,
    /// DNS did not answer, or not in time: nothing is known.
    Unsure,
}

/// The findings of one transaction; `None` where nothing was asked or no answer was waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) bad_helo: bool,
    pub(crate) helo: Option<Standing>,
    pub(crate) sender_domain: Option<Standing>,
}

impl Facts {
    /// The findings that speak against the sender.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        let helo = match self.helo {
            Some(Standing::Unknown) => Some("unknown_helo"),
            Some(Standing::Unsure) => Some("helo_unsure"),
            Some(Standing::Known | Standing::NullMx) | None => None,
        };
        let sender_domain = match self.sender_domain {
            Some(Standing::Unknown) => Some("unknown_sender_domain"),
            Some(Standing::NullMx) => Some("sender_domain_null_mx"),
            Some(Standing::Unsure) => Some("sender_domain_unsure"),
            Some(Standing::Known) | None => None,
        };
        [self.bad_helo.then_some("bad_helo"), helo, sender_domain].into_iter().flatten()
    }
}

impl fmt::Display for Facts {
    /// The findings that speak against the sender, joined by commas; empty when there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(","))
    }
}

/// Whether a client's name for itself is one that no mail server has: neither a full host name nor an address
/// literal (RFC 5321 §4.1.4), or our own.
pub(crate) fn is_bad_helo(name: &str, hostname: &Domain) -> bool {
    match Host::parse(name) {
        Ok(Host::Domain(domain)) => domain.parent().is_none() || domain == *hostname,
        Ok(Host::Literal(_)) => false,
        Err(_) => true,
    }
}

/// The questions of one transaction that are under way.
#[derive(Debug, Default)]
pub(crate) struct Enquiries {
    facts: Facts,
    helo: Option<Enquiry<Standing>>,
    sender_domain: Option<Enquiry<Standing>>,
}

impl Enquiries {
    /// Asks what `rules` want to know, and goes on without waiting.
    ///
    /// The sender's domain is always asked for, since its absence is recorded whatever follows from it.
    pub(crate) fn begin<D: Dns + 'static>(dns: &Arc<D>, rules: Rules, sender: &Sender<'_>) -> Self {
        let helo = (rules.unknown_helo != Verdict::Accept)
            .then(|| DnsName::parse(sender.helo).ok())
            .flatten()
            .filter(|_| !sender.helo.starts_with('['));
        let domain = sender.reverse_path.address().and_then(|address| address.domain());
        Self {
            facts: Facts { bad_helo: is_bad_helo(sender.helo, sender.hostname), ..Facts::default() },
            helo: helo.map(|name| ask(dns, name)),
            sender_domain: domain.map(|domain| ask(dns, domain.into())),
        }
    }

    /// The findings that `rules` refuse mail for, waited for; for the others only what has come by now.
    pub(crate) async fn facts(&mut self, waits: impl Fn(Verdict) -> bool, rules: Rules) -> Facts {
        if let Some(helo) = &mut self.helo {
            self.facts.helo = helo.answer(waits(rules.unknown_helo)).await;
        }
        if let Some(domain) = &mut self.sender_domain {
            self.facts.sender_domain = domain.answer(waits(rules.unknown_sender_domain)).await;
        }
        self.facts
    }
}

/// Who says to send a message.
pub(crate) struct Sender<'a> {
    pub(crate) helo: &'a str,
    pub(crate) reverse_path: &'a ReversePath,
    /// Our own name, which nobody else has.
    pub(crate) hostname: &'a Domain,
}

impl Sender<'_> {
    /// The domains that the client names: of the reverse-path, and of itself.
    pub(crate) fn domains(&self) -> impl Iterator<Item = Domain> {
        let of_path = self.reverse_path.address().and_then(|address| address.domain()).cloned();
        let own = Domain::parse(self.helo).ok().filter(|name| name != self.hostname);
        of_path.into_iter().chain(own)
    }
}

fn ask<D: Dns + 'static>(dns: &Arc<D>, name: DnsName) -> Enquiry<Standing> {
    let dns = dns.clone();
    Enquiry::begin(async move { standing(&*dns, &name).await }, Standing::Unsure)
}

/// One question, answered at once where the answer is known, else asked in the background and forgotten when dropped.
#[derive(Debug)]
pub(crate) enum Enquiry<T> {
    /// The task, and what counts as its answer when there is none in time.
    Asked(JoinHandle<T>, T),
    Answered(T),
}

impl<T: Clone + Send + 'static> Enquiry<T> {
    pub(crate) fn begin(question: impl Future<Output = T> + Send + 'static, otherwise: T) -> Self {
        Self::within(BUDGET, question, otherwise)
    }

    /// The same with a time of its own.
    pub(crate) fn within(
        budget: Duration,
        question: impl Future<Output = T> + Send + 'static,
        otherwise: T,
    ) -> Self {
        let late = otherwise.clone();
        let mut question = Box::pin(timeout(budget, question));
        // What is known already needs no task, which would wake another thread for nothing.
        match question.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Self::Answered(answer.unwrap_or(late)),
            Poll::Pending => {
                Self::Asked(tokio::spawn(async move { question.await.unwrap_or(late) }), otherwise)
            }
        }
    }

    /// The answer; `None` when it is not there and not to be waited for.
    pub(crate) async fn answer(&mut self, wait: bool) -> Option<T> {
        if let Self::Asked(task, otherwise) = self {
            if !wait && !task.is_finished() {
                return None;
            }
            let answer = task.await.unwrap_or_else(|_| otherwise.clone());
            *self = Self::Answered(answer);
        }
        match self {
            Self::Answered(answer) => Some(answer.clone()),
            Self::Asked(..) => None,
        }
    }

    /// The answer, or what counts as one when it is not there by `end`.
    pub(crate) async fn answer_by(mut self, end: Instant) -> T {
        let answer = timeout_at(end, self.answer(true)).await.ok().flatten();
        match (answer, &self) {
            (Some(answer), _) => answer,
            (None, Self::Asked(_, otherwise) | Self::Answered(otherwise)) => otherwise.clone(),
        }
    }
}

impl<T> Drop for Enquiry<T> {
    fn drop(&mut self) {
        if let Self::Asked(task, _) = self {
            task.abort();
        }
    }
}

/// Whether mail to a name would have a way (RFC 5321 §5.1).
async fn standing(dns: &impl Dns, name: &DnsName) -> Standing {
    match dns.mx(name).await {
        Ok(answer) if answer.records.iter().all(|mx| mx.exchange.is_none()) => Standing::NullMx,
        Ok(_) => Standing::Known,
        Err(DnsError::NoDomain) => Standing::Unknown,
        Err(DnsError::Temporary(_)) => Standing::Unsure,
        Err(DnsError::NoRecord) => {
            let (ipv4, ipv6) = tokio::join!(dns.ipv4(name), dns.ipv6(name));
            match (ipv4.map(drop), ipv6.map(drop)) {
                (Ok(()), _) | (_, Ok(())) => Standing::Known,
                (Err(DnsError::Temporary(_)), _) | (_, Err(DnsError::Temporary(_))) => Standing::Unsure,
                (Err(_), Err(_)) => Standing::Unknown,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::IpAddr;

    use kings_dns::Zone;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn zone() -> Arc<Zone> {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        Arc::new(
            Zone::default()
                .with_mx(name("mx.example"), 10, Some(name("a.example")))
                .with_mx(name("silent.example"), 0, None)
                .with_address(name("a.example"), address)
                .with_address(name("six.example"), "2001:db8::1".parse().unwrap())
                .with_name(name("empty.example"))
                .with_failure(name("broken.example"))
                .with_silence(name("silence.example")),
        )
    }

    #[test]
    fn names_that_no_mail_server_has() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let cases = [
            ("client.example.net", false),
            ("CLIENT.example.net.", false),
            ("[192.0.2.1]", false),
            ("[IPv6:2001:db8::1]", false),
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("[192.0.2.300]", true),
            ("[192.0.2.1", true),
            ("localhost", true),
            ("under_score.example.net", false),
            ("-dash.example.net", true),
            ("mail.example.org", true),
            ("MAIL.EXAMPLE.ORG", true),
            ("example.org", false),
            ("*", true),
            ("", true),
        ];
        for (name, expected) in cases {
            assert_eq!(is_bad_helo(name, &hostname), expected, "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_domain_is_unknown_only_when_dns_says_so() {
        let zone = zone();
        let cases = [
            ("mx.example", Standing::Known),
            ("a.example", Standing::Known),
            ("six.example", Standing::Known),
            ("silent.example", Standing::NullMx),
            ("empty.example", Standing::Unknown),
            ("nowhere.example", Standing::Unknown),
            ("broken.example", Standing::Unsure),
        ];
        for (domain, expected) in cases {
            assert_eq!(standing(&*zone, &name(domain)).await, expected, "{domain}");
        }
    }

    #[tokio::test]
    async fn only_what_the_rules_care_for_is_waited_for() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let reverse_path = ReversePath::parse("joe@nowhere.example").unwrap();
        let sender = Sender { helo: "unknown.example", reverse_path: &reverse_path, hostname: &hostname };
        let lenient = Rules::default();
        let facts = Enquiries::begin(&zone(), lenient, &sender).facts(Verdict::refuses, lenient).await;
        assert_eq!(facts.to_string(), "unknown_sender_domain", "recorded where DNS has said so");
        let silence = ReversePath::parse("joe@silence.example").unwrap();
        let silent = Sender { reverse_path: &silence, ..sender };
        let facts = Enquiries::begin(&zone(), lenient, &silent).facts(Verdict::refuses, lenient).await;
        assert_eq!(facts, Facts::default(), "and not waited for where it has not");

        let strict =
            Rules { unknown_helo: Verdict::Defer, unknown_sender_domain: Verdict::Reject, ..lenient };
        let facts = Enquiries::begin(&zone(), strict, &sender).facts(Verdict::refuses, strict).await;
        assert_eq!(facts.to_string(), "unknown_helo,unknown_sender_domain");
    }

    #[tokio::test]
    async fn a_null_sender_and_a_literal_ask_nothing() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let strict = Rules { unknown_helo: Verdict::Reject, ..Rules::default() };
        for path in ["", "joe@[192.0.2.1]"] {
            let reverse_path = ReversePath::parse(path).unwrap();
            let sender = Sender { helo: "[192.0.2.1]", reverse_path: &reverse_path, hostname: &hostname };
            let mut enquiries = Enquiries::begin(&zone(), strict, &sender);
            assert_eq!(enquiries.facts(|_| true, strict).await, Facts::default(), "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_doubt_after_the_budget_and_costs_a_lenient_server_nothing() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let reverse_path = ReversePath::parse("joe@silence.example").unwrap();
        let sender = Sender { helo: "client.example.net", reverse_path: &reverse_path, hostname: &hostname };
        let begin = tokio::time::Instant::now();
        let mut enquiries = Enquiries::begin(&zone(), Rules::default(), &sender);
        assert_eq!(enquiries.facts(Verdict::refuses, Rules::default()).await, Facts::default());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let facts = enquiries.facts(|_| true, Rules::default()).await;
        assert_eq!(facts.to_string(), "sender_domain_unsure");
        assert!(begin.elapsed() >= BUDGET && begin.elapsed() < BUDGET * 2);
    }
}
