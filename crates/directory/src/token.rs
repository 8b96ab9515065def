//! The seam to whoever says what a bearer token is worth.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use kings_sasl::Secret;

/// Checks bearer tokens (RFC 6750 §1) of OAUTHBEARER and XOAUTH2. A trait, since the check may ask another server,
/// which the directory knows nothing of.
pub trait TokenCheck: fmt::Debug + Send + Sync {
    /// Whose token it is: the name of an account, which may not exist.
    fn check<'a>(
        &'a self,
        token: &'a Secret,
    ) -> Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send + 'a>>;

    /// The JSON object that a client hears whose token is refused (RFC 7628 §3.2.2).
    fn refusal(&self) -> String;
}

/// The token opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no good; the reason is for our log.
    #[error("token refused: {0}")]
    Refused(String),
    /// Nobody can tell now.
    #[error("tokens cannot be checked now: {0}")]
    Unavailable(String),
}
