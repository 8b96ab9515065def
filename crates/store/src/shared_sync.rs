//! One sync of a folder for all who wait for one: fifty deliveries into a mailbox cost one or two, not fifty.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex};

use crate::dir::Dir;
use crate::sync::locked;

/// Syncs under way, by the folder's place on the disk: two handles on one folder share, and a folder that
/// was deleted shares nothing with the new one of its name.
#[derive(Debug, Default)]
pub(crate) struct SharedSyncs(Mutex<HashMap<(u64, u64), Arc<Syncs>>>);

/// The syncs of one folder, one after the other.
#[derive(Debug, Default)]
struct Syncs {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// Threads that wait for a sync to end. To wake nobody is a system call too.
    waiting: usize,
    /// The sync that begins next. Whoever asks now has renamed already, so it covers them; the one that
    /// runs may have begun too early.
    next: Arc<Round>,
}

/// One sync: its result, once there is one. It stays with those who waited for it, for the kernel tells a
/// failure once, and a later success would not make it good.
#[derive(Debug, Default)]
struct Round(Mutex<Option<Result<(), Failure>>>);

/// An error that several can be told.
#[derive(Clone, Copy, Debug)]
struct Failure {
    kind: io::ErrorKind,
    code: Option<i32>,
}

impl SharedSyncs {
    /// Puts the folder's entries on disk, those made before this call. Blocking.
    ///
    /// Nobody waits for company: whoever comes while a sync runs shares the next one, so one delivery alone
    /// is not held up, and a crowd gathers by itself.
    pub(crate) fn sync(&self, dir: &Dir) -> io::Result<()> {
        let place = dir.place()?;
        let syncs = Arc::clone(locked(&self.0).entry(place).or_default());
        let result = syncs.sync(dir);
        let mut all = locked(&self.0);
        // The map's own and this one: nobody else is at it.
        if Arc::strong_count(&syncs) == 2 {
            all.remove(&place);
        }
        result
    }
}

impl Syncs {
    fn sync(&self, dir: &Dir) -> io::Result<()> {
        let mut state = locked(&self.state);
        let round = Arc::clone(&state.next);
        loop {
            if let Some(result) = *locked(&round.0) {
                return result.map_err(Failure::into);
            }
            if state.running {
                state.waiting += 1;
                state = self.ended.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                state.waiting -= 1;
                continue;
            }
            state.running = true;
            state.next = Arc::default();
            drop(state);
            let result = dir.sync().map_err(|error| Failure::of(&error));
            *locked(&round.0) = Some(result);
            let mut state = locked(&self.state);
            state.running = false;
            let is_awaited = state.waiting > 0;
            drop(state);
            if is_awaited {
                self.ended.notify_all();
            }
            return result.map_err(Failure::into);
        }
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self { kind: error.kind(), code: error.raw_os_error() }
    }
}

impl From<Failure> for io::Error {
    fn from(Failure { kind, code }: Failure) -> Self {
        code.map_or_else(|| kind.into(), Self::from_raw_os_error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::thread;

    use super::*;

    #[test]
    fn many_share_and_nobody_is_left_waiting() {
        let temp = tempfile::tempdir().unwrap();
        let syncs = SharedSyncs::default();
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let dir = Dir::open_root(temp.path()).unwrap();
                    for _ in 0..20 {
                        syncs.sync(&dir).unwrap();
                    }
                });
            }
        });
        assert!(locked(&syncs.0).is_empty(), "nothing is kept of folders that nobody syncs");
    }

    /// Those who wait for the next round get its result, and never that of the one after it.
    #[test]
    fn a_failure_is_told_to_all_who_waited_for_that_sync() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let syncs = Syncs::default();
        let mut state = locked(&syncs.state);
        state.running = true;
        let (first, second) = (Arc::clone(&state.next), Arc::new(Round::default()));
        state.next = Arc::clone(&second);
        drop(state);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| syncs.sync(&dir));
            // The running sync ends well, and the one after it, which the other thread waits for, does not.
            *locked(&first.0) = Some(Ok(()));
            *locked(&second.0) = Some(Err(Failure { kind: io::ErrorKind::Other, code: Some(5) }));
            while !waiting.is_finished() {
                syncs.ended.notify_all();
                thread::yield_now();
            }
            assert_eq!(waiting.join().unwrap().unwrap_err().raw_os_error(), Some(5));
        });
    }
}
