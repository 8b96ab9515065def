//! What was learnt from messages, in sheets that are read apart from each other: the SQLite file, reading and writing.
//!
//! Each sheet is sealed with a checksum over itself and all that it belongs to: the mailbox, the UID, the name of the file,
//! its date and size, and the version of whoever made it. A sheet that is damaged, or of a file that is another one now, is
//! as good as none.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Statement, Transaction, params};

use super::concordances;
use super::database::{self, IndexError};
use crate::message::{Message, Snapshot, Uid, UidValidity};

/// The version of the tables below. A file of another version is made anew.
const VERSION: i64 = 4;
/// Longest sheet that is kept; the few messages with more are read each time.
const MAX_SHEET: usize = 64 * 1024;
const CHECKSUM: usize = 4;
/// A range of UIDs with at most so many more than are wanted is read as a whole.
const SPARSE: usize = 4;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS mailbox (
    id INTEGER PRIMARY KEY,
    guid TEXT NOT NULL UNIQUE,          -- as dovecot-uidlist has it
    validity INTEGER NOT NULL
);
-- key: the mailbox's id above, the UID below bit 32
CREATE TABLE IF NOT EXISTS listing (key INTEGER PRIMARY KEY, sheet BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sorting (key INTEGER PRIMARY KEY, sheet BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS threading (key INTEGER PRIMARY KEY, sheet BLOB NOT NULL);
-- key: the mailbox's id above, the number of the concordance below bit 32
CREATE TABLE IF NOT EXISTS concordance (key INTEGER PRIMARY KEY, front BLOB NOT NULL, behind BLOB NOT NULL);
-- Messages that are gone from a mailbox and still stand in a concordance; key as of a message.
CREATE TABLE IF NOT EXISTS departed (key INTEGER PRIMARY KEY);
";

/// What a sheet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sheet {
    /// What lists of messages show.
    Listing,
    /// What messages are sorted by.
    Sorting,
    /// What puts messages into threads.
    Threading,
}

impl Sheet {
    /// Every sheet of a message, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::Listing, Self::Sorting, Self::Threading];

    fn table(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::Sorting => "sorting",
            Self::Threading => "threading",
        }
    }
}

/// What was learnt from one message, with the seal that it belongs under.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) uid: Uid,
    pub(crate) seal: Seal,
    pub(crate) sheets: [Vec<u8>; Sheet::ALL.len()],
}

impl Row {
    pub(crate) fn octets(&self) -> usize {
        self.sheets.iter().map(Vec::len).sum()
    }
}

/// All that a sheet belongs to, as the state of a checksum that the sheet goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal(u32);

impl From<u32> for Seal {
    fn from(state: u32) -> Self {
        Self(state)
    }
}

impl Seal {
    /// The state of the checksum.
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    /// The seal for the message whose file has this base.
    pub(crate) fn of(message: &Message, base: &[u8], version: u32) -> Self {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&version.to_le_bytes());
        checksum.update(&message.internal_date.to_le_bytes());
        checksum.update(&message.size.to_le_bytes());
        checksum.update(base);
        Self(checksum.finalize())
    }

    fn over(self, key: i64, sheet: &[u8]) -> [u8; CHECKSUM] {
        let mut checksum = crc32fast::Hasher::new_with_initial(self.0);
        checksum.update(&key.to_le_bytes());
        checksum.update(sheet);
        checksum.finalize().to_le_bytes()
    }

    fn unsealed(self, key: i64, sealed: &[u8]) -> Option<&[u8]> {
        let (sheet, checksum) = sealed.split_last_chunk::<CHECKSUM>()?;
        (self.over(key, sheet) == *checksum).then_some(sheet)
    }
}

/// The sheets of one mailbox, open for reading.
#[derive(Debug)]
pub(crate) struct Sheets {
    connection: Connection,
    /// The mailbox's id, shifted.
    above: i64,
}

impl Sheets {
    pub(super) fn open(file: &Path, guid: &str, validity: UidValidity) -> Result<Option<Self>, IndexError> {
        let opened = open_to_read(file, guid, validity)?;
        Ok(opened.map(|(connection, id)| Self { connection, above: above(id) }))
    }

    /// Hands each sheet that counts to `take`, with its place among `wanted`, which rises.
    pub(crate) fn read(
        &self,
        sheet: Sheet,
        wanted: &[(Uid, Seal)],
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), IndexError> {
        let (Some((first, _)), Some((last, _))) = (wanted.first(), wanted.last()) else { return Ok(()) };
        let table = sheet.table();
        let span = (last.get() - first.get()) as usize;
        if span / SPARSE > wanted.len() {
            let sql = format!("SELECT key, sheet FROM {table} WHERE key BETWEEN ?1 AND ?2");
            let mut one = self.connection.prepare_cached(&sql)?;
            for (place, wanted) in wanted.iter().enumerate() {
                self.rows(&mut one, std::slice::from_ref(wanted), &mut |_, sheet| take(place, sheet))?;
            }
            return Ok(());
        }
        let sql = format!("SELECT key, sheet FROM {table} WHERE key BETWEEN ?1 AND ?2 ORDER BY key");
        self.rows(&mut *self.connection.prepare_cached(&sql)?, wanted, take)
    }

    fn rows(
        &self,
        range: &mut Statement<'_>,
        wanted: &[(Uid, Seal)],
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), IndexError> {
        let (Some((first, _)), Some((last, _))) = (wanted.first(), wanted.last()) else { return Ok(()) };
        let mut rows = range.query([self.key(*first), self.key(*last)])?;
        let mut place = 0;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            while wanted.get(place).is_some_and(|(uid, _)| self.key(*uid) < key) {
                place += 1;
            }
            let Some((uid, seal)) = wanted.get(place) else { break };
            let sealed = row.get_ref(1)?.as_blob().map_err(|_| IndexError::Damaged)?;
            if self.key(*uid) == key
                && let Some(sheet) = seal.unsealed(key, sealed)
            {
                take(place, sheet);
            }
        }
        Ok(())
    }

    fn key(&self, uid: Uid) -> i64 {
        self.above | i64::from(uid.get())
    }
}

pub(super) fn above(id: i64) -> i64 {
    id << 32
}

fn uid_of(key: i64) -> Option<Uid> {
    u32::try_from(key & i64::from(u32::MAX)).ok().and_then(Uid::new)
}

/// The id of a mailbox and its UIDVALIDITY.
pub(super) fn mailbox(connection: &Connection, guid: &str) -> rusqlite::Result<Option<(i64, u32)>> {
    let sql = "SELECT id, validity FROM mailbox WHERE guid = ?1";
    connection.query_row(sql, [guid], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Opens the file to read of a mailbox that is known under this UIDVALIDITY, with its id.
pub(super) fn open_to_read(
    file: &Path,
    guid: &str,
    validity: UidValidity,
) -> Result<Option<(Connection, i64)>, IndexError> {
    let Some(connection) = database::open_to_read(file, VERSION)? else { return Ok(None) };
    let known = mailbox(&connection, guid)?;
    let id = known.filter(|(_, kept)| *kept == validity.0.get()).map(|(id, _)| id);
    Ok(id.map(|id| (connection, id)))
}

pub(super) fn open(file: &Path) -> Result<Connection, IndexError> {
    let tables: Vec<&str> =
        Sheet::ALL.into_iter().map(Sheet::table).chain(["mailbox", "concordance", "departed"]).collect();
    database::open_to_write(file, VERSION, (TABLES, &tables))
}

/// The id of a mailbox, which is made where it is not there. What is from before another UIDVALIDITY goes.
pub(super) fn mailbox_to_write(
    writing: &Transaction<'_>,
    guid: &str,
    validity: UidValidity,
) -> Result<i64, IndexError> {
    if let Some((id, kept)) = mailbox(writing, guid)?
        && kept != validity.0.get()
    {
        clear(writing, id)?;
    }
    let sql = "INSERT INTO mailbox (guid, validity) VALUES (?1, ?2)
               ON CONFLICT (guid) DO UPDATE SET validity = ?2 RETURNING id";
    Ok(writing.query_row(sql, params![guid, validity.0.get()], |row| row.get(0))?)
}

/// Writes what was learnt. Sheets from before another UIDVALIDITY go.
pub(super) fn write(
    connection: &mut Connection,
    guid: &str,
    validity: UidValidity,
    rows: &[Row],
) -> Result<(), IndexError> {
    let writing = connection.transaction()?;
    let id = mailbox_to_write(&writing, guid, validity)?;
    for (place, sheet) in Sheet::ALL.into_iter().enumerate() {
        let sql = format!("INSERT OR REPLACE INTO {} (key, sheet) VALUES (?1, ?2)", sheet.table());
        let mut insert = writing.prepare_cached(&sql)?;
        for row in rows.iter().filter(|row| row.sheets[place].len() <= MAX_SHEET) {
            let key = above(id) | i64::from(row.uid.get());
            let sheet = &row.sheets[place];
            insert.execute(params![key, [sheet.as_slice(), &row.seal.over(key, sheet)].concat()])?;
        }
    }
    Ok(writing.commit()?)
}

/// Removes the sheets of messages that are gone.
pub(super) fn forget(
    connection: &mut Connection,
    guid: &str,
    validity: UidValidity,
    uids: &[Uid],
) -> Result<(), IndexError> {
    let writing = connection.transaction()?;
    let Some((id, _)) = mailbox(&writing, guid)?.filter(|(_, kept)| *kept == validity.0.get()) else {
        return Ok(());
    };
    for sheet in Sheet::ALL {
        let mut delete = writing.prepare_cached(&format!("DELETE FROM {} WHERE key = ?1", sheet.table()))?;
        for uid in uids {
            delete.execute([above(id) | i64::from(uid.get())])?;
        }
    }
    concordances::forget(&writing, id, uids)?;
    Ok(writing.commit()?)
}

/// Removes the sheets of messages that a mailbox does not show.
pub(super) fn forget_lost(
    connection: &mut Connection,
    guid: &str,
    snapshot: &Snapshot,
) -> Result<(), IndexError> {
    let Some((id, _)) = mailbox(connection, guid)? else { return Ok(()) };
    let mut lost: Vec<Uid> = {
        let mut keys = connection.prepare("SELECT key FROM listing WHERE key BETWEEN ?1 AND ?2")?;
        let range = [above(id), above(id) | i64::from(u32::MAX)];
        let keys: Vec<i64> = keys.query_map(range, |row| row.get(0))?.collect::<Result<_, _>>()?;
        keys.into_iter().filter_map(uid_of).filter(|uid| snapshot.message(*uid).is_none()).collect()
    };
    lost.extend(concordances::lost(connection, id, snapshot)?);
    forget(connection, guid, snapshot.uid_validity, &lost)
}

/// Removes all that was learnt from one mailbox.
pub(super) fn forget_mailbox(connection: &mut Connection, guid: &str) -> Result<(), IndexError> {
    let writing = connection.transaction()?;
    if let Some((id, _)) = mailbox(&writing, guid)? {
        clear(&writing, id)?;
        writing.execute("DELETE FROM mailbox WHERE id = ?1", [id])?;
    }
    Ok(writing.commit()?)
}

/// Removes all mailboxes but these.
pub(super) fn forget_others(connection: &mut Connection, guids: &[String]) -> Result<(), IndexError> {
    let known: Vec<String> = {
        let mut all = connection.prepare("SELECT guid FROM mailbox")?;
        all.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    for gone in known.iter().filter(|known| !guids.contains(known)) {
        forget_mailbox(connection, gone)?;
    }
    Ok(())
}

fn clear(writing: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    for sheet in Sheet::ALL {
        let sql = format!("DELETE FROM {} WHERE key BETWEEN ?1 AND ?2", sheet.table());
        writing.execute(&sql, [above(id), above(id) | i64::from(u32::MAX)])?;
    }
    concordances::clear(writing, id)
}
