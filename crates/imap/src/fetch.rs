//! FETCH responses: one message rendered as text and ranges of its content, so that nothing large is copied.

mod binary;
pub(crate) mod envelope;
pub(crate) mod preview;
pub(crate) mod structure;

use std::cell::OnceCell;
use std::io::Write;
use std::ops::Range;

use kings_mail::date::DateTime;
use kings_mail::header::{self, header_end};
use kings_mail::mime::{self, Facet, Part};

use crate::command::fetch::{Body, Item, Label, Section, SectionText};
use crate::cursor::is_atom_char;
use crate::flag::Flag;
use crate::learn::Listing;
use crate::response;
use crate::sequence::{ModSeq, SequenceNumber, Uid};
use crate::text::{self, put};

pub use crate::command::fetch::Fetch;
pub use binary::is_decodable;

/// Content up to this size is copied into the text; beyond it, it is sent from where it lies.
const INLINE: usize = 4096;

/// What is known of a message without reading it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its number in this session.
    pub number: SequenceNumber,
    /// Its UID.
    pub uid: Uid,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// `\Recent` in this session.
    pub recent: bool,
    /// When it arrived.
    pub internal_date: DateTime,
    /// Octets of its CRLF form.
    pub size: u64,
    /// When it arrived, or its flags changed last.
    pub modseq: ModSeq,
    /// Its UID stands for its number (RFC 9586 §3.3).
    pub uid_only: bool,
    /// Only where an item wants it.
    pub identity: Option<Identity>,
}

/// What a message keeps as long as it is in its mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names its content (RFC 8474 §5.1).
    pub email_id: String,
    /// When it came into the mailbox (RFC 8514 §4.2), where that is known.
    pub saved: Option<DateTime>,
}

/// A message in its CRLF form. Its MIME tree is built on first need: header items do without.
#[derive(Debug)]
pub struct Content<'a> {
    octets: &'a [u8],
    tree: OnceCell<Part>,
}

impl<'a> Content<'a> {
    /// Borrows the message.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets, tree: OnceCell::new() }
    }

    /// The same with the tree that [`Content::into_tree`] gave, so that it is built once.
    pub fn with_tree(octets: &'a [u8], tree: Option<Part>) -> Self {
        Self { octets, tree: tree.map(OnceCell::from).unwrap_or_default() }
    }

    /// The tree, if it was needed.
    pub fn into_tree(self) -> Option<Part> {
        self.tree.into_inner()
    }

    pub(crate) fn octets(&self) -> &'a [u8] {
        self.octets
    }

    pub(crate) fn tree(&self) -> &Part {
        self.tree.get_or_init(|| mime::parse(self.octets))
    }

    /// The bytes of a section; `None` where there is no such part.
    pub(crate) fn section(&self, path: &[u32], facet: Facet) -> Option<Range<usize>> {
        let end = || header_end(self.octets);
        match (path, facet) {
            ([], Facet::Whole) => Some(0..self.octets.len()),
            ([], Facet::Header) => Some(0..end()),
            ([], Facet::Text) => Some(end()..self.octets.len()),
            _ => self.tree().section(path, facet),
        }
    }
}

/// A piece of a response, to be sent in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// These bytes.
    Text(Vec<u8>),
    /// This part of the message, whose length the text before has announced: all of it must follow, or
    /// the connection must close.
    Content(Range<usize>),
}

/// Where items come from that the store does not know.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// From nowhere: there are none ([`Needs::Nothing`](crate::command::fetch::Needs)). They would come as NIL.
    Nothing,
    /// From what was learnt of the message.
    Listing(Listing<'a>),
    /// From the message.
    Content(&'a Content<'a>),
}

impl<'a> Source<'a> {
    fn content(self) -> Option<&'a Content<'a>> {
        match self {
            Self::Content(content) => Some(content),
            Self::Nothing | Self::Listing(_) => None,
        }
    }
}

/// Renders `* n FETCH (...)` with its CRLF. `source` has what the items need.
pub fn render(items: &[Item], facts: &Facts, source: Source<'_>) -> Vec<Segment> {
    let mut renderer = Renderer {
        out: Vec::new(),
        segments: Vec::new(),
        facts,
        source,
        decoded: binary::Decoded::default(),
    };
    if facts.uid_only {
        put!(renderer.out, "* {} UIDFETCH (", facts.uid);
    } else {
        put!(renderer.out, "* {} FETCH (", facts.number);
    }
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            renderer.out.push(b' ');
        }
        renderer.item(item);
    }
    renderer.out.extend_from_slice(b")\r\n");
    renderer.segments.push(Segment::Text(renderer.out));
    renderer.segments
}

struct Renderer<'a> {
    out: Vec<u8>,
    segments: Vec<Segment>,
    facts: &'a Facts,
    source: Source<'a>,
    decoded: binary::Decoded,
}

impl Renderer<'_> {
    fn item(&mut self, item: &Item) {
        let out = &mut self.out;
        match item {
            Item::Uid => put!(out, "UID {}", self.facts.uid),
            Item::Flags => {
                out.extend_from_slice(b"FLAGS (");
                response::flags(out, &self.facts.flags, self.facts.recent.then_some("\\Recent"));
                out.push(b')');
            }
            Item::InternalDate => put!(out, "INTERNALDATE \"{}\"", self.facts.internal_date.to_imap()),
            Item::Size => {
                let size = match self.source {
                    Source::Content(content) => content.octets.len() as u64,
                    Source::Nothing | Source::Listing(_) => self.facts.size,
                };
                put!(out, "RFC822.SIZE {size}");
            }
            Item::ModSeq => put!(out, "MODSEQ ({})", self.facts.modseq),
            Item::EmailId => match &self.facts.identity {
                Some(identity) => put!(out, "EMAILID ({})", identity.email_id),
                None => out.extend_from_slice(b"EMAILID NIL"),
            },
            Item::ThreadId => out.extend_from_slice(b"THREADID NIL"),
            Item::SaveDate => match self.facts.identity.as_ref().and_then(|identity| identity.saved) {
                Some(saved) => put!(out, "SAVEDATE \"{}\"", saved.to_imap()),
                None => out.extend_from_slice(b"SAVEDATE NIL"),
            },
            Item::Envelope => {
                out.extend_from_slice(b"ENVELOPE ");
                match self.source {
                    Source::Content(content) => envelope::write(out, content.octets),
                    Source::Listing(listing) => out.extend_from_slice(listing.envelope),
                    Source::Nothing => out.extend_from_slice(b"NIL"),
                }
            }
            Item::Preview { .. } => {
                out.extend_from_slice(b"PREVIEW ");
                match self.source {
                    Source::Content(content) => {
                        text::string(out, preview::words(content.tree(), content.octets).as_bytes());
                    }
                    Source::Listing(listing) => out.extend_from_slice(listing.preview),
                    Source::Nothing => out.extend_from_slice(b"NIL"),
                }
            }
            Item::BodyStructure => self.structure("BODYSTRUCTURE ", structure::Detail::Extended),
            Item::BodyShape => self.structure("BODY ", structure::Detail::Plain),
            Item::Body(body) => self.body(body),
            Item::Binary(wanted) => binary::write(out, wanted, self.source.content(), &mut self.decoded),
            Item::BinarySize(path) => binary::write_size(out, path, self.source.content(), &mut self.decoded),
        }
    }

    fn structure(&mut self, label: &str, detail: structure::Detail) {
        self.out.extend_from_slice(label.as_bytes());
        match (self.source, detail) {
            (Source::Content(content), _) => {
                structure::write(&mut self.out, content.tree(), content.octets, detail);
            }
            (Source::Listing(listing), structure::Detail::Extended) => {
                self.out.extend_from_slice(listing.structure);
            }
            (Source::Listing(listing), structure::Detail::Plain) => {
                self.out.extend_from_slice(listing.shape);
            }
            (Source::Nothing, _) => self.out.extend_from_slice(b"NIL"),
        }
    }

    fn body(&mut self, body: &Body) {
        label(&mut self.out, body);
        self.out.push(b' ');
        let Source::Content(content) = self.source else { return self.out.extend_from_slice(b"NIL") };
        match &body.section.text {
            SectionText::Facet(facet) => {
                let range = content.section(&body.section.path, *facet);
                self.range(content, range, body.partial);
            }
            SectionText::Fields { keep, names } => {
                let range = content.section(&body.section.path, Facet::Header);
                let Some(range) = range else { return self.out.extend_from_slice(b"NIL") };
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let fields = header::select(&content.octets[range], &names, *keep);
                let part = clip(0..fields.len(), body.partial);
                literal(&mut self.out, &fields[part]);
            }
        }
    }

    /// Always a literal, never quoted: curl and others look for the braces.
    fn range(&mut self, content: &Content<'_>, range: Option<Range<usize>>, partial: Option<(u32, u32)>) {
        let Some(range) = range else { return self.out.extend_from_slice(b"NIL") };
        let range = clip(range, partial);
        if range.len() <= INLINE {
            return literal(&mut self.out, &content.octets[range]);
        }
        put!(self.out, "{{{}}}\r\n", range.len());
        self.segments.push(Segment::Text(std::mem::take(&mut self.out)));
        self.segments.push(Segment::Content(range));
    }
}

fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    put!(out, "{{{}}}\r\n", octets.len());
    out.extend_from_slice(octets);
}

/// The part of `range` that `<origin.count>` asks for; empty where it starts beyond the end
/// (RFC 3501 §6.4.5).
fn clip(range: Range<usize>, partial: Option<(u32, u32)>) -> Range<usize> {
    let Some((origin, count)) = partial else { return range };
    let start = range.start.saturating_add(origin as usize).min(range.end);
    start..start.saturating_add(count as usize).min(range.end)
}

/// `BODY[1.HEADER.FIELDS (From)]<0>`: PEEK and the count are not repeated (RFC 3501 §7.4.2).
fn label(out: &mut Vec<u8>, body: &Body) {
    match body.label {
        Label::Rfc822 => out.extend_from_slice(b"RFC822"),
        Label::Rfc822Header => out.extend_from_slice(b"RFC822.HEADER"),
        Label::Rfc822Text => out.extend_from_slice(b"RFC822.TEXT"),
        Label::Body => {
            out.extend_from_slice(b"BODY[");
            section(out, &body.section);
            out.push(b']');
            if let Some((origin, _)) = body.partial {
                put!(out, "<{origin}>");
            }
        }
    }
}

fn section(out: &mut Vec<u8>, section: &Section) {
    for (place, number) in section.path.iter().enumerate() {
        let dot = if place > 0 { "." } else { "" };
        put!(out, "{dot}{number}");
    }
    let (word, names) = match &section.text {
        SectionText::Facet(Facet::Whole) => return,
        SectionText::Facet(Facet::Header) => ("HEADER", None),
        SectionText::Facet(Facet::Text) => ("TEXT", None),
        SectionText::Facet(Facet::Mime) => ("MIME", None),
        SectionText::Fields { keep: header::Keep::Named, names } => ("HEADER.FIELDS", Some(names)),
        SectionText::Fields { keep: header::Keep::Others, names } => ("HEADER.FIELDS.NOT", Some(names)),
    };
    let dot = if section.path.is_empty() { "" } else { "." };
    put!(out, "{dot}{word}");
    if let Some(names) = names {
        out.extend_from_slice(b" (");
        text::spaced(out, names, |out, name| field_name(out, name));
        out.push(b')');
    }
}

/// A name of a header field may have characters that an atom may not, `"` for example.
fn field_name(out: &mut Vec<u8>, name: &str) {
    if name.bytes().all(is_atom_char) {
        out.extend_from_slice(name.as_bytes());
    } else {
        text::string(out, name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::command::{Command, Request, parse};

    fn rendered(items: &str, message: &[u8]) -> Vec<Segment> {
        let Ok(Command::Request(Request::Fetch(fetch))) = parse(format!("a FETCH 1 {items}").as_bytes())
        else {
            panic!("{items}")
        };
        let facts = Facts {
            number: SequenceNumber::from_index(0).unwrap(),
            uid: Uid(std::num::NonZeroU32::MIN),
            flags: vec![],
            recent: false,
            internal_date: DateTime::from_unix(0),
            size: message.len() as u64,
            modseq: ModSeq(1),
            uid_only: false,
            identity: None,
        };
        render(&fetch.items, &facts, Source::Content(&Content::new(message)))
    }

    #[test]
    fn large_content_is_sent_from_where_it_lies() {
        let message = [b"Subject: x\r\n\r\n".as_slice(), &[b'y'; 10_000]].concat();
        let text = |text: &str| Segment::Text(text.as_bytes().to_vec());
        assert_eq!(
            rendered("(UID BODY[TEXT] FLAGS)", &message),
            [
                text("* 1 FETCH (UID 1 BODY[TEXT] {10000}\r\n"),
                Segment::Content(14..10_014),
                text(" FLAGS ())\r\n"),
            ]
        );
        assert_eq!(
            rendered("BODY[TEXT]<9000.5000>", &message),
            [text(&format!("* 1 FETCH (BODY[TEXT]<9000> {{1000}}\r\n{})\r\n", "y".repeat(1_000)))]
        );
    }
}
