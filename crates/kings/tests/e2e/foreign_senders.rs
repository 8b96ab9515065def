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

/// HOSTILE: every place where somebody may stand as the author, one by one, and what the account may write there.
#[test]
fn every_place_of_an_author_is_for_the_account_alone() {
    let kings = Kings::start();
    let (not_yours, sender) =
        ("550 5.7.1 From address is not yours", "553 5.7.1 Sender address is not yours");
    let cases = [
        (BOB, "From: ann@example.org", sender),
        (ELSEWHERE, "From: ann@example.org", sender),
        (ANN, "From: bob@example.org", not_yours),
        (ANN, "From: shop@example.net", not_yours),
        ("", "From: bob@example.org", not_yours),
        (ANN, "From: ann@example.org, bob@example.org", not_yours),
        (ANN, "From: ann@example.org\r\nSender: bob@example.org", not_yours),
        (ANN, "From: ann@example.org\r\nResent-From: bob@example.org", not_yours),
        (ANN, "From: ann@example.org\r\nResent-Sender: bob@example.org", not_yours),
        (ANN, "From: ann@example.org\r\nSender: ann@example.org, bob@example.org", "550 5.6.0"),
        (ANN, "From : bob@example.org", not_yours),
        (ANN, "From: ann@example.org\r\nFROM: bob@example.org", "550 5.6.0"),
        // What she may.
        (ANN, "From: Ann <ANN@Example.org>", "250"),
        (ANN, "From: ann@example.org\r\nSender: ann@example.org\r\nResent-From: ann@example.org", "250"),
        (ANN, "From: ann@example.org\r\nReply-To: bob@example.org", "250"),
        ("", "From: ann@example.org", "250"),
    ];
    for (reverse_path, fields, expected) in cases {
        let content = format!("{fields}\r\nTo: {BOB}\r\nSubject: names\r\n\r\nHello\r\n");
        let reply = kings.submissions(ANN).message(reverse_path, &[BOB], content.as_bytes()).unwrap();
        let told = format!("{} {}", reply.code, reply.text);
        assert!(told.starts_with(expected), "<{reverse_path}> {fields}: {told}");
    }
    assert_eq!(messages(&kings.maildir(BOB)).len(), 4);
}
