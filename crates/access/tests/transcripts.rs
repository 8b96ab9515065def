//! Plays every dialogue of `tests/transcripts` over a real store, whole lines and one byte at a time.
//!
//! `C: text` is a line of the client, `O: text` a command of another client that succeeds, `J: text` one of another account,
//! `! words` something from outside, `S: text` a line that the client must hear next, `#` a comment. `! quiet` says that there is
//! nothing more to hear. Numbers that differ from run to run are written as `V` (UIDVALIDITY) and `N` (of changes).
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use support::{Client, LETTER, Server};

/// Far above what any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Far above what any news take.
const QUIET: Duration = Duration::from_millis(400);

#[tokio::test]
async fn every_dialogue_over_a_store_goes_as_written_however_its_bytes_arrive() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} transcripts", files.len());
    let mut played = tokio::task::JoinSet::new();
    for path in files {
        played.spawn(async move {
            let expected = std::fs::read_to_string(&path).unwrap();
            for chunk in [usize::MAX, 1] {
                let actual = play(&expected, chunk).await;
                if std::env::var_os("UPDATE").is_some() {
                    std::fs::write(&path, &actual).unwrap(); // then read the diff
                } else {
                    assert_eq!(actual, expected, "{} in chunks of {chunk}", path.display());
                }
            }
        });
    }
    played.join_all().await;
}

async fn play(dialogue: &str, chunk: usize) -> String {
    let server = Server::new();
    let (mut client, mut other) = (server.ann().await, server.ann().await);
    let mut joe = server.connect().await;
    joe.ok("LOGIN joe@example.org secret").await;
    let mut log = String::new();
    let lines: Vec<&str> = dialogue.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let (kind, text) = line.split_at_checked(3).unwrap_or((line, ""));
        if kind != "S: " {
            writeln!(log, "{line}").unwrap();
        }
        match kind {
            "C: " => {
                for piece in format!("{text}\r\n").as_bytes().chunks(chunk) {
                    client.say(piece).await;
                }
                // A line that begins with a tag has an answer.
                let tag = text.split(' ').next().unwrap_or_default();
                let is_whole =
                    !text.ends_with("+}") && text != "DONE" && !tag.is_empty() && text.contains(' ');
                if text.ends_with(" IDLE") {
                    hear_until(&mut client, "+ ", &mut log).await;
                } else if is_whole || text == "DONE" {
                    let tag = if text == "DONE" { "i" } else { tag };
                    hear_until(&mut client, &format!("{tag} "), &mut log).await;
                }
            }
            "O: " => drop(other.ok(text).await),
            "J: " => drop(joe.ok(text).await),
            "! q" => {
                if let Ok(heard) = tokio::time::timeout(QUIET, client.response()).await {
                    writeln!(log, "S: {}", written(&heard)).unwrap();
                }
            }
            "! d" => server.deliver(LETTER).await,
            "! a" => drop(other.append(text.strip_prefix("ppend ").unwrap(), LETTER).await),
            "! j" => drop(joe.append(text.strip_prefix("oe ").unwrap(), LETTER).await),
            // Heard already, in an answer.
            "S: " => {}
            _ => assert!(line.starts_with('#'), "{line}"),
        }
        // News that are expected behind something from outside.
        if matches!(kind, "O: " | "J: " | "! d" | "! a" | "! j") {
            let expected = lines[place + 1..].iter().take_while(|next| next.starts_with("S: ")).count();
            for _ in 0..expected {
                let heard = tokio::time::timeout(PATIENCE, client.response()).await;
                let heard = heard.map_or_else(|_| "nothing".to_owned(), |heard| written(&heard));
                writeln!(log, "S: {heard}").unwrap();
            }
        }
    }
    log
}

async fn hear_until(client: &mut Client, end: &str, log: &mut String) {
    loop {
        let heard = tokio::time::timeout(PATIENCE, client.response()).await.unwrap();
        writeln!(log, "S: {}", written(&heard)).unwrap();
        if heard.starts_with(end) || heard.starts_with("* BYE") {
            return;
        }
    }
}

/// A response with what differs from run to run left out.
fn written(heard: &str) -> String {
    let mut out = heard.replace('\r', "\\r").replace('\n', "\\n");
    for (mark, name) in [
        ("UIDVALIDITY ", "V"),
        ("APPENDUID ", "V"),
        ("COPYUID ", "V"),
        ("HIGHESTMODSEQ ", "N"),
        ("MODSEQ (", "N"),
        ("MODSEQ ", "N"),
        ("MAILBOXID (", "M"),
    ] {
        let mut rest = std::mem::take(&mut out);
        while let Some(at) = rest.find(mark).map(|at| at + mark.len()) {
            out.push_str(&rest[..at]);
            let behind = rest[at..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
            if behind.len() < rest.len() - at {
                out.push_str(name);
            }
            rest = behind.to_owned();
        }
        out.push_str(&rest);
    }
    out
}
