//! Fifty clients at one mailbox, deliveries, and a second program that changes the Maildir, all at once: what each client is
//! told stays consistent, and in the end all know the same.
//!
//! `KINGS_STRESS_SECONDS=300` makes it five minutes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Chance, Kings, Setup, View, between, run, show};

const ANN: &str = "ann@example.org";
const CLIENTS: u64 = 50;
const SECONDS: u64 = 20;
const FLAGS: [&str; 6] = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "work", "$Label1"];

/// What all clients together have learnt: which message a UID means, for good.
#[derive(Default)]
struct Ledger(Mutex<BTreeMap<u32, String>>);

impl Ledger {
    fn note(&self, uid: u32, subject: &str) {
        let mut known = self.0.lock().unwrap();
        let before = known.entry(uid).or_insert_with(|| subject.to_owned());
        assert_eq!(before, subject, "UID {uid} has come to mean another message");
    }
}

struct Scene<'a> {
    kings: &'a Kings,
    ledger: Ledger,
    over: AtomicBool,
    commands: AtomicU64,
}

impl Scene<'_> {
    /// One client at work.
    fn client(&self, seed: u64) {
        let mut chance = Chance::new(seed);
        let mut view = View::new(self.kings.imap(ANN));
        view.begin("INBOX");
        while !self.over.load(Relaxed) {
            self.one(&mut view, &mut chance);
            self.commands.fetch_add(1, Relaxed);
        }
    }

    fn one(&self, view: &mut View, chance: &mut Chance) {
        let count = view.uids.len() as u64;
        let one = |chance: &mut Chance| 1 + chance.below(count.max(1));
        let some = format!("{}:{}", one(chance), one(chance));
        let flag = chance.of(&FLAGS);
        let command = match chance.below(20) {
            _ if count == 0 => "NOOP".to_owned(),
            0..=3 => return self.read(view, one(chance)),
            4..=6 => format!("STORE {some} {}FLAGS ({flag})", chance.of(&["+", "-"])),
            7 => format!("STORE {some} (UNCHANGEDSINCE {}) +FLAGS.SILENT ({flag})", view.mark),
            // What comes has to go again.
            8 if count > 100 => format!("STORE {some} +FLAGS.SILENT (\\Deleted)"),
            8 => format!("STORE {} +FLAGS (\\Deleted)", one(chance)),
            9 => chance.of(&["EXPUNGE", "UID EXPUNGE 1:*"]).to_string(),
            10 => format!(
                "SEARCH {}",
                chance.of(&["UNSEEN", "KEYWORD work", "SUBJECT \"delivered\"", "LARGER 10"])
            ),
            11 => format!("SORT (REVERSE ARRIVAL SUBJECT) UTF-8 {some}"),
            12 => format!("MOVE {} Archive", one(chance)),
            13 => format!("COPY {} INBOX", one(chance)),
            14 => "THREAD REFERENCES UTF-8 ALL".to_owned(),
            15 => "STATUS INBOX (MESSAGES UIDNEXT HIGHESTMODSEQ)".to_owned(),
            16 => {
                let text = format!("Subject: appended {}\r\n\r\nx\r\n", chance.below(u64::MAX));
                format!("APPEND INBOX ({flag}) {{{}+}}\r\n{text}", text.len())
            }
            17 => {
                view.begin("INBOX");
                return;
            }
            _ => {
                view.look();
                return;
            }
        };
        let outcome = view.run(&command);
        // What is gone meanwhile cannot be copied or moved.
        let may_fail = ["MOVE", "COPY", "STORE"].iter().any(|name| command.starts_with(name));
        assert!(outcome.status == "OK" || may_fail && outcome.status == "NO", "{command}: {outcome:?}");
    }

    /// Reads a message: the UID must mean what it meant to all others.
    fn read(&self, view: &mut View, place: u64) {
        let (lines, end) = view.imap.answer(&format!("FETCH {place} (UID BODY.PEEK[])"));
        for line in &lines {
            let Some(uid) = between(&line.text, "UID ", ' ').filter(|_| line.text.contains("BODY[]")) else {
                view.news(&line.text);
                continue;
            };
            view.news(&line.text);
            let content = String::from_utf8_lossy(&line.literals[0]).into_owned();
            let subject = content.split_once("Subject: ").expect("a whole header").1.lines().next().unwrap();
            self.ledger.note(uid.trim_end_matches(')').parse().unwrap(), subject);
        }
        assert!(end.starts_with("OK") || end.starts_with("NO"), "{end}");
    }

    /// Another mail program on the same Maildir: it marks, unmarks, removes and adds, by renames as mutt does.
    fn stranger(&self) {
        let inbox = self.kings.maildir(ANN);
        let mut chance = Chance::new(4_711);
        for number in 0_u64.. {
            if self.over.load(Relaxed) {
                return;
            }
            Self::touch(&inbox, number, &mut chance);
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn touch(inbox: &Path, number: u64, chance: &mut Chance) {
        let names: Vec<String> = fs::read_dir(inbox.join("cur"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        if names.is_empty() || chance.below(3) == 0 {
            let name = format!("{}.M{number}P1.stranger", 1_700_000_000 + number);
            let text = format!("Subject: dropped {number}\n\nx\n");
            fs::write(inbox.join("tmp").join(&name), text).unwrap();
            return fs::rename(inbox.join("tmp").join(&name), inbox.join("new").join(&name)).unwrap();
        }
        let name = chance.of(&names);
        let path = inbox.join("cur").join(name);
        // Whoever was faster wins: then there is nothing to do.
        if chance.below(4) == 0 {
            return drop(fs::remove_file(path));
        }
        let (base, letters) = name.split_once(":2,").unwrap_or((name, ""));
        let flipped = if letters.contains('F') { letters.replace('F', "") } else { format!("F{letters}") };
        let mut sorted: Vec<char> = flipped.chars().collect();
        sorted.sort_unstable();
        let to = format!("{base}:2,{}", sorted.into_iter().collect::<String>());
        drop(fs::rename(path, inbox.join("cur").join(to)));
    }
}

#[test]
fn fifty_clients_and_two_programs_at_one_mailbox_are_told_nothing_that_cannot_be() {
    let setup = Setup {
        tables: "[limits]\nimap_connections_per_account = 100\nexempt = [\"127.0.0.0/8\"]\n".to_owned(),
        log: "warn",
        ..Setup::default()
    };
    let kings = setup.start();
    for number in 0..20 {
        kings.deliver(ANN, &format!("delivered first {number}"));
    }
    let seconds = std::env::var("KINGS_STRESS_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let scene = Scene {
        kings: &kings,
        ledger: Ledger::default(),
        over: AtomicBool::new(false),
        commands: AtomicU64::new(0),
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        let scene = &scene;
        for seed in 1..=CLIENTS {
            scope.spawn(move || scene.client(seed));
        }
        scope.spawn(|| scene.stranger());
        let mut number = 0;
        while Instant::now() < end {
            kings.deliver(ANN, &format!("delivered {number}"));
            number += 1;
            thread::sleep(Duration::from_millis(50));
        }
        scene.over.store(true, Relaxed);
    });
    let commands = scene.commands.load(Relaxed);
    assert!(commands > 10 * CLIENTS, "{commands} commands in {seconds} s");
    show(&format!(
        "{commands} commands in {seconds} s, {} messages known",
        scene.ledger.0.lock().unwrap().len()
    ));
    // Now nobody changes anything: two who come anew and the disk agree.
    thread::sleep(Duration::from_secs(3));
    let mut views = [(); 2].map(|()| View::new(kings.imap(ANN)));
    for view in &mut views {
        view.select("INBOX");
    }
    assert_eq!(views[0].flags, views[1].flags);
    let inbox = kings.maildir(ANN);
    let files: usize =
        ["cur", "new"].iter().map(|part| fs::read_dir(inbox.join(part)).unwrap().count()).sum();
    assert_eq!(views[0].uids.len(), files);
    run(&mut kings.command(&["verify", ANN])).succeeded();
}
