//! One sync of a directory for all who wait for one.
//!
//! Fifty sessions that commit at the same moment need their names on disk, and so do the entries that the runner
//! removes: a sync that begins after a change covers it, whoever asked for the sync. While one runs the next
//! gathers its company.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::Disk;

/// How long a change that nobody waits for looks for company.
const COMPANY: Duration = Duration::from_millis(5);

/// The syncs of one directory. Everything here blocks.
pub(crate) struct SharedSync {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    /// The sync that begins next.
    next: Arc<Round>,
}

/// How one sync ended.
#[derive(Default)]
struct Round(OnceLock<Result<(), io::ErrorKind>>);

impl SharedSync {
    pub(crate) fn new(directory: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { directory, disk, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Returns once every change that was made before is on disk, or may not be: after a failure nobody can tell
    /// which changes it was about, so all who made one before it was known are told of it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.sync_within(Duration::ZERO)
    }

    /// The same for a change that nobody waits for: it lets others begin the sync, for a few milliseconds.
    pub(crate) fn sync_in_company(&self) -> io::Result<()> {
        self.sync_within(COMPANY)
    }

    fn sync_within(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        let mine = Arc::clone(&state.next);
        loop {
            if let Some(result) = mine.0.get() {
                return result.map_err(|kind| io::Error::new(kind, "the directory could not be synced"));
            }
            let begun = !Arc::ptr_eq(&mine, &state.next);
            let left = deadline.saturating_duration_since(Instant::now());
            state = match (state.running || begun, left.is_zero()) {
                (false, true) => self.lead(state, &mine),
                (true, _) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                (false, false) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Makes the sync of this round, for all who joined it.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>, round: &Round) -> MutexGuard<'a, State> {
        state.running = true;
        state.next = Arc::default();
        drop(state);
        let result = self.disk.sync_directory(&self.directory).map_err(|error| error.kind());
        let mut state = self.lock();
        state.running = false;
        if result.is_err() {
            // Those who came meanwhile: the kernel may have dropped their change with the others, and would call
            // the next sync a success.
            let _ = std::mem::take(&mut state.next).0.set(result);
        }
        let _ = round.0.set(result);
        self.changed.notify_all();
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::fs::File;
    use std::path::Path;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// A disk whose syncs take a while, and fail when told to.
    #[derive(Default)]
    struct SlowDisk {
        syncs: AtomicUsize,
        /// The first so many fail.
        failing: usize,
        /// Changes made, and those that the last good sync covers.
        made: AtomicUsize,
        covered: AtomicUsize,
    }

    impl Disk for SlowDisk {
        fn create(&self, _: &Path) -> io::Result<File> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn write_at(&self, _: &File, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn set_len(&self, _: &File, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn sync(&self, _: &File) -> io::Result<()> {
            Ok(())
        }
        fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn remove(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn sync_directory(&self, _: &Path) -> io::Result<()> {
            let made = self.made.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(10));
            if self.syncs.fetch_add(1, Ordering::SeqCst) < self.failing {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.covered.fetch_max(made, Ordering::SeqCst);
            Ok(())
        }
    }

    /// How many of so many threads, each with a change of its own, were told of success.
    fn run(disk: &Arc<SlowDisk>, threads: usize, in_company: bool) -> usize {
        let shared = SharedSync::new(PathBuf::from("d"), disk.clone());
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let one = || {
                barrier.wait();
                let number = disk.made.fetch_add(1, Ordering::SeqCst) + 1;
                let result = if in_company { shared.sync_in_company() } else { shared.sync() };
                assert!(
                    result.is_err() || disk.covered.load(Ordering::SeqCst) >= number,
                    "it is not on disk"
                );
                result.is_ok()
            };
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            all.into_iter().filter_map(|thread| thread.join().ok()).filter(|told| *told).count()
        })
    }

    #[test]
    fn fifty_who_come_together_share_a_few_syncs_and_each_is_covered() {
        let disk = Arc::new(SlowDisk::default());
        assert_eq!(run(&disk, 50, false), 50);
        let syncs = disk.syncs.load(Ordering::SeqCst);
        assert!((1..=10).contains(&syncs), "{syncs}");
    }

    #[test]
    fn whoever_is_in_no_hurry_waits_for_company_and_then_goes_alone() {
        for (in_company, least) in [(false, 10), (true, 15)] {
            let disk = Arc::new(SlowDisk::default());
            let began = Instant::now();
            assert_eq!((run(&disk, 1, in_company), disk.syncs.load(Ordering::SeqCst)), (1, 1));
            assert!(began.elapsed() >= Duration::from_millis(least), "{:?}", began.elapsed());
        }
    }

    /// Nobody is told that a change is safe because a later sync went well.
    #[test]
    fn a_failed_sync_fails_all_who_were_there_and_those_who_come_later_are_well() {
        let disk = Arc::new(SlowDisk { failing: 1, ..SlowDisk::default() });
        let shared = Arc::new(SharedSync::new(PathBuf::from("d"), disk.clone()));
        let first = thread::spawn({
            let shared = shared.clone();
            move || shared.sync().unwrap_err().kind()
        });
        thread::sleep(Duration::from_millis(3));
        let while_it_runs = shared.sync();
        assert_eq!(first.join().unwrap(), io::ErrorKind::StorageFull);
        assert_eq!(while_it_runs.unwrap_err().kind(), io::ErrorKind::StorageFull);
        shared.sync().unwrap();
    }
}
