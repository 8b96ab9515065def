//! What was learnt from messages: from the index, or else from the messages themselves, and kept for the next one who asks.

use kings_imap::fetch::Content;
use kings_imap::learn::{VERSION, learn};
use kings_store::{Learnt, Mailbox, Memory, Sheet, StoreError, Uid};

/// Reads sheets of one mailbox. Every call blocks.
#[derive(Debug)]
pub(super) struct Learner {
    mailbox: Mailbox,
    memory: Option<Memory>,
}

impl Learner {
    /// For one command: it holds a file open.
    pub(super) fn new(mailbox: &Mailbox) -> Self {
        Self { memory: mailbox.memory(VERSION), mailbox: mailbox.clone() }
    }

    /// For so few octets of messages that to read them is quicker than to ask the index.
    pub(super) fn without_memory(mailbox: &Mailbox) -> Self {
        Self { memory: None, mailbox: mailbox.clone() }
    }

    /// Hands what is kept to `take`, with its place among `uids`, which rise.
    pub(super) fn recall(&mut self, sheet: Sheet, uids: &[Uid], take: impl FnMut(usize, &[u8])) {
        if let Some(memory) = &mut self.memory {
            memory.recall(sheet, uids, take);
        }
    }

    /// Reads a message, and keeps what it says.
    pub(super) fn read(&mut self, sheet: Sheet, uid: Uid) -> Result<Vec<u8>, StoreError> {
        let content = self.mailbox.read(uid)?;
        let sheets = learn(&Content::new(content.as_ref()));
        let place = Sheet::ALL.iter().position(|known| *known == sheet);
        let wanted = place.map(|place| sheets[place].clone()).unwrap_or_default();
        if let Some(memory) = &mut self.memory {
            memory.learn(Learnt { uid, sheets });
        }
        Ok(wanted)
    }
}
