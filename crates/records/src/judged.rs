//! Mail that DMARC judged, counted by day and policy domain, and which reports about it have gone: what aggregate reports
//! are made of.

use std::time::Duration;

use kings_mail::domain::Domain;
use rusqlite::{Connection, params};

use crate::RecordsError;

const DAY: u64 = 24 * 60 * 60;
/// Most kinds of messages of one domain and day that are told apart: ours. A forger who makes up a new sender for each
/// message must not fill the disk; what comes beyond is counted by no report.
pub const MAX_KINDS: usize = 10_000;
/// Longest description of one kind that is kept, in octets: ours. A message with a hundred signatures stays below.
const MAX_FACTS: usize = 32 * 1024;

/// One message that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Where the policy stands.
    pub domain: Domain,
    /// All that a report says of it, as text; equal for messages alike.
    pub facts: String,
}

/// Messages alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What a report says of each.
    pub facts: String,
    /// How many.
    pub messages: u64,
}

/// Reports that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportKind {
    /// About mail (RFC 9990).
    Dmarc,
    /// About sessions (RFC 8460).
    Tls,
}

impl ReportKind {
    /// The word that the file and JSON use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dmarc => "dmarc",
            Self::Tls => "tls",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Dmarc, Self::Tls].into_iter().find(|kind| kind.word() == word)
    }
}

/// A report that is to be written, or was: about one domain and day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportDay {
    /// About what.
    pub kind: ReportKind,
    /// About whom.
    pub domain: Domain,
    /// Days since 1970 (UTC).
    pub day: u64,
}

pub(crate) fn write(connection: &Connection, at: Duration, judged: &Judged) -> rusqlite::Result<()> {
    let Judged { domain, facts } = judged;
    if facts.len() > MAX_FACTS {
        return Ok(());
    }
    let row = params![at.as_secs() / DAY, domain.as_str(), facts];
    let known = "UPDATE judged SET messages = messages + 1 WHERE day = ?1 AND domain = ?2 AND facts = ?3";
    if connection.prepare_cached(known)?.execute(row)? > 0 {
        return Ok(());
    }
    let new = format!(
        "INSERT INTO judged SELECT ?1, ?2, ?3, 1 WHERE
         (SELECT count(*) FROM (SELECT 1 FROM judged WHERE day = ?1 AND domain = ?2 LIMIT {MAX_KINDS})) < {MAX_KINDS}"
    );
    connection.prepare_cached(&new)?.execute(row)?;
    Ok(())
}

pub(crate) fn mark_sent(connection: &Connection, report: &ReportDay) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO report_sent (kind, domain, day) VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![report.kind.word(), report.domain.as_str(), report.day])?;
    Ok(())
}

pub(crate) fn prune(connection: &Connection, before: Duration) -> rusqlite::Result<()> {
    let day = before.as_secs() / DAY;
    connection.execute("DELETE FROM judged WHERE day < ?1", [day])?;
    connection.execute("DELETE FROM report_sent WHERE day < ?1", [day])?;
    Ok(())
}

/// The messages of one domain and day, the most frequent kinds first.
pub(crate) fn kinds(connection: &Connection, domain: &Domain, day: u64) -> Result<Vec<Kind>, RecordsError> {
    let sql =
        "SELECT facts, messages FROM judged WHERE day = ?1 AND domain = ?2 ORDER BY messages DESC, facts";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params![day, domain.as_str()], |row| {
        Ok(Kind { facts: row.get(0)?, messages: row.get(1)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Domains and days of which something is on record.
pub(crate) fn days(
    connection: &Connection,
    kind: ReportKind,
    range: std::ops::Range<u64>,
    unsent_only: bool,
) -> Result<Vec<ReportDay>, RecordsError> {
    let table = match kind {
        ReportKind::Dmarc => "judged",
        ReportKind::Tls => "tls_result",
    };
    let unsent = "AND NOT EXISTS (SELECT 1 FROM report_sent AS sent
        WHERE sent.kind = ?3 AND sent.domain = data.domain AND sent.day = data.day)";
    let sql = format!(
        "SELECT DISTINCT day, domain FROM {table} AS data WHERE day >= ?1 AND day < ?2 AND ?3 = ?3 {} ORDER BY day, domain",
        if unsent_only { unsent } else { "" }
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params![range.start, range.end, kind.word()], |row| {
        Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (day, domain) = row?;
        if let Ok(domain) = Domain::parse(&domain) {
            found.push(ReportDay { kind, domain, day });
        }
    }
    Ok(found)
}
