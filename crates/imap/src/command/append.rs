//! APPEND and REPLACE (RFC 3501 §6.3.11, RFC 3502 §6.3.11, RFC 8508 §3), stretch by stretch between the octets of their
//! messages, and of the parts that CATENATE puts together (RFC 4469 §5).

use std::collections::VecDeque;
use std::num::NonZeroU32;

use kings_mail::date::DateTime;

use super::{Command, Enabled};
use crate::cursor::{Cursor, SyntaxError};
use crate::flag::Flag;

/// What APPEND says before the first message comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Where to, decoded.
    pub mailbox: String,
    /// The first message.
    pub message: Arriving,
    /// REPLACE: the message of the selected mailbox that goes when this one is there.
    pub replaces: Option<Replaced>,
}

/// The message that REPLACE names (RFC 8508 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its UID, not its number.
    pub uid: bool,
    /// `None` for the last one, `*`.
    pub number: Option<NonZeroU32>,
}

/// What is said of one message before it comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Arriving {
    /// Flags the message starts with.
    pub flags: Vec<Flag>,
    /// The INTERNALDATE it gets; now without one.
    pub internal_date: Option<DateTime>,
    /// Octets that will come; `None` where CATENATE tells of each part.
    pub size: Option<u64>,
}

/// One thing that a stretch of the command asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The first message begins.
    First(Append),
    /// Another one begins; the one before it is complete.
    Next(Arriving),
    /// A part is what this names, which need not be a URL.
    Url(Vec<u8>),
    /// A part is so many octets that come.
    Text(u64),
}

/// What stands between octets of messages, or behind the last of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// In this order.
    pub steps: VecDeque<Step>,
    /// What the octets behind it are; `None` at the end of the command.
    pub place: Option<Place>,
}

/// Octets that come, and what must stand behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A whole message.
    Message {
        /// It stands in `UTF8 (...)` (RFC 6855 §4).
        utf8: bool,
    },
    /// A part of one.
    Part {
        /// As above.
        utf8: bool,
    },
}

/// What a command that ends in the announcement of a literal says so far.
#[derive(Debug)]
pub(crate) enum SoFar {
    /// The literal is octets of a message.
    Stretch(Stretch),
    /// It belongs to the command: the name of a mailbox, or a URL.
    Argument,
}

/// Reads `tag APPEND mailbox [flags] [date] ` up to the literal that is the message, or `tag REPLACE number mailbox ...`.
/// `None`: this is neither. `command` ends in the CRLF behind the literal's size, which the reader has read already.
pub(crate) fn append_head(command: &[u8], enabled: Enabled, size: u64) -> Option<Result<SoFar, SyntaxError>> {
    let mut cursor = Cursor::new(command).of(enabled);
    cursor.tag().ok()?;
    let is_append = cursor.eat_word(" APPEND ");
    let uid = !is_append && cursor.eat_word(" UID REPLACE ");
    if !is_append && !uid && !cursor.eat_word(" REPLACE ") {
        return None;
    }
    let replaces = if is_append { Ok(None) } else { replaced(&mut cursor, uid).map(Some) };
    if cursor.clone().announces_literal() {
        return Some(Ok(SoFar::Argument));
    }
    let read = |replaces| {
        let first = (cursor.mailbox()?, replaces);
        Reading::new(&mut cursor, Some(size)).from(At::Message(Some(first)))
    };
    Some(replaces.and_then(read))
}

/// The same of a whole command without octets of messages: all of it is named by URLs.
pub(super) fn append(cursor: &mut Cursor<'_>, replaces: Option<bool>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let replaces = replaces.map(|uid| replaced(cursor, uid)).transpose()?;
    let first = (cursor.mailbox()?, replaces);
    match Reading::new(cursor, None).from(At::Message(Some(first)))? {
        SoFar::Stretch(stretch) => Ok(Command::Append(stretch)),
        SoFar::Argument => Err(SyntaxError::Literal),
    }
}

/// Reads on behind octets that were `place`, up to further ones of so many octets, or to the end of the command. `text` ends
/// as that of [`append_head`], or without CRLF.
pub(crate) fn next_stretch(
    text: &[u8],
    enabled: Enabled,
    (place, size): (Place, Option<u64>),
) -> Result<SoFar, SyntaxError> {
    let mut cursor = Cursor::new(text).of(enabled);
    let (Place::Message { utf8 } | Place::Part { utf8 }) = place;
    if utf8 {
        cursor.expect(b')', SyntaxError::Parenthesis)?;
    }
    let at = match place {
        Place::Message { .. } => At::BehindMessage,
        Place::Part { .. } => At::BehindPart,
    };
    Reading::new(&mut cursor, size).from(at)
}

/// `4 ` or `* `.
fn replaced(cursor: &mut Cursor<'_>, uid: bool) -> Result<Replaced, SyntaxError> {
    let number = if cursor.eat(b'*') { None } else { Some(cursor.nz_number()?) };
    cursor.space()?;
    Ok(Replaced { uid, number })
}

/// Where the grammar stands.
enum At {
    /// Before what is said of a message; of the first one, with what the command begins with.
    Message(Option<(String, Option<Replaced>)>),
    BehindMessage,
    /// Before a part of CATENATE.
    Part,
    BehindPart,
}

/// Reads one stretch. The grammar recurs in itself, so it is walked in a loop: no client chooses how deep the stack gets.
struct Reading<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    /// Of the literal at the end, where there is one.
    size: Option<u64>,
    steps: VecDeque<Step>,
}

impl<'c, 'a> Reading<'c, 'a> {
    fn new(cursor: &'c mut Cursor<'a>, size: Option<u64>) -> Self {
        Self { cursor, size, steps: VecDeque::new() }
    }

    fn from(mut self, mut at: At) -> Result<SoFar, SyntaxError> {
        loop {
            at = match at {
                At::Message(_) if self.cursor.is_at_end() => return Err(SyntaxError::Literal),
                At::Message(first) => {
                    self.cursor.space()?;
                    let (flags, internal_date) = self.flags_and_date()?;
                    let size = if self.cursor.eat_word("CATENATE (") { None } else { Some(self.octets()?) };
                    let message = Arriving { flags, internal_date, size: size.map(|(octets, _)| octets) };
                    self.steps.push_back(match first {
                        Some((mailbox, replaces)) => Step::First(Append { mailbox, message, replaces }),
                        None => Step::Next(message),
                    });
                    match size {
                        Some((_, utf8)) => return Ok(self.up_to(Some(Place::Message { utf8 }))),
                        None => At::Part,
                    }
                }
                At::BehindMessage if self.cursor.is_at_end() => return Ok(self.up_to(None)),
                At::BehindMessage => At::Message(None),
                At::Part if self.cursor.eat_word("URL ") => {
                    if self.cursor.clone().announces_literal() {
                        return Ok(SoFar::Argument);
                    }
                    self.steps.push_back(Step::Url(self.cursor.astring()?.into_owned()));
                    At::BehindPart
                }
                At::Part => {
                    let is_text = self.cursor.eat_word("TEXT ");
                    let (octets, utf8) = self.octets()?;
                    if is_text == utf8 {
                        return Err(SyntaxError::Catenate);
                    }
                    self.steps.push_back(Step::Text(octets));
                    return Ok(self.up_to(Some(Place::Part { utf8 })));
                }
                At::BehindPart if self.cursor.eat(b')') => At::BehindMessage,
                At::BehindPart => {
                    self.cursor.expect(b' ', SyntaxError::Catenate)?;
                    At::Part
                }
            }
        }
    }

    fn up_to(self, place: Option<Place>) -> SoFar {
        SoFar::Stretch(Stretch { steps: self.steps, place })
    }

    fn flags_and_date(&mut self) -> Result<(Vec<Flag>, Option<DateTime>), SyntaxError> {
        let cursor = &mut *self.cursor;
        let mut flags = Vec::new();
        if cursor.peek() == Some(b'(') {
            flags = cursor.flag_list()?;
            cursor.space()?;
        }
        if cursor.peek() != Some(b'"') {
            return Ok((flags, None));
        }
        let text = cursor.string()?;
        let date = std::str::from_utf8(&text).ok().and_then(DateTime::parse_imap).ok_or(SyntaxError::Date)?;
        cursor.space()?;
        Ok((flags, Some(date)))
    }

    /// The literal that ends the stretch, and whether it stands in `UTF8 (...)`: that is only for those who have enabled it,
    /// and always a `literal8` (RFC 6855 §4).
    fn octets(&mut self) -> Result<(u64, bool), SyntaxError> {
        let utf8 = self.cursor.eat_word("UTF8 (");
        let is_allowed = !utf8 || self.cursor.enabled.utf8 && self.cursor.peek() == Some(b'~');
        let size = self.size.filter(|_| is_allowed && self.cursor.clone().announces_literal());
        size.map(|size| (size, utf8)).ok_or(SyntaxError::Literal)
    }
}
