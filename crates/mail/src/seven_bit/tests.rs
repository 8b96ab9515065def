//! What is converted reads the same, and what cannot be is named.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::transfer;

fn converted(message: &str) -> Result<String, Unconvertible> {
    to_seven_bit(message.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_text_gets_the_shorter_encoding_and_its_header_says_so() {
    let cases = [
        // Labelled; the label is replaced where it stands.
        (
            "MIME-Version: 1.0\r\nContent-Transfer-Encoding:\r\n 8bit\r\nSubject: x\r\n\r\nMein Käse = gut \r\n",
            "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\nSubject: x\r\n\r\n\
             Mein K=C3=A4se =3D gut=20\r\n",
        ),
        // Not labelled at all.
        (
            "Subject: x\r\n\r\n--für alle, die es lesen\r\n.\r\n",
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             =2D-f=C3=BCr alle, die es lesen\r\n=2E\r\n",
        ),
        // Labelled twice: the first counts, and the other must not speak against it.
        (
            "Content-Transfer-Encoding: 7bit\r\nX: y\r\ncontent-transfer-encoding: 8bit\r\n\r\nüüü",
            "Content-Transfer-Encoding: base64\r\nX: y\r\n\r\nw7zDvMO8\r\n",
        ),
        // Encoded already, with octets that an encoding does not have.
        (
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nf=C3=BCr für\r\n",
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nf=C3=BCr f=C3=BCr\r\n",
        ),
        (
            "Content-Transfer-Encoding: base64\r\n\r\nw7\u{e9}zD\r\n",
            "Content-Transfer-Encoding: base64\r\n\r\nw7zD\r\n",
        ),
        // 7-bit, whatever it says.
        (
            "Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n",
            "Content-Transfer-Encoding: 7bit\r\n\r\nplain\r\n",
        ),
        ("Subject: x\r\n\r\nplain = text \r\n", "Subject: x\r\n\r\nplain = text \r\n"),
        ("", ""),
    ];
    for (message, expected) in cases {
        assert_eq!(converted(message).as_deref(), Ok(expected), "{message}");
    }
}

#[test]
fn parts_are_converted_where_they_stand() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        für alte Programme\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nEin schönes Wort\r\n--b\r\nContent-Type: message/rfc822\r\n\
        Content-Transfer-Encoding: binary\r\n\r\nSubject: inner\r\n\r\nNoch ein schönes Wort\r\n--b\r\n\
        Content-Type: message/global\r\n\r\nSubject: schön\r\n\r\nplain text below it\r\n--b--\r\n";
    let expected = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        f??r alte Programme\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nEin sch=C3=B6nes Wort\r\n--b\r\n\
        Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: inner\r\n\
        MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nNoch ein sch=C3=B6nes Wort\r\n--b\r\n\
        Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: sch=C3=B6n\r\n\r\n\
        plain text below it\r\n--b--\r\n";
    assert_eq!(converted(message).as_deref(), Ok(expected));
}

#[test]
fn what_must_not_be_touched_goes_back_to_its_sender() {
    let part = |field: &str| {
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{field}\r\n\r\nfür\r\n--b--\r\n")
    };
    let cases = [
        ("Subject: für\r\n\r\nx\r\n".to_owned(), Unconvertible::Header),
        (part("Content-Type: text/plain; name=für"), Unconvertible::Header),
        (
            "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nfür\r\n--b--\r\n".into(),
            Unconvertible::Signed,
        ),
        (part("Content-Type: message/delivery-status"), Unconvertible::Opaque),
        (part("Content-Type: message/partial; id=x"), Unconvertible::Opaque),
        (part("Content-Transfer-Encoding: x-uuencode"), Unconvertible::Opaque),
        ("Content-Type: multipart/mixed\r\n\r\nfür\r\n".into(), Unconvertible::Opaque),
        (crowd("für"), Unconvertible::Crowded),
    ];
    for (message, expected) in cases {
        assert_eq!(converted(&message), Err(expected), "{message}");
    }
    // The same with 7-bit content may stay as it is.
    let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
    assert_eq!(converted(signed).as_deref(), Ok(signed));
    assert_eq!(converted(&crowd("fur")), Ok(crowd("fur")));
}

/// More parts than are read, and this text in the last.
fn crowd(text: &str) -> String {
    let parts = "--b\r\n\r\nx\r\n".repeat(MAX_PARTS + 1);
    format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b\r\n\r\n{text}\r\n--b--\r\n")
}

/// The type of each part, and what the leaves decode to.
fn readable(part: &Part, message: &[u8], found: &mut Vec<(String, Vec<u8>)>) {
    let body = &message[part.body.clone()];
    let kind = format!("{}/{}", part.content_type.kind, part.content_type.subtype);
    let is_global = part.content_type.is("message", "global");
    match &part.kind {
        Kind::Message(_) if is_global && !body.is_ascii() => found.push((kind, body.to_vec())),
        // An encoded message/global is not opened, and called by the name of the unknown.
        Kind::Leaf if kind == "application/octet-stream" => {
            let declared = header::first(&message[part.header.clone()], "Content-Type");
            let declared = declared.and_then(|field| ContentType::parse(field.value));
            let kind = declared.map_or(kind, |declared| format!("{}/{}", declared.kind, declared.subtype));
            found.push((kind, part.encoding.decode(body).into_owned()));
        }
        Kind::Leaf => found.push((kind, part.content(message).into_owned())),
        Kind::Message(inner) => {
            found.push((kind, Vec::new()));
            readable(inner, message, found);
        }
        Kind::Multipart(parts) => {
            found.push((kind, Vec::new()));
            for part in parts {
                readable(part, message, found);
            }
        }
    }
}

fn read(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    readable(&mime::parse(message), message, &mut found);
    found
}

fn check(message: &[u8]) {
    let Ok(once) = to_seven_bit(message) else { return };
    assert!(once.is_ascii());
    assert_eq!(read(&once), read(message));
    assert_eq!(to_seven_bit(&once).as_deref(), Ok(&once[..]), "converting again changes nothing");
}

proptest! {
    #[test]
    fn what_was_sent_is_what_is_read(pieces in prop::collection::vec(prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/digest; boundary=aa\r\n",
        "Content-Type: message/rfc822\r\n", "Content-Type: text/plain\r\n", "Content-Type: message/global\r\n",
        "Content-Transfer-Encoding: 8bit\r\n", "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n", "Content-Transfer-Encoding: binary\r\n",
        "\r\n", "\r\n", "\r\n\r\n", "--a\r\n", "\r\n--a\r\n", "--aa\r\n", "--a--\r\n", "--aa--", "--", "\r", "x", " ",
        "\u{e9}", "\u{e9}\u{e9}\u{e9}", "=", "\t", "\0", "\n", ".", "0123456789012345678901234567890123456789",
    ]), 0..60)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn any_octets_come_through_both_encodings(content: Vec<u8>) {
        for (encoded, decoded) in [
            (encode::base64(&content), transfer::base64 as fn(&[u8]) -> Vec<u8>),
            (encode::quoted_printable(&content), transfer::quoted_printable),
        ] {
            prop_assert!(encoded.is_ascii());
            prop_assert!(encoded.split(|&octet| octet == b'\n').all(|line| line.len() <= 77));
            prop_assert_eq!(decoded(&encoded), &content[..]);
        }
    }

    #[test]
    fn long_lines_come_through(content in "[ \\-.=a\u{e9}\r\n]{0,400}") {
        let encoded = encode::quoted_printable(content.as_bytes());
        prop_assert!(encoded.split(|&octet| octet == b'\n').all(|line| line.len() <= 77 && !line.starts_with(b"-")));
        prop_assert_eq!(transfer::quoted_printable(&encoded), content.as_bytes());
    }
}

/// A line over 998 octets breaks at other servers, and the signature with it (RFC 5322 §2.1.1).
#[test]
fn parts_with_long_lines_are_encoded_and_all_else_keeps_its_octets() {
    let long = "word ".repeat(400);
    let plain = |text: &str| format!("Subject: x\r\n\r\n{text}\r\n");
    let mixed = |first: &str, second: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{first}\r\n--b\r\nContent-Type: text/html\r\n\r\n{second}\r\n--b--\r\n"
        )
    };
    let kept = [plain("für alle"), plain(&"x".repeat(998)), mixed("für", "<p>"), String::new()];
    for message in kept {
        assert_eq!(to_short_lines(message.as_bytes()).as_deref(), Ok(message.as_bytes()), "{message:.60}");
    }
    let nested = format!("Content-Type: message/rfc822\r\n\r\n{}", plain(&long));
    let base64 = format!("Content-Transfer-Encoding: base64\r\n\r\n{}\r\n", "w7zD".repeat(400));
    for message in [
        plain(&long),
        plain(&"x".repeat(999)),
        mixed("für", &long),
        mixed(&format!("ü{long}"), "<p>"),
        nested,
        base64,
    ] {
        let short = to_short_lines(message.as_bytes()).unwrap();
        assert!(!has_long_line(&short), "{message:.200}");
        let contents = |message: &[u8]| -> Vec<Vec<u8>> {
            let root = mime::parse(message);
            let leaves = root.walk().filter(|part| part.kind == Kind::Leaf);
            leaves.map(|part| part.content(message).into_owned()).collect()
        };
        assert_eq!(contents(&short), contents(message.as_bytes()), "{message:.200}");
        assert_eq!(to_short_lines(&short).as_deref(), Ok(&short[..]), "{message:.200}");
    }
    let one = to_short_lines(mixed("für", &long).as_bytes()).unwrap();
    assert!(
        String::from_utf8(one).unwrap().contains("8bit\r\n\r\nfür\r\n--b"),
        "the other part keeps its octets"
    );

    let signed = mixed("x", &long).replace("multipart/mixed", "multipart/signed");
    assert_eq!(to_short_lines(signed.as_bytes()), Err(Unconvertible::Signed));
    let status = mixed("x", &long).replace("text/html", "message/delivery-status");
    assert_eq!(to_short_lines(status.as_bytes()), Err(Unconvertible::Opaque));
    // A header that has no blank to fold at stays as it is.
    let stubborn = format!("Subject: {}\r\n\r\nx\r\n", "x".repeat(2_000));
    assert_eq!(to_short_lines(stubborn.as_bytes()).as_deref(), Ok(stubborn.as_bytes()));
    let folded = to_short_lines(format!("Subject: {long}end\r\n\r\nx\r\n").as_bytes()).unwrap();
    assert!(!has_long_line(&folded) && folded.ends_with(b"\r\n\r\nx\r\n"));
}
