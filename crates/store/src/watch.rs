//! Notices what other programs do to open mailboxes: one inotify instance and one thread for all of them.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::sync::watch::Sender;

use crate::sync::locked;

/// Counts the changes of one mailbox; sessions wait for the count to move.
pub(crate) type Changes = Sender<u64>;

/// What changes the list of messages or their flags, and the end of the folder itself.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW);
/// Room for about a hundred events.
const BUFFER: usize = 16 * 1024;

/// The inotify instance. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inotify: OwnedFd,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    watched: HashMap<i32, Entry>,
    next_token: u64,
    closed: bool,
    warned: bool,
}

/// The kernel knows a folder once, however often it is watched: the token tells whose watch it is.
#[derive(Debug)]
struct Entry {
    token: u64,
    changes: Weak<Changes>,
}

/// Watches one folder until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    descriptor: i32,
    token: u64,
}

impl Watcher {
    /// Starts the thread. `root` is watched only so that ending the watch wakes the thread up.
    ///
    /// Without inotify (an old kernel, no instances left) there is no watcher: sessions then see changes
    /// when they look, at each command.
    pub(crate) fn start(root: &Path) -> Option<Self> {
        let started = inotify::init(CreateFlags::CLOEXEC).map_err(std::io::Error::from).and_then(|inotify| {
            let wake = inotify::add_watch(&inotify, root, WatchFlags::DELETE_SELF)?;
            let shared = Arc::new(Shared { inotify, table: Mutex::default() });
            let changes = Weak::new();
            locked(&shared.table).watched.insert(wake, Entry { token: 0, changes });
            let for_thread = Arc::clone(&shared);
            std::thread::Builder::new().name("store-watch".into()).spawn(move || run(&for_thread))?;
            Ok(Self(shared))
        });
        started
            .inspect_err(|error| tracing::warn!(%error, "outside changes are seen only when looked for"))
            .ok()
    }

    /// Watches the folder at `path`; `None`, with one line in the log, when the kernel has no room for it.
    pub(crate) fn watch(&self, path: &Path, changes: &Arc<Changes>) -> Option<Watch> {
        let mut table = locked(&self.0.table);
        match inotify::add_watch(&self.0.inotify, path, EVENTS) {
            Ok(descriptor) => {
                table.next_token += 1;
                let token = table.next_token;
                table.watched.insert(descriptor, Entry { token, changes: Arc::downgrade(changes) });
                Some(Watch { shared: Arc::clone(&self.0), descriptor, token })
            }
            Err(error) => {
                if !std::mem::replace(&mut table.warned, true) {
                    tracing::warn!(%error, "not all mailboxes can be watched for outside changes");
                }
                None
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut table = locked(&self.0.table);
        table.closed = true;
        // Each removed watch is an event, which ends the thread's wait.
        for descriptor in table.watched.keys() {
            let _ = inotify::remove_watch(&self.0.inotify, *descriptor);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut table = locked(&self.shared.table);
        if table.watched.get(&self.descriptor).is_some_and(|entry| entry.token == self.token) {
            table.watched.remove(&self.descriptor);
            let _ = inotify::remove_watch(&self.shared.inotify, self.descriptor);
        }
    }
}

/// Passes events on until the watcher is dropped.
fn run(shared: &Shared) {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = Reader::new(&shared.inotify, &mut buffer);
    loop {
        let (descriptor, events) = match reader.next() {
            Ok(event) => (event.wd(), event.events()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => {
                tracing::warn!(%error, "outside changes are no longer noticed");
                return;
            }
        };
        let mut table = locked(&shared.table);
        if table.closed {
            return;
        }
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            table.watched.values().for_each(Entry::bump);
        } else if let Some(entry) = table.watched.get(&descriptor) {
            entry.bump();
        }
        if events.contains(ReadFlags::IGNORED) {
            // The folder is gone, and the kernel may give its number to another watch.
            table.watched.remove(&descriptor);
        }
    }
}

impl Entry {
    fn bump(&self) {
        if let Some(changes) = self.changes.upgrade() {
            changes.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::{Duration, Instant};

    use super::*;

    fn wait_for(what: impl Fn() -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if what() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn changes_by_others_are_counted_until_the_watch_ends() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("cur");
        std::fs::create_dir(&folder).unwrap();
        let watcher = Watcher::start(temp.path()).unwrap();
        let changes = Arc::new(Changes::new(0));
        let first = watcher.watch(&folder, &changes).unwrap();
        let second = watcher.watch(&folder, &changes).unwrap();
        drop(first);
        std::fs::write(folder.join("a"), "").unwrap();
        assert!(wait_for(|| *changes.borrow() > 0), "the second watch of the same folder lives on");
        drop(second);
        let seen = *changes.borrow();
        std::fs::write(folder.join("b"), "").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(*changes.borrow(), seen);
    }

    #[test]
    fn the_thread_ends_with_the_watcher() {
        let temp = tempfile::tempdir().unwrap();
        let watcher = Watcher::start(temp.path()).unwrap();
        let shared = Arc::downgrade(&watcher.0);
        drop(watcher);
        assert!(wait_for(|| shared.strong_count() == 0));
    }
}
