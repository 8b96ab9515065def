//! What an operator runs: the self-test, what the score is measured by, what ports show, how the server is,
//! and what is behind it.

pub mod aws;
mod dialogue;
pub mod dns;
pub mod doctor;
pub mod machine;
pub mod ports;
pub mod score;
mod self_test;
pub mod status;

pub use crate::self_test::{Afterwards, Person, Place, SelfTestError, Step, send_and_read_back};
