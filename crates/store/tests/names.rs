//! Mailboxes as a tree of names: made, renamed, deleted, subscribed, and nothing outside the account.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Here, all, name, uid};
use kings_store::{MailboxName, StoreError};

fn texts(here: &Here) -> Vec<String> {
    here.account().list().unwrap().iter().filter(|l| l.exists).map(|l| l.name.text('.')).collect()
}

#[test]
fn hostile_names_touch_nothing() {
    let here = Here::new();
    let account = here.account();
    let long = "x".repeat(10 * 1024);
    let deep = vec!["a"; 1000].join(".");
    let hostile = [
        "../x",
        "/etc",
        "a/../../b",
        ".",
        "..",
        "a\0b",
        "a\u{7f}b",
        "a\r\nb",
        "%",
        "*",
        "a*",
        "~x",
        "",
        "a.",
        &long,
        &deep,
    ];
    let before = texts(&here);
    for text in hostile {
        let result = MailboxName::parse(text, '.').and_then(|name| account.create(&name));
        assert!(matches!(result, Err(StoreError::BadName)), "{text:?}: {result:?}");
    }
    assert_eq!(texts(&here), before);
    // These are mailboxes like any other, never the folders of the inbox.
    for text in ["cur", "new", "tmp", "dovecot-uidlist", "subscriptions", "INBOX.cur", "\u{406}NBOX"] {
        account.create(&name(text)).unwrap();
        let folder = name(text);
        assert!(account.open(&folder).unwrap().snapshot().messages.is_empty());
        account.delete(&folder).unwrap();
    }
    assert_eq!(texts(&here), before);
    let outside: Vec<_> = std::fs::read_dir(here.maildir().parent().unwrap()).unwrap().collect();
    assert_eq!(outside.len(), 1, "the account's folder alone");
}

#[test]
fn inbox_in_any_case_is_there_and_stays() {
    let here = Here::new();
    let account = here.account();
    for text in ["INBOX", "inbox", "iNbOx"] {
        let inbox = MailboxName::parse(text, '.').unwrap();
        assert!(matches!(account.create(&inbox), Err(StoreError::AlreadyExists)));
        assert!(matches!(account.delete(&inbox), Err(StoreError::CannotDeleteInbox)));
        assert!(account.open(&inbox).is_ok());
    }
    assert!(matches!(account.rename(&name("Sent"), &name("inbox")), Err(StoreError::AlreadyExists)));
}

#[test]
fn names_without_a_folder_stand_above_those_with_one() {
    let here = Here::new();
    let account = here.account();
    account.create(&name("A.B.C")).unwrap();
    account.subscribe(&name("Gone")).unwrap();
    let listed = account.list().unwrap();
    let find = |text: &str| listed.iter().find(|l| l.name == name(text)).unwrap();
    assert!(!find("A").exists && find("A").has_children);
    assert!(!find("A.B").exists && find("A.B").has_children);
    assert!(find("A.B.C").exists && !find("A.B.C").has_children && !find("A.B.C").subscribed);
    assert!(find("Gone").subscribed && !find("Gone").exists);
    assert!(matches!(account.open(&name("A")), Err(StoreError::NoSuchMailbox)));
    assert!(matches!(account.delete(&name("A")), Err(StoreError::NoSuchMailbox)));
    account.unsubscribe(&name("Gone")).unwrap();
    assert!(account.list().unwrap().iter().all(|l| l.name != name("Gone")));
}

#[test]
fn a_mailbox_made_again_has_a_higher_uidvalidity() {
    let here = Here::new();
    let account = here.account();
    let mut last = 0;
    for _ in 0..3 {
        account.create(&name("Lists")).unwrap();
        let lists = account.open(&name("Lists")).unwrap();
        here.append(&lists, "x", &kings_store::Flags::default());
        let validity = lists.snapshot().uid_validity.0.get();
        assert!(validity > last);
        last = validity;
        account.delete(&name("Lists")).unwrap();
        assert!(matches!(lists.refresh(), Err(StoreError::NoSuchMailbox)));
        assert!(matches!(lists.read(uid(1)), Err(StoreError::NoSuchMailbox)));
        assert!(matches!(account.open(&name("Lists")), Err(StoreError::NoSuchMailbox)));
    }
}

#[test]
fn deleting_a_parent_leaves_its_children() {
    let here = Here::new();
    let account = here.account();
    account.create(&name("A")).unwrap();
    account.create(&name("A.B")).unwrap();
    account.delete(&name("A")).unwrap();
    assert!(account.open(&name("A.B")).is_ok());
    assert!(!here.file("..DOVECOT-TRASHED").exists());
}

#[test]
fn a_leftover_of_an_earlier_deletion_is_in_nobodys_way() {
    let here = Here::new();
    let account = here.account();
    account.create(&name("A")).unwrap();
    std::fs::create_dir_all(here.file("..DOVECOT-TRASHED/cur/deep")).unwrap();
    assert_eq!(texts(&here).len(), 7, "it is not listed");
    account.delete(&name("A")).unwrap();
    assert_eq!(texts(&here).len(), 6);
}

#[test]
fn renaming_takes_children_and_open_sessions_along() {
    let here = Here::new();
    let account = here.account();
    for text in ["A", "A.B", "A.B.C", "AB"] {
        account.create(&name(text)).unwrap();
    }
    let open = account.open(&name("A.B")).unwrap();
    here.append(&open, "kept", &kings_store::Flags::default());
    let validity = open.snapshot().uid_validity;
    account.rename(&name("A"), &name("X.Y")).unwrap();
    assert_eq!(open.name(), name("X.Y.B"));
    here.append(&open, "more", &kings_store::Flags::default());
    let again = account.open(&name("X.Y.B")).unwrap();
    assert_eq!((all(&again), again.snapshot().uid_validity), (vec![uid(1), uid(2)], validity));
    let names = texts(&here);
    assert!(
        names.contains(&"AB".to_owned()) && !names.iter().any(|text| text == "A" || text.starts_with("A."))
    );
    account.create(&name("A.B")).unwrap();
    assert!(account.open(&name("A.B")).unwrap().snapshot().uid_validity > validity);
}

#[test]
fn a_rename_that_cannot_be_done_changes_nothing() {
    let here = Here::new();
    let account = here.account();
    for text in ["A", "A.B", "X.B"] {
        account.create(&name(text)).unwrap();
    }
    let before = texts(&here);
    let long = "y".repeat(253);
    let cases = [
        ("A", "Sent", "AlreadyExists"),
        ("A", "X", "AlreadyExists"),
        ("A", "A.B.C", "BadName"),
        ("A", long.as_str(), "BadName"),
        ("A", "a*", "BadName"),
        ("Nothing", "N", "NoSuchMailbox"),
        ("A", "A", "AlreadyExists"),
    ];
    for (from, to, expected) in cases {
        let result = account.rename(&name(from), &name(to));
        assert_eq!(format!("{:?}", result.unwrap_err()), expected, "{from} -> {to}");
        assert_eq!(texts(&here), before);
    }
}

#[test]
fn a_level_of_names_cannot_take_the_name_of_a_mailbox() {
    let here = Here::new();
    let account = here.account();
    account.create(&name("Team.Ann")).unwrap();
    account.create(&name("Work")).unwrap();
    let names = |account: &kings_store::Account| -> Vec<_> {
        account.list().unwrap().into_iter().filter(|listed| listed.exists).map(|listed| listed.name).collect()
    };
    let before = names(&account);
    let refused = account.rename(&name("Team"), &name("Work"));
    assert!(matches!(refused, Err(kings_store::StoreError::AlreadyExists)), "{refused:?}");
    assert_eq!(names(&account), before);
    // A level without a mailbox is free to be taken, and the levels below follow.
    account.rename(&name("Team"), &name("Crew")).unwrap();
    assert!(names(&account).contains(&name("Crew.Ann")) && !names(&account).contains(&name("Team.Ann")));
}

#[test]
fn renaming_inbox_moves_its_messages() {
    let here = Here::new();
    here.deliver("one");
    here.deliver("two");
    here.account().rename(&MailboxName::inbox(), &name("Old")).unwrap();
    assert!(all(&here.inbox()).is_empty());
    assert_eq!(all(&here.account().open(&name("Old")).unwrap()).len(), 2);
}

#[test]
fn folders_with_names_of_other_encodings_are_left_alone() {
    let here = Here::new();
    here.account();
    for folder in [".&AEEAQg-", ".inbox", ".INBOX", ".a&b", ".bad.", "..two", ".Gr\u{fc}n"] {
        std::fs::create_dir(here.file(folder)).unwrap();
    }
    assert_eq!(texts(&here).len(), 6);
}

#[test]
fn a_mailbox_removed_and_remade_by_another_program_is_another_mailbox() {
    let here = Here::new();
    let account = here.account();
    account.create(&name("A")).unwrap();
    let open = account.open(&name("A")).unwrap();
    here.append(&open, "x", &kings_store::Flags::default());
    std::fs::remove_dir_all(here.file(".A")).unwrap();
    assert!(matches!(open.refresh(), Err(StoreError::NoSuchMailbox)));
    account.create(&name("A")).unwrap();
    assert!(account.open(&name("A")).unwrap().snapshot().messages.is_empty());
}

#[test]
fn leftovers_in_tmp_are_kept_while_they_are_young() {
    let here = Here::new();
    drop(here.account());
    std::fs::write(here.file("tmp/young"), "x").unwrap();
    drop(here.account());
    assert!(here.file("tmp/young").exists());
}

/// RFC 6154 §3.
#[test]
fn a_mailbox_is_made_for_a_use_and_keeps_it() {
    use kings_store::SpecialUse;
    let here = Here::new();
    let account = here.account();
    let uses = |here: &Here, text: &str| {
        let listed = here.account().list().unwrap().into_iter().find(|listed| listed.name == name(text));
        listed.unwrap().special_uses
    };
    assert_eq!(uses(&here, "Sent"), [SpecialUse::Sent]);
    account.create_for(&name("Gesendet"), &[SpecialUse::Sent, SpecialUse::Archive]).unwrap();
    let state = std::fs::read_to_string(here.file(".Gesendet/kings-state")).unwrap();
    assert_eq!(state, "kings-state 1\nspecial-use sent\nspecial-use archive\n");
    assert_eq!(uses(&here, "Sent"), [], "its name tells while nobody else has the use");
    assert_eq!(uses(&here, "Drafts"), [SpecialUse::Drafts]);
    for (text, wanted) in [("Again", SpecialUse::Sent), ("More", SpecialUse::Archive)] {
        let refused = account.create_for(&name(text), &[wanted]);
        assert!(matches!(refused, Err(StoreError::UseTaken)), "{refused:?}");
        assert!(account.open(&name(text)).is_err());
    }
    let refused = account.create_for(&name("Gesendet"), &[SpecialUse::Junk]);
    assert!(matches!(refused, Err(StoreError::AlreadyExists)), "{refused:?}");
    // The numbers of its changes stand beside it; a rename takes both along, and so does a restart.
    let open = account.open(&name("Gesendet")).unwrap();
    here.append(&open, "x", &kings_store::Flags::default());
    account.rename(&name("Gesendet"), &name("Post.Aus")).unwrap();
    let again = here.again(0);
    assert_eq!(uses(&again, "Post.Aus"), [SpecialUse::Sent, SpecialUse::Archive]);
    account.delete(&name("Post.Aus")).unwrap();
    assert_eq!(uses(&here, "Sent"), [SpecialUse::Sent]);
    account.create_for(&name("Again"), &[SpecialUse::Sent]).unwrap();
    assert_eq!(uses(&here, "Again"), [SpecialUse::Sent]);
}

#[test]
fn distrusted_mail_goes_where_junk_is_for() {
    use kings_store::{Delivery, Destination, SpecialUse};
    let here = Here::new();
    let account = here.account();
    let deliver = || {
        let junk = Delivery { mailbox: Destination::Junk, ..Here::delivery("INBOX") };
        here.store().deliver(&here.incoming("x"), &[junk]).pop().unwrap().unwrap();
    };
    let count = |text: &str| account.open(&name(text)).unwrap().refresh().unwrap().messages.len();
    deliver();
    assert_eq!(count("Junk"), 1);
    account.create_for(&name("Abfall"), &[SpecialUse::Junk]).unwrap();
    deliver();
    assert_eq!((count("Junk"), count("Abfall")), (1, 1));
    // A rename takes the use along; without such a mailbox the name tells, and one of that name is made.
    account.rename(&name("Abfall"), &name("Post.Abfall")).unwrap();
    deliver();
    assert_eq!(count("Post.Abfall"), 2);
    account.delete(&name("Post.Abfall")).unwrap();
    account.delete(&name("Junk")).unwrap();
    deliver();
    assert_eq!(count("Junk"), 1);
}
