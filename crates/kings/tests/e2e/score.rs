//! `kings score`: each point from full to nothing, with a real name server and the running server.

use std::process::Command;

use serde_json::Value;

use crate::check_message::SIGNED;
use crate::harness::{
    Kings, NameServer, Output, Setup, Sink, free_port, letter, messages, run, run_with_input, wait_until,
};

const KINGS: &str = env!("CARGO_BIN_EXE_kings");

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// What a point got, as JSON has it: "null" where nobody can tell.
fn got(page: &Value, id: &str) -> String {
    let points = page["points"].as_array().expect("points");
    let point = points.iter().find(|point| point["id"] == id).unwrap_or_else(|| panic!("no {id} in {page}"));
    point["got"].to_string()
}

fn judge(dns: &NameServer, arguments: &[&str], message: &[u8]) -> Output {
    let mut command = Command::new(KINGS);
    command.args(["score", "--file", "-", "--dns", &dns.address, "--list", "bl.test"]).args(arguments);
    run_with_input(&mut command, message)
}

/// The list that every test asks: it works, and has 198.51.100.66 on it.
const LIST: &str = "$ORIGIN .\n2.0.0.127.bl.test. IN A 127.0.0.2\n66.100.51.198.bl.test. IN A 127.0.0.3\n";

#[test]
fn a_message_has_all_points_that_a_file_can_tell_and_loses_them_one_by_one() {
    let (letter, zone) = &*SIGNED;
    // The address must be one that lists are asked about, so 192.0.2.7, which is for examples, becomes another one.
    let zone = zone
        .replace("192.0.2.0/24", "9.9.9.0/24")
        .replace("192.0.2.7", "9.9.9.7")
        .replace("7.2.0.192", "7.9.9.9");
    let zone = format!(
        "{zone}{LIST}7.9.9.9.refused.test. IN A 127.255.255.254\n2.0.0.127.refused.test. IN A 127.255.255.254\n"
    );
    let dns = NameServer::start(".", &zone);
    let client = ["--ip", "9.9.9.7", "--helo", "mx.example.org", "--mail-from", "ann@example.org", "--json"];
    let good = judge(&dns, &client, letter.as_bytes());
    let page = json(&good);
    assert_eq!(good.status.code(), Some(0), "{good}");
    let all = [
        ("dkim", "2.0"),
        ("spf", "2.0"),
        ("dmarc", "1.0"),
        ("ptr", "1.0"),
        ("tls", "null"),
        ("content", "2.0"),
        ("blocklist", "1.0"),
    ];
    for (id, points) in all {
        assert_eq!(got(&page, id), points, "{id} in {page}");
    }
    assert_eq!((page["got"].to_string(), page["known"].to_string()), ("9.0".into(), "9.0".into()));

    // (what is changed, the arguments, the message, the point that is lost, what it gets)
    let changed = letter.replace("Hello", "Hallo");
    let other = |at: usize, value: &'static str| {
        let mut arguments = client;
        arguments[at] = value;
        arguments.to_vec()
    };
    let cases: [(&str, Vec<&str>, &str, &str, &str); 6] = [
        ("the body", client.to_vec(), &changed, "dkim", "0.0"),
        ("the address", other(1, "9.9.9.8"), letter, "spf", "2.0"),
        ("the address, to one of others", other(1, "198.51.100.66"), letter, "spf", "0.0"),
        ("the EHLO name", other(3, "elsewhere.example.org"), letter, "ptr", "0.0"),
        ("the reverse-path", other(5, "ann@elsewhere.test"), letter, "spf", "0.0"),
        ("the list", [&client[..], &["--list", "refused.test"]].concat(), letter, "blocklist", "1.0"),
    ];
    for (what, arguments, message, id, points) in cases {
        let page = json(&judge(&dns, &arguments, message.as_bytes()));
        assert_eq!(got(&page, id), points, "{what}: {page}");
    }
    let mut refused = Command::new(KINGS);
    refused.args(["score", "--file", "-", "--dns", &dns.address, "--list", "refused.test"]).args(client);
    let page = json(&run_with_input(&mut refused, letter.as_bytes()));
    assert_eq!(got(&page, "blocklist"), "null", "a list that refuses us tells nothing: {page}");
}

#[test]
fn the_text_says_what_was_measured_and_what_to_do() {
    let dns = NameServer::start(".", LIST);
    let message = "From: ann@example.org\r\nTo: bob@example.net\r\nSubject: HELLO THERE ALL OF YOU\r\n\
                   Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHi, see http://bit.ly/x\r\n";
    let bad = judge(
        &dns,
        &["--ip", "9.9.9.7", "--helo", "mx.example.org", "--mail-from", "ann@example.org"],
        message.as_bytes(),
    );
    assert_eq!(bad.status.code(), Some(1), "{bad}");
    let text = bad.text();
    for line in [
        "  DKIM         0/2   the message is not signed",
        "fix: kings dkim create example.org, and publish the records that it prints",
        "fix: publish at example.org: TXT \"v=spf1 mx ip4:9.9.9.7 -all\"",
        "fix: publish at _dmarc.example.org: TXT \"v=DMARC1; p=none; rua=mailto:dmarc@example.org\"",
        "fix: set the reverse name (PTR) of 9.9.9.7 to mx.example.org",
        "  TLS          ?/1   cannot tell: a message does not tell what its sender's server shows",
        "  Content    1.1/2   -0.5  link-shortened",
        "-0.3  subject-capitals",
        "-0.1  link-insecure",
        "  Blocklist    1/1   9.9.9.7 is not on bl.test",
        "  2.1/9 known points   below nine of ten",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

#[test]
fn without_a_network_the_content_alone_is_judged() {
    let file = "From: ann@example.org\nTo: bob@example.net\nSubject: Hello\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\
                Message-ID: <1@example.org>\n\nHello Bob.\n";
    let offline = |message: &str, more: &[&str]| {
        let mut command = Command::new(KINGS);
        run_with_input(
            command.args(["score", "--offline", "--json", "--file", "-"]).args(more),
            message.as_bytes(),
        )
    };
    let good = offline(file, &[]);
    assert_eq!(good.status.code(), Some(0), "{good}");
    let page = json(&good);
    assert_eq!([got(&page, "content"), got(&page, "dkim"), got(&page, "spf")], ["2.0", "null", "null"]);
    let bad = offline(&file.replace("Message-ID", "X-Message-ID"), &[]);
    assert_eq!(bad.status.code(), Some(1), "{bad}");
    assert_eq!(json(&bad)["findings"][0]["rule"], "message-id-missing");
    assert_eq!(offline(file, &["--ip", "192.0.2.1"]).status.code(), Some(2), "that needs DNS");
    let missing = run(Command::new(KINGS).args(["score", "--offline", "--file", "/nowhere/at.all"]));
    assert_eq!(missing.status.code(), Some(2), "{missing}");
}

/// A server whose domain publishes all that it needs, and the same with something wrong.
struct Own {
    kings: Kings,
    zone: String,
}

/// Where the server's mail comes from, as the tests say by `--ip`.
const FROM: &str = "9.9.9.7";

impl Own {
    fn start(tables: &str) -> Self {
        let port = free_port();
        let setup = Setup {
            name_server: format!("127.0.0.1:{port}"),
            tls: "authorities = \"authority.pem\"\n".into(),
            tables: tables.into(),
            ..Setup::default()
        };
        let mut kings = setup.start();
        run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "one"])).succeeded();
        kings.kill();
        kings.serve();
        let folder = kings.folder().join("data/dkim/example.org");
        let record = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let zone = format!(
            "$ORIGIN example.org.\n{}{}@ IN TXT \"v=spf1 ip4:9.9.9.0/24 -all\"\n_dmarc IN TXT \"v=DMARC1; p=reject\"\n\
             mail IN A {FROM}\n7.9.9.9.in-addr.arpa. IN PTR mail.example.org.\n{LIST}",
            record("one.txt"),
            record("one-ed25519.txt")
        );
        Self { kings, zone }
    }

    /// Asks with this zone.
    fn score(&self, zone: &str, more: &[&str]) -> Output {
        let dns = NameServer::start(".", zone);
        let arguments = ["score", "--list", "bl.test", "--dns", &dns.address, "--ip", FROM];
        run(self.kings.command(&arguments).args(more))
    }
}

#[test]
fn a_server_that_publishes_all_has_ten_of_ten_and_loses_each_point_by_its_own_fault() {
    let own = Own::start("");
    let good = own.score(&own.zone, &["--json"]);
    let page = json(&good);
    assert_eq!(good.status.code(), Some(0), "{good}");
    assert_eq!([page["got"].to_string(), page["known"].to_string()], ["10.0", "10.0"], "{page}");

    let without = |line: &str| {
        let kept = own.zone.lines().filter(|kept| !kept.contains(line));
        kept.map(|kept| format!("{kept}\n")).collect::<String>()
    };
    let listed = format!("{}7.9.9.9.bl.test. IN A 127.0.0.2\n", own.zone);
    let refused =
        own.zone.replace("2.0.0.127.bl.test. IN A 127.0.0.2", "2.0.0.127.bl.test. IN A 127.255.255.254");
    // (what is wrong, the zone, the point, what it gets, the exit)
    let cases: [(&str, String, &str, &str, i32); 8] = [
        ("no SPF record", without("v=spf1"), "spf", "0.0", 1),
        (
            "a second SPF record",
            own.zone.replace("_dmarc IN", "@ IN TXT \"v=spf1 -all\"\n_dmarc IN"),
            "spf",
            "0.0",
            1,
        ),
        ("SPF for everybody", own.zone.replace("ip4:9.9.9.0/24 -all", "+all"), "spf", "0.0", 1),
        ("no DMARC record", without("v=DMARC1"), "dmarc", "0.0", 0),
        ("no reverse name", without("IN PTR"), "ptr", "0.0", 0),
        ("another reverse name", own.zone.replace("PTR mail.", "PTR host-7."), "ptr", "0.0", 0),
        ("on a list", listed, "blocklist", "0.0", 0),
        ("a list that refuses us", refused, "blocklist", "null", 0),
    ];
    for (what, zone, id, points, exit) in cases {
        let output = own.score(&zone, &["--json"]);
        let page = json(&output);
        assert_eq!(got(&page, id), points, "{what}: {page}");
        assert_eq!(output.status.code(), Some(exit), "{what}: {page}");
    }
    // Without the keys in DNS nothing is proven by DKIM, and SPF still proves the author.
    let keyless = own
        .zone
        .replace("one._domainkey", "two._domainkey")
        .replace("one-ed25519._domainkey", "two-ed25519._domainkey");
    let output = own.score(&keyless, &["--json"]);
    let page = json(&output);
    assert_eq!([got(&page, "dkim"), got(&page, "dmarc")], ["0.0", "1.0"], "{page}");
    assert_eq!(output.status.code(), Some(1));
    // Nobody's mailbox has anything of it.
    for account in ["ann@example.org", "bob@example.org"] {
        assert!(messages(&own.kings.maildir(account)).is_empty(), "{account}");
    }
}

#[test]
fn the_page_of_a_server_tells_each_measurement() {
    let own = Own::start("");
    let good = own.score(&own.zone, &["--account", "bob@example.org"]);
    let text = good.text();
    assert_eq!(good.status.code(), Some(0), "{good}");
    for line in [
        "Mail of mail.example.org, by a message of bob@example.org to itself",
        "  DKIM         2/2   pass: ",
        "  SPF          2/2   9.9.9.7 passes for example.org (0 of 10 lookups)",
        "  DMARC        1/1   p=reject, aligned: ",
        "  PTR          1/1   9.9.9.7 is mail.example.org, which leads back",
        "  TLS          1/1   TLSv1_3 ",
        "the certificate is good for mail.example.org until ",
        " on smtp submission submissions imap imaps pop3 pop3s",
        "  Content      2/2   none of 54 rules hits",
        "  Blocklist    1/1   9.9.9.7 is not on bl.test",
        "  10/10 known points   good: nine of ten or more",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    let stranger = own.score(&own.zone, &["--account", "carol@example.org"]);
    assert_eq!(stranger.status.code(), Some(75), "{stranger}");
    assert!(stranger.to_string().contains("no account here"), "{stranger}");
}

#[test]
fn a_certificate_that_nobody_trusts_and_an_address_that_nobody_knows_are_told() {
    let setup = Setup { self_signed: true, ..Setup::default() };
    let mut kings = setup.start();
    let output = run(&mut kings.command(&["score", "--json", "--list", "bl.test"]));
    let page = json(&output);
    assert_eq!(got(&page, "tls"), "0.0", "{page}");
    assert_eq!(got(&page, "content"), "2.0", "{page}");
    assert_eq!(output.status.code(), Some(1), "{output}");
    kings.kill();
    let stopped = run(&mut kings.command(&["score"]));
    assert_eq!(stopped.status.code(), Some(75), "{stopped}");
    assert!(stopped.to_string().contains("the server does not run"), "{stopped}");
    kings.serve();
}

#[test]
fn mail_that_leaves_through_a_smart_host_has_the_address_of_another() {
    let own = Own::start("[outbound]\nsmart_host = \"127.0.0.1:9\"\n");
    let dns = NameServer::start(".", &own.zone);
    let output =
        run(&mut own.kings.command(&["score", "--json", "--list", "bl.test", "--dns", &dns.address]));
    let page = json(&output);
    for id in ["spf", "ptr", "blocklist"] {
        assert_eq!(got(&page, id), "null", "{id}: {page}");
    }
    assert_eq!([got(&page, "dkim"), got(&page, "dmarc"), got(&page, "tls")], ["2.0", "1.0", "1.0"], "{page}");
    assert_eq!(output.status.code(), Some(0), "six of six known points: {page}");
}

#[test]
fn an_address_answers_whoever_is_proven_and_no_machine_list_or_stranger() {
    const CAROL: &str = "carol@example.net";
    let zone = "$ORIGIN .\nexample.net. IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n_dmarc.example.net. IN TXT \"v=DMARC1; p=none\"\n\
                open.test. IN TXT \"v=spf1 ?all\"\n";
    let (dns, sink) = (NameServer::start(".", zone), Sink::start());
    let tables = format!(
        "[score]\nanswer = [\"score@example.org\"]\n[outbound]\nsmart_host = \"127.0.0.1:{}\"\n",
        sink.port
    );
    let files = vec![("more-aliases", "score@example.org bob@example.org\n")];
    let aliases = "files = [\"virtual:more-aliases\"]\n".into();
    let kings =
        Setup { name_server: dns.address.clone(), files, aliases, tables, ..Setup::default() }.start();
    let send = |from: &str, subject: &str, fields: &str| {
        let author = if from.is_empty() { CAROL } else { from };
        let content = letter(author, "score@example.org", subject);
        let content = [fields.as_bytes(), &content].concat();
        kings.smtp().message(from, &["score@example.org"], &content).unwrap().is("250");
    };
    send(CAROL, "one", "");
    let silent = [
        ("", "a bounce", ""),
        (CAROL, "an answer", "Auto-Submitted: auto-replied\r\n"),
        (CAROL, "a list", "List-Id: <news.example.net>\r\n"),
        (CAROL, "bulk", "Precedence: bulk\r\n"),
        (CAROL, "a report", "Content-Type: multipart/report; boundary=x\r\n"),
        ("dave@open.test", "nobody is proven", ""),
        ("noreply@example.net", "a robot", ""),
    ];
    for (from, subject, fields) in silent {
        send(from, subject, fields);
    }
    // One by one: that all before it were judged is known when the last one is answered.
    (2..=6).for_each(|number| send(CAROL, &format!("number {number}"), ""));
    let limit = std::time::Duration::from_secs(30);
    wait_until("five answers", limit, || (sink.contents().len() >= 5).then_some(()));
    wait_until("all of it in the mailbox", limit, || {
        (messages(&kings.maildir("bob@example.org")).len() == 13).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(500));
    let answers = sink.contents();
    assert_eq!(answers.len(), 5, "the sixth message of an hour is not answered");
    for answer in answers {
        for part in [
            "From: <score@example.org>",
            "To: <carol@example.net>",
            "X-Mail-Args: <>",
            "Auto-Submitted: auto-replied",
            "Subject: Score of your message: ",
            "In-Reply-To: <",
            "  SPF          2/2   127.0.0.1 passes for example.net",
            "  DKIM         0/2   the message is not signed",
            "  Content      2/2   ",
        ] {
            assert!(answer.contains(part), "no {part:?} in\n{answer}");
        }
    }
}
