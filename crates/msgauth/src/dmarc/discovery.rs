//! Finding the policies of a message's authors, and judging it by each.

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};

use super::record::{Alignment, Policy, Record};
use super::walk::{Known, Unanswered, Walk, targets};
use super::{
    AuthorDomains, DmarcResult, Evidence, MAX_IDENTIFIERS, NoAuthor, Outcome, Proof, Reason, author_domains,
};
use crate::together::all;

/// What is known of a message before SPF and DKIM are through.
#[derive(Debug)]
pub struct Discovery {
    /// At least one.
    authors: Vec<Author>,
    known: Known,
}

/// What there is for one author.
#[derive(Debug)]
enum Author {
    /// A domain to compare SPF and DKIM with.
    Domain(Box<Basis>),
    /// None, or DNS does not tell: this is the outcome.
    Settled(Box<Outcome>),
}

/// What a message is judged by.
#[derive(Debug)]
struct Basis {
    author: Domain,
    /// The policy, or why there is none: what is proven of the author can be told all the same.
    policy: Result<Published, Reason>,
    organisation: Result<Domain, Unanswered>,
    /// The organisational domain is this, or below it.
    top: Domain,
}

/// A policy that applies.
#[derive(Debug)]
struct Published {
    domain: Domain,
    record: Record,
    /// What it asks for.
    requested: Policy,
}

/// Looks for the policies of all authors at once, each for itself: what is slow about one takes no time from another.
pub async fn discover(dns: &impl Dns, head: &[u8]) -> Discovery {
    let settled = |result, why| Discovery::settled(Outcome::without_policy(result, Reason::NoAuthor(why)));
    let AuthorDomains { domains, names: _, odd } = match author_domains(head) {
        Ok(authors) => authors,
        Err(why @ NoAuthor::NoField) => return settled(DmarcResult::None, why),
        Err(why) => return settled(DmarcResult::PermError, why),
    };
    let found = all(domains.into_iter().map(|author| async move {
        let mut known = Known::default();
        known.ask(targets(&author), dns).await;
        (basis(dns, author, &known).await, known)
    }));
    let (mut authors, known): (Vec<Author>, Vec<Known>) = found.await.into_iter().unzip();
    let known = known.into_iter().collect();
    authors.extend(odd.map(|why| Author::unjudged(None, DmarcResult::PermError, Reason::NoAuthor(why))));
    Discovery { authors, known }
}

/// What the author is judged by, as far as DNS tells. What it does not tell is doubt only where it could change anything.
async fn basis(dns: &impl Dns, author: Domain, known: &Known) -> Author {
    let walk = Walk::through(&author, known);
    let policy = match walk.policy().map(Option::<&_>::cloned) {
        Err(why) => return Author::unjudged(Some(author), DmarcResult::TempError, Reason::Dns(why)),
        Ok(None) => Err(Reason::NoPolicy),
        Ok(Some((_, record))) if !record.is_applicable() => Err(Reason::Unreadable),
        Ok(Some((domain, record))) => {
            let requested = requested(dns, &author, &domain, &record).await;
            Ok(Published { domain, record, requested })
        }
    };
    let (organisation, top) = (walk.organisational_domain(), walk.top().clone());
    Author::Domain(Box::new(Basis { author, policy, organisation, top }))
}

/// `p` for the domain of the record, below it `np` for names that do not exist and `sp` for others (RFC 9989
/// §4.10.1). While nobody knows which, the domain wants no less than the milder of the two.
async fn requested(dns: &impl Dns, author: &Domain, domain: &Domain, record: &Record) -> Policy {
    if author == domain {
        return record.policy;
    }
    let subdomains = record.subdomains.unwrap_or(record.policy);
    let Some(nonexistent) = record.nonexistent.filter(|nonexistent| *nonexistent != subdomains) else {
        return subdomains;
    };
    // A name of which DNS says NXDOMAIN does not exist (RFC 9989 §3.2.13, RFC 8020 §2).
    match dns.ipv4(&DnsName::from(author)).await {
        Ok(_) | Err(DnsError::NoRecord) => subdomains,
        Err(DnsError::NoDomain) => nonexistent,
        Err(DnsError::Temporary(_)) => nonexistent.min(subdomains),
    }
}

impl Author {
    fn unjudged(author: Option<Domain>, result: DmarcResult, reason: Reason) -> Self {
        Self::Settled(Box::new(Outcome { author, ..Outcome::without_policy(result, reason) }))
    }
}

impl Discovery {
    /// There is nothing to find: this is the outcome.
    pub fn settled(outcome: Outcome) -> Self {
        Self { authors: vec![Author::Settled(Box::new(outcome))], known: Known::default() }
    }

    /// Asks where evidence speaks for another name of an author's organisation, and nobody else: ahead of the judgement,
    /// once a part of the evidence is there, so that it does not wait for the rest.
    pub async fn ask(&mut self, dns: &impl Dns, evidence: Evidence<'_>) {
        let judged = self.authors.iter().filter_map(|author| match author {
            Author::Domain(basis) => Some(basis),
            Author::Settled(_) => None,
        });
        let others: Vec<Domain> = judged.flat_map(|basis| basis.unsure_of(evidence)).collect();
        self.known.ask(others.iter().flat_map(targets), dns).await;
    }

    /// Judges by what SPF and DKIM found out, and asks what [`ask`](Self::ask) has not asked before. An answer that does
    /// not come is doubt about the one author whose proof hangs on it.
    pub async fn judge(mut self, dns: &impl Dns, evidence: Evidence<'_>) -> Outcome {
        self.ask(dns, evidence).await;
        let Self { authors, known } = self;
        let outcomes = authors.into_iter().map(|author| match author {
            Author::Domain(basis) => basis.judge(&known, evidence),
            Author::Settled(outcome) => *outcome,
        });
        Outcome::strictest(outcomes.collect()).unwrap_or_else(|| {
            Outcome::without_policy(DmarcResult::None, Reason::NoAuthor(NoAuthor::NoField))
        })
    }
}

/// Whether an identifier belongs to the author (RFC 9989 §4.4).
enum Relation {
    Aligned,
    Foreign,
    /// A tree walk has to tell.
    Below(Domain),
}

impl Basis {
    /// How DKIM and SPF are compared.
    fn modes(&self) -> (Alignment, Alignment) {
        let modes = self.policy.as_ref().map(|published| (published.record.adkim, published.record.aspf));
        modes.unwrap_or_default()
    }

    /// Identifiers whose organisation has to be looked for.
    fn unsure_of(&self, evidence: Evidence<'_>) -> Vec<Domain> {
        let (adkim, aspf) = self.modes();
        let spf = evidence.spf.map(|(identifier, proof)| (identifier, proof, aspf));
        let dkim = evidence.dkim.iter().take(MAX_IDENTIFIERS);
        let dkim = dkim.map(|(identifier, proof)| (identifier, *proof, adkim));
        spf.into_iter()
            .chain(dkim)
            .filter(|(_, proof, _)| *proof != Proof::Other)
            .filter_map(|(identifier, _, mode)| match self.relation(identifier, mode) {
                Relation::Below(domain) => Some(domain),
                Relation::Aligned | Relation::Foreign => None,
            })
            .collect()
    }

    fn judge(self, known: &Known, evidence: Evidence<'_>) -> Outcome {
        let mut unanswered = None;
        let mut proof = |identifier: &DnsName, proof, mode| {
            if proof == Proof::Other {
                return Proof::Other;
            }
            match self.is_aligned(identifier, mode, known) {
                Ok(true) => proof,
                Ok(false) => Proof::Other,
                Err(why) => {
                    unanswered.get_or_insert(why);
                    Proof::TempError
                }
            }
        };
        let (adkim, aspf) = self.modes();
        let spf = evidence.spf.map_or(Proof::Other, |(identifier, found)| proof(identifier, found, aspf));
        let dkim = evidence.dkim.iter().take(MAX_IDENTIFIERS);
        let dkim = dkim.map(|(identifier, found)| proof(identifier, *found, adkim));
        let dkim = dkim.fold(Proof::Other, better);
        let Self { author, policy, organisation, .. } = self;
        let outcome = |result, reason| Outcome {
            author: Some(author),
            organisation: organisation.ok(),
            dkim_aligned: dkim == Proof::Pass,
            spf_aligned: spf == Proof::Pass,
            ..Outcome::without_policy(result, reason)
        };
        let Published { domain, record, requested } = match policy {
            Ok(published) => published,
            // Without a policy nothing fails, so that doubt about a proof is as good as none.
            Err(reason) => return outcome(DmarcResult::None, reason),
        };
        let (result, reason) = match (verdict(dkim, spf, evidence.has_pass()), unanswered) {
            ((DmarcResult::TempError, _), Some(why)) => (DmarcResult::TempError, Reason::Dns(why)),
            (found, _) => found,
        };
        let policy = if record.testing { requested.one_level_below() } else { requested };
        Outcome { published: Some((domain, record)), requested, policy, ..outcome(result, reason) }
    }

    /// No other organisational domain than the author's lies above or at an aligned identifier: where the author's
    /// does not, nothing needs to be asked.
    fn relation(&self, identifier: &DnsName, mode: Alignment) -> Relation {
        let Ok(identifier) = Domain::parse(identifier.as_str()) else { return Relation::Foreign };
        let organisation = self.organisation.as_ref().unwrap_or(&self.top);
        match mode {
            _ if identifier == self.author => Relation::Aligned,
            Alignment::Relaxed if identifier.is_within(organisation) => Relation::Below(identifier),
            Alignment::Relaxed | Alignment::Strict => Relation::Foreign,
        }
    }

    fn is_aligned(&self, identifier: &DnsName, mode: Alignment, known: &Known) -> Result<bool, Unanswered> {
        match self.relation(identifier, mode) {
            Relation::Aligned => Ok(true),
            Relation::Foreign => Ok(false),
            Relation::Below(identifier) => {
                let organisation = self.organisation.clone()?;
                Ok(Walk::through(&identifier, known).organisational_domain()? == organisation)
            }
        }
    }
}

impl Evidence<'_> {
    fn has_pass(&self) -> bool {
        let dkim = self.dkim.iter().map(|(_, proof)| proof);
        self.spf.iter().map(|(_, proof)| proof).chain(dkim).any(|proof| *proof == Proof::Pass)
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
