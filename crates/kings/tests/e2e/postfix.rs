//! A real Postfix relays into Kings, and Kings relays to a real Postfix.

use std::time::Duration;

use crate::harness::{Kings, Message, NameServer, Postfix, Setup, Smtp, letter, messages, wait_until};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";

/// Both queues work at once; this is for a busy machine.
const DELIVERY: Duration = Duration::from_secs(30);

/// Hands Postfix one message of dave's for `to`.
fn send_through(postfix: &Postfix, to: &str, subject: &str) {
    let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.message(DAVE, &[to], &letter(DAVE, to, subject)).unwrap().is("250 2.0.0");
}

/// Postfix whose next hop is this server.
fn postfix_before(kings: &Kings, tls: &str) -> Postfix {
    let port = kings.address("smtp").port();
    let authority = kings.certificates.authority.display();
    Postfix::start(&format!(
        "relayhost = [127.0.0.1]:{port}\nsmtp_tls_security_level = {tls}\n\
         smtp_tls_CAfile = {authority}\nsmtp_tls_secure_cert_match = mail.example.org\n"
    ))
}

fn first_message(kings: &Kings, account: &str) -> Message {
    let maildir = kings.maildir(account);
    wait_until("a message in the Maildir", DELIVERY, || messages(&maildir).pop())
}

fn first_delivery(postfix: &Postfix) -> Message {
    wait_until("a message at Postfix", DELIVERY, || postfix.delivered().pop())
}

#[test]
fn postfix_relays_into_kings_in_clear() {
    let kings = Kings::start();
    let postfix = postfix_before(&kings, "none");
    send_through(&postfix, ANN, "through postfix");
    let message = first_message(&kings, ANN);
    assert_eq!(message.field("Subject").as_deref(), Some("through postfix"));
    assert!(message.text().contains("with ESMTP id"), "{}", message.text());
}

#[test]
fn postfix_relays_into_kings_under_verified_tls() {
    let kings = Kings::start();
    let postfix = postfix_before(&kings, "secure");
    send_through(&postfix, ANN, "through postfix and tls");
    assert!(first_message(&kings, ANN).text().contains("with ESMTPS"));
}

#[test]
fn postfix_bounces_what_kings_refuses() {
    let kings = Kings::start();
    let postfix = postfix_before(&kings, "may");
    send_through(&postfix, "nobody@example.org", "for nobody");
    let bounce = first_delivery(&postfix).text();
    assert!(bounce.contains("Status: 5.1.1") && bounce.contains("550 5.1.1"), "{bounce}");
}

#[test]
fn kings_relays_to_postfix_through_a_smart_host_in_clear() {
    let postfix = Postfix::start("smtpd_tls_security_level = none\n");
    let kings = smart_host(&postfix).start();
    kings.submit(ANN, DAVE, "by smart host");
    let message = first_delivery(&postfix);
    assert_eq!(message.field("Return-Path").as_deref(), Some("<ann@example.org>"));
    assert!(message.text().contains("Subject: by smart host"));
    assert!(!message.text().contains("using TLSv1"), "{}", message.text());
}

#[test]
fn kings_relays_under_tls_where_it_is_offered() {
    let postfix = Postfix::start("");
    let kings = smart_host(&postfix).start();
    kings.submit(ANN, DAVE, "by smart host and tls");
    assert!(first_delivery(&postfix).text().contains("using TLSv1.3"));
}

#[test]
fn kings_finds_postfix_through_mx_records() {
    let postfix = Postfix::start("");
    let name_server = NameServer::start("example.net", "@ IN MX 10 mx\nmx IN A 127.0.0.1\n");
    let outbound = format!("[outbound]\nport = {}\nallow_private = [\"127.0.0.0/8\"]\n", postfix.port);
    let setup = Setup { name_server: name_server.address.clone(), tables: outbound, ..Setup::default() };
    let kings = setup.start();
    kings.submit(ANN, DAVE, "by mx");
    assert!(first_delivery(&postfix).text().contains("Subject: by mx"));
}

#[test]
fn a_recipient_that_postfix_refuses_comes_back_as_a_bounce() {
    let postfix = Postfix::start("");
    let kings = smart_host(&postfix).start();
    kings.submit(ANN, "nobody@example.net", "into the void");
    let bounce = first_message(&kings, ANN);
    assert_eq!(bounce.field("Return-Path").as_deref(), Some("<>"));
    let text = bounce.text();
    for expected in [
        "multipart/report",
        "report-type=delivery-status",
        "Final-Recipient: rfc822; nobody@example.net",
        "Action: failed",
        "Status: 5.1.1",
        "User unknown in virtual mailbox table",
        "Subject: into the void",
    ] {
        assert!(text.to_lowercase().contains(&expected.to_lowercase()), "no {expected:?} in\n{text}");
    }
}

#[test]
fn one_message_for_two_recipients_is_delivered_to_one_and_bounced_for_the_other() {
    let postfix = Postfix::start("");
    let kings = smart_host(&postfix).start();
    let content = letter(ANN, DAVE, "for two");
    let mut client = kings.submissions(ANN);
    client.message(ANN, &[DAVE, "nobody@example.net"], &content).unwrap().is("250 2.0.0");
    assert!(first_delivery(&postfix).text().contains("Subject: for two"));
    let bounce = first_message(&kings, ANN).text();
    assert!(bounce.contains("nobody@example.net"), "{bounce}");
    assert!(!bounce.to_lowercase().contains("final-recipient: rfc822; dave@example.net"), "{bounce}");
}

fn smart_host(postfix: &Postfix) -> Setup {
    Setup { tables: format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", postfix.port), ..Setup::default() }
}
