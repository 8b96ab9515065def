//! The message on its way in: gathered piece by piece, kept until its fate is decided.

use std::io::{self, Read};
use std::sync::Arc;

use kings_net::Room;
use kings_smtp::reply::Reply;
use kings_store::{Incoming, Store, StoreError};
use tracing::{error, warn};

use crate::core::{Core, blocking, for_each_piece};

/// Up to here a piece stays in memory and writing it cannot block.
const IN_MEMORY: u64 = kings_store::HEAD_OCTETS as u64;

/// At most one message; a failure to keep it is remembered until its end.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    message: Option<Result<Incoming, StoreError>>,
    /// What the message may take up, until it is discarded: it is in memory until its final reply.
    room: Option<Room>,
}

impl Intake {
    /// Makes room for a message, or says why not.
    pub(crate) async fn begin(&mut self, core: &Core) -> Reply {
        self.discard();
        let Some(room) = core.memory.room() else {
            warn!("a message is put off: memory is short");
            return Reply::NO_MEMORY;
        };
        self.room = Some(room);
        let store = &core.store;
        if let Some(incoming) = store.begin_at_once() {
            self.message = Some(Ok(incoming));
            return Reply::START_MAIL;
        }
        let store = store.clone();
        match blocking(move || store.begin()).await {
            Ok(incoming) => {
                self.message = Some(Ok(incoming));
                Reply::START_MAIL
            }
            Err(error) => {
                self.discard();
                refusal(&error)
            }
        }
    }

    /// Keeps a piece. After a failure pieces are dropped: the client must be heard to the end.
    pub(crate) async fn content(&mut self, piece: &[u8]) {
        let Some(Ok(mut incoming)) = self.message.take_if(|message| message.is_ok()) else { return };
        let kept = if incoming.len() + piece.len() as u64 <= IN_MEMORY {
            incoming.write(piece).map(|()| incoming)
        } else {
            let piece = piece.to_vec();
            blocking(move || incoming.write(&piece).map(|()| incoming)).await
        };
        self.message = Some(kept);
    }

    /// Octets kept so far.
    pub(crate) fn len(&self) -> u64 {
        self.message.as_ref().and_then(|message| message.as_ref().ok()).map_or(0, Incoming::len)
    }

    pub(crate) fn discard(&mut self) {
        (self.message, self.room) = (None, None);
    }

    /// The whole message, or the reply that refuses it.
    pub(crate) fn take(&mut self) -> Result<Incoming, Reply> {
        match self.message.take() {
            Some(kept) => kept.map_err(|error| refusal(&error)),
            None => Err(Reply::TRY_LATER),
        }
    }
}

/// The message with another head in the place of its own.
pub(crate) async fn with_head(
    store: &Store,
    content: Incoming,
    head: Vec<u8>,
) -> Result<Incoming, StoreError> {
    if head == content.head() {
        return Ok(content);
    }
    let store = store.clone();
    blocking(move || copy_with_head(&store, &content, &head)).await
}

/// The same of a message that others hold as well.
pub(crate) async fn shared_with_head(
    store: &Store,
    content: Arc<Incoming>,
    head: Vec<u8>,
) -> Result<Arc<Incoming>, StoreError> {
    let store = store.clone();
    blocking(move || copy_with_head(&store, &content, &head).map(Arc::new)).await
}

fn copy_with_head(store: &Store, content: &Incoming, head: &[u8]) -> Result<Incoming, StoreError> {
    let mut copy = store.begin()?;
    copy.write(head)?;
    let mut reader = content.reader();
    io::copy(&mut reader.by_ref().take(content.head().len() as u64), &mut io::sink())?;
    for_each_piece(reader, |piece| copy.write(piece))?;
    Ok(copy)
}

/// The only place where a failure of the store becomes a reply to a sender. Nothing here is the sender's
/// fault, so all of it is worth another try; the cause stays in our log.
pub(crate) fn refusal(error: &StoreError) -> Reply {
    if matches!(error, StoreError::OverQuota) {
        return Reply::MAILBOX_FULL;
    }
    error!(%error, "cannot store a message");
    match error {
        StoreError::NoSpace => Reply::NO_SPACE,
        StoreError::OverQuota => Reply::MAILBOX_FULL,
        StoreError::NoSuchMailbox
        | StoreError::AlreadyExists
        | StoreError::BadName
        | StoreError::UseTaken
        | StoreError::TooManyAnnotations
        | StoreError::CannotDeleteInbox
        | StoreError::Expunged
        | StoreError::BadKeyword
        | StoreError::TooManyKeywords
        | StoreError::TooLarge
        | StoreError::LooksCompressed
        | StoreError::Locked
        | StoreError::Io(_) => Reply::TRY_LATER,
    }
}
