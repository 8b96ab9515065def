//! Running the programs of the real world: with a deadline, and with all they print when something is wrong.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait_until;

/// No program here works longer than a few seconds; a hanging one must not hang the suite.
const DEADLINE: Duration = Duration::from_mins(1);

/// Where daemons live; not in everybody's PATH.
const ADMIN_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// What a program left behind.
pub(crate) struct Output {
    command: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Output {
    /// Panics with everything the program printed unless it exited with 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Panics likewise unless it exited with another code.
    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert!(!self.status.success(), "should have failed: {self}");
        self
    }

    /// Panics likewise unless one of the two streams holds `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.text().contains(text) || self.errors().contains(text), "no {text:?} from {self}");
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n{}", self.command, self.status)?;
        writeln!(f, "--- stdout\n{}\n--- stderr\n{}", self.text(), self.errors())
    }
}

/// A command for a program of this machine; panics with the command that installs it when it is missing.
#[track_caller]
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default() + ":" + ADMIN_FOLDERS;
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let Some(found) = found else { panic!("{name} is not installed; run: tests/setup.sh") };
    Command::new(found)
}

/// A command that runs as root: some servers need it to change to accounts of their own.
#[track_caller]
pub(crate) fn rooted(program_path: impl AsRef<OsStr>) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program_path);
    }
    let mut command = program("sudo");
    command.arg("--non-interactive").arg(program_path);
    command
}

/// Lets us read what another user's program delivers. It may still be at work: a file that is gone meanwhile was a lock or
/// a draft, and one that we cannot read is missed by whoever looks for it.
pub(crate) fn make_readable(folder: &Path) {
    run(rooted("/bin/chmod").args(["-R", "-f", "a+rX"]).arg(folder));
}

/// The folder of a part that `tests/parts.sh` unpacked; panics with its advice when it is not there.
#[track_caller]
pub(crate) fn part(name: &str) -> PathBuf {
    let script = repository().join("tests/parts.sh");
    let output = run(Command::new(script).args(["path", name])).succeeded();
    PathBuf::from(output.text().trim_end())
}

/// Where pictures and logs go that a person may want to see after the tests.
pub(crate) fn artefacts() -> PathBuf {
    let folder = std::env::var_os("KINGS_ARTIFACTS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("../e2e-artifacts"), PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    run_with_input(command, b"")
}

/// Runs a command to its end with `input` on its standard input.
///
/// The streams are files: a program that leaves a child behind cannot keep us waiting for the end of a pipe.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(input).unwrap();
    stdin.rewind().unwrap();
    let mut stdout = tempfile::tempfile().unwrap();
    let mut stderr = tempfile::tempfile().unwrap();
    command.stdin(Stdio::from(stdin));
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let name = describe(command);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(&name, DEADLINE, || child.try_wait().unwrap())
    }));
    let status = status.unwrap_or_else(|_| {
        child.kill().unwrap();
        child.wait().unwrap()
    });
    Output { command: name, status, stdout: content(&mut stdout), stderr: content(&mut stderr) }
}

fn content(file: &mut std::fs::File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        write!(text, " {}", argument.to_string_lossy()).unwrap();
    }
    text
}
