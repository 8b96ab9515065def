//! Who comes in: places for strangers, the price of a wrong password, the account of whoever has proven who they are.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kings_directory::{Changes, Directory, LoginError};
use kings_mail::address::Address;
use kings_mail::network::client_network;
use kings_store::{Account, Store};
use rustls::ServerConfig;

use crate::blocking::{Failure, blocking};
use crate::peer::Peer;
use crate::sessions::{AccountKey, Counter, Place};

/// What a wrong password costs, to make guessing slow; the directory counts besides.
pub(crate) const FAILURE_DELAY: Duration = Duration::from_secs(2);

/// What a server for people is made from, whatever it speaks.
#[derive(Clone, Debug)]
pub struct People {
    /// Checks logins.
    pub directory: Directory,
    /// Has the mailboxes.
    pub store: Store,
    /// For STARTTLS and STLS.
    pub tls: Arc<ServerConfig>,
    /// Most sessions of one account from one client (DESIGN limits: 20).
    pub connections_per_account: usize,
    /// Most connections of one client that have not logged in yet (DESIGN limits: 50).
    pub connections_per_address: usize,
}

/// The entrance of one server. It counts from when it was made.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) people: People,
    /// Sessions by account and client.
    accounts: Counter<AccountKey>,
    /// Connections that have not logged in, by client.
    strangers: Counter<IpAddr>,
}

/// Somebody who is logged in.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) address: Address,
    /// How it was opened.
    login: kings_directory::Account,
    pub(crate) account: Account,
    /// Tells when the account may be gone.
    pub(crate) changes: Changes,
    _place: Place<AccountKey>,
}

/// Why somebody who has proven who they are gets no session. Nothing of it is a fault of the login.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("too many sessions of this account from this address")]
    TooManySessions,
    #[error("cannot open the account: {0}")]
    NoMailboxes(Failure),
}

impl Door {
    pub(crate) fn new(people: People) -> Self {
        Self { people, accounts: Counter::default(), strangers: Counter::default() }
    }

    /// A place for a client that has not logged in yet; `None` when its address has too many.
    pub(crate) fn stranger(&self, peer: &Peer) -> Option<Place<IpAddr>> {
        let most = if peer.exempt { usize::MAX } else { self.people.connections_per_address };
        self.strangers.take(client_network(peer.ip()), most)
    }

    /// Opens the account of somebody who has proven who they are. The caller logs what came of it.
    pub(crate) async fn admit(
        &self,
        peer: &Peer,
        login: kings_directory::Account,
    ) -> Result<Person, NotAdmitted> {
        let address = login.address.clone();
        let most = if peer.exempt { usize::MAX } else { self.people.connections_per_account };
        let key = (address.clone(), client_network(peer.ip()));
        let place = self.accounts.take(key, most).ok_or(NotAdmitted::TooManySessions)?;
        let (store, name) = (self.people.store.clone(), address.clone());
        let account = blocking(move || store.account(&name)).await.map_err(NotAdmitted::NoMailboxes)?;
        Ok(Person { address, login, account, changes: self.people.directory.changes(), _place: place })
    }

    /// Logs a login that failed, and lets a guess wait.
    pub(crate) async fn refuse(&self, peer: &Peer, error: LoginError, (mechanism, login): (&str, &str)) {
        peer.origin().log(login, mechanism, Err(&error));
        let is_guess = matches!(error, LoginError::Refused | LoginError::Closed);
        if is_guess && !peer.exempt {
            tokio::time::sleep(FAILURE_DELAY).await;
        }
    }

    /// Whether the account was removed or closed since its login.
    pub(crate) fn is_closed_to(&self, person: &Person, peer: &Peer) -> bool {
        !self.people.directory.still_admits(&person.login, peer.ip())
    }
}
