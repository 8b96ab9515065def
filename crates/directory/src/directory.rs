//! The directory as one value: reads its files, notices when they change, answers.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;
use kings_mail::path::ForwardPath;
use kings_sasl::{Credentials, Mechanisms, Secret};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, error, info, warn};

use crate::known::{self, Known};
use crate::login::Account;
use crate::passwd_file::BadLine;
use crate::quota::QuotaRule;
use crate::reading::{Files, LookClock};
use crate::relays::RelayDomain;
use crate::resolve::{Book, LOCALHOST, Reach, Resolution, is_role};
use crate::table::{Answers, Stop, TableSource, answered};
use crate::tables::Tables;
use crate::throttle::{Guesses, Throttle};
use crate::tickets::Tickets;
use crate::token::TokenCheck;
use crate::verified::{self, Mark, Verified};
use crate::verify;

/// What the directory is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our own name; postmaster and abuse are known there too.
    pub hostname: Domain,
    /// The domains whose mail ends here; the first completes bare names in the alias file.
    pub domains: Vec<HostedDomain>,
    /// Dovecot's passwd-file.
    pub accounts: PathBuf,
    /// Alias tables; the first that knows a name wins.
    pub aliases: Vec<TableSource>,
    /// The machine's own users, where they write mail.
    pub machine: Option<Machine>,
    /// Who may write as whom: the first table that knows an address decides; for all others accounts and aliases do.
    pub sender_logins: Vec<TableSource>,
    /// Domains whose mail is passed on.
    pub relays: Vec<RelayDomain>,
    /// Characters that part a name from its tag; empty where there are no tags.
    pub delimiters: String,
    /// How people log in.
    pub login: LoginSettings,
}

/// How people log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSettings {
    /// What login names mean.
    pub names: LoginNames,
    /// The mechanisms to offer; `None` for those that all accounts can use.
    pub mechanisms: Option<Mechanisms>,
    /// Whether the -PLUS forms of SCRAM are offered as well.
    pub channel_binding: bool,
    /// Failed logins per client network and minute before it must wait.
    pub failures_per_minute: u32,
    /// Failed logins per login name and minute before strangers must wait: all from where the account has never logged
    /// in before.
    pub failures_per_account: u32,
    /// How long a password that was right spares its account the next slow hash; zero: never.
    pub remember: Duration,
    /// Keeps from where accounts have logged in.
    pub known: Option<PathBuf>,
    /// Random text that only this installation knows and that stays the same: salts for names that do not exist are
    /// made from it.
    pub secret: Secret,
}

/// What login names mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginNames {
    /// Completes names without a domain, at a login and in the accounts file (Dovecot's `auth_default_realm`).
    pub default_domain: Option<Domain>,
    /// A passwd-file of those who may log in as anybody else, with their own password and as `account*master`
    /// (Dovecot's master users, with the separator of its documentation).
    pub masters: Option<PathBuf>,
}

/// The machine's own users: who `root` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The domain that they write from, a hosted one or the host name. Under the host name and `localhost` the same
    /// people are known.
    pub origin: Domain,
    /// Their aliases in the syntax of aliases(5); a file that does not exist is empty.
    pub aliases: Option<PathBuf>,
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
    #[error("cannot read {what} {path}: {cause}; {remedy}", path = .path.display(), remedy = remedy(.path, .cause))]
    Unreadable {
        /// "accounts file", "alias file" and the like
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It said something before and says nothing now.
    #[error("{what} {} is empty and was not: if that is meant, reload or restart the server", .path.display())]
    Emptied {
        /// "accounts file", "alias file" and the like
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Its last line has no end and was written just now: whoever writes it is not done.
    #[error("{what} {} is being written", .path.display())]
    Unfinished {
        /// "accounts file", "alias file" and the like
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Some lines make no sense; all of them are named.
    #[error("{}", describe(.path, .lines))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number from 1 and what is wrong there.
        lines: Vec<(usize, String)>,
    },
    /// Several files are at fault.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<DirectoryError>),
}

impl DirectoryError {
    /// All of them as one; `None` where there is none. One that says to look again says so for all.
    pub(crate) fn of(mut faults: Vec<Self>) -> Option<Self> {
        let unfinished = faults.iter().position(|fault| matches!(fault, Self::Unfinished { .. }));
        match (unfinished, faults.len()) {
            (Some(at), _) => Some(faults.swap_remove(at)),
            (None, 0 | 1) => faults.pop(),
            (None, _) => Some(Self::Several(faults)),
        }
    }

    /// Whether it is about this file.
    pub(crate) fn is_about(&self, file: &Path) -> bool {
        match self {
            Self::Unreadable { path, .. }
            | Self::Emptied { path, .. }
            | Self::Unfinished { path, .. }
            | Self::Malformed { path, .. } => path == file,
            Self::Several(faults) => faults.iter().any(|fault| fault.is_about(file)),
        }
    }

    pub(crate) fn malformed(path: &Path, lines: Vec<BadLine>) -> Self {
        let lines = lines.into_iter().map(|BadLine { line, what }| (line, what)).collect();
        Self::Malformed { path: path.to_owned(), lines }
    }
}

/// What to do about a file that cannot be read.
fn remedy(path: &Path, cause: &io::Error) -> String {
    let path = path.display();
    match cause.kind() {
        io::ErrorKind::NotFound => format!("an empty one will do: touch {path}"),
        io::ErrorKind::PermissionDenied => format!("give it to the user that runs Kings: chown USER {path}"),
        io::ErrorKind::InvalidData => format!("write it in UTF-8: iconv -f LATIN1 -t UTF-8 {path}"),
        _ => format!("see what it is: ls -l {path}"),
    }
}

fn describe(path: &Path, lines: &[(usize, String)]) -> String {
    let lines: Vec<String> =
        lines.iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())).collect();
    lines.join("\n")
}

/// Who exists. Clones share one state.
#[derive(Clone, Debug)]
pub struct Directory(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    settings: Settings,
    /// What is hosted here or passed on from here.
    domains: Vec<Domain>,
    files: ArcSwap<Files>,
    clock: LookClock,
    /// Moves with each reading that holds.
    pub(crate) readings: watch::Sender<()>,
    /// A task looks for those who wait for readings.
    pub(crate) looked_after: Mutex<bool>,
    throttle: Mutex<Throttle>,
    known: Mutex<Known>,
    verified: Mutex<Verified>,
    tickets: Mutex<Tickets>,
    /// Of the marks in `verified`.
    verified_key: Option<hmac::Key>,
    tokens: OnceLock<Arc<dyn TokenCheck>>,
    pub(crate) hashing: Semaphore,
    hash_operations: AtomicU64,
}

/// A table of the config does not answer now, so nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a table does not answer")]
pub struct Unavailable;

/// What a look at all files has found.
#[derive(Debug)]
pub struct Survey {
    /// What they say as far as they make sense.
    pub directory: Directory,
    /// What is wrong with them.
    pub faults: Vec<DirectoryError>,
    /// Whether who is nobody there is nobody: accounts and patterns make sense.
    pub is_certain: bool,
}

impl Settings {
    fn is_certain(&self, faults: &[DirectoryError]) -> bool {
        let patterns = self.aliases.iter().filter_map(|source| match source {
            TableSource::Regexp(path) => Some(path),
            TableSource::Plain(_)
            | TableSource::Inline(_)
            | TableSource::Cidr(_)
            | TableSource::Static(_)
            | TableSource::Socketmap(_) => None,
        });
        !patterns.chain([&self.accounts]).any(|path| faults.iter().any(|fault| fault.is_about(path)))
    }

    fn warnings_about(&self, files: &Files) -> Vec<String> {
        let Some(path) = self.machine.as_ref().and_then(|machine| machine.aliases.as_ref()) else {
            return Vec::new();
        };
        let told = |bad: &BadLine| format!("{}:{}: {}", path.display(), bad.line, bad.what);
        files.system.complaints().iter().map(told).collect()
    }
}

impl Directory {
    /// Reads the files. Every fault is told at once.
    pub fn open(settings: Settings) -> Result<Self, DirectoryError> {
        let Survey { directory, faults, .. } = Self::survey(settings);
        DirectoryError::of(faults).map_or(Ok(directory), Err)
    }

    /// The same as far as the files make sense, with all their faults: to look for more, not to serve.
    pub fn survey(settings: Settings) -> Survey {
        let (files, faults) = Files::examine(&settings, None);
        let is_certain = settings.is_certain(&faults);
        let LoginSettings { failures_per_minute, failures_per_account, remember, .. } = settings.login;
        let throttle = Mutex::new(Throttle::new(failures_per_minute, failures_per_account));
        let known = Mutex::new(Known::open(settings.login.known.clone()));
        let hosted = settings.domains.iter().map(|hosted| &hosted.name);
        let domains = hosted.chain(settings.relays.iter().map(|relay| &relay.name)).cloned().collect();
        let directory = Self(Arc::new(Inner {
            settings,
            domains,
            files: ArcSwap::from_pointee(files),
            clock: LookClock::default(),
            readings: watch::Sender::new(()),
            looked_after: Mutex::new(false),
            throttle,
            known,
            verified: Mutex::new(Verified::new(remember)),
            tickets: Mutex::default(),
            verified_key: verified::key(),
            tokens: OnceLock::new(),
            hashing: Semaphore::new(verify::CONCURRENT_HASHES),
            hash_operations: AtomicU64::new(0),
        }));
        Survey { directory, faults, is_certain }
    }

    /// What the present reading leaves out and can do without, each in one line with its place.
    pub fn warnings(&self) -> Vec<String> {
        let files = self.0.files.load();
        let mut warnings = self.0.settings.warnings_about(&files);
        warnings.extend(self.dead_ends(&files));
        warnings
    }

    /// Lets `check` say what bearer tokens are worth; without it none are taken. To be called once, before logins.
    pub fn trust_tokens(&self, check: Arc<dyn TokenCheck>) {
        let _ = self.0.tokens.set(check);
    }

    /// What a recipient stands for. Waits only where another program has to be asked.
    pub async fn resolve(&self, path: &ForwardPath, reach: Reach) -> Resolution {
        self.ask(|book| book.resolve(path, reach)).await.unwrap_or(Resolution::Unavailable)
    }

    /// Whether the account may use this address as reverse-path or From: its own, with any tag, or an alias
    /// that leads to it.
    pub async fn may_send_as(&self, account: &Address, from: &Address) -> Result<bool, Unavailable> {
        let account = account.folded();
        self.ask(|book| book.may_send_as(&account, from)).await
    }

    /// Whether there is such an account (its exact address, in any case).
    pub fn has_account(&self, address: &Address) -> bool {
        self.files().accounts.get(&address.folded()).is_some()
    }

    /// What the accounts file says about how much mail an account may hold.
    pub fn quota_rule(&self, account: &Address) -> QuotaRule {
        self.files().accounts.get(&account.folded()).map(|entry| entry.quota.clone()).unwrap_or_default()
    }

    /// Whether a session of this account from this address may go on: it was not removed or closed meanwhile.
    pub fn still_admits(&self, account: &Account, client: IpAddr) -> bool {
        self.files().still_admit(account, client)
    }

    /// Whether mail for this domain ends here.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.0.settings.domains.iter().any(|hosted| hosted.name == *domain)
    }

    /// All domains that are ours: hosted here, or passed on from here.
    pub fn domains(&self) -> &[Domain] {
        &self.0.domains
    }

    /// Whether nothing of this domain ever leaves for another server: hosted domains and the names of the machine.
    pub fn ends_here(&self, domain: &Domain) -> bool {
        let Settings { hostname, machine, .. } = &self.0.settings;
        let is_origin = |machine: &Machine| *domain == machine.origin || domain.as_str() == LOCALHOST;
        self.hosts(domain) || domain == hostname || machine.as_ref().is_some_and(is_origin)
    }

    /// The domain of a name that our own users write without one: that of the machine's users, else the first here.
    pub fn origin(&self) -> Option<&Domain> {
        let Settings { machine, domains, .. } = &self.0.settings;
        let first = || domains.first().map(|hosted| &hosted.name);
        machine.as_ref().map(|machine| &machine.origin).or_else(first)
    }

    /// The address that a name at one of our own address literals means (RFC 5321 §4.1.3): that at our host name, for
    /// role names and where the machine's users have it; else that in the first domain here.
    pub fn at_home(&self, name: &LocalPart) -> Address {
        let Settings { hostname, machine, domains, .. } = &self.0.settings;
        let at_hostname = is_role(name) || machine.is_some() || self.hosts(hostname);
        let first = domains.first().filter(|_| !at_hostname).map(|hosted| &hosted.name);
        Address::new(name.clone(), Host::Domain(first.unwrap_or(hostname).clone()))
    }

    /// Whether mail for this domain is passed on to a server behind this one.
    pub fn relays(&self, domain: &Domain) -> bool {
        self.0.settings.relays.iter().any(|relay| relay.name == *domain)
    }

    /// All accounts in the order of the file, and whether each can log in.
    pub fn accounts(&self) -> Vec<(Address, bool)> {
        let files = self.files();
        files.accounts.iter().map(|entry| (entry.address.clone(), entry.can_log_in())).collect()
    }

    /// How many password hashes were computed since the start: one for each login, known or unknown, but for those whose
    /// password was right not long ago.
    pub fn hash_operations(&self) -> u64 {
        self.0.hash_operations.load(Ordering::Relaxed)
    }

    /// Asks the files, and other programs for what the files leave open, until there is an answer.
    async fn ask<T>(&self, question: impl Fn(&Book<'_>) -> Result<T, Stop>) -> Result<T, Unavailable> {
        let files = self.files();
        answered(|answers| self.ask_files(&files, answers, &question)).await
    }

    pub(crate) fn ask_files<T>(
        &self,
        files: &Files,
        answers: &Answers,
        question: impl Fn(&Book<'_>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let Settings { hostname, domains, machine, delimiters, .. } = &self.0.settings;
        let origin = domains.first().map(|hosted| &hosted.name);
        question(&Book {
            hostname,
            domains,
            accounts: &files.accounts,
            tables: Tables { all: &files.tables, answers, origin },
            machine: machine.as_ref().map(|machine| (&machine.origin, &files.system)),
            relays: &files.relays,
            owners: &files.owners,
            delimiters,
        })
    }

    /// The present reading; looks whether the files have changed, at most twice a second. A changed file
    /// that makes no sense is reported once and the old reading stays.
    pub(crate) fn files(&self) -> Arc<Files> {
        if self.0.clock.is_due() && self.0.files.load().have_changed() {
            self.reload();
        }
        self.0.files.load_full()
    }

    pub(crate) fn reload(&self) {
        let old = self.0.files.load_full();
        match Files::read(&self.0.settings, Some(&old)) {
            Ok(files) => {
                info!(accounts = files.accounts.iter().count(), "accounts and aliases read again");
                for warning in self.0.settings.warnings_about(&files) {
                    warn!("{warning}");
                }
                self.0.files.store(Arc::new(files));
                self.0.readings.send_replace(());
            }
            // The old reading keeps its old state, so the next look finds the file changed once more.
            Err(error @ DirectoryError::Unfinished { .. }) => debug!(%error, "looking again"),
            Err(error) => {
                error!(%error, "accounts and aliases stay as they were");
                self.0.files.store(Arc::new(old.as_they_were()));
            }
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Failed logins, in sum.
    pub fn guesses(&self) -> Guesses {
        lock(&self.0.throttle).guesses(Instant::now())
    }

    pub(crate) fn hashing(&self) -> &Semaphore {
        &self.0.hashing
    }

    pub(crate) fn count_hash(&self) {
        self.0.hash_operations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tokens(&self) -> Option<Arc<dyn TokenCheck>> {
        self.0.tokens.get().cloned()
    }

    /// Whether this client must wait before it tries this name (empty: before it has said one). Where an account has
    /// logged in from, failures from elsewhere count for nothing.
    pub(crate) fn must_wait(&self, client: Option<IpAddr>, name: &str) -> bool {
        let Some(client) = client else { return false };
        let name = &self.files().who(name).spelling;
        let now = Instant::now();
        let (closed, closed_for_strangers) = {
            let throttle = lock(&self.0.throttle);
            (throttle.is_closed(client, now), throttle.is_closed_for(name, now))
        };
        closed || (closed_for_strangers && !self.is_usual(client, name))
    }

    fn is_usual(&self, client: IpAddr, name: &str) -> bool {
        Address::parse(name).is_ok_and(|account| lock(&self.0.known).holds(&account.folded(), client))
    }

    /// The mark of a password under the key of this process.
    pub(crate) fn mark(&self, account: &Address, stored: &str, password: &Secret) -> Option<Mark> {
        verified::mark(self.0.verified_key.as_ref()?, account, stored, password)
    }

    /// A password that opens `account` for a minute, over any mechanism that brings it in clear: for a self-test of this
    /// very process. `None` where the account is not there or has no logins.
    pub fn ticket(&self, account: &Address) -> Option<Secret> {
        let files = self.files();
        files.accounts.get(account).filter(|entry| entry.can_log_in())?;
        lock(&self.0.tickets).issue(account, Instant::now())
    }

    /// The account that a ticket opens, if it may still log in.
    pub(crate) fn by_ticket(&self, credentials: &Credentials) -> Option<Account> {
        let tickets = lock(&self.0.tickets);
        if tickets.are_none() {
            return None;
        }
        let address = tickets.account(&credentials.password, Instant::now())?.clone();
        drop(tickets);
        let files = self.files();
        let named = files.accounts.address_of(&credentials.login)?;
        let admitted = named == address && files.accounts.get(&address)?.can_log_in();
        admitted.then_some(Account { address, master: None })
    }

    /// Whether this password was right not long ago.
    pub(crate) fn was_right(&self, mark: &Mark) -> bool {
        lock(&self.0.verified).holds(mark, Instant::now())
    }

    pub(crate) fn remember_right(&self, mark: Mark) {
        lock(&self.0.verified).add(mark, Instant::now());
    }

    pub(crate) fn record_failure(&self, client: Option<IpAddr>, name: &str) {
        if let Some(client) = client {
            let name = &self.files().who(name).spelling;
            lock(&self.0.throttle).record_failure(client, name, Instant::now());
        }
    }

    pub(crate) fn record_success(&self, client: Option<IpAddr>, account: &Address) {
        let Some(client) = client else { return };
        let Some((file, line)) = lock(&self.0.known).add(account, client) else { return };
        tokio::task::spawn_blocking(move || {
            if let Err(error) = known::append(&file, &line) {
                warn!(%error, "cannot write down from where an account logs in");
            }
        });
    }
}

/// Every update leaves the value whole, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
