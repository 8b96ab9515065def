//! Which ports this machine should take connections on, and the programs that see to it. The server itself has no part in it.

mod nftables;
mod open;
mod others;
mod ssh;
mod ufw;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub(crate) use self::open::{Open, Opening, Protocol};
pub(crate) use self::others::Closed;
pub(crate) use self::ssh::Ports as SshPorts;

/// How long a program may take that is asked for what it knows.
const PATIENCE: Duration = Duration::from_secs(5);
/// No answer that is waited for is larger.
const MAX_ANSWER: u64 = 1024 * 1024;

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

    /// Whether `apply` has nothing to do.
    pub(crate) fn has(self, open: &Open) -> Result<bool, FirewallError> {
        match self {
            Self::Nftables => nftables::has(open),
            Self::Ufw => ufw::has(open),
        }
    }

    /// What rules of others keep away from our ports, whatever ours let in.
    pub(crate) fn closed_by_others(self, open: &Open) -> Result<Vec<Closed>, FirewallError> {
        let mut closed = nftables::closed_by_others(open)?;
        match self {
            // Its own tables are full of questions that nftables cannot put into words; it tells its rules itself.
            Self::Ufw => {
                closed.retain(|closed| !closed.is_ufw);
                closed.extend(ufw::denied(open)?);
            }
            Self::Nftables => {}
        }
        closed.extend(others::old_iptables(open));
        Ok(closed)
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

/// What a program prints that succeeds; `None` where it is not there, fails, or takes too long.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(find(program)?)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.take(MAX_ANSWER).read_to_end(&mut text);
        // Nobody listens any more where it took too long.
        let _ = tell.send(read.map(|_| text));
    });
    let text = told.recv_timeout(PATIENCE);
    // One that has closed its output ends; one that has not is not waited for.
    if text.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    let text = text.ok()?.ok()?;
    status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

/// A program of this name in one of the folders that root's PATH has, whatever ours is.
fn find(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
    folders.iter().map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
}

fn is_installed(name: &str) -> bool {
    find(name).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_program_that_fails_or_hangs_has_said_nothing() {
        assert_eq!(ask("sh", &["-c", "echo a; echo b >&2"]).as_deref(), Some("a\n"));
        assert_eq!(ask("sh", &["-c", "echo a; exit 1"]), None);
        assert_eq!(ask("no-such-program", &[]), None);
        let begun = Instant::now();
        assert_eq!(ask("sh", &["-c", "sleep 60"]), None);
        assert!(begun.elapsed() < PATIENCE * 3, "{:?}", begun.elapsed());
    }
}
