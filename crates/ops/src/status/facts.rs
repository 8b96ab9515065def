//! What is measured before anything is judged.

use std::path::PathBuf;
use std::time::Duration;

/// Who answers at the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// A server that runs.
    Runs {
        /// Its number.
        pid: u64,
        /// Since when.
        up: Duration,
        /// Octets of memory that it holds.
        memory: u64,
        /// Why the config was refused when it was read last.
        refused: Option<String>,
    },
    /// Nobody; `start` starts one.
    Stopped {
        /// A command.
        start: String,
    },
    /// Somebody took the question and gave no answer.
    Silent {
        /// How long it was waited for.
        waited: Duration,
    },
    /// It answered with this complaint, or in words that are none.
    Odd(String),
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its key in `[listen]`.
    pub name: String,
    /// Where it is, as in the config.
    pub place: String,
    /// What a client has met there.
    pub seen: Seen,
}

/// What a client has met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A greeting, an answer, and a handshake where there is TLS.
    Answers {
        /// How long all of it took.
        took: Duration,
        /// What the handshake showed.
        certificate: Option<Certificate>,
    },
    /// No answer as it should be, and why.
    Silent(String),
    /// It could not be asked from here, and why.
    Unasked(String),
}

/// What a handshake showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Seconds that it is good for from now on; negative once it is over.
    pub left: i64,
    /// Seconds of its whole life.
    pub life: i64,
    /// Why a client that verifies turns away.
    pub distrust: Option<String>,
    /// Nobody but its owner vouches for it.
    pub is_self_signed: bool,
}

/// A certificate that is being ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// For this name.
    pub name: String,
    /// Why there is none yet.
    pub error: String,
    /// What to do about it.
    pub fix: String,
}

/// Messages of the last day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// Taken.
    pub received: u64,
    /// Not taken.
    pub refused: u64,
    /// Taken by another server.
    pub delivered: u64,
    /// Failed for good.
    pub failed: u64,
}

/// What waits to leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages in all.
    pub count: u64,
    /// How many of them were looked at, the oldest ones; all figures below are of these.
    pub looked_at: u64,
    /// Tried, and to be tried again.
    pub deferred: u64,
    /// An operator holds them.
    pub held: u64,
    /// They cannot be read and are set aside.
    pub damaged: u64,
    /// How long the oldest one waits.
    pub oldest: Option<Duration>,
    /// What the deferred ones wait for, most messages first.
    pub reasons: Vec<WaitsFor>,
}

/// A destination that did not take mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsFor {
    /// The domain.
    pub destination: String,
    /// Recipients there.
    pub count: u64,
    /// What was said last.
    pub reply: String,
    /// No server there said a word.
    pub is_dead: bool,
}

/// Who has mail here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailboxes {
    /// Accounts.
    pub accounts: u64,
    /// How many of them were counted in the time there was.
    pub counted: u64,
    /// Octets of those.
    pub octets: u64,
    /// Those that hold all they may, and get nothing more.
    pub full: Vec<String>,
}

/// A folder that data is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where.
    pub path: PathBuf,
    /// What there is; why it cannot be told.
    pub space: Result<Space, String>,
    /// How long it took to write and sync 4 KB; `None` where the file system has no unnamed files.
    pub sync: Option<Duration>,
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Octets.
    pub total: u64,
    /// Octets free for us.
    pub free: u64,
    /// Inodes; 0 where the file system has no count of them.
    pub inodes: u64,
    /// Those that are free.
    pub free_inodes: u64,
    /// Below so many free octets new mail is put off.
    pub reserve: u64,
}

/// Failed logins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// Since the config was read.
    pub failures: u64,
    /// Networks that must wait just now.
    pub networks_shut_out: u64,
}

/// What the kernel says of the server's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// By name where it has one.
    pub user: String,
    /// It is root.
    pub is_root: bool,
    /// It can gain no more rights than it has.
    pub no_new_privileges: bool,
    /// A filter of system calls is on.
    pub has_seccomp: bool,
    /// Ports that others than this machine reach.
    pub outside: Vec<String>,
}
