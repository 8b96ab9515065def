//! Failed logins are counted together, whatever the protocol, the mechanism and the host that speaks for the client.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{Kings, Setup, Smtp, Stream, letter, plain, wait_until};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
const CLIENT: &str = "203.0.113.7";
const NEIGHBOUR: &str = "203.0.113.8";

/// A server that bears so many failures a minute, and trusts this machine to speak for others.
fn bearing(failures: u32, more: &str) -> Kings {
    let tables = format!("[limits]\nlogin_failures_per_minute = {failures}\n{more}");
    let mut setup = Setup { tables, ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.0/8\"]\n";
    setup.start()
}

/// A client on port 465, `spoken_for` another one, that has said EHLO.
#[track_caller]
fn submission(kings: &Kings, spoken_for: Option<&str>) -> Smtp {
    let client = Smtp::connect_silently(kings.address("submissions")).unwrap();
    let mut client = client.secure(&kings.certificates);
    client.reply().unwrap().is("220");
    client.command("EHLO client.example.org").unwrap().is("250");
    if let Some(address) = spoken_for {
        client.command(&format!("XCLIENT ADDR={address}")).unwrap().is("220");
        client.command("EHLO client.example.org").unwrap().is("250");
    }
    client
}

/// What the server says to a login on port 465: its code.
#[track_caller]
fn submits(kings: &Kings, spoken_for: Option<&str>, password: &str) -> u16 {
    submission(kings, spoken_for).command(&format!("AUTH PLAIN {}", plain(ANN, password))).unwrap().code
}

/// One line over IMAP, and the answer to it.
struct Talk(Stream);

impl Talk {
    #[track_caller]
    fn new(kings: &Kings) -> Self {
        let mut stream = Stream::connect(kings.address("imaps")).unwrap().secure(&kings.certificates);
        assert!(stream.line().unwrap().starts_with(b"* OK"));
        Self(stream)
    }

    #[track_caller]
    fn say(&mut self, line: &str) -> String {
        self.0.send(format!("{line}\r\n").as_bytes()).unwrap();
        String::from_utf8(self.0.line().unwrap()).unwrap()
    }
}

/// The first message of a SCRAM client that will never send a second one.
fn first_of_scram() -> String {
    STANDARD.encode(format!("n,,n={ANN},r=fyko+d2lbbFgONRv9qkxdawL"))
}

/// Each way to fail once, over both protocols.
#[track_caller]
fn fail_each_way(kings: &Kings) -> u32 {
    assert!(Talk::new(kings).say(&format!("a LOGIN {ANN} wrong")).starts_with("a NO [AUTHENTICATIONFAILED]"));
    let refused = Talk::new(kings).say(&format!("a AUTHENTICATE PLAIN {}", plain(ANN, "wrong")));
    assert!(refused.starts_with("a NO [AUTHENTICATIONFAILED]"), "{refused}");
    assert_eq!(submits(kings, None, "wrong"), 535);
    // Broken off after the salt: by a word, by a new login, and by going away.
    let scram = first_of_scram();
    let mut talk = Talk::new(kings);
    assert!(talk.say(&format!("a AUTHENTICATE SCRAM-SHA-256 {scram}")).starts_with("+ "));
    assert!(talk.say("*").starts_with("a BAD"));
    drop(talk);
    let mut client = submission(kings, None);
    client.command(&format!("AUTH SCRAM-SHA-1 {scram}")).unwrap().is("334");
    client.command("*").unwrap().is("501");
    client.command(&format!("AUTH SCRAM-SHA-256 {scram}")).unwrap().is("334");
    drop(client);
    6
}

#[test]
fn failures_over_imap_and_submission_are_one_count() {
    // As many as are borne: the next one waits, over both.
    let failures = 6;
    let kings = bearing(failures, "");
    assert_eq!(fail_each_way(&kings), failures);
    // The last one is counted when the server sees that the client has gone.
    wait_until("the count to be full", Duration::from_secs(10), || {
        (submits(&kings, None, "secret") == 454).then_some(())
    });
    let late = Talk::new(&kings).say(&format!("a LOGIN {ANN} secret"));
    assert!(late.starts_with("a NO [LIMIT]"), "{late}");
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert_eq!(log.matches("reason=\"broken off before the proof\"").count(), 3, "{log}");

    // One more is borne: the same failures hinder nobody, and none was counted twice.
    let kings = bearing(failures + 1, "");
    fail_each_way(&kings);
    wait_until("the last failure in the log", Duration::from_secs(10), || {
        let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
        (log.matches("reason=\"broken off before the proof\"").count() == 3).then_some(())
    });
    assert_eq!(submits(&kings, None, "secret"), 235);
    assert!(Talk::new(&kings).say(&format!("a LOGIN {ANN} secret")).starts_with("a OK"));
}

/// HOSTILE: behind a balancer one guesser must not close the door to all, and all must not be one guesser.
#[test]
fn failures_are_those_of_the_client_that_is_spoken_for() {
    let kings = bearing(2, "");
    for _ in 0..2 {
        assert_eq!(submits(&kings, Some(CLIENT), "wrong"), 535);
    }
    assert_eq!(submits(&kings, Some(CLIENT), "secret"), 454, "the guesser waits");
    assert_eq!(submits(&kings, Some(NEIGHBOUR), "secret"), 235, "its neighbour does not");
    assert_eq!(submits(&kings, None, "secret"), 235, "nor does the host that speaks for both");
    // The other way round: the host's own failures are nobody else's.
    for _ in 0..2 {
        assert_eq!(submits(&kings, None, "wrong"), 535);
    }
    assert_eq!(submits(&kings, None, "secret"), 454);
    assert_eq!(submits(&kings, Some(NEIGHBOUR), "secret"), 235);
    // An exchange that was begun before XCLIENT is the host's, one after it the client's.
    let mut client = submission(&kings, Some("203.0.113.9"));
    let scram = first_of_scram();
    for _ in 0..2 {
        client.command(&format!("AUTH SCRAM-SHA-256 {scram}")).unwrap().is("334");
        client.command("*").unwrap().is("501");
    }
    drop(client);
    wait_until("both to be counted", Duration::from_secs(10), || {
        (submits(&kings, Some("203.0.113.9"), "secret") == 454).then_some(())
    });
    assert_eq!(submits(&kings, Some(NEIGHBOUR), "secret"), 235);
}

#[test]
fn rates_are_those_of_the_client_that_is_spoken_for() {
    let kings = bearing(10, "messages_per_minute_per_address = 2\nerrors_per_hour_per_address = 30\n");
    let speaking = |address: Option<&str>| {
        let mut client = Smtp::connect(kings.address("smtp")).unwrap();
        client.command("EHLO proxy.example.net").unwrap().is("250");
        if let Some(address) = address {
            client.command(&format!("XCLIENT ADDR={address}")).unwrap().is("220");
            client.command("EHLO client.example.net").unwrap().is("250");
        }
        client
    };
    for number in 0..2 {
        let content = letter(CAROL, ANN, &format!("number {number}"));
        speaking(Some(CLIENT)).message(CAROL, &[ANN], &content).unwrap().is("250");
    }
    for (address, expected) in [(Some(CLIENT), "450 4.7.1"), (Some(NEIGHBOUR), "250"), (None, "250")] {
        speaking(address).command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is(expected);
    }
}
