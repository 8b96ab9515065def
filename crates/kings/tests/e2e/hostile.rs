//! Hostile records and headers before the whole program, with a real name server: the right result, few questions, none
//! that is odd, little memory.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Folder, Kings, Message, NameServer, Setup, Tap, letter, messages, run};

const BOB: &str = "bob@example.org";
/// However busy the machine is. Most rows take a hundredth of it.
const TIME: Duration = Duration::from_secs(15);
/// What the program may write to, in KB, as `ulimit -d` counts: threads and their stacks, and hardly more.
const MEMORY: &str = "40000";

/// One name for each trap below `hostile.example`.
fn zone() -> String {
    let hosts =
        |count: usize| -> String { (0..count).map(|host| format!("crowd IN MX 1 h{host}\n")).collect() };
    let reverse = |count: usize| -> String {
        (0..count).map(|host| format!("7.2.0.192.in-addr.arpa. IN PTR h{host}.hostile.example.\n")).collect()
    };
    let strings = |count: usize, text: &str| format!("\"{text}\" ").repeat(count);
    format!(
        "$ORIGIN hostile.example.\n\
         strings IN TXT \"v=spf1 \" {}\n\
         wide IN TXT \"v=spf1 \" {}\n\
         include IN TXT \"v=spf1 include:include.hostile.example -all\"\n\
         ring IN TXT \"v=spf1 redirect=gnir.hostile.example\"\n\
         gnir IN TXT \"v=spf1 redirect=ring.hostile.example\"\n\
         alias IN CNAME saila\n\
         saila IN CNAME alias\n\
         macros IN TXT \"v=spf1 exists:{}.hostile.example -all\"\n\
         crowd IN TXT \"v=spf1 mx -all\"\n{}\
         two IN TXT \"v=spf1 +all\"\n\
         two IN TXT \"v=spf1 -all\"\n\
         vain IN TXT \"v=spf1 a:x1.hostile.example a:x2.hostile.example a:x3.hostile.example +all\"\n\
         octets IN TXT \"v=spf1 a:\\255\\000\\010 +all\"\n\
         ptr IN TXT \"v=spf1 ptr -all\"\n\
         names IN TXT \"v=spf1 a:{}.hostile.example\" \" a:a..b.example exists:%{{l}}.hostile.example -all\"\n\
         key._domainkey IN TXT \"v=DKIM1; k=rsa; p=\" {}\n\
         _dmarc.wide IN TXT \"v=DMARC1; p=reject; x=\" {}\n\
         7.2.0.192.in-addr.arpa. IN PTR a\\032b.hostile.example.\n\
         7.2.0.192.in-addr.arpa. IN PTR a\\.b.hostile.example.\n{}",
        strings(10_000, "a "),
        strings(250, &"ip4:192.0.2.1 ".repeat(18)),
        "%{s}".repeat(50),
        hosts(200),
        "x".repeat(63) + &".y".repeat(80),
        strings(250, &"A".repeat(250)),
        strings(250, &"y".repeat(250)),
        reverse(100),
    )
}

/// What the program makes of a message, and how many different questions that took.
fn judge(what: &str, dns: &NameServer, arguments: &[&str], message: &[u8]) -> (Value, usize) {
    let (folder, tap) = (Folder::new("hostile"), Tap::before(&dns.address));
    let file = folder.write("message", message);
    let script = format!("ulimit -d {MEMORY}; exec \"$0\" check-message \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_kings")]).arg(&file);
    command.args(["--json", "--dns", &tap.address]).args(arguments);
    let begin = Instant::now();
    let output = run(&mut command);
    assert!(begin.elapsed() < TIME, "{what} took {:?}", begin.elapsed());
    let seen = tap.seen();
    for (question, times) in &seen {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        assert!(
            question.chars().all(is_plain) && question.len() <= 260,
            "{what}: an odd question: {question:?}"
        );
        assert!(
            !question.contains("..") && !question.starts_with('.'),
            "{what}: an odd question: {question:?}"
        );
        // Again where no answer came soon, and by TCP where it does not fit.
        assert!(*times <= 8, "{what}: {question} {times} times");
    }
    let found =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{what}: {error}: {output}"));
    (found, seen.len())
}

#[test]
fn hostile_records_have_their_result_and_ask_little() {
    let dns = NameServer::start(".", &zone());
    // Result, what the reason says, most questions of the check itself.
    let rows = [
        ("strings", "permerror", "longer than", 1),
        ("wide", "permerror", "longer than", 1),
        ("include", "permerror", "more than 10 terms", 1),
        ("ring", "permerror", "more than 10 terms", 2),
        // What a resolver makes of it that follows them: SERVFAIL.
        ("alias", "temperror", "the aliases lead round", 1),
        ("macros", "fail", "matched -all", 2),
        ("crowd", "permerror", "more than 10 MX hosts", 2),
        ("two", "permerror", "more than one record", 1),
        ("vain", "permerror", "in vain", 4),
        ("octets", "permerror", "malformed", 1),
        ("ptr", "fail", "matched -all", 11),
        ("names", "fail", "matched -all", 4),
        ("nothing", "none", "no record", 1),
    ];
    for (name, result, reason, most) in rows {
        let sender = format!("\"a b;\"@{name}.hostile.example");
        let arguments = ["--ip", "192.0.2.7", "--helo", "h.hostile.example", "--mail-from", &sender];
        let (found, asked) = judge(name, &dns, &arguments, &letter("a@quiet.example", BOB, "hello"));
        let spf = &found["spf_mail_from"];
        assert_eq!(spf["result"], result, "{name}: {found}");
        assert!(
            spf["reason"].as_str().is_some_and(|text| text.contains(reason) && text.len() < 300),
            "{name}: {spf}"
        );
        // The reverse name and its ten names, MX and addresses of the sender's domain, SPF of EHLO, three steps up from
        // the author.
        let beside = 1 + 10 + 3 + 1 + 3;
        assert!(asked <= most + beside, "{name}: {asked} questions");
    }
}

#[test]
fn hostile_headers_have_their_result_and_ask_little() {
    let dns = NameServer::start(".", &zone());
    let signature = |selector: &str| {
        let (hash, b) = ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "A".repeat(172));
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d=hostile.example; s={selector}; h=from; bh={hash}; b={b}\r\n"
        )
    };
    let set = "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=hostile.example; s=key; b=AAAA\r\n";
    let rows = [
        ("a giant key", signature("key"), "/dkim/result", "permerror", 2),
        ("500 signatures", signature("key").repeat(500), "/dkim/result", "permerror", 2),
        (
            "300 selectors",
            (0..300).map(|number| signature(&format!("s{number}"))).collect(),
            "/dkim/result",
            "permerror",
            8,
        ),
        ("an odd selector", signature("a b\\032c"), "/dkim/result", "permerror", 0),
        ("a selector of 300 octets", signature(&"x.".repeat(150)), "/dkim/result", "permerror", 0),
        ("giant tags", signature(&format!("key; x={}", "9".repeat(50_000))), "/dkim/result", "permerror", 0),
        ("300 seals", set.repeat(300), "/arc/result", "fail", 0),
        ("two authors", "From: ceo@bank.example\r\n".to_owned(), "/dmarc/result", "permerror", 0),
        ("a giant policy", String::new(), "/dmarc/result", "none", 4),
        ("NUL", "X: \0\r\n".to_owned(), "/verdict", "reject", 4),
        ("300 KB", format!("X: {}\r\n", "x".repeat(300_000)), "/verdict", "reject", 4),
        ("8-bit", "X: \u{e4}\u{fffd}\r\n\u{e4}: x\r\n".to_owned(), "/dkim/result", "none", 4),
    ];
    for (what, fields, pointer, result, most) in rows {
        let message = [fields.as_bytes(), &letter("a@wide.hostile.example", BOB, "hello")].concat();
        let (found, asked) = judge(what, &dns, &[], &message);
        assert_eq!(found.pointer(pointer).and_then(Value::as_str), Some(result), "{what}: {found}");
        assert!(asked <= most + 4, "{what}: {asked} questions");
    }
}

/// RFC 8601 §5: whoever writes results in our name is not believed, and nobody after us may believe it either.
#[test]
fn results_in_our_name_go_however_they_are_written() {
    let kings = Setup { tables: "[inbound]\ndkim = \"tag\"\n".to_owned(), ..Setup::default() }.start();
    let forged = [
        "Authentication-Results: mail.example.org; FORGED=pass",
        "AUTHENTICATION-RESULTS: MAIL.EXAMPLE.ORG; FORGED=pass",
        "authentication-results:mail.example.org;FORGED=pass",
        "Authentication-Results : mail.example.org; FORGED=pass",
        "Authentication-Results\t: mail.example.org; FORGED=pass",
        "Authentication-Results:\r\n\tmail.example.org;\r\n\tFORGED=pass",
        "Authentication-Results:\r\n mail\r\n .example\r\n .org; FORGED=pass",
        "Authentication-Results: (a (nested) comment) mail.example.org; FORGED=pass",
        "Authentication-Results: (\\)) mail.example.org (v) 1; FORGED=pass",
        "Authentication-Results: \"mail.example.org\"; FORGED=pass",
        "Authentication-Results: mail.example.org.; FORGED=pass",
        "Authentication-Results: (open mail.example.org; FORGED=pass",
        "X-Kings-Verdict: accept; FORGED",
        "x-kings-verdict :\r\n\taccept; FORGED",
    ];
    let others = [
        "Authentication-Results: mx.example.net; kept=pass",
        "Authentication-Results: mail.example.org.example.net; kept=pass",
        "ARC-Authentication-Results: i=1; mail.example.org; kept=pass",
        "X-Authentication-Results: mail.example.org; kept=pass",
    ];
    let mut client = kings.smtp();
    for field in forged.iter().chain(&others) {
        let message = [field.as_bytes(), b"\r\n", &letter("joe@example.net", BOB, "hello")].concat();
        client.message("joe@example.net", &[BOB], &message).unwrap().is("250");
    }
    let texts: Vec<String> = messages(&kings.maildir(BOB)).iter().map(Message::text).collect();
    assert_eq!(texts.len(), forged.len() + others.len());
    assert!(texts.iter().all(|text| !text.contains("FORGED") && text.contains("dkim=none")), "{texts:?}");
    assert_eq!(texts.iter().filter(|text| text.contains("kept=pass")).count(), others.len());
}

/// What a client calls itself stands in Received and in the results: it ends no comment, and begins no field and no result.
#[test]
fn a_hostile_ehlo_name_stays_in_its_place() {
    let kings = Kings::start();
    let names = [
        "x) by mail.example.org (",
        "x; dmarc=pass",
        "x\tby\tmail.example.org",
        "\"x\"\\",
        "\u{e4}.example",
        "[x] (y",
    ];
    let mut taken = 0;
    for name in names {
        let mut client = kings.smtp();
        if client.command(&format!("EHLO {name}")).unwrap().code == 250 {
            client.message("joe@far.test", &[BOB], &letter("joe@far.test", BOB, "hello")).unwrap().is("250");
            taken += 1;
        }
    }
    let arrived = messages(&kings.maildir(BOB));
    assert!(taken > 0 && arrived.len() == taken, "{taken}");
    for message in arrived {
        let text = message.text();
        let (head, _) = text.split_once("From: joe").unwrap();
        let received: Vec<&str> = head.split("\r\n").filter(|line| line.starts_with("Received: ")).collect();
        assert_eq!(received.len(), 1, "{head}");
        assert!(!received[0].contains(" by ") && received[0].matches('(').count() == 1, "{head}");
        assert!(!head.contains("dmarc=pass") && head.is_ascii(), "{head}");
        let is_known = |line: &str| {
            let known =
                ["Return-Path", "Delivered-To", "X-Kings-Verdict", "Authentication-Results", "Received"];
            line.is_empty()
                || line.starts_with(['\t', ' '])
                || known.iter().any(|name| line.starts_with(name))
        };
        assert!(head.split("\r\n").all(is_known), "{head}");
    }
}
