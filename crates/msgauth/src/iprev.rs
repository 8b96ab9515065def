//! The reverse name of a client, believed only where it leads back (RFC 8601 §3, RFC 1912 §2.1).

use std::fmt;
use std::net::IpAddr;

use kings_dns::{Dns, DnsError};
use kings_mail::domain::DnsName;

/// Most reverse names that are looked at: as many as SPF allows (RFC 7208 §4.6.4).
pub const MAX_NAMES: usize = 10;

/// Results of iprev (RFC 8601 §2.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IprevResult {
    /// A reverse name leads back to the client.
    Pass,
    /// There are reverse names, and none leads back.
    Fail,
    /// DNS does not answer now.
    TempError,
    /// There is no reverse name.
    PermError,
}

impl IprevResult {
    /// The word for header fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// What DNS says of a client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The result.
    pub result: IprevResult,
    /// Who was asked about; IPv4 in IPv6 is taken for IPv4.
    pub client: IpAddr,
    /// The name that leads back.
    pub name: Option<DnsName>,
    /// Why.
    pub reason: Reason,
}

/// Why a result is what it is. `Display` says it in one sentence without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The name leads back.
    Confirmed,
    /// Nobody gave the address a name.
    NoName,
    /// The first of the names that do not lead back.
    LeadsElsewhere(DnsName),
    /// What the resolver says.
    Dns(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed => f.write_str("the reverse name leads back"),
            Self::NoName => f.write_str("no reverse name"),
            Self::LeadsElsewhere(name) => write!(f, "{name} does not lead back"),
            Self::Dns(error) => write!(f, "DNS does not answer: {error}"),
        }
    }
}

impl Outcome {
    /// What is known when the caller's time is over.
    pub fn timed_out(client: IpAddr) -> Self {
        let reason = Reason::Dns("no answer in time".to_owned());
        Self { result: IprevResult::TempError, client: client.to_canonical(), name: None, reason }
    }
}

/// Looks for a reverse name that leads back to the client.
pub async fn check(dns: &impl Dns, client: IpAddr) -> Outcome {
    let client = client.to_canonical();
    let outcome = |result, name, reason| Outcome { result, client, name, reason };
    let names = match dns.reverse(client).await {
        Ok(answer) => answer.records,
        Err(DnsError::NoDomain | DnsError::NoRecord) => {
            return outcome(IprevResult::PermError, None, Reason::NoName);
        }
        Err(DnsError::Temporary(error)) => return outcome(IprevResult::TempError, None, Reason::Dns(error)),
    };
    let mut unanswered = None;
    for name in names.iter().take(MAX_NAMES) {
        match leads_to(dns, name, client).await {
            Ok(true) => return outcome(IprevResult::Pass, Some(name.clone()), Reason::Confirmed),
            Ok(false) => {}
            Err(error) => unanswered = Some(error),
        }
    }
    match (unanswered, names.into_iter().next()) {
        (Some(error), _) => outcome(IprevResult::TempError, None, Reason::Dns(error)),
        (None, Some(name)) => outcome(IprevResult::Fail, None, Reason::LeadsElsewhere(name)),
        (None, None) => outcome(IprevResult::PermError, None, Reason::NoName),
    }
}

/// Whether a name has the address; the error is what the resolver says.
async fn leads_to(dns: &impl Dns, name: &DnsName, client: IpAddr) -> Result<bool, String> {
    let found = match client {
        IpAddr::V4(client) => dns.ipv4(name).await.map(|answer| answer.records.contains(&client)),
        IpAddr::V6(client) => dns.ipv6(name).await.map(|answer| answer.records.contains(&client)),
    };
    match found {
        Err(DnsError::Temporary(error)) => Err(error),
        other => Ok(other.unwrap_or(false)),
    }
}
