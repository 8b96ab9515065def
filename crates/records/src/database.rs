//! The file: how it is opened, what its tables are, and what happens to one that cannot be used.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tracing::warn;

use crate::received_report;
use crate::records::RecordsError;

/// The version of the tables below. A later one is left alone.
const VERSION: i64 = 1;
/// Longest wait for another process that holds the file.
const BUSY: Duration = Duration::from_secs(5);

pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS trace (
    place INTEGER PRIMARY KEY,          -- microseconds since 1970, made unique
    id TEXT NOT NULL,
    step TEXT NOT NULL,
    sender TEXT COLLATE NOCASE,
    recipient TEXT COLLATE NOCASE,
    message_id TEXT,
    remote TEXT,
    reply TEXT
);
CREATE INDEX IF NOT EXISTS trace_message ON trace (substr(id, 1, 15));
DROP INDEX IF EXISTS trace_id;
CREATE INDEX IF NOT EXISTS trace_sender ON trace (sender) WHERE sender IS NOT NULL;
CREATE INDEX IF NOT EXISTS trace_recipient ON trace (recipient) WHERE recipient IS NOT NULL;
CREATE INDEX IF NOT EXISTS trace_message_id ON trace (message_id) WHERE message_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS tls_result (
    day INTEGER NOT NULL,               -- days since 1970
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,
    policy_text TEXT NOT NULL,
    host TEXT NOT NULL,
    failure TEXT NOT NULL,              -- empty for a success
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, policy, policy_text, host, failure)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS judged (
    day INTEGER NOT NULL,               -- days since 1970
    domain TEXT NOT NULL,               -- where the policy stands
    facts TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (day, domain, facts)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS report_sent (
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (kind, domain, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS foreign_report (
    place INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    organisation TEXT NOT NULL,
    report_id TEXT NOT NULL,
    begin_at INTEGER NOT NULL,          -- seconds since 1970
    end_at INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    content TEXT NOT NULL,
    proven TEXT NOT NULL,               -- the domain that is proven to have written it, or nothing
    UNIQUE (kind, domain, organisation, report_id, proven)
);
CREATE TABLE IF NOT EXISTS sts (
    domain TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    policy TEXT NOT NULL,
    fetched INTEGER NOT NULL,           -- seconds since 1970
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acquaintance (
    kind INTEGER NOT NULL,              -- 0 stranger, 1 friend
    key BLOB NOT NULL,
    first INTEGER NOT NULL,             -- seconds since 1970
    last INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS acquaintance_last ON acquaintance (kind, last);
";

/// Opens the file for the writer. A damaged one is set aside: nothing in it is worth a server that does not start.
pub(crate) fn open(path: &Path) -> Result<Connection, RecordsError> {
    match prepare(path) {
        Err(RecordsError::Database(error)) if is_damage(&error) => {
            let aside = path.with_extension("damaged");
            warn!(file = %path.display(), aside = %aside.display(), %error, "records are damaged and set aside");
            fs::rename(path, aside).map_err(RecordsError::SetAside)?;
            for companion in ["sqlite-wal", "sqlite-shm"] {
                let _ = fs::remove_file(path.with_extension(companion));
            }
            prepare(path)
        }
        result => result,
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn prepare(path: &Path) -> Result<Connection, RecordsError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // Before anything is changed: that version may want the file as it left it.
    check_version(&connection)?;
    // Who wrote to whom is for nobody else; SQLite gives its other files the mode of this one.
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(RecordsError::Private)?;
    // Synced at checkpoints only, by the writer thread: a power cut may cost the last notes and nothing else.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(TABLES)?;
    received_report::take_over(&connection)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(connection)
}

fn check_version(connection: &Connection) -> Result<(), RecordsError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION { Err(RecordsError::Newer(version)) } else { Ok(()) }
}

/// Opens the file for a question, beside a server that writes.
pub(crate) fn read(path: &Path) -> Result<Connection, RecordsError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    check_version(&connection)?;
    Ok(connection)
}
