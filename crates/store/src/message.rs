//! What a mailbox shows of its messages: UIDs, one immutable view, and content.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use crate::flags::{Flags, Keyword, SystemFlag};

/// A message's name for good, within one UIDVALIDITY (RFC 9051 §2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub NonZeroU32);

/// Changes when UIDs start to mean other messages; it only rises (RFC 9051 §2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UidValidity(pub NonZeroU32);

impl Uid {
    /// The UID of this number, `None` for zero.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When something changed last, counted by the changes of its mailbox (RFC 7162 §3.1.1). It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModSeq(u64);

impl ModSeq {
    /// Before every change.
    pub const ZERO: Self = Self(0);
    /// The highest that IMAP can tell: 63 bits (RFC 7162 §3.1).
    pub const MAX: Self = Self(i64::MAX as u64);

    /// This number, or the highest there is where it is above.
    pub fn new(number: u64) -> Self {
        Self(number).min(Self::MAX)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Self {
        self.plus(1)
    }

    pub(crate) fn plus(self, more: u64) -> Self {
        Self::new(self.0.saturating_add(more))
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message as a mailbox lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID, on disk before anyone sees it.
    pub uid: Uid,
    /// Flags and keywords, as the file's name says.
    pub flags: Flags,
    /// When it arrived, in seconds since 1970 (the file's modification time).
    pub internal_date: i64,
    /// Octets of the CRLF form.
    pub size: u64,
    /// Whether nobody has selected the mailbox since it arrived.
    pub arrived_new: bool,
    /// When it arrived or its flags changed last.
    pub modseq: ModSeq,
}

/// A mailbox at one moment. It never changes; a change makes another snapshot.
#[derive(Debug)]
pub struct Snapshot {
    /// Which messages the UIDs mean.
    pub uid_validity: UidValidity,
    /// No message has this UID or a higher one yet.
    pub uid_next: Uid,
    /// Rises by one with every snapshot of this mailbox while it is open.
    pub generation: u64,
    /// By rising UID.
    pub messages: Vec<Message>,
    /// Every keyword the mailbox knows, whether or not a message carries it now.
    pub keywords: Vec<Keyword>,
    /// When anything changed last: no message has a higher one.
    pub highest_modseq: ModSeq,
    /// See [`first_unseen`](Self::first_unseen), once somebody asked.
    pub(crate) unseen: OnceLock<Option<usize>>,
}

impl Snapshot {
    /// The place of the first message that nobody has read.
    pub fn first_unseen(&self) -> Option<usize> {
        let is_unseen = |message: &Message| !message.flags.contains(SystemFlag::Seen);
        *self.unseen.get_or_init(|| self.messages.iter().position(is_unseen))
    }

    /// The message of this UID.
    pub fn message(&self, uid: Uid) -> Option<&Message> {
        let place = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        self.messages.get(place)
    }

    /// Whether a client would see any difference to `other`.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        self.uid_validity == other.uid_validity
            && self.uid_next == other.uid_next
            && self.keywords == other.keywords
            && self.highest_modseq == other.highest_modseq
            && self.messages == other.messages
    }
}

/// The octets of one message in CRLF form.
#[derive(Clone)]
pub struct Content(Arc<[u8]>);

impl Content {
    /// Takes the bytes of a file, whatever its line ends are.
    pub(crate) fn from_file(bytes: Vec<u8>) -> Self {
        Self(crate::line_ends::to_crlf(bytes).into())
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} octets)", self.0.len())
    }
}
