//! What an operator runs: the self-test that sends a message and reads it back.

mod dialogue;
mod self_test;

pub use crate::self_test::{Person, Place, SelfTestError, Step, send_and_read_back};
