//! Reports as they travel: gzip, as the RFCs want it, and zip, as some send it; bounded against bombs.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;

/// Longest report, unpacked, in octets: ours; a hundred thousand rows of XML.
pub const MAX_UNPACKED: usize = 64 * 1024 * 1024;

/// The content of an attachment cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    /// Damaged, or cut short.
    #[error("the archive is damaged")]
    Damaged,
    /// Over the limit once unpacked.
    #[error("the archive is too large when unpacked")]
    TooLarge,
    /// A zip file whose first entry is encrypted or packed in an unknown way.
    #[error("the archive is packed in a way we cannot read")]
    Unsupported,
}

/// Packs a report (RFC 1952); the same for the same content.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

/// Unpacks gzip and the first file of zip, told by their first octets; anything else is content already.
pub fn unpack(content: &[u8], limit: usize) -> Result<Vec<u8>, BadArchive> {
    match content {
        [0x1f, 0x8b, ..] => bounded(MultiGzDecoder::new(content), limit),
        [b'P', b'K', 3, 4, ..] => unzip(content, limit),
        plain if plain.len() > limit => Err(BadArchive::TooLarge),
        plain => Ok(plain.to_vec()),
    }
}

fn bounded(reader: impl Read, limit: usize) -> Result<Vec<u8>, BadArchive> {
    let mut out = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut out).map_err(|_| BadArchive::Damaged)?;
    if out.len() > limit { Err(BadArchive::TooLarge) } else { Ok(out) }
}

/// The first entry of a zip file, from its local header (APPNOTE.TXT §4.3.7). A size of zero there means that it
/// stands behind the data, which deflate does not need.
fn unzip(content: &[u8], limit: usize) -> Result<Vec<u8>, BadArchive> {
    let number = |at: usize| {
        content.get(at..at + 2).map(|octets| usize::from(u16::from_le_bytes([octets[0], octets[1]])))
    };
    let size =
        content.get(18..22).map(|octets| u32::from_le_bytes([octets[0], octets[1], octets[2], octets[3]]));
    let (Some(flags), Some(method), Some(size)) = (number(6), number(8), size) else {
        return Err(BadArchive::Damaged);
    };
    let (Some(name), Some(extra)) = (number(26), number(28)) else { return Err(BadArchive::Damaged) };
    let data = content.get(30 + name + extra..).ok_or(BadArchive::Damaged)?;
    let (is_encrypted, size_is_behind) = (flags & 1 != 0, flags & 8 != 0);
    match method {
        8 if !is_encrypted => bounded(DeflateDecoder::new(data), limit),
        0 if !is_encrypted && !size_is_behind => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let stored = data.get(..size).ok_or(BadArchive::Damaged)?;
            bounded(stored, limit)
        }
        _ => Err(BadArchive::Unsupported),
    }
}
