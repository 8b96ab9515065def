//! `kings check-message`: an independent judge, with a real name server and no running server.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::harness::{Folder, NameServer, Output, Setup, UNVERIFIED, letter, messages, run, run_with_input};

const BOB: &str = "bob@example.org";

/// A letter that a Kings has signed with both of its keys, and the zone of its domain.
pub(crate) static SIGNED: LazyLock<(String, String)> = LazyLock::new(|| {
    let mut sender = Setup::default().start();
    run(&mut sender.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
    let folder = sender.folder().join("data/dkim/example.org");
    let record = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let zone = format!(
        "$ORIGIN example.org.\n{}{}@ IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n_dmarc IN TXT \"v=DMARC1; p=reject\"\n\
         mx IN A 192.0.2.7\n7.2.0.192.in-addr.arpa. IN PTR mx.example.org.\n",
        record("one.txt"),
        record("one-ed25519.txt")
    );
    sender.kill();
    sender.serve();
    sender.submit("ann@example.org", BOB, "signed");
    let text = messages(&sender.maildir(BOB)).remove(0).text();
    (text[text.find("DKIM-Signature:").unwrap()..].to_owned(), zone)
});

fn check(dns: &NameServer, arguments: &[&str], message: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    command.args(["check-message", "-", "--dns", &dns.address]).args(arguments);
    run_with_input(&mut command, message)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[track_caller]
fn has(output: &Output, code: i32, lines: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{output}");
    let text = output.text();
    for line in lines {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

const CLIENT: [&str; 6] = ["--ip", "192.0.2.7", "--helo", "mx.example.org", "--mail-from", "ann@example.org"];

#[test]
fn a_good_message_is_taken_and_a_changed_one_is_not() {
    let (letter, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let good = check(&dns, &CLIENT, letter.as_bytes());
    has(
        &good,
        0,
        &[
            "reverse name      pass: the reverse name leads back",
            "SPF of MAIL FROM  pass: matched ip4:192.0.2.0/24 of example.org",
            "SPF of EHLO       none: mx.example.org has no record",
            "DKIM              pass: 2048-bit RSA key",
            "DKIM              pass: Ed25519 key",
            "d=example.org s=one-ed25519 i=@example.org a=ed25519-sha256",
            "signs from",
            "DMARC             pass: aligned: DKIM and SPF",
            "record at _dmarc.example.org asks for reject",
            "aligned by DKIM (relaxed): yes",
            "ARC               none",
            "left out          milters, header and body rules, the policy service, greylisting, trusted hosts",
            "verdict           accept",
            "Authentication-Results: ",
            "smtp.mailfrom=example.org",
        ],
    );
    // One letter of the body, and from a client that nobody knows.
    let changed = letter.replace("this is signed", "this is singed");
    assert_ne!(changed, *letter);
    let stranger = ["--ip", "198.51.100.7", "--helo", "mx.example.org", "--mail-from", "ann@example.org"];
    let broken = check(&dns, &stranger, changed.as_bytes());
    has(
        &broken,
        1,
        &[
            "SPF of MAIL FROM  fail: matched -all of example.org",
            "DKIM              fail: the body was changed",
            "DMARC             fail: neither SPF nor DKIM passed",
            "aligned by SPF (relaxed): no",
            "verdict           reject",
            "DMARC fails",
        ],
    );
}

#[test]
fn a_forged_author_is_told_in_words() {
    let (_, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let forged = [
        b"From: ann@example.org\r\nAuthentication-Results: mail.judge.example; dmarc=pass\r\n".as_slice(),
        &letter("\"ceo@bank.example\" <joe@evil.org>", BOB, "hello"),
    ]
    .concat();
    let found = check(&dns, &["--mail-from", "joe@evil.org"], &forged);
    has(
        &found,
        1,
        &[
            "header            there is more than one From field",
            "header            the name in From shows an address at bank.example",
            "DMARC             permerror: there are 2 From fields",
            "DKIM              none",
            "not checked       SPF, the reverse name and DNS lists need the client's address (--ip)",
            "verdict           reject",
            "Message has more than one From field",
        ],
    );
    assert!(!found.text().contains("SPF of"), "{found}");
}

/// The form of RFC 7208 §D.1: a domain lists its senders one by one, by local part.
#[test]
fn a_domain_that_lists_its_local_parts_is_asked_about_each_whatever_signs_it_has() {
    let listed =
        ["joe", "joe+list", "bounce-17=bob=example.org", "SRS0=x/y=Z=bank.test=ann", "o'neil", "-a#b!"];
    let names: Vec<String> = listed.iter().map(|local| format!("{local}._spf IN A 127.0.0.2\n")).collect();
    let zone = format!(
        "$ORIGIN t.test.\n@ IN TXT \"v=spf1 exists:%{{l}}._spf.%{{d}} -all\"\n_dmarc IN TXT \"v=DMARC1; p=reject\"\n{}",
        names.concat()
    );
    let dns = NameServer::start("t.test", &zone);
    let from = |local: &str| {
        let sender = format!("--mail-from={local}@t.test");
        let client = ["--ip", "192.0.2.1", "--helo", "mx.t.test", &sender];
        check(&dns, &client, &letter("joe@t.test", BOB, "hello"))
    };
    for local in listed {
        has(&from(local), 0, &["SPF of MAIL FROM  pass: matched exists:%{l}._spf.%{d} of t.test"]);
    }
    for local in ["ann", "joe+other", "joe=list", "\"joe;list\"", "jo*"] {
        has(&from(local), 1, &["SPF of MAIL FROM  fail: matched -all of t.test", "DMARC fails"]);
    }
}

#[test]
fn json_says_the_same() {
    let (letter, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let good = check(&dns, &[&CLIENT[..], &["--json"]].concat(), letter.as_bytes());
    assert_eq!(good.status.code(), Some(0), "{good}");
    let found = json(&good);
    for (pointer, expected) in [
        ("/schema", "1"),
        ("/ip", "\"192.0.2.7\""),
        ("/mail_from", "\"<ann@example.org>\""),
        ("/verdict", "\"accept\""),
        ("/cannot_tell", "false"),
        ("/spf_mail_from/mechanism", "\"ip4:192.0.2.0/24\""),
        ("/spf_helo/result", "\"none\""),
        ("/dkim/result", "\"pass\""),
        ("/dkim/signatures/0/weak", "false"),
        ("/dkim/signatures/0/headers/0", "\"from\""),
        ("/dmarc/record_at", "\"_dmarc.example.org\""),
        ("/dmarc/record/p", "\"reject\""),
        ("/dmarc/spf_aligned", "true"),
        ("/arc/result", "\"none\""),
        ("/iprev/name", "\"mx.example.org\""),
        ("/not_checked", "[]"),
        ("/left_out/0", "\"milters\""),
        ("/left_out/4", "\"trusted hosts\""),
    ] {
        assert_eq!(
            found.pointer(pointer).map(Value::to_string).as_deref(),
            Some(expected),
            "{pointer}: {found}"
        );
    }
    let bits =
        found["dkim"]["signatures"].as_array().unwrap().iter().filter_map(|one| one["rsa_bits"].as_u64());
    assert_eq!(bits.collect::<Vec<_>>(), [2048]);

    let unsigned = crate::harness::letter("ann@example.org", BOB, "hello");
    let stranger =
        ["--ip", "198.51.100.7", "--helo", "mx.far.example", "--mail-from", "ann@example.org", "--json"];
    let forged = check(&dns, &stranger, &unsigned);
    assert_eq!(forged.status.code(), Some(1), "{forged}");
    let found = json(&forged);
    assert_eq!((&found["verdict"], &found["if_spf_fails"]), (&"reject".into(), &Value::Null));
    assert_eq!(found["not_checked"], serde_json::json!([]), "{found}");

    // Of the same message nobody says how it came: SPF decides, and is not asked.
    let untold = check(&dns, &["--json"], &unsigned);
    assert_eq!(untold.status.code(), Some(75), "{untold}");
    let found = json(&untold);
    assert_eq!((&found["verdict"], &found["ip"]), (&"accept".into(), &Value::Null));
    assert_eq!(found["if_spf_fails"]["verdict"], "reject", "{found}");
    assert_eq!((&found["cannot_tell"], &found["spf_mail_from"]), (&true.into(), &Value::Null));
    assert_eq!(found["not_checked"].as_array().map(Vec::len), Some(3), "{found}");
}

/// What port 25 would say depends on what SPF says, as long as that could prove the author; it never helps another.
#[test]
fn spf_that_is_not_asked_fails_nothing_and_saves_nobody_else() {
    let (letter, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let unsigned = crate::harness::letter("ann@example.org", BOB, "hello");
    let open = [
        "DMARC             temperror: SPF is not judged, and could prove the author's domain",
        "verdict           accept",
        "if SPF fails      reject",
        "DMARC fails for example.org",
    ];
    let cases: [(&[&str], &[u8], i32); 7] = [
        (&[], &unsigned, 75),
        (&["--mail-from", "ann@example.org"], &unsigned, 75),
        (&["--mail-from", "bounces@news.example.org"], &unsigned, 75),
        (&["--mail-from", "", "--helo", "mx.example.org"], &unsigned, 75),
        // Of these SPF could prove no more than another domain.
        (&["--mail-from", "joe@far.example"], &unsigned, 1),
        (&["--mail-from", "", "--helo", "mx.far.example"], &unsigned, 1),
        // DKIM has proven it.
        (&[], letter.as_bytes(), 0),
    ];
    for (arguments, message, code) in cases {
        let found = check(&dns, arguments, message);
        has(&found, code, if code == 75 { &open } else { &[] });
        assert_eq!(found.text().contains("if SPF fails"), code == 75, "{arguments:?}: {found}");
    }
    check(&dns, &[], &unsigned).says("--ip, --helo and --mail-from");
}

/// As on port 25: what an alias has sent on before is refused, unless it ends in a mailbox here.
#[test]
fn a_message_that_has_come_round_is_told_to_whoever_names_its_recipient() {
    let dns = NameServer::start(".", "far.example. IN TXT \"none\"\n");
    let mut setup = Setup { name_server: dns.address.clone(), ..Setup::default() };
    setup.files = vec![(
        "round-aliases",
        "away@example.org joe@far.example\nboth@example.org joe@far.example, bob@example.org\n",
    )];
    setup.aliases = "files = [\"virtual:round-aliases\"]\n".into();
    let kings = setup.start();
    let came_round = |alias: &str| {
        let field = format!("Delivered-To: {alias}\r\n").into_bytes();
        [field, letter("joe@far.example", alias, "hello")].concat()
    };
    let cases = [
        ("away@example.org", "away@example.org", 1, "Mail forwarding loop"),
        ("away@example.org", "AWAY@example.org", 1, "Mail forwarding loop"),
        ("both@example.org", "both@example.org", 0, "has sent it on before: its accounts here get it"),
        ("away@example.org", "other@example.org", 0, "verdict           accept"),
        ("bob@example.org", "bob@example.org", 0, "verdict           accept"),
        ("nobody@example.org", "nobody@example.org", 0, "verdict           accept"),
    ];
    for (recipient, delivered_to, code, expected) in cases {
        let file = kings.folder().write("round", came_round(delivered_to));
        let file = file.to_str().unwrap();
        let found = run(&mut kings.command(&["check-message", file, "--recipient", recipient]));
        has(&found, code, &[expected]);
        assert!(!found.text().contains("--recipient"), "{found}");
        let reply = kings.smtp().message("joe@far.example", &[recipient], &came_round(delivered_to));
        let is_loop = expected == "Mail forwarding loop";
        assert_eq!(
            reply.is_ok_and(|reply| reply.text.contains("Mail forwarding loop")),
            is_loop,
            "{recipient}"
        );
        run(&mut kings.command(&["check-message", file])).says("needs its recipients (--recipient)");
    }
    let mut bare = Command::new(env!("CARGO_BIN_EXE_kings"));
    bare.args(["check-message", "-", "--recipient", "ann@example.org"]);
    has(&run_with_input(&mut bare, b"").says("--config FILE"), 2, &[]);
}

/// What port 25 refuses for its octets is refused here, in the same words.
#[test]
fn what_port_25_refuses_for_its_line_ends_is_refused() {
    let (letter, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let kings = crate::harness::Kings::start();
    for more in ["a\rb\r\n", "a\0b\r\n"] {
        let bad = format!("{letter}{more}");
        has(
            &check(&dns, &CLIENT, bad.as_bytes()),
            1,
            &["verdict           reject", "Message holds a bare CR"],
        );
        let reply = kings.smtp().message("joe@far.example", &["ann@example.org"], bad.as_bytes()).unwrap();
        assert!(reply.text.contains("Message holds a bare CR"), "{}", reply.text);
    }
    let stored = letter.replace("\r\n", "\n");
    assert_eq!(check(&dns, &CLIENT, stored.as_bytes()).status.code(), Some(0));
}

#[test]
fn trace_fields_count_only_where_they_are_asked_for() {
    let (letter, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let stored = format!(
        "Return-Path: <ann@example.org>\r\nReceived: from mx.example.org ([192.0.2.7])\r\n\tby a.example with ESMTP id 1; x\r\n{letter}"
    );
    let without = check(&dns, &[], stored.as_bytes());
    has(&without, 0, &["not checked       SPF", "DMARC             pass: aligned: DKIM\n"]);
    let with = check(&dns, &["--from-trace"], stored.as_bytes());
    has(&with, 0, &["SPF of MAIL FROM  pass", "DMARC             pass: aligned: DKIM and SPF"]);
    let told = check(&dns, &["--from-trace", "--ip", "198.51.100.7"], stored.as_bytes());
    has(&told, 0, &["SPF of MAIL FROM  fail"]);
}

#[test]
fn the_config_decides_what_counts() {
    let (_, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let with =
        |tables: String| Setup { tables, name_server: dns.address.clone(), ..Setup::default() }.start();
    let kings = with(UNVERIFIED.to_owned());
    let forged = kings.folder().write("forged", letter("ann@example.org", BOB, "hello"));
    let forged = [forged.to_str().unwrap(), "--ip", "198.51.100.7", "--mail-from", "joe@far.example"];
    let ask =
        |kings: &crate::harness::Kings| run(&mut kings.command(&[&["check-message"], &forged[..]].concat()));
    // Nothing is checked in [inbound]: a server with this config would take it, and the judge says what it would miss.
    let lenient = ask(&kings);
    has(&lenient, 0, &["verdict           accept", "if all counted    reject", "field             none"]);
    let strict = with(UNVERIFIED.replace("dmarc = \"off\"", "dmarc = \"enforce\""));
    let refused = ask(&strict);
    has(
        &refused,
        1,
        &[
            "verdict           reject",
            "which is ours, and does not prove it",
            "mail.example.org;",
            "dmarc=fail",
        ],
    );
    let text = refused.text();
    let field = &text[text.find("Authentication-Results:").unwrap()..];
    assert!(!field.contains("dkim="), "only what the config wants recorded: {field}");
}

#[test]
fn a_large_message_is_never_held_whole() {
    let (_, zone) = &*SIGNED;
    let dns = NameServer::start(".", zone);
    let folder = Folder::new("large");
    let mut text = letter("ann@example.org", BOB, "large");
    text.extend(b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(720 * 1024));
    let large = folder.write("large", &text);
    // Everything a program may write to counts, in KB; the message has 47,520 KB.
    let script =
        "ulimit -d 40000; exec \"$0\" check-message \"$1\" --dns \"$2\" --json --mail-from joe@far.example";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_kings")]).arg(&large).arg(&dns.address);
    let found = run(&mut limited);
    assert_eq!(found.status.code(), Some(1), "{found}");
    assert_eq!(json(&found)["bytes"], text.len());

    text.extend(vec![b'x'; 8 * 1024 * 1024]);
    let too_large = folder.write("too-large", &text);
    let refused = run(Command::new(env!("CARGO_BIN_EXE_kings")).arg("check-message").arg(&too_large));
    has(&refused.says("larger than 52428800 octets"), 1, &[]);
}

#[test]
fn what_cannot_be_judged_says_what_to_do() {
    let folder = Folder::new("errors");
    let kings = |arguments: &[&str]| {
        run(Command::new(env!("CARGO_BIN_EXE_kings")).arg("check-message").args(arguments))
    };
    let missing = folder.text("nothing");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["-", "--recipient", "a b"], 2, "--recipient"),
        (&[&missing], 2, "or \"-\" for standard input"),
        (&[folder.path().to_str().unwrap()], 2, "directory"),
        (&["-", "--ip", "192.0.2"], 2, "--ip"),
        (&["-", "--mail-from", "a b"], 2, "--mail-from"),
        (&["-", "--dns", "ns.example"], 2, "127.0.0.1"),
        (&["-", "--config", &missing], 78, "--config FILE"),
    ];
    for (arguments, code, hint) in cases {
        has(&kings(arguments).says(hint), code, &[]);
    }
    // Nobody answers at the discard port.
    let file = folder.write("letter", letter("ann@example.org", BOB, "hello"));
    let silent = kings(&[file.to_str().unwrap(), "--dns", "127.0.0.1:9"]);
    has(&silent.says("--dns SERVER asks another server"), 75, &["DMARC             temperror"]);
}
