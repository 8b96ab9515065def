//! `Store::verify`: every fault is found, none stops the others, and what can be mended is.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use common::{Here, address, all, name};
use kings_store::{Fault, Finding, How, QuotaLimits, Usage};

const CHECK: How = How { repair: false, quick: false };
const REPAIR: How = How { repair: true, quick: false };

fn verify(here: &Here, how: How) -> Vec<Finding> {
    let mut found = Vec::new();
    here.store().verify(&address(), how, &mut |finding| found.push(finding)).unwrap();
    found
}

fn faults(here: &Here, how: How) -> Vec<String> {
    let said = |finding: &Finding| {
        let place = finding.mailbox.as_ref().map(|name| name.text('.')).unwrap_or_default();
        format!("{place} {} {}", finding.file.as_deref().unwrap_or_default(), finding.fault)
    };
    let mut said: Vec<String> = verify(here, how).iter().map(said).collect();
    said.sort();
    said
}

/// A store that was used a little.
fn used() -> Here {
    let here = Here::new();
    here.store().limit_by(|_| QuotaLimits { octets: Some(1 << 30), ..QuotaLimits::default() });
    for text in ["Subject: a\r\n\r\none\r\n", "Subject: b\r\n\r\ntwo\r\n"] {
        here.deliver(text);
    }
    let inbox = here.inbox();
    inbox.select().unwrap();
    inbox.store_flags(&all(&inbox), &kings_store::FlagChange::Add(common::keyword("work"))).unwrap();
    let archive = here.account().open(&name("Archive")).unwrap();
    inbox.copy_to(&all(&inbox), &archive).unwrap();
    here.store().recalculate_quota(&address()).unwrap();
    here
}

#[test]
fn what_is_as_it_should_be_has_no_faults() {
    let here = used();
    assert_eq!(faults(&here, CHECK), Vec::<String>::new());
    assert_eq!(faults(&here, REPAIR), Vec::<String>::new());
    let mut told = 0;
    let done = here.store().verify(&address(), CHECK, &mut |_| told += 1).unwrap();
    assert_eq!((done.mailboxes, done.messages, told), (6, 4, 0));
    // Nobody's account is made by looking at it.
    let nobody = kings_mail::address::Address::parse("nobody@example.org").unwrap();
    here.store().verify(&nobody, REPAIR, &mut |_| told += 1).unwrap();
    assert!(!here.maildir().with_file_name("nobody").exists());
    assert_eq!(told, 0);
}

#[test]
fn all_faults_of_all_mailboxes_are_told_at_once() {
    let here = used();
    let cur = here.names("cur");
    symlink("/etc/passwd", here.file("cur/link")).unwrap();
    std::fs::create_dir(here.file("new/folder")).unwrap();
    // Two files of one name, and letters that nobody named.
    let base = cur[0].split(':').next().unwrap();
    std::fs::write(here.file(format!("new/{base}")), "Subject: other\r\n\r\n").unwrap();
    std::fs::rename(here.file(format!("cur/{}", cur[1])), here.file(format!("cur/{}z", cur[1]))).unwrap();
    // The right octets on disk, and a wrong size of the CRLF form.
    std::fs::write(here.file(".Sent/cur/1700000001.M1P1.h,S=11,W=12:2,"), "Subject: x\n").unwrap();
    std::fs::write(here.file(".Sent/cur/1700000002.M1P1.h,S=11,W=13:2,"), "Subject: x\n").unwrap();
    std::fs::write(here.file(".Archive/dovecot-uidlist"), "rubbish\n").unwrap();
    std::fs::write(here.file(".Archive/kings-state"), [0; 100]).unwrap();
    std::fs::remove_dir(here.file(".Junk/tmp")).unwrap();
    let found = faults(&here, CHECK);
    let ends = [
        " maildirsize tells of 4 messages",
        "Archive  has a damaged dovecot-uidlist",
        "Archive  has a damaged kings-state",
        "z has the flag z, which dovecot-keywords does not name",
        "has the name of another message",
        "INBOX folder is no message",
        "INBOX link is no message",
        "Junk  has no folder tmp",
        "is said to have 13 octets and has 12",
    ];
    for end in ends {
        assert_eq!(found.iter().filter(|line| line.contains(end)).count(), 1, "{end}: {found:#?}");
    }
    assert_eq!(found.len(), ends.len(), "{found:#?}");
    assert_eq!(faults(&here, CHECK), found, "looking changes nothing");
    let quick = faults(&here, How { repair: false, quick: true });
    assert_eq!(quick.len(), found.len() - 1, "sizes in names are believed: {quick:#?}");
}

#[test]
fn what_can_be_mended_is_and_what_is_no_mail_is_left_to_a_person() {
    let here = used();
    let before: BTreeMap<_, _> = Here::texts(&here.inbox()).into_iter().collect();
    let cur = here.names("cur");
    let base = cur[0].split(':').next().unwrap().to_owned();
    std::fs::write(here.file(format!("new/{base}")), "Subject: other\r\n\r\n").unwrap();
    std::fs::write(here.file(".Sent/cur/1700000002.M1P1.h,S=11,W=13:2,"), "Subject: x\n").unwrap();
    std::fs::write(here.file(".Archive/dovecot-uidlist"), "rubbish\n").unwrap();
    std::fs::remove_dir(here.file(".Junk/tmp")).unwrap();
    symlink("/etc/passwd", here.file("cur/link")).unwrap();
    std::fs::write(here.file("maildirsize"), "1073741824S\n5 1\n").unwrap();
    // A store of its own, as the command has one beside the server.
    let command = here.again(0);
    command.store().limit_by(|_| QuotaLimits { octets: Some(1 << 30), ..QuotaLimits::default() });
    let found = verify(&command, REPAIR);
    let left: Vec<&Finding> = found.iter().filter(|finding| !finding.repaired).collect();
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(matches!(left[..], [Finding { fault: Fault::NoMessage, .. }]), "{left:#?}");
    drop(found);
    drop(command);
    let again = faults(&here.again(0), CHECK);
    assert_eq!(again.len(), 1, "{again:#?}");
    // No message changed its UID where the list was whole, and all of them are there.
    let inbox = here.inbox();
    inbox.refresh().unwrap();
    let after: BTreeMap<_, _> = Here::texts(&inbox).into_iter().collect();
    assert!(before.iter().all(|(uid, text)| after.get(uid) == Some(text)));
    assert_eq!(after.len(), before.len() + 1);
    let sent = here.again(0).account().open(&name("Sent")).unwrap();
    assert_eq!(sent.snapshot().messages[0].size, 12, "the right size is noted beside the UID");
    let list = std::fs::read_to_string(here.file(".Sent/dovecot-uidlist")).unwrap();
    assert!(list.contains(" S11 W12 :1700000002.M1P1.h,S=11,W=13"), "{list}");
    std::fs::remove_file(here.file("cur/link")).unwrap();
    let used = here.store().recalculate_quota(&address()).unwrap().used;
    assert!(matches!(used, Usage { messages: 6, .. }), "{used:?}");
}

#[test]
fn a_damaged_index_is_found_and_made_anew() {
    let here = used();
    let file = here.maildir().join("../../../index/example.org/ann/index.sqlite");
    drop(here.again(0));
    let store = here.again(0);
    drop(store.inbox());
    drop(store);
    let waited = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        file.exists()
    });
    assert!(waited, "the index is written");
    let mut octets = std::fs::read(&file).unwrap();
    let end = octets.len().min(8_192);
    octets[100..end].fill(0xAA);
    std::fs::write(&file, octets).unwrap();
    let found = verify(&here.again(0), CHECK);
    assert!(
        matches!(&found[..], [Finding { fault: Fault::IndexDamaged(_), repaired: false, .. }]),
        "{found:#?}"
    );
    let found = verify(&here.again(0), REPAIR);
    assert!(
        matches!(&found[..], [Finding { fault: Fault::IndexDamaged(_), repaired: true, .. }]),
        "{found:#?}"
    );
    assert_eq!(faults(&here.again(0), CHECK), Vec::<String>::new());
    assert_eq!(all(&here.again(0).inbox()).len(), 2);
}
