//! MIME trees of honest, broken and hostile messages.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// The tree on one line: bodies of leaves as `type="body"`, children in parentheses, `t` for `text/plain`.
fn outline(part: &Part, message: &str) -> String {
    let ContentType { kind, subtype, .. } = &part.content_type;
    let name = format!("{kind}/{subtype}").replace("text/plain", "t").replace("multipart/mixed", "m");
    let children = match &part.kind {
        Kind::Leaf => return format!("{name}={:?}", message[part.body.clone()].replace('\r', "")),
        Kind::Message(message) => std::slice::from_ref(&**message),
        Kind::Multipart(parts) => parts,
    };
    let children: Vec<_> = children.iter().map(|child| outline(child, message)).collect();
    format!("{name}({})", children.join(" "))
}

fn outline_of(message: &str) -> String {
    let message = crlf(message);
    check_invariants(message.as_bytes());
    outline(&parse(message.as_bytes()), &message)
}

fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn section<'a>(message: &'a str, path: &[u32], facet: Facet) -> Option<&'a str> {
    Some(&message[parse(message.as_bytes()).section(path, facet)?])
}

/// RFC 9051 §6.4.5.1 numbers the parts of a message of this shape.
const NUMBERED: &str = "\
From: root@example.org
Content-Type: multipart/mixed; boundary=o

preamble
--o

one
--o
Content-Type: application/octet-stream

two
--o
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/alternative; boundary=i

--i

three.one
--i
Content-Type: text/html

three.two
--i--
inner epilogue
--o
Content-Type: multipart/mixed; boundary=j

--j
Content-Type: image/gif

four.one
--j
Content-Type: message/rfc822

Subject: four.two

four.two.one
--j--
--o--
epilogue
";

#[test]
fn sections_are_numbered_as_imap_numbers_them() {
    let message = crlf(NUMBERED);
    let cases: [(&[u32], Facet, Option<&str>); 24] = [
        (&[], Facet::Whole, Some(NUMBERED)),
        (&[], Facet::Header, Some("From: root@example.org\nContent-Type: multipart/mixed; boundary=o\n\n")),
        (&[], Facet::Text, NUMBERED.find("preamble").map(|at| &NUMBERED[at..])),
        (&[], Facet::Mime, None),
        (&[0], Facet::Whole, None),
        (&[1], Facet::Whole, Some("one")),
        (&[1], Facet::Mime, Some("\n")),
        (&[1], Facet::Header, None),
        (&[1], Facet::Text, None),
        (&[1, 1], Facet::Whole, None),
        (&[2], Facet::Mime, Some("Content-Type: application/octet-stream\n\n")),
        (&[3], Facet::Mime, Some("Content-Type: message/rfc822\n\n")),
        (&[3], Facet::Header, Some("Subject: three\nContent-Type: multipart/alternative; boundary=i\n\n")),
        (
            &[3],
            Facet::Text,
            Some("--i\n\nthree.one\n--i\nContent-Type: text/html\n\nthree.two\n--i--\ninner epilogue"),
        ),
        (&[3, 1], Facet::Whole, Some("three.one")),
        (&[3, 2], Facet::Whole, Some("three.two")),
        (&[3, 2], Facet::Mime, Some("Content-Type: text/html\n\n")),
        (&[3, 3], Facet::Whole, None),
        (&[4, 1], Facet::Whole, Some("four.one")),
        (&[4, 2], Facet::Whole, Some("Subject: four.two\n\nfour.two.one")),
        (&[4, 2], Facet::Header, Some("Subject: four.two\n\n")),
        (&[4, 2, 1], Facet::Whole, Some("four.two.one")),
        (&[4, 2, 2], Facet::Whole, None),
        (&[5], Facet::Whole, None),
    ];
    for (path, facet, expected) in cases {
        let expected = expected.map(crlf);
        assert_eq!(section(&message, path, facet), expected.as_deref(), "{path:?} {facet:?}");
    }
    assert_eq!(parse(message.as_bytes()).walk().count(), 11);
}

#[test]
fn a_message_that_is_no_multipart_is_its_own_part_one() {
    let plain = "Subject: x\r\n\r\nhello\r\n";
    assert_eq!(section(plain, &[1], Facet::Whole), Some("hello\r\n"));
    assert_eq!(section(plain, &[1], Facet::Mime), Some("Subject: x\r\n\r\n"));
    assert_eq!(section(plain, &[1, 1], Facet::Whole), None);
    let forwarded = "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nhello";
    assert_eq!(section(forwarded, &[1], Facet::Header), Some("Subject: y\r\n\r\n"));
    assert_eq!(section(forwarded, &[1, 1], Facet::Whole), Some("hello"));
}

#[test]
fn delimiters_are_found_where_they_are_meant() {
    let cases = [
        ("", r#"t="""#),
        ("Subject: all header\n", r#"t="""#),
        ("\nhello\n\nyou\n", r#"t="hello\n\nyou\n""#),
        ("\nno line end", r#"t="no line end""#),
        ("{m}a\n\n--a\n\nx\n--a--\n", r#"m(t="x")"#),
        ("{m}a\n\n--a\n\nx\n\n--a--", r#"m(t="x\n")"#),
        ("{m}a\n\n--a\n--a--\n", r#"m(t="")"#),
        ("{m}a\n\n--a\n\n--a--\n", r#"m(t="")"#),
        ("{m}a\n\n--a\nA: b\n--a--\n", r#"m(t="")"#),
        ("{m}a\n\n--a \t\n\nx\n--a-- \n", r#"m(t="x")"#),
        ("{m}a\n\nunterminated\n--a\n\nx\n", r#"m(t="x\n")"#),
        // Nothing to show: one empty text.
        ("{m}a\n", r#"m(t="")"#),
        ("{m}a\n\nno delimiter\n", r#"m(t="")"#),
        ("{m}a\n\n--a--\nx\n", r#"m(t="")"#),
        // No usable boundary: text.
        ("Content-Type: multipart/mixed\n\n--\n\nx\n", r#"t="--\n\nx\n""#),
        ("{m}\"\"\n\n--\n\nx\n----\n", r#"t="--\n\nx\n----\n""#),
        // Prefix collisions.
        ("{m}a\n\n--aa\n--a-\n--ab\n--a\n\n--a x\n--a--\n", r#"m(t="--a x")"#),
        ("{m}a--\n\n--a--\n\nx\n--a----\n", r#"m(t="x")"#),
        ("{m}a\n\n--a\n{m}aa\n\n--aa\n\nx\n--aa--\n--a--\n", r#"m(m(t="x"))"#),
        ("{m}aa\n\n--aa\n{m}a\n\n--a\n\nx\n--aa\n\ny\n--aa--\n", r#"m(m(t="x") t="y")"#),
        ("{m}a--\n\n--a--\n{m}a\n\n--a\n\nx\n--a--\n--a--\n\ny", r#"m(m(t="x") t="y")"#),
        // The same boundary twice: the inner one first.
        ("{m}a\n\n--a\n{m}a\n\n--a\n\nx\n--a--\n--a\n\ny\n--a--\n", r#"m(m(t="x") t="y")"#),
        // After the end of a multipart its boundary means nothing.
        ("{m}a\n\n--a\n\nx\n--a--\n--a\n\ny\n", r#"m(t="x")"#),
        ("{m}a\n\n--a\n{m}b\n\n--b--\n--b\n--a\n\ny", r#"m(m(t="") t="y")"#),
        // A line end between two delimiters belongs to the first one alone.
        ("{m}a\n\n--a\n{m}b\n\n--b\n--a--\n", r#"m(m(t=""))"#),
        // An outer delimiter closes everything inside, even a header.
        ("{m}a\n\n--a\nContent-Type: message/rfc822\n\nA: b\n\nx\n--a--\n", r#"m(message/rfc822(t="x"))"#),
        ("{m}a\n\n--a\nContent-Type: message/rfc822\n--a--\n", r#"m(message/rfc822(t=""))"#),
        ("{m}a\n\n--a\nContent-Type: message/rfc822\n\n--a--\n", r#"m(message/rfc822(t=""))"#),
        ("{m}a\n\n--a\n{m}b\n--a--\n", r#"m(m(t=""))"#),
        ("{m}a\n\n--a\n{m}b\n\n--b\nX: y\n--a\n\nz", r#"m(m(t="") t="z")"#),
    ];
    for (template, expected) in cases {
        let message = template.replace("{m}", "Content-Type: multipart/mixed; boundary=");
        assert_eq!(outline_of(&message), expected, "{template:?}");
    }
}

#[test]
fn types_agree_with_what_was_opened() {
    let cases = [
        ("Content-Type: nonsense\n\nx", r#"t="x""#),
        ("Content-Type: text/html\nContent-Type: text/css\n\nx", r#"text/html="x""#),
        ("Content-Type: message/global\n\nA: b\n\nx", r#"message/global(t="x")"#),
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQUE=",
            r#"application/octet-stream="QUE=""#,
        ),
        ("Content-Type: message/partial; number=1\n\nx", r#"message/partial="x""#),
        (
            "Content-Type: multipart/digest; boundary=a\n\n--a\n\nA: b\n\nx\n--a\nContent-Type: text/plain\n\ny",
            r#"multipart/digest(message/rfc822(t="x") t="y")"#,
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(outline_of(message), expected, "{message:?}");
    }
}

#[test]
fn the_fields_of_a_part_are_kept() {
    let message = crlf(
        "Content-Type: text/plain; charset=iso-8859-1; name=a.txt\n\
         Content-Transfer-Encoding: quoted-printable\n\
         Content-ID: <foo@example.com>\n\
         Content-Description: a\n description\n\
         Content-Disposition: attachment; filename*=utf-8''K%C3%A4se.txt\n\
         Content-Language: en, fi (Finnish), ,se\n\
         Content-Location: http://example.com/a.txt\n\
         Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n\
         Content-ID: <second@example.com>\n\
         \n\
         K=E4se=\n\n",
    );
    let part = parse(message.as_bytes());
    assert_eq!(part.encoding, Encoding::QuotedPrintable);
    assert_eq!(part.id.as_deref(), Some("<foo@example.com>"));
    assert_eq!(part.description.as_deref(), Some("a description"));
    assert_eq!(part.disposition.as_ref().unwrap().kind, "attachment");
    assert_eq!(part.language, ["en", "fi", "se"]);
    assert_eq!(part.location.as_deref(), Some("http://example.com/a.txt"));
    assert_eq!(part.md5.as_deref(), Some("Q2hlY2sgSW50ZWdyaXR5IQ=="));
    assert_eq!(part.file_name().as_deref(), Some("K\u{e4}se.txt"));
    assert_eq!(part.text(message.as_bytes()), "K\u{e4}se\r\n");
    assert_eq!((part.body.len(), part.lines), (11, 2));
}

#[test]
fn line_ends_may_be_bare() {
    let lf = outline(&parse(NUMBERED.as_bytes()), NUMBERED);
    assert_eq!(lf, outline_of(NUMBERED));
    check_invariants(NUMBERED.as_bytes());
}

#[test]
fn nesting_stops_at_its_limit() {
    let multiparts = |count: u32| -> String {
        let open = |n| format!("Content-Type: multipart/mixed; boundary={n}\n\n--{n}\n");
        (0..count).map(open).collect::<Vec<_>>().concat()
    };
    let messages = |count| "Content-Type: message/rfc822\n\n".repeat(count);
    check_invariants(multiparts(200).as_bytes());
    check_invariants(messages(200).as_bytes());
    for bomb in [multiparts(100_000), messages(100_000)] {
        let root = parse(bomb.as_bytes());
        assert_eq!(root.walk().count(), MAX_DEPTH + 1);
        let deepest = root.walk().last().unwrap();
        assert_eq!((&deepest.kind, deepest.body.end), (&Kind::Leaf, bomb.len()));
        assert!(deepest.content_type.is("application", "octet-stream"));
    }
}

#[test]
fn the_last_part_takes_the_rest() {
    let mixed = "Content-Type: multipart/mixed; boundary=";
    let leaves = format!("{mixed}a\n\n{}", "--a\n\n".repeat(1_000_000));
    // Each of these gets an empty text that stands nowhere in the message.
    let childless = format!("{mixed}a\n\n{}", format!("--a\n{mixed}b\n\n").repeat(50_000));
    for bomb in [leaves, childless] {
        let root = parse(bomb.as_bytes());
        assert!((MAX_PARTS - 1..=MAX_PARTS).contains(&root.walk().count()));
        assert_eq!(root.walk().last().unwrap().body.end, bomb.len());
        check_invariants(bomb.as_bytes());
    }
}

/// Reading a megabyte once takes milliseconds; a parser that looks at every open boundary or every
/// earlier line again would not finish these within the patience of anyone.
#[test]
fn many_open_boundaries_and_long_lines_are_read_in_one_pass() {
    let stem = "x".repeat(2_048);
    let open = |n| {
        format!(
            "Content-Type: multipart/mixed; boundary={stem}{n:03}

--{stem}{n:03}
"
        )
    };
    let open = (0..100).map(open).collect::<Vec<_>>().concat();
    for line in ["--", "--\n", "-- \n", "--x\n", "-----", "\n", "\r", " \n", ":\n", "A:\n\t\n"] {
        let bomb = format!("{open}\n{}", line.repeat(2_000_000 / line.len()));
        assert_eq!(parse(bomb.as_bytes()).walk().count(), 101, "{line:?}");
    }
    let near_miss = format!("--{stem}999\n");
    let bomb = format!("{open}\n{}", near_miss.repeat(1_000));
    assert_eq!(parse(bomb.as_bytes()).walk().count(), 101);
}

/// What every tree promises, whatever the message.
fn check_invariants(message: &[u8]) {
    let root = parse(message);
    assert_eq!((root.header.start, root.body.end), (0, message.len()));
    assert!(root.walk().count() <= MAX_PARTS);
    check_part(&root, message, 0);
}

fn check_part(part: &Part, message: &[u8], depth: usize) {
    assert!(depth <= MAX_DEPTH);
    assert_eq!(part.header.end, part.body.start);
    assert!(part.body.start <= part.body.end);
    let lines = message[part.body.clone()].split(|&octet| octet == b'\n').count();
    assert_eq!(part.lines, lines - 1);
    let is_multipart = part.content_type.kind == "multipart";
    assert_eq!(is_multipart, matches!(part.kind, Kind::Multipart(_)));
    let children = match &part.kind {
        Kind::Leaf => &[],
        Kind::Message(message) => std::slice::from_ref(&**message),
        Kind::Multipart(parts) => {
            assert!(!parts.is_empty());
            &parts[..]
        }
    };
    let mut at = part.body.start;
    for child in children {
        assert!(at <= child.header.start && child.body.end <= part.body.end);
        at = child.body.end;
        check_part(child, message, depth + 1);
    }
}

proptest! {
    #[test]
    fn every_tree_keeps_its_promises(pieces in prop::collection::vec(prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/digest; boundary=aa\r\n",
        "Content-Type: message/rfc822\r\n", "Content-Type: text/plain\r\n", "\r\n", "\r\n", "\n", "--a\r\n",
        "--aa\r\n", "--a--\r\n", "--aa--", "--", "\r", "x", " ",
    ]), 0..40)) {
        check_invariants(pieces.concat().as_bytes());
    }
}
