//! The same generated commands to Kings and to a real Dovecot, two sessions of one mailbox at a time: what clients hear means
//! the same.
//!
//! Each sequence has two mailboxes of its own. Answers are read as a client reads them: numbers become UIDs, and flags are
//! sets. Numbers of changes differ between the servers, so each keeps its own marks. What one session has not been told yet
//! may come at different times (RFC 3501 §7); it is compared when both have said NOOP. Every difference that may be is
//! counted under the section that allows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::{Dovecot, OWNER};
use crate::harness::{Chance, Kings, Outcome, Setup, View, show};

/// "At least 2,000".
const SEQUENCES: u64 = 2_000;
/// Commands of one sequence, beside those that look.
const COMMANDS: u64 = 9;
const FLAGS: [&str; 7] = ["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "\\Draft", "work", "$Label1"];

/// Two sessions of one server.
struct Server {
    name: &'static str,
    clients: [View; 2],
}

/// A sequence on both servers.
struct Sequence<'a> {
    servers: &'a mut [Server; 2],
    chance: Chance,
    mailboxes: [String; 2],
    /// What was said, to be read when something differs.
    script: String,
    /// Sessions that have not heard of all that the other did.
    behind: [bool; 2],
    explained: &'a mut BTreeMap<&'static str, u64>,
}

/// A command as each server hears it: `@` stands for its mark.
struct Step {
    text: String,
    /// Both must answer alike whoever has heard of what.
    is_sure: bool,
    changes: bool,
    /// It names messages that may be gone meanwhile.
    needs_messages: bool,
}

impl Sequence<'_> {
    fn play(&mut self) {
        self.begin();
        for _ in 0..COMMANDS {
            let session = usize::try_from(self.chance.below(2)).unwrap();
            if self.chance.below(2) == 0 {
                self.catch_up(session);
            }
            let step = self.step(session);
            if !self.both(session, &step) {
                return;
            }
        }
        self.end();
    }

    fn begin(&mut self) {
        let [a, b] = self.mailboxes.clone();
        let count = 2 + self.chance.below(5);
        let mut append = format!("APPEND {a}");
        for number in 0..count {
            let flags: Vec<&str> = FLAGS.into_iter().filter(|_| self.chance.below(4) == 0).collect();
            let text = format!("Subject: letter {number}\r\n\r\nbody of {number}\r\n");
            write!(append, " ({}) {{{}+}}\r\n{text}", flags.join(" "), text.len()).unwrap();
        }
        writeln!(self.script, "{count} messages in {a}").unwrap();
        for server in &mut *self.servers {
            let [first, second] = &mut server.clients;
            first.imap.command(&format!("CREATE {a}"));
            first.imap.command(&format!("CREATE {b}"));
            first.imap.command(&append);
            first.select(&a);
            second.select(&a);
        }
    }

    /// Both sessions of this number hear all news; then they know the same.
    fn catch_up(&mut self, session: usize) {
        let [ours, theirs] = self.servers.each_mut().map(|server| server.clients[session].catch_up());
        assert_eq!(ours, theirs, "what session {session} knows\n{}", self.script);
        self.behind[session] = false;
    }

    fn step(&mut self, session: usize) -> Step {
        let chance = &mut self.chance;
        let known: Vec<u32> = self.servers[0].clients[session].uids.iter().flatten().copied().collect();
        let [a, b] = &self.mailboxes;
        let by_uid = chance.below(2) == 0;
        let (uid, most) = if by_uid {
            ("UID ", known.last().copied().unwrap_or(1))
        } else {
            ("", u32::try_from(known.len()).unwrap())
        };
        let set = if most == 0 {
            String::new()
        } else {
            let one = |chance: &mut Chance| 1 + chance.below(u64::from(most));
            match chance.below(4) {
                0 => "1:*".to_owned(),
                1 => format!("{}:{}", one(chance), one(chance)),
                2 => format!("{},{}", one(chance), one(chance)),
                _ => one(chance).to_string(),
            }
        };
        let flags: Vec<&str> = FLAGS.into_iter().filter(|_| chance.below(3) == 0).collect();
        let flags = flags.join(" ");
        let sign = chance.of(&["+", "-", "+", ""]);
        let silent = chance.of(&["", ".SILENT"]);
        let (mut is_sure, mut changes, mut needs_messages) = (false, true, true);
        let text = match chance.below(16) {
            0..=2 if most > 0 => format!("{uid}STORE {set} {sign}FLAGS{silent} ({flags})"),
            3..=4 if most > 0 => format!("{uid}STORE {set} (UNCHANGEDSINCE @) {sign}FLAGS{silent} ({flags})"),
            5..=6 if most > 0 => format!("{uid}STORE {set} +FLAGS (\\Deleted)"),
            7..=8 => "EXPUNGE".to_owned(),
            9 if most > 0 => format!("UID EXPUNGE {}", if by_uid { set } else { "1:*".to_owned() }),
            10 if most > 0 => format!("{uid}MOVE {set} {b}"),
            11 if most > 0 => format!("{uid}COPY {set} {}", chance.of(&[a, b])),
            12 if most > 0 => {
                changes = false;
                let since = chance.of(&["", " (CHANGEDSINCE @)"]);
                format!("{uid}FETCH {set} (UID FLAGS){since}")
            }
            13 => {
                (changes, needs_messages) = (false, false);
                let keys = [
                    "UNSEEN",
                    "DELETED",
                    "KEYWORD work",
                    "NOT FLAGGED",
                    "OR SEEN ANSWERED",
                    "SUBJECT \"letter 2\"",
                    "BODY \"body of 1\"",
                    "UID 1:3",
                    "LARGER 10",
                    "UNKEYWORD $Label1 UNDELETED",
                    "MODSEQ @",
                ];
                format!("{uid}SEARCH {}", chance.of(&keys))
            }
            14 => {
                needs_messages = false;
                let text = format!("Subject: more\r\n\r\n{flags}\r\n");
                format!("APPEND {} ({flags}) {{{}+}}\r\n{text}", chance.of(&[a, b]), text.len())
            }
            _ => {
                (is_sure, changes, needs_messages) = (true, false, false);
                chance.of(&["NOOP", "CHECK", "STATUS", "MARK"]).to_string()
            }
        };
        Step { text, is_sure, changes, needs_messages }
    }

    /// False when the sequence ends here, since the servers went different ways that are both right.
    fn both(&mut self, session: usize, step: &Step) -> bool {
        let mailbox = self.mailboxes[0].clone();
        if step.text == "MARK" || step.text.contains("EXPUNGE") {
            // A mark of what was not heard of yet would mean something else to each server, and whether \Deleted counts
            // that was not told yet (RFC 3501 §6.4.3) is up to them: Kings looks at the message, Dovecot at its view.
            self.catch_up(session);
        }
        writeln!(self.script, "{session}: {}", step.text.replace("\r\n", "|")).unwrap();
        let outcomes = self.servers.each_mut().map(|server| {
            let client = &mut server.clients[session];
            match step.text.as_str() {
                "MARK" => {
                    client.set_mark(&mailbox);
                    Outcome::default()
                }
                "STATUS" => client.run(&format!("STATUS {mailbox} (MESSAGES UNSEEN UIDNEXT)")),
                text => client
                    .run(&text.replace('@', &(client.mark + u64::from(text.contains("MODSEQ"))).to_string())),
            }
        });
        let [ours, theirs] = &outcomes;
        writeln!(self.script, "   {ours:?}\n   {theirs:?}").unwrap();
        if step.changes {
            self.behind[1 - session] = true;
            // A server should tell of what was added to the selected mailbox at once, and need not (RFC 3501 §6.3.11).
            self.behind[session] |= step.text.contains("APPEND") || step.text.contains("COPY");
        }
        if ours == theirs {
            return true;
        }
        let is_behind = self.behind[session] && !step.is_sure;
        match () {
            // What is told of messages whose news have not come yet may be old or new.
            () if is_behind && ours.status == theirs.status && !step.changes => {
                self.explain("RFC 3501 §7.4.2: news of other sessions come when the server likes", true)
            }
            () if is_behind && step.needs_messages && ours.status != theirs.status => self.explain(
                "RFC 2180 §4.2: a command on messages that are gone may fail or pass them over",
                false,
            ),
            () if is_behind && step.needs_messages => {
                self.explain("RFC 2180 §4.4: what is done to the others when some are gone", false)
            }
            () => panic!(
                "{} and {} differ: {ours:#?} {theirs:#?}\n{}",
                self.servers[0].name, self.servers[1].name, self.script
            ),
        }
    }

    fn explain(&mut self, section: &'static str, goes_on: bool) -> bool {
        *self.explained.entry(section).or_default() += 1;
        goes_on
    }

    fn end(&mut self) {
        for session in [0, 1] {
            self.catch_up(session);
        }
        let of = |server: &Server, session: usize| server.clients[session].flags.clone();
        assert_eq!(
            of(&self.servers[0], 0),
            of(&self.servers[0], 1),
            "both sessions of Kings\n{}",
            self.script
        );
        let b = self.mailboxes[1].clone();
        let copies = self.servers.each_mut().map(|server| {
            let client = &mut server.clients[0];
            client.select(&b);
            client.flags.clone()
        });
        assert_eq!(copies[0], copies[1], "what was copied and moved\n{}", self.script);
    }
}

#[test]
fn the_same_commands_mean_the_same_to_kings_and_to_dovecot() {
    // In memory: what is on disk when is the business of other tests.
    let memory = tempfile::Builder::new()
        .prefix("kings-differential-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in("/dev/shm")
        .unwrap();
    let disk = memory.path().to_str().unwrap().to_owned();
    let settings = format!("mail_fsync = never\nmail_location = maildir:{disk}/mail/%d/%n\n");
    let kings: Kings = Setup { account: Some(OWNER), disk, ..Setup::default() }.start();
    let dovecot = Dovecot::start_with(&kings, &settings);
    let sequences = std::env::var("KINGS_SEQUENCES").map_or(SEQUENCES, |text| text.parse().unwrap());
    let first: u64 = std::env::var("KINGS_FIRST_SEQUENCE").map_or(1, |text| text.parse().unwrap());
    let ours = [(); 2].map(|()| View::new(kings.imap("ann@example.org")));
    // The other account's folder is Dovecot's alone.
    let theirs = [(); 2].map(|()| View::new(dovecot.imap_as(&kings, "twin@example.org")));
    let mut servers = [Server { name: "Kings", clients: ours }, Server { name: "Dovecot", clients: theirs }];
    let mut explained = BTreeMap::new();
    for number in first..first + sequences {
        let mailboxes = [format!("A{number}"), format!("B{number}")];
        let script = format!("sequence {number}\n");
        let chance = Chance::new(number);
        Sequence {
            servers: &mut servers,
            chance,
            mailboxes,
            script,
            behind: [false; 2],
            explained: &mut explained,
        }
        .play();
        for server in &mut servers {
            for client in &mut server.clients {
                client.imap.command("UNSELECT");
            }
            server.clients[0].imap.command(&format!("DELETE A{number}"));
            server.clients[0].imap.command(&format!("DELETE B{number}"));
        }
    }
    show(&format!("{sequences} sequences; differences that an RFC allows: {explained:#?}"));
    let allowed: u64 = explained.values().sum();
    assert!(allowed * 4 < sequences, "too much is explained away: {explained:#?}");
}
