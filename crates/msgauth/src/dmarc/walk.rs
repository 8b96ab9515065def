//! The DNS tree walk: from a domain up to its organisational domain (RFC 9989 §4.10).

use std::collections::HashMap;

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};

use super::record::{Psd, Record};

/// A domain of more labels than this is cut to one less for its second question, so that no walk asks more often
/// than this (RFC 9989 §4.10).
pub const MAX_QUERIES: usize = 8;

/// The records of one tree walk, longest name first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    start: Domain,
    found: Vec<(Domain, Record)>,
}

/// Records by domain, so that walks that meet ask once.
#[derive(Debug, Default)]
pub struct Known(HashMap<Domain, Option<Record>>);

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
    pub async fn from(start: &Domain, dns: &impl Dns, known: &mut Known) -> Result<Self, Unanswered> {
        let mut found = Vec::new();
        for domain in targets(start) {
            if let Some(record) = known.record(&domain, dns).await? {
                let ends = record.psd != Psd::Unknown;
                found.push((domain, record));
                if ends {
                    break;
                }
            }
        }
        Ok(Self { start: start.clone(), found })
    }

    /// The organisational domain of where the walk began (RFC 9989 §4.10.2).
    pub fn organisational_domain(&self) -> Domain {
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
    /// §4.10.1).
    pub fn policy(&self) -> Option<&(Domain, Record)> {
        let at = |domain: &Domain| self.found.iter().find(|(found, _)| found == domain);
        at(&self.start)
            .or_else(|| at(&self.organisational_domain()))
            .or_else(|| self.found.last().filter(|(_, record)| record.psd == Psd::Yes))
    }
}

impl Known {
    /// The one record of a domain; several are none (RFC 9989 §4.10).
    async fn record(&mut self, domain: &Domain, dns: &impl Dns) -> Result<Option<Record>, Unanswered> {
        if let Some(record) = self.0.get(domain) {
            return Ok(record.clone());
        }
        let Ok(name) = DnsName::parse(&format!("_dmarc.{domain}")) else { return Ok(None) };
        let texts = match dns.txt(&name).await {
            Ok(answer) => answer.records,
            Err(DnsError::NoDomain | DnsError::NoRecord) => Vec::new(),
            Err(DnsError::Temporary(error)) => return Err(Unanswered { name: name.to_string(), error }),
        };
        let mut records = texts.iter().filter_map(|text| Record::parse(text));
        let record = match (records.next(), records.next()) {
            (Some(record), None) => Some(record),
            _ => None,
        };
        self.0.insert(domain.clone(), record.clone());
        Ok(record)
    }
}

/// The domains whose records a walk asks for.
fn targets(start: &Domain) -> Vec<Domain> {
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
