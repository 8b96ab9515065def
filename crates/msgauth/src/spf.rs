//! SPF: may this client use this domain in HELO or MAIL FROM? (RFC 7208)
//!
//! [`check`] answers for one identity. It asks DNS through [`Dns`] alone and knows no clock: the caller says with a
//! future when its time is over.

mod evaluate;
mod fault;
mod macros;
mod record;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use kings_dns::Dns;
use kings_mail::domain::{DnsName, Domain, MAX_DOMAIN};
use kings_mail::path::ReversePath;

pub use fault::{BadRecord, Reason, Wrong};
pub use record::Record;

/// How long all questions of one check may take at least before the caller may give up (RFC 7208 §4.6.4).
pub const TIME: Duration = Duration::from_secs(20);
/// Longest record that is read, in octets: ours. RFC 7208 §3.4 wants records within 512; the longest in use have
/// about 4,000.
pub const MAX_RECORD: usize = 16 * 1024;
/// Most MX hosts of a domain whose addresses are asked for (RFC 7208 §4.6.4).
pub const MAX_MX: usize = 10;
/// Most reverse names that are looked at (RFC 7208 §4.6.4).
pub const MAX_PTR: usize = 10;
/// Longest explanation that is handed on, in octets: ours. A reply line has 512 (RFC 5321 §4.5.3.1.5).
pub const MAX_EXPLANATION: usize = 400;

/// Results of SPF (RFC 7208 §2.6), as Authentication-Results spells them (RFC 8601 §2.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpfResult {
    /// No domain to ask about, or no record.
    None,
    /// The domain says nothing about this client.
    Neutral,
    /// The client may use the domain.
    Pass,
    /// The client may not.
    Fail,
    /// The client probably may not.
    SoftFail,
    /// DNS does not answer now.
    TempError,
    /// What the domain published cannot be read.
    PermError,
}

impl SpfResult {
    /// The word for header fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which word of the client is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The argument of HELO or EHLO (RFC 7208 §2.3).
    Helo,
    /// The reverse-path; the null one stands for `postmaster` at the HELO domain (RFC 7208 §2.4).
    MailFrom,
}

impl Identity {
    /// The word for Received-SPF (RFC 7208 §9.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Helo => "helo",
            Self::MailFrom => "mailfrom",
        }
    }
}

/// Whom and what to ask about.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The peer's address; IPv4 in IPv6 is taken for IPv4 (RFC 7208 §5).
    pub client: IpAddr,
    /// What HELO or EHLO said.
    pub helo: &'a str,
    /// `None` checks the HELO name, else the reverse-path is checked.
    pub mail_from: Option<&'a ReversePath>,
    /// Our own name, for `%{r}`.
    pub receiver: &'a str,
    /// Seconds since 1970, for `%{t}`.
    pub time: u64,
    /// How much of DNS may be asked.
    pub limits: Limits,
}

/// Limits that an operator may want otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Terms that ask DNS: `include`, `a`, `mx`, `ptr`, `exists`, `redirect` (RFC 7208 §4.6.4).
    pub lookups: usize,
    /// Terms among them that may get an empty answer (RFC 7208 §4.6.4).
    pub void_lookups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lookups: 10, void_lookups: 2 }
    }
}

/// The answer, with all that header fields, logs and replies say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The result.
    pub result: SpfResult,
    /// Which identity was checked.
    pub identity: Identity,
    /// The domain that was checked, as far as there is one.
    pub domain: Option<DnsName>,
    /// Why.
    pub reason: Reason,
    /// What the domain tells the sender of a failed message: printable ASCII, at most [`MAX_EXPLANATION`]. The
    /// domain's owner wrote it, not we (RFC 7208 §6.2).
    pub explanation: Option<String>,
    /// Terms that asked DNS.
    pub lookups: usize,
}

/// Checks one identity; `expired` resolves when the caller's time is over, which gives `temperror`.
pub async fn check(dns: &impl Dns, question: &Question<'_>, expired: impl Future<Output = ()>) -> Outcome {
    let sender = Sender::of(question);
    let Some(domain) = sender.name.clone() else {
        return sender.outcome(SpfResult::None, Reason::NotADomain);
    };
    let mut answer = pin!(evaluate::answer(dns, question, &sender, domain));
    let mut expired = pin!(expired);
    let first = std::future::poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => expired.as_mut().poll(context).map(|()| None),
    });
    let outcome = first.await;
    outcome.unwrap_or_else(|| sender.outcome(SpfResult::TempError, Reason::TimedOut))
}

/// The answer where the caller's time is over before anything came.
pub fn timed_out(question: &Question<'_>) -> Outcome {
    let sender = Sender::of(question);
    match sender.name {
        Some(_) => sender.outcome(SpfResult::TempError, Reason::TimedOut),
        None => sender.outcome(SpfResult::None, Reason::NotADomain),
    }
}

/// The identity taken apart (RFC 7208 §4.3).
struct Sender {
    identity: Identity,
    local_part: String,
    domain: String,
    /// The domain, where DNS can be asked about it.
    name: Option<DnsName>,
}

impl Sender {
    fn of(question: &Question<'_>) -> Self {
        let identity = if question.mail_from.is_some() { Identity::MailFrom } else { Identity::Helo };
        let (local_part, domain) = match question.mail_from.and_then(ReversePath::address) {
            Some(address) => (address.local_part.as_str().to_owned(), address.host.to_string()),
            None => ("postmaster".to_owned(), bounded(question.helo).to_owned()),
        };
        Self { identity, local_part, name: askable(&domain), domain }
    }

    fn outcome(&self, result: SpfResult, reason: Reason) -> Outcome {
        let domain = self.name.clone();
        Outcome { result, identity: self.identity, domain, reason, explanation: None, lookups: 0 }
    }
}

/// A name longer than a domain is none; macros need not carry more of it.
fn bounded(helo: &str) -> &str {
    if helo.len() <= MAX_DOMAIN + 1 { helo } else { "unknown" }
}

/// A domain of two labels or more (RFC 7208 §4.3); address literals and single labels are none.
fn askable(domain: &str) -> Option<DnsName> {
    if domain.starts_with('[') {
        return None;
    }
    let name = if domain.is_ascii() {
        macros::queryable(domain.strip_suffix('.').unwrap_or(domain))?
    } else {
        DnsName::from(&Domain::parse(domain).ok()?)
    };
    let last = name.as_str().rsplit_once('.').map(|(_, last)| last)?;
    (!last.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}
