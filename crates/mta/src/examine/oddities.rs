//! What a reader of a header may be deceived by, a sentence each. Nothing here decides.

use kings_mail::address_list::{self, Entry, Mailbox};
use kings_mail::domain::Domain;
use kings_mail::header::{self, Field};
use kings_msgauth::dmarc;
use kings_msgauth::results;

use crate::author;
use crate::policy::verdict;

/// Most sentences: ours; a header of a thousand odd authors is told by its first.
const MAX: usize = 20;

/// All that is odd.
pub(super) fn of_header(head: &[u8], hostname: &Domain) -> Vec<String> {
    let mut odd: Vec<String> = header::check(head).err().iter().map(ToString::to_string).collect();
    let unjudged = match dmarc::author_domains(head) {
        Ok(authors) => authors.odd,
        Err(why) => Some(why),
    };
    odd.extend(unjudged.iter().map(ToString::to_string));
    odd.extend(header::all(head, "From").flat_map(|field| of_author(&field)));
    for name in ["Date", "Subject", "To", "Sender", "Reply-To", "Message-ID"] {
        let count = header::all(head, name).count();
        if count > 1 {
            odd.push(format!("there are {count} {name} fields"));
        }
    }
    if results::without_forged(hostname, head).is_some() {
        odd.push(format!("it carries results in our name ({hostname}), which are removed"));
    }
    if header::first(head, verdict::FIELD).is_some() {
        odd.push(format!("it carries {}, which is removed", verdict::FIELD));
    }
    if let Ok(header::HeaderSummary { stray_line: Some(at), .. }) = header::check(head) {
        odd.push(format!("there is a line in the header that is no field, at octet {at}"));
    }
    odd.truncate(MAX);
    odd
}

fn of_author(field: &Field<'_>) -> Vec<String> {
    let mailboxes = address_list::parse(field.value).into_iter().filter_map(|entry| match entry {
        Entry::Mailbox(mailbox) => Some(mailbox),
        _ => None,
    });
    let mut odd: Vec<String> = mailboxes.filter_map(|mailbox| deceiving(&mailbox)).collect();
    let authors = address_list::authors(field.value).unwrap_or_default();
    if authors.addresses().len() > 1 {
        odd.push(format!("From names {} authors", authors.addresses().len()));
    }
    odd
}

/// A name for people that looks like the address of somebody else.
fn deceiving(author: &Mailbox) -> Option<String> {
    let shown = author::shown_domains(author);
    let shown = shown.iter().find(|shown| !shown.eq_ignore_ascii_case(&author.domain))?;
    Some(format!("the name in From shows an address at {shown}, the address is at {}", author.domain))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn headers_that_deceive_are_told() {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let cases = [
            ("From: Ann <ann@example.org>\r\n", None),
            ("From: \"ann@example.org\" <ann@example.org>\r\n", None),
            ("From: \"ann @ work\" <ann@example.org>\r\n", None),
            ("From: \"ceo@bank.example\" <joe@evil.example>\r\n", Some("shows an address at bank.example")),
            ("From: =?utf-8?q?ceo=40bank=2Eexample?= <joe@evil.example>\r\n", Some("bank.example")),
            ("From: a@example.org, b@example.net\r\n", Some("names 2 authors")),
            ("From: a@example.org\r\nFrom: b@example.net\r\n", Some("more than one From field")),
            ("Subject: x\r\n", Some("no From field")),
            ("From: a@example.org <b@example.net>\r\n", Some("names 2 authors")),
            ("From: a@example.org, b@x..example\r\n", Some("no domain that could be read")),
            ("From: team: a@example.org;\r\n", None),
            ("From: team:;\r\n", Some("group")),
            ("From:\r\n", Some("names no address")),
            ("From: a@example.org\r\nSubject: \0\r\n", Some("NUL")),
            ("From: a@example.org\r\nSubject: a\r\nsubject: b\r\n", Some("2 Subject fields")),
            ("From: a@example.org\r\n>From x\r\n", Some("no field, at octet 21")),
            (
                "From: a@example.org\r\nAUTHENTICATION-results: (x) mail.example.ORG; dkim=pass\r\n",
                Some("in our name"),
            ),
            ("From: a@example.org\r\nx-kings-verdict: accept\r\n", Some("X-Kings-Verdict")),
        ];
        for (head, expected) in cases {
            let found = of_header(format!("{head}\r\nbody\r\n").as_bytes(), &hostname);
            match expected {
                None => assert!(found.is_empty(), "{head}: {found:?}"),
                Some(text) => assert!(found.iter().any(|odd| odd.contains(text)), "{head}: {found:?}"),
            }
        }
        let crowd = "From: \"a@b.example\" <c@d.example>\r\n".repeat(500);
        assert_eq!(of_header(crowd.as_bytes(), &hostname).len(), MAX);
    }
}
