//! Whole dialogues about messages over a real store: FETCH, STORE, SEARCH, COPY, MOVE, EXPUNGE, APPEND, IDLE.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{LETTER, Server};

#[tokio::test]
async fn fetch_shows_a_delivered_message() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let size = LETTER.len();
    let all = client.ok("FETCH 1 (UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)").await;
    assert_eq!(
        all,
        [format!(
            r#"* 1 FETCH (UID 1 FLAGS (\Recent) RFC822.SIZE {size} ENVELOPE ("Tue, 24 Nov 2026 10:00:00 +0000" "hello" (("Joe" NIL "joe" "example.org")) (("Joe" NIL "joe" "example.org")) (("Joe" NIL "joe" "example.org")) ((NIL NIL "ann" "example.org")) NIL NIL NIL "<1@example.org>") BODYSTRUCTURE ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 1 NIL NIL NIL NIL))"#
        )]
    );
    assert_eq!(
        client.ok("UID FETCH 1 BODY.PEEK[]").await,
        [format!("* 1 FETCH (UID 1 BODY[] {{{size}}}\r\n{LETTER})")]
    );
    assert_eq!(
        client.ok("FETCH 1 BODY[TEXT]<4.3>").await,
        [
            "* 1 FETCH (BODY[TEXT]<4> {3}\r\nare)".to_owned(),
            r"* 1 FETCH (UID 1 FLAGS (\Seen \Recent))".to_owned(),
        ]
    );
    assert_eq!(client.ok("FETCH 1 FLAGS").await, [r"* 1 FETCH (FLAGS (\Seen \Recent))"]);
    client.refused("FETCH 2 FLAGS", "BAD").await;
    assert!(client.ok("UID FETCH 2:9 FLAGS").await.is_empty());
    let date = &client.ok("FETCH 1 INTERNALDATE").await[0];
    assert!(date.starts_with("* 1 FETCH (INTERNALDATE \"") && date.ends_with(" +0000\")"), "{date}");
}

#[tokio::test]
async fn a_large_message_goes_in_and_out_unchanged() {
    let server = Server::new();
    let mut client = server.ann().await;
    let line = "0123456789abcdefghijklmnopqrstuvwxyz\r\n";
    let content = format!("Subject: large\r\n\r\n{}", line.repeat(1_100_000 / line.len()));
    let stored = client.append("INBOX (\\Flagged $Label1) \" 7-Feb-1994 21:52:25 -0800\"", &content).await;
    assert!(stored.starts_with("a OK [APPENDUID "), "{stored}");
    client.ok("SELECT INBOX").await;
    let size = content.len();
    let fetched = client.ok("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])").await;
    let expected = format!(
        "* 1 FETCH (FLAGS (\\Flagged $Label1) INTERNALDATE \" 8-Feb-1994 05:52:25 +0000\" RFC822.SIZE {size} BODY[] {{{size}}}\r\n{content})"
    );
    assert!(fetched == [expected], "{}", &fetched[0][..200]);
    let tail = client.ok(&format!("FETCH 1 BODY.PEEK[]<{}.999>", size - 5)).await;
    assert_eq!(tail, [format!("* 1 FETCH (BODY[]<{}> {{5}}\r\nxyz\r\n)", size - 5)]);
}

#[tokio::test]
async fn many_messages_are_fetched_in_order() {
    let server = Server::new();
    let mut client = server.ann().await;
    for number in 1..=250 {
        client.append("INBOX", &format!("Subject: number {number}\r\n\r\n{number}\r\n")).await;
    }
    client.ok("SELECT INBOX").await;
    let bodies = client.ok("FETCH 1:* (UID BODY.PEEK[TEXT])").await;
    assert_eq!(bodies.len(), 250);
    for (place, body) in bodies.iter().enumerate() {
        let number = place + 1;
        let text = format!("{number}\r\n");
        assert_eq!(*body, format!("* {number} FETCH (UID {number} BODY[TEXT] {{{}}}\r\n{text})", text.len()));
    }
    assert_eq!(client.ok("FETCH 1:* FLAGS").await.len(), 250);
    assert_eq!(client.ok("SEARCH SUBJECT \"number 25\"").await, ["* SEARCH 25 250"]);
}

#[tokio::test]
async fn flags_and_keywords_are_stored_and_told_to_others() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let (mut one, mut other) = (server.inbox().await, server.inbox().await);
    let told = one.ok("STORE 1 +FLAGS (\\Seen $Forwarded)").await;
    assert_eq!(
        told,
        [
            r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded)",
            r"* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded \*)] These stay",
            r"* 1 FETCH (UID 1 FLAGS (\Seen $Forwarded \Recent))",
        ]
    );
    assert_eq!(other.ok("NOOP").await[2..], [r"* 1 FETCH (UID 1 FLAGS (\Seen $Forwarded))"]);
    assert!(one.ok("UID STORE 1 -FLAGS.SILENT ($Forwarded)").await.is_empty());
    assert!(one.ok("NOOP").await.is_empty());
    assert_eq!(other.ok("CHECK").await, [r"* 1 FETCH (UID 1 FLAGS (\Seen))"]);
    assert_eq!(one.ok("STORE 1 FLAGS (\\Draft)").await, [r"* 1 FETCH (UID 1 FLAGS (\Draft \Recent))"]);
    one.refused("STORE 1 +FLAGS (\\Recent)", "BAD").await;
}

#[tokio::test]
async fn a_silent_store_still_tells_what_others_did() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let (mut one, mut other) = (server.inbox().await, server.inbox().await);
    other.ok("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    assert_eq!(
        one.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await,
        [r"* 1 FETCH (UID 1 FLAGS (\Flagged \Seen \Recent))"]
    );
}

#[tokio::test]
async fn expunge_is_told_to_others_when_numbers_may_change() {
    let server = Server::new();
    for _ in 0..3 {
        server.deliver(LETTER).await;
    }
    let (mut one, mut other) = (server.inbox().await, server.inbox().await);
    one.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(one.ok("UID EXPUNGE 3").await, ["* 3 EXPUNGE"]);
    assert_eq!(one.ok("EXPUNGE").await, ["* 1 EXPUNGE"]);
    // RFC 3501 §7.4.1: not during FETCH, STORE and SEARCH.
    let mut fetched = other.command("FETCH 1:3 UID").await;
    assert_eq!(fetched.pop().unwrap(), "a OK [EXPUNGEISSUED] Some messages are gone");
    assert_eq!(fetched, ["* 2 FETCH (UID 2)"]);
    assert_eq!(other.ok("SEARCH ALL").await, ["* SEARCH 2"]);
    let stored = other.command("STORE 1:2 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(stored, ["a OK [EXPUNGEISSUED] Some messages are gone"]);
    let copied = other.command("COPY 1:2 Trash").await;
    let result = "a NO [EXPUNGEISSUED] Some messages are gone, nothing was changed";
    assert_eq!(copied, ["* 1 EXPUNGE", "* 2 EXPUNGE", result]);
    assert_eq!(other.ok("STATUS Trash (MESSAGES)").await, [r#"* STATUS "Trash" (MESSAGES 0)"#]);
}

#[tokio::test]
async fn expunged_numbers_are_told_with_the_next_command_that_may() {
    let server = Server::new();
    for _ in 0..3 {
        server.deliver(LETTER).await;
    }
    let (mut one, mut other) = (server.inbox().await, server.inbox().await);
    one.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    assert_eq!(other.ok("UID FETCH 2 UID").await, ["* 2 FETCH (UID 2)", "* 1 EXPUNGE", "* 2 EXPUNGE"]);
    assert_eq!(other.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 2)"]);
}

#[tokio::test]
async fn new_keywords_are_offered_only_while_there_is_room_for_them() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let offers = |responses: &[String]| {
        responses.iter().any(|line| line.contains(r"[PERMANENTFLAGS (") && line.contains(r"\*)]"))
    };
    for number in 0..26 {
        let told = client.ok(&format!("STORE 1 +FLAGS (word{number})")).await;
        let full = number == 25;
        assert_eq!(offers(&told), !full, "{number}: {told:?}");
    }
    client.refused("STORE 1 +FLAGS (word26)", "NO [LIMIT]").await;
    client.ok("STORE 1 +FLAGS (word3)").await;
    assert!(!offers(&client.ok("SELECT INBOX").await));
    assert!(offers(&client.ok("SELECT Sent").await));
}

#[tokio::test]
async fn close_removes_without_a_word() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXAMINE INBOX").await;
    assert!(client.ok("CLOSE").await.is_empty());
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 1)"#]);
    client.ok("SELECT INBOX").await;
    assert!(client.ok("CLOSE").await.is_empty());
    assert_eq!(
        client.ok("STATUS INBOX (MESSAGES UIDNEXT)").await,
        [r#"* STATUS "INBOX" (MESSAGES 0 UIDNEXT 2)"#]
    );
}

#[tokio::test]
async fn copy_and_move_tell_the_new_uids() {
    let server = Server::new();
    for _ in 0..3 {
        server.deliver(LETTER).await;
    }
    let mut client = server.inbox().await;
    client.ok("STORE 2 +FLAGS.SILENT (\\Answered)").await;
    let copied = client.command("COPY 1:2 Archive").await.pop().unwrap();
    assert!(copied.starts_with("a OK [COPYUID ") && copied.ends_with(" 1:2 1:2] Copied"), "{copied}");
    let moved = client.ok("UID MOVE 1,3 Archive").await;
    assert!(moved[0].starts_with("* OK [COPYUID ") && moved[0].ends_with(" 1,3 3:4] Copied"), "{}", moved[0]);
    assert_eq!(moved[1..], ["* 1 EXPUNGE", "* 2 EXPUNGE"]);
    client.refused("COPY 1 Nowhere", "NO [TRYCREATE]").await;
    client.refused("MOVE 1 ../x", "NO [CANNOT]").await;
    assert_eq!(client.command("UID COPY 99 Archive").await, ["a OK Done"]);
    client.ok("SELECT Archive").await;
    assert_eq!(client.ok("FETCH 2 FLAGS").await, [r"* 2 FETCH (FLAGS (\Answered))"]);
    assert_eq!(client.ok("SEARCH ALL").await, ["* SEARCH 1 2 3 4"]);
}

#[tokio::test]
async fn appends_are_refused_before_or_after_their_message() {
    let server = Server::with(|parts| parts.append_octets = 1_000_000);
    let mut client = server.inbox().await;
    assert!(client.append("Nowhere", LETTER).await.starts_with("a NO [TRYCREATE]"));
    assert!(client.append("../x", LETTER).await.starts_with("a NO [CANNOT]"));
    assert!(client.append("INBOX", "").await.starts_with("a NO [CANNOT]"));
    assert!(client.append("INBOX", &"x".repeat(1_000_001)).await.starts_with("a NO [TOOBIG]"));
    assert!(client.append("INBOX", "Subject: x\r\n\r\n\0\r\n").await.starts_with("a NO [CANNOT]"));
    client.say("a APPEND INBOX {310}\r\n").await;
    assert!(client.response().await.starts_with("+ "));
    client.say("x".repeat(310)).await;
    client.say("\r\n").await;
    let responses = client.until_tagged().await;
    assert_eq!(responses[..2], ["* 1 EXISTS", "* 0 RECENT"]);
    assert!(responses[2].starts_with("a OK [APPENDUID "), "{responses:?}");
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 1)"#]);
}

#[tokio::test]
async fn several_messages_of_one_append_are_stored_together_or_not_at_all() {
    let server = Server::with(|parts| parts.append_octets = 1_000_000);
    let mut client = server.inbox().await;
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcde\r\n".repeat(40_000));
    client
        .say(format!(
            "a APPEND INBOX (\\Seen) {{16+}}\r\nSubject: one\r\n\r\n {{{}+}}\r\n{large}",
            large.len()
        ))
        .await;
    client.say(" ($Work) \" 7-Feb-1994 21:52:25 -0800\" {18+}\r\nSubject: three\r\n\r\n\r\n").await;
    let responses = client.until_tagged().await;
    assert_eq!(responses[0], "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)");
    assert_eq!(responses[2..4], ["* 3 EXISTS", "* 0 RECENT"]);
    assert!(responses[4].starts_with("a OK [APPENDUID ") && responses[4].contains(" 1:3] "), "{responses:?}");
    let fetched = client.ok("FETCH 1:3 (FLAGS RFC822.SIZE INTERNALDATE)").await;
    assert!(fetched[0].contains(r"FLAGS (\Seen) RFC822.SIZE 16"), "{fetched:?}");
    assert!(fetched[1].contains(&format!("FLAGS () RFC822.SIZE {}", large.len())), "{fetched:?}");
    assert!(fetched[2].contains("FLAGS ($Work) RFC822.SIZE 18 INTERNALDATE \" 8-Feb-1994"), "{fetched:?}");
    // The second one is refused, before or behind its octets: the first goes as well.
    for second in
        [" {1000001}\r\n", " {0+}\r\n\r\n", " {5+}\r\na\0bcd\r\n", " nonsense {1+}\r\nx\r\n", " x\r\n"]
    {
        client.say(format!("a APPEND INBOX {{16+}}\r\nSubject: one\r\n\r\n{second}")).await;
        let refusal = client.until_tagged().await.pop().unwrap();
        assert!(refusal.starts_with("a NO") || refusal.starts_with("a BAD"), "{second:?}: {refusal}");
        assert_eq!(
            client.ok("STATUS INBOX (MESSAGES)").await,
            [r#"* STATUS "INBOX" (MESSAGES 3)"#],
            "{second:?}"
        );
    }
}

#[tokio::test]
async fn search_reads_headers_bodies_and_charsets() {
    let server = Server::new();
    server.deliver(LETTER).await;
    server
        .deliver(
            "From: =?utf-8?q?J=C3=BCrgen?= <juergen@example.org>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\
             Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=FC=DFe\r\n",
        )
        .await;
    let mut client = server.inbox().await;
    client.ok("STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    for (keys, found) in [
        ("ALL", "* SEARCH 1 2"),
        ("SUBJECT HELLO", "* SEARCH 1"),
        ("CHARSET UTF-8 SUBJECT \"grüße\"", "* SEARCH 2"),
        ("FROM \"jürgen\"", "* SEARCH 2"),
        ("BODY \"schöne\"", "* SEARCH 2"),
        ("TEXT ann@example", "* SEARCH 1"),
        ("FLAGGED RECENT", "* SEARCH 2"),
        ("SENTON 24-Nov-2026", "* SEARCH 1"),
        ("NOT SINCE 1-Jan-2000", "* SEARCH"),
        ("LARGER 100000", "* SEARCH"),
        ("OR SUBJECT hello FLAGGED", "* SEARCH 1 2"),
    ] {
        assert_eq!(client.ok(&format!("SEARCH {keys}")).await, [found], "{keys}");
    }
    client.refused("SEARCH CHARSET X-NONE SUBJECT x", "NO [BADCHARSET (US-ASCII UTF-8)]").await;
}

#[tokio::test]
async fn a_search_is_told_as_asked_kept_for_later_and_counted_by_age() {
    let server = Server::new();
    let mut client = server.ann().await;
    let old = "INBOX \" 7-Feb-1994 21:52:25 -0800\"";
    for mailbox in [old, old, "INBOX"] {
        client.append(mailbox, LETTER).await;
    }
    let octets = 3 * LETTER.len();
    let limit = client.ok("STATUS INBOX (SIZE APPENDLIMIT)").await;
    assert!(limit[0].starts_with(&format!("* STATUS \"INBOX\" (SIZE {octets} APPENDLIMIT ")), "{limit:?}");
    client.ok("SELECT INBOX").await;
    let found = client.ok("UID SEARCH RETURN (MIN COUNT ALL) OLDER 86400").await;
    assert_eq!(found, ["* ESEARCH (TAG \"a\") UID MIN 1 ALL 1:2 COUNT 2"]);
    assert_eq!(client.ok("SEARCH YOUNGER 86400").await, ["* SEARCH 3"]);
    assert!(client.ok("SEARCH RETURN (SAVE) OLDER 86400").await.is_empty());
    client.ok("STORE $ +FLAGS.SILENT (\\Deleted)").await;
    // Another session removes one of them: `$` means the other.
    let mut other = server.inbox().await;
    other.ok("UID EXPUNGE 1").await;
    // As with any set, before the client has heard of it.
    let copied = client.command("COPY $ Trash").await;
    assert_eq!(copied[0], "* 1 EXPUNGE");
    assert!(copied[1].starts_with("a NO [EXPUNGEISSUED] "), "{copied:?}");
    assert_eq!(client.ok("FETCH $ UID").await, ["* 1 FETCH (UID 2)"]);
    client.ok("UID EXPUNGE $").await;
    assert_eq!(client.ok("UID SEARCH $").await, ["* SEARCH"]);
    assert_eq!(client.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 3)"]);
}

#[tokio::test]
async fn idle_wakes_when_mail_is_delivered() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    client.say("a IDLE\r\n").await;
    assert_eq!(client.response().await, "+ Idling");
    server.deliver(LETTER).await;
    assert_eq!(client.response().await, "* 2 EXISTS");
    assert_eq!(client.response().await, "* 2 RECENT");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.response().await, r"* 1 FETCH (UID 1 FLAGS (\Deleted \Recent))");
    other.ok("EXPUNGE").await;
    assert_eq!(client.response().await, "* 1 EXPUNGE");
    client.say("DONE\r\n").await;
    assert_eq!(client.until_tagged().await, ["a OK Done"]);
}

#[tokio::test]
async fn idle_without_a_mailbox_waits_and_ends() {
    let server = Server::new();
    let mut client = server.ann().await;
    client.say("a IDLE\r\nDONE\r\n").await;
    assert_eq!(client.response().await, "+ Idling");
    assert_eq!(client.until_tagged().await, ["a OK Done"]);
}

#[tokio::test]
async fn a_message_that_another_program_removed_is_told_and_passed_over() {
    let server = Server::new();
    server.deliver(LETTER).await;
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let cur = server.folder.path().join("mail/example.org/ann/cur");
    let mut files: Vec<_> = std::fs::read_dir(cur).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    std::fs::remove_file(&files[0]).unwrap();
    let fetched = client.ok("FETCH 1:2 (UID BODY.PEEK[TEXT])").await;
    assert_eq!(fetched, ["* 2 FETCH (UID 2 BODY[TEXT] {14}\r\nHow are you?\r\n)"]);
    assert_eq!(client.ok("NOOP").await, ["* 1 EXPUNGE"]);
}

/// RFC 8508 §3.
#[tokio::test]
async fn a_draft_takes_the_place_of_the_one_before_it() {
    let server = Server::new();
    for text in ["one", "two", "three"] {
        server.deliver(&LETTER.replace("How are you?", text)).await;
    }
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    let draft = LETTER.replace("How are you?", "a later draft");
    let replace = |which: &str| format!("a {which} {{{}+}}\r\n{draft}\r\n", draft.len());
    client.say(replace("REPLACE 2 INBOX (\\Draft)")).await;
    let lines = client.until_tagged().await;
    assert!(lines[0].starts_with("* OK [APPENDUID ") && lines[0].contains(" 4] "), "{lines:?}");
    assert!(
        lines.contains(&"* 2 EXPUNGE".to_owned()) && lines.contains(&"* 3 EXISTS".to_owned()),
        "{lines:?}"
    );
    assert!(lines.last().unwrap().starts_with("a OK"), "{lines:?}");
    let flags = client.ok("UID FETCH 4 FLAGS").await;
    assert!(flags[0].contains("\\Draft"), "{flags:?}");
    // Into another mailbox; the last one; another session hears of it all.
    client.say(replace("UID REPLACE 3 Drafts")).await;
    assert!(client.until_tagged().await.last().unwrap().starts_with("a OK"));
    client.say(replace("REPLACE * INBOX")).await;
    assert!(client.until_tagged().await.last().unwrap().starts_with("a OK"));
    other.ok("NOOP").await;
    assert_eq!(other.ok("UID SEARCH ALL").await, ["* SEARCH 1 5"]);
    assert_eq!(other.ok("STATUS Drafts (MESSAGES)").await, [r#"* STATUS "Drafts" (MESSAGES 1)"#]);
    // What is gone, or never was, replaces nothing and adds nothing.
    for (which, expected) in [
        ("UID REPLACE 3 INBOX", "a NO [EXPUNGEISSUED]"),
        ("REPLACE 7 INBOX", "a BAD "),
        ("REPLACE 1 Nowhere", "a NO [TRYCREATE]"),
    ] {
        client.say(replace(which)).await;
        let lines = client.until_tagged().await;
        assert!(lines.last().unwrap().starts_with(expected), "{which}: {lines:?}");
    }
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 1 5"]);
    // Removed while the new one is on its way.
    client.say(format!("a REPLACE 1 INBOX {{{}}}\r\n", draft.len())).await;
    assert!(client.response().await.starts_with("+ "));
    other.ok("STORE 1 +FLAGS \\Deleted").await;
    other.ok("EXPUNGE").await;
    client.say(format!("{draft}\r\n")).await;
    let lines = client.until_tagged().await;
    assert!(lines.last().unwrap().starts_with("a NO [EXPUNGEISSUED]"), "{lines:?}");
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 5"]);
    client.ok("EXAMINE INBOX").await;
    client.say(replace("REPLACE 1 INBOX")).await;
    assert!(client.until_tagged().await.last().unwrap().starts_with("a NO [READ-ONLY]"));
}

#[tokio::test]
async fn what_goes_into_a_mailbox_that_is_gone_meanwhile_may_be_tried_again() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let (mut client, mut other) = (server.inbox().await, server.ann().await);
    for command in ["REPLACE 1 Work", "APPEND Work"] {
        other.ok("CREATE Work").await;
        client.say(format!("a {command} {{{}}}\r\n", LETTER.len())).await;
        assert!(client.response().await.starts_with("+ "));
        other.ok("DELETE Work").await;
        client.say(format!("{LETTER}\r\n")).await;
        let lines = client.until_tagged().await;
        assert!(lines.last().unwrap().starts_with("a NO [TRYCREATE]"), "{command}: {lines:?}");
    }
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 1"]);
    client.refused("COPY 1 Work", "NO [TRYCREATE]").await;
}

/// RFC 3516 §4.3.
#[tokio::test]
async fn a_part_that_cannot_be_decoded_is_not_seen() {
    let server = Server::new();
    server.deliver("Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin\r\n").await;
    server.deliver("Content-Transfer-Encoding: base64 (as ever)\r\n\r\naGVsbG8=\r\n").await;
    let mut client = server.inbox().await;
    client.refused("FETCH 1 BINARY[1]", "NO [UNKNOWN-CTE]").await;
    assert_eq!(client.ok("FETCH 1 FLAGS").await, [r"* 1 FETCH (FLAGS (\Recent))"]);
    let lines = client.command("FETCH 1:2 BINARY[1]").await;
    assert_eq!(lines[0], "* 2 FETCH (BINARY[1] {5}\r\nhello)");
    assert!(lines.last().unwrap().starts_with("a NO [UNKNOWN-CTE]"), "{lines:?}");
    assert_eq!(
        client.ok("FETCH 1:2 FLAGS").await,
        [r"* 1 FETCH (FLAGS (\Recent))", r"* 2 FETCH (FLAGS (\Seen \Recent))"]
    );
}

#[tokio::test]
async fn what_a_field_is_folded_with_is_a_space_for_a_search() {
    let server = Server::new();
    server.deliver("Subject: alpha\r\n\tbeta\r\nX: one\ttwo\r\n\r\nx\r\n").await;
    let mut client = server.inbox().await;
    for (key, found) in [
        ("HEADER Subject \"alpha beta\"", true),
        ("TEXT \"alpha beta\"", true),
        ("HEADER Subject \"alpha\tbeta\"", false),
        ("HEADER X \"one\ttwo\"", true),
        ("HEADER X \"one two\"", false),
    ] {
        let expected = if found { "* SEARCH 1" } else { "* SEARCH" };
        assert_eq!(client.ok(&format!("SEARCH {key}")).await, [expected], "{key}");
    }
}
