//! Upkeep of the repository.
fn main() {}
