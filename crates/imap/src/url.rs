//! IMAP URLs that name a message of this server, or a part of one (RFC 5092 §11), as CATENATE takes them.

use std::borrow::Cow;
use std::num::NonZeroU32;

use kings_mail::header;
use kings_mail::mime::Facet;

use crate::command::fetch::{Section, SectionText, section};
use crate::cursor::Cursor;
use crate::fetch::Content;
use crate::limits::MAX_URL;
use crate::sequence::Uid;

/// Octets of a message, named by a URL that is relative to this server and this login.
///
/// Of the forms of RFC 5092 §7 there are an absolute path, and `;UID=...` in the selected mailbox. URLs of other servers and
/// logins, searches and URLAUTH are none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartUrl {
    /// As the client wrote it.
    pub text: String,
    /// Unicode; `None` for the selected mailbox.
    pub mailbox: Option<String>,
    /// The UIDVALIDITY that the mailbox must have.
    pub validity: Option<NonZeroU32>,
    /// The message.
    pub uid: Uid,
    /// Which octets of it.
    section: Section,
    /// Where among them, and how many.
    partial: Option<(u32, Option<NonZeroU32>)>,
}

impl PartUrl {
    /// Reads `/Drafts;UIDVALIDITY=3/;UID=20/;SECTION=1.2/;PARTIAL=0.1024`; `None` for everything that is no such URL.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |octet: u8| octet.is_ascii_graphic() && !br#"?#[]<>"\^`{|}"#.contains(&octet);
        if text.len() > MAX_URL || !text.bytes().all(is_plain) {
            return None;
        }
        let (place, rest) = match text.strip_prefix('/') {
            Some(path) => path.split_at(find(path, "/;UID=")?),
            None => ("", text),
        };
        let rest =
            rest.strip_prefix('/').filter(|_| !place.is_empty()).or(place.is_empty().then_some(rest))?;
        let (mailbox, validity) = if place.is_empty() { (None, None) } else { in_mailbox(place)? };
        let mut parameters = rest.split("/;");
        let uid = parameters.next().and_then(|first| value(first, ";UID=")).and_then(nz_number)?;
        let mut next = parameters.next();
        let mut section = Section { path: Vec::new(), text: SectionText::Facet(Facet::Whole) };
        if let Some(named) = next.and_then(|parameter| value(parameter, "SECTION=")) {
            section = section_of(&decode(named)?)?;
            next = parameters.next();
        }
        let mut partial = None;
        if let Some(range) = next.and_then(|parameter| value(parameter, "PARTIAL=")) {
            partial = Some(range_of(range)?);
            next = parameters.next();
        }
        next.is_none().then(|| Self {
            text: text.to_owned(),
            mailbox,
            validity,
            uid: Uid(uid),
            section,
            partial,
        })
    }

    /// The octets that it names; `None` where the message has no such part.
    pub fn octets<'a>(&self, message: &Content<'a>) -> Option<Cow<'a, [u8]>> {
        let facet = match &self.section.text {
            SectionText::Facet(facet) => *facet,
            SectionText::Fields { .. } => Facet::Header,
        };
        let octets = message.octets().get(message.section(&self.section.path, facet)?)?;
        let octets = match &self.section.text {
            SectionText::Facet(_) => Cow::Borrowed(octets),
            SectionText::Fields { keep, names } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Cow::Owned(header::select(octets, &names, *keep))
            }
        };
        let Some((start, count)) = self.partial else { return Some(octets) };
        let start = (start as usize).min(octets.len());
        let end = count.map_or(octets.len(), |count| start.saturating_add(count.get() as usize));
        let range = start..end.min(octets.len());
        Some(match octets {
            Cow::Borrowed(octets) => Cow::Borrowed(&octets[range]),
            Cow::Owned(octets) => Cow::Owned(octets[range].to_vec()),
        })
    }
}

/// Where `word`, of ASCII in upper case, begins.
fn find(text: &str, word: &str) -> Option<usize> {
    text.to_ascii_uppercase().find(word)
}

/// The value of a parameter; its name has no case.
fn value<'a>(parameter: &'a str, name: &str) -> Option<&'a str> {
    let (start, value) = parameter.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// `Drafts;UIDVALIDITY=3`
fn in_mailbox(place: &str) -> Option<(Option<String>, Option<NonZeroU32>)> {
    let (name, validity) = match find(place, ";UIDVALIDITY=") {
        Some(at) => {
            let (name, parameter) = place.split_at(at);
            (name, Some(nz_number(value(parameter, ";UIDVALIDITY=")?)?))
        }
        None => (place, None),
    };
    let is_name = !name.is_empty() && !name.starts_with('/') && !name.contains(';');
    Some((Some(decode(name).filter(|_| is_name)?), validity))
}

fn nz_number(digits: &str) -> Option<NonZeroU32> {
    digits.parse().ok().filter(|_| digits.bytes().all(|octet| octet.is_ascii_digit()))
}

/// `0.1024`, or `1024` for all that follows (RFC 5092 §11 `partial-range`).
fn range_of(range: &str) -> Option<(u32, Option<NonZeroU32>)> {
    let number =
        |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|octet| octet.is_ascii_digit()));
    match range.split_once('.') {
        Some((start, count)) => Some((number(start)?, Some(nz_number(count)?))),
        None => Some((number(range)?, None)),
    }
}

fn section_of(text: &str) -> Option<Section> {
    let mut cursor = Cursor::new(text.as_bytes());
    let section = section(&mut cursor).ok()?;
    cursor.end().ok().map(|()| section)
}

/// Undoes `%20` (RFC 3986 §2.1); the octets must be UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((octet, behind)) = rest.split_first() {
        rest = behind;
        if *octet == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|text| text.bytes().all(|octet| octet.is_ascii_hexdigit()))?;
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            rest = behind;
        } else {
            octets.push(*octet);
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MESSAGE: &[u8] =
        b"From: a\r\nSubject: b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
        Content-Type: text/plain\r\n\r\none\r\n--x\r\n\r\ntwo\r\n--x--\r\n";

    #[test]
    fn a_url_names_mailbox_message_and_octets() {
        type Case<'a> = (&'a str, Option<&'a str>, Option<u32>, Option<&'a [u8]>);
        let cases: [Case<'_>; 13] = [
            ("/INBOX/;UID=5", Some("INBOX"), None, Some(MESSAGE)),
            ("/INBOX;UIDVALIDITY=7/;uid=5/;Section=1", Some("INBOX"), Some(7), Some(b"one")),
            ("/A/B%20%c3%bc%2F/;UID=5/;SECTION=2", Some("A/B ü/"), None, Some(b"two")),
            ("/x/;UID=5/;SECTION=1.MIME", Some("x"), None, Some(b"Content-Type: text/plain\r\n\r\n")),
            ("/x/;UID=5/;SECTION=HEADER.FIELDS%20(subject)", Some("x"), None, Some(b"Subject: b\r\n\r\n")),
            (
                "/x/;UID=5/;SECTION=HEADER.FIELDS%20(%22subject%22)/;PARTIAL=0.3",
                Some("x"),
                None,
                Some(b"Sub"),
            ),
            ("/x/;UID=5/;PARTIAL=3.4", Some("x"), None, Some(b"m: a")),
            ("/x/;UID=5/;SECTION=1/;PARTIAL=1", Some("x"), None, Some(b"ne")),
            ("/x/;UID=5/;SECTION=1/;PARTIAL=9.4294967295", Some("x"), None, Some(b"")),
            ("/x/;UID=5/;SECTION=3", Some("x"), None, None),
            ("/x/;UID=5/;SECTION=", Some("x"), None, Some(MESSAGE)),
            (";UID=5/;SECTION=1", None, None, Some(b"one")),
            ("/x%25%3B/;UID=5/;SECTION=1", Some("x%;"), None, Some(b"one")),
        ];
        for (text, mailbox, validity, octets) in cases {
            let url = PartUrl::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(url.mailbox.as_deref(), mailbox, "{text}");
            assert_eq!((url.validity.map(NonZeroU32::get), url.uid.0.get()), (validity, 5), "{text}");
            assert_eq!(url.octets(&Content::new(MESSAGE)).as_deref(), octets, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_message_here_is_none() {
        let long = format!("/{}/;UID=1", "x".repeat(MAX_URL));
        let cases = [
            "",
            "/",
            "INBOX",
            "/INBOX",
            "/INBOX/",
            "/INBOX;UID=1",
            "/;UID=1",
            "//;UID=1",
            "//host/INBOX/;UID=1",
            "imap://ann@host/INBOX/;UID=1",
            "INBOX/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX/;UID=+1",
            "/INBOX/;UID=4294967296",
            "/INBOX/;UID=*",
            "/INBOX/;UID=1:2",
            "/INBOX/;UID=1/",
            "/INBOX/;UID=1/;UID=2",
            "/INBOX;UIDVALIDITY=0/;UID=1",
            "/INBOX;UIDVALIDITY=x/;UID=1",
            "/INBOX;UIDVALIDITY=1;UIDVALIDITY=1/;UID=1",
            ";UIDVALIDITY=1/;UID=1",
            "/INBOX;TYPE=A/;UID=1",
            "/INBOX/;UID=1/;SECTION=MIME",
            "/INBOX/;UID=1/;SECTION=1.x",
            "/INBOX/;UID=1/;SECTION=0",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1/;PARTIAL=-1",
            "/INBOX/;UID=1/;PARTIAL=",
            "/INBOX/;UID=1/;PARTIAL=1.2.3",
            "/INBOX/;UID=1/;PARTIAL=1/;SECTION=1",
            "/INBOX/;UID=1;URLAUTH=anonymous:internal:00",
            "/INBOX?SUBJECT%20x",
            "/INBOX/;UID=1#x",
            "/IN BOX/;UID=1",
            "/x]/;UID=1",
            "/\u{fc}/;UID=1",
            "/%/;UID=1",
            "/%2/;UID=1",
            "/%+2/;UID=1",
            "/%ff/;UID=1",
            &long,
        ];
        for text in cases {
            assert_eq!(PartUrl::parse(text), None, "{text}");
        }
    }
}
