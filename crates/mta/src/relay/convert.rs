//! The content of one attempt for hosts without 8BITMIME: 7-bit, and signed anew.

use std::io::{self, Read};
use std::sync::Arc;

use kings_mail::seven_bit::{self, Unconvertible};
use kings_queue::Content;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cargo::Cargo;
use crate::core::blocking;
use crate::signing::{CannotSign, Signing};

/// Octets in a unit of [`ROOM`].
const UNIT: u64 = 64 * 1024;
/// Units of content that are converted or on their way converted at once, all attempts together: it is held in memory,
/// and a host that needs it is rare.
const ROOM: u32 = 1024;

/// Converts what leaves (RFC 6152 §3).
pub(super) struct Converter {
    signing: Signing,
    room: Arc<Semaphore>,
}

/// A converted content; its room is free when it is dropped.
pub(super) struct Converted {
    pub(super) cargo: Cargo,
    _room: OwnedSemaphorePermit,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConvertError {
    #[error(transparent)]
    Unconvertible(#[from] Unconvertible),
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Sign(#[from] CannotSign),
    #[error("the queue is shutting down")]
    Closed,
}

impl Converter {
    pub(super) fn new(signing: &Signing) -> Self {
        Self { signing: signing.clone(), room: Arc::new(Semaphore::new(ROOM as usize)) }
    }

    /// The content as 7-bit MIME. What we had signed or sealed ourselves we sign and seal again as it leaves now
    /// (RFC 6376 §5.3); signatures of others stay as they are, and say that their signers sent something else.
    pub(super) async fn convert(&self, content: &Content) -> Result<Converted, ConvertError> {
        let units = u32::try_from(content.len() / UNIT + 1).unwrap_or(ROOM).min(ROOM);
        let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| ConvertError::Closed)?;
        let (signing, content) = (self.signing.clone(), content.clone());
        let converted = blocking(move || {
            let mut message = Vec::new();
            content.reader().read_to_end(&mut message)?;
            let (removed, rest) = signing.remove_own(message);
            let converted = seven_bit::to_seven_bit(&rest)?;
            let mut signed = signing.renew(&removed, &converted)?.into_bytes();
            signed.extend_from_slice(&converted);
            Ok::<_, ConvertError>(signed)
        });
        let cargo = Cargo::gather(Content::from(converted.await?)).await?;
        Ok(Converted { cargo, _room: room })
    }
}
