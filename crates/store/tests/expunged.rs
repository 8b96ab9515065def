//! Expunged mail that is kept for a while, and put back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Here, address, all, keyword, name};
use kings_store::{Expunged, FlagChange, Flags, QuotaLimits, StoreError, SystemFlag};

const LETTER: &str = "Subject: hi\r\n\r\none\r\n";

fn keeping() -> Here {
    let here = Here::new();
    here.store().keep_expunged_for(|_| Some(Duration::from_hours(48)));
    here
}

fn kept(here: &Here) -> Vec<Expunged> {
    here.account().expunged().unwrap()
}

fn system(flag: SystemFlag) -> Flags {
    let mut flags = Flags::default();
    flags.insert(flag);
    flags
}

/// Delivers one message, and expunges it.
fn expunge_one(here: &Here) {
    here.deliver(LETTER);
    let inbox = here.inbox();
    inbox.select().unwrap();
    inbox.store_flags(&all(&inbox), &FlagChange::Add(keyword("work"))).unwrap();
    inbox.store_flags(&all(&inbox), &FlagChange::Add(system(SystemFlag::Seen))).unwrap();
    inbox.store_flags(&all(&inbox), &FlagChange::Add(system(SystemFlag::Deleted))).unwrap();
    assert_eq!(inbox.expunge(None).unwrap().len(), 1);
}

#[test]
fn nothing_is_kept_unless_somebody_wants_it() {
    let here = Here::new();
    expunge_one(&here);
    assert!(kept(&here).is_empty());
    assert!(!here.file("kings-expunged").exists());
}

#[test]
fn an_expunged_message_comes_back_as_it_was_under_a_new_uid() {
    let here = keeping();
    expunge_one(&here);
    let inbox = here.inbox();
    assert!(all(&inbox).is_empty());
    assert_eq!(
        here.store().recalculate_quota(&address()).unwrap().used.messages,
        0,
        "it counts for no quota"
    );
    // Another expunge of the same mailbox, which stays away.
    expunge_one(&here);
    let found = kept(&here);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].mailbox, name("INBOX"));
    assert!(
        here.account().read_expunged(&found[0]).unwrap().as_ref().ends_with(b"Subject: hi\r\n\r\none\r\n")
    );
    here.account().undelete(&found[0]).unwrap();
    assert!(matches!(here.account().undelete(&found[0]), Err(StoreError::Expunged)));
    let shown = inbox.refresh().unwrap();
    let [message] = &shown.messages[..] else { panic!("{shown:?}") };
    assert_eq!(message.uid.get(), 3, "the old UIDs mean nothing any more");
    assert!(message.flags.contains(SystemFlag::Seen) && !message.flags.contains(SystemFlag::Deleted));
    assert_eq!(message.flags.keywords().len(), 1);
    assert_eq!(message.internal_date, found[0].internal_date);
    assert!(inbox.read(message.uid).unwrap().as_ref().ends_with(b"\r\n\r\none\r\n"));
    assert_eq!(kept(&here).len(), 1);
}

#[test]
fn what_only_moves_is_not_kept_and_what_is_replaced_is() {
    let here = keeping();
    here.deliver(LETTER);
    let (inbox, archive) = (here.inbox(), here.account().open(&name("Archive")).unwrap());
    inbox.select().unwrap();
    inbox.move_to(&all(&inbox), &archive).unwrap();
    assert!(kept(&here).is_empty());
    let draft = here.appended("Subject: better\r\n\r\n", &Flags::default(), None);
    archive.replace(all(&archive)[0], &draft, &archive).unwrap();
    assert_eq!(kept(&here).len(), 1);
    archive.remove(&all(&archive)).unwrap();
    assert_eq!(kept(&here).len(), 2, "POP3 removes as well");
}

#[test]
fn the_mail_of_a_deleted_mailbox_is_kept_and_its_mailbox_made_anew() {
    let here = keeping();
    let account = here.account();
    account.create(&name("Work.2026")).unwrap();
    let work = account.open(&name("Work.2026")).unwrap();
    here.append(&work, LETTER, &keyword("urgent"));
    drop(work);
    account.delete(&name("Work.2026")).unwrap();
    let found = kept(&here);
    assert_eq!(found.len(), 1);
    account.undelete(&found[0]).unwrap();
    let work = account.open(&name("Work.2026")).unwrap();
    assert_eq!(all(&work).len(), 1);
    assert!(work.snapshot().messages[0].flags.keywords().is_empty(), "its letters have no names any more");
    assert!(kept(&here).is_empty());
}

#[test]
fn what_was_kept_long_enough_goes_at_the_next_look() {
    let here = keeping();
    expunge_one(&here);
    expunge_one(&here);
    let folder = here.file("kings-expunged/INBOX");
    let first = here.names("kings-expunged/INBOX").remove(0);
    let (second, rest) = first.split_once('.').unwrap();
    let old = second.parse::<u64>().unwrap() - 49 * 3_600;
    std::fs::rename(folder.join(&first), folder.join(format!("{old}.{rest}"))).unwrap();
    let here = here.again(0);
    here.store().keep_expunged_for(|_| Some(Duration::from_hours(48)));
    assert_eq!(kept(&here).len(), 1, "an account is swept when it is opened");
    // Who turns it off wants nothing kept.
    let here = here.again(0);
    assert!(kept(&here).is_empty());
    assert!(!here.file("kings-expunged").exists());
}

#[test]
fn there_must_be_room_for_what_comes_back() {
    let here = keeping();
    expunge_one(&here);
    here.store().limit_by(|_| QuotaLimits { octets: Some(10), ..QuotaLimits::default() });
    let found = kept(&here);
    assert!(matches!(here.account().undelete(&found[0]), Err(StoreError::OverQuota)));
    assert_eq!(kept(&here), found);
}

#[test]
fn a_bin_that_cannot_be_made_does_not_hold_up_an_expunge() {
    let here = keeping();
    std::fs::write(here.maildir().join("nothing"), "").unwrap_or_default();
    here.account();
    std::fs::write(here.file("kings-expunged"), "a file").unwrap();
    expunge_one(&here);
    assert!(all(&here.inbox()).is_empty());
}

/// The letters of a mailbox that is gone mean something else in the next one of its name.
#[test]
fn keywords_of_a_deleted_mailbox_do_not_come_back_as_others() {
    for renamed in [false, true] {
        let here = keeping();
        let account = here.account();
        account.create(&name("Work")).unwrap();
        let work = account.open(&name("Work")).unwrap();
        here.append(&work, LETTER, &keyword("first"));
        work.remove(&all(&work)).unwrap();
        here.append(&work, LETTER, &keyword("first"));
        drop(work);
        if renamed {
            account.rename(&name("Work"), &name("Done")).unwrap();
        } else {
            account.delete(&name("Work")).unwrap();
        }
        account.create(&name("Work")).unwrap();
        let work = account.open(&name("Work")).unwrap();
        here.append(&work, LETTER, &keyword("other"));
        for found in kept(&here) {
            account.undelete(&found).unwrap();
        }
        let shown = work.refresh().unwrap();
        let with_keywords = shown.messages.iter().filter(|message| !message.flags.keywords().is_empty());
        assert_eq!(with_keywords.count(), 1, "renamed: {renamed}");
        assert_eq!(shown.messages.len(), if renamed { 2 } else { 3 });
    }
}

/// Whoever adds and expunges without end keeps no more than the account may hold, the latest.
#[test]
fn no_more_is_kept_than_the_account_may_hold() {
    let here = keeping();
    here.store().limit_by(|_| QuotaLimits { octets: Some(1_000), ..QuotaLimits::default() });
    let inbox = here.inbox();
    for number in 0..20 {
        let text = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(200));
        here.append(&inbox, &text, &system(SystemFlag::Deleted));
        inbox.expunge(None).unwrap();
    }
    let found = kept(&here);
    let octets: u64 = found.iter().map(|kept| kept.octets).sum();
    assert!(octets <= 1_000 && found.len() >= 3, "{octets} octets in {} messages", found.len());
    let latest = here.account().read_expunged(found.last().unwrap()).unwrap();
    assert!(latest.as_ref().starts_with(b"Subject: 1"), "{latest:?}");
}

/// What is kept is added up once after a start, however it ended, and not at each expunge.
#[test]
fn what_is_kept_is_counted_on_and_added_up_anew_after_a_start() {
    let here = keeping();
    let limit = |here: &Here| {
        here.store().limit_by(|_| QuotaLimits { octets: Some(10_000), ..QuotaLimits::default() });
    };
    limit(&here);
    // Open all the time, as while somebody is logged in.
    let account = here.account();
    expunge_one(&here);
    // Put there by hand, the oldest of all, so that it shows when somebody adds up.
    let hour_ago =
        (SystemTime::now() - Duration::from_hours(1)).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let bin = std::fs::read_dir(here.file("kings-expunged")).unwrap().next().unwrap().unwrap().path();
    let large = bin.join(format!("{hour_ago}.1000000000.M1P1.other:2,"));
    std::fs::write(&large, vec![b'x'; 20_000]).unwrap();
    expunge_one(&here);
    assert!(large.exists(), "nobody has looked");
    drop(account);
    let again = here.again(0);
    again.store().keep_expunged_for(|_| Some(Duration::from_hours(48)));
    limit(&again);
    expunge_one(&again);
    assert!(!large.exists());
    assert_eq!(kept(&again).len(), 3);
    // What comes back is not kept any more.
    again.account().undelete(&kept(&again)[0]).unwrap();
    assert_eq!(kept(&again).len(), 2);
}

#[test]
fn a_mailbox_that_is_deleted_leaves_no_more_than_the_account_may_hold() {
    let here = keeping();
    here.store().limit_by(|_| QuotaLimits { octets: Some(2_000), ..QuotaLimits::default() });
    let account = here.account();
    for round in 0..5 {
        account.create(&name("Work")).unwrap();
        let work = account.open(&name("Work")).unwrap();
        here.append(&work, &format!("Subject: {round}\r\n\r\n{}\r\n", "x".repeat(700)), &Flags::default());
        drop(work);
        account.delete(&name("Work")).unwrap();
    }
    let found = kept(&here);
    let octets: u64 = found.iter().map(|kept| kept.octets).sum();
    assert!(octets <= 2_000 && found.len() == 2, "{octets} octets in {} messages", found.len());
}

/// Whom a mailbox was for goes with it: one that is made anew for what comes back is its owner's alone.
#[test]
fn what_comes_back_is_shared_with_nobody() {
    let here = keeping();
    let account = here.account();
    for text in ["Work", "Work.Private"] {
        account.create(&name(text)).unwrap();
    }
    std::fs::write(here.file(".Work/dovecot-acl"), "user=joe@example.org lr\n").unwrap();
    let private = account.open(&name("Work.Private")).unwrap();
    here.append(&private, LETTER, &Flags::default());
    drop(private);
    account.delete(&name("Work.Private")).unwrap();
    account.undelete(&kept(&here)[0]).unwrap();
    assert!(!here.file(".Work.Private/dovecot-acl").exists());
    assert_eq!(all(&account.open(&name("Work.Private")).unwrap()).len(), 1);
}

/// Who may take messages out of somebody's mailbox takes nothing from what its owner can have back.
#[test]
fn what_moves_to_another_account_is_kept_for_the_one_it_leaves() {
    let here = keeping();
    here.deliver(LETTER);
    let inbox = here.inbox();
    inbox.select().unwrap();
    let joe = kings_mail::address::Address::parse("joe@example.org").unwrap();
    let theirs = here.store().account(&joe).unwrap().open(&name("INBOX")).unwrap();
    inbox.move_to(&all(&inbox), &theirs).unwrap();
    assert_eq!((all(&theirs).len(), kept(&here).len()), (1, 1));
}
