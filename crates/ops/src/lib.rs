//! What an operator runs: the self-test that sends a message and reads it back, and what the score is measured by.

mod dialogue;
pub mod dns;
pub mod machine;
pub mod ports;
pub mod score;
mod self_test;

pub use crate::self_test::{Afterwards, Person, Place, SelfTestError, Step, send_and_read_back};
