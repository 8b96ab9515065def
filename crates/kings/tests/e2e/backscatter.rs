//! Mail with forged senders that the server behind refuses: those whom it names hear so much of it and no more.

use std::time::Duration;

use crate::harness::{Kings, Setup, Sink, Smtp, UNVERIFIED, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const DELIVERY: Duration = Duration::from_secs(40);
/// Reports to one domain in an hour.
const MOST: usize = 5;
/// Forged messages.
const FLOOD: usize = 30;

/// Passes mail for `behind.test` on to a server that refuses all of it; other mail goes to `outside`.
fn gateway(behind: &Sink, outside: &Sink, inbound: &str) -> Kings {
    let tables = format!(
        "[[domain]]\nname = \"behind.test\"\nrelay_to = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [limits]\nreports_per_hour_per_domain = {MOST}\n{UNVERIFIED}{inbound}",
        behind.port, outside.port
    );
    let aliases = "postmaster@example.org bob@example.org\n";
    Setup { tables, files: vec![("aliases", aliases)], ..Setup::default() }.start()
}

/// Until nothing waits any more.
fn settle(kings: &Kings) {
    wait_until("an empty queue", DELIVERY, || {
        let listed = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        listed["items"].as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn a_flood_of_forged_senders_does_not_make_us_flood_those_whom_it_names() {
    let (behind, outside) = (Sink::refusing(), Sink::start());
    let kings = gateway(&behind, &outside, "");
    let mut client = kings.smtp();
    for number in 0..FLOOD {
        let victim = format!("victim{number}@victim.test");
        let content = letter(&victim, "joe@behind.test", &format!("forged {number}"));
        client.message(&victim, &["joe@behind.test"], &content).unwrap().is("250");
    }
    // Somebody else's mail meanwhile: that domain has a share of its own.
    let content = letter("carol@other.test", "joe@behind.test", "true");
    client.message("carol@other.test", &["joe@behind.test"], &content).unwrap().is("250");
    settle(&kings);

    let told = outside.recipients();
    let to_victims = told.iter().filter(|to| to.contains("@victim.test")).count();
    assert_eq!(to_victims, MOST, "{told:?}");
    assert!(told.contains(&"<carol@other.test>".to_owned()), "{told:?}");

    let words = messages(&kings.maildir("bob@example.org"));
    assert_eq!(words.len(), 1, "the postmaster is told once");
    let words = words[0].text();
    for expected in ["Subject: Reports to victim.test are withheld", "reports_per_hour_per_domain"] {
        assert!(words.contains(expected), "{words}");
    }
    // Each one can be found.
    let story = story(&kings, "victim29@victim.test", "joe@behind.test");
    assert!(
        story.contains("too many go to that domain") || told.contains(&"<victim29@victim.test>".to_owned())
    );
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert_eq!(log.matches("a report is withheld").count(), FLOOD - MOST);
}

/// What the trace tells of a sender's mail, once it tells of `last`: it is written a moment after things happen.
fn story(kings: &Kings, sender: &str, last: &str) -> String {
    wait_until("the trace", DELIVERY, || {
        let told = run(&mut kings.command(&["trace", "--sender", sender])).text();
        told.contains(last).then_some(told)
    })
}

/// The mirror: our own users hear of each of their messages.
#[test]
fn our_own_users_hear_of_all_their_messages() {
    let (behind, outside) = (Sink::refusing(), Sink::start());
    let kings = gateway(&behind, &outside, "");
    let mut client = kings.submissions(ANN);
    for number in 0..2 * MOST {
        let content = letter(ANN, "joe@behind.test", &format!("mine {number}"));
        client.message(ANN, &["joe@behind.test"], &content).unwrap().is("250");
    }
    let reports = wait_until("the reports", DELIVERY, || {
        let reports = messages(&kings.maildir(ANN));
        (reports.len() == 2 * MOST).then_some(reports)
    });
    assert!(reports.iter().all(|report| report.text().contains("Your message could not be delivered")));
    assert!(messages(&kings.maildir("bob@example.org")).is_empty());
}

/// What was judged to be junk has seldom been sent by whoever is named as its sender: he hears neither that it failed nor
/// that it was stored. The mirror: whoever says nothing odd hears of both.
#[test]
fn nobody_is_told_what_became_of_junk() {
    for (name, told) in [("localhost", 0), ("client.example.net", 2)] {
        let (behind, outside) = (Sink::refusing(), Sink::start());
        let kings = gateway(&behind, &outside, "bad_helo = \"junk\"\n");
        let mut client = Smtp::connect(kings.address("smtp")).unwrap();
        client.command(&format!("EHLO {name}")).unwrap().is("250");
        for to in ["<joe@behind.test>", "<ann@example.org> NOTIFY=SUCCESS"] {
            client.command("MAIL FROM:<victim@victim.test>").unwrap().is("250");
            client.command(&format!("RCPT TO:{to}")).unwrap().is("250");
            client.command("DATA").unwrap().is("354");
            let content = letter("victim@victim.test", "joe@behind.test", "odd");
            client.send(&[&content[..], b".\r\n"].concat()).unwrap();
            client.reply().unwrap().is("250");
        }
        settle(&kings);
        let heard = outside.recipients();
        assert_eq!(heard.len(), told, "{name}: {heard:?}");
        let last = if told == 0 { "the message is junk" } else { "joe@behind.test" };
        let story = story(&kings, "victim@victim.test", last);
        assert_eq!(story.contains("the message is junk"), told == 0, "{name}: {story}");
    }
}
