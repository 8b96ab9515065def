//! swaks sends on ports 25, 587 and 465, and is refused where it must be.

use std::process::Command;

use crate::harness::{Kings, Message, Output, Smtp, letter, messages, plain, program, run};

const CAROL: &str = "carol@example.net";
const ANN: &str = "ann@example.org";

/// swaks to a listener, with the test's authority as the only one it trusts.
fn swaks(kings: &Kings, listener: &str, arguments: &[&str]) -> Output {
    let mut command: Command = program("swaks");
    command.args(["--server", &kings.at(listener), "--timeout", "20", "--ehlo", "client.example.net"]);
    command.arg("--tls-verify").arg("--tls-ca-path").arg(&kings.certificates.authority);
    run(command.args(arguments))
}

fn login<'a>(mechanism: &'a str, password: &'a str) -> [&'a str; 6] {
    ["--auth", mechanism, "--auth-user", ANN, "--auth-password", password]
}

fn only_message(kings: &Kings, account: &str) -> Message {
    let mut found = messages(&kings.maildir(account));
    assert_eq!(found.len(), 1, "messages of {account}");
    found.remove(0)
}

#[test]
fn a_stranger_writes_to_an_account_on_port_25() {
    let kings = Kings::start();
    swaks(&kings, "smtp", &["--from", CAROL, "--to", ANN, "--header", "Subject: first"]).succeeded();
    let message = only_message(&kings, ANN);
    assert_eq!(message.field("Return-Path").as_deref(), Some("<carol@example.net>"));
    assert_eq!(message.field("Delivered-To").as_deref(), Some(ANN));
    assert_eq!(message.field("Subject").as_deref(), Some("first"));
    assert!(message.field("Received").unwrap().contains("client.example.net"), "{}", message.text());
}

#[test]
fn a_stranger_writes_under_tls_on_port_25() {
    let kings = Kings::start();
    swaks(&kings, "smtp", &["--tls", "--from", CAROL, "--to", ANN]).succeeded();
    assert!(only_message(&kings, ANN).text().contains("ESMTPS"));
}

#[test]
fn an_alias_reaches_all_its_targets() {
    let kings = Kings::start();
    swaks(&kings, "smtp", &["--from", CAROL, "--to", "info@example.org"]).succeeded();
    for account in [ANN, "bob@example.org"] {
        assert_eq!(only_message(&kings, account).field("Delivered-To").as_deref(), Some(account));
    }
}

#[test]
fn a_sub_address_reaches_its_account() {
    let kings = Kings::start();
    swaks(&kings, "smtp", &["--from", CAROL, "--to", "ann+tag@example.org"]).succeeded();
    only_message(&kings, ANN);
}

#[test]
fn postmaster_and_abuse_always_reach_somebody() {
    let kings = Kings::start();
    for name in ["postmaster@example.org", "abuse@example.org", "Postmaster"] {
        swaks(&kings, "smtp", &["--from", CAROL, "--to", name]).succeeded();
    }
}

#[test]
fn an_unknown_user_is_refused_in_session() {
    let kings = Kings::start();
    swaks(&kings, "smtp", &["--from", CAROL, "--to", "nobody@example.org"]).failed().says("550 5.1.1");
}

#[test]
fn a_stranger_cannot_relay() {
    let kings = Kings::start();
    swaks(&kings, "smtp", &["--from", CAROL, "--to", "joe@elsewhere.example"]).failed().says("550 5.7.1");
    swaks(&kings, "smtp", &["--from", ANN, "--to", "joe@elsewhere.example"]).failed().says("550 5.7.1");
}

#[test]
fn port_25_offers_no_login() {
    let kings = Kings::start();
    let arguments = [&["--tls", "--from", CAROL, "--to", ANN][..], &login("PLAIN", "secret")].concat();
    swaks(&kings, "smtp", &arguments).failed().says("Host did not advertise authentication");
}

#[test]
fn an_account_submits_on_587_after_starttls() {
    let kings = Kings::start();
    for mechanism in ["PLAIN", "LOGIN"] {
        let arguments =
            [&["--tls", "--from", ANN, "--to", "bob@example.org"][..], &login(mechanism, "secret")].concat();
        swaks(&kings, "submission", &arguments).succeeded().says("235 2.7.0");
    }
    let received = messages(&kings.maildir("bob@example.org"));
    assert_eq!(received.len(), 2);
    assert!(received[0].text().contains("ESMTPSA"));
}

#[test]
fn an_account_submits_on_465() {
    let kings = Kings::start();
    let arguments =
        [&["--tls-on-connect", "--from", ANN, "--to", "bob@example.org"][..], &login("PLAIN", "secret")]
            .concat();
    swaks(&kings, "submissions", &arguments).succeeded();
    assert!(only_message(&kings, "bob@example.org").text().contains("ESMTPSA"));
}

#[test]
fn a_wrong_password_is_refused() {
    let kings = Kings::start();
    let arguments =
        [&["--tls-on-connect", "--from", ANN, "--to", "bob@example.org"][..], &login("PLAIN", "wrong")]
            .concat();
    swaks(&kings, "submissions", &arguments).failed().says("535 5.7.8");
}

#[test]
fn an_account_cannot_write_as_somebody_else() {
    let kings = Kings::start();
    let other_path = ["--tls-on-connect", "--from", "bob@example.org", "--to", "bob@example.org"];
    swaks(&kings, "submissions", &[&other_path[..], &login("PLAIN", "secret")].concat())
        .failed()
        .says("553 5.7.1");
    let other_from =
        ["--tls-on-connect", "--from", ANN, "--to", "bob@example.org", "--h-From", "bob@example.org"];
    swaks(&kings, "submissions", &[&other_from[..], &login("PLAIN", "secret")].concat())
        .failed()
        .says("550 5.7.1");
    assert!(messages(&kings.maildir("bob@example.org")).is_empty());
}

#[test]
fn an_account_cannot_resend_as_somebody_else() {
    let kings = Kings::start();
    for (field, own) in [("Resent-From", true), ("Resent-From", false), ("Resent-Sender", false)] {
        let author = if own { ANN } else { "bob@example.org" };
        let added = format!("{field}: {author}");
        let arguments =
            ["--tls-on-connect", "--from", ANN, "--to", "bob@example.org", "--add-header", &added];
        let sent = swaks(&kings, "submissions", &[&arguments[..], &login("PLAIN", "secret")].concat());
        if own {
            sent.succeeded()
        } else {
            sent.failed().says("550 5.7.1")
        };
    }
    assert_eq!(messages(&kings.maildir("bob@example.org")).len(), 1);
}

/// Whoever sends again what another house wrote answers for that alone; nobody of ours is written for in this way.
#[test]
fn an_account_sends_on_what_others_wrote_and_stays_who_it_is() {
    let kings = Kings::start();
    let joe = "joe@elsewhere.example";
    let again = |who: &str, from: &str| {
        let own =
            format!("Resent-From: {who}\r\nResent-Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n").into_bytes();
        [own, letter(from, ANN, "again")].concat()
    };
    let send = |content: &[u8]| kings.submissions(ANN).message(ANN, &["bob@example.org"], content).unwrap();
    send(&again(ANN, joe)).is("250 2.0.0");
    send(&[b"Resent-From: x@y.example\r\n".to_vec(), again(ANN, joe)].concat()).is("550 5.7.1");
    for (who, from) in [
        ("bob@example.org", joe),
        (joe, joe),
        (ANN, "bob@example.org"),
        (ANN, "bob@sub.example.org"),
        (ANN, "\"bob@example.org\" <joe@elsewhere.example>"),
    ] {
        send(&again(who, from)).is("550 5.7.1");
    }
    // Without the fields nothing is excused.
    send(&letter(joe, ANN, "forged")).is("550 5.7.1");
    let found = messages(&kings.maildir("bob@example.org"));
    assert_eq!(found.len(), 1);
    let text = found[0].text();
    assert!(text.contains("\r\nFrom: joe@elsewhere.example\r\n") && !text.contains("Sender:"), "{text}");
    assert_eq!(found[0].field("Return-Path").as_deref(), Some("<ann@example.org>"));
}

#[test]
fn submission_without_a_login_is_refused() {
    let kings = Kings::start();
    let arguments = ["--tls", "--from", ANN, "--to", "bob@example.org"];
    swaks(&kings, "submission", &arguments).failed().says("530 5.7.0");
}

/// swaks does not send AUTH where it is not offered, so this one is said by hand.
#[test]
fn a_login_without_tls_is_refused() {
    let kings = Kings::start();
    let mut client = Smtp::connect(kings.address("submission")).unwrap();
    let offer = client.command("EHLO client.example.org").unwrap();
    assert!(offer.text.contains("STARTTLS") && !offer.text.contains("AUTH"), "{}", offer.text);
    client.command(&format!("AUTH PLAIN {}", plain(ANN, "secret"))).unwrap().is("538 5.7.11");
}
