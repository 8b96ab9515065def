//! The header of a submission: who wrote it, and what a client may leave to us (RFC 6409 §8).

use std::ops::Range;

use kings_mail::address::{Address, LocalPart};
use kings_mail::address_list::{self, Entry, Mailbox};
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::encoded_word;
use kings_mail::header::{self, Fields};
use kings_mail::id::TraceId;
use kings_mail::raw_header;
use kings_mail::visible::{self, as_seen};
use tracing::info;

/// What the names of resent fields begin with.
const RESENT: &str = "Resent-";

/// Fields that name secret recipients (RFC 5322 §3.6.3, §3.6.6).
const SECRET: [&str; 2] = ["Bcc", "Resent-Bcc"];

/// Fields whose bare names are completed for the machine's own users.
const ADDRESSES: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Errors-To",
];

/// Why the header does not say who is responsible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAuthor {
    /// A field of this name shows nobody, or somebody beside its authors who has no address.
    Authors(&'static str),
    /// A field of this name is not exactly one address.
    Sender(&'static str),
}

/// Whom the header presents as its authors; nobody when there is no From at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authors {
    /// Who answers for the message as it is now: all of From, and Sender where there is one; or, where it is sent again,
    /// whoever says to do that.
    pub(crate) now: Vec<Address>,
    /// Of a message that is sent again: who wrote it, and who sent it again before.
    pub(crate) before: Vec<Address>,
}

impl Authors {
    pub(crate) fn all(&self) -> Vec<&Address> {
        self.now.iter().chain(&self.before).collect()
    }
}

/// A message is sent again where its newest block of resent fields, the topmost, has a Resent-From (RFC 5322 §3.6.6).
/// Without one the block proves nothing, and everybody whom the header names answers for it.
pub(crate) fn authors(head: &[u8]) -> Result<Authors, BadAuthor> {
    let fields: Vec<header::Field<'_>> = Fields::new(head).collect();
    let newest = newest_block(&fields);
    let is_again = fields[newest.clone()].iter().any(|field| field.is("Resent-From"));
    let mut authors = Authors::default();
    let mut add = |place: usize, found: Vec<Address>| {
        let list = if is_again && !newest.contains(&place) { &mut authors.before } else { &mut authors.now };
        list.extend(found);
    };
    for name in ["From", "Resent-From"] {
        for (place, field) in fields.iter().enumerate().filter(|(_, field)| field.is(name)) {
            add(place, whole(field.value).ok_or(BadAuthor::Authors(name))?);
        }
    }
    for name in ["Sender", "Resent-Sender"] {
        for (place, field) in fields.iter().enumerate().filter(|(_, field)| field.is(name)) {
            let sender = whole(field.value).filter(|sender| sender.len() == 1);
            add(place, sender.ok_or(BadAuthor::Sender(name))?);
        }
    }
    Ok(authors)
}

/// The places of the topmost resent fields: they end at any other field, and where a name comes a second time, for each
/// stands in a block once.
fn newest_block(fields: &[header::Field<'_>]) -> Range<usize> {
    let is_resent = |field: &header::Field<'_>| {
        field.name.get(..RESENT.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESENT))
    };
    let start = fields.iter().position(is_resent).unwrap_or(fields.len());
    let goes_on = |place: usize| {
        is_resent(&fields[place]) && !fields[start..place].iter().any(|known| known.is(fields[place].name))
    };
    let end = (start..fields.len()).find(|&place| !goes_on(place)).unwrap_or(fields.len());
    start..end
}

fn whole(value: &[u8]) -> Option<Vec<Address>> {
    Some(address_list::authors(value).ok()?.all_addresses()?.to_vec())
}

/// The author to sign for: the first that the From field shows, whatever else is odd about it.
pub(crate) fn first_author(head: &[u8]) -> Option<Address> {
    let field = header::first(head, "From")?;
    address_list::authors(field.value).ok()?.addresses().first().cloned()
}

/// Who says to send again what somebody else wrote: the first in the newest Resent-From (RFC 5322 §3.6.6).
pub(crate) fn resender(head: &[u8]) -> Option<Address> {
    let fields: Vec<header::Field<'_>> = Fields::new(head).collect();
    let field = fields[newest_block(&fields)].iter().find(|field| field.is("Resent-From"))?;
    address_list::authors(field.value).ok()?.addresses().first().cloned()
}

/// The domains of addresses that a name for people shows: a reader takes it for the author, and many programs show
/// nothing else. Read as people see it: encoded words decoded, with other signs for `@` and dots, what has no width left out.
pub(crate) fn shown_domains(author: &Mailbox) -> Vec<String> {
    domains_in(author.display_name.as_deref().unwrap_or_default())
}

/// The same of any text, such as the whole of a From field: the authors themselves, names of groups, comments.
pub(crate) fn domains_in(text: &str) -> Vec<String> {
    let readings = [Some(encoded_word::decode(text).into_owned()), encoded_word::decode_otherwise(text)];
    let readings = readings.into_iter().flatten();
    let readings = readings.flat_map(|text| [visible::turned(&text), Some(text)]).flatten();
    readings.flat_map(|text| domains_shown(&text)).collect()
}

fn domains_shown(text: &str) -> Vec<String> {
    let decoded: String = text.chars().filter_map(as_seen).collect();
    let is_of_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    // A sign that no host has is no end to every reader: what its word goes on with is looked at as well.
    let ends = |c: char| c.is_whitespace() || "<>(),;\"".contains(c);
    let words = decoded.split('@').skip(1).filter_map(|text| text.trim_start().split(ends).next());
    let shown = words.flat_map(|word| word.split(|c| !is_of_domain(c)));
    let shown = shown.map(|text| text.trim_start_matches('.'));
    let shown = shown.map(|text| text.trim_end_matches('.').to_lowercase());
    shown.filter(|text| text.contains('.')).collect()
}

/// What a submission may leave to us.
pub(crate) struct Completion<'a> {
    /// Who is logged in, or sends: the author of a message without From.
    pub(crate) account: Option<&'a Address>,
    /// Our name, for the right side of a Message-ID.
    pub(crate) hostname: &'a Domain,
    /// The name of the message here.
    pub(crate) id: TraceId,
    /// When it arrived.
    pub(crate) date: DateTime,
}

impl Completion<'_> {
    /// The fields that the header lacks, ready to be put in front of it (RFC 6409 §8.2, §8.3).
    pub(crate) fn missing_fields(&self, head: &[u8]) -> String {
        let Self { account, hostname, id, date } = self;
        let completions = [
            ("Date", Some(format!("Date: {date}\r\n"))),
            ("From", account.map(|account| format!("From: <{account}>\r\n"))),
            ("Message-ID", Some(format!("Message-ID: <{id}@{hostname}>\r\n"))),
        ];
        let is_missing = |name: &str| header::first(head, name).is_none();
        completions.into_iter().filter(|(name, _)| is_missing(name)).filter_map(|(_, field)| field).collect()
    }
}

/// The head of a message without its Bcc fields, when it has any: who else got a copy in secret stays secret.
pub(crate) fn without_secrets(head: &[u8]) -> Option<Vec<u8>> {
    let has_any = Fields::new(head).any(|field| SECRET.iter().any(|name| field.is(name)));
    has_any.then(|| header::without(head, &SECRET))
}

/// Signatures that may cover any field.
const SIGNATURES: [&str; 2] = ["DKIM-Signature", "ARC-Message-Signature"];

/// The head with encoded words for raw 8-bit text in it, so that it may leave for every host; `None` where it stays as it
/// is: where its writer asks for SMTPUTF8, and where somebody has signed it, for the signature would break.
pub(crate) fn in_words(head: &[u8], utf8: bool, id: TraceId) -> Option<Vec<u8>> {
    let encoded = raw_header::encoded(head).filter(|_| !utf8)?;
    if SIGNATURES.iter().any(|name| header::first(head, name).is_some()) {
        info!(%id, "8-bit text in the header stays, since the message is signed: a host without 8BITMIME will not get it");
        return None;
    }
    Some(encoded)
}

/// The head with bare names in its address fields completed by the domain of the machine's users (`root` becomes
/// `root@example.org`), as Postfix does for local mail (`append_at_myorigin`). All other fields keep their octets.
pub(crate) fn completed_by(head: &[u8], origin: &Domain) -> Vec<u8> {
    let end = header::header_end(head);
    let mut done = Vec::with_capacity(head.len() + 64);
    let mut rest = &head[..end];
    for field in Fields::new(&head[..end]) {
        let Some(at) = position(rest, field.raw) else { continue };
        done.extend_from_slice(&rest[..at]);
        rest = &rest[at + field.raw.len()..];
        let is_address = ADDRESSES.iter().any(|name| field.is(name));
        match is_address.then(|| complete(field.name, field.value, origin)).flatten() {
            Some(completed) => done.extend_from_slice(completed.as_bytes()),
            None => done.extend_from_slice(field.raw),
        }
    }
    done.extend_from_slice(rest);
    done.extend_from_slice(&head[end..]);
    done
}

/// Where `raw`, a part of `text`, begins in it.
fn position(text: &[u8], raw: &[u8]) -> Option<usize> {
    (raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize).filter(|at| at + raw.len() <= text.len())
}

/// The field anew, if it has a bare name and nothing that cannot be written back.
fn complete(name: &str, value: &[u8], origin: &Domain) -> Option<String> {
    let entries = address_list::parse(value);
    let is_bare = |entry: &Entry| matches!(entry, Entry::Mailbox(mailbox) if mailbox.domain.is_empty());
    // `Doe, Ann <ann@x.example>`, `=?utf-8?q?=3Cann=40x.example=3E?=`: where an author is shown, what else stands there is
    // a careless name and no second one.
    let has_author = name.eq_ignore_ascii_case("From") && address_list::authors(value).is_ok();
    if has_author || !entries.iter().any(is_bare) {
        return None;
    }
    let mut text = format!("{name}:");
    let mut separator = " ";
    for entry in &entries {
        // Groups are rare, and local programs write none.
        let Entry::Mailbox(mailbox) = entry else { return None };
        text.push_str(separator);
        text.push_str(&written(mailbox, origin)?);
        separator = ",\r\n\t";
    }
    Some(text + "\r\n")
}

fn written(mailbox: &Mailbox, origin: &Domain) -> Option<String> {
    let local_part = LocalPart::parse(&mailbox.local_part).ok()?;
    let domain = if mailbox.domain.is_empty() { origin.as_str() } else { &mailbox.domain };
    let address = format!("{local_part}@{domain}");
    Some(match mailbox.display_name.as_deref().filter(|name| !name.is_empty()) {
        None => address,
        Some(name) if name.contains(char::is_control) => return None,
        Some(name)
            if name
                .chars()
                .all(|c| c == ' ' || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)) =>
        {
            format!("{name} <{address}>")
        }
        Some(name) => format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn authors_are_all_of_from_and_sender() {
        let cases: [(&str, Result<&[&str], BadAuthor>); 23] = [
            ("From: Ann <ann@example.org>\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: ann@example.org, joe@example.org\r\n\r\n", Ok(&["ann@example.org", "joe@example.org"])),
            (
                "from : ann@example.org\r\nSENDER: joe@x.example\r\n\r\n",
                Ok(&["ann@example.org", "joe@x.example"]),
            ),
            ("Subject: x\r\n\r\nFrom: ann@example.org\r\n", Ok(&[])),
            ("From: nobody\r\n\r\n", Err(BadAuthor::Authors("From"))),
            ("From: team: ann@example.org;\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: \"ceo@example.org\" ann@example.org\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: ann@example.org <ann@example.org>\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: ceo@example.org <ann@example.org>\r\n\r\n", Ok(&["ann@example.org", "ceo@example.org"])),
            ("From: Doe, Ann <ann@example.org>\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: ann@example.org, ceo@x..example\r\n\r\n", Err(BadAuthor::Authors("From"))),
            ("From: <ann@example.org*.evil.example>\r\n\r\n", Err(BadAuthor::Authors("From"))),
            ("From: <ann@example.org'>\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: \"ann@example.org\"\r\n\r\n", Err(BadAuthor::Authors("From"))),
            (
                "From: a@x.example\r\nSender: a@x.example, b@x.example\r\n\r\n",
                Err(BadAuthor::Sender("Sender")),
            ),
            (
                "From: a@x.example\r\nResent-From: b@x.example\r\nresent-from: c@x.example\r\n\r\n",
                Ok(&["b@x.example", "| a@x.example", "| c@x.example"]),
            ),
            (
                "Received: x\r\nResent-Date: x\r\nResent-Sender: s@x.example\r\nResent-From: b@x.example\r\nFrom: a@x.example\r\n\
                 Sender: l@x.example\r\nResent-Sender: c@x.example\r\n\r\n",
                Ok(&["b@x.example", "s@x.example", "| a@x.example", "| l@x.example", "| c@x.example"]),
            ),
            // Without a Resent-From in the newest block nobody is excused.
            (
                "Resent-To: x@x.example\r\nSubject: x\r\nResent-From: b@x.example\r\nFrom: a@x.example\r\n\r\n",
                Ok(&["a@x.example", "b@x.example"]),
            ),
            ("From: a@x.example\r\n\r\nResent-From: b@x.example\r\n", Ok(&["a@x.example"])),
            ("Resent-Sender: b@x.example\r\nFrom: a@x.example\r\n\r\n", Ok(&["a@x.example", "b@x.example"])),
            ("From: a@x.example\r\nResent-From: ?\r\n\r\n", Err(BadAuthor::Authors("Resent-From"))),
            (
                "From: a@x.example\r\nResent-Sender: a@x.example, b@x.example\r\n\r\n",
                Err(BadAuthor::Sender("Resent-Sender")),
            ),
            ("From: a@x.example\r\nSender: ?\r\n\r\n", Err(BadAuthor::Sender("Sender"))),
        ];
        for (head, expected) in cases {
            let found = authors(head.as_bytes()).map(|Authors { now, before }| {
                let before = before.iter().map(|address| format!("| {address}"));
                now.iter().map(Address::to_string).chain(before).collect::<Vec<_>>()
            });
            assert_eq!(found, expected.map(|list| list.iter().map(|&a| a.to_owned()).collect()), "{head}");
        }
    }

    #[test]
    fn addresses_in_a_name_for_people_are_found_as_people_see_them() {
        let cases: [(&str, &[&str]); 14] = [
            ("Ann <x@bad.example>", &[]),
            ("x@bad.example", &[]),
            ("\"ann @ work\" <x@bad.example>", &[]),
            ("\"Ann (me@home)\" <x@bad.example>", &[]),
            ("\"ann@Example.ORG\" <x@bad.example>", &["example.org"]),
            ("\"Ann <ann@example.org>\" <x@bad.example>", &["example.org"]),
            ("x@bad.example (ann@example.org)", &["example.org"]),
            ("\"a@one.example, ann@example.org.\" <x@bad.example>", &["one.example", "example.org"]),
            ("=?utf-8?q?ann=40example=2Eorg?= <x@bad.example>", &["example.org"]),
            ("=?utf-8?q?ann=40exam?= =?utf-8?q?ple=2Eorg_x?= <x@bad.example>", &["example.org"]),
            ("\"ann\u{ff20}example\u{ff0e}org\" <x@bad.example>", &["example.org"]),
            ("\"ann\u{fe6b}exa\u{200b}mple\u{3002}o\u{ad}rg\" <x@bad.example>", &["example.org"]),
            ("\"ann@\u{ff45}xample.org\" <x@bad.example>", &["example.org"]),
            ("\"@@..@.@example.org/x\" <x@bad.example>", &["example.org"]),
        ];
        for (field, expected) in cases {
            let entries = address_list::parse(field.as_bytes());
            let Some(Entry::Mailbox(author)) = entries.first() else { panic!("{field}: {entries:?}") };
            assert_eq!(shown_domains(author), expected, "{field}");
        }
    }

    #[test]
    fn only_missing_fields_are_added() {
        let account = Address::parse("ann@example.org").unwrap();
        let hostname = Domain::parse("mail.example.org").unwrap();
        let (id, date) = (TraceId::new(0, 0), DateTime::from_unix(0));
        let completion = Completion { account: Some(&account), hostname: &hostname, id, date };
        assert_eq!(
            completion.missing_fields(b"Subject: x\r\n\r\n"),
            "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nFrom: <ann@example.org>\r\n\
             Message-ID: <000000000000000@mail.example.org>\r\n"
        );
        assert_eq!(completion.missing_fields(b"date: x\r\nMESSAGE-ID: <y>\r\nFROM: z\r\n\r\n"), "");
    }

    #[test]
    fn raw_text_is_encoded_unless_that_is_asked_for_or_breaks_a_signature() {
        let raw = "Subject: sch\u{f6}n\r\n\r\n";
        let encoded = "Subject: =?utf-8?Q?sch=C3=B6n?=\r\n\r\n";
        let cases = [
            (raw.to_owned(), false, Some(encoded.to_owned())),
            (raw.to_owned(), true, None),
            (format!("DKIM-Signature: x\r\n{raw}"), false, None),
            (format!("ARC-Message-Signature: x\r\n{raw}"), false, None),
            (format!("X-DKIM: x\r\n{raw}"), false, Some(format!("X-DKIM: x\r\n{encoded}"))),
            (encoded.to_owned(), false, None),
        ];
        for (head, utf8, expected) in cases {
            let done = in_words(head.as_bytes(), utf8, TraceId::new(0, 0));
            assert_eq!(done.map(|head| String::from_utf8(head).unwrap()), expected, "{head} {utf8}");
        }
    }

    #[test]
    fn bare_names_are_completed_and_nothing_else_changes() {
        let origin = Domain::parse("example.org").unwrap();
        let cases = [
            ("To: root\r\n\r\nTo: root\r\n", "To: root@example.org\r\n\r\nTo: root\r\n"),
            ("From: Ann  <ann@x.example>\r\nX: y\r\n", "From: Ann  <ann@x.example>\r\nX: y\r\n"),
            ("stray\r\nFrom: root (Cron Daemon)\r\n", "stray\r\nFrom: Cron Daemon <root@example.org>\r\n"),
            (
                "cc: bob,\r\n \"Lee, \\\"Ann\" <ann>\r\n",
                "cc: bob@example.org,\r\n\t\"Lee, \\\"Ann\" <ann@example.org>\r\n",
            ),
            ("To: undisclosed-recipients:;\r\n", "To: undisclosed-recipients:;\r\n"),
            ("To: all my friends\r\n", "To: all my friends\r\n"),
            ("From: Doe, Ann <ann@x.example>\r\n", "From: Doe, Ann <ann@x.example>\r\n"),
            ("From: =?utf-8?q?=3Cann=40x.org=3E?=\r\n", "From: =?utf-8?q?=3Cann=40x.org=3E?=\r\n"),
            ("From: ann, Bob <bob>\r\n", "From: ann@example.org,\r\n\tBob <bob@example.org>\r\n"),
            ("Subject: root\r\n", "Subject: root\r\n"),
        ];
        for (head, expected) in cases {
            let completed = completed_by(head.as_bytes(), &origin);
            assert_eq!(String::from_utf8(completed).unwrap(), expected);
        }
    }

    #[test]
    fn bcc_is_dropped_with_its_folded_lines_and_nothing_else() {
        let head = b"To: a@x.example\r\nBCC: b@x.example,\r\n c@x.example\r\nSubject: Bcc: x\r\nbcc:\r\n\r\nBcc: body\r\n";
        let expected = b"To: a@x.example\r\nSubject: Bcc: x\r\n\r\nBcc: body\r\n";
        assert_eq!(without_secrets(head).as_deref(), Some(expected.as_slice()));
        assert_eq!(without_secrets(expected), None);
    }
}
