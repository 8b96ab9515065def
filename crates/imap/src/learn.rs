//! What is learnt from a message that is read once, in three sheets: whoever keeps them need not read it again.
//!
//! The sheets are for [`Listing`], [`crate::sort`] and [`crate::thread`]; how they are packed is known here alone.

use kings_mail::address_list::{self, Entry};
use kings_mail::casemap::unicode_casemap;
use kings_mail::date::DateTime;
use kings_mail::header::{Field, Fields};
use kings_mail::subject::Subject;
use kings_mail::{encoded_word, message_ids};

use crate::fetch::{Content, envelope, preview, structure};
use crate::limits::{MAX_REFERENCES, MAX_SORT_KEY};
use crate::text;

/// Changes with everything that changes what stands in a sheet.
pub const VERSION: u32 = 2;

/// What stands for no date in a packed sheet.
const NO_DATE: i64 = i64::MIN;

/// Reads a message for all three sheets: listing, sorting, threading.
pub fn learn(content: &Content<'_>) -> [Vec<u8>; 3] {
    let header = Header::of(content.octets());
    let subject = Subject::of(&header.text("Subject").unwrap_or_default());
    let subject = Subject { base: unicode_casemap(&subject.base, MAX_SORT_KEY), ..subject };
    [listing(content), sorting(&header, &subject), threading(&header, &subject)]
}

/// The fields that are wanted, the first of each name.
struct Header<'a>([Option<Field<'a>>; NAMES.len()]);

const NAMES: [&str; 8] = ["Date", "Subject", "From", "To", "Cc", "Message-ID", "References", "In-Reply-To"];

impl<'a> Header<'a> {
    fn of(octets: &'a [u8]) -> Self {
        let mut found = [None; NAMES.len()];
        for field in Fields::new(octets) {
            if let Some(place) = NAMES.iter().position(|name| field.is(name)) {
                found[place] = found[place].or(Some(field));
            }
        }
        Self(found)
    }

    fn field(&self, name: &str) -> Option<Field<'a>> {
        let place = NAMES.iter().position(|known| *known == name)?;
        self.0[place]
    }

    fn text(&self, name: &str) -> Option<String> {
        self.field(name).map(|field| field.text())
    }

    /// RFC 5256 §2.2, without the date of arrival, which is not the message's.
    fn sent(&self) -> i64 {
        let sent = self.text("Date").and_then(|text| DateTime::parse_sent(&text));
        sent.map_or(NO_DATE, DateTime::unix)
    }

    fn ids(&self, name: &str) -> impl Iterator<Item = Vec<u8>> {
        self.field(name).map(|field| message_ids::parse(field.value)).into_iter().flatten()
    }
}

/// What lists of messages show, as it goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    pub(crate) envelope: &'a [u8],
    pub(crate) structure: &'a [u8],
    pub(crate) shape: &'a [u8],
    pub(crate) preview: &'a [u8],
}

impl<'a> Listing<'a> {
    /// Unpacks a sheet.
    pub fn unpack(sheet: &'a [u8]) -> Option<Self> {
        let mut sheet = Unpack(sheet);
        let mut text = || sheet.long();
        let listing = Self { envelope: text()?, structure: text()?, shape: text()?, preview: text()? };
        sheet.0.is_empty().then_some(listing)
    }
}

fn listing(content: &Content<'_>) -> Vec<u8> {
    let mut texts = [const { Vec::new() }; 4];
    let [envelope, structure, shape, preview] = &mut texts;
    envelope::write(envelope, content.octets());
    structure::write(structure, content.tree(), content.octets(), structure::Detail::Extended);
    structure::write(shape, content.tree(), content.octets(), structure::Detail::Plain);
    text::string(preview, preview::words(content.tree(), content.octets()).as_bytes());
    let mut out = Vec::with_capacity(texts.iter().map(|text| text.len() + 4).sum());
    for text in texts {
        out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(text);
    }
    out
}

/// What a message is sorted by; texts compare as octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting<'a> {
    /// When it was sent, in seconds since 1970; `None` where that says no Date field.
    pub(crate) sent: Option<i64>,
    /// The local part of the first address, as those of From and To.
    pub(crate) cc: &'a [u8],
    pub(crate) from: &'a [u8],
    /// The base subject.
    pub(crate) subject: &'a [u8],
    pub(crate) to: &'a [u8],
    /// What is shown of the first address.
    pub(crate) display_from: &'a [u8],
    pub(crate) display_to: &'a [u8],
}

impl<'a> Sorting<'a> {
    /// A message that could not be read.
    pub const NOTHING: Self =
        Self { sent: None, cc: b"", from: b"", subject: b"", to: b"", display_from: b"", display_to: b"" };

    /// Unpacks a sheet.
    pub fn unpack(sheet: &'a [u8]) -> Option<Self> {
        let mut sheet = Unpack(sheet);
        let sent = known(sheet.date()?);
        let mut text = || sheet.short();
        let (cc, from, subject, to) = (text()?, text()?, text()?, text()?);
        Some(Self { sent, cc, from, subject, to, display_from: text()?, display_to: text()? })
    }
}

fn sorting(header: &Header<'_>, subject: &Subject) -> Vec<u8> {
    let first =
        |name| header.field(name).and_then(|field| address_list::parse(field.value).into_iter().next());
    let (cc, from, to) = (first("Cc"), first("From"), first("To"));
    let mailbox = |entry: &Option<Entry>| unicode_casemap(&local_part(entry.as_ref()), MAX_SORT_KEY);
    let display = |entry: &Option<Entry>| unicode_casemap(&display(entry.as_ref()), MAX_SORT_KEY);
    let mut out = header.sent().to_le_bytes().to_vec();
    for text in
        [mailbox(&cc), mailbox(&from), subject.base.clone(), mailbox(&to), display(&from), display(&to)]
    {
        put_short(&mut out, text.as_bytes());
    }
    out
}

/// `addr-mailbox` of the address (RFC 3501 §7.4.2): a group's name where it begins one.
fn local_part(entry: Option<&Entry>) -> String {
    match entry {
        Some(Entry::Mailbox(mailbox)) => mailbox.local_part.clone(),
        Some(Entry::GroupStart(name)) => name.clone(),
        Some(Entry::GroupEnd) | None => String::new(),
    }
}

/// What is shown of an address (RFC 5957 §3).
fn display(entry: Option<&Entry>) -> String {
    match entry {
        Some(Entry::Mailbox(mailbox)) => match &mailbox.display_name {
            Some(name) => encoded_word::decode(name).into_owned(),
            None if mailbox.domain.is_empty() => mailbox.local_part.clone(),
            None => format!("{}@{}", mailbox.local_part, mailbox.domain),
        },
        other => local_part(other),
    }
}

/// What puts a message into a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threading<'a> {
    pub(crate) sent: Option<i64>,
    pub(crate) subject: &'a [u8],
    /// An answer, or forwarded, by its subject.
    pub(crate) is_reply: bool,
    /// Empty where there is none.
    pub(crate) id: &'a [u8],
    references: &'a [u8],
}

impl<'a> Threading<'a> {
    /// A message that could not be read.
    pub const NOTHING: Self = Self { sent: None, subject: b"", is_reply: false, id: b"", references: b"" };

    /// Unpacks a sheet.
    pub fn unpack(sheet: &'a [u8]) -> Option<Self> {
        let mut sheet = Unpack(sheet);
        let sent = known(sheet.date()?);
        let is_reply = sheet.take(1)? == [1];
        let (subject, id) = (sheet.short()?, sheet.short()?);
        Some(Self { sent, subject, is_reply, id, references: sheet.0 })
    }

    /// The identifiers of the messages before it, the nearest last.
    pub fn references(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Unpack(self.references);
        std::iter::from_fn(move || rest.short())
    }
}

fn threading(header: &Header<'_>, subject: &Subject) -> Vec<u8> {
    let mut out = header.sent().to_le_bytes().to_vec();
    out.push(u8::from(subject.is_reply));
    put_short(&mut out, subject.base.as_bytes());
    put_short(&mut out, &header.ids("Message-ID").next().unwrap_or_default());
    let mut references: Vec<Vec<u8>> = header.ids("References").collect();
    if references.is_empty() {
        references.extend(header.ids("In-Reply-To").next());
    }
    for id in &references[references.len().saturating_sub(MAX_REFERENCES)..] {
        put_short(&mut out, id);
    }
    out
}

fn known(date: i64) -> Option<i64> {
    (date != NO_DATE).then_some(date)
}

fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_le_bytes());
    out.extend(&text[..usize::from(length)]);
}

struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.0.split_first_chunk::<COUNT>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_le_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn date(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MESSAGE: &str = "Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nFrom: =?utf-8?q?J=C3=B6rg?= <Joe@x.example>\r\n\
        To: friends: ann@x.example;\r\nCc: bob@x.example, carl@x.example\r\nSubject: Re: [a] hello\r\n\
        Message-ID: <1@x>\r\nReferences: <0@x>\r\n <\"00\"@x>\r\nIn-Reply-To: <9@x>\r\n\r\nbody\r\n";

    #[test]
    fn a_message_is_learnt_whole() {
        let [listing, sorting, threading] = learn(&Content::new(MESSAGE.as_bytes()));
        let listing = Listing::unpack(&listing).unwrap();
        assert!(listing.envelope.starts_with(b"(\"Fri, 21 Nov 1997 09:55:06 -0600\" \"Re: [a] hello\""));
        assert!(listing.structure.starts_with(b"(\"text\" \"plain\""));
        assert!(listing.structure.len() > listing.shape.len());
        assert_eq!(listing.preview, b"\"body\"");
        let sorting = Sorting::unpack(&sorting).unwrap();
        let expected = Sorting {
            sent: Some(880_127_706),
            cc: b"BOB",
            from: b"JOE",
            subject: b"HELLO",
            to: b"FRIENDS",
            display_from: "JO\u{308}RG".as_bytes(),
            display_to: b"FRIENDS",
        };
        assert_eq!(sorting, expected);
        let threading = Threading::unpack(&threading).unwrap();
        assert!(threading.is_reply && threading.id == b"1@x" && threading.subject == b"HELLO");
        assert_eq!(threading.references().collect::<Vec<_>>(), [b"0@x".as_slice(), b"00@x"]);
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let [_, sorting, threading] = learn(&Content::new(b"\r\n"));
        assert_eq!(Sorting::unpack(&sorting), Some(Sorting::NOTHING));
        assert_eq!(Threading::unpack(&threading), Some(Threading::NOTHING));
        let bare = "From: joe@x.example\r\nTo: <a>\r\nDate: 1 Jan 2027 25:00\r\nIn-Reply-To: you <b@x> <c@x>\r\n\r\n";
        let [_, sorting, threading] = learn(&Content::new(bare.as_bytes()));
        let sorting = Sorting::unpack(&sorting).unwrap();
        assert_eq!((sorting.display_from, sorting.display_to), (&b"JOE@X.EXAMPLE"[..], &b"A"[..]));
        assert_eq!(sorting.sent, Some(1_798_761_600), "a time that is none counts as midnight");
        let threading = Threading::unpack(&threading).unwrap();
        assert_eq!(threading.references().collect::<Vec<_>>(), [b"b@x"]);
    }

    #[test]
    fn so_many_references_are_kept_and_no_more() {
        let many: String = (0..100_000).map(|number| format!(" <{number}@x>\r\n")).collect();
        let [_, _, threading] = learn(&Content::new(format!("References:{many}\r\n").as_bytes()));
        let threading = Threading::unpack(&threading).unwrap();
        assert_eq!(threading.references().count(), MAX_REFERENCES);
        assert_eq!(threading.references().last(), Some(b"99999@x".as_slice()));
    }

    #[test]
    fn a_sheet_that_ends_too_early_is_none() {
        let [listing, sorting, _] = learn(&Content::new(MESSAGE.as_bytes()));
        for end in 0..listing.len() {
            assert_eq!(Listing::unpack(&listing[..end]), None);
        }
        for end in 0..sorting.len() {
            assert_eq!(Sorting::unpack(&sorting[..end]), None);
        }
    }
}
