//! curl lists, fetches, searches and appends over IMAP under TLS.

use std::process::Command;

use crate::harness::{Kings, letter, program, run};

fn curl(kings: &Kings, path: &str) -> Command {
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--user", "ann@example.org:secret"]);
    command.arg("--cacert").arg(&kings.certificates.authority);
    command.arg(format!("imaps://{}/{path}", kings.at("imaps")));
    command
}

#[test]
fn curl_fetches_a_message_and_a_part_of_it() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "for curl");
    let whole = run(&mut curl(&kings, "INBOX;UID=1")).succeeded();
    assert!(whole.stdout.ends_with(&letter("carol@example.net", "ann@example.org", "for curl")), "{whole}");
    let body = run(&mut curl(&kings, "INBOX;UID=1;SECTION=TEXT")).succeeded();
    assert_eq!(body.text(), "Hello, this is for curl.\r\n");
}

#[test]
fn curl_lists_and_searches() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "the needle");
    kings.deliver("ann@example.org", "some hay");
    let list = run(&mut curl(&kings, "")).succeeded().says("INBOX").says("\\Sent").says("\\Drafts");
    assert!(list.text().contains("\\Trash"), "{list}");
    let found = run(curl(&kings, "INBOX").args(["--request", "UID SEARCH SUBJECT needle"])).succeeded();
    assert_eq!(found.text().trim_end(), "* SEARCH 1");
}

#[test]
fn curl_appends_a_message_and_reads_it_back() {
    let kings = Kings::start();
    let draft = letter("ann@example.org", "bob@example.org", "a draft");
    let file = kings.folder().write("draft", &draft);
    run(curl(&kings, "Drafts").arg("--upload-file").arg(file)).succeeded();
    let read = run(&mut curl(&kings, "Drafts;UID=1")).succeeded();
    assert_eq!(read.stdout, draft);
}

#[test]
fn curl_with_a_wrong_password_is_refused() {
    let kings = Kings::start();
    let mut command = curl(&kings, "INBOX");
    let refused = run(command.args(["--user", "ann@example.org:wrong"])).failed();
    assert_eq!(refused.status.code(), Some(67), "curl's code for a refused login: {refused}");
}
