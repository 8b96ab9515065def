//! The postmaster hears of sessions that went wrong: `notify_classes` of policy, protocol, resource and software.

use std::time::Duration;

use crate::harness::{Kings, Message, Setup, UNVERIFIED, letter, messages, plain, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";

fn telling(classes: &str) -> Kings {
    let tables =
        format!("{UNVERIFIED}[queue]\nnotify_classes = [{classes}]\nerror_notice_recipient = \"{BOB}\"\n");
    Setup { tables, ..Setup::default() }.start()
}

fn told(kings: &Kings) -> Vec<String> {
    messages(&kings.maildir(BOB)).iter().map(Message::text).collect()
}

#[test]
fn the_postmaster_gets_the_transcript_of_a_session_that_went_wrong() {
    let kings = telling("\"policy\", \"protocol\"");
    let mut client = kings.smtp();
    client.command("NONSENSE \u{fc}").unwrap().is("500");
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    client.command("RCPT TO:<joe@elsewhere.example>").unwrap().is("550 5.7.1");
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "not in it")).unwrap().is("503");
    client.command("RSET").unwrap().is("250");
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "not in it")).unwrap().is("250");
    client.command("QUIT").unwrap().is("221");
    let text = wait_until("the transcript", Duration::from_secs(20), || told(&kings).pop());
    for expected in [
        "\r\nSubject: Errors from [127.0.0.1] (policy, protocol)\r\n",
        "\r\n Out: 220 mail.example.org ESMTP Kings\r\n",
        "\r\n In:  NONSENSE \\u{fc}\r\n Out: 500 5.5.2 Command unknown\r\n",
        "\r\n In:  RCPT TO:<joe@elsewhere.example>\r\n Out: 550 5.7.1 Relaying denied\r\n",
        "\r\n In:  DATA\r\n Out: 354 ",
        "\r\nReturn-Path: <>\r\n",
    ] {
        assert!(format!("\r\n{text}").contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("not in it"), "{text}");
}

#[test]
fn nobody_hears_of_what_was_not_asked_for_and_a_flood_is_told_of_once() {
    let silent = telling("\"resource\", \"software\"");
    let kings = telling("\"policy\"");
    for kings in [&silent, &kings] {
        for _ in 0..5 {
            let mut client = kings.submissions(ANN);
            client.command(&format!("AUTH PLAIN {}", plain(ANN, "secret"))).unwrap().is("503");
            client.command(&format!("MAIL FROM:<{BOB}>")).unwrap().is("553 5.7.1");
            client.command("QUIT").unwrap().is("221");
        }
    }
    let text = wait_until("the transcript", Duration::from_secs(20), || told(&kings).pop());
    assert!(text.contains("AUTH PLAIN\r\n") && !text.contains(&plain(ANN, "secret")), "{text}");
    kings.deliver(ANN, "after");
    silent.deliver(ANN, "after");
    assert_eq!((told(&kings).len(), told(&silent).len()), (1, 0));
}
