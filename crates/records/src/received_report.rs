//! Reports that others sent us, kept as they were understood.

use rusqlite::{Connection, params};

use crate::RecordsError;
use crate::judged::ReportKind;

/// Most reports that are kept; the oldest make room. Anybody may write to the address that takes them.
const MAX_REPORTS: usize = 2_000;
/// Longest content of one, in octets; whoever hands it in cuts it down before.
pub const MAX_CONTENT: usize = 512 * 1024;

/// What we say in the content of a report: how many of its parts were left out.
pub const OMITTED: &str = "omitted";
/// The same: the domain that is proven to have written it.
pub const PROVEN: &str = "proven";

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedReport {
    /// About what.
    pub kind: ReportKind,
    /// About whom.
    pub domain: String,
    /// Who wrote it, in its own words.
    pub organisation: String,
    /// What it calls it.
    pub report_id: String,
    /// The time that it is about, in seconds since 1970.
    pub begin: u64,
    /// Its end.
    pub end: u64,
    /// When it came, in seconds since 1970.
    pub arrived: u64,
    /// The report itself, as text.
    pub content: String,
}

/// A report that comes again counts once.
pub(crate) fn write(connection: &Connection, report: &ReceivedReport) -> rusqlite::Result<()> {
    let ReceivedReport { kind, domain, organisation, report_id, begin, end, arrived, content } = report;
    if content.len() > MAX_CONTENT {
        return Ok(());
    }
    let sql = "INSERT OR IGNORE INTO report (kind, domain, organisation, report_id, begin_at, end_at, arrived, content)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.execute(
        sql,
        params![
            kind.word(),
            domain,
            organisation,
            report_id,
            signed(*begin),
            signed(*end),
            signed(*arrived),
            content
        ],
    )?;
    let room =
        "DELETE FROM report WHERE place <= (SELECT place FROM report ORDER BY place DESC LIMIT 1 OFFSET ?1)";
    connection.execute(room, [MAX_REPORTS])?;
    Ok(())
}

/// SQLite's whole numbers have a sign; times beyond are as good as the last one.
fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

pub(crate) fn prune(connection: &Connection, before: std::time::Duration) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM report WHERE arrived < ?1", [before.as_secs()])?;
    Ok(())
}

/// All reports, in the order of the time that they are about.
pub(crate) fn all(connection: &Connection) -> Result<Vec<ReceivedReport>, RecordsError> {
    let sql = "SELECT kind, domain, organisation, report_id, begin_at, end_at, arrived, content FROM report
        ORDER BY begin_at, place";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let kind: String = row.get(0)?;
        let report = ReceivedReport {
            kind: ReportKind::parse(&kind).unwrap_or(ReportKind::Dmarc),
            domain: row.get(1)?,
            organisation: row.get(2)?,
            report_id: row.get(3)?,
            begin: row.get(4)?,
            end: row.get(5)?,
            arrived: row.get(6)?,
            content: row.get(7)?,
        };
        Ok(report)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
