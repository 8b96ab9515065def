//! `[submission] foreign_senders`: a login that may write under every name, as Postfix has it.

use crate::harness::{Kings, Output, Setup, letter, messages, program, run_with_input};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const ELSEWHERE: &str = "shop@example.net";

fn lenient() -> Kings {
    let tables = "[submission]\nforeign_senders = \"accept\"\n".to_owned();
    Setup { tables, ..Setup::default() }.start()
}

/// curl logs in as ann and writes to bob.
fn submit(kings: &Kings, password: &str, reverse_path: &str, author: &str) -> Output {
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]);
    command.arg(&kings.certificates.authority).args(["--user", &format!("{ANN}:{password}")]);
    command.args(["--mail-from", reverse_path, "--mail-rcpt", BOB, "--upload-file", "-"]);
    command.arg(format!("smtps://{}", kings.at("submissions")));
    run_with_input(&mut command, &letter(author, BOB, "under another name"))
}

/// Nobody's reverse-path is curl's empty one.
const NAMES: [(&str, &str); 4] = [(ELSEWHERE, ELSEWHERE), (BOB, BOB), (ANN, ELSEWHERE), ("", ELSEWHERE)];

#[test]
fn an_account_writes_as_anybody_where_the_switch_says_so() {
    let kings = lenient();
    for (reverse_path, author) in NAMES {
        submit(&kings, "secret", reverse_path, author).succeeded();
    }
    let arrived = messages(&kings.maildir(BOB));
    let field = |name: &str| -> Vec<String> {
        let mut values: Vec<_> = arrived.iter().filter_map(|message| message.field(name)).collect();
        values.sort();
        values
    };
    assert_eq!(field("From"), [BOB, ELSEWHERE, ELSEWHERE, ELSEWHERE]);
    let reverse_paths = ["<>", "<ann@example.org>", "<bob@example.org>", "<shop@example.net>"];
    assert_eq!(field("Return-Path"), reverse_paths);
    // Who it really was is on record.
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    let is_told = |line: &str| {
        line.contains("reverse_path=<shop@example.net>") && line.contains("account=ann@example.org")
    };
    assert!(log.lines().any(is_told), "{log}");
}

#[test]
fn nobody_writes_as_somebody_else_without_the_switch() {
    let kings = Kings::start();
    for (reverse_path, author) in NAMES {
        submit(&kings, "secret", reverse_path, author).failed();
    }
    assert!(messages(&kings.maildir(BOB)).is_empty());
}

/// The switch is about logins: it opens nothing to those who have none, and mends no header.
#[test]
fn the_switch_opens_nothing_to_strangers() {
    let kings = lenient();
    submit(&kings, "wrong", ANN, ANN).failed();
    let content = letter(ANN, "dave@example.com", "relay me");
    kings.smtp().message(ANN, &["dave@example.com"], &content).unwrap().is("550 5.7.1");
    let mut client = kings.submissions(ANN);
    let two_authors = [&b"From: joe@example.net\r\n"[..], &letter(ANN, BOB, "two authors")].concat();
    client.message(ELSEWHERE, &[BOB], &two_authors).unwrap().is("550 5.6.0");
    let group = letter("undisclosed:;", BOB, "no author");
    client.message(ELSEWHERE, &[BOB], &group).unwrap().is("550 5.6.0");
    assert!(messages(&kings.maildir(BOB)).is_empty());
}
