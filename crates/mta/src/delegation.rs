//! Postfix's policy delegation: another program has a say at RCPT and at the end of a message.
//!
//! The protocol is that of Postfix's `SMTPD_POLICY_README`, so that the programs written for it work here.

mod pool;
mod request;
mod verdict;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use self::pool::Pool;
pub(crate) use self::request::{Caller, Request, Stage};
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

/// Which program is asked, and what happens when it does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub place: Place,
    /// What counts when it cannot be reached, does not answer in time or makes no sense.
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

/// The program that is asked. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Delegate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    default_action: Action,
    patience: Duration,
}

impl Delegate {
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { place, default_action, patience } = settings;
        Self(Arc::new(Inner { pool: Pool::new(place), default_action, patience }))
    }

    /// Asks; when there is no answer the default action is one, and the log has the reason.
    pub(crate) async fn ask(&self, request: &Request<'_>) -> Action {
        let action = self.try_to_ask(request).await.unwrap_or_else(|error| {
            warn!(place = %self.0.pool.place, %error, "the policy service gave no answer");
            self.0.default_action.clone()
        });
        if let Action::Note(note) = &action {
            let client = request.caller.peer.ip();
            info!(place = %self.0.pool.place, %client, reverse_path = %request.reverse_path, note, "the policy service notes");
        }
        action
    }

    async fn try_to_ask(&self, request: &Request<'_>) -> Result<Action, DelegationError> {
        let request = request.to_bytes()?;
        match timeout(self.0.patience, self.0.pool.exchange(&request)).await {
            Ok(answer) => Ok(Action::read(&answer?)?),
            Err(_) => Err(DelegationError::TooSlow(self.0.patience)),
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
