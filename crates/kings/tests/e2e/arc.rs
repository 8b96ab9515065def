//! ARC from Kings over Kings to Kings: a list that changes messages and seals them, and who believes it (RFC 8617).

use std::fs;
use std::time::Duration;

use crate::harness::{Kings, Message, NameServer, Setup, letter, messages, run, wait_until};

const AUTHOR: &str = "ann@author.org";
const LIST: &str = "away@list.org";
const HOME: &str = "bob@home.org";
const DELIVERY: Duration = Duration::from_secs(30);
/// Checks, all of which count.
const ALL: &str =
    "[inbound]\nspf = \"enforce\"\ndkim = \"enforce\"\ndmarc = \"enforce\"\nspf_fail = \"reject\"\n";
/// What stands in a config until the server behind it is there.
const LATER: &str = "127.0.0.1:7";

/// The author's server, one whose alias passes mail on with another subject and from another address than SPF allows,
/// and the one where it ends.
struct Journey {
    author: Kings,
    list: Kings,
    home: Kings,
    _dns: NameServer,
}

impl Journey {
    /// `inbound`: what more the last server has in its `[inbound]`.
    fn start(inbound: &str) -> Self {
        let mut author = Setup {
            files: vec![("users", "ann@author.org:{PLAIN}secret\n")],
            tables: format!(
                "[outbound]\nsmart_host = \"{LATER}\"\ntls = \"none\"\n[[domain]]\nname = \"author.org\"\n"
            ),
            ..Setup::default()
        }
        .start();
        let rules = "/^Subject: (.*)/ REPLACE Subject: [list] $1\n";
        let mut list = Setup {
            files: vec![("more-aliases", "away@list.org bob@home.org\n"), ("rules", rules)],
            aliases: "files = [\"virtual:more-aliases\"]\n".into(),
            tables: format!(
                "{ALL}arc = \"tag\"\nheader_checks = \"rules\"\n[outbound]\nsmart_host = \"{LATER}\"\ntls = \"none\"\n\
                 srs = false\nsource = \"127.0.0.2\"\n[[domain]]\nname = \"list.org\"\n"
            ),
            ..Setup::default()
        }
        .start();
        let records = [keys(&author, "author.org"), keys(&list, "list.org")].concat();
        let policy =
            "_dmarc.author IN TXT \"v=DMARC1; p=reject\"\nauthor IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n";
        let dns = NameServer::start("org", &(records + policy));
        let home = Setup {
            files: vec![("users", "bob@home.org:{PLAIN}secret\n")],
            tables: format!("{ALL}{inbound}[[domain]]\nname = \"home.org\"\n"),
            name_server: dns.address.clone(),
            ..Setup::default()
        }
        .start();
        restart(&mut list, &dns, &home);
        restart(&mut author, &dns, &list);
        Self { author, list, home, _dns: dns }
    }

    fn write(&self, subject: &str) {
        self.author.submit(AUTHOR, LIST, subject);
    }

    fn inbox(&self) -> Vec<Message> {
        messages(&self.home.maildir(HOME))
    }

    /// The message at its end.
    fn arrived(&self) -> String {
        wait_until("the message", DELIVERY, || self.inbox().pop()).text().replace("\r\n\t", " ")
    }
}

/// New keys of a server, as records of the zone `org`.
fn keys(kings: &Kings, domain: &str) -> String {
    run(&mut kings.command(&["dkim", "create", domain, "--selector", "one"])).succeeded();
    let folder = kings.folder().join("data/dkim").join(domain);
    let record = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let records = record("one.txt") + &record("one-ed25519.txt");
    let label = domain.strip_suffix(".org").unwrap();
    records.replace("._domainkey", &format!("._domainkey.{label}"))
}

/// Starts it anew with its keys, the name server, and the server behind it.
fn restart(kings: &mut Kings, dns: &NameServer, next: &Kings) {
    kings.kill();
    kings.ask(&dns.address);
    let file = kings.folder().join("kings.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(LATER, &next.address("smtp").to_string())).unwrap();
    kings.serve();
}

#[test]
fn a_listed_sealer_saves_what_spf_and_dkim_can_no_longer_prove() {
    let journey = Journey::start("arc = \"enforce\"\narc_sealers = [\"list.org\"]\n");
    journey.write("hello");
    let text = journey.arrived();
    for expected in [
        "Subject: [list] hello",
        "spf=fail",
        "dkim=fail",
        "dmarc=fail",
        "arc=pass (i=1, sealed by list.org) header.oldest-pass=0",
        "X-Kings-Verdict: accept; it fails here, but list.org, whose seals count, saw DMARC pass",
        "ARC-Seal: i=1; a=rsa-sha256;",
        "cv=none;",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    // Whoever asks later hears it too.
    let story = wait_until("the verdict in the trace", DELIVERY, || {
        let output = run(&mut journey.home.command(&["trace", "--recipient", HOME]));
        output.text().contains("judged: ").then(|| output.text())
    });
    assert!(story.contains("judged: accept; it fails here, but list.org, whose seals count"), "{story}");

    // A word changed behind the seal: the same seal saves nothing.
    let raw = journey.inbox().pop().unwrap().text();
    let forged = raw[raw.find("ARC-Seal:").unwrap()..].replace("this is hello", "this is forged");
    let mut client = journey.home.smtp();
    let refused = client.message("joe@nowhere.org", &[HOME], forged.as_bytes()).unwrap();
    refused.is("550 5.7.26");
    assert!(refused.text.contains("DMARC fails"), "{}", refused.text);
    assert_eq!(journey.inbox().len(), 1);
}

#[test]
fn an_unlisted_sealer_saves_nothing() {
    let journey = Journey::start("arc = \"enforce\"\narc_sealers = [\"other.org\", \"sub.list.org\"]\n");
    journey.write("hello");
    let story = wait_until("the refusal in the trace", DELIVERY, || {
        let output = run(&mut journey.home.command(&["trace", "--sender", AUTHOR]));
        output.text().contains("refused to").then(|| output.text())
    });
    assert!(story.contains("judged: reject; SPF fails") && story.contains("DMARC fails"), "{story}");
    assert!(!story.contains("whose seals count"), "{story}");
    assert!(journey.inbox().is_empty());
}

#[test]
fn what_begins_here_is_signed_and_not_sealed() {
    let journey = Journey::start("arc = \"tag\"\narc_sealers = [\"list.org\"]\n");
    journey.list.submit("ann@example.org", LIST, "our own");
    // The last server of this test hosts example.org as well, and nothing proves it to be the author: junk.
    let junk = journey.home.maildir(HOME).join(".Junk");
    let text = wait_until("the message", DELIVERY, || messages(&junk).pop()).text();
    assert!(text.contains("arc=none") && !text.contains("ARC-Seal"), "{text}");
    // Where chains only stand in the results, a seal of whomever changes nothing.
    journey.write("hello");
    wait_until("the refusal", DELIVERY, || {
        let output = run(&mut journey.home.command(&["trace", "--sender", AUTHOR]));
        output.text().contains("judged: reject").then_some(())
    });
    assert!(journey.inbox().is_empty());
}

#[test]
fn received_spf_stands_beside_the_results_where_it_is_wanted() {
    let records = "@ IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n";
    let dns = NameServer::start("net", &format!("$ORIGIN example.net.\n{records}"));
    let start = |inbound: &str| {
        let tables = format!("[inbound]\n{inbound}");
        Setup { tables, name_server: dns.address.clone(), ..Setup::default() }.start()
    };
    let bob = "bob@example.org";
    let forged = b"Received-SPF: fail (mail.example.org: no) receiver=mail.example.org\r\n";
    let content = [&forged[..], &letter("joe@example.net", bob, "hello")].concat();
    let kings = start("received_spf = true\nspf_fail = \"reject\"\n");
    kings.smtp().message("joe@example.net", &[bob], &content).unwrap().is("250");
    let text = messages(&kings.maildir(bob)).remove(0).text();
    let ours = text.find("Received-SPF: pass (mail.example.org: ").unwrap_or_else(|| panic!("{text}"));
    assert!(
        text.contains("client-ip=127.0.0.1;") && text.contains("envelope-from=joe@example.net;"),
        "{text}"
    );
    assert!(text.contains("helo=client.example.net;") && text.contains("identity=mailfrom;"), "{text}");
    // Above our Received field, which tells it from the one that came (RFC 7208 §9.1); that one counts for nothing.
    let received = text.find("Received: ").unwrap();
    assert!(ours < received && received < text.find("Received-SPF: fail").unwrap(), "{text}");

    let kings = start("spf = \"tag\"\n");
    kings
        .smtp()
        .message("joe@example.net", &[bob], &letter("joe@example.net", bob, "hello"))
        .unwrap()
        .is("250");
    assert!(!messages(&kings.maildir(bob)).remove(0).text().contains("Received-SPF"));
}
