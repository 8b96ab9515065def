//! A server that runs beside a test, and ends with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

/// A process in a group of its own, whose two output streams go to a file.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    #[track_caller]
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// All it printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Calls `probe` until it is true; panics with the log when `limit` passes or the process ends first.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, limit: Duration, mut probe: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !probe(self) {
            let ended = self.child.try_wait().unwrap();
            let log = self.log();
            assert!(ended.is_none(), "{} ended before {what}: {}\n{log}", self.name, ended.unwrap());
            assert!(start.elapsed() < limit, "{}: waited {limit:?} in vain for {what}\n{log}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself, or by somebody else's hand.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }

    /// Kills it in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end; after the time of grace it is killed, and the status says so.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop();
        }
        if std::thread::panicking() {
            show(&format!("--- log of {}\n{}", self.name, self.log()));
        }
    }
}

/// Prints beside the message of a failing test.
#[allow(clippy::print_stderr, reason = "the test runner shows it with the failure")]
pub(crate) fn show(text: &str) {
    eprintln!("{text}");
}
