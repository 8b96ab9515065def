//! A real Postfix signs and verifies with `kings milter` in the place of OpenDKIM.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::dkim::{opendkim, zone_lines};
use crate::harness::{
    Daemon, Folder, Message, NameServer, Postfix, Setup, Smtp, UNVERIFIED, free_port, letter, program, run,
    wait_until,
};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";
const START: Duration = Duration::from_secs(30);
/// Postfix's queue and a busy machine.
const DELIVERY: Duration = Duration::from_secs(30);

fn kings(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    command.args(arguments);
    command
}

/// `kings milter` with a key of opendkim-genkey for example.org, and Postfix before it.
struct Pair {
    filter: Option<Daemon>,
    postfix: Postfix,
    folder: Folder,
    _dns: NameServer,
}

/// The record in opendkim-genkey's file.
fn zone_line(folder: &Folder) -> String {
    fs::read_to_string(folder.join("test.txt")).unwrap()
}

impl Pair {
    /// `settings` stand in opendkim.conf beside key, socket and name server.
    fn start(settings: &str) -> Self {
        let folder = Folder::new("milter");
        let here = folder.path().display().to_string();
        run(program("opendkim-genkey").args(["-s", "test", "-d", "example.org", "-D", &here])).succeeded();
        let dns = NameServer::start("example.org", &zone_line(&folder));
        let port = free_port();
        let text = format!(
            "Syslog yes\nUMask 007\nSocket inet:{port}@localhost\nDomain example.org\nSelector test\n\
             KeyFile {here}/test.private\nOversignHeaders From\nNameservers {}\nPidFile {here}/pid\n\
             TrustAnchorFile /usr/share/dns/root.key\n{settings}",
            dns.address
        );
        folder.write("opendkim.conf", text);
        let filter = serve(&folder);
        let milter = format!("smtpd_milters = inet:127.0.0.1:{port}\nmilter_connect_timeout = 5s\n");
        Self { filter: Some(filter), postfix: Postfix::start(&milter), folder, _dns: dns }
    }

    fn send(&self, content: &[u8]) -> crate::harness::Reply {
        let mut client = Smtp::connect(([127, 0, 0, 1], self.postfix.port).into()).unwrap();
        client.command("EHLO client.example.org").unwrap().is("250");
        client.message(ANN, &[DAVE], content).unwrap()
    }

    /// The message with this subject, as dave has it.
    fn delivered(&self, subject: &str) -> Message {
        let has = |message: &Message| message.field("Subject").as_deref() == Some(subject);
        wait_until("a message at Postfix", DELIVERY, || self.postfix.delivered().into_iter().find(has))
    }
}

fn serve(folder: &Folder) -> Daemon {
    let conf = folder.join("opendkim.conf").display().to_string();
    let mut command = kings(&["milter", "--opendkim-conf", &conf]);
    let mut daemon = Daemon::start("kings milter", &mut command, &folder.join("log"));
    wait_until_ready(&mut daemon);
    daemon
}

/// A restart writes on in the same log, whose last line of this kind is that of an earlier start until the new one is there.
fn wait_until_ready(daemon: &mut Daemon) {
    let is_ready = |log: &str| {
        let last = |text: &str| log.rfind(text).map_or(0, |at| at + 1);
        last(" ready\n") > last("stopped\n")
    };
    daemon.wait_for("its ready line", START, |daemon| is_ready(&daemon.log()));
}

/// What a receiver would get: the signature and all below it.
fn from_signature(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    text[text.find("DKIM-Signature:").expect("it is signed")..].to_owned()
}

#[test]
fn postfix_signs_and_verifies_with_opendkims_own_config() {
    let outgoing = Pair::start("Canonicalization relaxed/simple\n");
    outgoing.send(&letter(ANN, DAVE, "signed")).is("250");
    let signed = from_signature(&outgoing.delivered("signed").text());
    assert!(signed.contains("c=relaxed/simple") && signed.contains("d=example.org"), "{signed}");
    let said = opendkim(signed.as_bytes(), &zone_line(&outgoing.folder));
    assert!(said.contains("verification (s=test, d=example.org, 2048-bit key) succeeded"), "{said}");

    // To another one nobody is of the house: all that comes is verified.
    let incoming = Pair::start("InternalHosts 10.0.0.0/8\nAlwaysAddARHeader yes\n");
    let forged = [
        b"Authentication-Results: Postfix.Example.NET (x);\r\n\tdkim=pass header.d=bank.example\r\n".to_vec(),
        b"Authentication-Results: other.example; dkim=pass header.d=other.example\r\n".to_vec(),
        letter(ANN, DAVE, "forged"),
    ];
    incoming.send(&forged.concat()).is("250");
    let text = incoming.delivered("forged").text();
    assert!(!text.contains("bank.example") && text.contains("other.example"), "{text}");
    assert!(text.contains("Authentication-Results: postfix.example.net;\n\tdkim=none"), "{text}");
    let named = Pair::start("InternalHosts 10.0.0.0/8\nAlwaysAddARHeader yes\nAuthservID own.example\n");
    let own = b"Authentication-Results: own.example; dkim=pass header.d=shop.example\r\n".to_vec();
    named.send(&[own, forged.concat()].concat()).is("250");
    let text = named.delivered("forged").text();
    assert!(!text.contains("bank.example") && !text.contains("shop.example"), "{text}");
    assert!(text.contains("Authentication-Results: own.example;\n\tdkim=none"), "{text}");
}

#[test]
fn postfix_learns_which_signatures_are_good() {
    // One key for both: the first signs for the second to verify.
    let pair = Pair::start("");
    pair.send(&letter(ANN, DAVE, "good")).is("250");
    let signed = from_signature(&pair.delivered("good").text());
    let conf = fs::read_to_string(pair.folder.join("opendkim.conf")).unwrap();
    let mut pair = pair;
    for (settings, reply, expected) in [
        ("InternalHosts 10.0.0.0/8\n", "250", Some("dkim=fail (the body was changed)")),
        ("InternalHosts 10.0.0.0/8\nOn-BadSignature reject\n", "550 5.7.20", None),
    ] {
        assert!(pair.filter.take().unwrap().stop().success());
        assert!(!pair.folder.join("pid").exists());
        pair.folder.write("opendkim.conf", format!("{conf}{settings}"));
        pair.filter = Some(serve(&pair.folder));
        let subject = format!("{settings:?}").len().to_string();
        let received =
            signed.replacen("DKIM-Signature:", &format!("X-Case: {subject}\r\nDKIM-Signature:"), 1);
        pair.send(received.as_bytes()).is("250");
        let passed = |text: &str| text.contains(&format!("X-Case: {subject}")) && text.contains("dkim=pass");
        wait_until("the message that passes", DELIVERY, || {
            pair.postfix.delivered().iter().any(|message| passed(&message.text())).then_some(())
        });
        pair.send(received.replace("Hello", "Goodbye").as_bytes()).is(reply);
        let Some(expected) = expected else { continue };
        wait_until("the message that fails", DELIVERY, || {
            pair.postfix
                .delivered()
                .iter()
                .any(|message| unfolded(&message.text()).contains(expected))
                .then_some(())
        });
    }
    // Away: Postfix does what milter_default_action says, by default not for now.
    assert!(pair.filter.take().unwrap().stop().success());
    pair.send(&letter(ANN, DAVE, "away")).is("451 4.7.1");
}

fn unfolded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nobody has to tell it of new keys: a rotation reaches it, and a key that cannot be read changes nothing.
#[test]
fn keys_that_are_rotated_sign_within_seconds() {
    let files = vec![("trusted", "127.0.0.0/8\n")];
    let tables = format!("{UNVERIFIED}[dkim]\ntrusted_hosts = \"trusted\"\n");
    let kings = Setup { files, tables, ..Setup::default() }.start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    let socket = kings.folder().join("milter.sock");
    let place = format!("local:{}", socket.display());
    let mut command = kings.command(&["milter", "--socket", &place]);
    let mut daemon = Daemon::start("kings milter", &mut command, &kings.folder().join("milter.log"));
    wait_until_ready(&mut daemon);
    run(program("chmod").args(["666", &socket.display().to_string()])).succeeded();
    let postfix = Postfix::start(&format!("smtpd_milters = unix:{}\n", socket.display()));
    let signed = |subject: &str| {
        let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
        client.command("EHLO client.example.org").unwrap().is("250");
        client.message(ANN, &[DAVE], &letter(ANN, DAVE, subject)).unwrap().is("250");
        let has = |message: &Message| message.field("Subject").as_deref() == Some(subject);
        wait_until("a message", DELIVERY, || postfix.delivered().into_iter().find(has)).text()
    };
    let before = signed("before");
    assert_eq!(before.matches("s=one").count(), 2, "{before}");

    let folder = kings.folder().join("data/dkim/example.org");
    run(&mut kings.command(&["dkim", "rotate", "example.org", "--start"])).succeeded();
    let dns = NameServer::start("example.org", &zone_lines(&folder));
    kings.ask(&dns.address);
    run(&mut kings.command(&["dkim", "rotate", "example.org"])).succeeded().says("signs with the new keys");
    let reads = |daemon: &Daemon| daemon.log().matches("config read again").count();
    let read = reads(&daemon);
    daemon.wait_for("the new keys", START, |daemon| reads(daemon) > read);
    let after = signed("after");
    assert!(after.matches("DKIM-Signature:").count() == 2 && !after.contains("s=one"), "{after}");

    fs::write(folder.join("odd.private"), "no key").unwrap();
    daemon.wait_for("a word about it", START, |daemon| daemon.log().contains("the config stays as it was"));
    let still = signed("still");
    assert!(still.matches("DKIM-Signature:").count() == 2 && !still.contains("s=one"), "{still}");
    assert!(daemon.stop().success());
}

#[test]
fn a_config_of_kings_serves_as_well_and_a_mistake_is_78() {
    let mut kings = Setup::default().start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    kings.kill();
    let socket = kings.folder().join("milter.sock");
    let place = format!("local:{}", socket.display());
    let mut command = kings.command(&["milter", "--socket", &place]);
    let mut daemon = Daemon::start("kings milter", &mut command, &kings.folder().join("milter.log"));
    wait_until_ready(&mut daemon);
    let settings = format!("smtpd_milters = unix:{}\n", socket.display());
    run(program("chmod").args(["666", &socket.display().to_string()])).succeeded();
    let postfix = Postfix::start(&settings);
    // Postfix has another name than Kings' config: forgeries go in both, and results are told in that of the config.
    let said = |id: &str, of: &str| {
        format!("Authentication-Results: {id}; dkim=pass header.d={of}.example\r\n").into_bytes()
    };
    let forged = [
        said("Postfix.Example.NET", "bank"),
        said("mail.example.org", "shop"),
        said("other.example", "peer"),
    ];
    let forged = [&forged.concat()[..], &letter(ANN, DAVE, "forged")].concat();
    let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
    client.command("EHLO client.example.org").unwrap().is("250");
    client.message(ANN, &[DAVE], &forged).unwrap().is("250");
    let text = wait_until("a message", DELIVERY, || postfix.delivered().pop()).text();
    assert!(!text.contains("bank.example") && !text.contains("shop.example"), "{text}");
    assert!(text.contains("header.d=peer.example"), "{text}");
    assert!(text.contains("Authentication-Results: mail.example.org;\n\tspf="), "{text}");
    // A login of Postfix's is not there to be had: its own machine is trusted by default only in opendkim.conf.
    let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
    client.command("EHLO client.example.org").unwrap().is("250");
    client.message(ANN, &[DAVE], &letter(ANN, DAVE, "not signed")).unwrap().is("250");
    let has = |message: &Message| message.field("Subject").as_deref() == Some("not signed");
    let message = wait_until("a message", DELIVERY, || postfix.delivered().into_iter().find(has));
    assert_eq!(message.field("DKIM-Signature"), None);
    assert!(daemon.stop().success());
    assert!(!socket.exists());
    run(&mut kings.command(&["milter"])).failed().says("--socket");

    let conf = kings.folder().write("opendkim.conf", "Mode q\nSocket inet:x\nFancy yes\n");
    let conf = conf.display().to_string();
    let wrong = run(&mut self::kings(&["milter", "--opendkim-conf", &conf])).says("line 1: Mode");
    assert_eq!(wrong.status.code(), Some(78));
    fs::write(&conf, "Mode v\nSocket inet:8891@localhost\nFancy yes\n").unwrap();
    run(&mut self::kings(&["config", "check", "--opendkim-conf", &conf]))
        .succeeded()
        .says("line 3: Fancy has no effect");
    kings.serve();
}

/// As with the server: whoever reloads a filter that waits for its port does not end it, and is heard once it runs.
#[test]
fn a_reload_while_the_filter_waits_for_its_port_comes_when_it_runs() {
    let mut server = Setup::default().start();
    run(&mut server.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    server.kill();
    let port = free_port();
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let place = format!("inet:{port}@127.0.0.1");
    let mut command = server.command(&["milter", "--socket", &place]);
    let mut daemon = Daemon::start("kings milter", &mut command, &server.folder().join("milter.log"));
    daemon
        .wait_for("the line that names the stranger", START, |daemon| daemon.log().contains("is in use by"));
    daemon.signal(Signal::HUP);
    // Nothing is read while nothing is served.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!daemon.has_ended() && !daemon.log().contains("config read again"), "{}", daemon.log());
    drop(stranger);
    wait_until_ready(&mut daemon);
    daemon.wait_for("the reload", START, |daemon| daemon.log().contains("config read again"));
    assert!(daemon.stop().success());
    server.serve();
}
