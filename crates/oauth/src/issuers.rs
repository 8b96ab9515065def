//! All configured issuers: which of them a token is from, and what it is worth now.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_directory::{TokenCheck, TokenError};
use kings_fetch::Fetch;
use kings_mail::address::Address;
use kings_sasl::Secret;
use tracing::{debug, warn};

use crate::answers::Answers;
use crate::claims::Rules;
use crate::introspection::{self, Introspection};
use crate::jwt::{BadJwt, Jwt, MAX_TOKEN};
use crate::key_cache::{Advice, KeyCache};
use crate::keys::KeySource;

/// Questions to one issuer that are under way at once; more logins are put off.
const MAX_QUESTIONS: usize = 32;

/// One issuer as the config has it.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What its tokens must say.
    pub rules: Rules,
    /// How to find out whether a token is its own.
    pub proof: Proof,
}

/// How to find out whether a token is the issuer's.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By its signature.
    Keys(KeySource),
    /// By asking.
    Introspection(Introspection),
}

/// All issuers; what the directory asks about tokens.
pub struct Issuers(Vec<Known>);

/// An issuer, and what we remember of it.
struct Known {
    issuer: Issuer,
    fetch: Fetch,
    keys: Mutex<KeyCache>,
    /// Held while the keys are asked for: everybody else waits for the same answer.
    asking: tokio::sync::Mutex<()>,
    answers: Mutex<Answers>,
    questions: tokio::sync::Semaphore,
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|known| &known.issuer.rules.issuer)).finish()
    }
}

impl TokenCheck for Issuers {
    fn check<'a>(
        &'a self,
        token: &'a Secret,
    ) -> Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send + 'a>> {
        Box::pin(async move { self.judge(token).await.map(|account| account.to_string()) })
    }

    /// RFC 7628 §3.2.2. Where there are several issuers, the first is the one for people who have none yet.
    fn refusal(&self) -> String {
        let mut object = serde_json::json!({ "status": "invalid_token" });
        if let Some(rules) = self.0.first().map(|known| &known.issuer.rules) {
            // One whose keys lie in a file may have any name.
            if rules.issuer.starts_with("https://") {
                object["openid-configuration"] = discovery_address(&rules.issuer).into();
            }
            if let Some(scope) = &rules.scope {
                object["scope"] = scope.clone().into();
            }
        }
        object.to_string()
    }
}

/// Where OpenID Connect Discovery 1.0 §4 wants the document of an issuer.
pub fn discovery_address(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

impl Issuers {
    /// Asks each issuer with its own client, which knows where it may go.
    pub fn new(issuers: impl IntoIterator<Item = (Issuer, Fetch)>) -> Self {
        let known = |(issuer, fetch)| Known {
            issuer,
            fetch,
            keys: Mutex::default(),
            asking: tokio::sync::Mutex::new(()),
            answers: Mutex::default(),
            questions: tokio::sync::Semaphore::new(MAX_QUESTIONS),
        };
        Self(issuers.into_iter().map(known).collect())
    }

    /// A token that names its issuer is for that one alone; one that nobody can look into goes to those who can be asked.
    async fn judge(&self, token: &Secret) -> Result<Address, TokenError> {
        let refused = |why: &dyn fmt::Display| TokenError::Refused(why.to_string());
        if token.expose().len() > MAX_TOKEN {
            return Err(refused(&BadJwt::TooLong));
        }
        match Jwt::parse(token.expose()) {
            Ok(jwt) => {
                let named = jwt.claims.text("iss");
                let known = self.0.iter().find(|known| Some(known.issuer.rules.issuer.as_str()) == named);
                let known = known.ok_or_else(|| refused(&crate::claims::BadClaims::Issuer))?;
                match &known.issuer.proof {
                    Proof::Keys(source) => known.check_signature(source, &jwt).await,
                    Proof::Introspection(introspection) => known.ask(introspection, token).await,
                }
            }
            Err(BadJwt::OtherKind) => self.ask_all(token).await,
            Err(error) => Err(refused(&error)),
        }
    }

    /// The first issuer that knows the token counts. Doubt of one is doubt: it might have known it.
    async fn ask_all(&self, token: &Secret) -> Result<Address, TokenError> {
        let mut verdict = Err(TokenError::Refused(BadJwt::OtherKind.to_string()));
        for known in &self.0 {
            let Proof::Introspection(introspection) = &known.issuer.proof else { continue };
            let answer = known.ask(introspection, token).await;
            if answer.is_ok() {
                return answer;
            }
            if !matches!(verdict, Err(TokenError::Unavailable(_))) {
                verdict = answer;
            }
        }
        verdict
    }
}

impl Known {
    async fn check_signature(&self, source: &KeySource, jwt: &Jwt<'_>) -> Result<Address, TokenError> {
        let refused = |why: &dyn fmt::Display| TokenError::Refused(why.to_string());
        let rules = &self.issuer.rules;
        // Looked at first, though unproven: what is worth nothing anyway must not become a question to the issuer.
        let account = rules.judge(&jwt.claims, seconds()).map_err(|error| refused(&error))?;
        let keys = match self.advice(source, jwt).await {
            Advice::Use(keys) => keys,
            Advice::Unknown => return Err(refused(&crate::jwks::BadSignature::UnknownKey)),
            Advice::Ask | Advice::Unavailable => {
                return Err(TokenError::Unavailable(format!("the keys of {} are not there", rules.issuer)));
            }
        };
        keys.verify(jwt).map_err(|error| refused(&error))?;
        Ok(account)
    }

    async fn advice(&self, source: &KeySource, jwt: &Jwt<'_>) -> Advice {
        let first = lock(&self.keys).advise(jwt, Instant::now());
        if first != Advice::Ask {
            return first;
        }
        let _turn = self.asking.lock().await;
        // Somebody before us may have asked meanwhile.
        let second = lock(&self.keys).advise(jwt, Instant::now());
        if second != Advice::Ask {
            return second;
        }
        let issuer = &self.issuer.rules.issuer;
        let answer = source.get(&self.fetch, issuer).await;
        let answer = match answer {
            Ok((keys, life)) => {
                debug!(issuer, keys = keys.len(), "keys for tokens read");
                Some((keys, life))
            }
            Err(reason) => {
                warn!(issuer, reason, "cannot get the keys for tokens");
                None
            }
        };
        let mut keys = lock(&self.keys);
        keys.record(answer, Instant::now());
        keys.advise(jwt, Instant::now())
    }

    async fn ask(&self, introspection: &Introspection, token: &Secret) -> Result<Address, TokenError> {
        let known = lock(&self.answers).find(token, Instant::now());
        let account = match known {
            Some(account) => account,
            None => self.ask_anew(introspection, token).await.map_err(TokenError::Unavailable)?,
        };
        account.map_err(|error| TokenError::Refused(error.to_string()))
    }

    async fn ask_anew(
        &self,
        introspection: &Introspection,
        token: &Secret,
    ) -> Result<Result<Address, introspection::Inactive>, String> {
        let issuer = &self.issuer.rules.issuer;
        let _place =
            self.questions.try_acquire().map_err(|_| format!("too many questions to {issuer} at once"))?;
        let body = introspection.ask(&self.fetch, token).await?;
        let verdict = introspection::read(&body, &self.issuer.rules, seconds())
            .ok_or_else(|| format!("{issuer} does not answer as RFC 7662 §2.2 wants it"))?;
        let life =
            verdict.life.map_or(introspection.remember, Duration::from_secs).min(introspection.remember);
        lock(&self.answers).keep(token, &verdict.account, life, Instant::now());
        Ok(verdict.account)
    }
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Nothing that is kept here can be half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
