//! Mail that a backup MX or a known forwarder brings: recorded, and held against nobody who has taken it already.

use crate::harness::{Kings, NameServer, Reply, Setup, Smtp, letter, messages};

const BOB: &str = "bob@example.org";
const FORWARDER: &str = "9.10.20.5";
const STRANGER: &str = "9.10.30.5";

/// A domain that forbids all others to write, and a list that knows both hosts.
const ZONE: &str = "bank.test. IN TXT \"v=spf1 -all\"\n_dmarc.bank.test. IN TXT \"v=DMARC1; p=reject\"\n\
    2.0.0.127.zen.test. IN A 127.0.0.2\n5.20.10.9.zen.test. IN A 127.0.0.2\n5.30.10.9.zen.test. IN A 127.0.0.2\n";

fn start(dns: &NameServer, more: &str) -> Kings {
    let mut setup = Setup { name_server: dns.address.clone(), ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.0/8\"]\nlmtp = [\"127.0.0.1:0\"]\n";
    setup.tables = format!("[inbound]\nforwarders = [\"9.10.20.0/24\"]\n{more}");
    setup.start()
}

#[track_caller]
fn send(kings: &Kings, client: &str, author: &str, fields: &str) -> Reply {
    let mut smtp = Smtp::connect(kings.address("smtp")).unwrap();
    smtp.command("EHLO proxy.example.net").unwrap().is("250");
    smtp.command(&format!("XCLIENT ADDR={client}")).unwrap().is("220");
    smtp.command("EHLO mx").unwrap().is("250");
    let content = [fields.as_bytes(), &letter(author, BOB, "hello")].concat();
    smtp.message(author, &[BOB], &content).unwrap()
}

#[test]
fn what_a_forwarder_brings_is_recorded_and_not_refused() {
    let dns = NameServer::start(".", ZONE);
    let strict = "spf_fail = \"reject\"\nspf_helo_fail = \"reject\"\nbad_helo = \"reject\"\n\
        unknown_sender_domain = \"reject\"\ndnsbl = [\"zen.test\"]\ngreylist = true\n";
    let kings = start(&dns, strict);
    send(&kings, FORWARDER, "ceo@bank.test", "").is("250");
    send(&kings, FORWARDER, "joe@nowhere.test", "").is("250");
    let inbox = messages(&kings.maildir(BOB));
    let text =
        inbox.iter().map(|message| message.text().replace("\r\n\t", " ")).find(|text| text.contains("ceo@"));
    let text = text.unwrap();
    assert!(text.contains("spf=fail") && text.contains("dmarc=fail"), "{text}");
    let sentence = "X-Kings-Verdict: accept; it fails here, but 9.10.20.5 passes mail on to us\r\n";
    assert!(inbox.len() == 2 && text.contains(sentence), "{text}");
    // Its mirror.
    send(&kings, STRANGER, "ceo@bank.test", "").is("550 5.7.1 EHLO name is not a full host name");
    let kings = start(&dns, "");
    send(&kings, STRANGER, "ceo@bank.test", "").is("550 5.7.26 Not accepted: DMARC fails");
}

#[test]
fn nobody_else_is_believed_and_a_claim_on_us_is_told() {
    let dns = NameServer::start(".", ZONE);
    let kings = start(&dns, "");
    let junk = "X-Kings-Verdict: junk; the client is on the list elsewhere.test\r\n";
    send(&kings, FORWARDER, "joe@nowhere.test", junk).is("250");
    send(&kings, FORWARDER, "ann@example.org", "X-Kings-Verdict: accept\r\n").is("250");
    send(&kings, STRANGER, "joe@nowhere.test", junk).is("250");
    let mut front = Smtp::connect(kings.address("lmtp")).unwrap();
    front.command("LHLO front.example.net").unwrap().is("250");
    let content = [junk.as_bytes(), &letter("joe@nowhere.test", BOB, "in front")].concat();
    front.message("joe@nowhere.test", &[BOB], &content).unwrap().is("250");
    let texts = |folder: &str| -> Vec<String> {
        let all = messages(&kings.maildir(BOB).join(folder));
        all.iter().map(|message| message.text().replace("\r\n\t", " ")).collect()
    };
    let filed = texts(".Junk");
    assert_eq!(filed.len(), 2, "{filed:?}");
    for (host, subject) in [(FORWARDER, "hello"), ("127.0.0.1", "in front")] {
        let sentence = format!("X-Kings-Verdict: junk; {host}, which passes mail on to us, calls it junk");
        let is_told =
            |text: &&String| text.contains(&sentence) && text.contains(&format!("Subject: {subject}"));
        assert!(filed.iter().find(is_told).is_some_and(|text| !text.contains("elsewhere.test")), "{filed:?}");
    }
    let inbox = texts("");
    assert_eq!(inbox.len(), 2, "{inbox:?}");
    let told = "accept; it says to be from example.org, which is ours, and does not prove it; it fails here, but 9.10.20.5";
    assert!(inbox.iter().any(|text| text.contains(told)), "{inbox:?}");
}
