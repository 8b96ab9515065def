//! The cache of MTA-STS policies: it must outlive a restart, or an attacker need only wait for one.

use std::collections::HashMap;

use kings_mail::domain::Domain;
use rusqlite::{Connection, params};

/// Most policies that are kept; the least lasting one makes room.
const MAX_POLICIES: usize = 50_000;

/// A policy as it was fetched (RFC 8461 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsEntry {
    /// The id that DNS announced when it was fetched.
    pub id: String,
    /// Its text.
    pub policy: String,
    /// Seconds since 1970.
    pub fetched: u64,
    /// Seconds since 1970; from then on it is no policy any more.
    pub expires: u64,
}

pub(crate) fn insert(policies: &mut HashMap<Domain, StsEntry>, domain: Domain, entry: StsEntry) {
    if policies.len() >= MAX_POLICIES && !policies.contains_key(&domain) {
        let first = policies.iter().min_by_key(|(_, entry)| entry.expires).map(|(domain, _)| domain.clone());
        first.and_then(|domain| policies.remove(&domain));
    }
    policies.insert(domain, entry);
}

/// All that have not expired.
pub(crate) fn load(connection: &Connection, now: u64) -> rusqlite::Result<HashMap<Domain, StsEntry>> {
    let mut rows = connection
        .prepare("SELECT domain, id, policy, fetched, expires FROM sts WHERE expires > ?1 LIMIT ?2")?;
    let entry = |row: &rusqlite::Row<'_>| {
        let domain: String = row.get(0)?;
        let entry =
            StsEntry { id: row.get(1)?, policy: row.get(2)?, fetched: row.get(3)?, expires: row.get(4)? };
        Ok((Domain::parse(&domain), entry))
    };
    let mut policies = HashMap::new();
    for row in rows.query_map(params![now, MAX_POLICIES], entry)? {
        if let (Ok(domain), entry) = row? {
            policies.insert(domain, entry);
        }
    }
    Ok(policies)
}

pub(crate) fn write(connection: &Connection, domain: &Domain, entry: &StsEntry) -> rusqlite::Result<()> {
    let StsEntry { id, policy, fetched, expires } = entry;
    let sql = "INSERT OR REPLACE INTO sts (domain, id, policy, fetched, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.execute(sql, params![domain.as_str(), id, policy, fetched, expires])?;
    Ok(())
}

pub(crate) fn prune(connection: &Connection, now: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM sts WHERE expires <= ?1", [now])?;
    Ok(())
}
