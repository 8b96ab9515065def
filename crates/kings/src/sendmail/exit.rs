//! How `sendmail` ends: the codes of sysexits.h, which scripts and cron look at.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::command::Failure;

/// A code of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// `EX_USAGE`: the command line makes no sense.
    Usage = 64,
    /// `EX_DATAERR`: the message makes no sense.
    BadData = 65,
    /// `EX_NOUSER`: a recipient does not exist.
    NoUser = 67,
    /// `EX_UNAVAILABLE`: it is not done.
    Unavailable = 69,
    /// `EX_TEMPFAIL`: it may work later.
    TryLater = 75,
    /// `EX_NOPERM`: not for this user.
    NoPermission = 77,
    /// `EX_CONFIG`: the config or what it names cannot be used.
    Config = 78,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        let (code, text) = failure.parts();
        let exit = match code {
            75 => Exit::TryLater,
            77 => Exit::NoPermission,
            78 => Exit::Config,
            _ => Exit::Unavailable,
        };
        Self::new(exit, text)
    }
}

/// Why it did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Trouble {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// Tells the person and the program that called, in the name that it called.
    pub(crate) fn report(&self, name: &str) -> ExitCode {
        // Nobody is left to tell when standard error is closed.
        let text = self.text.replace('\n', &format!("\n{name}: "));
        let _ = writeln!(io::stderr(), "{name}: {text}");
        ExitCode::from(self.exit as u8)
    }
}
