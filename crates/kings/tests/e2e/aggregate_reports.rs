//! Aggregate reports between two servers: one counts forged mail and tells the domain, which reads what it is told; the
//! other way round about TLS. Python's own XML, JSON and gzip judge what was sent.

use std::time::Duration;

use crate::harness::{
    Kings, NameServer, Setup, UNVERIFIED, free_port, letter, messages, program, run, wait_until,
};

const BOB: &str = "bob@example.org";
const DELIVERY: Duration = Duration::from_secs(30);

/// Both servers host example.org, so that each tells its own story by the names of others: reports about example.net go
/// to the first server, which hosts that domain as well.
fn zone(port_host: &str) -> String {
    format!(
        "$ORIGIN example.net.\n@ IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n@ IN MX 1 {port_host}\nmx IN A 127.0.0.1\n\
         _dmarc IN TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@example.net!1m,mailto:eve@foreign.net\"\n\
         _smtp._tls IN TXT \"v=TLSRPTv1; rua=mailto:dmarc@example.net\"\n\
         foreign IN TXT \"none\"\n"
    )
}

/// Reads every report in the messages of a folder; prints what it finds.
const JUDGE: &str = r#"
import email, gzip, json, pathlib, sys
import xml.etree.ElementTree as tree
ns = "{urn:ietf:params:xml:ns:dmarc-2.0}"
for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    message = email.message_from_bytes(file.read_bytes())
    for part in message.walk():
        if part.get_content_type() == "application/gzip":
            root = tree.fromstring(gzip.decompress(part.get_payload(decode=True)))
            assert part.get_filename().endswith(".xml.gz"), part.get_filename()
            print("dmarc", root.findtext(f"{ns}policy_published/{ns}domain"), root.findtext(f"{ns}policy_published/{ns}p"))
            for record in root.iter(f"{ns}record"):
                text = lambda path: record.findtext("/".join(ns + name for name in path.split("/")))
                print("row", text("row/source_ip"), text("row/count"), text("row/policy_evaluated/disposition"),
                      text("row/policy_evaluated/spf"), text("identifiers/header_from"))
        if part.get_content_type() == "application/tlsrpt+gzip":
            report = json.loads(gzip.decompress(part.get_payload(decode=True)))
            assert message["TLS-Report-Domain"] == "example.net", message["TLS-Report-Domain"]
            assert message.get_param("report-type") == "tlsrpt"
            print("tls", report["policies"][0]["policy"]["policy-domain"])
            print("sessions", sum(p["summary"]["total-successful-session-count"] + p["summary"]["total-failure-session-count"] for p in report["policies"]))
"#;

/// What is on record happened yesterday.
fn age(kings: &Kings) {
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
                  for table in ('judged', 'tls_result'): c.execute(f'UPDATE {table} SET day = day - 1')\nc.commit()\n";
    let file = kings.folder().join("data/records.sqlite");
    run(program("python3").args(["-c", script]).arg(file)).succeeded();
}

#[test]
fn reports_are_sent_once_and_read_where_they_arrive() {
    let port = free_port();
    let dns = NameServer::start("net", &zone("mx"));
    let receiver = Setup {
        hostname: "mx.example.net",
        listen: format!(
            "smtp = [\"127.0.0.1:{port}\"]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = [\"127.0.0.1:0\"]\nimap = [\"127.0.0.1:0\"]\nimaps = [\"127.0.0.1:0\"]\n"
        ),
        top: "[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n".to_owned(),
        tables: format!("{UNVERIFIED}[reports]\nreceive = [\"dmarc@example.net\"]\n"),
        ..Setup::default()
    }
    .start();
    let tables = format!(
        "[inbound]\nspf = \"enforce\"\ndkim = \"enforce\"\ndmarc = \"enforce\"\n\
         [outbound]\nport = {port}\nallow_private = [\"127.0.0.0/8\"]\n"
    );
    let mut sender = Setup { tables, name_server: dns.address.clone(), ..Setup::default() }.start();

    // A good one twice, a forged one; and a letter of ours, so that there is a session to report.
    let mut client = sender.smtp();
    for _ in 0..2 {
        client.message("joe@example.net", &[BOB], &letter("joe@example.net", BOB, "good")).unwrap().is("250");
    }
    client.message("x@other.net", &[BOB], &letter("joe@example.net", BOB, "forged")).unwrap().is("550");
    sender.submit("ann@example.org", "joe@example.net", "a session");
    let inbox = receiver.maildir("ann@example.org");
    wait_until("our letter", DELIVERY, || (messages(&inbox).len() == 1).then_some(()));

    // Notes are written in their order, that of the session last.
    wait_until("the session on record", DELIVERY, || {
        run(&mut sender.command(&["tls", "report"])).succeeded().text().contains("example.net").then_some(())
    });
    sender.kill();
    age(&sender);
    sender.serve();
    run(&mut sender.command(&["report", "send", "--dry-run"])).succeeded().says("to dmarc@example.net");
    let said = run(&mut sender.command(&["report", "send"])).succeeded();
    assert!(said.text().contains("not to eve@foreign.net"), "{}", said.text());
    wait_until("both reports", DELIVERY, || (messages(&inbox).len() == 3).then_some(()));

    // What carried them is nothing to report, and would be on record before their ends are: the letter's session of
    // yesterday is still the only one.
    wait_until("the ends of both on record", DELIVERY, || {
        let trace = &["trace", "--recipient", "dmarc@example.net"];
        let text = run(&mut sender.command(trace)).text();
        (text.matches("250 2.0.0").count() >= 2).then_some(())
    });
    let sessions = run(&mut sender.command(&["tls", "report", "--json"])).succeeded().text();
    assert_eq!(sessions.matches("\"policy-domain\"").count(), 1, "{sessions}");

    // Sent once, also after a restart.
    sender.kill();
    sender.serve();
    run(&mut sender.command(&["report", "send"])).succeeded().says("nothing to report");

    let judged = run(program("python3").args(["-c", JUDGE]).arg(inbox.join("new"))).succeeded().text();
    for expected in [
        "dmarc example.net reject",
        "row 127.0.0.1 2 pass pass example.net",
        "row 127.0.0.1 1 reject fail example.net",
        "tls example.net",
        "sessions 1",
    ] {
        assert!(judged.contains(expected), "{expected}: {judged}");
    }
    let shown = wait_until("both on record", DELIVERY, || {
        let text = run(&mut receiver.command(&["report", "list"])).succeeded().text();
        (text.lines().count() == 2).then_some(text)
    });
    assert!(shown.contains("3 messages, 2 passed, 1 failed"), "{shown}");
    run(&mut receiver.command(&["report", "show", "--domain", "example.net"]))
        .succeeded()
        .says("127.0.0.1 sent 1 messages in our name that nothing proves to be ours");
}

/// A server that has just been set up writes to no stranger, and one whose operator wants it so never does.
#[test]
fn a_day_that_lasts_and_switched_off_reports_are_told_to_nobody() {
    let dns = NameServer::start("net", &zone("mx"));
    let mut kings = Setup { name_server: dns.address.clone(), ..Setup::default() }.start();
    let forged = letter("joe@example.net", BOB, "forged");
    kings.smtp().message("x@other.net", &[BOB], &forged).unwrap().is("550");
    // What became of a message is noted after what was thought of it.
    wait_until("the refusal on record", DELIVERY, || {
        let text = run(&mut kings.command(&["trace", "--sender", "x@other.net"])).text();
        text.contains("550 5.7.26").then_some(())
    });
    let send = |kings: &Kings| run(&mut kings.command(&["report", "send", "--dry-run"])).succeeded();
    send(&kings).says("nothing to report");
    // A day that is named and lasts is not taken for the one before.
    let day = |option: &str| {
        let day = run(program("date").args(["-u", "+%F", "-d", option])).succeeded().text();
        run(&mut kings.command(&["report", "send", "--dry-run", "--day", day.trim()]))
    };
    day("yesterday").succeeded().says("nothing to report");
    for option in ["today", "tomorrow", "next year"] {
        day(option).failed().says("that day is not over (UTC): a day is told about once it is");
    }
    kings.kill();
    age(&kings);
    let usual = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    for (lines, expected) in
        [("[reports]\ndmarc = false\n", "nothing to report"), ("", "to dmarc@example.net")]
    {
        kings.folder().write("kings.toml", format!("{usual}{lines}"));
        kings.serve();
        send(&kings).says(expected);
        kings.kill();
    }
}

/// Each domain that asks is told of mail in its name, whichever of the authors decided what became of it.
#[test]
fn every_author_s_domain_is_told_of_a_message_by_several() {
    let zone = "$ORIGIN net.\n_dmarc.example IN TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@example.net\"\n\
                _dmarc.shop IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@shop.net\"\n\
                _dmarc.quiet IN TXT \"v=DMARC1; p=none\"\n";
    let dns = NameServer::start("net", zone);
    let mut kings = Setup { name_server: dns.address.clone(), ..Setup::default() }.start();
    let forged = letter("a@shop.net, b@quiet.net, joe@example.net", BOB, "forged");
    kings.smtp().message("x@other.net", &[BOB], &forged).unwrap().is("550");
    wait_until("the refusal on record", DELIVERY, || {
        let text = run(&mut kings.command(&["trace", "--sender", "x@other.net"])).text();
        text.contains("550 5.7.26").then_some(())
    });
    kings.kill();
    age(&kings);
    kings.serve();
    let said = run(&mut kings.command(&["report", "send", "--dry-run"])).succeeded().text();
    for (domain, is_told) in
        [("example.net", true), ("shop.net", true), ("quiet.net", false), ("other.net", false)]
    {
        assert_eq!(said.contains(&format!("to dmarc@{domain}")), is_told, "{domain}: {said}");
    }
}

#[test]
fn a_hostile_report_hinders_no_delivery() {
    let tables = "[reports]\nreceive = [\"bob@example.org\"]\n".to_owned();
    let kings = Setup { tables, ..Setup::default() }.start();
    let bomb = "import base64, gzip\nprint(base64.encodebytes(gzip.compress(b' ' * (64 << 20))).decode())";
    let bomb = run(program("python3").args(["-c", bomb])).succeeded().text().replace('\n', "\r\n");
    let mut client = kings.smtp();
    for file in [&bomb, "PCFET0NUWVBFIHg+PGE+"] {
        let message = format!(
            "From: <x@example.net>\r\nSubject: Report Domain: example.org\r\nContent-Type: application/gzip\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{file}\r\n"
        );
        client.message("x@example.net", &[BOB], message.as_bytes()).unwrap().is("250");
    }
    assert_eq!(messages(&kings.maildir(BOB)).len(), 2);
    run(&mut kings.command(&["report", "list"])).succeeded().says("no reports have come in");
}

/// Mail for a relay domain comes here, and so may the reports on what uses its name; those on other domains are no news.
#[test]
fn reports_about_relay_domains_are_kept_and_about_strangers_not() {
    let kings = Setup {
        top: "[[domain]]\nname = \"branch.example\"\nrelay_to = \"smtp:127.0.0.1:1\"\n".to_owned(),
        tables: "[reports]\nreceive = [\"bob@example.org\"]\n".to_owned(),
        ..Setup::default()
    }
    .start();
    let script = "import base64, gzip, sys\nxml = '<feedback><report_metadata><org_name>Far</org_name><email>a@far.example</email>'\\\n\
                  '<report_id>1</report_id><date_range><begin>1</begin><end>2</end></date_range></report_metadata>'\\\n\
                  '<policy_published><domain>' + sys.argv[1] + '</domain><p>none</p></policy_published></feedback>'\n\
                  print(base64.encodebytes(gzip.compress(xml.encode())).decode())";
    let mut client = kings.smtp();
    for domain in ["stranger.example", "news.branch.example"] {
        let file =
            run(program("python3").args(["-c", script, domain])).succeeded().text().replace('\n', "\r\n");
        let message = format!(
            "From: <x@far.example>\r\nSubject: Report Domain: {domain}\r\nContent-Type: application/gzip\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{file}\r\n"
        );
        client.message("x@far.example", &[BOB], message.as_bytes()).unwrap().is("250");
    }
    // They are read in the order in which they came.
    let list = wait_until("the one about our branch", DELIVERY, || {
        let text = run(&mut kings.command(&["report", "list"])).succeeded().text();
        text.contains("news.branch.example").then_some(text)
    });
    assert!(!list.contains("stranger.example"), "{list}");
    assert!(list.contains("Far (NOT PROVEN: anybody could have written it)"), "{list}");
    assert_eq!(messages(&kings.maildir(BOB)).len(), 2);
}
