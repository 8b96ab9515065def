//! Which ports this machine should take connections on, and the programs that see to it. The server itself has no part in it.

mod nftables;
mod open;
mod ssh;
mod ufw;

use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

pub(crate) use self::open::{Open, Opening, Protocol};
pub(crate) use self::ssh::ports as ssh_ports;

/// Who filters packets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A table of our own, beside those of others.
    Nftables,
    /// Rules among those that the operator sees with `ufw status`.
    Ufw,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Ufw => "ufw",
        })
    }
}

/// Why packets are not filtered as they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    #[error("neither nft nor ufw is on this machine: apt install nftables")]
    NoTool,
    #[error("cannot run {program}: {cause}")]
    NotRun { program: &'static str, cause: io::Error },
    #[error("{program} says: {words}")]
    Refused { program: &'static str, words: String },
    #[error("cannot write {path}: {cause}")]
    NotWritten { path: &'static str, cause: io::Error },
}

impl Tool {
    /// The one in charge: ufw where the operator has switched it on, then nftables, which every kernel in use has.
    pub(crate) fn of_this_machine() -> Result<Self, FirewallError> {
        match (ufw::is_there(), nftables::is_there()) {
            (true, nft) if ufw::is_on() || !nft => Ok(Self::Ufw),
            (_, true) => Ok(Self::Nftables),
            (_, false) => Err(FirewallError::NoTool),
        }
    }

    /// What `apply` would have it do, in its own words.
    pub(crate) fn plan(self, open: &Open) -> String {
        match self {
            Self::Nftables => nftables::table(open),
            Self::Ufw => ufw::plan(open),
        }
    }

    /// Lets in what is open, and nothing else; `false` where that was so already.
    pub(crate) fn apply(self, open: &Open) -> Result<bool, FirewallError> {
        match self {
            Self::Nftables => nftables::apply(open),
            Self::Ufw => ufw::apply(open),
        }
    }

    /// Takes back what `apply` has done, but for SSH's rule in ufw; `false` where there is nothing of ours.
    pub(crate) fn remove(self) -> Result<bool, FirewallError> {
        match self {
            Self::Nftables => nftables::remove(),
            Self::Ufw => ufw::remove(),
        }
    }
}

/// Runs a program that reads `input`; what it says belongs to whoever asked.
fn call(program: &'static str, arguments: &[&str], input: &str) -> Result<Output, FirewallError> {
    let not_run = |cause| FirewallError::NotRun { program, cause };
    let mut command = Command::new(program);
    // Its words are looked at, so they must not be in the operator's language.
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(not_run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading it says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().map_err(not_run)
}

/// The same where anything but success is a fault.
fn demand(program: &'static str, arguments: &[&str], input: &str) -> Result<String, FirewallError> {
    let output = call(program, arguments, input)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = [output.stderr, output.stdout].concat();
    Err(FirewallError::Refused { program, words: String::from_utf8_lossy(&words).trim().to_owned() })
}

/// Whether a program of this name is in one of the folders that root's PATH has, whatever ours is.
fn is_installed(name: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"]
        .iter()
        .any(|folder| std::path::Path::new(folder).join(name).is_file())
}
