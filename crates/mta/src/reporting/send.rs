//! Sends reports: gathers what is on record of a day, asks where it goes, and posts it.
//!
//! A report is posted first and noted as sent after that. A crash between the two sends it again: with the same Report-ID,
//! Message-ID and file name, so that its reader counts it once; and not at all while the first one still waits in the
//! queue, since both have the same name there.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kings_dns::{Dns, DnsError};
use kings_fetch::{Fetch, Request, Url};
use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_msgauth::dmarc::{self, Permission};
use kings_msgauth::reports::aggregate::{self, FileName, Observation};
use kings_msgauth::reports::archive::gzip;
use kings_msgauth::reports::tls::{self, Destination};
use kings_queue::SubmitError;
use kings_records::{DayOfResults, RecordsError, ReportDay, ReportKind};
use tracing::{info, warn};

use super::ReportSettings;
use super::compose::Parcel;
use super::schedule::{self, DAY, Round};
use crate::core::{Core, blocking, now, today};
use crate::deliver::{self, DeliveryError, Message};

/// Most addresses that get one report: ours. One forged message must not make us write to many.
const MAX_DESTINATIONS: usize = 4;

/// Which reports to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Days since 1970; yesterday where nothing is said. It must be over.
    pub day: Option<u64>,
    /// About this domain alone.
    pub domain: Option<Domain>,
    /// Only tell what would be sent.
    pub dry_run: bool,
}

/// How a report goes to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// An address, or an `https:` URI.
    pub to: String,
    /// Why it does not go there.
    pub fault: Option<String>,
}

/// What became of one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// About what, whom and when.
    pub about: ReportDay,
    /// Its name.
    pub report_id: String,
    /// Where it goes; empty where nobody asks for it.
    pub ways: Vec<Way>,
    /// It stays to be sent, for this reason.
    pub waits: Option<String>,
}

/// A round of sending is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundDone {
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// How long until the next.
    pub pause: Duration,
}

/// Why a report cannot be sent now.
#[derive(Debug, thiserror::Error)]
enum NotNow {
    #[error("{0}")]
    Records(#[from] RecordsError),
    #[error("DNS does not answer: {0}")]
    Dns(String),
    #[error("it cannot be posted: {0}")]
    Post(String),
}

/// The day that is asked about is not over: what is told of it could not be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that day is not over (UTC): a day is told about once it is")]
pub struct DayLasts;

/// Sends reports.
pub struct Reporter<D> {
    core: Core,
    dns: Arc<D>,
    fetch: Option<Fetch>,
}

/// A report and where it may go.
struct Ready {
    report_id: String,
    file_name: String,
    packed: Vec<u8>,
    destinations: Vec<(Destination, Option<u64>)>,
    refused: Vec<Way>,
}

impl<D: Dns> Reporter<D> {
    /// Takes what `core` has on record, asks `dns` who wants it, and posts it by mail or, with `fetch`, by HTTPS.
    pub fn new(core: &Core, dns: D, fetch: Option<Fetch>) -> Self {
        Self { core: core.clone(), dns: Arc::new(dns), fetch }
    }

    /// Sends what is due now and has not gone yet. `last` is when the round before began, if there was one since the start.
    pub async fn send_due(&self, last: Option<u64>) -> RoundDone {
        let began = seconds();
        let settings = self.core.reports.settings();
        let mut found = Vec::new();
        for kind in settings.into_iter().flat_map(kinds) {
            found.extend(self.unsent(kind, schedule::days(began)).await);
        }
        let Round { due, next } = schedule::round(began, last, found);
        if let Some(settings) = settings {
            for about in due {
                self.send_one(settings, about, false).await;
            }
        }
        let pause = next.saturating_sub(seconds()).max(schedule::SHORTEST);
        RoundDone { began, pause: Duration::from_secs(pause) }
    }

    /// Sends the reports of one day that have not gone yet, without waiting for their moment.
    pub async fn send(&self, order: &Order) -> Result<Vec<Sent>, DayLasts> {
        let Some(settings) = self.core.reports.settings() else { return Ok(Vec::new()) };
        let yesterday = today().saturating_sub(1);
        let day = order.day.unwrap_or(yesterday);
        if day > yesterday {
            return Err(DayLasts);
        }
        let mut all = Vec::new();
        for kind in kinds(settings) {
            for about in self.unsent(kind, day..day + 1).await {
                if order.domain.as_ref().is_none_or(|domain| *domain == about.domain) {
                    all.push(self.send_one(settings, about, order.dry_run).await);
                }
            }
        }
        Ok(all)
    }

    async fn unsent(&self, kind: ReportKind, days: std::ops::Range<u64>) -> Vec<ReportDay> {
        let records = self.core.records.clone();
        let found = blocking(move || records.report_days(kind, days, true)).await;
        found.unwrap_or_else(|error| {
            warn!(%error, "cannot look for reports to send");
            Vec::new()
        })
    }

    async fn send_one(&self, settings: &ReportSettings, about: ReportDay, dry_run: bool) -> Sent {
        let mut sent =
            Sent { report_id: report_id(&self.core, &about), about, ways: Vec::new(), waits: None };
        match self.try_send(settings, &sent.about, dry_run).await {
            Ok(ways) => {
                sent.ways = ways;
                if !dry_run {
                    self.note(sent.about.clone()).await;
                }
            }
            Err(error) => sent.waits = Some(error.to_string()),
        }
        let ReportDay { kind, domain, day } = &sent.about;
        if !dry_run && (!sent.ways.is_empty() || sent.waits.is_some()) {
            info!(kind = kind.word(), %domain, day, ways = ?sent.ways, waits = sent.waits, "report");
        }
        sent
    }

    /// Noted on disk before the next report is looked at.
    async fn note(&self, about: ReportDay) {
        let records = self.core.records.clone();
        blocking(move || {
            records.report_sent(about);
            records.flush();
        })
        .await;
    }

    async fn try_send(
        &self,
        settings: &ReportSettings,
        about: &ReportDay,
        dry_run: bool,
    ) -> Result<Vec<Way>, NotNow> {
        let ready = match about.kind {
            ReportKind::Dmarc => self.about_mail(settings, about).await?,
            ReportKind::Tls => self.about_tls(settings, about).await?,
        };
        let Some(ready) = ready else { return Ok(Vec::new()) };
        let submitter = submitter(settings);
        let parcel = Parcel {
            kind: about.kind,
            domain: &about.domain,
            submitter: &submitter,
            report_id: &ready.report_id,
            file_name: &ready.file_name,
            packed: &ready.packed,
        };
        let mut ways = ready.refused;
        for (destination, most) in &ready.destinations {
            let too_large = most.is_some_and(|most| ready.packed.len() as u64 > most);
            let fault = match destination {
                _ if too_large => Some("it is larger than the address takes".to_owned()),
                _ if dry_run => None,
                Destination::Mail(to) => {
                    self.post(settings, &parcel, about, to).await?;
                    None
                }
                Destination::Https(url) => self.upload(&parcel, url).await.err(),
            };
            ways.push(Way { to: shown(destination), fault });
        }
        Ok(ways)
    }

    async fn about_mail(
        &self,
        settings: &ReportSettings,
        about: &ReportDay,
    ) -> Result<Option<Ready>, NotNow> {
        let Some((destinations, refused)) = self.mail_destinations(&about.domain).await? else {
            return Ok(None);
        };
        let (records, domain, day) = (self.core.records.clone(), about.domain.clone(), about.day);
        let kinds = blocking(move || records.judged_mail(&domain, day)).await?;
        let mut observations: Vec<Observation> = kinds
            .iter()
            .filter_map(|kind| {
                let mut observation = Observation::from_text(&kind.facts)?;
                observation.row.count = kind.messages;
                Some(observation)
            })
            .collect();
        // A policy that changed within the day: the one that most messages met stands for all (RFC 9990 §2.1.3).
        let Some(policy) = observations.first().map(|first| first.policy.clone()) else { return Ok(None) };
        let report_id = report_id(&self.core, about);
        let (begin, end) = span(about.day);
        let report = aggregate::Report {
            metadata: aggregate::Metadata {
                org_name: settings.organisation.clone(),
                email: settings.contact.clone(),
                extra_contact_info: None,
                report_id: report_id.clone(),
                begin,
                end,
                error: None,
            },
            policy,
            rows: observations.drain(..).map(|observation| observation.row).collect(),
        };
        let packed = gzip(report.to_xml().as_bytes());
        let file_name = file_name(settings, about, "xml.gz");
        Ok(Some(Ready { report_id, file_name, packed, destinations, refused }))
    }

    /// Where the record of a domain wants reports, as far as these places want them too (RFC 9990 §3). `None` where
    /// nobody asks any more.
    #[allow(clippy::type_complexity, reason = "what may be used, and what may not")]
    async fn mail_destinations(
        &self,
        domain: &Domain,
    ) -> Result<Option<(Vec<(Destination, Option<u64>)>, Vec<Way>)>, NotNow> {
        let Ok(name) = DnsName::parse(&format!("_dmarc.{domain}")) else { return Ok(None) };
        let texts = self.texts(&name).await?;
        let asked = texts.iter().find(|text| dmarc::Record::parse(text).is_some());
        let asked = asked.map(|text| dmarc::report_addresses(text)).unwrap_or_default();
        let (mut allowed, mut refused) = (Vec::new(), Vec::new());
        for (address, most) in asked.into_iter().take(MAX_DESTINATIONS) {
            match dmarc::permission(&*self.dns, domain, &address).await {
                Ok(Permission::Granted(addresses)) => {
                    let places = addresses.into_iter().map(|address| (Destination::Mail(address), most));
                    allowed.extend(places.take(MAX_DESTINATIONS));
                }
                Ok(Permission::Refused) => {
                    let fault = Some("its domain does not say that it takes these reports".to_owned());
                    refused.push(Way { to: address.to_string(), fault });
                }
                Err(error) => return Err(NotNow::Dns(error.to_string())),
            }
        }
        Ok((!allowed.is_empty() || !refused.is_empty()).then_some((allowed, refused)))
    }

    async fn about_tls(&self, settings: &ReportSettings, about: &ReportDay) -> Result<Option<Ready>, NotNow> {
        let Some(name) = tls::record_name(&about.domain) else { return Ok(None) };
        let destinations = tls::destinations(&self.texts(&name).await?);
        if destinations.is_empty() {
            return Ok(None);
        }
        let (records, domain, day) = (self.core.records.clone(), about.domain.clone(), about.day);
        let results = blocking(move || records.tls_results(&domain, day)).await?;
        let report_id = report_id(&self.core, about);
        let (begin, end) = span(about.day);
        let seconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let report = tls::Report {
            organization_name: settings.organisation.clone(),
            date_range: tls::DateRange::new(seconds(begin), seconds(end)),
            contact_info: settings.contact.clone(),
            report_id: report_id.clone(),
            policies: results.iter().map(policy).collect(),
        };
        let packed = gzip(report.to_json().as_bytes());
        let file_name = file_name(settings, about, "json.gz");
        let destinations =
            destinations.into_iter().take(MAX_DESTINATIONS).map(|place| (place, None)).collect();
        Ok(Some(Ready { report_id, file_name, packed, destinations, refused: Vec::new() }))
    }

    async fn texts(&self, name: &DnsName) -> Result<Vec<Vec<u8>>, NotNow> {
        match self.dns.txt(name).await {
            Ok(answer) => Ok(answer.records),
            Err(DnsError::NoDomain | DnsError::NoRecord) => Ok(Vec::new()),
            Err(DnsError::Temporary(error)) => Err(NotNow::Dns(format!("{name}: {error}"))),
        }
    }

    /// Posts one message. It has no sender, so that its failure makes no other one.
    async fn post(
        &self,
        settings: &ReportSettings,
        parcel: &Parcel<'_>,
        about: &ReportDay,
        to: &Address,
    ) -> Result<(), NotNow> {
        let octets = parcel.message(settings, to, now());
        let store = self.core.store.clone();
        let content = blocking(move || {
            let mut incoming = store.begin()?;
            incoming.write(&octets)?;
            Ok::<_, kings_store::StoreError>(incoming)
        });
        let content = Arc::new(content.await.map_err(|error| NotNow::Post(error.to_string()))?);
        let mut envelope = Envelope::new(ReversePath::Null, MailParameters::default());
        envelope.recipients.push(Recipient::from(ForwardPath::Address(to.clone())));
        let prefix = self.core.signing.fields(&content).await;
        let prefix = prefix.map_err(|cause| NotNow::Post(cause.to_string()))?;
        let message = Message::of_ours(entry_id(about, to), envelope, prefix, content);
        match Box::pin(deliver::deliver(&self.core, message)).await {
            Ok(()) | Err(DeliveryError::Queue(SubmitError::DuplicateId(_)) | DeliveryError::Loop) => Ok(()),
            Err(error) => Err(NotNow::Post(error.reply().to_string())),
        }
    }

    /// RFC 8460 §5.4. The reader of a report that did not get through has no other way to hear of it.
    async fn upload(&self, parcel: &Parcel<'_>, url: &str) -> Result<(), String> {
        let fetch = self.fetch.as_ref().ok_or("nothing is sent by HTTPS")?;
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let request = Request::post(url, parcel.content_type(), parcel.packed);
        let response = fetch.send(request).await.map_err(|error| error.to_string())?;
        if (200..300).contains(&response.status) {
            Ok(())
        } else {
            Err(format!("status {}", response.status))
        }
    }
}

fn kinds(settings: &ReportSettings) -> impl Iterator<Item = ReportKind> {
    let wanted = [(ReportKind::Dmarc, settings.dmarc), (ReportKind::Tls, settings.tls)];
    wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| kind)
}

fn shown(destination: &Destination) -> String {
    match destination {
        Destination::Mail(address) => address.to_string(),
        Destination::Https(url) => url.clone(),
    }
}

/// Since 1970.
fn seconds() -> u64 {
    u64::try_from(now().unix()).unwrap_or(0)
}

/// The first and the last second of a day.
fn span(day: u64) -> (u64, u64) {
    (day * DAY, (day + 1) * DAY - 1)
}

fn submitter(settings: &ReportSettings) -> String {
    settings.from.domain().map(ToString::to_string).unwrap_or_default()
}

fn file_name(settings: &ReportSettings, about: &ReportDay, extension: &str) -> String {
    let (begin, end) = span(about.day);
    let (receiver, policy_domain) = (submitter(settings), about.domain.to_string());
    FileName { receiver, policy_domain, begin, end, unique: None, extension: extension.to_owned() }
        .to_string()
}

/// The same for the same report, other for each other one.
fn report_id(core: &Core, about: &ReportDay) -> String {
    let date = DateTime::from_unix(i64::try_from(about.day * DAY).unwrap_or(0)).to_rfc3339();
    let date: String = date.chars().take(10).filter(|c| *c != '-').collect();
    format!("{date}.{}.{:016x}@{}", about.kind.word(), number(about, ""), core.hostname)
}

/// The name in the queue: the same for the same report to the same address. Its time is within the day behind the one
/// reported on, and stands for nothing.
fn entry_id(about: &ReportDay, to: &Address) -> TraceId {
    let number = number(about, &to.to_string());
    let microseconds = (about.day + 1) * DAY * 1_000_000 + (number >> 20) % (DAY * 1_000_000);
    TraceId::new(microseconds, u32::try_from(number & 0xf_ffff).unwrap_or(0))
}

fn number(about: &ReportDay, to: &str) -> u64 {
    let ReportDay { kind, domain, day } = about;
    let hash = digest(&SHA256, format!("{} {domain} {day} {to}", kind.word()).as_bytes());
    hash.as_ref().iter().take(8).fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn policy(results: &DayOfResults) -> tls::Policy {
    let DayOfResults { domain, policy, policy_text, successful, failures, .. } = results;
    let lines: Vec<String> = policy_text.lines().map(str::to_owned).collect();
    let hosts = lines.iter().filter_map(|line| line.strip_prefix("mx:")).map(|host| host.trim().to_owned());
    tls::Policy {
        policy: tls::AppliedPolicy {
            policy_type: policy.clone(),
            mx_host: hosts.collect(),
            policy_string: lines,
            policy_domain: domain.clone(),
        },
        summary: tls::Summary {
            total_successful_session_count: *successful,
            total_failure_session_count: failures.iter().map(|(_, _, sessions)| sessions).sum(),
        },
        failure_details: failures
            .iter()
            .map(|(result, host, sessions)| tls::Failure {
                result_type: result.clone(),
                receiving_mx_hostname: Some(host.clone()).filter(|host| !host.is_empty()),
                failed_session_count: *sessions,
                ..tls::Failure::default()
            })
            .collect(),
    }
}
