//! Reports of others: found in a message that is delivered already, read within limits, kept.

use std::io::Read;
use std::sync::Arc;

use kings_directory::Directory;
use kings_mail::domain::Domain;
use kings_mail::mime::{self, Kind, Part};
use kings_mail::visible::is_active;
use kings_msgauth::reports::aggregate::{self, FileName};
use kings_msgauth::reports::archive::unpack;
use kings_msgauth::reports::tls;
use kings_records::{MAX_CONTENT, OMITTED, PROVEN, ReceivedReport, ReportKind};
use kings_store::Incoming;
use tracing::{info, warn};

use crate::core::{Core, blocking, now};
use crate::deliver::Message;

/// Largest message that is read: ours; the largest reports have a megabyte.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;
/// Most octets of a report, unpacked: ours; some hundred thousand rows are beyond what anybody sends in a day.
const MAX_REPORT: usize = 32 * 1024 * 1024;
/// Most parts of a message that are looked into: ours; a report has one.
const MAX_PARTS: usize = 4;
/// Most rows of a report that are kept, those with the most messages.
const MAX_ROWS: usize = 1_000;
/// Longest name that is kept, in characters.
const MAX_NAME: usize = 255;

/// Reads the report in a message to one of the addresses that take them. Waits for nothing: the message is delivered, and
/// whatever is wrong with the report hinders nobody.
pub(crate) fn look(core: &Core, message: &Message) {
    let Some(inner) = core.reports.0.clone() else { return };
    if message.junk || !message.recipients.iter().any(|recipient| core.reports.takes(&recipient.path)) {
        return;
    }
    let (id, reporter) = (message.id, message.reporter.clone());
    let Ok(place) = inner.waiting.clone().try_acquire_owned() else {
        warn!(%id, "too many reports at once: this one is delivered and not read");
        return;
    };
    let (content, records, directory) =
        (message.content.clone(), core.records.clone(), core.directory.clone());
    tokio::spawn(async move {
        let _place = place;
        let Ok(_turn) = inner.reading.acquire().await else { return };
        match blocking(move || read(&content)).await {
            Ok(report) if !is_about_us(&report.domain, |domain| takes_mail_for(&directory, domain)) => {
                warn!(%id, domain = report.domain, "a report about a domain that is not ours is delivered and not kept");
            }
            Ok(report) => {
                let proven = reporter.of(report.kind);
                info!(%id, kind = report.kind.word(), domain = report.domain, organisation = report.organisation, proven, "report read");
                records.keep_report(proven_by(report, proven));
            }
            Err(error) => warn!(%id, %error, "no report can be read in this message"),
        }
    });
}

/// Domains that are hosted here, and those that mail is taken for and passed on.
fn takes_mail_for(directory: &Directory, domain: &Domain) -> bool {
    directory.hosts(domain) || directory.relays(domain)
}

/// Whether a report is about a domain of ours, or about one below it. What others say of foreign domains is no news of
/// ours.
fn is_about_us(domain: &str, hosts: impl Fn(&Domain) -> bool) -> bool {
    Domain::parse(domain).is_ok_and(|domain| domain.with_parents().any(|name| hosts(&name)))
}

/// Why there is no report in a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoReport {
    #[error("it is larger than {MAX_MESSAGE} octets")]
    TooLarge,
    #[error("it cannot be read again")]
    Unreadable,
    #[error("no part of it is a report: {0}")]
    None(String),
}

/// Blocking.
fn read(content: &Arc<Incoming>) -> Result<ReceivedReport, NoReport> {
    if content.len() > MAX_MESSAGE {
        return Err(NoReport::TooLarge);
    }
    let mut message = Vec::new();
    content.reader().take(MAX_MESSAGE).read_to_end(&mut message).map_err(|_| NoReport::Unreadable)?;
    find(&message)
}

fn find(message: &[u8]) -> Result<ReceivedReport, NoReport> {
    let root = mime::parse(message);
    let mut fault = "there is no such file".to_owned();
    for part in root.walk().filter(|part| may_be_report(part)).take(MAX_PARTS) {
        match parse(&part.content(message)) {
            Ok(report) => return Ok(report),
            Err(error) => fault = error,
        }
    }
    Err(NoReport::None(fault))
}

/// By type or by name; many say `application/octet-stream`.
fn may_be_report(part: &Part) -> bool {
    const TYPES: [&str; 8] =
        ["gzip", "x-gzip", "zip", "x-zip-compressed", "xml", "tlsrpt+gzip", "tlsrpt+json", "json"];
    let is_known = TYPES.iter().any(|subtype| part.content_type.subtype.eq_ignore_ascii_case(subtype));
    let is_named = || part.file_name().is_some_and(|name| FileName::parse(&name).is_some());
    part.kind == Kind::Leaf && (is_known || is_named())
}

fn parse(content: &[u8]) -> Result<ReceivedReport, String> {
    let plain = unpack(content, MAX_REPORT).map_err(|error| error.to_string())?;
    match plain.iter().find(|octet| !octet.is_ascii_whitespace()) {
        Some(b'{') => tls::Report::from_json(&plain).map_err(|error| error.to_string()).and_then(of_tls),
        _ => aggregate::Report::from_xml(&plain).map_err(|error| error.to_string()).and_then(of_mail),
    }
}

fn of_mail(mut report: aggregate::Report) -> Result<ReceivedReport, String> {
    let all = report.rows.len();
    report.rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    report.rows.truncate(MAX_ROWS);
    while report.to_json().len() > MAX_CONTENT {
        if report.rows.is_empty() {
            return Err("it is too long to be kept".to_owned());
        }
        report.rows.truncate(report.rows.len() / 2);
    }
    let omitted = all - report.rows.len();
    Ok(ReceivedReport {
        kind: ReportKind::Dmarc,
        domain: name(&report.policy.domain).to_lowercase(),
        organisation: name(&report.metadata.org_name),
        report_id: name(&report.metadata.report_id),
        begin: report.metadata.begin,
        end: report.metadata.end,
        arrived: arrived(),
        content: with_omitted(report.to_json(), omitted),
    })
}

/// Says in the JSON of a report how many of its parts were left out, where any were.
fn with_omitted(content: String, omitted: usize) -> String {
    if omitted > 0 { with_note(content, OMITTED, &omitted.to_string()) } else { content }
}

/// Says in the JSON of a report which domain is proven to have written it.
fn proven_by(report: ReceivedReport, domain: Option<&str>) -> ReceivedReport {
    let Some(domain) = domain else { return report };
    let content = with_note(report.content, PROVEN, &format!("\"{domain}\""));
    ReceivedReport { content, ..report }
}

/// Puts what we say of a report in front of what it says.
fn with_note(content: String, key: &str, value: &str) -> String {
    match content.strip_prefix('{') {
        Some(rest) => format!("{{\"{key}\":{value},{rest}"),
        None => content,
    }
}

fn of_tls(mut report: tls::Report) -> Result<ReceivedReport, String> {
    let all = report.policies.len();
    while report.to_json().len() > MAX_CONTENT {
        if report.policies.is_empty() {
            return Err("it is too long to be kept".to_owned());
        }
        report.policies.truncate(report.policies.len() / 2);
    }
    let omitted = all - report.policies.len();
    let domain =
        report.policies.first().map(|policy| policy.policy.policy_domain.clone()).unwrap_or_default();
    let (begin, end) = report.date_range.unix().unwrap_or_default();
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    Ok(ReceivedReport {
        kind: ReportKind::Tls,
        domain: name(&domain).to_lowercase(),
        organisation: name(&report.organization_name),
        report_id: name(&report.report_id),
        begin: seconds(begin),
        end: seconds(end),
        arrived: arrived(),
        content: with_omitted(report.to_json(), omitted),
    })
}

fn arrived() -> u64 {
    u64::try_from(now().unix()).unwrap_or(0)
}

/// A name that cannot steer a terminal, and ends.
fn name(text: &str) -> String {
    text.chars().filter(|c| !is_active(*c)).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use kings_msgauth::reports::archive::gzip;

    use super::*;

    fn report(rows: usize) -> aggregate::Report {
        let row = |count: usize| aggregate::Row {
            count: u64::try_from(count).unwrap(),
            header_from: "example.org".to_owned(),
            ..aggregate::Row::default()
        };
        let mut report =
            aggregate::Report { rows: (0..rows).map(row).collect(), ..aggregate::Report::default() };
        report.metadata.org_name = "Far\u{1b}[31m".to_owned();
        report.metadata.report_id = "1".to_owned();
        report.policy.domain = "Example.ORG".to_owned();
        report
    }

    fn message(kind: &str, content: &[u8]) -> Vec<u8> {
        let encoded = STANDARD.encode(content);
        format!(
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: {kind}\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn a_report_is_found_by_the_type_or_the_name_of_its_file() {
        let packed = gzip(report(3).to_xml().as_bytes());
        for kind in ["application/gzip", "application/octet-stream; name=\"a!example.org!1!2.xml.gz\""] {
            let found = find(&message(kind, &packed)).unwrap();
            let about = (found.kind, found.domain.as_str(), found.organisation.as_str());
            assert_eq!(about, (ReportKind::Dmarc, "example.org", "Far\u{fffd}[31m"));
        }
        assert!(matches!(find(&message("application/octet-stream", &packed)), Err(NoReport::None(_))));
        let json = br#"{"organization-name":"x","date-range":{"start-datetime":"2026-11-25T00:00:00Z",
            "end-datetime":"2026-11-25T23:59:59Z"},"report-id":"1","policies":[]}"#;
        assert_eq!(find(&message("application/tlsrpt+gzip", &gzip(json))).unwrap().kind, ReportKind::Tls);
    }

    #[test]
    fn reports_about_domains_of_others_are_no_news_of_ours() {
        let about_us = |domain| is_about_us(domain, |name: &Domain| name.as_str() == "example.org");
        for domain in ["example.org", "EXAMPLE.org.", "news.example.org", "a.b.example.org"] {
            assert!(about_us(domain), "{domain}");
        }
        for domain in [
            "",
            "org",
            "bank.example",
            "notexample.org",
            "example.org.evil.example",
            "\u{202e}example.org",
            "a b",
        ] {
            assert!(!about_us(domain), "{domain}");
        }
    }

    #[test]
    fn hostile_reports_cost_little_and_are_told_by_their_fault() {
        let bomb = gzip(&vec![b' '; MAX_REPORT + 1]);
        let endless = report(1).to_xml().replace("<count>0<", &format!("<count>1{}<", "0".repeat(30)));
        let cases: [(&[u8], &str); 5] = [
            (endless.as_bytes(), "a record counts \"1000000000"),
            (&bomb, "too large"),
            (b"<!DOCTYPE x [<!ENTITY a 'aa'>]><feedback>&a;</feedback>", "document type"),
            (b"\x1f\x8b\x08\0garbage", "damaged"),
            (b"GIF89a", "no org_name"),
        ];
        for (content, expected) in cases {
            let Err(NoReport::None(fault)) = find(&message("application/gzip", content)) else {
                panic!("{expected}: a report");
            };
            assert!(fault.contains(expected), "{fault}");
        }
        let kept = of_mail(report(50_000)).unwrap();
        assert!(kept.content.len() <= MAX_CONTENT + 30);
        assert!(kept.content.starts_with("{\"omitted\":49000,"), "{:.60}", kept.content);
        assert!(!of_mail(report(MAX_ROWS)).unwrap().content.contains("omitted"));
        let noted = proven_by(kept.clone(), Some("far.example")).content;
        assert!(noted.starts_with("{\"proven\":\"far.example\",\"omitted\":49000,"), "{noted:.60}");
        assert!(aggregate::Report::from_json(&noted).is_some());
        assert_eq!(proven_by(kept.clone(), None), kept);
        let rows = aggregate::Report::from_json(&kept.content).unwrap().rows;
        assert_eq!((rows.len(), rows[0].count), (MAX_ROWS, 49_999));
    }
}
