//! Quotas: a full mailbox is told at RCPT, by LMTP and at APPEND, room comes back, and Dovecot counts the same.

use std::time::Duration;

use crate::harness::{Imap, Kings, Reply, Setup, Smtp, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";

/// Ann may hold 10,000 octets and ten messages, Bob what he likes.
const USERS: &str = "ann@example.org:{PLAIN}secret::::::userdb_quota_rule=*:bytes=10000:messages=10\n\
                     bob@example.org:{PLAIN}secret\n";

fn start(quota: &str, more: &str) -> Kings {
    let mut setup = Setup { files: vec![("users", USERS)], ..Setup::default() };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.tables = format!("[quota]\ngrace = \"0\"\n{quota}{more}");
    setup.start()
}

fn large(to: &str, octets: usize) -> Vec<u8> {
    let mut text = letter(CAROL, to, "large");
    while text.len() < octets {
        text.extend_from_slice(b"All work and no play makes Jack a dull boy.\r\n");
    }
    text
}

fn rcpt(client: &mut Smtp, to: &str, size: usize) -> Reply {
    client.command("RSET").unwrap().is("250");
    client.command(&format!("MAIL FROM:<{CAROL}> SIZE={size}")).unwrap().is("250");
    client.command(&format!("RCPT TO:<{to}>")).unwrap()
}

fn quota(imap: &mut Imap) -> String {
    imap.command("GETQUOTAROOT INBOX")
        .into_iter()
        .find(|line| line.text.starts_with("* QUOTA "))
        .unwrap()
        .text
}

#[test]
fn a_full_mailbox_is_told_at_rcpt_and_has_room_again_after_expunge() {
    for (switch, told) in
        [("", "452 4.2.2 Mailbox full"), ("when_full = \"reject\"\n", "552 5.2.2 Mailbox full")]
    {
        let kings = start(switch, "");
        let mut client = kings.smtp();
        for _ in 0..2 {
            client.message(CAROL, &[ANN], &large(ANN, 3_500)).unwrap().is("250");
        }
        rcpt(&mut client, ANN, 3_500).is(told);
        rcpt(&mut client, BOB, 3_500).is("250");
        rcpt(&mut client, ANN, 100).is("250");
        // Whoever says nothing of the size, or less than is true, is told at the end.
        client.command("RSET").unwrap().is("250");
        client.message(CAROL, &[ANN], &large(ANN, 3_500)).unwrap().is(told);
        // For two of them it waits for Ann alone.
        client.message(CAROL, &[ANN, BOB], &large(ANN, 3_500)).unwrap().is("250");
        assert_eq!((messages(&kings.maildir(ANN)).len(), messages(&kings.maildir(BOB)).len()), (2, 1));

        let mut imap = kings.imap(ANN);
        imap.command("SELECT INBOX");
        imap.command("STORE 1 +FLAGS (\\Deleted)");
        imap.command("EXPUNGE");
        rcpt(&mut client, ANN, 3_500).is("250");
        client.command("RSET").unwrap().is("250");
        if switch.is_empty() {
            run(&mut kings.command(&["queue", "retry"])).succeeded();
            wait_until("the copy that waited", Duration::from_secs(20), || {
                (messages(&kings.maildir(ANN)).len() == 2).then_some(())
            });
        }
    }
}

#[test]
fn lmtp_tells_of_each_recipient() {
    let kings = start("", "");
    let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
    client.command("LHLO client.example.net").unwrap().is("250");
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    for to in [ANN, BOB] {
        client.command(&format!("RCPT TO:<{to}>")).unwrap().is("250");
    }
    client.command("DATA").unwrap().is("354");
    client.send(&large(ANN, 11_000)).unwrap();
    client.send(b".\r\n").unwrap();
    client.reply().unwrap().is("452 4.2.2 Mailbox full");
    client.reply().unwrap().is("250");
    assert_eq!((messages(&kings.maildir(ANN)).len(), messages(&kings.maildir(BOB)).len()), (0, 1));
}

#[test]
fn imap_tells_the_quota_and_appends_no_further() {
    let kings = start("", "");
    let mut imap = kings.imap(ANN);
    assert_eq!(quota(&mut imap), "* QUOTA \"User quota\" (STORAGE 0 10 MESSAGE 0 10)");
    let text = String::from_utf8(large(ANN, 6_000)).unwrap();
    imap.command(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
    assert_eq!(quota(&mut imap), "* QUOTA \"User quota\" (STORAGE 6 10 MESSAGE 1 10)");
    for command in ["APPEND INBOX", "APPEND Archive (\\Seen)"] {
        let (_, result) = imap.answer(&format!("{command} {{{}+}}\r\n{text}", text.len()));
        assert!(result.starts_with("NO [OVERQUOTA]"), "{result}");
    }
    imap.command("SELECT INBOX");
    let (_, result) = imap.answer("COPY 1 Archive");
    assert!(result.starts_with("NO [OVERQUOTA]"), "{result}");
    imap.command("MOVE 1 Archive");
    assert_eq!(quota(&mut imap), "* QUOTA \"User quota\" (STORAGE 6 10 MESSAGE 1 10)");
    // Who has no limit hears of none.
    assert_eq!(quota(&mut kings.imap(BOB)), "* QUOTA \"User quota\" ()");
}

#[test]
fn the_command_tells_and_counts_anew() {
    let kings = start("storage = \"1M\"\n", "");
    kings.smtp().message(CAROL, &[ANN], &large(ANN, 4_000)).unwrap().is("250");
    let told = run(&mut kings.command(&["quota", "get"])).succeeded().text();
    assert!(told.lines().next().unwrap().contains(" of 9.7 KiB ("), "{told}");
    assert!(told.lines().nth(1).unwrap().contains("0 B of 1.0 MiB (0%)"), "{told}");
    // Somebody removes a file behind our back.
    let file = std::fs::read_dir(kings.maildir(ANN).join("new")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(file).unwrap();
    let json = |verb| {
        let told = run(&mut kings.command(&["quota", verb, ANN, "--json"])).succeeded();
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        told["items"][0]["messages"].clone()
    };
    assert_eq!(json("get"), serde_json::json!({ "used": 1, "limit": 10 }));
    assert_eq!(json("recalc"), serde_json::json!({ "used": 0, "limit": 10 }));
    assert_eq!(json("get"), serde_json::json!({ "used": 0, "limit": 10 }));
    let unknown = run(&mut kings.command(&["quota", "get", "nobody@example.org"])).failed();
    assert!(unknown.errors().contains("there is no account nobody@example.org"), "{}", unknown.errors());
}
