//! DKIM: signatures over messages by the domains that answer for them (RFC 6376, RFC 8301, RFC 8463).
//!
//! Messages arrive in pieces and are hashed while they do; nothing but the header is kept. Keys come through
//! `trait Dns`, and time is an argument.

pub(crate) mod base64;
pub(crate) mod canonical;
mod choice;
pub(crate) mod fold;
pub(crate) mod header;
pub(crate) mod key;
pub mod key_files;
pub mod opendkim;
mod private_key;
pub(crate) mod sign;
mod signature;
pub(crate) mod stream;
pub(crate) mod tags;
mod verdict;
pub(crate) mod verify;

pub use canonical::Canonicalization;
pub use choice::MAX_SIGNATURES;
pub use header::HeaderTooLarge;
pub use key::{BadKey, KeyRecord, MAX_RSA_BITS, MIN_RSA_BITS, STRONG_RSA_BITS};
pub use private_key::{BadPrivateKey, PrivateKey};
pub use sign::{Cover, Rules, SignError, Signer, SigningIdentity};
pub use signature::{Algorithm, BadSignature, Identity, Selector, Signature};
pub use tags::BadTags;
pub use verdict::{Checked, Claim, Report, Verdict, Word};
pub use verify::{Ended, Keys, Questions, Verifier, check};
