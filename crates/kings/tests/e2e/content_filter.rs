//! What was thought of a message before it went through a content filter holds when it comes back, and nobody else has its pass.

use std::time::Duration;

use crate::harness::{Kings, NameServer, Reply, Setup, Sink, Smtp, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const RULES: &str = "[inbound]\nheader_checks = \"rules\"\ndnsbl = [\"zen.test\"]\ndnsbl_listed = \"junk\"\ngreylist = true\n\
                     greylist_exempt = [\"9.10.10.0/24\"]\n[submission]\nheader_checks = \"rules\"\n";
/// A domain that one address alone may send for, a list with its test entry and a client.
const ZONE: &str = "strict.test. IN TXT \"v=spf1 ip4:9.10.10.9 -all\"\n_dmarc.strict.test. IN TXT \"v=DMARC1; p=reject\"\n\
    2.0.0.127.zen.test. IN A 127.0.0.2\n10.10.10.9.zen.test. IN A 127.0.0.2\nplain.test. IN A 127.0.0.1\n";

/// Everything whose subject says "scan" goes to this port.
fn filtering(dns: &NameServer, port: u16) -> Kings {
    let rules = format!("/^Subject: scan/ FILTER smtp:[127.0.0.1]:{port}\n");
    let (files, tables) = (vec![("rules", &*rules.leak())], RULES.to_owned());
    let mut setup = Setup { files, tables, name_server: dns.address.clone(), ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.1/32\"]\n";
    setup.start()
}

fn from_client(kings: &Kings, address: &str, sender: &str, content: &[u8]) -> Reply {
    let mut client = Smtp::connect(kings.address("smtp")).unwrap();
    client.command("EHLO proxy.example.net").unwrap().is("250");
    client.command(&format!("XCLIENT ADDR={address}")).unwrap().is("220");
    client.command("EHLO client.plain.test").unwrap().is("250");
    client.message(sender, &[BOB], content).unwrap()
}

/// The filter's address proves nothing of the author, is on no list and new here; it has the message from us.
#[test]
fn what_a_filter_hands_back_was_judged_when_it_came() {
    let (dns, sink) = (NameServer::start(".", ZONE), Sink::start());
    let kings = filtering(&dns, sink.port);
    let (joe, eve) = ("joe@strict.test", "eve@plain.test");
    from_client(&kings, "9.10.10.9", joe, &letter(joe, BOB, "scan proven")).is("250");
    from_client(&kings, "9.10.10.10", eve, &letter(eve, BOB, "scan listed")).is("250");
    let sent = wait_until("both at the filter", Duration::from_secs(30), || {
        Some(sink.contents()).filter(|sent| sent.len() == 2 && sink.subjects().len() == 2)
    });
    let sent = |subject: &str| sent.iter().find(|text| text.contains(subject)).unwrap().clone();
    kings.smtp().message(joe, &[BOB], sent("scan proven").as_bytes()).unwrap().is("250");
    kings.smtp().message(eve, &[BOB], sent("scan listed").as_bytes()).unwrap().is("250");
    let [inbox, junk] = ["", ".Junk"].map(|folder| messages(&kings.maildir(BOB).join(folder)));
    assert_eq!((inbox.len(), junk.len()), (1, 1));
    let (proven, listed) = (inbox[0].text(), junk[0].text());
    assert!(proven.contains("spf=pass") && !proven.contains("spf=fail"), "{proven}");
    assert!(listed.contains("X-Kings-Verdict: junk; the client is on the list zen.test"), "{listed}");
    for text in [&proven, &listed] {
        assert_eq!(
            (text.matches("X-Kings-Verdict:").count(), text.matches("X-Kings-Filter").count()),
            (1, 0)
        );
    }
    // By the login of a filter too, though it writes for others.
    kings.submissions(ANN).message(ANN, &[BOB], sent("scan listed").as_bytes()).unwrap().is("250");
    let junk = messages(&kings.maildir(BOB).join(".Junk"));
    assert!(junk.len() == 2 && junk.iter().all(|message| message.text().contains("zen.test")));
    // Without the pass, or from elsewhere, it is mail like any other.
    let bare = sent("scan proven").replace("X-Kings-Filter:", "X-Other:");
    kings.smtp().message(joe, &[BOB], bare.as_bytes()).unwrap().is("550 5.7.26");
    from_client(&kings, "9.10.10.11", joe, sent("scan proven").as_bytes()).is("550 5.7.26");
}

/// A rule that is gone leaves mail at its filter, which comes back all the same.
#[test]
fn what_is_at_a_filter_comes_back_though_its_rule_is_gone() {
    let (dns, sink) = (NameServer::start(".", ZONE), Sink::start());
    let mut kings = filtering(&dns, sink.port);
    let joe = "joe@strict.test";
    from_client(&kings, "9.10.10.9", joe, &letter(joe, BOB, "scan proven")).is("250");
    let sent = wait_until("it is at the filter", Duration::from_secs(30), || {
        Some(sink.contents()).filter(|_| sink.subjects().len() == 1)
    });
    kings.kill();
    kings.folder().write("rules", "/^X-None:/ IGNORE\n");
    kings.serve();
    kings.smtp().message(joe, &[BOB], sent[0].as_bytes()).unwrap().is("250");
    let bare = sent[0].replace("X-Kings-Filter:", "X-Other:");
    kings.smtp().message(joe, &[BOB], bare.as_bytes()).unwrap().is("550 5.7.26");
    assert_eq!(messages(&kings.maildir(BOB)).len(), 1);
}

/// Whoever has a pass passes the filter by, with any message.
#[test]
fn no_report_tells_what_passes_a_filter() {
    let (dns, sink) = (NameServer::start(".", ZONE), Sink::refusing());
    let kings = filtering(&dns, sink.port);
    let mut client = kings.submissions(ANN);
    client.command(&format!("MAIL FROM:<{ANN}> RET=FULL")).unwrap().is("250");
    client.command(&format!("RCPT TO:<{BOB}>")).unwrap().is("250");
    client.command("DATA").unwrap().is("354");
    client.send(&letter(ANN, BOB, "scan whole")).unwrap();
    client.command(".").unwrap().is("250");
    kings.submit(ANN, BOB, "scan header");
    let bounces = wait_until("both bounces", Duration::from_secs(30), || {
        Some(messages(&kings.maildir(ANN))).filter(|bounces| bounces.len() == 2)
    });
    for bounce in bounces {
        let text = bounce.text();
        assert!(text.contains("Subject: scan") && !text.contains("X-Kings-Filter"), "{text}");
    }
    wait_until("an empty queue", Duration::from_secs(10), || {
        run(&mut kings.command(&["queue", "list"])).text().contains("nothing found").then_some(())
    });
}
