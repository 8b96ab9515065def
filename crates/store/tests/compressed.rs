//! Messages that Dovecot compressed, read, copied and counted as what they were before.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write;

use common::{Here, all, name, uid};
use kings_store::{Flags, StoreError, Usage};

const PLAIN: &[u8] = b"Subject: hi\n\nthe same line over and over\nthe same line over and over\n";

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_message_is_read_copied_and_counted_as_it_was_before() {
    let here = Here::new();
    let inbox = here.inbox();
    let crlf = PLAIN.len() + std::str::from_utf8(PLAIN).unwrap().lines().count();
    let sizes = format!("S={},W={crlf}", PLAIN.len());
    std::fs::write(here.file(format!("cur/1700000001.M1P1.h,{sizes}:2,S")), gzip(PLAIN)).unwrap();
    // Somebody compressed it without telling its size.
    std::fs::write(here.file("cur/1700000002.M1P1.h:2,SZ"), gzip(PLAIN)).unwrap();
    inbox.refresh().unwrap();
    let told: Vec<u64> = inbox.snapshot().messages.iter().map(|message| message.size).collect();
    assert_eq!(told, [crlf as u64; 2]);
    let text = String::from_utf8(PLAIN.to_vec()).unwrap().replace('\n', "\r\n");
    for (uid, content) in Here::texts(&inbox) {
        assert_eq!(String::from_utf8(content).unwrap(), text, "{uid}");
    }
    let archive = here.account().open(&name("Archive")).unwrap();
    inbox.copy_to(&all(&inbox), &archive).unwrap();
    assert_eq!(Here::texts(&archive).len(), 2);
    for copy in here.names(".Archive/cur") {
        assert!(copy.contains(&sizes), "{copy}");
    }
    let used = here.store().recalculate_quota(&common::address()).unwrap().used;
    let unnamed = gzip(PLAIN).len() as u64;
    assert_eq!(used, Usage { octets: 3 * PLAIN.len() as u64 + unnamed, messages: 4 });
}

#[test]
fn nobody_can_store_what_would_be_expanded_when_it_is_read() {
    let here = Here::new();
    let inbox = here.inbox();
    let mut content = here.store().begin().unwrap();
    content.write(&gzip(PLAIN)).unwrap();
    let message = kings_store::Appended { content, flags: Flags::default(), internal_date: None };
    assert!(matches!(inbox.append(&[message]), Err(StoreError::LooksCompressed)));
    assert!(here.names("cur").is_empty() && here.names("tmp").is_empty());
    // Delivered mail begins with our own lines.
    let mut content = here.store().begin().unwrap();
    content.write(&gzip(PLAIN)).unwrap();
    here.store().deliver(&content, &[Here::delivery("INBOX")]).into_iter().for_each(Result::unwrap);
    inbox.refresh().unwrap();
    let stored = inbox.read(uid(1)).unwrap();
    assert!(stored.as_ref().starts_with(b"Received: here\r\n\x1f\x8b"));
}
