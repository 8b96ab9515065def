//! Real filters speak the milter protocol with the real binary: OpenDKIM, rspamd and ClamAV.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    Daemon, Folder, Kings, Message, NameServer, Setup, UNVERIFIED, free_port, letter, listening, messages,
    program, run, wait_until,
};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
/// How long a filter may take to start.
const START: Duration = Duration::from_mins(2);

/// A filter that runs in a folder of its own.
struct Filter {
    // First, so that the processes end before their folder goes.
    _daemons: Vec<Daemon>,
    folder: Folder,
    port: u16,
}

impl Filter {
    /// As the config names it, with further keys.
    fn table(&self, keys: &str) -> String {
        table(&format!("inet:127.0.0.1:{}", self.port), keys)
    }
}

fn table(address: &str, keys: &str) -> String {
    format!("[[milter]]\naddress = \"{address}\"\n{keys}\n")
}

fn kings_with(tables: String) -> Kings {
    Setup { tables, ..Setup::default() }.start()
}

#[track_caller]
fn only_message_of(kings: &Kings, account: &str) -> Message {
    let mut found = messages(&kings.maildir(account));
    assert_eq!(found.len(), 1, "messages of {account}");
    found.remove(0)
}

/// OpenDKIM with a key of its own for example.org, which its verifier finds in a file.
fn opendkim() -> Filter {
    opendkim_at(free_port())
}

fn opendkim_at(port: u16) -> Filter {
    let folder = Folder::new("opendkim");
    let directory = folder.path().display().to_string();
    run(program("opendkim-genkey").args(["-s", "test", "-d", "example.org", "-D", &directory])).succeeded();
    let record = std::fs::read_to_string(folder.join("test.txt")).unwrap();
    let strings: Vec<String> =
        record.split('"').skip(1).step_by(2).map(|string| format!("\"{string}\"")).collect();
    let zone = format!(
        "server:\n local-zone: \"example.org.\" static\n local-data: 'test._domainkey.example.org. TXT {}'\n",
        strings.join(" ")
    );
    folder.write("resolver", zone);
    let settings = format!(
        "Mode sv\nSocket inet:{port}@127.0.0.1\nPidFile {directory}/pid\nDomain example.org\nSelector test\n\
         KeyFile {directory}/test.private\nInternalHosts {directory}/nobody\nResolverConfiguration {directory}/resolver\n\
         SignHeaders *,+X-Virus-Status\n\
         Background no\nRequireSafeKeys no\nAlwaysAddARHeader yes\nSyslog no\nMacroList daemon_name|submission\n"
    );
    folder.write("nobody", "192.0.2.1\n");
    let settings = folder.write("opendkim.conf", settings);
    let mut command = program("opendkim");
    command.arg("-f").arg("-x").arg(settings);
    let mut daemon = Daemon::start("opendkim", &mut command, &folder.join("log"));
    daemon.wait_for("its port", START, |_| listening(port));
    Filter { _daemons: vec![daemon], folder, port }
}

#[test]
fn opendkim_signs_what_users_send_and_verifies_what_comes() {
    let filter = opendkim();
    let kings = kings_with(UNVERIFIED.to_owned() + &filter.table(""));
    kings.submit(ANN, BOB, "signed");
    let signed = only_message_of(&kings, BOB);
    let signature = signed.field("DKIM-Signature").expect("OpenDKIM has signed");
    assert!(signature.contains("d=example.org"), "{signature}");

    // What was signed comes back from outside, whole and then with another body.
    let text = signed.text();
    let content = &text[text.find("DKIM-Signature").unwrap()..];
    for (changed, verdict) in [(content.to_owned(), "dkim=pass"), (format!("{content}more\r\n"), "dkim=fail")]
    {
        let mut client = kings.smtp();
        let changed = changed.replace("\r\n", "\n").replace('\n', "\r\n");
        client.message(CAROL, &[ANN], changed.as_bytes()).unwrap().is("250");
        let found = messages(&kings.maildir(ANN));
        let texts: Vec<String> = found.iter().map(Message::text).collect();
        assert!(texts.iter().any(|text| text.contains(verdict)), "{verdict}: {texts:?}");
    }
    assert!(filter.folder.join("test.private").exists());
}

/// What Kings says of a message and of the same with one octet changed, with these records of example.org.
fn judged(signed: &Message, records: &str) -> [String; 2] {
    let dns = NameServer::start("example.org", records);
    let tables =
        "[inbound]\nspf = \"off\"\ndkim = \"enforce\"\ndmarc = \"off\"\niprev = \"off\"\narc = \"off\"\n"
            .to_owned();
    let kings = Setup { tables, name_server: dns.address.clone(), ..Setup::default() }.start();
    let text = signed.text().replace("\r\n", "\n").replace('\n', "\r\n");
    let content = &text[text.find("DKIM-Signature:").expect("it is signed")..];
    let changed = content.replace("Hello, this", "Hello; this");
    assert_ne!(changed, content);
    let mut client = kings.smtp();
    [(content, ANN), (&changed, BOB)].map(|(content, account)| {
        client.message(CAROL, &[account], content.as_bytes()).unwrap().is("250");
        let text = only_message_of(&kings, account).text();
        let start =
            text.find("Authentication-Results: mail.example.org;").unwrap_or_else(|| panic!("{text}"));
        let end = text[start..].find("\r\nReceived:").unwrap();
        text[start..start + end].replace("\r\n\t", " ")
    })
}

#[test]
fn kings_believes_what_opendkim_signs_until_an_octet_changes() {
    let filter = opendkim();
    let kings = kings_with(UNVERIFIED.to_owned() + &filter.table(""));
    kings.submit(ANN, BOB, "signed");
    let records = std::fs::read_to_string(filter.folder.join("test.txt")).unwrap();
    let [good, changed] = judged(&only_message_of(&kings, BOB), &records);
    assert!(good.contains("dkim=pass (2048-bit RSA key) header.d=example.org"), "{good}");
    assert!(good.contains("header.s=test") && !good.contains("dkim=fail"), "{good}");
    assert!(changed.contains("dkim=fail (the body was changed)"), "{changed}");
}

#[test]
fn kings_believes_what_rspamd_signs_until_an_octet_changes() {
    for kind in [["--bits", "2048"], ["--type", "ed25519"]] {
        let keys = Folder::new("rspamd-keys");
        let key = keys.join("key");
        let mut command = program("rspamadm");
        command.args(["dkim_keygen", "-d", "example.org", "-s", "test", "-k"]).arg(&key).args(kind);
        let records = run(&mut command).succeeded().text();
        let signing = format!(
            "modules {{ path = \"/usr/share/rspamd/plugins/dkim_signing.lua\"; }}\n\
             dkim_signing {{ sign_local = true; sign_authenticated = true; allow_username_mismatch = true;\n  \
             use_esld = false; allow_hdrfrom_mismatch = true; selector = \"test\"; path = \"{}\"; }}\n\
             options {{ filters = \"dkim\"; }}\n",
            key.display()
        );
        let filter = rspamd_with(&signing);
        let kings = kings_with(UNVERIFIED.to_owned() + &filter.table(""));
        kings.submit(ANN, BOB, "signed");
        let [good, changed] = judged(&only_message_of(&kings, BOB), &records);
        let algorithm = if kind[0] == "--bits" { "header.a=rsa-sha256" } else { "header.a=ed25519-sha256" };
        assert!(good.contains("dkim=pass") && good.contains(algorithm), "{kind:?}: {good}");
        assert!(changed.contains("dkim=fail (the body was changed)"), "{kind:?}: {changed}");
    }
}

fn rspamd() -> Filter {
    rspamd_with("")
}

/// `more`: further sections of its config.
fn rspamd_with(more: &str) -> Filter {
    let port = free_port();
    let folder = Folder::new("rspamd");
    let directory = folder.path().display().to_string();
    let settings = format!(
        "options {{ pidfile = \"{directory}/pid\"; dns {{ nameserver = [\"127.0.0.1:9\"]; }} }}\n\
         logging {{ type = \"console\"; level = \"info\"; }}\n\
         actions {{ reject = 15; add_header = 6; }}\n{more}\
         worker \"rspamd_proxy\" {{ bind_socket = \"127.0.0.1:{port}\"; milter = yes; count = 1; timeout = 60s;\n\
           upstream \"local\" {{ default = yes; self_scan = yes; }} }}\n"
    );
    let settings = folder.write("rspamd.conf", settings);
    let mut command = program("rspamd");
    command.args(["-f", "-i", "--var", &format!("DBDIR={directory}"), "-c"]).arg(settings);
    let mut daemon = Daemon::start("rspamd", &mut command, &folder.join("log"));
    daemon.wait_for("its port", START, |_| listening(port));
    Filter { _daemons: vec![daemon], folder, port }
}

/// The string that every spam filter takes for spam (https://spamassassin.apache.org/gtube/).
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

#[test]
fn rspamd_refuses_the_test_spam_on_both_ways_in() {
    let filter = rspamd();
    let kings = kings_with(filter.table(""));
    let spam = [letter(CAROL, ANN, "spam"), format!("{GTUBE}\r\n").into_bytes()].concat();
    let mut client = kings.smtp();
    let refused = client.message(CAROL, &[ANN], &spam).unwrap();
    refused.is("554 5.7.1");
    assert!(refused.text.contains("Gtube"), "{}", refused.text);
    // The session goes on, and what is no spam arrives.
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "no spam")).unwrap().is("250");
    only_message_of(&kings, ANN);

    let mut client = kings.submissions(ANN);
    client
        .message(ANN, &[BOB], &[letter(ANN, BOB, "x"), format!("{GTUBE}\r\n").into_bytes()].concat())
        .unwrap()
        .is("554");
    client.message(ANN, &[BOB], &letter(ANN, BOB, "no spam")).unwrap().is("250");
    only_message_of(&kings, BOB);
    drop(filter.folder);
}

/// ClamAV with one signature: that of the file which every virus scanner takes for a virus. `infected` is what it wants
/// done then.
fn clamav(infected: &str) -> Filter {
    let folder = Folder::new("clamav");
    let directory = folder.path().display().to_string();
    let database = folder.create("db");
    let hex: String = EICAR.bytes().map(|octet| format!("{octet:02x}")).collect();
    std::fs::write(database.join("test.ndb"), format!("Eicar-Test-Signature:0:*:{hex}\n")).unwrap();
    let user = run(program("id").arg("-un")).succeeded().text().trim_end().to_owned();
    let port = free_port();
    let clamd = format!(
        "Foreground yes\nLocalSocket {directory}/clamd\nDatabaseDirectory {}\nTemporaryDirectory {directory}\nUser {user}\n",
        database.display()
    );
    let milter = format!(
        "Foreground yes\nMilterSocket inet:{port}@127.0.0.1\nClamdSocket unix:{directory}/clamd\nUser {user}\n\
         {infected}\nAddHeader Replace\nTemporaryDirectory {directory}\n"
    );
    let start = |name: &str, settings: &std::path::Path| {
        let mut command = program(name);
        command.arg("--config-file").arg(settings);
        Daemon::start(name, &mut command, &folder.join(&format!("{name}.log")))
    };
    let mut scanner = start("clamd", &folder.write("clamd.conf", clamd));
    let socket = folder.join("clamd");
    scanner.wait_for("its socket", START, |_| socket.exists());
    let mut filter = start("clamav-milter", &folder.write("milter.conf", milter));
    filter.wait_for("its port", START, |_| listening(port));
    Filter { _daemons: vec![filter, scanner], folder, port }
}

/// The test file of the European Institute for Computer Anti-Virus Research.
const EICAR: &str = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

#[test]
fn clamav_refuses_the_test_virus_and_marks_the_rest() {
    let filter = clamav("OnInfected Reject\nRejectMsg Virus %v");
    let kings = kings_with(filter.table("for = [\"inbound\"]"));
    let virus = [letter(CAROL, ANN, "virus"), format!("{EICAR}\r\n").into_bytes()].concat();
    let mut client = kings.smtp();
    let refused = client.message(CAROL, &[ANN], &virus).unwrap();
    refused.is("550 5.7.1");
    assert!(refused.text.contains("Eicar"), "{}", refused.text);
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "clean")).unwrap().is("250");
    let clean = only_message_of(&kings, ANN);
    assert_eq!(clean.field("X-Virus-Status").as_deref(), Some("Clean"));
    // It stands at the other way in only.
    let mut client = kings.submissions(ANN);
    let virus = [letter(ANN, BOB, "virus"), format!("{EICAR}\r\n").into_bytes()].concat();
    client.message(ANN, &[BOB], &virus).unwrap().is("250");
    drop(filter.folder);
}

#[test]
fn what_a_filter_quarantines_waits_for_the_operator_with_its_reason() {
    let filter = clamav("OnInfected Quarantine");
    let kings = kings_with(filter.table(""));
    let virus = [letter(CAROL, ANN, "virus"), format!("{EICAR}\r\n").into_bytes()].concat();
    let clean = letter(CAROL, ANN, "clean");
    let reply = kings.smtp().message(CAROL, &[ANN], &virus).unwrap();
    reply.is("250 2.0.0");
    kings.smtp().message(CAROL, &[ANN], &clean).unwrap().is("250 2.0.0");
    assert!(only_message_of(&kings, ANN).text().contains("Subject: clean"));
    let id = reply.text.rsplit(' ').next().unwrap().trim().to_owned();
    let says = |words: &[&str], text: &str| drop(run(&mut kings.command(words)).succeeded().says(text));
    says(&["queue", "show", &id], "quarantined by clamav-milter");
    says(&["queue", "search", "--state", "held", "--reason", "clamav"], &id);
    says(&["queue", "flush"], "");
    says(&["trace", "--id", &id], "for <ann@example.org>: held: quarantined by clamav-milter");
    only_message_of(&kings, ANN);
    says(&["queue", "release", &id], "1 entry released");
    wait_until("it is delivered", START, || (messages(&kings.maildir(ANN)).len() == 2).then_some(()));
    // What users send is held as well.
    let virus = [letter(ANN, BOB, "virus"), format!("{EICAR}\r\n").into_bytes()].concat();
    kings.submissions(ANN).message(ANN, &[BOB], &virus).unwrap().is("250");
    says(&["queue", "search", "--sender", ANN, "--state", "held"], "quarantined by clamav-milter");
    assert_eq!(messages(&kings.maildir(BOB)).len(), 0);
    drop(filter.folder);
}

#[test]
fn filters_are_asked_in_turn_and_each_sees_what_the_others_changed() {
    let (virus, signer) = (clamav("OnInfected Reject"), opendkim());
    let kings = kings_with(virus.table("") + &signer.table(""));
    kings.submit(ANN, BOB, "both");
    let message = only_message_of(&kings, BOB);
    assert!(message.field("X-Virus-Status").is_some());
    let text = message.text();
    let signature = &text[text.find("DKIM-Signature").expect("OpenDKIM has signed")..];
    let signature = &signature[..signature.find("\nX-").unwrap_or(signature.len())].to_lowercase();
    assert!(signature.contains("x-virus-status"), "signed without the mark: {text}");
}

/// What a filter is to answer to the command with this letter.
type Order = Arc<Mutex<(u8, &'static [u8])>>;

/// A filter that answers one step as it is told and lets all others go on: no program that people use refuses at each step.
fn obedient(order: &Order) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("inet:{}", listener.local_addr().unwrap());
    let order = order.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let order = order.clone();
            thread::spawn(move || obey(stream, &order));
        }
    });
    address
}

fn obey(mut stream: TcpStream, order: &Order) -> Option<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut packet).ok()?;
        let (letter, answer) = *order.lock().unwrap();
        let answer: &[u8] = match packet[0] {
            // Version 6, no changes, and every step is told.
            b'O' => b"O\0\0\0\x06\0\0\0\0\0\0\0\0",
            b'D' | b'A' | b'K' => continue,
            b'Q' => return None,
            step if step == letter => answer,
            _ => b"c",
        };
        stream.write_all(&u32::try_from(answer.len()).unwrap().to_be_bytes()).ok()?;
        stream.write_all(answer).ok()?;
    }
}

/// Connect, HELO, MAIL, RCPT, DATA, a field, the end of the header, the body and its end: each answer a filter may give there
/// reaches the client where it can still be said, and what is let through or thrown away is so.
#[test]
fn a_filter_decides_at_every_step_and_the_client_hears_it() {
    let order = Order::default();
    let kings = kings_with(table(&obedient(&order), ""));
    // Who the client is is told with its first MAIL.
    let steps = [
        (b'C', "MAIL"),
        (b'H', "MAIL"),
        (b'M', "MAIL"),
        (b'R', "RCPT"),
        (b'T', "DATA"),
        (b'L', "."),
        (b'N', "."),
        (b'B', "."),
        (b'E', "."),
    ];
    let answers: [(&[u8], &str); 9] = [
        (b"r", "550 5.7.1 Refused by a filter"),
        (b"t", "451 4.7.1 A filter does not take it now"),
        (b"y554 5.7.9 Not with us\0", "554 5.7.9 Not with us"),
        (b"y554 Not 100%% with us\0", "554 Not 100% with us"),
        (b"y450 4.7.2 100%%\0", "450 4.7.2 100%"),
        (b"y554 4.7.9 Of another class\0", "451 4.7.1 A filter does not take it now"),
        (b"4", "421 4.7.1 Closed by a filter"),
        (b"a", "250"),
        (b"d", "250"),
    ];
    let mut delivered = 0;
    for (step, place) in steps {
        for (answer, expected) in answers {
            // Before there is a message there is nothing to throw away.
            if answer == b"d" && b"CH".contains(&step) {
                continue;
            }
            *order.lock().unwrap() = (step, answer);
            let told = format!("{} {}", char::from(step), answer.escape_ascii());
            let mut client = kings.smtp();
            let commands = [format!("MAIL FROM:<{CAROL}>"), format!("RCPT TO:<{ANN}>"), "DATA".to_owned()];
            let mut heard = (".", None);
            for (command, at) in commands.iter().zip(["MAIL", "RCPT", "DATA"]) {
                let reply = client.command(command).unwrap();
                if reply.code >= 400 {
                    heard = (at, Some(reply));
                    break;
                }
            }
            let reply = heard.1.unwrap_or_else(|| {
                client.send(&[&letter(CAROL, ANN, "hello")[..], b".\r\n"].concat()).unwrap();
                client.reply().unwrap()
            });
            reply.is(expected);
            assert_eq!(heard.0, if reply.code == 250 { "." } else { place }, "{told}");
            delivered += usize::from(answer == b"a");
            assert_eq!(messages(&kings.maildir(ANN)).len(), delivered, "{told}");
        }
    }
    // A recipient that is refused takes nobody with it, and what a filter says is not for the next message.
    *order.lock().unwrap() = (b'R', b"r");
    let mut client = kings.smtp();
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    client.command(&format!("RCPT TO:<{ANN}>")).unwrap().is("550 5.7.1");
    *order.lock().unwrap() = (b' ', b"c");
    client.command(&format!("RCPT TO:<{BOB}>")).unwrap().is("250");
    client.command("DATA").unwrap().is("354");
    client.send(&[&letter(CAROL, BOB, "hello")[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250");
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "next")).unwrap().is("250");
    assert_eq!(
        (messages(&kings.maildir(ANN)).len(), messages(&kings.maildir(BOB)).len()),
        (delivered + 1, 1)
    );
}

#[test]
fn a_filter_that_is_away_means_what_the_operator_says() {
    let nowhere = format!("inet:127.0.0.1:{}", free_port());
    let cases = [
        ("", "451 4.7.1"),
        ("default_action = \"reject\"", "550 5.7.1"),
        ("default_action = \"accept\"", "250"),
    ];
    for (keys, expected) in cases {
        let kings = kings_with(table(&nowhere, keys));
        let mut client = kings.smtp();
        client.message(CAROL, &[ANN], &letter(CAROL, ANN, "hello")).unwrap().is(expected);
        assert_eq!(messages(&kings.maildir(ANN)).len(), usize::from(expected == "250"));
    }
}

#[test]
fn a_filter_that_is_silent_or_no_filter_is_given_up_in_time() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("inet:{}", silent.local_addr().unwrap());
    let kings = kings_with(table(&address, "command_seconds = 1"));
    let began = Instant::now();
    let mut client = kings.smtp();
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "hello")).unwrap().is("451 4.7.1");
    assert!(began.elapsed() < Duration::from_secs(20));

    // An SMTP server speaks another protocol.
    let other = Kings::start();
    let kings = kings_with(table(&format!("inet:{}", other.at("smtp")), "default_action = \"accept\""));
    let mut client = kings.smtp();
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "hello")).unwrap().is("250");
    only_message_of(&kings, ANN);
}

/// A filter that says at the end of each message that it is still at work, so many times, before it lets it through: a
/// program that people use does it only while it has a large message to look at.
fn at_work(times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("inet:{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || while work(&mut stream, times).is_some() {});
        }
    });
    address
}

/// Answers one step.
fn work(stream: &mut TcpStream, times: usize) -> Option<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet).ok()?;
    match packet[0] {
        b'O' => stream.write_all(b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\0").ok(),
        b'D' | b'A' | b'K' => Some(()),
        b'Q' => None,
        b'E' => {
            for _ in 0..times {
                thread::sleep(Duration::from_millis(500));
                stream.write_all(b"\0\0\0\x01p").ok()?;
            }
            stream.write_all(b"\0\0\0\x01c").ok()
        }
        _ => stream.write_all(b"\0\0\0\x01c").ok(),
    }
}

#[test]
fn a_filter_that_is_at_work_is_waited_for_and_one_that_never_ends_is_given_up() {
    let cases = [
        (5, "", "250", 2..4),
        (usize::MAX, "", "451 4.7.1", 4..10),
        (usize::MAX, "default_action = \"accept\"", "250", 4..10),
    ];
    for (times, keys, expected, seconds) in cases {
        let kings = kings_with(table(&at_work(times), &format!("content_seconds = 1\n{keys}")));
        let mut client = kings.smtp();
        let began = Instant::now();
        client.message(CAROL, &[ANN], &letter(CAROL, ANN, "hello")).unwrap().is(expected);
        assert!(seconds.contains(&began.elapsed().as_secs()), "{times}: {:?}", began.elapsed());
        assert_eq!(messages(&kings.maildir(ANN)).len(), usize::from(expected == "250"));
    }
}

#[test]
fn a_filter_that_comes_back_is_asked_again() {
    let port = free_port();
    let kings = kings_with(table(&format!("inet:127.0.0.1:{port}"), ""));
    let mut client = kings.smtp();
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "hello")).unwrap().is("451 4.7.1");
    let filter = opendkim_at(port);
    client.command("RSET").unwrap().is("250");
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "hello")).unwrap().is("250");
    drop(filter);
}
