//! Commands that live on what was learnt from messages: the same answers with the index, without it, and from a damaged one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use support::Server;

const MESSAGES: usize = 60;
const LISTS: &str = "UID FETCH 1:* (FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY)";

fn inbox(server: &Server) -> PathBuf {
    server.folder.path().join("mail/example.org/ann/cur")
}

/// Messages of two kilobytes: many enough for the index to be asked.
async fn filled() -> Server {
    let server = Server::new();
    drop(server.inbox().await);
    for number in 0..MESSAGES {
        let text = format!(
            "From: \"J\u{f6}rg {number}\" <joe{}@example.net>\r\nTo: ann@example.org\r\nSubject: Re: letter {}\r\n\
             Date: Fri, 21 Nov 1997 09:{number:02}:00 -0600\r\nMessage-ID: <{number}@x>\r\n\r\n{}\r\n",
            number % 7,
            number % 11,
            "words ".repeat(300)
        );
        std::fs::write(inbox(&server).join(format!("{number}.here:2,S")), text).unwrap();
    }
    server
}

/// Waits until what was learnt of all messages is on disk.
async fn written(server: &Server) -> PathBuf {
    let file = server.folder.path().join("index/example.org/ann/messages.sqlite");
    for _ in 0..500 {
        let count = rusqlite_count(&file);
        if count >= MESSAGES {
            return file;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was written to {}", file.display());
}

/// Rows can be told by the octets of the file: a listing of one message here takes more than 200.
fn rusqlite_count(file: &PathBuf) -> usize {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
    let log = PathBuf::from(format!("{}-wal", file.display()));
    if log.exists() { 0 } else { usize::try_from(size(file)).unwrap() / 400 }
}

#[tokio::test]
async fn lists_are_the_same_from_messages_from_the_index_and_without_it() {
    let server = filled().await;
    let mut client = server.inbox().await;
    let from_messages = client.ok(LISTS).await;
    assert_eq!(from_messages.len(), MESSAGES);
    let file = written(&server).await;
    assert_eq!(client.ok(LISTS).await, from_messages);
    // It is the index that answers: a message that cannot be read any more is still listed.
    let name = inbox(&server).join("7.here:2,S");
    let content = std::fs::read(&name).unwrap();
    let modified = std::fs::metadata(&name).unwrap().modified().unwrap();
    std::fs::write(&name, vec![b'x'; content.len()]).unwrap();
    std::fs::File::open(&name).unwrap().set_modified(modified).unwrap();
    assert_eq!(client.ok(LISTS).await, from_messages);
    std::fs::write(&name, &content).unwrap();
    std::fs::File::open(&name).unwrap().set_modified(modified).unwrap();
    let good = std::fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped.iter_mut().skip(8192).step_by(501).for_each(|octet| *octet ^= 0x55);
    for octets in [flipped, good[..good.len() / 2].to_vec(), Vec::new(), vec![b'x'; 9_000]] {
        std::fs::write(&file, octets).unwrap();
        assert_eq!(client.ok(LISTS).await, from_messages);
        assert_eq!(client.ok(LISTS).await, from_messages);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(client.ok(LISTS).await, from_messages);
}

#[tokio::test]
async fn order_is_the_same_from_the_index_and_without_it() {
    const COMMANDS: [&str; 4] = [
        "SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
        "UID SORT RETURN (ALL COUNT) (DISPLAYFROM SIZE) UTF-8 2:50",
        "THREAD REFERENCES UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 NOT SUBJECT 9",
    ];
    let server = filled().await;
    let mut client = server.inbox().await;
    let first = client.ok(COMMANDS[0]).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].split(' ').count(), 2 + MESSAGES, "{}", first[0]);
    let file = written(&server).await;
    let mut from_index = Vec::new();
    for command in COMMANDS {
        from_index.push(untagged(client.ok(command).await));
    }
    assert_eq!(from_index[0], first);
    for (command, expected) in COMMANDS.into_iter().zip(&from_index) {
        std::fs::write(&file, vec![b'x'; 9_000]).unwrap();
        assert_eq!(untagged(client.ok(command).await), *expected, "{command}, from a damaged index");
        let _ = std::fs::remove_file(&file);
        assert_eq!(untagged(client.ok(command).await), *expected, "{command}, without an index");
    }
    // A message that comes later is learnt beside the others.
    server.deliver("Subject: letter 3\r\n\r\nnew\r\n").await;
    client.ok("NOOP").await;
    let sorted = client.ok("SORT (ARRIVAL) UTF-8 ALL").await;
    assert!(sorted[0].ends_with(&format!(" {}", MESSAGES + 1)), "{sorted:?}");
    let threads = client.ok("UID THREAD ORDEREDSUBJECT UTF-8 SUBJECT \"letter 3\"").await;
    assert!(threads[0].contains(&format!("({})", MESSAGES + 1)), "{threads:?}");
}

/// Responses without the tags of their commands.
fn untagged(responses: Vec<String>) -> Vec<String> {
    let one = |text: String| match text.split_once("(TAG ") {
        Some((_, rest)) => rest.split_once(')').unwrap().1.to_owned(),
        None => text,
    };
    responses.into_iter().map(one).collect()
}

#[tokio::test]
async fn a_message_that_is_gone_or_cannot_be_read_stops_no_other() {
    let server = filled().await;
    let mut client = server.inbox().await;
    std::fs::remove_file(inbox(&server).join("9.here:2,S")).unwrap();
    let responses = client.command(LISTS).await;
    assert_eq!(responses.iter().filter(|line| line.contains("ENVELOPE")).count(), MESSAGES - 1);
    assert!(responses.last().unwrap().contains("EXPUNGEISSUED"), "{:?}", responses.last());
    std::fs::remove_file(inbox(&server).join("11.here:2,S")).unwrap();
    assert_eq!(client.ok("UID SORT (SUBJECT) UTF-8 ALL").await.len(), 2, "and one EXPUNGE behind it");
}

/// RFC 8970 §3.
#[tokio::test]
async fn previews_come_from_the_index_and_lazy_ones_read_little() {
    let server = filled().await;
    let mut client = server.inbox().await;
    let words = "words ".repeat(40);
    let told = format!("PREVIEW \"{}\"", words[..200].trim_end());
    let all_tell = |lines: &[String], what: &str| {
        assert_eq!(lines.len(), MESSAGES);
        assert!(lines.iter().all(|line| line.contains(what)), "{what}: {lines:?}");
    };
    assert!(client.ok("FETCH 1 PREVIEW (LAZY)").await[0].contains(&told), "one message is read soon");
    all_tell(&client.ok("FETCH 1:* (PREVIEW (LAZY) FLAGS)").await, "PREVIEW NIL");
    all_tell(&client.ok("FETCH 1:* (PREVIEW)").await, &told);
    written(&server).await;
    all_tell(&client.ok("FETCH 1:* (PREVIEW (LAZY))").await, &told);
    // Where a message is read for something else anyway, it has its preview too.
    let lines = client.ok("FETCH 1:* (PREVIEW (LAZY) BODY.PEEK[HEADER.FIELDS (To)])").await;
    all_tell(&lines, &told);
    client.refused("FETCH 1 (PREVIEW (EAGER))", "BAD ").await;
}
