//! The concordances of a mailbox in the file of what was learnt from its messages: reading and writing.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::database::IndexError;
use super::sheets::{above, mailbox_to_write, open_to_read};
use crate::concordance::{Concordance, Front, Packed, number_of, uids_of};
use crate::message::{Snapshot, Uid, UidValidity};

/// So many messages of one concordance may be gone before it is written anew.
const MANY: usize = 64;

/// The concordances of one mailbox, open for reading.
#[derive(Debug)]
pub(crate) struct Concordances {
    connection: Connection,
    id: i64,
}

impl Concordances {
    pub(super) fn open(file: &Path, guid: &str, validity: UidValidity) -> Result<Option<Self>, IndexError> {
        let Some((connection, id)) = open_to_read(file, guid, validity)? else { return Ok(None) };
        // All of it as one writing left it.
        connection.execute_batch("BEGIN")?;
        Ok(Some(Self { connection, id }))
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

/// Adds what is new to what there is under this number, without what has departed; of a message in both the new words count.
pub(super) fn write(
    connection: &mut Connection,
    guid: &str,
    validity: UidValidity,
    number: u32,
    new: &Concordance,
) -> Result<(), IndexError> {
    let writing = connection.transaction()?;
    let id = mailbox_to_write(&writing, guid, validity)?;
    let is_new: BTreeSet<Uid> = new.uids().collect();
    match there(&writing, above(id) | i64::from(number))? {
        None => replace(&writing, (id, number), new)?,
        Some(there) => {
            let gone = departed(&writing, (id, number))?;
            let stays = |uid: Uid| !is_new.contains(&uid) && !gone.contains(&uid);
            replace(&writing, (id, number), &new.clone().with(&there, stays))?;
        }
    }
    Ok(writing.commit()?)
}

fn there(connection: &Connection, key: i64) -> Result<Option<Packed>, IndexError> {
    let sql = "SELECT front, behind FROM concordance WHERE key = ?1";
    let mut there = connection.prepare_cached(sql)?;
    Ok(there.query_row([key], |row| Ok(Packed { front: row.get(0)?, behind: row.get(1)? })).optional()?)
}

fn replace(
    writing: &Transaction<'_>,
    (id, number): (i64, u32),
    concordance: &Concordance,
) -> Result<(), IndexError> {
    let key = above(id) | i64::from(number);
    writing.execute("DELETE FROM departed WHERE key BETWEEN ?1 AND ?2", keys_of(id, number))?;
    if concordance.is_empty() {
        writing.execute("DELETE FROM concordance WHERE key = ?1", [key])?;
        return Ok(());
    }
    let Packed { front, behind } = concordance.packed();
    let sql = "INSERT OR REPLACE INTO concordance (key, front, behind) VALUES (?1, ?2, ?3)";
    writing.prepare_cached(sql)?.execute(params![key, front, behind])?;
    Ok(())
}

/// The keys of the messages of one concordance.
fn keys_of(id: i64, number: u32) -> [i64; 2] {
    let (first, last) = uids_of(number);
    [above(id) | i64::from(first), above(id) | i64::from(last)]
}

fn departed(writing: &Transaction<'_>, (id, number): (i64, u32)) -> Result<BTreeSet<Uid>, IndexError> {
    let mut all = writing.prepare_cached("SELECT key FROM departed WHERE key BETWEEN ?1 AND ?2")?;
    let keys = all.query_map(keys_of(id, number), |row| row.get::<_, i64>(0))?;
    let uids = keys.map(|key| Ok(u32::try_from(key? & i64::from(u32::MAX)).ok().and_then(Uid::new)));
    let uids: Vec<Option<Uid>> = uids.collect::<rusqlite::Result<_>>()?;
    Ok(uids.into_iter().flatten().collect())
}

/// Removes the words of messages that are gone, once [`MANY`] of them are: to write a concordance anew for each would
/// cost more than to pass it over.
pub(super) fn forget(writing: &Transaction<'_>, id: i64, uids: &[Uid]) -> Result<(), IndexError> {
    let mut numbers = BTreeSet::new();
    for uid in uids {
        let key = above(id) | i64::from(number_of(*uid));
        if numbers.contains(&number_of(*uid)) || exists(writing, key)? {
            numbers.insert(number_of(*uid));
            let key = above(id) | i64::from(uid.get());
            writing.prepare_cached("INSERT OR IGNORE INTO departed (key) VALUES (?1)")?.execute([key])?;
        }
    }
    for number in numbers {
        let gone = departed(writing, (id, number))?;
        if gone.len() >= MANY
            && let Some(there) = there(writing, above(id) | i64::from(number))?
        {
            let rest = Concordance::default().with(&there, |uid| !gone.contains(&uid));
            replace(writing, (id, number), &rest)?;
        }
    }
    Ok(())
}

fn exists(connection: &Connection, key: i64) -> Result<bool, IndexError> {
    let mut one = connection.prepare_cached("SELECT 1 FROM concordance WHERE key = ?1")?;
    Ok(one.exists([key])?)
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
    writing.execute("DELETE FROM departed WHERE key BETWEEN ?1 AND ?2", all_of(id))?;
    writing.execute("DELETE FROM concordance WHERE key BETWEEN ?1 AND ?2", all_of(id))?;
    Ok(())
}
