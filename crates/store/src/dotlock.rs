//! Dovecot's dot locks: a file `NAME.lock` beside the file it protects.
//!
//! The rules are those of Dovecot's `file-dotlock.c`, so that either program waits for the other and
//! breaks the same locks: those of dead processes of this host at once, those without a readable owner
//! when neither they nor the protected file changed for a time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use rustix::fs::{Stat, Timespec, Timestamps};
use rustix::process::Pid;

use crate::clock::unix_now;
use crate::dir::{Dir, Stamp, found};
use crate::error::StoreError;

/// How long to wait, and after how much silence a lock without a readable owner is broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    timeout: Duration,
    stale: Duration,
}

/// For `dovecot-uidlist`: broken after the silence that Dovecot grants (`MAILDIR_UIDLIST_LOCK_STALE_TIMEOUT`).
pub(crate) const MAILBOX: Rules = Rules { timeout: PATIENCE, stale: Duration::from_mins(2) };
/// For `subscriptions` (`SUBSCRIPTION_FILE_CHANGE_TIMEOUT`).
pub(crate) const SUBSCRIPTIONS: Rules = Rules { timeout: PATIENCE, stale: Duration::from_secs(30) };
/// For `dovecot-acl` (`dotlock_set` of `acl-backend-vfile-update.c`).
pub(crate) const ACL: Rules = Rules { timeout: PATIENCE, stale: Duration::from_mins(2) };
/// For `maildirsize`: whoever finds it locked does without (`dotlock_set` of `quota-maildir.c`).
pub(crate) const QUOTA: Rules = Rules { timeout: Duration::ZERO, stale: Duration::from_secs(30) };
/// For the first count of `dovecot-uidvalidity`, which Dovecot does without a lock.
pub(crate) const FIRST_COUNT: Rules = Rules { timeout: PATIENCE, stale: Duration::from_secs(30) };
/// How long a call waits for a lock. Dovecot waits for 122 seconds and tells its client every few of them
/// that it still does; mail programs that hear nothing give up after 30 (K-9) to 100 (Thunderbird). So we
/// say no well before, and lose nothing: a lock's age is read from its file, so that whoever asks when it
/// is old enough breaks it at once. A lock of a live process is held for milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock younger than this is not asked for its owner (`STALE_PID_CHECK_SECS`).
const YOUNG: i64 = 2;
/// Waits between looks double from the first to the longest: Dovecot holds its locks for milliseconds.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// After breaking a lock, so that another waiter's break does not hit the lock made next.
const AFTER_BREAK: Duration = Duration::from_millis(150);
/// Longest `pid:host` read from a lock.
const MAX_OWNER: u64 = 512;

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub(crate) struct DotLock<'a> {
    dir: &'a Dir,
    protected: &'a str,
    file: File,
    inode: u64,
    replaced: bool,
}

impl<'a> DotLock<'a> {
    /// Waits for the lock of the file `protected` in `dir` and writes `pid:host` into it.
    pub(crate) fn acquire(dir: &'a Dir, protected: &'a str, rules: Rules) -> Result<Self, StoreError> {
        let mut lock = Self::acquire_empty(dir, protected, rules)?;
        let owner = format!("{}:{}", std::process::id(), host());
        if lock.file.write_all(owner.as_bytes()).is_err() {
            // A full disk. An empty lock is a lock; half an owner would be a wrong one.
            lock.file.set_len(0)?;
        }
        Ok(lock)
    }

    /// As [`acquire`](Self::acquire), for a lock whose file becomes the new content by [`replace`](Self::replace).
    pub(crate) fn acquire_empty(dir: &'a Dir, protected: &'a str, rules: Rules) -> Result<Self, StoreError> {
        let started = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut rival = Rival::new(dir, protected);
        loop {
            match dir.create_file(rival.lock_name()) {
                Ok(file) => return Self::held(dir, protected, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            match rival.look(rules.stale)? {
                Verdict::Gone => continue,
                Verdict::Stale => {
                    rival.break_lock()?;
                    std::thread::sleep(AFTER_BREAK);
                    continue;
                }
                Verdict::Held => {}
            }
            if started.elapsed() >= rules.timeout {
                return Err(StoreError::Locked);
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn held(dir: &'a Dir, protected: &'a str, file: File) -> Result<Self, StoreError> {
        let inode = inode(&rustix::fs::fstat(&file)?);
        Ok(Self { dir, protected, file, inode, replaced: false })
    }

    /// Writes `content` and puts it, durably, in the place of the protected file, which lets go of the lock.
    ///
    /// Dovecot notices a change by whole seconds, so the new file is at least one younger than the old.
    pub(crate) fn replace(mut self, content: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(content)?;
        if let Some(old) = found(self.dir.stat_at(self.protected.as_bytes()))? {
            let (old, new) =
                (Stamp::of(&old).seconds(), Stamp::of(&rustix::fs::fstat(&self.file)?).seconds());
            if new <= old {
                set_mtime(&self.file, old + 1)?;
            }
        }
        self.file.sync_all()?;
        if !self.is_ours()? {
            return Err(StoreError::Locked);
        }
        self.dir.rename(lock_name(self.protected).as_bytes(), self.dir, self.protected.as_bytes())?;
        self.replaced = true;
        Ok(self.dir.sync()?)
    }

    /// Whether the lock is still the file made here: a waiter may have broken it, rightly or not.
    pub(crate) fn is_ours(&self) -> io::Result<bool> {
        let now = found(self.dir.stat_at(lock_name(self.protected).as_bytes()))?;
        Ok(now.is_some_and(|stat| inode(&stat) == self.inode))
    }
}

/// What has become of a lock in the time that it was held.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Held,
    /// Its folder was removed, and the lock with it: nobody can have taken it meanwhile.
    Gone,
    Broken,
}

impl DotLock<'_> {
    fn fate(&self) -> io::Result<Fate> {
        Ok(match self.is_ours()? {
            true => Fate::Held,
            false if self.dir.is_removed()? => Fate::Gone,
            false => Fate::Broken,
        })
    }
}

impl Drop for DotLock<'_> {
    fn drop(&mut self) {
        if self.replaced {
            return;
        }
        match self.fate() {
            Ok(Fate::Held) => {
                if let Err(error) = self.dir.unlink(lock_name(self.protected)) {
                    tracing::warn!(%error, file = self.protected, "cannot remove a lock");
                }
            }
            Ok(Fate::Gone) => tracing::debug!(file = self.protected, "a lock went with its folder"),
            Ok(Fate::Broken) => tracing::warn!(file = self.protected, "another program broke our lock"),
            Err(error) => tracing::warn!(%error, file = self.protected, "cannot look at a lock"),
        }
    }
}

/// Sets the modification time, in seconds since 1970.
pub(crate) fn set_mtime(file: &File, seconds: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}

fn lock_name(protected: &str) -> String {
    format!("{protected}.lock")
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[allow(clippy::useless_conversion, reason = "the field has other types on other architectures")]
fn inode(stat: &Stat) -> u64 {
    u64::from(stat.st_ino)
}

/// What a look at somebody else's lock says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Gone,
    Held,
    Stale,
}

/// Somebody else's lock, watched over several looks.
struct Rival<'a> {
    dir: &'a Dir,
    protected: &'a str,
    lock: Option<Change>,
    file: Option<Change>,
    last_change: i64,
}

/// What must stay the same for a file to count as untouched.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Change {
    stamp: Stamp,
    ctime: i64,
}

impl Change {
    fn of(stat: &Stat) -> Self {
        Self { stamp: Stamp::of(stat), ctime: stat.st_ctime }
    }

    /// The time of the change itself: the later of both times, but a modification time in the future is
    /// somebody's note, not a time.
    fn time(&self, now: i64) -> i64 {
        if self.stamp.seconds() <= now { self.stamp.seconds().max(self.ctime) } else { self.ctime }
    }
}

impl<'a> Rival<'a> {
    fn new(dir: &'a Dir, protected: &'a str) -> Self {
        Self { dir, protected, lock: None, file: None, last_change: 0 }
    }

    fn lock_name(&self) -> String {
        lock_name(self.protected)
    }

    /// Looks once more; `stale` is the silence after which a lock without an owner is broken.
    fn look(&mut self, stale: Duration) -> io::Result<Verdict> {
        let now = unix_now();
        let Some(stat) = found(self.dir.stat_at(self.lock_name().as_bytes()))? else {
            return Ok(Verdict::Gone);
        };
        let change = Change::of(&stat);
        Self::note(&mut self.lock, change, &mut self.last_change, now);
        if change.stamp.seconds() < now - YOUNG {
            match self.owner_is_alive() {
                Some(true) => return Ok(Verdict::Held),
                Some(false) => return Ok(Verdict::Stale),
                None => {}
            }
        }
        let stale = i64::try_from(stale.as_secs()).unwrap_or(i64::MAX);
        if now <= self.last_change.saturating_add(stale) {
            return Ok(Verdict::Held);
        }
        if let Some(stat) = found(self.dir.stat_at(self.protected.as_bytes()))? {
            Self::note(&mut self.file, Change::of(&stat), &mut self.last_change, now);
        }
        Ok(if now > self.last_change.saturating_add(stale) { Verdict::Stale } else { Verdict::Held })
    }

    /// Moves `last_change` forward when `change` is new: at the first look to the time of the change, later to now.
    fn note(seen: &mut Option<Change>, change: Change, last_change: &mut i64, now: i64) {
        let time = match seen {
            None => change.time(now),
            Some(before) if *before != change => now,
            Some(_) => return,
        };
        *last_change = (*last_change).max(time);
        *seen = Some(change);
    }

    /// `None` when the lock does not name a process of this host.
    ///
    /// A lock with our own number is a leftover of an earlier process: this one keeps its threads apart
    /// by other means before it comes here.
    fn owner_is_alive(&self) -> Option<bool> {
        let mut text = String::new();
        let file = self.dir.open_file(self.lock_name()).ok()?;
        file.take(MAX_OWNER).read_to_string(&mut text).ok()?;
        let (pid, owner_host) = text.trim_end_matches('\n').split_once(':')?;
        let pid = pid.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)?;
        if owner_host != host() {
            return None;
        }
        let ours = pid == rustix::process::getpid();
        let exists = !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH));
        Some(exists && !ours)
    }

    /// Removes the lock if it is still the one that was looked at.
    fn break_lock(&mut self) -> io::Result<()> {
        let now = found(self.dir.stat_at(self.lock_name().as_bytes()))?.map(|stat| Change::of(&stat));
        if now == self.lock {
            tracing::warn!(file = self.protected, "breaking a lock that nobody holds");
            self.dir.unlink(self.lock_name())?;
        }
        self.lock = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LONG_AGO: i64 = 1_000_000_000;

    fn temp() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        (temp, dir)
    }

    fn leave_lock(dir: &Dir, text: &str) {
        let mut file = dir.create_file("f.lock").unwrap();
        file.write_all(text.as_bytes()).unwrap();
        set_mtime(&file, LONG_AGO).unwrap();
    }

    #[test]
    fn a_held_lock_names_its_owner_and_is_let_go() {
        let (temp, dir) = temp();
        let lock = DotLock::acquire(&dir, "f", MAILBOX).unwrap();
        let text = std::fs::read_to_string(temp.path().join("f.lock")).unwrap();
        assert_eq!(text, format!("{}:{}", std::process::id(), host()));
        drop(lock);
        assert!(!temp.path().join("f.lock").exists());
    }

    #[test]
    fn a_lock_that_went_with_its_folder_was_broken_by_nobody() {
        let (temp, account) = temp();
        let dir = account.create("folder").unwrap();
        let lock = DotLock::acquire(&dir, "f", MAILBOX).unwrap();
        assert_eq!(lock.fate().unwrap(), Fate::Held);
        std::fs::rename(temp.path().join("folder"), temp.path().join("other")).unwrap();
        assert_eq!(lock.fate().unwrap(), Fate::Held, "it has moved along");
        std::fs::remove_file(temp.path().join("other/f.lock")).unwrap();
        assert_eq!(lock.fate().unwrap(), Fate::Broken);
        std::fs::write(temp.path().join("other/f.lock"), "1:elsewhere").unwrap();
        assert_eq!(lock.fate().unwrap(), Fate::Broken, "somebody else has it");
        std::fs::remove_dir_all(temp.path().join("other")).unwrap();
        assert_eq!(lock.fate().unwrap(), Fate::Gone);
    }

    #[test]
    fn the_lock_of_a_dead_process_is_broken_and_of_a_living_one_is_not() {
        let (_temp, dir) = temp();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        leave_lock(&dir, &format!("{}:{}", child.id(), host()));
        drop(DotLock::acquire(&dir, "f", MAILBOX).unwrap());

        leave_lock(&dir, &format!("1:{}", host()));
        let impatient = Rules { timeout: Duration::from_millis(50), stale: Duration::ZERO };
        assert!(matches!(DotLock::acquire(&dir, "f", impatient), Err(StoreError::Locked)));
    }

    #[test]
    fn our_own_number_in_an_old_lock_means_an_earlier_process() {
        let (_temp, dir) = temp();
        leave_lock(&dir, &format!("{}:{}", std::process::id(), host()));
        drop(DotLock::acquire(&dir, "f", MAILBOX).unwrap());
    }

    #[test]
    fn a_lock_without_a_local_owner_is_held_until_it_was_silent_for_long() {
        let (_temp, dir) = temp();
        for text in ["", "12:elsewhere.example", "garbage", "0:x"] {
            leave_lock(&dir, text);
            // Its change time is now, whatever the modification time says.
            let mut rival = Rival::new(&dir, "f");
            assert_eq!(rival.look(Duration::from_mins(2)).unwrap(), Verdict::Held, "{text}");
            rival.last_change -= 121;
            assert_eq!(rival.look(Duration::from_mins(2)).unwrap(), Verdict::Stale, "{text}");
            dir.unlink("f.lock").unwrap();
        }
    }

    #[test]
    fn work_on_the_protected_file_keeps_a_lock_alive() {
        let (_temp, dir) = temp();
        leave_lock(&dir, "");
        let mut rival = Rival::new(&dir, "f");
        rival.look(Duration::from_mins(2)).unwrap();
        rival.last_change -= 121;
        dir.create_file("f").unwrap();
        assert_eq!(rival.look(Duration::from_mins(2)).unwrap(), Verdict::Held);
    }

    #[test]
    fn waiting_ends_when_the_holder_lets_go() {
        let (_temp, dir) = temp();
        let lock = DotLock::acquire(&dir, "f", MAILBOX).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| DotLock::acquire(&dir, "f", MAILBOX).map(drop));
            std::thread::sleep(Duration::from_millis(30));
            assert!(!waiter.is_finished());
            drop(lock);
            waiter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn replacing_swaps_the_file_and_makes_it_younger() {
        let (temp, dir) = temp();
        let future = unix_now() + 100;
        set_mtime(&dir.create_file("f").unwrap(), future).unwrap();
        DotLock::acquire_empty(&dir, "f", SUBSCRIPTIONS).unwrap().replace(b"new").unwrap();
        assert_eq!(std::fs::read(temp.path().join("f")).unwrap(), b"new");
        assert_eq!(Stamp::of(&dir.stat_at(b"f").unwrap()).seconds(), future + 1);
        assert!(!temp.path().join("f.lock").exists());
    }
}
