//! Which records were made here, and what stood in their place: one small file, written before anything is changed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kings_dns::{Change, Data, Kind, RecordSet};
use kings_mail::domain::DnsName;
use serde_json::{Value, json};

/// What was done to one set of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The zone.
    pub zone: DnsName,
    /// Whose records.
    pub name: DnsName,
    /// Of which type.
    pub kind: Kind,
    /// How long they might be kept before, in seconds.
    pub ttl: u32,
    /// Records that we have put there, or were about to.
    pub made: BTreeSet<Data>,
    /// Records of others that we have replaced.
    pub dropped: BTreeSet<Data>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
    /// One for each name and type.
    pub items: Vec<Made>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("cannot {what} {path}: {cause}; nothing was changed in DNS since", path = .path.display())]
    File {
        /// "read" or "write"
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Somebody has changed it, or a disk has.
    #[error("{path} is damaged: without it nobody knows which records were made here; put it back from a backup, or remove it: then records that are there count as those of others", path = .0.display())]
    Damaged(PathBuf),
}

impl Journal {
    /// Reads `DATA_DIR/dns/applied.json`; one that is not there is empty.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let path = data_dir.join("dns").join("applied.json");
        let items = match fs::read(&path) {
            Ok(octets) => read(&octets).ok_or_else(|| JournalError::Damaged(path.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(JournalError::File { what: "read", path, cause }),
        };
        Ok(Self { path, items })
    }

    /// Notes what is about to be done: until it is known to be, what was ours before is so still.
    pub(super) fn intend(&mut self, zone: &DnsName, changes: &[Change]) {
        for change in changes {
            let (before, after) = (set(change.before.as_ref()), set(change.after.as_ref()));
            let at =
                self.items.iter().position(|made| (&made.name, made.kind) == (&change.name, change.kind));
            let made = match at {
                Some(at) => &mut self.items[at],
                None => {
                    let ttl = change.before.as_ref().or(change.after.as_ref()).map_or(0, |set| set.ttl);
                    self.items.push(Made {
                        zone: zone.clone(),
                        name: change.name.clone(),
                        kind: change.kind,
                        ttl,
                        made: BTreeSet::new(),
                        dropped: BTreeSet::new(),
                    });
                    self.items.last_mut().expect("pushed just now")
                }
            };
            let gone = before.difference(&after).filter(|data| !made.made.contains(data));
            let gone: Vec<Data> = gone.cloned().collect();
            made.dropped.extend(gone);
            let come = after.difference(&before).filter(|data| !made.dropped.contains(data));
            let come: Vec<Data> = come.cloned().collect();
            made.made.extend(come);
        }
    }

    /// Notes that it is done.
    pub(super) fn done(&mut self, zone: &DnsName, changes: &[Change]) {
        for change in changes {
            let after = set(change.after.as_ref());
            let own = self.items.iter_mut();
            for made in
                own.filter(|made| (&made.zone, &made.name, made.kind) == (zone, &change.name, change.kind))
            {
                made.made.retain(|data| after.contains(data));
                made.dropped.retain(|data| !after.contains(data));
            }
        }
        self.items.retain(|made| !made.made.is_empty());
    }

    /// Writes it, whole or not at all; on disk when this returns.
    pub fn save(&self) -> Result<(), JournalError> {
        let written = self.write();
        written.map_err(|cause| JournalError::File { what: "write", path: self.path.clone(), cause })
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        let partial = self.path.with_extension("tmp");
        let _ = fs::remove_file(&partial);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&partial)?;
        file.write_all(format!("{:#}\n", to_json(&self.items)).as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

fn set(records: Option<&RecordSet>) -> BTreeSet<Data> {
    records.map(|set| set.data.iter().cloned().collect()).unwrap_or_default()
}

fn to_json(items: &[Made]) -> Value {
    let texts = |data: &BTreeSet<Data>| data.iter().map(ToString::to_string).collect::<Vec<_>>();
    let item = |made: &Made| {
        json!({
            "zone": made.zone.as_str(),
            "name": made.name.as_str(),
            "type": made.kind.as_str(),
            "ttl": made.ttl,
            "made": texts(&made.made),
            "dropped": texts(&made.dropped),
        })
    };
    json!({ "schema": 1, "items": items.iter().map(item).collect::<Vec<_>>() })
}

/// `None` where anything is not as we write it: a part of it would be as bad as none.
fn read(octets: &[u8]) -> Option<Vec<Made>> {
    let value: Value = serde_json::from_slice(octets).ok()?;
    if value["schema"] != 1 {
        return None;
    }
    value["items"].as_array()?.iter().map(item).collect()
}

fn item(item: &Value) -> Option<Made> {
    let name = |key: &str| DnsName::parse(item[key].as_str()?).ok();
    let kind = Kind::parse(item["type"].as_str()?)?;
    let texts = |key: &str| -> Option<BTreeSet<Data>> {
        item[key].as_array()?.iter().map(|text| Data::parse(kind, text.as_str()?).ok()).collect()
    };
    let ttl = u32::try_from(item["ttl"].as_u64()?).ok()?;
    Some(Made {
        zone: name("zone")?,
        name: name("name")?,
        kind,
        ttl,
        made: texts("made")?,
        dropped: texts("dropped")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_done_is_read_again_and_what_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        assert!(journal.items.is_empty());
        let name = DnsName::parse("example.org").unwrap();
        let set = |text: &str| RecordSet::one(name.clone(), 60, Data::txt(text));
        let change =
            Change { name: name.clone(), kind: Kind::Txt, before: Some(set("old")), after: Some(set("new")) };
        journal.intend(&name, std::slice::from_ref(&change));
        journal.save().unwrap();
        let again = Journal::open(folder.path()).unwrap();
        assert_eq!(again, journal);
        assert_eq!(again.items[0].made, BTreeSet::from([Data::txt("new")]));
        assert_eq!(again.items[0].dropped, BTreeSet::from([Data::txt("old")]));
        journal.done(&name, std::slice::from_ref(&change));
        assert_eq!(journal.items.len(), 1);
        let back = change.undone();
        journal.intend(&name, std::slice::from_ref(&back));
        journal.done(&name, std::slice::from_ref(&back));
        assert!(journal.items.is_empty());
        let path = folder.path().join("dns/applied.json");
        for damaged in
            ["", "{}", "{\"schema\": 2, \"items\": []}", "{\"schema\": 1, \"items\": [{\"zone\": \"x\"}]}"]
        {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(Journal::open(folder.path()), Err(JournalError::Damaged(_))), "{damaged}");
        }
    }
}
