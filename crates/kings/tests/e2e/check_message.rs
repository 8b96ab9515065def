//! `kings check-message`: an independent judge, with a real name server and no running server.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::harness::{Folder, NameServer, Output, Setup, UNVERIFIED, letter, messages, run, run_with_input};

const BOB: &str = "bob@example.org";

/// A letter that a Kings has signed with both of its keys, and the zone of its domain.
static SIGNED: LazyLock<(String, String)> = LazyLock::new(|| {
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

    let forged = check(&dns, &["--json"], &crate::harness::letter("ann@example.org", BOB, "hello"));
    assert_eq!(forged.status.code(), Some(1), "{forged}");
    let found = json(&forged);
    assert_eq!((&found["verdict"], &found["ip"]), (&"reject".into(), &Value::Null));
    assert_eq!(found["not_checked"].as_array().map(Vec::len), Some(3), "{found}");
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
    let forged = forged.to_str().unwrap();
    // Nothing is checked in [inbound]: a server with this config would take it, and the judge says what it would miss.
    let lenient = run(&mut kings.command(&["check-message", forged]));
    has(&lenient, 0, &["verdict           accept", "if all counted    reject", "field             none"]);
    let strict = with(UNVERIFIED.replace("dmarc = \"off\"", "dmarc = \"enforce\""));
    let refused = run(&mut strict.command(&["check-message", forged]));
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
    let script = "ulimit -d 40000; exec \"$0\" check-message \"$1\" --dns \"$2\" --json";
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
    let cases: [(&[&str], i32, &str); 6] = [
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
