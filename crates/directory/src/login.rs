//! Checks a login: one hash for everybody, known or not, and few of them at once.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use kings_mail::address::Address;
use kings_sasl::{Credentials, Secret};
use tokio::time::timeout;
use tracing::info;

use crate::directory::Directory;
use crate::passwd_file::Accounts;
use crate::password::StoredPassword;
use crate::reading::Files;

/// Hashes computed at once: each may take a core and, with Dovecot's Argon2id, 256 MB.
pub(crate) const CONCURRENT_HASHES: usize = 2;
/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody who has proven who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's name, folded to lower case.
    pub address: Address,
}

/// Where a login comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What the client speaks, for the log: `submission` or `imap`.
    pub protocol: &'static str,
    /// The client's address.
    pub address: IpAddr,
    /// Its failures are not counted, and it never has to wait.
    pub exempt: bool,
}

impl Origin {
    /// The line in the log for a login that came to its end, the same for every protocol, so that one search
    /// (and one fail2ban filter) finds all of them. `login` is the name as it was sent.
    pub fn log(&self, login: &str, result: Result<&Address, &dyn Display>) {
        let Self { protocol, address: client, .. } = self;
        match result {
            Ok(account) => {
                info!(protocol, %client, login = ?login, %account, result = "ok", reason = "-", "login");
            }
            Err(error) => {
                let reason = error.to_string();
                info!(protocol, %client, login = ?login, account = "-", result = "fail", reason, "login");
            }
        }
    }
}

/// Why a login did not succeed. The client hears the same for an unknown name, a wrong password and an
/// account that is closed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No such account, no login for it, or another password.
    #[error("login name or password is wrong")]
    Refused,
    /// The password was right, but the account is closed (`nologin`), or to this address (`allow_nets`). Only
    /// for the log: whoever hears it knows the password.
    #[error("the account is closed to this client")]
    Closed,
    /// This client has failed too often within a minute.
    #[error("too many failed logins, try again in a minute")]
    TooManyFailures,
    /// Too many logins wait for their hash.
    #[error("too many logins at once, try again")]
    Busy,
}

impl Directory {
    /// Checks credentials. A failure is counted against its origin.
    ///
    /// Costs one password hash whatever the answer, so that time does not tell which names exist, nor which
    /// are closed.
    pub async fn log_in(&self, credentials: Credentials, origin: Origin) -> Result<Account, LoginError> {
        let client = (!origin.exempt).then_some(origin.address);
        if self.must_wait(client) {
            return Err(LoginError::TooManyFailures);
        }
        let turn = timeout(PATIENCE, self.hashing().acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(LoginError::Busy) };
        // Those that queued up while the first ones failed must not get their answer all the same.
        if self.must_wait(client) {
            return Err(LoginError::TooManyFailures);
        }
        let directory = self.clone();
        let checked =
            tokio::task::spawn_blocking(move || directory.check(&credentials, origin.address)).await;
        let found = checked.map_err(|_| LoginError::Busy)?;
        if found.is_err() {
            self.record_failure(client);
        }
        found
    }

    /// Blocking.
    fn check(&self, credentials: &Credentials, client: IpAddr) -> Result<Account, LoginError> {
        let files = self.files();
        let known = Address::parse(&credentials.login).ok().map(|address| address.folded());
        let entry = known.and_then(|address| files.accounts.get(&address));
        let stored = entry.and_then(|entry| entry.password.as_ref());
        let matches = self.compare(stored, &files, &credentials.password);
        match entry.filter(|_| matches && stored.is_some()) {
            Some(entry) if entry.admits(client) => Ok(Account { address: entry.address.clone() }),
            Some(_) => Err(LoginError::Closed),
            None => Err(LoginError::Refused),
        }
    }

    /// Compares with the stored password, or spends the same time on another account's.
    fn compare(&self, stored: Option<&StoredPassword>, files: &Files, password: &Secret) -> bool {
        self.count_hash();
        match stored.or_else(|| typical(&files.accounts)) {
            Some(stored) => stored.matches(password),
            None => StoredPassword::create(password).matches(&Secret::new("")),
        }
    }
}

/// A password of the most usual cost, to be compared for names that do not exist.
fn typical(accounts: &Accounts) -> Option<&StoredPassword> {
    let stored = || accounts.iter().filter_map(|entry| entry.password.as_ref());
    let share = |class| stored().filter(|other| other.cost_class() == class).count();
    // The first hundred tell the habit of the house; a campus has no more kinds than a family.
    stored().take(100).max_by_key(|candidate| share(candidate.cost_class()))
}
