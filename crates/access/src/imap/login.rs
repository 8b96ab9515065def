//! LOGIN and AUTHENTICATE (RFC 3501 §6.2): who is it, and may it have one more session?

use std::time::Duration;

use kings_directory::{LoginError, Origin};
use kings_imap::Tagged;
use kings_mail::address::Address;
use kings_mail::network::client_network;
use kings_sasl::Credentials;
use tracing::{info, warn};

use super::client::Person;
use super::{Client, Trouble};
use crate::blocking::blocking;

/// What a wrong password costs, to make guessing slow; the directory counts besides.
const FAILURE_DELAY: Duration = Duration::from_secs(2);

impl Client {
    pub(super) async fn log_in(&mut self, credentials: Credentials) -> Tagged {
        let client = self.peer.address;
        let origin = Origin { address: client.ip(), exempt: self.peer.exempt };
        match self.inner.parts.directory.log_in(credentials, origin).await {
            Ok(account) => self.admit(account.address).await,
            Err(error) => {
                info!(%client, verdict = %error, "IMAP login refused");
                let is_guess = matches!(error, LoginError::Refused | LoginError::Closed);
                if is_guess && !self.peer.exempt {
                    tokio::time::sleep(FAILURE_DELAY).await;
                }
                refusal(error)
            }
        }
    }

    /// Opens the account of somebody who has proven who they are.
    async fn admit(&mut self, address: Address) -> Tagged {
        let client = self.peer.address;
        let most = if self.peer.exempt { usize::MAX } else { self.inner.parts.connections_per_account };
        let Some(place) = self.inner.accounts.take((address.clone(), client_network(client.ip())), most)
        else {
            info!(%client, account = %address, verdict = "too many sessions", "IMAP login refused");
            return Tagged::SESSION_LIMIT;
        };
        let store = self.inner.parts.store.clone();
        let name = address.clone();
        match blocking(move || store.account(&name)).await {
            Ok(account) => {
                info!(%client, account = %address, "IMAP login");
                self.person = Some(Person { address, account, _place: place });
                self.stranger = None;
                Tagged::ok("Logged in")
            }
            Err(trouble) => {
                warn!(%client, account = %address, %trouble, "cannot open an account");
                unavailable(&trouble)
            }
        }
    }
}

/// The only place where a failed login becomes a result.
fn refusal(error: LoginError) -> Tagged {
    match error {
        // One answer for both: a second one would tell a guesser that the password is right.
        LoginError::Refused | LoginError::Closed => Tagged::LOGIN_FAILED,
        LoginError::TooManyFailures => Tagged::LOGIN_LIMIT,
        LoginError::Busy => Tagged::LOGIN_UNAVAILABLE,
    }
}

/// The password was right, so nothing about the account is the client's fault.
fn unavailable(trouble: &Trouble) -> Tagged {
    match trouble {
        Trouble::Crashed => Tagged::SERVER_BUG,
        Trouble::Refused(_) | Trouble::Store(_) | Trouble::Stream(_) => Tagged::LOGIN_UNAVAILABLE,
    }
}
