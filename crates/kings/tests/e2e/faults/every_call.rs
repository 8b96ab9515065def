//! A kill at every system call of receiving, queueing and relaying, and of what operators and local programs want: nothing
//! acknowledged is lost, and nothing comes twice but where a final reply did not reach its reader.
//!
//! The server has one thread for connections and one for the disk meanwhile, so that every run makes the same calls
//! in the same order and a point of the first run can be met again.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::sweep::{Due, Sweep};
use crate::crash::queued_subjects;
use crate::harness::{Kings, Setup, Sink, Smtp, files, free_port, letter, messages, plain, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const JOE: &str = "joe@example.net";
const PATIENCE: Duration = Duration::from_secs(20);
const THERE: &[Due] = &[Due::There];

#[test]
fn a_kill_at_any_call_of_receiving_loses_nothing() {
    let mut kings = setup("").start();
    let sweep = Sweep {
        name: "receive",
        before: None,
        send: &|kings, subject| told(receive(kings, subject)),
        done: THERE,
        settle: &a_moment,
        found: &|kings| vec![delivered(kings, ANN)],
        most: 1,
    };
    sweep.run(&mut kings);
}

/// Two recipients, each with a reply of its own (RFC 2033 §4.2).
#[test]
fn a_kill_at_any_call_of_receiving_by_lmtp_loses_nothing() {
    let mut setup = setup("");
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    let mut kings = setup.start();
    let sweep = Sweep {
        name: "receive by LMTP",
        before: None,
        send: &|kings, subject| {
            let mut replies = Vec::new();
            let _ = hand_over(kings, subject, &mut replies);
            [0, 1].map(|place| Due::when(replies.get(place) == Some(&250))).to_vec()
        },
        done: &[Due::There, Due::There],
        settle: &a_moment,
        found: &|kings| vec![delivered(kings, ANN), delivered(kings, BOB)],
        most: 1,
    };
    sweep.run(&mut kings);
}

#[test]
fn a_kill_at_any_call_of_queueing_and_deferring_loses_nothing() {
    let mut kings = with_dead_host().start();
    let sweep = Sweep {
        name: "queue and defer",
        before: None,
        send: &|kings, subject| told(submit(kings, &[JOE], subject)),
        done: THERE,
        settle: &until_deferred,
        found: &|kings| vec![queued_subjects(kings)],
        most: 1,
    };
    sweep.run(&mut kings);
}

/// One message for an account here and for somebody elsewhere: one 250 for both copies.
#[test]
fn a_kill_at_any_call_of_mail_for_here_and_elsewhere_loses_neither() {
    let mut kings = with_dead_host().start();
    let sweep = Sweep {
        name: "receive for here and elsewhere",
        before: None,
        send: &|kings, subject| {
            let due = Due::when(submit(kings, &[BOB, JOE], subject).unwrap_or(false));
            vec![due, due]
        },
        done: &[Due::There, Due::There],
        settle: &until_deferred,
        found: &|kings| vec![delivered(kings, BOB), queued_subjects(kings)],
        most: 1,
    };
    sweep.run(&mut kings);
}

#[test]
fn a_kill_at_any_call_of_relaying_loses_nothing() {
    let sink = Sink::start();
    let mut kings = setup(&smart_host(sink.port)).start();
    let sweep = Sweep {
        name: "queue and relay",
        before: None,
        send: &|kings, subject| told(submit(kings, &[JOE], subject)),
        done: THERE,
        settle: &until_empty,
        found: &|kings| vec![[queued_subjects(kings), sink.subjects()].concat()],
        // The one that is killed between the sink's 250 and the end of its entry goes out again.
        most: 2,
    };
    sweep.run(&mut kings);
}

/// The next host refuses: the sender hears of it, at worst twice, when the kill comes between the report and the line in
/// the entry that says that it was made.
#[test]
fn a_kill_at_any_call_of_bouncing_leaves_no_sender_untold() {
    let sink = Sink::refusing();
    let mut kings = setup(&smart_host(sink.port)).start();
    let sweep = Sweep {
        name: "queue and bounce",
        before: None,
        send: &|kings, subject| told(submit(kings, &[JOE], subject)),
        done: THERE,
        settle: &until_empty,
        found: &|kings| vec![[queued_subjects(kings), returned(kings)].concat()],
        most: 2,
    };
    sweep.run(&mut kings);
}

/// An entry that waits is held, released, tried and dropped: until the last one was said to be done it is there, and never
/// afterwards.
#[test]
fn a_kill_at_any_call_of_an_order_loses_no_entry_and_no_order() {
    let mut kings = with_dead_host().start();
    let sweep = Sweep {
        name: "hold, release, retry and drop",
        before: Some(&|kings, subject| {
            // The first one finds out that nobody is there, whatever was tried at the start.
            for subject in ["another", subject] {
                assert!(submit(kings, &[JOE], subject).unwrap(), "{subject} is not queued");
                until_deferred(kings);
            }
            assert!(obeyed(kings, "drop", &entry(kings, "another")), "another entry is not dropped");
        }),
        send: &|kings, subject| vec![order(kings, subject)],
        done: &[Due::Gone],
        settle: &until_deferred,
        found: &|kings| vec![queued_subjects(kings)],
        most: 1,
    };
    sweep.run(&mut kings);
}

/// What local programs left while there was no server: at a kill it is still there, or already where it was meant to go.
#[test]
fn a_kill_at_any_call_of_taking_a_drop_loses_nothing() {
    let mut kings = setup("[local]\nfolder = \"local\"\n").start();
    let sweep = Sweep {
        name: "take a drop",
        before: None,
        send: &|kings, subject| {
            leave(kings, subject);
            THERE.to_vec()
        },
        done: THERE,
        settle: &|kings| {
            wait_until("every drop to be taken", PATIENCE, || files(&drops(kings)).is_empty().then_some(()));
        },
        found: &|kings| vec![delivered(kings, BOB)],
        // The one that is killed between the mailbox and the end of the drop is taken again.
        most: 2,
    };
    sweep.run(&mut kings);
}

fn setup(tables: &str) -> Setup {
    let tables = format!("[limits]\nworker_threads = 1\nblocking_threads = 1\n{tables}");
    Setup { tables, ..Setup::default() }
}

fn smart_host(port: u16) -> String {
    format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\n")
}

/// Nobody listens at the smart host: each message is queued, tried once, and put off.
fn with_dead_host() -> Setup {
    setup(&smart_host(free_port()))
}

/// The server sees a moment later that the client has gone.
fn a_moment(_: &Kings) {
    std::thread::sleep(Duration::from_millis(50));
}

fn until_deferred(kings: &Kings) {
    wait_until("all attempts to be put off", PATIENCE, || all_deferred(kings).then_some(()));
}

fn until_empty(kings: &Kings) {
    wait_until("the queue to be empty", PATIENCE, || queued_subjects(kings).is_empty().then_some(()));
}

fn told(acknowledged: std::io::Result<bool>) -> Vec<Due> {
    vec![Due::when(acknowledged.unwrap_or(false))]
}

/// The subjects in an account's inbox.
fn delivered(kings: &Kings, account: &str) -> Vec<String> {
    messages(&kings.maildir(account)).iter().filter_map(|message| message.field("Subject")).collect()
}

/// The subjects of messages that came back to ann, each in a report.
fn returned(kings: &Kings) -> Vec<String> {
    let original = |text: &str| text.rsplit_once("\r\nSubject: ")?.1.lines().next().map(str::to_owned);
    messages(&kings.maildir(ANN)).iter().filter_map(|report| original(&report.text())).collect()
}

fn receive(kings: &Kings, subject: &str) -> std::io::Result<bool> {
    let mut client = Smtp::connect(kings.address("smtp"))?;
    client.command("EHLO client.example.net")?;
    Ok(client.message(CAROL, &[ANN], &letter(CAROL, ANN, subject))?.code == 250)
}

/// By LMTP to ann and bob; `replies` takes what is said about each of them.
fn hand_over(kings: &Kings, subject: &str, replies: &mut Vec<u16>) -> std::io::Result<()> {
    let mut client = Smtp::connect(kings.address("lmtp"))?;
    for line in ["LHLO front.example.net", &format!("MAIL FROM:<{CAROL}>")] {
        client.command(line)?;
    }
    for recipient in [ANN, BOB] {
        client.command(&format!("RCPT TO:<{recipient}>"))?;
    }
    client.command("DATA")?;
    client.send(&[letter(CAROL, ANN, subject), b".\r\n".to_vec()].concat())?;
    for _ in 0..2 {
        replies.push(client.reply()?.code);
    }
    Ok(())
}

fn submit(kings: &Kings, to: &[&str], subject: &str) -> std::io::Result<bool> {
    let mut client = Smtp::connect_silently(kings.address("submissions"))?.secure(&kings.certificates);
    client.reply()?;
    client.command("EHLO client.example.org")?;
    if client.command(&format!("AUTH PLAIN {}", plain(ANN, "secret")))?.code != 235 {
        return Ok(false);
    }
    Ok(client.message(ANN, to, &letter(ANN, JOE, subject))?.code == 250)
}

/// Orders about the entry of this subject until one fails; what is due of it then.
fn order(kings: &Kings, subject: &str) -> Due {
    let id = entry(kings, subject);
    for verb in ["hold", "release", "retry"] {
        if !obeyed(kings, verb, &id) {
            return Due::There;
        }
    }
    if obeyed(kings, "drop", &id) { Due::Gone } else { Due::Perhaps }
}

fn obeyed(kings: &Kings, verb: &str, id: &str) -> bool {
    kings.command(&["queue", verb, id]).output().unwrap().status.success()
}

/// The id of the entry with this subject, as its file is called.
fn entry(kings: &Kings, subject: &str) -> String {
    let wanted = format!("\r\nSubject: {subject}\r\n");
    let holds = |path: &PathBuf| {
        std::fs::read(path).is_ok_and(|content| String::from_utf8_lossy(&content).contains(&wanted))
    };
    let entries = files(&kings.folder().join("data/queue/entries"));
    let path = entries.iter().find(|path| holds(path)).unwrap_or_else(|| panic!("no entry of {subject}"));
    path.file_stem().and_then(|stem| stem.to_str()).expect("an id").to_owned()
}

fn drops(kings: &Kings) -> PathBuf {
    kings.folder().join("local/drop")
}

/// Leaves a message for bob as `sendmail` does while it finds no server.
fn leave(kings: &Kings, subject: &str) {
    let content = String::from_utf8(letter(ANN, BOB, subject)).unwrap();
    let dialogue =
        format!("EHLO localhost\r\nMAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n{content}.\r\nQUIT\r\n");
    let partial = drops(kings).join(format!("{}.part", subject.replace(' ', "-")));
    std::fs::write(&partial, dialogue).unwrap();
    std::fs::rename(&partial, partial.with_extension("drop")).unwrap();
}

/// Whether every entry of the queue waits for a later attempt, or for an operator, as its name says.
fn all_deferred(kings: &Kings) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let waits = |path: &Path| {
        let next = path.extension().and_then(|next| next.to_str()).unwrap_or_default();
        next == "held" || next.parse::<u64>().is_ok_and(|next| next > now + 30)
    };
    files(&kings.folder().join("data/queue/entries")).iter().all(|path| waits(path))
}
