//! Threads by both algorithms, as RFC 5256 §3 has them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::fetch::Content;
use crate::learn::learn;

/// `ID < REFERENCES ; SUBJECT ; MINUTE` for each message; numbers rise from 1.
fn threads(algorithm: Algorithm, messages: &[&str]) -> String {
    let mut threader = Threader::new(algorithm);
    for (place, message) in messages.iter().enumerate().rev() {
        let mut fields = message.split(';').map(str::trim);
        let (id, references) =
            fields.next().unwrap().split_once('<').map_or((fields_of(message), ""), |pair| pair);
        let subject = fields.next().unwrap_or_default();
        let ids =
            |names: &str| names.split_whitespace().map(|name| format!("<{name}@x> ")).collect::<String>();
        let date =
            fields.next().map_or(String::new(), |minute| format!("Date: 1 Jan 2027 00:{minute} +0000\r\n"));
        let text = format!(
            "Message-ID: {}\r\nReferences: {}\r\nSubject: {subject}\r\n{date}\r\n",
            ids(id.trim()),
            ids(references)
        );
        let [_, _, sheet] = learn(&Content::new(text.as_bytes()));
        threader.take(place, i64::try_from(place).unwrap() + 2_000_000_000, &sheet);
    }
    String::from_utf8(threader.threads(|place| place + 1).unwrap()).unwrap()
}

fn fields_of(message: &str) -> &str {
    message.split(';').next().unwrap_or_default()
}

#[test]
fn references_make_trees() {
    let cases: [(&str, &[&str], &str); 22] = [
        ("nothing", &[], ""),
        ("one", &["a; s; 01"], "(1)"),
        ("a chain", &["a; s; 01", "b < a; Re: s; 02", "c < a b; Re: s; 03"], "(1 2 3)"),
        ("a chain in any order", &["c < a b; Re: s; 03", "b < a; Re: s; 02", "a; s; 01"], "(3 2 1)"),
        ("a fork", &["a; s; 01", "b < a; r; 02", "c < a; t; 03"], "(1 (2)(3))"),
        ("siblings by date", &["a; s; 01", "b < a; r; 05", "c < a; t; 03"], "(1 (3)(2))"),
        ("threads by date", &["a; s; 05", "b; t; 01"], "(2)(1)"),
        ("equal dates in the order of the mailbox", &["a; s; 05", "b; t; 05", "c; u; 05"], "(1)(2)(3)"),
        ("a missing parent", &["b < a; r; 02", "c < a; t; 03"], "((1)(2))"),
        ("a missing parent of one", &["b < a; r; 02", "d; t; 03"], "(1)(2)"),
        ("missing ones in the middle", &["a; s; 01", "d < a b c; r; 02", "e < a b; t; 03"], "(1 (2)(3))"),
        ("a dummy sorts by its first child", &["x; o; 03", "b < a; r; 09", "c < a; t; 01"], "((3)(2))(1)"),
        ("an identifier given twice", &["a; s; 01", "a < b; t; 02", "c < a; u; 03"], "(1 3)(2)"),
        ("no identifier", &["; s; 01", "; t; 02"], "(1)(2)"),
        ("itself", &["a < a; s; 01"], "(1)"),
        ("each other", &["a < b; s; 01", "b < a; t; 02"], "(2 1)"),
        ("a ring of three", &["a < c; s; 01", "b < a; t; 02", "c < b; u; 03"], "(3 1 2)"),
        ("a ring in one field", &["a < b c b c a; s; 01", "d < c b; t; 02"], "(1)(2)"),
        // Step 1 (B): what a message says of itself counts for more than what others say.
        ("a cut field of another", &["c < a b; s; 03", "b < z; t; 02", "a; u; 01", "z; v; 00"], "(4 2 1)(3)"),
        ("in-reply-to is used without references", &["a; s; 01", "b <; t; 02"], "(1)(2)"),
        ("by subject", &["a; hello; 01", "b; Re: hello; 02", "c; other; 03"], "(1 2)(3)"),
        ("no subject is no subject in common", &["a; ; 01", "b; Re: ; 02"], "(1)(2)"),
    ];
    for (what, messages, expected) in cases {
        assert_eq!(threads(Algorithm::References, messages), expected, "{what}");
    }
}

#[test]
fn threads_of_one_subject_merge_as_step_5_has_it() {
    let cases: [(&str, &[&str], &str); 9] = [
        ("two that are no answers", &["a; s; 01", "b; s; 02"], "((1)(2))"),
        ("three", &["a; s; 01", "b; s; 02", "c; s; 03"], "((1)(2)(3))"),
        ("two answers without their first", &["a; Re: s; 01", "b; Re: s; 02"], "((1)(2))"),
        ("an answer older than the first", &["a; Re: s; 01", "b; s; 02"], "(2 1)"),
        ("an answer below, one beside", &["a; s; 01", "b < a; Re: s; 02", "c; Re: s; 03"], "(1 (2)(3))"),
        ("case says nothing", &["a; S\u{e4}ge; 01", "b; RE: s\u{c4}GE; 02"], "(1 2)"),
        (
            "both are dummies",
            &["b < a; s; 01", "c < a; r; 02", "e < d; s; 03", "f < d; t; 04"],
            "((1)(2)(3)(4))",
        ),
        ("one is a dummy", &["x; s; 00", "b < a; s; 01", "c < a; r; 02"], "((1)(2)(3))"),
        ("forwarded", &["a; s; 01", "b; [fwd: s]; 02", "c; s (fwd); 03"], "(1 (2)(3))"),
    ];
    for (what, messages, expected) in cases {
        assert_eq!(threads(Algorithm::References, messages), expected, "{what}");
    }
}

#[test]
fn subjects_alone_make_threads_of_two_levels() {
    let cases: [(&[&str], &str); 6] = [
        (&[], ""),
        (&["a; s; 05", "b; t; 01"], "(2)(1)"),
        (&["a; s; 02", "b; Re: s; 01"], "(2 1)"),
        (&["a; s; 01", "b; Re: s; 03", "c; [l] s; 02"], "(1 (3)(2))"),
        (&["a; ; 01", "b; x; 02", "c; Re:; 03"], "(1 3)(2)"),
        (&["a; s; 01", "b < a; t; 02", "c < b; S; 03"], "(1 3)(2)"),
    ];
    for (messages, expected) in cases {
        assert_eq!(threads(Algorithm::OrderedSubject, messages), expected, "{messages:?}");
    }
}

/// A mailbox that is made to be slow: long chains, wide rows, rings.
#[test]
fn what_is_made_to_be_slow_takes_no_long_time() {
    let threads = |references: &dyn Fn(usize) -> String, count: usize| {
        let mut threader = Threader::new(Algorithm::References);
        for place in 0..count {
            let text = format!("Message-ID: <{place}@x>\r\nReferences: {}\r\n\r\n", references(place));
            let [_, _, sheet] = learn(&Content::new(text.as_bytes()));
            threader.take(place, 0, &sheet);
        }
        threader.threads(|place| place)
    };
    let rising = threads(&|place| format!("<{}@x>", place.wrapping_sub(1)), 50_000).unwrap();
    assert!(rising.starts_with(b"(0 1 2 3 "));
    let falling = threads(&|place| format!("<{}@x>", place + 1), 50_000).unwrap();
    assert!(falling.starts_with(b"(49999 49998 "));
    let wide = threads(&|_| "<0@x>".to_owned(), 50_000).unwrap();
    assert!(wide.starts_with(b"(0 (1)(2)"));
    threads(
        &|place| format!("<{}@x> <{}@x> <{}@x>", (place * 7) % 999, (place * 31) % 997, place % 991),
        20_000,
    )
    .unwrap();
    let ring =
        |place: usize| (0..200).map(|step| format!("<{}@y>", (place + step) % 500)).collect::<String>();
    threads(&ring, 2_000).unwrap();
}
