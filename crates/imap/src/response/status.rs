//! How a command went: condition, code and text, and every result that has a name.

use std::borrow::Cow;
use std::io::Write;

use super::flags;
use crate::command::Events;
use crate::flag::Flag;
use crate::limits::MAX_URL;
use crate::sequence::{ModSeq, SequenceNumber, SequenceSet, Uid};
use crate::text::put;

/// How a command went (RFC 3501 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Done.
    Ok,
    /// Not done, and it could not be.
    No,
    /// Not understood, or not allowed here.
    Bad,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// What a program may read out of a response, in brackets (RFC 3501 §7.1, RFC 5530 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// The operator should read this.
    Alert,
    /// A name that is taken.
    AlreadyExists,
    /// NOTIFY of something that there is no news of here; the events there are (RFC 5465 §3.1).
    BadEvent,
    /// APPEND gave these UIDs, in the order of its messages, under this UIDVALIDITY (RFC 4315 §3, RFC 3502 §6.3.11).
    AppendUid(u32, SequenceSet),
    /// Login name or password wrong; never which.
    AuthenticationFailed,
    /// A part of CATENATE that is not there, as the client named it (RFC 4469 §5).
    BadUrl(Vec<u8>),
    /// The character sets that SEARCH has always (RFC 3501 §6.4.4).
    BadCharset,
    /// It can never be done: the name or the operation is refused for good.
    Cannot,
    /// What the server can, in words.
    Capability(Vec<Cow<'static, str>>),
    /// COMPRESS for the second time (RFC 4978 §3).
    CompressionActive,
    /// COPY or MOVE: UIDVALIDITY of the target, UIDs there and here (RFC 4315 §3).
    CopyUid {
        /// UIDVALIDITY of the target.
        validity: u32,
        /// The originals.
        from: SequenceSet,
        /// The copies, in the same order.
        to: SequenceSet,
    },
    /// The mailbox that was selected is so no more; what follows is of the one that is being selected
    /// (RFC 7162 §3.2.11).
    Closed,
    /// Some messages are gone that this client has not been told of yet.
    ExpungeIssued,
    /// When anything in the mailbox changed last (RFC 7162 §3.1.2.1).
    HighestModSeq(ModSeq),
    /// RFC 5530 §3: somebody else is at it; try again later.
    InUse,
    /// More than a limit of ours allows.
    Limit,
    /// SETMETADATA: there is too much already (RFC 5464 §4.3).
    MetadataTooMany,
    /// SETMETADATA: there are no private entries of this mailbox (RFC 5464 §4.3).
    MetadataNoPrivate,
    /// SETMETADATA: the longest value there can be (RFC 5464 §4.3).
    MetadataMaxSize(u64),
    /// GETMETADATA: the length of the longest value that was not told (RFC 5464 §4.2.1).
    MetadataLongEntries(u64),
    /// Not for this user (RFC 5530 §3).
    NoPerm,
    /// The mailbox's own name (RFC 8474 §4.1, RFC 8474 §4.2).
    MailboxId(String),
    /// STORE left these alone: they have changed since (RFC 7162 §3.1.3).
    Modified(SequenceSet),
    /// No such mailbox.
    NonExistent,
    /// More news than are told (RFC 5465 §5.8).
    NotificationOverflow,
    /// No room for the message.
    OverQuota,
    /// The flags that a client may change for good, and whether it may make up keywords.
    PermanentFlags(Vec<Flag>, bool),
    /// Login in clear is not allowed here.
    PrivacyRequired,
    /// EXAMINE, or a mailbox nobody may write.
    ReadOnly,
    /// SELECT.
    ReadWrite,
    /// A fault on our side that an operator must look at.
    ServerBug,
    /// The message is larger than this server takes (RFC 7889 §4; RFC 4469 §5).
    TooBig,
    /// COPY or APPEND to a mailbox that could be created.
    TryCreate,
    /// With UIDONLY there are no message numbers (RFC 9586 §3.1).
    UidRequired,
    /// The UID that the next message gets at the least.
    UidNext(Uid),
    /// UIDVALIDITY.
    UidValidity(u32),
    /// CREATE named a use that the mailbox cannot have (RFC 6154 §3).
    UseAttr,
    /// A transfer encoding that nobody knows here, or octets that cannot be kept (RFC 3516 §4.3).
    UnknownCte,
    /// The first message without `\Seen`.
    Unseen(SequenceNumber),
    /// A fault that goes away by itself.
    Unavailable,
}

impl Code {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::BadEvent => put!(out, "BADEVENT ({})", Events::WORDS),
            Self::AppendUid(validity, uid) => put!(out, "APPENDUID {validity} {uid}"),
            Self::BadUrl(url) => bad_url(url, out),
            Self::Capability(words) => put!(out, "CAPABILITY {}", words.join(" ")),
            Self::CopyUid { validity, from, to } => put!(out, "COPYUID {validity} {from} {to}"),
            Self::PermanentFlags(listed, open) => {
                out.extend_from_slice(b"PERMANENTFLAGS (");
                flags(out, listed, if *open { Some("\\*") } else { None });
                out.push(b')');
            }
            Self::HighestModSeq(modseq) => put!(out, "HIGHESTMODSEQ {modseq}"),
            Self::MetadataMaxSize(size) => put!(out, "METADATA MAXSIZE {size}"),
            Self::MetadataLongEntries(size) => put!(out, "METADATA LONGENTRIES {size}"),
            Self::MailboxId(id) => put!(out, "MAILBOXID ({id})"),
            Self::Modified(set) => put!(out, "MODIFIED {set}"),
            Self::UidNext(uid) => put!(out, "UIDNEXT {uid}"),
            Self::UidValidity(validity) => put!(out, "UIDVALIDITY {validity}"),
            Self::Unseen(number) => put!(out, "UNSEEN {number}"),
            plain => out.extend_from_slice(plain.word().as_bytes()),
        }
    }

    /// The codes that are one word, and the first word of the others.
    fn word(&self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AppendUid(..) => "APPENDUID",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::BadUrl(_) => "BADURL",
            Self::BadEvent => "BADEVENT",
            Self::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
            Self::Cannot => "CANNOT",
            Self::Capability(_) => "CAPABILITY",
            Self::CompressionActive => "COMPRESSIONACTIVE",
            Self::CopyUid { .. } => "COPYUID",
            Self::Closed => "CLOSED",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HighestModSeq(_) => "HIGHESTMODSEQ",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::MailboxId(_) => "MAILBOXID",
            Self::MetadataTooMany => "METADATA TOOMANY",
            Self::MetadataNoPrivate => "METADATA NOPRIVATE",
            Self::MetadataMaxSize(_) | Self::MetadataLongEntries(_) => "METADATA",
            Self::NoPerm => "NOPERM",
            Self::Modified(_) => "MODIFIED",
            Self::NonExistent => "NONEXISTENT",
            Self::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Self::OverQuota => "OVERQUOTA",
            Self::PermanentFlags(..) => "PERMANENTFLAGS",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::UidNext(_) => "UIDNEXT",
            Self::UidRequired => "UIDREQUIRED",
            Self::UidValidity(_) => "UIDVALIDITY",
            Self::UseAttr => "USEATTR",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::Unseen(_) => "UNSEEN",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// RFC 4469 §5 `url-resp-text` is plain text up to the bracket: whatever else a client wrote comes as `%5D`.
fn bad_url(url: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"BADURL ");
    for octet in url {
        if octet.is_ascii_graphic() && *octet != b']' {
            out.push(*octet);
        } else {
            put!(out, "%{octet:02X}");
        }
    }
}

/// The result of a command; the session puts the tag in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// How it went.
    pub condition: Condition,
    /// For programs.
    pub code: Option<Code>,
    /// For people.
    pub text: &'static str,
}

impl Tagged {
    /// The command is done.
    pub const DONE: Self = Self::ok("Done");
    /// SELECT or another command named a mailbox that is not there.
    pub const NO_MAILBOX: Self = Self::no(Code::NonExistent, "No such mailbox");
    /// COPY or APPEND to a mailbox that could be created (RFC 3501 §7.1).
    pub const TRY_CREATE: Self = Self::no(Code::TryCreate, "No such mailbox");
    /// CREATE or RENAME to a name that is taken.
    pub const MAILBOX_EXISTS: Self = Self::no(Code::AlreadyExists, "There is a mailbox of this name");
    /// COMPRESS once more (RFC 4978 §3).
    pub const COMPRESSION_ACTIVE: Self = Self::no(Code::CompressionActive, "DEFLATE is active already");
    /// CREATE with a use that no mailbox can have here (RFC 6154 §3).
    pub const NO_SUCH_USE: Self = Self::no(Code::UseAttr, "No mailbox can have this use");
    /// CREATE with a use that another mailbox was made for.
    pub const USE_TAKEN: Self = Self::no(Code::UseAttr, "Another mailbox has this use");
    /// BINARY of a part in an encoding that is not known here.
    pub const UNKNOWN_CTE: Self = Self::no(Code::UnknownCte, "Unknown transfer encoding");
    /// A message that would be taken for one that Dovecot compressed.
    pub const LOOKS_COMPRESSED: Self = Self::no(Code::Cannot, "The message begins as a compressed file does");
    /// A message with NUL, which no other command could show (RFC 3501 §9 `CHAR8`).
    pub const HAS_NUL: Self = Self::no(Code::Cannot, "The message contains NUL");
    /// The same of a `literal8`, which may hold it (RFC 3516 §4.4).
    pub const BINARY_HAS_NUL: Self = Self::no(Code::UnknownCte, "A message with NUL cannot be stored");
    /// A message number with UIDONLY (RFC 9586 §3.1).
    pub const UID_REQUIRED: Self =
        Self::with(Condition::Bad, Code::UidRequired, "There are no message numbers with UIDONLY");
    /// SETMETADATA with more than a mailbox can have.
    pub const TOO_MUCH_METADATA: Self = Self::no(Code::MetadataTooMany, "Too much is noted already");
    /// SETMETADATA of what the operator says (RFC 5464 §6.2.1).
    pub const SERVER_METADATA: Self = Self::no(Code::NoPerm, "Shared entries of the server are not yours");
    /// The mailbox may be looked up, and not this (RFC 4314 §4, RFC 5530 §3).
    pub const NO_PERMISSION: Self = Self::no(Code::NoPerm, "You may not do this with the mailbox");
    /// A command about rights, where everybody has their own mailboxes alone.
    pub const NOTHING_SHARED: Self = Self::no(Code::Cannot, "Mailboxes are not shared here");
    /// SETACL of everybody, where that is not allowed.
    pub const NOT_FOR_ANYONE: Self =
        Self::no(Code::Cannot, "Mailboxes are shared with persons here, not with everybody");
    /// SETACL of an account of another domain, where that is not allowed.
    pub const OTHER_DOMAIN: Self = Self::no(Code::Cannot, "Mailboxes are shared inside of a domain here");
    /// SETACL of a name that no account can have.
    pub const BAD_IDENTIFIER: Self = Self::no(Code::Cannot, "No account can have this name");
    /// RENAME from one account to another one.
    pub const OTHER_ACCOUNT: Self = Self::no(Code::Cannot, "A mailbox stays in its account");
    /// SETMETADATA of what would be private in the mailbox of somebody else (RFC 5464 §4.3).
    pub const NO_PRIVATE_METADATA: Self =
        Self::no(Code::MetadataNoPrivate, "Private entries are those of the owner here");
    /// A name that no mailbox can have here.
    pub const BAD_NAME: Self = Self::no(Code::Cannot, "No mailbox can have this name");
    /// The inbox stays.
    pub const INBOX_STAYS: Self = Self::no(Code::Cannot, "INBOX cannot be deleted");
    /// Wrong login name or password; the same words for both.
    pub const LOGIN_FAILED: Self = Self::no(Code::AuthenticationFailed, "Login name or password is wrong");
    /// What a client sends during AUTHENTICATE is always base64 (RFC 3501 §6.2.2).
    pub const NOT_BASE64: Self = Self::bad("Response is not base64");
    /// A response that does not fit its mechanism.
    pub const BAD_RESPONSE: Self = Self::bad("Malformed response");
    /// The accounts cannot be asked now.
    pub const LOGIN_UNAVAILABLE: Self =
        Self::no(Code::Unavailable, "Cannot check logins now, try again later");
    /// Too many failures from one address.
    pub const LOGIN_LIMIT: Self = Self::no(Code::Limit, "Too many failed logins, try again later");
    /// Too many sessions of one account from one address.
    pub const SESSION_LIMIT: Self =
        Self::no(Code::Limit, "Too many sessions of this account from your address");
    /// Login without TLS.
    pub const PRIVACY_REQUIRED: Self = Self::no(Code::PrivacyRequired, "Log in under TLS only");
    /// A change in a mailbox opened with EXAMINE.
    pub const READ_ONLY: Self = Self::no(Code::ReadOnly, "The mailbox is open for reading only");
    /// GETQUOTA of something else than [`QUOTA_ROOT`].
    pub const NO_QUOTA_ROOT: Self = Self::no(Code::NonExistent, "No such quota root");
    /// A message number beyond the last.
    pub const NO_SUCH_NUMBER: Self = Self::bad("There is no message with this number");
    /// SEARCH in a character set we do not have.
    pub const BAD_CHARSET: Self = Self::no(Code::BadCharset, "Unknown character set");
    /// No room.
    pub const OVER_QUOTA: Self = Self::no(Code::OverQuota, "The account is over its quota");
    /// The disk is full.
    pub const NO_SPACE: Self = Self::no(Code::OverQuota, "No space left for messages");
    /// Too large a message.
    pub const TOO_BIG: Self = Self::no(Code::TooBig, "The message is too large");
    /// An APPEND of nothing.
    pub const EMPTY_MESSAGE: Self = Self::no(Code::Cannot, "An empty message cannot be stored");
    /// More keywords than a mailbox can hold.
    pub const TOO_MANY_KEYWORDS: Self = Self::no(Code::Limit, "The mailbox has too many keywords");
    /// A keyword that cannot be one.
    pub const BAD_KEYWORD: Self = Self::no(Code::Cannot, "No flag can have this name");
    /// NOTIFY of an event there is none of here.
    pub const BAD_EVENT: Self = Self::no(Code::BadEvent, "There is no news of that kind");
    /// NOTIFY of too many mailboxes.
    pub const TOO_MUCH_NEWS: Self = Self::no(Code::NotificationOverflow, "Too many mailboxes to watch");
    /// The end of news that a client was promised; it hears none from now on (RFC 5465 §5.8).
    pub const NEWS_LOST: Self =
        Self::with(Condition::Ok, Code::NotificationOverflow, "Too much has happened, no more news");
    /// ESEARCH of the selected mailbox without one.
    pub const NOTHING_SELECTED: Self = Self::bad("No mailbox is selected");
    /// ESEARCH with SAVE or `$` of other mailboxes than the selected one (RFC 7377 §2.2).
    pub const SAVED_ELSEWHERE: Self = Self::bad("Only results of the selected mailbox can be saved");
    /// A search that worked too long.
    pub const SEARCH_LIMIT: Self = Self::no(Code::Limit, "The search takes too long");
    /// SEARCH, SORT or THREAD that told what it could.
    pub const SOME_UNREADABLE: Self =
        Self::no(Code::Unavailable, "Some messages cannot be read, try again later");
    /// Messages that another session has removed; nothing else went wrong.
    pub const SOME_EXPUNGED: Self = Self::with(Condition::Ok, Code::ExpungeIssued, "Some messages are gone");
    /// COPY or MOVE of messages that another session has removed: nothing was copied.
    pub const EXPUNGED: Self = Self::no(Code::ExpungeIssued, "Some messages are gone, nothing was changed");
    /// Another program holds the mailbox.
    pub const IN_USE: Self = Self::no(Code::InUse, "Another program holds the mailbox, try again later");
    /// Trouble that may pass, on our side.
    pub const TRY_LATER: Self = Self::no(Code::Unavailable, "Local trouble, try again later");
    /// Trouble that will not pass by itself.
    pub const SERVER_BUG: Self = Self::no(Code::ServerBug, "Internal error, see the log of the server");

    /// CATENATE of what is not there, or may not be read, or is no URL of a message (RFC 4469 §3).
    pub fn bad_url(url: &[u8]) -> Self {
        Self::no(Code::BadUrl(url[..url.len().min(MAX_URL)].to_vec()), "There is no such part of a message")
    }

    /// Done, with these words.
    pub const fn ok(text: &'static str) -> Self {
        Self { condition: Condition::Ok, code: None, text }
    }

    /// Not done, with a code that says why.
    pub const fn no(code: Code, text: &'static str) -> Self {
        Self::with(Condition::No, code, text)
    }

    /// Not understood, or not allowed here.
    pub const fn bad(text: &'static str) -> Self {
        Self { condition: Condition::Bad, code: None, text }
    }

    /// With a code.
    pub const fn with(condition: Condition, code: Code, text: &'static str) -> Self {
        Self { condition, code: Some(code), text }
    }

    pub(crate) fn write_to(&self, tag: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(tag);
        out.push(b' ');
        out.extend_from_slice(self.condition.as_str().as_bytes());
        if let Some(code) = &self.code {
            out.extend_from_slice(b" [");
            code.write_to(out);
            out.push(b']');
        }
        put!(out, " {}\r\n", self.text);
    }
}
