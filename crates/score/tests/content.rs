//! Each rule has a message that passes all rules, and one that fails this rule alone; the page about them says what they say.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests read files")]

use std::fs;
use std::path::{Path, PathBuf};

use kings_score::content::{Content, FULL, RULES, Rule, judge};

/// When the messages are judged: Sat, 28 Nov 2026 13:00:00 +0000.
const NOW: i64 = 1_795_870_800;

fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().copied().flatten().copied()
}

/// A message of `tests/messages`: lines end in CRLF; `@lines N TEXT` is N lines, `@repeat N TEXT` one, and in `@raw TEXT` an
/// octet may be written as `\x0d`.
fn message(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut out = Vec::new();
    for line in text.lines() {
        let (directive, rest) = line.split_once(' ').unwrap_or((line, ""));
        let many = || {
            let (count, text) = rest.split_once(' ').unwrap();
            (count.parse::<usize>().unwrap(), text)
        };
        match directive {
            "@lines" => {
                let (count, text) = many();
                (1..count).for_each(|_| out.extend_from_slice(format!("{text}\r\n").as_bytes()));
                out.extend_from_slice(text.as_bytes());
            }
            "@repeat" => {
                let (count, text) = many();
                out.extend_from_slice(text.repeat(count).as_bytes());
            }
            "@raw" => {
                let mut pieces = rest.split("\\x");
                out.extend_from_slice(pieces.next().unwrap().as_bytes());
                for piece in pieces {
                    out.push(u8::from_str_radix(&piece[..2], 16).unwrap());
                    out.extend_from_slice(&piece.as_bytes()[2..]);
                }
            }
            _ => out.extend_from_slice(line.as_bytes()),
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages")
}

fn found(content: &Content) -> Vec<&'static str> {
    content.findings.iter().map(|finding| finding.rule.id).collect()
}

#[test]
fn each_rule_has_a_message_that_passes_and_one_that_fails_it_alone() {
    for rule in rules() {
        let content = judge(&message(&format!("{}.pass.eml", rule.id)), NOW);
        assert_eq!(found(&content), [""; 0], "{}.pass.eml", rule.id);
        assert_eq!(content.tenths(), FULL);
        let content = judge(&message(&format!("{}.fail.eml", rule.id)), NOW);
        assert_eq!(found(&content), [rule.id], "{}.fail.eml", rule.id);
        assert_eq!(content.tenths(), FULL - rule.weight);
    }
}

#[test]
fn no_message_is_left_over_and_no_rule_is_named_twice() {
    let mut names: Vec<String> =
        rules().flat_map(|rule| [format!("{}.fail.eml", rule.id), format!("{}.pass.eml", rule.id)]).collect();
    names.sort();
    let files =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.collect();
    files.sort();
    assert_eq!(files, names);
    assert!(rules().count() >= 25);
}

#[test]
fn a_file_with_the_line_ends_of_this_machine_is_judged_as_if_it_came_by_smtp() {
    for rule in rules().filter(|rule| rule.id != "line-end-alone") {
        let name = format!("{}.fail.eml", rule.id);
        let text = String::from_utf8_lossy(&message(&name)).replace("\r\n", "\n");
        assert_eq!(found(&judge(text.as_bytes(), NOW)), [rule.id], "{name}");
    }
}

/// `UPDATE=1` writes the table anew.
#[test]
fn the_page_lists_every_rule_as_the_code_has_it() {
    const BEGIN: &str = "<!-- rules: written by the tests of kings-score -->\n";
    const END: &str = "<!-- end of rules -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/score.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let row = |rule: &Rule| {
        let Rule { id, source, what, why, fix, .. } = rule;
        let cost = format!("{}.{}", rule.weight / 10, rule.weight % 10);
        format!("| `{id}` | {cost} | {what} | {why} | {fix} | {source} |\n")
    };
    let head = "| Rule | Costs | What is wrong | Why receivers mind | What to do | Source |\n|---|---|---|---|---|---|\n";
    let table: String = std::iter::once(head.to_owned()).chain(rules().map(row)).collect();
    let expected = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        page == expected || std::env::var_os("UPDATE").is_some(),
        "UPDATE=1 cargo test -p kings-score writes docs/score.md"
    );
}

#[test]
fn a_bomb_of_parts_and_tags_takes_no_more_than_its_length() {
    let mut nested = b"From: a@b.example\r\n".to_vec();
    for level in 0..5_000 {
        nested
            .extend(format!("Content-Type: multipart/mixed; boundary={level}\r\n\r\n--{level}\r\n").bytes());
    }
    judge(&nested, NOW);
    let mut wide = b"From: a@b.example\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n".to_vec();
    for _ in 0..50_000 {
        wide.extend(b"--b\r\nContent-Type: text/html\r\n\r\n<a href=http://x>y\r\n");
    }
    judge(&wide, NOW);
    let header = format!(
        "From: {}\r\nSubject: {}\r\n\r\n",
        "a@b.example,".repeat(50_000),
        "=?utf-8?q?a?= ".repeat(50_000)
    );
    judge(header.as_bytes(), NOW);
    let page =
        format!("Content-Type: text/html\r\n\r\n<p {}>{}", "a=b ".repeat(300_000), "&amp;".repeat(300_000));
    let content = judge(page.as_bytes(), NOW);
    assert!(content.findings.iter().all(|finding| finding.fact.chars().count() <= 201));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_is_judged(message in proptest::collection::vec(any::<u8>(), 0..400), now in any::<i64>()) {
            let content = judge(&message, now);
            prop_assert!(content.tenths() <= FULL);
        }

        #[test]
        fn html_of_any_form_is_judged(body in "[<>/a-z\"'=& ;:#\\x00-\\x1f\u{e9}]{0,400}") {
            let message = format!("Content-Type: text/html; charset=utf-8\r\n\r\n{body}");
            judge(message.as_bytes(), NOW);
        }
    }
}
