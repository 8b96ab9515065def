//! What is asked of name servers, and how often, counted between Kings and NSD.

use std::time::{Duration, Instant};

use crate::harness::{NameServer, Setup, Tap, letter, messages};

const BOB: &str = "bob@example.org";
const ALL: &str = "[inbound]\nspf = \"enforce\"\ndkim = \"enforce\"\ndmarc = \"enforce\"\niprev = \"tag\"\n";
const ZONE: &str = "$ORIGIN example.net.\n@ IN MX 10 mx\nmx IN A 127.0.0.1\n@ IN TXT \"v=spf1 mx -all\"\n\
    _dmarc IN TXT \"v=DMARC1; p=reject\"\nshort 0 IN TXT \"v=spf1 +all\"\n";

#[test]
fn the_same_sender_is_asked_about_once_until_the_time_of_the_answer_is_over() {
    let dns = NameServer::start("net", ZONE);
    let tap = Tap::before(&dns.address);
    let kings =
        Setup { tables: ALL.to_owned(), name_server: tap.address.clone(), ..Setup::default() }.start();
    let mut client = kings.smtp();
    let mut send =
        |sender: &str| client.message(sender, &[BOB], &letter(sender, BOB, "hello")).unwrap().is("250");
    send("joe@example.net");
    let first = tap.seen();
    assert_eq!(first.get("example.net/16"), Some(&1), "{first:?}");
    for _ in 0..10 {
        send("joe@EXAMPLE.net");
    }
    let grown: Vec<String> = tap
        .seen()
        .into_iter()
        .filter(|(name, count)| first.get(name) != Some(count))
        .map(|(name, count)| format!("{name}: {count}"))
        .collect();
    // Nobody serves the reverse zone here: a refusal is kept for two seconds only (RFC 9520).
    assert!(grown.iter().all(|line| line.contains(".arpa/")), "{grown:?}");
    // A TTL of zero is for the one message that asked.
    send("joe@short.example.net");
    send("joe@short.example.net");
    assert_eq!(tap.seen().get("short.example.net/16"), Some(&2), "{:?}", tap.seen());
    // Those that come together while the answer is on its way share it; negative answers are kept as well.
    assert_eq!(tap.seen().get("_dmarc.short.example.net/16"), Some(&1), "{:?}", tap.seen());
}

#[test]
fn a_name_server_that_is_silent_holds_up_only_the_mail_that_needs_it() {
    let dns = NameServer::start("net", ZONE);
    let tap = Tap::before(&dns.address);
    let kings =
        Setup { tables: ALL.to_owned(), name_server: tap.address.clone(), ..Setup::default() }.start();
    let address = kings.address("smtp");
    std::thread::scope(|scope| {
        let slow = scope.spawn(move || {
            let mut client = crate::harness::Smtp::connect(address).unwrap();
            client.command("EHLO client.example.net").unwrap().is("250");
            let began = Instant::now();
            let sender = "joe@silent.example.net";
            client.message(sender, &[BOB], &letter(sender, BOB, "slow")).unwrap().is("250");
            began.elapsed()
        });
        let mut client = kings.smtp();
        while !tap.seen().contains_key("silent.example.net/16") {
            std::thread::sleep(Duration::from_millis(5));
        }
        let sender = "joe@example.net";
        client.message(sender, &[BOB], &letter(sender, BOB, "quick")).unwrap().is("250");
        assert!(!slow.is_finished(), "the other one waits still");
        assert_eq!(messages(&kings.maildir(BOB)).len(), 1);
        slow.join().unwrap();
    });
    assert_eq!(messages(&kings.maildir(BOB)).len(), 2, "doubt refuses nothing");
}
