//! The `kings` program.
fn main() {}
