//! LOGIN and AUTHENTICATE (RFC 3501 §6.2): who is it, and may it have one more session?

use std::time::Duration;

use kings_directory::{ClientFacts, LoginError, Progress};
use kings_imap::Tagged;
use kings_mail::address::Address;
use kings_mail::network::client_network;
use kings_sasl::{Credentials, Mechanisms, Turn};

use super::client::Person;
use super::{Client, Trouble};
use crate::blocking::blocking;

/// What a wrong password costs, to make guessing slow; the directory counts besides.
const FAILURE_DELAY: Duration = Duration::from_secs(2);

impl Client {
    /// LOGIN.
    pub(super) async fn log_in(&mut self, credentials: Credentials) -> Tagged {
        let name = credentials.login.clone();
        let origin = self.peer.origin();
        match self.inner.parts.directory.log_in(credentials, origin).await {
            Ok(account) => self.welcome(account.address, &name, "LOGIN").await,
            Err(error) => self.refuse(error, &name, "LOGIN").await,
        }
    }

    /// AUTHENTICATE: a challenge, or the result that ends it.
    pub(super) async fn authenticate(&mut self, turn: Turn) -> Result<Tagged, Vec<u8>> {
        let progress = self.login.take(turn).await;
        let (mechanism, name) = self.login.describe();
        let name = name.to_owned();
        match progress {
            Ok(Progress::Challenge(challenge)) => Err(challenge),
            Ok(Progress::Done(account)) => Ok(self.welcome(account.address, &name, mechanism).await),
            Err(error) => Ok(self.refuse(error, &name, mechanism).await),
        }
    }

    /// What the client may log in with, now that TLS is on.
    pub(crate) fn mechanisms(&mut self, facts: ClientFacts) -> Mechanisms {
        let directory = &self.inner.parts.directory;
        let mechanisms = directory.mechanisms(&facts);
        self.login = directory.login(facts);
        mechanisms
    }

    async fn welcome(&mut self, address: Address, login: &str, mechanism: &str) -> Tagged {
        let origin = self.peer.origin();
        match self.admit(address).await {
            Ok(address) => {
                origin.log(login, mechanism, Ok(&address));
                Tagged::ok("Logged in")
            }
            Err(closed) => {
                origin.log(login, mechanism, Err(&closed));
                closed.result()
            }
        }
    }

    async fn refuse(&self, error: LoginError, login: &str, mechanism: &str) -> Tagged {
        self.peer.origin().log(login, mechanism, Err(&error));
        let is_guess = matches!(error, LoginError::Refused | LoginError::Closed);
        if is_guess && !self.peer.exempt {
            tokio::time::sleep(FAILURE_DELAY).await;
        }
        refusal(error)
    }

    /// Opens the account of somebody who has proven who they are.
    async fn admit(&mut self, address: Address) -> Result<Address, NotAdmitted> {
        let most = if self.peer.exempt { usize::MAX } else { self.inner.parts.connections_per_account };
        let key = (address.clone(), client_network(self.peer.ip()));
        let place = self.inner.accounts.take(key, most).ok_or(NotAdmitted::TooManySessions)?;
        let store = self.inner.parts.store.clone();
        let name = address.clone();
        let account = blocking(move || store.account(&name)).await.map_err(NotAdmitted::NoMailboxes)?;
        let changes = self.inner.parts.directory.changes();
        self.person = Some(Person { address: address.clone(), account, changes, _place: place });
        self.stranger = None;
        Ok(address)
    }
}

/// Why somebody who has proven who they are gets no session. Nothing of it is a fault of the login.
#[derive(Debug, thiserror::Error)]
enum NotAdmitted {
    #[error("too many sessions of this account from this address")]
    TooManySessions,
    #[error("cannot open the account: {0}")]
    NoMailboxes(Trouble),
}

impl NotAdmitted {
    fn result(&self) -> Tagged {
        match self {
            Self::TooManySessions => Tagged::SESSION_LIMIT,
            Self::NoMailboxes(Trouble::Crashed) => Tagged::SERVER_BUG,
            Self::NoMailboxes(Trouble::Refused(_) | Trouble::Store(_) | Trouble::Stream(_)) => {
                Tagged::LOGIN_UNAVAILABLE
            }
        }
    }
}

/// The only place where a failed login becomes a result.
fn refusal(error: LoginError) -> Tagged {
    match error {
        // One answer for both: a second one would tell a guesser that the password is right.
        LoginError::Refused | LoginError::Closed => Tagged::LOGIN_FAILED,
        LoginError::Malformed => Tagged::BAD_RESPONSE,
        LoginError::TooManyFailures => Tagged::LOGIN_LIMIT,
        LoginError::Busy => Tagged::LOGIN_UNAVAILABLE,
    }
}
