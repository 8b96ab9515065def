//! Mailboxes: Maildir, UIDs, flags, change notices.
//!
//! The files of a Maildir++ as Dovecot lays it out are the truth. Dovecot, mutt or a backup may work on the same
//! Maildir while Kings does: its locks, side files and UIDs are shared. What has no place there, the numbers of changes,
//! stands in one small file of our own beside them and in an index that can be lost.
//! All calls block; the flow crates run them on threads for that.

mod account;
mod acl;
mod admit;
mod annotations;
mod change;
mod clock;
mod compressed;
mod concordance;
mod copy;
mod deliver;
mod dir;
mod dotlock;
mod error;
mod expunged;
mod flags;
mod folder;
mod history;
mod identity;
mod incoming;
mod index;
mod keywords;
mod learnt;
mod line_ends;
mod list_file;
mod look;
mod mailbox;
mod mailbox_file;
mod maildir;
mod message;
mod name;
mod notices;
mod partial;
mod pop3;
mod publish;
mod quota;
mod root;
mod roster;
mod rules;
mod scan;
mod settings;
mod settled;
mod shared_sync;
mod space;
mod state;
mod store;
mod subscriptions;
mod sync;
mod texts;
mod trial;
mod uidlist;
mod validity;
mod verify;
mod watch;
mod words;

pub use account::{Account, Listed};
pub use acl::{Acl, Grant, GrantChange, Identifier, Somebody};
pub use annotations::{Annotations, MAX_ANNOTATION};
pub use change::Stored;
pub use copy::{Appended, Copied};
pub use deliver::{Delivery, Destination};
pub use error::StoreError;
pub use expunged::Expunged;
pub use flags::{FlagChange, FlagKinds, Flags, Keyword, MAX_KEYWORD, SystemFlag};
pub use identity::Identity;
pub use incoming::{HEAD_OCTETS, Incoming};
pub use index::sheets::Sheet;
pub use keywords::MAX_KEYWORDS;
pub use learnt::{Learnt, Memory};
pub use mailbox::{MAX_MESSAGE_FILE, Mailbox};
pub use message::{Content, Message, ModSeq, Snapshot, Uid, UidValidity};
pub use name::{MAX_FOLDER_NAME, MAX_LEVELS, MailboxName, Naming, SpecialUse};
pub use notices::{AccountEvent, AccountNews, Notices};
pub use pop3::Pop3Facts;
pub use quota::{Quota, QuotaLimits, Usage};
pub use settings::{BadLayout, Layout, Settings};
pub use store::Store;
pub use texts::{Hint, Texts, Wanted};
pub use trial::{try_side_files, try_words};
pub use verify::{Fault, Finding, How, Verified};
