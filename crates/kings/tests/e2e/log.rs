//! What an operator finds in the log: one line for each thing, the same keys everywhere.

use std::time::Duration;

use crate::harness::{Kings, Setup, Smtp, Stream, letter, messages, plain, wait_until};

/// The fields of the log lines that tell of this, without time, level and place in the source.
fn lines(kings: &Kings, event: &str) -> Vec<String> {
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    let event = format!(": {event} ");
    log.lines().filter_map(|line| line.split_once(&event)).map(|(_, fields)| fields.to_owned()).collect()
}

/// The same, once there are so many of them.
fn wait_for(kings: &Kings, event: &str, count: usize) -> Vec<String> {
    let enough = || Some(lines(kings, event)).filter(|lines| lines.len() >= count);
    wait_until("the log lines", Duration::from_secs(10), enough)
}

#[test]
fn a_delivery_attempt_is_one_line_for_each_recipient() {
    let tables = "[outbound]\nsmart_host = \"127.0.0.1:9\"\n".to_owned();
    let kings = Setup { tables, ..Setup::default() }.start();
    kings.submit("ann@example.org", "joe@elsewhere.example", "nobody is there");
    let attempts = wait_for(&kings, "delivery attempt", 1);
    std::thread::sleep(Duration::from_millis(300));
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    let told = log.lines().filter(|line| line.contains("forward_path=<joe@elsewhere.example>"));
    assert_eq!((attempts.len(), told.count()), (1, 1), "{log}");
    for key in
        ["id=", "reverse_path=<ann@example.org>", "outcome=\"deferred\"", "status=4.", "reply=", "attempt=1"]
    {
        assert!(attempts[0].contains(key), "{key}: {}", attempts[0]);
    }
}

/// The line of a message says what became of it, not only that it was taken.
#[test]
fn the_line_of_a_message_tells_the_verdict() {
    let tables = "[inbound]\nheader_checks = \"rules\"\n".to_owned();
    let rules = "/^Subject: held/ HOLD looks odd\n/^Subject: dropped/ DISCARD nobody wants it\n";
    let kings = Setup { tables, files: vec![("rules", rules)], ..Setup::default() }.start();
    for (author, subject, verdict) in [
        ("joe@far.test", "hello", "accept"),
        ("ann@example.org", "forged", "junk"),
        ("joe@far.test", "held", "hold"),
        ("joe@far.test", "dropped", "discard"),
    ] {
        let content = letter(author, "bob@example.org", subject);
        kings.smtp().message("joe@far.test", &["bob@example.org"], &content).unwrap().is("250");
        let told = lines(&kings, "message received");
        let last = told.last().unwrap();
        assert!(last.contains(&format!("verdict=\"{verdict}\"")), "{subject}: {last}");
    }
    assert_eq!(messages(&kings.maildir("bob@example.org").join(".Junk")).len(), 1);
    kings.submit("ann@example.org", "bob@example.org", "our own");
    let told = lines(&kings, "message received");
    assert!(told.last().unwrap().contains("verdict=\"accept\""), "{told:?}");
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
    let of = |protocol: &str, mechanism: &str| {
        let ok = format!(
            r#"login="ann@example.org" account=ann@example.org mechanism="{mechanism}" result="ok" reason="-""#
        );
        let fail = format!(
            r#"login="Ann@example.org" account="-" mechanism="{mechanism}" result="fail" reason="login name or password is wrong""#
        );
        [ok, fail].map(|fields| format!("protocol={protocol:?} client=127.0.0.1 {fields}"))
    };
    let mut lines = wait_for(&kings, "login", 4);
    lines.sort();
    let mut expected = [of("imap", "LOGIN"), of("submission", "PLAIN")].concat();
    expected.sort();
    assert_eq!(lines, expected);
}
