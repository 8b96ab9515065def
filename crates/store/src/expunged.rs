//! Expunged mail that is kept for a while, where the operator wants it: `kings-expunged` in the account's folder.
//!
//! In Maildir++ no mail program shows that folder, since the name of a mailbox begins with a dot; where folders lie in folders
//! Dovecot shows it as one that cannot be opened, and none of what is in it. For each mailbox there is a folder with its
//! name, and for each message a file whose name begins with the second of its removal. What is there counts for no
//! quota, and is no more than the account may hold besides. Files go when their time is over, at a look at the account or once a day.

use std::cmp::Ordering;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_mail::address::Address;
use rustix::fs::FileType;

use crate::account::{Account, AccountState};
use crate::compressed;
use crate::dir::{Dir, found};
use crate::error::StoreError;
use crate::flags::SystemFlag;
use crate::maildir::{self, Letters, NameMaker};
use crate::message::Content;
use crate::name::{MAX_LEVELS, MailboxName};
use crate::quota::{Claim, Usage, count_file};
use crate::rules::Rules;
use crate::sync::locked;
use crate::tree::{Tree, down};

/// How long expunged mail of one account is kept.
#[derive(Debug)]
pub(crate) struct Retention {
    account: Address,
    rules: Arc<Rules<Option<Duration>>>,
    /// Octets of what is kept, once they were added up. Nothing is known after a start, nor where something else than an
    /// expunge has changed it. What another process takes away makes it too high, which has it added up again sooner.
    kept: Mutex<Option<u64>>,
}

/// One expunged message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expunged {
    /// Where it was.
    pub mailbox: MailboxName,
    /// When it was expunged, in seconds since 1970.
    pub expunged: i64,
    /// When it had arrived, in seconds since 1970.
    pub internal_date: i64,
    /// Octets on disk.
    pub octets: u64,
    file: Vec<u8>,
}

/// Where what is expunged from one mailbox goes now.
#[derive(Debug)]
pub(crate) struct Bin {
    dir: Dir,
    second: u64,
}

/// What becomes of a message that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stands elsewhere.
    Gone,
    /// Its owner wants it no more, and may change his mind.
    Expunged,
}

impl Retention {
    pub(crate) fn new(account: Address, rules: Arc<Rules<Option<Duration>>>) -> Self {
        Self { account, rules, kept: Mutex::default() }
    }

    /// How long; nothing where mail goes for good.
    fn time(&self) -> Option<Duration> {
        self.rules.of(&self.account).filter(|time| !time.is_zero())
    }

    /// Where what is expunged from `mailbox` goes, durably made; nothing where it goes for good. Expunging makes room, so a
    /// disk that takes no more keeps nothing.
    pub(crate) fn bin(&self, tree: &Tree, mailbox: &MailboxName) -> Option<Bin> {
        self.time()?;
        let open = || -> io::Result<Dir> {
            let mut below = tree.dir().try_clone()?;
            for step in tree.layout().bin(mailbox) {
                let (next, made) = below.open_or_create(step)?;
                if made {
                    below.sync()?;
                }
                below = next;
            }
            Ok(below)
        };
        match open() {
            Ok(dir) => Some(Bin { dir, second: second(SystemTime::now()) }),
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "expunged mail cannot be kept");
                None
            }
        }
    }

    /// Has what is kept of a mailbox lose its keywords: their names go with the mailbox, and another one of its name would
    /// have its own for the same letters.
    pub(crate) fn forget_keywords(tree: &Tree, mailbox: &MailboxName) -> io::Result<()> {
        let Some(dir) = down(tree.dir(), &tree.layout().bin(mailbox))? else { return Ok(()) };
        for file in dir.names(FileType::RegularFile)? {
            let (base, info) = maildir::split(&file);
            let letters = maildir::letters(info);
            if letters.keywords != 0 {
                let plain = [base, &*maildir::info_with(info, Letters { keywords: 0, ..letters })].concat();
                found(dir.rename(&file, &dir, &plain))?;
            }
        }
        dir.sync()
    }

    /// So many octets more are kept, or nobody knows how many. No more than `most` of them stay: the oldest go first, and some
    /// more than needed, so that at the limit not every expunge looks through all that is kept.
    pub(crate) fn keep_within(&self, tree: &Tree, more: Option<u64>, most: u64) -> io::Result<()> {
        let mut kept = locked(&self.kept);
        let total = kept.zip(more).map(|(kept, more)| kept.saturating_add(more));
        // Nothing is known where it fails.
        *kept = None;
        *kept = match total.filter(|total| *total <= most) {
            Some(total) => Some(total),
            None => Some(make_room(tree, most)?),
        };
        Ok(())
    }

    /// What is kept has changed otherwise.
    fn forget_count(&self) {
        *locked(&self.kept) = None;
    }

    /// Removes what was kept long enough; all of it where nothing is kept any more.
    pub(crate) fn purge(&self, tree: &Tree, now: SystemTime) -> io::Result<()> {
        self.forget_count();
        let oldest = second(now).saturating_sub(self.time().unwrap_or_default().as_secs());
        // Those that lie in others come first, so that all that are empty can go.
        for bin in bins(tree)?.iter().rev() {
            let Some(dir) = down(tree.dir(), bin)? else { continue };
            let files = dir.names(FileType::RegularFile)?;
            for file in files.iter().filter(|file| stamp(file).is_some_and(|(second, _)| second <= oldest)) {
                dir.unlink(file)?;
            }
            remove_if_empty(tree, bin)?;
        }
        let all = tree.layout().shelf();
        (1..=all.len()).rev().try_for_each(|steps| remove_if_empty(tree, &all[..steps]))
    }
}

/// Adds up what is kept. Where that is more than `most`, the oldest go until it is a sixteenth less. Returns what is left.
fn make_room(tree: &Tree, most: u64) -> io::Result<u64> {
    let mut kept = Vec::new();
    for bin in bins(tree)? {
        let Some(dir) = down(tree.dir(), &bin)? else { continue };
        for file in dir.names(FileType::RegularFile)? {
            let octets = count_file(&dir, &file)?.octets;
            kept.extend(stamp(&file).map(|(second, _)| (second, bin.clone(), file.clone(), octets)));
        }
    }
    let mut total: u64 = kept.iter().map(|(.., octets)| octets).sum();
    if total <= most {
        return Ok(total);
    }
    kept.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| arrival(&a.2, &b.2)));
    for (_, bin, file, octets) in kept {
        if total <= most - most / 16 {
            break;
        }
        if let Some(dir) = down(tree.dir(), &bin)? {
            dir.unlink(&file)?;
        }
        total -= octets;
    }
    Ok(total)
}

impl Bin {
    /// Takes a file out of `from`; `false` when it is not there.
    pub(crate) fn take(&self, from: &Dir, name: &[u8], names: &NameMaker) -> io::Result<bool> {
        let kept = [self.second.to_string().as_bytes(), b".", name].concat();
        let moved = match from.rename(name, &self.dir, &kept) {
            // A name of full length has no room for the second.
            // A mailbox below may be called like that.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::IsADirectory) =>
            {
                let kept = format!("{}.{}", self.second, names.unique()?);
                from.rename(name, &self.dir, kept.as_bytes())
            }
            result => result,
        };
        match moved {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // The message is unwanted, and there is no room to keep it.
            Err(error) if is_full(&error) => from.unlink(name),
            Err(error) => Err(error),
        }
    }

    /// Puts on disk what was taken. To be called before the folders that it came from are synced.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }

    /// Takes all messages of a mailbox that is removed.
    pub(crate) fn take_all(&self, mailbox: &Dir, makers: &NameMaker) -> io::Result<()> {
        for part in ["new", "cur"] {
            let Some(dir) = found(mailbox.open(part))? else { continue };
            for name in dir.names(FileType::RegularFile)? {
                self.take(&dir, &name, makers)?;
            }
        }
        self.sync()
    }
}

impl Account {
    /// What was expunged and is kept, the latest last.
    pub fn expunged(&self) -> Result<Vec<Expunged>, StoreError> {
        let mut kept = Vec::new();
        for bin in bins(&self.0.tree)? {
            let Some(mailbox) = self.0.tree.layout().of_bin(&bin) else { continue };
            let Some(dir) = down(self.0.tree.dir(), &bin)? else { continue };
            for file in dir.names(FileType::RegularFile)? {
                let Some((second, _)) = stamp(&file) else { continue };
                let Some(stat) = found(dir.stat_at(&file))? else { continue };
                kept.push(Expunged {
                    mailbox: mailbox.clone(),
                    expunged: i64::try_from(second).unwrap_or(i64::MAX),
                    internal_date: stat.st_mtime,
                    octets: stat.st_size.try_into().unwrap_or_default(),
                    file,
                });
            }
        }
        kept.sort_by(|a, b| {
            let order = a.expunged.cmp(&b.expunged).then_with(|| arrival(&a.file, &b.file));
            order.then_with(|| a.mailbox.cmp(&b.mailbox))
        });
        Ok(kept)
    }

    /// Reads one of them. Fails with [`StoreError::Expunged`] when its time is over.
    pub fn read_expunged(&self, kept: &Expunged) -> Result<Content, StoreError> {
        use std::io::Read;
        let file = found(self.0.expunged_from(&kept.mailbox)?.open_file(&kept.file))?;
        let mut octets = Vec::new();
        file.ok_or(StoreError::Expunged)?.take(crate::mailbox::MAX_MESSAGE_FILE).read_to_end(&mut octets)?;
        Ok(Content::from_file(compressed::expand(octets)))
    }

    /// Puts one of them back into its mailbox, which is made where it is gone, durably: with its date and flags but
    /// `\Deleted`, and with a new UID.
    ///
    /// Fails with [`StoreError::OverQuota`] where there is no room, and [`StoreError::Expunged`] when its time is over.
    pub fn undelete(&self, kept: &Expunged) -> Result<(), StoreError> {
        let state = &self.0;
        let from = state.expunged_from(&kept.mailbox)?;
        let (_, old) = stamp(&kept.file).ok_or(StoreError::Expunged)?;
        let (base, info) = maildir::split(old);
        if found(from.stat_at(&kept.file))?.is_none() {
            return Err(StoreError::Expunged);
        }
        let octets = count_file(&from, &kept.file)?.octets;
        let room = state.claim(&kept.mailbox, Usage::message(octets), Claim::Saved)?;
        let (folder, is_new) = match crate::folder::Folder::open(&state.tree, &kept.mailbox)? {
            Some(folder) => (folder, false),
            // Who could read it when it was there is not known any more.
            None => (state.make_private(&kept.mailbox)?, true),
        };
        let unique = state.root.names.unique()?;
        let sizes = (maildir::size_field(base, b'S'), maildir::size_field(base, b'W'));
        let base = match sizes {
            (Some(disk), Some(crlf)) => maildir::sized(&unique, disk, crlf),
            _ => unique.into_bytes(),
        };
        let letters = maildir::letters(info);
        let letters = Letters {
            system: letters.system & !(SystemFlag::Deleted as u8),
            // In a mailbox that is made anew the letters have no names.
            keywords: if is_new { 0 } else { letters.keywords },
        };
        let name = [&*base, &*maildir::info_with(b"", letters)].concat();
        if found(from.rename(&kept.file, &folder.cur, &name))?.is_none() {
            return Err(StoreError::Expunged);
        }
        state.retention.forget_count();
        folder.cur.sync()?;
        from.sync()?;
        state.fill(room);
        state.tell(&kept.mailbox);
        Ok(())
    }
}

impl AccountState {
    /// Whoever adds and expunges without end fills no disk: no more is kept than the account may hold. `more` is what has
    /// come to it, where that is known.
    pub(crate) fn bound_what_is_kept(&self, more: Option<u64>) {
        let Some(most) = self.ledger.limits().octets else { return self.retention.forget_count() };
        if let Err(error) = self.retention.keep_within(&self.tree, more, most) {
            tracing::warn!(%error, "expunged mail beyond what is kept cannot be removed");
        }
    }

    fn expunged_from(&self, mailbox: &MailboxName) -> Result<Dir, StoreError> {
        down(self.tree.dir(), &self.tree.layout().bin(mailbox))?.ok_or(StoreError::Expunged)
    }
}

/// The ways to all folders that messages are kept in, those above others first.
fn bins(tree: &Tree) -> io::Result<Vec<Vec<String>>> {
    let mut bins: Vec<Vec<String>> = vec![tree.layout().shelf()];
    let deepest = bins[0].len() + MAX_LEVELS;
    let mut at = 0;
    while let Some(bin) = bins.get(at).cloned() {
        at += 1;
        let Some(dir) = down(tree.dir(), &bin)?.filter(|_| bin.len() < deepest) else { continue };
        for name in dir.names(FileType::Directory)? {
            bins.extend(String::from_utf8(name).ok().map(|name| [&bin[..], &[name]].concat()));
        }
    }
    Ok(bins.split_off(1))
}

fn remove_if_empty(tree: &Tree, way: &[String]) -> io::Result<()> {
    let Some((last, above)) = way.split_last() else { return Ok(()) };
    match down(tree.dir(), above)? {
        Some(above) => above.remove_if_empty(last.as_bytes()).map(drop),
        None => Ok(()),
    }
}

fn second(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map(|time| time.as_secs()).unwrap_or_default()
}

/// Which of two came first, by the names that they had.
fn arrival(a: &[u8], b: &[u8]) -> Ordering {
    let name = |file| stamp(file).map_or(file, |(_, name)| name);
    maildir::arrival_order(name(a), name(b))
}

/// The second of the removal, and the name that the file had.
fn stamp(file: &[u8]) -> Option<(u64, &[u8])> {
    let dot = file.iter().position(|&octet| octet == b'.')?;
    let second = std::str::from_utf8(&file[..dot]).ok()?.parse().ok()?;
    Some((second, &file[dot + 1..]))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_a_removal_stands_before_the_name() {
        let cases: [(&str, Option<(u64, &str)>); 6] = [
            (
                "1764321234.1700000001.M1P1.h,S=5,W=6:2,S",
                Some((1_764_321_234, "1700000001.M1P1.h,S=5,W=6:2,S")),
            ),
            ("0.x", Some((0, "x"))),
            (".x", None),
            ("x.y", None),
            ("17", None),
            ("99999999999999999999999.x", None),
        ];
        for (file, expected) in cases {
            let expected = expected.map(|(second, name)| (second, name.as_bytes()));
            assert_eq!(stamp(file.as_bytes()), expected, "{file}");
        }
    }
}
