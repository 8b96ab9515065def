//! The entries on disk: one file each, in a folder of their own, named by id and time of the next attempt.
//!
//! Everything here blocks. The folders below the root are `incoming` (files not yet acknowledged, removed at
//! start), `entries`, and `damaged` (entries that cannot be read, for a human to look at).

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kings_mail::id::TraceId;
use kings_mutants::planted;

use crate::deliver::Content;
use crate::disk::{Disk, is_full};
use crate::draft::{CHUNK, Draft};
use crate::entry::{Damage, END_OF_ENVELOPE, Entry, Head, Span};
use crate::record::{Record, parse_all};
use crate::reserve::Reserve;
use crate::shared_sync::SharedSync;

/// Longest envelope of an entry as text, in bytes: 1,000 recipients (RFC 5321 §4.5.3.1.8) of the longest path
/// (RFC 5321 §4.5.3.1.3), many times over, since aliases multiply them.
pub const MAX_ENVELOPE: usize = 4 * 1024 * 1024;
/// Most bytes of attempt records that are read; 1,000 recipients with 36 attempts each and the longest replies
/// come to 32 MB.
const MAX_RECORDS: u64 = 256 * 1024 * 1024;
/// Entries handed over at a time while the folder is read.
const SCAN_BATCH: usize = 1_000;

/// Why a message was not taken into the queue. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Disk space, quota or inodes are used up, or nearly: the sender may try later.
    #[error("no space left for the queue")]
    NoSpace,
    /// An entry with this id exists.
    #[error("the queue holds an entry with the id {0} already")]
    DuplicateId(TraceId),
    /// No recipients, or more than [`MAX_ENVELOPE`] holds, or an address that does not read back as written.
    #[error("the envelope cannot be stored")]
    BadEnvelope,
    /// The disk failed; the sender may try later.
    #[error("queue: {0}")]
    Io(io::Error),
}

impl From<io::Error> for SubmitError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::NoSpace } else { Self::Io(error) }
    }
}

/// Why an entry could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("it is no longer there")]
    Gone,
    #[error("{0}")]
    Damaged(#[from] Damage),
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    /// It was set aside and reads well now: somebody mended it, or the disk was at fault.
    #[error("it can be read again")]
    Mended,
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::UnexpectedEof => Self::Damaged(Damage::Content),
            _ => Self::Io(error),
        }
    }
}

/// The time in the name of an entry that is not to be tried; written as a word.
pub(crate) const HELD: u64 = u64::MAX;
const HELD_WORD: &str = "held";

/// The name of an entry's file: `ID.SECONDS` or `ID.held` (`ID-2.SECONDS` for the second entry of a message), so that a look at the folder tells when each is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) id: TraceId,
    /// Time of the next attempt, in seconds since 1970, or [`HELD`]. The records know better: this is a summary.
    pub(crate) next: u64,
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let (id, next) = text.split_once('.')?;
        let next = if next == HELD_WORD { HELD } else { next.parse().ok()? };
        let name = Self { id: TraceId::parse(id)?, next };
        // One entry, one name: no leading zeros or signs.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            HELD => write!(f, "{}.{HELD_WORD}", self.id),
            next => write!(f, "{}.{next}", self.id),
        }
    }
}

/// The folders of one queue.
pub(crate) struct Spool {
    entries: PathBuf,
    incoming: PathBuf,
    damaged: PathBuf,
    disk: Arc<dyn Disk>,
    /// Syncs the names in `entries`.
    names: SharedSync,
    reserve: Reserve,
    /// Bytes that must stay free on the file system.
    free_space: u64,
    drafts: AtomicU64,
}

impl Spool {
    /// Opens the folders, creating them where needed, and removes submissions that a crash cut off: none of
    /// them was acknowledged.
    pub(crate) fn open(root: &Path, free_space: u64, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let folder = |name: &str| {
            let path = root.join(name);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map(|()| path)
        };
        let (entries, incoming, damaged) = (folder("entries")?, folder("incoming")?, folder("damaged")?);
        // The folders must outlive a power cut before an entry in them can; so must the root.
        disk.sync_directory(root)?;
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        disk.sync_directory(parent.unwrap_or(Path::new(".")))?;
        for leftover in fs::read_dir(&incoming)? {
            disk.remove(&leftover?.path())?;
        }
        let reserve = Reserve::open(&root.join("reserve"))?;
        let names = SharedSync::new(entries.clone(), disk.clone());
        let drafts = AtomicU64::new(0);
        Ok(Self { entries, incoming, damaged, disk, names, reserve, free_space, drafts })
    }

    /// Refuses new work while the file system is nearly full, so that what is here can still be finished:
    /// below the free space asked for, or with less than 1% of the inodes.
    pub(crate) fn check_space(&self) -> Result<(), SubmitError> {
        let stat = rustix::fs::statvfs(&self.entries).map_err(io::Error::from)?;
        let bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        // Some file systems have no fixed number of inodes and report 0.
        let few_inodes = stat.f_files > 0 && stat.f_favail < stat.f_files / 100;
        if bytes < self.free_space || few_inodes {
            return Err(SubmitError::NoSpace);
        }
        self.reserve.refill();
        Ok(())
    }

    /// A file without a name, for content too large for memory; it is gone when closed.
    pub(crate) fn unnamed_file(&self) -> io::Result<File> {
        let path = self.incoming.join(format!("draft-{}", self.drafts.fetch_add(1, Ordering::Relaxed)));
        let file = self.disk.create(&path)?;
        self.disk.remove(&path).map(|()| file)
    }

    /// Writes a new entry whole and synced where nobody looks: its file needs no more space to become one that
    /// counts. `records` say what happened to some of its recipients already. Gives the entry as it reads without them.
    /// On an error nothing is left.
    pub(crate) fn stage(&self, head: &Head, draft: &Draft, records: &[Record]) -> Result<Entry, SubmitError> {
        let (text, seed) = head.encode();
        // What cannot be read back would be lost after its 250; better refused now.
        let read_back = Head::parse(text.as_bytes()).ok().filter(|(read, sum)| read == head && *sum == seed);
        let (read_back, _) =
            read_back.filter(|_| text.len() <= MAX_ENVELOPE).ok_or(SubmitError::BadEnvelope)?;
        let mut end = Vec::new();
        for record in records {
            record.write_to(seed, &mut end);
        }
        self.write_new(&self.staged(head), &text, draft, &end)?;
        Ok(Entry::new(read_back, seed, text.len() as u64))
    }

    /// Makes staged entries count, all or none. Once this returns `Ok` a power cut does not lose them; on an error
    /// nothing is left. Each comes with the time of its first attempt. Gives their names, in order.
    pub(crate) fn publish(&self, heads: &[(&Head, u64)]) -> Result<Vec<Name>, SubmitError> {
        let mut names = Vec::with_capacity(heads.len());
        for (place, &(head, next)) in heads.iter().enumerate() {
            let name = Name { id: head.id, next };
            if let Err(error) = self.disk.rename(&self.staged(head), &self.path(name)) {
                heads[place..].iter().for_each(|(head, _)| self.unstage(head));
                self.unpublish(&names);
                return Err(match error.kind() {
                    io::ErrorKind::AlreadyExists => SubmitError::DuplicateId(head.id),
                    _ => error.into(),
                });
            }
            names.push(name);
        }
        if !planted("entries-folder-not-synced") {
            self.names.sync().inspect_err(|_| self.unpublish(&names))?;
        }
        Ok(names)
    }

    /// The client hears of a failure and comes again, so these copies must not be sent as well.
    fn unpublish(&self, names: &[Name]) {
        for name in names {
            self.drop_file(&self.path(*name));
        }
    }

    /// Removes a staged entry that will not count.
    pub(crate) fn unstage(&self, head: &Head) {
        self.drop_file(&self.staged(head));
    }

    fn staged(&self, head: &Head) -> PathBuf {
        self.incoming.join(head.id.to_string())
    }

    fn write_new(&self, path: &Path, text: &str, draft: &Draft, end: &[u8]) -> io::Result<()> {
        let file = self.disk.create(path)?;
        let start = text.len() as u64;
        self.disk
            .write_at(&file, text.as_bytes(), 0)
            .and_then(|()| draft.copy_to(&*self.disk, &file, start))
            .and_then(|()| match end {
                [] => Ok(()),
                end => self.disk.write_at(&file, end, start + draft.length()),
            })
            .and_then(|()| if planted("entry-not-synced") { Ok(()) } else { self.disk.sync(&file) })
            .inspect_err(|_| self.drop_file(path))
    }

    /// Removes what must not stay; nothing more can be done where even that fails.
    fn drop_file(&self, path: &Path) {
        if let Err(error) = self.disk.remove(path) {
            tracing::error!(%error, "a refused queue entry could not be removed");
        }
    }

    /// Reads the folder and hands over the names in it, some at a time, until told to stop. No file is opened.
    ///
    /// Entries that come, go or are renamed meanwhile may be missed or named twice; all others come once.
    pub(crate) fn scan(&self, mut found: impl FnMut(&[Name]) -> ControlFlow<()>) -> io::Result<()> {
        let mut batch = Vec::with_capacity(SCAN_BATCH);
        for file in fs::read_dir(&self.entries)? {
            let file_name = file?.file_name();
            match file_name.to_str().and_then(Name::parse) {
                Some(name) => batch.push(name),
                None => tracing::warn!(?file_name, "a file in the queue is no entry and is ignored"),
            }
            if batch.len() == SCAN_BATCH {
                if found(&batch).is_break() {
                    return Ok(());
                }
                batch.clear();
            }
        }
        let _ = found(&batch);
        Ok(())
    }

    /// Reads envelope and records. The content is only measured; [`Spool::content`] checks it.
    pub(crate) fn load(&self, name: Name) -> Result<Entry, LoadError> {
        Ok(Self::read(name, &self.path(name))?.0)
    }

    /// Reads envelope and records, and gives the records too, oldest first.
    pub(crate) fn load_history(&self, name: Name) -> Result<(Entry, Vec<Record>), LoadError> {
        Self::read(name, &self.path(name))
    }

    fn read(name: Name, path: &Path) -> Result<(Entry, Vec<Record>), LoadError> {
        let mut file = File::open(path)?;
        let text = read_envelope(&mut file)?;
        let (head, seed) = Head::parse(&text)?;
        if head.id != name.id {
            return Err(Damage::Name.into());
        }
        let mut entry = Entry::new(head, seed, text.len() as u64);
        let length = file.metadata()?.len();
        let behind = length.checked_sub(entry.tail).ok_or(Damage::Content)?;
        if behind > MAX_RECORDS {
            return Err(Damage::Record.into());
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(entry.tail))?;
        file.take(MAX_RECORDS).read_to_end(&mut bytes)?;
        let (records, whole) = parse_all(&bytes, seed)?;
        records.iter().try_for_each(|record| entry.apply(record))?;
        entry.tail += whole as u64;
        Ok((entry, records))
    }

    /// Opens the content after reading it once against its checksum: what was damaged is not sent.
    pub(crate) fn content(&self, name: Name, span: Span) -> Result<Content, LoadError> {
        Self::checked(&self.path(name), span)
    }

    fn checked(path: &Path, span: Span) -> Result<Content, LoadError> {
        let content = Content::stored(File::open(path)?, span.start, span.length);
        let (mut reader, mut buffer) = (content.reader(), vec![0; CHUNK]);
        let mut hasher = crc32fast::Hasher::new();
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        if hasher.finalize() != span.checksum {
            return Err(Damage::Content.into());
        }
        Ok(content)
    }

    /// The first bytes of the content, up to `most`.
    pub(crate) fn beginning(&self, name: Name, span: Span, most: u64) -> io::Result<Vec<u8>> {
        let content = Content::stored(File::open(self.path(name))?, span.start, span.length);
        let mut bytes = Vec::new();
        content.reader().take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Appends records at `tail`, over whatever a torn append left there; returns the new tail once they are
    /// on disk.
    ///
    /// On a full disk the reserve is given up for them, bit by bit.
    pub(crate) fn append(&self, name: Name, tail: u64, records: &[u8]) -> io::Result<u64> {
        loop {
            match self.try_append(name, tail, records) {
                Err(error) if is_full(&error) && self.reserve.release() => {}
                result => return result,
            }
        }
    }

    /// After a failed sync this may be called again: it writes all bytes anew before it syncs them.
    fn try_append(&self, name: Name, tail: u64, records: &[u8]) -> io::Result<u64> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        if file.metadata()?.len() > tail {
            self.disk.set_len(&file, tail)?;
        }
        self.disk.write_at(&file, records, tail)?;
        if !planted("attempt-not-synced") {
            self.disk.sync(&file)?;
        }
        Ok(tail + records.len() as u64)
    }

    /// Writes the time of the next attempt into the name; [`Spool::sync_names`] makes it last.
    pub(crate) fn rename(&self, name: Name, next: u64) -> io::Result<Name> {
        let renamed = Name { next, ..name };
        if renamed != name {
            self.disk.rename(&self.path(name), &self.path(renamed))?;
        }
        Ok(renamed)
    }

    /// Returns once the names are on disk as they are.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        self.names.sync_in_company()
    }

    /// Removes an entry that is settled; needs no space. One that is gone already is no error.
    pub(crate) fn remove(&self, name: Name) -> io::Result<()> {
        self.unlink(name)?;
        self.names.sync_in_company()
    }

    /// The same for several, with one sync: what became of each, in order.
    pub(crate) fn remove_all(&self, names: &[Name]) -> Vec<io::Result<()>> {
        let unlinked: Vec<_> = names.iter().map(|name| self.unlink(*name)).collect();
        let sync = || if planted("removal-not-synced") { Ok(()) } else { self.names.sync_in_company() };
        let synced = sync().map_err(|error| error.kind());
        unlinked.into_iter().map(|unlinked| unlinked.and(synced.map_err(io::Error::from))).collect()
    }

    fn unlink(&self, name: Name) -> io::Result<()> {
        match self.disk.remove(&self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a damaged entry where it harms nobody and a human finds it.
    pub(crate) fn set_aside(&self, name: Name) -> io::Result<()> {
        self.disk.rename(&self.path(name), &self.damaged.join(name.to_string()))?;
        self.disk.sync_directory(&self.damaged)?;
        self.names.sync_in_company()
    }

    /// How many entries were set aside.
    pub(crate) fn count_damaged(&self) -> io::Result<usize> {
        Ok(fs::read_dir(&self.damaged)?.count())
    }

    /// What was set aside: file name, and what is wrong with it.
    pub(crate) fn damaged(&self) -> io::Result<Vec<(String, LoadError)>> {
        let entry = |file: io::Result<fs::DirEntry>| {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let reason = match Name::parse(&name) {
                Some(entry) => Self::read(entry, &file.path())
                    .and_then(|(entry, _)| Self::checked(&file.path(), entry.content))
                    .err()
                    .unwrap_or(LoadError::Mended),
                None => Damage::Name.into(),
            };
            Ok((name, reason))
        };
        fs::read_dir(&self.damaged)?.map(entry).collect()
    }

    fn path(&self, name: Name) -> PathBuf {
        self.entries.join(name.to_string())
    }
}

/// Reads up to and with the empty line that ends the envelope, and not far beyond.
fn read_envelope(file: &mut File) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len().saturating_sub(1);
        let count = file.by_ref().take(4096).read_to_end(&mut bytes)?;
        let end = bytes[from..].windows(2).position(|pair| pair == END_OF_ENVELOPE);
        if let Some(end) = end {
            bytes.truncate(from + end + END_OF_ENVELOPE.len());
            return Ok(bytes);
        }
        if count == 0 || bytes.len() > MAX_ENVELOPE {
            // Not one empty line: let the parser say what it thinks of such a file.
            Head::parse(&bytes)?;
            return Err(Damage::Envelope.into());
        }
    }
}

#[cfg(test)]
mod tests;
