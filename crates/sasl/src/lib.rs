//! SASL mechanisms as step machines, both sides: bytes in, challenge or credentials out.

mod base64;
mod client;
mod secret;
mod server;

pub use crate::base64::{BadBase64, decode, encode};
pub use crate::client::Client;
pub use crate::secret::Secret;
pub use crate::server::{BadExchange, Credentials, Server, Step};

/// A mechanism by its registered name (RFC 4422 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// One message with both names and the password (RFC 4616 §2).
    Plain,
    /// Two prompts, as Outlook still wants it (draft-murchison-sasl-login-00; never an RFC).
    Login,
}

impl Mechanism {
    /// Those offered under TLS, best first.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Finds a mechanism by name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}
