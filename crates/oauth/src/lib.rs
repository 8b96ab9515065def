//! What a bearer token is worth: its signature and its claims, or its issuer's own word.
//!
//! [`jwt`], [`jwks`], [`claims`] and the memories of keys and answers are plain functions of their arguments; only
//! [`Issuers`] asks anybody and looks at the clock.

mod answers;
pub mod claims;
mod introspection;
mod issuers;
pub mod jwks;
pub mod jwt;
mod key_cache;
mod keys;

pub use crate::introspection::Introspection;
pub use crate::issuers::{Issuer, Issuers, Proof, discovery_address};
pub use crate::keys::{KeySource, try_key_file};
