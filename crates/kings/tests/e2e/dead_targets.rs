//! Aliases of which one target is nobody any more: the others get theirs, and somebody hears of it.

use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Kings, Message, Output, Setup, Sink, Smtp, letter, messages, run, run_with_input, wait_until,
};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const GONE: &str = "gone@example.org";
const DELIVERY: Duration = Duration::from_secs(40);

/// All that leaves comes to the sink.
fn start(sink: &Sink) -> Kings {
    let aliases = "ml@example.org ann@example.org, gone@example.org\n\
                   club@example.org ann@example.org, gone@example.org\nowner-club@example.org bob@example.org\n\
                   lost@example.org gone@example.org\n";
    let tables = format!(
        "[[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:{}\"\n[local]\nfolder = \"local\"\n",
        sink.port
    );
    let mut setup = Setup { files: vec![("aliases", aliases)], tables, ..Setup::default() };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.start()
}

#[track_caller]
fn arrived(kings: &Kings, account: &str, count: usize) {
    wait_until("the messages", DELIVERY, || (messages(&kings.maildir(account)).len() >= count).then_some(()));
    assert_eq!(messages(&kings.maildir(account)).len(), count, "{account}");
}

/// Waits until so many copies for whoever is gone have failed, each with its line in the trace.
#[track_caller]
fn failed(kings: &Kings, count: usize) {
    wait_until("the failures", DELIVERY, || {
        let story = run(&mut kings.command(&["trace", "--recipient", GONE])).text();
        (story.matches("550 5.1.1").count() == count).then_some(())
    });
}

fn sendmail(kings: &Kings, recipient: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    command.args(["sendmail", "-C"]).arg(kings.folder().join("kings.toml")).args(["-f", BOB, recipient]);
    run_with_input(&mut command, b"Subject: by a program\n\nx\n")
}

#[test]
fn the_sender_or_the_owner_of_the_list_hears_of_it() {
    let sink = Sink::start();
    let kings = start(&sink);
    kings.deliver("ml@example.org", "from outside");
    arrived(&kings, ANN, 1);
    wait_until("the report", DELIVERY, || (sink.recipients() == [format!("<{CAROL}>")]).then_some(()));
    failed(&kings, 1);

    kings.deliver("club@example.org", "to the club");
    arrived(&kings, ANN, 2);
    arrived(&kings, BOB, 1);
    let report = messages(&kings.maildir(BOB)).remove(0).text();
    for line in ["Final-Recipient: rfc822; gone@example.org\r\n", "Action: failed\r\n", "Status: 5.1.1\r\n"] {
        assert!(report.contains(line) && !report.contains("rfc822; ann@"), "{report}");
    }
    failed(&kings, 2);
    assert_eq!(sink.recipients(), [format!("<{CAROL}>")]);
}

/// Over LMTP, by `sendmail` and after a login; with NOTIFY as it was said.
#[test]
fn so_it_is_by_every_way_in_and_as_the_sender_asked() {
    let kings = start(&Sink::start());
    let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
    client.command("LHLO client.example.net").unwrap().is("250");
    client.command(&format!("MAIL FROM:<{BOB}>")).unwrap().is("250");
    client.command("RCPT TO:<ml@example.org>").unwrap().is("250");
    client.command("RCPT TO:<lost@example.org>").unwrap().is("550 5.1.1");
    client.command("DATA").unwrap().is("354");
    client.send(&[&letter(BOB, "ml@example.org", "by LMTP")[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250");
    arrived(&kings, ANN, 1);
    failed(&kings, 1);
    arrived(&kings, BOB, 1);

    sendmail(&kings, "ml@example.org").succeeded();
    arrived(&kings, ANN, 2);
    failed(&kings, 2);
    arrived(&kings, BOB, 2);

    for (parameters, reports) in [("NOTIFY=NEVER", 0), ("NOTIFY=SUCCESS,FAILURE", 2)] {
        let before = messages(&kings.maildir(BOB)).len();
        let mut client = kings.submissions(BOB);
        client.command(&format!("MAIL FROM:<{BOB}>")).unwrap().is("250");
        client.command(&format!("RCPT TO:<ml@example.org> {parameters}")).unwrap().is("250");
        client.command("DATA").unwrap().is("354");
        client.send(&[&letter(BOB, "ml@example.org", "asked")[..], b".\r\n"].concat()).unwrap();
        client.reply().unwrap().is("250");
        failed(&kings, if reports == 0 { 3 } else { 4 });
        arrived(&kings, BOB, before + reports);
    }
    let reports: Vec<String> = messages(&kings.maildir(BOB)).iter().map(Message::text).collect();
    let count = |line: &str| reports.iter().filter(|report| report.contains(line)).count();
    // The whole list did not get it.
    assert_eq!([count("Action: expanded"), count("Action: failed"), count("Action: delivered")], [1, 3, 0]);
}

#[test]
fn an_alias_of_nobody_but_such_is_refused_as_before() {
    let kings = start(&Sink::start());
    let mut client = kings.smtp();
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    for recipient in ["lost@example.org", GONE] {
        client.command(&format!("RCPT TO:<{recipient}>")).unwrap().is("550 5.1.1");
    }
    client.command("RCPT TO:<ml@example.org>").unwrap().is("250");
    let refused = sendmail(&kings, "lost@example.org").failed();
    assert!(refused.errors().contains("550 5.1.1"), "{refused}");
    assert!(messages(&kings.maildir(BOB)).is_empty());
}
