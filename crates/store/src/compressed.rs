//! Message files that Dovecot's mail compression wrote (its `zlib` and `mail-compress` plugins): read as what was compressed.
//!
//! Dovecot tells them by their first octets, and so do we: no message begins like that. `S=` in the name of such a file is
//! the size of the message before it was compressed. A file that begins so and cannot be expanded is shown as it stands.

use std::fs::File;
use std::io::{self, Read, Seek};

use crate::line_ends;

/// Dovecot's own framing of LZ4: these octets, the largest size of a block, and each block behind its size.
const LZ4_MAGIC: &[u8] = b"Dovecot-LZ4\x0d\x2a\x9b\xc5";
/// Octets that tell a form.
const MAGIC_OCTETS: usize = LZ4_MAGIC.len();
/// Most octets that a message is expanded to: five times the usual limit of messages. A larger one is shown as it stands.
const MAX_EXPANDED: u64 = 256 << 20;
/// Dovecot writes blocks of 64 KB; one that claims far more is damaged.
const MAX_LZ4_BLOCK: usize = 1 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    Bzip2,
    Zstd,
    Lz4,
}

impl Form {
    /// What the first octets of a file tell.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Some(Self::Bzip2),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ if head.starts_with(LZ4_MAGIC) => Some(Self::Lz4),
            _ => None,
        }
    }

    fn expander<'a>(self, source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(source)),
            Self::Zstd => {
                Box::new(ruzstd::decoding::StreamingDecoder::new(source).map_err(io::Error::other)?)
            }
            Self::Lz4 => Box::new(Lz4Blocks::begin(source)?),
        })
    }
}

/// Whether a message that begins with `head` would be taken for a compressed file when it is read.
pub(crate) fn looks_compressed(head: &[u8]) -> bool {
    Form::of(head).is_some()
}

/// The message in the octets of a file.
pub(crate) fn expand(octets: Vec<u8>) -> Vec<u8> {
    let Some(form) = Form::of(&octets) else { return octets };
    let mut message = Vec::new();
    let read = form
        .expander(octets.as_slice())
        .and_then(|expander| expander.take(MAX_EXPANDED + 1).read_to_end(&mut message));
    match read {
        Ok(count) if count as u64 <= MAX_EXPANDED => message,
        Ok(_) => octets,
        Err(error) => {
            tracing::warn!(?form, %error, "a compressed message is damaged, and is shown as it stands");
            octets
        }
    }
}

/// Whether a file is compressed. Its place is at the start again afterwards.
pub(crate) fn is_compressed(file: &mut File) -> io::Result<bool> {
    form_of(file).map(|form| form.is_some())
}

fn form_of(file: &mut File) -> io::Result<Option<Form>> {
    let mut head = Vec::with_capacity(MAGIC_OCTETS);
    file.take(MAGIC_OCTETS as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(Form::of(&head))
}

/// Octets of the message in a file, and octets of its CRLF form: those of what [`expand`] gives.
pub(crate) fn measure(file: File) -> io::Result<(u64, u64)> {
    examine(file).map(|(sizes, _)| sizes)
}

/// The same, and whether a file that is compressed can be expanded.
pub(crate) fn examine(mut file: File) -> io::Result<((u64, u64), bool)> {
    let form = form_of(&mut file)?;
    if let Some(form) = form {
        let expander = form.expander(&file);
        let measured = expander.and_then(|expander| line_ends::measure(expander.take(MAX_EXPANDED + 1)));
        match measured {
            Ok(sizes) if sizes.0 <= MAX_EXPANDED => return Ok((sizes, true)),
            _ => file.rewind()?,
        }
    }
    Ok((line_ends::measure(file)?, form.is_none()))
}

/// Reads Dovecot's blocks of LZ4.
struct Lz4Blocks<R> {
    source: R,
    largest: usize,
    block: Vec<u8>,
    read: usize,
}

impl<R: Read> Lz4Blocks<R> {
    fn begin(mut source: R) -> io::Result<Self> {
        let mut head = [0; LZ4_MAGIC.len() + 4];
        source.read_exact(&mut head)?;
        let largest = size(head[LZ4_MAGIC.len()..].try_into().map_err(io::Error::other)?);
        if largest > MAX_LZ4_BLOCK {
            return Err(io::Error::other("the blocks are too large"));
        }
        Ok(Self { source, largest, block: Vec::new(), read: 0 })
    }

    /// The next block; empty at the end.
    fn next(&mut self) -> io::Result<()> {
        let mut head = Vec::with_capacity(4);
        self.read = 0;
        self.block.clear();
        if self.source.by_ref().take(4).read_to_end(&mut head)? == 0 {
            return Ok(());
        }
        let packed = size(head.as_slice().try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?);
        if packed == 0 || packed > lz4_flex::block::get_maximum_output_size(self.largest) {
            return Err(io::Error::other("the size of a block is wrong"));
        }
        let mut block = vec![0; packed];
        self.source.read_exact(&mut block)?;
        self.block = lz4_flex::block::decompress(&block, self.largest).map_err(io::Error::other)?;
        Ok(())
    }
}

fn size(octets: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(octets)).unwrap_or(usize::MAX)
}

impl<R: Read> Read for Lz4Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() {
            self.next()?;
        }
        let count = (&self.block[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Write;

    use super::*;

    const MESSAGE: &[u8] = b"Subject: hi\n\nOne line\r\nand another\n";

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(message: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(message: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(message, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn lz4(message: &[u8]) -> Vec<u8> {
        let mut file = [LZ4_MAGIC, &65_536_u32.to_be_bytes()].concat();
        for block in message.chunks(65_536) {
            let packed = lz4_flex::block::compress(block);
            file.extend(u32::try_from(packed.len()).unwrap().to_be_bytes());
            file.extend(packed);
        }
        file
    }

    fn measured(octets: &[u8]) -> (u64, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        file.rewind().unwrap();
        measure(file).unwrap()
    }

    /// Measuring and reading must agree about every file.
    fn agree(octets: Vec<u8>) -> Vec<u8> {
        let sizes = measured(&octets);
        let message = expand(octets);
        let crlf = line_ends::to_crlf(message.clone()).len() as u64;
        assert_eq!(sizes, (message.len() as u64, crlf));
        message
    }

    #[test]
    fn every_form_is_read_as_the_message_in_it() {
        let long: Vec<u8> = MESSAGE.iter().copied().cycle().take(300_000).collect();
        for message in [MESSAGE, &long] {
            for (name, file) in [
                ("gzip", gzip(message)),
                ("bzip2", bzip2(message)),
                ("zstd", zstd(message)),
                ("lz4", lz4(message)),
                ("two members", [gzip(&message[..9]), gzip(&message[9..])].concat()),
            ] {
                assert!(looks_compressed(&file), "{name}");
                assert!(agree(file) == message, "{name}");
            }
        }
    }

    #[test]
    fn a_damaged_file_is_shown_as_it_stands() {
        let long: Vec<u8> = MESSAGE.iter().copied().cycle().take(10_000).collect();
        for whole in [gzip(&long), bzip2(&long), zstd(&long), lz4(&long)] {
            for length in [MAGIC_OCTETS, whole.len() / 2, whole.len() - 1] {
                let cut = whole[..length].to_vec();
                let shown = agree(cut.clone());
                assert!(shown == cut || long.starts_with(&shown), "{length} of {}", whole.len());
            }
            let mut flipped = whole.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 0x55;
            agree(flipped);
        }
    }

    #[test]
    fn what_only_begins_alike_is_a_message() {
        for head in ["BZh", "BZh9 is a name", "Dovecot-LZ4 is fine", "\x1f", "", "("] {
            assert!(!looks_compressed(head.as_bytes()), "{head}");
            assert_eq!(agree(head.as_bytes().to_vec()), head.as_bytes());
        }
    }

    #[test]
    fn blocks_that_claim_too_much_are_damage() {
        for (largest, packed) in [(u32::MAX, 1), (65_536, u32::MAX), (65_536, 0)] {
            let file = [LZ4_MAGIC, &largest.to_be_bytes(), &packed.to_be_bytes(), b"x"].concat();
            assert_eq!(agree(file.clone()), file);
        }
    }
}
