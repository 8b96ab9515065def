//! POP3 over a real store: what is read, what goes at QUIT and what stays without it, and who has to wait.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests look at the files")]

mod support;

use std::fs;
use std::time::Duration;

use support::{Client, LETTER, Server};

/// What the account has in `new` and `cur`, without the part of the names that differs each time.
fn files(server: &Server) -> Vec<String> {
    let account = server.folder.path().join("mail/example.org/ann");
    let mut flags = Vec::new();
    for place in ["new", "cur"] {
        for entry in fs::read_dir(account.join(place)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            flags.push(format!("{place}{}", name.split_once(':').map_or("", |(_, info)| info)));
        }
    }
    flags.sort();
    flags
}

async fn quit(mut client: Client, expected: &str) {
    client.says("QUIT", expected).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn mail_is_listed_read_and_removed() {
    let server = Server::new();
    server.deliver("Subject: one\r\n\r\n.dot\r\nend\r\n").await;
    server.deliver(LETTER).await;
    let mut client = server.pop3_ann().await;
    assert_eq!(client.says("STAT", "+OK").await, format!("+OK 2 {}", 27 + LETTER.len()));
    client.says("LIST", "+OK 2 messages").await;
    assert_eq!(client.lines().await, ["1 27".to_owned(), format!("2 {}", LETTER.len())]);
    client.says("UIDL", "+OK").await;
    let names = client.lines().await;
    assert!(names[0].starts_with("1 00000001") && names[1].starts_with("2 00000002"), "{names:?}");
    assert_eq!(names[0].len(), 2 + 16);
    assert_eq!(client.says("RETR 1", "+OK").await, "+OK 27 octets");
    assert_eq!(client.lines().await, ["Subject: one", "", "..dot", "end"]);
    client.says("TOP 2 0", "+OK").await;
    assert_eq!(client.lines().await.len(), 6);
    client.says("DELE 1", "+OK").await;
    assert_eq!(files(&server).len(), 2, "nothing goes before QUIT");
    quit(client, "+OK Logging out, the marked messages are removed").await;
    // What TOP has shown is not read.
    assert_eq!(files(&server), ["cur2,"]);
    let mut client = server.pop3_ann().await;
    client.says("UIDL 1", &format!("+OK 1 {}", &names[1][2..])).await;
    client.says("RETR 1", "+OK").await;
    client.lines().await;
    quit(client, "+OK").await;
    assert_eq!(files(&server), ["cur2,S"]);
}

/// RFC 6856 §2.1, RFC 6856 §4.
#[tokio::test]
async fn headers_that_are_not_ascii_come_as_they_are_to_those_who_said_utf8() {
    let server = Server::new();
    let letter = "Subject: gr\u{fc}n\r\nTo: \u{fc}@example.org\r\n\r\nb\u{f6}dy\r\n";
    server.deliver(letter).await;
    let mut client = server.pop3_ann().await;
    assert_eq!(client.says("LIST 1", "+OK").await, format!("+OK 1 {}", letter.len()));
    let told = client.says("RETR 1", "+OK").await;
    let lines = client.lines().await;
    let expected = [
        "Subject: =?utf-8?Q?gr=C3=BCn?=",
        "To: =?utf-8?Q?=C3=BC=40example=2Eorg?= <invalid@internationalized-address.invalid>",
        "",
        "b\u{f6}dy",
    ];
    assert_eq!(lines, expected);
    let octets: usize = lines.iter().map(|line| line.len() + 2).sum();
    assert_eq!(told, format!("+OK {octets} octets"));
    client.says("TOP 1 0", "+OK").await;
    assert_eq!(client.lines().await, expected[..3]);
    quit(client, "+OK").await;
    let mut client = server.pop3().await;
    client.says("UTF8", "+OK").await;
    client.says("USER ann@example.org", "+OK").await;
    client.says("PASS secret", "+OK").await;
    assert_eq!(client.says("RETR 1", "+OK").await, format!("+OK {} octets", letter.len()));
    assert_eq!(client.lines().await, letter.trim_end().split("\r\n").collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_removed_or_marked_unless_quit_was_said() {
    for end in ["drop", "RSET", "shutdown"] {
        let server = Server::new();
        server.deliver(LETTER).await;
        let mut client = server.pop3_ann().await;
        client.says("RETR 1", "+OK").await;
        client.lines().await;
        client.says("DELE 1", "+OK").await;
        match end {
            "drop" => drop(client),
            "shutdown" => {
                server.shutdown.cancel();
                assert_eq!(client.rest().await, "-ERR [SYS/TEMP] Server is shutting down\r\n");
            }
            reset => {
                client.says(reset, "+OK").await;
                quit(client, "+OK Logging out").await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(files(&server), [if end == "RSET" { "cur2,S" } else { "cur2," }], "{end}");
    }
}

#[tokio::test]
async fn sessions_share_the_inbox_and_keep_their_numbers() {
    let server = Server::new();
    for subject in ["one", "two", "three"] {
        server.deliver(&format!("Subject: {subject}\r\n\r\n")).await;
    }
    let (mut one, mut two) = (server.pop3_ann().await, server.pop3_ann().await);
    one.says("DELE 2", "+OK").await;
    quit(one, "+OK").await;
    server.deliver("Subject: four\r\n\r\n").await;
    two.says("STAT", "+OK 3 ").await;
    two.says("RETR 2", "-ERR This message was removed elsewhere").await;
    two.says("RETR 3", "+OK").await;
    assert_eq!(two.lines().await[0], "Subject: three");
    // To remove what is gone already is no failure.
    two.says("DELE 2", "+OK").await;
    quit(two, "+OK Logging out, the marked messages are removed").await;
    assert_eq!(files(&server).len(), 3);
}

#[tokio::test]
async fn imap_sees_what_pop3_did() {
    let server = Server::new();
    server.deliver(LETTER).await;
    server.deliver(LETTER).await;
    let mut imap = server.inbox().await;
    let mut pop3 = server.pop3_ann().await;
    pop3.says("RETR 1", "+OK").await;
    pop3.lines().await;
    pop3.says("DELE 2", "+OK").await;
    quit(pop3, "+OK").await;
    let news = imap.ok("NOOP").await;
    assert!(news.contains(&"* 2 EXPUNGE".to_owned()), "{news:?}");
    assert!(news.iter().any(|line| line.contains("FETCH") && line.contains(r"\Seen")), "{news:?}");
}

#[tokio::test]
async fn one_session_at_a_time_where_the_config_says_so() {
    let server = Server::with_pop3(|parts| parts.lock_session = true);
    let first = server.pop3_ann().await;
    let mut second = server.pop3().await;
    second.says("USER ann@example.org", "+OK").await;
    second.says("PASS secret", "-ERR [IN-USE]").await;
    second.says("USER joe@example.org", "+OK").await;
    second.says("PASS secret", "+OK").await;
    quit(first, "+OK").await;
    // The server notices a moment later.
    for _ in 0..100 {
        let mut again = server.pop3().await;
        again.says("USER ann@example.org", "+OK").await;
        again.say("PASS secret\r\n").await;
        if again.line().await.starts_with("+OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the inbox did not become free");
}

#[tokio::test]
async fn who_comes_again_too_soon_waits() {
    let server = Server::with_pop3(|parts| parts.login_delay = Some(Duration::from_mins(1)));
    let mut client = server.pop3().await;
    client.says("CAPA", "+OK").await;
    assert!(client.lines().await.contains(&"LOGIN-DELAY 60".to_owned()));
    quit(server.pop3_ann().await, "+OK").await;
    client.says("USER ann@example.org", "+OK").await;
    client.says("PASS secret", "-ERR [LOGIN-DELAY]").await;
    // A wrong password is told first: nobody learns from the delay that another one was right.
    client.says("USER ann@example.org", "+OK").await;
    client.says("PASS wrong", "-ERR [AUTH]").await;
    client.says("USER joe@example.org", "+OK").await;
    client.says("PASS secret", "+OK").await;
}

#[tokio::test]
async fn wrong_names_and_closed_accounts_sound_alike_and_cost_time() {
    let server = Server::new();
    let mut replies = Vec::new();
    for login in ["ann wrong", "nobody secret", "kim secret", "lee secret"] {
        let (name, password) = login.split_once(' ').unwrap();
        let mut client = server.pop3().await;
        client.says(&format!("USER {name}@example.org"), "+OK").await;
        let began = std::time::Instant::now();
        replies.push(client.says(&format!("PASS {password}"), "-ERR [AUTH]").await);
        assert!(began.elapsed() >= Duration::from_secs(2), "{login}");
    }
    replies.dedup();
    assert_eq!(replies.len(), 1, "{replies:?}");
}

#[tokio::test]
async fn names_and_order_of_an_earlier_server_stay() {
    let server = Server::new();
    for subject in ["one", "two", "three"] {
        server.deliver(&format!("Subject: {subject}\r\n\r\n")).await;
    }
    quit(server.pop3_ann().await, "+OK").await;
    let list = server.folder.path().join("mail/example.org/ann/dovecot-uidlist");
    let text = fs::read_to_string(&list).unwrap();
    let text = text.replace("\n2 :", "\n2 Pold.2 O2 :").replace("\n3 :", "\n3 Pold.1 O1 :");
    // A name that POP3 cannot say is not said.
    let text = text.replace("\n1 :", "\n1 P\u{e4} :");
    fs::write(&list, text).unwrap();
    let mut client = server.pop3_ann().await;
    client.says("UIDL", "+OK").await;
    let names = client.lines().await;
    assert_eq!(names[..2], ["1 old.1", "2 old.2"]);
    assert!(names[2].starts_with("3 00000001"), "{names:?}");
    client.says("RETR 1", "+OK").await;
    assert_eq!(client.lines().await[0], "Subject: three");
}

#[tokio::test]
async fn names_of_files_are_unique_ids_where_they_can_be_said() {
    let server = Server::with_pop3(|parts| parts.uidl = "%g".parse().unwrap());
    server.deliver("Subject: one\r\n\r\n").await;
    let inbox = server.folder.path().join("mail/example.org/ann/new");
    fs::write(inbox.join("1795479508.M1P1.host"), "Subject: two\n\n").unwrap();
    fs::write(inbox.join("1795479509.M1P1.a blank"), "Subject: three\n\n").unwrap();
    let mut client = server.pop3_ann().await;
    client.says("UIDL", "+OK").await;
    let names: Vec<String> =
        client.lines().await.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"1795479508.M1P1.host".to_owned()), "{names:?}");
    assert!(names.iter().any(|name| name.len() == 16 && name.starts_with("0000000")), "{names:?}");
    assert!(names.iter().all(|name| !name.contains(' ')), "{names:?}");
}

#[tokio::test]
async fn a_message_of_many_pieces_arrives_whole() {
    let server = Server::new();
    let body: String = (0..40_000).map(|number| format!(".{number}\r\n")).collect();
    server.deliver(&format!("Subject: long\r\n\r\n{body}")).await;
    let mut client = server.pop3_ann().await;
    client.says("RETR 1", "+OK").await;
    let lines = client.lines().await;
    assert_eq!(lines.len(), 40_002);
    assert!(lines[2..].iter().enumerate().all(|(number, line)| *line == format!("..{number}")));
    client.says("TOP 1 3", "+OK").await;
    assert_eq!(client.lines().await.len(), 5);
    client.says("NOOP", "+OK").await;
}

#[tokio::test(start_paused = true)]
async fn strangers_and_silent_readers_are_not_waited_for_long() {
    let server = Server::new();
    let began = tokio::time::Instant::now();
    let mut stranger = server.pop3().await;
    assert_eq!(stranger.rest().await, "-ERR [SYS/TEMP] Too slow\r\n");
    assert!((299..=301).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let mut reader = server.pop3_ann().await;
    let began = tokio::time::Instant::now();
    assert_eq!(reader.rest().await, "-ERR [SYS/TEMP] Too slow\r\n");
    assert!(began.elapsed() >= Duration::from_mins(10), "RFC 1939 3: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_closed_account_loses_its_session() {
    let server = Server::new();
    let mut client = server.pop3_ann().await;
    let users = server.folder.path().join("users");
    fs::write(&users, "joe@example.org:{PLAIN}secret\n").unwrap();
    assert_eq!(client.rest().await, "-ERR [SYS/TEMP] The account was closed\r\n");
}
