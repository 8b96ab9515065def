//! The DNS tree walk: from a domain up to its organisational domain (RFC 9989 §4.10).

use std::collections::{BTreeSet, HashMap};

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};

use super::record::{Psd, Record};
use crate::together::all;

/// A domain of more labels than this is cut to one less for its second question, so that no walk asks more often
/// than this (RFC 9989 §4.10).
pub const MAX_QUERIES: usize = 8;

/// The records of one tree walk, longest name first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    start: Domain,
    found: Vec<(Domain, Record)>,
    /// The longest name that DNS says nothing about, of those that count.
    unanswered: Option<Unanswered>,
    /// The shortest name that has a record or could have one.
    top: Domain,
}

/// What DNS says about domains, so that walks that meet ask once.
#[derive(Debug, Default)]
pub struct Known(HashMap<Domain, Result<Option<Record>, Unanswered>>);

/// DNS does not answer now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DNS does not answer about {name}: {error}")]
pub struct Unanswered {
    /// What was asked about.
    pub name: String,
    /// What the resolver says.
    pub error: String,
}

impl Walk {
    /// Walks up from a domain.
    pub async fn from(start: &Domain, dns: &impl Dns, known: &mut Known) -> Self {
        known.ask(targets(start), dns).await;
        Self::through(start, known)
    }

    /// Walks up from a domain by what was asked before; nothing is known of other names.
    pub(super) fn through(start: &Domain, known: &Known) -> Self {
        let mut walk = Self { start: start.clone(), found: Vec::new(), unanswered: None, top: start.clone() };
        for domain in targets(start) {
            match known.of(&domain) {
                Ok(None) => {}
                Ok(Some(record)) => {
                    walk.top = domain.clone();
                    let ends = record.psd != Psd::Unknown;
                    walk.found.push((domain, record));
                    if ends {
                        break;
                    }
                }
                Err(why) => {
                    walk.top = domain;
                    walk.unanswered.get_or_insert(why);
                }
            }
        }
        walk
    }

    /// The organisational domain of where the walk began (RFC 9989 §4.10.2).
    pub fn organisational_domain(&self) -> Result<Domain, Unanswered> {
        self.unanswered.clone().map_or_else(|| Ok(self.organisation()), Err)
    }

    fn organisation(&self) -> Domain {
        for (domain, record) in &self.found {
            match record.psd {
                Psd::No => return domain.clone(),
                Psd::Yes if *domain != self.start => return one_label_below(domain, &self.start),
                Psd::Yes | Psd::Unknown => {}
            }
        }
        self.found.last().map_or(&self.start, |(domain, _)| domain).clone()
    }

    /// The record that applies: of the domain itself, of its organisational domain, of its public suffix (RFC 9989
    /// §4.10.1). Its own applies whatever DNS does not say about the names above it.
    pub fn policy(&self) -> Result<Option<&(Domain, Record)>, Unanswered> {
        let at = |domain: &Domain| self.found.iter().find(|(found, _)| found == domain);
        if let Some(own) = at(&self.start) {
            return Ok(Some(own));
        }
        let organisation = self.organisational_domain()?;
        Ok(at(&organisation).or_else(|| self.found.last().filter(|(_, record)| record.psd == Psd::Yes)))
    }

    /// A name at or above the organisational domain, whatever DNS does not say.
    pub(super) fn top(&self) -> &Domain {
        &self.top
    }
}

impl FromIterator<Self> for Known {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        Self(all.into_iter().flat_map(|known| known.0).collect())
    }
}

impl Known {
    /// Asks about all of these at once, so that one whose name server is slow takes no time from the others.
    pub(super) async fn ask(&mut self, domains: impl IntoIterator<Item = Domain>, dns: &impl Dns) {
        let new: BTreeSet<Domain> =
            domains.into_iter().filter(|domain| !self.0.contains_key(domain)).collect();
        let answers = all(new.iter().map(|domain| record(domain, dns))).await;
        self.0.extend(new.iter().cloned().zip(answers));
    }

    fn of(&self, domain: &Domain) -> Result<Option<Record>, Unanswered> {
        let unasked = || Unanswered { name: domain.to_string(), error: "not asked".to_owned() };
        self.0.get(domain).cloned().unwrap_or_else(|| Err(unasked()))
    }
}

/// The one record of a domain; several are none (RFC 9989 §4.10).
async fn record(domain: &Domain, dns: &impl Dns) -> Result<Option<Record>, Unanswered> {
    let Ok(name) = DnsName::parse(&format!("_dmarc.{domain}")) else { return Ok(None) };
    let texts = match dns.txt(&name).await {
        Ok(answer) => answer.records,
        Err(DnsError::NoDomain | DnsError::NoRecord) => Vec::new(),
        Err(DnsError::Temporary(error)) => return Err(Unanswered { name: name.to_string(), error }),
    };
    let mut records = texts.iter().filter_map(|text| Record::parse(text));
    Ok(match (records.next(), records.next()) {
        (Some(record), None) => Some(record),
        _ => None,
    })
}

/// The domains whose records a walk asks for.
pub(super) fn targets(start: &Domain) -> Vec<Domain> {
    let mut targets = vec![start.clone()];
    let mut next = start.parent();
    while let Some(domain) = next {
        next = domain.parent();
        if labels(&domain) < MAX_QUERIES {
            targets.push(domain);
        }
    }
    targets
}

fn labels(domain: &Domain) -> usize {
    domain.as_str().split('.').count()
}

/// The ancestor of `below` (or itself) with one label more than `domain`, which is an ancestor of it.
fn one_label_below(domain: &Domain, below: &Domain) -> Domain {
    let mut name = below.clone();
    while let Some(parent) = name.parent().filter(|parent| labels(parent) > labels(domain)) {
        name = parent;
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_walk_asks_eight_times_at_most() {
        let names = |text: &str| {
            targets(&Domain::parse(text).unwrap()).iter().map(Domain::to_string).collect::<Vec<_>>()
        };
        // RFC 9989 §4.10
        let expected = [
            "a.b.c.d.e.f.g.h.i.j.mail.example.com",
            "g.h.i.j.mail.example.com",
            "h.i.j.mail.example.com",
            "i.j.mail.example.com",
            "j.mail.example.com",
            "mail.example.com",
            "example.com",
            "com",
        ];
        assert_eq!(names("a.b.c.d.e.f.g.h.i.j.mail.example.com"), expected);
        assert_eq!(names("h.g.f.e.d.c.b.a").len(), 8);
        assert_eq!(names("i.h.g.f.e.d.c.b.a").len(), 8);
        assert_eq!(names("com"), ["com"]);
        assert_eq!(names(&format!("{}example", "a.".repeat(120))).len(), 8);
    }
}
