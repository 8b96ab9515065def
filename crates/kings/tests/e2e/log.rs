//! Logins as the log tells them: IMAP and submission in the same words.

use std::time::Duration;

use crate::harness::{Kings, Smtp, Stream, plain, wait_until};

/// The log lines of logins without their time, level and place in the source.
fn login_lines(kings: &Kings) -> Vec<String> {
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    log.lines()
        .filter_map(|line| line.split_once(" login protocol="))
        .map(|(_, fields)| fields.to_owned())
        .collect()
}

fn imap(kings: &Kings, login: &str, password: &str) {
    let mut stream = Stream::connect(kings.address("imaps")).unwrap().secure(&kings.certificates);
    stream.line().unwrap();
    stream.send(format!("a LOGIN {login} {password}\r\n").as_bytes()).unwrap();
    stream.line().unwrap();
}

fn submission(kings: &Kings, login: &str, password: &str) {
    let client = Smtp::connect_silently(kings.address("submissions")).unwrap();
    let mut client = client.secure(&kings.certificates);
    client.reply().unwrap();
    client.command("EHLO client.example.org").unwrap();
    client.command(&format!("AUTH PLAIN {}", plain(login, password))).unwrap();
}

#[test]
fn both_protocols_log_a_login_under_the_same_keys_with_the_name_that_was_tried() {
    let kings = Kings::start();
    for (login, password) in [("ann@example.org", "secret"), ("Ann@example.org", "wrong")] {
        imap(&kings, login, password);
        submission(&kings, login, password);
    }
    let of = |protocol: &str| {
        let ok = r#"client=127.0.0.1 login="ann@example.org" account=ann@example.org result="ok" reason="-""#;
        let fail = r#"client=127.0.0.1 login="Ann@example.org" account="-" result="fail" reason="login name or password is wrong""#;
        [ok, fail].map(|fields| format!("{protocol:?} {fields}"))
    };
    let four = || Some(login_lines(&kings)).filter(|lines| lines.len() == 4);
    let mut lines = wait_until("four lines", Duration::from_secs(10), four);
    lines.sort();
    let mut expected = [of("imap"), of("submission")].concat();
    expected.sort();
    assert_eq!(lines, expected);
}
