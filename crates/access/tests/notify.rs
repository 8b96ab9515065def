//! NOTIFY over a real store: what transcripts cannot show (RFC 5465).
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::{Client, LETTER, Server};

const ALL: &str = "NOTIFY SET (selected (MessageNew (BODY[]) MessageExpunge FlagChange)) (personal (MessageNew \
    MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange))";

/// Nothing more is heard.
async fn hears_nothing(client: &mut Client) {
    let heard = tokio::time::timeout(Duration::from_millis(400), client.response()).await;
    assert!(heard.is_err(), "{heard:?}");
}

fn put(folder: &Path, name: &str) {
    let (before, after) = (folder.join("tmp").join(name), folder.join("new").join(name));
    std::fs::write(&before, LETTER).unwrap();
    std::fs::rename(before, after).unwrap();
}

#[tokio::test]
async fn what_other_programs_do_is_told() {
    let server = Server::new();
    let mut client = server.ann().await;
    // Others have the same folders open, and watched.
    let (mut other, mut third) = (server.ann().await, server.ann().await);
    other.ok("SELECT Sent").await;
    third.ok("NOTIFY SET (mailboxes Sent (MessageNew MessageExpunge))").await;
    client.ok(ALL).await;
    let account = server.folder.path().join("mail/example.org/ann");
    put(&account.join(".Sent"), "1.a.b");
    for client in [&mut client, &mut third] {
        assert!(client.response().await.starts_with("* STATUS \"Sent\" (MESSAGES 1 UIDNEXT 2 "));
    }
    assert!(other.ok("NOOP").await.contains(&"* 1 EXISTS".to_owned()));
    // A mailbox is made in steps.
    let made = account.join(".Made");
    std::fs::create_dir(&made).unwrap();
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir(made.join(part)).unwrap();
    }
    assert_eq!(client.response().await, r#"* LIST (\HasNoChildren) "." "Made""#);
    put(&made, "2.a.b");
    assert!(client.response().await.starts_with("* STATUS \"Made\" (MESSAGES 1 "));
    std::fs::write(account.join("subscriptions.new"), "V\t2\n\nMade\n").unwrap();
    std::fs::rename(account.join("subscriptions.new"), account.join("subscriptions")).unwrap();
    let mut heard = Vec::new();
    for _ in 0..7 {
        heard.push(client.response().await);
    }
    assert!(heard.contains(&r#"* LIST (\HasNoChildren \Subscribed) "." "Made""#.to_owned()), "{heard:?}");
    assert!(heard.contains(&r#"* LIST (\HasNoChildren \Sent) "." "Sent""#.to_owned()), "{heard:?}");
    std::fs::rename(&made, account.join(".Moved")).unwrap();
    let mut heard = [client.response().await, client.response().await, client.response().await];
    heard.sort();
    assert_eq!(heard[0], r#"* LIST (\HasNoChildren) "." "Moved""#);
    assert_eq!(heard[1], r#"* LIST (\NonExistent \HasNoChildren \Subscribed) "." "Made""#);
    assert!(heard[2].starts_with("* STATUS \"Moved\" (MESSAGES 1 "), "{heard:?}");
    std::fs::remove_dir_all(account.join(".Moved")).unwrap();
    assert_eq!(client.response().await, r#"* LIST (\NonExistent \HasNoChildren) "." "Moved""#);
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn what_the_client_brings_is_not_shown_to_it_again_and_new_mail_stays_unseen() {
    let server = Server::new();
    let mut client = server.inbox().await;
    client.ok(ALL).await;
    assert!(client.append("INBOX", LETTER).await.starts_with("a OK"));
    assert!(client.append("Sent", LETTER).await.starts_with("a OK"));
    hears_nothing(&mut client).await;
    server.deliver(LETTER).await;
    assert_eq!(client.response().await, "* 2 EXISTS");
    assert_eq!(client.response().await, "* 1 RECENT");
    let shown = client.response().await;
    assert_eq!(shown, format!("* 2 FETCH (UID 2 BODY[] {{{}}}\r\n{LETTER})", LETTER.len()));
    assert_eq!(client.ok("UID FETCH 2 FLAGS").await, [r"* 2 FETCH (UID 2 FLAGS (\Recent))"]);
    hears_nothing(&mut client).await;
}

/// A client that says half a command hears nothing until it says the rest.
#[tokio::test]
async fn more_news_than_wait_end_them() {
    let server = Server::new();
    let (mut client, mut other) = (server.ann().await, server.ann().await);
    client.ok(ALL).await;
    client.say("a NOOP").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    for number in 0..=1_000 {
        other.ok(&format!(r#"SETMETADATA "" (/private/n "{number}")"#)).await;
    }
    assert!(began.elapsed() < Duration::from_mins(1));
    client.say("\r\n").await;
    assert_eq!(client.until_tagged().await, ["a OK Done"]);
    assert_eq!(client.response().await, "* OK [NOTIFICATIONOVERFLOW] Too much has happened, no more news");
    other.ok("CREATE Work").await;
    hears_nothing(&mut client).await;
    // The client may ask again.
    client.ok(ALL).await;
    other.ok("CREATE Play").await;
    assert_eq!(client.response().await, r#"* LIST (\HasNoChildren) "." "Play""#);
}

#[tokio::test]
async fn a_rename_shows_the_mailbox_under_its_name_from_then_on() {
    let server = Server::with(|parts| parts.naming.separator = '/');
    let (mut client, mut other) = (server.ann().await, server.ann().await);
    other.ok("CREATE Work/2026").await;
    client.ok("NOTIFY SET (subtree Work/ (MessageNew MessageExpunge MailboxName))").await;
    other.ok("RENAME Work/2026 Work/2027").await;
    assert_eq!(
        client.response().await,
        r#"* LIST (\HasNoChildren) "/" "Work/2027" ("OLDNAME" ("Work/2026"))"#
    );
    other.append("Work/2027", LETTER).await;
    assert!(client.response().await.starts_with("* STATUS \"Work/2027\" (MESSAGES 1 UIDNEXT 2 "));
    // Out of sight, and back.
    other.ok("RENAME Work/2027 Done").await;
    assert_eq!(client.response().await, r#"* LIST (\HasNoChildren) "/" "Done" ("OLDNAME" ("Work/2027"))"#);
    other.append("Done", LETTER).await;
    hears_nothing(&mut client).await;
    other.ok("RENAME Done Work/2028").await;
    assert_eq!(client.response().await, r#"* LIST (\HasNoChildren) "/" "Work/2028" ("OLDNAME" ("Done"))"#);
    assert!(client.response().await.starts_with("* STATUS \"Work/2028\" (MESSAGES 2 UIDNEXT 3 "));
}

/// One instance of inotify for all mailboxes of all clients.
#[tokio::test]
async fn hundreds_of_mailboxes_are_watched_at_once() {
    let server = Server::new();
    let mut client = server.ann().await;
    for number in 0..300 {
        client.ok(&format!("CREATE Lists.{number}")).await;
    }
    let (mut other, mut third) = (server.ann().await, server.ann().await);
    let began = Instant::now();
    let told = client.ok("NOTIFY SET STATUS (subtree Lists (MessageNew MessageExpunge))").await;
    assert_eq!(told.len(), 300);
    other.ok("NOTIFY SET (personal (MessageNew MessageExpunge FlagChange))").await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    assert_eq!(links.filter(|link| link.ends_with("anon_inode:inotify")).count(), 1);
    for number in [0, 17, 299] {
        let began = Instant::now();
        third.append(&format!("Lists.{number}"), LETTER).await;
        for client in [&mut client, &mut other] {
            let heard = client.response().await;
            assert!(heard.starts_with(&format!("* STATUS \"Lists.{number}\" (MESSAGES 1 ")), "{heard}");
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    hears_nothing(&mut client).await;
}
