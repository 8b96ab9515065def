//! A message file in `tmp`, written whole and synced, that has not been given its place yet.

use std::fs::File;
use std::io::{self, Read, Write};

use kings_mutants::planted;

use crate::compressed;
use crate::dir::{Dir, Stamp};
use crate::dotlock::set_mtime;
use crate::error::StoreError;
use crate::incoming::{CHUNK, Incoming};
use crate::line_ends::LineEnds;
use crate::maildir::{self, NameMaker};
use crate::scan::Measured;

/// The file goes when this is dropped without [`place`](Self::place).
#[derive(Debug)]
pub(crate) struct Partial<'a> {
    tmp: &'a Dir,
    unique: String,
    measured: Measured,
    placed: bool,
}

impl<'a> Partial<'a> {
    /// Writes `trace` and the message, sets the date where it is not now, and syncs the file.
    ///
    /// A failed sync is not tried again: Linux reports it once and forgets the pages, so a second one
    /// would lie. The file is dropped instead.
    pub(crate) fn write(
        tmp: &'a Dir,
        names: &NameMaker,
        (trace, incoming): (&[u8], &Incoming),
        date: Option<i64>,
    ) -> Result<Self, StoreError> {
        if trace.is_empty() && compressed::looks_compressed(incoming.head()) {
            return Err(StoreError::LooksCompressed);
        }
        let (mut partial, mut file) = Self::begin(tmp, names)?;
        incoming.write_behind(trace, &mut file)?;
        let mut ends = LineEnds::default();
        ends.feed(trace);
        partial.measured.disk = trace.len() as u64 + incoming.len();
        partial.measured.crlf = trace.len() as u64 + ends.bare() + incoming.crlf_len();
        partial.finish(&file, date)?;
        Ok(partial)
    }

    /// Makes a second name for the file `name` in `from`, or a second file where the file system cannot.
    ///
    /// `crlf` is what is known of the size of its CRLF form.
    pub(crate) fn link(
        tmp: &'a Dir,
        names: &NameMaker,
        from: (&Dir, &[u8]),
        crlf: u64,
    ) -> Result<Self, StoreError> {
        let unique = names.unique()?;
        match from.0.link(from.1, tmp, unique.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Expunged),
            Err(error) if cannot_link(&error) => return Self::copy(tmp, names, from),
            Err(error) => return Err(error.into()),
        }
        let mut partial = Self::named(tmp, unique);
        let mut file = tmp.open_file(&partial.unique)?;
        // Who delivered the file may not have synced it; for one of ours this costs nothing.
        file.sync_data()?;
        let stamp = Stamp::of(&rustix::fs::fstat(&file)?);
        let told = maildir::size_field(maildir::split(from.1).0, b'S');
        let disk = match told {
            Some(told) if told == stamp.size() => told,
            told if compressed::is_compressed(&mut file)? => match told {
                Some(told) => told,
                None => compressed::measure(file)?.0,
            },
            _ => stamp.size(),
        };
        partial.measured = Measured { disk, crlf, date: stamp.seconds(), counted: false };
        Ok(partial)
    }

    fn copy(tmp: &'a Dir, names: &NameMaker, (dir, name): (&Dir, &[u8])) -> Result<Self, StoreError> {
        let mut source = dir.open_file(name)?;
        let date = Stamp::of(&rustix::fs::fstat(&source)?).seconds();
        let (mut partial, mut file) = Self::begin(tmp, names)?;
        copy(&mut source, &mut file)?;
        let (disk, crlf) = compressed::measure(tmp.open_file(&partial.unique)?)?;
        (partial.measured.disk, partial.measured.crlf) = (disk, crlf);
        partial.finish(&file, Some(date))?;
        Ok(partial)
    }

    fn begin(tmp: &'a Dir, names: &NameMaker) -> Result<(Self, File), StoreError> {
        let unique = names.unique()?;
        let file = tmp.create_file(&unique)?;
        Ok((Self::named(tmp, unique), file))
    }

    fn named(tmp: &'a Dir, unique: String) -> Self {
        let measured = Measured { disk: 0, crlf: 0, date: 0, counted: false };
        Self { tmp, unique, measured, placed: false }
    }

    /// Writing has dated the file; to set the same date again would change the inode once more for nothing.
    fn finish(&mut self, file: &File, date: Option<i64>) -> io::Result<()> {
        self.measured.date = match date {
            Some(date) => set_mtime(file, date).map(|()| date)?,
            None => Stamp::of(&rustix::fs::fstat(file)?).seconds(),
        };
        if planted("message-not-synced") || planted("message-renamed-before-its-sync") {
            return Ok(());
        }
        match file.sync_all() {
            Err(_) if planted("failed-sync-tried-again") => file.sync_all(),
            result => result,
        }
    }

    /// The name it will have, without flags.
    pub(crate) fn base(&self) -> Vec<u8> {
        maildir::sized(&self.unique, self.measured.disk, self.measured.crlf)
    }

    /// Its sizes and date.
    pub(crate) fn measured(&self) -> Measured {
        self.measured
    }

    /// Moves it to `name` in `to`. The caller syncs `to`.
    pub(crate) fn place(mut self, to: &Dir, name: &[u8]) -> io::Result<()> {
        self.tmp.rename(self.unique.as_bytes(), to, name)?;
        self.placed = true;
        if planted("message-renamed-before-its-sync") {
            to.open_file(name)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is swept from tmp after 36 hours.
        if !self.placed
            && let Err(error) = self.tmp.unlink(&self.unique)
        {
            tracing::warn!(%error, "cannot remove an unfinished message");
        }
    }
}

/// Another file system, too many links, or a kernel that lets only owners link.
fn cannot_link(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP))
}

fn copy(mut from: impl Read, to: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}
