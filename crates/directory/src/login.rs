//! One login from its first word to its verdict, whatever its mechanism: the same cost for everybody, known or not.

use std::fmt::Display;
use std::net::IpAddr;

use kings_mail::address::Address;
use kings_sasl::scram::{Binding, Hash};
use kings_sasl::{BadExchange, Claim, Context, Mechanism, Mechanisms, Secret, Server, Step, Turn};
use tracing::{info, warn};

use crate::directory::Directory;
use crate::masters::SEPARATOR;
use crate::seed;
use crate::token::TokenError;

/// What the log says of an exchange that nobody finished; there is no client left to hear it.
const BROKEN_OFF: &str = "broken off before the proof";

/// Somebody who has proven who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's name, folded to lower case.
    pub address: Address,
    /// The name of the master user who opened it with his own password.
    pub master: Option<String>,
}

/// Where a login comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What the client speaks, for the log: `submission` or `imap`.
    pub protocol: &'static str,
    /// The client's address.
    pub address: IpAddr,
    /// Its failures are not counted, and it never has to wait.
    pub exempt: bool,
}

impl Origin {
    /// The address whose failures are counted, if they are.
    pub(crate) fn counted(self) -> Option<IpAddr> {
        (!self.exempt).then_some(self.address)
    }

    /// The line in the log for a login that came to its end, the same for every protocol, so that one search
    /// (and one fail2ban filter) finds all of them. `login` is the name as it was sent.
    pub fn log(&self, login: &str, mechanism: &str, result: Result<&Address, &dyn Display>) {
        let Self { protocol, address: client, .. } = self;
        match result {
            Ok(account) => {
                info!(protocol, %client, login = ?login, %account, mechanism, result = "ok", reason = "-", "login");
            }
            Err(error) => {
                let reason = error.to_string();
                info!(protocol, %client, login = ?login, account = "-", mechanism, result = "fail", reason, "login");
            }
        }
    }
}

/// Why a login did not succeed. The client hears the same for an unknown name, a wrong password and an
/// account that is closed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No such account, no login for it, or another password.
    #[error("login name or password is wrong")]
    Refused,
    /// The proof was right, but the account is closed (`nologin`), or to this address (`allow_nets`). Only
    /// for the log: whoever hears it knows the password.
    #[error("the account is closed to this client")]
    Closed,
    /// What the client sent does not fit the mechanism.
    #[error("malformed response")]
    Malformed,
    /// This client, or others at this account, failed too often within a minute.
    #[error("too many failed logins, try again in a minute")]
    TooManyFailures,
    /// Too many logins wait for their hash, or whoever checks tokens does not answer.
    #[error("too many logins at once, try again")]
    Busy,
}

/// What a connection shows of its client before a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// Where it comes from.
    pub origin: Origin,
    /// The names in its certificate, which was verified.
    pub certificate_names: Vec<String>,
    /// What its TLS connection can be bound to.
    pub bindings: Vec<Binding>,
}

impl ClientFacts {
    /// Those of a client that has shown nothing but where it comes from.
    pub fn new(origin: Origin) -> Self {
        Self { origin, certificate_names: Vec::new(), bindings: Vec::new() }
    }
}

/// What a turn has led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send this challenge, and give me the response.
    Challenge(Vec<u8>),
    /// The login is over, and it is this one.
    Done(Account),
}

/// A login that is under way, or between two of them. One for each connection.
#[derive(Debug)]
pub struct Login {
    directory: Directory,
    facts: ClientFacts,
    exchange: Option<Server>,
    /// Of the login that is under way or was the last, for the log.
    mechanism: Option<Mechanism>,
    name: String,
    owed: Owed,
}

/// What a client owes that has got something out of its exchange. Who breaks off here has tried the name, and is counted
/// and logged like anybody else who did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Owed {
    #[default]
    Nothing,
    /// It has heard of keys (salt and rounds).
    Proof,
    /// It has heard that its token is refused, which was counted then; some clients do not wait for the end.
    EndOfRefusal,
}

impl Directory {
    /// The mechanisms to offer to this client under TLS; [`Login`] takes no others.
    ///
    /// SCRAM is offered when every account that has a password can use it: a client takes the best offer it knows, and
    /// one whose account cannot use it would be refused with the right password. `[login] mechanisms` overrules that.
    pub fn mechanisms(&self, facts: &ClientFacts) -> Mechanisms {
        let settings = &self.settings().login;
        let files = self.files();
        let is_wanted = |mechanism: Mechanism| match (settings.mechanisms, mechanism) {
            (Some(list), Mechanism::Scram { hash, .. }) => {
                list.contains(Mechanism::Scram { hash, plus: false })
            }
            (Some(list), _) => list.contains(mechanism),
            (None, Mechanism::Scram { hash, .. }) => files.all_can_use(hash),
            (None, _) => mechanism != Mechanism::CramMd5,
        };
        let is_possible = |mechanism: Mechanism| match mechanism {
            Mechanism::External => !facts.certificate_names.is_empty(),
            Mechanism::Scram { plus: true, .. } => settings.channel_binding && !facts.bindings.is_empty(),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => self.tokens().is_some(),
            _ => true,
        };
        Mechanism::ALL
            .into_iter()
            .filter(|mechanism| is_wanted(*mechanism) && is_possible(*mechanism))
            .collect()
    }

    /// The logins of one connection.
    pub fn login(&self, facts: ClientFacts) -> Login {
        Login {
            directory: self.clone(),
            facts,
            exchange: None,
            mechanism: None,
            name: String::new(),
            owed: Owed::Nothing,
        }
    }
}

impl Login {
    /// Takes what the client says. An error, like [`Progress::Done`], ends this login; another may begin.
    pub async fn take(&mut self, turn: Turn) -> Result<Progress, LoginError> {
        // Taken out: a login whose verdict was never heard does not go on.
        let (mut server, step) = match turn {
            Turn::Begin(mechanism, initial) => {
                let mut server = self.begin(mechanism)?;
                let step = server.start(initial.as_deref());
                (server, step)
            }
            Turn::Response(response) => {
                let mut server = self.exchange.take().ok_or(LoginError::Malformed)?;
                self.proof_may_come()?;
                let step = server.respond(&response);
                (server, step)
            }
        };
        let progress = self.follow(&mut server, step).await;
        if matches!(progress, Ok(Progress::Challenge(_))) {
            self.exchange = Some(server);
        }
        progress
    }

    /// Where this login comes from.
    pub fn origin(&self) -> Origin {
        self.facts.origin
    }

    /// Mechanism and name of this login, or of the last one, for the log; empty where the client said none.
    pub fn describe(&self) -> (&'static str, &str) {
        (self.mechanism.map_or("", Mechanism::name), &self.name)
    }

    /// Exchanges that were begun side by side must not all get their answer once the first ones have failed.
    fn proof_may_come(&mut self) -> Result<(), LoginError> {
        if self.owed == Owed::Proof && self.directory.must_wait(self.facts.origin.counted(), &self.name) {
            self.owed = Owed::Nothing;
            return Err(LoginError::TooManyFailures);
        }
        Ok(())
    }

    /// Counts and logs an exchange that ended without a word, once.
    fn break_off(&mut self) {
        let origin = self.facts.origin;
        let owed = std::mem::take(&mut self.owed);
        let (mechanism, name) = self.describe();
        match owed {
            Owed::Nothing => {}
            Owed::Proof => {
                self.directory.record_failure(origin.counted(), name);
                origin.log(name, mechanism, Err(&BROKEN_OFF));
            }
            Owed::EndOfRefusal => origin.log(name, mechanism, Err(&LoginError::Refused)),
        }
    }

    fn begin(&mut self, mechanism: Mechanism) -> Result<Server, LoginError> {
        self.break_off();
        (self.mechanism, self.name, self.exchange) = (Some(mechanism), String::new(), None);
        if self.directory.must_wait(self.facts.origin.counted(), "") {
            return Err(LoginError::TooManyFailures);
        }
        let offered = self.directory.mechanisms(&self.facts);
        if !offered.contains(mechanism) {
            return Err(LoginError::Malformed);
        }
        // Where no -PLUS mechanism is offered, a client may well say that it saw none.
        let binds = [Hash::Sha1, Hash::Sha256]
            .into_iter()
            .any(|hash| offered.contains(Mechanism::Scram { hash, plus: true }));
        let bindings = if binds { self.facts.bindings.clone() } else { Vec::new() };
        let hostname = self.directory.settings().hostname.to_string();
        let nonce = seed::nonce().map_err(|_| LoginError::Busy)?;
        let masters = self.directory.settings().login.names.masters.is_some().then_some(SEPARATOR);
        Ok(Server::new(mechanism, Context { nonce, hostname, bindings, masters }))
    }

    /// Does what the machine asks for until there is something to say.
    async fn follow(
        &mut self,
        server: &mut Server,
        first: Result<Step, BadExchange>,
    ) -> Result<Progress, LoginError> {
        let mut step = first;
        loop {
            step = match step {
                Ok(Step::Challenge(challenge)) => return Ok(Progress::Challenge(challenge)),
                Ok(Step::FindKeys { hash, login }) => {
                    self.name.clone_from(&login);
                    let keys = self.directory.find_keys(self.facts.origin, hash, login).await?;
                    self.owed = Owed::Proof;
                    server.take_keys(keys)
                }
                Ok(Step::Proven(login)) => {
                    let found = self.directory.proven(&login, self.facts.origin.address);
                    return self.settle(found);
                }
                Ok(Step::Check(Claim::Token { login, token })) => {
                    match self.check_token(login, &token).await? {
                        Ok(progress) => return Ok(progress),
                        Err(why) => {
                            self.owed = Owed::EndOfRefusal;
                            server.refuse_token(why)
                        }
                    }
                }
                Ok(Step::Check(claim)) => return self.check(claim).await,
                Err(error) => return Err(self.refuse(error)),
            }
        }
    }

    /// All claims that are settled in one go.
    async fn check(&mut self, claim: Claim) -> Result<Progress, LoginError> {
        let origin = self.facts.origin;
        match claim {
            Claim::Password(credentials) => {
                self.name.clone_from(&credentials.login);
                self.directory.log_in(credentials, origin).await.map(Progress::Done)
            }
            Claim::Digest { login, challenge, digest } => {
                self.name.clone_from(&login);
                let check = move |directory: &Directory| {
                    directory.check_digest(&login, &challenge, &digest, origin.address)
                };
                let found = self.directory.hashed(origin, &self.name, check).await?;
                self.settle(found)
            }
            Claim::Certificate { login } => {
                let names = &self.facts.certificate_names;
                let is_asked_for = |name: &&String| self.is_wanted(name, login.as_deref());
                let accounts = names.iter().filter(is_asked_for);
                let mut results = accounts.map(|name| self.directory.account_of(name, origin.address));
                let found = results.find(|result| *result != Err(LoginError::Refused));
                let found = found.unwrap_or(Err(LoginError::Refused));
                self.name = login.or_else(|| names.first().cloned()).unwrap_or_default();
                self.settle(found)
            }
            // Settled before: its refusal takes one more turn.
            Claim::Token { .. } => Err(LoginError::Malformed),
        }
    }

    /// What the client hears of a refused token before its login fails is the inner error.
    async fn check_token(
        &mut self,
        login: Option<String>,
        token: &Secret,
    ) -> Result<Result<Progress, Vec<u8>>, LoginError> {
        self.name = login.clone().unwrap_or_default();
        let origin = self.facts.origin;
        if self.directory.must_wait(origin.counted(), &self.name) {
            return Err(LoginError::TooManyFailures);
        }
        let tokens = self.directory.tokens().ok_or(LoginError::Malformed)?;
        let found = match tokens.check(token).await {
            Ok(name) if self.is_wanted(&name, login.as_deref()) => {
                self.directory.account_of(&name, origin.address)
            }
            Ok(_) => Err(LoginError::Refused),
            Err(TokenError::Refused(why)) => {
                info!(login = ?self.name, why, "token refused");
                Err(LoginError::Refused)
            }
            Err(TokenError::Unavailable(why)) => {
                warn!(why, "tokens cannot be checked");
                return Err(LoginError::Busy);
            }
        };
        Ok(self.settle(found).map_err(|_| tokens.refusal().into_bytes()))
    }

    /// Whether this name is the one that the client asked for, if it asked for one.
    fn is_wanted(&self, name: &str, login: Option<&str>) -> bool {
        let files = self.directory.files();
        let address = |text: &str| files.accounts.address_of(text);
        login.is_none_or(|login| address(login).is_some_and(|login| address(name) == Some(login)))
    }

    fn settle(&mut self, found: Result<Account, LoginError>) -> Result<Progress, LoginError> {
        self.owed = Owed::Nothing;
        self.directory.settle(self.facts.origin, &self.name, found).map(Progress::Done)
    }

    /// A client that is only confused is not a guesser, unless it has heard of keys; a refused token was counted when it
    /// was refused.
    fn refuse(&mut self, error: BadExchange) -> LoginError {
        let owed = std::mem::take(&mut self.owed);
        match error {
            BadExchange::Malformed => {
                if owed == Owed::Proof {
                    self.directory.record_failure(self.facts.origin.counted(), &self.name);
                }
                LoginError::Malformed
            }
            BadExchange::TokenRefused => LoginError::Refused,
            BadExchange::OtherIdentity
            | BadExchange::WrongProof
            | BadExchange::Downgrade
            | BadExchange::UnknownBinding => {
                self.directory.record_failure(self.facts.origin.counted(), &self.name);
                LoginError::Refused
            }
        }
    }
}

/// A connection that ends takes its open exchange with it.
impl Drop for Login {
    fn drop(&mut self) {
        self.break_off();
    }
}
