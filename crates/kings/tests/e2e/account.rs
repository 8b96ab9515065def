//! An account that is removed while it is logged in, and passwords as `kings pw` hashes them.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Kings, letter, messages, program, run, run_with_input};

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

#[test]
fn doveadm_finds_the_hashes_of_kings_pw_good() {
    let hash = |scheme: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
        run_with_input(command.args(["pw", "--scheme", scheme]), b"secret word\n")
    };
    for scheme in
        ["ARGON2ID", "SCRAM-SHA-256", "SCRAM-SHA-1", "SHA512-CRYPT", "BLF-CRYPT", "CRAM-MD5", "PLAIN"]
    {
        let field = hash(scheme).succeeded().text();
        let judge = |password: &str| {
            run(program("doveadm").args([
                "pw",
                "-t",
                field.trim_end(),
                "-p",
                password,
                "-u",
                "ann@example.org",
            ]))
        };
        judge("secret word").succeeded().says("(verified)");
        judge("another word").failed();
    }
    hash("MD5").failed().says("known are");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    run_with_input(command.arg("pw"), b"\n").failed().says("empty");
}
