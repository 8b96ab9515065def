//! Answers logins as a house of one person would, with a nonce that never changes: for dialogues in tests of every
//! protocol, which include this file.

use kings_sasl::scram::{Binding, Keys};
use kings_sasl::{BadExchange, Claim, Context, CramKeys, Credentials, Server, Step, Turn};

/// The one password, and the one good token.
const PASSWORD: &str = "secret";
const TOKEN: &str = "good.token";

/// How a turn is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Challenge(Vec<u8>),
    LoggedIn,
    Refused(BadExchange),
}

/// The house, and the login that is under way.
#[derive(Debug)]
pub(crate) struct House {
    person: &'static str,
    /// Whether -PLUS is among the offers.
    pub(crate) binds: bool,
    server: Option<Server>,
}

impl House {
    pub(crate) fn new(person: &'static str) -> Self {
        Self { person, binds: false, server: None }
    }

    pub(crate) fn answer(&mut self, turn: &Turn) -> Answer {
        let step = match turn {
            Turn::Begin(mechanism, initial) => {
                let binding = Binding { name: "tls-exporter", data: b"this connection".to_vec() };
                let bindings = if self.binds { vec![binding] } else { vec![] };
                let context = Context {
                    nonce: "house".into(),
                    hostname: "here.example".into(),
                    bindings,
                    masters: None,
                };
                self.server.insert(Server::new(*mechanism, context)).start(initial.as_deref())
            }
            Turn::Response(response) => self.server.as_mut().expect("a login has begun").respond(response),
        };
        match self.settle(step) {
            Ok(answer) => answer,
            Err(error) => Answer::Refused(error),
        }
    }

    fn settle(&mut self, step: Result<Step, BadExchange>) -> Result<Answer, BadExchange> {
        let server = self.server.as_mut().expect("a login has begun");
        let is_right = match step? {
            Step::Challenge(challenge) => return Ok(Answer::Challenge(challenge)),
            Step::FindKeys { hash, login } if login == self.person => {
                let step = server.take_keys(Keys::derive(hash, PASSWORD, b"salt", 4_096));
                return self.settle(step);
            }
            Step::FindKeys { hash, login } => {
                let step = server.take_keys(Keys::fake(hash, login.as_bytes(), 4, 4_096));
                return self.settle(step);
            }
            Step::Proven(login) => login == self.person,
            Step::Check(Claim::Password(Credentials { login, password })) => {
                login == self.person && password.expose() == PASSWORD
            }
            Step::Check(Claim::Digest { login, challenge, digest }) => {
                login == self.person && CramKeys::derive(PASSWORD).verify(&challenge, &digest)
            }
            Step::Check(Claim::Certificate { login }) => login.is_none_or(|login| login == self.person),
            Step::Check(Claim::Token { login, token }) if token.expose() == TOKEN => {
                login.is_none_or(|login| login == self.person)
            }
            Step::Check(Claim::Token { .. }) => {
                let step = server.refuse_token(br#"{"status":"invalid_token"}"#.to_vec());
                return self.settle(step);
            }
        };
        if is_right { Ok(Answer::LoggedIn) } else { Err(BadExchange::WrongProof) }
    }
}
