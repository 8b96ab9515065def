//! How sessions with MX hosts went, counted by day and domain: the data of TLS reports.

use std::time::Duration;

use kings_mail::domain::Domain;
use rusqlite::{Connection, params};

const DAY: u64 = 24 * 60 * 60;

/// The policy that a session was under (RFC 8460 §4.2 `policy-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsPolicy {
    /// DANE.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// None was found.
    None,
}

/// Why a session did not fulfil its policy (RFC 8460 §4.3 `result-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFailure {
    /// The host does not offer STARTTLS.
    StartTlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// The certificate has expired.
    CertificateExpired,
    /// No trusted authority stands behind the certificate.
    CertificateNotTrusted,
    /// Anything else that went wrong in the handshake.
    ValidationFailure,
    /// No TLSA record fits the certificate.
    TlsaInvalid,
    /// TLSA records cannot be looked up, or their signatures are broken.
    DnssecInvalid,
    /// The policy file cannot be fetched.
    StsPolicyFetchError,
    /// The policy file is not a policy.
    StsPolicyInvalid,
    /// The host of the policy file has a certificate that is not good.
    StsWebpkiInvalid,
}

/// The result of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsResult {
    /// The recipient domain, whose policy counts.
    pub domain: Domain,
    /// The kind of policy.
    pub policy: TlsPolicy,
    /// The policy itself, a line for each of its strings: TLSA records, or the policy file.
    pub policy_text: String,
    /// The MX host; empty when none was reached.
    pub host: String,
    /// What went wrong, if something did.
    pub failure: Option<TlsFailure>,
}

/// All sessions of one day under one policy of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayOfResults {
    /// Days since 1970 (UTC).
    pub day: u64,
    /// The recipient domain.
    pub domain: String,
    /// As in a report: `tlsa`, `sts` or `no-policy-found`.
    pub policy: String,
    /// The lines of the policy.
    pub policy_text: String,
    /// Sessions that went well.
    pub successful: u64,
    /// Failure type, MX host, sessions.
    pub failures: Vec<(String, String, u64)>,
}

impl TlsPolicy {
    /// The word of a report (RFC 8460 §4.2).
    pub fn word(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::None => "no-policy-found",
        }
    }
}

impl TlsFailure {
    /// The word of a report (RFC 8460 §4.3).
    pub fn word(self) -> &'static str {
        match self {
            Self::StartTlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

pub(crate) fn write(connection: &Connection, at: Duration, result: &TlsResult) -> rusqlite::Result<()> {
    let TlsResult { domain, policy, policy_text, host, failure } = result;
    let sql = "INSERT INTO tls_result VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)
        ON CONFLICT DO UPDATE SET sessions = sessions + 1";
    let failure = failure.map_or("", TlsFailure::word);
    let row = params![at.as_secs() / DAY, domain.as_str(), policy.word(), policy_text, host, failure];
    connection.execute(sql, row)?;
    Ok(())
}

pub(crate) fn prune(connection: &Connection, before: Duration) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM tls_result WHERE day < ?1", [before.as_secs() / DAY])?;
    Ok(())
}

pub(crate) fn days(connection: &Connection) -> Result<Vec<DayOfResults>, crate::RecordsError> {
    let sql = "SELECT day, domain, policy, policy_text, host, failure, sessions FROM tls_result
        ORDER BY day, domain, policy, policy_text, failure, host";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut days: Vec<DayOfResults> = Vec::new();
    while let Some(row) = rows.next()? {
        let empty = DayOfResults {
            day: row.get(0)?,
            domain: row.get(1)?,
            policy: row.get(2)?,
            policy_text: row.get(3)?,
            successful: 0,
            failures: Vec::new(),
        };
        let same = |last: &DayOfResults| {
            (last.day, &last.domain, &last.policy, &last.policy_text)
                == (empty.day, &empty.domain, &empty.policy, &empty.policy_text)
        };
        if !days.last().is_some_and(same) {
            days.push(empty);
        }
        let (host, failure, sessions): (String, String, u64) = (row.get(4)?, row.get(5)?, row.get(6)?);
        let Some(day) = days.last_mut() else { continue };
        if failure.is_empty() {
            day.successful += sessions;
        } else {
            day.failures.push((failure, host, sessions));
        }
    }
    Ok(days)
}
