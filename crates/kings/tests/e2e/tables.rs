//! Tables in Postfix's formats where recipients, copies and senders are looked up; the program that answers for one comes and
//! goes.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::harness::{Setup, letter, messages, wait_until};

const CAROL: &str = "carol@example.net";
const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

/// Answers for the table `bcc`: copies of ann's mail go to bob. Anything else it does not know.
fn socketmap(listener: UnixListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 300];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let reply =
                if request.contains(":bcc ann@example.org,") { "OK bob@example.org" } else { "NOTFOUND " };
            let _ = write!(stream, "{}:{reply},", reply.len());
        }
    });
}

#[test]
fn copies_of_a_socketmap_wait_for_it_and_lose_nothing() {
    let folder = crate::harness::Folder::new("bcc-program");
    let socket = folder.join("s");
    let top = format!(
        "recipient_bcc = [\"inline:{{x@example.org=y@example.org}}\", \"socketmap:unix:{}:bcc\"]\n",
        socket.display()
    );
    let kings = Setup { top, ..Setup::default() }.start();
    let send = |subject: &str| kings.smtp().message(CAROL, &[ANN], &letter(CAROL, ANN, subject)).unwrap();
    send("too early").is("451 4.3.0");
    let count = |account: &str| messages(&kings.maildir(account)).len();
    assert_eq!((count(ANN), count(BOB)), (0, 0));
    socketmap(UnixListener::bind(&socket).unwrap());
    send("in time").is("250 2.0.0");
    assert_eq!((count(ANN), count(BOB)), (1, 1));
    kings.smtp().message(CAROL, &[BOB], &letter(CAROL, BOB, "no copy")).unwrap().is("250 2.0.0");
    assert_eq!((count(ANN), count(BOB)), (1, 2));
}

#[test]
fn patterns_say_who_exists_behind_us_and_a_change_acts_at_once() {
    let top = String::new();
    let tables = "[[domain]]\nname = \"behind.example\"\nrelay_to = \"smtp:127.0.0.1:1\"\nrecipients = [\"pcre:who\", \"inline:{sue@behind.example=x}\"]\n";
    let files = vec![("who", "/^staff-[0-9]+@behind\\.example$/ OK\n")];
    let kings = Setup { top, tables: tables.into(), files, ..Setup::default() }.start();
    let send = |to: &str| kings.smtp().message(CAROL, &[to], &letter(CAROL, to, "x")).unwrap();
    for known in ["staff-12@behind.example", "Sue@behind.example"] {
        send(known).is("250 2.0.0");
    }
    for unknown in ["staff-x@behind.example", "eve@behind.example"] {
        send(unknown).is("550 5.1.1");
    }
    kings.folder().write("who", "/^eve@/ OK\n");
    wait_until("the change acts", Duration::from_secs(10), || {
        (send("eve@behind.example").code == 250).then_some(())
    });
    send("staff-12@behind.example").is("550 5.1.1");
    // A table that makes no sense any more refuses nobody: the old one holds.
    kings.folder().write("who", "/^(/ OK\n");
    std::thread::sleep(Duration::from_secs(1));
    send("eve@behind.example").is("250 2.0.0");
}

#[test]
fn a_table_of_logins_says_who_writes_as_whom() {
    let tables = "[submission]\nsender_logins = \"regexp:logins\"\n";
    let files = vec![(
        "logins",
        "/^(sales|shop)@example\\.(org|net)$/ bob@example.org, ann@example.org\n/^ann@/ bob@example.org\n",
    )];
    let kings = Setup { tables: tables.into(), files, ..Setup::default() }.start();
    let send = |account: &str, from: &str| {
        kings.submissions(account).message(from, &[BOB], &letter(from, BOB, "x")).unwrap()
    };
    send(ANN, "shop@example.net").is("250 2.0.0");
    send(BOB, ANN).is("250 2.0.0");
    send(BOB, BOB).is("250 2.0.0");
    send(ANN, ANN).is("553 5.7.1");
    send(ANN, BOB).is("553 5.7.1");
}
