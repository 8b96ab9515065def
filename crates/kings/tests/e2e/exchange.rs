//! Exim and OpenSMTPD exchange mail with Kings, and Dovecot takes it by LMTP.

use std::time::Duration;

use crate::harness::{
    DovecotLmtp, Exim, Kings, Message, OpenSmtpd, Setup, Smtp, letter, messages, wait_until,
};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";

/// Both queues work at once; this is for a busy machine.
const DELIVERY: Duration = Duration::from_secs(30);

/// Nobody listens there.
const NOWHERE: u16 = 9;

fn smart_host(port: u16, tls: &str) -> Kings {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\ntls = \"{tls}\"\n");
    Setup { tables, ..Setup::default() }.start()
}

/// Mail for example.net goes there.
fn route(to: &str) -> Kings {
    let tables = format!("[[route]]\ndomain = \"example.net\"\nto = \"{to}\"\n");
    Setup { tables, ..Setup::default() }.start()
}

/// Hands the server on this port one message of dave's for ann.
fn send_through(port: u16, subject: &str) {
    let mut client = Smtp::connect(([127, 0, 0, 1], port).into()).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.message(DAVE, &[ANN], &letter(DAVE, ANN, subject)).unwrap().is("250");
}

fn first(what: &str, mut found: impl FnMut() -> Vec<Message>) -> Message {
    wait_until(what, DELIVERY, || found().pop())
}

fn first_of_ann(kings: &Kings) -> Message {
    let maildir = kings.maildir(ANN);
    first("a message for ann", || messages(&maildir))
}

/// A message whose lines begin with dots, which CHUNKING leaves alone and DATA doubles.
fn with_dots(subject: &str) -> Vec<u8> {
    [&letter(ANN, DAVE, subject)[..], b".\r\n..\r\n.x\r\n"].concat()
}

fn has_its_dots(message: &Message) -> bool {
    message.text().replace("\r\n", "\n").ends_with("\n.\n..\n.x\n")
}

#[test]
fn exim_relays_into_kings_in_clear() {
    let kings = Kings::start();
    let exim = Exim::start(kings.address("smtp").port(), "  hosts_avoid_tls = *");
    send_through(exim.port, "through exim");
    let text = first_of_ann(&kings).text();
    assert!(text.contains("with ESMTP") && !text.contains("with ESMTPS"), "{text}");
}

#[test]
fn exim_relays_into_kings_under_tls() {
    let kings = Kings::start();
    let exim = Exim::start(kings.address("smtp").port(), "  hosts_require_tls = *");
    send_through(exim.port, "through exim and tls");
    assert!(first_of_ann(&kings).text().contains("with ESMTPS"));
}

#[test]
fn kings_relays_to_exim_in_clear_and_under_tls() {
    for (tls, protocol) in [("none", "with esmtp "), ("encrypt", "with esmtps ")] {
        let exim = Exim::start(NOWHERE, "");
        let kings = smart_host(exim.port, tls);
        kings.submissions(ANN).message(ANN, &[DAVE], &with_dots("to exim")).unwrap().is("250");
        let message = first("a message at exim", || exim.delivered());
        assert!(message.text().contains(protocol), "{}", message.text());
        assert!(has_its_dots(&message), "{}", message.text());
    }
}

#[test]
fn a_recipient_that_exim_refuses_comes_back_as_a_bounce() {
    let exim = Exim::start(NOWHERE, "");
    let kings = smart_host(exim.port, "may");
    kings.submit(ANN, "nobody@example.net", "into the void");
    let bounce = first_of_ann(&kings).text();
    assert!(bounce.contains("Status: 5.1.1") && bounce.contains("No such user"), "{bounce}");
}

#[test]
fn opensmtpd_relays_into_kings_in_clear() {
    let kings = Kings::start();
    let port = kings.address("smtp").port();
    let opensmtpd = OpenSmtpd::start(&format!("\"smtp+notls://127.0.0.1:{port}\""));
    send_through(opensmtpd.port, "through opensmtpd");
    let text = first_of_ann(&kings).text();
    assert!(text.contains("with ESMTP") && !text.contains("with ESMTPS"), "{text}");
}

#[test]
fn opensmtpd_relays_into_kings_under_tls() {
    let kings = Kings::start();
    let port = kings.address("smtp").port();
    let opensmtpd = OpenSmtpd::start(&format!("\"smtp+tls://127.0.0.1:{port}\" tls no-verify"));
    send_through(opensmtpd.port, "through opensmtpd and tls");
    assert!(first_of_ann(&kings).text().contains("with ESMTPS"));
}

#[test]
fn kings_relays_to_opensmtpd_in_clear_and_under_tls() {
    for (tls, is_secure) in [("none", false), ("may", true), ("encrypt", true)] {
        let opensmtpd = OpenSmtpd::start("\"smtp://127.0.0.1:9\"");
        let kings = smart_host(opensmtpd.port, tls);
        kings.submissions(ANN).message(ANN, &[DAVE], &with_dots("to opensmtpd")).unwrap().is("250");
        let message = first("a message at opensmtpd", || opensmtpd.delivered());
        assert!(has_its_dots(&message), "{}", message.text());
        let text = message.text();
        let by = |protocol: &str| {
            text.contains(&format!("by opensmtpd.example.net (OpenSMTPD) with {protocol} id "))
        };
        assert_eq!((by("ESMTP"), by("ESMTPS")), (!is_secure, is_secure), "{text}");
        assert_eq!(text.contains("(TLSv1.3:TLS_"), is_secure, "{text}");
    }
}

#[test]
fn a_recipient_that_opensmtpd_refuses_comes_back_as_a_bounce() {
    let opensmtpd = OpenSmtpd::start("\"smtp://127.0.0.1:9\"");
    let kings = smart_host(opensmtpd.port, "none");
    kings.submit(ANN, "nobody@example.net", "into the void");
    let bounce = first_of_ann(&kings).text();
    assert!(bounce.contains("Action: failed") && bounce.contains("nobody@example.net"), "{bounce}");
}

#[test]
fn dovecot_takes_mail_by_lmtp_over_a_socket_file() {
    let dovecot = DovecotLmtp::start();
    let kings = route(&format!("lmtp:unix:{}", dovecot.socket().display()));
    kings.submissions(ANN).message(ANN, &[DAVE], &with_dots("by lmtp")).unwrap().is("250");
    let message = first("a message at dovecot", || dovecot.delivered("dave"));
    assert_eq!(message.field("Return-Path").as_deref(), Some("<ann@example.org>"));
    assert!(has_its_dots(&message), "{}", message.text());
}

#[test]
fn each_recipient_has_its_own_reply_of_dovecots_lmtp() {
    let dovecot = DovecotLmtp::start();
    let kings = route(&format!("lmtp:127.0.0.1:{}", dovecot.port));
    let recipients = [DAVE, "nobody@example.net", "erin@example.net"];
    kings.submissions(ANN).message(ANN, &recipients, &letter(ANN, DAVE, "for three")).unwrap().is("250");
    for user in ["dave", "erin"] {
        assert!(first("a message at dovecot", || dovecot.delivered(user)).text().contains("for three"));
    }
    let bounce = first_of_ann(&kings).text();
    assert!(bounce.contains("Final-Recipient: rfc822; nobody@example.net"), "{bounce}");
    assert!(!bounce.contains("rfc822; dave@example.net") && bounce.contains("Status: 5.1.1"), "{bounce}");
}
