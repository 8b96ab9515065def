//! Searches for text, by what is known of the words of messages: the answers are those of reading every message.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use support::{Client, Server};

/// Numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const WORDS: [&str; 25] = [
    "invoice",
    "Budget",
    "in",
    "voice",
    "a",
    "THE",
    "gr\u{fc}\u{df}e",
    "\u{4f60}\u{597d}",
    "2024",
    "07",
    "don't",
    "x-y-z",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789",
    "Zanzibar",
    "zan",
    "bar",
    "<b>bold</b>",
    "\u{39f}\u{394}\u{3a5}\u{3a3}",
    "e\u{301}",
    "\u{3a3}\u{3a3}",
    "ann@example.org",
    "...",
    "--",
    "to",
    "be",
];
const BETWEEN: [&str; 6] = [" ", "  ", ", ", "-", "", "\r\n"];

fn text(chance: &mut Chance) -> String {
    (0..chance.below(30)).map(|_| format!("{}{}", chance.of(&WORDS), chance.of(&BETWEEN))).collect()
}

fn message(chance: &mut Chance) -> String {
    let subject = text(chance).replace("\r\n", " ");
    let header = format!("From: ann@example.org\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n");
    match chance.below(4) {
        0 => {
            let html = text(chance);
            format!(
                "{header}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--b\r\nContent-Type: application/pdf; name=secret.pdf\r\n\r\ninvoice\r\n--b--\r\n"
            )
        }
        1 => {
            let (inner, body) = (text(chance).replace("\r\n", " "), text(chance));
            format!(
                "{header}Content-Type: message/rfc822\r\n\r\nSubject: {inner}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
            )
        }
        _ => format!("{header}Content-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n", text(chance)),
    }
}

fn part(chance: &mut Chance, of: &str) -> String {
    let characters: Vec<char> = of.chars().collect();
    if characters.is_empty() {
        return "a".to_owned();
    }
    let start = chance.below(characters.len());
    let length = 1 + chance.below(12.min(characters.len() - start));
    let part: String = characters[start..start + length].iter().collect();
    part.replace(['\r', '\n', '"', '\\'], " ")
}

fn key(chance: &mut Chance, of: &str) -> String {
    let part = part(chance, of);
    match chance.below(9) {
        0 | 1 => format!("BODY \"{part}\""),
        2 | 3 => format!("TEXT \"{part}\""),
        4 => format!("SUBJECT \"{part}\""),
        5 => format!("HEADER Content-Type \"{part}\""),
        6 => format!("NOT TEXT \"{part}\""),
        7 => format!("OR ({}) ({})", key(chance, of), key(chance, of)),
        _ => format!("{} {}", key(chance, of), key(chance, of)),
    }
}

/// Where what is learnt is kept.
fn file(server: &Server) -> PathBuf {
    server.folder.path().join("index/example.org/ann/messages.sqlite")
}

async fn wait_for_words(server: &Server) {
    for _ in 0..500 {
        if file(server).exists() {
            // The thread that writes has no other order than these.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was learnt");
}

async fn find(client: &mut Client, keys: &str) -> Vec<String> {
    client.ok(&format!("UID SEARCH CHARSET UTF-8 {keys}")).await
}

#[tokio::test]
async fn answers_are_those_of_reading_every_message() {
    let (server, control) = (Server::new(), Server::new());
    // Nothing can be kept where a folder stands.
    std::fs::create_dir_all(file(&control)).unwrap();
    let mut chance = Chance(7);
    let messages: Vec<String> = (0..150).map(|_| message(&mut chance)).collect();
    for content in &messages {
        server.deliver(content).await;
        control.deliver(content).await;
    }
    let (mut client, mut reader) = (server.inbox().await, control.inbox().await);
    find(&mut client, "TEXT nothing-of-that-kind").await;
    wait_for_words(&server).await;
    let mut found = 0;
    for number in 0..240 {
        if number == 120 {
            for client in [&mut client, &mut reader] {
                client.ok("UID STORE 5:25 +FLAGS.SILENT (\\Deleted)").await;
                client.ok("EXPUNGE").await;
            }
            for content in &messages[..40] {
                server.deliver(content).await;
                control.deliver(content).await;
            }
        }
        let of = &messages[chance.below(messages.len())];
        let keys = key(&mut chance, of);
        let answer = find(&mut client, &keys).await;
        assert_eq!(answer, find(&mut reader, &keys).await, "{keys}");
        found += usize::from(answer != ["* SEARCH"]);
    }
    assert!(found > 120, "only {found} searches found anything");
}

#[tokio::test]
async fn a_message_whose_words_are_known_is_not_read_for_others() {
    let server = Server::new();
    for number in 0..40 {
        server.deliver(&format!("Subject: {number}\r\n\r\nalpha number{number}\r\n")).await;
    }
    let mut client = server.inbox().await;
    assert_eq!(find(&mut client, "BODY number7").await, ["* SEARCH 8"]);
    wait_for_words(&server).await;
    // What no mail server does: other words in the same file.
    let maildir = server.folder.path().join("mail/example.org/ann");
    let folders = ["new", "cur"].map(|name| std::fs::read_dir(maildir.join(name)).unwrap());
    for path in folders.into_iter().flatten().map(|entry| entry.unwrap().path()) {
        let content = std::fs::read_to_string(&path).unwrap().replace("alpha", "omega");
        std::fs::write(&path, content).unwrap();
    }
    assert_eq!(find(&mut client, "BODY omega").await, ["* SEARCH"]);
    assert_eq!(find(&mut client, "BODY om").await.len(), 1, "too short for a word, so every message is read");
    assert_ne!(find(&mut client, "BODY om").await, ["* SEARCH"]);
    // Without the file, and with one of nonsense, every message is read again.
    for nonsense in [None, Some(vec![b'x'; 100_000])] {
        std::fs::remove_file(file(&server)).unwrap();
        if let Some(nonsense) = nonsense {
            std::fs::write(file(&server), nonsense).unwrap();
        }
        assert_ne!(find(&mut client, "BODY omega").await, ["* SEARCH"]);
        wait_for_words(&server).await;
    }
}

#[tokio::test]
async fn case_is_folded_letter_by_letter_and_headers_of_parts_count_for_text_alone() {
    let server = Server::new();
    let plain = |text: &str| {
        format!(
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        )
    };
    server.deliver(&plain("\u{39f}\u{394}\u{3a5}\u{3a3}\u{3a3}\u{395}\u{3a5}\u{3a3} here")).await;
    server.deliver(&plain("\u{39f}\u{394}\u{3a5}\u{3a3}\u{3a3}\u{395}\u{3a5}\u{3a3}\u{391}")).await;
    server.deliver(&plain("cafe\u{301} stra\u{df}e")).await;
    let part = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: application/pdf; name=\"secret plan.pdf\"\r\nContent-Description: =?utf-8?q?Gru=C3=9F?=\r\n\r\nnothing\r\n--b--\r\n";
    server.deliver(part).await;
    let mut client = server.inbox().await;
    for _ in 0..2 {
        for (keys, expected) in [
            ("BODY \"\u{394}\u{3a5}\u{3a3}\"", " 1 2"),
            ("BODY \"\u{3bf}\u{3b4}\u{3c5}\u{3c3}\u{3c3}\u{3b5}\u{3c5}\u{3c2}\"", " 1 2"),
            ("BODY \"\u{395}\u{3a5}\u{3a3}\u{391}\"", " 2"),
            ("BODY \"caf\u{e9}\"", " 3"),
            ("BODY \"STRA\u{1e9e}E\"", ""),
            ("BODY \"stra\u{df}e\"", " 3"),
            ("TEXT \"SECRET plan\"", " 4"),
            ("TEXT \"gru\u{df}\"", " 4"),
            ("BODY \"secret plan\"", ""),
            ("SUBJECT secret", ""),
            ("BODY nothing", ""),
        ] {
            assert_eq!(find(&mut client, keys).await, [format!("* SEARCH{expected}")], "{keys}");
        }
    }
}

#[tokio::test]
async fn a_search_while_words_are_written_anew_misses_nothing() {
    let server = Server::new();
    for number in 0..80 {
        let needle = if number % 4 == 0 { "needle" } else { "hay" };
        server.deliver(&format!("Subject: x\r\n\r\nword{number} {needle}\r\n")).await;
    }
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    let expected = find(&mut client, "BODY needle").await;
    assert_eq!(expected[0].split(' ').count(), 2 + 20);
    wait_for_words(&server).await;
    let changing = async {
        for round in 0..12 {
            // Words that stand before those of the others, then none of them.
            for number in 0..34 {
                server.deliver(&format!("Subject: x\r\n\r\naaa{round}x{number}\r\n")).await;
            }
            other.ok("NOOP").await;
            find(&mut other, "BODY nowhere").await;
            other.ok("UID STORE 81:* +FLAGS.SILENT (\\Deleted)").await;
            other.ok("EXPUNGE").await;
        }
    };
    let searching = async {
        loop {
            let found = client.ok("UID SEARCH UID 1:80 BODY needle").await;
            assert_eq!(found.iter().find(|line| line.starts_with("* SEARCH")), expected.first());
        }
    };
    tokio::select! {
        () = changing => {}
        () = searching => {}
    }
}
