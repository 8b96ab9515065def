//! Quotas: Dovecot and Kings take turns on one `maildirsize`, and tell and refuse alike.

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup, letter};

const QUOTA: &str = "mail_plugins = quota
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = maildir:User quota
  quota_rule = *:bytes=100000:messages=12
}
";

fn start() -> Kings {
    let tables = "[quota]\nstorage = \"100000B\"\nmessages = 12\ngrace = \"0\"\n".to_owned();
    Setup { account: Some(OWNER), tables, ..Setup::default() }.start()
}

fn quota(imap: &mut Imap) -> String {
    let lines = imap.command("GETQUOTAROOT INBOX");
    lines.iter().find(|line| line.text.starts_with("* QUOTA ")).expect("a quota").text.clone()
}

/// APPEND; the word behind the tag of its answer, with its code.
fn append(imap: &mut Imap, mailbox: &str, octets: usize) -> String {
    let mut text = String::from_utf8(letter(ANN, ANN, "appended")).unwrap();
    while text.len() < octets {
        text.push_str("All work and no play makes Jack a dull boy.\r\n");
    }
    let (_, result) = imap.answer(&format!("APPEND {mailbox} {{{}+}}\r\n{text}", text.len()));
    result
        .split(']')
        .next()
        .unwrap()
        .split(" Append")
        .next()
        .unwrap()
        .split("[APPENDUID")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn both_count_the_same_whoever_changed_it() {
    let kings = start();
    for subject in ["one", "two", "three"] {
        kings.deliver(ANN, subject);
    }
    let dovecot = Dovecot::start_with(&kings, QUOTA);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    let agree = |ours: &mut Imap, theirs: &mut Imap, step: &str| {
        let here = quota(ours);
        assert_eq!(here, quota(theirs), "{step}");
        here
    };
    agree(&mut ours, &mut theirs, "delivered by Kings");
    append(&mut theirs, "INBOX", 20_000);
    agree(&mut ours, &mut theirs, "appended by Dovecot");
    append(&mut ours, "Archive", 20_000);
    agree(&mut ours, &mut theirs, "appended by Kings");
    for client in [&mut theirs, &mut ours] {
        client.command("SELECT INBOX");
        client.command("COPY 1 Archive");
        client.command("STORE 1 +FLAGS (\\Deleted)");
        client.command("EXPUNGE");
        client.command("MOVE 1 Archive");
        client.command("CLOSE");
    }
    let told = agree(&mut ours, &mut theirs, "copied, moved and removed");
    assert!(told.contains("MESSAGE 5 12"), "{told}");
    // Both stop at the same place, and go on together.
    let more = |imap: &mut Imap| append(imap, "INBOX", 50_000);
    assert!(more(&mut ours).starts_with("OK"));
    for imap in [&mut ours, &mut theirs] {
        let refused = more(imap);
        assert!(refused.starts_with("NO [OVERQUOTA"), "{refused}");
    }
    ours.command("DELETE Archive");
    agree(&mut ours, &mut theirs, "a mailbox deleted by Kings");
    assert!(append(&mut theirs, "INBOX", 40_000).starts_with("OK"));
    agree(&mut ours, &mut theirs, "room that the other one made");
}
