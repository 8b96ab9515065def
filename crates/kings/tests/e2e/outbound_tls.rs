//! DANE, MTA-STS, the records of both, and the trace: a signed DNS tree, a validating resolver, a real Postfix and
//! real policy servers against the real binary.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Certificates, Daemon, Folder, Kings, Message, Postfix, Setup, SignedTree, free_port, program, run,
    wait_until,
};

const ANN: &str = "ann@example.org";
/// Both queues work at once; this is for a busy machine.
const DELIVERY: Duration = Duration::from_secs(30);

/// The world outside: Postfix takes mail for everybody and shows a certificate for `mx.signed.test` and
/// `mx.unsigned.test`, made by an authority that it shows too.
struct World {
    postfix: Postfix,
    certificates: Certificates,
    folder: Folder,
}

impl World {
    fn new() -> Self {
        let folder = Folder::new("world");
        let names = ["mx.signed.test", "mx.unsigned.test", "mta-sts.good.unsigned.test"];
        let more =
            ["mta-sts.bad.unsigned.test", "mta-sts.testing.unsigned.test", "mta-sts.other.unsigned.test"];
        let certificates = Certificates::for_names(&folder, &[&names[..], &more[..]].concat());
        let chain =
            [&certificates.certificate, &certificates.authority].map(|file| std::fs::read(file).unwrap());
        let chain = folder.write("chain.pem", chain.concat());
        let postfix = Postfix::start(&format!(
            "smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nvirtual_mailbox_maps = static:dave/\n\
             virtual_mailbox_domains = regexp:{{ {{/\\.test$$/ x}} }}\n",
            chain.display(),
            certificates.private_key.display()
        ));
        Self { postfix, certificates, folder }
    }

    /// A TLSA record of a certificate for a host, as ldns-dane makes it.
    fn tlsa(&self, host: &str, certificate: &Path, numbers: [&str; 3]) -> String {
        let port = self.postfix.port.to_string();
        let mut ldns_dane = program("ldns-dane");
        // It checks the name in the certificate, which DANE does not: the record moves to its host afterwards.
        ldns_dane.arg("-c").arg(certificate).args(["-n", "create", "mx.signed.test.", &port]).args(numbers);
        let record = run(&mut ldns_dane).succeeded().text();
        record.replace("mx.signed.test.", host)
    }

    fn kings(&self, tree: &SignedTree, policies: u16) -> Kings {
        let setup = Setup {
            name_server: tree.address.clone(),
            tls: format!("authorities = \"{}\"\n", self.certificates.authority.display()),
            tables: format!(
                "[outbound]\nport = {}\nallow_private = [\"127.0.0.0/8\"]\nmta_sts_port = {policies}\n",
                self.postfix.port
            ),
            ..Setup::default()
        };
        setup.start()
    }

    /// Waits for the message with this subject.
    #[track_caller]
    fn delivered(&self, subject: &str) -> Message {
        let found = |message: &Message| message.field("Subject").as_deref() == Some(subject);
        wait_until(subject, DELIVERY, || self.postfix.delivered().into_iter().find(found))
    }
}

/// The last reply for a recipient that waits in the queue, once there is one.
#[track_caller]
fn deferred(kings: &Kings, recipient: &str) -> String {
    wait_until(&format!("{recipient} deferred"), DELIVERY, || {
        let list = json(kings, &["queue", "list", "--json"]);
        let items = list["items"].as_array()?;
        let mut recipients =
            items.iter().flat_map(|item| item["recipients"].as_array().into_iter().flatten());
        let found = recipients
            .find(|found| found["forward_path"].as_str().is_some_and(|path| path.contains(recipient)))?;
        found["last_reply"].as_str().filter(|reply| !reply.is_empty()).map(str::to_owned)
    })
}

fn json(kings: &Kings, arguments: &[&str]) -> Value {
    let output = run(&mut kings.command(arguments)).succeeded();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until `kings tls report` has this failure, or a success where it is empty, under this policy of a domain.
#[track_caller]
fn reported(kings: &Kings, domain: &str, policy: &str, failure: &str) {
    wait_until(&format!("{domain} {policy} {failure} in the report"), DELIVERY, || {
        let report = json(kings, &["tls", "report", "--json"]);
        let items = report["items"].as_array()?;
        let fits = |item: &&Value| {
            item["policy"]["policy-domain"] == domain && item["policy"]["policy-type"] == policy
        };
        items.iter().filter(fits).find(|item| match failure {
            "" => item["summary"]["total-successful-session-count"].as_u64() > Some(0),
            _ => item["failure-details"]
                .as_array()
                .is_some_and(|details| details.iter().any(|detail| detail["result-type"] == failure)),
        })?;
        Some(())
    });
}

/// `openssl s_server` with one policy file, on an address of its own.
fn policy_server(world: &World, ip: &str, port: u16, mode: &str, mx: &str) -> Daemon {
    let folder = world.folder.create(&format!("{ip}/.well-known"));
    let text = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n");
    std::fs::write(folder.join("mta-sts.txt"), text).unwrap();
    let address = format!("{ip}:{port}");
    let mut command = program("openssl");
    command.args(["s_server", "-WWW", "-quiet", "-accept", &address]);
    command
        .arg("-cert")
        .arg(&world.certificates.certificate)
        .arg("-key")
        .arg(&world.certificates.private_key);
    command.current_dir(world.folder.join(ip));
    let mut daemon = Daemon::start("openssl", &mut command, &world.folder.join(&format!("{ip}/log")));
    daemon.wait_for("its port", DELIVERY, |_| std::net::TcpStream::connect(&address).is_ok());
    daemon
}

#[test]
fn dane_delivers_what_matches_and_defers_the_rest() {
    let world = World::new();
    let (own, authority) = (&world.certificates.certificate, &world.certificates.authority);
    let stranger = Certificates::create(&Folder::new("stranger"), "mx.signed.test").certificate;
    let mut zone = String::new();
    let cases = [
        ("match", own, ["3", "1", "1"]),
        ("full", own, ["3", "0", "2"]),
        ("mismatch", authority, ["3", "1", "1"]),
    ];
    for (name, certificate, numbers) in cases {
        let host = format!("mx-{name}.signed.test.");
        writeln!(zone, "{name} IN MX 10 mx-{name}\nmx-{name} IN A 127.0.0.1").unwrap();
        zone += &world.tlsa(&host, certificate, numbers);
    }
    // Below a trust anchor the name counts: the right one, and another.
    for (name, host) in [("anchor", "mx"), ("name", "mx-name")] {
        writeln!(zone, "{name} IN MX 10 {host}\n{host} IN A 127.0.0.1").unwrap();
        zone += &world.tlsa(&format!("{host}.signed.test."), authority, ["2", "0", "1"]);
    }
    // An answer too large for UDP, the right record among many.
    writeln!(zone, "many IN MX 10 mx-many\nmx-many IN CNAME mx-large\nmx-large IN A 127.0.0.1").unwrap();
    for number in 0..30 {
        writeln!(zone, "_{}._tcp.mx-large IN TLSA 3 0 1 {number:064}", world.postfix.port).unwrap();
    }
    zone += &world.tlsa("mx-large.signed.test.", own, ["3", "1", "1"]);
    // A record whose signature breaks: whatever it was, nobody knows.
    let spoiled = "abcdef0123".repeat(6) + "5678";
    writeln!(zone, "bogus IN MX 10 mx-bogus\nmx-bogus IN A 127.0.0.1").unwrap();
    writeln!(zone, "_{}._tcp.mx-bogus IN TLSA 3 1 1 {spoiled}", world.postfix.port).unwrap();
    // Nothing that SMTP can use: TLS, with any certificate.
    writeln!(zone, "useless IN MX 10 mx-useless\nmx-useless IN A 127.0.0.1").unwrap();
    zone += &world.tlsa("mx-useless.signed.test.", authority, ["3", "1", "1"]).replace("3 1 1", "1 1 1");
    // A zone that nobody vouches for has no say.
    let wrong = world.tlsa("mx.unsigned.test.", authority, ["3", "1", "1"]);
    let unsigned = format!("insecure IN MX 10 mx\nmx IN A 127.0.0.1\n{wrong}");
    let tree = SignedTree::start(&zone, &spoiled, &unsigned);
    let kings = world.kings(&tree, 443);
    drop(stranger);

    let good = ["match.signed.test", "full.signed.test", "anchor.signed.test", "many.signed.test"];
    let also = ["useless.signed.test", "insecure.unsigned.test"];
    let bad = ["mismatch.signed.test", "name.signed.test", "bogus.signed.test"];
    for domain in good.iter().chain(&also).chain(&bad) {
        kings.submit(ANN, &format!("dave@{domain}"), domain);
    }
    for domain in good.iter().chain(&also) {
        assert!(world.delivered(domain).text().contains("using TLSv1.3"), "{domain}");
    }
    for domain in bad {
        let reply = deferred(&kings, domain);
        let expected =
            if domain.starts_with("bogus") { "cannot look up the TLSA records" } else { "TLS handshake" };
        assert!(reply.contains(expected), "{domain}: {reply}");
    }
    let arrived = world.postfix.delivered();
    assert_eq!(arrived.len(), good.len() + also.len(), "nothing else has left");
    for domain in good {
        reported(&kings, domain, "tlsa", "");
    }
    reported(&kings, "mismatch.signed.test", "tlsa", "tlsa-invalid");
    reported(&kings, "name.signed.test", "tlsa", "certificate-host-mismatch");
    reported(&kings, "bogus.signed.test", "tlsa", "dnssec-invalid");
    reported(&kings, "insecure.unsigned.test", "no-policy-found", "");
}

#[test]
fn mta_sts_enforces_watches_and_remembers() {
    let world = World::new();
    let mut zone = String::from("mx IN A 127.0.0.1\nmx-bad IN A 127.0.0.1\n");
    let domains = [
        ("good", "127.0.0.81", "enforce", "mx", "mx.unsigned.test"),
        ("bad", "127.0.0.82", "enforce", "mx-bad", "*.unsigned.test"),
        ("other", "127.0.0.83", "enforce", "mx", "mx.elsewhere.test"),
        ("testing", "127.0.0.84", "testing", "mx-bad", "mx-bad.unsigned.test"),
        // The certificate of the policy's host is for another name: there is no policy (RFC 8461 §3.3).
        ("impostor", "127.0.0.85", "enforce", "mx", "mx.elsewhere.test"),
    ];
    let port = free_port();
    let mut servers = Vec::new();
    for (name, ip, mode, host, mx) in domains {
        writeln!(zone, "{name} IN MX 10 {host}\nmta-sts.{name} IN A {ip}").unwrap();
        writeln!(zone, "_mta-sts.{name} IN TXT \"v=STSv1; id=1;\"").unwrap();
        servers.push(policy_server(&world, ip, port, mode, mx));
    }
    let tree = SignedTree::start("spare IN TXT spoiled\n", "spoiled", &zone);
    let mut kings = world.kings(&tree, port);
    for (name, ..) in domains {
        kings.submit(ANN, &format!("dave@{name}.unsigned.test"), name);
    }
    for name in ["good", "testing", "impostor"] {
        assert!(world.delivered(name).text().contains("using TLSv1.3"), "{name}");
    }
    let reply = deferred(&kings, "dave@bad.unsigned.test");
    assert!(reply.contains("TLS handshake"), "{reply}");
    let reply = deferred(&kings, "dave@other.unsigned.test");
    assert!(reply.contains("is not named by the MTA-STS policy"), "{reply}");
    reported(&kings, "good.unsigned.test", "sts", "");
    reported(&kings, "bad.unsigned.test", "sts", "certificate-host-mismatch");
    reported(&kings, "other.unsigned.test", "sts", "validation-failure");
    reported(&kings, "testing.unsigned.test", "sts", "certificate-host-mismatch");
    reported(&kings, "impostor.unsigned.test", "sts", "sts-webpki-invalid");
    reported(&kings, "impostor.unsigned.test", "no-policy-found", "");

    // The policy outlives its server and a kill: it is kept, and still enforced.
    servers.clear();
    kings.kill();
    kings.serve();
    kings.submit(ANN, "dave@good.unsigned.test", "good again");
    kings.submit(ANN, "dave@bad.unsigned.test", "bad again");
    world.delivered("good again");
    wait_until("two messages for bad.unsigned.test", DELIVERY, || {
        let list = json(&kings, &["queue", "list", "--json"]).to_string();
        (list.matches("dave@bad.unsigned.test").count() == 2).then_some(())
    });
    assert_eq!(world.postfix.delivered().len(), 4, "nothing else has left");
}

/// The text of the policy that is kept for a domain.
fn kept_policy(kings: &Kings, domain: &str) -> String {
    const SCRIPT: &str = "import sqlite3, sys\n\
         print(*sqlite3.connect(sys.argv[1]).execute('SELECT policy FROM sts WHERE domain = ?', sys.argv[2:]))";
    let mut python = program("python3");
    python.arg("-c").arg(SCRIPT).arg(kings.folder().join("data/records.sqlite")).arg(domain);
    run(&mut python).succeeded().text()
}

/// RFC 8461 §5.1 and §10.2: a policy that would expire is asked for again by itself, and one with another id at once; as
/// long as the id is the same, nobody asks.
#[test]
fn a_policy_is_refreshed_before_it_expires_and_replaced_when_its_id_changes() {
    let world = World::new();
    let (domain, dave, ip, port) =
        ("good.unsigned.test", "dave@good.unsigned.test", "127.0.0.86", free_port());
    let zone = |id: u32| {
        format!(
            "mx IN A 127.0.0.1\ngood IN MX 10 mx\nmta-sts.good IN A {ip}\n\
             _mta-sts.good 0 IN TXT \"v=STSv1; id={id};\"\n"
        )
    };
    let tree = SignedTree::start("spare IN TXT spoiled\n", "spoiled", &zone(1));
    let server = policy_server(&world, ip, port, "enforce", "mx.unsigned.test");
    let mut kings = world.kings(&tree, port);
    kings.submit(ANN, dave, "by the first policy");
    world.delivered("by the first policy");

    // It lasts a day, which is soon; the new one has the same id.
    drop(server);
    let server = policy_server(&world, ip, port, "enforce", "mx.elsewhere.test");
    kings.kill();
    kings.serve();
    wait_until("the policy to be refreshed", DELIVERY, || {
        kept_policy(&kings, domain).contains("mx.elsewhere.test").then_some(())
    });
    kings.submit(ANN, dave, "by the refreshed policy");
    let reply = deferred(&kings, dave);
    assert!(reply.contains("is not named by the MTA-STS policy"), "{reply}");

    drop(server);
    let _server = policy_server(&world, ip, port, "enforce", "mx.unsigned.test");
    run(&mut kings.command(&["queue", "retry", "all"])).succeeded();
    wait_until("a second attempt by the same policy", DELIVERY, || {
        let list = json(&kings, &["queue", "list", "--json"]);
        let recipient = &list["items"][0]["recipients"][0];
        (recipient["attempts"] == 2 && recipient["state"] == "deferred").then_some(())
    });
    assert!(kept_policy(&kings, domain).contains("mx.elsewhere.test"));

    tree.change_unsigned(&zone(2));
    wait_until("the new id in DNS", DELIVERY, || {
        tree.ask("_mta-sts.good.unsigned.test", "TXT").contains("id=2").then_some(())
    });
    // A destination that has just failed is looked at by one message at a time.
    wait_until("the delivery by the new policy", DELIVERY, || {
        run(&mut kings.command(&["queue", "retry", "all"])).succeeded();
        (world.postfix.delivered().len() == 2).then_some(())
    });
    wait_until("the new policy to be kept", DELIVERY, || {
        kept_policy(&kings, domain).contains("mx: mx.unsigned.test").then_some(())
    });
}

#[test]
fn the_trace_tells_where_a_message_is() {
    let world = World::new();
    let tree = SignedTree::start("spare IN TXT spoiled\n", "spoiled", "far IN MX 10 mx\nmx IN A 127.0.0.1\n");
    let kings = world.kings(&tree, 443);
    kings.submit(ANN, "dave@far.unsigned.test", "a traced letter");
    world.delivered("a traced letter");
    kings.deliver("bob@example.org", "for bob");
    let story = wait_until("the delivery in the trace", DELIVERY, || {
        let output = run(&mut kings.command(&["trace", "--recipient", "dave@far.unsigned.test"]));
        output.text().contains("has taken it").then(|| output.text())
    });
    for expected in [
        "from <ann@example.org>",
        "<a.traced.letter@example.net>",
        "waits in the queue",
        "mx.unsigned.test[127.0.0.1]",
        "250 2.0.0",
    ] {
        assert!(story.contains(expected), "no {expected:?} in\n{story}");
    }
    let items = json(&kings, &["trace", "--message-id", "a.traced.letter@example.net", "--json"]);
    let steps: Vec<&str> =
        items["items"].as_array().unwrap().iter().filter_map(|item| item["step"].as_str()).collect();
    assert!(
        steps.contains(&"queued") && steps.contains(&"received") && steps.last() == Some(&"delivered"),
        "{steps:?}"
    );
    wait_until("bob's message in the trace", DELIVERY, || {
        let output = run(&mut kings.command(&["trace", "--recipient", "bob@example.org", "--since", "1h"]));
        output.text().contains("stored in the mailbox of <bob@example.org>").then_some(())
    });
    let unknown = run(&mut kings.command(&["trace", "--sender", "nobody@nowhere.example"]));
    assert_eq!(unknown.failed().status.code(), Some(1));
}
