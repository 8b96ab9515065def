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
    /// There is an author to compare them with.
    Found(Basis),
    /// There is none, or DNS does not tell: this is the outcome.
    Settled(Outcome),
}

/// What a message is judged by.
#[derive(Debug)]
pub struct Basis {
    author: Domain,
    /// The policy, or why there is none: what is proven of the author can be told all the same.
    policy: Result<Published, Reason>,
    organisation: Domain,
    known: Known,
}

/// A policy that applies.
#[derive(Debug)]
struct Published {
    domain: Domain,
    record: Record,
    /// What it asks for.
    requested: Policy,
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
    match Walk::from(&author, dns, &mut known).await {
        Ok(walk) => match published(dns, &author, &walk).await {
            Ok(policy) => {
                let organisation = walk.organisational_domain();
                Discovery::Found(Basis { author, policy, organisation, known })
            }
            Err(why) => Discovery::Settled(Outcome::unanswered(author, why)),
        },
        Err(why) => Discovery::Settled(Outcome::unanswered(author, why)),
    }
}

/// The policy that applies to the author, or why none does.
async fn published(
    dns: &impl Dns,
    author: &Domain,
    walk: &Walk,
) -> Result<Result<Published, Reason>, Unanswered> {
    let Some((domain, record)) = walk.policy().cloned() else { return Ok(Err(Reason::NoPolicy)) };
    if !record.is_applicable() {
        return Ok(Err(Reason::Unreadable));
    }
    let requested = requested(dns, author, &domain, &record).await?;
    Ok(Ok(Published { domain, record, requested }))
}

impl Discovery {
    /// Judges by what SPF and DKIM found out. Asks where one of them speaks for another name of the author's
    /// organisation, and nobody else: whoever forges a message has no say in how long that takes.
    pub async fn judge(self, dns: &impl Dns, evidence: Evidence<'_>) -> Outcome {
        match self {
            Self::Found(basis) => basis.judge(dns, evidence).await,
            Self::Settled(outcome) => outcome,
        }
    }
}

impl Basis {
    async fn judge(self, dns: &impl Dns, evidence: Evidence<'_>) -> Outcome {
        let Self { author, policy, organisation, known } = self;
        let mut aligner = Aligner { dns, author: &author, organisation: &organisation, known };
        let modes = policy.as_ref().map(|published| (published.record.adkim, published.record.aspf));
        let proofs = aligner.proofs(evidence, modes.unwrap_or_default()).await;
        let (Published { domain, record, requested }, (dkim, spf)) = match (policy, proofs) {
            (Ok(published), Ok(proofs)) => (published, proofs),
            (Ok(_), Err(why)) => return Outcome::unanswered(author, why),
            // Without a policy nothing fails, so that doubt about a proof is as good as none.
            (Err(reason), proofs) => {
                let (dkim, spf) = proofs.unwrap_or((Proof::Other, Proof::Other));
                return Outcome {
                    author: Some(author),
                    organisation: Some(organisation),
                    dkim_aligned: dkim == Proof::Pass,
                    spf_aligned: spf == Proof::Pass,
                    ..Outcome::without_policy(DmarcResult::None, reason)
                };
            }
        };
        let policy = if record.testing { requested.one_level_below() } else { requested };
        let (result, reason) = verdict(dkim, spf, evidence.has_pass());
        Outcome {
            result,
            author: Some(author),
            organisation: Some(organisation),
            published: Some((domain, record)),
            requested,
            policy,
            dkim_aligned: dkim == Proof::Pass,
            spf_aligned: spf == Proof::Pass,
            reason,
        }
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

    fn unanswered(author: Domain, why: Unanswered) -> Self {
        let outcome = Self::without_policy(DmarcResult::TempError, Reason::Dns(why));
        Self { author: Some(author), ..outcome }
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
    domain: &Domain,
    record: &Record,
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
    organisation: &'a Domain,
    known: Known,
}

impl<D: Dns> Aligner<'_, D> {
    /// What DKIM and SPF prove of the author's domain, each in its mode. One name that DNS does not tell of matters only
    /// where no other is a proof.
    async fn proofs(
        &mut self,
        evidence: Evidence<'_>,
        (adkim, aspf): (Alignment, Alignment),
    ) -> Result<(Proof, Proof), Unanswered> {
        let (mut dkim, mut spf, mut unanswered) = (Proof::Other, Proof::Other, None);
        if let Some((identifier, proof)) = evidence.spf {
            match self.proof(identifier, proof, aspf).await {
                Ok(proof) => spf = proof,
                Err(why) => unanswered = Some(why),
            }
        }
        for (identifier, proof) in evidence.dkim.iter().take(MAX_IDENTIFIERS) {
            if dkim == Proof::Pass {
                break;
            }
            match self.proof(identifier, *proof, adkim).await {
                Ok(proof) => dkim = better(dkim, proof),
                Err(why) => unanswered = Some(why),
            }
        }
        match unanswered {
            Some(why) if better(dkim, spf) != Proof::Pass => Err(why),
            _ => Ok((dkim, spf)),
        }
    }

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
        if mode == Alignment::Strict || !identifier.is_within(self.organisation) {
            return Ok(false);
        }
        let walk = Walk::from(&identifier, self.dns, &mut self.known).await?;
        Ok(walk.organisational_domain() == *self.organisation)
    }
}
