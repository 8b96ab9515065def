//! MTA-STS policies: announced in DNS, fetched over HTTPS, kept in the records.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kings_dns::Dns;
use kings_fetch::{Fetch, FetchError, Request, Url};
use kings_mail::domain::Domain;
use kings_msgauth::mta_sts::{self, MAX_POLICY, Mode, Policy};
use kings_records::{Records, TlsFailure, TlsPolicy, TlsResult};
use tracing::{debug, warn};

/// Longest wait for a policy: mail waits for it (RFC 8461 §3.3 suggests a minute).
const FETCH: Duration = Duration::from_secs(30);
/// After a failure a policy is not asked for again until then (RFC 8461 §3.3 wants five minutes or more).
const RETRY: Duration = Duration::from_mins(5);
/// Failures that are remembered at once.
const MAX_FAILURES: usize = 10_000;
/// Policies are asked for again when they would expire within this time (RFC 8461 §10.2 suggests daily).
const REFRESH: Duration = Duration::from_hours(36);

/// Finds the policies of domains.
pub(crate) struct Sts {
    records: Records,
    fetch: Option<Fetch>,
    port: u16,
    failures: Mutex<HashMap<Domain, Instant>>,
}

/// Why there is no policy to be had.
#[derive(Debug, thiserror::Error)]
enum NoPolicy {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("the server answered {status} {content_type}")]
    Answer { status: u16, content_type: String },
    #[error("{0}")]
    Bad(#[from] mta_sts::BadPolicy),
    #[error("no policy can be fetched for a domain of this name")]
    Name,
}

impl NoPolicy {
    /// In the words of a report (RFC 8460 §4.3).
    fn failure(&self) -> TlsFailure {
        match self {
            Self::Fetch(FetchError::Tls { .. }) => TlsFailure::StsWebpkiInvalid,
            Self::Fetch(_) | Self::Answer { .. } | Self::Name => TlsFailure::StsPolicyFetchError,
            Self::Bad(_) => TlsFailure::StsPolicyInvalid,
        }
    }
}

impl Sts {
    /// Fetches with `fetch` from this port; without it only policies kept before count.
    pub(crate) fn new(records: Records, fetch: Option<Fetch>, port: u16) -> Self {
        Self { records, fetch, port, failures: Mutex::default() }
    }

    /// The policy that counts for this domain now.
    ///
    /// A policy that is kept counts until it expires, whatever DNS says or does not say: otherwise an attacker
    /// need only suppress an answer (RFC 8461 §5.1). DNS only tells when there is a newer one.
    pub(crate) async fn policy<D: Dns>(&self, dns: &D, domain: &Domain) -> Option<Policy> {
        let kept = self.records.policy(domain);
        let announced = announced(dns, domain).await;
        let newer = announced.filter(|id| kept.as_ref().is_none_or(|kept| kept.id != *id));
        let fetched = match newer {
            Some(id) if !self.failed_lately(domain) => self.update(domain, &id).await,
            _ => None,
        };
        fetched
            .or_else(|| Policy::parse(kept?.policy.as_bytes()).ok())
            .filter(|policy| policy.mode != Mode::None)
    }

    /// Asks again for the policies that would expire soon.
    pub(crate) async fn refresh<D: Dns>(&self, dns: &D) {
        for (domain, kept) in self.records.policies_expiring_within(REFRESH) {
            if self.failed_lately(&domain) {
                continue;
            }
            let id = announced(dns, &domain).await.unwrap_or(kept.id);
            self.update(&domain, &id).await;
        }
    }

    async fn update(&self, domain: &Domain, id: &str) -> Option<Policy> {
        let fetch = self.fetch.as_ref()?;
        match fetch_policy(fetch, self.port, domain).await {
            Ok(policy) => {
                debug!(%domain, id, "MTA-STS policy fetched");
                self.failures().remove(domain);
                self.records.keep_policy(domain, id, &policy.to_string(), policy.max_age);
                Some(policy)
            }
            Err(error) => {
                warn!(%domain, id, %error, "cannot fetch the MTA-STS policy");
                self.remember_failure(domain);
                self.records.tls(TlsResult {
                    domain: domain.clone(),
                    policy: TlsPolicy::Sts,
                    policy_text: String::new(),
                    host: String::new(),
                    failure: Some(error.failure()),
                });
                None
            }
        }
    }

    fn failed_lately(&self, domain: &Domain) -> bool {
        self.failures().get(domain).is_some_and(|at| at.elapsed() < RETRY)
    }

    fn remember_failure(&self, domain: &Domain) {
        let mut failures = self.failures();
        if failures.len() >= MAX_FAILURES {
            failures.retain(|_, at| at.elapsed() < RETRY);
        }
        if failures.len() < MAX_FAILURES {
            failures.insert(domain.clone(), Instant::now());
        }
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<Domain, Instant>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn announced<D: Dns>(dns: &D, domain: &Domain) -> Option<String> {
    let answer = dns.txt(&mta_sts::record_name(domain)?).await.ok()?;
    mta_sts::announced_id(&answer.records)
}

/// RFC 8461 §3.3: no redirects, and text alone, so that whoever may upload a picture cannot set a policy.
async fn fetch_policy(fetch: &Fetch, port: u16, domain: &Domain) -> Result<Policy, NoPolicy> {
    let host = mta_sts::policy_host(domain).ok_or(NoPolicy::Name)?;
    let url =
        Url::parse(&format!("https://{host}:{port}/.well-known/mta-sts.txt")).map_err(|_| NoPolicy::Name)?;
    let response = fetch.send(Request::get(url).within(FETCH).at_most(MAX_POLICY)).await?;
    let content_type = response.content_type.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if response.status != 200 || !media_type.eq_ignore_ascii_case("text/plain") {
        return Err(NoPolicy::Answer { status: response.status, content_type });
    }
    Ok(Policy::parse(&response.body)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;
    use kings_mail::domain::DnsName;
    use kings_records::Settings;

    use super::*;

    const ENFORCE: &str = "version: STSv1\nmode: enforce\nmax_age: 600000\nmx: mx.far.example\n";

    fn far() -> Domain {
        Domain::parse("far.example").unwrap()
    }

    fn zone(id: &str) -> Zone {
        let name = DnsName::parse("_mta-sts.far.example").unwrap();
        Zone::default().with_txt(name, format!("v=STSv1; id={id};"))
    }

    fn records(folder: &tempfile::TempDir) -> Records {
        let file = folder.path().join("records.sqlite");
        Records::open(Settings { file, keep: Duration::from_hours(1) }).unwrap()
    }

    #[tokio::test]
    async fn a_kept_policy_counts_until_it_expires_whatever_dns_says() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        let sts = Sts::new(records.clone(), None, 443);
        assert_eq!(sts.policy(&zone("1"), &far()).await, None);
        records.keep_policy(&far(), "1", ENFORCE, Duration::from_hours(1));
        let broken = Zone::default().with_failure(DnsName::parse("_mta-sts.far.example").unwrap());
        for zone in [zone("1"), zone("2"), Zone::default(), broken] {
            assert_eq!(sts.policy(&zone, &far()).await.unwrap().mode, Mode::Enforce);
        }
        records.keep_policy(&far(), "1", ENFORCE, Duration::ZERO);
        assert_eq!(sts.policy(&zone("1"), &far()).await, None);
    }

    #[tokio::test]
    async fn a_policy_of_mode_none_asks_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        let sts = Sts::new(records.clone(), None, 443);
        records.keep_policy(
            &far(),
            "1",
            "version: STSv1\nmode: none\nmax_age: 60\n",
            Duration::from_hours(1),
        );
        assert_eq!(sts.policy(&zone("1"), &far()).await, None);
    }
}
