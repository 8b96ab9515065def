//! Postfix's policy delegation: other programs have a say at RCPT, at the end of a message, and wherever the config wants it.
//!
//! The protocol is that of Postfix's `SMTPD_POLICY_README`, so that the programs written for it work here.

mod access;
mod consultation;
mod pool;
mod request;
mod services;
mod tls_names;
mod verdict;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

pub use self::access::Access;
pub(crate) use self::consultation::{Consultation, Wishes};
use self::pool::Pool;
use self::request::Request;
pub use self::request::Stage;
pub(crate) use self::request::{Caller, LoggedIn};
pub(crate) use self::services::Services;
pub use self::verdict::{Action, BadAction};

/// Longest wait for one answer where the config says nothing (Postfix's `smtpd_policy_service_timeout`). A client waits
/// five minutes (RFC 5321 §4.5.3.2.3).
pub const PATIENCE: Duration = Duration::from_secs(100);

/// Where the program listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `unix:/path`
    Unix(PathBuf),
    /// `inet:host:port`
    Inet(String, u16),
}

/// Which programs are asked and when, and what happens when one does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where they listen, in the order in which they are asked.
    pub places: Vec<Place>,
    /// When they are asked.
    pub stages: Vec<Stage>,
    /// What counts when one cannot be reached, does not answer in time or makes no sense.
    pub default_action: Action,
    /// Longest wait for one answer.
    pub patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum DelegationError {
    #[error("a value holds a control character")]
    BadValue,
    #[error("the answer makes no sense: {0}")]
    BadAnswer(#[from] BadAction),
    #[error("the answer is too long")]
    TooLong,
    #[error("no answer in {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A program that is asked.
#[derive(Debug)]
struct Delegate {
    pool: Pool,
    default_action: Action,
    patience: Duration,
}

impl Delegate {
    /// Asks; when there is no answer the default action is one, and the log has the reason.
    async fn ask(&self, request: &Request<'_>) -> Action {
        let action = self.try_to_ask(request).await.unwrap_or_else(|error| {
            warn!(place = %self.pool.place, %error, "the policy service gave no answer");
            self.default_action.clone()
        });
        if let Action::Note(note) = &action {
            let client = request.caller.peer.ip();
            info!(place = %self.pool.place, %client, reverse_path = %request.reverse_path, note, "the policy service notes");
        }
        action
    }

    async fn try_to_ask(&self, request: &Request<'_>) -> Result<Action, DelegationError> {
        let request = request.to_bytes()?;
        match timeout(self.patience, self.pool.exchange(&request)).await {
            Ok(answer) => Ok(Action::read(&answer?)?),
            Err(_) => Err(DelegationError::TooSlow(self.patience)),
        }
    }
}

impl Place {
    /// Reads `unix:/path` or `inet:host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("unix", path) if path.starts_with('/') => Some(Self::Unix(path.into())),
            ("inet", place) => {
                let (host, port) = place.rsplit_once(':')?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let port = port.parse().ok().filter(|port| *port != 0)?;
                (!host.is_empty()).then(|| Self::Inet(host.to_owned(), port))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(host, port) => write!(f, "inet:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests;
