//! Reports and trace of mail that another server did not take: what it said is told as its words, what we found as ours.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::harness::{Kings, Setup, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";
const DELIVERY: Duration = Duration::from_secs(40);

/// A server that greets and answers EHLO and RCPT with these lines, takes all else, and hangs up behind the content; and
/// Kings that sends everything there.
fn start(greeting: &'static str, ehlo: &'static str, rcpt: &'static str) -> Kings {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let mut answer = greeting;
            while write!(stream, "{answer}\r\n").is_ok() {
                let Some(line) = lines.next() else { break };
                answer = match line.split([' ', ':']).next().unwrap_or_default() {
                    "EHLO" => ehlo,
                    "RCPT" => rcpt,
                    "DATA" => {
                        let _ = write!(stream, "354 go on\r\n");
                        while lines.next().is_some_and(|line| line != ".") {}
                        break;
                    }
                    _ => "250 ok",
                };
            }
        }
    });
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\ntls = \"none\"\n");
    let kings = Setup { tables, ..Setup::default() }.start();
    kings.submit(ANN, DAVE, "hello");
    kings
}

fn report(kings: &Kings) -> String {
    wait_until("the report", DELIVERY, || messages(&kings.maildir(ANN)).pop()).text().replace("\r\n ", " ")
}

fn trace(kings: &Kings, step: &str) -> String {
    wait_until(step, DELIVERY, || {
        let story = run(&mut kings.command(&["trace", "--recipient", DAVE])).text();
        story.contains(step).then_some(story)
    })
}

#[test]
fn what_a_host_offers_too_little_of_is_told_in_our_words() {
    let kings = start("220 hi", "250-host\r\n250 SIZE 10", "250 ok");
    let (report, story) = (report(&kings), trace(&kings, "will not take it"));
    assert!(
        report.contains("Diagnostic-Code: X-Kings; the message cannot be given to 127.0.0.1"),
        "{report}"
    );
    assert!(report.contains("\r\nStatus: 5.3.4\r\n"), "{report}");
    assert!(!report.contains("Remote-MTA") && !report.contains("said:"), "{report}");
    assert!(story.contains("the message cannot be given to 127.0.0.1") && !story.contains("552"), "{story}");
}

#[test]
fn what_a_host_said_is_told_as_its_own_words() {
    let kings = start("220 hi", "250 host", "550 5.7.1 not from you");
    let report = report(&kings);
    for words in
        ["said:", "Remote-MTA: dns; ", "Diagnostic-Code: smtp; 550 5.7.1 not from you", "Status: 5.7.1"]
    {
        assert!(report.contains(words), "{report}");
    }
}

/// Neither a greeting of 554 nor 552 for a recipient is the end, so neither is told as one.
#[test]
fn what_is_put_off_is_never_told_as_permanent() {
    for (greeting, rcpt, expected) in [
        ("554 go away", "250 ok", "554 go away"),
        ("220 hi", "552 5.5.3 too many", "552 5.5.3 too many"),
        ("220 hi", "250 ok", "session with 127.0.0.1"),
    ] {
        let kings = start(greeting, "250 host", rcpt);
        assert!(trace(&kings, "did not take it now").contains(expected), "{expected}");
        let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
        assert!(log.contains("outcome=\"deferred\" status=4."), "{log}");
    }
}
