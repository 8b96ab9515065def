//! The mail flow: receive, submit, decide, deliver, relay.
