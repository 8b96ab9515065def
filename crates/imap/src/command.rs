//! Commands: what a client can say, where it may say it, and what it may hear about changes meanwhile.

mod acl;
mod append;
mod create;
mod enable;
pub mod fetch;
mod list;
mod metadata;
mod multisearch;
mod notify;
pub mod search;
mod select;
pub mod sort;
mod status;
mod store;
mod table;

pub use acl::{Acl, RightsChange};
pub use append::{Append, Arriving, Place, Replaced, Step, Stretch};
pub(crate) use append::{SoFar, append_head, next_stretch};
pub use create::Create;
pub use enable::Enabled;
pub use list::{List, ListOptions};
pub(crate) use metadata::takes_binary;
pub use metadata::{Depth, GetMetadata, SetMetadata};
pub use multisearch::MultiSearch;
pub use notify::{Candidate, Events, Group, Mailboxes, Notify, SelectedNews, Wanted};
pub use select::{Resync, Select};
pub use status::StatusItem;
pub use store::{Store, StoreMode};
pub(crate) use table::{Legal, Row, row};

use kings_sasl::{Credentials, Mechanism};

use crate::cursor::{Cursor, SyntaxError};
use crate::sequence::SequenceSet;
use crate::view::Reports;
use fetch::Fetch;
use search::Search;
use sort::{Sort, Thread};

/// A whole command line, parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Answered by the session itself.
    Own(Own),
    /// Answered by whoever has the mailboxes.
    Request(Request),
    /// APPEND or REPLACE of what is here already (RFC 4469 §3): one with octets of messages never becomes a whole line.
    Append(Stretch),
}

/// Commands that need no mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// RFC 3501 §6.1.1
    Capability,
    /// RFC 3501 §6.1.3
    Logout,
    /// RFC 2971 §3.1; what the client says of itself is not kept.
    Id,
    /// RFC 5161 §3.1
    Enable(Enabled),
    /// RFC 3501 §6.2.1
    StartTls,
    /// RFC 3501 §6.2.2; the initial response of RFC 4959 §3, still in base64.
    Authenticate {
        /// `None` for one we do not have.
        mechanism: Option<Mechanism>,
        /// Base64; `=` stands for an empty one.
        initial: Option<Vec<u8>>,
    },
    /// RFC 3501 §6.2.3
    Login(Credentials),
    /// By DEFLATE (RFC 4978 §3).
    Compress,
    /// RFC 2342 §5
    Namespace,
    /// RFC 2177 §3
    Idle,
}

/// Commands about mailboxes and messages. Mailbox names are decoded, and not judged otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nobody is logged in any more (RFC 8437 §3).
    Unauthenticate,
    /// NOOP and CHECK: only the news counts (RFC 3501 §6.1.2, RFC 3501 §6.4.1).
    Noop,
    /// SELECT or EXAMINE.
    Select(Select),
    /// RFC 3501 §6.3.3
    Create(Create),
    /// RFC 3501 §6.3.4
    Delete(String),
    /// RFC 3501 §6.3.5
    Rename {
        /// The name now.
        from: String,
        /// The name afterwards.
        to: String,
    },
    /// RFC 3501 §6.3.6
    Subscribe(String),
    /// RFC 3501 §6.3.7
    Unsubscribe(String),
    /// LIST (RFC 3501 §6.3.8) and LSUB (RFC 3501 §6.3.9).
    List(List),
    /// RFC 3501 §6.3.10
    Status {
        /// Which one.
        mailbox: String,
        /// What to tell, in the order asked.
        items: Vec<StatusItem>,
    },
    /// GETQUOTA: of the quota root of this name (RFC 9208 §4.1.1).
    Quota(String),
    /// GETQUOTAROOT: of the quota root of this mailbox (RFC 9208 §4.1.2).
    QuotaRoot(String),
    /// Who may do what with mailboxes (RFC 4314 §3).
    Acl(Acl),
    /// RFC 5464 §4.2
    GetMetadata(GetMetadata),
    /// RFC 5464 §4.3
    SetMetadata(SetMetadata),
    /// RFC 5465 §3.1
    Notify(Notify),
    /// CLOSE: expunge without a word, then deselect (RFC 3501 §6.4.2).
    Close,
    /// Deselect and nothing else (RFC 3691 §2).
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with its set (RFC 4315 §2.1).
    Expunge(Option<SequenceSet>),
    /// RFC 3501 §6.4.4
    Search(Search),
    /// RFC 7377 §2.1
    MultiSearch(MultiSearch),
    /// RFC 5256 §3
    Sort(Sort),
    /// RFC 5256 §3
    Thread(Thread),
    /// RFC 3501 §6.4.5
    Fetch(Fetch),
    /// RFC 3501 §6.4.6
    Store(Store),
    /// COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851 §3.1).
    Copy(Copy),
}

/// What COPY and MOVE share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Whether the set holds UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Where to.
    pub mailbox: String,
    /// MOVE: the originals go (RFC 6851 §3.1).
    pub removes: bool,
}

/// What a command changes and tells of by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// New flags.
    pub flags: bool,
    /// Messages that are gone.
    pub removals: bool,
}

/// A command with its tag and its row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Tagged {
    pub(crate) tag: Vec<u8>,
    pub(crate) row: &'static Row,
    pub(crate) command: Result<Command, SyntaxError>,
}

/// Parses one command without its final CRLF; literals stand in place (`{3}`, CRLF, three octets).
///
/// Never panics and needs no more memory than a small multiple of the command: made for fuzzing too.
pub fn parse(command: &[u8]) -> Result<Command, SyntaxError> {
    parse_from(command, Enabled::default())
}

/// The same from a client that has enabled something.
pub fn parse_from(command: &[u8], enabled: Enabled) -> Result<Command, SyntaxError> {
    read(command, enabled)?.command
}

/// As [`parse`], but keeps tag and verb where only the arguments are wrong.
pub(crate) fn read(command: &[u8], enabled: Enabled) -> Result<Tagged, SyntaxError> {
    let mut cursor = Cursor::new(command).of(enabled);
    let tag = cursor.tag()?.to_vec();
    cursor.space()?;
    let uid = cursor.eat_word("UID ");
    let verb = cursor.word().map_err(|_| SyntaxError::UnknownCommand)?;
    let row = row(&verb, uid).ok_or(SyntaxError::UnknownCommand)?;
    let command = (row.parse)(&mut cursor, uid).and_then(|command| cursor.end().map(|()| command));
    Ok(Tagged { tag, row, command })
}

/// The tag of a command that cannot be parsed otherwise, for the answer; `*` where there is none.
pub(crate) fn tag_of(command: &[u8]) -> Vec<u8> {
    let mut cursor = Cursor::new(command);
    match cursor.tag() {
        Ok(tag) if cursor.is_at_end() || cursor.eat(b' ') => tag.to_vec(),
        _ => b"*".to_vec(),
    }
}

impl Request {
    /// What a client shows that it understands by this command (RFC 7162 §3.1).
    pub(crate) fn enables(&self) -> Enabled {
        let condstore = match self {
            Self::Select(select) => select.condstore || select.resync.is_some(),
            Self::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
            Self::List(list) => list.status.contains(&StatusItem::HighestModSeq),
            Self::Fetch(fetch) => fetch.changed_since.is_some() || fetch.items.contains(&fetch::Item::ModSeq),
            Self::Store(store) => store.unchanged_since.is_some(),
            Self::Search(search)
            | Self::MultiSearch(MultiSearch { search, .. })
            | Self::Sort(Sort { search, .. })
            | Self::Thread(Thread { search, .. }) => search.modseq,
            _ => false,
        };
        Enabled { condstore, ..Enabled::default() }
    }

    /// Whether only a client that has enabled QRESYNC may say this (RFC 7162 §3.2.5, RFC 7162 §3.2.6).
    pub(crate) fn needs_qresync(&self) -> bool {
        match self {
            Self::Select(select) => select.resync.is_some(),
            Self::Fetch(fetch) => fetch.vanished,
            _ => false,
        }
    }

    /// Whether it is about rights, which matter where mailboxes are shared.
    pub(crate) fn is_about_rights(&self) -> bool {
        match self {
            Self::Acl(_) => true,
            Self::List(list) => list.my_rights,
            _ => false,
        }
    }

    /// Whether it names messages by their numbers, which are not there with UIDONLY (RFC 9586 §3.1).
    pub(crate) fn uses_numbers(&self) -> bool {
        match self {
            Self::Fetch(Fetch { uid, .. })
            | Self::Store(Store { uid, .. })
            | Self::Copy(Copy { uid, .. }) => !uid,
            Self::Search(search)
            | Self::MultiSearch(MultiSearch { search, .. })
            | Self::Sort(Sort { search, .. })
            | Self::Thread(Thread { search, .. }) => {
                !search.uid || search.key.as_ref().is_some_and(search::Key::has_numbers)
            }
            Self::Select(select) => select.resync.as_ref().is_some_and(|resync| resync.matches.is_some()),
            _ => false,
        }
    }

    /// What the client has done itself and hears of in the answer, whatever news it wants (RFC 5465 §3.1).
    pub fn shows(&self) -> Shown {
        Shown {
            flags: matches!(self, Self::Store(_) | Self::Fetch(_)),
            removals: matches!(self, Self::Expunge(_) | Self::Copy(Copy { removes: true, .. })),
        }
    }

    /// What news may stand in the answer; RFC 3501 §7.4.1 forbids EXPUNGE during FETCH, STORE and SEARCH, and RFC 5256 §3
    /// during SORT and THREAD: message numbers would change under the client. Their UID forms are other commands.
    pub fn reports(&self) -> Reports {
        match self {
            Self::Unauthenticate | Self::Select(_) | Self::Close | Self::Unselect => Reports::Nothing,
            Self::Fetch(Fetch { uid: false, .. })
            | Self::Store(Store { uid: false, .. })
            | Self::Search(Search { uid: false, .. })
            | Self::Sort(Sort { search: Search { uid: false, .. }, .. })
            | Self::Thread(Thread { search: Search { uid: false, .. }, .. }) => Reports::AllButExpunge,
            // Always of UIDs, but what it looks for may be numbers.
            Self::MultiSearch(MultiSearch { search: Search { key: Some(key), .. }, .. })
                if key.has_numbers() =>
            {
                Reports::AllButExpunge
            }
            Self::Noop
            | Self::Create(_)
            | Self::Delete(_)
            | Self::Rename { .. }
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::List(_)
            | Self::Status { .. }
            | Self::Quota(_)
            | Self::QuotaRoot(_)
            | Self::Acl(_)
            | Self::GetMetadata(_)
            | Self::SetMetadata(_)
            | Self::Notify(_)
            | Self::Expunge(_)
            | Self::Search(_)
            | Self::MultiSearch(_)
            | Self::Sort(_)
            | Self::Thread(_)
            | Self::Fetch(_)
            | Self::Store(_)
            | Self::Copy(_) => Reports::Everything,
        }
    }
}
