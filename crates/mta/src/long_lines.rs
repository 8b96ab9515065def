//! Lines of our own users' mail that are longer than mail may have them: put right before anybody signs (RFC 5322 §2.1.1).
//!
//! Other servers break such lines where they please, Postfix every 998 octets (`smtp_line_length_limit`), and every
//! signature over them. What is encoded decodes to the same and passes everywhere; signed is what is sent.

use std::io::{self, Read};
use std::sync::Arc;

use kings_mail::header;
use kings_mail::id::TraceId;
use kings_mail::seven_bit::{self, MAX_LINE};
use kings_store::{Incoming, Store, StoreError};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::core::{blocking, for_each_piece};

/// Largest message that is converted: ours; it is held in memory several times over, and whoever has more than this to send
/// attaches it.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;
/// Messages that are converted at once; others wait for their turn.
const TURNS: usize = 2;

/// Converts what is handed in. Clones share the turns.
#[derive(Clone, Debug)]
pub(crate) struct Shortener(Arc<Semaphore>);

impl Default for Shortener {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TURNS)))
    }
}

/// Why long lines stay.
#[derive(Debug, thiserror::Error)]
enum Stays {
    #[error("the message is larger than {MAX_MESSAGE} octets")]
    TooLarge,
    #[error("its writer has signed it already")]
    Signed,
    #[error(transparent)]
    Unconvertible(#[from] seven_bit::Unconvertible),
    #[error("there is no blank to fold a header at, or nobody reads the line")]
    NoPlace,
}

impl Shortener {
    /// The message without lines that are too long. Where they have to stay it goes as it came, and the log says why.
    pub(crate) async fn shorten(
        &self,
        store: &Store,
        content: Incoming,
        id: TraceId,
    ) -> Result<Incoming, StoreError> {
        let is_in_memory = content.len() == content.head().len() as u64;
        if is_in_memory && !seven_bit::has_long_line(content.head()) {
            return Ok(content);
        }
        // Never closed: without a turn the message goes as it came.
        let Ok(_turn) = self.0.acquire().await else { return Ok(content) };
        let store = store.clone();
        blocking(move || {
            if !has_long_line(content.reader())? {
                return Ok(content);
            }
            let short = match short(&content) {
                Ok(short) => short,
                Err(why) => {
                    warn!(%id, %why, "a line over {MAX_LINE} octets leaves as it is: other servers may break it, and its signature");
                    return Ok(content);
                }
            };
            let mut copy = store.begin()?;
            copy.write(&short)?;
            info!(%id, "lines over {MAX_LINE} octets are encoded or folded");
            Ok(copy)
        })
        .await
    }
}

/// Blocking: a message may lie on disk.
fn has_long_line(reader: impl Read) -> io::Result<bool> {
    let (mut length, mut is_long) = (0_usize, false);
    for_each_piece(reader, |piece| {
        for line in piece.split_inclusive(|&octet| octet == b'\n') {
            length += line.len();
            let is_whole = line.ends_with(b"\n");
            // With its CRLF, as submitted lines have it.
            is_long |= length > MAX_LINE + if is_whole { 2 } else { 0 };
            if is_whole {
                length = 0;
            }
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(is_long)
}

fn short(content: &Incoming) -> Result<Vec<u8>, Stays> {
    if content.len() > MAX_MESSAGE {
        return Err(Stays::TooLarge);
    }
    if header::first(content.head(), "DKIM-Signature").is_some() {
        return Err(Stays::Signed);
    }
    let mut message = Vec::new();
    content.reader().read_to_end(&mut message).map_err(|_| Stays::NoPlace)?;
    let short = seven_bit::to_short_lines(&message)?;
    if seven_bit::has_long_line(&short) { Err(Stays::NoPlace) } else { Ok(short) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_without_its_end_however_it_is_read() {
        let text = |octets: usize| [b"x\r\n".to_vec(), vec![b'y'; octets], b"\r\nz\r\n".to_vec()].concat();
        for (octets, expected) in [(998, false), (999, true), (200_000, true)] {
            assert_eq!(has_long_line(&text(octets)[..]).ok(), Some(expected), "{octets}");
            assert_eq!(seven_bit::has_long_line(&text(octets)), expected, "{octets}");
        }
    }
}
