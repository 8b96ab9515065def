//! Whole dialogues about mailboxes over a real store: names, lists, selection.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{LETTER, Server};

#[tokio::test]
async fn a_new_account_has_its_special_mailboxes_subscribed() {
    let server = Server::new();
    let mut client = server.ann().await;
    let expected = [
        r#"* LIST (\HasNoChildren) "." "INBOX""#,
        r#"* LIST (\HasNoChildren \Archive) "." "Archive""#,
        r#"* LIST (\HasNoChildren \Drafts) "." "Drafts""#,
        r#"* LIST (\HasNoChildren \Junk) "." "Junk""#,
        r#"* LIST (\HasNoChildren \Sent) "." "Sent""#,
        r#"* LIST (\HasNoChildren \Trash) "." "Trash""#,
    ];
    assert_eq!(client.ok(r#"LIST "" "*""#).await, expected);
    assert_eq!(client.ok(r#"LIST (SPECIAL-USE) "" "*" RETURN (CHILDREN)"#).await, expected[1..]);
    assert_eq!(client.ok(r#"LIST "" """#).await, [r#"* LIST (\Noselect) "." """#]);
    assert_eq!(client.ok(r#"LSUB "" "*""#).await.len(), 6);
    assert_eq!(
        client.ok(r#"LIST (SUBSCRIBED) "" S% RETURN (SPECIAL-USE)"#).await,
        [r#"* LIST (\HasNoChildren \Subscribed \Sent) "." "Sent""#]
    );
}

#[tokio::test]
async fn mailboxes_are_made_renamed_and_removed_with_their_trees() {
    let server = Server::new();
    let mut client = server.ann().await;
    client.ok("CREATE Work.2026.M&AOQ-rz").await;
    client.ok("CREATE Folder.").await;
    assert_eq!(
        client.ok(r#"LIST "" "Work*""#).await,
        [
            r#"* LIST (\Noselect \HasChildren) "." "Work""#,
            r#"* LIST (\Noselect \HasChildren) "." "Work.2026""#,
            r#"* LIST (\HasNoChildren) "." "Work.2026.M&AOQ-rz""#,
        ]
    );
    assert_eq!(client.ok(r#"LIST "" F%"#).await, [r#"* LIST (\HasNoChildren) "." "Folder""#]);
    client.refused("CREATE Folder", "NO [ALREADYEXISTS]").await;
    client.refused("CREATE inbox", "NO [ALREADYEXISTS]").await;
    client.ok("RENAME Work Play").await;
    assert_eq!(client.ok(r#"LIST "" "*rz""#).await, [r#"* LIST (\HasNoChildren) "." "Play.2026.M&AOQ-rz""#]);
    client.refused("SELECT Work.2026.M&AOQ-rz", "NO [NONEXISTENT]").await;
    client.ok("DELETE Play.2026.M&AOQ-rz").await;
    client.refused("DELETE Play.2026.M&AOQ-rz", "NO [NONEXISTENT]").await;
    client.refused("DELETE INBOX", "NO [CANNOT]").await;
    client.refused("RENAME Folder Sent", "NO [ALREADYEXISTS]").await;
    client.refused("RENAME Nowhere Somewhere", "NO [NONEXISTENT]").await;
    client.refused("STATUS Nowhere (MESSAGES)", "NO [NONEXISTENT]").await;
}

#[tokio::test]
async fn subscriptions_outlive_mailboxes_and_show_their_parents() {
    let server = Server::new();
    let mut client = server.ann().await;
    for name in ["Archive", "Drafts", "Junk", "Sent", "Trash", "INBOX"] {
        client.ok(&format!("UNSUBSCRIBE {name}")).await;
    }
    client.ok("UNSUBSCRIBE Never.Subscribed").await;
    client.ok("SUBSCRIBE Lists.Rust").await;
    assert_eq!(client.ok(r#"LSUB "" %"#).await, [r#"* LSUB (\Noselect) "." "Lists""#]);
    assert_eq!(client.ok(r#"LSUB "" "*""#).await, [r#"* LSUB (\Noselect) "." "Lists.Rust""#]);
    assert_eq!(
        client.ok(r#"LIST (SUBSCRIBED) "" "*""#).await,
        [r#"* LIST (\NonExistent \HasNoChildren \Subscribed) "." "Lists.Rust""#]
    );
    client.ok("CREATE Lists.Rust").await;
    assert_eq!(client.ok(r#"LSUB "" "*""#).await, [r#"* LSUB () "." "Lists.Rust""#]);
}

#[tokio::test]
async fn hostile_names_never_leave_the_account() {
    let server = Server::new();
    let mut client = server.ann().await;
    let long = "x".repeat(300);
    let longer = "x".repeat(10_000);
    let deep = vec!["a"; 1_000].join(".");
    let names = [
        "../x",
        "/etc",
        "a/../../b",
        ".",
        "..",
        "a..b",
        ".a",
        "\"a\\\"/b\"",
        "\"\"",
        "\"a%b\"",
        "\"a*b\"",
        "\"~root\"",
        "&AGE-",
        "&",
        "\"&AAA-\"",
        "&ACAAIA-",
        "\"a\u{7f}\"",
        "&2AA-",
        &long,
        &longer,
        &deep,
    ];
    for name in names {
        for command in ["CREATE", "DELETE", "SELECT", "SUBSCRIBE"] {
            let result = client.command(&format!("{command} {name}")).await.pop().unwrap();
            let is_harmless = command == "SUBSCRIBE" && result.starts_with("a OK");
            assert!(
                is_harmless || result.starts_with("a NO") || result.starts_with("a BAD"),
                "{name}: {result}"
            );
        }
        // Twenty errors end a session.
        client = server.ann().await;
    }
    let inside = std::fs::read_dir(server.folder.path().join("mail")).unwrap().count();
    let outside = std::fs::read_dir(server.folder.path()).unwrap().count();
    assert_eq!((inside, outside), (1, 4), "one domain; mail, users, certificate and key");
    for name in ["cur", "new", "tmp", "dovecot-uidlist"] {
        client.ok(&format!("CREATE {name}")).await;
        client.ok(&format!("DELETE {name}")).await;
    }
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
}

#[tokio::test]
async fn names_of_folders_in_folders_have_dots_and_no_way_out() {
    let server = Server::nested();
    let mut client = server.ann().await;
    for name in ["Work/2024", "Lists/v1.2", ".x", "inbox/low"] {
        client.ok(&format!("CREATE {name}")).await;
    }
    std::fs::create_dir(server.folder.path().join("mail/example.org/ann/Only")).unwrap();
    assert_eq!(
        client.ok(r#"LIST "" (.* Lists% Lists/* Only Work INBOX/*)"#).await,
        [
            r#"* LIST (\HasNoChildren) "/" ".x""#,
            r#"* LIST (\HasNoChildren) "/" "INBOX/low""#,
            r#"* LIST (\Noselect \HasChildren) "/" "Lists""#,
            r#"* LIST (\HasNoChildren) "/" "Lists/v1.2""#,
            r#"* LIST (\Noselect \HasNoChildren) "/" "Only""#,
            r#"* LIST (\Noselect \HasChildren) "/" "Work""#,
        ]
    );
    client.ok("RENAME Work/2024 Work/v2.0").await;
    client.ok("DELETE Only").await;
    client.refused("SELECT Work", "NO [NONEXISTENT]").await;
    for name in ["cur", "new", "tmp", "Work/tmp", "a/../../b", "..", "./a", "a//b", "dovecot-uidlist", "~x"] {
        for command in ["CREATE", "DELETE", "SELECT", "RENAME Sent"] {
            let result = client.command(&format!("{command} {name}")).await.pop().unwrap();
            assert!(result.starts_with("a NO") || result.starts_with("a BAD"), "{command} {name}: {result}");
        }
        client = server.ann().await;
    }
    assert_eq!(client.ok(r#"LIST "" Work/*"#).await, [r#"* LIST (\HasNoChildren) "/" "Work/v2.0""#]);
}

#[tokio::test]
async fn select_tells_what_a_client_needs() {
    let server = Server::new();
    server.deliver(LETTER).await;
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    assert_eq!(
        client.ok("STATUS INBOX (MESSAGES RECENT UNSEEN UIDNEXT)").await,
        [r#"* STATUS "INBOX" (MESSAGES 2 RECENT 2 UNSEEN 2 UIDNEXT 3)"#]
    );
    let selected = client.ok("SELECT inbox").await;
    let validity = selected.iter().find(|line| line.starts_with("* OK [UIDVALIDITY ")).unwrap().clone();
    let others: Vec<&str> = selected.iter().map(String::as_str).filter(|line| **line != *validity).collect();
    let (own_name, others) = others.split_last().unwrap();
    assert!(own_name.starts_with("* OK [MAILBOXID (") && own_name.ends_with(")] Its own name"), "{own_name}");
    let (last, others) = others.split_last().unwrap();
    assert!(last.starts_with("* OK [HIGHESTMODSEQ ") && last.ends_with("] Highest"), "{last}");
    assert_eq!(
        others,
        [
            r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)",
            r"* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] These stay",
            "* 2 EXISTS",
            "* 2 RECENT",
            "* OK [UNSEEN 1] First unseen message",
            "* OK [UIDNEXT 3] Next UID",
        ]
    );
    // \Recent was this session's alone.
    let mut second = server.ann().await;
    let examined = second.ok("EXAMINE INBOX").await;
    assert!(examined.contains(&"* 0 RECENT".to_owned()) && examined.contains(&validity));
    assert!(examined.contains(&"* OK [PERMANENTFLAGS ()] These stay".to_owned()));
    second.refused("STORE 1 +FLAGS (\\Seen)", "NO [READ-ONLY]").await;
    second.refused("EXPUNGE", "NO [READ-ONLY]").await;
    second.refused("MOVE 1 Trash", "NO [READ-ONLY]").await;
    second.ok("FETCH 1 BODY[]").await;
    assert_eq!(second.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS ())"]);
}

#[tokio::test]
async fn a_failed_select_leaves_nothing_selected() {
    let server = Server::new();
    let mut client = server.inbox().await;
    client.refused("SELECT Nowhere", "NO [NONEXISTENT]").await;
    client.refused("FETCH 1 UID", "BAD No mailbox is selected").await;
    client.ok("SELECT INBOX").await;
    client.ok("UNSELECT").await;
    client.refused("CHECK", "BAD No mailbox is selected").await;
}

#[tokio::test]
async fn deleting_a_selected_mailbox_ends_what_depends_on_it() {
    let server = Server::new();
    let (mut one, mut other) = (server.ann().await, server.ann().await);
    one.ok("CREATE Work").await;
    one.ok("SELECT Work").await;
    other.ok("SELECT Work").await;
    one.ok("DELETE Work").await;
    one.refused("FETCH 1 UID", "BAD No mailbox is selected").await;
    one.ok("SELECT INBOX").await;
    other.say("a NOOP\r\n").await;
    assert_eq!(other.rest().await, "* BYE The selected mailbox was deleted\r\na OK Done\r\n");
}

/// A lock of a process on another host, which nobody here can ask whether it lives.
#[tokio::test]
async fn a_lock_of_another_host_is_answered_before_clients_lose_patience() {
    let server = Server::new();
    let mut client = server.ann().await;
    server.deliver(LETTER).await;
    let lock = server.folder.path().join("mail/example.org/ann/dovecot-uidlist.lock");
    std::fs::write(&lock, "1:elsewhere.example").unwrap();
    let began = std::time::Instant::now();
    client.refused("SELECT INBOX", "NO [INUSE]").await;
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    std::fs::remove_file(&lock).unwrap();
    assert!(client.ok("SELECT INBOX").await.contains(&"* 1 EXISTS".to_owned()));
}

#[tokio::test]
async fn a_renamed_mailbox_stays_selected() {
    let server = Server::new();
    let (mut one, mut other) = (server.ann().await, server.ann().await);
    one.ok("CREATE Work").await;
    one.append("Work", LETTER).await;
    one.ok("SELECT Work").await;
    other.ok("RENAME Work Play").await;
    assert_eq!(one.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 1)"]);
    one.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(other.ok("STATUS Play (UNSEEN)").await, [r#"* STATUS "Play" (UNSEEN 0)"#]);
    // A mailbox of the old name is another mailbox.
    other.ok("CREATE Work").await;
    assert_eq!(other.ok("STATUS Work (MESSAGES)").await, [r#"* STATUS "Work" (MESSAGES 0)"#]);
}

#[tokio::test]
async fn renaming_the_inbox_moves_its_messages() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    client.ok("RENAME INBOX Old").await;
    assert_eq!(client.ok("STATUS Old (MESSAGES)").await, [r#"* STATUS "Old" (MESSAGES 1)"#]);
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
}

#[tokio::test]
async fn another_separator_is_used_throughout() {
    let server = Server::with(|parts| parts.naming.separator = '/');
    let mut client = server.ann().await;
    client.ok("CREATE Work/2026/").await;
    assert_eq!(client.ok("LIST Work/ %").await, [r#"* LIST (\HasNoChildren) "/" "Work/2026""#]);
    assert_eq!(client.ok("NAMESPACE").await, [r#"* NAMESPACE (("" "/")) (("shared/" "/")) NIL"#]);
    client.ok("SELECT Work/2026").await;
}

/// As Courier had it, and Dovecot with `prefix = INBOX.`: the same folders on disk.
#[tokio::test]
async fn with_a_prefix_everything_stands_below_the_inbox() {
    let server = Server::with(|parts| parts.naming.below_inbox = true);
    let mut client = server.ann().await;
    assert_eq!(client.ok("NAMESPACE").await, [r#"* NAMESPACE (("INBOX." ".")) (("shared/" "/")) NIL"#]);
    assert_eq!(client.ok(r#"LIST "" %"#).await, [r#"* LIST (\HasChildren) "." "INBOX""#]);
    client.ok("CREATE INBOX.Work.2026").await;
    assert_eq!(
        client.ok(r#"LIST "" inbox.Work*"#).await,
        [
            r#"* LIST (\Noselect \HasChildren) "." "INBOX.Work""#,
            r#"* LIST (\HasNoChildren) "." "INBOX.Work.2026""#
        ]
    );
    assert_eq!(
        client.ok(r#"LIST "INBOX." Sent"#).await,
        [r#"* LIST (\HasNoChildren \Sent) "." "INBOX.Sent""#]
    );
    client.ok("RENAME INBOX.Work.2026 INBOX.Done").await;
    client.ok("SUBSCRIBE INBOX.Done").await;
    assert_eq!(client.ok("STATUS INBOX.Done (MESSAGES)").await, [r#"* STATUS "INBOX.Done" (MESSAGES 0)"#]);
    client.ok("SELECT INBOX.Done").await;
    for outside in ["CREATE Work", "SELECT Sent", "CREATE INBOX.INBOX", "STATUS Done (MESSAGES)"] {
        client.refused(outside, "NO [").await;
    }
    client.ok("DELETE INBOX.Done").await;
}

#[tokio::test]
async fn list_tells_of_what_stands_above_and_of_each_status() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    for name in ["Archive", "Drafts", "Junk", "Sent", "Trash", "INBOX"] {
        client.ok(&format!("UNSUBSCRIBE {name}")).await;
    }
    client.ok("CREATE Work.2026.March").await;
    client.ok("SUBSCRIBE Work.2026.March").await;
    client.ok("SUBSCRIBE Gone.Long").await;
    // Above a mailbox that exists, and above one that does not.
    assert_eq!(
        client.ok(r#"LIST (SUBSCRIBED RECURSIVEMATCH) "" %"#).await,
        [
            r#"* LIST (\Noselect \HasChildren) "." "Work" ("CHILDINFO" ("SUBSCRIBED"))"#,
            r#"* LIST (\NonExistent \HasChildren) "." "Gone" ("CHILDINFO" ("SUBSCRIBED"))"#,
        ]
    );
    assert_eq!(client.ok(r#"LIST (SUBSCRIBED RECURSIVEMATCH) "" Sent"#).await, Vec::<String>::new());
    // Names that cannot be selected have no STATUS.
    assert_eq!(
        client.ok(r#"LIST "" (Work* INBOX) RETURN (STATUS (MESSAGES SIZE))"#).await,
        [
            r#"* LIST (\HasNoChildren) "." "INBOX""#.to_owned(),
            format!(r#"* STATUS "INBOX" (MESSAGES 1 SIZE {})"#, LETTER.len()),
            r#"* LIST (\Noselect \HasChildren) "." "Work""#.to_owned(),
            r#"* LIST (\Noselect \HasChildren) "." "Work.2026""#.to_owned(),
            r#"* LIST (\HasNoChildren) "." "Work.2026.March""#.to_owned(),
            r#"* STATUS "Work.2026.March" (MESSAGES 0 SIZE 0)"#.to_owned(),
        ]
    );
}

/// `é` in one character, and in two.
#[tokio::test]
async fn a_name_is_one_mailbox_in_every_spelling() {
    const ONE: &str = "Caf&AOk-";
    const TWO: &str = "Cafe&AwE-";
    let server = Server::new();
    let mut client = server.ann().await;
    client.ok(&format!("CREATE {TWO}")).await;
    client.refused(&format!("CREATE {ONE}"), "NO [ALREADYEXISTS]").await;
    let listed = [r#"* LIST (\HasNoChildren) "." "Caf&AOk-""#];
    assert_eq!(client.ok("LIST \"\" C*").await, listed);
    assert_eq!(client.ok(&format!("LIST \"\" {TWO}")).await, listed, "as it was asked for");
    client.ok(&format!("SUBSCRIBE {TWO}")).await;
    assert_eq!(client.ok("LSUB \"\" C*").await, [r#"* LSUB () "." "Caf&AOk-""#]);
    client.ok(&format!("UNSUBSCRIBE {TWO}")).await;
    assert_eq!(client.ok("LSUB \"\" C*").await.len(), 0);
    client.append(TWO, LETTER).await;
    assert_eq!(client.ok(&format!("STATUS {ONE} (MESSAGES)")).await, [r#"* STATUS "Caf&AOk-" (MESSAGES 1)"#]);
    client.ok(&format!("SELECT {TWO}")).await;
    client.ok(&format!("DELETE {TWO}")).await;
    client.refused("FETCH 1 UID", "BAD No mailbox is selected").await;
    // The sign for Angstrom is the letter.
    client.ok("CREATE &ISs-").await;
    client.refused("CREATE &AMU-", "NO [ALREADYEXISTS]").await;
}

/// Another program cares less for spelling than RFC 9051 does.
#[tokio::test]
async fn folders_of_another_spelling_are_reached_and_keep_their_names() {
    const ONE: &str = "Caf&AOk-";
    const TWO: &str = "Cafe&AwE-";
    let server = Server::new();
    let mut client = server.ann().await;
    let account = server.folder.path().join("mail/example.org/ann");
    for name in [".Cafe&AwE-", ".a&IC4-b"] {
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(account.join(name).join(part)).unwrap();
        }
    }
    let listed = [r#"* LIST (\HasNoChildren) "." "Cafe&AwE-""#];
    assert_eq!(client.ok("LIST \"\" C*").await, listed);
    for name in [ONE, TWO] {
        client.ok(&format!("SELECT {name}")).await;
        client.refused(&format!("CREATE {name}"), "NO [ALREADYEXISTS]").await;
    }
    client.ok(&format!("CREATE {ONE}.a")).await;
    assert!(account.join(".Cafe&AwE-.a").exists(), "below the one that is there");
    // A name that nobody may make is there all the same, and can go.
    client.ok("SELECT a&IC4-b").await;
    client.refused("RENAME a&IC4-b c&IC4-d", "NO [CANNOT]").await;
    client.ok("RENAME a&IC4-b ab").await;
    client.ok(&format!("RENAME {TWO} {ONE}")).await;
    assert!(account.join(".Caf&AOk-.a").exists());
    assert_eq!(client.ok("LIST \"\" Caf%").await, [r#"* LIST (\HasChildren) "." "Caf&AOk-""#]);
}

#[tokio::test]
async fn names_with_what_does_not_show_are_not_made() {
    let server = Server::new();
    let mut client = server.ann().await;
    for hidden in [
        "\u{feff}", "\u{202e}", "\u{2066}", "\u{200b}", "\u{ad}", "\u{85}", "\u{2028}", "\u{378}", "\u{fffe}",
    ] {
        let name = kings_mail::utf7::encode(&format!("a{hidden}b"));
        client.refused(&format!("CREATE {name}"), "NO [CANNOT]").await;
        client.refused(&format!("RENAME Sent {name}"), "NO [CANNOT]").await;
    }
    for shown in ["\u{5e9}\u{5dc}", "\u{645}\u{200c}\u{62d}", "\u{1f469}\u{200d}\u{1f680}"] {
        client.ok(&format!("CREATE {}", kings_mail::utf7::encode(shown))).await;
    }
}
