//! What is known of a sender: recorded always, refused only when the config says so, never for good in doubt.

use std::fs;

use crate::harness::{Kings, NameServer, Setup, clueless, letter, messages};

const ANN: &str = "ann@example.org";
const RECORDS: &str = "sender IN MX 10 mx\nmx IN A 192.0.2.1\nsilent IN MX 0 .\n";

fn with_rules(rules: &str, name_server: &str) -> Kings {
    let tables = format!("[inbound]\n{rules}\n");
    Setup { tables, name_server: name_server.to_owned(), ..Setup::default() }.start()
}

/// What a message from `sender` gets, from a client that calls itself `helo`.
#[track_caller]
fn send(kings: &Kings, helo: &str, sender: &str) -> crate::harness::Reply {
    let mut client = kings.smtp();
    client.command(&format!("EHLO {helo}")).unwrap().is("250");
    client.message(sender, &[ANN], &letter(sender, ANN, "hello")).unwrap()
}

fn log(kings: &Kings) -> String {
    fs::read_to_string(kings.folder().join("kings.log")).unwrap()
}

#[test]
fn a_sender_domain_is_recorded_and_refused_only_when_asked() {
    let dns = NameServer::start("example.net", RECORDS);
    let junk = with_rules("unknown_sender_domain = \"junk\"", &dns.address);
    send(&junk, "mx.example.net", "joe@sender.example.net").is("250");
    assert!(!log(&junk).contains("facts="), "{}", log(&junk));
    send(&junk, "mx.example.net", "joe@nowhere.example.net").is("250");
    send(&junk, "mx.example.net", "joe@silent.example.net").is("250");
    for fact in ["unknown_sender_domain", "sender_domain_null_mx"] {
        assert!(log(&junk).contains(fact), "{fact}\n{}", log(&junk));
    }
    // Junk is filed as such, with the reason, and is where a mail program looks for it.
    assert_eq!(messages(&junk.maildir(ANN)).len(), 1);
    let filed = messages(&junk.maildir(ANN).join(".Junk"));
    assert_eq!(filed.len(), 2);
    assert!(
        filed[0].text().contains("X-Kings-Verdict: junk; the domain of the sender "),
        "{}",
        filed[0].text()
    );
    let listed = junk.imap(ANN).command("STATUS Junk (MESSAGES)");
    assert!(listed.iter().any(|line| line.text.contains("MESSAGES 2")));

    let strict = with_rules("unknown_sender_domain = \"reject\"", &dns.address);
    send(&strict, "mx.example.net", "joe@sender.example.net").is("250");
    send(&strict, "mx.example.net", "joe@nowhere.example.net").is("550 5.1.8");
    send(&strict, "mx.example.net", "joe@silent.example.net").is("550 5.7.27");
    send(&strict, "mx.example.net", "").is("250");
    let lenient = with_rules("", &dns.address);
    send(&lenient, "mx.example.net", "joe@nowhere.example.net").is("250");
}

#[test]
fn without_an_answer_of_dns_a_strict_server_says_451_and_a_lenient_one_takes_the_mail() {
    let nobody = &clueless();
    let strict = with_rules("unknown_sender_domain = \"reject\"", nobody);
    send(&strict, "mx.example.net", "joe@sender.example.net").is("451 4.4.3");
    let lenient = with_rules("", nobody);
    send(&lenient, "mx.example.net", "joe@sender.example.net").is("250");
}

#[test]
fn a_bad_helo_is_recorded_and_refused_only_when_asked() {
    let lenient = with_rules("", &clueless());
    for helo in ["localhost", "192.0.2.1", "mail.example.org"] {
        send(&lenient, helo, "").is("250");
    }
    assert_eq!(log(&lenient).matches("bad_helo").count(), 3, "{}", log(&lenient));
    let strict = with_rules("bad_helo = \"reject\"", &clueless());
    send(&strict, "mail.example.org", "").is("550 5.7.1");
    send(&strict, "client.example.net", "").is("250");
    send(&strict, "[127.0.0.1]", "").is("250");

    let dns = NameServer::start("example.net", RECORDS);
    let strict = with_rules("unknown_helo = \"defer\"", &dns.address);
    send(&strict, "nowhere.example.net", "").is("450 4.7.1");
    send(&strict, "mx.example.net", "").is("250");
}

#[test]
fn nobody_else_writes_our_verdict() {
    let kings = with_rules("", &clueless());
    let forged = [
        &b"x-kings-verdict : accept; friend of the house\r\n"[..],
        &letter("joe@example.net", ANN, "forged"),
    ]
    .concat();
    let mut client = kings.smtp();
    client.message("joe@example.net", &[ANN], &forged).unwrap().is("250");
    let text = messages(&kings.maildir(ANN))[0].text();
    assert_eq!(text.to_lowercase().matches("x-kings-verdict").count(), 1, "{text}");
    assert!(text.contains("X-Kings-Verdict: accept") && !text.contains("friend of the house"), "{text}");
}
