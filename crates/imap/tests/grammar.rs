//! Tables of commands, and properties that hold for every input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod converse;

use converse::converse;
use kings_imap::command::fetch::{Body, Fetch, Item, Label, Needs, Section, SectionText};
use kings_imap::command::{Enabled, List, ListOptions, Own, Resync, Select, StatusItem, Store, StoreMode};
use kings_imap::{Command, Flag, ModSeq, Request, SequenceSet, SyntaxError, parse};
use kings_mail::header::Keep;
use kings_mail::mime::Facet;
use proptest::prelude::*;

fn set(text: &str) -> SequenceSet {
    SequenceSet::parse(text.as_bytes()).unwrap()
}

fn request(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Ok(Command::Request(request)) => request,
        other => panic!("{text}: {other:?}"),
    }
}

fn select(mailbox: &str, read_only: bool) -> Request {
    Request::Select(Select { mailbox: mailbox.into(), read_only, condstore: false, resync: None })
}

#[test]
fn commands_are_read_in_any_case() {
    let cases = [
        ("a select INBOX", select("INBOX", false)),
        ("a EXAMINE {5+}\r\nInbox", select("Inbox", true)),
        ("A.1 Rename a \"b c\"", Request::Rename { from: "a".into(), to: "b c".into() }),
        ("a UID EXPUNGE 1:*", Request::Expunge(Some(set("1:*")))),
        ("a expunge", Request::Expunge(None)),
        ("a status &Jjo- (unseen MESSAGES)", {
            Request::Status {
                mailbox: "\u{263a}".into(),
                items: vec![StatusItem::Unseen, StatusItem::Messages],
            }
        }),
        ("a uid store 3 -flags.silent \\seen $x", {
            let flags = vec![Flag::Seen, Flag::Keyword("$x".into())];
            Request::Store(Store {
                uid: true,
                set: set("3"),
                mode: StoreMode::Remove,
                silent: true,
                flags,
                unchanged_since: None,
            })
        }),
        ("a LSUB \"\" %", {
            let select = ListOptions { subscribed: true, special_use: false };
            let patterns = vec![b"%".to_vec()];
            Request::List(List {
                lsub: true,
                reference: vec![],
                patterns,
                select,
                recursive: false,
                tell: ListOptions::default(),
                status: vec![],
                metadata: vec![],
                my_rights: false,
            })
        }),
    ];
    for (text, expected) in cases {
        assert_eq!(request(text), expected, "{text}");
    }
}

#[test]
fn fetch_items_keep_the_words_of_the_client() {
    let Request::Fetch(fetch) =
        request("a UID FETCH 1 (FLAGS body.peek[2.1.header.fields.not (Date \"X-\\\"\")]<5.7>)")
    else {
        panic!("a FETCH")
    };
    let names = vec!["Date".into(), "X-\"".into()];
    let section = Section { path: vec![2, 1], text: SectionText::Fields { keep: Keep::Others, names } };
    let body = Body { label: Label::Body, section, partial: Some((5, 7)), peek: true };
    let items = vec![Item::Uid, Item::Flags, Item::Body(body)];
    assert_eq!(
        fetch,
        Fetch { uid: true, set: set("1"), items, changed_since: None, vanished: false, partial: None }
    );
    assert!(!fetch.sets_seen() && fetch.needs() == Needs::Content);
}

/// RFC 7162 §7.
#[test]
fn what_a_client_knows_already_is_read_whole_or_refused() {
    let resync = |known: Option<&str>, matches: Option<(&str, &str)>| {
        let resync = Resync {
            validity: 67.try_into().unwrap(),
            modseq: ModSeq(9_223_372_036_854_775_807),
            known: known.map(set),
            matches: matches.map(|(numbers, uids)| (set(numbers), set(uids))),
        };
        Some(Select { mailbox: "INBOX".into(), read_only: false, condstore: false, resync: Some(resync) })
    };
    let top = "9223372036854775807";
    let with_condstore = Select { mailbox: "INBOX".into(), read_only: false, condstore: true, resync: None };
    let cases = [
        ("(condstore)".to_owned(), Some(with_condstore.clone())),
        (format!("(QRESYNC (67 {top}))"), resync(None, None)),
        (format!("(QRESYNC (67 {top} 1,3:9))"), resync(Some("1,3:9"), None)),
        (format!("(QRESYNC (67 {top} 1:9 (1:3 4:6)))"), resync(Some("1:9"), Some(("1:3", "4:6")))),
        (format!("(QRESYNC (67 {top} (1 4)))"), resync(None, Some(("1", "4")))),
        (format!("(QRESYNC (67 {top}) CONDSTORE)"), {
            resync(None, None).map(|select| Select { condstore: true, ..select })
        }),
        // One more than 63 bits hold; no number; nothing; `*` and `$`, which mean nothing here; twice; halves.
        ("(QRESYNC (67 9223372036854775808))".to_owned(), None),
        ("(QRESYNC (67 -1))".to_owned(), None),
        ("(QRESYNC (67 0))".to_owned(), None),
        (format!("(QRESYNC (0 {top}))"), None),
        (format!("(QRESYNC (67 {top} 1:*))"), None),
        (format!("(QRESYNC (67 {top} $))"), None),
        (format!("(QRESYNC (67 {top} (1:3 4:*)))"), None),
        (format!("(QRESYNC (67 {top} (1:3)))"), None),
        (format!("(QRESYNC (67 {top} 1 2))"), None),
        (format!("(QRESYNC (67 {top}) QRESYNC (67 {top}))"), None),
        (format!("(QRESYNC (67 {top})"), None),
        (format!("(QRESYNC 67 {top})"), None),
        ("()".to_owned(), None),
        ("(X-OTHER)".to_owned(), None),
        ("CONDSTORE".to_owned(), None),
    ];
    for (options, expected) in cases {
        let parsed = parse(format!("a SELECT INBOX {options}").as_bytes());
        let expected = expected.map(|select| Command::Request(Request::Select(select)));
        assert_eq!(parsed.ok(), expected, "{options}");
    }
    let enabled = |words: &str| match parse(format!("a ENABLE {words}").as_bytes()) {
        Ok(Command::Own(Own::Enable(enabled))) => enabled,
        other => panic!("{words}: {other:?}"),
    };
    assert_eq!(enabled("X qresync"), Enabled { qresync: true, ..Enabled::default() });
    assert_eq!(enabled("CONDSTORE"), Enabled { condstore: true, ..Enabled::default() });
}

#[test]
fn modifiers_stand_where_they_belong() {
    let fetch = |text: &str| match parse(format!("a {text}").as_bytes()) {
        Ok(Command::Request(Request::Fetch(fetch))) => {
            Some((fetch.changed_since, fetch.vanished, fetch.items))
        }
        _ => None,
    };
    let items = vec![Item::Flags, Item::ModSeq];
    assert_eq!(fetch("FETCH 1 FLAGS (CHANGEDSINCE 0)"), Some((Some(ModSeq(0)), false, items.clone())));
    assert_eq!(fetch("FETCH 1 (FLAGS MODSEQ) (changedsince 7)"), Some((Some(ModSeq(7)), false, items)));
    let vanished = fetch("UID FETCH 1 FLAGS (VANISHED CHANGEDSINCE 7)").unwrap();
    assert!(vanished.1 && vanished.0 == Some(ModSeq(7)));
    for refused in [
        "FETCH 1 FLAGS (CHANGEDSINCE 7 VANISHED)",
        "UID FETCH 1 FLAGS (VANISHED)",
        "UID FETCH 1 FLAGS ()",
        "FETCH 1 FLAGS (CHANGEDSINCE 7 CHANGEDSINCE 8)",
        "FETCH 1 FLAGS (CHANGEDSINCE)",
        "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "FETCH 1 FLAGS (OTHER 7)",
        "FETCH 1 FLAGS CHANGEDSINCE 7",
    ] {
        assert_eq!(fetch(refused), None, "{refused}");
    }
    let store = |text: &str| match parse(format!("a {text}").as_bytes()) {
        Ok(Command::Request(Request::Store(store))) => Some(store.unchanged_since),
        _ => None,
    };
    assert_eq!(store("STORE 1 (UNCHANGEDSINCE 0) FLAGS ()"), Some(Some(ModSeq(0))));
    assert_eq!(store("STORE 1 (unchangedsince 7) +FLAGS.SILENT \\Seen"), Some(Some(ModSeq(7))));
    for refused in ["STORE 1 () FLAGS ()", "STORE 1 (UNCHANGEDSINCE) FLAGS ()", "STORE 1 (X 7) FLAGS ()"] {
        assert_eq!(store(refused), None, "{refused}");
    }
    let search = |text: &str| match parse(format!("a SEARCH {text}").as_bytes()) {
        Ok(Command::Request(Request::Search(search))) => Some(search.modseq),
        _ => None,
    };
    for (text, expected) in [
        ("ALL", Some(false)),
        ("MODSEQ 7", Some(true)),
        ("OR SEEN NOT MODSEQ 0", Some(true)),
        ("MODSEQ \"/flags/\\\\draft\" all 620162338", Some(true)),
        ("MODSEQ \"/flags/$x\" priv 7", Some(true)),
        ("MODSEQ \"/other\" all 7", None),
        ("MODSEQ \"/flags/x\" some 7", None),
        ("MODSEQ", None),
        ("MODSEQ x", None),
    ] {
        assert_eq!(search(text), expected, "{text}");
    }
}

#[test]
fn the_old_names_mean_the_same_sections() {
    for (text, facet, sets_seen) in [
        ("a FETCH 1 RFC822", Facet::Whole, true),
        ("a FETCH 1 RFC822.HEADER", Facet::Header, false),
        ("a FETCH 1 RFC822.TEXT", Facet::Text, true),
        ("a FETCH 1 BODY[TEXT]", Facet::Text, true),
        ("a FETCH 1 BODY.PEEK[]", Facet::Whole, false),
    ] {
        let Request::Fetch(fetch) = request(text) else { panic!("a FETCH") };
        assert_eq!(fetch.sets_seen(), sets_seen, "{text}");
        let Item::Body(body) = &fetch.items[0] else { panic!("a body") };
        assert_eq!(body.section.text, SectionText::Facet(facet), "{text}");
    }
}

#[test]
fn errors_name_what_was_wrong() {
    use SyntaxError as E;
    let cases: [(&[u8], E); 22] = [
        (b"", E::Tag),
        (b"{3} NOOP", E::Tag),
        (&[b'a'; 65], E::Tag),
        (b"a\tNOOP", E::Space),
        (b"a NO\xffOP", E::UnknownCommand),
        (b"a UID", E::UnknownCommand),
        (b"a UID UID FETCH 1 UID", E::UnknownCommand),
        (b"a NOOP ", E::Trailing),
        (b"a LOGIN ann", E::Space),
        (b"a LOGIN ann \"\xff\"", E::String),
        (b"a FETCH 1", E::Space),
        (b"a FETCH a UID", E::Set),
        (b"a FETCH 1 (UID FLAGS", E::Parenthesis),
        (b"a FETCH 1 (UID  FLAGS)", E::FetchItem),
        (b"a FETCH 1 UID)", E::Trailing),
        (b"a FETCH 1 BODY[", E::Section),
        (b"a FETCH 1 BODY[]<1", E::Section),
        (b"a STORE 1 +FLAGS (\\)", E::Flag),
        (b"a COPY 1 \"&\"", E::Mailbox),
        (b"a SEARCH LARGER 4294967296", E::Number),
        (b"a SEARCH KEYWORD \\Seen", E::Atom),
        (b"a APPEND INBOX", E::Literal),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected), "{}", text.escape_ascii());
    }
}

#[test]
fn passwords_do_not_show_in_debug_output() {
    let parsed = parse(b"a LOGIN ann hunter2");
    assert!(matches!(parsed, Ok(Command::Own(Own::Login(_)))));
    assert!(!format!("{parsed:?}").contains("hunter2"));
}

#[test]
fn an_initial_response_is_there_empty_or_missing() {
    for (line, expected) in [
        ("a AUTHENTICATE CRAM-MD5", Ok(None)),
        ("a AUTHENTICATE CRAM-MD5 ", Ok(None)),
        ("a AUTHENTICATE CRAM-MD5 =", Ok(Some("="))),
        ("a AUTHENTICATE CRAM-MD5 AAAA", Ok(Some("AAAA"))),
        ("a AUTHENTICATE CRAM-MD5  ", Err(())),
        ("a AUTHENTICATE CRAM-MD5  AAAA", Err(())),
        ("a AUTHENTICATE CRAM-MD5 AAAA AAAA", Err(())),
        ("a AUTHENTICATE ", Err(())),
    ] {
        let found = match parse(line.as_bytes()) {
            Ok(Command::Own(Own::Authenticate { initial, .. })) => Ok(initial),
            _ => Err(()),
        };
        assert_eq!(found, expected.map(|text| text.map(|text| text.as_bytes().to_vec())), "{line}");
    }
}

/// Pieces of commands, so that random input gets behind the first word.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "a ",
        "b ",
        "LOGIN ann x\r\n",
        "SELECT INBOX\r\n",
        "UID ",
        "FETCH ",
        "SEARCH ",
        "STORE ",
        "APPEND x ",
        "IDLE\r\n",
        "DONE\r\n",
        "AUTHENTICATE PLAIN ",
        "AGFubgB4\r\n",
        "1:* ",
        "BODY[",
        "HEADER.FIELDS ",
        "TEXT",
        "1.2.",
        "]",
        "<0.5>",
        "(",
        ")",
        "\"",
        "\\",
        "{3}\r\n",
        "{5+}\r\n",
        "{0}\r\n",
        "NIL",
        "OR ",
        "NOT ",
        "ENVELOPE ",
        "BODYSTRUCTURE",
        "FLAGS ",
        "LIST \"\" ",
        "*%",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\0",
        "abc",
        "\u{fc}",
        "LOGOUT\r\n",
        "{4294967295+}\r\n",
    ];
    prop_oneof![
        9 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics_and_pieces_make_no_difference(
        fragments in proptest::collection::vec(fragment(), 0..60),
        logged_in in any::<bool>(),
        piece in 1_usize..9,
    ) {
        let mut input = if logged_in { b"0 LOGIN ann x\r\n1 SELECT INBOX\r\n".to_vec() } else { vec![] };
        input.extend(fragments.concat());
        let whole = converse(&input, usize::MAX);
        prop_assert!(whole.ends_with(b"\r\n"));
        prop_assert_eq!(whole, converse(&input, piece));
    }

    #[test]
    fn the_parser_takes_any_bytes(input in proptest::collection::vec(any::<u8>(), 0..200), verb in 0_usize..8) {
        let verbs = ["", "a FETCH 1 ", "a SEARCH ", "a LIST ", "a STORE 1 ", "a STATUS ", "a ID ", "a UID COPY "];
        let _ = parse(&[verbs[verb].as_bytes(), &input].concat());
    }

    /// Whatever the message: the response is well-formed, its literals as long as announced.
    #[test]
    fn fetch_responses_balance(message in proptest::collection::vec(fragment(), 0..40)) {
        let message: Vec<u8> = message.concat().into_iter().filter(|octet| *octet != 0).collect();
        let facts = kings_imap::fetch::Facts {
            number: kings_imap::SequenceNumber::from_index(0).unwrap(),
            uid: kings_imap::Uid(std::num::NonZeroU32::MIN),
            flags: vec![],
            recent: false,
            internal_date: kings_mail::date::DateTime::from_unix(0),
            size: message.len() as u64,
            modseq: ModSeq(1),
            uid_only: false,
            identity: None,
        };
        let Request::Fetch(fetch) = request("a FETCH 1 (ENVELOPE BODYSTRUCTURE PREVIEW BODY[] BODY[TEXT]<3.9>)") else { panic!() };
        let content = kings_imap::fetch::Content::new(&message);
        let segments = kings_imap::fetch::render(&fetch.items, &facts, kings_imap::fetch::Source::Content(&content));
        let [kings_imap::fetch::Segment::Text(text)] = segments.as_slice() else { panic!("small messages are inline") };
        prop_assert!(is_balanced(text), "{}", text.escape_ascii());
    }
}

/// Walks quoted strings, literals and parentheses up to the final CRLF.
fn is_balanced(mut rest: &[u8]) -> bool {
    let mut depth = 0_i32;
    while let Some((octet, tail)) = rest.split_first() {
        rest = tail;
        match octet {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'"' => loop {
                match rest {
                    [b'\\', _, tail @ ..] => rest = tail,
                    [b'"', tail @ ..] => {
                        rest = tail;
                        break;
                    }
                    [b' '..=b'~', tail @ ..] => rest = tail,
                    _ => return false,
                }
            },
            b'{' => {
                let end = rest.iter().position(|octet| *octet == b'}').unwrap();
                let size: usize = std::str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
                assert_eq!(&rest[end + 1..end + 3], b"\r\n");
                rest = &rest[end + 3 + size..];
            }
            b'\r' => return depth == 0 && rest == b"\n",
            b'\n' | 0 => return false,
            _ => {}
        }
    }
    false
}
