//! DMARC: does what SPF and DKIM proved belong to the author's domain, and what does that domain want? (RFC 9989)

mod author;
mod destination;
mod record;
mod walk;

use std::fmt;

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};

pub use author::{NoAuthor, author_domain};
pub use destination::{Permission, permission};
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
    /// The record that applies, and where it stands.
    pub published: Option<(Domain, Record)>,
    /// What that record asks for this author: `p`, `sp` or `np`.
    pub requested: Policy,
    /// What is to be done with a message that failed: `requested`, one level less in test mode.
    pub policy: Policy,
    /// DKIM proved the author's domain.
    pub dkim_aligned: bool,
    /// SPF proved it.
    pub spf_aligned: bool,
    /// Why, in words.
    pub reason: Reason,
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

/// What is known of a message before SPF and DKIM are through.
#[derive(Debug)]
pub enum Discovery {
    /// There is a policy to judge it by.
    Found(Basis),
    /// There is none, so that this is the outcome.
    Settled(Outcome),
}

/// What a message is judged by.
#[derive(Debug)]
pub struct Basis {
    author: Domain,
    /// Where the record stands, and the record.
    published: (Domain, Record),
    /// What it asks for.
    requested: Policy,
    organisation: Domain,
    known: Known,
}

/// Looks for the policy of the author's domain.
pub async fn discover(dns: &impl Dns, head: &[u8]) -> Discovery {
    let settled = |result, reason| Discovery::Settled(Outcome::without_policy(result, reason));
    let author = match author_domain(head) {
        Ok(author) => author,
        Err(why @ NoAuthor::NoField) => return settled(DmarcResult::None, Reason::NoAuthor(why)),
        Err(why) => return settled(DmarcResult::PermError, Reason::NoAuthor(why)),
    };
    let mut known = Known::default();
    let (result, reason) = match Walk::from(&author, dns, &mut known).await {
        Err(why) => (DmarcResult::TempError, Reason::Dns(why)),
        Ok(walk) => match walk.policy().cloned() {
            None => (DmarcResult::None, Reason::NoPolicy),
            Some((_, record)) if !record.is_applicable() => (DmarcResult::None, Reason::Unreadable),
            Some(published) => match requested(dns, &author, &published).await {
                Err(why) => (DmarcResult::TempError, Reason::Dns(why)),
                Ok(requested) => {
                    let organisation = walk.organisational_domain();
                    return Discovery::Found(Basis { author, published, requested, organisation, known });
                }
            },
        },
    };
    Discovery::Settled(Outcome { author: Some(author), ..Outcome::without_policy(result, reason) })
}

impl Discovery {
    /// Judges by what SPF and DKIM found out. Asks where one of them speaks for another name of the author's
    /// organisation, and nobody else: whoever forges a message has no say in how long that takes.
    pub async fn judge(self, dns: &impl Dns, evidence: Evidence<'_>) -> Outcome {
        let basis = match self {
            Self::Found(basis) => basis,
            Self::Settled(outcome) => return outcome,
        };
        let author = basis.author.clone();
        basis.compare(dns, evidence).await.unwrap_or_else(|why| Outcome {
            author: Some(author),
            ..Outcome::without_policy(DmarcResult::TempError, Reason::Dns(why))
        })
    }
}

impl Basis {
    async fn compare(self, dns: &impl Dns, evidence: Evidence<'_>) -> Result<Outcome, Unanswered> {
        let Self { author, published: (domain, record), requested, organisation, known } = self;
        let mut aligner = Aligner { dns, author: &author, organisation, known };
        let spf = match evidence.spf {
            Some((identifier, proof)) => aligner.proof(identifier, proof, record.aspf).await?,
            None => Proof::Other,
        };
        let mut dkim = Proof::Other;
        for (identifier, proof) in evidence.dkim.iter().take(MAX_IDENTIFIERS) {
            if dkim != Proof::Pass {
                dkim = better(dkim, aligner.proof(identifier, *proof, record.adkim).await?);
            }
        }
        let policy = if record.testing { requested.one_level_below() } else { requested };
        let (result, reason) = verdict(dkim, spf, evidence.has_pass());
        Ok(Outcome {
            result,
            author: Some(author),
            published: Some((domain, record)),
            requested,
            policy,
            dkim_aligned: dkim == Proof::Pass,
            spf_aligned: spf == Proof::Pass,
            reason,
        })
    }
}

impl Evidence<'_> {
    fn has_pass(&self) -> bool {
        let dkim = self.dkim.iter().map(|(_, proof)| proof);
        self.spf.iter().map(|(_, proof)| proof).chain(dkim).any(|proof| *proof == Proof::Pass)
    }
}

impl Outcome {
    /// The judgement when the caller's time is over: nothing is known but the author.
    pub fn timed_out(head: &[u8]) -> Self {
        let outcome = Self::without_policy(DmarcResult::TempError, Reason::TimedOut);
        Self { author: author_domain(head).ok(), ..outcome }
    }

    fn without_policy(result: DmarcResult, reason: Reason) -> Self {
        Self {
            result,
            author: None,
            published: None,
            requested: Policy::None,
            policy: Policy::None,
            dkim_aligned: false,
            spf_aligned: false,
            reason,
        }
    }
}

fn verdict(dkim: Proof, spf: Proof, passed: bool) -> (DmarcResult, Reason) {
    match (dkim, spf) {
        (Proof::Pass, Proof::Pass) => (DmarcResult::Pass, Reason::Aligned("DKIM and SPF")),
        (Proof::Pass, _) => (DmarcResult::Pass, Reason::Aligned("DKIM")),
        (_, Proof::Pass) => (DmarcResult::Pass, Reason::Aligned("SPF")),
        (Proof::TempError, _) | (_, Proof::TempError) => (DmarcResult::TempError, Reason::Unfinished),
        (Proof::Other, Proof::Other) if passed => (DmarcResult::Fail, Reason::NotAligned),
        (Proof::Other, Proof::Other) => (DmarcResult::Fail, Reason::NothingPassed),
    }
}

fn better(one: Proof, other: Proof) -> Proof {
    match (one, other) {
        (Proof::Pass, _) | (_, Proof::Pass) => Proof::Pass,
        (Proof::TempError, _) | (_, Proof::TempError) => Proof::TempError,
        (Proof::Other, Proof::Other) => Proof::Other,
    }
}

/// `p` for the domain of the record, below it `np` for names that do not exist and `sp` for others (RFC 9989
/// §4.10.1).
async fn requested(
    dns: &impl Dns,
    author: &Domain,
    (domain, record): &(Domain, Record),
) -> Result<Policy, Unanswered> {
    if author == domain {
        return Ok(record.policy);
    }
    let subdomains = record.subdomains.unwrap_or(record.policy);
    match record.nonexistent {
        Some(nonexistent) if nonexistent != subdomains && !exists(dns, author).await? => Ok(nonexistent),
        _ => Ok(subdomains),
    }
}

/// A name of which DNS says NXDOMAIN does not exist (RFC 9989 §3.2.13, RFC 8020 §2).
async fn exists(dns: &impl Dns, domain: &Domain) -> Result<bool, Unanswered> {
    let name = DnsName::from(domain);
    match dns.ipv4(&name).await {
        Ok(_) | Err(DnsError::NoRecord) => Ok(true),
        Err(DnsError::NoDomain) => Ok(false),
        Err(DnsError::Temporary(error)) => Err(Unanswered { name: name.to_string(), error }),
    }
}

/// Compares identifiers with the author's domain.
struct Aligner<'a, D> {
    dns: &'a D,
    author: &'a Domain,
    organisation: Domain,
    known: Known,
}

impl<D: Dns> Aligner<'_, D> {
    /// What a check proves of the author's domain (RFC 9989 §4.4).
    async fn proof(
        &mut self,
        identifier: &DnsName,
        proof: Proof,
        mode: Alignment,
    ) -> Result<Proof, Unanswered> {
        let is_aligned = proof != Proof::Other && self.is_aligned(identifier, mode).await?;
        Ok(if is_aligned { proof } else { Proof::Other })
    }

    /// No other organisational domain than the author's lies above or at an aligned identifier: where the author's
    /// does not, nothing needs to be asked.
    async fn is_aligned(&mut self, identifier: &DnsName, mode: Alignment) -> Result<bool, Unanswered> {
        let Ok(identifier) = Domain::parse(identifier.as_str()) else { return Ok(false) };
        if identifier == *self.author {
            return Ok(true);
        }
        if mode == Alignment::Strict || !is_within(&identifier, &self.organisation) {
            return Ok(false);
        }
        let walk = Walk::from(&identifier, self.dns, &mut self.known).await?;
        Ok(walk.organisational_domain() == self.organisation)
    }
}

fn is_within(name: &Domain, domain: &Domain) -> bool {
    let rest = name.as_str().strip_suffix(domain.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
