//! Content on its way into the queue: in memory while small, in an unnamed file when large.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::deliver::Content;
use crate::disk::Disk;
use crate::spool::Spool;

/// How much of a message is held in memory.
const MAX_IN_MEMORY: usize = 256 * 1024;
/// Bytes moved at a time.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Content without its envelope, which is known only at the end.
pub(crate) struct Draft {
    memory: Vec<u8>,
    /// Holds everything once it is more than memory should.
    file: Option<File>,
    length: u64,
    hasher: crc32fast::Hasher,
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self { memory: Vec::new(), file: None, length: 0, hasher: crc32fast::Hasher::new() }
    }

    /// Length in octets.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// CRC-32 of all bytes so far.
    pub(crate) fn checksum(&self) -> u32 {
        self.hasher.clone().finalize()
    }

    pub(crate) fn write(&mut self, bytes: &[u8], spool: &Spool) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > MAX_IN_MEMORY {
            let file = spool.unnamed_file()?;
            file.write_all_at(&self.memory, 0)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &self.file {
            Some(file) => file.write_all_at(bytes, self.length)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// What is in memory; `None` for what went to a file.
    pub(crate) fn into_content(self) -> Option<Content> {
        self.file.is_none().then(|| Content::from(self.memory))
    }

    /// Writes everything to `target`, from `start` on.
    pub(crate) fn copy_to(&self, disk: &dyn Disk, target: &File, start: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return disk.write_at(target, &self.memory, start) };
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        while done < self.length {
            let wanted = usize::try_from(self.length - done).unwrap_or(CHUNK).min(CHUNK);
            file.read_exact_at(&mut buffer[..wanted], done)?;
            disk.write_at(target, &buffer[..wanted], start + done)?;
            done += wanted as u64;
        }
        Ok(())
    }
}
