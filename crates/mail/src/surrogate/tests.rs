//! Messages and what is sent in their place.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::mime::{Kind, Part};

fn sent(message: &[u8]) -> Vec<u8> {
    Surrogate::of(message).pieces(message).collect::<Vec<_>>().concat()
}

fn text(message: &str) -> String {
    String::from_utf8(sent(message.as_bytes())).unwrap()
}

#[test]
fn fields_get_the_form_that_each_may_have() {
    let cases = [
        ("Subject: Gr\u{fc}\u{df}e\r\n", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"),
        ("X-Note: na\u{ef}ve text\r\n", "X-Note: =?utf-8?Q?na=C3=AFve?= text\r\n"),
        ("From: J\u{f6}rg <joerg@example.org>\r\n", "From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.org>\r\n"),
        // RFC 6858 §2.1.
        (
            "From: J\u{f6}rg <j\u{f6}rg@example.org>\r\n",
            "From: =?utf-8?Q?J=C3=B6rg_=3Cj=C3=B6rg=40example=2Eorg=3E?= <invalid@internationalized-address.invalid>\r\n",
        ),
        (
            "To: ann@example.org, \u{fc}@example.org, \u{df}: b@c.example, \u{e4}@x;, c@d\r\n",
            "To: ann@example.org,\r\n =?utf-8?Q?=C3=BC=40example=2Eorg?= <invalid@internationalized-address.invalid>,\r\n =?utf-8?Q?=C3=9F?=:\r\n b@c.example,\r\n =?utf-8?Q?=C3=A4=40x?= <invalid@internationalized-address.invalid>;,\r\n c@d\r\n",
        ),
        (
            "Content-Disposition: attachment; filename=\"K\u{e4}se.pdf\"; size=1\r\n",
            "Content-Disposition: attachment;\r\n filename*=utf-8''K%C3%A4se.pdf;\r\n size=1\r\n",
        ),
        (
            "Content-Type: text/plain; name*=utf-8''a%20\u{e4}; charset=\"utf-8\"\r\n",
            "Content-Type: text/plain;\r\n name*=utf-8''a%20%C3%A4;\r\n charset=utf-8\r\n",
        ),
        // The extended one counts: a second of its name would change that.
        (
            "Content-Type: a/b; name=\"\u{e4}\"; name*=utf-8''x; q=\"a\\\"b c\"\r\n",
            "Content-Type: a/b;\r\n name*=utf-8''x;\r\n q=\"a\\\"b c\"\r\n",
        ),
        // RFC 6858 §2.4.
        ("Message-ID: <\u{e4}@x>\r\nSubject: a\r\n", "Subject: a\r\n"),
        ("Received: from \u{e4}\r\n by x\r\n", ""),
        ("no field: \u{e4}\r\n", "no field: ??\r\n"),
    ];
    for (field, expected) in cases {
        let body = "\r\nb\u{f6}dy\r\n";
        assert_eq!(text(&format!("A: 1\r\n{field}{body}")), format!("A: 1\r\n{expected}{body}"));
    }
}

#[test]
fn what_no_charset_names_is_read_as_everywhere() {
    let latin: String = sent(b"Subject: Gr\xfc\xdfe\r\n\r\n").iter().copied().map(char::from).collect();
    assert_eq!(latin, "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\n");
    let name = sent(b"Content-Disposition: inline; filename=K\xe4se\r\n\r\n");
    assert_eq!(name, b"Content-Disposition: inline;\r\n filename*=windows-1252''K%E4se\r\n\r\n");
}

#[test]
fn headers_of_parts_and_of_messages_within_are_made_anew_and_bodies_are_not() {
    let message = "Content-Type: multipart/mixed; boundary=\"\u{e4}\"\r\n\r\n--\u{e4}\r\nContent-Description: \u{e4}\r\n\
                   --\u{e4}\r\nContent-Type: message/rfc822\r\n\r\nSubject: \u{e4}\r\n\r\n\u{f6}\r\n--\u{e4}--\r\n";
    let expected = "Content-Type: multipart/mixed;\r\n boundary*=utf-8''%C3%A4\r\n\r\n--\u{e4}\r\n\
                    Content-Description: =?utf-8?Q?=C3=A4?=\r\n\
                    --\u{e4}\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?=C3=A4?=\r\n\r\n\u{f6}\r\n--\u{e4}--\r\n";
    assert_eq!(text(message), expected);
}

#[test]
fn a_body_is_encoded_as_it_was_whatever_stands_behind_the_name() {
    for (value, kept) in [
        ("base64; x=\u{e4}", "base64"),
        ("Quoted-Printable (\u{e4})", "quoted-printable"),
        ("base6x; y=\u{e4}", "base6x"),
        ("\u{e4}", "7bit"),
    ] {
        let message = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {value}\r\n\r\nSubject: x\r\n\r\ny\r\n"
        );
        let sent = sent(message.as_bytes());
        let told = format!("Content-Transfer-Encoding: {kept}\r\n");
        assert!(String::from_utf8_lossy(&sent).contains(&told), "{value}");
        assert_eq!(leaves(&sent), leaves(message.as_bytes()), "{value}");
    }
}

#[test]
fn a_message_with_ascii_headers_is_its_own() {
    for message in ["", "Subject: a\r\n\r\nb", "Subject: =?utf-8?Q?=C3=A4?=\r\n\r\n8-bit: \u{e4}\r\n"] {
        assert!(Surrogate::of(message.as_bytes()).is_empty());
        assert_eq!(sent(message.as_bytes()), message.as_bytes());
    }
}

fn leaves(message: &[u8]) -> Vec<Vec<u8>> {
    let root: Part = crate::mime::parse(message);
    let leaves = root.walk().filter(|part| part.kind == Kind::Leaf);
    leaves.map(|part| part.content(message).into_owned()).collect()
}

proptest! {
    #[test]
    fn every_header_is_ascii_and_no_part_is_lost(
        head in "(Subject|To|Content-Type|Content-Disposition|Message-ID): [ab\u{e4} ,;:<>@=\"/()\r\n\t]{0,24}",
        message in "((--b(--)?|Content-Type: (multipart/mixed; boundary=\u{e4}?b|message/rfc822)|To: \u{e4}?@[,;<>]|\u{e4}?:? ?)\r\n){0,12}",
    ) {
        let message = format!("{head}\r\nContent-Type: multipart/mixed; boundary=b; x=\u{e4}\r\n{message}");
        let sent = sent(message.as_bytes());
        prop_assert!(Surrogate::of(&sent).is_empty(), "{}", String::from_utf8_lossy(&sent));
        prop_assert_eq!(leaves(&sent), leaves(message.as_bytes()));
    }
}
