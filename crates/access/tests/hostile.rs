//! Hostile clients and hostile mail over a real store: sets, patterns, partials and names made to hurt.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use kings_store::MailboxName;
use support::{LETTER, Server, ann};

/// Far above what any of these takes, far below what a quadratic one would.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sets_of_any_size_cost_what_the_mailbox_has() {
    let server = Server::new();
    for _ in 0..3 {
        server.deliver(LETTER).await;
    }
    let mut client = server.inbox().await;
    let began = Instant::now();
    for set in ["1:4294967295,*:1", "4294967295:1", "*:1", "1:*,1:*,1:*", "*:*,1,2,3,3,2,1:3"] {
        assert_eq!(client.ok(&format!("UID SEARCH UID {set}")).await, ["* SEARCH 1 2 3"], "{set}");
        assert_eq!(client.ok(&format!("UID FETCH {set} FLAGS")).await.len(), 3, "{set}");
    }
    // As long as a command may be, once as numbers and once as ranges over everything.
    let numbers: Vec<String> = (1..9_000).map(|number| number.to_string()).collect();
    for set in [numbers.join(","), vec!["1:4294967295"; 4_900].join(",")] {
        assert_eq!(client.ok(&format!("UID SEARCH UID {set}")).await, ["* SEARCH 1 2 3"]);
        assert_eq!(client.ok(&format!("UID FETCH {set} UID")).await.len(), 3);
    }
    for set in ["0", "1:0", "4294967296", "-1", "1,,2", "1:", ":1", "1:2:3", "*:*:*", "1,"] {
        client.refused(&format!("UID FETCH {set} FLAGS"), "BAD").await;
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    let too_long = vec!["1"; 600_000].join(",");
    client.refused(&format!("UID FETCH {too_long} FLAGS"), "BAD").await;
    client.ok("NOOP").await;
}

#[tokio::test]
async fn partials_beyond_a_message_are_empty_and_those_out_of_bounds_are_refused() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let size = LETTER.len();
    for start in [size.to_string(), "4294967294".to_owned(), "4294967295".to_owned()] {
        let fetched = client.ok(&format!("FETCH 1 BODY.PEEK[]<{start}.4294967295>")).await;
        assert_eq!(fetched, [format!("* 1 FETCH (BODY[]<{start}> {{0}}\r\n)")]);
    }
    let last = client.ok(&format!("FETCH 1 BODY.PEEK[]<{}.4294967295>", size - 2)).await;
    assert_eq!(last, [format!("* 1 FETCH (BODY[]<{}> {{2}}\r\n\r\n)", size - 2)]);
    for partial in ["<0.0>", "<-1.5>", "<0>", "<0.>", "<.1>", "<0.99999999999999999999>", "<0.1", "<1.2.3>"] {
        client.refused(&format!("FETCH 1 BODY.PEEK[]{partial}"), "BAD").await;
    }
    let sections = vec!["BODY.PEEK[]"; 5_000].join(" ");
    client.refused(&format!("FETCH 1 ({sections})"), "BAD").await;
    client.ok("NOOP").await;
}

#[tokio::test]
async fn a_pattern_of_many_stars_is_matched_in_one_pass() {
    let server = Server::new();
    let store = server.store.clone();
    // Folders in the file system are mailboxes: making them here is faster than asking for each.
    tokio::task::spawn_blocking(move || {
        let account = store.account(&ann()).unwrap();
        for number in 0..50 {
            let name = format!("{}{number}", "ab".repeat(60));
            account.create(&MailboxName::parse(&name, '.').unwrap()).unwrap();
        }
    })
    .await
    .unwrap();
    let mut client = server.ann().await;
    let began = Instant::now();
    for (pattern, expected) in [
        ("*%".repeat(400), 56),
        (format!("{}!", "*%".repeat(400)), 0),
        (format!("{}c", "a*b".repeat(200)), 0),
        (format!("{}*", "a*".repeat(60)), 50),
    ] {
        let found = client.ok(&format!("LIST \"\" \"{pattern}\"")).await;
        assert_eq!(found.len(), expected, "{}", &pattern[..8]);
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn searches_may_be_deep_long_and_strange_and_are_answered() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    let began = Instant::now();
    for (key, refused) in [
        ("NOT ".repeat(40) + "ALL", false),
        ("NOT ".repeat(10_000) + "ALL", true),
        ("OR ALL ".repeat(40) + "ALL", false),
        ("OR ALL ".repeat(8_000) + "ALL", true),
        ("(".repeat(60_000), true),
        (")".repeat(60_000), true),
        ("(".repeat(40) + "ALL" + &")".repeat(40), false),
        (format!("HEADER Subject \"{}\"", "x".repeat(60_000)), false),
        (format!("HEADER \"{}\" x", "x".repeat(60_000)), false),
        (format!("BODY \"{}\"", "hello ".repeat(9_000)), false),
    ] {
        let responses = client.command(&format!("SEARCH {key}")).await;
        let result = responses.last().unwrap();
        assert_eq!(result.starts_with("a BAD"), refused, "{}: {result}", &key[..8]);
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn nothing_in_mail_or_in_names_becomes_a_response_of_its_own() {
    let server = Server::new();
    let forged = "* 9999 EXISTS";
    // Line ends that hide: folded, in encoded words, in percent encoding, and bare.
    let message = format!(
        "From: =?utf-8?q?a=0D=0A{forged}?= <a@example.org>\r\nSubject: x\r\n {forged}\r\n\
         To: \"a\\\r\n {forged}\" <b@example.org>\r\nMessage-ID: <1\r\n {forged}@x>\r\n\
         Content-Type: text/plain; name*=utf-8''a%0D%0A{forged}; b=\"\r\n {forged}\"\r\n\
         Content-Disposition: attachment; filename=\"a\r\n {forged}\"\r\nContent-ID: <c\r\n {forged}>\r\n\
         Content-Description: d\r\n {forged}\r\n\r\nbody\r\n{forged}\r\n"
    );
    server.deliver(&message).await;
    let mut client = server.inbox().await;
    // `response` puts literals in place; what begins a line outside of them would be a response of its own.
    let fetched = client.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[])").await;
    assert_eq!(fetched.len(), 1, "{fetched:?}");
    let header_fields = client.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]").await;
    assert_eq!(header_fields.len(), 1, "{header_fields:?}");
    for name in ["\"a\r\n* 9999 EXISTS\"", "{17+}\r\na\r\n* 9999 EXISTS", "{3+}\r\na\0b"] {
        client.say(format!("a CREATE {name}\r\n")).await;
        let refused = client.until_tagged().await;
        assert!(refused.len() == 1 && !refused[0].starts_with("a OK"), "{name}: {refused:?}");
        // What is left of the line is no command either.
        client.say("a NOOP\r\n").await;
        while !client.response().await.starts_with("a OK") {}
    }
    for name in ["quote\\\"back\\\\slash", "percent%star*", "{3}", "a (b) c", "&AOQ-"] {
        let created = client.command(&format!("CREATE \"{name}\"")).await;
        if created[0].starts_with("a OK") {
            let found = client.ok("LIST \"\" \"*\"").await;
            assert!(found.iter().all(|line| line.starts_with("* LIST (")), "{name}: {found:?}");
            client.ok(&format!("DELETE \"{name}\"")).await;
        }
    }
    for flag in ["a\"b", "a\\b", "a{3}", "a]b", "(a", "a%b"] {
        client.refused(&format!("STORE 1 +FLAGS ({flag})"), "BAD").await;
    }
}

#[tokio::test]
async fn what_cannot_be_appended_is_drained_and_the_session_goes_on() {
    let server = Server::with(|parts| parts.append_octets = 100_000);
    let mut client = server.ann().await;
    let cases = [
        ("INBOX", "a\0b".to_owned(), "NO [CANNOT]"),
        ("INBOX", String::new(), "NO [CANNOT]"),
        ("INBOX \"31-Feb-2026 10:00:00 +0000\"", LETTER.to_owned(), "BAD"),
        ("INBOX \"01-Jan-2026 10:00:00 +9900\"", LETTER.to_owned(), "BAD"),
        ("INBOX", "x".repeat(100_001), "NO [TOOBIG]"),
        ("Nowhere", LETTER.to_owned(), "NO [TRYCREATE]"),
        ("../../etc", LETTER.to_owned(), "NO"),
    ];
    for (arguments, content, expected) in cases {
        let result = client.append(arguments, &content).await;
        assert!(result.starts_with(&format!("a {expected}")), "{arguments}: {result}");
        client.ok("NOOP").await;
    }
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
    // Bare line feeds become line ends in what is shown; nothing else changes.
    assert!(client.append("INBOX", "Subject: x\n\nbare\nlines\n").await.starts_with("a OK [APPENDUID "));
    client.ok("SELECT INBOX").await;
    let fetched = client.ok("FETCH 1 BODY.PEEK[]").await;
    assert_eq!(fetched, ["* 1 FETCH (BODY[] {27}\r\nSubject: x\r\n\r\nbare\r\nlines\r\n)"]);
}

#[tokio::test]
async fn strangers_cannot_make_the_server_hold_more_than_a_line() {
    let server = Server::new();
    for bracket in ["(", ")", "[", "]", "{", "}", "\"", "\\"] {
        let mut client = server.connect().await;
        // Longer than a stranger's line may be: refused before its end, and the end is waited for.
        client.say(format!("a NOOP {}", bracket.repeat(4_000))).await;
        client.say("\r\n").await;
        assert!(client.until_tagged().await.pop().unwrap().starts_with("a BAD"), "{bracket}");
        let mut client = server.connect().await;
        let flood = async {
            for _ in 0..400 {
                if client.try_say(&bracket.repeat(10_000)).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, flood).await.unwrap();
    }
}
