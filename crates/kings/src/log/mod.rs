//! The log: one event a line on standard error, key=value.

mod lines;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use self::lines::Lines;

static LINES: OnceLock<Lines> = OnceLock::new();

/// Starts logging at `info`, or as `KINGS_LOG` says (`debug`, `kings_mta=trace`, ...).
///
/// Under systemd the journal adds the time, so it is left out there. Lines are written before whoever logs goes on, and
/// under load a few milliseconds after: [`flush`] when the process ends.
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("KINGS_LOG").unwrap_or_else(|_| EnvFilter::new("info,hickory_resolver=warn"));
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = LINES.get_or_init(|| Lines::to(io::stderr()));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || lines).with_ansi(colour);
    // A second start, in tests of one process, changes nothing.
    let _ = if in_journal { builder.without_time().try_init() } else { builder.try_init() };
}

/// Returns once every line is written.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush();
    }
}
