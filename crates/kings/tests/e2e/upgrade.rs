//! Another version of the program on the same folders: what an older one wrote is read, and what a later one wrote is
//! refused by name and stays octet for octet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{Kings, Setup, Sink, files, free_port, program, run, wait_until};

const ANN: &str = "ann@example.org";
const DELIVERY: Duration = Duration::from_secs(40);

fn stop(kings: &mut Kings) {
    run(program("kill").arg("-TERM").arg(kings.process().to_string())).succeeded();
    assert!(kings.ends_within(Duration::from_secs(15)));
    kings.kill();
}

fn log(kings: &Kings) -> String {
    fs::read_to_string(kings.folder().join("kings.log")).unwrap()
}

/// The queue entry with this subject.
fn entry(kings: &Kings, subject: &str) -> PathBuf {
    let wanted = format!("Subject: {subject}\r\n");
    let holds = |file: &PathBuf| String::from_utf8_lossy(&fs::read(file).unwrap()).contains(&wanted);
    let found: Vec<PathBuf> =
        files(&kings.folder().join("data/queue/entries")).into_iter().filter(holds).collect();
    assert_eq!(found.len(), 1, "{subject}: {found:?}");
    found.into_iter().next().unwrap()
}

/// CRC-32, one bit at a time.
fn checksum(bytes: &[u8]) -> u32 {
    let bit = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| bit(sum)))
}

/// Makes an entry what the first version wrote, as if nothing had happened to it yet.
fn as_first_version(file: &Path) {
    let bytes = fs::read(file).unwrap();
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap() + 2;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.split("content-length ").nth(1).unwrap().lines().next().unwrap();
    let content = &bytes[end..end + length.parse::<usize>().unwrap()];
    let covered = head.split("envelope-checksum").next().unwrap();
    let covered = covered.replacen("kings-queue 2\n", "kings-queue 1\n", 1);
    let head = format!("{covered}envelope-checksum {:08x}\n\n", checksum(covered.as_bytes()));
    fs::write(file, [head.as_bytes(), content].concat()).unwrap();
}

fn version(file: &Path, digit: u8) {
    let mut bytes = fs::read(file).unwrap();
    bytes["kings-queue ".len()] = digit;
    fs::write(file, bytes).unwrap();
}

#[test]
fn queue_entries_of_every_version_are_sent_or_left_as_they_are() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let mut kings = Setup { tables, ..Setup::default() }.start();
    for subject in ["of the first", "of this", "of a later"] {
        kings.submit(ANN, "joe@example.net", subject);
    }
    wait_until("every message was tried", DELIVERY, || {
        let listed = run(&mut kings.command(&["queue", "list"])).text();
        (listed.matches("deferred").count() == 3).then_some(())
    });
    stop(&mut kings);
    as_first_version(&entry(&kings, "of the first"));
    let later = entry(&kings, "of a later");
    version(&later, b'4');
    let before = fs::read(&later).unwrap();

    let sink = Sink::start();
    let config = kings.folder().join("kings.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (above, below) = text.split_once("smart_host = \"").unwrap();
    let below = below.split_once('"').unwrap().1;
    fs::write(&config, format!("{above}smart_host = \"127.0.0.1:{}\"{below}", sink.port)).unwrap();
    // A start that is cut short changes nothing of this.
    kings.serve();
    kings.kill();
    kings.serve();
    let flush = |kings: &Kings| run(&mut kings.command(&["queue", "flush"])).succeeded();
    flush(&kings);
    let sent = |wanted: &[&str]| {
        wait_until("the mail of other versions", DELIVERY, || {
            let mut subjects = sink.subjects();
            subjects.sort();
            (subjects == wanted).then_some(())
        });
    };
    sent(&["of the first", "of this"]);

    let listed = run(&mut kings.command(&["queue", "list"])).succeeded().text();
    assert!(listed.contains("it was written by a later version"), "{listed}");
    let id = later.file_name().unwrap().to_string_lossy().split('.').next().unwrap().to_owned();
    for order in ["hold", "release", "retry"] {
        run(&mut kings.command(&["queue", order, &id]));
    }
    flush(&kings);
    assert!(log(&kings).contains("a queue entry was written by a later version"));
    assert_eq!(fs::read(&later).unwrap(), before, "it is as that version left it");

    // That version comes back.
    stop(&mut kings);
    version(&later, b'2');
    kings.serve();
    flush(&kings);
    sent(&["of a later", "of the first", "of this"]);
}

/// What a client sees of the inbox: its UIDVALIDITY, each UID with its flags, and the highest number of a change.
fn seen(kings: &Kings) -> (String, Vec<String>, u64) {
    let mut imap = kings.imap(ANN);
    let told = imap.command("SELECT INBOX (CONDSTORE)");
    let code = |key: &str| {
        let line = told.iter().find(|line| line.text.contains(key)).unwrap();
        line.text.split(key).nth(1).unwrap().split(']').next().unwrap().trim().to_owned()
    };
    let mut flags: Vec<String> =
        imap.command("FETCH 1:* (UID FLAGS ENVELOPE)").into_iter().map(|line| line.text).collect();
    flags.sort();
    (code("[UIDVALIDITY "), flags, code("[HIGHESTMODSEQ ").parse().unwrap())
}

/// UIDs that a later Dovecot wrote in another form are not given anew: that would have every client fetch all mail again.
#[test]
fn a_uidlist_of_a_later_version_is_left_alone_and_mail_comes_in_all_the_same() {
    let mut kings = Kings::start();
    kings.deliver(ANN, "before");
    let before = seen(&kings);
    stop(&mut kings);
    let list = kings.maildir(ANN).join("dovecot-uidlist");
    let text = fs::read_to_string(&list).unwrap();
    let later = text.replacen("3 V", "4 V", 1);
    fs::write(&list, &later).unwrap();
    kings.serve();
    kings.deliver(ANN, "meanwhile");
    let refused = std::panic::catch_unwind(|| kings.imap(ANN).command("SELECT INBOX").len());
    assert!(refused.is_err(), "the mailbox was opened");
    assert!(log(&kings).contains("dovecot-uidlist is of version 4"), "{}", log(&kings));
    assert_eq!(fs::read_to_string(&list).unwrap(), later);

    fs::write(&list, &text).unwrap();
    let now = seen(&kings);
    assert_eq!((now.0, now.1.len()), (before.0, 2));
    assert_eq!(now.1[0].split("FLAGS").next(), before.1[0].split("FLAGS").next());
}
