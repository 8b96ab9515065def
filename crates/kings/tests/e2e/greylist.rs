//! Greylisting: strangers come again or stay out; who is known, proven or welcome never waits.

use std::time::Duration;

use crate::harness::{
    Kings, NameServer, Postfix, Reply, Setup, Smtp, letter, messages, program, run, wait_until,
};

const BOB: &str = "bob@example.org";
const DAVE: &str = "dave@example.net";
const DELIVERY: Duration = Duration::from_secs(30);

/// A domain that proves its mail from here, one that forbids it, one that says nothing; a list of good senders.
const ZONE: &str = "example.net. IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\nstrict.test. IN TXT \"v=spf1 -all\"\n\
    plain.test. IN A 127.0.0.1\n2.0.0.127.good.test. IN A 127.0.0.2\n12.10.10.9.good.test. IN A 127.0.9.2\n";

fn greylisting(dns: &NameServer, inbound: &str) -> Kings {
    let mut setup = Setup { name_server: dns.address.clone(), ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.1/32\"]\n";
    setup.tables = format!("[inbound]\ngreylist = true\n{inbound}");
    setup.start()
}

/// What a message gets, of this sender and from this address.
#[track_caller]
fn send(kings: &Kings, client: &str, sender: &str, to: &str) -> Reply {
    let mut smtp = Smtp::connect(kings.address("smtp")).unwrap();
    smtp.command("EHLO proxy.example.net").unwrap().is("250");
    smtp.command(&format!("XCLIENT ADDR={client}")).unwrap().is("220");
    smtp.command("EHLO client.plain.test").unwrap().is("250");
    smtp.message(sender, &[to], &letter(sender, to, "hello")).unwrap()
}

#[test]
fn postfix_comes_again_and_its_domain_is_known_from_then_on() {
    let dns = NameServer::start(".", ZONE);
    let mut setup = Setup { name_server: dns.address.clone(), ..Setup::default() };
    setup.tables = "[inbound]\ngreylist = true\ngreylist_delay = \"2s\"\n".to_owned();
    let mut kings = setup.start();
    let postfix = Postfix::start(&format!(
        "relayhost = [127.0.0.1]:{}\nsmtp_tls_security_level = none\nqueue_run_delay = 1s\n\
         minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n",
        kings.address("smtp").port()
    ));
    let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.message(DAVE, &[BOB], &letter(DAVE, BOB, "patience")).unwrap().is("250");
    wait_until("the second attempt", DELIVERY, || messages(&kings.maildir(BOB)).pop());
    let story = wait_until("its trace", DELIVERY, || {
        let text = run(&mut kings.command(&["trace", "--sender", DAVE])).text();
        text.contains("judged: accept").then_some(text)
    });
    assert!(
        story.contains("judged: defer; the sender is new here (greylisting), try again in 2 seconds"),
        "{story}"
    );
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("the sender has waited"), "{log}");

    // Another sender of the domain, from the same server, after a crash: known by the domain.
    kings.kill();
    kings.serve();
    let joe = "joe@example.net";
    kings.smtp().message(joe, &[BOB], &letter(joe, BOB, "known")).unwrap().is("250");
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("its domain is proven and known"), "{log}");
}

#[test]
fn swaks_that_does_not_come_again_leaves_nothing_behind() {
    let dns = NameServer::start(".", ZONE);
    let kings = greylisting(&dns, "");
    for _ in 0..2 {
        let mut command = program("swaks");
        command.args(["--server", &kings.at("smtp"), "--timeout", "20", "--ehlo", "client.plain.test"]);
        command.args(["--xclient-addr", "9.10.10.1"]);
        run(command.args(["--from", "eve@plain.test", "--to", BOB]))
            .failed()
            .says("451 4.7.1 Not accepted: the sender is new here (greylisting), try again in");
    }
    send(&kings, "9.10.10.1", "", BOB).is("451 4.7.1");
    assert!(messages(&kings.maildir(BOB)).is_empty());
    // The postmaster hears everybody.
    send(&kings, "9.10.10.1", "eve@plain.test", "postmaster@example.org").is("250");
    // Nobody else is heard in his company, in whatever order.
    for to in [["postmaster@example.org", BOB], [BOB, "postmaster@example.org"]] {
        let mut smtp = Smtp::connect(kings.address("smtp")).unwrap();
        smtp.command("EHLO proxy.example.net").unwrap().is("250");
        smtp.command("XCLIENT ADDR=9.10.10.1").unwrap().is("220");
        smtp.command("EHLO client.plain.test").unwrap().is("250");
        let content = letter("eve@plain.test", BOB, "company");
        smtp.message("eve@plain.test", &to, &content).unwrap().is("451 4.7.1");
    }
    // That opened nothing.
    send(&kings, "9.10.10.1", "eve@plain.test", BOB).is("451 4.7.1");
}

#[test]
fn who_is_welcome_exempt_or_was_written_to_does_not_wait() {
    let dns = NameServer::start(".", ZONE);
    let kings = greylisting(&dns, "dnswl = [\"good.test\"]\ngreylist_exempt = [\"9.10.20.0/24\"]\n");
    send(&kings, "9.10.10.12", "joe@plain.test", BOB).is("250");
    send(&kings, "9.10.20.1", "joe@plain.test", BOB).is("250");
    send(&kings, "9.10.10.13", "carol@plain.test", BOB).is("451 4.7.1");
    kings.submit(BOB, "Carol@plain.test", "a question");
    kings.submit(BOB, "carol@strict.test", "a question");
    send(&kings, "9.10.10.13", "carol@plain.test", BOB).is("250");
    send(&kings, "9.10.10.13", "dave@plain.test", BOB).is("451 4.7.1");
    // Her name alone helps nobody whom her domain disowns.
    send(&kings, "9.10.10.13", "carol@strict.test", BOB).is("451 4.7.1");
    let inbox = messages(&kings.maildir(BOB));
    // Beside them there are bounces of what bob wrote: nobody is at home there.
    assert_eq!(
        inbox.iter().filter(|message| message.field("Subject").as_deref() == Some("hello")).count(),
        3
    );
}

#[test]
fn a_stranger_is_known_by_its_network_and_its_recipient() {
    let dns = NameServer::start(".", ZONE);
    let kings = greylisting(&dns, "greylist_delay = \"1s\"\ngreylist_retry_window = \"1h\"\n");
    send(&kings, "9.10.10.1", "joe@plain.test", BOB).is("451 4.7.1");
    let passes = || send(&kings, "9.10.10.200", "joe@plain.test", BOB).code == 250;
    wait_until("the delay to pass", DELIVERY, || passes().then_some(()));
    send(&kings, "9.10.11.1", "joe@plain.test", BOB).is("451 4.7.1");
    send(&kings, "9.10.10.1", "joe@plain.test", "ann@example.org").is("451 4.7.1");
    send(&kings, "9.10.10.1", "jim@plain.test", BOB).is("451 4.7.1");
    // Of two recipients one knows the sender: that is enough.
    let mut smtp = Smtp::connect(kings.address("smtp")).unwrap();
    smtp.command("EHLO proxy.example.net").unwrap().is("250");
    smtp.command("XCLIENT ADDR=9.10.10.7").unwrap().is("220");
    smtp.command("EHLO client.plain.test").unwrap().is("250");
    let content = letter("joe@plain.test", BOB, "both");
    smtp.message("joe@plain.test", &[BOB, "ann@example.org"], &content).unwrap().is("250");
}
