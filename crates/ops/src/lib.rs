//! What an operator runs: the self-test that sends a message and reads it back.
