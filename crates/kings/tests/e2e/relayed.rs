//! Mail from Kings over Kings to Kings by MX records of a private name server: signed, sent on, passed on, sealed, judged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    DovecotLmtp, Folder, Kings, Message, NameServer, Postfix, Setup, UNVERIFIED, files, free_port, letter,
    messages, run, wait_until,
};

const ANN: &str = "ann@author.org";
const BOB: &str = "bob@home.org";
const AWAY: &str = "away@between.org";
const DELIVERY: Duration = Duration::from_secs(40);
/// Checks, all of which count.
const ALL: &str = "[inbound]\nspf = \"enforce\"\ndkim = \"enforce\"\ndmarc = \"enforce\"\narc = \"enforce\"\n\
                   spf_fail = \"reject\"\n";
/// Nobody has been asked for it yet when the first keys are made.
const NO_DNS: &str = "127.0.0.1:7";

/// Three hosts on the same port of three addresses, each with MX records and keys of its own: the author's server, one
/// between that has an alias to the last, and the last, whose second MX host is the one between.
struct World {
    author: Kings,
    between: Kings,
    home: Kings,
    records: String,
    _dns: NameServer,
}

/// A host that listens and sends at `127.0.0.NUMBER`.
fn host(name: &str, number: u8, port: u16, extra: Setup) -> Kings {
    let ip = format!("127.0.0.{number}");
    let tables = format!(
        "[outbound]\nport = {port}\nallow_private = [\"127.0.0.0/8\"]\nsource = \"{ip}\"\n[[domain]]\nname = \"{name}.org\"\n{}",
        extra.tables
    );
    let listen = format!("smtp = [\"{ip}:{port}\"]\nsubmissions = [\"127.0.0.1:0\"]\n");
    let kings = Setup { listen, tables, name_server: NO_DNS.into(), ..extra }.start();
    // A domain alone: the first one of a server stands in the addresses that it makes.
    rewrite(&kings, "[[domain]]\nname = \"example.org\"\n", "");
    rewrite(&kings, "hostname = \"mail.example.org\"", &format!("hostname = \"mx.{name}.org\""));
    run(&mut kings.command(&["dkim", "create", &format!("{name}.org"), "--selector", "one"])).succeeded();
    kings
}

fn rewrite(kings: &Kings, from: &str, to: &str) {
    let file = kings.folder().join("kings.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "no {from} in {text}");
    fs::write(&file, text.replace(from, to)).unwrap();
}

/// The public keys of a host, as records of the zone `org`.
fn keys(kings: &Kings, name: &str) -> String {
    let folder = kings.folder().join("data/dkim").join(format!("{name}.org"));
    let record = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let records = record("one.txt") + &record("one-ed25519.txt");
    records.replace("._domainkey", &format!("._domainkey.{name}"))
}

impl World {
    /// The last host is not started: it is `home.serve()` that does.
    fn start(between: &str, home: &str) -> Self {
        Self::asking_for("reject", between, home)
    }

    /// The same where all domains ask for this; SPF is as mild.
    fn asking_for(policy: &str, between: &str, home: &str) -> Self {
        let others = if policy == "reject" { "-all" } else { "~all" };
        let port = free_port();
        let between = between.replace("PORT", &port.to_string());
        let setup = |users, aliases, tables: String| Setup {
            files: vec![("users", users), ("aliases", aliases)],
            tables,
            ..Setup::default()
        };
        let mut author =
            host("author", 1, port, setup("ann@author.org:{PLAIN}secret\n", "", UNVERIFIED.to_owned()));
        let alias = "away@between.org bob@home.org\n";
        let aliases = setup("joe@between.org:{PLAIN}secret\n", alias, format!("{between}{ALL}"));
        let mut between = host("between", 2, port, aliases);
        let mut home =
            host("home", 3, port, setup("bob@home.org:{PLAIN}secret\n", "", format!("{ALL}{home}")));
        let hosts = [(&author, "author", 1), (&between, "between", 2), (&home, "home", 3)];
        let records = hosts.map(|(kings, name, number)| {
            format!(
                "{}{name} IN MX 10 mx.{name}\nmx.{name} IN A 127.0.0.{number}\n\
                 {name} IN TXT \"v=spf1 ip4:127.0.0.{number} {others}\"\n_dmarc.{name} IN TXT \"v=DMARC1; p={policy}\"\n",
                keys(kings, name)
            )
        });
        let records = records.concat();
        let dns = NameServer::start("org", &format!("{records}home IN MX 20 mx.between\n"));
        home.kill();
        for kings in [&mut author, &mut between] {
            kings.kill();
            kings.ask(&dns.address);
            kings.serve();
        }
        home.ask(&dns.address);
        Self { author, between, home, records, _dns: dns }
    }

    fn write(&self, to: &str, subject: &str) {
        self.author.submit(ANN, to, subject);
    }

    /// The only message of bob.
    fn arrived(&self) -> Message {
        wait_until("the message", DELIVERY, || messages(&self.home.maildir(BOB)).pop())
    }
}

fn unfolded(message: &Message) -> String {
    message.text().replace("\r\n\t", " ").replace("\r\n ", " ")
}

#[track_caller]
fn holds(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
}

/// What dkimpy says of the ARC chain of a message, with these records below `zone`.
pub(crate) fn dkimpy(message: &[u8], zone: &str, records: &str) -> String {
    let folder = Folder::new("dkimpy");
    let record = |record: &str| {
        let (name, rest) = record.split_once("\tIN\tTXT\t(")?;
        let text: String = rest.split('"').skip(1).step_by(2).collect();
        Some(format!("{}.{zone} {text}\n", name.split_whitespace().last()?))
    };
    folder.write("zone", records.split(" ; -----").filter_map(record).collect::<String>());
    folder.write("one.eml", message);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../msgauth/tests/judges/dkimpy.py");
    let said = run(Command::new(python()).arg(script).arg("chain").arg(folder.path())).succeeded().text();
    said.trim().to_owned()
}

/// The interpreter that has the judges: test.sh makes it in the cache folder.
fn python() -> PathBuf {
    let cache = |variable: &str, rest: &str| Some(PathBuf::from(std::env::var_os(variable)?).join(rest));
    let cache = cache("KINGS_CACHE", "")
        .or_else(|| cache("XDG_CACHE_HOME", "kings"))
        .or_else(|| cache("HOME", ".cache/kings"));
    let own = cache.map(|cache| cache.join("python/bin/python3"));
    own.filter(|python| python.exists()).unwrap_or_else(|| "python3".into())
}

#[test]
fn one_kings_believes_another_by_spf_both_signatures_and_dmarc() {
    let mut world = World::start("", "");
    world.home.serve();
    world.write(BOB, "hello");
    let message = world.arrived();
    let text = unfolded(&message);
    let (results, _) = text.split_once("\r\nReceived: ").expect("our Received field");
    holds(
        results,
        &[
            "Return-Path: <ann@author.org>",
            "Authentication-Results: mx.home.org; spf=pass",
            "smtp.mailfrom=author.org",
            "header.a=rsa-sha256",
            "header.a=ed25519-sha256",
            "dmarc=pass",
            "header.from=author.org",
            "arc=none",
            "X-Kings-Verdict: accept\r\n",
        ],
    );
    assert_eq!(results.matches("dkim=pass").count(), 2, "{results}");
    assert!(text.contains("Received: from mx.author.org ") && text.contains("with ESMTPS"), "{text}");
}

#[test]
fn a_third_one_sends_it_on_under_its_own_address_and_seal() {
    let mut world = World::start("", "");
    world.home.serve();
    world.write(AWAY, "hello");
    let message = world.arrived();
    let text = unfolded(&message);
    let (results, rest) = text.split_once("\r\nReceived: ").expect("our Received field");
    holds(
        results,
        &[
            "Return-Path: <SRS0=",
            "spf=pass",
            "smtp.mailfrom=between.org",
            "dmarc=pass",
            "header.from=author.org",
            "arc=pass (i=1, sealed by between.org)",
            "smtp.remote-ip=127.0.0.2",
            "X-Kings-Verdict: accept\r\n",
        ],
    );
    assert_eq!(results.matches("dkim=pass").count(), 2, "{results}");
    holds(
        rest,
        &[
            "Delivered-To: away@between.org",
            "ARC-Authentication-Results: i=1; mx.between.org; spf=pass",
            "smtp.mailfrom=author.org",
            "cv=none",
        ],
    );
    assert_eq!(dkimpy(&message.content, "org", &world.records), "one.eml pass");
    let changed = message.text().replace("this is hello", "this is other");
    assert_eq!(dkimpy(changed.as_bytes(), "org", &world.records), "one.eml fail");
}

/// Whoever writes in the name of a host to an alias of that host must not be proven by its reverse-path at the next one.
#[test]
fn an_alias_proves_no_forgery_of_its_own_domain() {
    let mut world = World::asking_for("none", "", "");
    world.home.serve();
    let send = |sender: &str, subject: &str| {
        let content = letter("joe@between.org", AWAY, subject);
        world.between.smtp().message(sender, &[AWAY], &content).unwrap()
    };
    for sender in ["joe@between.org", "", "x@news.between.org"] {
        send(sender, "refused").is("550 5.7.1 Not sent on: it says to be from here and does not prove it");
    }
    send("eve@evil.test", "forged").is("250");
    let forged = world.arrived();
    let text = unfolded(&forged);
    holds(&text, &["Return-Path: <eve@evil.test>", "dmarc=fail", "header.from=between.org"]);
    // Its mirrors: what a user of that host writes, and what its domain has signed and others send, go as ever.
    world.between.submit("joe@between.org", AWAY, "our own");
    let find = |path: &str| {
        let all = messages(&world.home.maildir(BOB));
        all.into_iter().find(|message| message.text().starts_with(&format!("Return-Path: <{path}")))
    };
    let own = wait_until("our own", DELIVERY, || find("joe@between.org"));
    holds(&unfolded(&own), &["dmarc=pass"]);
    let own = own.text();
    let signed = &own[own.find("DKIM-Signature: ").expect("a signature of the author's host")..];
    let signed = signed.replace("Delivered-To: away@between.org\r\n", "");
    world.between.smtp().message("bounces@lists.test", &[AWAY], signed.as_bytes()).unwrap().is("250");
    let proven = unfolded(&wait_until("signed mail", DELIVERY, || find("SRS0=")));
    holds(&proven, &["=lists.test=bounces@between.org>", "dmarc=pass", "header.from=between.org"]);
}

/// The same for whoever writes under another name with a reverse-path of that host, or one that it once sent on with: the
/// next host would find it allowed. Whom that address belongs to hears nothing of it.
#[test]
fn an_alias_lends_no_stranger_a_reverse_path_of_its_domain() {
    const JOE: &str = "joe@between.org";
    let mut world = World::asking_for("none", "", "");
    world.home.serve();
    world.write(AWAY, "hello");
    let text = world.arrived().text();
    let rewritten = text.strip_prefix("Return-Path: <").and_then(|text| text.split_once('>'));
    let (rewritten, _) = rewritten.expect("a reverse-path");
    assert!(rewritten.starts_with("SRS0=") && rewritten.ends_with("@between.org"), "{rewritten}");
    let forged = letter("eve@evil.test", AWAY, "forged");
    for sender in [JOE, rewritten, "x@news.between.org"] {
        let reply = world.between.smtp().message(sender, &[AWAY], &forged).unwrap();
        // No record of that name allows anybody: the next host would find none, either.
        let expected =
            if sender.starts_with("x@") { "250" } else { "550 5.7.1 Not sent on: it says to be from here" };
        reply.is(expected);
    }
    let mut client = world.between.smtp();
    client.command(&format!("MAIL FROM:<{JOE}>")).unwrap().is("250");
    for recipient in [JOE, AWAY] {
        client.command(&format!("RCPT TO:<{recipient}> NOTIFY=SUCCESS,FAILURE")).unwrap().is("250");
    }
    client.command("DATA").unwrap().is("354");
    client.send(&[&forged[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250");
    world
        .between
        .smtp()
        .message("eve@evil.test", &[AWAY], &letter("eve@evil.test", AWAY, "mirror"))
        .unwrap()
        .is("250");
    let find = |subject: &str| {
        let all = messages(&world.home.maildir(BOB));
        all.into_iter().find(|message| message.text().contains(&format!("Subject: {subject}\r\n")))
    };
    let mirror = wait_until("the mirror", DELIVERY, || find("mirror"));
    holds(&unfolded(&mirror), &["Return-Path: <SRS0=", "=evil.test=eve@between.org>"]);
    let at_home = messages(&world.home.maildir(BOB));
    assert!(at_home.iter().all(|message| !message.text().contains(&format!("Return-Path: <{JOE}>"))));
    let [kept] = &messages(&world.between.maildir(JOE))[..] else { panic!("one message and no report") };
    holds(
        &unfolded(kept),
        &["accept; its reverse-path is at between.org, which is ours, and SPF does not let"],
    );
}

/// What the server behind a gateway refuses later comes back to whoever wrote it, and to nobody whose address was taken.
#[test]
fn a_forged_reverse_path_of_ours_gets_no_bounce() {
    const JOE: &str = "joe@between.org";
    const NOBODY: &str = "nobody@home.org";
    let relay = "[[domain]]\nname = \"home.org\"\nrelay_to = \"smtp:127.0.0.3:PORT\"\n";
    let mut world = World::asking_for("none", relay, "");
    world.home.serve();
    let forged = letter("eve@evil.org", NOBODY, "forged");
    world.between.smtp().message(JOE, &[NOBODY], &forged).unwrap().is("250");
    let refusals = |count: usize| {
        wait_until("a refusal", DELIVERY, || {
            let story = run(&mut world.between.command(&["trace", "--recipient", NOBODY])).text();
            (story.matches("550 5.1.1").count() >= count).then_some(())
        });
    };
    refusals(1);
    world.between.submit(JOE, NOBODY, "our own");
    refusals(2);
    let bounces = || messages(&world.between.maildir(JOE));
    let bounce = wait_until("the bounce of his own", DELIVERY, || bounces().pop());
    assert!(bounce.text().contains("Subject: our own"), "{}", bounce.text());
    assert_eq!(bounces().len(), 1);
}

/// HOSTILE: results that a stranger writes, in the name of the host or of anybody, are in no seal of it.
#[test]
fn a_seal_covers_the_results_of_its_own_host_alone() {
    let mut world = World::asking_for("none", "", "");
    world.home.serve();
    let claim = "spf=pass smtp.mailfrom=bank.test; dmarc=pass header.from=bank.test; arc=pass";
    let claims = ["mx.between.org", "MX.Between.ORG", "other.test"]
        .map(|name| format!("Authentication-Results: {name}; {claim}\r\n"))
        .concat();
    let content = [claims.as_bytes(), &letter("eve@evil.org", AWAY, "claims")].concat();
    world.between.smtp().message("eve@evil.org", &[AWAY], &content).unwrap().is("250");
    let text = unfolded(&world.arrived());
    let (_, sealed) = text.split_once("ARC-Authentication-Results: ").expect("a seal");
    let (sealed, rest) = sealed.split_once("\r\n").unwrap();
    let (_, rest) = rest.split_once("Received: from client.example.net").expect("what the stranger sent");
    holds(sealed, &["i=1; mx.between.org; spf=none", "dkim=none", "header.from=evil.org"]);
    assert!(
        ["bank.test", "spf=pass", "dmarc=pass", "arc=pass"].iter().all(|claim| !sealed.contains(claim)),
        "{sealed}"
    );
    assert!(text.contains("arc=pass (i=1, sealed by between.org)"), "{text}");
    // What others say stays in the message, and that in the name of the host is gone.
    assert!(rest.contains("Authentication-Results: other.test; spf=pass"), "{rest}");
    assert!(!rest.to_lowercase().contains("authentication-results: mx.between.org"), "{rest}");
}

/// The seal of the only message that waits at a host.
fn waiting_seal(kings: &Kings) -> Option<String> {
    let entries = files(&kings.folder().join("data/queue/entries"));
    seal_of(&String::from_utf8_lossy(&fs::read(entries.first()?).ok()?))
}

fn seal_of(text: &str) -> Option<String> {
    let seal = &text[text.find("ARC-Seal: ")?..];
    Some(seal[..seal.find("ARC-Message-Signature")?].to_owned())
}

/// The last host is down: the other one keeps its mail, seals it once as itself, since it has no key of that domain, and
/// what it brings later fails SPF there. A listed seal is what saves it.
#[test]
fn a_backup_mx_seals_what_it_keeps_and_the_seal_holds_when_it_is_tried_again() {
    let relay = "[[domain]]\nname = \"home.org\"\nrelay_to = \"mx\"\n";
    let mut world = World::start(relay, "arc_sealers = [\"between.org\"]\n");
    world.write(BOB, "hello");
    let tried = || {
        let log = fs::read_to_string(world.between.folder().join("kings.log")).unwrap_or_default();
        log.contains("deferred").then(|| waiting_seal(&world.between)).flatten()
    };
    let seal = wait_until("an attempt in vain", DELIVERY, tried);
    world.home.serve();
    run(&mut world.between.command(&["queue", "flush"])).succeeded();
    let message = world.arrived();
    assert_eq!(seal_of(&message.text()).as_deref(), Some(seal.as_str()));
    let text = unfolded(&message);
    holds(
        &text,
        &[
            "Return-Path: <ann@author.org>",
            "spf=fail",
            "dmarc=pass",
            "arc=pass (i=1, sealed by between.org)",
            "X-Kings-Verdict: accept; it fails here, but between.org, whose seals count, saw DMARC pass",
            "ARC-Authentication-Results: i=1; mx.between.org; spf=pass",
        ],
    );
    assert_eq!(dkimpy(&message.content, "org", &world.records), "one.eml pass");
}

/// A gateway seals what it passes on at once as a backup MX does what it keeps.
#[test]
fn a_gateway_seals_what_it_passes_on() {
    let relay = "[[domain]]\nname = \"home.org\"\nrelay_to = \"smtp:127.0.0.3:PORT\"\n";
    let mut world = World::start(relay, "arc_sealers = [\"between.org\"]\n");
    world.home.serve();
    world.between.smtp().message(ANN, &[BOB], &letter(ANN, BOB, "hello")).unwrap().is("250");
    let message = world.arrived();
    holds(
        &unfolded(&message),
        &[
            "Return-Path: <ann@author.org>",
            "spf=fail",
            "dmarc=fail",
            "arc=pass (i=1, sealed by between.org)",
            "X-Kings-Verdict: accept; it fails here, but between.org, whose seals count, saw DMARC pass",
            "ARC-Authentication-Results: i=1; mx.between.org; spf=pass",
        ],
    );
    assert_eq!(dkimpy(&message.content, "org", &world.records), "one.eml pass");
}

/// The server behind a gateway files by what the gateway thought, whether mail comes to it by SMTP or by LMTP, for its own
/// addresses or from an alias. A sender cannot write it.
#[test]
fn the_server_behind_a_gateway_is_told_what_to_file() {
    let (postfix, dovecot) = (Postfix::start(""), DovecotLmtp::start());
    let behind = [format!("smtp:127.0.0.1:{}", postfix.port), format!("lmtp:127.0.0.1:{}", dovecot.port)];
    for (by, relay_to) in behind.into_iter().enumerate() {
        let kings = Setup {
            files: vec![("more-aliases", "away@example.org dave@example.net\n")],
            aliases: "files = [\"virtual:more-aliases\"]\n".into(),
            tables: format!("[[domain]]\nname = \"example.net\"\nrelay_to = \"{relay_to}\"\n"),
            ..Setup::default()
        }
        .start();
        let delivered = || if by == 0 { postfix.delivered() } else { dovecot.delivered("dave") };
        for (author, recipient, verdict) in [
            ("boss@example.net", "dave@example.net", "junk; it says to be from example.net, which is ours"),
            ("boss@example.org", "away@example.org", "junk; it says to be from example.org, which is ours"),
            ("joe@far.test", "dave@example.net", "accept"),
        ] {
            let subject = format!("{author} {by}");
            let forged = b"X-Kings-Verdict: accept; friend of the house\r\n";
            let content = [&forged[..], &letter(author, recipient, &subject)].concat();
            kings.smtp().message("joe@far.test", &[recipient], &content).unwrap().is("250");
            let find =
                || delivered().into_iter().find(|one| one.field("Subject").as_deref() == Some(&*subject));
            let text = unfolded(&wait_until("the message behind", DELIVERY, find));
            assert!(text.contains(&format!("X-Kings-Verdict: {verdict}")), "{text}");
            assert!(!text.contains("friend of the house"), "{text}");
        }
    }
}

/// What is passed on to the LMTP server of another host is sealed, with the key of the domain where there is one; what a
/// program of this machine gets is not: nobody judges it again.
#[test]
fn an_lmtp_route_to_another_host_gets_a_seal_and_a_socket_of_this_machine_none() {
    let dovecot = DovecotLmtp::start();
    let port = format!("lmtp:127.0.0.1:{}", dovecot.port);
    let socket = format!("lmtp:unix:{}", dovecot.socket().display());
    for (subject, relay_to, is_sealed) in [("far", port, true), ("near", socket, false)] {
        let mut kings = Setup {
            tables: format!("[[domain]]\nname = \"example.net\"\nrelay_to = \"{relay_to}\"\n{ALL}"),
            ..Setup::default()
        }
        .start();
        run(&mut kings.command(&["dkim", "create", "example.net", "--selector", "one"])).succeeded();
        let folder = kings.folder().join("data/dkim/example.net");
        let record = fs::read_to_string(folder.join("one.txt")).unwrap();
        let records = record.replace("._domainkey", "._domainkey.example");
        let dns = NameServer::start("net", "far IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n");
        kings.kill();
        kings.ask(&dns.address);
        kings.serve();
        let content = letter("joe@far.net", "dave@example.net", subject);
        kings.smtp().message("joe@far.net", &["dave@example.net"], &content).unwrap().is("250");
        let find = || {
            dovecot.delivered("dave").into_iter().find(|one| one.field("Subject").as_deref() == Some(subject))
        };
        let message = wait_until("the message at dovecot", DELIVERY, find);
        let text = unfolded(&message);
        assert_eq!(text.contains("ARC-Seal: i=1; a=rsa-sha256;"), is_sealed, "{text}");
        if is_sealed {
            holds(&text, &["d=example.net", "cv=none", "spf=pass"]);
            let said = dkimpy(&message.content, "net", &records);
            assert_eq!(said, "one.eml pass", "{text}");
        }
    }
}
