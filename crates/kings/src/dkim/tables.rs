//! OpenDKIM's tables with the keys that they name, and what is wrong with single ones of these.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use kings_msgauth::dkim::PrivateKey;
use kings_msgauth::dkim::opendkim::{self, Complaint, KeySource, SigningTable};
use kings_mta::signing::{Fault, Key, Private, Tables};
use tracing::error;

use crate::config;

/// What can be used, with faults that concern single authors alone: their mail waits, that of all others does not.
pub(crate) struct Checked<T> {
    pub(crate) value: T,
    pub(crate) faults: Vec<String>,
}

impl<T> Checked<T> {
    /// For a server that starts: nobody else's mail stops for a key that is gone.
    pub(crate) fn whatever_is_wrong(self) -> T {
        for fault in self.faults {
            error!("{fault}");
        }
        self.value
    }

    /// For a look at the config, and for a server that runs and has better keys already.
    pub(crate) fn only_if_right(self) -> anyhow::Result<T> {
        if self.faults.is_empty() { Ok(self.value) } else { bail!(self.faults.join("\n")) }
    }
}

pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("[dkim]: cannot read {}", path.display()))
}

pub(crate) fn broken(path: &Path, complaints: &[Complaint]) -> anyhow::Error {
    let lines: Vec<String> =
        complaints.iter().map(|complaint| format!("{}: {complaint}", path.display())).collect();
    anyhow!(lines.join("\n"))
}

pub(crate) fn load(settings: &config::Tables) -> anyhow::Result<Checked<Tables>> {
    let config::Tables { key_table, signing_table, matching, every } = settings;
    let entries =
        opendkim::key_table(&read(key_table)?).map_err(|complaints| broken(key_table, &complaints))?;
    let mut faults = Vec::new();
    let mut keys = HashMap::new();
    for entry in entries {
        let private = match entry.key {
            KeySource::File(path) => {
                let file = key_table.parent().unwrap_or(Path::new("/")).join(path);
                private_key(&file).map_or_else(Private::Missing, Private::from)
            }
            KeySource::Here(key) => key.into(),
        };
        if let Private::Missing(fault) = &private {
            faults.push(format!("{}: {}: {fault}", key_table.display(), entry.name));
        }
        keys.insert(entry.name, Key { domain: entry.domain, selector: entry.selector, private });
    }
    let signing = SigningTable::parse(&read(signing_table)?, *matching)
        .map_err(|complaints| broken(signing_table, &complaints))?;
    for (pattern, key) in signing.entries().filter(|(_, key)| !keys.contains_key(*key)) {
        let (signing_table, key_table) = (signing_table.display(), key_table.display());
        faults.push(format!(
            "{signing_table}: {pattern}: there is no key {key:?} in {key_table}: add it, or take the line out"
        ));
    }
    Ok(Checked { value: Tables { signing, keys, every: *every }, faults })
}

/// A key file, with the remedy where there is none.
fn private_key(path: &Path) -> Result<PrivateKey, Fault> {
    let text = fs::read_to_string(path)
        .map_err(|error| Fault::Unreadable(format!("cannot read {}: {error}", path.display())))?;
    PrivateKey::from_pem(&text).map_err(|error| Fault::NoKey(format!("{}: {error}", path.display())))
}
