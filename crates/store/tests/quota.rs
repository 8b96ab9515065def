//! Quotas on real folders: who is told no, what `maildirsize` says, and that nothing which happens at once runs past a limit.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Barrier;

use common::{Here, address, all, name};
use kings_mail::address::Address;
use kings_store::{
    AccountQuota, Delivery, Difference, FlagChange, Flags, MailboxAllowance, MailboxLayout, MailboxQuota,
    Naming, QuotaLimits, StoreError, SystemFlag, Usage,
};

/// Octets of the field in front of each delivery.
const TRACE: usize = "Received: here\r\n".len();

/// The size of a message and whether it is refused.
type Try = (usize, bool);

fn limited(octets: impl Into<Option<u64>>, messages: impl Into<Option<u64>>, grace: u64) -> Here {
    let here = Here::new();
    let limits = QuotaLimits { octets: octets.into(), messages: messages.into(), grace };
    here.store().limit_by(move |_| limits);
    here
}

fn try_delivery(here: &Here, octets: usize) -> Result<(), StoreError> {
    let text = "x".repeat(octets - TRACE);
    here.store().deliver(&here.incoming(&text), &[Here::delivery("INBOX")]).pop().unwrap()
}

fn used(here: &Here) -> (u64, u64) {
    let Usage { octets, messages } = here.store().quota(&address()).unwrap().used;
    (octets, messages)
}

fn is_full<T>(result: Result<T, StoreError>) -> bool {
    match result {
        Ok(_) => false,
        Err(StoreError::OverQuota) => true,
        Err(error) => panic!("{error}"),
    }
}

/// What the file on disk says by itself, added up.
fn told(here: &Here) -> (i64, i64) {
    let text = std::fs::read_to_string(here.file("maildirsize")).unwrap();
    let lines = text.lines().skip(1).map(|line| {
        let (octets, messages) = line.split_once(' ').unwrap();
        (octets.parse::<i64>().unwrap(), messages.parse::<i64>().unwrap())
    });
    lines.fold((0, 0), |(octets, messages), (more, count)| (octets + more, messages + count))
}

#[test]
fn mail_is_taken_up_to_the_limit_and_the_last_may_use_the_grace() {
    // Limit, grace, sizes, and which of them are refused.
    let cases: [(u64, u64, &[Try]); 4] = [
        (1_000, 0, &[(500, false), (500, false), (100, true)]),
        (1_000, 0, &[(500, false), (501, true), (500, false)]),
        (1_000, 100, &[(900, false), (201, true), (200, false), (100, true)]),
        // One that could never fit.
        (1_000, 100, &[(1_101, true), (1_100, false), (100, true)]),
    ];
    for (limit, grace, sizes) in cases {
        let here = limited(limit, None, grace);
        for (number, (size, refused)) in sizes.iter().enumerate() {
            let foreseen = is_full(here.store().has_room(&address(), *size as u64));
            let full = is_full(try_delivery(&here, *size));
            assert_eq!((foreseen, full), (*refused, *refused), "{limit} {grace} {sizes:?} {number}");
        }
    }
}

#[test]
fn messages_are_counted_as_well() {
    let here = limited(None, 2, 1_000);
    assert!(!is_full(try_delivery(&here, 100)) && !is_full(try_delivery(&here, 100)));
    assert!(is_full(try_delivery(&here, 100)));
    assert_eq!(used(&here), (200, 2));
}

#[test]
fn a_full_account_holds_up_no_other_recipient() {
    let here = Here::new();
    here.store().limit_by(|account| QuotaLimits {
        octets: (*account == address().folded()).then_some(50),
        ..QuotaLimits::default()
    });
    let joe = Delivery { account: Address::parse("joe@example.org").unwrap(), ..Here::delivery("INBOX") };
    let deliveries = [Here::delivery("INBOX"), joe, Here::delivery("Junk")];
    let results = here.store().deliver(&here.incoming(&"x".repeat(100)), &deliveries);
    let full: Vec<bool> = results.into_iter().map(is_full).collect();
    assert_eq!(full, [true, false, true]);
    assert!(here.names("tmp").is_empty() && here.names("new").is_empty());
}

#[test]
fn append_and_copy_count_and_move_does_not_need_the_room_twice() {
    let here = limited(1_000, None, 500);
    try_delivery(&here, 400).unwrap();
    let (inbox, archive) = (here.inbox(), here.account().open(&name("Archive")).unwrap());
    inbox.refresh().unwrap();
    let first = all(&inbox);
    inbox.copy_to(&first, &archive).unwrap();
    assert_eq!(used(&here), (800, 2));
    assert!(is_full(inbox.copy_to(&first, &archive)), "no grace for what its owner does");
    assert!(is_full(inbox.append(&[here.appended(&"x".repeat(201), &Flags::default(), None)])));
    let room = |octets| here.account().has_room(&name("INBOX"), octets, 1);
    assert!(is_full(room(201)) && !is_full(room(200)));
    here.append(&inbox, &"x".repeat(200), &Flags::default());
    assert_eq!(used(&here), (1_000, 3));

    let everything = all(&inbox);
    let moved = inbox.move_to(&everything, &archive).unwrap();
    assert_eq!((moved.pairs.len(), used(&here)), (2, (1_000, 3)));
    assert_eq!(told(&here), (1_000, 3));

    archive
        .store_flags(&all(&archive)[..1], &FlagChange::Add(Flags::default().with(SystemFlag::Deleted)))
        .unwrap();
    archive.expunge(None).unwrap();
    assert_eq!((used(&here), told(&here)), ((600, 2), (600, 2)));
    here.account().delete(&name("Archive")).unwrap();
    assert_eq!(used(&here), (0, 0));
    assert!(!is_full(try_delivery(&here, 1_000)));
}

/// RFC 8508 §3: only what the new one is larger needs room.
#[test]
fn a_message_that_replaces_another_does_not_need_the_room_twice() {
    let here = limited(1_000, 2, 0);
    let inbox = here.inbox();
    here.append(&inbox, &"x".repeat(400), &Flags::default());
    let old = here.append(&inbox, &"x".repeat(500), &Flags::default());
    let draft = |octets: usize| here.appended(&"y".repeat(octets), &Flags::default(), None);
    assert!(is_full(inbox.replace(old, &draft(601), &inbox)));
    assert_eq!((used(&here), all(&inbox).len()), ((900, 2), 2));
    let (_, new) = inbox.replace(old, &draft(600), &inbox).unwrap();
    assert_eq!((used(&here), told(&here)), ((1_000, 2), (1_000, 2)));
    let gone = inbox.replace(old, &draft(10), &inbox);
    assert!(matches!(gone, Err(StoreError::Expunged)), "{gone:?}");
    let archive = here.account().open(&name("Archive")).unwrap();
    inbox.replace(new, &draft(10), &archive).unwrap();
    assert_eq!((used(&here), all(&inbox).len(), all(&archive).len()), ((410, 2), 1, 1));
}

#[test]
fn deliveries_at_once_do_not_run_past_the_limit() {
    const THREADS: usize = 16;
    let here = limited(1_000, None, 0);
    let start = Barrier::new(THREADS);
    let full: usize = std::thread::scope(|scope| {
        let deliver = || {
            start.wait();
            usize::from(is_full(try_delivery(&here, 150)))
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(deliver)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((full, here.names("new").len()), (THREADS - 6, 6));
    assert_eq!(used(&here), (900, 6));
    assert_eq!(here.store().recalculate_quota(&address()).unwrap().used, Usage { octets: 900, messages: 6 });
}

/// What other programs write and break is believed or counted anew, never both.
#[test]
fn the_file_is_believed_until_it_is_damaged_or_says_full() {
    let here = limited(1_000, 10, 0);
    try_delivery(&here, 300).unwrap();
    let file = here.file("maildirsize");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let cases = [
        // Believed, as what another program has counted.
        ("1000S,10C\n500 4\n", (500, 4)),
        ("1000S,10C\n500 4\n-100 -1\n", (400, 3)),
        // Not: limits of another time, damage, and what others removed without a word.
        ("999S,10C\n500 4\n", (300, 1)),
        ("1000S,10C\nx y\n", (300, 1)),
        ("", (300, 1)),
        ("1000S,10C\n500 4\n600 1\n", (300, 1)),
        ("1000S,10C\n-5 -1\n", (300, 1)),
    ];
    for (text, expected) in cases {
        write(text);
        assert_eq!(used(&here), expected, "{text:?}");
    }
    write(&format!("1000S,10C\n0 0\n{}", "1 1\n".repeat(2_000)));
    assert_eq!(used(&here), (300, 1), "long ones are counted anew");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1000S,10C\n300 1\n");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(used(&here), (300, 1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1000S,10C\n300 1\n");
}

#[test]
fn without_a_limit_no_file_is_made_and_one_that_is_there_is_kept() {
    let here = Here::new();
    try_delivery(&here, 100).unwrap();
    assert_eq!(used(&here), (100, 1));
    assert!(!here.file("maildirsize").exists());
    std::fs::write(here.file("maildirsize"), "200S\n100 1\n").unwrap();
    try_delivery(&here, 100).unwrap();
    assert!(is_full(try_delivery(&here, 100)), "the limit that the file itself tells");
    assert_eq!(std::fs::read_to_string(here.file("maildirsize")).unwrap(), "200S\n100 1\n100 1\n");
}

#[test]
fn an_account_that_has_no_maildir_holds_nothing_and_gets_none() {
    let here = limited(1_000, None, 0);
    assert_eq!(used(&here), (0, 0));
    assert!(
        is_full(here.store().has_room(&address(), 1_001))
            && !is_full(here.store().has_room(&address(), 1_000))
    );
    assert_eq!(here.store().recalculate_quota(&address()).unwrap().used, Usage::default());
    assert!(!here.maildir().exists());
}

/// Rules of Dovecot for single mailboxes: nothing in `Spam` counts, and for what goes into `Trash` there is more room.
fn with_rules(octets: u64, messages: impl Into<Option<u64>>) -> Here {
    with_rules_in(
        MailboxLayout::MaildirPlusPlus,
        QuotaLimits { octets: Some(octets), messages: messages.into(), grace: 0 },
    )
}

fn with_rules_in(layout: MailboxLayout, limits: QuotaLimits) -> Here {
    let here = Here::with(layout);
    let naming = Naming { separator: '.', below_inbox: false, layout };
    let rule = |mask: &str, allowance| MailboxQuota { mask: mask.to_owned(), naming, allowance };
    let differs = |octets, messages| MailboxAllowance::Differs { octets, messages };
    let rules = [
        rule("Spam*", MailboxAllowance::Ignored),
        rule("Trash", differs(Difference::Percent(10), Difference::Number(1))),
        rule("Small", differs(Difference::Number(-500), Difference::Number(0))),
    ];
    here.store().limit_by(move |_| AccountQuota { limits, mailboxes: rules.clone().into() });
    here
}

#[test]
fn a_mailbox_may_have_more_room_or_less_for_what_comes_into_it() {
    let here = with_rules(1_000, 3);
    let account = here.account();
    account.create(&name("Small")).unwrap();
    let of = |mailbox: &str| account.open(&name(mailbox)).unwrap();
    let (inbox, trash, small) = (here.inbox(), of("Trash"), of("Small"));
    let add = |mailbox: &kings_store::Mailbox, octets: usize| {
        mailbox.append(&[here.appended(&"x".repeat(octets), &Flags::default(), None)])
    };
    assert!(is_full(add(&small, 501)));
    add(&small, 500).unwrap();
    assert!(is_full(add(&small, 1)), "what is elsewhere counts as well");
    add(&inbox, 500).unwrap();
    assert!(is_full(add(&inbox, 1)) && is_full(add(&trash, 101)));
    add(&trash, 100).unwrap();
    assert_eq!((used(&here), told(&here)), ((1_100, 3), (1_100, 3)));
    // The number is full in the inbox, and in the trash there is one more.
    assert!(is_full(account.has_room(&name("INBOX"), 0, 1)));
    assert!(
        !is_full(account.has_room(&name("Trash"), 0, 1)) && is_full(account.has_room(&name("Trash"), 0, 2))
    );
    // Only deliveries may use a grace, and what is moved needs no room.
    inbox.move_to(&all(&inbox), &small).unwrap();
    assert_eq!(used(&here), (1_100, 3));
}

#[test]
fn what_is_in_a_mailbox_that_is_ignored_counts_for_nothing() {
    let nested = QuotaLimits { octets: Some(1_000), messages: None, grace: 0 };
    for here in [with_rules(1_000, None), with_rules_in(MailboxLayout::Fs, nested)] {
        let account = here.account();
        let in_spam = name("Spam.old");
        account.create(&name("Spam")).unwrap();
        account.create(&in_spam).unwrap();
        let (inbox, spam, old) =
            (here.inbox(), account.open(&name("Spam")).unwrap(), account.open(&in_spam).unwrap());
        let text = |octets| here.appended(&"x".repeat(octets), &Flags::default(), None);
        inbox.append(&[text(900)]).unwrap();
        for mailbox in [&spam, &old] {
            mailbox.append(&[text(5_000)]).unwrap();
        }
        let deliver = Delivery { mailbox: name("Spam").into(), ..Here::delivery("INBOX") };
        here.store().deliver(&here.incoming("much"), &[deliver]).pop().unwrap().unwrap();
        assert_eq!((used(&here), told(&here)), ((900, 1), (900, 1)));
        assert_eq!(
            here.store().recalculate_quota(&address()).unwrap().used,
            Usage { octets: 900, messages: 1 }
        );

        // From there what is copied needs room, and what is moved counts, whether there is room or not, as with Dovecot.
        assert!(is_full(old.copy_to(&all(&old), &inbox)));
        inbox.copy_to(&all(&inbox), &spam).unwrap();
        inbox.move_to(&all(&inbox), &spam).unwrap();
        assert_eq!((used(&here), told(&here)), ((0, 0), (0, 0)));
        assert!(is_full(old.replace(all(&old)[0], &text(1_001), &inbox)), "only 1,000 of 5,000 have room");
        old.move_to(&all(&old), &inbox).unwrap();
        assert_eq!((used(&here), told(&here)), ((5_000, 1), (5_000, 1)));
        assert!(is_full(inbox.append(&[text(1)])));

        // With another name it counts, or counts no more.
        account.rename(&in_spam, &name("Kept")).unwrap();
        account.rename(&name("Spam"), &name("Ham")).unwrap();
        assert_eq!(used(&here).0, 5_000 + 5_000 + 900 + 900 + ("Received: here\r\nmuch".len() as u64));
        account.rename(&name("Ham"), &name("Spam")).unwrap();
        account.delete(&name("Spam")).unwrap();
        assert_eq!((used(&here), told(&here)), ((5_000, 1), (5_000, 1)));
    }
}
