//! A message on its way in: small ones in memory, larger ones in a file without a name.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::StoreError;
use crate::line_ends::LineEnds;
use crate::root::Root;

/// Octets kept in memory; what comes after them goes to a file.
pub const HEAD_OCTETS: usize = 256 * 1024;
/// Octets read at once from the file.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A message being received. Dropping it leaves nothing on disk.
///
/// The octets are kept as they come: line ends are the business of whoever received them.
pub struct Incoming {
    root: Arc<Root>,
    head: Vec<u8>,
    tail: Option<File>,
    len: u64,
    ends: LineEnds,
}

impl Incoming {
    pub(crate) fn new(root: Arc<Root>) -> Self {
        Self { root, head: Vec::new(), tail: None, len: 0, ends: LineEnds::default() }
    }

    /// Adds octets at the end. After an error the message is incomplete and must be given up.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let room = HEAD_OCTETS - self.head.len();
        let (head, tail) = chunk.split_at(room.min(chunk.len()));
        self.head.extend_from_slice(head);
        if !tail.is_empty() {
            let at = self.len + head.len() as u64 - HEAD_OCTETS as u64;
            self.tail()?.write_all_at(tail, at)?;
        }
        self.len += chunk.len() as u64;
        self.ends.feed(chunk);
        Ok(())
    }

    fn tail(&mut self) -> Result<&File, StoreError> {
        let file = match self.tail.take() {
            Some(file) => file,
            None => unnamed_file(&self.root)?,
        };
        Ok(self.tail.insert(file))
    }

    /// Octets so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first [`HEAD_OCTETS`] octets, or all of a smaller message: header checks need no more.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Reads everything from the start, as often as wanted and from several threads at once.
    pub fn reader(&self) -> impl Read + Send + '_ {
        self.head.as_slice().chain(Tail { file: self.tail.as_ref(), at: 0 })
    }

    /// Writes `trace`, then everything: a small message in one call.
    pub(crate) fn write_behind(&self, trace: &[u8], file: &mut File) -> io::Result<()> {
        let mut parts = [IoSlice::new(trace), IoSlice::new(&self.head)];
        let mut rest = &mut parts[..];
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) if rest.iter().all(|part| part.is_empty()) => break,
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.tail.is_some() {
            io::copy(&mut Tail { file: self.tail.as_ref(), at: 0 }, file)?;
        }
        Ok(())
    }

    /// Octets of the CRLF form.
    pub(crate) fn crlf_len(&self) -> u64 {
        self.len + self.ends.bare()
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incoming({} octets)", self.len)
    }
}

/// An own place in the shared file.
struct Tail<'a> {
    file: Option<&'a File>,
    at: u64,
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = self.file else { return Ok(0) };
        let count = file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A file that is gone when it is closed.
fn unnamed_file(root: &Root) -> io::Result<File> {
    if let Some(file) = root.dir.create_unnamed()? {
        return Ok(file);
    }
    // Not every file system has O_TMPFILE. The leading dot keeps the name out of any account's way.
    let name = format!(".kings-incoming-{}", root.names.unique()?);
    let file = root.dir.create_file(&name)?;
    root.dir.unlink(&name)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn any_size_in_any_pieces_reads_back() {
        let temp = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(temp.path(), 0).unwrap());
        let head = HEAD_OCTETS;
        for (total, piece) in
            [(0, 1), (10, 3), (head, 1000), (head + 1, head), (3 * head, 7001), (head + 5, 1)]
        {
            let text: Vec<u8> = b"line\r\nbare\n".iter().copied().cycle().take(total).collect();
            let mut incoming = Incoming::new(root.clone());
            text.chunks(piece).for_each(|chunk| incoming.write(chunk).unwrap());
            assert_eq!(incoming.len(), total as u64);
            assert_eq!(incoming.head(), &text[..total.min(head)]);
            for _ in 0..2 {
                let mut back = Vec::new();
                incoming.reader().read_to_end(&mut back).unwrap();
                assert!(back == text, "{total} in pieces of {piece}");
            }
            assert_eq!(incoming.crlf_len(), crate::line_ends::to_crlf(text).len() as u64);
        }
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "nothing has a name");
    }
}
