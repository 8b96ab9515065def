//! Evaluating records: which mechanism matches the client first? (RFC 7208 §4 to §6)

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use kings_dns::{Answer, Dns, DnsError, Mx};
use kings_mail::domain::DnsName;

use super::fault::Reason;
use super::macros::{MacroString, Place, Values};
use super::record::{Directive, Mechanism, Modifier, Network, Prefixes, Record};
use super::{MAX_EXPLANATION, MAX_MX, MAX_PTR, MAX_RECORD, Outcome, Question, Sender, SpfResult, bounded};
use crate::together::all;

/// Answers for a domain that DNS can be asked about.
pub(super) async fn answer(
    dns: &impl Dns,
    question: &Question<'_>,
    sender: &Sender,
    domain: DnsName,
) -> Outcome {
    let client = question.client.to_canonical();
    let mut check = Check { dns, question, sender, client, lookups: 0, void_lookups: 0, reverse: None };
    let verdict = check.host(domain).await;
    let mut outcome = match verdict {
        Ok(found) => {
            let explanation = match (&found.explanation, found.result) {
                (Some(spec), SpfResult::Fail) => check.explanation(spec, &found.domain).await,
                _ => None,
            };
            let reason = match found.mechanism {
                Some(mechanism) => Reason::Matched { mechanism, domain: found.domain },
                None => Reason::NothingMatched { domain: found.domain },
            };
            Outcome { explanation, ..sender.outcome(found.result, reason) }
        }
        Err(reason) => sender.outcome(result_of(&reason), reason),
    };
    outcome.lookups = check.lookups;
    outcome
}

/// The result where no record gave one.
fn result_of(reason: &Reason) -> SpfResult {
    match reason {
        Reason::NotADomain | Reason::NoRecord { .. } => SpfResult::None,
        Reason::Dns { .. } | Reason::TimedOut => SpfResult::TempError,
        Reason::SeveralRecords { .. }
        | Reason::Malformed { .. }
        | Reason::Dangling { .. }
        | Reason::TooManyLookups { .. }
        | Reason::TooManyVoidLookups { .. }
        | Reason::TooManyMxHosts { .. } => SpfResult::PermError,
        Reason::Matched { .. } | Reason::NothingMatched { .. } => SpfResult::Neutral,
    }
}

/// What a record says of the client.
struct Found {
    result: SpfResult,
    /// `None` where the record was read to its end.
    mechanism: Option<String>,
    /// Whose record.
    domain: DnsName,
    explanation: Option<MacroString>,
}

/// One check: the question, and what it has cost so far.
struct Check<'a, D> {
    dns: &'a D,
    question: &'a Question<'a>,
    sender: &'a Sender,
    client: IpAddr,
    lookups: usize,
    void_lookups: usize,
    /// The client's validated names, once they were asked for.
    reverse: Option<Reverse>,
}

#[derive(Clone, Default)]
struct Reverse {
    validated: Vec<DnsName>,
    /// The address has no reverse name at all.
    is_void: bool,
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<'a, D: Dns> Check<'a, D> {
    /// RFC 7208 §4 `check_host()`, for the domain asked about and for each `include`. Boxed since it calls itself,
    /// at most as deep as there may be lookups.
    fn host(&mut self, domain: DnsName) -> Pending<'_, Result<Found, Reason>> {
        Box::pin(async move {
            let mut domain = domain;
            let mut record = self.record(&domain).await?;
            loop {
                if let Some(directive) = self.first_match(&record, &domain).await? {
                    let (result, mechanism) = (directive.result, Some(directive.text));
                    return Ok(Found { result, mechanism, domain, explanation: record.explanation });
                }
                let Some(redirect) = record.redirect else {
                    let (result, explanation) = (SpfResult::Neutral, None);
                    return Ok(Found { result, mechanism: None, domain, explanation });
                };
                (domain, record) = self.redirect(&redirect, domain).await?;
            }
        })
    }

    /// The one record of a domain (RFC 7208 §4.4 and §4.5).
    async fn record(&mut self, domain: &DnsName) -> Result<Record, Reason> {
        let none = || Reason::NoRecord { domain: domain.clone() };
        let answer = self.dns.txt(domain).await;
        let texts = found(domain, answer)?.ok_or_else(none)?;
        let mut records = texts.iter().filter(|text| Record::is_spf(text));
        let record = records.next().ok_or_else(none)?;
        if records.next().is_some() {
            return Err(Reason::SeveralRecords { domain: domain.clone() });
        }
        Record::parse(record).map_err(|bad| Reason::Malformed { domain: domain.clone(), bad })
    }

    /// RFC 7208 §6.1.
    async fn redirect(&mut self, redirect: &Modifier, from: DnsName) -> Result<(DnsName, Record), Reason> {
        self.count_lookup()?;
        let target = self.name(&redirect.spec, &from).await;
        let dangling = || Reason::Dangling { term: redirect.text.clone(), domain: from.clone() };
        let target = target.ok_or_else(dangling)?;
        let record = match self.record(&target).await {
            Err(Reason::NoRecord { .. }) => return Err(dangling()),
            other => other?,
        };
        Ok((target, record))
    }

    async fn first_match(&mut self, record: &Record, domain: &DnsName) -> Result<Option<Directive>, Reason> {
        for directive in &record.directives {
            if self.matches(directive, domain).await? {
                return Ok(Some(directive.clone()));
            }
        }
        Ok(None)
    }

    /// RFC 7208 §5. A name that cannot be asked about has no records, so that nothing matches (RFC 7208 §4.8).
    async fn matches(&mut self, directive: &Directive, domain: &DnsName) -> Result<bool, Reason> {
        match &directive.mechanism {
            Mechanism::All => return Ok(true),
            Mechanism::Network(network) => return Ok(network.contains(self.client)),
            _ => self.count_lookup()?,
        }
        let target = match directive.mechanism.spec() {
            Some(spec) => self.name(spec, domain).await,
            None => Some(domain.clone()),
        };
        let (target, is_include) = match (target, &directive.mechanism) {
            (Some(target), mechanism) => (target, matches!(mechanism, Mechanism::Include(_))),
            (None, Mechanism::Include(_)) => return Err(dangling(directive, domain)),
            (None, _) => return Ok(false),
        };
        if is_include {
            return match self.host(target).await {
                Ok(found) => Ok(found.result == SpfResult::Pass),
                Err(Reason::NoRecord { .. }) => Err(dangling(directive, domain)),
                Err(reason) => Err(reason),
            };
        }
        match directive.mechanism {
            Mechanism::A(_, prefixes) => self.has_address(&target, prefixes).await,
            Mechanism::Mx(_, prefixes) => self.has_mx(&target, prefixes).await,
            Mechanism::Ptr(_) => self.has_reverse_name(&target).await,
            Mechanism::Exists(_) => self.exists(&target).await,
            Mechanism::All | Mechanism::Network(_) | Mechanism::Include(_) => Ok(false),
        }
    }

    /// RFC 7208 §5.3.
    async fn has_address(&mut self, name: &DnsName, prefixes: Prefixes) -> Result<bool, Reason> {
        let addresses = self.addresses(name).await?;
        self.count_void(addresses.is_none())?;
        Ok(addresses.is_some_and(|addresses| self.is_among(&addresses, prefixes)))
    }

    /// RFC 7208 §5.4.
    async fn has_mx(&mut self, name: &DnsName, prefixes: Prefixes) -> Result<bool, Reason> {
        let answer = self.dns.mx(name).await;
        let Some(mut hosts) = found(name, answer)? else {
            self.count_void(true)?;
            return Ok(false);
        };
        if hosts.len() > MAX_MX {
            return Err(Reason::TooManyMxHosts { domain: name.clone() });
        }
        hosts.sort();
        for Mx { exchange, .. } in hosts {
            let Some(host) = exchange else { continue };
            if let Some(addresses) = self.addresses(&host).await?
                && self.is_among(&addresses, prefixes)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 §5.5.
    async fn has_reverse_name(&mut self, name: &DnsName) -> Result<bool, Reason> {
        let reverse = self.reverse().await;
        self.count_void(reverse.is_void)?;
        Ok(reverse.validated.iter().any(|validated| is_within(validated, name)))
    }

    /// RFC 7208 §5.7: an A record, whatever the client's family.
    async fn exists(&mut self, name: &DnsName) -> Result<bool, Reason> {
        let answer = self.dns.ipv4(name).await;
        let exists = found(name, answer)?.is_some();
        self.count_void(!exists)?;
        Ok(exists)
    }

    fn is_among(&self, addresses: &[IpAddr], prefixes: Prefixes) -> bool {
        let prefix = if self.client.is_ipv4() { prefixes.ipv4 } else { prefixes.ipv6 };
        addresses.iter().any(|address| Network { address: *address, prefix }.contains(self.client))
    }

    /// Addresses of the client's family; `None` where there are none.
    async fn addresses(&self, name: &DnsName) -> Result<Option<Vec<IpAddr>>, Reason> {
        if self.client.is_ipv4() {
            let addresses = found(name, self.dns.ipv4(name).await)?;
            Ok(addresses.map(|list| list.into_iter().map(IpAddr::V4).collect()))
        } else {
            let addresses = found(name, self.dns.ipv6(name).await)?;
            Ok(addresses.map(|list| list.into_iter().map(IpAddr::V6).collect()))
        }
    }

    /// The client's reverse names that lead back to it, asked for once (RFC 7208 §5.5). Where DNS does not answer
    /// now there are none.
    async fn reverse(&mut self) -> Reverse {
        if let Some(reverse) = &self.reverse {
            return reverse.clone();
        }
        let mut reverse = Reverse::default();
        match self.dns.reverse(self.client).await {
            Ok(Answer { records, .. }) => {
                // At once: whoever has the address also has these names, and could make each of them slow.
                let names: Vec<DnsName> = records.into_iter().take(MAX_PTR).collect();
                let back = all(names.iter().map(|name| self.addresses(name))).await;
                let leads_back = |back: &Result<Option<Vec<IpAddr>>, Reason>| matches!(back, Ok(Some(addresses)) if addresses.contains(&self.client));
                let validated = names.into_iter().zip(&back).filter(|(_, back)| leads_back(back));
                reverse.validated = validated.map(|(name, _)| name).collect();
            }
            Err(DnsError::NoDomain | DnsError::NoRecord) => reverse.is_void = true,
            Err(DnsError::Temporary(_)) => {}
        }
        self.reverse = Some(reverse.clone());
        reverse
    }

    /// What `%{p}` stands for: the domain itself, a name below it, any validated name, `unknown` (RFC 7208 §7.3).
    async fn validated(&mut self, domain: &DnsName) -> String {
        let names = self.reverse().await.validated;
        let best = names.iter().find(|name| *name == domain);
        let best = best.or_else(|| names.iter().find(|name| is_within(name, domain))).or(names.first());
        best.map_or_else(|| "unknown".to_owned(), DnsName::to_string)
    }

    /// The name that a `domain-spec` of a domain's record stands for.
    async fn name(&mut self, spec: &MacroString, domain: &DnsName) -> Option<DnsName> {
        let validated =
            if spec.asks_for_reverse_name() { self.validated(domain).await } else { String::new() };
        spec.name(&self.values(domain, &validated))
    }

    fn values<'b>(&self, domain: &'b DnsName, validated: &'b str) -> Values<'b>
    where
        'a: 'b,
    {
        Values {
            local_part: &self.sender.local_part,
            sender_domain: self.sender.domain.as_str(),
            domain: domain.as_str(),
            client: self.client,
            helo: bounded(self.question.helo),
            validated,
            receiver: self.question.receiver,
            time: self.question.time,
        }
    }

    /// What the domain tells the sender, unless anything about it is wrong (RFC 7208 §6.2). Costs no lookup.
    async fn explanation(&mut self, spec: &MacroString, domain: &DnsName) -> Option<String> {
        let name = self.name(spec, domain).await?;
        let texts = self.dns.txt(&name).await.ok()?.records;
        let [text] = texts.as_slice() else { return None };
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_RECORD)?;
        let parsed = MacroString::parse(text, Place::Explanation).ok()?;
        let validated =
            if parsed.asks_for_reverse_name() { self.validated(domain).await } else { String::new() };
        let mut text = parsed.text(&self.values(domain, &validated), MAX_EXPLANATION);
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return None;
        }
        text.truncate(MAX_EXPLANATION);
        Some(text)
    }

    fn count_lookup(&mut self) -> Result<(), Reason> {
        if self.lookups >= self.question.limits.lookups {
            return Err(Reason::too_many_lookups(self.question.limits));
        }
        self.lookups += 1;
        Ok(())
    }

    fn count_void(&mut self, is_void: bool) -> Result<(), Reason> {
        self.void_lookups += usize::from(is_void);
        let limit = self.question.limits.void_lookups;
        if self.void_lookups > limit { Err(Reason::TooManyVoidLookups { limit }) } else { Ok(()) }
    }
}

impl Mechanism {
    fn spec(&self) -> Option<&MacroString> {
        match self {
            Self::Include(spec) | Self::Exists(spec) => Some(spec),
            Self::A(spec, _) | Self::Mx(spec, _) | Self::Ptr(spec) => spec.as_ref(),
            Self::All | Self::Network(_) => None,
        }
    }
}

/// Records, `None` where there are none, or the reason to give up (RFC 7208 §4.4).
fn found<T>(name: &DnsName, answer: Result<Answer<T>, DnsError>) -> Result<Option<Vec<T>>, Reason> {
    match answer {
        Ok(answer) => Ok(Some(answer.records)),
        Err(DnsError::NoDomain | DnsError::NoRecord) => Ok(None),
        Err(DnsError::Temporary(error)) => Err(Reason::Dns { name: name.to_string(), error }),
    }
}

fn dangling(directive: &Directive, domain: &DnsName) -> Reason {
    Reason::Dangling { term: directive.text.clone(), domain: domain.clone() }
}

/// Whether a name is the domain or lies below it.
fn is_within(name: &DnsName, domain: &DnsName) -> bool {
    let rest = name.as_str().strip_suffix(domain.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
