//! Where the machine's own users hand in mail: a socket for everybody, and a folder for the time when nobody listens.
//!
//! The folder `drop` has the mode 3733: everybody may put a file there, nobody but the server may list them, nobody may
//! rename or remove another user's file (sticky), and each file belongs to the server's group (setgid), so that its mode
//! 0640 lets its writer and the server read it and nobody else. Who wrote a drop is what the kernel says: its owner.

mod rights;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use kings_mta::{Dropped, Local, LocalUser};
use kings_mutants::planted;
use kings_net::{Shutdown, TaskTracker};
use nix::unistd::{Uid, User};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

pub(crate) use self::rights::{QueueRights, SOCKET as QUEUE_SOCKET, Users};
use crate::identity::Identity;

/// Where the folder is when the config does not say.
pub(crate) const DEFAULT_FOLDER: &str = "/var/spool/kings-smtp";
/// How a whole drop is called, and one that is still written.
pub(crate) const WHOLE: &str = "drop";
pub(crate) const UNFINISHED: &str = "part";
/// What was refused stays for the operator.
const REFUSED: &str = "refused";
/// Mode of the folder of drops; see above.
const DROP_MODE: u32 = 0o3733;
/// Most local sessions at once, in all and of one user.
const MAX_SESSIONS: usize = 200;
const MAX_SESSIONS_PER_USER: usize = 20;
/// How often the folder is looked at without being told, and how often drops that must wait are tried.
const LOOK: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_mins(1);
/// Most drops of one look; the others wait for the next.
const MAX_DROPS: usize = 10_000;
/// Unfinished drops of this age have lost their writer.
const ABANDONED: Duration = Duration::from_hours(24);
/// What a user hears when too many sessions are open.
const BUSY: &[u8] = b"421 4.3.2 Too many local sessions\r\n";

/// `[local]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Holds the socket and the drops.
    pub(crate) folder: PathBuf,
    /// Users who may write as anybody, beside root.
    pub(crate) trusted_users: Vec<String>,
    /// Who may look at the queue, and have it tried.
    pub(crate) queue: QueueRights,
}

pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

pub(crate) fn drops(folder: &Path) -> PathBuf {
    folder.join("drop")
}

/// Makes both folders with the rights they need, also where they have lost them.
pub(crate) fn prepare(folder: &Path, identity: &Identity) -> anyhow::Result<()> {
    ready(folder, 0o755, OFlags::empty(), identity)?;
    // The folder above may belong to the server's user: root follows no link of that one.
    ready(&drops(folder), DROP_MODE, OFlags::NOFOLLOW, identity)
}

fn ready(path: &Path, mode: u32, follow: OFlags, identity: &Identity) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        // Of an earlier start, or of another one now; the lock on the data says later which of the two goes on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        new => {
            new.with_context(|| format!("cannot make {}: its parent must exist", path.display()))?;
            identity.own(path)?;
        }
    }
    let opened =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | follow, Mode::empty());
    let opened = opened.map(File::from).with_context(|| format!("{} must be a folder", path.display()))?;
    // After the change of owner, which may take the setgid bit away; and not subject to the umask. Rights that are as
    // they should be are left alone: systemd's RestrictSUIDSGID forbids to set that bit at all.
    let set = opened.metadata().and_then(|found| match found.mode() & 0o7777 {
        found if found == mode => Ok(()),
        _ => opened.set_permissions(Permissions::from_mode(mode)),
    });
    set.with_context(|| format!("cannot set the rights of {}", path.display()))
}

/// Opens the socket for everybody. The lock on the data says that nobody else uses it.
pub(crate) fn listen(folder: &Path) -> io::Result<UnixListener> {
    let path = socket(folder);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Accepts users until shutdown.
pub(crate) async fn serve(
    listener: UnixListener,
    local: Arc<ArcSwap<Local>>,
    tasks: TaskTracker,
    shutdown: Shutdown,
) {
    let crowd = Crowd::default();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (local, crowd, shutdown) = (local.load_full(), crowd.clone(), shutdown.clone());
                tasks.spawn(async move { admit(stream, &local, &crowd, &shutdown).await });
            }
            Err(error) => {
                debug!(%error, "local socket");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn admit(mut stream: UnixStream, local: &Local, crowd: &Crowd, shutdown: &Shutdown) {
    let Ok(credentials) = stream.peer_cred() else { return };
    let uid = credentials.uid();
    let (Some(_place), Some(user)) = (crowd.enter(uid), user(uid).await) else {
        let _ = stream.write_all(BUSY).await;
        return;
    };
    local.serve(stream, &user, shutdown).await;
}

async fn user(uid: u32) -> Option<LocalUser> {
    // The name service may ask a network, so it waits elsewhere.
    let found = spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await.ok()?;
    match found {
        Ok(Some(user)) => Some(LocalUser { uid, name: user.name }),
        Ok(None) => {
            warn!(uid, "a process without a user name wants to send mail");
            None
        }
        Err(error) => {
            warn!(uid, %error, "cannot look up a user");
            None
        }
    }
}

/// How many sessions each user has.
#[derive(Clone, Default)]
pub(crate) struct Crowd(Arc<Mutex<HashMap<u32, usize>>>);

/// Counts as long as it lives.
pub(crate) struct Place {
    crowd: Crowd,
    uid: u32,
}

impl Crowd {
    pub(crate) fn enter(&self, uid: u32) -> Option<Place> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = sessions.values().sum();
        let own = sessions.entry(uid).or_default();
        if all >= MAX_SESSIONS || *own >= MAX_SESSIONS_PER_USER {
            return None;
        }
        *own += 1;
        Some(Place { crowd: self.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sessions.get_mut(&self.uid) {
            *own -= 1;
            if *own == 0 {
                sessions.remove(&self.uid);
            }
        }
    }
}

/// Takes what lies in the folder of drops, now and whenever it changes, until shutdown.
pub(crate) async fn pick_up(folder: PathBuf, local: Arc<ArcSwap<Local>>, shutdown: Shutdown) {
    let folder = drops(&folder);
    let mut watch = Watch::of(&folder);
    let mut seen = None;
    let mut tried = Instant::now();
    let mut told = true;
    loop {
        let stamp = fs::metadata(&folder).and_then(|found| found.modified()).ok();
        if told || stamp != seen || tried.elapsed() >= RETRY {
            tried = Instant::now();
            // A time that is younger than its own resolution would hide what comes next.
            let settled = |at: &SystemTime| at.elapsed().is_ok_and(|age| age > Duration::from_secs(2));
            seen = stamp.filter(settled);
            let look = folder.clone();
            for drop in spawn_blocking(move || look_through(&look)).await.unwrap_or_default() {
                if shutdown.is_cancelled() {
                    return;
                }
                take(&drop, &local.load_full()).await;
            }
        }
        told = tokio::select! {
            () = shutdown.cancelled() => return,
            () = watch.dropped() => true,
            () = sleep(LOOK) => false,
        };
    }
}

/// Tells at once of new drops. Where the kernel has no watch left the folder is looked at every second, and that is all.
///
/// To the runtime an inotify descriptor is a pipe: it is polled and read like one.
struct Watch(Option<pipe::Receiver>);

impl Watch {
    fn of(folder: &Path) -> Self {
        let begin = || -> io::Result<pipe::Receiver> {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            // A drop gets its name when it is whole.
            inotify::add_watch(&inotify, folder, WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
            pipe::Receiver::from_owned_fd_unchecked(inotify)
        };
        Self(begin().inspect_err(|error| warn!(%error, "drops are noticed within a second only")).ok())
    }

    /// Ends when something has come since the last time.
    async fn dropped(&mut self) {
        let Some(inotify) = &self.0 else { return std::future::pending().await };
        let mut events = [0; 4096];
        loop {
            let heard = match inotify.readable().await {
                Ok(()) => inotify.try_read(&mut events),
                Err(error) => Err(error),
            };
            match &heard {
                Ok(1..) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => {
                    warn!(?heard, "drops are noticed within a second only");
                    self.0 = None;
                    return;
                }
            }
        }
        while inotify.try_read(&mut events).is_ok_and(|count| count > 0) {}
    }
}

/// The whole drops, one of each user in turn. Whatever is none goes: links, pipes, folders.
fn look_through(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut turns: HashMap<u32, usize> = HashMap::new();
    let mut found = Vec::new();
    for entry in entries.flatten().take(MAX_DROPS) {
        let path = entry.path();
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        match (path.extension().and_then(|extension| extension.to_str()), facts.is_file()) {
            (Some(WHOLE), true) if facts.nlink() == 1 => {
                let turn = turns.entry(facts.uid()).or_default();
                found.push((*turn, path));
                *turn += 1;
            }
            (Some(REFUSED), true) => {}
            (Some(UNFINISHED), true)
                if facts.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age < ABANDONED)) => {}
            _ => remove_odd(&path, &facts),
        }
    }
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn remove_odd(path: &Path, facts: &fs::Metadata) {
    let removed = if facts.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => warn!(path = %path.display(), uid = facts.uid(), "removed from the drops: not a drop"),
        Err(error) => debug!(path = %path.display(), %error, "something odd among the drops stays there"),
    }
}

async fn take(path: &Path, local: &Local) {
    let (file, uid) = match open(path) {
        Ok(opened) => opened,
        Err(error) => return debug!(path = %path.display(), %error, "a drop cannot be opened"),
    };
    let Some(user) = user(uid).await else { return };
    let aside = path.with_added_extension(REFUSED);
    if planted("drop-removed-before-it-is-taken") {
        let _ = fs::remove_file(path);
    }
    match local.take(file, &user, &aside).await {
        Ok(Dropped::Taken) => {
            info!(path = %path.display(), user = user.name, "drop taken");
            let removed = fs::remove_file(path).and_then(|()| match path.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            });
            if let Err(error) = removed {
                error!(path = %path.display(), %error, "a drop was taken and cannot be removed");
            }
        }
        Ok(Dropped::Later(reply)) => warn!(path = %path.display(), reply, "a drop must wait"),
        Ok(Dropped::Returned(reply)) => {
            warn!(path = %path.display(), user = user.name, reply, "a drop was refused, and its writer told; too large to go back whole, {}", set_aside(path, &aside));
        }
        Ok(Dropped::Refused(reply)) => {
            error!(path = %path.display(), user = user.name, reply, "a drop was refused, and its writer cannot be told; {}", set_aside(path, &aside));
        }
        Err(error) => warn!(path = %path.display(), %error, "a drop cannot be read"),
    }
}

/// Keeps a drop for the operator; gives the words about it.
fn set_aside(path: &Path, aside: &Path) -> String {
    match fs::rename(path, aside) {
        Ok(()) => {
            let (kept, drop) = (aside.display(), path.display());
            format!("`less {kept}` shows it, `mv {kept} {drop}` has it tried again")
        }
        Err(error) => format!("it cannot be renamed and will be tried again: {error}"),
    }
}

/// Opens without following a link or waiting for the writer of a pipe; what was opened is what is judged.
pub(crate) fn open(path: &Path) -> io::Result<(File, u32)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.nlink() != 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file of one name"));
    }
    Ok((file, facts.uid()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_whole_drops_are_taken_and_odd_things_go() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a.drop", "b.drop", "linked.drop", "c.part", "d.refused", "notes"] {
            fs::write(at(name), "x").unwrap();
        }
        fs::hard_link(at("linked.drop"), at("second.drop")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("symlink.drop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe.drop"), rustix::fs::FileType::Fifo, 0o666.into(), 0)
            .unwrap();
        fs::create_dir(at("folder.drop")).unwrap();
        // The second name of a linked file is its only one once the first is gone: its owner made both.
        let linked = |path: &Path| path == at("linked.drop") || path == at("second.drop");
        let mut found = look_through(folder.path());
        found.retain(|path| !linked(path));
        found.sort();
        assert_eq!(found, [at("a.drop"), at("b.drop")]);
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        left.retain(|name| !linked(&folder.path().join(name)));
        assert_eq!(left, ["a.drop", "b.drop", "c.part", "d.refused"]);
        std::os::unix::fs::symlink("/etc/passwd", at("e.drop")).unwrap();
        assert!(open(&at("e.drop")).is_err());
    }

    #[tokio::test]
    async fn a_drop_is_told_of_when_it_is_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::of(folder.path());
        let patience = Duration::from_millis(100);
        fs::write(folder.path().join("a.part"), "x").unwrap();
        assert!(tokio::time::timeout(patience, watch.dropped()).await.is_err(), "it is not whole yet");
        fs::rename(folder.path().join("a.part"), folder.path().join("a.drop")).unwrap();
        tokio::time::timeout(Duration::from_secs(10), watch.dropped()).await.unwrap();
        assert!(tokio::time::timeout(patience, watch.dropped()).await.is_err(), "it was told of before");
        let mut nowhere = Watch::of(Path::new("/nowhere"));
        assert!(tokio::time::timeout(patience, nowhere.dropped()).await.is_err());
    }

    #[test]
    fn one_user_does_not_take_all_sessions() {
        let crowd = Crowd::default();
        let places: Vec<_> = (0..MAX_SESSIONS_PER_USER).map(|_| crowd.enter(7).unwrap()).collect();
        assert!(crowd.enter(7).is_none());
        assert!(crowd.enter(8).is_some());
        drop(places);
        assert!(crowd.enter(7).is_some());
    }
}
