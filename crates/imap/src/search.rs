//! Judges messages by a search program (RFC 3501 §6.4.4): first by what is known, then by reading them.

mod answer;

use std::borrow::Cow;
use std::cell::OnceCell;

use kings_mail::casemap::unicode_casemap;
use kings_mail::date::{DateTime, Day};
use kings_mail::header::{self, Field, Fields};
use kings_mail::mime::{Kind, Part};
use kings_mail::{charset, encoded_word};

use crate::command::search::Compare;
pub use crate::command::search::{Key, Needle, Returns, Search};
use crate::fetch::Content;
use crate::flag::Flag;
use crate::sequence::{ModSeq, Ranges, SequenceNumber, Uid};
use crate::view::View;
pub use answer::{Answer, answer};

/// A program with its sets resolved against one view.
#[derive(Clone, Debug)]
pub struct Program(Key<Ranges>);

/// What is known of a message without reading it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its number in this session.
    pub number: SequenceNumber,
    /// Its UID.
    pub uid: Uid,
    /// Its flags.
    pub flags: &'a [Flag],
    /// `\Recent` in this session.
    pub recent: bool,
    /// The day it arrived, in our zone.
    pub arrived: Day,
    /// Seconds since it arrived; 0 for one from the future.
    pub age: u64,
    /// Octets of its CRLF form.
    pub size: u64,
    /// When it arrived, or its flags changed last.
    pub modseq: ModSeq,
    /// Names its content; empty where no key wants it ([`Program::needs_identity`]).
    pub email_id: &'a str,
    /// The day it came into the mailbox, where that is known and wanted.
    pub saved: Option<Day>,
}

impl Program {
    /// Resolves `*` and `$` in the sets, as the view has them.
    pub fn new<F: Clone + PartialEq>(key: Key, view: &View<F>) -> Self {
        let numbers =
            |set: &_| Ranges::new(set, view.last_number(), view.saved().map(|(number, _)| number.0.get()));
        let uids = |set: &_| Ranges::new(set, view.last_uid(), view.saved().map(|(_, uid)| uid.0.get()));
        Self(key.resolve(&numbers, &uids))
    }

    /// Whether every message is as it wants it.
    pub fn is_all(&self) -> bool {
        fn is_all(key: &Key<Ranges>) -> bool {
            matches!(key, Key::And(keys) if keys.iter().all(is_all))
        }
        is_all(&self.0)
    }

    /// Whether a key wants to know what a message keeps as long as it is in its mailbox.
    pub fn needs_identity(&self) -> bool {
        fn needs(key: &Key<Ranges>) -> bool {
            match key {
                Key::And(keys) => keys.iter().any(needs),
                Key::Or(a, b) => needs(a) || needs(b),
                Key::Not(key) => needs(key),
                Key::Saved(..) | Key::HasSaved | Key::EmailId(_) => true,
                _ => false,
            }
        }
        needs(&self.0)
    }

    /// The verdict where what is known suffices; `None`: the message must be read.
    pub fn quick(&self, facts: &Facts<'_>) -> Option<bool> {
        judge(&self.0, facts, None)
    }

    /// The verdict on a message that was read.
    pub fn full(&self, facts: &Facts<'_>, message: &Searched<'_>) -> bool {
        judge(&self.0, facts, Some(message)).unwrap_or(false)
    }

    /// What must stand in the [`Searched::texts`] of every message that it finds, each step built by `build`.
    pub fn needed<T>(&self, build: &impl Fn(Needed<'_, T>) -> T) -> T {
        needed(&self.0, build)
    }
}

/// What the texts of a message must have to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed<'a, T> {
    /// Nothing that could be told of texts.
    Anything,
    /// This, in folded case, within one of them.
    Text(&'a str),
    /// All of these.
    All(Vec<T>),
    /// One of these.
    AnyOf(Vec<T>),
}

fn needed<T>(key: &Key<Ranges>, build: &impl Fn(Needed<'_, T>) -> T) -> T {
    build(match key {
        Key::And(keys) => Needed::All(keys.iter().map(|key| needed(key, build)).collect()),
        Key::Or(a, b) => Needed::AnyOf(vec![needed(a, build), needed(b, build)]),
        Key::Header(_, needle) | Key::Body(needle) | Key::Text(needle) => Needed::Text(needle.folded()),
        // What must not be there may be anywhere else.
        Key::Not(_)
        | Key::Flag(_)
        | Key::Recent
        | Key::Numbers(_)
        | Key::Uids(_)
        | Key::Larger(_)
        | Key::Smaller(_)
        | Key::Older(_)
        | Key::Younger(_)
        | Key::ModSeq(_)
        | Key::Arrived(..)
        | Key::Sent(..)
        | Key::Saved(..)
        | Key::HasSaved
        | Key::EmailId(_)
        | Key::ThreadId(_) => Needed::Anything,
    })
}

/// Three-valued: unknown AND false is false, unknown OR true is true.
fn judge(key: &Key<Ranges>, facts: &Facts<'_>, searched: Option<&Searched<'_>>) -> Option<bool> {
    let holds = |key| judge(key, facts, searched);
    match key {
        Key::And(keys) => all(keys.iter().map(holds)),
        Key::Or(a, b) => {
            all([&**a, &**b].into_iter().map(|key| holds(key).map(|held| !held))).map(|none| !none)
        }
        Key::Not(key) => holds(key).map(|held| !held),
        Key::Flag(flag) => Some(facts.flags.iter().any(|set| set.is(flag))),
        Key::Recent => Some(facts.recent),
        Key::Numbers(ranges) => Some(ranges.contains(facts.number.0.get())),
        Key::Uids(ranges) => Some(ranges.contains(facts.uid.0.get())),
        Key::Larger(size) => Some(facts.size > u64::from(*size)),
        Key::Smaller(size) => Some(facts.size < u64::from(*size)),
        Key::Older(seconds) => Some(facts.age >= u64::from(seconds.get())),
        Key::Younger(seconds) => Some(facts.age <= u64::from(seconds.get())),
        Key::ModSeq(since) => Some(facts.modseq >= *since),
        Key::Arrived(compare, day) => Some(compare.holds(facts.arrived, *day)),
        Key::Saved(compare, day) => Some(compare.holds(facts.saved.unwrap_or(facts.arrived), *day)),
        Key::HasSaved => Some(facts.saved.is_some()),
        Key::EmailId(id) => Some(facts.email_id == id),
        Key::ThreadId(_) => Some(false),
        Key::Sent(compare, day) => {
            searched.map(|message| message.sent().is_some_and(|sent| compare.holds(sent, *day)))
        }
        Key::Header(name, needle) => searched.map(|message| message.header_has(name, needle)),
        Key::Body(needle) => searched.map(|message| message.body_has(needle)),
        Key::Text(needle) => {
            searched.map(|message| message.any_header_has(needle) || message.body_has(needle))
        }
    }
}

/// False as soon as one is false, else unknown if one is unknown.
fn all(verdicts: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    for verdict in verdicts {
        match verdict {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = false,
        }
    }
    known.then_some(true)
}

impl Compare {
    fn holds(self, day: Day, limit: Day) -> bool {
        match self {
            Self::Before => day < limit,
            Self::On => day == limit,
            Self::Since => day >= limit,
        }
    }
}

/// Changes with everything that changes [`Searched::texts`].
pub const TEXTS_VERSION: u32 = 3;

/// A message under search. What several keys need is decoded once.
pub struct Searched<'a> {
    content: Content<'a>,
    /// Every text of the body in folded case.
    body: OnceCell<Vec<String>>,
}

impl<'a> Searched<'a> {
    /// A whole message with CRLF at the end of each line.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { content: Content::new(octets), body: OnceCell::new() }
    }

    /// All texts that are searched in, in folded case: each line of the header and those of parts, decoded and with its
    /// name, then those of the body.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let headers = header_text(self.content.octets()).chain(self.headers_of_parts());
        headers
            .map(|line| Cow::Owned(folded(&line)))
            .chain(self.body().iter().map(|text| Cow::Borrowed(text.as_str())))
    }

    /// The day of the Date field, in the zone it was written in.
    fn sent(&self) -> Option<Day> {
        let field = Fields::new(self.content.octets()).find(|field| field.is("Date"))?;
        DateTime::parse_rfc5322(&field.text()).map(DateTime::day)
    }

    fn header_has(&self, name: &str, needle: &Needle) -> bool {
        let mut named = Fields::new(self.content.octets()).filter(|field| field.is(name));
        named.any(|field| needle.is_in(&line_of(&field)))
    }

    /// Also those of parts, where the names of attachments stand (RFC 9051 §6.4.4).
    fn any_header_has(&self, needle: &Needle) -> bool {
        header_text(self.content.octets()).chain(self.headers_of_parts()).any(|line| needle.is_in(&line))
    }

    fn headers_of_parts(&self) -> impl Iterator<Item = String> {
        let parts = self.content.tree().walk().filter(|part| part.header.start > 0);
        parts.flat_map(|part| header_text(self.content.octets().get(part.header.clone()).unwrap_or_default()))
    }

    fn body_has(&self, needle: &Needle) -> bool {
        self.body().iter().any(|text| needle.is_in_folded(text))
    }

    /// Texts of all `text/*` parts, decoded, and the headers of attached messages. Other attachments are
    /// not text, so they are not searched.
    fn body(&self) -> &[String] {
        self.body.get_or_init(|| {
            let octets = self.content.octets();
            let mut texts = Vec::new();
            for part in self.content.tree().walk() {
                match &part.kind {
                    Kind::Leaf if part.content_type.kind == "text" => texts.push(text(part, octets)),
                    Kind::Message(message) => {
                        let header = octets.get(message.header.clone()).unwrap_or_default();
                        texts.extend(header_text(header).map(|line| folded(&line)));
                    }
                    Kind::Leaf | Kind::Multipart(_) => {}
                }
            }
            texts
        })
    }
}

fn text(part: &Part, octets: &[u8]) -> String {
    folded(&charset::decode(&part.content(octets), &part.content_type.charset()))
}

fn folded(text: &str) -> String {
    unicode_casemap(text, usize::MAX)
}

/// `Name: value` of each field, decoded.
fn header_text(header: &[u8]) -> impl Iterator<Item = String> {
    Fields::new(header).map(|field| format!("{}: {}", field.name, line_of(&field)))
}

/// The value of a field as one line. The tab that some programs fold with is the space that stood there, as for Dovecot.
fn line_of(field: &Field<'_>) -> String {
    let mut value = field.value.to_vec();
    for at in 1..value.len() {
        if value[at - 1..=at] == *b"\n\t" {
            value[at] = b' ';
        }
    }
    encoded_word::decode(&header::unfold(&value)).into_owned()
}
