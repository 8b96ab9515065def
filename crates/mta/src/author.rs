//! The header of a submission: who wrote it, and what a client may leave to us (RFC 6409 §8).

use kings_mail::address::Address;
use kings_mail::address_list;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::header::{self, Fields};
use kings_mail::id::TraceId;

/// Fields that name secret recipients (RFC 5322 §3.6.3, §3.6.6).
const SECRET: [&str; 2] = ["Bcc", "Resent-Bcc"];

/// Why the header does not say who is responsible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAuthor {
    /// The From field can be read in none or in several ways.
    From,
    /// The Sender field is not exactly one address.
    Sender,
}

/// Everybody the header presents as its author: all of From, and Sender where there is one. Empty when there
/// is no From at all.
pub(crate) fn authors(head: &[u8]) -> Result<Vec<Address>, BadAuthor> {
    let mut authors = match header::first(head, "From") {
        Some(from) => address_list::authors(from.value).map_err(|_| BadAuthor::From)?,
        None => Vec::new(),
    };
    for sender in header::all(head, "Sender") {
        let sender = address_list::authors(sender.value).map_err(|_| BadAuthor::Sender)?;
        let [sender] = sender.as_slice() else { return Err(BadAuthor::Sender) };
        authors.push(sender.clone());
    }
    Ok(authors)
}

/// What a submission may leave to us.
pub(crate) struct Completion<'a> {
    /// Who is logged in: the author of a message without From.
    pub(crate) account: &'a Address,
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
            ("Date", format!("Date: {date}\r\n")),
            ("From", format!("From: <{account}>\r\n")),
            ("Message-ID", format!("Message-ID: <{id}@{hostname}>\r\n")),
        ];
        let is_missing = |name: &str| header::first(head, name).is_none();
        completions.into_iter().filter(|(name, _)| is_missing(name)).map(|(_, field)| field).collect()
    }
}

/// The head of a message without its Bcc fields, when it has any: who else got a copy in secret stays secret.
pub(crate) fn without_secrets(head: &[u8]) -> Option<Vec<u8>> {
    let has_any = Fields::new(head).any(|field| SECRET.iter().any(|name| field.is(name)));
    has_any.then(|| header::without(head, &SECRET))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn authors_are_all_of_from_and_sender() {
        let cases: [(&str, Result<&[&str], BadAuthor>); 9] = [
            ("From: Ann <ann@example.org>\r\n\r\n", Ok(&["ann@example.org"])),
            ("From: ann@example.org, joe@example.org\r\n\r\n", Ok(&["ann@example.org", "joe@example.org"])),
            (
                "from : ann@example.org\r\nSENDER: joe@x.example\r\n\r\n",
                Ok(&["ann@example.org", "joe@x.example"]),
            ),
            ("Subject: x\r\n\r\nFrom: ann@example.org\r\n", Ok(&[])),
            ("From: nobody\r\n\r\n", Err(BadAuthor::From)),
            ("From: team: ann@example.org;\r\n\r\n", Err(BadAuthor::From)),
            ("From: \"ceo@example.org\" ann@example.org\r\n\r\n", Err(BadAuthor::From)),
            ("From: a@x.example\r\nSender: a@x.example, b@x.example\r\n\r\n", Err(BadAuthor::Sender)),
            ("From: a@x.example\r\nSender: ?\r\n\r\n", Err(BadAuthor::Sender)),
        ];
        for (head, expected) in cases {
            let found =
                authors(head.as_bytes()).map(|list| list.iter().map(Address::to_string).collect::<Vec<_>>());
            assert_eq!(found, expected.map(|list| list.iter().map(|&a| a.to_owned()).collect()), "{head}");
        }
    }

    #[test]
    fn only_missing_fields_are_added() {
        let account = Address::parse("ann@example.org").unwrap();
        let hostname = Domain::parse("mail.example.org").unwrap();
        let (id, date) = (TraceId::new(0, 0), DateTime::from_unix(0));
        let completion = Completion { account: &account, hostname: &hostname, id, date };
        assert_eq!(
            completion.missing_fields(b"Subject: x\r\n\r\n"),
            "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nFrom: <ann@example.org>\r\n\
             Message-ID: <000000000000000@mail.example.org>\r\n"
        );
        assert_eq!(completion.missing_fields(b"date: x\r\nMESSAGE-ID: <y>\r\nFROM: z\r\n\r\n"), "");
    }

    #[test]
    fn bcc_is_dropped_with_its_folded_lines_and_nothing_else() {
        let head = b"To: a@x.example\r\nBCC: b@x.example,\r\n c@x.example\r\nSubject: Bcc: x\r\nbcc:\r\n\r\nBcc: body\r\n";
        let expected = b"To: a@x.example\r\nSubject: Bcc: x\r\n\r\nBcc: body\r\n";
        assert_eq!(without_secrets(head).as_deref(), Some(expected.as_slice()));
        assert_eq!(without_secrets(expected), None);
    }
}
