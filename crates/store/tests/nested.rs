//! Mailboxes that lie in each other, as Dovecot's `LAYOUT=fs` has them: folders are names, and nothing leaves the account.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::time::Duration;

use common::{Here, address, all, uid};
use kings_store::{Account, Flags, How, MailboxLayout, MailboxName, QuotaLimits, StoreError, SystemFlag};

fn here() -> Here {
    Here::with(MailboxLayout::Fs)
}

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text, '/').unwrap()
}

/// The names that can be selected, then those that cannot, but for the ones that every account has.
fn names(account: &Account) -> (Vec<String>, Vec<String>) {
    let standard = ["INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"];
    let listed = account.list().unwrap();
    let of = |exists: bool| {
        let texts = listed.iter().filter(|l| l.exists == exists).map(|l| l.name.text('/'));
        texts.filter(|text| !standard.contains(&text.as_str())).collect()
    };
    (of(true), of(false))
}

fn pair(mailboxes: &[&str], levels: &[&str]) -> (Vec<String>, Vec<String>) {
    let texts = |names: &[&str]| names.iter().map(|&text| text.to_owned()).collect();
    (texts(mailboxes), texts(levels))
}

#[test]
fn a_name_is_a_folder_in_a_folder() {
    let here = here();
    let account = here.account();
    account.create(&name("Work/2024")).unwrap();
    account.create(&name("Lists/v1.2")).unwrap();
    account.create(&name("INBOX/deep")).unwrap();
    account.create(&name("Grüße")).unwrap();
    assert_eq!(here.names("Work"), ["2024"]);
    let parts = ["cur", "dovecot-uidlist", "maildirfolder", "new", "tmp"];
    for folder in ["Work/2024", "Lists/v1.2", "INBOX/deep", "Gr&APwA3w-e", "Sent"] {
        assert_eq!(here.names(folder), parts, "{folder}");
    }
    assert_eq!(
        names(&account),
        pair(&["Grüße", "INBOX/deep", "Lists/v1.2", "Work/2024"], &["Lists", "Work"])
    );
    let work = account.open(&name("Work/2024")).unwrap();
    assert_eq!(here.append(&work, "x", &Flags::default()), uid(1));
    assert!(matches!(account.open(&name("Work")), Err(StoreError::NoSuchMailbox)));
    assert_eq!(here.names("tmp"), Vec::<String>::new(), "nothing unfinished stays");
}

#[test]
fn a_folder_without_cur_is_a_name_that_becomes_a_mailbox() {
    let here = here();
    let account = here.account();
    for folder in ["Only", "A/B", "odd&name", ".hidden"] {
        std::fs::create_dir_all(here.file(folder)).unwrap();
    }
    std::fs::create_dir_all(here.file("Half/new")).unwrap();
    symlink("/etc", here.file("link")).unwrap();
    std::fs::write(here.file("file"), "x").unwrap();
    let levels = [".hidden", "A", "A/B", "Half", "Only"];
    assert_eq!(names(&account), pair(&[], &levels));
    let listed = account.list().unwrap();
    let find = |text: &str| listed.iter().find(|l| l.name == name(text)).unwrap();
    assert!(find("Only").is_level && !find("Only").has_children && find("A").has_children);
    account.create(&name("A")).unwrap();
    account.create(&name("A/B")).unwrap();
    assert!(matches!(account.create(&name("A/B")), Err(StoreError::AlreadyExists)));
    assert!(matches!(account.create(&name("file")), Err(StoreError::AlreadyExists)));
    assert!(matches!(account.create(&name("file/x")), Err(StoreError::BadName)));
    assert!(matches!(account.create(&name("link")), Err(StoreError::AlreadyExists)));
    assert!(matches!(account.create(&name("link/x")), Err(StoreError::BadName)));
    assert_eq!(names(&account), pair(&["A", "A/B"], &[".hidden", "Half", "Only"]));
    // Removed as far as they are empty.
    account.delete(&name("Only")).unwrap();
    assert!(matches!(account.delete(&name("Half")), Err(StoreError::NoSuchMailbox)));
    assert!(here.file("Half/new").exists() && !here.file("Only").exists());
    assert!(std::fs::symlink_metadata(here.file("link")).is_ok());
}

#[test]
fn deleting_leaves_what_lies_in_it() {
    let here = here();
    let account = here.account();
    for text in ["A", "A/B", "A/B/C", "D"] {
        account.create(&name(text)).unwrap();
    }
    let b = account.open(&name("A/B")).unwrap();
    here.append(&b, "x", &Flags::default());
    let validity = b.snapshot().uid_validity;
    account.delete(&name("A/B")).unwrap();
    assert!(matches!(b.refresh(), Err(StoreError::NoSuchMailbox)));
    assert_eq!(here.names("A/B"), ["C"]);
    assert_eq!(names(&account), pair(&["A", "A/B/C", "D"], &["A/B"]));
    assert!(matches!(account.delete(&name("A/B")), Err(StoreError::NoSuchMailbox)), "it has a mailbox in it");
    account.create(&name("A/B")).unwrap();
    let again = account.open(&name("A/B")).unwrap();
    assert!(again.snapshot().uid_validity > validity && all(&again).is_empty());
    account.delete(&name("D")).unwrap();
    assert!(!here.file("D").exists());
    assert_eq!(here.names("tmp"), Vec::<String>::new());
}

#[test]
fn a_leftover_of_an_earlier_deletion_is_in_nobodys_way() {
    let here = here();
    let account = here.account();
    account.create(&name("A")).unwrap();
    std::fs::create_dir_all(here.file("tmp/..DOVECOT-TRASHED/cur/deep")).unwrap();
    assert_eq!(names(&account), pair(&["A"], &[]));
    account.delete(&name("A")).unwrap();
    assert_eq!(names(&account), pair(&[], &[]));
    assert_eq!(here.names("tmp"), Vec::<String>::new());
}

#[test]
fn renaming_takes_all_below_along_and_replaces_nothing() {
    let here = here();
    let account = here.account();
    for text in ["A/B", "A/B/C", "AB", "Full"] {
        account.create(&name(text)).unwrap();
    }
    std::fs::create_dir_all(here.file("Level/below")).unwrap();
    let open = account.open(&name("A/B/C")).unwrap();
    here.append(&open, "kept", &Flags::default());
    let validity = open.snapshot().uid_validity;
    for taken in ["Full", "Level", "AB"] {
        let result = account.rename(&name("A/B"), &name(taken));
        assert!(matches!(result, Err(StoreError::AlreadyExists)), "{taken}");
    }
    assert!(matches!(account.rename(&name("A/B"), &name("A/B/X")), Err(StoreError::BadName)));
    account.rename(&name("A/B"), &name("X/Y.Z")).unwrap();
    assert_eq!(open.name(), name("X/Y.Z/C"));
    here.append(&open, "more", &Flags::default());
    let again = account.open(&name("X/Y.Z/C")).unwrap();
    assert_eq!((all(&again), again.snapshot().uid_validity), (vec![uid(1), uid(2)], validity));
    // A folder that is no mailbox moves too, with or without some in it.
    account.rename(&name("X"), &name("W")).unwrap();
    account.rename(&name("Level"), &name("Deep/Level")).unwrap();
    assert_eq!(
        names(&account),
        pair(&["AB", "Full", "W/Y.Z", "W/Y.Z/C"], &["A", "Deep", "Deep/Level", "Deep/Level/below", "W"])
    );
    assert!(matches!(account.rename(&name("Gone"), &name("Z")), Err(StoreError::NoSuchMailbox)));
    account.rename(&MailboxName::inbox(), &name("Old/Inbox")).unwrap();
    assert!(account.open(&name("Old/Inbox")).is_ok());
}

#[test]
fn hostile_names_touch_nothing() {
    let here = here();
    let account = here.account();
    let outside = here.maildir().parent().unwrap().join("joe");
    std::fs::create_dir_all(outside.join("cur")).unwrap();
    let files = |folder: &str| here.names(folder);
    let before = (names(&account), files("cur"), files("new"), files("tmp"), files(""));
    let long = "x".repeat(10 * 1024);
    let deep = vec!["a"; 1000].join("/");
    let reserved = [
        "cur",
        "new",
        "tmp",
        "Sent/cur",
        "Sent/tmp/x",
        "cur/x",
        "subscriptions",
        "dovecot-uidlist",
        "Sent/dovecot-uidlist.lock",
        "dovecot-uidvalidity.00000001",
        "dovecot.index.log",
        "kings-state",
        "kings-expunged",
        "kings-metadata-account",
        "maildirsize",
        "Sent/maildirfolder",
    ];
    let hostile =
        [".", "..", "../joe", "../joe/x", "/etc", "a/../../joe", "a/./b", "a//b", "a/", "", "a\0b", "a\r\nb"];
    for text in hostile.into_iter().chain([&*long, &*deep]) {
        assert!(matches!(MailboxName::parse(text, '/'), Err(StoreError::BadName)), "{text:?}");
    }
    for text in reserved.into_iter().chain(["%", "a*", "~x"]) {
        let result = account.create(&name(text));
        assert!(matches!(result, Err(StoreError::BadName)), "{text:?}: {result:?}");
        assert!(account.rename(&name("Sent"), &name(text)).is_err(), "{text:?}");
        assert!(matches!(account.open(&name(text)), Err(StoreError::NoSuchMailbox)), "{text:?}");
        assert!(account.delete(&name(text)).is_err(), "{text:?}");
        assert!(account.rename(&name(text), &name("Stolen")).is_err(), "{text:?}");
    }
    assert_eq!(
        (names(&account), files("cur"), files("new"), files("tmp"), files("")),
        before,
        "not even a UIDVALIDITY is used"
    );
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    // What only looks odd is a mailbox like any other.
    for text in [".x", "..x", "...", "Sent/.y", "curfew", "Lists/subscriptions", "a&b"] {
        account.create(&name(text)).unwrap();
        assert!(account.open(&name(text)).unwrap().snapshot().messages.is_empty());
        account.delete(&name(text)).unwrap();
    }
    let siblings = std::fs::read_dir(here.maildir().parent().unwrap()).unwrap().count();
    assert_eq!(siblings, 2, "the account's folder and the one that was there");
}

#[test]
fn subscriptions_keep_the_form_they_have() {
    for (before, after) in [
        (None, "V\t2\n\nINBOX\nDrafts\nSent\nJunk\nTrash\nArchive\nLists\tv1.2\n"),
        (Some("Old/One\n"), "Old/One\nLists/v1.2\n"),
        (Some("V\t2\n\nOld\tOne\n"), "V\t2\n\nOld\tOne\nLists\tv1.2\n"),
    ] {
        let here = here();
        let account = here.account();
        if let Some(text) = before {
            std::fs::write(here.file("subscriptions"), text).unwrap();
        }
        account.subscribe(&name("Lists/v1.2")).unwrap();
        assert_eq!(std::fs::read_to_string(here.file("subscriptions")).unwrap(), after);
        let listed = account.list().unwrap();
        let find = |text: &str| listed.iter().find(|l| l.name == name(text));
        assert!(find("Lists/v1.2").unwrap().subscribed);
        assert_eq!(find("Old/One").is_some(), before.is_some());
        account.unsubscribe(&name("Lists/v1.2")).unwrap();
        assert!(account.list().unwrap().iter().all(|l| l.name != name("Lists/v1.2")));
    }
}

#[test]
fn all_mailboxes_count_and_are_verified() {
    let here = here();
    here.store().limit_by(|_| QuotaLimits { octets: Some(1 << 20), ..QuotaLimits::default() });
    let account = here.account();
    account.create(&name("A/B")).unwrap();
    here.append(&account.open(&name("A/B")).unwrap(), "four", &Flags::default());
    here.deliver("more");
    let used = account.quota().unwrap().used;
    assert_eq!(used.messages, 2);
    assert_eq!(here.store().recalculate_quota(&address()).unwrap().used, used);
    let mut faults = Vec::new();
    let done = here.store().verify(&address(), How::default(), &mut |found| faults.push(found)).unwrap();
    assert_eq!((done.mailboxes, done.messages, faults.len()), (7, 2, 0));
    std::fs::remove_dir(here.file("A/B/tmp")).unwrap();
    let repair = How { repair: true, quick: false };
    here.store().verify(&address(), repair, &mut |found| faults.push(found)).unwrap();
    assert!(faults.len() == 1 && faults[0].repaired && faults[0].mailbox == Some(name("A/B")), "{faults:?}");
    assert!(here.file("A/B/tmp").exists());
    account.delete(&name("A/B")).unwrap();
    assert_eq!(account.quota().unwrap().used.messages, 1);
}

#[test]
fn what_is_expunged_comes_back_to_its_place() {
    let here = here();
    here.store().keep_expunged_for(|_| Some(Duration::from_hours(1)));
    let account = here.account();
    let mut deleted = Flags::default();
    deleted.insert(SystemFlag::Deleted);
    for text in ["A", "A/B"] {
        account.create(&name(text)).unwrap();
        let mailbox = account.open(&name(text)).unwrap();
        here.append(&mailbox, text, &deleted);
        assert_eq!(mailbox.expunge(None).unwrap(), [uid(1)]);
    }
    here.append(&account.open(&name("A/B")).unwrap(), "with its mailbox", &Flags::default());
    account.delete(&name("A/B")).unwrap();
    assert_eq!(here.names("kings-expunged"), ["tmp"], "other programs look no deeper");
    assert_eq!(names(&account), pair(&["A"], &[]));
    let kept = account.expunged().unwrap();
    let places: Vec<String> = kept.iter().map(|kept| kept.mailbox.text('/')).collect();
    assert_eq!(places.iter().filter(|place| *place == "A/B").count(), 2, "{places:?}");
    for kept in &kept {
        account.undelete(kept).unwrap();
    }
    assert_eq!(here.names("A/B/cur").len(), 2);
    assert_eq!(all(&account.open(&name("A")).unwrap()).len(), 1);
    here.store().keep_expunged_for(|_| None);
    here.store().purge_expunged(&address()).unwrap();
    assert!(!here.file("kings-expunged").exists());
}

#[test]
fn new_folders_at_every_depth_are_news() {
    let here = here();
    let account = here.account();
    let mut notices = account.notices();
    let inbox = BTreeSet::from([MailboxName::inbox()]);
    assert!(notices.watch(&inbox));
    // As a session does it: what it hears of has it look at the names anew, and watch what is new.
    let mut seen = || {
        let mut names = false;
        let mut quiet = 0;
        while quiet < 20 {
            std::thread::sleep(Duration::from_millis(10));
            let is_news = notices.take().names;
            quiet = if is_news { 0 } else { quiet + 1 };
            names |= is_news;
            assert!(notices.watch(&inbox));
        }
        names
    };
    seen();
    for folder in ["A", "A/B", "A/B/C", "A/B/C/cur"] {
        std::fs::create_dir(here.file(folder)).unwrap();
        assert!(seen(), "{folder}");
    }
    std::fs::create_dir(here.file("A/B/C/new")).unwrap();
    std::fs::write(here.file("A/dovecot.index.log"), "").unwrap();
    assert!(!seen(), "nobody's name");
    std::fs::rename(here.file("A/B"), here.file("B")).unwrap();
    assert!(seen());
    std::fs::create_dir(here.file("B/C/D")).unwrap();
    assert!(seen(), "what moved is watched under its new name");
}
