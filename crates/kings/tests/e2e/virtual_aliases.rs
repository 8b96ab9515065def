//! Aliases for names of every domain, as Postfix's `virtual_alias_maps` have them: of domains that we host, of those that
//! we pass on for, and, for our own users, of all others.

use std::time::Duration;

use crate::harness::{Kings, Setup, Sink, letter, messages, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const DELIVERY: Duration = Duration::from_secs(40);

/// All that leaves comes to the sink; of the domain `behind.test` one recipient is listed.
fn start(sink: &Sink) -> Kings {
    let aliases = "moved@behind.test ann@example.org\nboth@behind.test both@behind.test, ann@example.org\n\
                   boss@partner.test ann@example.org\nteam@example.org boss@partner.test, bob@example.org\n";
    let tables = format!(
        "[[domain]]\nname = \"behind.test\"\nrelay_to = \"smtp:127.0.0.1:{0}\"\nrecipients = \"behind\"\n\
         [[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:{0}\"\n",
        sink.port
    );
    let files = vec![("aliases", aliases), ("behind", "joe@behind.test x\n")];
    Setup { files, tables, ..Setup::default() }.start()
}

#[track_caller]
fn arrived(kings: &Kings, account: &str, count: usize) {
    wait_until("the messages", DELIVERY, || (messages(&kings.maildir(account)).len() >= count).then_some(()));
    assert_eq!(messages(&kings.maildir(account)).len(), count, "{account}");
}

#[track_caller]
fn left(sink: &Sink, expected: &[&str]) {
    wait_until(&format!("mail for {expected:?}"), DELIVERY, || (sink.recipients() == expected).then_some(()));
}

#[test]
fn an_alias_of_a_relay_domain_acts_for_everybody() {
    let sink = Sink::start();
    let kings = start(&sink);
    let to =
        |recipient: &str| kings.smtp().message(CAROL, &[recipient], &letter(CAROL, recipient, "passed on"));
    to("Moved+tag@behind.test").unwrap().is("250 2.0.0");
    arrived(&kings, ANN, 1);
    to("joe@behind.test").unwrap().is("250 2.0.0");
    to("Both@behind.test").unwrap().is("250 2.0.0");
    arrived(&kings, ANN, 2);
    left(&sink, &["<both@behind.test>", "<joe@behind.test>"]);
    let mut client = kings.smtp();
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    client.command("RCPT TO:<eve@behind.test>").unwrap().is("550 5.1.1");
}

#[test]
fn an_alias_of_a_foreign_domain_acts_for_our_users_and_opens_nothing_to_strangers() {
    let sink = Sink::start();
    let kings = start(&sink);
    kings.submit(BOB, "boss@partner.test", "to the boss");
    arrived(&kings, ANN, 1);
    kings.submit(BOB, "joe@partner.test", "to another");
    left(&sink, &["<joe@partner.test>"]);

    let mut client = kings.smtp();
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    for recipient in ["boss@partner.test", "boss+x@partner.test", "joe@partner.test"] {
        client.command(&format!("RCPT TO:<{recipient}>")).unwrap().is("550 5.7.1");
    }
    // By way of a list of ours it is our alias that leads there.
    let content = letter(CAROL, "team@example.org", "to the team");
    kings.smtp().message(CAROL, &["team@example.org"], &content).unwrap().is("250 2.0.0");
    arrived(&kings, ANN, 2);
    arrived(&kings, BOB, 1);
    assert_eq!(sink.recipients(), ["<joe@partner.test>"]);
}
