//! Reading aggregate reports of others, of RFC 9990, RFC 7489 and those who know neither well.

use kings_mail::charset;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::{Disposition, DkimResult, Override, Report, Row, SpfResult};
use crate::dmarc::{Alignment, Policy};

/// Most rows of a report: ours; the largest of a day have some ten thousand.
pub const MAX_ROWS: usize = 100_000;
/// How deep elements may lie: ours; the format has six levels.
pub const MAX_DEPTH: usize = 16;
/// Most signatures, reasons or SPF results of one row that are kept (RFC 9990 §2.1.2 asks for no more than 100).
pub const MAX_VALUES: usize = 100;
/// Most signatures, reasons and SPF results of all rows together: ours; an empty element of seven octets costs a hundred
/// octets of memory.
pub const MAX_ALL_VALUES: usize = 500_000;
/// Longest text of one element that is kept, in octets: ours.
const MAX_TEXT: usize = 1_024;

/// Most messages of one row: ours, a million millions; the whole world writes less in a day.
pub const MAX_COUNT: u64 = 1_000_000_000_000;
/// How much of a value is told in an error, in characters.
const MAX_QUOTED: usize = 40;

/// The file is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// Not XML.
    #[error("not well-formed: {0}")]
    Xml(String),
    /// A document type: nothing in a report needs one, and with one come entities.
    #[error("a document type is declared")]
    DocType,
    /// Deeper than [`MAX_DEPTH`].
    #[error("elements lie more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More rows than [`MAX_ROWS`].
    #[error("more than {MAX_ROWS} records")]
    TooManyRows,
    /// More results than [`MAX_ALL_VALUES`].
    #[error("more than {MAX_ALL_VALUES} results")]
    TooManyValues,
    /// Not a number of messages, or over [`MAX_COUNT`].
    #[error("a record counts {0:?} messages")]
    Count(String),
    /// An element that a report must have is not there.
    #[error("there is no {0}")]
    Missing(&'static str),
}

impl Report {
    /// Reads a report. Elements nobody knows are skipped, values that cannot be read are as good as absent, but for a count of
    /// messages; without
    /// an organisation, a report id or a domain it is none.
    pub fn from_xml(xml: &[u8]) -> Result<Self, BadReport> {
        let text = charset::of_xml(xml);
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut reading = Reading::default();
        loop {
            match reader.read_event().map_err(|error| BadReport::Xml(error.to_string()))? {
                Event::Start(start) => reading.open(start.local_name().into_inner())?,
                Event::Empty(start) => {
                    reading.open(start.local_name().into_inner())?;
                    reading.close()?;
                }
                Event::End(_) => reading.close()?,
                Event::Text(text) => reading.add(&text),
                Event::CData(text) => reading.add(&text),
                Event::GeneralRef(reference) => reading.add(&resolved(&reference)),
                Event::DocType(_) => return Err(BadReport::DocType),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        reading.report()
    }
}

/// The characters that XML itself names; there are no others without a document type.
fn resolved(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return c.to_string();
    }
    match reference.xml10_content().as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "apos" => "'",
        "quot" => "\"",
        _ => "",
    }
    .to_owned()
}

/// What was read so far, and where we are.
#[derive(Default)]
struct Reading {
    path: Vec<String>,
    text: String,
    report: Report,
    row: Row,
    /// Signatures, reasons and SPF results of all rows.
    values: usize,
    subdomains: Option<Policy>,
}

impl Reading {
    fn open(&mut self, name: &str) -> Result<(), BadReport> {
        if self.path.len() >= MAX_DEPTH {
            return Err(BadReport::TooDeep);
        }
        self.path.push(name.chars().take(MAX_TEXT).collect());
        self.text.clear();
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [_, "record"] if self.report.rows.len() >= MAX_ROWS => return Err(BadReport::TooManyRows),
            [_, "record"] => self.row = Row::default(),
            [_, "record", "auth_results", "dkim"] => self.values += push(&mut self.row.dkim),
            [_, "record", "auth_results", "spf"] => self.values += push(&mut self.row.spf),
            [_, "record", "row", "policy_evaluated", "reason"] => {
                self.values += push(&mut self.row.overrides);
            }
            _ => {}
        }
        if self.values > MAX_ALL_VALUES { Err(BadReport::TooManyValues) } else { Ok(()) }
    }

    fn add(&mut self, text: &str) {
        let room = MAX_TEXT.saturating_sub(self.text.len());
        self.text.extend(text.chars().take(room));
    }

    fn close(&mut self) -> Result<(), BadReport> {
        let text = self.text.trim().to_owned();
        let mut names = std::mem::take(&mut self.path);
        let path: Vec<&str> = names.iter().map(String::as_str).collect();
        match path.as_slice() {
            [_, "record"] => self.report.rows.push(std::mem::take(&mut self.row)),
            [_, "report_metadata", rest @ ..] => self.metadata(rest, text),
            [_, "policy_published", name] => self.policy(name, text),
            [_, "record", rest @ ..] => self.record(rest, text)?,
            _ => {}
        }
        names.pop();
        self.path = names;
        self.text.clear();
        Ok(())
    }

    fn metadata(&mut self, path: &[&str], text: String) {
        let metadata = &mut self.report.metadata;
        match path {
            ["org_name"] => metadata.org_name = text,
            ["email"] => metadata.email = text,
            ["extra_contact_info"] => metadata.extra_contact_info = Some(text),
            ["report_id"] => metadata.report_id = text,
            ["error"] => metadata.error = Some(text),
            ["date_range", "begin"] => metadata.begin = seconds(&text),
            ["date_range", "end"] => metadata.end = seconds(&text),
            _ => {}
        }
    }

    fn policy(&mut self, name: &str, text: String) {
        let policy = &mut self.report.policy;
        match name {
            "domain" => policy.domain = text,
            "discovery_method" => policy.discovery_method = Some(text),
            "adkim" => policy.adkim = alignment(&text),
            "aspf" => policy.aspf = alignment(&text),
            "p" => policy.policy = Policy::parse(&text).unwrap_or_default(),
            "sp" => self.subdomains = Policy::parse(&text),
            "np" => policy.nonexistent = Policy::parse(&text),
            "testing" => policy.testing = text.eq_ignore_ascii_case("y"),
            "fo" => policy.failure_options = Some(text),
            _ => {}
        }
    }

    fn record(&mut self, path: &[&str], text: String) -> Result<(), BadReport> {
        let row = &mut self.row;
        match path {
            ["row", "source_ip"] => row.source = text.parse().ok(),
            ["row", "count"] => row.count = messages(&text)?,
            ["row", "policy_evaluated", "disposition"] => row.disposition = disposition(&text),
            ["row", "policy_evaluated", "dkim"] => row.dkim_aligned = text.eq_ignore_ascii_case("pass"),
            ["row", "policy_evaluated", "spf"] => row.spf_aligned = text.eq_ignore_ascii_case("pass"),
            ["row", "policy_evaluated", "reason", name] => set_override(row.overrides.last_mut(), name, text),
            ["identifiers", "header_from"] => row.header_from = text,
            ["identifiers", "envelope_from"] => row.envelope_from = Some(text),
            ["identifiers", "envelope_to"] => row.envelope_to = Some(text),
            ["auth_results", "dkim", name] => set_dkim(row.dkim.last_mut(), name, text),
            ["auth_results", "spf", name] => set_spf(row.spf.last_mut(), name, text),
            _ => {}
        }
        Ok(())
    }

    fn report(mut self) -> Result<Report, BadReport> {
        let missing = [
            ("org_name", &self.report.metadata.org_name),
            ("report_id", &self.report.metadata.report_id),
            ("domain", &self.report.policy.domain),
        ];
        if let Some((name, _)) = missing.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(BadReport::Missing(name));
        }
        self.report.policy.subdomains = self.subdomains.unwrap_or(self.report.policy.policy);
        Ok(self.report)
    }
}

/// A list over its limit keeps its last value for what follows, so that nothing else is overwritten.
/// Returns how many more there are now.
fn push<T: Default>(list: &mut Vec<T>) -> usize {
    let more = if list.len() < MAX_VALUES { 1 } else { list.pop().map_or(1, |_| 0) };
    list.push(T::default());
    more
}

fn set_override(reason: Option<&mut Override>, name: &str, text: String) {
    match (reason, name) {
        (Some(reason), "type") => reason.kind = text,
        (Some(reason), "comment") => reason.comment = Some(text),
        _ => {}
    }
}

fn set_dkim(result: Option<&mut DkimResult>, name: &str, text: String) {
    match (result, name) {
        (Some(result), "domain") => result.domain = text,
        (Some(result), "selector") => result.selector = text,
        (Some(result), "result") => result.result = text,
        (Some(result), "human_result") => result.human_result = Some(text),
        _ => {}
    }
}

fn set_spf(result: Option<&mut SpfResult>, name: &str, text: String) {
    match (result, name) {
        (Some(result), "domain") => result.domain = text,
        (Some(result), "scope") => result.scope = Some(text),
        (Some(result), "result") => result.result = text,
        (Some(result), "human_result") => result.human_result = Some(text),
        _ => {}
    }
}

fn alignment(text: &str) -> Alignment {
    if text.eq_ignore_ascii_case("s") { Alignment::Strict } else { Alignment::Relaxed }
}

fn disposition(text: &str) -> Disposition {
    match text.to_ascii_lowercase().as_str() {
        "pass" => Disposition::Pass,
        "quarantine" => Disposition::Quarantine,
        "reject" => Disposition::Reject,
        _ => Disposition::None,
    }
}

/// How many messages a row is about: what a report is for, so that one without a sense spoils it. Taken for none or for as
/// many as fit, it would hide what happened or drown all else.
fn messages(text: &str) -> Result<u64, BadReport> {
    let count = text.parse().ok().filter(|count| *count <= MAX_COUNT);
    count.ok_or_else(|| BadReport::Count(text.chars().take(MAX_QUOTED).collect()))
}

/// Some write fractions.
fn seconds(text: &str) -> u64 {
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}
