//! Responses as values: every sentence and every code we say to a client, and their wire form.
//!
//! Texts are `&'static str`, so nothing a peer sent can get into them.

mod rights;
mod status;

use std::borrow::Cow;
use std::io::Write;
use std::num::NonZeroU32;

use kings_mail::rights::Rights;

use crate::command::{Enabled, StatusItem};
use crate::flag::Flag;
use crate::partial::Partial;
use crate::sequence::{ModSeq, SequenceNumber, SequenceSet, Uid};
use crate::text::{self, put};

pub use status::{Code, Condition, Tagged};

/// An attribute of a mailbox in LIST (RFC 3501 §7.2.2, RFC 3348 §4, RFC 6154 §2, RFC 5258 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the RFCs, word for word")]
pub enum Attribute {
    NoSelect,
    NonExistent,
    HasChildren,
    HasNoChildren,
    Subscribed,
    Archive,
    Drafts,
    Junk,
    Sent,
    Trash,
}

impl Attribute {
    /// What a mailbox can be for.
    pub const SPECIAL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSelect => "\\Noselect",
            Self::NonExistent => "\\NonExistent",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Subscribed => "\\Subscribed",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

/// What a search with RETURN tells: numbers, or UIDs. What is `None` was not asked for, or there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedSearch {
    /// That of the command.
    pub tag: Vec<u8>,
    /// Where, with its UIDVALIDITY, if that is not the selected mailbox alone (RFC 7377 §2.1). Unicode.
    pub mailbox: Option<(String, u32)>,
    /// Whether they are UIDs.
    pub uid: bool,
    /// The lowest.
    pub min: Option<NonZeroU32>,
    /// The highest.
    pub max: Option<NonZeroU32>,
    /// All of them.
    pub all: Option<SequenceSet>,
    /// So many of them; none of them in the range, without a set (RFC 9394 §3.1).
    pub partial: Option<(Partial, Option<SequenceSet>)>,
    /// How many.
    pub count: Option<usize>,
    /// When any of those that are told changed last (RFC 7162 §3.1.10).
    pub modseq: Option<ModSeq>,
}

impl ExtendedSearch {
    /// A tag holds neither quote nor backslash (RFC 3501 §9).
    fn write_to(&self, out: &mut Vec<u8>, enabled: Enabled) {
        put!(out, "* ESEARCH (TAG \"{}\"", String::from_utf8_lossy(&self.tag));
        if let Some((mailbox, validity)) = &self.mailbox {
            out.extend_from_slice(b" MAILBOX ");
            text::mailbox(out, mailbox, enabled);
            put!(out, " UIDVALIDITY {validity}");
        }
        out.push(b')');
        if self.uid {
            out.extend_from_slice(b" UID");
        }
        if let Some(min) = self.min {
            put!(out, " MIN {min}");
        }
        if let Some(max) = self.max {
            put!(out, " MAX {max}");
        }
        if let Some(all) = &self.all {
            put!(out, " ALL {all}");
        }
        match &self.partial {
            Some((range, Some(set))) => put!(out, " PARTIAL ({range} {set})"),
            Some((range, None)) => put!(out, " PARTIAL ({range} NIL)"),
            None => {}
        }
        if let Some(count) = self.count {
            put!(out, " COUNT {count}");
        }
        if let Some(modseq) = self.modseq {
            put!(out, " MODSEQ {modseq}");
        }
    }
}

/// What STATUS tells of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// A number.
    Number(u64),
    /// A name of letters and digits (RFC 8474 §4.3).
    Id(String),
}

/// An entry of METADATA and its value, where it has one (RFC 5464 §3).
pub type Annotation = (String, Option<Vec<u8>>);

/// What the names of mailboxes of other users begin with, as in Dovecot's documents; the owner's address follows.
pub const OTHERS_PREFIX: &str = "shared/";
/// Between the levels of those names, whatever stands between the levels of one's own: an address has dots in it.
pub const OTHERS_SEPARATOR: char = '/';

/// How the names of mailboxes are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Between the levels of one's own names.
    pub separator: char,
    /// Those begin with `INBOX` and a separator; otherwise with nothing.
    pub below_inbox: bool,
    /// Accounts share mailboxes with each other (RFC 4314): there is one of other users as well, [`OTHERS_PREFIX`].
    pub shares: bool,
}

impl Namespaces {
    fn write_to(self, out: &mut Vec<u8>) {
        let separator = Escaped(self.separator);
        let prefix = if self.below_inbox { format!("INBOX{separator}") } else { String::new() };
        put!(out, "* NAMESPACE ((\"{prefix}\" \"{separator}\")) ");
        if self.shares {
            put!(out, "((\"{OTHERS_PREFIX}\" \"{OTHERS_SEPARATOR}\")) NIL");
        } else {
            out.extend_from_slice(b"NIL NIL");
        }
    }
}

/// The name of the one quota root there is, as Dovecot calls it.
pub const QUOTA_ROOT: &str = "User quota";

/// One resource of a quota root (RFC 9208 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaResource {
    /// `STORAGE` or `MESSAGE` (RFC 9208 §5).
    pub name: &'static str,
    /// What is there, in its unit.
    pub used: u64,
    /// Most there may be.
    pub limit: u64,
}

/// An untagged response, apart from the message data of FETCH: that is [`fetch`](crate::fetch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// `* OK [code] text`, or NO, or BAD.
    Status(Tagged),
    /// `* BYE text`: the connection closes (RFC 3501 §7.1.5).
    Bye(&'static str),
    /// `* CAPABILITY ...` (RFC 3501 §7.2.1)
    Capability(Vec<Cow<'static, str>>),
    /// `* LIST` or `* LSUB` (RFC 3501 §7.2.2, RFC 3501 §7.2.3).
    List {
        /// `LSUB` instead.
        lsub: bool,
        /// What kind of mailbox.
        attributes: Vec<Attribute>,
        /// Between the levels of a name.
        separator: char,
        /// Unicode; empty for the root.
        mailbox: String,
        /// What names below it are chosen by, where the client asks (RFC 5258 §3.5).
        child_info: Vec<&'static str>,
        /// Its name before, in news of a rename (RFC 5465 §5.4).
        old_name: Option<String>,
    },
    /// `* STATUS` (RFC 3501 §7.2.4).
    MailboxStatus {
        /// Unicode.
        mailbox: String,
        /// Items with their values.
        items: Vec<(StatusItem, StatusValue)>,
    },
    /// `* SEARCH` with numbers or UIDs (RFC 3501 §7.2.5).
    Search {
        /// Them.
        found: Vec<u32>,
        /// When any of them changed last, where that was searched for (RFC 7162 §3.1.6).
        modseq: Option<ModSeq>,
        /// It is `* SORT` (RFC 5256 §4).
        sorted: bool,
    },
    /// `* THREAD` with the trees as they are written (RFC 5256 §4).
    Thread(Vec<u8>),
    /// `* ESEARCH` (RFC 4731 §3.1).
    ExtendedSearch(ExtendedSearch),
    /// `* FLAGS`: the flags that make sense here (RFC 3501 §7.2.6).
    Flags(Vec<Flag>),
    /// `* n EXISTS`
    Exists(usize),
    /// `* n RECENT`
    Recent(usize),
    /// `* n EXPUNGE`
    Expunge(SequenceNumber),
    /// `* VANISHED uids`: removals, for clients that have enabled QRESYNC (RFC 7162 §3.2.10).
    Vanished {
        /// `(EARLIER)`: before this session, or this view, began; message numbers stay.
        earlier: bool,
        /// Of the messages that are gone.
        uids: SequenceSet,
    },
    /// `* n FETCH (UID u FLAGS (...))`: news about flags (RFC 3501 §7.4.2).
    FetchFlags {
        /// Its number.
        number: SequenceNumber,
        /// Its UID, always told: clients that keep a cache need it.
        uid: Uid,
        /// Its flags; `None` where the client knows them and hears of the change alone.
        flags: Option<Vec<Flag>>,
        /// `\Recent` in this session.
        recent: bool,
        /// When it changed, for a client that wants to know (RFC 7162 §3.1).
        modseq: Option<ModSeq>,
    },
    /// `* ID (...)` (RFC 2971 §3.2): the name alone; a version would tell attackers more than users.
    Id,
    /// `* ENABLED`: what this command has enabled (RFC 5161 §3.2).
    Enabled(Enabled),
    /// `* QUOTAROOT`: the one quota root of a mailbox, [`QUOTA_ROOT`] (RFC 9208 §4.2.2).
    QuotaRoot {
        /// The mailbox.
        mailbox: String,
        /// It is somebody else's, who pays for it: then none is told.
        is_others: bool,
    },
    /// `* QUOTA` of [`QUOTA_ROOT`] (RFC 9208 §4.2.1).
    Quota(Vec<QuotaResource>),
    /// `* ACL` with identifiers and their rights (RFC 4314 §3.6).
    Acl {
        /// The mailbox.
        mailbox: String,
        /// A minus before an identifier takes rights away.
        entries: Vec<(String, Rights)>,
    },
    /// `* LISTRIGHTS` (RFC 4314 §3.7): every right can be given or not, but for those that one has in any case.
    ListRights {
        /// The mailbox.
        mailbox: String,
        /// Whose rights.
        identifier: String,
        /// Those that it has in any case.
        required: Rights,
    },
    /// `* MYRIGHTS` (RFC 4314 §3.8)
    MyRights {
        /// The mailbox.
        mailbox: String,
        /// What this client may do with it.
        rights: Rights,
    },
    /// `* METADATA` with entries and their values (RFC 5464 §4.4.1).
    Metadata {
        /// `None` for the server.
        mailbox: Option<String>,
        /// NIL for those that are not there.
        entries: Vec<Annotation>,
    },
    /// `* METADATA` with the names of entries that have changed (RFC 5464 §4.4.2).
    MetadataChanged {
        /// `None` for the server.
        mailbox: Option<String>,
        /// Them.
        entries: Vec<String>,
    },
    /// `* NAMESPACE` (RFC 2342 §5)
    Namespace(Namespaces),
    /// `+ text`: send on (RFC 3501 §7.5).
    Continue(&'static str),
    /// `+ base64` of a SASL challenge (RFC 3501 §6.2.2).
    Challenge(Vec<u8>),
}

impl Response {
    /// The same as SORT says it.
    #[must_use]
    pub fn as_sorted(self) -> Self {
        match self {
            Self::Search { found, modseq, .. } => Self::Search { found, modseq, sorted: true },
            other => other,
        }
    }

    /// The same of one of the mailboxes that ESEARCH searches (RFC 7377 §2.1).
    #[must_use]
    pub fn of_mailbox(self, name: String, validity: u32) -> Self {
        match self {
            Self::ExtendedSearch(found) => {
                Self::ExtendedSearch(ExtendedSearch { mailbox: Some((name, validity)), ..found })
            }
            other => other,
        }
    }

    /// Whether a client that has enabled this hears no such thing (RFC 9051 Appendix E, RFC 9586 §3.4).
    pub(crate) fn is_obsolete(&self, enabled: Enabled) -> bool {
        match self {
            Self::Recent(_) => enabled.rev2,
            Self::Status(Tagged { code: Some(Code::Unseen(_)), .. }) => enabled.rev2 || enabled.uid_only,
            _ => false,
        }
    }

    fn write_list(&self, out: &mut Vec<u8>, enabled: Enabled) {
        let Self::List { lsub, attributes, separator, mailbox, child_info, old_name } = self else { return };
        let name = if *lsub { "LSUB" } else { "LIST" };
        let attributes: Vec<&str> = attributes.iter().map(|attribute| attribute.as_str()).collect();
        put!(out, "* {name} ({}) \"{}\" ", attributes.join(" "), Escaped(*separator));
        text::mailbox(out, mailbox, enabled);
        if !child_info.is_empty() {
            put!(out, " (\"CHILDINFO\" (\"{}\"))", child_info.join("\" \""));
        }
        if let Some(old_name) = old_name {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            text::mailbox(out, old_name, enabled);
            out.extend_from_slice(b"))");
        }
    }

    /// Appends the wire form, as a client that has enabled this hears it.
    pub fn write_to(&self, out: &mut Vec<u8>, enabled: Enabled) {
        match self {
            Self::Status(status) => return status.write_to(b"*", out),
            Self::Continue(text) => put!(out, "+ {text}"),
            Self::Challenge(challenge) => put!(out, "+ {}", kings_sasl::encode(challenge)),
            Self::Bye(text) => put!(out, "* BYE {text}"),
            Self::Enabled(now) => {
                out.extend_from_slice(b"* ENABLED");
                for word in now.words() {
                    put!(out, " {word}");
                }
            }
            Self::Capability(words) => put!(out, "* CAPABILITY {}", words.join(" ")),
            Self::List { .. } => self.write_list(out, enabled),
            Self::MailboxStatus { mailbox, items } => {
                out.extend_from_slice(b"* STATUS ");
                text::mailbox(out, mailbox, enabled);
                out.extend_from_slice(b" (");
                text::spaced(out, items, |out, (item, value)| match value {
                    StatusValue::Number(number) => put!(out, "{} {number}", item.as_str()),
                    StatusValue::Id(id) => put!(out, "{} ({id})", item.as_str()),
                });
                out.push(b')');
            }
            Self::Search { found, modseq, sorted } => {
                out.extend_from_slice(if *sorted { b"* SORT".as_slice() } else { b"* SEARCH" });
                for number in found {
                    put!(out, " {number}");
                }
                if let Some(modseq) = modseq {
                    put!(out, " (MODSEQ {modseq})");
                }
            }
            Self::Thread(threads) => {
                out.extend_from_slice(b"* THREAD");
                if !threads.is_empty() {
                    out.push(b' ');
                    out.extend_from_slice(threads);
                }
            }
            Self::ExtendedSearch(found) => found.write_to(out, enabled),
            Self::Flags(listed) => {
                out.extend_from_slice(b"* FLAGS (");
                flags(out, listed, None);
                out.push(b')');
            }
            Self::Exists(count) => put!(out, "* {count} EXISTS"),
            Self::Recent(count) => put!(out, "* {count} RECENT"),
            Self::Expunge(number) => put!(out, "* {number} EXPUNGE"),
            Self::Vanished { earlier, uids } => {
                put!(out, "* VANISHED {}{uids}", if *earlier { "(EARLIER) " } else { "" });
            }
            Self::FetchFlags { number, uid, flags: listed, recent, modseq } => {
                let mut items = Vec::new();
                if enabled.uid_only {
                    put!(out, "* {uid} UIDFETCH (");
                } else {
                    put!(out, "* {number} FETCH (");
                    items.push(format!("UID {uid}").into_bytes());
                }
                if let Some(listed) = listed {
                    let mut item = b"FLAGS (".to_vec();
                    flags(&mut item, listed, Some("\\Recent").filter(|_| *recent && !enabled.rev2));
                    item.push(b')');
                    items.push(item);
                }
                items.extend(modseq.map(|modseq| format!("MODSEQ ({modseq})").into_bytes()));
                out.extend(items.join(&b' '));
                out.push(b')');
            }
            Self::QuotaRoot { mailbox, is_others } => {
                out.extend_from_slice(b"* QUOTAROOT ");
                text::mailbox(out, mailbox, enabled);
                if !is_others {
                    put!(out, " \"{QUOTA_ROOT}\"");
                }
            }
            Self::Quota(resources) => {
                put!(out, "* QUOTA \"{QUOTA_ROOT}\" (");
                text::spaced(out, resources, |out, QuotaResource { name, used, limit }| {
                    put!(out, "{name} {used} {limit}");
                });
                out.push(b')');
            }
            Self::Acl { mailbox, entries } => rights::write_acl(out, (mailbox, entries), enabled),
            Self::ListRights { mailbox, identifier, required } => {
                rights::write_list(out, mailbox, (identifier, *required), enabled);
            }
            Self::MyRights { mailbox, rights } => rights::write_mine(out, mailbox, *rights, enabled),
            Self::Metadata { mailbox, entries } => metadata(out, mailbox.as_deref(), entries, enabled),
            Self::MetadataChanged { mailbox, entries } => {
                metadata_changed(out, mailbox.as_deref(), entries, enabled);
            }
            Self::Id => out.extend_from_slice(b"* ID (\"name\" \"Kings\")"),
            Self::Namespace(namespaces) => namespaces.write_to(out),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The empty name is the server (RFC 5464 §4.4.1).
fn metadata(out: &mut Vec<u8>, mailbox: Option<&str>, entries: &[Annotation], enabled: Enabled) {
    out.extend_from_slice(b"* METADATA ");
    text::mailbox(out, mailbox.unwrap_or_default(), enabled);
    out.extend_from_slice(b" (");
    text::spaced(out, entries, |out, (entry, value)| {
        text::astring(out, entry);
        out.push(b' ');
        text::value(out, value.as_deref());
    });
    out.push(b')');
}

/// The names alone (RFC 5464 §4.4.2).
fn metadata_changed(out: &mut Vec<u8>, mailbox: Option<&str>, entries: &[String], enabled: Enabled) {
    out.extend_from_slice(b"* METADATA ");
    text::mailbox(out, mailbox.unwrap_or_default(), enabled);
    for entry in entries {
        out.push(b' ');
        text::astring(out, entry);
    }
}

/// Appends flags with spaces between them, and one more word that is no [`Flag`].
pub(crate) fn flags(out: &mut Vec<u8>, listed: &[Flag], more: Option<&'static str>) {
    text::spaced(out, listed.iter().map(Flag::as_str).chain(more), |out, flag| put!(out, "{flag}"));
}

/// A separator inside quotes: the backslash needs another one before it.
struct Escaped(char);

impl std::fmt::Display for Escaped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if matches!(self.0, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{}", self.0)
    }
}
