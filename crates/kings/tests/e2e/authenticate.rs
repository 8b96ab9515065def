//! SPF, DKIM, DMARC and reverse names of arriving mail, with a real name server, from Kings to Kings.

use std::fs;

use crate::harness::{Kings, Message, NameServer, Setup, UNVERIFIED, letter, messages, run};

const BOB: &str = "bob@example.org";
/// Checks, all of which count.
const ALL: &str = "[inbound]\nspf = \"enforce\"\ndkim = \"enforce\"\ndmarc = \"enforce\"\niprev = \"tag\"\n";

/// The zone of the domains that write to example.org: their policies differ.
const ZONE: &str = "$ORIGIN example.net.\n@ IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n\
    strict IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.strict IN TXT \"v=DMARC1; p=reject\"\n\
    mild IN TXT \"v=spf1 -all\"\n_dmarc.mild IN TXT \"v=DMARC1; p=quarantine\"\n\
    open IN A 127.0.0.1\n";

fn judging(dns: &NameServer, inbound: &str) -> Kings {
    let name_server = dns.address.clone();
    Setup { tables: inbound.to_owned(), name_server, ..Setup::default() }.start()
}

fn results(message: &Message) -> String {
    let text = message.text();
    let start = text.find("Authentication-Results:").unwrap_or_else(|| panic!("no results in {text}"));
    let end = text[start..].find("\r\nReceived: ").unwrap_or(text.len() - start);
    text[start..start + end].replace("\r\n\t", " ")
}

#[test]
fn mail_of_one_kings_passes_at_another() {
    // The sender makes its keys first; their records go into the zone.
    let mut sender = Setup::default().start();
    run(&mut sender.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    let folder = sender.folder().join("data/dkim/example.org");
    let record = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let zone = format!(
        "$ORIGIN example.org.\n{}{}@ IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n_dmarc IN TXT \"v=DMARC1; p=reject\"\n",
        record("one.txt"),
        record("one-ed25519.txt")
    );
    let dns = NameServer::start("org", &zone);
    sender.kill();
    sender.serve();
    sender.submit("ann@example.org", BOB, "signed");
    let signed = messages(&sender.maildir(BOB)).remove(0).text();
    let signed = &signed[signed.find("DKIM-Signature:").unwrap()..];

    let kings = judging(&dns, ALL);
    let mut client = kings.smtp();
    client.message("ann@example.org", &[BOB], signed.as_bytes()).unwrap().is("250");
    let passed = results(&messages(&kings.maildir(BOB))[0]);
    for expected in
        ["mail.example.org; spf=pass", "smtp.mailfrom=example.org", "dmarc=pass", "header.from=example.org"]
    {
        assert!(passed.contains(expected), "{expected}: {passed}");
    }
    assert_eq!(passed.matches("dkim=pass").count(), 2, "{passed}");

    // Another word in it, from a client that may not send for the domain: nothing is proven any more.
    let forged = signed.replace("this is signed", "this is forged");
    assert_ne!(forged, signed);
    let refused = client.message("joe@example.net", &[BOB], forged.as_bytes()).unwrap();
    refused.is("550 5.7.26");
    assert!(refused.text.contains("DMARC fails"), "{}", refused.text);
    assert_eq!(messages(&kings.maildir(BOB)).len(), 1);
}

/// A sender is told by its own domain why, in words that are marked as that domain's (RFC 7208 §6.2).
#[test]
fn a_refusal_for_spf_hands_on_what_the_domain_explains() {
    let zone = format!(
        "{ZONE}closed IN TXT \"v=spf1 -all exp=why.closed.example.net\"\nwhy.closed IN TXT \"%{{i}} is none of our hosts, see https://closed.example.net\"\n\
         evil IN TXT \"v=spf1 -all exp=why.evil.example.net\"\nwhy.evil IN TXT \"250 fine\\013\\010X-Injected: yes\"\n"
    );
    let dns = NameServer::start("net", &zone);
    let kings = judging(&dns, &format!("{ALL}spf_fail = \"reject\"\n"));
    let mut client = kings.smtp();
    let mut send = |sender: &str| client.message(sender, &[BOB], &letter(sender, BOB, "hello")).unwrap();
    let refused = send("joe@closed.example.net");
    refused.is("550 5.7.23 Not accepted: SPF fails: ");
    let words = "closed.example.net explains: 127.0.0.1 is none of our hosts, see https://closed.example.net";
    assert!(refused.text.contains(words), "{}", refused.text);
    // What could be taken for words of ours, or for another line, is not handed on.
    let refused = send("joe@evil.example.net");
    assert!(refused.code == 550 && !refused.text.contains("explains"), "{}", refused.text);
}

#[test]
fn forgeries_get_what_the_domains_ask_for() {
    let dns = NameServer::start("net", ZONE);
    let kings = judging(&dns, ALL);
    let mut client = kings.smtp();
    let mut send =
        |sender: &str, author: &str| client.message(sender, &[BOB], &letter(author, BOB, "hello")).unwrap();
    // SPF passes and belongs to the author.
    send("joe@example.net", "joe@example.net").is("250");
    // A domain that wants forgeries refused, one that wants them aside, one that wants nothing.
    send("joe@example.net", "ceo@strict.example.net").is("550 5.7.26");
    send("joe@strict.example.net", "ceo@strict.example.net").is("550 5.7.26");
    send("joe@mild.example.net", "ceo@mild.example.net").is("250");
    send("joe@open.example.net", "joe@open.example.net").is("250");
    // Our own name in From, from outside.
    send("joe@example.net", "ann@example.org").is("250");

    // Two of one second lie in no order that means anything.
    let mut inbox: Vec<String> = messages(&kings.maildir(BOB)).iter().map(results).collect();
    inbox.sort();
    assert_eq!(inbox.len(), 2, "{inbox:?}");
    assert!(inbox[0].contains("spf=none") && inbox[0].contains("dmarc="), "{inbox:?}");
    assert!(inbox[1].contains("spf=pass") && inbox[1].contains("dkim=none"), "{inbox:?}");
    let junk = messages(&kings.maildir(BOB).join(".Junk"));
    let texts: Vec<String> = junk.iter().map(Message::text).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("X-Kings-Verdict: junk; DMARC fails")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("which is ours")), "{texts:?}");
}

#[test]
fn results_are_only_recorded_where_they_do_not_count_and_nobody_else_writes_them() {
    let dns = NameServer::start("net", ZONE);
    let tagging = ALL.replace("enforce", "tag");
    let kings = judging(&dns, &tagging);
    let forged = [
        &b"authentication-results: (x) MAIL.example.org; dmarc=pass\r\n"[..],
        &letter("ceo@strict.example.net", BOB, "hello"),
    ]
    .concat();
    let mut client = kings.smtp();
    client.message("joe@example.net", &[BOB], &forged).unwrap().is("250");
    let message = &messages(&kings.maildir(BOB))[0];
    let found = results(message);
    assert!(found.contains("dmarc=fail") && found.contains("header.from=strict.example.net"), "{found}");
    assert_eq!(message.text().to_lowercase().matches("authentication-results:").count(), 1);

    // Without any check there is no field, and still nobody else's in our name.
    let kings = judging(&dns, UNVERIFIED);
    kings.smtp().message("joe@example.net", &[BOB], &forged).unwrap().is("250");
    let text = messages(&kings.maildir(BOB))[0].text();
    assert!(!text.to_lowercase().contains("authentication-results"), "{text}");
}

#[test]
fn a_name_server_that_does_not_answer_refuses_nothing() {
    let kings = Setup { tables: ALL.to_owned(), ..Setup::default() }.start();
    let mut client = kings.smtp();
    client
        .message("joe@example.net", &[BOB], &letter("ceo@strict.example.net", BOB, "hello"))
        .unwrap()
        .is("250");
    let found = results(&messages(&kings.maildir(BOB))[0]);
    assert!(found.contains("spf=temperror") && found.contains("dmarc=temperror"), "{found}");
}
