//! An account that is removed while it is logged in.

use std::time::Duration;

use crate::harness::{Kings, letter, messages, run};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

#[test]
fn submission_ends_with_the_account_and_others_go_on() {
    let kings = Kings::start();
    let (mut ann, mut bob) = (kings.submissions(ANN), kings.submissions(BOB));
    // One transaction has begun, so that the account goes in the middle of it.
    ann.command("MAIL FROM:<ann@example.org>").unwrap().is("250");
    ann.command("RCPT TO:<bob@example.org>").unwrap().is("250");
    run(&mut kings.command(&["account", "remove", ANN])).succeeded();
    std::thread::sleep(Duration::from_millis(1_100));
    ann.command("DATA").unwrap().is("354");
    ann.send(&[letter(ANN, BOB, "too late"), b".\r\n".to_vec()].concat()).unwrap();
    ann.reply().unwrap().is("530 5.7.0");
    ann.command("MAIL FROM:<ann@example.org>").unwrap().is("530 5.7.0");
    bob.message(BOB, &[BOB], &letter(BOB, BOB, "in time")).unwrap().is("250 2.0.0");
    assert_eq!(messages(&kings.maildir(BOB)).len(), 1);
}
