//! What a token says of itself (RFC 7519 §4.1), and what it must say to be good for us.

use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use serde_json::{Map, Value};

/// Claims of a token, or the members of an answer about one (RFC 7662 §2.2): they use the same names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a JSON object.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim that is true or false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    /// A claim that is a moment: seconds since 1970, perhaps with a fraction (RFC 7519 §2 NumericDate). What is no
    /// number reads as one that is neither before nor after anything.
    fn moment(&self, name: &str) -> Option<f64> {
        self.0.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN))
    }

    /// Whether the claim is this text, or a list that has it.
    fn names(&self, name: &str, wanted: impl Fn(&str) -> bool) -> bool {
        match self.0.get(name) {
            Some(Value::String(text)) => wanted(text),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(wanted),
            _ => false,
        }
    }

    /// When it ends, as far as it says so.
    pub(crate) fn expires(&self) -> Option<f64> {
        self.moment("exp")
    }
}

/// What the claims of an issuer's tokens must be.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `iss`, octet by octet (RFC 7519 §4.1.1).
    pub issuer: String,
    /// One of these must be in `aud`; none: for answers of an issuer alone, which knows for whom it speaks.
    pub audience: Vec<String>,
    /// Names of the claims that may hold the account; the first one that is there counts.
    pub account: Vec<String>,
    /// Its tokens are good for accounts of these domains; none: of all. A name without a domain is of the first.
    pub domains: Vec<Domain>,
    /// A scope that the token must have (RFC 8693 §4.2).
    pub scope: Option<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Why the claims are not good for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClaims {
    /// Another `iss`, or none.
    #[error("it comes from another issuer")]
    Issuer,
    /// It is meant for others.
    #[error("it is not meant for this server (aud)")]
    Audience,
    /// `exp` is over, or is not a number, or not there.
    #[error("it has expired, or does not say when it does (exp)")]
    Expired,
    /// `nbf` is still to come, or not a number.
    #[error("it is not valid yet (nbf)")]
    TooEarly,
    /// It lacks the scope that we want.
    #[error("it lacks the scope")]
    Scope,
    /// None of the configured claims holds an address.
    #[error("no claim names an account")]
    NoAccount,
    /// `email` was never verified by the issuer: anybody could have claimed it.
    #[error("the issuer has not verified the address (email_verified)")]
    Unverified,
    /// The account is of a domain that the issuer does not speak for.
    #[error("its issuer may not speak for {0}")]
    Domain(Address),
}

impl Rules {
    /// Judges the claims of a signed token at a moment, in seconds since 1970, and gives the account that it names.
    pub fn judge(&self, claims: &Claims, now: u64) -> Result<Address, BadClaims> {
        if claims.text("iss") != Some(&self.issuer) {
            return Err(BadClaims::Issuer);
        }
        if claims.moment("exp").is_none() {
            return Err(BadClaims::Expired);
        }
        if self.audience.is_empty() {
            return Err(BadClaims::Audience);
        }
        self.judge_answer(claims, now)
    }

    /// Judges what the issuer has answered about a token: it need not say what it was not asked (RFC 7662 §2.2).
    pub fn judge_answer(&self, claims: &Claims, now: u64) -> Result<Address, BadClaims> {
        if claims.0.get("iss").is_some_and(|issuer| issuer.as_str() != Some(&self.issuer)) {
            return Err(BadClaims::Issuer);
        }
        let is_ours = |text: &str| self.audience.iter().any(|audience| audience == text);
        if !self.audience.is_empty() && !claims.names("aud", is_ours) {
            return Err(BadClaims::Audience);
        }
        self.judge_time(claims, now)?;
        if let Some(scope) = &self.scope {
            let has = |text: &str| text.split(' ').any(|one| one == scope);
            if !claims.names("scope", has) && !claims.names("scp", has) {
                return Err(BadClaims::Scope);
            }
        }
        self.account(claims)
    }

    fn judge_time(&self, claims: &Claims, now: u64) -> Result<(), BadClaims> {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let now = now as f64;
        let leeway = self.leeway.as_secs_f64();
        if !claims.moment("exp").is_none_or(|end| now < end + leeway) {
            return Err(BadClaims::Expired);
        }
        if !claims.moment("nbf").is_none_or(|start| now + leeway >= start) {
            return Err(BadClaims::TooEarly);
        }
        Ok(())
    }

    fn account(&self, claims: &Claims) -> Result<Address, BadClaims> {
        let found = self.account.iter().find_map(|name| Some((name, claims.text(name)?)));
        let (name, text) = found.ok_or(BadClaims::NoAccount)?;
        // Absent is no denial: many issuers never say it.
        if name == "email" && claims.0.get("email_verified").is_some_and(|verified| !is_true(verified)) {
            return Err(BadClaims::Unverified);
        }
        let whole = match self.domains.first() {
            Some(domain) if !text.contains('@') => format!("{text}@{domain}"),
            _ => text.to_owned(),
        };
        let account = Address::parse(&whole).map_err(|_| BadClaims::NoAccount)?.folded();
        let is_theirs = account.domain().is_some_and(|domain| self.domains.contains(domain));
        if self.domains.is_empty() || is_theirs { Ok(account) } else { Err(BadClaims::Domain(account)) }
    }
}

/// Some issuers write it as a text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}
