//! Aggregate reports of DMARC: what mail claimed to be a domain's, a day long (RFC 9990).

mod read;
mod write;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dmarc::{Alignment, Policy};

pub use read::{BadReport, MAX_ALL_VALUES, MAX_COUNT, MAX_DEPTH, MAX_ROWS, MAX_VALUES};

/// One report: one policy, one span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who writes it, about when.
    pub metadata: Metadata,
    /// The policy that applied.
    pub policy: PublishedPolicy,
    /// What was seen.
    pub rows: Vec<Row>,
}

/// RFC 9990 §2.1 `report_metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The organisation that reports.
    pub org_name: String,
    /// How to reach it.
    pub email: String,
    /// More about how to reach it.
    pub extra_contact_info: Option<String>,
    /// Unique among the reports to a domain.
    pub report_id: String,
    /// Seconds since 1970.
    pub begin: u64,
    /// Seconds since 1970.
    pub end: u64,
    /// What was wrong with the record.
    pub error: Option<String>,
}

/// RFC 9990 §2.1 `policy_published`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPolicy {
    /// Where the record stands.
    pub domain: String,
    /// `treewalk`, or `psl` in reports of those who still use a list of suffixes.
    pub discovery_method: Option<String>,
    /// How DKIM must align.
    pub adkim: Alignment,
    /// How SPF must align.
    pub aspf: Alignment,
    /// For the domain.
    pub policy: Policy,
    /// For subdomains.
    pub subdomains: Policy,
    /// For subdomains that do not exist.
    pub nonexistent: Option<Policy>,
    /// `t=y`.
    pub testing: bool,
    /// `fo` as it is published.
    pub failure_options: Option<String>,
}

/// What was done with the messages of a row (RFC 9990 §2.1 `disposition`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Disposition {
    /// Nothing.
    #[default]
    None,
    /// They passed, and the policy is more than `none`.
    Pass,
    /// Treated as suspicious.
    Quarantine,
    /// Refused.
    Reject,
}

impl Disposition {
    /// The word of a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// Messages alike (RFC 9990 §2.1 `record`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The client; `None` where a report we read has no address there.
    pub source: Option<IpAddr>,
    /// How many messages.
    pub count: u64,
    /// What was done with them.
    pub disposition: Disposition,
    /// DKIM gave an aligned pass.
    pub dkim_aligned: bool,
    /// SPF gave one.
    pub spf_aligned: bool,
    /// Why something else was done than the policy asks for.
    pub overrides: Vec<Override>,
    /// The author's domain.
    pub header_from: String,
    /// The domain of MAIL FROM; empty for the null sender.
    pub envelope_from: Option<String>,
    /// The recipient's domain.
    pub envelope_to: Option<String>,
    /// What each signature came to.
    pub dkim: Vec<DkimResult>,
    /// What SPF came to.
    pub spf: Vec<SpfResult>,
}

/// RFC 9990 §2.1.5 `reason`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// `local_policy`, `mailing_list`, `other`, `policy_test_mode`, `trusted_forwarder`.
    pub kind: String,
    /// In words.
    pub comment: Option<String>,
}

/// RFC 9990 §2.1 `dkim`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimResult {
    /// `d=`.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// The word of RFC 8601 §2.7.1.
    pub result: String,
    /// In words.
    pub human_result: Option<String>,
}

/// RFC 9990 §2.1 `spf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpfResult {
    /// The domain that was checked.
    pub domain: String,
    /// `mfrom`, or `helo` in reports of those who check it.
    pub scope: Option<String>,
    /// The word of RFC 8601 §2.7.2.
    pub result: String,
    /// In words.
    pub human_result: Option<String>,
}

/// One message as a report tells of it, with the policy that applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The policy.
    pub policy: PublishedPolicy,
    /// The message.
    pub row: Row,
}

impl Observation {
    /// As text, the same for messages alike.
    pub fn to_text(&self) -> String {
        // Nothing in it can fail to be written: no maps, no numbers with fractions.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads it back.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Report {
    /// As JSON, for our own records.
    pub fn to_json(&self) -> String {
        // As above.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads our own JSON back.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The subject of the message that carries a report (RFC 9990 §2.5.2).
pub fn subject(policy_domain: &str, submitter: &str, report_id: &str) -> String {
    format!("Report Domain: {policy_domain} Submitter: {submitter} Report-ID: <{report_id}>")
}

/// The name of a report's file (RFC 9990 §2.5.2). A report that is sent again has the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Who reports.
    pub receiver: String,
    /// About which domain.
    pub policy_domain: String,
    /// Seconds since 1970.
    pub begin: u64,
    /// Seconds since 1970.
    pub end: u64,
    /// Letters and digits that tell reports about one span of time apart.
    pub unique: Option<String>,
    /// `xml.gz`, `xml`; `json.gz` of TLS reports; `zip` is sent by some, against the RFC.
    pub extension: String,
}

impl FileName {
    /// Reads a name; `None` where it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.rsplit(['/', '\\']).next()?;
        let extension =
            [".xml.gz", ".json.gz", ".xml", ".json", ".zip"].into_iter().find(|end| text.ends_with(end))?;
        let mut parts = text.strip_suffix(extension)?.split('!');
        let name = Self {
            receiver: parts.next().filter(|part| !part.is_empty())?.to_owned(),
            policy_domain: parts.next().filter(|part| !part.is_empty())?.to_owned(),
            begin: parts.next()?.parse().ok()?,
            end: parts.next()?.parse().ok()?,
            unique: parts.next().map(str::to_owned),
            extension: extension[1..].to_owned(),
        };
        parts.next().is_none().then_some(name)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { receiver, policy_domain, begin, end, unique, extension } = self;
        write!(f, "{receiver}!{policy_domain}!{begin}!{end}")?;
        if let Some(unique) = unique {
            write!(f, "!{unique}")?;
        }
        write!(f, ".{extension}")
    }
}
