//! OpenDKIM's tables with the keys that they name, and what is wrong with single ones of these.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use kings_mail::domain::Domain;
use kings_msgauth::dkim::PrivateKey;
use kings_msgauth::dkim::opendkim::{self, Complaint, Hosts, KeySource, SigningEntry, SigningTable};
use kings_mta::signing::{Fault, Finder, Key, Private, Tables};
use tracing::{error, warn};

use crate::config::{self, Table, TablePlace};

/// What can be used, with faults that concern single authors alone: their mail waits, that of all others does not.
pub(crate) struct Checked<T> {
    pub(crate) value: T,
    pub(crate) faults: Vec<String>,
    /// What is odd and works.
    pub(crate) warnings: Vec<String>,
}

impl<T> From<T> for Checked<T> {
    fn from(value: T) -> Self {
        Self { value, faults: Vec::new(), warnings: Vec::new() }
    }
}

impl<T> Checked<T> {
    /// The same about another value.
    pub(crate) fn with<U>(self, value: U) -> Checked<U> {
        Checked { value, faults: self.faults, warnings: self.warnings }
    }

    /// The value alone, what is said of it is added to the rest.
    pub(crate) fn add<U>(&mut self, other: Checked<U>) -> U {
        self.faults.extend(other.faults);
        self.warnings.extend(other.warnings);
        other.value
    }

    /// OpenDKIM refuses a key file that everybody may read or change (`RequireSafeKeys`); so it is told of.
    pub(crate) fn open_to_others(&mut self, file: &Path, wanted: bool) {
        let others = |mode: u32| mode & 0o006 != 0;
        if wanted && fs::metadata(file).is_ok_and(|metadata| others(metadata.permissions().mode())) {
            self.warnings
                .push(format!("{0}: everybody may read or change this key: chmod o= {0}", file.display()));
        }
    }

    /// For a server that starts: nobody else's mail stops for a key that is gone.
    pub(crate) fn whatever_is_wrong(self) -> T {
        for warning in self.warnings {
            warn!("{warning}");
        }
        for fault in self.faults {
            error!("{fault}");
        }
        self.value
    }

    /// For a server that runs and has better keys already.
    pub(crate) fn only_if_right(self) -> anyhow::Result<T> {
        let right = self.checked()?;
        for warning in right.1 {
            warn!("{warning}");
        }
        Ok(right.0)
    }

    /// For a look at the config: the value, and what to warn of.
    pub(crate) fn checked(self) -> anyhow::Result<(T, Vec<String>)> {
        if self.faults.is_empty() { Ok((self.value, self.warnings)) } else { bail!(self.faults.join("\n")) }
    }
}

fn read(table: &Table) -> anyhow::Result<Cow<'_, str>> {
    match &table.place {
        TablePlace::File(path) => {
            let text = fs::read_to_string(path);
            Ok(text.with_context(|| format!("[dkim]: cannot read {}", path.display()))?.into())
        }
        TablePlace::Here(lines) => Ok(lines.into()),
    }
}

fn broken(table: &Table, complaints: &[Complaint]) -> anyhow::Error {
    let lines: Vec<String> = complaints.iter().map(|complaint| format!("{table}: {complaint}")).collect();
    anyhow!(lines.join("\n"))
}

/// A list of hosts; lines by which nobody is meant are worth a warning.
pub(crate) fn hosts(table: &Table) -> anyhow::Result<Checked<Hosts>> {
    let (hosts, odd) = Hosts::parse(&read(table)?, table.matching);
    let mut checked = Checked::from(hosts);
    checked.warnings.extend(odd.iter().map(|complaint| format!("{table}: {complaint}")));
    Ok(checked)
}

pub(crate) fn load(settings: &config::Tables) -> anyhow::Result<Checked<Tables>> {
    let config::Tables { key_table, signing_table, every, safe } = settings;
    let entries =
        opendkim::key_table(&read(key_table)?).map_err(|complaints| broken(key_table, &complaints))?;
    let mut notes = Checked::from(());
    let mut keys = HashMap::new();
    for entry in entries {
        // Of equal names the first counts, as with OpenDKIM.
        if keys.contains_key(&entry.name) {
            notes.warnings.push(format!("{key_table}: {} is there twice, and the first counts", entry.name));
            continue;
        }
        if let KeySource::File(path) = &entry.key {
            notes.open_to_others(&key_table.folder().join(path), *safe);
        }
        let private = private(entry.key, key_table.folder());
        match &private {
            Private::Missing(fault) => notes.faults.push(format!("{key_table}: {}: {fault}", entry.name)),
            Private::Known(_) | Private::OfAuthor(_) => {}
        }
        keys.insert(entry.name, Key { domain: entry.domain, selector: entry.selector, private });
    }
    let signing = SigningTable::parse(&read(signing_table)?, signing_table.matching)
        .map_err(|complaints| broken(signing_table, &complaints))?;
    let is_missing = |entry: &&SigningEntry| entry.key != "%" && !keys.contains_key(&entry.key);
    for SigningEntry { pattern, key, .. } in signing.entries().iter().filter(is_missing) {
        notes.faults.push(format!(
            "{signing_table}: {pattern}: there is no key {key:?} in {key_table}: add it, or take the line out"
        ));
    }
    Ok(notes.with(Tables { signing, keys, every: *every }))
}

fn private(source: KeySource, folder: &Path) -> Private {
    match source {
        KeySource::File(path) => private_key(&folder.join(path)).map_or_else(Private::Missing, Private::from),
        KeySource::Here(key) => key.into(),
        KeySource::FileOfAuthor(path) => {
            let folder = folder.to_owned();
            let find = move |author: &Domain| private_key(&folder.join(path.replace('%', author.as_str())));
            Private::OfAuthor(Finder(Arc::new(find)))
        }
    }
}

/// A key file, with the remedy where there is none.
fn private_key(path: &Path) -> Result<PrivateKey, Fault> {
    let text = fs::read_to_string(path)
        .map_err(|error| Fault::Unreadable(format!("cannot read {}: {error}", path.display())))?;
    PrivateKey::from_pem(&text).map_err(|error| Fault::NoKey(format!("{}: {error}", path.display())))
}
