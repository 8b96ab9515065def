//! FETCH: items, macros, sections and partials (RFC 3501 §6.4.5).

use kings_mail::header::Keep;
use kings_mail::mime::Facet;

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::{MAX_FETCH_ITEMS, MAX_PART_DEPTH, MAX_SELECT_OPTIONS};
use crate::partial::Partial;
use crate::sequence::{ModSeq, SequenceSet};

/// FETCH or UID FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whether the set holds UIDs; `UID` is among the items then (RFC 3501 §6.4.8).
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What to send, macros expanded.
    pub items: Vec<Item>,
    /// Only messages that have changed after this (RFC 7162 §3.1.4.1).
    pub changed_since: Option<ModSeq>,
    /// Those that were removed after it as well (RFC 7162 §3.2.6).
    pub vanished: bool,
    /// So many of those that would be told (RFC 9394 §3.3).
    pub partial: Option<Partial>,
}

/// What a FETCH needs of messages, the less first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing that a message itself says.
    Nothing,
    /// What is learnt when it is read once.
    Listing,
    /// The message.
    Content,
}

/// One data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `UID`
    Uid,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`: octets of the whole message.
    Size,
    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    ModSeq,
    /// `EMAILID` (RFC 8474 §5.1)
    EmailId,
    /// `THREADID`: there are none (RFC 8474 §5.2).
    ThreadId,
    /// `SAVEDATE` (RFC 8514 §4.2)
    SaveDate,
    /// `ENVELOPE`
    Envelope,
    /// `PREVIEW`; lazy, where it need not come if a message would have to be read for it (RFC 8970 §3.2).
    Preview {
        /// `(LAZY)`
        lazy: bool,
    },
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY` without a section: the structure without its extension data.
    BodyShape,
    /// `BODY[...]` and its older names.
    Body(Body),
    /// `BINARY[...]` (RFC 3516 §4.2)
    Binary(Binary),
    /// `BINARY.SIZE[...]`: the part with these numbers (RFC 3516 §4.3).
    BinarySize(Vec<u32>),
}

/// A part without its transfer encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Part numbers; empty for the message itself, which has no encoding.
    pub path: Vec<u32>,
    /// As that of [`Body`], counted after decoding.
    pub partial: Option<(u32, u32)>,
    /// `.PEEK`: `\Seen` stays as it is.
    pub peek: bool,
}

/// Bytes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The name under which they are sent.
    pub label: Label,
    /// Which bytes.
    pub section: Section,
    /// `<origin.count>`; the count is at least 1.
    pub partial: Option<(u32, u32)>,
    /// `.PEEK`: `\Seen` stays as it is. So do the flags for header items of the old names.
    pub peek: bool,
}

/// How the answer names the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// `BODY[section]<origin>`
    Body,
    /// `RFC822`
    Rfc822,
    /// `RFC822.HEADER`
    Rfc822Header,
    /// `RFC822.TEXT`
    Rfc822Text,
}

/// RFC 3501 §6.4.5 `section`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Part numbers; empty for the message itself.
    pub path: Vec<u32>,
    /// Which bytes of it.
    pub text: SectionText,
}

/// What of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// Bytes as they stand.
    Facet(Facet),
    /// Chosen header fields and the empty line.
    Fields {
        /// HEADER.FIELDS or HEADER.FIELDS.NOT.
        keep: Keep,
        /// Names as the client wrote them: the answer repeats them.
        names: Vec<String>,
    },
}

impl Fetch {
    /// Whether it sets `\Seen` (RFC 3501 §6.4.5: BODY without PEEK, RFC822 and RFC822.TEXT).
    pub fn sets_seen(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Body(body) => !body.peek,
            Item::Binary(binary) => !binary.peek,
            _ => false,
        })
    }

    /// Whether it asks for parts without their encodings, one of which may not be known.
    pub fn decodes(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Binary(_) | Item::BinarySize(_)))
    }

    /// Whether [`Identity`](crate::fetch::Identity) must be known of each.
    pub fn needs_identity(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::EmailId | Item::SaveDate))
    }

    /// Whether no message is to be read for what lists show.
    pub fn is_lazy(&self) -> bool {
        let is_dear = |item: &&Item| !matches!(item, Item::Preview { lazy: true });
        self.needs() == Needs::Listing
            && !self.items.iter().filter(is_dear).any(|item| needs(item) > Needs::Nothing)
    }

    /// What must be known of the messages beside what the store knows anyway.
    pub fn needs(&self) -> Needs {
        self.items.iter().map(needs).max().unwrap_or(Needs::Nothing)
    }
}

impl Item {
    /// The same without setting `\Seen`.
    #[must_use]
    pub(crate) fn peeking(self) -> Self {
        match self {
            Self::Body(body) => Self::Body(Body { peek: true, ..body }),
            Self::Binary(binary) => Self::Binary(Binary { peek: true, ..binary }),
            other => other,
        }
    }
}

fn needs(item: &Item) -> Needs {
    match item {
        Item::Uid
        | Item::Flags
        | Item::InternalDate
        | Item::Size
        | Item::ModSeq
        | Item::EmailId
        | Item::ThreadId
        | Item::SaveDate => Needs::Nothing,
        Item::Envelope | Item::BodyStructure | Item::BodyShape | Item::Preview { .. } => Needs::Listing,
        Item::Body(_) | Item::Binary(_) | Item::BinarySize(_) => Needs::Content,
    }
}

pub(super) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let set = cursor.set()?;
    cursor.space()?;
    let mut items =
        if cursor.peek() == Some(b'(') { cursor.list(MAX_FETCH_ITEMS, item)? } else { one_or_macro(cursor)? };
    if items.is_empty() {
        return Err(SyntaxError::FetchItem);
    }
    // With UIDONLY the response has the UID in the place of the number (RFC 9586 §3.3).
    if uid && !cursor.enabled.uid_only && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    let mut fetch = Fetch { uid, set, items, changed_since: None, vanished: false, partial: None };
    if cursor.eat(b' ') {
        cursor.list(MAX_SELECT_OPTIONS, |cursor| modifier(cursor, &mut fetch))?;
        // VANISHED belongs to UID FETCH with CHANGEDSINCE alone (RFC 7162 §3.2.6), PARTIAL to UID FETCH; an empty list is no
        // modifier.
        let is_one = fetch.changed_since.is_some() || fetch.partial.is_some();
        let is_uid_alone = fetch.vanished || fetch.partial.is_some();
        if !is_one || fetch.vanished && fetch.changed_since.is_none() || is_uid_alone && !uid {
            return Err(SyntaxError::Modifier);
        }
        if fetch.changed_since.is_some() && !fetch.items.contains(&Item::ModSeq) {
            fetch.items.push(Item::ModSeq);
        }
    }
    Ok(Command::Request(Request::Fetch(fetch)))
}

/// `CHANGEDSINCE 12345`, `VANISHED` and `PARTIAL -1:-30`, each once.
fn modifier(cursor: &mut Cursor<'_>, fetch: &mut Fetch) -> Result<(), SyntaxError> {
    match cursor.word()?.as_str() {
        "CHANGEDSINCE" if fetch.changed_since.is_none() => {
            cursor.space()?;
            fetch.changed_since = Some(cursor.modseq()?);
        }
        "VANISHED" if !fetch.vanished => fetch.vanished = true,
        "PARTIAL" if fetch.partial.is_none() => {
            cursor.space()?;
            fetch.partial = Some(Partial::read(cursor)?);
        }
        _ => return Err(SyntaxError::Modifier),
    }
    Ok(())
}

/// The three macros stand alone, never in a list (RFC 3501 §6.4.5).
fn one_or_macro(cursor: &mut Cursor<'_>) -> Result<Vec<Item>, SyntaxError> {
    let fast = [Item::Flags, Item::InternalDate, Item::Size];
    match name(&mut cursor.clone()).as_str() {
        "FAST" if cursor.eat_word("FAST") => Ok(fast.to_vec()),
        "ALL" if cursor.eat_word("ALL") => Ok([&fast[..], &[Item::Envelope]].concat()),
        "FULL" if cursor.eat_word("FULL") => Ok([&fast[..], &[Item::Envelope, Item::BodyShape]].concat()),
        _ => item(cursor).map(|item| vec![item]),
    }
}

/// The name of an item, in upper case, up to its section.
fn name(cursor: &mut Cursor<'_>) -> String {
    cursor.letters(|octet| octet.is_ascii_alphanumeric() || octet == b'.')
}

pub(super) fn item(cursor: &mut Cursor<'_>) -> Result<Item, SyntaxError> {
    let old = |label, facet, peek| {
        let section = Section { path: Vec::new(), text: SectionText::Facet(facet) };
        Ok(Item::Body(Body { label, section, partial: None, peek }))
    };
    match name(cursor).as_str() {
        "UID" => Ok(Item::Uid),
        "FLAGS" => Ok(Item::Flags),
        "INTERNALDATE" => Ok(Item::InternalDate),
        "RFC822.SIZE" => Ok(Item::Size),
        "MODSEQ" => Ok(Item::ModSeq),
        "EMAILID" => Ok(Item::EmailId),
        "THREADID" => Ok(Item::ThreadId),
        "SAVEDATE" => Ok(Item::SaveDate),
        "ENVELOPE" => Ok(Item::Envelope),
        "PREVIEW" => Ok(preview(cursor)),
        "BODYSTRUCTURE" => Ok(Item::BodyStructure),
        "RFC822" => old(Label::Rfc822, Facet::Whole, false),
        "RFC822.HEADER" => old(Label::Rfc822Header, Facet::Header, true),
        "RFC822.TEXT" => old(Label::Rfc822Text, Facet::Text, false),
        "BODY" if cursor.peek() == Some(b'[') => body(cursor, false),
        "BODY.PEEK" => body(cursor, true),
        "BODY" => Ok(Item::BodyShape),
        "BINARY" => binary(cursor, false),
        "BINARY.PEEK" => binary(cursor, true),
        "BINARY.SIZE" => binary_path(cursor).map(Item::BinarySize),
        _ => Err(SyntaxError::FetchItem),
    }
}

/// `PREVIEW`, `PREVIEW (LAZY)`; behind the first may stand a modifier of FETCH in parentheses.
fn preview(cursor: &mut Cursor<'_>) -> Item {
    let lazy = cursor.eat_word(" (LAZY)");
    Item::Preview { lazy }
}

fn body(cursor: &mut Cursor<'_>, peek: bool) -> Result<Item, SyntaxError> {
    cursor.expect(b'[', SyntaxError::Section)?;
    let section = section(cursor)?;
    cursor.expect(b']', SyntaxError::Section)?;
    let partial = if cursor.eat(b'<') { Some(partial(cursor)?) } else { None };
    Ok(Item::Body(Body { label: Label::Body, section, partial, peek }))
}

fn binary(cursor: &mut Cursor<'_>, peek: bool) -> Result<Item, SyntaxError> {
    let path = binary_path(cursor)?;
    let partial = if cursor.eat(b'<') { Some(partial(cursor)?) } else { None };
    Ok(Item::Binary(Binary { path, partial, peek }))
}

/// `[1.2]`: numbers alone (RFC 3516 §7 `section-binary`).
fn binary_path(cursor: &mut Cursor<'_>) -> Result<Vec<u32>, SyntaxError> {
    cursor.expect(b'[', SyntaxError::Section)?;
    let mut path = Vec::new();
    while cursor.peek() != Some(b']') {
        if path.len() >= MAX_PART_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        if !path.is_empty() {
            cursor.expect(b'.', SyntaxError::Section)?;
        }
        path.push(cursor.nz_number().map_err(|_| SyntaxError::Section)?.get());
    }
    cursor.expect(b']', SyntaxError::Section)?;
    Ok(path)
}

/// `<0.2048>`: the count is never zero (RFC 3501 §9 `partial`).
fn partial(cursor: &mut Cursor<'_>) -> Result<(u32, u32), SyntaxError> {
    let origin = cursor.number()?;
    cursor.expect(b'.', SyntaxError::Section)?;
    let count = cursor.nz_number()?;
    cursor.expect(b'>', SyntaxError::Section)?;
    Ok((origin, count.get()))
}

pub(crate) fn section(cursor: &mut Cursor<'_>) -> Result<Section, SyntaxError> {
    let mut path = Vec::new();
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if path.len() >= MAX_PART_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        path.push(cursor.nz_number()?.get());
        if !cursor.eat(b'.') {
            return Ok(Section { path, text: SectionText::Facet(Facet::Whole) });
        }
    }
    let text = section_text(cursor, !path.is_empty())?;
    Ok(Section { path, text })
}

fn section_text(cursor: &mut Cursor<'_>, in_part: bool) -> Result<SectionText, SyntaxError> {
    match name(cursor).as_str() {
        "" if !in_part => Ok(SectionText::Facet(Facet::Whole)),
        "HEADER" => Ok(SectionText::Facet(Facet::Header)),
        "TEXT" => Ok(SectionText::Facet(Facet::Text)),
        "MIME" if in_part => Ok(SectionText::Facet(Facet::Mime)),
        "HEADER.FIELDS" => fields(cursor, Keep::Named),
        "HEADER.FIELDS.NOT" => fields(cursor, Keep::Others),
        _ => Err(SyntaxError::Section),
    }
}

fn fields(cursor: &mut Cursor<'_>, keep: Keep) -> Result<SectionText, SyntaxError> {
    cursor.space()?;
    Ok(SectionText::Fields { keep, names: cursor.field_names()? })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `BODY.PEEK[TEXT]`
    pub(crate) fn text_peeked() -> Item {
        let section = Section { path: Vec::new(), text: SectionText::Facet(Facet::Text) };
        Item::Body(Body { label: Label::Body, section, partial: None, peek: true })
    }
}
