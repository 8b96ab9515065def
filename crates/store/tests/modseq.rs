//! Numbers of changes (RFC 7162 §3.1) on real folders: over a restart, a crash, and what other programs do meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, HashSet};

use common::{Here, all, keyword, uid};
use kings_store::{FlagChange, Flags, Mailbox, ModSeq, SystemFlag, Uid};
use proptest::prelude::*;

fn seen() -> FlagChange {
    FlagChange::Add(Flags::default().with(SystemFlag::Seen))
}

fn modseqs(mailbox: &Mailbox) -> Vec<u64> {
    let snapshot = mailbox.refresh().unwrap();
    let modseqs: Vec<u64> = snapshot.messages.iter().map(|message| message.modseq.get()).collect();
    assert!(modseqs.iter().all(|modseq| (1..=snapshot.highest_modseq.get()).contains(modseq)));
    modseqs
}

fn highest(mailbox: &Mailbox) -> ModSeq {
    mailbox.refresh().unwrap().highest_modseq
}

/// The store is closed as at a clean stop and opened again.
fn restarted(here: Here) -> Here {
    let again = here.again(0);
    drop(here);
    again
}

/// The file of the index, with everything in it.
fn index_file(here: &Here) -> std::path::PathBuf {
    here.maildir().join("../../../index/example.org/ann/index.sqlite")
}

#[test]
fn every_change_has_a_higher_number_and_the_others_keep_theirs() {
    let here = Here::new();
    for text in ["a", "b", "c"] {
        here.deliver(text);
    }
    let inbox = here.inbox();
    let before = modseqs(&inbox);
    inbox.store_flags(&[uid(2)], &seen()).unwrap();
    let after = modseqs(&inbox);
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert!(after[1] > before[1] && after[1] == highest(&inbox).get());
    // Once more the same changes nothing.
    inbox.store_flags(&[uid(2)], &seen()).unwrap();
    assert_eq!(modseqs(&inbox), after);
    here.deliver("d");
    assert!(modseqs(&inbox)[3] > after[1]);
    inbox.store_flags(&[uid(1)], &FlagChange::Add(keyword("work"))).unwrap();
    let with_keyword = modseqs(&inbox);
    assert!(with_keyword[0] > with_keyword[3]);
    let before_removal = highest(&inbox);
    inbox.remove(&[uid(3)]).unwrap();
    assert!(highest(&inbox) > before_removal);
    assert_eq!(inbox.removed_since(before_removal).unwrap(), Some(vec![uid(3)]));
    assert_eq!(inbox.removed_since(highest(&inbox)).unwrap(), Some(vec![]));
}

#[test]
fn a_restart_changes_no_number() {
    let here = Here::new();
    let inbox = here.inbox();
    for number in 0..3000 {
        std::fs::write(here.file(format!("new/{number}.here")), "x").unwrap();
    }
    inbox.refresh().unwrap();
    inbox.store_flags(&all(&inbox)[1000..1500], &seen()).unwrap();
    inbox.remove(&[uid(7), uid(2900)]).unwrap();
    let (before, top) = (modseqs(&inbox), highest(&inbox));
    drop(inbox);
    let here = restarted(here);
    let inbox = here.inbox();
    assert_eq!((modseqs(&inbox), highest(&inbox)), (before.clone(), top));
    assert_eq!(inbox.removed_since(ModSeq::new(before[0])).unwrap(), Some(vec![uid(7), uid(2900)]));
    // What changes after the restart is all that the index takes in.
    inbox.store_flags(&[uid(1)], &seen()).unwrap();
    let (before, top) = (modseqs(&inbox), highest(&inbox));
    drop(inbox);
    let here = restarted(here);
    assert_eq!((modseqs(&here.inbox()), highest(&here.inbox())), (before, top));
}

#[test]
fn what_another_program_did_while_the_mailbox_was_closed_is_a_change() {
    let here = Here::new();
    for text in ["a", "b", "c"] {
        here.deliver(text);
    }
    let inbox = here.inbox();
    inbox.select().unwrap();
    let (before, top) = (modseqs(&inbox), highest(&inbox));
    drop(inbox);
    let here = {
        let again = here.again(0);
        let names = here.names("cur");
        drop(here);
        let cur = again.file("cur");
        std::fs::rename(cur.join(&names[0]), cur.join(format!("{}S", names[0]))).unwrap();
        std::fs::remove_file(cur.join(&names[1])).unwrap();
        again
    };
    let inbox = here.inbox();
    let after = modseqs(&inbox);
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[2]) || after.contains(&before[0]) || after.contains(&before[1]));
    assert_eq!(after.iter().filter(|modseq| **modseq > top.get()).count(), 1);
    assert_eq!(inbox.removed_since(top).unwrap().map(|gone| gone.len()), Some(1));
}

/// The index as it was before the last changes, as after a crash; without it; and damaged at every kind of place.
#[test]
fn an_index_that_missed_something_is_not_believed() {
    let here = Here::new();
    here.deliver("a");
    here.deliver("b");
    drop(here.inbox());
    let here = restarted(here);
    let file = index_file(&here);
    let old = std::fs::read(&file).unwrap();
    let inbox = here.inbox();
    inbox.store_flags(&[uid(1)], &seen()).unwrap();
    let mut top = highest(&inbox);
    drop(inbox);
    let mut here = restarted(here);
    let spoilt: [&dyn Fn(); 4] = [
        &|| std::fs::write(&file, &old).unwrap(),
        &|| std::fs::remove_file(&file).unwrap(),
        &|| std::fs::write(&file, "no database at all, but long enough to be looked at".repeat(100)).unwrap(),
        &|| {
            let mut octets = std::fs::read(&file).unwrap();
            octets.iter_mut().skip(4096).step_by(7).for_each(|octet| *octet ^= 0x55);
            std::fs::write(&file, octets).unwrap();
        },
    ];
    for (case, spoil) in spoilt.into_iter().enumerate() {
        spoil();
        let inbox = here.inbox();
        assert!(
            modseqs(&inbox).iter().all(|modseq| *modseq > top.get()),
            "case {case}: every message counts as changed"
        );
        assert_eq!(inbox.removed_since(top).unwrap(), None, "case {case}");
        assert_eq!(all(&inbox), [uid(1), uid(2)], "case {case}");
        top = highest(&inbox);
        drop(inbox);
        here = restarted(here);
        assert_eq!(highest(&here.inbox()), top, "case {case}: the index is whole again");
    }
}

#[test]
fn a_clock_that_goes_back_takes_no_number_with_it() {
    let here = Here::new();
    here.deliver("a");
    drop(here.inbox());
    let here = restarted(here);
    // A ceiling of the future stands for a clock that has been put back since.
    std::fs::write(here.file("kings-state"), "kings-state 1\nmodseq-ceiling 9000000000000000000\n").unwrap();
    assert!(modseqs(&here.inbox())[0] > 9_000_000_000_000_000_000);
}

#[test]
fn flags_are_set_only_on_what_has_not_changed_since() {
    let here = Here::new();
    for text in ["a", "b", "c"] {
        here.deliver(text);
    }
    let inbox = here.inbox();
    inbox.select().unwrap();
    let since = highest(&inbox);
    inbox.store_flags(&[uid(2)], &seen()).unwrap();
    let flagged = FlagChange::Add(Flags::default().with(SystemFlag::Flagged));
    let everything = [uid(3), uid(1), uid(2)];
    let stored = inbox.store_flags_unless_changed(&everything, &flagged, since).unwrap();
    assert_eq!(stored.flags.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), [uid(3), uid(1)]);
    assert_eq!(stored.left_alone, HashSet::from([uid(2)]));
    // Another program, whose change nobody here has seen yet.
    let since = highest(&inbox);
    let name = here.names("cur").into_iter().find(|name| name.ends_with(":2,S")).unwrap();
    std::fs::rename(here.file("cur").join(&name), here.file("cur").join(format!("{name}T"))).unwrap();
    let stored = inbox.store_flags_unless_changed(&everything, &flagged, since).unwrap();
    assert_eq!((stored.flags.len(), stored.left_alone), (2, HashSet::from([uid(2)])));
    let stored = inbox.store_flags_unless_changed(&everything, &seen(), ModSeq::ZERO).unwrap();
    assert_eq!((stored.flags, stored.left_alone), (vec![], HashSet::from(everything)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A client that asks for changes since the number it knows, over restarts and crashes, has the mailbox as it is.
    #[test]
    fn a_client_that_follows_the_numbers_sees_the_mailbox(
        steps in proptest::collection::vec((0_u8..7, any::<u8>()), 1..25)
    ) {
        let mut here = Here::new();
        let mut known: BTreeMap<Uid, Flags> = BTreeMap::new();
        let mut synced = ModSeq::ZERO;
        let mut number = 0;
        for (step, which) in steps {
            let inbox = here.inbox();
            let uids = all(&inbox);
            let one: Vec<Uid> = uids.get(usize::from(which) % uids.len().max(1)).copied().into_iter().collect();
            match step {
                0 | 1 => {
                    number += 1;
                    here.deliver(&number.to_string());
                }
                2 => drop(inbox.store_flags(&one, &seen()).unwrap()),
                3 => drop(inbox.store_flags(&one, &FlagChange::Remove(Flags::default().with(SystemFlag::Seen))).unwrap()),
                4 => drop(inbox.remove(&one).unwrap()),
                5 => {
                    drop(inbox);
                    here = restarted(here);
                    continue;
                }
                _ => {
                    // A crash: the index is as old as its last writing.
                    let file = index_file(&here);
                    let old = std::fs::read(&file).ok();
                    drop(inbox);
                    here = restarted(here);
                    match old {
                        Some(old) => std::fs::write(&file, old).unwrap(),
                        None => drop(std::fs::remove_file(&file)),
                    }
                    continue;
                }
            }
            let snapshot = inbox.refresh().unwrap();
            prop_assert!(snapshot.highest_modseq >= synced);
            match inbox.removed_since(synced).unwrap() {
                Some(gone) => gone.iter().for_each(|uid| drop(known.remove(uid))),
                None => known.retain(|uid, _| snapshot.message(*uid).is_some()),
            }
            for message in snapshot.messages.iter().filter(|message| message.modseq > synced) {
                known.insert(message.uid, message.flags.clone());
            }
            synced = snapshot.highest_modseq;
            let there: BTreeMap<Uid, Flags> =
                snapshot.messages.iter().map(|message| (message.uid, message.flags.clone())).collect();
            prop_assert_eq!(&known, &there);
        }
    }
}
