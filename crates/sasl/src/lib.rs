//! SASL mechanisms as step machines, both sides: bytes in, challenge or claim out.

mod auth_server;
mod base64;
mod client;
mod cram_md5;
mod mechanism;
mod oauth;
pub mod scram;
mod secret;
mod server;

pub use crate::auth_server::{Asked, AuthBreach, AuthServer, MAX_EXCHANGES, MAX_LINE, Told, Whence};
pub use crate::base64::{BadBase64, decode, encode};
pub use crate::client::{BadChallenge, Client};
pub use crate::cram_md5::CramKeys;
pub use crate::mechanism::{Mechanism, Mechanisms};
pub use crate::secret::Secret;
pub use crate::server::{BadExchange, Claim, Context, Credentials, Server, Step, Turn};
