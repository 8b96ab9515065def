//! New keys for a domain, in steps of which each may be broken off anywhere and is then taken again.
//!
//! What is to be done is read off the folder: besides the keys it has `rotation`, the name of the keys that come, and
//! `SELECTOR.gone` for each name that is used up. A name that verifiers may remember never gets another key.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{Algorithm, Selector, key_files};
use kings_queue::Lifetimes;

use super::{KeyFile, Stage, create, folder, sync_parent, write};

/// How long after the last mail with a signature may have left readers still verify it.
const LATE_READERS: Duration = Duration::from_hours(2 * 24);
/// The file with the name of the keys that come.
const NOTE: &str = "rotation";
/// What is left of the record of a key that is gone.
const GONE: &str = "gone";

/// How long the record of a key stays after its last signature: mail may wait as long as its sender wishes, and then for
/// servers that do not answer.
pub(crate) fn transit(longest_hold: Duration, lifetimes: Lifetimes) -> Duration {
    longest_hold.saturating_add(lifetimes.mail.max(lifetimes.bounces)).saturating_add(LATE_READERS)
}

/// Whoever changes keys holds this until it is dropped. `None` where somebody else does.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<Option<File>> {
    let folder = File::open(data_dir).with_context(|| format!("cannot open {}", data_dir.display()))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", data_dir.display()))
        }
    }
}

/// The selectors of the two keys of one name.
pub(crate) fn pair(name: &str) -> [(String, Algorithm); 2] {
    [(name.to_owned(), Algorithm::RsaSha256), (format!("{name}-ed25519"), Algorithm::Ed25519Sha256)]
}

/// One change of the folder, whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Notes the name of the new keys.
    Begin(String),
    /// Makes a key that does not sign yet.
    Make(String, Algorithm),
    /// Writes the record beside a key again: its maker was broken off.
    Record(String),
    /// Signs with it from now on.
    Activate(String),
    /// Signs with it no more.
    Retire(String),
    /// The server is to read its keys.
    Reload,
    /// All is done but the wait.
    End,
    /// Removes a key whose mail has all arrived.
    Drop(String),
    /// Its name is used up.
    Bury(String),
}

impl Action {
    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Begin(name) => format!("begin a rotation to {name}"),
            Self::Make(name, algorithm) => format!("make the key {name} ({})", algorithm.as_str()),
            Self::Record(name) => format!("write the record of {name} beside its key"),
            Self::Activate(name) => format!("sign with {name}"),
            Self::Retire(name) => format!("sign with {name} no more"),
            Self::Reload => "let the server read its keys".to_owned(),
            Self::End => "end the rotation".to_owned(),
            Self::Drop(name) => format!("remove the key {name}"),
            Self::Bury(name) => format!("note that the name {name} is used up"),
        }
    }
}

/// Where a domain is with its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No rotation is under way.
    Idle,
    /// The records of the new keys are to be published.
    Publish,
    /// The new keys sign, or do so after this step.
    Switch,
    /// The new keys sign; the records of the old ones stay.
    Transit,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Publish => "publish",
            Self::Switch => "switch",
            Self::Transit => "transit",
        }
    }
}

/// All that a folder says.
pub(crate) struct Keyring {
    data_dir: PathBuf,
    domain: Domain,
    pub(crate) files: Vec<KeyFile>,
    /// Names that have or had a key.
    used: BTreeSet<String>,
    /// Names with a record and no key: somebody has lost it, or removed it himself.
    pub(crate) orphans: Vec<String>,
    /// Keys without the record beside them.
    bare: Vec<String>,
    /// The name of the keys that come.
    pub(crate) target: Option<String>,
}

impl Keyring {
    pub(crate) fn read(data_dir: &Path, domain: &Domain) -> anyhow::Result<Self> {
        let files = super::key_files(data_dir, domain)?;
        let place = folder(data_dir, domain);
        let names = |extension: &str| stems(&place, extension);
        let keys: BTreeSet<String> = files.iter().map(|file| file.selector.to_string()).collect();
        let records = names("txt")?;
        let bare = keys.difference(&records).cloned().collect();
        let orphans = orphans(&place)?;
        let used = keys.iter().chain(&records).chain(&names(GONE)?).cloned().collect();
        let noted = match fs::read_to_string(place.join(NOTE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read.context("cannot read the note of a rotation")?.trim().to_owned()),
        };
        // Keys that wait without a note are those of an earlier version, or of an operator.
        let waiting = || files.iter().find(|file| file.stage == Stage::Next).map(name_of);
        let target = noted.filter(|name| Selector::parse(name).is_some()).or_else(waiting);
        Ok(Self { data_dir: data_dir.to_owned(), domain: domain.clone(), files, used, orphans, bare, target })
    }

    fn of(&self, stage: Stage) -> impl Iterator<Item = &KeyFile> {
        self.files.iter().filter(move |file| file.stage == stage)
    }

    fn is_new(&self, file: &KeyFile) -> bool {
        self.target.as_ref().is_some_and(|name| *name == name_of(file))
    }

    /// The new keys that do not sign yet: their records are to be found in DNS first.
    pub(crate) fn waiting(&self) -> Vec<&KeyFile> {
        self.of(Stage::Next).filter(|file| self.is_new(file)).collect()
    }

    /// Those of the new keys that are not there yet, or no more.
    fn missing(&self) -> impl Iterator<Item = (String, Algorithm)> {
        let pair = self.target.iter().flat_map(|name| pair(name));
        pair.filter(|(name, _)| self.files.iter().all(|file| file.selector.as_str() != name))
    }

    pub(crate) fn phase(&self) -> Phase {
        match &self.target {
            Some(_) if self.missing().next().is_some() || !self.waiting().is_empty() => Phase::Publish,
            Some(_) => Phase::Switch,
            None if self.of(Stage::Retired).next().is_some() => Phase::Transit,
            None => Phase::Idle,
        }
    }

    /// When the last of the old keys may go.
    pub(crate) fn until(&self, transit: Duration) -> Option<SystemTime> {
        self.of(Stage::Retired).map(|file| file.since.checked_add(transit).unwrap_or(file.since)).max()
    }

    /// Whether a name has or had a key.
    pub(crate) fn is_used(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// The year and the first letter that nothing was called by: 2026a, 2026b, ...
    pub(crate) fn new_name(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let date = DateTime::from_unix(i64::try_from(now).unwrap_or(0)).to_rfc3339();
        let year = date.get(..4).unwrap_or_default();
        let is_free = |name: &String| pair(name).iter().all(|(name, _)| !self.is_used(name));
        let letters = |round: usize| {
            let round = if round == 0 { String::new() } else { round.to_string() };
            ('a'..='z').map(move |letter| format!("{letter}{round}"))
        };
        let mut names = (0..).flat_map(letters).map(|ending| format!("{year}{ending}"));
        names.find(is_free).unwrap_or_default()
    }

    /// What can be done now, in this order. `published` says that DNS has the records of all keys that wait.
    pub(crate) fn actions(&self, start: bool, published: bool, transit: Duration) -> Vec<Action> {
        let mut actions: Vec<Action> = self.bare.iter().cloned().map(Action::Record).collect();
        if self.signs() {
            actions.extend(self.lost());
        }
        for file in self.of(Stage::Retired).filter(|file| self.target.is_none() && file.age() > transit) {
            let name = file.selector.to_string();
            // A record that is left alone is one of a key that was lost.
            actions.extend([Action::Bury(name.clone()), Action::Drop(name)]);
        }
        match self.phase() {
            Phase::Idle if start => {
                let name = self.new_name();
                let make = pair(&name).map(|(name, algorithm)| Action::Make(name, algorithm));
                actions.push(Action::Begin(name));
                actions.extend(make);
            }
            Phase::Publish if self.missing().next().is_some() => {
                actions.extend(self.missing().map(|(name, algorithm)| Action::Make(name, algorithm)));
            }
            Phase::Publish if published => actions.extend(self.switch()),
            Phase::Switch => actions.extend(self.switch()),
            Phase::Idle | Phase::Publish | Phase::Transit => {}
        }
        actions
    }

    /// New keys first: a crash in between signs with both, never with none.
    fn switch(&self) -> impl Iterator<Item = Action> {
        let new = self.waiting().into_iter().map(|file| Action::Activate(file.selector.to_string()));
        let old = self.of(Stage::Active).filter(|file| !self.is_new(file));
        let old = old.map(|file| Action::Retire(file.selector.to_string()));
        let lost = self.lost().filter(|_| !self.signs());
        new.chain(old).chain(lost).chain([Action::Reload, Action::End])
    }

    /// Whether mail is signed so that everybody can verify it. Until then a key that is gone is missed.
    fn signs(&self) -> bool {
        self.of(Stage::Active).any(|file| file.key.algorithm() == Algorithm::RsaSha256)
    }

    fn lost(&self) -> impl Iterator<Item = Action> {
        self.orphans.iter().cloned().map(Action::Bury)
    }

    /// Does one thing to the folder. [`Action::Reload`] is for the caller.
    pub(crate) fn perform(&self, action: &Action) -> anyhow::Result<()> {
        let place = folder(&self.data_dir, &self.domain);
        let path = |name: &str, extension: &str| place.join(format!("{name}.{extension}"));
        match action {
            Action::Begin(name) => write(&place.join(NOTE), &format!("{name}\n"), 0o644),
            Action::Make(name, algorithm) => {
                let selector = Selector::parse(name).context("the name is no selector")?;
                create(&self.data_dir, &self.domain, &selector, *algorithm, Stage::Next).map(drop)
            }
            Action::Record(name) => {
                let file = super::key_files(&self.data_dir, &self.domain)?.into_iter();
                let file = file.into_iter().find(|file| file.selector.as_str() == name);
                let KeyFile { selector, key, .. } = file.context("the key is gone")?;
                let line = key_files::zone_line(&selector, &self.domain, &key);
                write(&path(name, "txt"), &line, 0o644)
            }
            Action::Activate(name) => self.advance(name, Stage::Active),
            Action::Retire(name) => self.advance(name, Stage::Retired),
            Action::Reload => Ok(()),
            Action::End => {
                // Until now the server may have signed with them.
                for file in super::key_files(&self.data_dir, &self.domain)? {
                    if file.stage == Stage::Retired {
                        file.touch()?;
                    }
                }
                remove(&place.join(NOTE))
            }
            Action::Drop(name) => remove(&path(name, Stage::Retired.extension())),
            Action::Bury(name) => {
                let (record, gone) = (path(name, "txt"), path(name, GONE));
                if record.exists() {
                    fs::rename(&record, &gone)
                        .with_context(|| format!("cannot rename {}", record.display()))?;
                    return sync_parent(&gone);
                }
                write(&gone, "", 0o644)
            }
        }
    }

    fn advance(&self, name: &str, stage: Stage) -> anyhow::Result<()> {
        let files = super::key_files(&self.data_dir, &self.domain)?;
        let file = files.into_iter().find(|file| file.selector.as_str() == name);
        file.context("the key is gone")?.advance(stage).map(drop)
    }
}

/// What both keys of a pair are called.
pub(crate) fn name_of(file: &KeyFile) -> String {
    let name = file.selector.as_str();
    name.strip_suffix("-ed25519").unwrap_or(name).to_owned()
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }?;
    sync_parent(path)
}

/// Names with a record and no key, at whatever stage and in whatever state.
pub(super) fn orphans(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut orphans = stems(folder, "txt")?;
    for stage in Stage::ALL {
        for name in stems(folder, stage.extension())? {
            orphans.remove(&name);
        }
    }
    // Others may keep texts here as well.
    orphans.retain(|name| {
        let text = fs::read_to_string(folder.join(format!("{name}.txt")));
        text.is_ok_and(|text| text.starts_with(&format!("{name}._domainkey")))
    });
    Ok(orphans.into_iter().collect())
}

/// The names of files with this ending.
fn stems(folder: &Path, extension: &str) -> anyhow::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let mut stems = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(OsStr::to_str);
        stems.extend(stem.filter(|_| path.extension() == Some(OsStr::new(extension))).map(str::to_owned));
    }
    Ok(stems)
}

#[cfg(test)]
mod tests;
