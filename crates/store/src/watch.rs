//! Notices what happens in the folders of mailboxes, whoever does it: one inotify instance and one thread for all of them.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::sync::watch::Sender;

use crate::dir::Dir;
use crate::sync::locked;

/// Counts the changes of one mailbox; sessions wait for the count to move.
pub(crate) type Changes = Sender<u64>;

/// What is told of a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    /// An entry of this name is there now.
    Came(&'a [u8]),
    /// None of this name is there any more.
    Went(&'a [u8]),
    /// Something else happened, or nobody knows what.
    Something,
    /// Nothing more will be told.
    Ended,
}

/// Who hears of changes in a folder.
pub(crate) trait Hears: fmt::Debug + Send + Sync {
    /// Something has happened.
    fn hear(&self, told: Told<'_>);
}

/// What changes the list of messages or their flags, and the end of the folder itself.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR);
/// Room for about a hundred events.
const BUFFER: usize = 16 * 1024;

/// The inotify instance. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    is_trusted: bool,
}

#[derive(Debug)]
struct Shared {
    inotify: OwnedFd,
    /// Held while events are read and passed on, so that they are told in their order.
    reading: Mutex<()>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    watched: HashMap<i32, Vec<Entry>>,
    next_token: u64,
    closed: bool,
    warned: bool,
}

/// The kernel knows a folder once, however often it is watched: the token tells whose watch it is.
#[derive(Debug)]
struct Entry {
    token: u64,
    hears: Weak<dyn Hears>,
}

/// Watches one folder until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    descriptor: i32,
    token: u64,
}

impl Watch {
    /// Whether both watch one folder.
    pub(crate) fn is_of_same_folder(&self, other: &Self) -> bool {
        self.descriptor == other.descriptor
    }
}

impl Watcher {
    /// Starts the thread. `root` is watched only so that ending the watch wakes the thread up.
    ///
    /// Without inotify (an old kernel, no instances left) there is no watcher: sessions then see changes
    /// when they look, at each command.
    pub(crate) fn start(root: &Path, is_trusted: bool) -> Option<Self> {
        let started = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(std::io::Error::from)
            .and_then(|inotify| {
                let wake = inotify::add_watch(&inotify, root, WatchFlags::DELETE_SELF)?;
                let shared = Arc::new(Shared { inotify, reading: Mutex::default(), table: Mutex::default() });
                locked(&shared.table).watched.insert(wake, Vec::new());
                let for_thread = Arc::clone(&shared);
                std::thread::Builder::new().name("store-watch".into()).spawn(move || run(&for_thread))?;
                Ok(Self { shared, is_trusted })
            });
        started
            .inspect_err(|error| tracing::warn!(%error, "outside changes are seen only when looked for"))
            .ok()
    }

    /// Whether it is believed to tell of every change.
    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Watches the folder at `path`; `None`, with one line in the log, when the kernel has no room for it.
    pub(crate) fn watch<H: Hears + 'static>(&self, path: &Path, hears: &Arc<H>) -> Option<Watch> {
        self.watch_with(path, EVENTS | WatchFlags::DONT_FOLLOW, hears)
    }

    /// As [`watch`](Self::watch), the very folder that is open.
    pub(crate) fn watch_open<H: Hears + 'static>(&self, dir: &Dir, hears: &Arc<H>) -> Option<Watch> {
        // The link of an open file leads to that file, whatever stands under its name by now.
        self.watch_with(&dir.as_path(), EVENTS, hears)
    }

    /// Tells all that has happened until now, before it returns.
    ///
    /// An event is queued before the call that causes it returns, and before the folder can be read or changed by another
    /// call. So a reading of a folder that no event was told of after this had been called before it, and again after it, has
    /// seen all of its entries.
    ///
    /// `false` when events cannot be read any more: silence says nothing then.
    #[must_use]
    pub(crate) fn catch_up(&self) -> bool {
        // The error is told by the thread, whose reading it ends.
        self.shared.pass_on().is_ok()
    }

    fn watch_with<H: Hears + 'static>(
        &self,
        path: &Path,
        events: WatchFlags,
        hears: &Arc<H>,
    ) -> Option<Watch> {
        let mut table = locked(&self.shared.table);
        match inotify::add_watch(&self.shared.inotify, path, events) {
            Ok(descriptor) => {
                table.next_token += 1;
                let token = table.next_token;
                let hears: Weak<dyn Hears> = Arc::<H>::downgrade(hears);
                table.watched.entry(descriptor).or_default().push(Entry { token, hears });
                Some(Watch { shared: Arc::clone(&self.shared), descriptor, token })
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
        let mut table = locked(&self.shared.table);
        table.closed = true;
        // Each removed watch is an event, which ends the thread's wait.
        for descriptor in table.watched.keys() {
            let _ = inotify::remove_watch(&self.shared.inotify, *descriptor);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut table = locked(&self.shared.table);
        let Some(entries) = table.watched.get_mut(&self.descriptor) else { return };
        let count = entries.len();
        entries.retain(|entry| entry.token != self.token);
        // Another folder may have the number by now.
        if entries.len() < count && entries.is_empty() {
            table.watched.remove(&self.descriptor);
            let _ = inotify::remove_watch(&self.shared.inotify, self.descriptor);
        }
    }
}

/// Passes events on until the watcher is dropped.
fn run(shared: &Shared) {
    loop {
        let mut waiting = [PollFd::new(&shared.inotify, PollFlags::IN)];
        let told = match poll(&mut waiting, None) {
            Ok(_) => shared.pass_on(),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "outside changes are no longer noticed");
            locked(&shared.table).watched.values().flatten().for_each(|entry| entry.tell(Told::Ended));
            return;
        }
        if locked(&shared.table).closed {
            return;
        }
    }
}

impl Shared {
    /// Tells of all events that wait.
    fn pass_on(&self) -> Result<(), Errno> {
        let _in_order = locked(&self.reading);
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
            };
            let (mut table, events) = (locked(&self.table), event.events());
            if events.contains(ReadFlags::QUEUE_OVERFLOW) {
                table.watched.values().flatten().for_each(|entry| entry.tell(Told::Something));
            } else {
                let told = match event.file_name().map(CStr::to_bytes) {
                    Some(name) if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => {
                        Told::Came(name)
                    }
                    Some(name) if events.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) => {
                        Told::Went(name)
                    }
                    _ if events.contains(ReadFlags::IGNORED) => Told::Ended,
                    _ => Told::Something,
                };
                table.watched.get(&event.wd()).into_iter().flatten().for_each(|entry| entry.tell(told));
            }
            if events.contains(ReadFlags::IGNORED) {
                // The folder is gone, and the kernel may give its number to another watch.
                table.watched.remove(&event.wd());
            }
        }
    }
}

impl Entry {
    fn tell(&self, told: Told<'_>) {
        if let Some(hears) = self.hears.upgrade() {
            hears.hear(told);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::{Duration, Instant};

    use super::*;

    impl Hears for Changes {
        fn hear(&self, _: Told<'_>) {
            self.send_modify(|count| *count += 1);
        }
    }

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
        let watcher = Watcher::start(temp.path(), true).unwrap();
        let changes = Arc::new(Changes::new(0));
        let others = Arc::new(Changes::new(0));
        let first = watcher.watch(&folder, &others).unwrap();
        let second = watcher.watch(&folder, &changes).unwrap();
        std::fs::write(folder.join("0"), "").unwrap();
        assert!(wait_for(|| *changes.borrow() > 0 && *others.borrow() > 0), "both hear");
        drop(first);
        let (seen, of_others) = (*changes.borrow(), *others.borrow());
        std::fs::write(folder.join("a"), "").unwrap();
        assert!(wait_for(|| *changes.borrow() > seen), "the second watch of the same folder lives on");
        assert_eq!(*others.borrow(), of_others);
        drop(second);
        let seen = *changes.borrow();
        std::fs::write(folder.join("b"), "").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(*changes.borrow(), seen);
    }

    #[test]
    fn the_thread_ends_with_the_watcher() {
        let temp = tempfile::tempdir().unwrap();
        let watcher = Watcher::start(temp.path(), true).unwrap();
        let shared = Arc::downgrade(&watcher.shared);
        drop(watcher);
        assert!(wait_for(|| shared.strong_count() == 0));
    }
}
