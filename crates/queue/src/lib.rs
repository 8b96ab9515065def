//! Outgoing mail on disk: spool, schedule, runner, bounce text.
