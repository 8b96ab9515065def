//! SEARCH: what it returns (RFC 4731 §3.1) and its program of keys (RFC 3501 §6.4.4).

use std::borrow::Cow;
use std::num::NonZeroU32;

use kings_mail::casemap::unicode_casemap;
use kings_mail::charset;
use kings_mail::date::Day;

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::flag::Flag;
use crate::limits::{MAX_DEPTH, MAX_OBJECT_ID, MAX_RETURN_OPTIONS, MAX_SEARCH_KEYS};
use crate::partial::Partial;
use crate::sequence::{ModSeq, SequenceSet};

/// SEARCH or UID SEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Whether the answer lists UIDs.
    pub uid: bool,
    /// What the answer tells; without RETURN, `* SEARCH` with all that is found.
    pub returns: Option<Returns>,
    /// Whether MODSEQ stands among the keys: the answer tells when what is found changed last (RFC 7162 §3.1.5).
    pub modseq: bool,
    /// What to look for; `None` where the client names a character set we do not have.
    pub key: Option<Key>,
}

/// What RETURN asks for (RFC 4731 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one word that stands there or does not")]
pub struct Returns {
    /// The lowest that is found.
    pub min: bool,
    /// The highest.
    pub max: bool,
    /// All of them. Also what an empty list means.
    pub all: bool,
    /// How many.
    pub count: bool,
    /// `$` becomes the result (RFC 5182 §2.1).
    pub save: bool,
    /// So many of them; not together with all of them (RFC 9394 §3.1).
    pub partial: Option<Partial>,
}

/// What a message must be like. `S` is a set as parsed, or as resolved against a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<S = SequenceSet> {
    /// All of these; ALL where there are none.
    And(Vec<Key<S>>),
    /// At least one of both.
    Or(Box<Key<S>>, Box<Key<S>>),
    /// Not this.
    Not(Box<Key<S>>),
    /// A flag is set.
    Flag(Flag),
    /// `\Recent` is set.
    Recent,
    /// Message numbers.
    Numbers(S),
    /// UIDs.
    Uids(S),
    /// Octets, more than.
    Larger(u32),
    /// Octets, less than.
    Smaller(u32),
    /// Arrived this many seconds ago, or more (RFC 5032 §2).
    Older(NonZeroU32),
    /// Arrived this many seconds ago, or less (RFC 5032 §2).
    Younger(NonZeroU32),
    /// Arrived, or changed its flags, then or later (RFC 7162 §3.1.5).
    ModSeq(ModSeq),
    /// The day of arrival.
    Arrived(Compare, Day),
    /// The day it came into the mailbox; of arrival, where that is not known (RFC 8514 §4.3).
    Saved(Compare, Day),
    /// It is known when it came into the mailbox.
    HasSaved,
    /// The name of the content (RFC 8474 §6).
    EmailId(String),
    /// The name of the thread: there are none.
    ThreadId(String),
    /// The day of the Date field.
    Sent(Compare, Day),
    /// A header field contains the text; any such field, for an empty one.
    Header(String, Needle),
    /// The body contains it.
    Body(Needle),
    /// Header or body contain it.
    Text(Needle),
}

impl Key {
    /// Whether message numbers stand in it; `$` is none of them.
    pub(crate) fn has_numbers(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::has_numbers),
            Self::Or(a, b) => a.has_numbers() || b.has_numbers(),
            Self::Not(key) => key.has_numbers(),
            Self::Numbers(set) => !set.is_saved(),
            _ => false,
        }
    }
}

impl Key {
    /// Whether `$` stands in it.
    pub(crate) fn has_saved(&self) -> bool {
        match self {
            Self::And(keys) => keys.iter().any(Self::has_saved),
            Self::Or(a, b) => a.has_saved() || b.has_saved(),
            Self::Not(key) => key.has_saved(),
            Self::Numbers(set) | Self::Uids(set) => set.has_saved(),
            _ => false,
        }
    }
}

impl<S> Key<S> {
    /// The same program with its sets of numbers and of UIDs replaced.
    pub(crate) fn resolve<T>(self, numbers: &impl Fn(&S) -> T, uids: &impl Fn(&S) -> T) -> Key<T> {
        let resolve = |key: Self| key.resolve(numbers, uids);
        match self {
            Self::And(keys) => Key::And(keys.into_iter().map(resolve).collect()),
            Self::Or(a, b) => Key::Or(Box::new(resolve(*a)), Box::new(resolve(*b))),
            Self::Not(key) => Key::Not(Box::new(resolve(*key))),
            Self::Numbers(set) => Key::Numbers(numbers(&set)),
            Self::Uids(set) => Key::Uids(uids(&set)),
            Self::Flag(flag) => Key::Flag(flag),
            Self::Recent => Key::Recent,
            Self::Larger(size) => Key::Larger(size),
            Self::Smaller(size) => Key::Smaller(size),
            Self::Older(seconds) => Key::Older(seconds),
            Self::Younger(seconds) => Key::Younger(seconds),
            Self::ModSeq(since) => Key::ModSeq(since),
            Self::Arrived(compare, day) => Key::Arrived(compare, day),
            Self::Saved(compare, day) => Key::Saved(compare, day),
            Self::HasSaved => Key::HasSaved,
            Self::EmailId(id) => Key::EmailId(id),
            Self::ThreadId(id) => Key::ThreadId(id),
            Self::Sent(compare, day) => Key::Sent(compare, day),
            Self::Header(name, needle) => Key::Header(name, needle),
            Self::Body(needle) => Key::Body(needle),
            Self::Text(needle) => Key::Text(needle),
        }
    }
}

/// How days compare, without time and zone (RFC 3501 §6.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// BEFORE
    Before,
    /// ON
    On,
    /// SINCE: on or after.
    Since,
}

/// A text to look for, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle(String);

impl Needle {
    /// Folds the case, character by character (RFC 5051): what is a part of a text stays one.
    pub fn new(text: &str) -> Self {
        Self(unicode_casemap(text, usize::MAX))
    }

    /// Whether `text` contains it (RFC 3501 §6.4.4: substring, case-insensitive). Linear in the text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_empty() || self.is_in_folded(&unicode_casemap(text, usize::MAX))
    }

    /// The text in folded case.
    pub(crate) fn folded(&self) -> &str {
        &self.0
    }

    /// The same for a text in folded case.
    pub(crate) fn is_in_folded(&self, text: &str) -> bool {
        text.contains(&self.0)
    }
}

/// How the strings of one command are read.
#[derive(Clone, Copy)]
enum Charset<'a> {
    /// No CHARSET: US-ASCII, and UTF-8 from clients that forgot to say so.
    Unnamed,
    Named(&'a str),
    /// Strings are skipped, so that the answer can be BADCHARSET and no syntax error.
    Unknown,
}

pub(super) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command, SyntaxError> {
    read(cursor, uid).map(Request::Search).map(Command::Request)
}

/// What stands behind SEARCH.
pub(super) fn read(cursor: &mut Cursor<'_>, uid: bool) -> Result<Search, SyntaxError> {
    cursor.space()?;
    let mut returns = returns(cursor)?;
    if returns.is_none() && cursor.enabled.rev2 {
        // RFC 9051 §6.4.4: every answer is an ESEARCH.
        returns = Some(Returns { all: true, ..Returns::default() });
    }
    let label = if cursor.eat_word("CHARSET ") {
        // RFC 6855 §3: the one character set needs no name.
        if cursor.enabled.utf8 {
            return Err(SyntaxError::Charset);
        }
        let label = cursor.utf8()?;
        cursor.space()?;
        Some(label)
    } else {
        None
    };
    let (modseq, key) = program(cursor, label.as_deref())?;
    Ok(Search { uid, returns, modseq, key })
}

/// The keys up to the end of the command, whether MODSEQ is among them, and no key where nobody knows the character set
/// `label`.
pub(super) fn program(
    cursor: &mut Cursor<'_>,
    label: Option<&str>,
) -> Result<(bool, Option<Key>), SyntaxError> {
    let charset = match label {
        None => Charset::Unnamed,
        Some(label) if charset::is_known(label) => Charset::Named(label),
        Some(_) => Charset::Unknown,
    };
    let mut reader = Reader { cursor, charset, depth: 0, keys: 0, modseq: false };
    let program = reader.program()?;
    let is_known = !matches!(reader.charset, Charset::Unknown);
    Ok((reader.modseq, is_known.then_some(program)))
}

/// `RETURN (MIN MAX)` and the space behind it, where it comes next.
pub(super) fn returns(cursor: &mut Cursor<'_>) -> Result<Option<Returns>, SyntaxError> {
    if !cursor.eat_word("RETURN ") {
        return Ok(None);
    }
    let mut returns = Returns::default();
    let words = cursor.list(MAX_RETURN_OPTIONS, |cursor| returned(cursor, &mut returns))?;
    cursor.space()?;
    returns.all |= words.is_empty();
    if returns.all && returns.partial.is_some() {
        return Err(SyntaxError::ReturnOption);
    }
    Ok(Some(returns))
}

fn returned(cursor: &mut Cursor<'_>, returns: &mut Returns) -> Result<(), SyntaxError> {
    match cursor.word()?.as_str() {
        "MIN" => returns.min = true,
        "MAX" => returns.max = true,
        "ALL" => returns.all = true,
        "COUNT" => returns.count = true,
        "SAVE" => returns.save = true,
        "PARTIAL" if returns.partial.is_none() => {
            cursor.space()?;
            returns.partial = Some(Partial::read(cursor)?);
        }
        _ => return Err(SyntaxError::ReturnOption),
    }
    Ok(())
}

/// Reads keys and counts them; the count bounds the time a search may take per message.
struct Reader<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    charset: Charset<'c>,
    depth: usize,
    keys: usize,
    modseq: bool,
}

impl Reader<'_, '_> {
    /// Keys up to the end of the command or the closing parenthesis; all must hold.
    fn program(&mut self) -> Result<Key, SyntaxError> {
        let mut keys = vec![self.key()?];
        while self.cursor.eat(b' ') {
            keys.push(self.key()?);
        }
        Ok(Key::And(keys))
    }

    /// One key, one level deeper.
    fn key(&mut self) -> Result<Key, SyntaxError> {
        self.keys += 1;
        if self.keys > MAX_SEARCH_KEYS {
            return Err(SyntaxError::TooMany);
        }
        if self.depth >= MAX_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        self.depth += 1;
        let key = match self.cursor.peek() {
            Some(b'(') => self.group(),
            Some(b'0'..=b'9' | b'*' | b'$') => self.cursor.set().map(Key::Numbers),
            _ => self.named(),
        };
        self.depth -= 1;
        key
    }

    fn group(&mut self) -> Result<Key, SyntaxError> {
        self.cursor.expect(b'(', SyntaxError::Parenthesis)?;
        let keys = self.program()?;
        self.cursor.expect(b')', SyntaxError::Parenthesis)?;
        Ok(keys)
    }

    fn named(&mut self) -> Result<Key, SyntaxError> {
        let word = self.cursor.word().map_err(|_| SyntaxError::SearchKey)?;
        if let Some(key) = simple(&word) {
            return Ok(key);
        }
        match word.as_str() {
            "NOT" => self.argument(Self::key).map(not),
            "OR" => {
                let either = self.argument(Self::key)?;
                let or = self.argument(Self::key)?;
                Ok(Key::Or(Box::new(either), Box::new(or)))
            }
            "UID" => self.argument(|reader| reader.cursor.set()).map(Key::Uids),
            "KEYWORD" => self.argument(Self::keyword).map(Key::Flag),
            "UNKEYWORD" => self.argument(Self::keyword).map(Key::Flag).map(not),
            "LARGER" => self.argument(|reader| reader.cursor.number()).map(Key::Larger),
            "SMALLER" => self.argument(|reader| reader.cursor.number()).map(Key::Smaller),
            "OLDER" => self.argument(Self::seconds).map(Key::Older),
            "YOUNGER" => self.argument(Self::seconds).map(Key::Younger),
            "MODSEQ" => self.argument(Self::modseq).map(Key::ModSeq),
            "BEFORE" => self.argument(Self::day).map(|day| Key::Arrived(Compare::Before, day)),
            "ON" => self.argument(Self::day).map(|day| Key::Arrived(Compare::On, day)),
            "SINCE" => self.argument(Self::day).map(|day| Key::Arrived(Compare::Since, day)),
            "SAVEDBEFORE" => self.argument(Self::day).map(|day| Key::Saved(Compare::Before, day)),
            "SAVEDON" => self.argument(Self::day).map(|day| Key::Saved(Compare::On, day)),
            "SAVEDSINCE" => self.argument(Self::day).map(|day| Key::Saved(Compare::Since, day)),
            "EMAILID" => self.argument(Self::object_id).map(Key::EmailId),
            "THREADID" => self.argument(Self::object_id).map(Key::ThreadId),
            "SENTBEFORE" => self.argument(Self::day).map(|day| Key::Sent(Compare::Before, day)),
            "SENTON" => self.argument(Self::day).map(|day| Key::Sent(Compare::On, day)),
            "SENTSINCE" => self.argument(Self::day).map(|day| Key::Sent(Compare::Since, day)),
            "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => {
                self.argument(Self::needle).map(|needle| Key::Header(word.to_ascii_lowercase(), needle))
            }
            "BODY" => self.argument(Self::needle).map(Key::Body),
            "TEXT" => self.argument(Self::needle).map(Key::Text),
            "HEADER" => {
                let field = self.argument(|reader| reader.cursor.field_name())?;
                self.argument(Self::needle).map(|needle| Key::Header(field, needle))
            }
            _ => Err(SyntaxError::SearchKey),
        }
    }

    fn argument<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        self.cursor.space()?;
        read(self)
    }

    fn keyword(&mut self) -> Result<Flag, SyntaxError> {
        Flag::parse(self.cursor.atom()?)
    }

    /// RFC 8474 §7 `objectid`.
    fn object_id(&mut self) -> Result<String, SyntaxError> {
        let is_part = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let id = self.cursor.atom()?;
        if id.len() > MAX_OBJECT_ID || !id.iter().all(is_part) {
            return Err(SyntaxError::Atom);
        }
        Ok(String::from_utf8_lossy(id).into_owned())
    }

    fn seconds(&mut self) -> Result<NonZeroU32, SyntaxError> {
        self.cursor.number().and_then(|number| NonZeroU32::new(number).ok_or(SyntaxError::Number))
    }

    /// `620162338`, or `"/flags/\\draft" all 620162338`: flags have no numbers of their own, which RFC 7162 §3.1.5 leaves
    /// to the server.
    fn modseq(&mut self) -> Result<ModSeq, SyntaxError> {
        self.modseq = true;
        if self.cursor.peek() == Some(b'"') {
            let entry = self.cursor.string()?;
            self.cursor.space()?;
            let kind = self.cursor.word()?;
            self.cursor.space()?;
            if !entry.starts_with(b"/flags/") || !matches!(kind.as_str(), "PRIV" | "SHARED" | "ALL") {
                return Err(SyntaxError::SearchKey);
            }
        }
        self.cursor.modseq()
    }

    /// A date may stand in quotes or without (RFC 3501 §9 `date`).
    fn day(&mut self) -> Result<Day, SyntaxError> {
        let text = self.cursor.astring()?;
        std::str::from_utf8(&text).ok().and_then(Day::parse_imap).ok_or(SyntaxError::Date)
    }

    fn needle(&mut self) -> Result<Needle, SyntaxError> {
        let octets = self.cursor.astring()?;
        let text = match self.charset {
            Charset::Unnamed => charset::guess(&octets),
            Charset::Named(label) => charset::decode(&octets, label),
            Charset::Unknown => Cow::Borrowed(""),
        };
        Ok(Needle::new(&text))
    }
}

fn not<S>(key: Key<S>) -> Key<S> {
    Key::Not(Box::new(key))
}

/// Keys without an argument.
fn simple(word: &str) -> Option<Key> {
    Some(match word {
        "ALL" => Key::And(Vec::new()),
        "ANSWERED" => Key::Flag(Flag::Answered),
        "DELETED" => Key::Flag(Flag::Deleted),
        "DRAFT" => Key::Flag(Flag::Draft),
        "FLAGGED" => Key::Flag(Flag::Flagged),
        "SEEN" => Key::Flag(Flag::Seen),
        "UNANSWERED" => not(Key::Flag(Flag::Answered)),
        "UNDELETED" => not(Key::Flag(Flag::Deleted)),
        "UNDRAFT" => not(Key::Flag(Flag::Draft)),
        "UNFLAGGED" => not(Key::Flag(Flag::Flagged)),
        "UNSEEN" => not(Key::Flag(Flag::Seen)),
        "SAVEDATESUPPORTED" => Key::HasSaved,
        "RECENT" => Key::Recent,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(Key::Flag(Flag::Seen))]),
        _ => return None,
    })
}
