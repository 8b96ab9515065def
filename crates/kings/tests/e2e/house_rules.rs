//! What an operator wants beside the delivery of a message: copies, and rules about headers.

use crate::harness::{Setup, letter, messages, run};

const CAROL: &str = "carol@example.net";

#[test]
fn copies_and_header_rules_act_on_what_arrives() {
    let tables = "[inbound]\nheader_checks = \"rules\"\n";
    let rules = "/^Subject:.*pills/ REJECT No pills here\n/^X-Secret:/ IGNORE\n/^Subject: drop/ DISCARD\n";
    let kings = Setup {
        files: vec![("rules", rules)],
        top: "always_bcc = \"bob@example.org\"\n".into(),
        tables: tables.into(),
        ..Setup::default()
    }
    .start();
    let ann = "ann@example.org";
    let send = |subject: &str| kings.smtp().message(CAROL, &[ann], &letter(CAROL, ann, subject)).unwrap();
    send("cheap pills").is("550 5.7.1 No pills here");
    send("drop me").is("250 2.0.0");
    let secret = [b"X-Secret: x\r\n".to_vec(), letter(CAROL, ann, "kept")].concat();
    kings.smtp().message(CAROL, &[ann], &secret).unwrap().is("250 2.0.0");
    for account in [ann, "bob@example.org"] {
        let found = messages(&kings.maildir(account));
        assert_eq!(found.len(), 1, "{account}");
        assert!(
            found[0].text().contains("Subject: kept") && !found[0].text().contains("X-Secret"),
            "{}",
            found[0].text()
        );
    }
}

#[test]
fn a_rule_that_is_not_done_is_named_with_its_line() {
    let tables = "[inbound]\nheader_checks = \"rules\"\n";
    let kings =
        Setup { files: vec![("rules", "/^X:/ IGNORE\n")], tables: tables.into(), ..Setup::default() }.start();
    kings.folder().write("rules", "/^X:/ IGNORE\n/^Y:/ FILTER smtp:x\n/^Z:/ HOLD\n");
    let check = run(&mut kings.command(&["config", "check"]));
    check.failed().says("rules:2: FILTER is not done here").says("rules:3: HOLD is not done here");
}
