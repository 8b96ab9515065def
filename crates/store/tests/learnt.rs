//! What was learnt from messages: it comes back, only to those it belongs to, and whatever became of its file.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;

use common::{Here, all, name, uid};
use kings_store::{Learnt, Mailbox, Sheet, Uid};

/// The file with everything that was learnt.
fn file(here: &Here) -> PathBuf {
    here.maildir().join("../../../index/example.org/ann/messages.sqlite")
}

/// The store is closed, so all is written, and opened again.
fn restarted(here: Here) -> Here {
    let again = here.again(0);
    drop(here);
    again
}

fn learn(mailbox: &Mailbox, version: u32, text: &str) {
    let mut memory = mailbox.memory(version).unwrap();
    for uid in all(mailbox) {
        let sheet = |kind: &str| format!("{text} {kind} {uid}").into_bytes();
        memory.learn(Learnt { uid, sheets: [sheet("listing"), sheet("sorting"), sheet("threading")] });
    }
}

/// The sheets that are kept of some messages.
fn known(mailbox: &Mailbox, version: u32, sheet: Sheet, uids: &[Uid]) -> Vec<String> {
    let mut found = Vec::new();
    let mut memory = mailbox.memory(version).unwrap();
    memory.recall(sheet, uids, |place, sheet| {
        let text = String::from_utf8(sheet.to_vec()).unwrap();
        assert!(text.ends_with(&format!(" {}", uids[place])), "{text} is not of {}", uids[place]);
        found.push(text);
    });
    found
}

fn count(mailbox: &Mailbox) -> usize {
    known(mailbox, 1, Sheet::Listing, &all(mailbox)).len()
}

/// An inbox of so many messages, all of them learnt.
fn learnt(messages: usize) -> Here {
    let here = Here::new();
    here.inbox();
    for number in 0..messages {
        std::fs::write(here.file(format!("cur/{number}.here:2,")), "x\r\n").unwrap();
    }
    let inbox = here.inbox();
    inbox.refresh().unwrap();
    learn(&inbox, 1, "a");
    drop(inbox);
    restarted(here)
}

#[test]
fn sheets_come_back_after_a_restart_whole_and_sparse() {
    let here = learnt(500);
    let inbox = here.inbox();
    for sheet in Sheet::ALL {
        assert_eq!(known(&inbox, 1, sheet, &all(&inbox)).len(), 500);
    }
    let few = [uid(1), uid(250), uid(500)];
    assert_eq!(known(&inbox, 1, Sheet::Sorting, &few), ["a sorting 1", "a sorting 250", "a sorting 500"]);
    // The mirror image: what was not learnt, or by others, does not come.
    assert_eq!(known(&inbox, 2, Sheet::Listing, &few), [""; 0]);
    here.deliver("new");
    inbox.refresh().unwrap();
    assert_eq!(known(&inbox, 1, Sheet::Listing, &[uid(500), uid(501)]), ["a listing 500"]);
}

#[test]
fn a_file_that_changed_under_its_name_is_another_message() {
    let here = learnt(3);
    let names = here.names("cur");
    std::fs::write(here.file("cur").join(&names[1]), "other\r\n").unwrap();
    let old = std::fs::File::open(here.file("cur").join(&names[2])).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    assert_eq!(count(&here.inbox()), 1);
}

#[test]
fn other_flags_make_no_other_message() {
    let here = learnt(3);
    let names = here.names("cur");
    let cur = here.file("cur");
    std::fs::rename(cur.join(&names[0]), cur.join(format!("{}S", names[0]))).unwrap();
    assert_eq!(count(&here.inbox()), 3);
}

#[test]
fn new_uids_begin_without_sheets() {
    let here = learnt(3);
    std::fs::remove_file(here.file("dovecot-uidlist")).unwrap();
    assert_eq!(count(&here.inbox()), 0);
}

#[test]
fn what_is_removed_is_forgotten_and_a_renamed_mailbox_keeps_its_own() {
    let here = learnt(4);
    let account = here.account();
    account.create(&name("Old")).unwrap();
    let (inbox, old) = (here.inbox(), account.open(&name("Old")).unwrap());
    inbox.copy_to(&all(&inbox), &old).unwrap();
    learn(&old, 1, "b");
    inbox.remove(&[uid(2)]).unwrap();
    drop((inbox, old, account));
    let here = restarted(here);
    let account = here.account();
    account.rename(&name("Old"), &name("New")).unwrap();
    let renamed = account.open(&name("New")).unwrap();
    assert_eq!((count(&here.inbox()), count(&renamed)), (3, 4));
    assert_eq!(rows(&here), [(3, 3), (4, 4)], "each mailbox has the numbers and the sheets of its messages");
    drop(renamed);
    account.delete(&name("New")).unwrap();
    drop(account);
    let here = restarted(here);
    assert_eq!(rows(&here), [(3, 3)]);
    // One that another program removes is forgotten when the account is opened next.
    here.account().create(&name("Old")).unwrap();
    drop(here.account().open(&name("Old")).unwrap());
    let here = restarted(here);
    std::fs::remove_dir_all(here.file(".Old")).unwrap();
    drop(here.account());
    let here = restarted(here);
    assert_eq!(rows(&here), [(3, 3)]);
}

/// For each mailbox how many messages it has in both files of the index.
fn rows(here: &Here) -> Vec<(usize, usize)> {
    let open = |file: PathBuf| rusqlite::Connection::open(file).unwrap();
    let (sheets, numbers) = (open(file(here)), open(file(here).with_file_name("index.sqlite")));
    let mut guids = numbers.prepare("SELECT guid FROM mailbox ORDER BY id").unwrap();
    let guids = guids.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let one = |guid: String| {
        let sql = "SELECT count(*) FROM listing, mailbox WHERE guid = ?1 AND key >> 32 = id";
        let kept: usize = sheets.query_row(sql, [&guid], |row| row.get(0)).unwrap();
        let sql =
            "SELECT total(length(notes) - 4) / 17 FROM message, mailbox WHERE guid = ?1 AND mailbox = id";
        let noted: f64 = numbers.query_row(sql, [&guid], |row| row.get(0)).unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        (noted as usize, kept)
    };
    guids.map(Result::unwrap).map(one).collect()
}

#[test]
fn a_file_that_is_lost_or_damaged_is_as_good_as_none_and_is_made_anew() {
    let here = learnt(300);
    let good = std::fs::read(file(&here)).unwrap();
    drop(here.inbox());
    let mut here = here;
    let every = |step: usize, from: usize| {
        let mut octets = good.clone();
        octets.iter_mut().skip(from).step_by(step).for_each(|octet| *octet ^= 0x55);
        octets
    };
    let spoilt: [Option<Vec<u8>>; 6] = [
        None,
        Some(Vec::new()),
        Some(b"no database at all, but long enough to be looked at".repeat(100)),
        Some(good[..good.len() / 2].to_vec()),
        Some(every(7, 4096)),
        Some(every(997, 8192)),
    ];
    for (case, octets) in spoilt.into_iter().enumerate() {
        match octets {
            Some(octets) => std::fs::write(file(&here), octets).unwrap(),
            None => std::fs::remove_file(file(&here)).unwrap(),
        }
        let inbox = here.inbox();
        // `known` looks whether each sheet that comes is the right one; none has to come.
        assert!(count(&inbox) < 300, "case {case}");
        drop(inbox);
        here = restarted(here);
        learn(&here.inbox(), 1, "a");
        here = restarted(here);
        assert_eq!(count(&here.inbox()), 300, "case {case}: it is whole again");
    }
}
