//! The directory as one value: reads its files, notices when they change, answers.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::path::ForwardPath;
use tokio::sync::Semaphore;
use tracing::{error, info};

use crate::aliases::Aliases;
use crate::login;
use crate::passwd_file::{Accounts, BadLine};
use crate::resolve::{Book, Resolution};
use crate::throttle::Throttle;

/// How often the files are looked at, at the most: a change acts within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the directory is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our own name; postmaster and abuse are known there too.
    pub hostname: Domain,
    /// The domains whose mail ends here; the first completes bare names in the alias file.
    pub domains: Vec<HostedDomain>,
    /// Dovecot's passwd-file.
    pub accounts: PathBuf,
    /// Postfix's virtual alias file; one that does not exist is empty.
    pub aliases: Option<PathBuf>,
    /// Failed logins per client network and minute before it must wait.
    pub login_failures_per_minute: u32,
}

/// A domain whose mail ends here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedDomain {
    /// Its name.
    pub name: Domain,
    /// Who gets what no other name of the domain takes.
    pub catch_all: Option<Address>,
}

/// A file of the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is missing or unreadable.
    #[error("cannot read {what} {}: {cause}", .path.display())]
    Unreadable {
        /// "accounts file" or "alias file"
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Some lines make no sense; all of them are named.
    #[error("{}", describe(.path, .lines))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number from 1 and what is wrong there.
        lines: Vec<(usize, String)>,
    },
}

fn describe(path: &Path, lines: &[(usize, String)]) -> String {
    let lines: Vec<String> =
        lines.iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())).collect();
    lines.join("\n")
}

/// Who exists. Clones share one state.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    files: ArcSwap<Files>,
    last_look: Mutex<Instant>,
    throttle: Mutex<Throttle>,
    pub(crate) hashing: Semaphore,
    hash_operations: AtomicU64,
}

/// One reading of both files.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) accounts: Accounts,
    aliases: Aliases,
    state: FilesState,
}

/// What tells one version of the files from the next: (inode, size, mtime in nanoseconds) of each.
type FilesState = [Option<(u64, u64, i128)>; 2];

impl Directory {
    /// Reads the files. Every fault is told at once.
    pub fn open(settings: Settings) -> Result<Self, DirectoryError> {
        let files = Files::read(&settings)?;
        let throttle = Mutex::new(Throttle::new(settings.login_failures_per_minute));
        Ok(Self(Arc::new(Inner {
            settings,
            files: ArcSwap::from_pointee(files),
            last_look: Mutex::new(Instant::now()),
            throttle,
            hashing: Semaphore::new(login::CONCURRENT_HASHES),
            hash_operations: AtomicU64::new(0),
        })))
    }

    /// What a recipient stands for.
    pub fn resolve(&self, path: &ForwardPath) -> Resolution {
        self.ask(|book| book.resolve(path))
    }

    /// Whether the account may use this address as reverse-path or From: its own, with any tag, or an alias
    /// that leads to it.
    pub fn may_send_as(&self, account: &Address, from: &Address) -> bool {
        self.ask(|book| book.may_send_as(&account.folded(), from))
    }

    /// Whether there is such an account (its exact address, in any case).
    pub fn has_account(&self, address: &Address) -> bool {
        self.files().accounts.get(&address.folded()).is_some()
    }

    /// Whether mail for this domain ends here.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.0.settings.domains.iter().any(|hosted| hosted.name == *domain)
    }

    /// All accounts in the order of the file, and whether each can log in.
    pub fn accounts(&self) -> Vec<(Address, bool)> {
        let files = self.files();
        files.accounts.iter().map(|entry| (entry.address.clone(), entry.password.is_some())).collect()
    }

    /// How many password hashes were computed since the start: one for each login, known or unknown.
    pub fn hash_operations(&self) -> u64 {
        self.0.hash_operations.load(Ordering::Relaxed)
    }

    fn ask<T>(&self, question: impl FnOnce(&Book<'_>) -> T) -> T {
        let files = self.files();
        let Settings { hostname, domains, .. } = &self.0.settings;
        question(&Book { hostname, domains, accounts: &files.accounts, aliases: &files.aliases })
    }

    /// The present reading; looks whether the files have changed, at most twice a second. A changed file
    /// that makes no sense is reported once and the old reading stays.
    pub(crate) fn files(&self) -> Arc<Files> {
        if self.is_time_to_look() && FilesState::of(&self.0.settings) != self.0.files.load().state {
            self.reload();
        }
        self.0.files.load_full()
    }

    fn is_time_to_look(&self) -> bool {
        let mut last = lock(&self.0.last_look);
        let due = last.elapsed() >= LOOK_INTERVAL;
        if due {
            *last = Instant::now();
        }
        due
    }

    pub(crate) fn reload(&self) {
        match Files::read(&self.0.settings) {
            Ok(files) => {
                info!(accounts = files.accounts.iter().count(), "accounts and aliases read again");
                self.0.files.store(Arc::new(files));
            }
            Err(error) => {
                error!(%error, "accounts and aliases stay as they were");
                let old = self.0.files.load_full();
                let state = FilesState::of(&self.0.settings);
                self.0.files.store(Arc::new(Files {
                    accounts: old.accounts.clone(),
                    aliases: old.aliases.clone(),
                    state,
                }));
            }
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn hashing(&self) -> &Semaphore {
        &self.0.hashing
    }

    pub(crate) fn count_hash(&self) {
        self.0.hash_operations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn must_wait(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| lock(&self.0.throttle).is_closed(client, Instant::now()))
    }

    pub(crate) fn record_failure(&self, client: Option<IpAddr>) {
        if let Some(client) = client {
            lock(&self.0.throttle).record_failure(client, Instant::now());
        }
    }
}

/// Every update leaves the value whole, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    fn read(settings: &Settings) -> Result<Self, DirectoryError> {
        // The state is taken first: a change between the two is seen at the next look.
        let state = FilesState::of(settings);
        let origin = settings.domains.first().map(|hosted| &hosted.name);
        let text = read("accounts file", &settings.accounts)?;
        let accounts = Accounts::parse(&text).map_err(|lines| malformed(&settings.accounts, lines))?;
        let aliases = match &settings.aliases {
            Some(path) if path.exists() => {
                let text = read("alias file", path)?;
                Aliases::parse(&text, origin).map_err(|lines| malformed(path, lines))?
            }
            Some(_) | None => Aliases::default(),
        };
        Ok(Self { accounts, aliases, state })
    }
}

trait OfFiles {
    fn of(settings: &Settings) -> Self;
}

impl OfFiles for FilesState {
    fn of(settings: &Settings) -> Self {
        let look = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            let mtime = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
            Some((found.ino(), found.len(), mtime))
        };
        [look(&settings.accounts), settings.aliases.as_deref().and_then(look)]
    }
}

fn read(what: &'static str, path: &Path) -> Result<String, DirectoryError> {
    fs::read_to_string(path).map_err(|cause| DirectoryError::Unreadable {
        what,
        path: path.to_owned(),
        cause,
    })
}

fn malformed(path: &Path, lines: Vec<BadLine>) -> DirectoryError {
    let lines = lines.into_iter().map(|BadLine { line, what }| (line, what)).collect();
    DirectoryError::Malformed { path: path.to_owned(), lines }
}
