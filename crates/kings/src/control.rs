//! The control socket: how commands ask a running server.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tracing::debug;

use crate::local::Crowd;

/// Longest request, in octets.
const MAX_REQUEST: u64 = 64 * 1024;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command asks: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// What runs, and where.
    Status,
    /// The same, with what has to be counted: queue, mailboxes, logins, messages of a day.
    Condition,
    /// Reads config and keys again, as SIGHUP does, and tells how it went.
    Reload,
    /// Sends a message to itself and gives it as it lies in the inbox, in base64.
    ScoreLetter {
        /// Whose; the first account's where nothing is said.
        account: Option<String>,
    },
    /// Which certificates are shown, and when the next ones are ordered.
    CertificateList,
    /// Orders certificates now.
    CertificateRenew {
        /// For these names; for all where none is named.
        names: Vec<String>,
    },
    /// Sends a message through the server's own ports and reads it back.
    SelfTest {
        /// Whose; the first account's where nothing is said.
        account: Option<String>,
        /// Leave the message in the inbox.
        keep: bool,
    },
    /// One page of what waits in the queue.
    QueueList {
        /// Which entries.
        selection: Selection,
        /// Those behind this id; the `next` of the page before.
        after: Option<String>,
    },
    /// Sends the reports of a day that have not gone yet.
    ReportSend {
        /// Only tell what would be sent.
        dry_run: bool,
        /// About this domain alone.
        domain: Option<String>,
        /// Days since 1970; yesterday where nothing is said.
        day: Option<u64>,
    },
    /// Everything about one entry.
    QueueShow {
        /// Its id.
        id: String,
    },
    /// Changes entries: one, or one page of those selected.
    QueueOrder {
        /// What to do.
        order: Order,
        /// The id; `None` for all that are selected.
        id: Option<String>,
        /// Which entries.
        selection: Selection,
        /// Those behind this id; the `next` of the answer before.
        after: Option<String>,
        /// Why, in the words of whoever wants it.
        #[serde(default)]
        why: Option<String>,
    },
}

/// Which entries of the queue; nothing said means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Selection {
    pub(crate) sender: Option<String>,
    pub(crate) recipient: Option<String>,
    /// The beginning of the id.
    pub(crate) id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) state: Option<String>,
    /// In seconds.
    pub(crate) older: Option<u64>,
}

/// What can be done to an entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    Retry,
    Hold,
    Release,
    Drop,
    Bounce,
}

impl Order {
    /// The word that the trace uses.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Drop => "drop",
            Self::Bounce => "drop --bounce",
        }
    }
}

/// Who asks: a user of this machine, by number, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller(u32);

impl Caller {
    #[cfg(test)]
    pub(crate) fn new(uid: u32) -> Self {
        Self(uid)
    }

    pub(crate) fn uid(self) -> u32 {
        self.0
    }

    pub(crate) fn is_root(self) -> bool {
        self.0 == 0
    }

    /// This process itself.
    pub(crate) fn this() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("root"),
            uid => write!(f, "uid {uid}"),
        }
    }
}

/// The answer: one line of JSON, or why there is none.
pub(crate) type Answer = Result<serde_json::Value, String>;

/// Where the socket is.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Asks the server that runs on this data. `None` when none does.
pub(crate) fn ask(data_dir: &Path, request: &Request) -> io::Result<Option<Answer>> {
    ask_at(&path(data_dir), request)
}

/// Asks whoever listens at this socket; `None` when nobody does.
pub(crate) fn ask_at(socket: &Path, request: &Request) -> io::Result<Option<Answer>> {
    ask_within(socket, request, PATIENCE)
}

/// The same with another patience; one that is over is [`io::ErrorKind::WouldBlock`].
pub(crate) fn ask_within(socket: &Path, request: &Request, patience: Duration) -> io::Result<Option<Answer>> {
    let mut stream = match StdStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "too many ask it just now"));
    }
    Ok(Some(serde_json::from_str(&answer)?))
}

/// Opens the socket for this user alone. A leftover of a server that crashed is replaced: the lock on the
/// data says that nobody uses it.
pub(crate) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    listen_at(&path(data_dir), 0o600)
}

/// The same anywhere, for whom the mode lets in.
pub(crate) fn listen_at(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Answers requests for ever. `crowd` bounds how many of one user are open, where any user may ask.
pub(crate) async fn serve<F, A>(listener: UnixListener, crowd: Option<Crowd>, answer: F)
where
    F: Fn(Request, Caller) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = crowd.as_ref().map(|crowd| {
                    let uid = stream.peer_cred().ok()?.uid();
                    crowd.enter(uid)
                });
                if matches!(place, Some(None)) {
                    continue;
                }
                let answer = answer.clone();
                tokio::spawn(async move {
                    let _place = place;
                    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, serve_one(stream, answer)).await {
                        debug!(%error, "control connection");
                    }
                });
            }
            Err(error) => {
                debug!(%error, "control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one<F, A>(mut stream: UnixStream, answer: F) -> io::Result<()>
where
    F: Fn(Request, Caller) -> A,
    A: Future<Output = Answer>,
{
    let mut line = String::new();
    let caller = Caller(stream.peer_cred()?.uid());
    let (reader, _) = stream.split();
    tokio::io::BufReader::new(reader).take(MAX_REQUEST).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(request, caller).await,
        Err(error) => Err(format!("not a request: {error}")),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await
}
