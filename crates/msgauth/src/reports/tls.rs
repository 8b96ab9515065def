//! TLS reports: how sessions with a domain's hosts went, a day long (RFC 8460).

use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use serde::{Deserialize, Deserializer, Serialize};

use crate::dmarc::mailto;

/// Most policies, and most failures of one policy, that are kept: ours; a day's report has a few.
pub const MAX_ENTRIES: usize = 1_000;
/// Most report addresses of one record that are kept: ours.
pub const MAX_ADDRESSES: usize = 10;

/// One report (RFC 8460 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The organisation that reports.
    pub organization_name: String,
    /// The day.
    pub date_range: DateRange,
    /// How to reach it.
    #[serde(default)]
    pub contact_info: String,
    /// Unique among the reports to a domain.
    pub report_id: String,
    /// What was seen.
    pub policies: Vec<Policy>,
}

/// Both ends of the time reported on, in the form of RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    /// The first second.
    pub start_datetime: String,
    /// The last second.
    pub end_datetime: String,
}

impl DateRange {
    /// Both in seconds since 1970.
    pub fn new(begin: i64, end: i64) -> Self {
        let [start_datetime, end_datetime] =
            [begin, end].map(|seconds| DateTime::from_unix(seconds).to_rfc3339());
        Self { start_datetime, end_datetime }
    }

    /// Both in seconds since 1970, where they can be read.
    pub fn unix(&self) -> Option<(i64, i64)> {
        let seconds = |text: &str| DateTime::parse_rfc3339(text).map(DateTime::unix);
        Some((seconds(&self.start_datetime)?, seconds(&self.end_datetime)?))
    }
}

/// All sessions under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// The policy.
    pub policy: AppliedPolicy,
    /// How many sessions.
    pub summary: Summary,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<Failure>,
}

/// The policy itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AppliedPolicy {
    /// `tlsa`, `sts` or `no-policy-found`.
    pub policy_type: String,
    /// Its lines.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    /// Whose.
    pub policy_domain: String,
    /// The hosts it names.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

/// Counts of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Those that fulfilled the policy.
    pub total_successful_session_count: u64,
    /// Those that did not.
    pub total_failure_session_count: u64,
}

/// Sessions that failed alike (RFC 8460 §4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Failure {
    /// The word of RFC 8460 §4.3.
    pub result_type: String,
    /// Our address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    /// The MX host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// What it called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiving_mx_helo: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    /// How many.
    pub failed_session_count: u64,
    /// More about it, or where to find more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
    /// A code of the TLS library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

/// The text is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a TLS report: {0}")]
pub struct BadReport(String);

impl Report {
    /// The report as JSON, the same for the same report.
    pub fn to_json(&self) -> String {
        // Nothing in a report can fail to be written: no maps, no numbers with fractions.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads a report; lists over [`MAX_ENTRIES`] are cut.
    pub fn from_json(text: &[u8]) -> Result<Self, BadReport> {
        let mut report: Self = serde_json::from_slice(text).map_err(|error| BadReport(error.to_string()))?;
        report.policies.truncate(MAX_ENTRIES);
        for policy in &mut report.policies {
            policy.failure_details.truncate(MAX_ENTRIES);
            policy.policy.policy_string.truncate(MAX_ENTRIES);
            policy.policy.mx_host.truncate(MAX_ENTRIES);
        }
        Ok(report)
    }
}

/// Some write a single string where the RFC wants a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(list) => list,
    })
}

/// The subject of the message that carries a report (RFC 8460 §5.3).
pub fn subject(policy_domain: &str, submitter: &str, report_id: &str) -> String {
    format!("Report Domain: {policy_domain} Submitter: {submitter} Report-ID: <{report_id}>")
}

/// Where a domain asks for reports (RFC 8460 §3); `None` where the name would be too long for DNS.
pub fn record_name(domain: &Domain) -> Option<DnsName> {
    DnsName::parse(&format!("_smtp._tls.{domain}")).ok()
}

/// Where reports go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// By mail.
    Mail(Address),
    /// By HTTP POST to this URI, which begins with `https://`.
    Https(String),
}

/// The destinations that the TXT records of a domain name: of exactly one record of `v=TLSRPTv1` (RFC 8460 §3).
pub fn destinations(records: &[Vec<u8>]) -> Vec<Destination> {
    let mut ours = records.iter().filter_map(|record| {
        let text = std::str::from_utf8(record).ok()?;
        let (version, rest) = text.split_once(';')?;
        (version.trim_end() == "v=TLSRPTv1").then_some(rest)
    });
    let (Some(fields), None) = (ours.next(), ours.next()) else { return Vec::new() };
    let mut fields = fields.split(';').filter_map(|field| field.split_once('='));
    let rua = fields.find(|(name, _)| name.trim() == "rua").map(|(_, list)| list).unwrap_or_default();
    rua.split(',').filter_map(|uri| destination(uri.trim())).take(MAX_ADDRESSES).collect()
}

fn destination(uri: &str) -> Option<Destination> {
    let is_https = uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let is_plain = uri.len() > 8 && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if is_https && is_plain {
        return Some(Destination::Https(uri.to_owned()));
    }
    mailto(uri).map(Destination::Mail)
}
