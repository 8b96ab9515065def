//! Logins, limits, deadlines and real clients' habits.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kings_net::{Endpoint, Guard, Listener, Place, Rate, Slots, Stream, TaskTracker};
use kings_tls::{ClientTls, Trust};
use support::{LETTER, Server, domain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn logins_succeed_with_the_right_password_alone() {
    let server = Server::new();
    let mut client = server.connect().await;
    client.refused("SELECT INBOX", "BAD Log in first").await;
    client.refused("LOGIN ann@example.org wrong", "NO [AUTHENTICATIONFAILED]").await;
    client.refused("LOGIN nobody@example.org secret", "NO [AUTHENTICATIONFAILED]").await;
    client.say("a LOGIN {15}\r\n").await;
    assert!(client.response().await.starts_with("+ "));
    client.say("ann@example.org {6+}\r\nsecret\r\n").await;
    assert!(client.until_tagged().await[0].starts_with("a OK [CAPABILITY IMAP4rev1 "));
    client.refused("LOGIN ann@example.org secret", "BAD Already logged in").await;
    let mut client = server.connect().await;
    client.ok("AUTHENTICATE PLAIN AEpPRUBleGFtcGxlLm9yZwBzZWNyZXQ=").await;
}

#[tokio::test]
async fn wrong_passwords_cost_time() {
    let server = Server::new();
    let mut client = server.connect().await;
    let began = std::time::Instant::now();
    client.refused("LOGIN ann@example.org wrong", "NO [AUTHENTICATIONFAILED]").await;
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn accounts_are_apart() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut joe = server.connect().await;
    joe.ok("LOGIN joe@example.org secret").await;
    assert_eq!(joe.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
    joe.refused("SELECT ../ann/INBOX", "NO [CANNOT]").await;
}

#[tokio::test]
async fn an_account_has_so_many_sessions_from_one_address() {
    let server = Server::with(|parts| parts.people.connections_per_account = 2);
    let (one, _two) = (server.ann().await, server.ann().await);
    let mut third = server.connect().await;
    third.refused("LOGIN ann@example.org secret", "NO [LIMIT]").await;
    third.ok("LOGIN joe@example.org secret").await;
    drop(one);
    // The server notices the end of the first session a moment later.
    for _ in 0..100 {
        let mut again = server.connect().await;
        if again.command("LOGIN ann@example.org secret").await[0].starts_with("a OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place did not come back");
}

#[tokio::test(start_paused = true)]
async fn accounts_that_are_closed_are_refused_like_a_wrong_password() {
    let server = Server::new();
    for login in ["ann", "kim", "lee"] {
        let mut client = server.connect().await;
        let password = if login == "ann" { "wrong" } else { "secret" };
        let began = tokio::time::Instant::now();
        let refusal = "NO [AUTHENTICATIONFAILED]";
        client.refused(&format!("LOGIN {login}@example.org {password}"), refusal).await;
        assert!(began.elapsed() >= Duration::from_secs(2), "{login}");
        client.ok("LOGIN ann@example.org secret").await;
    }
}

#[tokio::test]
async fn sessions_of_an_account_end_when_it_is_removed_or_closed() {
    let others = "joe@example.org:{PLAIN}secret\n";
    for users in [others.to_owned(), format!("ann@example.org:{{PLAIN}}secret::::::nologin\n{others}")] {
        let server = Server::new();
        let (mut busy, mut idle, mut other) =
            (server.inbox().await, server.inbox().await, server.connect().await);
        other.ok("LOGIN joe@example.org secret").await;
        idle.say("a IDLE\r\n").await;
        assert_eq!(idle.response().await, "+ Idling");
        std::fs::write(server.folder.path().join("users"), users).unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        // On a slow machine it has been told before it asks.
        let _ = busy.try_say("a FETCH 1:* FLAGS\r\n").await;
        assert_eq!(busy.rest().await, "* BYE The account was closed\r\n");
        let began = tokio::time::Instant::now();
        assert_eq!(idle.rest().await, "* BYE The account was closed\r\n");
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        other.ok("NOOP").await;
    }
}

#[tokio::test]
async fn a_shutdown_says_goodbye() {
    let server = Server::new();
    let mut client = server.inbox().await;
    server.shutdown.cancel();
    assert_eq!(client.rest().await, "* BYE Server is shutting down\r\n");
}

#[tokio::test(start_paused = true)]
async fn strangers_must_log_in_within_five_minutes() {
    let server = Server::new();
    let mut client = server.connect().await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        client.ok("NOOP").await;
    }
    let began = tokio::time::Instant::now();
    client.say("a LOGIN ann").await;
    assert_eq!(client.rest().await, "* BYE Too slow\r\n");
    assert!(began.elapsed() <= Duration::from_mins(1));
}

#[tokio::test(start_paused = true)]
async fn idling_is_allowed_for_half_an_hour() {
    let server = Server::new();
    let mut client = server.inbox().await;
    client.say("a IDLE\r\n").await;
    assert_eq!(client.response().await, "+ Idling");
    tokio::time::sleep(Duration::from_mins(29)).await;
    client.say("DONE\r\n").await;
    assert_eq!(client.until_tagged().await, ["a OK Done"]);
    let began = tokio::time::Instant::now();
    assert_eq!(client.rest().await, "* BYE Too slow\r\n");
    assert!(began.elapsed() >= Duration::from_mins(30));
}

#[tokio::test(start_paused = true)]
async fn a_message_may_come_slowly_but_not_for_ever() {
    let server = Server::new();
    let mut client = server.ann().await;
    client.say("a APPEND INBOX {1000000}\r\n").await;
    assert!(client.response().await.starts_with("+ "));
    for _ in 0..10 {
        client.say("x".repeat(60_000)).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(client.rest().await, "* BYE Too slow\r\n");
    let mut client = server.ann().await;
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
}

#[tokio::test(start_paused = true)]
async fn commands_that_follow_each_other_without_a_pause_have_their_time_each() {
    let server = Server::new();
    let mut client = server.inbox().await;
    client.say("a NO").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        client.say("OP\r\na NO").await;
        assert_eq!(client.until_tagged().await.pop().unwrap(), "a OK Done");
    }
    // One that is never said to its end has no more than the others.
    let began = tokio::time::Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        client.say("O").await;
    }
    assert_eq!(client.rest().await, "* BYE Too slow\r\n");
    assert!(began.elapsed() <= Duration::from_mins(5), "{:?}", began.elapsed());
}

/// A client that has asked for `messages` of `octets` each and not read any of it.
async fn asking(server: &Server, messages: usize, octets: usize) -> support::Client {
    let letter = format!("Subject: long\r\n\r\n{}", "x".repeat(98) + "\r\n");
    let letter = letter + &("y".repeat(98) + "\r\n").repeat(octets / 100);
    for _ in 0..messages {
        server.deliver(&letter).await;
    }
    let mut client = server.inbox().await;
    client.say("a FETCH 1:* BODY.PEEK[]\r\n").await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed() {
    let server = Server::new();
    let mut client = asking(&server, 1, 300_000).await;
    tokio::time::sleep(Duration::from_mins(8)).await;
    let heard = client.rest().await;
    assert!(heard.starts_with("* 1 FETCH") && heard.len() <= 65_536, "{}", heard.len());
}

/// However small the pieces: a message each, of which the reader takes one in four minutes.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_little_now_and_then_is_closed() {
    let server = Server::new();
    let mut client = asking(&server, 100, 2_000).await;
    let began = tokio::time::Instant::now();
    while client.skip(2_000).await > 0 {
        tokio::time::sleep(Duration::from_mins(4)).await;
        assert!(began.elapsed() < Duration::from_hours(3), "it is still served");
    }
}

/// The mirror image: slow, as slow as a line may be, and whole in the end.
#[tokio::test(start_paused = true)]
async fn a_client_on_a_slow_line_gets_all_of_a_long_answer() {
    let server = Server::new();
    let mut client = asking(&server, 1, 1_000_000).await;
    let (began, mut octets) = (tokio::time::Instant::now(), 0);
    while octets < 990_000 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let count = client.skip(6_000).await;
        assert!(count > 0, "closed after {octets} octets");
        octets += count;
    }
    assert!(began.elapsed() > Duration::from_mins(20), "{:?}", began.elapsed());
    assert!(client.until_tagged().await.pop().unwrap().starts_with("a OK"));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_message_stores_nothing() {
    let server = Server::new();
    let mut client = server.ann().await;
    client.say("a APPEND INBOX {1000+}\r\nSubject: half").await;
    drop(client);
    let mut client = server.ann().await;
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
}

#[tokio::test]
async fn commands_sent_at_once_are_answered_in_order() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.connect().await;
    let commands =
        "1 LOGIN ann@example.org secret\r\n2 SELECT INBOX\r\n3 FETCH 1 UID\r\n4 LOGOUT\r\n5 NOOP\r\n";
    client.say(commands).await;
    let said = client.rest().await;
    let tagged: Vec<&str> =
        said.lines().filter(|line| !line.starts_with('*')).map(|line| &line[..4]).collect();
    assert_eq!(tagged, ["1 OK", "2 OK", "3 OK", "4 OK"]);
}

/// Starts a listener without TLS from the first byte.
fn listen(server: &Server) -> (std::net::SocketAddr, TaskTracker) {
    let access = kings_net::Access { mode: 0o600, owner: None, group: None };
    let (socket, place) = kings_net::bind(&"127.0.0.1:0".parse().unwrap(), access).unwrap();
    let Place::Tcp(address) = place else { panic!("{place}") };
    let guard = Guard {
        proxy_from: vec![],
        exempt: vec![],
        connections: 100,
        connections_per_address: 100,
        arrivals_per_address: Rate::minute(0),
        memory: kings_net::Memory::default(),
    };
    let endpoint = Endpoint { service: server.imap.clone(), tls: None, guard };
    let endpoint = Arc::new(ArcSwap::from_pointee(endpoint));
    let listener = Listener::new("imap", socket, endpoint, Slots::default()).unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(listener.run(tasks.clone(), server.shutdown.clone()));
    (address, tasks)
}

async fn hear(stream: &mut Stream, end: &str) -> String {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(end) {
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0, "{}", String::from_utf8_lossy(&heard));
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn starttls_protects_the_login_and_forgets_what_came_before() {
    let server = Server::new();
    let (address, _tasks) = listen(&server);
    let mut stream = Stream::Plain(TcpStream::connect(address).await.unwrap());
    assert!(hear(&mut stream, "ready\r\n").await.contains(" STARTTLS LOGINDISABLED "));
    stream.write_all(b"a LOGIN ann@example.org secret\r\n").await.unwrap();
    assert_eq!(hear(&mut stream, "\r\n").await, "a NO [PRIVACYREQUIRED] Log in under TLS only\r\n");
    stream.write_all(b"b STARTTLS\r\nc NOOP\r\n").await.unwrap();
    assert_eq!(hear(&mut stream, "\r\n").await, "b OK Begin the TLS handshake\r\n");
    let tls = ClientTls::new().config(Trust::Anyone);
    let name = domain().as_str().to_owned().try_into().unwrap();
    let mut stream = stream.connect_tls(tls, name).await.unwrap();
    stream.write_all(b"d CAPABILITY\r\ne LOGIN ann@example.org secret\r\n").await.unwrap();
    let said = hear(&mut stream, "Logged in\r\n").await;
    assert!(!said.contains("c OK") && said.contains(" AUTH=PLAIN ") && said.contains("\r\ne OK "), "{said}");
}

#[tokio::test]
async fn strangers_of_one_address_are_counted_until_they_log_in() {
    let server = Server::with(|parts| parts.people.connections_per_address = 1);
    let (address, _tasks) = listen(&server);
    let mut first = Stream::Plain(TcpStream::connect(address).await.unwrap());
    hear(&mut first, "ready\r\n").await;
    let mut second = Stream::Plain(TcpStream::connect(address).await.unwrap());
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "* BYE Too many connections from your address\r\n");
    drop(first);
    let mut third = Stream::Plain(TcpStream::connect(address).await.unwrap());
    let greeting = hear(&mut third, "\r\n").await;
    assert!(greeting.starts_with("* OK "), "{greeting}");
}

#[tokio::test]
async fn thunderbird_finds_what_it_asks_for() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    client.ok("ID (\"name\" \"Thunderbird\" \"version\" \"140.0\")").await;
    client.ok("NAMESPACE").await;
    assert_eq!(client.ok("LIST (SPECIAL-USE) \"\" \"*\"").await.len(), 5);
    assert_eq!(client.ok("LSUB \"\" \"*\"").await.len(), 6);
    client.ok("SELECT \"INBOX\"").await;
    assert_eq!(client.ok("UID FETCH 1:* (FLAGS)").await, [r"* 1 FETCH (UID 1 FLAGS (\Recent))"]);
    let fields = "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To";
    let header =
        client.ok(&format!("UID fetch 1 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({fields})])")).await;
    assert!(
        header[0].contains("\r\nSubject: hello\r\n") && header[0].ends_with("\r\n\r\n)"),
        "{}",
        header[0]
    );
    client.ok("UID fetch 1 (UID RFC822.SIZE BODY[])").await;
    client.ok("UID STORE 1 +Flags (\\Deleted)").await;
    client.ok("UID EXPUNGE 1").await;
}

#[tokio::test]
async fn mbsync_and_mutt_find_what_they_ask_for() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.ann().await;
    client.ok("LIST \"\" \"*\"").await;
    client.refused("CREATE \"INBOX\"", "NO [ALREADYEXISTS]").await;
    client.ok("SELECT \"INBOX\"").await;
    client.ok("UID FETCH 1:* (UID FLAGS)").await;
    let found = client.ok("UID SEARCH HEADER X-TUID 0123456789ab").await;
    assert_eq!(found, ["* SEARCH"]);
    let fields = "DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO REPLY-TO LINES LIST-POST X-LABEL";
    let header = client
        .ok(&format!("FETCH 1:1 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({fields})])"))
        .await;
    assert!(header[0].contains(&format!("RFC822.SIZE {} BODY[HEADER.FIELDS ({fields})] {{", LETTER.len())));
    client.ok("UID FETCH 1 (BODY.PEEK[])").await;
    let stored = client.append("\"Sent\" (\\Seen)", LETTER).await;
    assert!(stored.starts_with("a OK [APPENDUID "));
    client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("CLOSE").await;
    client.ok("LOGOUT").await;
}

#[tokio::test]
async fn curl_finds_what_it_asks_for() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut client = server.connect().await;
    client.ok("CAPABILITY").await;
    client.ok("AUTHENTICATE PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=").await;
    client.ok("SELECT INBOX").await;
    let fetched = client.ok("UID FETCH 1 BODY[]").await;
    assert!(fetched[0].starts_with(&format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\nFrom:", LETTER.len())));
    client.ok("LIST \"\" *").await;
    client.say(format!("a APPEND INBOX (\\Seen) {{{}}}\r\n", LETTER.len())).await;
    assert!(client.response().await.starts_with("+ "));
    client.say(LETTER).await;
    client.say("\r\n").await;
    assert!(client.until_tagged().await.pop().unwrap().starts_with("a OK [APPENDUID "));
}

/// RFC 8437 §3.
#[tokio::test]
async fn a_client_that_logs_out_is_a_stranger_again() {
    let server = Server::with(|parts| {
        parts.people.connections_per_account = 1;
        parts.people.connections_per_address = 1;
    });
    server.deliver(LETTER).await;
    let mut client = server.inbox().await;
    client.refused("UNAUTHENTICATE all", "BAD ").await;
    client.ok("UNAUTHENTICATE").await;
    client.refused("FETCH 1 FLAGS", "BAD Log in first").await;
    client.refused("UNAUTHENTICATE", "BAD Log in first").await;
    // The place of the account is free again, for this client too, and nothing of it is left.
    let mut other = server.ann().await;
    other.ok("UNAUTHENTICATE").await;
    client.ok("LOGIN joe@example.org secret").await;
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 0)"#]);
    client.refused("FETCH 1 FLAGS", "BAD No mailbox is selected").await;
    client.ok("UNAUTHENTICATE").await;
    client.ok("AUTHENTICATE PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=").await;
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 1)"#]);
}
