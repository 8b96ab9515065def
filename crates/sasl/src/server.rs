//! The server side: challenges out, credentials in the end.

use crate::{Mechanism, Secret};

/// Longest name or password, in octets (RFC 4616 §2 leaves it open; 255 fits every address).
const MAX_FIELD: usize = 1024;

/// What a client claims: to be checked by the directory, nothing is proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The login name.
    pub login: String,
    /// The password.
    pub password: Secret,
}

/// One answer of the server machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this challenge and feed the next response.
    Challenge(Vec<u8>),
    /// The exchange is over: check these.
    Credentials(Credentials),
}

/// The response does not fit the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExchange {
    /// Wrong number of fields, an empty login name, text that is not UTF-8, or too long.
    #[error("malformed response")]
    Malformed,
    /// The client asks to act as somebody else, which nobody may here (RFC 4422 §3.4.1).
    #[error("authorization identity differs from the login")]
    OtherIdentity,
}

/// The server side of one exchange. Feed [`Server::respond`] with decoded responses.
#[derive(Debug)]
pub struct Server(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword { login: String },
}

impl Server {
    /// Begins an exchange.
    pub fn new(mechanism: Mechanism) -> Self {
        Self(match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
        })
    }

    /// The challenge to send when the client gave no initial response.
    pub fn first_challenge(&self) -> &'static [u8] {
        match self.0 {
            State::Plain => b"",
            State::LoginName => b"Username:",
            State::LoginPassword { .. } => b"Password:",
        }
    }

    /// Takes one response. After an error or [`Step::Credentials`] the exchange is over.
    pub fn respond(&mut self, response: &[u8]) -> Result<Step, BadExchange> {
        match std::mem::replace(&mut self.0, State::Plain) {
            State::Plain => plain(response).map(Step::Credentials),
            State::LoginName => {
                let login = field(response)?;
                if login.is_empty() {
                    return Err(BadExchange::Malformed);
                }
                self.0 = State::LoginPassword { login };
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword { login } => {
                let password = Secret::new(field(response)?);
                Ok(Step::Credentials(Credentials { login, password }))
            }
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`, exactly two NULs (RFC 4616 §2).
fn plain(response: &[u8]) -> Result<Credentials, BadExchange> {
    let mut fields = response.split(|byte| *byte == 0);
    let mut next = || fields.next().ok_or(BadExchange::Malformed).and_then(field);
    let (identity, login, password) = (next()?, next()?, next()?);
    if fields.next().is_some() || login.is_empty() {
        return Err(BadExchange::Malformed);
    }
    if !identity.is_empty() && identity != login {
        return Err(BadExchange::OtherIdentity);
    }
    Ok(Credentials { login, password: Secret::new(password) })
}

fn field(bytes: &[u8]) -> Result<String, BadExchange> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadExchange::Malformed)?;
    let fits = text.len() <= MAX_FIELD && !text.contains('\0');
    fits.then(|| text.to_owned()).ok_or(BadExchange::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(login: &str, password: &str) -> Step {
        Step::Credentials(Credentials { login: login.into(), password: Secret::new(password) })
    }

    #[test]
    fn plain_has_exactly_three_fields_and_one_identity() {
        let cases: [(&[u8], Result<Step, BadExchange>); 10] = [
            (b"\0ann@example.org\0secret", Ok(credentials("ann@example.org", "secret"))),
            (b"ann\0ann\0secret", Ok(credentials("ann", "secret"))),
            (b"\0ann\0", Ok(credentials("ann", ""))),
            (b"joe\0ann\0secret", Err(BadExchange::OtherIdentity)),
            (b"ann\0secret", Err(BadExchange::Malformed)),
            (b"annsecret", Err(BadExchange::Malformed)),
            (b"\0ann\0secret\0", Err(BadExchange::Malformed)),
            (b"\0\0secret", Err(BadExchange::Malformed)),
            (b"\0\xff\0secret", Err(BadExchange::Malformed)),
            (b"", Err(BadExchange::Malformed)),
        ];
        for (response, expected) in cases {
            assert_eq!(Server::new(Mechanism::Plain).respond(response), expected, "{response:?}");
        }
    }

    #[test]
    fn plain_fields_have_a_limit() {
        let long = [b"\0ann\0".as_slice(), &[b'x'; MAX_FIELD + 1]].concat();
        assert_eq!(Server::new(Mechanism::Plain).respond(&long), Err(BadExchange::Malformed));
        assert!(Server::new(Mechanism::Plain).respond(&long[..long.len() - 1]).is_ok());
    }

    #[test]
    fn login_asks_twice() {
        let mut server = Server::new(Mechanism::Login);
        assert_eq!(server.first_challenge(), b"Username:");
        assert_eq!(server.respond(b"ann"), Ok(Step::Challenge(b"Password:".to_vec())));
        assert_eq!(server.respond(b"secret"), Ok(credentials("ann", "secret")));
    }

    #[test]
    fn login_refuses_an_empty_name() {
        assert_eq!(Server::new(Mechanism::Login).respond(b""), Err(BadExchange::Malformed));
    }
}
