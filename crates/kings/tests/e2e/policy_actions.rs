//! Every action of a policy service at both stages where it is asked, and its replies beside those of a real Postfix.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::harness::{Kings, Postfix, Reply, Setup, Smtp, UNVERIFIED, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const DAVE: &str = "dave@example.net";
const STAGES: [&str; 2] = ["RCPT", "END-OF-MESSAGE"];

/// What becomes of a message that nobody refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Refused with a reply that starts like this; Postfix's has the same code.
    Refused(&'static str),
    /// The same here alone: Postfix does something else.
    RefusedHere(&'static str),
    /// It reaches Ann.
    Ann,
    /// It reaches Ann with a field that the service asks for.
    Marked,
    Both,
    Bob,
    Nobody,
    Held,
}

const ACTIONS: [(&str, Fate); 32] = [
    ("DUNNO", Fate::Ann),
    ("OK", Fate::Ann),
    ("RELAY", Fate::Ann),
    ("permit", Fate::Ann),
    ("", Fate::Ann),
    ("1700000000", Fate::Ann),
    ("123", Fate::Ann),
    // Postfix takes this for a time stamp as well; whoever says it means a refusal.
    ("550", Fate::RefusedHere("550 5.7.1")),
    ("WARN odd client", Fate::Ann),
    ("INFO fine client", Fate::Ann),
    ("DEFER_IF_REJECT maybe", Fate::Ann),
    ("REJECT", Fate::Refused("554 5.7.1")),
    ("REJECT 5.1.8 no such sender", Fate::Refused("554 5.1.8 no such sender")),
    ("REJECT 4.1.8 odd", Fate::Refused("554 5.1.8 odd")),
    ("REJECT\tno thanks", Fate::Refused("554 5.7.1 no thanks")),
    ("DEFER 5.7.1 hard", Fate::Refused("450 4.7.1 hard")),
    ("521 go away", Fate::Refused("521 5.7.1 go away")),
    ("200 fine", Fate::Refused("451 4.3.5")),
    ("DEFER not now", Fate::Refused("450 4.7.1 not now")),
    ("DEFER_IF_PERMIT Greylisted", Fate::Refused("450 4.7.1 Greylisted")),
    ("451 4.3.5 broken", Fate::Refused("451 4.3.5 broken")),
    ("550 never", Fate::Refused("550 5.7.1 never")),
    ("421 go away", Fate::Refused("421 4.7.1 go away")),
    ("PREPEND X-Policy: seen", Fate::Marked),
    ("PREPEND X-Policy:seen", Fate::Marked),
    ("PREPEND\tX-Policy: seen", Fate::Marked),
    ("DISCARD", Fate::Nobody),
    ("HOLD look at it", Fate::Held),
    ("BCC bob@example.org", Fate::Both),
    ("REDIRECT bob@example.org", Fate::Bob),
    // What other restrictions look at has been looked at, and nothing here runs by their names.
    ("permit_mynetworks", Fate::RefusedHere("451 4.3.5")),
    ("FILTER smtp:127.0.0.1:9", Fate::RefusedHere("451 4.3.5")),
];

/// A sender whose name says what is answered at which stage.
fn sender(action: usize, stage: usize) -> String {
    format!("a{action}.{stage}@example.net")
}

/// Answers questions about such senders; gives its port.
fn service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let (mut action, mut asked, mut wanted) = ("DUNNO", String::new(), "");
    loop {
        let line = lines.next()?.ok()?;
        if let Some(state) = line.strip_prefix("protocol_state=") {
            state.clone_into(&mut asked);
        }
        if let Some(sender) = line.strip_prefix("sender=a") {
            let (number, stage) = sender.split_once('@')?.0.split_once('.')?;
            action = ACTIONS[number.parse::<usize>().ok()?].0;
            wanted = STAGES[stage.parse::<usize>().ok()?];
        }
        if line.is_empty() {
            let said = if asked == wanted { action } else { "DUNNO" };
            stream.write_all(format!("action={said}\n\n").as_bytes()).ok()?;
            (action, wanted) = ("DUNNO", "");
        }
    }
}

/// Sends one message; gives the reply that decides.
fn send(mut client: Smtp, from: &str, to: &str, subject: &str) -> Reply {
    client.message(from, &[to], &letter(from, to, subject)).unwrap()
}

/// Who has got the message, and whether it is marked.
fn found(kings: &Kings, subject: &str) -> (bool, bool, bool) {
    let of = |account: &str| {
        let all = messages(&kings.maildir(account));
        all.into_iter().find(|message| message.field("Subject").as_deref() == Some(subject))
    };
    let (ann, bob) = (of(ANN), of(BOB));
    let marked = ann.as_ref().is_some_and(|message| message.field("X-Policy").as_deref() == Some("seen"));
    (ann.is_some(), bob.is_some(), marked)
}

fn queue(kings: &Kings, arguments: &[&str]) -> String {
    run(&mut kings.command(&[&["queue"], arguments].concat())).succeeded().text()
}

/// Postfix does the same (access(5)), and stays behind every other code.
#[test]
fn whoever_is_told_421_or_521_hears_nothing_more() {
    let port = service();
    let tables = format!(
        "{UNVERIFIED}policy_service = \"inet:127.0.0.1:{port}\"\n[limits]\nexempt = [\"127.0.0.0/8\"]\n"
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    let asked = format!("check_policy_service inet:127.0.0.1:{port}");
    let postfix = Postfix::start(&format!("smtpd_recipient_restrictions = {asked}, permit\n"));
    for (action, stays) in [("421 go away", false), ("521 go away", false), ("550 never", true)] {
        let number = ACTIONS.iter().position(|(text, _)| *text == action).unwrap();
        let mut theirs = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
        theirs.command("EHLO client.example.net").unwrap().is("250");
        for (mut client, to) in [(kings.smtp(), ANN), (theirs, DAVE)] {
            client.command(&format!("MAIL FROM:<{}>", sender(number, 0))).unwrap().is("250");
            client.command(&format!("RCPT TO:<{to}>")).unwrap().is(&action[..3]);
            assert_eq!(
                client.command("NOOP").is_ok_and(|reply| reply.code == 250),
                stays,
                "{action} to {to}"
            );
        }
    }
}

#[test]
fn every_action_does_at_each_stage_what_postfix_makes_of_it() {
    let port = service();
    let tables = format!(
        "{UNVERIFIED}policy_service = \"inet:127.0.0.1:{port}\"\n[limits]\nexempt = [\"127.0.0.0/8\"]\n"
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    let asked = format!("check_policy_service inet:127.0.0.1:{port}");
    let postfix = Postfix::start(&format!(
        "smtpd_recipient_restrictions = {asked}, permit\nsmtpd_end_of_data_restrictions = {asked}\n"
    ));
    let mut held = Vec::new();
    for (number, (action, fate)) in ACTIONS.into_iter().enumerate() {
        for (at, stage) in STAGES.into_iter().enumerate() {
            let (from, subject) = (sender(number, at), format!("action {number} {at}"));
            let reply = send(kings.smtp(), &from, ANN, &subject);
            let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
            client.command("EHLO client.example.net").unwrap().is("250");
            let theirs = send(client, &from, DAVE, &subject);
            let told = format!(
                "{action} at {stage}: {} {}, {} {}",
                reply.code, reply.text, theirs.code, theirs.text
            );
            match fate {
                Fate::Refused(start) | Fate::RefusedHere(start) => {
                    assert!(format!("{} {}", reply.code, reply.text).starts_with(start), "{told}");
                    assert!(reply.code == theirs.code || fate == Fate::RefusedHere(start), "{told}");
                }
                _ => assert_eq!((reply.code, theirs.code), (250, 250), "{told}"),
            }
            let expected = match fate {
                Fate::Refused(_) | Fate::RefusedHere(_) | Fate::Nobody | Fate::Held => (false, false, false),
                Fate::Ann => (true, false, false),
                Fate::Marked => (true, false, true),
                Fate::Both => (true, true, false),
                Fate::Bob => (false, true, false),
            };
            assert_eq!(found(&kings, &subject), expected, "{told}");
            if fate == Fate::Held {
                held.push(subject);
            }
        }
    }
    let listed = queue(&kings, &["list", "--json"]);
    assert_eq!(listed.matches("\"forward_path\"").count(), held.len(), "{listed}");
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("odd client") && log.contains("fine client"), "{log}");
    // Held for local mailboxes too, until somebody lets it go.
    queue(&kings, &["release", "--reason", "look at it"]);
    wait_until("what was held", Duration::from_secs(20), || {
        held.iter().all(|subject| found(&kings, subject).0).then_some(())
    });
}
