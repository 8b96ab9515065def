//! The client side: what we send when a smart host asks who we are.

use crate::scram::{ClientExchange, Hash};
use crate::{CramKeys, Mechanism, Mechanisms, Secret};

/// The challenge does not fit the mechanism, or the server does not know the password that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("challenge does not fit the login")]
pub struct BadChallenge;

/// The client side of one exchange.
#[derive(Debug)]
pub struct Client {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Plain { login: String, password: Secret },
    LoginName { login: String, password: Secret },
    LoginPassword(Secret),
    Scram(Box<ClientExchange>),
    CramMd5 { login: String, password: Secret },
    Over,
}

impl Client {
    /// Those we know, best first: those that prove both sides, one that only keeps the password here, and those that send
    /// it. Cyrus SASL, and so Postfix, has the same order.
    pub const KNOWN: [Mechanism; 5] = [
        Mechanism::Scram { hash: Hash::Sha256, plus: false },
        Mechanism::Scram { hash: Hash::Sha1, plus: false },
        Mechanism::CramMd5,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// Those of the mechanisms that the server offers which we know and may use, best first.
    pub fn usable<'a>(
        offered: impl IntoIterator<Item = &'a str>,
        allowed: Mechanisms,
    ) -> impl Iterator<Item = Mechanism> {
        let offered: Mechanisms = offered.into_iter().filter_map(Mechanism::parse).collect();
        Self::KNOWN
            .into_iter()
            .filter(move |mechanism| offered.contains(*mechanism) && allowed.contains(*mechanism))
    }

    /// Begins an exchange, if it is a mechanism that we know. `nonce` is printable text without commas that was never
    /// used before.
    pub fn begin(mechanism: Mechanism, login: &str, password: &Secret, nonce: &str) -> Option<Self> {
        let (name, secret) = (login.to_owned(), password.clone());
        let state = match mechanism {
            Mechanism::Scram { hash, plus: false } => {
                State::Scram(Box::new(ClientExchange::new(hash, login, password, nonce, None)))
            }
            Mechanism::Login => State::LoginName { login: name, password: secret },
            Mechanism::CramMd5 => State::CramMd5 { login: name, password: secret },
            Mechanism::Plain => State::Plain { login: name, password: secret },
            Mechanism::Scram { plus: true, .. }
            | Mechanism::External
            | Mechanism::OAuthBearer
            | Mechanism::XOAuth2 => return None,
        };
        Some(Self { mechanism, state })
    }

    /// The mechanism to name in AUTH.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether the first response goes along with the command. LOGIN waits for its prompts, CRAM-MD5 for its challenge.
    pub fn speaks_first(&self) -> bool {
        matches!(self.state, State::Plain { .. } | State::Scram(_))
    }

    /// The answer to a challenge. The first one of PLAIN and SCRAM is empty, and may be left out.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, BadChallenge> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain { login, password } => Ok(format!("\0{login}\0{}", password.expose()).into_bytes()),
            State::LoginName { login, password } => {
                self.state = State::LoginPassword(password);
                Ok(login.into_bytes())
            }
            State::LoginPassword(password) => Ok(password.expose().as_bytes().to_vec()),
            State::Scram(mut exchange) => {
                let response = exchange.respond(challenge);
                self.state = State::Scram(exchange);
                response
            }
            // Without a challenge the answer would serve anybody, and at any time.
            State::CramMd5 { .. } if challenge.is_empty() => Err(BadChallenge),
            State::CramMd5 { login, password } => {
                let digest = CramKeys::derive(password.expose()).digest(challenge);
                Ok(format!("{login} {digest}").into_bytes())
            }
            State::Over => Err(BadChallenge),
        }
    }

    /// Whether a success that the server claims now may be believed: with SCRAM only after it has proven itself.
    pub fn may_succeed(&self) -> bool {
        match &self.state {
            State::Scram(exchange) => exchange.is_proven(),
            State::Over => true,
            State::Plain { .. }
            | State::LoginName { .. }
            | State::LoginPassword(_)
            | State::CramMd5 { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::Keys;
    use crate::server::{Claim, Context, Credentials, Server, Step};

    /// Runs client and server against each other; gives what the server found.
    fn run(mechanism: Mechanism) -> (Step, Client) {
        let password = Secret::new("secret");
        let mut client = Client::begin(mechanism, "ann", &password, "client").expect("a known mechanism");
        let context = Context {
            nonce: "server".into(),
            hostname: "mail.example.org".into(),
            bindings: vec![],
            masters: None,
        };
        let mut server = Server::new(mechanism, context);
        let mut step = server.start(None).expect("a challenge");
        loop {
            step = match step {
                Step::Challenge(challenge) => {
                    let response = client.respond(&challenge).expect("a challenge that fits");
                    server.respond(&response).expect("a response that fits")
                }
                Step::FindKeys { hash, login } => {
                    assert_eq!(login, "ann");
                    server.take_keys(Keys::derive(hash, "secret", b"salt", 4_096)).expect("keys are wanted")
                }
                found => return (found, client),
            }
        }
    }

    #[test]
    fn each_client_satisfies_its_server() {
        for mechanism in Client::KNOWN {
            let (found, client) = run(mechanism);
            let expected = match mechanism {
                Mechanism::Scram { .. } => Step::Proven("ann".into()),
                Mechanism::CramMd5 => {
                    let Step::Check(Claim::Digest { login, challenge, digest }) = found else {
                        panic!("{found:?}")
                    };
                    assert!(login == "ann" && CramKeys::derive("secret").verify(&challenge, &digest));
                    assert!(client.may_succeed());
                    continue;
                }
                _ => Step::Check(Claim::Password(Credentials {
                    login: "ann".into(),
                    password: Secret::new("secret"),
                })),
            };
            assert_eq!(found, expected);
            assert!(client.may_succeed(), "{mechanism:?}");
        }
    }

    #[test]
    fn the_best_offer_is_taken_and_unknown_ones_are_none() {
        let usable = |offered: &[&str], allowed: &[Mechanism]| -> Vec<&str> {
            let allowed = allowed.iter().copied().collect();
            Client::usable(offered.iter().copied(), allowed).map(Mechanism::name).collect()
        };
        let choose = |offered: &[&str]| usable(offered, &Client::KNOWN).first().copied();
        assert_eq!(choose(&["LOGIN", "plain"]), Some("PLAIN"));
        assert_eq!(choose(&["LOGIN", "SCRAM-SHA-1", "plain"]), Some("SCRAM-SHA-1"));
        assert_eq!(choose(&["LOGIN", "PLAIN", "cram-md5"]), Some("CRAM-MD5"));
        assert_eq!(choose(&["CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-1"]), Some("SCRAM-SHA-256"));
        assert_eq!(choose(&["GSSAPI", "SCRAM-SHA-256-PLUS", "DIGEST-MD5", "XOAUTH2"]), None);
        let offered = ["LOGIN", "PLAIN", "cram-md5", "SCRAM-SHA-1"];
        assert_eq!(usable(&offered, &Client::KNOWN), ["SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"]);
        assert_eq!(usable(&offered, &[Mechanism::Login, Mechanism::Plain]), ["PLAIN", "LOGIN"]);
        assert!(usable(&offered, &[]).is_empty());
        for mechanism in Mechanism::ALL {
            let client = Client::begin(mechanism, "ann", &Secret::new("x"), "nonce");
            assert_eq!(client.is_some(), Client::KNOWN.contains(&mechanism), "{mechanism:?}");
        }
    }

    #[test]
    fn a_success_before_the_proof_is_not_believed() {
        let begin = |mechanism| {
            Client::begin(mechanism, "ann", &Secret::new("x"), "nonce").expect("a known mechanism")
        };
        let mut client = begin(Mechanism::Scram { hash: Hash::Sha1, plus: false });
        client.respond(b"").expect("the first message");
        assert!(!client.may_succeed());
        let mut plain = begin(Mechanism::Plain);
        plain.respond(b"").expect("the only message");
        assert_eq!(plain.respond(b"more"), Err(BadChallenge));
        let mut cram = begin(Mechanism::CramMd5);
        assert!(!cram.may_succeed() && !cram.speaks_first());
        assert_eq!(cram.respond(b""), Err(BadChallenge));
    }
}
