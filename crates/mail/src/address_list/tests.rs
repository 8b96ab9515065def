//! Address lists as real mail has them, lenient and strict.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::address::{Address, Host};

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

/// Addresses, then the hosts of what is shown as one and is none, `?` for a host that is none.
fn named(value: &[u8]) -> Result<String, BadAuthors> {
    let authors = authors(value)?;
    let mut names: Vec<String> = authors.addresses().iter().map(ToString::to_string).collect();
    let is_told = |host: &&Host| !authors.addresses().iter().any(|address| address.host == **host);
    names.extend(authors.hosts().iter().filter(is_told).map(|host| format!("@{host}")));
    if authors.has_odd_host() {
        names.push("?".to_owned());
    }
    assert!(authors.all_addresses().is_none_or(|all| all.len() == names.len()), "{names:?}");
    Ok(names.join(" "))
}

/// Honest mail as careless programs write it: it has the author that every reader sees.
#[test]
fn a_careless_from_field_has_the_author_that_everybody_sees() {
    let ann = "ann@x.example";
    let cases = [
        "ann@x.example",
        " Ann Lee\r\n <ann@x.example>\r\n",
        "<ann@x.example>",
        "Ann Lee<ann@x.example>",
        "Ann (the) \"Lee\" J. < ann@x.example > (work)",
        "(Ann) ann@x.example (Lee)",
        "=?utf-8?q?K=C3=A4se?= <ann@x.example>",
        "=?utf-8?q?ann=40y.example?= <ann@x.example>",
        "\"=?utf-8?q?ann=40y.example?=\" <ann@x.example>",
        "K\u{e4}se <ann@x.example>",
        "\"ceo@y.example\" <ann@x.example>",
        "ann@x.example (ceo@y.example)",
        // An unquoted address as name.
        "ann@x.example <ann@x.example>",
        "'ann@x.example' <ann@x.example>",
        "ANN <ann@X.Example.>",
        "'ann@x.example'",
        // Names that want quotes.
        "Doe, Ann <ann@x.example>",
        "Dr. Ann Q. Doe, Jr. <ann@x.example>",
        "Ann @ Work <ann@x.example>",
        "Ann me@home <ann@x.example>",
        "Follow @ann.social <ann@x.example>",
        "Ann: Sales <ann@x.example>",
        "Ann [x] <ann@x.example>",
        "Ann; Lee <ann@x.example>",
        "Ann \"the <ann@x.example>",
        "\"Ann Lee <ann@x.example>",
        "Ann Lee\" <ann@x.example>",
        "Ann (the <ann@x.example>",
        "Ann) <ann@x.example>",
        "Ann [the <ann@x.example>",
        "Ann\\ <ann@x.example>",
        // Comments and white space in the address (RFC 5322 §3.2.2, §4.4).
        "ann @ x.example",
        "<ann(Lee)@(work)x.example>",
        "ann@x . example",
        "ann@x\r\n .example",
        "<@a.example,@b.example:ann@x.example>",
        "\"ann\"@x.example",
        // Groups, obsolete and unclosed lists.
        "Friends: ann@x.example;",
        "Friends: Ann <ann@x.example>",
        "mailto:ann@x.example",
        ", ann@x.example,,",
        "ann@x.example;",
        // Brackets that are missing or too many, and junk.
        "Ann ann@x.example",
        "Ann <ann@x.example",
        "ann@x.example>",
        "<<ann@x.example>>",
        "Ann <> ann@x.example",
        "Ann <ann@x.example> via list",
        "<ann@x.example>.",
        "Ann <ann@x.example>, Sales",
        "Ann <ann@x.example> [mailto:ann@x.example]",
        "ann@x.example (open",
        "=?utf-8?q?Ann_=3Cann=40x=2Eexample=3E?=",
        "<=?utf-8?b?YW5uQHguZXhhbXBsZQ==?=>",
        "=?utf-8?q?Ann?= ann@x.example",
        "=?utf-7?q?K+AOQ-se?= <ann@x.example>",
        "=?utf-16?q?=00c=00=40=00y=00.=00z?= <ann@x.example>",
    ];
    for value in cases {
        assert_eq!(named(value.as_bytes()).as_deref(), Ok(ann), "{value:?}");
    }
    for value in
        [b"K\xe4se <ann@x.example>".as_slice(), b"K\xe4\x01se <ann@x.example>", b"\xff\xfe ann@x.example"]
    {
        assert_eq!(named(value).as_deref(), Ok(ann), "{value:?}");
    }
}

/// Names that hold no address beside the author change nothing.
#[test]
fn names_in_the_list_that_are_no_addresses_are_nobody() {
    for value in [
        "\"Doe\", Ann <ann@x.example>",
        "Doe, Ann <ann@x.example>",
        "\"a@b\", ann@x.example",
        "\u{592a}\u{90ce}\u{ff20}\u{4f1a}\u{793e} <ann@x.example>",
        "\u{5c71}\u{7530}\u{ff0c}\u{592a}\u{90ce} <ann@x.example>",
        "\"sales\u{ff20}us.example\" <ann@x.example>",
    ] {
        let authors = authors(value.as_bytes()).unwrap();
        assert_eq!(authors.all_addresses().map(<[_]>::len), Some(1), "{value:?}");
        assert_eq!(named(value.as_bytes()).as_deref(), Ok("ann@x.example"), "{value:?}");
    }
}

/// Forms in which one reader sees another author than the next: each of them is one.
#[test]
fn everybody_whom_some_reader_shows_is_an_author() {
    let cases = [
        ("a@x.example, \"b c\"@[192.0.2.1]", "a@x.example \"b c\"@[192.0.2.1]"),
        ("ceo@us.example <x@bad.example>", "x@bad.example ceo@us.example"),
        ("the ceo@us.example of us <x@bad.example>", "x@bad.example ceo@us.example"),
        ("\"ceo@us.example <x@bad.example>", "x@bad.example ceo@us.example"),
        ("\"ceo@us.example\\\" <x@bad.example>", "x@bad.example ceo@us.example"),
        ("<ceo@us.example> <x@bad.example>", "ceo@us.example x@bad.example"),
        ("<ceo@us.example>, x@bad.example", "ceo@us.example x@bad.example"),
        ("<ceo@us.example>\\, <x@bad.example>", "ceo@us.example x@bad.example"),
        ("ceo@us.example; x@bad.example", "ceo@us.example x@bad.example"),
        ("ceo@us.example(<x@bad.example>", "x@bad.example ceo@us.example"),
        ("Friends: joe@bad.example, ceo@us.example;", "joe@bad.example ceo@us.example"),
        ("ceo@us.example@bad.example", "ceo@us.example us.example@bad.example"),
        ("<x@bad.example:ceo@us.example>", "x@bad.example ceo@us.example ?"),
        ("ceo@us.example\0@bad.example", "ceo@us.example us.example@bad.example"),
        ("ceo@us.ex\u{1}ample", "ceo@us.ex ceo@us.example ?"),
        (
            "ceo@us.example\r\nbob@y.example",
            "ceo@us.example bob@y.example ceo@us.examplebob us.examplebob@y.example",
        ),
        ("=?utf-8?q?ceo=40us.example?=, <x@bad.example>", "ceo@us.example x@bad.example"),
        (
            "=?utf-8?q?ceo=40us=2Eexample=00?=@bad.example",
            "=?utf-8?q?ceo=40us=2Eexample=00?=@bad.example ceo@us.example",
        ),
        (
            "=?utf-8?q?bob=40y.example=3E?=@x.example",
            "=?utf-8?q?bob=40y.example=3E?=@x.example bob@y.example",
        ),
        ("=?utf-7?q?ceo+AEA-us.example?=, joe@bad.example", "ceo@us.example joe@bad.example"),
        ("joe@bad.example, =?utf-7?b?Y2VvK0FFQS11cy5leGFtcGxl?=", "joe@bad.example ceo@us.example"),
        ("=?utf-16?q?=00c=00e=00o=00=40=00u=00s=00.=00e=00x?=, joe@bad.example", "ceo@us.ex joe@bad.example"),
        ("\"=?utf-8?q?bob?=\"@x.example", "=?utf-8?q?bob?=@x.example bob@x.example"),
        // Shown whole: the host counts, and nobody has such an address.
        ("<ceo ann@us.example>", "\"ceo ann\"@us.example"),
        ("<@us.example>", "@us.example"),
        ("\"ceo@us.example\"", "@us.example"),
        ("(ceo@us.example)", "@us.example"),
        ("[ceo@us.example]", "@us.example"),
        ("\"ceo@us.example\" <>", "@us.example"),
        ("ceo\u{ff20}us\u{3002}example", "ceo@us.example"),
        ("ceo@us\u{200b}.exa\u{ad}mple", "ceo@us.example"),
        ("<ceo@us.example/x@bad.example>", "ceo@us.example us.example/x@bad.example ?"),
        // The same beside others: who shows the first of the list shows this.
        ("\"ceo@us.example\", joe@bad.example", "joe@bad.example @us.example"),
        ("joe@bad.example, \"ceo@us.example\"", "joe@bad.example @us.example"),
        ("\"CEO <ceo@us.example>\", <joe@bad.example>", "joe@bad.example @us.example"),
        ("\"ceo@us.example\"; <joe@bad.example>", "joe@bad.example @us.example"),
        ("[ceo@us.example], joe@bad.example", "joe@bad.example @us.example"),
        ("ceo\u{ff20}us.example, joe@bad.example", "joe@bad.example ceo@us.example"),
        ("joe@bad.example, ceo\u{fe6b}us.example", "joe@bad.example ceo@us.example"),
        ("=?utf-8?b?Y2Vv77ygdXMuZXhhbXBsZQ==?=, joe@bad.example", "ceo@us.example joe@bad.example"),
        ("\u{2039}ceo\u{ff20}us.example> joe@bad.example", "joe@bad.example \u{2039}ceo@us.example"),
        (
            "\u{ff1c}ceo@us.example\u{ff1e}, joe@bad.example",
            "\u{ff1c}ceo@us.example joe@bad.example ceo@us.example",
        ),
        // Some read on through quotes in a host, to others they are its end.
        ("ceo@us.example\"Boss\"", "ceo@us.example @us.exampleboss ?"),
        ("Boss <ceo@us.example\"x\">", "ceo@us.example @us.examplex ?"),
        ("<ceo@us.example.\"x\">", "ceo@us.example @us.example.x ?"),
        ("<ceo@us.example\".\" x>", "ceo@us.example @us.example.x ?"),
        ("<ceo@us.\"example\">", "ceo@us @us.example ?"),
        ("<ceo@\"us\".example>", "ceo@us.example ?"),
        ("<ceo@\"us.example\">", "ceo@us.example"),
        ("ceo@us.example \"Boss\"", "ceo@us.example"),
        ("<ceo@us.example\"\">", "ceo@us.example"),
        ("ceo@us.example\"Boss\" <x@bad.example>", "x@bad.example ceo@us.example @us.exampleboss"),
        ("ceo@us.example, x@bad..example", "ceo@us.example ?"),
        ("ceo@us.example, ann@", "ceo@us.example ?"),
    ];
    for (value, expected) in cases {
        assert_eq!(named(value.as_bytes()).as_deref(), Ok(expected), "{value:?}");
    }
    let long = format!("{}@us.example", "a".repeat(65));
    assert_eq!(named(long.as_bytes()).as_deref(), Ok("@us.example"));
    // Both parts fit, and the address does not: its host counts all the same.
    for (local, labels) in [("a".repeat(64), 100), ("\"\\\"\\\"\\\" a\"".to_owned(), 121)] {
        let host = format!("{}example", "a.".repeat(labels));
        for value in [format!("<{local}@{host}>"), format!("x@bad.example, {local}@{host}")] {
            assert!(named(value.as_bytes()).unwrap().ends_with(&format!("@{host}")), "{value}");
            assert_eq!(authors(value.as_bytes()).unwrap().all_addresses(), None, "{value}");
        }
    }
}

/// A sign that no host has does not end what a reader is shown: what stands behind it is somebody who cannot be told.
#[test]
fn a_host_that_goes_on_behind_a_sign_is_odd() {
    let odd = |value: &str| authors(value.as_bytes()).map(|authors| authors.has_odd_host());
    for sign in "!#$%&'*+/=?^`{|}~:[\\\"\u{ff0b}\u{1}".chars() {
        for host in [format!("bad.example{sign}.us.example"), format!("bad.example{sign}us.example")] {
            for value in [
                format!("Boss <ceo@{host}>"),
                format!("ceo@{host}"),
                format!("joe@bad.example, Boss <ceo@{host}>"),
                format!("joe@bad.example, ceo@{host}"),
            ] {
                assert_eq!(odd(&value), Ok(true), "{value:?}");
            }
        }
    }
    for value in [
        "<ceo@bad.example us.example>",
        "ceo@bad.example us.example",
        "ceo@bad.example us .example",
        "ceo@bad.example us.example joe@bad.example",
        "<ceo@bad.example us@bad.example>",
        "<ceo@[192.0.2.1].us.example>",
        "<ceo@bad.example[.us.example]>",
        "Boss <ceo@bad.example<.us.example>",
        "Boss <ceo@bad.example<<us.example",
        "ceo@bad.example\"us.example\"",
        "<ceo@bad.example\"us\">",
        "<ceo@bad.example.\"us.example\">",
        "<ceo@bad.example\".\" us>",
        "<ceo@\"us\".example>",
        "<ceo@us*.us.example>",
        "<ceo@x%us.example>",
        "<joe@bad.example>, \"ceo@us*.us.example\"",
        "<joe@bad.example>, \"ceo@bad.example+.us.example\"",
        "=?utf-8?q?ceo=40bad=2Eexample=2B=2Eus=2Eexample?=, joe@bad.example",
    ] {
        assert_eq!(odd(value), Ok(true), "{value:?}");
    }
    // Marks that are left over, words beside and names for people are nobody.
    for value in [
        "'joe@bad.example'",
        "<joe@bad.example'>",
        "<joe@bad.example.>;",
        "joe@bad.example*",
        "joe@bad.example Joe J. Doe",
        "joe@bad.example via us",
        "joe@bad.example \"Joe J. Doe\"",
        "joe@bad.example\"\"",
        "<joe@\"bad.example\">",
        "joe@bad.example bob.lee@bad.example",
        "joe @ bad . example (us.example)",
        "<joe@bad.example<>",
        "<Joe<joe@bad.example>>",
        "<joe@bad.example> <us.example>",
        "\"us.example\" <joe@bad.example>",
        "us+.us.example <joe@bad.example>",
        "\"a@b!c\", joe@bad.example",
        "<joe@[192.0.2.1]>, joe@bad.example",
    ] {
        assert_eq!(odd(value), Ok(false), "{value:?}");
    }
}

/// What stands in no more than the words before `<>` is a name to most readers; in any other place it is an address to some.
#[test]
fn an_address_that_is_no_more_than_a_name_is_known_for_it() {
    let cases = [
        ("ceo@us.example <x@bad.example>", "us.example"),
        ("the ceo@us.example of us <x@bad.example>", "us.example"),
        ("'ceo@us.example' <x@bad.example>", "us.example"),
        ("ceo\u{ff20}us.example <x@bad.example>", "us.example"),
        ("ceo@us.example bob@y.example <x@bad.example>", "us.example y.example"),
        ("\"ceo@us.example\" <x@bad.example>", ""),
        ("ceo@us.example <x@us.example>", ""),
        ("ceo@us.example <x@bad.example>, ann@us.example", ""),
        ("<ceo@us.example> <x@bad.example>", ""),
        ("ceo@us.example <>", ""),
        ("ceo@us.example <nobody>", ""),
        ("ceo@us.example, <x@bad.example>", ""),
        ("\"ceo@us.example <x@bad.example>", ""),
        ("ceo@us.example(<x@bad.example>", ""),
        ("=?utf-8?q?ceo=40us.example?=, <x@bad.example>", ""),
    ];
    for (value, expected) in cases {
        let names: Vec<String> =
            authors(value.as_bytes()).unwrap().names().iter().map(ToString::to_string).collect();
        assert_eq!(names.join(" "), expected, "{value:?}");
    }
}

#[test]
fn what_names_no_host_has_no_author() {
    let malformed = [
        "",
        " \r\n ",
        "ann",
        ",",
        ";",
        "<>",
        "Ann <ann>",
        "@",
        "ann@",
        "ann@..",
        "<ann@>",
        "\"@\"",
        "=?utf-8?q?ann?=",
        "ann@x..example",
        "Ann @",
        "\"me@home\"",
        "ann\u{ff20}",
    ];
    for value in malformed {
        assert_eq!(named(value.as_bytes()), Err(BadAuthors::Malformed), "{value:?}");
    }
    for value in ["undisclosed-recipients:;", ":;", "Friends: Ann <>;"] {
        assert_eq!(named(value.as_bytes()), Err(BadAuthors::Group), "{value:?}");
    }
    let crowd: String = (0..=MAX_ENTRIES).map(|number| format!("a@b{number}.c,")).collect();
    assert_eq!(named(crowd.as_bytes()), Err(BadAuthors::TooMany));
    for blanks in [MAX_AUTHORS - 5, MAX_AUTHORS - 4] {
        let field = [" ".repeat(blanks), "a@b.c".to_owned()].concat();
        let expected =
            if field.len() > MAX_AUTHORS { Err(BadAuthors::TooMany) } else { Ok("a@b.c".to_owned()) };
        assert_eq!(named(field.as_bytes()), expected, "{blanks}");
    }
    assert_eq!(named("a@b.c,".repeat(1_000).as_bytes()).as_deref(), Ok("a@b.c"));
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

#[test]
fn a_field_of_one_token_names_its_authors_in_no_time() {
    for piece in [
        "(",
        "\"",
        "\\",
        "<",
        "@",
        ",",
        ":",
        "a ",
        "a@:",
        "[",
        ")",
        "<@,",
        "\r",
        "a@b ",
        "=?utf-8?q?a=40b?=",
        "a.@ ",
    ] {
        let value = piece.repeat(MAX_AUTHORS / piece.len());
        let found = authors(value.as_bytes());
        assert!(found.is_err() || found.is_ok_and(|found| found.hosts().len() <= MAX_ENTRIES), "{piece}");
    }
}

/// What one reader takes for a letter is nothing to the next, and a route without it.
#[test]
fn a_control_that_is_shown_as_a_letter_hides_no_author() {
    for value in [&b"<\x81@\ra,@b:b@y>"[..], b"<\x01@a,@b:b@y>", b"\x81@a <b@y>"] {
        let found = authors(value).unwrap();
        let mut shown = hosts_shown(value).into_iter().filter_map(|host| Host::parse(&host).ok());
        assert!(shown.all(|host| found.hosts().contains(&host)), "{value:?}: {found:?}");
        let address = Address::parse("b@y").unwrap();
        assert!(found.hosts().contains(&address.host), "{value:?}: {found:?}");
    }
}

/// Every host that display shows, as it is written.
fn hosts_shown(value: &[u8]) -> Vec<String> {
    let host = |entry| match entry {
        Entry::Mailbox(mailbox) => Some(mailbox.domain).filter(|domain| !domain.is_empty()),
        _ => None,
    };
    parse(value).into_iter().filter_map(host).collect()
}

/// Without the blanks around dots (RFC 5322 §4.4) and marks at the end, as far as words follow that are no names.
fn in_one_word(shown: &str) -> String {
    let mut text = shown.to_owned();
    let mut word = text.as_str();
    if let Some((first, rest)) =
        shown.split_once(' ').filter(|(first, rest)| !first.ends_with('.') && !rest.starts_with('.'))
    {
        let is_name = |word: &str| word.trim_end_matches(|c: char| !c.is_alphanumeric()).contains('.');
        if !rest.split(' ').any(is_name) {
            word = first;
        }
    } else {
        while text.contains(" .") || text.contains(". ") {
            text = text.replace(" .", ".").replace(". ", ".");
        }
        word = text.split(' ').next().unwrap_or_default();
    }
    let is_mark = |c: char| !(c.is_alphanumeric() || c == ']' && word.starts_with('['));
    word.trim_end_matches(is_mark).to_owned()
}

proptest! {
    #[test]
    fn whoever_is_shown_is_an_author(value in r#"[ab@<>,;:()" .\\\[\]=?'+*%/-]{0,24}"#) {
        let found = authors(value.as_bytes());
        for host in hosts_shown(value.as_bytes()) {
            let is_told = match &found {
                Ok(found) => match (Host::parse(&host), Host::parse(&in_one_word(&host))) {
                    (Ok(exact), _) => found.hosts().contains(&exact),
                    (Err(_), Ok(other)) => found.hosts().contains(&other) || found.has_odd_host(),
                    (Err(_), Err(_)) => found.has_odd_host(),
                },
                // Nobody is told: the message has no author that could be judged.
                Err(_) => Host::parse(&host).is_err(),
            };
            prop_assert!(is_told, "{host:?}: {found:?}");
        }
    }

    #[test]
    fn a_plain_author_is_read_in_one_way(name in "[a-z]{1,8}( [a-z.]{1,8}){0,3}", user in "[a-z]{1,8}", host in "[a-z]{1,8}[.][a-z]{2,4}") {
        let address = format!("{user}@{host}");
        for value in [format!("{name} <{address}>"), format!("\"{name}@z.example\" <{address}>"), format!("{address} ({name})")] {
            let found = authors(value.as_bytes()).unwrap();
            prop_assert_eq!(found.all_addresses().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), std::slice::from_ref(&address));
        }
    }
}
