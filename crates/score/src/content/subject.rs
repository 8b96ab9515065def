//! The message as the rules see it: parsed once, by the one MIME parser, with its texts decoded.

use std::borrow::Cow;

use kings_mail::address_list::{self, Entry, Mailbox};
use kings_mail::encoded_word;
use kings_mail::header::{self, Field};
use kings_mail::mime::{self, Kind, Part};

use super::html::Page;
use super::link::{self, Link};

/// Most octets of HTML, and of plain text, that are read of one message: ten times of what anybody shows.
pub(super) const MAX_TEXT: usize = 1024 * 1024;
/// Most text parts that are read.
const MAX_TEXTS: usize = 50;

/// One message, ready to be judged.
pub(super) struct Subject<'a> {
    /// In its CRLF form, as far as it has one.
    pub(super) message: Cow<'a, [u8]>,
    pub(super) root: Part,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// What is shown of `text/plain` parts, joined.
    pub(super) plain: Option<String>,
    /// What is shown of `text/html` parts, joined.
    pub(super) html: Option<Page>,
    /// Decoded octets of all `text/html` parts.
    pub(super) html_octets: usize,
    /// Of HTML and plain text.
    pub(super) links: Vec<Link>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(message: &'a [u8], now: i64) -> Self {
        let message = crlf(message);
        let root = mime::parse(&message);
        let mut subject =
            Self { message, root, now, plain: None, html: None, html_octets: 0, links: Vec::new() };
        subject.read_texts();
        subject
    }

    fn read_texts(&mut self) {
        let (mut plain, mut html) = (None::<String>, None::<String>);
        for part in shown(&self.root).into_iter().take(MAX_TEXTS) {
            let text = part.text(&self.message);
            let is_html = part.content_type.is("text", "html");
            if is_html {
                self.html_octets += part.content(&self.message).len();
            }
            let joined = if is_html { &mut html } else { &mut plain }.get_or_insert_default();
            let room = MAX_TEXT.saturating_sub(joined.len());
            joined.push_str(&text[..text.floor_char_boundary(room.min(text.len()))]);
        }
        self.html = html.map(|html| Page::read(&html));
        self.links = plain.as_deref().map(link::in_text).unwrap_or_default();
        self.links.extend(self.html.iter_mut().flat_map(|page| std::mem::take(&mut page.links)));
        self.links.truncate(link::MAX_LINKS);
        self.plain = plain;
    }

    /// Everything before the body.
    pub(super) fn header(&self) -> &[u8] {
        &self.message[self.root.header.clone()]
    }

    pub(super) fn first(&self, name: &str) -> Option<Field<'_>> {
        header::first(self.header(), name)
    }

    /// The unfolded value of the first field of this name.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.first(name).map(|field| field.text().trim().to_owned())
    }

    /// The subject with its encoded words decoded.
    pub(super) fn title(&self) -> Option<String> {
        self.value("Subject").map(|value| encoded_word::decode(&value).into_owned())
    }

    /// The addresses of the first field of this name.
    pub(super) fn addresses(&self, name: &str) -> Vec<Mailbox> {
        let entries = self.first(name).map(|field| address_list::parse(field.value)).unwrap_or_default();
        let mailbox = |entry| match entry {
            Entry::Mailbox(mailbox) => Some(mailbox),
            Entry::GroupStart(_) | Entry::GroupEnd => None,
        };
        entries.into_iter().filter_map(mailbox).collect()
    }

    /// Every part, those of messages inside it too.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.root.walk()
    }

    /// The parts of this message itself: not those of messages that it carries.
    pub(super) fn own_parts(&self) -> Vec<&Part> {
        own(&self.root)
    }

    /// Content-Type as it is written in the header of a part.
    pub(super) fn written_type(&self, part: &Part) -> Option<kings_mail::content_type::ContentType> {
        let field = header::first(&self.message[part.header.clone()], "Content-Type")?;
        kings_mail::content_type::ContentType::parse(field.value)
    }
}

/// This part and all below it, but for what is inside a message that it carries.
fn own(root: &Part) -> Vec<&Part> {
    let (mut ahead, mut found) = (vec![root], Vec::new());
    while let Some(part) = ahead.pop() {
        found.push(part);
        if let Kind::Multipart(parts) = &part.kind {
            ahead.extend(parts.iter().rev());
        }
    }
    found
}

/// The text parts that a reader sees at once.
pub(super) fn shown(root: &Part) -> Vec<&Part> {
    let is_text = |part: &&Part| part.kind == Kind::Leaf && is_shown_text(part);
    own(root).into_iter().filter(is_text).collect()
}

fn is_shown_text(part: &Part) -> bool {
    let is_text = part.content_type.is("text", "plain") || part.content_type.is("text", "html");
    is_text && part.disposition.as_ref().is_none_or(|disposition| disposition.kind != "attachment")
}

/// A file of this machine in the form of mail; a message that mixes line ends stays as it is.
fn crlf(message: &[u8]) -> Cow<'_, [u8]> {
    if message.contains(&b'\r') || !message.contains(&b'\n') {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len() + message.len() / 32);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    Cow::Owned(out)
}
