//! OBJECTID and SAVEDATE: what mailboxes and messages keep, told to clients.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use kings_mail::date::DateTime;
use support::{Client, LETTER, Server};

/// What stands in parentheses, or quotes, behind `word` in the one line that `command` is answered with.
async fn told(client: &mut Client, command: &str, word: &str) -> String {
    let lines = client.ok(command).await;
    let line =
        lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{command}: {lines:?}"));
    let (_, rest) = line.split_once(word).unwrap();
    rest.trim_start_matches([' ', '(', '"']).split([')', '"']).next().unwrap().to_owned()
}

/// RFC 8474 §4, RFC 8474 §5.
#[tokio::test]
async fn names_stay_over_copies_renames_and_restarts() {
    let server = Server::new();
    server.deliver(LETTER).await;
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let (one, two) = (
        told(&mut client, "FETCH 1 EMAILID", "EMAILID").await,
        told(&mut client, "FETCH 2 (EMAILID THREADID)", "EMAILID").await,
    );
    assert_ne!(one, two, "two messages, though alike");
    let made = client.command("CREATE Old").await.pop().unwrap();
    let id = made.split_once("[MAILBOXID (").unwrap().1.split(')').next().unwrap().to_owned();
    client.ok("COPY 1 Old").await;
    client.ok("MOVE 2 Old").await;
    client.ok("RENAME Old Older").await;
    client.ok("CREATE Old").await;
    assert_ne!(told(&mut client, "STATUS Old (MAILBOXID)", "MAILBOXID").await, id);
    assert_eq!(told(&mut client, "STATUS Older (MAILBOXID)", "MAILBOXID").await, id);
    assert_eq!(told(&mut client, "SELECT Older", "MAILBOXID").await, id);
    assert_eq!(told(&mut client, "FETCH 1 EMAILID", "EMAILID").await, one);
    assert_eq!(told(&mut client, "FETCH 2 EMAILID", "EMAILID").await, two);
    assert_eq!(client.ok(&format!("SEARCH EMAILID {two}")).await, ["* SEARCH 2"]);
    assert_eq!(client.ok(&format!("SEARCH EMAILID {two} THREADID {two}")).await, ["* SEARCH"]);
    // A copy of a copy, seen by a store that has nothing in memory.
    client.ok("COPY 1 Archive").await;
    drop(client);
    let list =
        std::fs::read_to_string(server.folder.path().join("mail/example.org/ann/.Archive/dovecot-uidlist"));
    let list = list.unwrap();
    assert!(list.lines().nth(1).unwrap().starts_with("1 G"), "{list}");
    let mut client = server.ann().await;
    client.ok("EXAMINE Archive").await;
    assert_eq!(told(&mut client, "UID FETCH 1 EMAILID", "EMAILID").await, one);
    assert_eq!(client.ok("FETCH 1 THREADID").await, ["* 1 FETCH (THREADID NIL)"]);
    client.refused("SEARCH EMAILID a.b", "BAD ").await;
}

/// RFC 8514 §4.
#[tokio::test]
async fn a_message_says_when_it_came_into_its_mailbox() {
    let server = Server::new();
    let mut client = server.ann().await;
    client.append("INBOX \" 1-Feb-1994 12:00:00 +0000\"", LETTER).await;
    client.ok("SELECT INBOX").await;
    let saved = told(&mut client, "FETCH 1 SAVEDATE", "SAVEDATE").await;
    let today = DateTime::parse_imap(&saved).unwrap();
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(i64::try_from(age).unwrap() - today.unix() < 300, "{saved}");
    assert!(client.ok("FETCH 1 INTERNALDATE").await[0].contains(" 1-Feb-1994 12:00:00"));
    let day = saved.trim_start().split(' ').next().unwrap().to_owned();
    assert_eq!(client.ok(&format!("SEARCH SAVEDON {day} BEFORE {day}")).await, ["* SEARCH 1"]);
    assert_eq!(client.ok(&format!("SEARCH SAVEDBEFORE {day}")).await, ["* SEARCH"]);
    assert_eq!(client.ok("SEARCH SAVEDATESUPPORTED").await, ["* SEARCH 1"]);
    // Flags change the name of the file and not its beginning.
    client.ok("STORE 1 +FLAGS (\\Seen $x)").await;
    assert_eq!(told(&mut client, "FETCH 1 SAVEDATE", "SAVEDATE").await, saved);
    // Another program gave this one a name of its own.
    let folder = server.folder.path().join("mail/example.org/ann/cur");
    std::fs::write(folder.join("letter.eml:2,"), LETTER).unwrap();
    client.ok("NOOP").await;
    assert_eq!(client.ok("FETCH 2 SAVEDATE").await, ["* 2 FETCH (SAVEDATE NIL)"]);
    assert_eq!(client.ok("SEARCH NOT SAVEDATESUPPORTED").await, ["* SEARCH 2"]);
    client.refused("SEARCH SAVEDON 31-Feb-2026", "BAD ").await;
}
