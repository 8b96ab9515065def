//! Whom a login name means: whose password it proves, and whose mail it opens. A master user opens that of others.

use std::net::IpAddr;

use kings_mail::domain::Domain;
use kings_sasl::scram::Hash;

use crate::login::{Account, LoginError};
use crate::passwd_file::{Accounts, BadLine, Entry};
use crate::reading::Files;

/// Stands between an account and the master who opens it, as in Dovecot's documentation.
pub(crate) const SEPARATOR: char = '*';
/// A master's name need not be an address; one without a domain gets this one, which is nobody's (RFC 6761 §6.4).
const NOWHERE: &str = "master.invalid";

/// The master users; `None` where there are none, and their separator is a character as any other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masters(Option<Accounts>);

impl Masters {
    /// Reads a passwd-file.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<BadLine>> {
        let nowhere = Domain::parse(NOWHERE).ok();
        Accounts::parse(text, nowhere.as_ref()).map(|accounts| Self(Some(accounts)))
    }

    fn can_all_use(&self, hash: Hash) -> bool {
        self.0.as_ref().is_none_or(|masters| masters.iter().next().is_none() || masters.all_can_use(hash))
    }
}

/// Whom a login name means.
#[derive(Clone, Debug)]
pub(crate) struct Who<'a> {
    /// Whose password is asked for; `None` where there is nobody.
    pub(crate) key: Option<&'a Entry>,
    /// Whose mail is opened.
    account: Option<&'a Entry>,
    /// The same for all names that are tried against one password: what failures are counted by.
    pub(crate) spelling: String,
    /// The name of the master who opens the mail of somebody else.
    pub(crate) master: Option<&'a str>,
}

impl Who<'_> {
    /// Whether a master opens the mail of somebody else.
    pub(crate) fn is_master(&self) -> bool {
        self.master.is_some()
    }

    /// Whether there is such an account.
    pub(crate) fn opens_something(&self) -> bool {
        self.account.is_some()
    }

    /// The last word of every login, whatever its mechanism: the password of [`key`](Self::key) is proven, and the account
    /// may still be closed to this client. A master gets in from where his own line admits him, whatever the account's
    /// line says about the logins of its owner.
    pub(crate) fn admit(&self, client: IpAddr) -> Result<Account, LoginError> {
        match (self.key, self.account) {
            (Some(key), Some(account)) if key.admits(client) => {
                Ok(Account { address: account.address.clone(), master: self.master.map(str::to_owned) })
            }
            (Some(_), Some(_)) => Err(LoginError::Closed),
            _ => Err(LoginError::Refused),
        }
    }
}

impl Files {
    /// Whom a login name means.
    pub(crate) fn who<'a>(&'a self, login: &'a str) -> Who<'a> {
        let accounts = &self.accounts;
        let named = accounts.address_of(login);
        let own = named.as_ref().and_then(|address| accounts.get(address));
        if let (None, Some(masters), Some((account, master))) =
            (own, &self.masters.0, login.rsplit_once(SEPARATOR))
        {
            return Who {
                key: masters.of_login(master),
                account: accounts.of_login(account),
                spelling: format!("{SEPARATOR}{}", master.to_lowercase()),
                master: Some(master),
            };
        }
        let spelling = named.map_or_else(|| login.to_lowercase(), |address| address.to_string());
        Who { key: own, account: own, spelling, master: None }
    }

    /// Whether somebody who has logged in may go on: the account is there and open to this client, or to the master who opened
    /// it.
    pub(crate) fn still_admit(&self, account: &Account, client: IpAddr) -> bool {
        let entry = self.accounts.get(&account.address.folded());
        match (&account.master, &self.masters.0) {
            (None, _) => entry.is_some_and(|entry| entry.admits(client)),
            (Some(master), Some(masters)) => {
                entry.is_some() && masters.of_login(master).is_some_and(|master| master.admits(client))
            }
            (Some(_), None) => false,
        }
    }

    /// Whether everybody who can log in can do so with SCRAM and this hash, and there is somebody.
    pub(crate) fn all_can_use(&self, hash: Hash) -> bool {
        self.accounts.all_can_use(hash) && self.masters.can_all_use(hash)
    }
}
