//! Keys made by `kings dkim` sign what users send, and OpenDKIM finds the signatures good.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{
    Daemon, Folder, Kings, Message, NameServer, Postfix, Setup, Sink, UNVERIFIED, free_port, letter,
    listening, messages, program, run, run_with_input, wait_until,
};
use crate::relayed::dkimpy;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

/// The lines that `kings dkim` writes beside its keys, for a zone file.
pub(crate) fn zone_lines(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let records = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    records.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// What OpenDKIM says of a message, with `lines` as the zone.
pub(crate) fn opendkim(message: &[u8], lines: &str) -> String {
    let folder = Folder::new("judge");
    let records: String = lines
        .lines()
        .collect::<Vec<_>>()
        .join(" ")
        .split(" ; -----")
        .filter_map(|record| {
            let (name, rest) = record.rsplit_once("._domainkey")?;
            let name = name.split_whitespace().last()?;
            let strings: Vec<String> =
                rest.split('"').skip(1).step_by(2).map(|string| format!("\"{string}\"")).collect();
            Some(format!(" local-data: '{name}._domainkey.example.org. TXT {}'\n", strings.join(" ")))
        })
        .collect();
    let resolver = format!("server:\n local-zone: \"example.org.\" static\n{records}");
    let resolver = folder.write("resolver", resolver);
    let settings = format!("Mode v\nSyslog no\nResolverConfiguration {}\n", resolver.display());
    let settings = folder.write("opendkim.conf", settings);
    let content = folder.write("message", message);
    let mut command = program("opendkim");
    let output = run(command.arg("-x").arg(settings).arg("-t").arg(content).arg("-vv"));
    output.text() + &output.errors()
}

#[track_caller]
fn only_message_of(kings: &Kings, account: &str) -> Message {
    let mut found = messages(&kings.maildir(account));
    assert_eq!(found.len(), 1, "messages of {account}");
    found.remove(0)
}

/// A server whose keys are made before it starts.
fn signing() -> Kings {
    let mut kings = Setup::default().start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"]))
        .succeeded()
        .says("one._domainkey");
    kings.kill();
    kings.serve();
    kings
}

#[test]
fn what_users_send_is_signed_twice_and_opendkim_agrees() {
    let kings = signing();
    kings.submit(ANN, BOB, "signed");
    let text = only_message_of(&kings, BOB).text();
    assert_eq!(text.matches("DKIM-Signature:").count(), 2, "{text}");
    let content = &text[text.find("DKIM-Signature:").unwrap()..];
    let lines = zone_lines(&kings.folder().join("data/dkim/example.org"));
    let said = opendkim(content.as_bytes(), &lines);
    assert!(said.contains("verification (s=one, d=example.org, 2048-bit key) succeeded"), "{said}");

    let changed = content.replace("signed.", "signed, or not.");
    assert_ne!(changed, content);
    let said = opendkim(changed.as_bytes(), &lines);
    assert!(!said.contains("succeeded"), "{said}");
}

/// What OpenDKIM says of the only message of Bob's, and the message without what lies above its signatures.
fn judged(kings: &Kings) -> (String, String) {
    let text = only_message_of(kings, BOB).text();
    let content = text[text.find("DKIM-Signature:").unwrap()..].to_owned();
    let lines = zone_lines(&kings.folder().join("data/dkim/example.org"));
    (opendkim(content.as_bytes(), &lines), content)
}

const GOOD: &str = "verification (s=one, d=example.org, 2048-bit key) succeeded";

/// Postfix breaks lines behind 998 octets when it sends (`smtp_line_length_limit`), and a signature over them: what is signed
/// here has none, and decodes to what was written.
#[test]
fn a_line_that_is_too_long_for_mail_is_encoded_before_it_is_signed() {
    let words = "many words in one line ".repeat(200);
    let long = format!(
        "From: {ANN}\r\nTo: {BOB}\r\nSubject: long\r\nReferences: {}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>K\u{e4}se {words}</p>\r\n",
        "<0123456789@example.org> ".repeat(60).trim_end()
    );
    let kings = signing();
    kings.submissions(ANN).message(ANN, &[BOB], long.as_bytes()).unwrap().is("250");
    let (said, content) = judged(&kings);
    assert!(said.contains(GOOD), "{said}");
    assert!(content.lines().all(|line| line.len() <= 998), "{content}");
    let decode = "import email, email.policy, sys\nm = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)\n\
                  print(m.get_content().strip())\nprint(m['References'].count('@'))\n";
    let read = run_with_input(program("python3").args(["-c", decode]), content.as_bytes()).text();
    assert_eq!(read, format!("<p>K\u{e4}se {words}</p>\n60\n"));
}

/// A line of 998 octets is mail, and what its writer has signed is not ours to change.
#[test]
fn lines_that_are_mail_and_what_is_signed_already_keep_their_octets() {
    let letter = |fields: &str, line: &str| {
        format!("{fields}From: {ANN}\r\nTo: {BOB}\r\nSubject: x\r\n\r\n{line}\r\n")
    };
    let fits = letter("", &"x".repeat(998));
    let kings = signing();
    kings.submissions(ANN).message(ANN, &[BOB], fits.as_bytes()).unwrap().is("250");
    let (said, content) = judged(&kings);
    assert!(
        said.contains(GOOD) && content.ends_with(&fits[fits.find("From:").unwrap()..]),
        "{said} {content}"
    );

    let signed = letter(
        "DKIM-Signature: v=1; a=rsa-sha256; d=far.example; s=x; h=from; bh=; b=\r\n",
        &"x".repeat(1_200),
    );
    let kings = signing();
    kings.submissions(ANN).message(ANN, &[BOB], signed.as_bytes()).unwrap().is("250");
    let text = only_message_of(&kings, BOB).text();
    assert!(text.ends_with(&format!("\r\n\r\n{}\r\n", "x".repeat(1_200))), "{text}");
    let log = fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("leaves as it is") && log.contains("its writer has signed it already"), "{log}");
}

/// What an operator says of lifetimes is in what receivers see, and OpenDKIM accepts it.
#[test]
fn signatures_say_when_they_expire_where_the_config_does() {
    let tables = "[dkim]\nsignature_lifetime = \"60d\"\n".to_owned();
    let mut kings = Setup { tables, ..Setup::default() }.start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    kings.kill();
    kings.serve();
    kings.submit(ANN, BOB, "expires");
    let text = only_message_of(&kings, BOB).text();
    let content = &text[text.find("DKIM-Signature:").unwrap()..];
    let numbers = |tag: &str| -> Vec<u64> {
        let words = content.split([';', ' ', '\t', '\r', '\n']);
        words.filter_map(|word| word.strip_prefix(tag)?.parse().ok()).collect()
    };
    let (signed, expires) = (numbers("t="), numbers("x="));
    assert_eq!((signed.len(), expires.len()), (2, 2), "{content}");
    assert_eq!(expires[0] - signed[0], 60 * 24 * 60 * 60);
    let said = opendkim(content.as_bytes(), &zone_lines(&kings.folder().join("data/dkim/example.org")));
    assert!(said.contains("verification (s=one, d=example.org, 2048-bit key) succeeded"), "{said}");
}

/// What every reader takes for the account's own mail, whatever the grammar says of it; and what some take for another's.
#[test]
fn careless_from_fields_of_an_account_are_taken_and_signed() {
    let mut kings = Setup::default().start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    kings.kill();
    kings.serve();
    let cases = [
        ("ann@example.org <ann@example.org>", "250"),
        ("Doe, Ann <ann@example.org>", "250"),
        ("\"Ann Doe <ann@example.org>", "250"),
        ("Ann (the <ann@example.org>", "250"),
        ("Ann <ann@example.org> junk", "250"),
        ("Us: ann@example.org;", "250"),
        ("=?utf-8?q?Ann_=3Cann=40example=2Eorg=3E?=", "250"),
        ("bob@example.org <ann@example.org>", "550 5.7.1"),
        ("<ann@example.org> <bob@example.org>", "550 5.7.1"),
        ("\"bob@example.org <ann@example.org>", "550 5.7.1"),
        ("ann@example.org, bob@x..example", "550 5.6.0"),
        ("ann@example.org*evil.example", "550 5.6.0"),
        ("<ann@example.org*.evil.example>", "550 5.6.0"),
        ("Ann <ann@example.org:evil.example>", "550 5.6.0"),
        ("ann@example.org Ann A. Doe", "250"),
        ("\"ann@example.org\"", "550 5.6.0"),
        ("\"bob@example.org\", ann@example.org", "550 5.6.0"),
        ("ann@example.org, \"bob@example.org\"", "550 5.6.0"),
        ("\u{2039}bob\u{ff20}example.org> ann@example.org", "550 5."),
        ("Bob", "550 5.7.1"),
    ];
    for (from, expected) in cases {
        let content = format!("From: {from}\r\nTo: {BOB}\r\nSubject: careless\r\n\r\nhello\r\n");
        kings.submissions(ANN).message(ANN, &[BOB], content.as_bytes()).unwrap().is(expected);
    }
    let latin1 =
        [b"From: K\xe4se <ann@example.org>\r\nTo: ".as_slice(), BOB.as_bytes(), b"\r\n\r\nhello\r\n"]
            .concat();
    kings.submissions(ANN).message(ANN, &[BOB], &latin1).unwrap().is("250");
    let arrived = messages(&kings.maildir(BOB));
    assert_eq!(arrived.len(), 9);
    assert!(arrived.iter().all(|message| message.text().matches("DKIM-Signature:").count() == 2));
}

/// The signature that came with it stays where it is, and ours is that of whoever sends it again; without these fields the
/// message would not be taken at all.
#[test]
fn what_is_sent_again_has_a_signature_of_who_does_that_which_opendkim_finds_good() {
    let mut kings = Setup::default().start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    kings.kill();
    kings.serve();
    let theirs = "DKIM-Signature: v=1; a=rsa-sha256; d=elsewhere.example; s=x; h=from; bh=AA==; b=AA==\r\n";
    let original =
        format!("{theirs}From: joe@elsewhere.example\r\nTo: {ANN}\r\nSubject: again\r\n\r\nhello\r\n");
    let again = format!("Resent-From: {ANN}\r\nResent-To: {BOB}\r\n{original}");
    kings.submissions(ANN).message(ANN, &[BOB], original.as_bytes()).unwrap().is("550 5.7.1");
    kings.submissions(ANN).message(ANN, &[BOB], again.as_bytes()).unwrap().is("250");
    let text = only_message_of(&kings, BOB).text();
    assert!(text.contains(theirs) && text.matches("d=example.org;").count() == 2, "{text}");
    let content = &text[text.find("DKIM-Signature:").unwrap()..];
    let said = opendkim(content.as_bytes(), &zone_lines(&kings.folder().join("data/dkim/example.org")));
    assert!(said.contains("verification (s=one, d=example.org, 2048-bit key) succeeded"), "{said}");
}

/// A real server that takes 7-bit content alone (RFC 6152 §3): it gets the same words under a signature that holds, and what
/// cannot be converted comes back, itself in 7 bit.
#[test]
fn what_is_converted_for_an_old_server_is_signed_as_it_leaves() {
    let postfix = Postfix::start("smtpd_discard_ehlo_keywords = 8bitmime, smtputf8\n");
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", postfix.port);
    let mut kings = Setup { tables, ..Setup::default() }.start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    kings.kill();
    kings.serve();
    let dave = "dave@example.net";
    let text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nEin schönes Wort = gut.\r\n";
    let content = format!("From: {ANN}\r\nTo: {dave}\r\nSubject: schön\r\n{text}");
    kings.submissions(ANN).message(ANN, &[dave], content.as_bytes()).unwrap().is("250");
    let message = wait_until("the message at Postfix", Duration::from_secs(30), || postfix.delivered().pop());
    let text = message.text();
    assert!(text.is_ascii() && text.contains("Ein sch=C3=B6nes Wort =3D gut."), "{text}");
    assert!(text.contains("\nSubject: =?utf-8?Q?sch=C3=B6n?="), "{text}");
    assert_eq!(text.matches("DKIM-Signature:").count(), 2, "{text}");
    let content = &text[text.find("DKIM-Signature:").unwrap()..];
    let said = opendkim(content.as_bytes(), &zone_lines(&kings.folder().join("data/dkim/example.org")));
    assert!(said.contains("verification (s=one, d=example.org, 2048-bit key) succeeded"), "{said}");

    let raw = "Content-Disposition: inline; filename=schön";
    let content = format!("From: {ANN}\r\nTo: {dave}\r\n{raw}\r\n\r\nx\r\n");
    kings.submissions(ANN).message(ANN, &[dave], content.as_bytes()).unwrap().is("250");
    let bounce =
        wait_until("the bounce", Duration::from_secs(30), || messages(&kings.maildir(ANN)).pop()).text();
    assert!(bounce.is_ascii() && bounce.contains("\r\nStatus: 5.6.3\r\n"), "{bounce}");
    // It is from the server's own name, which the key of the domain above it speaks for.
    assert!(bounce.contains("From: Mail delivery <MAILER-DAEMON@mail.example.org>"), "{bounce}");
    assert_eq!(bounce.matches("d=example.org").count(), 2, "{bounce}");
    let content = &bounce[bounce.find("DKIM-Signature:").unwrap()..];
    let said = opendkim(content.as_bytes(), &zone_lines(&kings.folder().join("data/dkim/example.org")));
    assert!(said.contains("verification (s=one, d=example.org, 2048-bit key) succeeded"), "{said}");
    assert_eq!(postfix.delivered().len(), 1);
}

/// A provider's host serves its customers' domains: nobody but itself can sign what it says in its own name.
#[test]
fn a_server_below_no_hosted_domain_signs_its_bounces_with_a_key_of_its_own() {
    let behind = Sink::refusing();
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\ntls = \"none\"\n", behind.port);
    let mut kings = Setup { tables, ..Setup::default() }.start();
    let file = kings.folder().join("kings.toml");
    let text = fs::read_to_string(&file).unwrap();
    let own = "hostname = \"mx1.provider.test\"";
    fs::write(&file, text.replace("hostname = \"mail.example.org\"", own)).unwrap();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    let said = run(&mut kings.command(&["config", "check"]));
    let said = said.text() + &said.errors();
    assert!(said.contains("they leave unsigned until  kings dkim create mx1.provider.test"), "{said}");
    // The domain above it is not ours to speak for.
    for other in ["provider.test", "mx2.provider.test"] {
        run(&mut kings.command(&["dkim", "create", other])).failed().says("is not hosted here");
    }
    run(&mut kings.command(&["dkim", "create", "mx1.provider.test", "--selector", "two"])).succeeded();
    run(&mut kings.command(&["dkim", "list"])).succeeded().says("mx1.provider.test");
    let said = run(&mut kings.command(&["config", "check"]));
    assert!(!(said.text() + &said.errors()).contains("unsigned"), "{said}");
    kings.kill();
    kings.serve();
    kings.submit(ANN, "dave@example.net", "lost");
    let bounce =
        wait_until("the bounce", Duration::from_secs(30), || messages(&kings.maildir(ANN)).pop()).text();
    assert!(bounce.contains("From: Mail delivery <MAILER-DAEMON@mx1.provider.test>"), "{bounce}");
    let lines = zone_lines(&kings.folder().join("data/dkim/mx1.provider.test"));
    let dns = NameServer::start(".", &format!("$ORIGIN mx1.provider.test.\n{lines}"));
    let content = &bounce[bounce.find("DKIM-Signature:").unwrap()..];
    let judge = &mut kings.command(&["check-message", "-", "--dns", &dns.address]);
    let said = run_with_input(judge, content.as_bytes()).text();
    let passes = said.matches("DKIM              pass: ").count();
    assert!(passes == 2 && said.contains("d=mx1.provider.test s=two"), "{said}");
}

/// Keys change while mail waits: what leaves in 7 bits is signed and sealed with those of that time.
#[test]
fn what_waits_over_a_rotation_and_is_converted_then_is_signed_and_sealed_by_the_new_keys() {
    let port = free_port();
    let mut kings = Setup {
        files: vec![("more-aliases", "away@example.org dave@example.net\n")],
        aliases: "files = [\"virtual:more-aliases\"]\n".into(),
        tables: format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\ntls = \"none\"\n"),
        ..Setup::default()
    }
    .start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    let folder = kings.folder().join("data/dkim/example.org");
    let zone = || NameServer::start(".", &format!("$ORIGIN example.org.\n{}", zone_lines(&folder)));
    let first = zone();
    kings.kill();
    kings.ask(&first.address);
    kings.serve();
    let dave = "dave@example.net";
    let text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nEin schönes Wort.\r\n";
    let ours = format!("From: {ANN}\r\nTo: {dave}\r\nSubject: ours\r\n{text}");
    kings.submissions(ANN).message(ANN, &[dave], ours.as_bytes()).unwrap().is("250");
    let theirs = "DKIM-Signature: v=1; a=rsa-sha256; d=elsewhere.test; s=x;\r\n h=From; bh=YWJj; b=YWJj\r\n";
    let passed =
        format!("{theirs}From: joe@elsewhere.test\r\nTo: away@example.org\r\nSubject: theirs\r\n{text}");
    kings.smtp().message("joe@elsewhere.test", &["away@example.org"], passed.as_bytes()).unwrap().is("250");

    run(&mut kings.command(&["dkim", "rotate", "example.org", "--start"])).succeeded();
    let both = zone();
    kings.ask(&both.address);
    run(&mut kings.command(&["dkim", "rotate", "example.org"]))
        .succeeded()
        .says("The server signs with the new keys");
    let sink = Sink::seven_bit_at(port);
    let contents = wait_until("both messages", Duration::from_secs(30), || {
        // A host that did not answer is left alone for a moment.
        run(&mut kings.command(&["queue", "flush"])).succeeded();
        let contents = sink.contents();
        (contents.iter().filter(|text| text.contains("sch=C3=B6nes Wort.")).count() == 2).then_some(contents)
    });
    let lines = zone_lines(&folder);
    let find = |start: &str, subject: &str| {
        let is_wanted = |text: &&String| text.contains(&format!("Subject: {subject}\r\n"));
        let text = contents.iter().find(is_wanted).unwrap_or_else(|| panic!("{subject}: {contents:?}"));
        assert!(text.is_ascii() && !text.contains(" s=one"), "{text}");
        text[text.find(start).unwrap_or_else(|| panic!("{start}: {text}"))..].to_owned()
    };
    let ours = find("DKIM-Signature:", "ours");
    assert_eq!(ours.matches("DKIM-Signature:").count(), 2, "{ours}");
    let said = opendkim(ours.as_bytes(), &lines);
    assert!(said.contains("d=example.org, 2048-bit key) succeeded"), "{said}\n{ours}");
    let passed = find("ARC-Seal:", "theirs");
    assert!(passed.contains(theirs), "{passed}");
    assert_eq!(dkimpy(passed.as_bytes(), "example.org", &lines), "one.eml pass", "{passed}");
}

/// What rspamd finds in a message: it asks this name server for the keys.
fn rspamd(message: &[u8], dns: &NameServer) -> String {
    let (folder, port) = (Folder::new("rspamd-judge"), free_port());
    let directory = folder.path().display();
    let settings = format!(
        "options {{ pidfile = \"{directory}/pid\"; filters = \"dkim\"; dns {{ nameserver = [\"{}\"]; }} }}\n\
         logging {{ type = \"console\"; level = \"info\"; }}\n\
         dkim {{ check_local = true; check_authed = true; }}\n\
         worker \"normal\" {{ bind_socket = \"127.0.0.1:{port}\"; count = 1; }}\n",
        dns.address
    );
    let settings = folder.write("rspamd.conf", settings);
    let mut command = program("rspamd");
    command.args(["-f", "-i", "--var", &format!("DBDIR={directory}"), "-c"]).arg(settings);
    let mut daemon = Daemon::start("rspamd", &mut command, &folder.join("log"));
    daemon.wait_for("its port", Duration::from_mins(2), |_| listening(port));
    let content = folder.write("message", message);
    let mut judge = program("rspamc");
    run(judge.args(["-h", &format!("127.0.0.1:{port}"), "symbols"]).arg(content)).succeeded().text()
}

/// The message with one of its signatures, by selector; neither covers the other.
fn with_signature_of(content: &str, selector: &str) -> String {
    let fields = content.split_inclusive("DKIM-Signature:").count() - 1;
    assert_eq!(fields, 2, "two signatures");
    let second = content.rfind("DKIM-Signature:").unwrap();
    let (first, rest) = content.split_at(second);
    if first.contains(&format!(" s={selector};")) {
        let end = rest.find("\nReceived:").or_else(|| rest.find("\nFrom:")).unwrap() + 1;
        return first.to_owned() + &rest[end..];
    }
    rest.to_owned()
}

#[test]
fn rspamd_agrees_with_either_signature_and_sees_a_change() {
    let kings = signing();
    kings.submit(ANN, BOB, "signed");
    let text = only_message_of(&kings, BOB).text();
    let content = &text[text.find("DKIM-Signature:").unwrap()..];
    let dns = NameServer::start("example.org", &zone_lines(&kings.folder().join("data/dkim/example.org")));
    for selector in ["one", "one-ed25519"] {
        let alone = with_signature_of(content, selector);
        let said = rspamd(alone.as_bytes(), &dns);
        assert!(said.contains("R_DKIM_ALLOW") && said.contains(&format!("s={selector}]")), "{said}\n{alone}");
        let said = rspamd(alone.replace("signed.", "signed, or not.").as_bytes(), &dns);
        assert!(said.contains("R_DKIM_REJECT"), "{said}");
    }
}

#[test]
fn strangers_are_not_signed_and_trusted_hosts_are() {
    let files = vec![("trusted", "127.0.0.0/8\n!127.0.0.1\n")];
    let tables = format!("{UNVERIFIED}[dkim]\ntrusted_hosts = \"trusted\"\n");
    let mut kings = Setup { files, tables, ..Setup::default() }.start();
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    for (trusted, expected) in [("!127.0.0.1\n127.0.0.0/8\n", 0), ("127.0.0.1\n", 2)] {
        kings.folder().write("trusted", trusted);
        kings.kill();
        kings.serve();
        let mut client = kings.smtp();
        client.message(ANN, &[BOB], &letter(ANN, BOB, "hello")).unwrap().is("250");
        let found = messages(&kings.maildir(BOB));
        let text = found.iter().map(Message::text).max_by_key(String::len).unwrap();
        assert_eq!(text.matches("DKIM-Signature:").count(), expected, "{text}");
    }
}

/// What a trusted host brings is signed here, so that it gets lines that no other server breaks, as what users send does. What
/// is not signed here, of a stranger or for an author without a key, keeps its octets.
#[test]
fn long_lines_of_trusted_hosts_are_encoded_before_they_are_signed_and_no_others() {
    let line = "x".repeat(1_200);
    let long = |author: &str| format!("From: {author}\r\nTo: {BOB}\r\nSubject: x\r\n\r\n{line}\r\n");
    for (trusted, author, is_signed) in
        [("127.0.0.1\n", ANN, true), ("127.0.0.1\n", "joe@far.example", false), ("!127.0.0.1\n", ANN, false)]
    {
        let files = vec![("trusted", trusted)];
        let tables = format!("{UNVERIFIED}[dkim]\ntrusted_hosts = \"trusted\"\n");
        let mut kings = Setup { files, tables, ..Setup::default() }.start();
        run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
        kings.kill();
        kings.serve();
        kings.smtp().message(author, &[BOB], long(author).as_bytes()).unwrap().is("250");
        if is_signed {
            let (said, content) = judged(&kings);
            assert!(said.contains(GOOD) && content.lines().all(|line| line.len() <= 998), "{said} {content}");
            assert_eq!(content.matches("DKIM-Signature:").count(), 2, "{content}");
        } else {
            let text = only_message_of(&kings, BOB).text();
            assert!(text.ends_with(&format!("\r\n\r\n{line}\r\n")), "{author}: {text}");
        }
    }
}

#[test]
fn opendkims_own_tables_are_read_as_they_are() {
    let mut kings = signing();
    let data = kings.folder().join("data/dkim/example.org");
    fs::copy(data.join("one.private"), kings.folder().join("key")).unwrap();
    kings.folder().write("KeyTable", format!("main example.org:old:{}\n", kings.folder().text("key")));
    kings.folder().write("SigningTable", "*@example.org main\n");
    let config = fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    let config = config + "[dkim]\nkey_table = \"KeyTable\"\nsigning_table = \"refile:SigningTable\"\n";
    kings.folder().write("kings.toml", config);
    run(&mut kings.command(&["config", "check"])).succeeded();
    kings.kill();
    kings.serve();
    kings.submit(ANN, BOB, "signed");
    let text = only_message_of(&kings, BOB).text();
    assert!(text.contains(" s=old;") && text.matches("DKIM-Signature:").count() == 1, "{text}");

    kings.folder().write("KeyTable", "main example.org:old\n");
    run(&mut kings.command(&["config", "check"])).failed().says("KeyTable");
}

fn signatures(kings: &Kings, subject: &str) -> String {
    kings.submit(ANN, BOB, subject);
    let has = |message: &Message| message.field("Subject").as_deref() == Some(subject);
    messages(&kings.maildir(BOB)).into_iter().find(has).expect("it is there").text()
}

#[test]
fn keys_change_step_by_step_and_never_before_their_records_are_there() {
    let mut kings = signing();
    let folder = kings.folder().join("data/dkim/example.org");
    run(&mut kings.command(&["dkim", "create", "example.org"])).failed().says("rotate");
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"]))
        .failed()
        .says("is there already");
    run(&mut kings.command(&["dkim", "create", "example.net"])).failed().says("not hosted here");
    // None begins unasked, and none by a look.
    run(&mut kings.command(&["dkim", "rotate", "example.org"])).succeeded().says("No rotation is under way");
    run(&mut kings.command(&["dkim", "rotate", "example.org", "--start", "--dry-run"]))
        .succeeded()
        .says("would begin a rotation to");
    assert!(!folder.join("rotation").exists());
    let other = fs::File::open(kings.folder().join("data")).unwrap();
    other.lock().unwrap();
    let refused = run(&mut kings.command(&["dkim", "rotate", "example.org", "--start"]));
    assert_eq!(refused.status.code(), Some(75), "{}", refused.errors());
    assert!(refused.errors().contains("at work"), "{}", refused.errors());
    drop(other);
    run(&mut kings.command(&["dkim", "rotate", "example.org", "--start"]))
        .succeeded()
        .says("Publish these records");
    // Nobody answers DNS here: cannot tell.
    let refused = run(&mut kings.command(&["dkim", "rotate", "example.org", "--start"]));
    assert_eq!(refused.status.code(), Some(75), "{}", refused.errors());

    // No record, a key that begins like ours and goes on, then one of the two, then all.
    let lines = zone_lines(&folder);
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ed25519 = names.into_iter().find(|name| name.ends_with("-ed25519.txt") && !name.starts_with("one"));
    let ed25519 = fs::read_to_string(folder.join(ed25519.unwrap())).unwrap();
    let longer = lines.replace(&ed25519, &ed25519.replace("\" )", "AAAA\" )"));
    let zones = [
        ("mail IN A 127.0.0.1\n", "not published"),
        (longer.as_str(), "another key is published"),
        (ed25519.as_str(), "not published"),
    ];
    for (zone, expected) in zones {
        let dns = NameServer::start("example.org", zone);
        kings.ask(&dns.address);
        run(&mut kings.command(&["dkim", "rotate", "example.org"])).failed().says(expected);
        let said = run(&mut kings.command(&["dkim", "list"])).succeeded().text();
        assert!(said.contains("waits for its records"), "{said}");
    }
    let full = NameServer::start("example.org", &lines);
    kings.ask(&full.address);
    run(&mut kings.command(&["dkim", "list"])).succeeded().says("next  published");
    assert!(signatures(&kings, "before").contains(" s=one;"));
    // The server that runs hears of it.
    run(&mut kings.command(&["dkim", "rotate", "example.org"]))
        .succeeded()
        .says("The server signs with the new keys");
    let text = signatures(&kings, "rotated");
    assert!(text.matches("DKIM-Signature:").count() == 2 && !text.contains(" s=one"), "{text}");
    let listed = run(&mut kings.command(&["dkim", "list", "--json"])).succeeded().text();
    assert_eq!(
        (listed.matches("\"active\"").count(), listed.matches("\"retired\"").count()),
        (2, 2),
        "{listed}"
    );
    assert!(listed.contains("\"phase\":\"transit\""), "{listed}");

    // Again and again: nothing happens until their mail has arrived; then they go, and their names stay used.
    for arguments in [&["dkim", "rotate", "example.org"][..], &["dkim", "rotate", "example.org", "--start"]] {
        run(&mut kings.command(arguments)).succeeded().says("leave their records where they are");
    }
    for name in ["one.retired", "one-ed25519.retired"] {
        let then = std::time::SystemTime::now() - Duration::from_hours(24 * 60);
        fs::File::options().append(true).open(folder.join(name)).unwrap().set_modified(then).unwrap();
    }
    let told = run(&mut kings.command(&["dkim", "rotate", "example.org", "--json"])).succeeded().text();
    assert!(told.contains("one._domainkey.example.org") && told.contains("\"phase\":\"idle\""), "{told}");
    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"]))
        .failed()
        .says("had a key before");
    run(&mut kings.command(&["dkim", "rotate", "example.org"])).succeeded().says("No rotation is under way");
    kings.kill();
    kings.serve();
    let text = signatures(&kings, "after");
    assert!(text.matches("DKIM-Signature:").count() == 2 && !text.contains(" s=one"), "{text}");
}

/// A domain of which there is only the record of a key, or half of its keys, or a broken one: its mail waits and never
/// leaves unsigned, that of another domain goes, and the check says what to do.
#[test]
fn mail_of_a_domain_whose_key_is_gone_or_broken_waits_and_that_of_others_is_signed() {
    let (ann, dave) = ("ann@example.org", "dave@example.net");
    let mut kings = Setup {
        files: vec![("users", "ann@example.org:{PLAIN}secret\ndave@example.net:{PLAIN}secret\n")],
        tables: "[[domain]]\nname = \"example.net\"\n".into(),
        ..Setup::default()
    }
    .start();
    for domain in ["example.org", "example.net"] {
        run(&mut kings.command(&["dkim", "create", domain, "--selector", "one"])).succeeded();
    }
    run(&mut kings.command(&["config", "check"])).succeeded();
    let folder = kings.folder().join("data/dkim/example.org");
    let (key, away) = (folder.join("one.private"), kings.folder().join("one.private"));
    let damages: [(&str, &dyn Fn()); 2] = [
        ("one.txt: the record of a key that is gone", &|| fs::rename(&key, &away).unwrap()),
        ("one.private: ", &|| {
            fs::copy(&key, &away).unwrap();
            fs::write(&key, "").unwrap();
        }),
    ];
    for (at, (expected, damage)) in damages.into_iter().enumerate() {
        damage();
        let said = run(&mut kings.command(&["config", "check"])).failed();
        assert!(
            said.errors().contains(expected) && said.errors().contains("kings dkim "),
            "{}",
            said.errors()
        );
        let listed = run(&mut kings.command(&["dkim", "list"]));
        assert!(listed.text().contains("example.net  one  "), "{}", listed.text());
        let told = [listed.text(), listed.errors()].concat();
        assert!(told.contains("the key one is gone") || told.contains("one.private: "), "{told}");
        kings.kill();
        kings.serve();
        let subject = format!("waits {at}");
        let reply = kings.submissions(ann).message(ann, &[dave], &letter(ann, dave, &subject)).unwrap();
        reply.is("451 4.7.0");
        kings.submit(dave, dave, &format!("goes {at}"));
        let found = messages(&kings.maildir(dave));
        let other =
            found.iter().map(Message::text).find(|text| text.contains(&format!("Subject: goes {at}")));
        assert_eq!(other.expect("it is there").matches("DKIM-Signature: ").count(), 2);
        let log = fs::read_to_string(kings.folder().join("kings.log")).unwrap();
        assert!(
            log.contains(expected) && log.contains("mail of ours cannot be signed, so it waits"),
            "{log}"
        );
        fs::rename(&away, &key).unwrap();
        run(&mut kings.command(&["config", "check"])).succeeded();
        kings.kill();
        kings.serve();
        kings.submissions(ann).message(ann, &[dave], &letter(ann, dave, &subject)).unwrap().is("250");
    }
    // Given up for good: new keys under another name, and the record of the old one is to go.
    for file in ["one.private", "one-ed25519.private"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
    let made = run(&mut kings.command(&["dkim", "create", "example.org"])).succeeded().text();
    assert!(made.contains("Remove the record one._domainkey.example.org: its key is gone."), "{made}");
    run(&mut kings.command(&["config", "check"])).succeeded();
}
