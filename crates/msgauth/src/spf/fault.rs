//! Why an SPF check ended as it did: for the log, for the header field, for the person who asks.

use std::fmt;

use kings_mail::domain::DnsName;

use super::Limits;

/// Longest term of a record that is repeated in a reason, in octets: ours; a field line has 998.
const MAX_QUOTED: usize = 120;

/// What is wrong with one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// `%` without a macro that RFC 7208 §7.1 knows.
    #[error("a macro is malformed")]
    Macro,
    /// `c`, `r` or `t` outside of an explanation (RFC 7208 §7.2).
    #[error("a macro letter is used that stands for explanations only")]
    ExplanationLetter,
    /// A space, a control character or no ASCII.
    #[error("an octet is not printable ASCII")]
    Octet,
    /// RFC 7208 §7.1 `domain-spec`.
    #[error("not a domain")]
    DomainSpec,
    /// No mechanism of RFC 7208 §5 and no `name=value`.
    #[error("no such mechanism")]
    Mechanism,
    /// `all:x`, `include`, `ip4` and the like.
    #[error("the mechanism has an argument too many or too few")]
    Argument,
    /// RFC 7208 §5.6 `ip4-network` or `ip6-network`.
    #[error("not an IP address")]
    Address,
    /// Not a number from 0 to 32 or 128, or with leading zeros.
    #[error("not a prefix length")]
    Prefix,
    /// `redirect` or `exp` twice (RFC 7208 §6).
    #[error("the modifier appears twice")]
    Twice,
}

/// A record breaks the grammar of RFC 7208 §12.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Over [`super::MAX_RECORD`].
    #[error("the record is longer than {} octets", super::MAX_RECORD)]
    TooLong,
    /// One term is not well-formed.
    #[error("{wrong} in \"{term}\"")]
    Term {
        /// The term, shortened, with other than printable ASCII replaced.
        term: String,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

impl BadRecord {
    pub(super) fn term(term: &str, wrong: Wrong) -> Self {
        Self::Term { term: quotable(term), wrong }
    }
}

/// What a check came to, and why. `Display` says it in one sentence without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A mechanism matched the client.
    Matched {
        /// The directive as it stands in the record, shortened.
        mechanism: String,
        /// Whose record it is: after `redirect`, not the domain asked about.
        domain: DnsName,
    },
    /// The record was read to its end (RFC 7208 §4.7).
    NothingMatched {
        /// Whose record.
        domain: DnsName,
    },
    /// The identity holds no domain that could have a record (RFC 7208 §4.3).
    NotADomain,
    /// No record (RFC 7208 §4.5).
    NoRecord {
        /// The domain without one.
        domain: DnsName,
    },
    /// More than one record (RFC 7208 §4.5).
    SeveralRecords {
        /// The domain with too many.
        domain: DnsName,
    },
    /// A record is malformed (RFC 7208 §4.6).
    Malformed {
        /// Whose record.
        domain: DnsName,
        /// Where and how.
        bad: BadRecord,
    },
    /// `include` or `redirect` leads to nothing (RFC 7208 §5.2 and §6.1).
    Dangling {
        /// The term.
        term: String,
        /// Whose record.
        domain: DnsName,
    },
    /// More terms ask DNS than [`Limits::lookups`] (RFC 7208 §4.6.4).
    TooManyLookups {
        /// The limit.
        limit: usize,
    },
    /// More terms got empty answers than [`Limits::void_lookups`] (RFC 7208 §4.6.4).
    TooManyVoidLookups {
        /// The limit.
        limit: usize,
    },
    /// A domain has more MX hosts than [`super::MAX_MX`] (RFC 7208 §4.6.4).
    TooManyMxHosts {
        /// The domain.
        domain: DnsName,
    },
    /// DNS does not answer now (RFC 7208 §4.4).
    Dns {
        /// What was asked about.
        name: String,
        /// What the resolver says.
        error: String,
    },
    /// The caller's time is over (RFC 7208 §4.6.4).
    TimedOut,
}

impl Reason {
    pub(super) fn too_many_lookups(limits: Limits) -> Self {
        Self::TooManyLookups { limit: limits.lookups }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched { mechanism, domain } => write!(f, "matched {mechanism} of {domain}"),
            Self::NothingMatched { domain } => write!(f, "nothing of {domain} matched"),
            Self::NotADomain => f.write_str("no domain that could have a record"),
            Self::NoRecord { domain } => write!(f, "{domain} has no record"),
            Self::SeveralRecords { domain } => write!(f, "{domain} has more than one record"),
            Self::Malformed { domain, bad } => write!(f, "the record of {domain} is malformed: {bad}"),
            Self::Dangling { term, domain } => write!(f, "{term} of {domain} leads to no record"),
            Self::TooManyLookups { limit } => write!(f, "more than {limit} terms ask DNS"),
            Self::TooManyVoidLookups { limit } => write!(f, "more than {limit} terms ask DNS in vain"),
            Self::TooManyMxHosts { domain } => write!(f, "{domain} has more than {} MX hosts", super::MAX_MX),
            Self::Dns { name, error } => write!(f, "DNS does not answer about {name}: {error}"),
            Self::TimedOut => f.write_str("DNS took too long"),
        }
    }
}

/// The text as it may be repeated in one line: printable ASCII, shortened.
pub(super) fn quotable(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let mut out: String = text.chars().take(MAX_QUOTED).map(printable).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        out.push_str("...");
    }
    out
}
