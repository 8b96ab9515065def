//! ARC: what each host that passed a message on saw of its authentication, sealed in a chain (RFC 8617).
//!
//! Streaming as in [`crate::dkim`]. A chain that holds proves who sealed it, not that the sealer is honest: whether
//! it counts is for policy to say.

mod chain;
mod seal;
mod verify;

pub use chain::{ChainValidation, Fault, MAX_SETS};
pub use seal::{SealError, Sealer};
pub use verify::{Chain, Ended, Report, Set, Verifier, check};
