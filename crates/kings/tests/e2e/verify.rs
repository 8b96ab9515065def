//! `kings verify` beside the running server: faults are told one by one, and mended without a message lost.

use crate::harness::{Kings, Setup, run};

const ANN: &str = "ann@example.org";

fn uids(kings: &Kings) -> Vec<String> {
    let mut imap = kings.imap(ANN);
    imap.command("EXAMINE INBOX");
    imap.command("UID FETCH 1:* (RFC822.SIZE)").into_iter().map(|line| line.text).collect()
}

#[test]
fn faults_are_told_and_mended_beside_the_server() {
    let kings = Setup::default().start();
    for subject in ["one", "two"] {
        kings.deliver(ANN, subject);
    }
    let before = uids(&kings);
    let sound = run(&mut kings.command(&["verify"])).succeeded();
    assert!(sound.text().ends_with(": ok\n") && sound.text().contains(" 2 messages"), "{}", sound.text());

    let inbox = kings.maildir(ANN);
    std::os::unix::fs::symlink("/etc/passwd", inbox.join("cur/link")).unwrap();
    std::fs::write(inbox.join(".Sent/cur/1700000001.M1P1.h,S=11,W=13:2,"), "Subject: x\n").unwrap();
    std::fs::write(inbox.join(".Archive/dovecot-uidlist"), "rubbish\n").unwrap();
    let found = run(&mut kings.command(&["verify", ANN]));
    assert_eq!(found.status.code(), Some(1), "{}", found.text());
    for line in [
        "ann@example.org INBOX link: is no message",
        "ann@example.org Archive: has a damaged dovecot-uidlist",
        "ann@example.org Sent 1700000001.M1P1.h,S=11,W=13:2,: is said to have 13 octets and has 12",
        "3 faults, 0 mended",
    ] {
        assert!(found.text().contains(line), "{line}: {}", found.text());
    }
    let mended = run(&mut kings.command(&["verify", "--repair", "--json", ANN]));
    let told: serde_json::Value = serde_json::from_str(mended.text().lines().next().unwrap()).unwrap();
    assert_eq!((&told["faults"], &told["repaired"]), (&3.into(), &2.into()), "{told}");
    let link = told["items"].as_array().unwrap().iter().find(|item| item["file"] == "link").unwrap();
    assert_eq!((&link["mailbox"], &link["repaired"]), (&"INBOX".into(), &false.into()));
    std::fs::remove_file(inbox.join("cur/link")).unwrap();
    run(&mut kings.command(&["verify"])).succeeded();
    assert_eq!(uids(&kings), before, "no UID changed where the list was whole");
    let mut imap = kings.imap(ANN);
    imap.command("EXAMINE Sent");
    assert!(imap.command("FETCH 1 (RFC822.SIZE)")[0].text.ends_with("RFC822.SIZE 12)"));

    let unknown = run(&mut kings.command(&["verify", "nobody@example.org"]));
    assert_eq!(unknown.status.code(), Some(1));
    unknown.says("there is no account nobody@example.org");
}
