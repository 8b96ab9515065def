//! Kill the server at any moment: what it acknowledged is there.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Certificates, Kings, Setup, Smtp, free_port, letter, messages, plain};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";

/// How often the server is killed, and how many clients send meanwhile.
const KILLS: u64 = 12;
const CLIENTS: usize = 4;

/// Message numbers: those that got their 250.
struct Acknowledged {
    next: AtomicUsize,
    subjects: Mutex<BTreeSet<String>>,
}

impl Acknowledged {
    fn new() -> Self {
        Self { next: AtomicUsize::new(0), subjects: Mutex::new(BTreeSet::new()) }
    }

    /// Sends numbered messages until the connection breaks or it is told to stop.
    fn send_all(&self, stop: &AtomicBool, from: &str, to: &str, mut client: Smtp) {
        while !stop.load(Ordering::Relaxed) {
            let subject = format!("number {} end", self.next.fetch_add(1, Ordering::Relaxed));
            match client.message(from, &[to], &letter(from, to, &subject)) {
                Ok(reply) if reply.code == 250 => self.subjects.lock().unwrap().insert(subject),
                _ => return,
            };
        }
    }

    #[track_caller]
    fn all_in(&self, found: &[String]) {
        let found: BTreeSet<_> = found.iter().cloned().collect();
        let subjects = self.subjects.lock().unwrap();
        let lost: Vec<_> = subjects.difference(&found).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged messages are lost: {lost:?}",
            lost.len(),
            subjects.len()
        );
        assert!(
            subjects.len() > 20,
            "only {} messages were acknowledged: the test shows nothing",
            subjects.len()
        );
    }
}

/// Runs the clients in rounds; each round ends with a kill at another moment.
fn kill_while_sending(
    kings: &mut Kings,
    work: impl Fn(&AtomicBool, SocketAddr, SocketAddr, &Certificates) + Sync,
) {
    for round in 0..KILLS {
        let stop = AtomicBool::new(false);
        let (smtp, submissions) = (kings.address("smtp"), kings.address("submissions"));
        let certificates = Certificates::clone(&kings.certificates);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| work(&stop, smtp, submissions, &certificates));
            }
            thread::sleep(Duration::from_millis(150 + round * 37));
            kings.kill();
            stop.store(true, Ordering::Relaxed);
        });
        kings.serve();
    }
}

#[test]
fn acknowledged_mail_for_an_account_survives_kill_9() {
    let mut kings = Kings::start();
    let acknowledged = Acknowledged::new();
    kill_while_sending(&mut kings, |stop, smtp, _, _| {
        let Ok(mut client) = Smtp::connect(smtp) else { return };
        if client.command("EHLO client.example.net").is_ok() {
            acknowledged.send_all(stop, CAROL, ANN, client);
        }
    });
    let found: Vec<_> =
        messages(&kings.maildir(ANN)).iter().filter_map(|message| message.field("Subject")).collect();
    acknowledged.all_in(&found);
    let mut client = kings.imap(ANN);
    client.command("SELECT INBOX");
    assert_eq!(client.contents().len(), found.len(), "IMAP shows what the Maildir holds");
}

#[test]
fn acknowledged_mail_for_elsewhere_survives_kill_9_in_the_queue() {
    // Nobody listens at the smart host, so everything stays in the queue.
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let mut kings = Setup { tables, ..Setup::default() }.start();
    let acknowledged = Acknowledged::new();
    let recipients = AtomicUsize::new(0);
    kill_while_sending(&mut kings, |stop, _, submissions, certificates| {
        let to = format!("joe{}@example.net", recipients.fetch_add(1, Ordering::Relaxed));
        let Ok(client) = Smtp::connect_silently(submissions) else { return };
        let mut client = client.secure(certificates);
        let login = format!("AUTH PLAIN {}", plain(ANN, "secret"));
        let started = client.reply().and_then(|_| client.command("EHLO client.example.org"));
        if started.and_then(|_| client.command(&login)).is_ok_and(|reply| reply.code == 235) {
            acknowledged.send_all(stop, ANN, &to, client);
        }
    });
    acknowledged.all_in(&queued_subjects(&kings));
}

/// The subjects of all messages that stand whole in the queue's files.
pub(super) fn queued_subjects(kings: &Kings) -> Vec<String> {
    queued_subjects_below(&kings.folder().join("data/queue"))
}

/// The same for a queue in any folder.
pub(super) fn queued_subjects_below(queue: &Path) -> Vec<String> {
    let mut folders = vec![queue.to_owned()];
    let mut subjects = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            // Entries come, go and change their names while we look.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else {
                let content = fs::read(entry.path()).unwrap_or_default();
                subjects.extend(whole_message(&String::from_utf8_lossy(&content)));
            }
        }
    }
    subjects
}

/// The subject of a [`letter`] that is complete to its last line.
fn whole_message(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Subject: ")?;
    let (subject, rest) = rest.split_once("\r\n")?;
    rest.contains(&format!("Hello, this is {subject}.\r\n")).then(|| subject.to_owned())
}
