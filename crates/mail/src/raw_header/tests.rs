//! What becomes words, what stays, and that no address ever changes.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::address_list::{self, Entry};

fn text(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

#[test]
fn free_text_and_names_become_words_and_all_else_stays() {
    let cases: [(&[u8], &[u8]); 22] = [
        ("Subject: Grüße\r\n".as_bytes(), b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"),
        (
            "Subject: Re: [list]  Köln und Bonn, Grüße bye\r\nX: y\r\n".as_bytes(),
            b"Subject: Re: [list]  =?utf-8?Q?K=C3=B6ln_und_Bonn=2C_Gr=C3=BC=C3=9Fe?= bye\r\nX: y\r\n",
        ),
        // What is encoded already is read, and is part of the new words.
        ("Subject: =?utf-8?q?=C3=A4?= ö\r\n".as_bytes(), b"Subject: =?utf-8?Q?=C3=A4_=C3=B6?=\r\n"),
        (b"Subject: caf\xe9\r\n", b"Subject: =?utf-8?Q?caf=C3=A9?=\r\n"),
        (
            b"Content-Type: text/plain; charset=koi8-r\r\nSubject: \xe4\xc1\r\n",
            b"Content-Type: text/plain; charset=koi8-r\r\nSubject: =?utf-8?Q?=D0=94=D0=B0?=\r\n",
        ),
        (
            b"Content-Type: text/plain; charset=utf-16\r\nSubject: caf\xe9\r\n",
            b"Content-Type: text/plain; charset=utf-16\r\nSubject: =?utf-8?Q?caf=C3=A9?=\r\n",
        ),
        ("X-Note:\r\n  ü\r\n".as_bytes(), b"X-Note: =?utf-8?Q?=C3=BC?=\r\n"),
        (
            "From: Jürgen Müller <j@x.example>\r\n".as_bytes(),
            b"From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <j@x.example>\r\n",
        ),
        (
            "To: \"Müller, \\\"J\\\"\"<j@x.example>,a@x.example\r\n".as_bytes(),
            b"To: =?utf-8?Q?M=C3=BCller=2C_=22J=22?= <j@x.example>,a@x.example\r\n",
        ),
        (
            "Cc: a@x.example (Zoë (Z)), \"B, C\" <b@x.example>\r\n".as_bytes(),
            b"Cc: a@x.example (=?utf-8?Q?Zo=C3=AB_=28Z=29?=),\r\n \"B, C\" <b@x.example>\r\n",
        ),
        (
            "To: Frühstück: a@x.example;\r\n".as_bytes(),
            b"To: =?utf-8?Q?Fr=C3=BChst=C3=BCck?= : a@x.example;\r\n",
        ),
        // Addresses are not touched, whatever stands beside them.
        ("From: ü@x.example\r\n".as_bytes(), "From: ü@x.example\r\n".as_bytes()),
        ("From: <ü@x.example>\r\n".as_bytes(), "From: <ü@x.example>\r\n".as_bytes()),
        ("From: Zoë <ü@x.example>\r\n".as_bytes(), "From: =?utf-8?Q?Zo=C3=AB?= <ü@x.example>\r\n".as_bytes()),
        (
            "From: Zoë ceo@bank.example <a@x.example>\r\n".as_bytes(),
            "From: Zoë ceo@bank.example <a@x.example>\r\n".as_bytes(),
        ),
        ("From: \"Zoë <a@x.example>\r\n".as_bytes(), "From: \"Zoë <a@x.example>\r\n".as_bytes()),
        // No words stand in these.
        ("Message-ID: <ü@x>\r\n".as_bytes(), "Message-ID: <ü@x>\r\n".as_bytes()),
        (
            "Content-Disposition: attachment; filename=ü\r\n".as_bytes(),
            "Content-Disposition: attachment; filename=ü\r\n".as_bytes(),
        ),
        ("ARC-Seal: ü\r\n".as_bytes(), "ARC-Seal: ü\r\n".as_bytes()),
        // Nor in what is no field, and in the body.
        ("stray ü\r\nSubject: x\r\n".as_bytes(), "stray ü\r\nSubject: x\r\n".as_bytes()),
        ("Subject: x\r\n\r\nSubject: ü\r\n".as_bytes(), "Subject: x\r\n\r\nSubject: ü\r\n".as_bytes()),
        ("Subject: ü\r\n\r\nü\r\n".as_bytes(), "Subject: =?utf-8?Q?=C3=BC?=\r\n\r\nü\r\n".as_bytes()),
    ];
    for (head, expected) in cases {
        let done = encoded(head);
        assert_eq!(text(done.as_deref().unwrap_or(head)), text(expected));
        assert_eq!(done.is_none(), head == expected, "{}", text(head));
    }
}

#[test]
fn long_text_is_folded_between_words_and_read_back() {
    let subject = "ä".repeat(300);
    let head = encoded(format!("Subject: {} {subject}\r\n", "x".repeat(50)).as_bytes()).unwrap();
    let head = String::from_utf8(head).unwrap();
    assert!(head.lines().all(|line| line.len() <= MAX_LINE && !line.trim().is_empty()), "{head}");
    let field = header::first(head.as_bytes(), "Subject").unwrap();
    assert_eq!(encoded_word::decode(&field.text()), format!("{} {subject}", "x".repeat(50)));
}

/// A field that would grow over what a header may have keeps its octets.
#[test]
fn what_would_be_too_large_stays() {
    let head = format!("Subject: {}\r\n", "ü".repeat(15_000));
    assert_eq!(encoded(head.as_bytes()), None);
}

fn addresses(value: &[u8]) -> Vec<(String, String)> {
    let entries = address_list::parse(value).into_iter();
    let addresses = entries.filter_map(|entry| match entry {
        Entry::Mailbox(mailbox) => Some((mailbox.local_part, mailbox.domain)),
        Entry::GroupStart(_) | Entry::GroupEnd => None,
    });
    addresses.collect()
}

proptest! {
    /// Whoever the addresses are of: they are the same before and after, for every reader of ours, and once is enough.
    #[test]
    fn no_address_changes(value in r#"([ab@.,;:<>()"\\ ü]|[a-c]@d|<e@f>|=\?utf-8\?q\?=C3=BC\?=){0,24}"#) {
        let head = format!("To: {value}\r\n");
        if let Some(done) = encoded(head.as_bytes()) {
            let field = header::first(&done, "To").unwrap();
            prop_assert_eq!(addresses(field.value), addresses(value.as_bytes()));
            let authors = |value: &[u8]| address_list::authors(value).ok().map(|found| found.addresses().to_vec());
            prop_assert_eq!(authors(field.value), authors(value.as_bytes()));
            prop_assert_eq!(encoded(&done), None);
        }
    }

    #[test]
    fn text_says_the_same(value in r"[a ü=?\t]{0,40}") {
        let head = format!("Subject: {value}\r\n");
        let done = encoded(head.as_bytes()).unwrap_or_else(|| head.clone().into_bytes());
        prop_assert!(done.is_ascii());
        let said = |head: &[u8]| header::first(head, "Subject").map(|field| field.text());
        let decoded = said(&done).map(|text| encoded_word::decode(&text).into_owned());
        prop_assert_eq!(decoded, said(head.as_bytes()));
    }
}
