//! Checks what a login brings against the accounts: one hash for everybody, known or not, and few of them at once.

use std::net::IpAddr;
use std::time::Duration;

use kings_sasl::scram::{Hash, Keys};
use kings_sasl::{CramKeys, Credentials, Secret};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use crate::directory::Directory;
use crate::login::{Account, LoginError, Origin};
use crate::passwd_file::{Accounts, Entry};
use crate::password::StoredPassword;
use crate::reading::Files;
use crate::seed::Seed;
use crate::verified::Mark;

/// Hashes computed at once: each may take a core and, with Dovecot's Argon2id, 256 MB.
pub(crate) const CONCURRENT_HASHES: usize = 2;
/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(20);

impl Directory {
    /// Checks credentials. A failure is counted against its origin.
    ///
    /// Costs one password hash whatever the answer, so that time does not tell which names exist, nor which
    /// are closed. Only a password that was right not long ago, for an account that is open to this client, costs less.
    pub async fn log_in(&self, credentials: Credentials, origin: Origin) -> Result<Account, LoginError> {
        let name = credentials.login.clone();
        // Before all limits: what strangers do to an account must not fail its self-test.
        if let Some(account) = self.by_ticket(&credentials) {
            return Ok(account);
        }
        if self.must_wait(origin.counted(), &name) {
            return Err(LoginError::TooManyFailures);
        }
        if let Some(account) = self.recall(&credentials, origin.address) {
            return self.settle(origin, &name, Ok(account));
        }
        let check = move |directory: &Self| directory.check(&credentials, origin.address);
        let found = self.hashed(origin, &name, check).await?;
        self.settle(origin, &name, found)
    }

    /// The keys for a SCRAM exchange.
    pub(crate) async fn find_keys(
        &self,
        origin: Origin,
        hash: Hash,
        login: String,
    ) -> Result<Keys, LoginError> {
        let name = login.clone();
        self.hashed(origin, &name, move |directory| directory.scram_keys(hash, &login)).await
    }

    /// Does work that takes as long as a password hash, when it is its turn.
    pub(crate) async fn hashed<T: Send + 'static>(
        &self,
        origin: Origin,
        name: &str,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, LoginError> {
        let _turn = self.turn(origin.counted(), name).await?;
        let directory = self.clone();
        self.count_hash();
        tokio::task::spawn_blocking(move || work(&directory)).await.map_err(|_| LoginError::Busy)
    }

    async fn turn(&self, client: Option<IpAddr>, name: &str) -> Result<SemaphorePermit<'_>, LoginError> {
        if self.must_wait(client, name) {
            return Err(LoginError::TooManyFailures);
        }
        let turn = timeout(PATIENCE, self.hashing().acquire()).await;
        let Ok(Ok(turn)) = turn else { return Err(LoginError::Busy) };
        // Those that queued up while the first ones failed must not get their answer all the same.
        if self.must_wait(client, name) { Err(LoginError::TooManyFailures) } else { Ok(turn) }
    }

    /// Remembers how it ended.
    pub(crate) fn settle(
        &self,
        origin: Origin,
        name: &str,
        found: Result<Account, LoginError>,
    ) -> Result<Account, LoginError> {
        match &found {
            // From where a master logs in is not where the account's owner is at home.
            Ok(_) if self.files().who(name).is_master() => {}
            Ok(account) => self.record_success(origin.counted(), &account.address),
            Err(_) => self.record_failure(origin.counted(), name),
        }
        found
    }

    /// Blocking.
    fn check(&self, credentials: &Credentials, client: IpAddr) -> Result<Account, LoginError> {
        let files = self.files();
        let who = files.who(&credentials.login);
        let stored = who.key.and_then(|entry| entry.password.as_ref());
        let matches = compare(stored, &files, &credentials.password);
        let found = if matches && stored.is_some() { who.admit(client) } else { Err(LoginError::Refused) };
        if found.is_ok()
            && let Some(mark) = who.key.and_then(|entry| self.mark_of(entry, &credentials.password))
        {
            self.remember_right(mark);
        }
        found
    }

    /// The account of a password that was right not long ago and is open to this client. Closed ones are left to
    /// [`Directory::check`], which takes as long for them as for a wrong password.
    fn recall(&self, credentials: &Credentials, client: IpAddr) -> Option<Account> {
        let files = self.files();
        let who = files.who(&credentials.login);
        let mark = self.mark_of(who.key?, &credentials.password)?;
        self.was_right(&mark).then(|| who.admit(client).ok()).flatten()
    }

    /// `None` where the password is no slower to check than its mark.
    fn mark_of(&self, entry: &Entry, password: &Secret) -> Option<Mark> {
        let stored = entry.password.as_ref().filter(|stored| stored.is_slow())?;
        self.mark(&entry.address, &stored.field(), password)
    }

    /// The keys that this login is checked against, made up where it has none: of the name, of nothing that happens, and of a
    /// secret of this installation. Blocking: takes as long as one
    /// derivation of keys from a password in every case.
    fn scram_keys(&self, hash: Hash, login: &str) -> Keys {
        let files = self.files();
        let who = files.who(login);
        let seed = Seed::new(&self.settings().login.secret, hash, &who.spelling);
        let stored = who.key.and_then(|entry| entry.password.as_ref());
        if let Some(password) = stored.and_then(StoredPassword::clear_text) {
            return seed.derive(hash, password);
        }
        let keys = match stored.and_then(|stored| stored.scram_keys(hash)) {
            Some(keys) => keys.clone(),
            None => {
                typical_keys(&files.accounts, hash).map_or_else(|| seed.fake(hash), |keys| seed.like(keys))
            }
        };
        // Spent for nothing, so that those whose keys are stored are not told from those whose keys are derived.
        let _ = keys.belong_to("");
        keys
    }

    /// Both CRAM-MD5's own keys and a clear password answer; all else costs the same and answers nothing.
    pub(crate) fn check_digest(
        &self,
        login: &str,
        challenge: &[u8],
        digest: &str,
        client: IpAddr,
    ) -> Result<Account, LoginError> {
        let files = self.files();
        let who = files.who(login);
        let stored = who.key.and_then(|entry| entry.password.as_ref());
        let keys = stored.and_then(StoredPassword::cram_keys);
        let is_real = keys.is_some();
        let matches = keys.unwrap_or_else(|| CramKeys::derive("")).verify(challenge, digest);
        if is_real && matches { who.admit(client) } else { Err(LoginError::Refused) }
    }

    /// The account whose owner is known by something else than a password, a token or a certificate: no master's.
    pub(crate) fn account_of(&self, name: &str, client: IpAddr) -> Result<Account, LoginError> {
        let files = self.files();
        let who = files.who(name);
        let can_log_in = who.key.is_some_and(|entry| entry.password.is_some());
        if can_log_in && !who.is_master() { who.admit(client) } else { Err(LoginError::Refused) }
    }

    /// The account of a login whose password was proven.
    pub(crate) fn proven(&self, login: &str, client: IpAddr) -> Result<Account, LoginError> {
        let files = self.files();
        let who = files.who(login);
        let has_password = who.key.is_some_and(|entry| entry.password.is_some());
        if has_password { who.admit(client) } else { Err(LoginError::Refused) }
    }
}

/// Compares with the stored password, or spends the same time on another account's. A password is right as it comes, or as
/// SASLprep spells it: the hash may have been made of either.
fn compare(stored: Option<&StoredPassword>, files: &Files, password: &Secret) -> bool {
    compare_spelling(stored, files, password)
        || password.prepared().is_some_and(|prepared| compare_spelling(stored, files, &prepared))
}

fn compare_spelling(stored: Option<&StoredPassword>, files: &Files, password: &Secret) -> bool {
    match stored.or_else(|| typical(&files.accounts)) {
        Some(stored) => stored.matches(password),
        None => StoredPassword::create(password).matches(&Secret::new("")),
    }
}

/// A password of the most usual cost, to be compared for names that do not exist.
fn typical(accounts: &Accounts) -> Option<&StoredPassword> {
    most_usual(|| accounts.iter().filter_map(|entry| entry.password.as_ref()), StoredPassword::cost_class)
}

/// Stored keys with the most usual number of rounds; `None` where clear text is more usual.
fn typical_keys(accounts: &Accounts, hash: Hash) -> Option<&Keys> {
    let stored = || accounts.iter().filter_map(|entry| entry.password.as_ref());
    let usable =
        || stored().filter(move |stored| stored.can_use(hash)).map(move |stored| stored.scram_keys(hash));
    most_usual(usable, |keys| keys.map(|keys| (keys.iterations(), keys.salt().len()))).flatten()
}

/// The first hundred tell the habit of the house; a campus has no more kinds than a family.
fn most_usual<T: Copy, C: PartialEq, I: Iterator<Item = T>>(
    all: impl Fn() -> I,
    class: impl Fn(T) -> C,
) -> Option<T> {
    let share = |candidate: T| all().take(100).filter(|other| class(*other) == class(candidate)).count();
    all().take(100).max_by_key(|candidate| share(*candidate))
}
