//! LOGIN and AUTHENTICATE (RFC 3501 §6.2): who is it, and may it have one more session?

use kings_directory::{Account, LoginError, Progress};
use kings_imap::{Session, Tagged};
use kings_sasl::{Credentials, Turn};

use super::Client;
use crate::blocking::Failure;
use crate::door::NotAdmitted;

impl Client {
    /// LOGIN.
    pub(super) async fn log_in(&mut self, credentials: Credentials) -> Tagged {
        let name = credentials.login.clone();
        let origin = self.peer.origin();
        match self.inner.door.people.directory.log_in(credentials, origin).await {
            Ok(account) => self.welcome(account, &name, "LOGIN").await,
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
            Ok(Progress::Done(account)) => Ok(self.welcome(account, &name, mechanism).await),
            Err(error) => Ok(self.refuse(error, &name, mechanism).await),
        }
    }

    async fn welcome(&mut self, account: Account, login: &str, mechanism: &str) -> Tagged {
        let origin = self.peer.origin();
        match self.inner.door.admit(&self.peer, account).await {
            Ok(person) => {
                origin.log(login, mechanism, Ok(&person.address));
                (self.person, self.stranger) = (Some(person), None);
                Tagged::ok("Logged in")
            }
            Err(closed) => {
                origin.log(login, mechanism, Err(&closed));
                not_admitted(&closed)
            }
        }
    }

    /// The client becomes a stranger again, and needs a place as one (RFC 8437 §3). Nothing of it counts as a failure.
    pub(super) fn log_out(&mut self, session: &mut Session) -> Tagged {
        (self.selected, self.person, self.watching, self.notes) = (None, None, None, None);
        self.stranger = self.inner.door.stranger(&self.peer);
        if self.stranger.is_none() {
            session.bye("Too many connections from your address");
        }
        Tagged::ok("Logged out")
    }

    async fn refuse(&self, error: LoginError, login: &str, mechanism: &str) -> Tagged {
        self.inner.door.refuse(&self.peer, error, (mechanism, login)).await;
        refusal(error)
    }
}

fn not_admitted(why: &NotAdmitted) -> Tagged {
    match why {
        NotAdmitted::TooManySessions => Tagged::SESSION_LIMIT,
        NotAdmitted::NoMailboxes(Failure::Crashed) => Tagged::SERVER_BUG,
        NotAdmitted::NoMailboxes(Failure::Store(_)) => Tagged::LOGIN_UNAVAILABLE,
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
