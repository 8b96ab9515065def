//! Routes of the config with real servers at their ends: which recipient of a message goes where.

use std::time::Duration;

use crate::harness::{Kings, Setup, Sink, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const DELIVERY: Duration = Duration::from_secs(40);

#[track_caller]
fn submit(kings: &Kings, sender: &str, recipients: &[&str]) {
    let content = letter(sender, recipients[0], "routed");
    kings.submissions(sender).message(sender, recipients, &content).unwrap().is("250 2.0.0");
}

#[track_caller]
fn reach(sink: &Sink, expected: &[&str]) {
    wait_until(&format!("mail for {expected:?}"), DELIVERY, || (sink.recipients() == expected).then_some(()));
}

/// Postfix's transport(5): the address before its domain, whatever the order in the file.
#[test]
fn one_recipient_of_a_message_takes_a_way_of_its_own() {
    let (domain, address) = (Sink::start(), Sink::start());
    let tables = format!(
        "[[route]]\ndomain = \"far.test\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\nrecipient = \"joe@far.test\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\nrecipient = \"gone@far.test\"\nto = \"error:5.1.6 Gone\"\n",
        domain.port, address.port
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    submit(&kings, ANN, &["bob@far.test", "joe+tag@far.test", "eve@far.test", "Joe@far.test"]);
    reach(&domain, &["<bob@far.test> <eve@far.test>"]);
    reach(&address, &["<joe+tag@far.test> <Joe@far.test>"]);
    let mut client = kings.submissions(ANN);
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("250");
    client.command("RCPT TO:<gone@far.test>").unwrap().is("550 5.1.6");
    client.command("RCPT TO:<going@far.test>").unwrap().is("250");
}

/// What one way cannot do now is no matter of the other, and nothing comes twice.
#[test]
fn a_way_that_is_closed_holds_up_no_other() {
    let open = Sink::start();
    let tables = format!(
        "[[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\nrecipient = \"joe@far.test\"\nto = \"smtp:127.0.0.1:1\"\n\
         [[route]]\nrecipient = \"eve@far.test\"\nto = \"error:5.7.1 Not to her\"\n\
         [[route]]\nrecipient = \"eve@far.test\"\nsender = \"<>\"\nto = \"discard\"\n",
        open.port
    );
    let files = vec![("aliases", "all@example.org joe@far.test, eve@far.test, bob@far.test\n")];
    let kings = Setup { files, tables, ..Setup::default() }.start();
    submit(&kings, ANN, &["all@example.org"]);
    reach(&open, &["<bob@far.test>"]);
    let bounce = wait_until("the bounce", DELIVERY, || messages(&kings.maildir(ANN)).pop());
    assert!(
        bounce.text().contains("Not to her") && !bounce.text().contains("joe@far.test"),
        "{}",
        bounce.text()
    );
    let listed = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let recipients = listed["items"][0]["recipients"].as_array().unwrap();
    let state =
        |recipient: &serde_json::Value| format!("{} {}", recipient["forward_path"], recipient["state"]);
    let mut states: Vec<String> = recipients.iter().map(state).collect();
    states.sort();
    let expected = ["<bob@far.test> delivered", "<eve@far.test> failed", "<joe@far.test> deferred"];
    assert_eq!(states.join("\n").replace('"', ""), expected.join("\n"));
}

/// `sender_dependent_relayhost_maps`, which transport(5) goes before.
#[test]
fn a_sender_has_a_relay_of_its_own_for_what_no_recipient_decides() {
    let (sender, domain, rest) = (Sink::start(), Sink::start(), Sink::start());
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{}\"\n\
         [[route]]\nsender = \"bob@example.org\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\ndomain = \".far.test\"\nto = \"smtp:127.0.0.1:{}\"\n",
        rest.port, sender.port, domain.port
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    for account in [ANN, BOB] {
        submit(&kings, account, &["joe@sub.far.test", "joe@far.test"]);
    }
    reach(&domain, &["<joe@sub.far.test>", "<joe@sub.far.test>"]);
    reach(&sender, &["<joe@far.test>"]);
    reach(&rest, &["<joe@far.test>"]);
}
