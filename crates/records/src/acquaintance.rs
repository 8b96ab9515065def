//! Who has been met before, for greylisting: kept in memory as a whole, so that no mail waits for the disk.
//!
//! A lost note costs a sender one more attempt and nothing else.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, params};

/// How long who was met stays known after the last time: as postgrey's `--max-age`.
pub const MEMORY: Duration = Duration::from_hours(35 * 24);
/// Most of each kind that are kept: ours, about 5 MB. The longest unseen make room, a tenth of all at once.
pub const MAX_OF_A_KIND: usize = 100_000;

/// A digest of what is known; whose it is cannot be told from it.
pub type Key = [u8; 16];

/// How well somebody is known. Whoever floods one kind pushes nobody out of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acquaintance {
    /// Has tried, and was asked to try again.
    Stranger,
    /// Has been let in, or was written to.
    Friend,
}

/// When somebody was seen, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first time.
    pub first: u64,
    /// The last time.
    pub last: u64,
}

/// All of both kinds.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances {
    strangers: HashMap<Key, Seen>,
    friends: HashMap<Key, Seen>,
}

impl Acquaintances {
    pub(crate) fn get(&self, kind: Acquaintance, key: &Key, now: u64) -> Option<Seen> {
        let kept = match kind {
            Acquaintance::Stranger => self.strangers.get(key),
            Acquaintance::Friend => self.friends.get(key),
        };
        kept.filter(|seen| seen.last.saturating_add(MEMORY.as_secs()) > now).copied()
    }

    /// Puts somebody on the shelf, in the place of what was known before. Gives the time of the last one that had to
    /// make room, if any had to.
    pub(crate) fn put(&mut self, kind: Acquaintance, key: Key, seen: Seen, most: usize) -> Option<u64> {
        let people = match kind {
            Acquaintance::Stranger => &mut self.strangers,
            Acquaintance::Friend => &mut self.friends,
        };
        let is_full = people.len() >= most && !people.contains_key(&key);
        let room = is_full.then(|| {
            let mut times: Vec<u64> = people.values().map(|seen| seen.last).collect();
            let (_, last, _) = times.select_nth_unstable(most / 10);
            *last
        });
        if let Some(last) = room {
            people.retain(|_, seen| seen.last > last);
        }
        people.insert(key, seen);
        room
    }
}

impl Acquaintance {
    fn number(self) -> i64 {
        match self {
            Self::Stranger => 0,
            Self::Friend => 1,
        }
    }
}

/// Who was last seen then is forgotten; before 1970 where a clock stands there.
fn too_long_ago(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(MEMORY.as_secs()).unwrap_or(i64::MAX)
}

/// All that is still remembered, the last seen ones where there are more than fit. What cannot be read is left out.
pub(crate) fn load(connection: &Connection, now: u64) -> rusqlite::Result<Acquaintances> {
    let mut all = Acquaintances::default();
    let sql = "SELECT key, first, last FROM acquaintance WHERE kind = ?1 AND last > ?2 AND last <= ?3 \
               ORDER BY last DESC LIMIT ?4";
    let mut rows = connection.prepare(sql)?;
    for kind in [Acquaintance::Stranger, Acquaintance::Friend] {
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, Key>(0).ok(), row.get::<_, u64>(1).ok(), row.get::<_, u64>(2).ok()))
        };
        for row in rows.query_map(params![kind.number(), too_long_ago(now), now, MAX_OF_A_KIND], read)? {
            if let (Some(key), Some(first), Some(last)) = row?
                && first <= last
            {
                all.put(kind, key, Seen { first, last }, MAX_OF_A_KIND);
            }
        }
    }
    Ok(all)
}

pub(crate) fn write(
    connection: &Connection,
    kind: Acquaintance,
    key: &Key,
    seen: Seen,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO acquaintance (kind, key, first, last) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![kind.number(), key, seen.first, seen.last])?;
    Ok(())
}

/// Drops those of a kind that were last seen then or before.
pub(crate) fn forget(connection: &Connection, kind: Acquaintance, last: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM acquaintance WHERE kind = ?1 AND last <= ?2";
    connection.execute(sql, params![kind.number(), last])?;
    Ok(())
}

pub(crate) fn prune(connection: &Connection, now: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM acquaintance WHERE last <= ?1", [too_long_ago(now)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Acquaintance; 2] = [Acquaintance::Stranger, Acquaintance::Friend];

    fn key(number: u8) -> Key {
        [number; 16]
    }

    #[test]
    fn a_full_shelf_lets_the_longest_unseen_go_and_leaves_the_other_kind_alone() {
        let mut all = Acquaintances::default();
        all.put(Acquaintance::Friend, key(200), Seen { first: 1, last: 1 }, 20);
        for number in 0..40 {
            let seen = Seen { first: 1, last: 100 + u64::from(number) };
            all.put(Acquaintance::Stranger, key(number), seen, 20);
            assert!(all.strangers.len() <= 20);
        }
        let known = |kind, number| all.get(kind, &key(number), 200).is_some();
        assert!(known(Acquaintance::Stranger, 39) && !known(Acquaintance::Stranger, 0));
        assert!(known(Acquaintance::Friend, 200) && !known(Acquaintance::Stranger, 200));
        assert!(all.get(Acquaintance::Friend, &key(200), 1 + MEMORY.as_secs()).is_none());
    }

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::database::TABLES).unwrap();
        connection
    }

    proptest! {
        /// What is read back is what was put there, whatever the order.
        #[test]
        fn the_file_says_what_memory_said(
            notes in prop::collection::vec((0..2_usize, 0..20_u8, 0..1_000_u64, 0..1_000_u64), 0..60)
        ) {
            let (connection, mut memory) = (table(), Acquaintances::default());
            for (kind, number, first, more) in notes {
                let seen = Seen { first, last: first + more };
                write(&connection, KINDS[kind], &key(number), seen).unwrap();
                if let Some(last) = memory.put(KINDS[kind], key(number), seen, 5) {
                    forget(&connection, KINDS[kind], last).unwrap();
                    write(&connection, KINDS[kind], &key(number), seen).unwrap();
                }
            }
            let read = load(&connection, 5_000).unwrap();
            prop_assert_eq!(&read.strangers, &memory.strangers);
            prop_assert_eq!(&read.friends, &memory.friends);
        }

        /// Rows that another hand wrote are read or left out; nothing else happens.
        #[test]
        fn odd_rows_are_left_out(
            key in prop::collection::vec(any::<u8>(), 0..40), first in any::<i64>(), last in any::<i64>(), kind in any::<i64>()
        ) {
            let connection = table();
            let row = "INSERT INTO acquaintance (kind, key, first, last) VALUES (?1, ?2, ?3, ?4)";
            connection.execute(row, params![kind, key, first, last]).unwrap();
            connection.execute(row, params![1, "text", "more", last]).unwrap();
            connection.execute(row, params![1, super::tests::key(1), 5, 10]).unwrap();
            let read = load(&connection, 1_000).unwrap();
            let good = Seen { first: 5, last: 10 };
            prop_assert_eq!(read.get(Acquaintance::Friend, &super::tests::key(1), 1_000), Some(good));
            prop_assert!(read.strangers.values().chain(read.friends.values()).all(|seen| seen.first <= seen.last && seen.last <= 1_000));
            prune(&connection, 1_000).unwrap();
        }
    }
}
