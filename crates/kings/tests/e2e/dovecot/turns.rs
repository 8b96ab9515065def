//! Dovecot and Kings take turns on one Maildir while mail arrives: an mbsync that follows them downloads each message once.

use std::collections::BTreeSet;
use std::fs;

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Output, Setup, messages};
use crate::mbsync::{configure, mbsync};

const TURNS: usize = 10;

/// How many messages mbsync asked for.
fn downloads(output: &Output) -> usize {
    let text = output.text();
    text.lines().filter(|line| line.contains(">>> ") && line.contains("BODY.PEEK[]")).count()
}

#[test]
fn a_client_that_follows_both_downloads_each_message_once() {
    let kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    let dovecot = Dovecot::start(&kings);
    let inbox = kings.folder().join("local/INBOX");
    let mut expected = BTreeSet::new();
    for turn in 0..TURNS {
        let port = if turn % 2 == 0 { kings.address("imaps").port() } else { dovecot.port };
        // The same account and state, whichever server has its turn.
        configure(&kings, port);
        // Mail comes before, and more of it while the client is at work.
        let before = [format!("before {turn}.1"), format!("before {turn}.2")];
        for subject in &before {
            kings.deliver(ANN, subject);
        }
        let meanwhile = format!("meanwhile {turn}");
        let first = std::thread::scope(|scope| {
            let delivery = scope.spawn(|| kings.deliver(ANN, &meanwhile));
            let synced = mbsync(&kings);
            delivery.join().unwrap();
            synced
        });
        let second = mbsync(&kings);
        let fetched = downloads(&first) + downloads(&second);
        assert_eq!(fetched, 3, "turn {turn}: each once and no other\n{first}{second}");
        expected.extend(before);
        expected.insert(meanwhile);
        // This server also changes something: flags, an expunge, a copy into another mailbox.
        let mut imap = if turn % 2 == 0 { kings.imap(ANN) } else { dovecot.imap(&kings) };
        imap.command("SELECT INBOX");
        imap.command("STORE 1:* +FLAGS (\\Seen)");
        imap.command("STORE 1 +FLAGS (\\Deleted)");
        let gone = imap.command("FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
        let gone = gone[0].text.split_once("Subject: ").unwrap().1.lines().next().unwrap().to_owned();
        imap.command("EXPUNGE");
        assert!(expected.remove(&gone), "{gone}");
    }
    configure(&kings, kings.address("imaps").port());
    let last = mbsync(&kings);
    assert_eq!(downloads(&last), 0, "{last}");
    let subjects: BTreeSet<String> =
        messages(&inbox).iter().map(|message| message.field("Subject").unwrap()).collect();
    assert_eq!(subjects, expected);
    let unread = fs::read_dir(inbox.join("cur")).unwrap();
    let unread = unread.filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().contains('S'));
    assert_eq!(unread.count(), 0, "flags of both arrived");
}
