//! The store on real folders: delivery, UIDs, flags, copies, and what other programs do meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use common::{Here, all, keyword, name, uid};
use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_store::{Delivery, FlagChange, Flags, StoreError, SystemFlag, Uid};
use tokio::time::timeout;

#[test]
fn a_new_account_has_its_special_mailboxes_subscribed() {
    let here = Here::new();
    let listed = here.account().list().unwrap();
    let names: Vec<String> = listed.iter().map(|l| l.name.text('.')).collect();
    assert_eq!(names, ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]);
    assert!(listed.iter().all(|l| l.subscribed && l.exists && !l.has_children));
    assert_eq!(listed.iter().filter(|l| !l.special_uses.is_empty()).count(), 5);
    assert!(
        here.maildir().join("example.org/../example.org/ann/.Junk/maildirfolder").exists()
            || here.file(".Junk/maildirfolder").exists()
    );
}

#[test]
fn every_file_is_for_its_owner_alone() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    inbox.store_flags(&all(&inbox), &FlagChange::Add(keyword("work"))).unwrap();
    check_modes(&here.maildir());
}

fn user(number: usize) -> Address {
    Address::parse(&format!("user{number}@example.org")).unwrap()
}

/// Deliveries to new accounts race with each other and with mail programs: each account is made once and whole, and no
/// message is lost.
#[test]
fn accounts_that_are_made_at_once_are_whole_and_each_is_one() {
    const ACCOUNTS: usize = 16;
    const THREADS: usize = 8;
    let here = Here::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let here = &here;
            scope.spawn(move || {
                // Two threads at a time begin with the same account.
                for place in 0..ACCOUNTS {
                    let account = user((place + 2 * (thread / 2)) % ACCOUNTS);
                    let delivery = Delivery { account: account.clone(), ..Here::delivery("Junk") };
                    let results = here.store().deliver(&here.incoming("x"), &[delivery]);
                    results.into_iter().for_each(Result::unwrap);
                    assert_eq!(here.store().account(&account).unwrap().list().unwrap().len(), 6);
                }
            });
        }
    });
    for number in 0..ACCOUNTS {
        let junk = here.store().account(&user(number)).unwrap().open(&name("Junk")).unwrap();
        assert_eq!(all(&junk).len(), THREADS, "user{number}");
        let folder = here.maildir().with_file_name(format!("user{number}"));
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        assert!(
            !names.iter().any(|name| name.starts_with("kings-new-") || name.contains(".lock")),
            "{names:?}"
        );
    }
}

/// Another program has locked what one account needs to be made; until then it waits, alone.
#[test]
fn an_account_that_waits_while_it_is_made_holds_up_no_other() {
    let here = Here::new();
    let folder = here.maildir().with_file_name("user1");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = folder.join("subscriptions.lock");
    std::fs::write(&lock, "").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| here.store().account(&user(1)).map(drop));
        // It is being made: its lists come last.
        while !folder.join(".Drafts").exists() {
            std::thread::yield_now();
        }
        for number in 2..4 {
            here.store().account(&user(number)).unwrap();
        }
        assert!(!waiting.is_finished());
        std::fs::remove_file(&lock).unwrap();
        waiting.join().unwrap().unwrap();
    });
}

fn check_modes(path: &Path) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        let is_dir = entry.file_type().unwrap().is_dir();
        assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "{}", entry.path().display());
        if is_dir {
            check_modes(&entry.path());
        }
    }
}

#[test]
fn a_delivered_message_is_a_file_in_new_with_its_sizes_and_its_trace() {
    let here = Here::new();
    here.deliver("Subject: x\r\n\r\nhello\r\n");
    let names = here.names("new");
    assert_eq!(names.len(), 1);
    let bytes = std::fs::read(here.file("new").join(&names[0])).unwrap();
    assert_eq!(bytes, b"Received: here\r\nSubject: x\r\n\r\nhello\r\n");
    assert!(names[0].ends_with(&format!(",S={0},W={0}", bytes.len())), "{names:?}");
    assert!(here.names("tmp").is_empty());
    let before = std::fs::read(here.file("dovecot-uidlist"));
    here.deliver("second");
    assert_eq!(
        std::fs::read(here.file("dovecot-uidlist")).ok(),
        before.ok(),
        "delivery leaves the uidlist alone"
    );
}

#[test]
fn uids_rise_by_arrival_and_are_on_disk_before_they_are_seen() {
    let here = Here::new();
    for n in 0..5 {
        here.deliver(&format!("{n}"));
    }
    let inbox = here.inbox();
    let snapshot = inbox.snapshot();
    assert_eq!(all(&inbox), [1, 2, 3, 4, 5].map(uid));
    assert_eq!(snapshot.uid_next, uid(6));
    assert!(snapshot.messages.iter().all(|message| message.arrived_new));
    let list = std::fs::read_to_string(here.file("dovecot-uidlist")).unwrap();
    assert!(list.starts_with(&format!("3 V{} N0000000006 G", snapshot.uid_validity)), "{list}");
    assert_eq!(list.lines().count(), 6);
    for n in 0..5 {
        assert!(inbox.read(uid(n + 1)).unwrap().as_ref().ends_with(format!("{n}").as_bytes()));
    }
}

#[test]
fn a_session_and_a_delivery_share_one_state() {
    let here = Here::new();
    let (first, second) = (here.inbox(), here.inbox());
    let mut changes = first.changes();
    changes.mark_unchanged();
    here.deliver("x");
    assert!(changes.has_changed().unwrap());
    second.refresh().unwrap();
    assert_eq!(first.snapshot().messages.len(), 1);
    assert!(std::sync::Arc::ptr_eq(&first.snapshot(), &second.snapshot()));
}

#[test]
fn recent_is_given_to_one_caller_and_the_message_moves_to_cur() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    assert!(inbox.refresh().unwrap().messages[0].arrived_new);
    let (snapshot, recent) = inbox.select().unwrap();
    assert_eq!(recent, [uid(1)]);
    assert!(!snapshot.messages[0].arrived_new);
    assert_eq!(inbox.select().unwrap().1, []);
    assert!(here.names("new").is_empty());
    assert!(here.names("cur")[0].ends_with(":2,"));
}

#[test]
fn flags_are_letters_in_the_file_name() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    let mut flags = Flags::default().with(SystemFlag::Seen).with(SystemFlag::Answered);
    flags.insert_keyword(kings_store::Keyword::parse("$Forwarded").unwrap());
    let after = inbox.store_flags(&all(&inbox), &FlagChange::Add(flags.clone())).unwrap();
    assert_eq!(after, [(uid(1), flags.clone())]);
    assert!(here.names("cur")[0].ends_with(":2,RSa"));
    assert_eq!(std::fs::read_to_string(here.file("dovecot-keywords")).unwrap(), "0 $Forwarded\n");
    inbox.store_flags(&all(&inbox), &FlagChange::Remove(flags)).unwrap();
    assert!(here.names("cur")[0].ends_with(":2,"));
    assert_eq!(inbox.snapshot().keywords.len(), 1, "a name stays known");
    assert_eq!(inbox.store_flags(&[uid(9)], &FlagChange::Add(Flags::default())).unwrap(), []);
}

#[test]
fn the_twenty_seventh_keyword_is_refused_and_nothing_changes() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    for n in 0..26 {
        inbox.store_flags(&all(&inbox), &FlagChange::Add(keyword(&format!("k{n}")))).unwrap();
    }
    let before = here.names("cur");
    let result = inbox.store_flags(&all(&inbox), &FlagChange::Add(keyword("one-more")));
    assert!(matches!(result, Err(StoreError::TooManyKeywords)));
    assert_eq!(here.names("cur"), before);
    assert_eq!(inbox.store_flags(&all(&inbox), &FlagChange::Remove(keyword("one-more"))).unwrap().len(), 1);
}

#[test]
fn renames_by_other_programs_lose_no_change() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    inbox.select().unwrap();
    let old = here.names("cur").remove(0);
    std::fs::rename(here.file("cur").join(&old), here.file("cur").join(format!("{old}S"))).unwrap();
    // The store has not looked yet: its rename fails, and the change goes on top of the other one.
    let after = inbox
        .store_flags(&all(&inbox), &FlagChange::Add(Flags::default().with(SystemFlag::Flagged)))
        .unwrap();
    assert!(after[0].1.contains(SystemFlag::Seen) && after[0].1.contains(SystemFlag::Flagged));
    assert!(here.names("cur")[0].ends_with(":2,FS"));
    let old = here.names("cur").remove(0);
    std::fs::rename(here.file("cur").join(&old), here.file("cur").join(format!("{old}T"))).unwrap();
    assert!(!inbox.read(uid(1)).unwrap().as_ref().is_empty(), "reading looks again too");
}

#[test]
fn a_message_undeleted_by_another_program_is_not_expunged() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    inbox.store_flags(&all(&inbox), &FlagChange::Add(Flags::default().with(SystemFlag::Deleted))).unwrap();
    let old = here.names("cur").remove(0);
    std::fs::rename(here.file("cur").join(&old), here.file("cur").join(old.strip_suffix('T').unwrap()))
        .unwrap();
    assert_eq!(inbox.expunge(None).unwrap(), []);
    assert_eq!(inbox.snapshot().messages.len(), 1);
}

#[test]
fn expunge_removes_only_what_is_deleted_and_asked_for() {
    let here = Here::new();
    for _ in 0..4 {
        here.deliver("x");
    }
    let inbox = here.inbox();
    let deleted = FlagChange::Add(Flags::default().with(SystemFlag::Deleted));
    inbox.store_flags(&[1, 2, 3].map(uid), &deleted).unwrap();
    assert_eq!(inbox.expunge(Some(&[2, 4].map(uid))).unwrap(), [uid(2)]);
    assert_eq!(inbox.expunge(None).unwrap(), [1, 3].map(uid));
    assert_eq!(all(&inbox), [uid(4)]);
    assert_eq!(inbox.snapshot().uid_next, uid(5));
    assert!(matches!(inbox.read(uid(2)), Err(StoreError::Expunged)));
    here.deliver("x");
    inbox.refresh().unwrap();
    assert_eq!(all(&inbox), [4, 5].map(uid), "no UID is used twice");
}

#[test]
fn appended_messages_have_flags_date_and_uid_at_once() {
    let here = Here::new();
    let drafts = here.account().open(&name("Drafts")).unwrap();
    let date = DateTime::parse_imap("17-Jul-1996 02:44:25 -0700").unwrap();
    let flags = Flags::default().with(SystemFlag::Draft).with(SystemFlag::Seen);
    let (validity, first) = drafts.append(&[here.appended("a\nb\n", &flags, Some(date))]).unwrap();
    assert_eq!((validity, first), (drafts.snapshot().uid_validity, vec![uid(1)]));
    let message = drafts.snapshot().messages[0].clone();
    assert_eq!((message.flags, message.internal_date, message.size), (flags, date.unix(), 6));
    assert_eq!(drafts.read(uid(1)).unwrap().as_ref(), b"a\r\nb\r\n");
    assert!(here.names(".Drafts/cur")[0].ends_with(",S=4,W=6:2,DS"));
    assert_eq!(here.append(&drafts, "x", &Flags::default()), uid(2));
    drop(drafts);
    let again = here.account().open(&name("Drafts")).unwrap().snapshot();
    assert_eq!(again.messages.len(), 2);
    assert_eq!(again.messages[0].size, 6);
}

#[test]
fn large_messages_go_through_a_file_and_come_out_whole() {
    let here = Here::new();
    let text = "0123456789abcde\r\n".repeat(100_000);
    here.deliver(&text);
    let inbox = here.inbox();
    let content = inbox.read(uid(1)).unwrap();
    assert_eq!(content.as_ref().strip_prefix(b"Received: here\r\n").unwrap(), text.as_bytes());
    assert_eq!(inbox.snapshot().messages[0].size, content.as_ref().len() as u64);
}

#[test]
fn copies_keep_flags_dates_and_keywords_and_get_new_uids() {
    let here = Here::new();
    here.deliver("one");
    here.deliver("two");
    let (inbox, trash) = (here.inbox(), here.account().open(&name("Trash")).unwrap());
    // In the target the letter a means something else.
    here.append(&trash, "there", &keyword("other"));
    let mut flags = keyword("work");
    flags.insert(SystemFlag::Seen);
    inbox.store_flags(&[uid(2)], &FlagChange::Add(flags.clone())).unwrap();
    let copied = inbox.copy_to(&[2, 1].map(uid), &trash).unwrap();
    assert_eq!(copied.pairs, [(uid(2), uid(2)), (uid(1), uid(3))]);
    assert_eq!(copied.validity, trash.snapshot().uid_validity);
    let shown = trash.snapshot();
    assert_eq!(shown.messages[1].flags, flags);
    assert_eq!(shown.messages[1].internal_date, inbox.snapshot().messages[1].internal_date);
    assert!(trash.read(uid(2)).unwrap().as_ref().ends_with(b"two"));
    assert!(here.names(".Trash/tmp").is_empty());
    let same = inbox.copy_to(&[uid(1)], &inbox).unwrap();
    assert_eq!(same.pairs, [(uid(1), uid(3))]);
}

#[test]
fn a_copy_is_all_or_nothing() {
    let here = Here::new();
    here.deliver("one");
    here.deliver("two");
    let (inbox, trash) = (here.inbox(), here.account().open(&name("Trash")).unwrap());
    inbox.select().unwrap();
    let gone = here.names("cur").into_iter().next().unwrap();
    std::fs::remove_file(here.file("cur").join(gone)).unwrap();
    assert!(matches!(inbox.copy_to(&[1, 2].map(uid), &trash), Err(StoreError::Expunged)));
    assert!(trash.refresh().unwrap().messages.is_empty());
    assert!(here.names(".Trash/cur").is_empty() && here.names(".Trash/tmp").is_empty());
}

#[test]
fn two_moves_at_once_move_every_message_once() {
    // Two sessions of one program share a mailbox; two programs share a folder.
    for shared in [true, false] {
        for round in 0..10 {
            let here = Here::new();
            for number in 0..20 {
                here.deliver(&format!("Subject: {round}-{number}\r\n\r\n"));
            }
            let there = here.again(0);
            let accounts = [here.account(), if shared { here.account() } else { there.account() }];
            let start = std::sync::Barrier::new(2);
            let moved: usize = std::thread::scope(|scope| {
                let movers = accounts.each_ref().map(|account| {
                    scope.spawn(|| {
                        let inbox = account.open(&name("INBOX")).unwrap();
                        let archive = account.open(&name("Archive")).unwrap();
                        let uids = all(&inbox);
                        start.wait();
                        match inbox.move_to(&uids, &archive) {
                            Ok(copied) => copied.pairs.len(),
                            Err(StoreError::Expunged) => 0,
                            Err(error) => panic!("{error}"),
                        }
                    })
                });
                movers.map(|mover| mover.join().unwrap()).iter().sum()
            });
            assert_eq!(moved, 20, "shared {shared}, round {round}");
            assert_eq!(here.names("cur").len() + here.names("new").len(), 0);
            assert_eq!(here.names(".Archive/cur").len(), 20);
            let archive = here.account().open(&name("Archive")).unwrap();
            archive.refresh().unwrap();
            let subjects: std::collections::HashSet<Vec<u8>> =
                Here::texts(&archive).into_iter().map(|(_, text)| text).collect();
            assert_eq!(subjects.len(), 20);
        }
    }
}

#[test]
fn moved_messages_are_in_one_place() {
    let here = Here::new();
    here.deliver("one");
    here.deliver("two");
    let (inbox, trash) = (here.inbox(), here.account().open(&name("Trash")).unwrap());
    let moved = inbox.move_to(&[uid(1)], &trash).unwrap();
    assert_eq!(moved.pairs, [(uid(1), uid(1))]);
    assert_eq!(all(&inbox), [uid(2)]);
    assert_eq!(all(&trash), [uid(1)]);
    assert_eq!(here.names("new").len() + here.names("cur").len(), 1);
}

#[test]
fn files_of_other_programs_are_messages_and_special_files_are_not() {
    let here = Here::new();
    here.account();
    let cur = here.file("cur");
    std::fs::write(cur.join("1000000002.plain"), "a\nb\n").unwrap();
    std::fs::write(cur.join("1000000001.info:2,FSx,extra"), "c\n").unwrap();
    std::fs::write(here.file("new/1000000003.wrong,S=99,W=99"), "d\n").unwrap();
    std::fs::write(cur.join("bad\nname"), "never lost").unwrap();
    symlink("/etc/passwd", cur.join("1000000000.link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, cur.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let inbox = here.inbox();
    let sizes: Vec<u64> = inbox.snapshot().messages.iter().map(|message| message.size).collect();
    assert_eq!(sizes, [3, 6, 3]);
    let flags = inbox.snapshot().messages[0].flags.clone();
    assert!(flags.contains(SystemFlag::Flagged) && flags.keywords()[0].as_str() == "unknown-23");
    inbox.store_flags(&[uid(1)], &FlagChange::Remove(Flags::default().with(SystemFlag::Seen))).unwrap();
    assert!(cur.join("1000000001.info:2,Fx,extra").exists(), "what is not understood stays");
    assert!(cur.join("bad\nname").exists());
    let list = std::fs::read_to_string(here.file("dovecot-uidlist")).unwrap();
    assert!(list.contains(" S4 W6 :1000000002.plain\n"), "{list}");
}

#[test]
fn a_wrong_size_is_corrected_when_the_content_is_read() {
    let here = Here::new();
    here.account();
    std::fs::write(here.file("cur/1.x,S=4,W=4"), "a\nb\n").unwrap();
    let inbox = here.inbox();
    assert_eq!(inbox.snapshot().messages[0].size, 4);
    assert_eq!(inbox.read(uid(1)).unwrap().as_ref().len(), 6);
    assert_eq!(inbox.snapshot().messages[0].size, 6);
    inbox.refresh().unwrap();
    assert_eq!(inbox.snapshot().messages[0].size, 6);
}

#[test]
fn two_files_with_one_name_become_two_messages() {
    let here = Here::new();
    here.account();
    std::fs::write(here.file("cur/1.x:2,"), "one").unwrap();
    std::fs::write(here.file("cur/1.x:2,S"), "two").unwrap();
    std::fs::write(here.file("new/1.x"), "three").unwrap();
    let inbox = here.inbox();
    let mut texts: Vec<Vec<u8>> =
        all(&inbox).iter().map(|uid| inbox.read(*uid).unwrap().as_ref().to_vec()).collect();
    texts.sort();
    assert_eq!(texts, [b"one".to_vec(), b"three".to_vec(), b"two".to_vec()]);
    let uids = all(&inbox);
    inbox.refresh().unwrap();
    assert_eq!(all(&inbox), uids);
}

#[test]
fn a_name_too_long_for_flags_does_no_harm() {
    let here = Here::new();
    here.account();
    let long = "n".repeat(255);
    std::fs::write(here.file("new").join(&long), "x").unwrap();
    let inbox = here.inbox();
    assert_eq!(inbox.select().unwrap().1, [uid(1)]);
    assert!(here.file("cur").join(&long).exists());
    let after =
        inbox.store_flags(&[uid(1)], &FlagChange::Add(Flags::default().with(SystemFlag::Seen))).unwrap();
    assert!(after[0].1.is_empty(), "the answer tells what is, not what was wished");
}

#[test]
fn a_file_that_comes_back_is_a_new_message() {
    let here = Here::new();
    here.deliver("one");
    here.deliver("two");
    let inbox = here.inbox();
    inbox.select().unwrap();
    let first = here.names("cur").into_iter().next().unwrap();
    std::fs::rename(here.file("cur").join(&first), here.file("away")).unwrap();
    assert_eq!(inbox.refresh().unwrap().messages.len(), 1);
    std::fs::rename(here.file("away"), here.file("cur").join(&first)).unwrap();
    inbox.refresh().unwrap();
    assert_eq!(all(&inbox), [2, 3].map(uid));
    let list = std::fs::read_to_string(here.file("dovecot-uidlist")).unwrap();
    assert_eq!(list.lines().count(), 3, "the old line is gone: {list}");
}

#[test]
fn a_lost_list_raises_uidvalidity() {
    let here = Here::new();
    here.deliver("one");
    let before = here.inbox().snapshot().uid_validity;
    for open in [false, true] {
        let held = open.then(|| here.inbox());
        let before = held.as_ref().map_or(before, |inbox| inbox.snapshot().uid_validity);
        std::fs::remove_file(here.file("dovecot-uidlist")).unwrap();
        let after = here.inbox().refresh().unwrap();
        assert!(after.uid_validity > before);
        assert_eq!(after.messages.len(), 1);
    }
}

#[test]
fn a_damaged_list_raises_uidvalidity_and_keeps_what_is_not_a_uid() {
    let here = Here::new();
    here.deliver("one");
    here.deliver("two");
    drop(here.inbox());
    let path = here.file("dovecot-uidlist");
    let list = std::fs::read_to_string(&path).unwrap();
    let guid = list.split(' ').find_map(|field| field.strip_prefix('G')).unwrap()[..32].to_owned();
    let damaged = list.replace("\n1 :", "\n1 P00abc :").replace("\n2 :", "\n1 :");
    std::fs::write(&path, damaged).unwrap();
    let inbox = here.inbox();
    assert_eq!(all(&inbox), [1, 2].map(uid));
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.contains(&guid) && after.contains("\n1 P00abc :"), "{after}");
    assert!(after.starts_with(&format!("3 V{} ", inbox.snapshot().uid_validity)));
    assert!(!list.starts_with(&format!("3 V{} ", inbox.snapshot().uid_validity)));
}

#[test]
fn a_higher_foreign_uidvalidity_is_taken_and_never_undercut() {
    let here = Here::new();
    here.account().create(&name("Lists")).unwrap();
    let guid = "5176b62dd4d7046bf65c000083ecc375";
    std::fs::write(here.file(".Lists/dovecot-uidlist"), format!("3 V4000000000 N7 G{guid} Kept\n")).unwrap();
    std::fs::write(here.file(".Lists/cur/1.x:2,S"), "x").unwrap();
    let lists = here.account().open(&name("Lists")).unwrap();
    assert_eq!(lists.snapshot().uid_validity.0.get(), 4_000_000_000);
    assert_eq!(all(&lists), [uid(7)]);
    let list = std::fs::read_to_string(here.file(".Lists/dovecot-uidlist")).unwrap();
    assert!(list.starts_with(&format!("3 V4000000000 N8 G{guid} Kept\n")), "appended in place: {list}");
    here.account().delete(&name("Lists")).unwrap();
    here.account().create(&name("Lists")).unwrap();
    let again = here.account().open(&name("Lists")).unwrap();
    assert!(again.snapshot().uid_validity.0.get() > 4_000_000_000);
    assert!(matches!(lists.refresh(), Err(StoreError::NoSuchMailbox)));
}

#[test]
fn a_mailbox_whose_uids_run_out_starts_over() {
    let here = Here::new();
    let guid = "5176b62dd4d7046bf65c000083ecc375";
    for (next, arrive) in [(u32::MAX, 0), (u32::MAX - 3, 5), (u32::MAX - 1, 1)] {
        here.account();
        std::fs::write(here.file("dovecot-uidlist"), format!("3 V5 N{next} G{guid}\n")).unwrap();
        for _ in 0..arrive {
            here.deliver("x");
        }
        let inbox = here.inbox();
        assert!(inbox.snapshot().uid_validity.0.get() > 5);
        assert_eq!(all(&inbox).first().copied(), (arrive > 0).then_some(uid(1)));
    }
    let drafts = here.account().open(&name("Drafts")).unwrap();
    std::fs::write(here.file(".Drafts/dovecot-uidlist"), format!("3 V4000000000 N4294967294 G{guid}\n"))
        .unwrap();
    assert_eq!(here.append(&drafts, "x", &Flags::default()), uid(1));
    assert!(drafts.snapshot().uid_validity.0.get() > 4_000_000_000);
}

#[test]
fn a_foreign_list_that_is_lost_later_is_followed_by_a_higher_uidvalidity() {
    let here = Here::new();
    here.account().create(&name("Lists")).unwrap();
    let path = here.file(".Lists/dovecot-uidlist");
    std::fs::write(&path, "3 V4000000000 N7 G5176b62dd4d7046bf65c000083ecc375\n").unwrap();
    drop(here.account().open(&name("Lists")).unwrap());
    std::fs::remove_file(&path).unwrap();
    let after = here.account().open(&name("Lists")).unwrap().snapshot().uid_validity;
    assert!(after.0.get() > 4_000_000_000);
}

#[test]
fn an_append_whose_uid_cannot_be_written_leaves_no_file() {
    let here = Here::new();
    let drafts = here.account().open(&name("Drafts")).unwrap();
    // A list that must be written anew, and a folder where that would happen.
    let list = here.file(".Drafts/dovecot-uidlist");
    std::fs::write(&list, "3 V4000000000 N9 G5176b62dd4d7046bf65c000083ecc375\n").unwrap();
    let obstacle = here.file(".Drafts/dovecot-uidlist.tmp");
    std::fs::create_dir(&obstacle).unwrap();
    let result = drafts.append(&["x", "y"].map(|text| here.appended(text, &Flags::default(), None)));
    assert!(matches!(result, Err(StoreError::Io(_))), "{result:?}");
    assert!(here.names(".Drafts/cur").is_empty() && here.names(".Drafts/tmp").is_empty());
    std::fs::remove_dir(&obstacle).unwrap();
    assert_eq!(
        here.append(&drafts, "x", &Flags::default()),
        uid(11),
        "the UIDs that failed are not used again"
    );
}

#[test]
fn messages_appended_together_have_rising_uids_and_each_its_own_flags() {
    let here = Here::new();
    let drafts = here.account().open(&name("Drafts")).unwrap();
    here.append(&drafts, "before", &Flags::default());
    let seen = Flags::default().with(SystemFlag::Seen);
    let messages = [("one", &seen), ("two", &keyword("Work")), ("three", &Flags::default())];
    let messages = messages.map(|(text, flags)| here.appended(text, flags, None));
    let (_, uids) = drafts.append(&messages).unwrap();
    assert_eq!(uids, [2, 3, 4].map(uid));
    let texts: Vec<_> = Here::texts(&drafts).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, [&b"before"[..], b"one", b"two", b"three"]);
    let flags = |number: u32| drafts.snapshot().message(uid(number)).unwrap().flags.clone();
    assert_eq!([2, 3, 4].map(flags), [seen, keyword("Work"), Flags::default()]);
    assert!(here.names(".Drafts/tmp").is_empty());
}

#[test]
fn a_look_that_cannot_write_leaves_what_was_shown() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    let before = inbox.snapshot();
    // The next UID has more digits than the list has room for: it must be written anew, and cannot be.
    let list = std::fs::read_to_string(here.file("dovecot-uidlist")).unwrap();
    std::fs::write(here.file("dovecot-uidlist"), list.replace(" N0000000002 ", " N9 ")).unwrap();
    let obstacle = here.file("dovecot-uidlist.tmp");
    std::fs::create_dir(&obstacle).unwrap();
    here.deliver("y");
    assert!(inbox.refresh().is_err());
    assert_eq!(inbox.snapshot().messages, before.messages);
    std::fs::remove_dir(&obstacle).unwrap();
    inbox.refresh().unwrap();
    assert_eq!(all(&inbox), [uid(1), uid(10)], "the UID that could not be written is not used again");
}

/// Renames a message in `cur` and sets the folder's time as if nothing had happened.
fn flag_behind_the_clock(here: &Here, time: std::time::SystemTime) {
    let cur = here.file("cur");
    let old = here.names("cur").remove(0);
    std::fs::rename(cur.join(&old), cur.join(format!("{old}S"))).unwrap();
    set_time(&cur, time);
}

fn set_time(folder: &Path, time: std::time::SystemTime) {
    let times = std::fs::FileTimes::new().set_modified(time);
    std::fs::File::open(folder).unwrap().set_times(times).unwrap();
}

#[test]
fn a_young_folder_is_read_again_even_if_its_time_did_not_move() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    inbox.select().unwrap();
    inbox.refresh().unwrap();
    let time = here.file("cur").metadata().unwrap().modified().unwrap();
    flag_behind_the_clock(&here, time);
    assert!(inbox.refresh().unwrap().messages[0].flags.contains(SystemFlag::Seen));
}

#[test]
fn an_old_folder_whose_time_did_not_move_is_not_read_again() {
    let here = Here::without_inotify();
    here.deliver("x");
    let inbox = here.inbox();
    inbox.select().unwrap();
    let time = std::time::SystemTime::now() - Duration::from_mins(1);
    for part in ["cur", "new"] {
        set_time(&here.file(part), time);
    }
    inbox.refresh().unwrap();
    flag_behind_the_clock(&here, time);
    assert!(inbox.refresh().unwrap().messages[0].flags.is_empty(), "this is what makes a look cheap");
    set_time(&here.file("cur"), time + Duration::from_secs(1));
    assert!(inbox.refresh().unwrap().messages[0].flags.contains(SystemFlag::Seen));
}

#[test]
fn what_leaves_the_time_of_a_folder_as_it_was_is_seen_all_the_same() {
    let here = Here::new();
    here.deliver("x");
    let inbox = here.inbox();
    inbox.select().unwrap();
    let time = std::time::SystemTime::now() - Duration::from_mins(1);
    // A look that the times of the folders prove to be complete, and for long.
    std::fs::write(here.file("new/other"), "x").unwrap();
    set_time(&here.file("cur"), time);
    set_time(&here.file("new"), time);
    assert_eq!(inbox.refresh().unwrap().messages.len(), 2);
    flag_behind_the_clock(&here, time);
    assert!(inbox.refresh().unwrap().messages[0].flags.contains(SystemFlag::Seen));
}

#[test]
fn lines_that_were_cut_off_while_open_come_back() {
    let here = Here::new();
    for n in 0..3 {
        here.deliver(&format!("{n}"));
    }
    let inbox = here.inbox();
    let before = inbox.snapshot();
    let path = here.file("dovecot-uidlist");
    let list = std::fs::read_to_string(&path).unwrap();
    let cut = list.split_inclusive('\n').take(2).collect::<String>();
    std::fs::write(&path, cut).unwrap();
    let after = inbox.refresh().unwrap();
    assert_eq!((after.uid_validity, &after.messages), (before.uid_validity, &before.messages));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), list);
}

#[test]
fn a_list_cut_anywhere_never_gives_a_uid_to_another_message() {
    let here = Here::new();
    for n in 0..3 {
        here.deliver(&format!("{n}"));
    }
    let inbox = here.inbox();
    let before = Here::texts(&inbox);
    let validity = inbox.snapshot().uid_validity;
    drop(inbox);
    let path = here.file("dovecot-uidlist");
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let inbox = here.inbox();
        assert_eq!(inbox.snapshot().messages.len(), 3, "no message is lost, cut at {cut}");
        if inbox.snapshot().uid_validity == validity {
            for (uid, text) in Here::texts(&inbox) {
                let old = before.iter().find(|(known, _)| *known == uid);
                assert!(old.is_none_or(|(_, old)| *old == text), "UID {uid} changed, cut at {cut}");
            }
        } else {
            assert!(inbox.snapshot().uid_validity > validity, "cut at {cut}");
        }
    }
}

#[test]
fn links_in_place_of_folders_are_not_followed() {
    let here = Here::new();
    let account = here.account();
    let outside = here.maildir().parent().unwrap().join("outside");
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(outside.join(part)).unwrap();
    }
    symlink(&outside, here.file(".Link")).unwrap();
    assert!(matches!(account.open(&name("Link")), Err(StoreError::NoSuchMailbox)));
    assert!(account.list().unwrap().iter().all(|listed| listed.name != name("Link")));
    assert!(matches!(account.delete(&name("Link")), Err(StoreError::NoSuchMailbox)));
    std::fs::remove_dir(here.file(".Junk/cur")).unwrap();
    symlink(outside.join("cur"), here.file(".Junk/cur")).unwrap();
    assert!(account.open(&name("Junk")).is_err());
    assert_eq!(std::fs::read_dir(outside.join("cur")).unwrap().count(), 0);
}

#[test]
fn below_the_reserve_nothing_is_begun_but_flags_and_deletion_work() {
    let here = Here::new();
    here.deliver("x");
    let full = here.again(u64::MAX);
    assert!(matches!(full.store().begin(), Err(StoreError::NoSpace)));
    let inbox = full.inbox();
    let incoming = here.incoming("x");
    let appended = here.appended("x", &Flags::default(), None);
    assert!(matches!(inbox.append(&[appended]), Err(StoreError::NoSpace)));
    assert!(matches!(
        full.store().deliver(&incoming, &[Here::delivery("INBOX")])[..],
        [Err(StoreError::NoSpace)]
    ));
    inbox.store_flags(&all(&inbox), &FlagChange::Add(Flags::default().with(SystemFlag::Deleted))).unwrap();
    assert_eq!(inbox.expunge(None).unwrap(), [uid(1)]);
}

#[test]
fn one_recipient_that_fails_does_not_hold_up_the_others() {
    let here = Here::new();
    let mut bad = Here::delivery("INBOX");
    bad.account = kings_mail::address::Address::parse(r#""../x"@example.org"#).unwrap();
    let deliveries = [
        Here::delivery("INBOX"),
        bad,
        Here::delivery("Junk"),
        Here::delivery("INBOX"),
        Here::delivery("New"),
    ];
    let results = here.store().deliver(&here.incoming("x"), &deliveries);
    assert!(matches!(results[..], [Ok(()), Err(StoreError::BadName), Ok(()), Ok(()), Ok(())]), "{results:?}");
    assert_eq!(
        (here.names("new").len(), here.names(".Junk/new").len(), here.names(".New/new").len()),
        (2, 1, 1)
    );
}

#[test]
fn changes_by_other_programs_are_told_to_sessions() {
    let here = Here::new();
    let inbox = here.inbox();
    let mut changes = inbox.changes();
    changes.mark_unchanged();
    std::fs::write(here.file("new/1.x"), "x").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told = runtime.block_on(async { timeout(Duration::from_secs(5), changes.changed()).await });
    told.expect("inotify works here").unwrap();
    assert_eq!(inbox.refresh().unwrap().messages.len(), 1);
}

#[test]
fn looking_while_flags_change_never_shows_a_message_gone() {
    let here = Here::new();
    for n in 0..200 {
        here.deliver(&format!("{n}"));
    }
    let inbox = here.inbox();
    inbox.select().unwrap();
    let other = here.again(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let seen = Flags::default().with(SystemFlag::Seen);
            for round in 0..5 {
                for uid in all(&inbox) {
                    let change = if round % 2 == 0 {
                        FlagChange::Add(seen.clone())
                    } else {
                        FlagChange::Remove(seen.clone())
                    };
                    inbox.store_flags(&[uid], &change).unwrap();
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let view = other.inbox();
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let snapshot = view.refresh().unwrap();
            assert_eq!((snapshot.messages.len(), snapshot.uid_next), (200, uid(201)));
        }
    });
}

#[test]
fn looking_while_a_program_without_locks_renames_never_changes_a_uid() {
    let here = Here::new();
    for n in 0..300 {
        here.deliver(&format!("{n}"));
    }
    let inbox = here.inbox();
    inbox.select().unwrap();
    let before: Vec<Uid> = all(&inbox);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let cur = here.file("cur");
            for _ in 0..20 {
                for old in here.names("cur") {
                    let new = old.strip_suffix('S').map_or_else(|| format!("{old}S"), str::to_owned);
                    std::fs::rename(cur.join(old), cur.join(new)).unwrap();
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            inbox.refresh().unwrap();
            assert!(all(&inbox) == before, "a UID changed");
        }
    });
}

/// Somebody delivers a file with the name of another one: the UID stays with the message that clients know under it.
#[test]
fn a_newcomer_with_the_name_of_another_message_does_not_take_its_uid() {
    for is_open in [true, false] {
        let here = Here::new();
        here.deliver("Subject: first\r\n\r\n");
        let mut inbox = here.inbox();
        inbox.select().unwrap();
        let first = inbox.read(uid(1)).unwrap().as_ref().to_vec();
        let base = here.names("cur")[0].split(':').next().unwrap().to_owned();
        if !is_open {
            inbox = here.again(0).inbox();
        }
        std::fs::write(here.file(format!("new/{base}")), "Subject: second\r\n\r\n").unwrap();
        inbox.refresh().unwrap();
        assert_eq!(inbox.read(uid(1)).unwrap().as_ref(), first, "open: {is_open}");
        assert_eq!(inbox.read(uid(2)).unwrap().as_ref(), b"Subject: second\r\n\r\n");
        // Where both stand in one folder, it is the one that was there.
        std::fs::write(here.file(format!("cur/{base}:2,F")), "Subject: third\r\n\r\n").unwrap();
        inbox.refresh().unwrap();
        assert_eq!(inbox.read(uid(1)).unwrap().as_ref(), first, "open: {is_open}");
        assert_eq!(inbox.read(uid(3)).unwrap().as_ref(), b"Subject: third\r\n\r\n");
        assert_eq!(all(&inbox), [uid(1), uid(2), uid(3)]);
    }
}
