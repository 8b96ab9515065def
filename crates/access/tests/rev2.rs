//! IMAP4rev2, UTF8=ACCEPT, PARTIAL and UIDONLY over a real store.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{LETTER, Server};

/// RFC 9051 Appendix E.
#[tokio::test]
async fn a_client_of_rev2_hears_nothing_of_rev1() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    assert_eq!(client.ok("ENABLE IMAP4rev2").await, ["* ENABLED IMAP4rev2"]);
    let greeted = client.ok("SELECT INBOX").await;
    assert!(greeted.contains(&r#"* LIST (\HasNoChildren) "." "INBOX""#.to_owned()), "{greeted:?}");
    let is_old =
        |line: &String| line.contains("RECENT") || line.contains("\\Recent") || line.contains("UNSEEN");
    assert!(!greeted.iter().any(is_old), "{greeted:?}");
    let flags = client.ok("FETCH 1 FLAGS").await;
    assert_eq!(flags, ["* 1 FETCH (FLAGS ())"], "it is recent, and nobody says so");
    assert_eq!(client.ok("SEARCH ALL").await, [r#"* ESEARCH (TAG "a") ALL 1"#]);
    assert_eq!(client.ok("UID SEARCH SEEN").await, [r#"* ESEARCH (TAG "a") UID"#]);
    server.deliver(LETTER).await;
    let news = client.ok("NOOP").await;
    assert_eq!(news, ["* 2 EXISTS"]);
    client.ok("STORE 1 +FLAGS (\\Seen)").await;
    let again = client.ok("SELECT Sent").await;
    assert!(again[0].starts_with("* OK [CLOSED]"), "{again:?}");
    assert!(again.contains(&r#"* LIST (\HasNoChildren \Sent) "." "Sent""#.to_owned()), "{again:?}");
    // Another client, of rev1, at the same mailbox.
    let mut old = server.ann().await;
    let greeted = old.ok("SELECT INBOX").await;
    assert!(greeted.iter().any(|line| line.ends_with(" RECENT")), "{greeted:?}");
    assert_eq!(old.ok("SEARCH SEEN").await, ["* SEARCH 1"]);
}

/// RFC 6855 §3.
#[tokio::test]
async fn names_are_the_same_mailboxes_in_both_spellings() {
    let server = Server::new();
    let (mut new, mut old) = (server.ann().await, server.ann().await);
    new.ok("ENABLE UTF8=ACCEPT").await;
    new.ok("CREATE \"Gr\u{fc}n & Blau\"").await;
    assert_eq!(old.ok("LIST \"\" Gr*").await, [r#"* LIST (\HasNoChildren) "." "Gr&APw-n &- Blau""#]);
    assert_eq!(
        new.ok("LIST \"\" \"Gr\u{fc}%\"").await,
        ["* LIST (\\HasNoChildren) \".\" \"Gr\u{fc}n & Blau\""]
    );
    old.refused("SELECT \"Gr\u{fc}n & Blau\"", "BAD ").await;
    new.refused("SELECT \"Gr&APw-n &- Blau\"", "NO [NONEXISTENT]").await;
    let text = "Subject: Gr\u{fc}\u{df}e\r\n\r\nhello";
    new.say(format!("a APPEND \"Gr\u{fc}n & Blau\" UTF8 (~{{{}+}}\r\n{text})\r\n", text.len())).await;
    assert!(new.until_tagged().await[0].starts_with("a OK [APPENDUID "));
    old.ok("SELECT \"Gr&APw-n &- Blau\"").await;
    let lines = old.ok("FETCH 1 BODY.PEEK[]").await;
    assert!(lines[0].contains(text), "{lines:?}");
    new.ok("SELECT \"Gr\u{fc}n & Blau\"").await;
    assert_eq!(new.ok("SEARCH SUBJECT \"gr\u{fc}\u{df}e\"").await, ["* SEARCH 1"]);
    new.refused("SEARCH CHARSET UTF-8 SUBJECT x", "BAD ").await;
    new.refused("CREATE \"a/b\u{7f}\"", "NO [CANNOT]").await;
}

/// RFC 9586 §3.
#[tokio::test]
async fn with_uidonly_nobody_says_a_message_number() {
    let server = Server::new();
    for _ in 0..3 {
        server.deliver(LETTER).await;
    }
    let (mut client, mut other) = (server.ann().await, server.inbox().await);
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    client.ok("ENABLE UIDONLY").await;
    let greeted = client.ok("SELECT INBOX").await;
    assert!(greeted.contains(&"* 2 EXISTS".to_owned()), "{greeted:?}");
    assert!(!greeted.iter().any(|line| line.contains("UNSEEN")), "{greeted:?}");
    assert_eq!(
        client.ok("UID FETCH 1:* (RFC822.SIZE) (PARTIAL -1:-1)").await,
        [format!("* 3 UIDFETCH (RFC822.SIZE {})", LETTER.len())]
    );
    client.refused("FETCH 1 FLAGS", "BAD [UIDREQUIRED]").await;
    client.refused("UID SEARCH 1", "BAD [UIDREQUIRED]").await;
    assert_eq!(client.ok("UID STORE 2 +FLAGS (\\Seen)").await, ["* 2 UIDFETCH (FLAGS (\\Seen))"]);
    let unchanged = client.command("UID STORE 2 (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)").await;
    assert!(unchanged.last().unwrap().starts_with("a OK [MODIFIED 2]"), "{unchanged:?}");
    other.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    server.deliver(LETTER).await;
    let news = client.ok("NOOP").await;
    assert_eq!(news, ["* VANISHED 2", "* 2 EXISTS", "* 1 RECENT"]);
    // BODY[] of a part of them sets \Seen there alone.
    let told = client.ok("UID FETCH 1:* BODY[TEXT] (PARTIAL 1:1)").await;
    assert!(told[0].starts_with("* 3 UIDFETCH (BODY[TEXT] {"), "{told:?}");
    let flags = client.ok("UID FETCH 1:* FLAGS").await;
    assert!(flags[0].contains("\\Seen") && !flags[1].contains("\\Seen"), "{flags:?}");
}
