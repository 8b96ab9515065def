//! METADATA over a real store, and how it meets special uses, RENAME and DELETE.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::Server;

/// RFC 5464 §4.
#[tokio::test]
async fn what_is_noted_stays_with_its_mailbox() {
    let server = Server::new();
    let mut client = server.ann().await;
    client.ok("CREATE Old").await;
    client.ok(r#"SETMETADATA Old (/private/comment "mine" /shared/comment "ours")"#).await;
    client.ok(r#"SETMETADATA "" (/private/vendor/kings "account")"#).await;
    client.say(b"a SETMETADATA Drafts (/private/odd ~{4+}\r\na\0\"b)\r\n").await;
    assert_eq!(client.until_tagged().await, ["a OK Done"]);
    let odd = client.ok("GETMETADATA Drafts /private/odd").await;
    assert_eq!(odd, ["* METADATA \"Drafts\" (/private/odd ~{4}\r\na\0\"b)"]);
    client.ok("RENAME Old New").await;
    drop(client);
    let mut client = server.ann().await;
    let told = client.ok("GETMETADATA (DEPTH 1) New (/private /shared)").await;
    assert_eq!(told, [r#"* METADATA "New" (/private/comment "mine" /shared/comment "ours")"#]);
    assert_eq!(
        client.ok(r#"GETMETADATA "" (/private/vendor/kings /shared/admin)"#).await,
        [r#"* METADATA "" (/private/vendor/kings "account" /shared/admin NIL)"#]
    );
    assert_eq!(
        client.ok("GETMETADATA INBOX /private/comment").await,
        [r#"* METADATA "INBOX" (/private/comment NIL)"#]
    );
    assert_eq!(client.ok("GETMETADATA (DEPTH 1) INBOX /private").await, [""; 0]);
    let listed = client.ok(r#"LIST "" New RETURN (METADATA (/private/comment))"#).await;
    assert_eq!(listed[1], r#"* METADATA "New" (/private/comment "mine")"#);
    client.ok("DELETE New").await;
    client.ok("CREATE New").await;
    assert_eq!(
        client.ok("GETMETADATA New /private/comment").await,
        [r#"* METADATA "New" (/private/comment NIL)"#]
    );
    let mut joe = server.connect().await;
    joe.ok("LOGIN joe@example.org secret").await;
    assert_eq!(
        joe.ok(r#"GETMETADATA "" /private/vendor/kings"#).await,
        [r#"* METADATA "" (/private/vendor/kings NIL)"#]
    );
}

#[tokio::test]
async fn too_much_is_refused_whole() {
    let server = Server::new();
    let mut client = server.ann().await;
    let long = "x".repeat(32 * 1024 + 1);
    client
        .say(format!("a SETMETADATA INBOX (/private/a \"1\" /private/b {{{}+}}\r\n{long})\r\n", long.len()))
        .await;
    assert!(client.until_tagged().await[0].starts_with("a NO [METADATA MAXSIZE 32768]"));
    for round in 0..6 {
        let entries: Vec<String> = (0..100).map(|n| format!("/private/{round}/{n} \"\"")).collect();
        let answer =
            client.command(&format!("SETMETADATA INBOX ({})", entries.join(" "))).await.pop().unwrap();
        let expected = if round < 5 { "a OK" } else { "a NO [METADATA TOOMANY]" };
        assert!(answer.starts_with(expected), "{round}: {answer}");
    }
    let told = client.ok("GETMETADATA (DEPTH infinity) INBOX /private").await;
    assert_eq!(told[0].matches("/private/").count(), 500);
    client.refused(r#"SETMETADATA "" (/shared/comment "x")"#, "NO [NOPERM]").await;
}

/// RFC 6154 §4.
#[tokio::test]
async fn special_uses_are_entries_too() {
    let server = Server::new();
    let mut client = server.ann().await;
    assert_eq!(
        client.ok("GETMETADATA Sent /private/specialuse").await,
        [r#"* METADATA "Sent" (/private/specialuse "\\Sent")"#]
    );
    client.ok("CREATE Gesendet").await;
    client.ok(r#"SETMETADATA Gesendet (/private/specialuse "\\Sent" /private/comment "x")"#).await;
    let listed = client.ok(r#"LIST (SPECIAL-USE) "" (Sent Gesendet)"#).await;
    assert_eq!(listed, [r#"* LIST (\HasNoChildren \Sent) "." "Gesendet""#]);
    client.ok("CREATE Zweite").await;
    client.refused(r#"SETMETADATA Zweite (/private/specialuse "\\Sent")"#, "NO [USEATTR]").await;
    client.refused(r#"SETMETADATA Zweite (/private/specialuse "\\All")"#, "NO [USEATTR]").await;
    client.refused(r#"SETMETADATA INBOX (/private/specialuse "\\Junk")"#, "NO [USEATTR]").await;
    // All of it or nothing.
    client
        .refused(r#"SETMETADATA Zweite (/private/comment "x" /private/specialuse "\\Sent")"#, "NO [USEATTR]")
        .await;
    let told = client.ok("GETMETADATA Zweite (/private/comment /private/specialuse)").await;
    assert_eq!(told, [r#"* METADATA "Zweite" (/private/comment NIL /private/specialuse NIL)"#]);
    client.ok("SETMETADATA Gesendet (/private/specialuse NIL)").await;
    let listed = client.ok(r#"LIST (SPECIAL-USE) "" (Sent Gesendet)"#).await;
    assert_eq!(listed, [r#"* LIST (\HasNoChildren \Sent) "." "Sent""#]);
}
