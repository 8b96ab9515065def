//! `dovecot-uidvalidity`: the account's counter from which every new mailbox takes its UIDVALIDITY.
//!
//! The value stands in two places: as eight hexadecimal digits in the file, and in the name of an empty
//! file beside it, whose rename is the step that two programs cannot both take. The first count, where there
//! is nothing to rename yet, has a lock.

use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::dir::{Dir, found};
use crate::dotlock::{DotLock, FIRST_COUNT};
use crate::error::StoreError;

const NAME: &str = "dovecot-uidvalidity";
/// Attempts against other programs that count at the same time (`RETRY_COUNT`).
const ATTEMPTS: usize = 10;

/// Takes the next value, which is higher than every value before it and than `above`. It is on disk.
///
/// The caller keeps the threads of this process apart.
pub(crate) fn next(account: &Dir, above: u32) -> Result<u32, StoreError> {
    for _ in 0..ATTEMPTS {
        let current = current(account)?;
        let wanted = match current {
            Some(value) => value.max(above),
            None => above.max(unix_now()),
        };
        let wanted = wanted.checked_add(1).ok_or_else(|| io::Error::other("UIDVALIDITY is used up"))?;
        if step(account, current, wanted)? {
            return Ok(wanted);
        }
    }
    Err(StoreError::Locked)
}

/// Makes sure that later values are higher than `value`, which came from elsewhere.
pub(crate) fn reserve(account: &Dir, value: u32) -> Result<(), StoreError> {
    for _ in 0..ATTEMPTS {
        let current = current(account)?;
        if current.is_some_and(|current| current >= value) || step(account, current, value)? {
            return Ok(());
        }
    }
    Err(StoreError::Locked)
}

/// Goes from `current` to `wanted`; `false` when another program was faster.
fn step(account: &Dir, current: Option<u32>, wanted: u32) -> Result<bool, StoreError> {
    let Some(value) = current else { return begin(account, wanted) };
    let (from, to) = (counter_name(value), counter_name(wanted));
    let moved = found(account.rename_to_free(from.as_bytes(), account, to.as_bytes()))?.is_some();
    if moved {
        write(account, wanted)?;
        account.sync()?;
    }
    Ok(moved)
}

/// Makes the counter; `false` when another program did.
///
/// That it is missing must still be so when it is made: a second one would give the values of the first once more.
/// A rename cannot see to that, so a lock does.
fn begin(account: &Dir, wanted: u32) -> Result<bool, StoreError> {
    let _lock = DotLock::acquire(account, NAME, FIRST_COUNT)?;
    let begun = current(account)?.is_none() && created(account.create_file(counter_name(wanted)))?.is_some();
    if begun {
        write(account, wanted)?;
        account.sync()?;
    }
    Ok(begun)
}

/// The highest value a counter file has in its name. The digits in the file are only for Dovecot's fast path.
///
/// A folder that is read while another program renames its counter may show neither name. The digits tell then that
/// there is one, and it is looked for again: a second count from the start would give values twice.
fn current(account: &Dir) -> io::Result<Option<u32>> {
    for _ in 0..ATTEMPTS {
        let digits = digits(account);
        // Believed when the counter file they name is there.
        if let Some(value) = digits
            && account.stat_at(counter_name(value).as_bytes()).is_ok()
        {
            return Ok(Some(value));
        }
        let highest = highest(account)?;
        if highest.is_some() || digits.is_none() {
            return Ok(highest);
        }
    }
    Ok(None)
}

fn highest(account: &Dir) -> io::Result<Option<u32>> {
    let mut highest = None;
    account.read(|name, _| {
        let digits = name.strip_prefix(NAME.as_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        highest = highest.max(digits.and_then(hex));
    })?;
    Ok(highest)
}

fn digits(account: &Dir) -> Option<u32> {
    let mut digits = Vec::new();
    account.open_file(NAME).ok()?.take(8).read_to_end(&mut digits).ok()?;
    hex(&digits)
}

fn write(account: &Dir, value: u32) -> io::Result<()> {
    let mut file = match found(account.open_file_to_write(NAME))? {
        Some(file) => file,
        None => match created(account.create_file(NAME))? {
            Some(file) => file,
            // Another program that counts for the first time made it in between.
            None => account.open_file_to_write(NAME)?,
        },
    };
    file.write_all(format!("{value:08x}").as_bytes())?;
    file.sync_all()
}

/// `Ok(None)` for a file that another program made first.
fn created<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

fn counter_name(value: u32) -> String {
    format!("{NAME}.{value:08x}")
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

fn unix_now() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn temp() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn values_only_rise_and_both_places_agree() {
        let (temp, dir) = temp();
        let first = next(&dir, 0).unwrap();
        assert_eq!(next(&dir, 0).unwrap(), first + 1);
        assert_eq!(next(&dir, first + 10).unwrap(), first + 11);
        reserve(&dir, first).unwrap();
        reserve(&dir, first + 20).unwrap();
        assert_eq!(next(&dir, 0).unwrap(), first + 21);
        let text = std::fs::read_to_string(temp.path().join(NAME)).unwrap();
        assert_eq!(text, format!("{:08x}", first + 21));
        assert!(temp.path().join(counter_name(first + 21)).exists());
    }

    #[test]
    fn a_lost_or_broken_file_is_replaced_by_the_counter_in_the_name() {
        let (temp, dir) = temp();
        let first = next(&dir, 0).unwrap();
        for text in ["", "zzzzzzzz", "00000001"] {
            std::fs::write(temp.path().join(NAME), text).unwrap();
            assert!(next(&dir, 0).unwrap() > first, "{text}");
        }
        std::fs::remove_file(temp.path().join(NAME)).unwrap();
        assert_eq!(next(&dir, 0).unwrap(), first + 4);
    }

    #[test]
    fn of_several_counters_the_highest_counts() {
        let (temp, dir) = temp();
        for name in ["dovecot-uidvalidity.00000005", "dovecot-uidvalidity.00000009", "dovecot-uidvalidity.x"]
        {
            std::fs::write(temp.path().join(name), "").unwrap();
        }
        assert_eq!(next(&dir, 0).unwrap(), 10);
    }

    #[test]
    fn programs_that_count_for_the_first_time_at_once_get_different_values() {
        for round in 0..200 {
            let (_temp, dir) = temp();
            let barrier = std::sync::Barrier::new(4);
            let mut values = std::thread::scope(|scope| {
                let take = || {
                    barrier.wait();
                    next(&dir, 0)
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect::<Vec<_>>()
            });
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), 4, "round {round}");
        }
    }

    #[test]
    fn a_counter_that_cannot_be_made_is_no_race() {
        let (temp, dir) = temp();
        std::os::unix::fs::symlink("nowhere", temp.path().join(NAME)).unwrap();
        assert!(matches!(next(&dir, 0), Err(StoreError::Io(_))), "a link in the place of the file");
        let (temp, dir) = self::temp();
        std::fs::create_dir(temp.path().join(NAME)).unwrap();
        assert!(matches!(next(&dir, 0), Err(StoreError::Io(_))), "a folder in the place of the file");
        let (temp, dir) = self::temp();
        std::fs::remove_dir(temp.path()).unwrap();
        assert!(matches!(next(&dir, 0), Err(StoreError::Io(_))), "no folder to make it in");
    }

    #[test]
    fn threads_that_count_at_once_get_different_values() {
        let (_temp, dir) = temp();
        next(&dir, 0).unwrap();
        let mut values = std::thread::scope(|scope| {
            let take = || (0..4).map(|_| next(&dir, 0)).filter_map(Result::ok).collect::<Vec<_>>();
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let taken = values.len();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), taken);
    }
}
