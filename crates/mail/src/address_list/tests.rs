//! Address lists as real mail has them, lenient and strict.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// One entry per line: `name|route|local|domain`, `name:` and `;`.
fn shown(value: &str) -> String {
    let show = |entry: Entry| match entry {
        Entry::GroupStart(name) => format!("{name}:"),
        Entry::GroupEnd => ";".to_owned(),
        Entry::Mailbox(m) => {
            let name = m.display_name.unwrap_or_default();
            format!("{name}|{}|{}|{}", m.route.unwrap_or_default(), m.local_part, m.domain)
        }
    };
    parse(value.as_bytes()).into_iter().map(show).collect::<Vec<_>>().join("\n")
}

#[test]
fn whatever_a_list_contains_can_be_shown() {
    let cases = [
        ("", ""),
        (" , ,\r\n ,", ""),
        ("ann@example.org", "||ann|example.org"),
        ("<ann@example.org>", "||ann|example.org"),
        ("Ann Lee <ann@example.org>, bob@x", "Ann Lee||ann|example.org\n||bob|x"),
        ("John Q. Public <j@x>", "John Q. Public||j|x"),
        (r#""Lee, \"Ann\"" <ann@x>"#, r#"Lee, "Ann"||ann|x"#),
        ("=?utf-8?q?K=C3=A4se?= <k@x>", "=?utf-8?q?K=C3=A4se?=||k|x"),
        ("ann@x (Ann (the) Lee)", "Ann (the) Lee||ann|x"),
        ("Ann <ann@x> (work)", "Ann||ann|x"),
        (r#""ann lee"@x, "a"."b"@x"#, "||ann lee|x\n||a.b|x"),
        ("ann . lee @ x . y", "||ann . lee|x . y"),
        ("ann@[192.0.2.1]", "||ann|[192.0.2.1]"),
        ("<@a,@b:ann@x>, bob@y", "|@a,@b|ann|x\n||bob|y"),
        ("Friends: ann@x, Bob <b@y>; c@z", "Friends:\n||ann|x\nBob||b|y\n;\n||c|z"),
        ("undisclosed-recipients:;", "undisclosed-recipients:\n;"),
        ("Friends: ann@x", "Friends:\n||ann|x\n;"),
        ("a: b: c@x;", "a:\n||b: c|x\n;"),
        ("ann@x; bob@y", "||ann|x\n||bob|y"),
        ("ann@x:25, b@y", "||ann|x:25\n||b|y"),
        ("postmaster", "||postmaster|"),
        ("Ann <>", "Ann|||"),
        ("joe@x <joe@y>", "joe@x||joe|y"),
        ("Ann <ann@x, bob@y", "Ann||ann|x\n||bob|y"),
        ("Ann <ann@x> junk <z@z>", "Ann||ann|x"),
        ("a@b@c", "||a@b|c"),
        (r#""unclosed <ann@x>"#, "||unclosed <ann@x>|"),
        ("(unclosed <ann@x>", ""),
        (")ann@x]", "||)ann|x]"),
    ];
    for (value, expected) in cases {
        assert_eq!(shown(value), expected, "{value}");
    }
}

#[test]
fn only_plain_addresses_are_authors() {
    let cases: [(&str, Result<&[&str], BadAuthors>); 9] = [
        ("ann@example.org", Ok(&["ann@example.org"])),
        (" Ann Lee\r\n <ann@example.org>\r\n", Ok(&["ann@example.org"])),
        ("\"ceo@us.example\" <x@bad.example>", Ok(&["x@bad.example"])),
        ("(Ann) ann@example.org (Lee)", Ok(&["ann@example.org"])),
        ("Ann (the) \"Lee\" J. < ann@example.org > (work)", Ok(&["ann@example.org"])),
        ("=?utf-8?q?K=C3=A4se?= <k@example.org>", Ok(&["k@example.org"])),
        ("a@x.example, \"b c\"@[192.0.2.1]", Ok(&["a@x.example", "\"b c\"@[192.0.2.1]"])),
        ("Friends: ann@x.example;", Err(BadAuthors::Group)),
        (":;", Err(BadAuthors::Group)),
    ];
    for (value, expected) in cases {
        let authors = authors(value.as_bytes());
        let authors = authors.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(authors, expected.map(|list| list.iter().map(ToString::to_string).collect()), "{value}");
    }
}

#[test]
fn what_two_readers_could_read_differently_has_no_author() {
    let cases = [
        "",
        " \r\n ",
        "ann",
        "ann@x.example,",
        ",ann@x.example",
        "ann@x.example;",
        "ann@x.example; bob@y.example",
        "Ann ann@x.example",
        "ceo@us.example <x@bad.example>",
        "<ann@x.example> <bob@y.example>",
        "Ann <ann@x.example> junk",
        "<ann@x.example",
        "<<ann@x.example>>",
        "<>",
        "<@a.example:ann@x.example>",
        "ann @x.example",
        "ann@ x.example",
        "ann(comment)@x.example",
        "ann@x.example (open",
        "\"open <ann@x.example>",
        "Ann) <ann@x.example>",
        "Ann [x] <ann@x.example>",
        "ann@x@y.example",
        "ann@x.example\r\nbob@y.example",
        "ann@x.example\0",
        "an\rn@x.example",
        "=?utf-8?q?bob=40y.example=3E?=@x.example",
        "\"=?utf-8?q?bob?=\"@x.example",
        "Doe, John <j@x.example>",
    ];
    for value in cases {
        assert_eq!(authors(value.as_bytes()), Err(BadAuthors::Malformed), "{value:?}");
    }
    assert_eq!(authors(b"K\xe4se <k@x.example>"), Err(BadAuthors::Malformed));
    assert_eq!(authors("a@b.c,".repeat(MAX_ENTRIES).as_bytes()), Err(BadAuthors::TooMany));
}

#[test]
fn a_long_list_is_cut_and_its_group_closed() {
    let list = parse(format!("g: {}", "a@b,".repeat(100_000)).as_bytes());
    assert_eq!(list.len(), MAX_ENTRIES + 1);
    assert_eq!(list.last(), Some(&Entry::GroupEnd));
}

#[test]
fn a_megabyte_of_one_token_is_cut_at_the_field_limit() {
    for piece in ["(", "\"", "\\", "<", "@", ",", ":", "a ", "a@:", "[", ")", "<@,", "\u{e4}"] {
        let entries = parse(piece.repeat(1_000_000).as_bytes());
        assert!(entries.len() <= MAX_ENTRIES + 1, "{piece}");
    }
}

proptest! {
    #[test]
    fn an_author_is_what_display_shows(value in r#"[ab@<>,;:()" .\\]{0,24}"#) {
        if let Ok(authors) = authors(value.as_bytes()) {
            let shown: Vec<_> = parse(value.as_bytes()).into_iter().map(|entry| match entry {
                Entry::Mailbox(mailbox) => (mailbox.local_part, mailbox.domain.trim_end_matches('.').to_owned()),
                other => panic!("{other:?}"),
            }).collect();
            let authors: Vec<_> = authors.iter()
                .map(|author| (author.local_part.as_str().to_owned(), author.host.to_string())).collect();
            prop_assert_eq!(authors, shown);
        }
    }
}
