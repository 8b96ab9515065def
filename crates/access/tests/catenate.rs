//! CATENATE over a real store: what parts are, what they cost, and what happens when one goes away.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use kings_store::QuotaLimits;
use support::{Client, LETTER, Server};

/// A command with its octets in it, in one go; gives the tagged result.
async fn say(client: &mut Client, command: &str) -> String {
    client.say(format!("a {command}\r\n")).await;
    client.until_tagged().await.pop().unwrap()
}

/// The content of the last message of a mailbox.
async fn last(client: &mut Client, mailbox: &str) -> String {
    client.ok(&format!("EXAMINE {mailbox}")).await;
    let fetched = client.ok("FETCH * BODY.PEEK[]").await.pop().unwrap();
    let (_, content) = fetched.split_once("}\r\n").unwrap();
    content.strip_suffix(")").unwrap().to_owned()
}

#[tokio::test]
async fn a_draft_is_made_of_text_that_comes_and_of_parts_that_are_here() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let result = say(
        &mut client,
        "APPEND Drafts (\\Draft) CATENATE (TEXT {9+}\r\nX: new\r\n\x20URL \"/INBOX/;UID=1\" TEXT {5+}\r\nend\r\n)",
    )
    .await;
    assert!(result.starts_with("a BAD"), "the octets are counted, not the lines: {result}");
    let draft = "APPEND Drafts (\\Draft) CATENATE (TEXT {8+}\r\nX: new\r\n URL \"/INBOX/;UID=1\" TEXT {5+}\r\nend\r\n)";
    assert!(say(&mut client, draft).await.contains("APPENDUID"));
    assert_eq!(last(&mut client, "Drafts").await, format!("X: new\r\n{LETTER}end\r\n"));
    let flags = client.ok("FETCH 1 FLAGS").await;
    assert_eq!(flags, ["* 1 FETCH (FLAGS (\\Draft))"]);
    // Nobody has read the letter by that.
    client.ok("SELECT INBOX").await;
    assert!(!client.ok("FETCH 1 FLAGS").await[0].contains("Seen"));
}

#[tokio::test]
async fn a_large_message_is_put_together_of_another_one() {
    let server = Server::new();
    let body = "All work and no play makes Jack a dull boy.\r\n".repeat(20_000);
    server.deliver(&format!("{LETTER}{body}")).await;
    let mut client = server.inbox().await;
    let result =
        say(&mut client, "APPEND Sent CATENATE (URL \"/INBOX/;UID=1\" URL \";UID=1/;SECTION=TEXT\")").await;
    assert!(result.contains("APPENDUID"), "{result}");
    assert_eq!(last(&mut client, "Sent").await, format!("{LETTER}{body}How are you?\r\n{body}"));
}

#[tokio::test]
async fn parts_of_one_message_cost_one_look_at_it_in_each_command() {
    let server = Server::new();
    server.deliver("Subject: first\r\n\r\nbody\r\n").await;
    server.deliver("Subject: other\r\n\r\nodds\r\n").await;
    let mut client = server.inbox().await;
    client.say("a APPEND Sent CATENATE (URL \"/INBOX/;UID=1/;SECTION=HEADER\" TEXT {3}\r\n").await;
    assert!(client.response().await.starts_with("+ "));
    // No program does that; it shows who has looked at the file again.
    let folder = server.folder.path().join("mail/example.org/ann/cur");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, content.replace("body", "BODY").replace("odds", "ODDS")).unwrap();
    }
    client.say("abc URL \"/INBOX/;UID=1/;SECTION=TEXT\" URL \";UID=2/;SECTION=TEXT\" URL \";UID=1/;SECTION=1\")\r\n").await;
    let result = client.until_tagged().await.pop().unwrap();
    assert!(result.contains("APPENDUID"), "{result}");
    assert_eq!(last(&mut client, "Sent").await, "Subject: first\r\n\r\nabcbody\r\nODDS\r\nBODY\r\n");
    client.ok("APPEND Sent CATENATE (URL \"/INBOX/;UID=1/;SECTION=TEXT\")").await;
    assert_eq!(last(&mut client, "Sent").await, "BODY\r\n");
}

#[tokio::test]
async fn a_part_that_is_gone_is_told_by_its_url_and_nothing_is_kept() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let mut other = server.inbox().await;
    client.say("a APPEND Sent CATENATE (URL \"/INBOX/;UID=1\" TEXT {3}\r\n").await;
    assert!(client.response().await.starts_with("+ "));
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    // What was read before it went stays in the message; what is asked for now is not there.
    client.say("abc URL \"/INBOX/;UID=1/;SECTION=HEADER\")\r\n").await;
    let result = client.until_tagged().await.pop().unwrap();
    assert!(result.starts_with("a NO [BADURL /INBOX/;UID=1/;SECTION=HEADER]"), "{result}");
    client.refused("APPEND Sent CATENATE (URL \"/INBOX/;UID=1\")", "NO [BADURL /INBOX/;UID=1]").await;
    client.refused("APPEND Sent CATENATE (URL \"/Nowhere/;UID=1\")", "NO [BADURL /Nowhere/;UID=1]").await;
    client.refused("APPEND Sent CATENATE (URL \"/..%2f..%2fjoe/;UID=1\")", "NO [BADURL ").await;
    client.refused("APPEND Sent CATENATE (URL \"/INBOX;UIDVALIDITY=1/;UID=1\")", "NO [BADURL ").await;
    let status = client.ok("STATUS Sent (MESSAGES)").await;
    assert_eq!(status[0], "* STATUS \"Sent\" (MESSAGES 0)");
}

#[tokio::test]
async fn parts_count_together_against_size_and_quota() {
    let server = Server::with(|parts| parts.append_octets = 1_000);
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let most = 1_000 / LETTER.len();
    let urls = |count: usize| vec!["URL \"/INBOX/;UID=1\""; count].join(" ");
    client.refused(&format!("APPEND Sent CATENATE ({})", urls(most + 1)), "NO [TOOBIG]").await;
    let text =
        format!("APPEND Sent CATENATE (URL \"/INBOX/;UID=1\" TEXT {{1000+}}\r\n{})", "x".repeat(1_000));
    assert!(say(&mut client, &text).await.starts_with("a NO [TOOBIG]"));
    client.ok(&format!("APPEND Sent CATENATE ({})", urls(most))).await;
    client.refused(&format!("APPEND Sent CATENATE ({})", urls(201)), "NO [LIMIT] Too many parts").await;

    server.store.limit_by(|_| QuotaLimits { octets: Some(1_100), messages: None, grace: 0 });
    client.refused("APPEND Sent CATENATE (URL \"/INBOX/;UID=1\")", "NO [OVERQUOTA]").await;
    let text = "APPEND Sent CATENATE (TEXT {300+}\r\n";
    assert!(say(&mut client, &format!("{text}{})", "x".repeat(300))).await.starts_with("a NO [OVERQUOTA]"));
    let status = client.ok("STATUS Sent (MESSAGES)").await;
    assert_eq!(status, ["* STATUS \"Sent\" (MESSAGES 1)"]);
}

#[tokio::test]
async fn nothing_and_nul_make_no_message() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let empty = "NO [CANNOT] An empty message";
    client.refused("APPEND Sent CATENATE (URL \"/INBOX/;UID=1/;PARTIAL=9999\")", empty).await;
    for nothing in ["TEXT {0+}\r\n", "TEXT {0+}\r\n TEXT {0+}\r\n"] {
        let result = say(&mut client, &format!("APPEND Sent CATENATE ({nothing})")).await;
        assert!(result.starts_with(&format!("a {empty}")), "{result}");
        let result = say(&mut client, &format!("APPEND Sent CATENATE ({nothing}) {{1+}}\r\nx")).await;
        assert!(result.starts_with(&format!("a {empty}")), "{result}");
    }
    // Another program may have left a NUL where no command could have put it.
    let folder = server.folder.path().join("mail/example.org/ann/cur");
    std::fs::write(folder.join("1700000000.M1P1.other:2,"), "a: b\n\nx\0y\n").unwrap();
    client.ok("NOOP").await;
    client
        .refused("APPEND Sent CATENATE (URL \"/INBOX/;UID=2\")", "NO [CANNOT] The message contains NUL")
        .await;
    client.ok("APPEND Sent CATENATE (URL \"/INBOX/;UID=2/;SECTION=HEADER\")").await;
    assert_eq!(last(&mut client, "Sent").await, "a: b\r\n\r\n");
}

#[tokio::test]
async fn changes_are_counted_where_the_message_comes_and_nowhere_else() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    client.ok("ENABLE QRESYNC").await;
    client.ok("SELECT INBOX").await;
    let highest = |lines: Vec<String>| lines.into_iter().find(|line| line.contains("HIGHESTMODSEQ")).unwrap();
    let number = |line: &str| -> u64 {
        let digits = line.split_once("HIGHESTMODSEQ ").unwrap().1;
        digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let before = number(&highest(client.ok("STATUS INBOX (HIGHESTMODSEQ)").await));
    client.ok("APPEND Sent CATENATE (URL \";UID=1\")").await;
    assert_eq!(number(&highest(client.ok("STATUS INBOX (HIGHESTMODSEQ)").await)), before);
    // The draft that a draft is made from goes with the same command.
    let replaced =
        client.ok("UID REPLACE 1 INBOX CATENATE (URL \";UID=1\" URL \";UID=1/;SECTION=TEXT\")").await;
    assert!(replaced[0].contains("APPENDUID") && replaced.iter().any(|line| line == "* VANISHED 1"));
    let changed = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before} VANISHED)")).await;
    assert_eq!(changed[0], "* VANISHED (EARLIER) 1");
    assert!(changed[1].starts_with("* 1 FETCH (UID 2 FLAGS ()"), "{changed:?}");
    client.refused("UID REPLACE 2 INBOX CATENATE (URL \";UID=1\")", "NO [BADURL ;UID=1]").await;
    assert_eq!(last(&mut client, "INBOX").await, format!("{LETTER}How are you?\r\n"));
}
