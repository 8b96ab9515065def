//! Locks between the threads of this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock even after a thread panicked with it: everything behind one is checked against the disk
/// before it is used again.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
