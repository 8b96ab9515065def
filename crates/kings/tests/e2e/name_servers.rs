//! What is asked of name servers, and how often, counted between Kings and NSD.

use std::time::{Duration, Instant};

use crate::harness::{NameServer, Setup, Sink, Tap, free_port, letter, messages, run, wait_until};

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

/// Nobody answers at the start: what comes is taken with doubt, what leaves waits, and all is well once there is an
/// answer.
#[test]
fn a_name_server_that_comes_later_than_the_server_is_found_without_a_restart() {
    let (port, sink) = (free_port(), Sink::start());
    let tables =
        format!("[outbound]\nport = {}\nallow_private = [\"127.0.0.0/8\"]\ntls = \"none\"\n", sink.port);
    let kings = Setup { tables, name_server: format!("127.0.0.1:{port}"), ..Setup::default() }.start();
    kings.deliver(BOB, "early");
    let text = messages(&kings.maildir(BOB)).remove(0).text();
    assert!(text.contains("spf=temperror") && text.contains("X-Kings-Verdict: accept"), "{text}");
    kings.submit("ann@example.org", "joe@example.net", "waits");
    let queue = || run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
    wait_until("an attempt", Duration::from_secs(30), || queue().contains("\"attempts\":1").then_some(()));
    let _dns = NameServer::start_at(port, "net", ZONE);
    wait_until("the mail to leave", Duration::from_mins(1), || {
        run(&mut kings.command(&["queue", "retry"]));
        sink.subjects().contains(&"waits".to_owned()).then_some(())
    });
    assert_eq!(sink.subjects().len(), 1);
    kings.deliver(BOB, "late");
    let late = messages(&kings.maildir(BOB))
        .into_iter()
        .find(|text| text.field("Subject").as_deref() == Some("late"));
    assert!(!late.unwrap().text().contains("spf=temperror"));
}

/// Six hosts whose name servers are dead, all of them before a seventh or equal to it.
#[test]
fn hosts_that_nobody_knows_do_not_keep_mail_from_one_that_is_there() {
    let sink = Sink::start();
    let dead = |name: &str| -> String {
        (0..6).map(|number| format!("{name} IN MX 10 silent{number}.{name}\n")).collect()
    };
    let records = format!(
        "{}{}equal IN MX 10 mx\nworse IN MX 20 mx\nmx IN A 127.0.0.1\n",
        dead("equal"),
        dead("worse")
    );
    let dns = NameServer::start("net", &records);
    let tap = Tap::before(&dns.address);
    let tables =
        format!("[outbound]\nport = {}\nallow_private = [\"127.0.0.0/8\"]\ntls = \"none\"\n", sink.port);
    let kings = Setup { tables, name_server: tap.address.clone(), ..Setup::default() }.start();
    let began = Instant::now();
    kings.submit("ann@example.org", "joe@equal.net", "equal");
    kings.submit("ann@example.org", "joe@worse.net", "worse");
    let arrived = |subject: &str, limit| {
        wait_until(subject, limit, || sink.subjects().contains(&subject.to_owned()).then_some(()));
        began.elapsed().as_secs()
    };
    // What the bounds are (`relay/search`: 3 and 15 s), and what a busy machine may need beside them.
    let equal = arrived("equal", Duration::from_secs(12));
    assert!((3..12).contains(&equal), "{equal} s");
    let worse = arrived("worse", Duration::from_secs(30));
    assert!((15..25).contains(&worse), "{worse} s");
}

/// A message that a silent name server holds up is taken soon, with doubt in its results; others pass meanwhile.
#[test]
fn a_name_server_that_is_silent_holds_up_only_the_mail_that_needs_it() {
    // What the limits are (`mta/authenticate`, `mta/patience`), and what a busy machine may need beside them.
    let (question, limit) = (Duration::from_secs(3), Duration::from_secs(5) + Duration::from_secs(2));
    let dns = NameServer::start("net", ZONE);
    let tap = Tap::before(&dns.address);
    // No `[inbound]`: this is what a fresh install does.
    let kings = Setup { name_server: tap.address.clone(), ..Setup::default() }.start();
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
        let delay = slow.join().unwrap();
        assert!((question..limit).contains(&delay), "{delay:?}");
    });
    let text = |folder| messages(folder).remove(0).text().replace("\r\n\t", " ");
    let (slow, quick) = (text(&kings.maildir(BOB).join(".Junk")), text(&kings.maildir(BOB)));
    // Its domain wants what fails refused: doubt opens no inbox, and loses nothing.
    let told = "X-Kings-Verdict: junk; DMARC cannot tell for now about silent.example.net";
    assert!(slow.contains("spf=temperror") && slow.contains(told), "{slow}");
    assert!(quick.contains("spf=pass") && quick.contains("dmarc=pass"), "{quick}");
}

/// Not one question but a row of them is left open: the limit of the whole is what counts.
#[test]
fn a_row_of_silent_names_holds_a_message_no_longer_than_one_of_them() {
    let includes: String = (0..6).map(|number| format!(" include:silent{number}.example.net")).collect();
    let records =
        format!("{ZONE}many IN TXT \"v=spf1 exists:silent.%{{d}} mx:silent.example.net{includes} -all\"\n");
    // Of nothing, which fits every body: only the keys are open.
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let dns = NameServer::start("net", &records);
    let tap = Tap::before(&dns.address);
    let kings = Setup { name_server: tap.address.clone(), ..Setup::default() }.start();
    let began = Instant::now();
    let content = letter("ceo@silent.example.net", BOB, "many");
    let signatures: String = (0..8)
        .map(|number| {
            format!("DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=silent{number}; h=from; l=0; bh={hash}; b=AA==\r\n")
        })
        .collect();
    let content = [signatures.as_bytes(), &content].concat();
    kings.smtp().message("joe@many.example.net", &[BOB], &content).unwrap().is("250");
    assert!(began.elapsed() < Duration::from_secs(5 + 2), "{:?}", began.elapsed());
    let text = messages(&kings.maildir(BOB).join(".Junk")).remove(0).text().replace("\r\n\t", " ");
    assert!(text.contains("spf=temperror") && text.contains("dmarc=temperror"), "{text}");
    assert_eq!(text.matches("dkim=temperror").count(), 8, "{text}");
}
