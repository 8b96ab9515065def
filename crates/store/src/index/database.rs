//! The SQLite file of one account's index: its tables, reading and writing one mailbox.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};
use tracing::warn;

use super::{Page, Remembered, packed};
use crate::history::Count;
use crate::message::{Message, ModSeq, UidValidity};

/// The version of the tables below. The index of another version is made anew.
const VERSION: i64 = 1;
/// Longest wait for somebody else who holds the file.
const BUSY: Duration = Duration::from_secs(5);
/// UIDs whose notes stand together, as a power of two: one change of flags writes 17 KB at most.
const CHUNK_BITS: u32 = 10;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS mailbox (
    id INTEGER PRIMARY KEY,
    guid TEXT NOT NULL UNIQUE,          -- as dovecot-uidlist has it
    validity INTEGER NOT NULL,
    ceiling INTEGER NOT NULL,           -- as kings-state had it: with another one nothing here counts
    highest INTEGER NOT NULL,
    floor INTEGER NOT NULL,             -- removals up to this number may be missing
    removals BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS message (
    mailbox INTEGER NOT NULL,
    chunk INTEGER NOT NULL,             -- UID / 1024
    notes BLOB NOT NULL,
    PRIMARY KEY (mailbox, chunk)
);
";

#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its notes are damaged")]
    Damaged,
}

/// What is kept of a mailbox, and under which UIDVALIDITY.
pub(crate) fn read(file: &Path, guid: &str) -> Result<Option<(UidValidity, Remembered)>, IndexError> {
    let Some(mut connection) = open_to_read(file, VERSION)? else { return Ok(None) };
    // Both tables as one writing left them.
    let reading = connection.transaction()?;
    let Some((id, validity, count)) = mailbox(&reading, guid)? else { return Ok(None) };
    let mut messages = Vec::new();
    let mut chunks = reading.prepare("SELECT notes FROM message WHERE mailbox = ?1 ORDER BY chunk")?;
    let mut rows = chunks.query([id])?;
    while let Some(row) = rows.next()? {
        let notes = row.get_ref(0)?.as_blob().map_err(|_| IndexError::Damaged)?;
        messages.extend(packed::read_messages(notes).ok_or(IndexError::Damaged)?);
    }
    let is_sound =
        messages.is_sorted_by(|a, b| a.uid < b.uid) && messages.iter().all(|m| m.modseq <= count.highest);
    if is_sound { Ok(Some((validity, Remembered { count, messages }))) } else { Err(IndexError::Damaged) }
}

fn mailbox(reading: &Transaction<'_>, guid: &str) -> Result<Option<(i64, UidValidity, Count)>, IndexError> {
    let sql = "SELECT id, validity, ceiling, highest, floor, removals FROM mailbox WHERE guid = ?1";
    let row = reading
        .query_row(sql, [guid], |row| {
            let numbers: [u64; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((row.get(0)?, row.get::<_, u32>(1)?, numbers.map(ModSeq::new), row.get::<_, Vec<u8>>(5)?))
        })
        .optional()?;
    let Some((id, validity, [ceiling, highest, floor], removals)) = row else { return Ok(None) };
    let validity = NonZeroU32::new(validity).map(UidValidity).ok_or(IndexError::Damaged)?;
    let removals = packed::read_removals(&removals).ok_or(IndexError::Damaged)?;
    Ok(Some((id, validity, Count { ceiling, highest, floor, removals })))
}

/// Writes what has changed of a mailbox since the index knew it. A damaged file is made anew.
pub(crate) fn write(file: &Path, page: &Page) -> Result<(), IndexError> {
    match write_once(file, page) {
        Err(IndexError::Database(error)) if is_damage(&error) => {
            warn!(file = %file.display(), %error, "a damaged index is made anew");
            remove(file);
            write_once(file, page)
        }
        result => result,
    }
}

fn write_once(file: &Path, page: &Page) -> Result<(), IndexError> {
    let mut connection = open(file)?;
    let writing = connection.transaction()?;
    let known = mailbox(&writing, &page.guid).unwrap_or_default();
    // Only what the index was left with can be added to.
    let is_known = known.as_ref().is_some_and(|(_, validity, count)| {
        *validity == page.snapshot.uid_validity && count.highest == page.indexed
    });
    let count = &page.count;
    let sql = "INSERT INTO mailbox (guid, validity, ceiling, highest, floor, removals) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (guid) DO UPDATE SET validity = ?2, ceiling = ?3, highest = ?4, floor = ?5, removals = ?6
               RETURNING id";
    let (validity, removals) = (page.snapshot.uid_validity.0.get(), packed::removals(&count.removals));
    let numbers = [count.ceiling, count.highest, count.floor].map(ModSeq::get);
    let values = params![page.guid, validity, numbers[0], numbers[1], numbers[2], removals];
    let id: i64 = writing.query_row(sql, values, |row| row.get(0))?;
    if is_known {
        for chunk in changed_chunks(page) {
            write_chunk(&writing, id, chunk, &page.snapshot.messages)?;
        }
    } else {
        writing.execute("DELETE FROM message WHERE mailbox = ?1", [id])?;
        for chunk in page.snapshot.messages.chunk_by(|a, b| chunk_of(a.uid.get()) == chunk_of(b.uid.get())) {
            let Some(first) = chunk.first() else { continue };
            write_chunk(&writing, id, chunk_of(first.uid.get()), chunk)?;
        }
    }
    Ok(writing.commit()?)
}

fn chunk_of(uid: u32) -> u32 {
    uid >> CHUNK_BITS
}

/// Where something has arrived, changed or gone since.
fn changed_chunks(page: &Page) -> BTreeSet<u32> {
    let changed = page.snapshot.messages.iter().filter(|message| message.modseq > page.indexed);
    let gone = page.count.removals.iter().filter(|removal| removal.modseq > page.indexed);
    changed
        .map(|message| chunk_of(message.uid.get()))
        .chain(gone.map(|removal| chunk_of(removal.uid.get())))
        .collect()
}

/// Writes the notes of those of `messages` that stand in a chunk.
fn write_chunk(
    writing: &Transaction<'_>,
    mailbox: i64,
    chunk: u32,
    messages: &[Message],
) -> Result<(), IndexError> {
    let start = messages.partition_point(|message| chunk_of(message.uid.get()) < chunk);
    let end = messages.partition_point(|message| chunk_of(message.uid.get()) <= chunk);
    if start == end {
        writing.execute("DELETE FROM message WHERE mailbox = ?1 AND chunk = ?2", params![mailbox, chunk])?;
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO message (mailbox, chunk, notes) VALUES (?1, ?2, ?3)";
    writing.prepare_cached(sql)?.execute(params![
        mailbox,
        chunk,
        packed::messages(messages[start..end].iter())
    ])?;
    Ok(())
}

/// Removes all that is kept of the mailboxes whose GUID `is_gone`.
pub(super) fn forget(file: &Path, is_gone: impl Fn(&str) -> bool) -> Result<(), IndexError> {
    let Some(mut connection) = open_to_read(file, VERSION)? else { return Ok(()) };
    let writing = connection.transaction()?;
    let known: Vec<(i64, String)> = {
        let mut all = writing.prepare("SELECT id, guid FROM mailbox")?;
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    for (id, _) in known.iter().filter(|(_, guid)| is_gone(guid)) {
        writing.execute("DELETE FROM message WHERE mailbox = ?1", [id])?;
        writing.execute("DELETE FROM mailbox WHERE id = ?1", [id])?;
    }
    Ok(writing.commit()?)
}

/// What is wrong with a file; nothing where there is none.
pub(super) fn damage(file: &Path) -> Option<String> {
    if !file.exists() {
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let check = || -> rusqlite::Result<String> {
        let connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    match check() {
        Ok(verdict) => (verdict != "ok").then_some(verdict),
        Err(error) => Some(error.to_string()),
    }
}

/// Removes a file with what SQLite keeps beside it.
pub(super) fn remove(file: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(name);
    }
}

/// Opens a file that is there and of this version.
pub(super) fn open_to_read(file: &Path, expected: i64) -> Result<Option<Connection>, IndexError> {
    if !file.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok((version(&connection)? == expected).then_some(connection))
}

fn open(file: &Path) -> Result<Connection, IndexError> {
    open_to_write(file, VERSION, (TABLES, &["mailbox", "message"]))
}

/// Opens a file, or makes it; the tables of another version go.
pub(super) fn open_to_write(
    file: &Path,
    expected: i64,
    (tables, names): (&str, &[&str]),
) -> Result<Connection, IndexError> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let connection = Connection::open(file)?;
    // Whose mail has which flags is for nobody else; SQLite gives its other files the mode of this one.
    fs::set_permissions(file, Permissions::from_mode(0o600))?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may cost what was written last: then the ceiling is another one, and nothing here counts.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    if version(&connection)? != expected {
        for name in names {
            connection.execute_batch(&format!("DROP TABLE IF EXISTS {name};"))?;
        }
    }
    connection.execute_batch(tables)?;
    connection.pragma_update(None, "user_version", expected)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}
