//! Certificates from an authority that hands them out by itself (ACME, RFC 8555).

mod tokens;

pub use self::tokens::{Published, Tokens};
