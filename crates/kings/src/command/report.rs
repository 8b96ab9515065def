//! `kings report`: the reports that others send about our domains, and sending ours about theirs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::visible;
use kings_msgauth::reports::{aggregate, tls};
use kings_records::{OMITTED, PROVEN, ReceivedReport, ReportKind, reader};
use serde_json::{Value, json};

use super::{Common, Failure, Output, ask, print};
use crate::control::Request;

/// Most names of organisations in one line: ours.
const MAX_NAMES: usize = 5;
/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The reports that came in, one line each.
    List(Selected),
    /// What they say: who sent mail in our name, and what others made of it.
    Show(Selected),
    /// Send the reports of a day that have not gone yet; the server does it by itself after midnight (UTC).
    Send(Send),
}

#[derive(Args)]
pub(crate) struct Selected {
    #[command(flatten)]
    output: Output,
    /// About this domain.
    #[arg(long)]
    domain: Option<String>,
    /// Of organisations with this in their name.
    #[arg(long, value_name = "TEXT")]
    from: Option<String>,
}

#[derive(Args)]
pub(crate) struct Send {
    #[command(flatten)]
    output: Output,
    /// Only tell what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// About this domain.
    #[arg(long, value_parser = |text: &str| Domain::parse(text).map_err(|_| "not a domain"))]
    domain: Option<Domain>,
    /// The day, yesterday where nothing is said; today and later are refused, since a day is told about when it is over (UTC).
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    day: Option<u64>,
}

fn day(text: &str) -> Result<u64, &'static str> {
    let midnight =
        DateTime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok_or("not a day such as 2026-11-25")?;
    u64::try_from(midnight.unix() / DAY).map_err(|_| "not a day of this era")
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(selected) => {
            let found = selected.find()?;
            print(&if selected.output.json { list_json(&found) } else { list(&found) });
            Ok(())
        }
        Command::Show(selected) => {
            let found = selected.find()?;
            print(&if selected.output.json { show_json(&found) } else { show(&found) });
            Ok(())
        }
        Command::Send(options) => send(options),
    }
}

impl Selected {
    fn find(&self) -> Result<Vec<ReceivedReport>, Failure> {
        let file = self.output.common.settings()?.records.file;
        let all = if file.exists() { reader::reports(&file) } else { Ok(Vec::new()) };
        let mut all = all.map_err(|error| Failure::cannot_tell(error.to_string()))?;
        let (domain, from) = (self.domain.as_deref(), self.from.as_deref().map(str::to_lowercase));
        all.retain(|report| {
            domain.is_none_or(|domain| report.domain.eq_ignore_ascii_case(domain))
                && from.as_deref().is_none_or(|from| report.organisation.to_lowercase().contains(from))
        });
        Ok(all.iter().map(tamed).collect())
    }
}

/// The report with each of its words on one line, and none that acts on a terminal: the one place where what strangers
/// wrote becomes what we print.
fn tamed(report: &ReceivedReport) -> ReceivedReport {
    let content = serde_json::from_str(&report.content).map(|content| tame(content).to_string());
    ReceivedReport {
        domain: visible::line(&report.domain),
        organisation: visible::line(&report.organisation),
        report_id: visible::line(&report.report_id),
        content: content.unwrap_or_default(),
        ..*report
    }
}

fn tame(value: Value) -> Value {
    match value {
        Value::String(text) => visible::line(&text).into(),
        Value::Array(values) => values.into_iter().map(tame).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (visible::line(&key), tame(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn send(options: &Send) -> Result<(), Failure> {
    let Send { output, dry_run, domain, day } = options;
    let Output { common: Common { .. }, json } = output;
    if day.is_some_and(|day| day >= today()) {
        return Err(Failure::usage(format!("--day: {}", kings_mta::DayLasts)));
    }
    let data_dir = output.common.settings()?.data_dir;
    let request =
        Request::ReportSend { dry_run: *dry_run, domain: domain.as_ref().map(Domain::to_string), day: *day };
    let answer = ask(&data_dir, &request)?
        .ok_or_else(|| Failure::cannot_tell("no server runs on this data; it alone sends reports"))?;
    let answer = tame(answer.map_err(Failure::cannot_tell)?);
    print(&if *json { format!("{answer}\n") } else { sent(&answer) });
    let items = answer["items"].as_array().into_iter().flatten();
    if items.into_iter().any(|item| !item["waits"].is_null()) {
        return Err(Failure::cannot_tell("some reports wait; the server tries them again"));
    }
    Ok(())
}

fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.unsigned_abs()
}

/// The answer of the server to [`Request::ReportSend`].
pub(crate) fn answer(all: &[kings_mta::Sent]) -> Value {
    let item = |sent: &kings_mta::Sent| {
        let ways: Vec<Value> =
            sent.ways.iter().map(|way| json!({ "to": way.to, "fault": way.fault })).collect();
        json!({
            "kind": sent.about.kind.word(),
            "domain": sent.about.domain.to_string(),
            "day": date(sent.about.day.saturating_mul(86_400)),
            "report_id": sent.report_id,
            "ways": ways,
            "waits": sent.waits,
        })
    };
    json!({ "schema": 1, "items": all.iter().map(item).collect::<Vec<_>>() })
}

fn sent(answer: &Value) -> String {
    let mut text = String::new();
    for item in answer["items"].as_array().into_iter().flatten() {
        let word = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let head = format!("{}  {}  {}", word("day"), word("domain"), word("kind"));
        let ways = item["ways"].as_array().cloned().unwrap_or_default();
        if let Some(reason) = item["waits"].as_str() {
            let _ = writeln!(text, "{head}: waits: {reason}");
        } else if ways.is_empty() {
            let _ = writeln!(text, "{head}: nobody asks for a report");
        }
        for way in ways {
            let to = way["to"].as_str().unwrap_or_default();
            let _ = match way["fault"].as_str() {
                Some(fault) => writeln!(text, "{head}: not to {to}: {fault}"),
                None => writeln!(text, "{head}: to {to}"),
            };
        }
    }
    if text.is_empty() { "there is nothing to report that has not gone\n".to_owned() } else { text }
}

/// `2026-11-25`
fn date(seconds: u64) -> String {
    DateTime::from_unix(i64::try_from(seconds).unwrap_or(0)).to_rfc3339().chars().take(10).collect()
}

/// Mail of a report: all of it, and how much passed.
fn totals(report: &aggregate::Report) -> (u64, u64) {
    let count = |pass_only: bool| {
        let rows = report.rows.iter().filter(|row| !pass_only || row.dkim_aligned || row.spf_aligned);
        rows.map(|row| row.count).fold(0, u64::saturating_add)
    };
    (count(false), count(true))
}

/// What stands behind the name of an organisation that anybody could have written.
fn mark(report: &ReceivedReport) -> String {
    match proven(report) {
        Some(domain) => format!(" (proven: {domain})"),
        None => " (NOT PROVEN: anybody could have written it)".to_owned(),
    }
}

/// What the report says in sum, and how much of it was not kept.
fn summary(report: &ReceivedReport) -> String {
    let sums = sums(report);
    match omitted(report) {
        Some(omitted) => format!("{sums} (without {omitted} smaller entries that were not kept)"),
        None => sums,
    }
}

/// How many of its parts were left out when it was kept.
fn omitted(report: &ReceivedReport) -> Option<u64> {
    note(report, OMITTED)?.as_u64()
}

/// The domain that is proven to have written it.
fn proven(report: &ReceivedReport) -> Option<String> {
    note(report, PROVEN)?.as_str().map(str::to_owned)
}

fn note(report: &ReceivedReport, key: &str) -> Option<Value> {
    serde_json::from_str::<Value>(&report.content).ok()?.get(key).cloned()
}

fn sums(report: &ReceivedReport) -> String {
    match report.kind {
        ReportKind::Dmarc => match aggregate::Report::from_json(&report.content) {
            Some(read) => {
                let (all, passed) = totals(&read);
                format!("{all} messages, {passed} passed, {} failed", all - passed)
            }
            None => "cannot be read".to_owned(),
        },
        ReportKind::Tls => match tls::Report::from_json(report.content.as_bytes()) {
            Ok(read) => {
                let sum = |count: fn(&tls::Summary) -> u64| {
                    read.policies.iter().map(|policy| count(&policy.summary)).fold(0, u64::saturating_add)
                };
                let good = sum(|summary| summary.total_successful_session_count);
                let failed = sum(|summary| summary.total_failure_session_count);
                format!("{good} sessions good, {failed} failed")
            }
            Err(_) => "cannot be read".to_owned(),
        },
    }
}

fn list(all: &[ReceivedReport]) -> String {
    let mut text = String::new();
    for report in all {
        let ReceivedReport { kind, domain, organisation, begin, .. } = report;
        let _ = writeln!(
            text,
            "{}  {domain}  {}  {organisation}{}: {}",
            date(*begin),
            kind.word(),
            mark(report),
            summary(report)
        );
    }
    if text.is_empty() { "no reports have come in\n".to_owned() } else { text }
}

fn head_json(report: &ReceivedReport) -> Value {
    let ReceivedReport { kind, domain, organisation, report_id, begin, end, arrived, .. } = report;
    json!({ "kind": kind.word(), "domain": domain, "organisation": organisation, "report_id": report_id,
        "begin": begin, "end": end, "arrived": arrived, "proven": proven(report),
        "summary": summary(report),
        "omitted": omitted(report).unwrap_or(0) })
}

fn list_json(all: &[ReceivedReport]) -> String {
    format!("{}\n", json!({ "schema": 1, "items": all.iter().map(head_json).collect::<Vec<_>>() }))
}

fn show_json(all: &[ReceivedReport]) -> String {
    let item = |report: &ReceivedReport| {
        let mut item = head_json(report);
        item["report"] = serde_json::from_str(&report.content).unwrap_or_default();
        item
    };
    format!("{}\n", json!({ "schema": 1, "items": all.iter().map(item).collect::<Vec<_>>() }))
}

/// By domain: each source of mail with what came of it, those that are not aligned last; then the sessions.
fn show(all: &[ReceivedReport]) -> String {
    let mut domains: BTreeMap<&str, Vec<&ReceivedReport>> = BTreeMap::new();
    for report in all {
        domains.entry(&report.domain).or_default().push(report);
    }
    let mut text = String::new();
    for (domain, reports) in domains {
        let _ = writeln!(text, "{domain}, as others tell");
        let mail = reports.iter().filter_map(|report| {
            let is_mail = report.kind == ReportKind::Dmarc;
            is_mail.then(|| aggregate::Report::from_json(&report.content)).flatten()
        });
        let mail: Vec<aggregate::Report> = mail.collect();
        sources(&mut text, &mail);
        let unproven: Vec<&ReceivedReport> = reports
            .iter()
            .copied()
            .filter(|report| report.kind == ReportKind::Dmarc && proven(report).is_none())
            .collect();
        if !unproven.is_empty() {
            let mut names: Vec<&str> = unproven.iter().map(|report| report.organisation.as_str()).collect();
            names.dedup();
            names.truncate(MAX_NAMES);
            let _ = writeln!(
                text,
                "    {} of these reports are NOT PROVEN to be of those they name: {}",
                unproven.len(),
                names.join(", ")
            );
        }
        let omitted: u64 = reports.iter().filter_map(|report| omitted(report)).sum();
        if omitted > 0 {
            let _ = writeln!(text, "    {omitted} smaller entries of these reports were not kept");
        }
        for report in reports.iter().filter(|report| report.kind == ReportKind::Tls) {
            sessions(&mut text, report);
        }
    }
    if text.is_empty() { "no reports have come in\n".to_owned() } else { text }
}

/// What one source sent in our name.
#[derive(Default)]
struct Source {
    passed: u64,
    failed: u64,
    refused: u64,
    quarantined: u64,
    signers: Vec<String>,
}

fn sources(text: &mut String, reports: &[aggregate::Report]) {
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for row in reports.iter().flat_map(|report| &report.rows) {
        let name = row.source.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
        let source = sources.entry(name).or_default();
        if row.dkim_aligned || row.spf_aligned {
            source.passed = source.passed.saturating_add(row.count);
            continue;
        }
        source.failed = source.failed.saturating_add(row.count);
        match row.disposition {
            aggregate::Disposition::Reject => source.refused = source.refused.saturating_add(row.count),
            aggregate::Disposition::Quarantine => {
                source.quarantined = source.quarantined.saturating_add(row.count);
            }
            aggregate::Disposition::None | aggregate::Disposition::Pass => {}
        }
        let passed = row.dkim.iter().filter(|result| result.result == "pass").map(|result| &result.domain);
        let passed = passed
            .chain(row.spf.iter().filter(|result| result.result == "pass").map(|result| &result.domain));
        for domain in passed {
            if source.signers.len() < 5 && !source.signers.contains(domain) {
                source.signers.push(domain.clone());
            }
        }
    }
    for (name, source) in sources.iter().filter(|(_, source)| source.passed > 0) {
        let _ = writeln!(text, "    {name} sent {} messages that are proven to be ours", source.passed);
    }
    for (name, source) in sources.iter().filter(|(_, source)| source.failed > 0) {
        let Source { failed, refused, quarantined, signers, .. } = source;
        let who = if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") };
        let _ = writeln!(
            text,
            "    {name} sent {failed} messages in our name that nothing proves to be ours \
             (vouched for by {who}): {refused} refused, {quarantined} put aside"
        );
    }
}

fn sessions(text: &mut String, report: &ReceivedReport) {
    let _ = writeln!(text, "    TLS, by {}{}: {}", report.organisation, mark(report), summary(report));
    let Ok(read) = tls::Report::from_json(report.content.as_bytes()) else { return };
    for failure in read.policies.iter().flat_map(|policy| &policy.failure_details) {
        let host = failure.receiving_mx_hostname.as_deref().unwrap_or("an unknown host");
        let _ = writeln!(
            text,
            "        {} sessions with {host}: {}",
            failure.failed_session_count, failure.result_type
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(content: String) -> ReceivedReport {
        ReceivedReport {
            kind: ReportKind::Dmarc,
            domain: "example.org".to_owned(),
            organisation: "Far\u{1b}".to_owned(),
            report_id: "1".to_owned(),
            begin: 1_764_028_800,
            end: 1_764_115_199,
            arrived: 1_764_115_200,
            content,
        }
    }

    fn two_sources() -> ReceivedReport {
        let row = |source: &str, count, dkim_aligned, disposition| aggregate::Row {
            source: source.parse().ok(),
            count,
            dkim_aligned,
            disposition,
            ..aggregate::Row::default()
        };
        let rows = vec![
            row("192.0.2.1", 7, true, aggregate::Disposition::Pass),
            row("192.0.2.66", 3, false, aggregate::Disposition::Reject),
        ];
        tamed(&report(aggregate::Report { rows, ..aggregate::Report::default() }.to_json()))
    }

    #[test]
    fn no_word_of_a_report_begins_a_line_or_says_who_wrote_it() {
        let forged = "x\n2026-01-01  example.org  dmarc  Google (proven: google.com)\r\n\u{1b}[2J\u{202e}y";
        let sessions = json!({
            "organization-name": forged, "report-id": forged,
            "date-range": { "start-datetime": "2026-11-25T00:00:00Z", "end-datetime": "2026-11-25T23:59:59Z" },
            "policies": [{
                "policy": { "policy-type": forged, "policy-domain": forged },
                "summary": { "total-successful-session-count": 0, "total-failure-session-count": 1 },
                "failure-details": [{
                    "result-type": forged, "receiving-mx-hostname": forged, "failed-session-count": 1,
                }],
            }],
        });
        let passed = aggregate::DkimResult {
            domain: forged.to_owned(),
            result: "pass".to_owned(),
            ..aggregate::DkimResult::default()
        };
        let row = aggregate::Row { count: 1, dkim: vec![passed], ..aggregate::Row::default() };
        let mail = aggregate::Report { rows: vec![row], ..aggregate::Report::default() };
        let of = |kind, content| {
            tamed(&ReceivedReport {
                kind,
                organisation: forged.to_owned(),
                report_id: forged.to_owned(),
                ..report(content)
            })
        };
        let all = [of(ReportKind::Dmarc, mail.to_json()), of(ReportKind::Tls, sessions.to_string())];
        assert_eq!(list(&all).lines().count(), 2, "{}", list(&all));
        let shown = show(&all);
        assert_eq!(shown.lines().count(), 5, "{shown}");
        assert!(shown.lines().skip(1).all(|line| line.starts_with("    ")), "{shown}");
        for text in [list(&all), shown] {
            assert!(!text.contains(|c| c != '\n' && visible::is_active(c)), "{text:?}");
            assert!(text.contains("NOT PROVEN"), "{text}");
        }
        let content = two_sources().content.replacen('{', "{\"proven\":\"far.example\",", 1);
        let proven = ReceivedReport { content, ..two_sources() };
        let told = list(std::slice::from_ref(&proven)) + &show(&[proven]);
        assert!(
            told.contains("Far\u{fffd} (proven: far.example): 10") && !told.contains("NOT PROVEN"),
            "{told}"
        );
    }

    #[test]
    fn sources_are_told_in_plain_words() {
        assert_eq!(
            list(&[two_sources()]),
            "2025-11-25  example.org  dmarc  Far\u{fffd} (NOT PROVEN: anybody could have written it): 10 messages, 7 passed, 3 failed\n"
        );
        let shown = show(&[two_sources()]);
        for expected in [
            "192.0.2.1 sent 7 messages that are proven to be ours",
            "192.0.2.66 sent 3 messages in our name that nothing proves to be ours (vouched for by nobody): 3 refused, 0 put aside",
        ] {
            assert!(shown.contains(expected), "{shown}");
        }
        assert_eq!(show(&[]), "no reports have come in\n");
        let content = two_sources().content.replacen('{', "{\"omitted\":49000,", 1);
        let cut =
            tamed(&ReceivedReport { content, organisation: "Far\u{202e}raF".to_owned(), ..two_sources() });
        assert!(list(std::slice::from_ref(&cut)).ends_with(
            "Far\u{fffd}raF (NOT PROVEN: anybody could have written it): 10 messages, 7 passed, 3 failed (without 49000 smaller entries that were not kept)\n"
        ));
        assert!(
            show(std::slice::from_ref(&cut))
                .contains("    49000 smaller entries of these reports were not kept\n")
        );
        for (report, expected) in [(cut, 49_000), (two_sources(), 0)] {
            let json: Value = serde_json::from_str(&list_json(&[report])).unwrap_or_default();
            assert_eq!(json["items"][0]["omitted"], expected, "{json}");
        }
    }

    #[test]
    fn a_day_is_a_date() {
        assert_eq!(day("1970-01-03"), Ok(2));
        for text in ["", "yesterday", "2026-13-01", "1969-12-31T"] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
