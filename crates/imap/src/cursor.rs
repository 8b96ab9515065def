//! The small words of the grammar (RFC 3501 §9): atoms, strings, numbers, literals, names.

use std::borrow::Cow;
use std::num::NonZeroU32;

use kings_mail::utf7;

use crate::command::Enabled;
use crate::flag::Flag;
use crate::limits::{MAX_FIELD_NAMES, MAX_FLAGS, MAX_MAILBOX, MAX_TAG};
use crate::sequence::{ModSeq, SequenceSet};

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum SyntaxError {
    /// No tag, or one with characters a tag may not have, or a very long one.
    Tag,
    /// A verb we do not have.
    UnknownCommand,
    /// Arguments are missing, or one space is not there.
    Space,
    /// Something behind the last argument, a space for example.
    Trailing,
    /// No atom where one must be.
    Atom,
    /// Neither atom nor quoted string nor literal.
    String,
    /// A quoted string without its end, or with a line end or NUL in it.
    Quoted,
    /// A literal with a NUL, or its size is no number.
    Literal,
    /// Not a number below 2^32.
    Number,
    /// Not a set of message numbers or UIDs.
    Set,
    /// Not a flag, a flag nobody may set, or a list of too many.
    Flag,
    /// A day that does not exist, or another form than `1-Feb-1994`.
    Date,
    /// Not modified UTF-7, empty, or too long.
    Mailbox,
    /// CHARSET from a client that has enabled UTF-8.
    Charset,
    /// A parenthesis is missing.
    Parenthesis,
    /// A letter that is no right (RFC 4314 §3.1 wants BAD).
    Rights,
    /// No name that somebody could have.
    Identifier,
    /// No part of a message where CATENATE must have one.
    Catenate,
    /// Over [`MAX_DEPTH`](crate::limits::MAX_DEPTH).
    TooDeep,
    /// More items, keys or names than one command may have.
    TooMany,
    /// An item that FETCH does not have.
    FetchItem,
    /// A section of BODY[] that does not exist.
    Section,
    /// A search key that does not exist.
    SearchKey,
    /// No criterion, or one that SORT does not have.
    SortKey,
    /// An algorithm that THREAD does not have.
    ThreadAlgorithm,
    /// Something that RETURN cannot give, or a list of too many.
    ReturnOption,
    /// An item that STATUS does not have.
    StatusItem,
    /// An option that LIST does not have here.
    ListOption,
    /// A way to compress other than DEFLATE.
    Compression,
    /// No name that an entry of METADATA can have, or none at all.
    Entry,
    /// Not a range of PARTIAL.
    Partial,
    /// No event, or events that are nothing together, or an empty list of them.
    Event,
    /// No choice of mailboxes.
    MailboxChoice,
    /// A parameter that CREATE does not have, or has once.
    CreateOption,
    /// An option that SELECT does not have, or has once.
    SelectOption,
    /// A modifier that FETCH or STORE does not have, or has not without another one.
    Modifier,
    /// STORE wants FLAGS, +FLAGS or -FLAGS, each with or without .SILENT.
    StoreItem,
    /// A line that ends in LF alone.
    BareLineFeed,
}

impl SyntaxError {
    /// The sentence behind `BAD`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tag => "A command starts with a tag",
            Self::UnknownCommand => "Unknown command",
            Self::Space => "Expected a space and an argument",
            Self::Trailing => "Unexpected text after the last argument",
            Self::Atom => "Expected an atom",
            Self::String => "Expected a string",
            Self::Quoted => "Malformed quoted string",
            Self::Literal => "Malformed literal",
            Self::Number => "Expected a number",
            Self::Set => "Malformed message set",
            Self::Flag => "Malformed flag or flag that cannot be set",
            Self::Date => "Malformed date",
            Self::Mailbox => "Mailbox name is not modified UTF-7",
            Self::Charset => "With UTF8=ACCEPT there is no CHARSET",
            Self::Parenthesis => "Missing parenthesis",
            Self::Rights => "Unknown right",
            Self::Identifier => "Malformed identifier",
            Self::Catenate => "Malformed CATENATE",
            Self::TooDeep => "Nested too deeply",
            Self::TooMany => "Too many items in one command",
            Self::FetchItem => "Unknown FETCH item",
            Self::SortKey => "Unknown SORT criterion",
            Self::ThreadAlgorithm => "Unknown THREAD algorithm",
            Self::Section => "Malformed section",
            Self::SearchKey => "Unknown search key",
            Self::ReturnOption => "Unknown RETURN option",
            Self::StatusItem => "Unknown STATUS item",
            Self::ListOption => "Unknown LIST option",
            Self::Compression => "Unknown way to compress",
            Self::Entry => "Malformed entry name",
            Self::Partial => "Malformed range of PARTIAL",
            Self::Event => "Malformed list of events",
            Self::MailboxChoice => "Unknown choice of mailboxes",
            Self::CreateOption => "Unknown CREATE parameter",
            Self::SelectOption => "Unknown SELECT option",
            Self::Modifier => "Unknown modifier",
            Self::StoreItem => "Unknown STORE item",
            Self::BareLineFeed => "Lines end in CRLF",
        }
    }
}

/// Reads one command. The octets hold literals in place: `{3}`, CRLF, three octets.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// What the client has enabled: some things are said in another way then.
    pub(crate) enabled: Enabled,
}

/// RFC 3501 §9 `ATOM-CHAR`: no specials, no controls, no 8-bit octets.
pub(crate) fn is_atom_char(octet: u8) -> bool {
    octet.is_ascii_graphic() && !br#"(){%*"\]"#.contains(&octet)
}

fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

fn is_list_char(octet: u8) -> bool {
    is_astring_char(octet) || b"%*".contains(&octet)
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(command: &'a [u8]) -> Self {
        Self { rest: command, enabled: Enabled::default() }
    }

    /// From a client that has enabled this.
    pub(crate) fn of(self, enabled: Enabled) -> Self {
        Self { enabled, ..self }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Steps over `octet` if it comes next.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Steps over `word`, in any case, if it comes next.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let found =
            self.rest.get(..word.len()).is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        if found {
            self.rest = &self.rest[word.len()..];
        }
        found
    }

    pub(crate) fn expect(&mut self, octet: u8, error: SyntaxError) -> Result<(), SyntaxError> {
        self.eat(octet).then_some(()).ok_or(error)
    }

    /// Exactly one space (RFC 3501 §9).
    pub(crate) fn space(&mut self) -> Result<(), SyntaxError> {
        self.expect(b' ', SyntaxError::Space)
    }

    pub(crate) fn end(&self) -> Result<(), SyntaxError> {
        self.rest.is_empty().then_some(()).ok_or(SyntaxError::Trailing)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|octet| !wanted(*octet)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// RFC 3501 §9 `tag`: `astring` characters without the plus.
    pub(crate) fn tag(&mut self) -> Result<&'a [u8], SyntaxError> {
        let tag = self.take_while(|octet| is_astring_char(octet) && octet != b'+');
        (1..=MAX_TAG).contains(&tag.len()).then_some(tag).ok_or(SyntaxError::Tag)
    }

    pub(crate) fn atom(&mut self) -> Result<&'a [u8], SyntaxError> {
        let atom = self.take_while(is_atom_char);
        (!atom.is_empty()).then_some(atom).ok_or(SyntaxError::Atom)
    }

    /// An atom in upper case, for tables of words.
    pub(crate) fn word(&mut self) -> Result<String, SyntaxError> {
        self.atom().map(|atom| String::from_utf8_lossy(atom).to_ascii_uppercase())
    }

    /// Letters that `wanted` names, in upper case; may be none.
    pub(crate) fn letters(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        String::from_utf8_lossy(self.take_while(wanted)).to_ascii_uppercase()
    }

    pub(crate) fn astring(&mut self) -> Result<Cow<'a, [u8]>, SyntaxError> {
        self.string_or(is_astring_char)
    }

    /// RFC 3501 §9 `list-mailbox`: a string in which the wildcards need no quotes.
    pub(crate) fn list_mailbox(&mut self) -> Result<Cow<'a, [u8]>, SyntaxError> {
        self.string_or(is_list_char)
    }

    fn string_or(&mut self, bare: impl Fn(u8) -> bool) -> Result<Cow<'a, [u8]>, SyntaxError> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let text = self.take_while(bare);
        if text.is_empty() { Err(SyntaxError::String) } else { Ok(Cow::Borrowed(text)) }
    }

    /// A quoted string or a literal.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>, SyntaxError> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(SyntaxError::String),
        }
    }

    /// RFC 3501 §9 `quoted`. Octets beyond ASCII are let through: clients send UTF-8 names and search
    /// texts unasked, and what they mean is not in doubt.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, SyntaxError> {
        self.expect(b'"', SyntaxError::Quoted)?;
        let plain = self.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut out = plain.to_vec();
        while let Some((octet, rest)) = self.rest.split_first() {
            self.rest = rest;
            match octet {
                b'"' => return Ok(Cow::Owned(out)),
                b'\\' if matches!(self.peek(), Some(b'"' | b'\\')) => {
                    out.extend(self.peek());
                    self.rest = &self.rest[1..];
                }
                b'\\' | b'\r' | b'\n' | 0 => return Err(SyntaxError::Quoted),
                octet => out.push(*octet),
            }
        }
        Err(SyntaxError::Quoted)
    }

    /// `{3}` or `{3+}`, CRLF and the octets (RFC 7888 §3). The reader has checked the size before.
    fn literal(&mut self) -> Result<&'a [u8], SyntaxError> {
        let size = self.literal_header()?;
        if !self.eat_word("\r\n") || self.rest.len() < size {
            return Err(SyntaxError::Literal);
        }
        let (content, rest) = self.rest.split_at(size);
        self.rest = rest;
        // RFC 3501 §9 `CHAR8` leaves out NUL.
        if content.contains(&0) { Err(SyntaxError::Literal) } else { Ok(content) }
    }

    fn literal_header(&mut self) -> Result<usize, SyntaxError> {
        self.expect(b'{', SyntaxError::Literal)?;
        let size = self.number().map_err(|_| SyntaxError::Literal)?;
        self.eat(b'+');
        self.expect(b'}', SyntaxError::Literal)?;
        usize::try_from(size).map_err(|_| SyntaxError::Literal)
    }

    /// Whether all that is left is the announcement of a literal, or `literal8`, whose octets are still to come.
    pub(crate) fn announces_literal(mut self) -> bool {
        self.eat(b'~');
        self.literal_header().is_ok() && self.eat_word("\r\n") && self.is_at_end()
    }

    pub(crate) fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>, SyntaxError> {
        if self.eat_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// The same, or a `literal8`, which may hold NUL (RFC 5464 §5 `value`).
    pub(crate) fn nstring_or_binary(&mut self) -> Result<Option<Cow<'a, [u8]>>, SyntaxError> {
        if !self.eat(b'~') {
            return self.nstring();
        }
        let size = self.literal_header()?;
        if !self.eat_word("\r\n") || self.rest.len() < size {
            return Err(SyntaxError::Literal);
        }
        let (content, rest) = self.rest.split_at(size);
        self.rest = rest;
        Ok(Some(Cow::Borrowed(content)))
    }

    pub(crate) fn number(&mut self) -> Result<u32, SyntaxError> {
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(SyntaxError::Number)
    }

    /// RFC 7162 §7 `mod-sequence-valzer`: 63 bits.
    pub(crate) fn modseq(&mut self) -> Result<ModSeq, SyntaxError> {
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        number.map(|number| ModSeq(number.unsigned_abs())).ok_or(SyntaxError::Number)
    }

    pub(crate) fn nz_number(&mut self) -> Result<NonZeroU32, SyntaxError> {
        self.number().and_then(|number| NonZeroU32::new(number).ok_or(SyntaxError::Number))
    }

    pub(crate) fn set(&mut self) -> Result<SequenceSet, SyntaxError> {
        let text = self.take_while(|octet| octet.is_ascii_digit() || b":,*$".contains(&octet));
        SequenceSet::parse(text).ok_or(SyntaxError::Set)
    }

    /// A mailbox name, decoded (RFC 3501 §5.1.3, RFC 9051 §5.1). Whether it may exist is not judged here.
    pub(crate) fn mailbox(&mut self) -> Result<String, SyntaxError> {
        let wire = self.astring()?;
        let text = std::str::from_utf8(&wire).map_err(|_| SyntaxError::Mailbox)?;
        if wire.is_empty() || wire.len() > MAX_MAILBOX {
            return Err(SyntaxError::Mailbox);
        }
        if self.enabled.has_utf8_names() {
            return Ok(text.to_owned());
        }
        utf7::decode(text).map_err(|_| SyntaxError::Mailbox)
    }

    /// Text that is UTF-8, for login names, passwords and ID.
    pub(crate) fn utf8(&mut self) -> Result<String, SyntaxError> {
        String::from_utf8(self.astring()?.into_owned()).map_err(|_| SyntaxError::String)
    }

    /// `(a b c)`; also `()` where `item` is never called.
    pub(crate) fn list<T>(
        &mut self,
        most: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        self.expect(b'(', SyntaxError::Parenthesis)?;
        let mut items = Vec::new();
        if self.eat(b')') {
            return Ok(items);
        }
        loop {
            if items.len() >= most {
                return Err(SyntaxError::TooMany);
            }
            items.push(item(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.expect(b' ', SyntaxError::Parenthesis)?;
        }
    }

    pub(crate) fn flag(&mut self) -> Result<Flag, SyntaxError> {
        let start = self.rest;
        self.eat(b'\\');
        let name = self.take_while(is_atom_char);
        Flag::parse(&start[..start.len() - self.rest.len()])
            .and_then(|flag| if name.is_empty() { Err(SyntaxError::Flag) } else { Ok(flag) })
    }

    pub(crate) fn flag_list(&mut self) -> Result<Vec<Flag>, SyntaxError> {
        self.list(MAX_FLAGS, Self::flag)
    }

    /// Names of header fields (RFC 3501 §9 `header-list`); at least one.
    pub(crate) fn field_names(&mut self) -> Result<Vec<String>, SyntaxError> {
        let names = self.list(MAX_FIELD_NAMES, Self::field_name)?;
        if names.is_empty() { Err(SyntaxError::Section) } else { Ok(names) }
    }

    /// One name of a header field: printable ASCII without a colon (RFC 5322 §2.2).
    pub(crate) fn field_name(&mut self) -> Result<String, SyntaxError> {
        let name = self.astring()?;
        let is_name = !name.is_empty() && name.iter().all(|octet| octet.is_ascii_graphic() && *octet != b':');
        let text = String::from_utf8(name.into_owned()).map_err(|_| SyntaxError::String)?;
        is_name.then_some(text).ok_or(SyntaxError::String)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_in_four_forms() {
        type Case<'a> = (&'a [u8], Result<&'a [u8], SyntaxError>);
        let cases: [Case<'_>; 14] = [
            (b"atom", Ok(b"atom")),
            (b"at]om", Ok(b"at]om")),
            (b"\"a b\"", Ok(b"a b")),
            (b"\"\"", Ok(b"")),
            (br#""a\"b\\c""#, Ok(br#"a"b\c"#)),
            (b"{3}\r\na\r\n", Ok(b"a\r\n")),
            (b"{3+}\r\nabc", Ok(b"abc")),
            (br#""a\b""#, Err(SyntaxError::Quoted)),
            (b"\"a", Err(SyntaxError::Quoted)),
            (b"\"a\nb\"", Err(SyntaxError::Quoted)),
            (b"{4}\r\nabc", Err(SyntaxError::Literal)),
            (b"{99999999999999999999}\r\n", Err(SyntaxError::Literal)),
            (b"{3}\r\na\0c", Err(SyntaxError::Literal)),
            (b"(", Err(SyntaxError::String)),
        ];
        for (text, expected) in cases {
            let actual = Cursor::new(text).astring();
            assert_eq!(actual, expected.map(Cow::Borrowed), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn mailbox_names_have_one_reading() {
        let cases: [(&[u8], Result<&str, SyntaxError>); 8] = [
            (b"INBOX", Ok("INBOX")),
            (b"Entw&APw-rfe", Ok("Entwürfe")),
            (b"\"A &- B\"", Ok("A & B")),
            (b"\"\"", Err(SyntaxError::Mailbox)),
            (b"\"&AGE-\"", Err(SyntaxError::Mailbox)),
            (b"\"&broken\"", Err(SyntaxError::Mailbox)),
            (b"\"\xc3\xbc\"", Err(SyntaxError::Mailbox)),
            (b"{3}\r\na\r\n", Err(SyntaxError::Mailbox)),
        ];
        for (text, expected) in cases {
            assert_eq!(Cursor::new(text).mailbox(), expected.map(str::to_owned), "{}", text.escape_ascii());
        }
    }
}
