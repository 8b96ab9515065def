//! The server side: challenges out, a claim or a proven name in the end.

use std::fmt;

use crate::scram::{Binding, Hash, Heard, Keys, ServerExchange};
use crate::{Mechanism, Secret, cram_md5, oauth};

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

/// What a client says in a login, as the protocol around it has unpacked it from base64.
#[derive(Clone, PartialEq, Eq)]
pub enum Turn {
    /// It begins, perhaps with its first response.
    Begin(Mechanism, Option<Vec<u8>>),
    /// It answers a challenge.
    Response(Vec<u8>),
}

/// Responses may hold passwords.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(mechanism, initial) => {
                write!(f, "Begin({mechanism:?}, initial: {})", initial.is_some())
            }
            Self::Response(_) => f.write_str("Response(..)"),
        }
    }
}

/// What a mechanism brings of its client, for the directory to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Name and password.
    Password(Credentials),
    /// A digest of the password and our challenge: [`CramKeys::verify`](crate::CramKeys::verify).
    Digest {
        /// The login name.
        login: String,
        /// What we sent.
        challenge: Vec<u8>,
        /// What came back.
        digest: String,
    },
    /// A bearer token. A refusal is told with [`Server::refuse_token`].
    Token {
        /// Who the client wants to be; the token says who it is.
        login: Option<String>,
        /// The token.
        token: Secret,
    },
    /// The certificate of the TLS connection.
    Certificate {
        /// Who the client wants to be; the certificate says who it is.
        login: Option<String>,
    },
}

/// One answer of the server machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this challenge and feed the next response.
    Challenge(Vec<u8>),
    /// Find the SCRAM keys of this login and go on with [`Server::take_keys`].
    FindKeys {
        /// The keys of this hash.
        hash: Hash,
        /// The login name.
        login: String,
    },
    /// The exchange is over: check this.
    Check(Claim),
    /// The exchange is over, and the client has proven to know the password of this login.
    Proven(String),
}

/// The response does not fit the mechanism, or what it shows is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExchange {
    /// Wrong number of fields, an empty login name, text that is not UTF-8, or too long.
    #[error("malformed response")]
    Malformed,
    /// The client asks to act as somebody else, which nobody may here (RFC 4422 §3.4.1).
    #[error("authorization identity differs from the login")]
    OtherIdentity,
    /// The client does not know the password.
    #[error("login name or password is wrong")]
    WrongProof,
    /// Somebody between the client and us has taken the -PLUS mechanisms off the offer (RFC 5802 §6).
    #[error("the offer of channel binding was lost on the way")]
    Downgrade,
    /// A type of channel binding that we do not have.
    #[error("unknown type of channel binding")]
    UnknownBinding,
    /// The token was refused, and the client has heard why.
    #[error("token is not accepted")]
    TokenRefused,
}

/// What an exchange is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Printable random text without commas that was never used before.
    pub nonce: String,
    /// Our name, for the challenge of CRAM-MD5.
    pub hostname: String,
    /// What the connection can be bound to. None: no -PLUS mechanism was offered.
    pub bindings: Vec<Binding>,
    /// Where some may act as others: what stands between the account and their own name in a login. PLAIN with an
    /// authorization identity gives a login of that form.
    pub masters: Option<char>,
}

/// The server side of one exchange. [`Server::start`] it, then feed [`Server::respond`] with decoded responses.
/// After an error, [`Step::Check`] or [`Step::Proven`] it is over.
#[derive(Debug)]
pub struct Server(State);

#[derive(Debug)]
enum State {
    External,
    Plain {
        masters: Option<char>,
    },
    LoginName,
    LoginPassword {
        login: String,
    },
    Scram(Hash, Box<ServerExchange>),
    CramMd5 {
        challenge: String,
    },
    OAuthBearer,
    XOAuth2,
    /// A token is being checked.
    Token,
    TokenRefused,
    Over,
}

impl Server {
    /// Makes the machine of a mechanism.
    pub fn new(mechanism: Mechanism, context: Context) -> Self {
        let Context { nonce, hostname, bindings, masters } = context;
        Self(match mechanism {
            Mechanism::External => State::External,
            Mechanism::Plain => State::Plain { masters },
            Mechanism::Login => State::LoginName,
            Mechanism::Scram { hash, plus } => {
                State::Scram(hash, Box::new(ServerExchange::new(plus, bindings, nonce)))
            }
            Mechanism::CramMd5 => State::CramMd5 { challenge: format!("<{nonce}@{hostname}>") },
            Mechanism::OAuthBearer => State::OAuthBearer,
            Mechanism::XOAuth2 => State::XOAuth2,
        })
    }

    /// Begins the exchange, with the response that came along with the command if one did. CRAM-MD5 takes none, for
    /// there the server speaks first (RFC 4954 §4); LOGIN takes the name, as clients send it.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Result<Step, BadExchange> {
        let challenge = match (&self.0, initial) {
            (State::CramMd5 { .. }, Some(_)) => {
                self.0 = State::Over;
                return Err(BadExchange::Malformed);
            }
            (_, Some(response)) => return self.respond(response),
            (State::CramMd5 { challenge }, None) => challenge.clone().into_bytes(),
            (State::LoginName, None) => b"Username:".to_vec(),
            (_, None) => Vec::new(),
        };
        Ok(Step::Challenge(challenge))
    }

    /// Takes one response.
    pub fn respond(&mut self, response: &[u8]) -> Result<Step, BadExchange> {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Plain { masters } => plain(response, masters).map(Claim::Password).map(Step::Check),
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
                Ok(Step::Check(Claim::Password(Credentials { login, password })))
            }
            State::Scram(hash, exchange) => self.scram(hash, exchange, response),
            State::CramMd5 { challenge } => {
                let text = std::str::from_utf8(response).map_err(|_| BadExchange::Malformed)?;
                let (login, digest) = cram_md5::split_response(text).ok_or(BadExchange::Malformed)?;
                let (login, digest) = (field(login.as_bytes())?, digest.to_owned());
                Ok(Step::Check(Claim::Digest { login, challenge: challenge.into_bytes(), digest }))
            }
            State::External => {
                let login = Some(field(response)?).filter(|login| !login.is_empty());
                Ok(Step::Check(Claim::Certificate { login }))
            }
            State::OAuthBearer => self.token(response, oauth::oauthbearer),
            State::XOAuth2 => self.token(response, oauth::xoauth2),
            State::TokenRefused => Err(BadExchange::TokenRefused),
            State::Token | State::Over => Err(BadExchange::Malformed),
        }
    }

    /// Answers [`Step::FindKeys`] with the keys, or with fake ones for a login that has none.
    pub fn take_keys(&mut self, keys: Keys) -> Result<Step, BadExchange> {
        let State::Scram(_, exchange) = &mut self.0 else { return Err(BadExchange::Malformed) };
        exchange.take_keys(keys).map(Step::Challenge).ok_or(BadExchange::Malformed)
    }

    /// Tells why a token is refused, as a JSON object; the client answers with a dummy, and only then the exchange
    /// has failed (RFC 7628 §3.2.3).
    pub fn refuse_token(&mut self, why: Vec<u8>) -> Result<Step, BadExchange> {
        let State::Token = self.0 else { return Err(BadExchange::Malformed) };
        self.0 = State::TokenRefused;
        Ok(Step::Challenge(why))
    }

    fn scram(
        &mut self,
        hash: Hash,
        mut exchange: Box<ServerExchange>,
        response: &[u8],
    ) -> Result<Step, BadExchange> {
        let heard = exchange.respond(response)?;
        self.0 = State::Scram(hash, exchange);
        Ok(match heard {
            Heard::Login(login) => Step::FindKeys { hash, login },
            Heard::Challenge(challenge) => Step::Challenge(challenge),
            Heard::Proven(login) => Step::Proven(login),
        })
    }

    fn token(
        &mut self,
        response: &[u8],
        read: fn(&str) -> Result<Claim, BadExchange>,
    ) -> Result<Step, BadExchange> {
        let text = std::str::from_utf8(response).map_err(|_| BadExchange::Malformed)?;
        let claim = read(text)?;
        self.0 = State::Token;
        Ok(Step::Check(claim))
    }
}

/// `[authzid] NUL authcid NUL passwd`, exactly two NULs (RFC 4616 §2).
fn plain(response: &[u8], masters: Option<char>) -> Result<Credentials, BadExchange> {
    let mut fields = response.split(|byte| *byte == 0);
    let mut next = || fields.next().ok_or(BadExchange::Malformed).and_then(field);
    let (identity, login, password) = (next()?, next()?, next()?);
    if fields.next().is_some() || login.is_empty() {
        return Err(BadExchange::Malformed);
    }
    let login = match masters {
        _ if identity.is_empty() || identity == login => login,
        // Whoever has the separator in his own name would be taken for somebody else.
        Some(separator) if !login.contains(separator) => format!("{identity}{separator}{login}"),
        _ => return Err(BadExchange::OtherIdentity),
    };
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
        Step::Check(Claim::Password(Credentials { login: login.into(), password: Secret::new(password) }))
    }

    fn server(mechanism: Mechanism) -> Server {
        let context = Context {
            nonce: "1896.697170952".into(),
            hostname: "mail.example.org".into(),
            bindings: vec![],
            masters: None,
        };
        Server::new(mechanism, context)
    }

    #[test]
    fn plain_names_the_account_that_a_master_opens() {
        let cases: [(&[u8], Result<Step, BadExchange>); 5] = [
            (b"joe\0admin\0secret", Ok(credentials("joe*admin", "secret"))),
            (b"\0admin\0secret", Ok(credentials("admin", "secret"))),
            (b"ann\0ann\0secret", Ok(credentials("ann", "secret"))),
            (b"\0joe*admin\0secret", Ok(credentials("joe*admin", "secret"))),
            (b"joe\0ann*admin\0secret", Err(BadExchange::OtherIdentity)),
        ];
        for (response, expected) in cases {
            assert_eq!(plain(response, Some('*')).map(Claim::Password).map(Step::Check), expected);
        }
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
            assert_eq!(server(Mechanism::Plain).start(Some(response)), expected, "{response:?}");
        }
    }

    #[test]
    fn plain_fields_have_a_limit() {
        let long = [b"\0ann\0".as_slice(), &[b'x'; MAX_FIELD + 1]].concat();
        assert_eq!(server(Mechanism::Plain).respond(&long), Err(BadExchange::Malformed));
        assert!(server(Mechanism::Plain).respond(&long[..long.len() - 1]).is_ok());
    }

    #[test]
    fn login_asks_twice_or_takes_the_name_at_once() {
        let mut asked = server(Mechanism::Login);
        assert_eq!(asked.start(None), Ok(Step::Challenge(b"Username:".to_vec())));
        assert_eq!(asked.respond(b"ann"), Ok(Step::Challenge(b"Password:".to_vec())));
        assert_eq!(asked.respond(b"secret"), Ok(credentials("ann", "secret")));
        let mut told = server(Mechanism::Login);
        assert_eq!(told.start(Some(b"ann")), Ok(Step::Challenge(b"Password:".to_vec())));
        assert_eq!(told.respond(b"secret"), Ok(credentials("ann", "secret")));
    }

    #[test]
    fn login_refuses_an_empty_name() {
        assert_eq!(server(Mechanism::Login).respond(b""), Err(BadExchange::Malformed));
    }

    #[test]
    fn cram_md5_challenges_first_and_takes_no_initial_response() {
        let mut cram = server(Mechanism::CramMd5);
        let challenge = b"<1896.697170952@mail.example.org>".to_vec();
        assert_eq!(cram.start(None), Ok(Step::Challenge(challenge.clone())));
        let digest = "b913a602c7eda7a495b4e6e7334d3890".to_owned();
        let claim = Claim::Digest { login: "tim".into(), challenge, digest };
        assert_eq!(cram.respond(b"tim b913a602c7eda7a495b4e6e7334d3890"), Ok(Step::Check(claim)));
        let mut early = server(Mechanism::CramMd5);
        assert_eq!(early.start(Some(b"tim b913a602c7eda7a495b4e6e7334d3890")), Err(BadExchange::Malformed));
        assert_eq!(early.respond(b"tim b913a602c7eda7a495b4e6e7334d3890"), Err(BadExchange::Malformed));
    }

    #[test]
    fn external_names_nobody_or_one() {
        let claim =
            |login: Option<&str>| Ok(Step::Check(Claim::Certificate { login: login.map(str::to_owned) }));
        assert_eq!(server(Mechanism::External).start(None), Ok(Step::Challenge(vec![])));
        assert_eq!(server(Mechanism::External).start(Some(b"")), claim(None));
        assert_eq!(
            server(Mechanism::External).start(Some(b"ann@example.org")),
            claim(Some("ann@example.org"))
        );
        assert_eq!(server(Mechanism::External).start(Some(b"ann\0")), Err(BadExchange::Malformed));
    }

    #[test]
    fn a_refused_token_is_told_why_before_the_exchange_fails() {
        for (mechanism, message) in [
            (Mechanism::OAuthBearer, "n,,\u{1}auth=Bearer x\u{1}\u{1}"),
            (Mechanism::XOAuth2, "user=ann\u{1}auth=Bearer x\u{1}\u{1}"),
        ] {
            let mut bearer = server(mechanism);
            assert!(matches!(bearer.start(Some(message.as_bytes())), Ok(Step::Check(Claim::Token { .. }))));
            assert_eq!(bearer.refuse_token(b"{}".to_vec()), Ok(Step::Challenge(b"{}".to_vec())));
            assert_eq!(bearer.respond(b"\x01"), Err(BadExchange::TokenRefused));
            assert_eq!(bearer.refuse_token(b"{}".to_vec()), Err(BadExchange::Malformed));
        }
    }
}
