//! What is shown to an authority that hands certificates out by itself (ACME, RFC 8555) when it looks whether a name is ours.

mod alpn;
mod tokens;

pub use self::alpn::{Alpn, PublishedAlpn};
pub use self::tokens::{Published, Tokens};
