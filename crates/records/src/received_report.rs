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

/// Whether a report has this name.
const NAMED: &str = "kind = ?1 AND domain = ?2 AND organisation = ?3 AND report_id = ?4";

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

/// A report that comes again counts once. What anybody could have written never stands in the way of what is proven, which
/// takes its place; and what two domains wrote under one name are two reports, since each may write what it likes there.
pub(crate) fn write(connection: &Connection, report: &ReceivedReport) -> rusqlite::Result<()> {
    let ReceivedReport { kind, domain, organisation, report_id, begin, end, arrived, content } = report;
    if content.len() > MAX_CONTENT {
        return Ok(());
    }
    let proven = proven_in(connection, content)?;
    let named = params![kind.word(), domain, organisation, report_id];
    if proven.is_empty() {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM foreign_report WHERE {NAMED})");
        if connection.query_row(&sql, named, |row| row.get(0))? {
            return Ok(());
        }
    } else {
        connection.execute(&format!("DELETE FROM foreign_report WHERE {NAMED} AND proven = ''"), named)?;
    }
    let sql = "INSERT OR IGNORE INTO foreign_report
        (kind, domain, organisation, report_id, begin_at, end_at, arrived, content, proven)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
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
            content,
            proven
        ],
    )?;
    let room = "DELETE FROM foreign_report
        WHERE place <= (SELECT place FROM foreign_report ORDER BY place DESC LIMIT 1 OFFSET ?1)";
    connection.execute(room, [MAX_REPORTS])?;
    Ok(())
}

/// The domain that is proven to have written a report, or nothing.
fn proven_in(connection: &Connection, content: &str) -> rusqlite::Result<String> {
    let sql = "SELECT CASE WHEN json_valid(?1) THEN CAST(coalesce(json_extract(?1, '$.' || ?2), '') AS TEXT) ELSE '' END";
    connection.query_row(sql, params![content, PROVEN], |row| row.get(0))
}

/// Takes the reports out of the table of a time when the proof was no part of a report's name.
pub(crate) fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'report')";
    if !connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    for report in all_of(&transaction, "report")? {
        write(&transaction, &report)?;
    }
    transaction.execute("DROP TABLE report", [])?;
    transaction.commit()
}

/// SQLite's whole numbers have a sign; times beyond are as good as the last one.
fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

pub(crate) fn prune(connection: &Connection, before: std::time::Duration) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM foreign_report WHERE arrived < ?1", [before.as_secs()])?;
    Ok(())
}

/// All reports, in the order of the time that they are about.
pub(crate) fn all(connection: &Connection) -> Result<Vec<ReceivedReport>, RecordsError> {
    Ok(all_of(connection, "foreign_report")?)
}

fn all_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ReceivedReport>> {
    let sql = format!(
        "SELECT kind, domain, organisation, report_id, begin_at, end_at, arrived, content FROM {table}
        ORDER BY begin_at, place"
    );
    let mut statement = connection.prepare(&sql)?;
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
    rows.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::database::TABLES;

    fn report(id: &str, proven: Option<&str>, words: &str) -> ReceivedReport {
        let proven = proven.map(|domain| format!("\"{PROVEN}\":\"{domain}\",")).unwrap_or_default();
        ReceivedReport {
            kind: ReportKind::Dmarc,
            domain: "example.org".to_owned(),
            organisation: "Far".to_owned(),
            report_id: id.to_owned(),
            begin: 1,
            end: 2,
            arrived: 3,
            content: format!("{{{proven}\"words\":\"{words}\"}}"),
        }
    }

    /// Who is proven to have written each, and what it says.
    fn kept(connection: &Connection) -> Vec<String> {
        let word = |report: ReceivedReport| {
            let content = report.content.replace(['{', '}', '"'], "");
            let word = |key: &str| {
                content.split(',').find_map(|pair| pair.strip_prefix(key)).unwrap_or("?").to_owned()
            };
            format!("{} {}", word("proven:"), word("words:"))
        };
        all(connection).unwrap().into_iter().map(word).collect()
    }

    /// RFC 9990 §2.1.2 makes a report-id unique among those of its writer, and anybody may write any.
    #[test]
    fn what_nobody_proves_hides_nothing_that_somebody_does() {
        type Come<'a> = &'a [(Option<&'a str>, &'a str)];
        let (far, evil) = (Some("far.example"), Some("evil.example"));
        let cases: [(Come<'_>, &[&str]); 8] = [
            (&[(None, "forged"), (far, "true")], &["far.example true"]),
            (&[(far, "true"), (None, "forged")], &["far.example true"]),
            (&[(None, "first"), (None, "again")], &["? first"]),
            (&[(far, "first"), (far, "again")], &["far.example first"]),
            (&[(evil, "forged"), (far, "true")], &["evil.example forged", "far.example true"]),
            (&[(far, "true"), (evil, "forged")], &["far.example true", "evil.example forged"]),
            (&[(None, "forged"), (far, "true"), (None, "forged")], &["far.example true"]),
            (&[(None, "one"), (evil, "two"), (far, "three")], &["evil.example two", "far.example three"]),
        ];
        for (come, expected) in cases {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(TABLES).unwrap();
            for (proven, words) in come {
                write(&connection, &report("1", *proven, words)).unwrap();
            }
            assert_eq!(kept(&connection), expected, "{come:?}");
            // Another one, of another name, is another one.
            write(&connection, &report("2", None, "other")).unwrap();
            assert_eq!(kept(&connection).len(), expected.len() + 1);
        }
    }

    #[test]
    fn reports_of_an_older_file_are_taken_over_once() {
        let connection = Connection::open_in_memory().unwrap();
        let old = "CREATE TABLE report (place INTEGER PRIMARY KEY, kind TEXT NOT NULL, domain TEXT NOT NULL,
            organisation TEXT NOT NULL, report_id TEXT NOT NULL, begin_at INTEGER NOT NULL, end_at INTEGER NOT NULL,
            arrived INTEGER NOT NULL, content TEXT NOT NULL, UNIQUE (kind, domain, organisation, report_id));
            INSERT INTO report VALUES (1, 'dmarc', 'example.org', 'Far', '1', 1, 2, 3, '{\"words\":\"old\"}');
            INSERT INTO report VALUES (2, 'dmarc', 'example.org', 'Far', '2', 1, 2, 3,
                '{\"proven\":\"far.example\",\"words\":\"proven\"}');
            INSERT INTO report VALUES (3, 'dmarc', 'example.org', 'Far', '3', 1, 2, 3, 'damaged');";
        connection.execute_batch(old).unwrap();
        connection.execute_batch(TABLES).unwrap();
        for _ in 0..2 {
            take_over(&connection).unwrap();
            assert_eq!(all(&connection).unwrap().len(), 3);
        }
        connection.execute("DELETE FROM foreign_report WHERE content = 'damaged'", []).unwrap();
        assert_eq!(kept(&connection), ["? old", "far.example proven"]);
        write(&connection, &report("1", Some("far.example"), "new")).unwrap();
        assert_eq!(kept(&connection), ["far.example proven", "far.example new"]);
    }
}
