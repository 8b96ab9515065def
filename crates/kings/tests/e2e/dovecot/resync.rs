//! Clients that keep a cache (RFC 7162): Kings and Dovecot, each over its own copy of a mailbox, tell the same changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup, program, run};

/// Dovecot's copy of the mailbox; it knows every name.
const COPY: &str = "copy@example.org";

/// Two clients: `a` has QRESYNC, `b` is plain. `mark NAME` keeps HIGHESTMODSEQ for `{NAME}`.
const DIALOGUE: &str = r"
a ENABLE QRESYNC
a SELECT INBOX
mark m0
b SELECT INBOX
b STORE 2:3 +FLAGS.SILENT (\Seen)
a NOOP
a UID FETCH 1:* (FLAGS) (CHANGEDSINCE {m0})
mark m1
a UID FETCH 1:* (FLAGS) (CHANGEDSINCE {m1})
a UID STORE 1:4 (UNCHANGEDSINCE {m0}) +FLAGS.SILENT (\Flagged)
a UID STORE 1:4 (UNCHANGEDSINCE {m1}) +FLAGS (\Answered)
a UID STORE 8 (UNCHANGEDSINCE 1) FLAGS ($Forwarded)
mark m2
a UID SEARCH MODSEQ {m2}
b NOOP
b UID STORE 5:6 +FLAGS.SILENT (\Deleted)
b EXPUNGE
a NOOP
a UID FETCH 1:* FLAGS (CHANGEDSINCE {m1} VANISHED)
a UNSELECT
mark m3
b UID STORE 1 +FLAGS.SILENT (\Answered)
b UID STORE 2 +FLAGS.SILENT (\Deleted)
b EXPUNGE
b UID STORE 7 FLAGS.SILENT ($Forwarded)
a SELECT INBOX (QRESYNC ({validity} {m3}))
a UNSELECT
a SELECT INBOX (QRESYNC ({validity} {m1} 1:5))
a SELECT INBOX (QRESYNC ({validity} {m2}))
a UID FETCH 3:8 FLAGS (CHANGEDSINCE {m3} VANISHED)
a UID STORE 3 +FLAGS.SILENT (\Deleted)
a UID EXPUNGE 3
mark m4
a EXAMINE INBOX (QRESYNC ({validity} {m4}))
a SELECT INBOX (QRESYNC (1 {m0}))
a UID STORE 4 +FLAGS.SILENT (\Deleted)
a CLOSE
a SELECT INBOX (QRESYNC ({validity} {m4} 1:8))
";

/// One server's two clients, what they keep in mind, and a third client that looks at numbers for them.
struct Server {
    a: Imap,
    b: Imap,
    onlooker: Imap,
    words: BTreeMap<String, String>,
}

/// What a client learns from one command, whatever the words and their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Learnt {
    vanished: BTreeSet<u32>,
    earlier: BTreeSet<u32>,
    /// By UID, the flags that were told. `\Recent` and the numbers themselves are each server's own.
    changed: BTreeMap<u32, Option<BTreeSet<String>>>,
    found: BTreeSet<u32>,
    modified: BTreeSet<u32>,
}

fn set(text: &str) -> BTreeSet<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let range = |part: &str| match part.split_once(':') {
        Some((from, to)) => number(from)..=number(to),
        None => number(part)..=number(part),
    };
    text.split(',').flat_map(range).collect()
}

fn between<'a>(text: &'a str, start: &str, end: char) -> Option<&'a str> {
    text.split_once(start)?.1.split(end).next()
}

impl Learnt {
    fn hear(&mut self, line: &str) {
        if let Some(uids) = line.strip_prefix("* VANISHED (EARLIER) ") {
            self.earlier.extend(set(uids));
        } else if let Some(uids) = line.strip_prefix("* VANISHED ") {
            self.vanished.extend(set(uids));
        } else if line.contains(" FETCH (") && line.contains("MODSEQ (") {
            let uid = between(line, "UID ", ' ')
                .unwrap_or_else(|| panic!("no UID: {line}"))
                .trim_end_matches(')')
                .parse()
                .unwrap();
            let flags = between(line, "FLAGS (", ')').map(|flags| {
                let flags = flags.split_whitespace().filter(|flag| *flag != "\\Recent");
                flags.map(str::to_owned).collect::<BTreeSet<_>>()
            });
            self.changed.insert(uid, flags);
        } else if let Some(found) = line.strip_prefix("* SEARCH ") {
            let found = found.split(" (").next().unwrap();
            self.found.extend(found.split_whitespace().map(|number| number.parse::<u32>().unwrap()));
        }
    }
}

impl Server {
    fn new(client: impl Fn() -> Imap) -> Self {
        Self { a: client(), b: client(), onlooker: client(), words: BTreeMap::new() }
    }

    fn take(&mut self, step: &str) -> Learnt {
        let (who, command) = step.split_once(' ').unwrap();
        let mut learnt = Learnt::default();
        let mut command = command.to_owned();
        for (word, value) in &self.words {
            command = command.replace(&format!("{{{word}}}"), value);
        }
        let (lines, result) = match who {
            "a" => self.a.result(&command),
            "b" => self.b.result(&command),
            _ => {
                let told = self.onlooker.command("STATUS INBOX (HIGHESTMODSEQ UIDVALIDITY)");
                let told = &told.last().unwrap().text;
                for (word, name) in [(command.as_str(), "HIGHESTMODSEQ "), ("validity", "UIDVALIDITY ")] {
                    let value = between(told, name, ' ').unwrap().trim_end_matches(')');
                    self.words.insert(word.to_owned(), value.to_owned());
                }
                return learnt;
            }
        };
        for line in lines {
            learnt.hear(&line.text);
        }
        if let Some(modified) = between(&result, "[MODIFIED ", ']') {
            learnt.modified = set(modified);
        }
        learnt
    }
}

/// A copy of Ann's mailbox for Dovecot alone.
fn copied(kings: &Kings) {
    let (ann, copy) = (kings.maildir(ANN), kings.maildir(COPY));
    run(program("cp").arg("-a").arg(&ann).arg(&copy)).succeeded();
}

#[test]
fn a_client_with_a_cache_learns_the_same_from_dovecot_and_from_kings() {
    let kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    for subject in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
        kings.deliver(ANN, subject);
    }
    // The UIDs are given, and nobody's client has seen the mailbox yet.
    kings.imap(ANN).command("STATUS INBOX (MESSAGES)");
    copied(&kings);
    let dovecot = Dovecot::start(&kings);
    let mut here = Server::new(|| kings.imap(ANN));
    let mut there = Server::new(|| dovecot.imap_as(&kings, COPY));
    let mut told = 0;
    for step in DIALOGUE.lines().filter(|line| !line.is_empty()) {
        let (ours, theirs) = (here.take(step), there.take(step));
        assert_eq!(ours, theirs, "Kings is left, Dovecot is right: {step}");
        told += usize::from(ours != Learnt::default());
    }
    assert!(told >= 12, "only {told} commands told anything");
}

/// What a client knows from before a restart is what it is told from then on.
#[test]
fn a_restart_makes_no_client_fetch_anything_again() {
    let mut kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    kings.deliver(ANN, "one");
    kings.deliver(ANN, "two");
    let mut server = Server::new(|| kings.imap(ANN));
    for step in ["a ENABLE QRESYNC", "a SELECT INBOX", "a STORE 1 +FLAGS.SILENT (\\Flagged)", "mark m0"] {
        server.take(step);
    }
    let words = server.words.clone();
    drop(server);
    kill_process(Pid::from_raw(i32::try_from(kings.process()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(kings.ends_within(Duration::from_secs(20)));
    kings.serve();
    let mut server = Server { words, ..Server::new(|| kings.imap(ANN)) };
    server.take("a ENABLE QRESYNC");
    assert_eq!(server.take("a SELECT INBOX (QRESYNC ({validity} {m0}))"), Learnt::default());
    let before = server.words["m0"].clone();
    server.take("mark m0");
    assert_eq!(server.words["m0"], before);
    // Not so after the power went: what was not written down is told once more, and nothing is missed.
    server.take("a STORE 2 +FLAGS.SILENT (\\Seen)");
    drop(server);
    kings.kill();
    kings.serve();
    let words = BTreeMap::from([("m0".to_owned(), before), ("validity".to_owned(), String::new())]);
    let mut server = Server { words, ..Server::new(|| kings.imap(ANN)) };
    server.take("mark m9");
    server.take("a ENABLE QRESYNC");
    let learnt = server.take("a SELECT INBOX (QRESYNC ({validity} {m0}))");
    assert!(learnt.changed.keys().eq([&1, &2]), "{learnt:?}");
}
