//! The concordances of a mailbox in the file of what was learnt from its messages: reading and writing.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::database::IndexError;
use super::sheets::{above, mailbox_to_write, open_to_read};
use crate::concordance::{Concordance, Front, Packed, number_of};
use crate::message::{Snapshot, Uid, UidValidity};

/// The concordances of one mailbox, open for reading.
#[derive(Debug)]
pub(crate) struct Concordances {
    connection: Connection,
    id: i64,
}

impl Concordances {
    pub(super) fn open(file: &Path, guid: &str, validity: UidValidity) -> Result<Option<Self>, IndexError> {
        Ok(open_to_read(file, guid, validity)?.map(|(connection, id)| Self { connection, id }))
    }

    /// The numbers of those that have messages from `first` to `last`.
    pub(crate) fn numbers(&self, first: Uid, last: Uid) -> Result<Vec<u32>, IndexError> {
        let keys = keys(&self.connection, [first, last].map(|uid| self.key(number_of(uid))))?;
        Ok(keys.into_iter().filter_map(|key| u32::try_from(key & i64::from(u32::MAX)).ok()).collect())
    }

    pub(crate) fn front(&self, number: u32) -> Result<Vec<u8>, IndexError> {
        part(&self.connection, self.key(number), "front")
    }

    pub(crate) fn behind(&self, number: u32) -> Result<Vec<u8>, IndexError> {
        part(&self.connection, self.key(number), "behind")
    }

    fn key(&self, number: u32) -> i64 {
        above(self.id) | i64::from(number)
    }
}

fn keys(connection: &Connection, range: [i64; 2]) -> Result<Vec<i64>, IndexError> {
    let sql = "SELECT key FROM concordance WHERE key BETWEEN ?1 AND ?2 ORDER BY key";
    let mut keys = connection.prepare_cached(sql)?;
    Ok(keys.query_map(range, |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Empty where it is not there any more.
fn part(connection: &Connection, key: i64, column: &str) -> Result<Vec<u8>, IndexError> {
    let sql = format!("SELECT {column} FROM concordance WHERE key = ?1");
    let part = connection.prepare_cached(&sql)?.query_row([key], |row| row.get(0)).optional()?;
    Ok(part.unwrap_or_default())
}

fn all_of(id: i64) -> [i64; 2] {
    [above(id), above(id) | i64::from(u32::MAX)]
}

/// Adds what is new to what there is under this number; of a message in both the new words count.
pub(super) fn write(
    connection: &mut Connection,
    guid: &str,
    validity: UidValidity,
    number: u32,
    new: &Concordance,
) -> Result<(), IndexError> {
    let writing = connection.transaction()?;
    let key = above(mailbox_to_write(&writing, guid, validity)?) | i64::from(number);
    match there(&writing, key)? {
        None => replace(&writing, key, new)?,
        Some(there) => {
            let is_new: BTreeSet<Uid> = new.uids().collect();
            replace(&writing, key, &new.clone().with(&there, |uid| !is_new.contains(&uid)))?;
        }
    }
    Ok(writing.commit()?)
}

fn there(connection: &Connection, key: i64) -> Result<Option<Packed>, IndexError> {
    let sql = "SELECT front, behind FROM concordance WHERE key = ?1";
    let mut there = connection.prepare_cached(sql)?;
    Ok(there.query_row([key], |row| Ok(Packed { front: row.get(0)?, behind: row.get(1)? })).optional()?)
}

fn replace(writing: &Transaction<'_>, key: i64, concordance: &Concordance) -> Result<(), IndexError> {
    if concordance.is_empty() {
        writing.execute("DELETE FROM concordance WHERE key = ?1", [key])?;
        return Ok(());
    }
    let Packed { front, behind } = concordance.packed();
    let sql = "INSERT OR REPLACE INTO concordance (key, front, behind) VALUES (?1, ?2, ?3)";
    writing.prepare_cached(sql)?.execute(params![key, front, behind])?;
    Ok(())
}

/// Removes the words of messages that are gone.
pub(super) fn forget(writing: &Transaction<'_>, id: i64, uids: &[Uid]) -> Result<(), IndexError> {
    let gone: BTreeSet<Uid> = uids.iter().copied().collect();
    let numbers: BTreeSet<u32> = gone.iter().map(|uid| number_of(*uid)).collect();
    for number in numbers {
        let key = above(id) | i64::from(number);
        let front = part(writing, key, "front")?;
        let Some(front) = Front::read(&front) else { continue };
        if front.messages().iter().any(|listed| gone.contains(&listed.uid))
            && let Some(there) = there(writing, key)?
        {
            replace(writing, key, &Concordance::default().with(&there, |uid| !gone.contains(&uid)))?;
        }
    }
    Ok(())
}

/// Messages whose words are here, and which the mailbox does not show.
pub(super) fn lost(connection: &Connection, id: i64, snapshot: &Snapshot) -> Result<Vec<Uid>, IndexError> {
    let mut lost = Vec::new();
    for key in keys(connection, all_of(id))? {
        let front = part(connection, key, "front")?;
        let Some(front) = Front::read(&front) else { continue };
        let uids = front.messages().iter().map(|listed| listed.uid);
        lost.extend(uids.filter(|uid| snapshot.message(*uid).is_none()));
    }
    Ok(lost)
}

/// Removes all of one mailbox.
pub(super) fn clear(writing: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    writing.execute("DELETE FROM concordance WHERE key BETWEEN ?1 AND ?2", all_of(id))?;
    Ok(())
}
