//! Who a client is taken for: hosts that speak for others, clients that speak too early, and what of a submission's
//! client is told.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Kings, Setup, Sink, Smtp, letter, messages, plain, program, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const CLIENT: &str = "203.0.113.7";

fn trusting(listen: &str) -> Kings {
    let mut setup = Setup::default();
    setup.listen += listen;
    setup.start()
}

fn swaks(kings: &Kings, arguments: &[&str]) -> crate::harness::Output {
    let mut command: Command = program("swaks");
    command.args(["--server", &kings.at("smtp"), "--timeout", "20", "--ehlo", "proxy.example.net"]);
    run(command.args(["--from", CAROL, "--to", ANN]).args(arguments))
}

#[test]
fn a_trusted_host_becomes_the_client_it_speaks_for() {
    let kings = trusting("xclient_from = [\"127.0.0.0/8\"]\nxforward_from = [\"127.0.0.0/8\"]\n");
    let claim = ["--xclient-addr", CLIENT, "--xclient-helo", "real.example.net", "--xclient-proto", "ESMTP"];
    swaks(&kings, &claim).succeeded();
    let message = messages(&kings.maildir(ANN)).remove(0).text();
    assert!(message.contains(&format!("([{CLIENT}])")) && !message.contains("[127.0.0.1]"), "{message}");
}

#[test]
fn strangers_ask_for_reports_where_the_switch_says_so_and_our_users_everywhere() {
    let cases = [
        ("", true),
        ("dsn = false\n", false),
        ("dsn = false\ndsn_networks = [\"192.0.2.0/24\"]\n", false),
        ("dsn = false\ndsn_networks = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\n", true),
    ];
    for (keys, offered) in cases {
        let mut setup = Setup { tables: format!("[inbound]\n{keys}"), ..Setup::default() };
        setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
        let kings = setup.start();
        let mut client = Smtp::connect(kings.address("smtp")).unwrap();
        let offer = client.command("EHLO client.example.net").unwrap().text;
        assert_eq!(offer.lines().any(|line| line == "DSN"), offered, "{keys}");
        let (taken, told) = if offered { ("250", 1) } else { ("555 5.5.4", 0) };
        client.command(&format!("MAIL FROM:<{CAROL}> RET=HDRS ENVID=x")).unwrap().is(taken);
        if !offered {
            client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
        }
        let recipient = format!("RCPT TO:<{ANN}>");
        client.command(&format!("{recipient} NOTIFY=SUCCESS")).unwrap().is(taken);
        if !offered {
            client.command(&recipient).unwrap().is("250");
        }
        client.command("DATA").unwrap().is("354");
        client.send(&[&letter(CAROL, ANN, "asked")[..], b".\r\n"].concat()).unwrap();
        client.reply().unwrap().is("250");
        let queue = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
        assert_eq!(queue.matches("\"forward_path\"").count(), told, "{keys}: {queue}");

        let mail = |sender: &str| format!("MAIL FROM:<{sender}> RET=HDRS ENVID=y");
        kings.submissions(ANN).command(&mail(ANN)).unwrap().is("250");
        let mut front = Smtp::connect(kings.address("lmtp")).unwrap();
        assert!(front.command("LHLO front.example.net").unwrap().text.lines().any(|line| line == "DSN"));
        front.command(&mail(CAROL)).unwrap().is("250");
    }
}

#[test]
fn nobody_else_speaks_for_others() {
    for listen in ["", "xclient_from = [\"192.0.2.0/24\"]\nxforward_from = [\"192.0.2.0/24\"]\n"] {
        let kings = trusting(listen);
        let mut client = Smtp::connect(kings.address("smtp")).unwrap();
        let offer = client.command("EHLO client.example.net").unwrap().text;
        assert!(!offer.contains("XCLIENT") && !offer.contains("XFORWARD"), "{offer}");
        client.command(&format!("XCLIENT ADDR={CLIENT}")).unwrap().is("550 5.7.0");
        client.command(&format!("XFORWARD ADDR={CLIENT}")).unwrap().is("550 5.7.0");
        client.message(CAROL, &[ANN], &letter(CAROL, ANN, "itself")).unwrap().is("250 2.0.0");
        assert!(messages(&kings.maildir(ANN)).remove(0).text().contains("([127.0.0.1])"));
    }
}

/// Printers and machines without a login, as with Postfix's mynetworks: theirs is mail of ours, signed, completed and sent to
/// anybody. Whoever is elsewhere, or spoken for by such a host, is a stranger.
#[test]
fn a_network_that_the_config_trusts_sends_to_everybody_without_a_login() {
    let sink = Sink::start();
    let setup = |more: &str| {
        let tables = format!(
            "[submission]\nnetworks = [\"127.0.0.0/30\", \"fd00::/8\"]\n[outbound]\nsmart_host = \"127.0.0.1:{}\"\n",
            sink.port
        );
        let mut setup = Setup { tables, ..Setup::default() };
        setup.listen += more;
        setup.start()
    };
    let mut kings = setup("");
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    kings.kill();
    kings.serve();
    let far = "joe@far.example";
    let printer = b"From: ann@example.org\r\nSubject: scan\r\n\r\nHello, this is scan.\r\n";
    kings.smtp().message("printer@example.org", &[far, BOB], printer).unwrap().is("250 2.0.0");
    wait_until("the mail for elsewhere", Duration::from_secs(20), || {
        (sink.subjects() == ["scan"]).then_some(())
    });
    for text in [sink.contents().remove(0), messages(&kings.maildir(BOB)).remove(0).text()] {
        for field in ["DKIM-Signature:", "\r\nDate: ", "\r\nMessage-ID: "] {
            assert!(text.contains(field), "{field}: {text}");
        }
        assert!(!text.contains("Authentication-Results"), "{text}");
        assert!(text.contains("([127.0.0.1])\r\n\tby mail.example.org with ESMTP\r\n"), "{text}");
    }
    kings.smtp().message(CAROL, &["nobody@example.org"], printer).unwrap().is("550 5.1.1");
    let offer = kings.smtp().command("EHLO x.example.org").unwrap().text;
    assert!(!offer.contains("AUTH") && offer.contains("STARTTLS"), "{offer}");
    // Another address of this machine, and a port where people log in.
    let at = format!("127.0.0.1:{}", kings.address("smtp").port());
    let other = program("swaks")
        .args(["--server", &at, "--local-interface", "127.0.0.9"])
        .args(["--from", CAROL, "--to", far])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(said.contains("550 5.7.1") && !other.status.success(), "{said}");
    let mut people = Smtp::connect(kings.address("submission")).unwrap();
    people.command("EHLO x.example.org").unwrap().is("250");
    people.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("530");
    // A proxy in the network speaks for strangers.
    let kings = setup("xclient_from = [\"127.0.0.1/32\"]\n");
    let mut proxy = kings.smtp();
    proxy.command(&format!("XCLIENT ADDR={CLIENT}")).unwrap().is("220");
    proxy.command("EHLO client.example.net").unwrap().is("250");
    proxy.message(CAROL, &[far], printer).unwrap().is("550 5.7.1");
    kings.smtp().message(CAROL, &[far], printer).unwrap().is("550 5.7.1");
}

/// `allow_nets` names the client; the host that speaks for it is not meant, whichever of the two it lets in.
#[test]
fn a_login_is_that_of_the_client_that_is_spoken_for() {
    let users = "ann@example.org:{PLAIN}secret::::::allow_nets=203.0.113.0/24\n\
                 bob@example.org:{PLAIN}secret::::::allow_nets=127.0.0.0/8\n";
    let mut setup = Setup { files: vec![("users", users)], ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.0/8\"]\n";
    let kings = setup.start();
    for (account, spoken_for, expected) in [
        (ANN, Some(CLIENT), "235 2.7.0"),
        (ANN, Some("198.51.100.1"), "535 5.7.8"),
        (ANN, None, "535 5.7.8"),
        (BOB, Some(CLIENT), "535 5.7.8"),
        (BOB, None, "235 2.7.0"),
    ] {
        let client = Smtp::connect_silently(kings.address("submissions")).unwrap();
        let mut client = client.secure(&kings.certificates);
        client.reply().unwrap().is("220");
        client.command("EHLO proxy.example.net").unwrap().is("250");
        if let Some(address) = spoken_for {
            client.command(&format!("XCLIENT ADDR={address}")).unwrap().is("220");
            client.command("EHLO client.example.net").unwrap().is("250");
        }
        let reply = client.command(&format!("AUTH PLAIN {}", plain(account, "secret"))).unwrap();
        assert!(
            format!("{} {}", reply.code, reply.text).starts_with(expected),
            "{account} {spoken_for:?}: {reply:?}"
        );
    }
}

/// The greeting is held back, so that what is early does not depend on luck.
fn with_patience(early_talker: &str) -> Kings {
    let tables = format!("[inbound]\ngreeting_wait_ms = 500\n{early_talker}");
    Setup { tables, ..Setup::default() }.start()
}

#[test]
fn a_client_that_does_not_wait_for_the_greeting_is_turned_away() {
    let kings = with_patience("");
    let mut client = Smtp::connect_silently(kings.address("smtp")).unwrap();
    client.send(b"EHLO client.example.net\r\nMAIL FROM:<carol@example.net>\r\n").unwrap();
    client.reply().unwrap().is("554 5.5.0");
    assert!(client.reply().is_err());
    // Who waits is greeted.
    kings.deliver(ANN, "patient");
}

#[test]
fn an_early_talker_is_heard_where_the_switch_says_so() {
    let kings = with_patience("early_talker = \"accept\"\n");
    let mut client = Smtp::connect_silently(kings.address("smtp")).unwrap();
    client.send(b"EHLO client.example.net\r\n").unwrap();
    client.reply().unwrap().is("220");
    client.reply().unwrap().is("250");
}

#[test]
fn the_address_of_a_submission_is_told_only_where_it_is_asked_for() {
    for (tables, told) in [("", false), ("[submission]\nclient_in_received = true\n", true)] {
        let kings = Setup { tables: tables.to_owned(), ..Setup::default() }.start();
        kings.submit(ANN, BOB, "from somewhere");
        let received = messages(&kings.maildir(BOB)).remove(0).field("Received").unwrap();
        assert_eq!(received.contains("127.0.0.1"), told, "{received}");
    }
}

/// What is to wait is not delivered before its time, not even here; what waits too long is refused.
#[test]
fn a_submission_waits_as_long_as_it_was_told() {
    let kings = Kings::start();
    let mut client = kings.submissions(ANN);
    client.command(&format!("MAIL FROM:<{ANN}> HOLDFOR=3600")).unwrap().is("250 2.1.0");
    client.command(&format!("RCPT TO:<{BOB}>")).unwrap().is("250 2.1.5");
    let content = letter(ANN, BOB, "later");
    client.send(&[format!("BDAT {} LAST\r\n", content.len()).as_bytes(), &content].concat()).unwrap();
    client.reply().unwrap().is("250 2.0.0");
    kings.deliver(BOB, "now");
    let subjects: Vec<_> =
        messages(&kings.maildir(BOB)).iter().filter_map(|message| message.field("Subject")).collect();
    assert_eq!(subjects, ["now"]);
    client.command(&format!("MAIL FROM:<{ANN}> HOLDFOR=99999999")).unwrap().is("501 5.5.4");
}
