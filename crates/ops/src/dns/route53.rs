//! Zones changed at Amazon Route 53.

mod batch;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_dns::{Change, DnsProvider, Listing, ProviderError, Ticket};
use kings_fetch::{Fetch, Request, Response, Url};
use kings_mail::date::DateTime;
use kings_mail::domain::DnsName;
use kings_mail::visible;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use self::batch::Found;
use crate::aws::sigv4::{self, Unsigned};
use crate::aws::{Keys, xml};

pub use self::batch::read_sets;

/// Where the service answers, for all regions.
const ENDPOINT: &str = "https://route53.amazonaws.com";
/// Which region signs for it: it has none of its own.
const REGION: &str = "us-east-1";
/// The version of its words.
const VERSION: &str = "/2013-04-01";
/// Octets of one answer: 300 sets of records at most.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Most answers of one list.
const MAX_PAGES: usize = 100;
/// How long a change may be on its way to all name servers; mostly a minute.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often that is asked: five requests a second are allowed for all that an account does.
const STEP: Duration = Duration::from_secs(2);
/// How long the list of zones is believed.
const ZONES_KEPT: Duration = Duration::from_mins(1);
/// How often a request is made that the service had no time for, and how long is waited before the second time.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(400);

/// The account whose zones they are. Clones share what was learnt.
#[derive(Clone)]
pub struct Route53 {
    /// For the requests.
    pub fetch: Fetch,
    /// Who we are.
    pub keys: Keys,
    /// The only zone that may be changed, by its id.
    pub zone: Option<String>,
    /// Another service than Amazon's own.
    pub endpoint: Option<String>,
    zones: Zones,
}

/// What was heard last, and when.
type Zones = Arc<Mutex<Option<(Instant, Arc<[Hosted]>)>>>;

/// A hosted zone that the world sees.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hosted {
    id: String,
    name: DnsName,
}

/// Why there is no answer, and whether the service has surely done nothing.
struct Failed {
    error: ProviderError,
    nothing_was_done: bool,
}

impl Route53 {
    /// Nothing is asked yet.
    pub fn new(fetch: Fetch, keys: Keys, zone: Option<String>, endpoint: Option<String>) -> Self {
        Self { fetch, keys, zone, endpoint, zones: Zones::default() }
    }

    /// Asks until there is an answer or patience is over. What may have been done already is not asked for again.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<String, ProviderError> {
        let mut tries = 1;
        loop {
            match self.ask_once(method, path, query, body).await {
                Ok(text) => return Ok(text),
                Err(Failed { error, nothing_was_done }) => {
                    let is_safe = nothing_was_done || method == "GET";
                    if tries == TRIES || !is_safe || !matches!(error, ProviderError::Temporary(_)) {
                        return Err(error);
                    }
                }
            }
            sleep(pause(tries, chance())).await;
            tries += 1;
        }
    }

    async fn ask_once(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<String, Failed> {
        let unsent = |error| Failed { error, nothing_was_done: true };
        let endpoint = self.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        let query_text = sigv4::query(query);
        let mark = if query_text.is_empty() { "" } else { "?" };
        let path = format!("{VERSION}{path}");
        let url = Url::parse(&format!("{endpoint}{path}{mark}{query_text}")).map_err(|error| {
            unsent(ProviderError::Impossible(format!("[dns] provider endpoint {endpoint}: {error}")))
        })?;
        let key = self.keys.get().await.map_err(unsent)?;
        let (time, host) = (stamp(SystemTime::now()), url.authority());
        let unsigned = Unsigned {
            method,
            host: &host,
            path: &path,
            query,
            body,
            region: REGION,
            service: "route53",
            time: &time,
        };
        let fields = sigv4::fields(&unsigned, &key);
        let request = if method == "POST" { Request::post(url, "text/xml", body) } else { Request::get(url) };
        let request = fields
            .iter()
            .fold(request.at_most(MAX_ANSWER), |request, (name, value)| request.with_field(name, value));
        let response = self.fetch.send(request).await.map_err(|error| {
            let error = ProviderError::Temporary(format!("Route 53: {error}"));
            Failed { error, nothing_was_done: false }
        })?;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        if response.status / 100 == 2 { Ok(text) } else { Err(complaint(&response, &text)) }
    }

    async fn zones(&self) -> Result<Arc<[Hosted]>, ProviderError> {
        let mut known = self.zones.lock().await;
        if let Some((at, zones)) = &*known
            && at.elapsed() < ZONES_KEPT
        {
            return Ok(zones.clone());
        }
        let (mut zones, mut marker) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let query: &[(&str, &str)] = if marker.is_empty() { &[] } else { &[("marker", &marker)] };
            let text = self.ask("GET", "/hostedzone", query, b"").await?;
            zones.extend(hosted(&text).into_iter().filter(|zone| self.may_be(zone)));
            match xml::text(&text, "NextMarker") {
                Some(next) => marker = next,
                None => break,
            }
        }
        let zones: Arc<[Hosted]> = zones.into();
        *known = Some((Instant::now(), zones.clone()));
        Ok(zones)
    }

    fn may_be(&self, zone: &Hosted) -> bool {
        self.zone.as_ref().is_none_or(|only| *only == zone.id)
    }

    /// The longest zone that a name is in.
    async fn hosted(&self, name: &DnsName) -> Result<Hosted, ProviderError> {
        let zones = self.zones().await?;
        longest(&zones, name)
    }

    /// What stands under these names. One name alone is asked for; of more, the whole zone costs less.
    async fn found(&self, zone: &Hosted, names: &BTreeSet<DnsName>) -> Result<Found, ProviderError> {
        let path = format!("/hostedzone/{}/rrset", zone.id);
        let only = if names.len() == 1 { names.first() } else { None };
        let mut next: Vec<(&str, String)> = only.iter().map(|name| ("name", name.to_string())).collect();
        let mut found = Found::default();
        for _ in 0..MAX_PAGES {
            let query: Vec<(&str, &str)> = next.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let text = self.ask("GET", &path, &query, b"").await?;
            found.read(&text, names);
            if xml::text(&text, "IsTruncated").as_deref() != Some("true") {
                return Ok(found);
            }
            let keys = [
                ("name", "NextRecordName"),
                ("type", "NextRecordType"),
                ("identifier", "NextRecordIdentifier"),
            ];
            next = keys.into_iter().filter_map(|(key, tag)| Some((key, xml::text(&text, tag)?))).collect();
            let is_over = only.is_some_and(|only| {
                !next.iter().any(|(key, name)| *key == "name" && DnsName::parse(name).as_ref() == Ok(only))
            });
            if is_over {
                return Ok(found);
            }
        }
        Err(ProviderError::Impossible(format!("the zone {} is too large", zone.name)))
    }
}

impl DnsProvider for Route53 {
    async fn zone_of(&self, name: &DnsName) -> Result<DnsName, ProviderError> {
        self.hosted(name).await.map(|zone| zone.name)
    }

    async fn list(&self, zone: &DnsName, names: &BTreeSet<DnsName>) -> Result<Listing, ProviderError> {
        let zone = self.hosted(zone).await?;
        Ok(self.found(&zone, names).await?.listing)
    }

    async fn change(&self, zone: &DnsName, changes: &[Change]) -> Result<Ticket, ProviderError> {
        let zone = self.hosted(zone).await?;
        let names = changes.iter().map(|change| change.name.clone()).collect();
        let found = self.found(&zone, &names).await?;
        let body = batch::write(changes, &found)?;
        let text = self.ask("POST", &format!("/hostedzone/{}/rrset/", zone.id), &[], body.as_bytes()).await?;
        let id = xml::text(&text, "Id").unwrap_or_default();
        Ok(Ticket(id.trim_start_matches("/change/").to_owned()))
    }

    async fn wait(&self, _: &DnsName, ticket: &Ticket) -> Result<(), ProviderError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.ask("GET", &format!("/change/{}", ticket.0), &[], b"").await?;
            if xml::text(&text, "Status").as_deref() == Some("INSYNC") {
                return Ok(());
            }
            if Instant::now() >= end {
                let text = "the change is made; Route 53 has not told all of its name servers yet";
                return Err(ProviderError::Temporary(text.to_owned()));
            }
            sleep(STEP).await;
        }
    }
}

/// The zones of one answer that the world sees: private ones are for a network of its owner.
fn hosted(text: &str) -> Vec<Hosted> {
    let zone = |zone: &str| {
        let id = xml::text(zone, "Id")?.trim_start_matches("/hostedzone/").to_owned();
        let name = DnsName::parse(&xml::text(zone, "Name")?).ok()?;
        let is_fine = id.bytes().all(|octet| octet.is_ascii_alphanumeric()) && !id.is_empty();
        (is_fine && xml::text(zone, "PrivateZone").as_deref() != Some("true")).then_some(Hosted { id, name })
    };
    xml::elements(text, "HostedZone").into_iter().filter_map(zone).collect()
}

/// Two zones may have one name; which of them the world asks is not told there.
fn longest(zones: &[Hosted], name: &DnsName) -> Result<Hosted, ProviderError> {
    let within = |zone: &&Hosted| {
        let rest = name.as_str().strip_suffix(zone.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let found = zones.iter().filter(within).max_by_key(|zone| zone.name.as_str().len());
    let found = found.ok_or_else(|| ProviderError::NotOurs(name.clone()))?;
    if zones.iter().any(|other| other.name == found.name && other.id != found.id) {
        return Err(ProviderError::Refused(format!(
            "there are several zones called {} at Route 53: name the right one in [dns] provider, zone = \"{}\"",
            found.name, found.id
        )));
    }
    Ok(found.clone())
}

/// Twice as long each time, and by chance down to half of it, so that those who were refused at once do not come at once again.
fn pause(tries: u32, chance: f64) -> Duration {
    PAUSE.saturating_mul(2_u32.saturating_pow(tries - 1)).mul_f64(0.5 + chance / 2.0)
}

/// From 0 to 1. It need not be a secret, only another one for another machine.
fn chance() -> f64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    f64::from(clock.subsec_nanos() % 1_000) / 1_000.0
}

/// Why the service did not do it.
fn complaint(response: &Response, text: &str) -> Failed {
    // Of a batch it complains in two forms.
    let is_batch = text.contains("<InvalidChangeBatch");
    let code = xml::text(text, "Code").unwrap_or_default();
    let code = if is_batch && code.is_empty() { "InvalidChangeBatch".to_owned() } else { code };
    let message = xml::text(text, "Message").unwrap_or_else(|| format!("HTTP {}", response.status));
    let said = format!("Route 53 says: {code} {}", shown(&message));
    let is_skewed = message.contains("expired") || message.contains("not yet current");
    let changed = ["not found", "already exists", "do not match"];
    let error = match code.as_str() {
        "RequestTimeTooSkewed" | "RequestExpired" => ProviderError::Clock(said),
        "SignatureDoesNotMatch" | "InvalidSignatureException" if is_skewed => ProviderError::Clock(said),
        "Throttling" | "ThrottlingException" | "PriorRequestNotComplete" => {
            return Failed { error: ProviderError::Temporary(said), nothing_was_done: true };
        }
        "ServiceUnavailable" | "InternalFailure" => ProviderError::Temporary(said),
        // What we wanted to replace is not what is there.
        "InvalidChangeBatch" if changed.iter().any(|word| message.contains(word)) => {
            ProviderError::Changed(said)
        }
        "InvalidChangeBatch" | "InvalidInput" => ProviderError::Impossible(said),
        _ if response.status >= 500 || response.status == 429 => ProviderError::Temporary(said),
        _ => ProviderError::Refused(said),
    };
    Failed { error, nothing_was_done: response.status == 429 }
}

/// It is shown on terminals.
fn shown(text: &impl Display) -> String {
    visible::line(&text.to_string()).chars().take(500).collect()
}

/// `20150830T123600Z`
fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DateTime::from_unix(i64::try_from(seconds).unwrap_or_default()).to_rfc3339().replace(['-', ':'], "")
}

#[cfg(test)]
mod tests;
