//! Every message that CPython tests its own e-mail package with goes in over SMTP and comes out of IMAP.

use std::fs;
use std::path::PathBuf;

use kings_mail::seam::Seam;

use crate::harness::{Kings, part};

/// Files of the corpus that SMTP forbids, and the reply. They are pictures and sounds, sent as if they were messages:
/// all have NUL bytes, some a CR alone as well (RFC 5321 §2.3.8, §4.5.2).
const REFUSED: [(&str, &str); 15] = [
    ("python.bmp", "550 5.5.2"),
    ("python.exr", "550 5.5.2"),
    ("python.gif", "550 5.5.2"),
    ("python.jpg", "550 5.5.2"),
    ("python.pgm", "550 5.5.2"),
    ("python.png", "550 5.5.2"),
    ("python.ppm", "550 5.5.2"),
    ("python.ras", "550 5.5.2"),
    ("python.sgi", "550 5.5.2"),
    ("python.tiff", "550 5.5.2"),
    ("python.webp", "550 5.5.2"),
    ("sndhdr.aifc", "550 5.5.2"),
    ("sndhdr.aiff", "550 5.5.2"),
    ("sndhdr.au", "550 5.5.2"),
    ("sndhdr.wav", "550 5.5.2"),
];

#[test]
fn every_message_comes_out_of_imap_as_it_went_in() {
    let kings = Kings::start();
    let mut sent = Vec::new();
    for file in corpus() {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let content = with_crlf(&fs::read(&file).unwrap());
        let reply = send(&kings, &content);
        if let Some((_, expected)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            assert!(reply.starts_with(expected), "{name}: expected {expected}, got {reply}");
        } else {
            assert!(reply.starts_with("250 2.0.0"), "{name}: {reply}");
            sent.push((name, with_seam(&without_return_path(&content))));
        }
    }
    assert!(sent.len() > 45, "the corpus has only {} messages", sent.len());

    let mut client = kings.imap("ann@example.org");
    let mut stored = Vec::new();
    // What names no author that DMARC could judge is filed as junk.
    for mailbox in ["INBOX", "Junk"] {
        client.command(&format!("SELECT {mailbox}"));
        stored.extend(client.contents());
    }
    assert_eq!(stored.len(), sent.len());
    for (name, content) in sent {
        let found = stored.iter().filter(|stored| stored.ends_with(&content)).count();
        assert!(found >= 1, "{name} came out changed, or not at all");
    }
}

/// The corpus has no such messages, so these are made from one of it.
#[test]
fn forbidden_variants_of_a_real_message_are_refused() {
    let kings = Kings::start();
    let original = with_crlf(&fs::read(corpus().remove(0)).unwrap());
    let text = String::from_utf8(original).unwrap();
    let two_from = format!("From: eve@example.net\r\n{text}");
    let reply = send(&kings, two_from.as_bytes());
    assert!(reply.starts_with("550 5.6.0"), "two From fields: {reply}");
    for (forbidden, what) in [("a\0b", "NUL"), ("a\rb", "CR alone"), ("a\nb", "LF alone")] {
        let content = format!("{text}{forbidden}\r\n");
        let reply = send(&kings, content.as_bytes());
        assert!(reply.starts_with("550 5.5.2"), "{what}: {reply}");
    }
    let mut client = kings.imap("ann@example.org");
    let selected = client.command("SELECT INBOX");
    assert!(selected.iter().any(|line| line.text == "* 0 EXISTS"), "nothing of it was stored");
}

/// Sends one content to ann; gives the last reply as text.
fn send(kings: &Kings, content: &[u8]) -> String {
    let reply = kings.smtp().message("carol@example.net", &["ann@example.org"], content).unwrap();
    format!("{} {}", reply.code, reply.text)
}

fn corpus() -> Vec<PathBuf> {
    let library = part("python-mail-data").join("usr/lib");
    let versions = fs::read_dir(library).unwrap().map(|entry| entry.unwrap().path());
    let folder = versions.map(|version| version.join("test/test_email/data")).find(|folder| folder.is_dir());
    let mut files: Vec<_> =
        fs::read_dir(folder.unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// With the empty line that a header lacks which text follows at once.
fn with_seam(content: &[u8]) -> Vec<u8> {
    let mut seam = Seam::default();
    let mut whole = seam.pass(content).into_owned();
    whole.extend(seam.finish());
    whole
}

/// Without the reverse-path that another server has noted at the top: the delivery notes its own (RFC 5321 §4.4).
fn without_return_path(content: &[u8]) -> Vec<u8> {
    let header = content.windows(4).position(|four| four == b"\r\n\r\n").map_or(content.len(), |at| at + 2);
    let mut dropped = false;
    let mut kept = Vec::with_capacity(content.len());
    for line in content[..header].split_inclusive(|byte| *byte == b'\n') {
        let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
        dropped = if goes_on { dropped } else { line.to_ascii_lowercase().starts_with(b"return-path:") };
        kept.extend_from_slice(if dropped { b"" } else { line });
    }
    kept.extend_from_slice(&content[header..]);
    kept
}

/// LF and CRLF become CRLF, and the last line gets an end: what SMTP carries. A CR alone stays what it is.
fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(content.len() + content.len() / 16);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        lines.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        lines.extend_from_slice(b"\r\n");
    }
    lines
}
