//! The table of commands: verb, the states it is legal in, its parser.

use kings_sasl::{Credentials, Mechanism, Secret};

use super::{
    Command, Copy, Own, Request, acl, append, create, enable, fetch, list, metadata, multisearch, notify,
    search, select, sort, status, store,
};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::{MAX_ID_FIELDS, MAX_ID_VALUE};

type Parser = fn(&mut Cursor<'_>, bool) -> Result<Command, SyntaxError>;

/// The states in which a command is legal (RFC 3501 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legal {
    Always,
    BeforeLogin,
    /// After login, with or without a selected mailbox.
    AfterLogin,
    Selected,
}

/// One command.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) verb: &'static str,
    pub(crate) legal: Legal,
    /// Whether `UID` may, or must, stand before the verb.
    uid: Uid,
    pub(crate) parse: Parser,
}

#[derive(Debug, PartialEq, Eq)]
enum Uid {
    No,
    May,
}

const fn plain(verb: &'static str, legal: Legal, parse: Parser) -> Row {
    Row { verb, legal, uid: Uid::No, parse }
}

const fn messages(verb: &'static str, parse: Parser) -> Row {
    Row { verb, legal: Legal::Selected, uid: Uid::May, parse }
}

/// Every command, by state and then as RFC 3501 §6 has them.
const TABLE: [Row; 46] = [
    plain("CAPABILITY", Legal::Always, |_, _| Ok(Command::Own(Own::Capability))),
    plain("NOOP", Legal::Always, |_, _| Ok(Command::Request(Request::Noop))),
    plain("LOGOUT", Legal::Always, |_, _| Ok(Command::Own(Own::Logout))),
    plain("ID", Legal::Always, id),
    plain("STARTTLS", Legal::BeforeLogin, |_, _| Ok(Command::Own(Own::StartTls))),
    plain("AUTHENTICATE", Legal::BeforeLogin, authenticate),
    plain("LOGIN", Legal::BeforeLogin, login),
    plain("SELECT", Legal::AfterLogin, |cursor, _| select::select(cursor, false)),
    plain("EXAMINE", Legal::AfterLogin, |cursor, _| select::select(cursor, true)),
    plain("UNAUTHENTICATE", Legal::AfterLogin, |_, _| Ok(Command::Request(Request::Unauthenticate))),
    plain("CREATE", Legal::AfterLogin, |cursor, _| create::create(cursor)),
    plain("DELETE", Legal::AfterLogin, |cursor, _| {
        mailbox(cursor).map(Request::Delete).map(Command::Request)
    }),
    plain("RENAME", Legal::AfterLogin, rename),
    plain("SUBSCRIBE", Legal::AfterLogin, |cursor, _| {
        mailbox(cursor).map(Request::Subscribe).map(Command::Request)
    }),
    plain("UNSUBSCRIBE", Legal::AfterLogin, |cursor, _| {
        mailbox(cursor).map(Request::Unsubscribe).map(Command::Request)
    }),
    plain("LIST", Legal::AfterLogin, |cursor, _| list::list(cursor)),
    plain("LSUB", Legal::AfterLogin, |cursor, _| list::lsub(cursor)),
    plain("STATUS", Legal::AfterLogin, |cursor, _| status::status(cursor)),
    // Only without octets of messages; with them, the session never gets as far as this table.
    plain("APPEND", Legal::AfterLogin, |cursor, _| append::append(cursor, None)),
    plain("ENABLE", Legal::AfterLogin, |cursor, _| enable::enable(cursor)),
    plain("COMPRESS", Legal::AfterLogin, compress),
    plain("NAMESPACE", Legal::AfterLogin, |_, _| Ok(Command::Own(Own::Namespace))),
    plain("GETQUOTA", Legal::AfterLogin, |cursor, _| {
        cursor.space()?;
        cursor.utf8().map(Request::Quota).map(Command::Request)
    }),
    plain("GETQUOTAROOT", Legal::AfterLogin, |cursor, _| {
        mailbox(cursor).map(Request::QuotaRoot).map(Command::Request)
    }),
    plain("SETACL", Legal::AfterLogin, |cursor, _| acl::set(cursor)),
    plain("DELETEACL", Legal::AfterLogin, |cursor, _| acl::delete(cursor)),
    plain("GETACL", Legal::AfterLogin, |cursor, _| acl::get(cursor)),
    plain("LISTRIGHTS", Legal::AfterLogin, |cursor, _| acl::list(cursor)),
    plain("MYRIGHTS", Legal::AfterLogin, |cursor, _| acl::mine(cursor)),
    plain("GETMETADATA", Legal::AfterLogin, |cursor, _| metadata::get(cursor)),
    plain("SETMETADATA", Legal::AfterLogin, |cursor, _| metadata::set(cursor)),
    plain("NOTIFY", Legal::AfterLogin, |cursor, _| notify::notify(cursor)),
    plain("ESEARCH", Legal::AfterLogin, |cursor, _| multisearch::multi_search(cursor)),
    plain("IDLE", Legal::AfterLogin, |_, _| Ok(Command::Own(Own::Idle))),
    plain("CHECK", Legal::Selected, |_, _| Ok(Command::Request(Request::Noop))),
    plain("CLOSE", Legal::Selected, |_, _| Ok(Command::Request(Request::Close))),
    plain("UNSELECT", Legal::Selected, |_, _| Ok(Command::Request(Request::Unselect))),
    messages("EXPUNGE", expunge),
    messages("SEARCH", search::search),
    messages("SORT", sort::sort),
    messages("THREAD", sort::thread),
    messages("FETCH", fetch::fetch),
    messages("STORE", store::store),
    messages("COPY", |cursor, uid| copy(cursor, uid, false)),
    // As APPEND.
    messages("REPLACE", |cursor, uid| append::append(cursor, Some(uid))),
    messages("MOVE", |cursor, uid| copy(cursor, uid, true)),
];

/// Finds a verb given in upper case.
pub(crate) fn row(verb: &str, uid: bool) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.verb == verb && (!uid || row.uid == Uid::May))
}

fn mailbox(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    cursor.space()?;
    cursor.mailbox()
}

fn rename(cursor: &mut Cursor<'_>, _: bool) -> Result<Command, SyntaxError> {
    let (from, to) = (mailbox(cursor)?, mailbox(cursor)?);
    Ok(Command::Request(Request::Rename { from, to }))
}

fn expunge(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command, SyntaxError> {
    if !uid {
        return Ok(Command::Request(Request::Expunge(None)));
    }
    cursor.space()?;
    let set = cursor.set()?;
    Ok(Command::Request(Request::Expunge(Some(set))))
}

fn copy(cursor: &mut Cursor<'_>, uid: bool, removes: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let set = cursor.set()?;
    let mailbox = mailbox(cursor)?;
    Ok(Command::Request(Request::Copy(Copy { uid, set, mailbox, removes })))
}

fn login(cursor: &mut Cursor<'_>, _: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let login = cursor.utf8()?;
    cursor.space()?;
    let password = Secret::new(cursor.utf8()?);
    Ok(Command::Own(Own::Login(Credentials { login, password })))
}

/// mutt 2.2 sends the space before an initial response and then none where a mechanism has none to send; Dovecot takes
/// that for none, and so do we.
fn authenticate(cursor: &mut Cursor<'_>, _: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let mechanism = Mechanism::parse(&cursor.word()?);
    let is_there = cursor.eat(b' ') && !cursor.is_at_end();
    let initial = if is_there { Some(cursor.atom()?.to_vec()) } else { None };
    Ok(Command::Own(Own::Authenticate { mechanism, initial }))
}

/// RFC 4978 §3 has one mechanism.
fn compress(cursor: &mut Cursor<'_>, _: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    if cursor.word()? == "DEFLATE" { Ok(Command::Own(Own::Compress)) } else { Err(SyntaxError::Compression) }
}

/// `("name" "mutt" "version" NIL)` or NIL (RFC 2971 §3.1).
fn id(cursor: &mut Cursor<'_>, _: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    if !cursor.eat_word("NIL") {
        let values = cursor.list(2 * MAX_ID_FIELDS, Cursor::nstring)?;
        let fits = |value: &Option<_>| {
            value.as_ref().is_none_or(|v: &std::borrow::Cow<'_, [u8]>| v.len() <= MAX_ID_VALUE)
        };
        if values.len() % 2 != 0 || !values.iter().all(fits) {
            return Err(SyntaxError::String);
        }
    }
    Ok(Command::Own(Own::Id))
}
