//! Messages whose files another program keeps to itself, over a real store.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use support::{LETTER, Server};

/// No file is closed to root: this thread, and those that it starts, do without that.
fn without_privileges() {
    let mut sets = capabilities(None).unwrap();
    let all_files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    sets.effective.remove(all_files);
    sets.permitted.remove(all_files);
    set_capabilities(None, sets).unwrap();
}

#[tokio::test]
async fn a_message_that_cannot_be_read_hides_no_others() {
    const PARTLY: &str = "a NO [UNAVAILABLE] Some messages cannot be read, try again later";
    without_privileges();
    let server = Server::new();
    for text in ["one", "two", "three"] {
        server.deliver(&LETTER.replace("How are you?", text)).await;
    }
    let mut client = server.inbox().await;
    let cur = server.folder.path().join("mail/example.org/ann/cur");
    let files = std::fs::read_dir(&cur).unwrap().map(|entry| entry.unwrap().path());
    let second = files.into_iter().find(|file| std::fs::read_to_string(file).unwrap().contains("two"));
    std::fs::set_permissions(second.unwrap(), Permissions::from_mode(0o0)).unwrap();
    for (command, expected) in [
        ("SEARCH BODY e", "* SEARCH 1 3"),
        ("SEARCH NOT BODY one", "* SEARCH 3"),
        ("SEARCH RETURN (SAVE COUNT) TEXT hello", "* ESEARCH (TAG \"a\") COUNT 2"),
        ("SORT (SUBJECT) UTF-8 ALL", "* SORT 2 1 3"),
        ("THREAD ORDEREDSUBJECT UTF-8 ALL", "* THREAD (1 3)(2)"),
    ] {
        let lines = client.command(command).await;
        assert_eq!(lines, [expected, PARTLY], "{command}");
    }
    // Nothing is saved by a search that failed, and what needs no reading is told as ever.
    assert_eq!(client.ok("SEARCH $").await, ["* SEARCH"]);
    assert_eq!(client.ok("SEARCH UNSEEN").await, ["* SEARCH 1 2 3"]);
    assert_eq!(client.ok("SORT (ARRIVAL) UTF-8 ALL").await, ["* SORT 1 2 3"]);
}
