//! Checks a login: one hash for everybody, known or not, and few of them at once.

use std::net::IpAddr;
use std::time::Duration;

use kings_mail::address::Address;
use kings_sasl::{Credentials, Secret};
use tokio::time::timeout;

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

/// Why a login did not succeed. The client hears the same for an unknown name and a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No such account, no login for it, or another password.
    #[error("login name or password is wrong")]
    Refused,
    /// This client has failed too often within a minute.
    #[error("too many failed logins, try again in a minute")]
    TooManyFailures,
    /// Too many logins wait for their hash.
    #[error("too many logins at once, try again")]
    Busy,
}

impl Directory {
    /// Checks credentials. `client` is counted on failure; `None` for one that no rate limit applies to.
    ///
    /// Costs one password hash whatever the answer, so that time does not tell which names exist.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        client: Option<IpAddr>,
    ) -> Result<Account, LoginError> {
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
        let checked = tokio::task::spawn_blocking(move || directory.check(&credentials)).await;
        let found = checked.map_err(|_| LoginError::Busy)?;
        if found.is_none() {
            self.record_failure(client);
        }
        found.ok_or(LoginError::Refused)
    }

    /// Blocking.
    fn check(&self, credentials: &Credentials) -> Option<Account> {
        let files = self.files();
        let known = Address::parse(&credentials.login).ok().map(|address| address.folded());
        let entry = known.and_then(|address| files.accounts.get(&address));
        let stored = entry.and_then(|entry| entry.password.as_ref());
        let matches = self.compare(stored, &files, &credentials.password);
        entry.filter(|_| matches && stored.is_some()).map(|entry| Account { address: entry.address.clone() })
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
