//! DMARC: does what SPF and DKIM proved belong to the author's domain, and what does that domain want? (RFC 9989)

mod author;
mod destination;
mod discovery;
mod record;
mod walk;

use std::cmp::Reverse;
use std::fmt;

use kings_dns::Dns;
use kings_mail::domain::{DnsName, Domain};

pub use author::{AuthorDomains, MAX_AUTHOR_DOMAINS, NoAuthor, author_domains};
pub use destination::{Permission, permission};
pub use discovery::{Discovery, discover};
pub use record::{
    Alignment, FailureOptions, MAX_ADDRESSES, MAX_RECORD, Policy, Psd, Record, mailto, report_addresses,
};
pub use walk::{Known, MAX_QUERIES, Unanswered, Walk};

/// Results of DMARC, as Authentication-Results spells them (RFC 9989 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DmarcResult {
    /// No author domain, or no policy for it.
    None,
    /// SPF or DKIM proved the author's domain.
    Pass,
    /// Nothing did.
    Fail,
    /// DNS does not answer now, and what is missing could make it a pass.
    TempError,
    /// The message names its author in a way that cannot be judged.
    PermError,
}

impl DmarcResult {
    /// The word for header fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for DmarcResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What SPF or DKIM found out about one domain, as far as DMARC cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The domain took responsibility.
    Pass,
    /// It could have, but DNS does not answer now.
    TempError,
    /// It did not.
    Other,
}

/// What is known before the policy is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The `d=` domain of each signature.
    pub dkim: &'a [(DnsName, Proof)],
    /// The domain of MAIL FROM, of HELO for the null sender (RFC 9989 §4.4.2).
    pub spf: Option<(&'a DnsName, Proof)>,
}

/// Most distinct domains of signatures that are compared: ours; DKIM verifies fewer signatures than that.
pub const MAX_IDENTIFIERS: usize = 16;

/// The judgement, with all that header fields, logs and reports say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The result.
    pub result: DmarcResult,
    /// The author's domain.
    pub author: Option<Domain>,
    /// The organisational domain of that, where the walk came to its end (RFC 9989 §4.10.2).
    pub organisation: Option<Domain>,
    /// The record that applies, and where it stands.
    pub published: Option<(Domain, Record)>,
    /// What that record asks for this author: `p`, `sp` or `np`.
    pub requested: Policy,
    /// What is to be done with a message that failed: `requested`, one level less in test mode.
    pub policy: Policy,
    /// DKIM proved the author's domain; told as well where nobody publishes a policy, by relaxed alignment.
    pub dkim_aligned: bool,
    /// SPF proved it; likewise.
    pub spf_aligned: bool,
    /// SPF was not asked, and could have proven it: only where a message is judged of which not all is told.
    pub spf_unasked: bool,
    /// Why, in words.
    pub reason: Reason,
    /// The same for the other authors, where From names some in several domains. None of them fails a stricter policy; what
    /// follows from each is for the receiver to say.
    pub others: Vec<Self>,
}

/// Why a judgement is what it is. `Display` says it in one sentence without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The message has no author domain.
    NoAuthor(NoAuthor),
    /// Nobody publishes a policy for the author's domain.
    NoPolicy,
    /// The record's policy cannot be read and no reports are wanted (RFC 9989 §4.10.1).
    Unreadable,
    /// DNS does not answer now.
    Dns(Unanswered),
    /// It took longer than the caller grants.
    TimedOut,
    /// An aligned check could not be finished.
    Unfinished,
    /// Nobody said what SPF has to be asked about.
    Unasked,
    /// An aligned pass: `DKIM`, `SPF` or both.
    Aligned(&'static str),
    /// There was a pass, of other domains only.
    NotAligned,
    /// Nothing passed.
    NothingPassed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAuthor(why) => why.fmt(f),
            Self::NoPolicy => f.write_str("no policy is published"),
            Self::Unreadable => f.write_str("the published policy cannot be read"),
            Self::Dns(why) => why.fmt(f),
            Self::TimedOut => f.write_str("DNS did not answer in time"),
            Self::Unfinished => f.write_str("a check for the author's domain could not be finished"),
            Self::Unasked => f.write_str("SPF is not judged, and could prove the author's domain"),
            Self::Aligned(what) => write!(f, "aligned: {what}"),
            Self::NotAligned => f.write_str("what passed belongs to other domains"),
            Self::NothingPassed => f.write_str("neither SPF nor DKIM passed"),
        }
    }
}

/// Judges a message by the header's From field and what SPF and DKIM found out.
pub async fn evaluate(dns: &impl Dns, head: &[u8], evidence: Evidence<'_>) -> Outcome {
    discover(dns, head).await.judge(dns, evidence).await
}

impl Outcome {
    /// The judgement when the caller's time is over: nothing is known but the authors.
    pub fn timed_out(head: &[u8]) -> Self {
        let late = || Self::without_policy(DmarcResult::TempError, Reason::TimedOut);
        let domains = author_domains(head).map(|authors| authors.domains).unwrap_or_default();
        let outcomes = domains.into_iter().map(|author| Self { author: Some(author), ..late() });
        Self::strictest(outcomes.collect()).unwrap_or_else(late)
    }

    /// The judgements of all authors, this one first.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// The same where SPF was not asked and `could` prove some of the authors: what fails for want of it is open.
    #[must_use]
    pub fn without_spf(mut self, could: impl Fn(&Self) -> bool) -> Self {
        let others = std::mem::take(&mut self.others);
        let open = |outcome: Self| {
            if outcome.dkim_aligned || outcome.spf_aligned || !could(&outcome) {
                return outcome;
            }
            let outcome = Self { spf_unasked: true, ..outcome };
            match outcome.result {
                DmarcResult::Fail => {
                    Self { result: DmarcResult::TempError, reason: Reason::Unasked, ..outcome }
                }
                _ => outcome,
            }
        };
        let none = || Self::without_policy(DmarcResult::None, Reason::NoAuthor(NoAuthor::NoField));
        Self::strictest(std::iter::once(self).chain(others).map(open).collect()).unwrap_or_else(none)
    }

    /// The judgements of several authors, of whom each could be the one that a reader sees: the strictest of the policies that
    /// it fails comes first (RFC 9989 §11.5).
    fn strictest(mut outcomes: Vec<Self>) -> Option<Self> {
        // Stable: among equals the first author stays the first.
        outcomes.sort_by_key(|outcome| Reverse(outcome.severity()));
        let others = if outcomes.is_empty() { Vec::new() } else { outcomes.split_off(1) };
        outcomes.pop().map(|strictest| Self { others, ..strictest })
    }

    /// An author who cannot be told comes before doubt, and doubt before a failure that nobody minds.
    fn severity(&self) -> u8 {
        match (self.result, self.policy) {
            (DmarcResult::Fail, Policy::Reject) => 6,
            (DmarcResult::Fail, Policy::Quarantine) => 5,
            (DmarcResult::PermError, _) => 4,
            (DmarcResult::TempError, _) => 3,
            (DmarcResult::Fail, Policy::None) => 2,
            (DmarcResult::None, _) => 1,
            (DmarcResult::Pass, _) => 0,
        }
    }

    fn without_policy(result: DmarcResult, reason: Reason) -> Self {
        Self {
            result,
            author: None,
            organisation: None,
            published: None,
            requested: Policy::None,
            policy: Policy::None,
            dkim_aligned: false,
            spf_aligned: false,
            spf_unasked: false,
            reason,
            others: Vec::new(),
        }
    }
}
