//! Upkeep of the repository: the rules that a compiler does not check.

pub mod features;
pub mod layers;
pub mod rfc;
pub mod sources;
