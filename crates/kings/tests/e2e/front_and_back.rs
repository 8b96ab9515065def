//! Two Kings servers: the one in front verifies and passes on by a route, the one behind files by what it hears.

use std::time::Duration;

use crate::harness::{Kings, Message, Setup, letter, messages, run, wait_until};

const ANN: &str = "ann@behind.test";
const DELIVERY: Duration = Duration::from_secs(30);

/// The server with the mailboxes; `trust` says whether it knows whom its mail comes from.
fn back(trust: &str) -> Kings {
    Setup {
        hostname: "back.behind.test",
        files: vec![("users", "ann@example.org:{PLAIN}secret\nann@behind.test:{PLAIN}secret\n")],
        tables: format!("[inbound]\n{trust}[[domain]]\nname = \"behind.test\"\n"),
        ..Setup::default()
    }
    .start()
}

/// The server that the world sees.
fn front(back: &Kings, more: &str) -> Kings {
    let port = back.address("smtp").port();
    Setup {
        files: vec![("behind", "ann@behind.test OK\n")],
        tables: format!(
            "{more}[[domain]]\nname = \"behind.test\"\nrelay_to = \"mx\"\nrecipients = \"behind\"\n\
             [[route]]\ndomain = \"behind.test\"\nto = \"smtp:127.0.0.1:{port}\"\ntls = \"none\"\n"
        ),
        ..Setup::default()
    }
    .start()
}

fn found(back: &Kings, folder: &str, subject: &str) -> Option<Message> {
    let all = messages(&back.maildir(ANN).join(folder));
    all.into_iter().find(|message| message.field("Subject").as_deref() == Some(subject))
}

fn unfolded(message: &Message) -> String {
    message.text().replace("\r\n\t", " ")
}

#[test]
fn the_server_behind_files_as_the_one_in_front_judges() {
    let back = back("forwarders = [\"127.0.0.0/8\"]\nspf_fail = \"reject\"\nbad_helo = \"reject\"\n");
    let front = front(&back, "");
    // Whoever says to be of the domain and does not prove it is filed in front, and so behind.
    for (author, subject, folder) in [("boss@behind.test", "forged", ".Junk"), ("joe@far.test", "honest", "")]
    {
        let content = letter(author, ANN, subject);
        front.smtp().message("joe@far.test", &[ANN], &content).unwrap().is("250");
        let message = wait_until("the message behind", DELIVERY, || found(&back, folder, subject));
        let text = unfolded(&message);
        assert_eq!(text.matches("X-Kings-Verdict:").count(), 1, "{text}");
        assert_eq!(text.contains("which passes mail on to us, calls it junk"), folder == ".Junk", "{text}");
        assert!(text.contains("by back.behind.test ") && text.contains("by mail.example.org "), "{text}");
        assert_eq!(message.field("Return-Path").as_deref(), Some("<joe@far.test>"));
    }
    // Who does not exist behind is refused in front.
    let mut client = front.smtp();
    client.command("MAIL FROM:<joe@far.test>").unwrap().is("250");
    client.command("RCPT TO:<nobody@behind.test>").unwrap().is("550 5.1.1");
}

/// The mirror image: a server that was not told whom to believe believes nobody.
#[test]
fn without_a_word_in_its_config_the_server_behind_judges_for_itself() {
    let back = back("");
    let front = front(&back, "[inbound]\nno_author = \"junk\"\n");
    let content = letter("joe@far.test", ANN, "claims");
    let content = [b"X-Kings-Verdict: junk; so it is\r\n", &content[..]].concat();
    back.smtp().message("joe@far.test", &[ANN], &content).unwrap().is("250");
    assert!(found(&back, "", "claims").is_some_and(|message| !message.text().contains("so it is")));
    front.smtp().message("joe@far.test", &[ANN], &letter("joe@far.test", ANN, "passed")).unwrap().is("250");
    wait_until("the message behind", DELIVERY, || found(&back, "", "passed"));
    let listed = run(&mut front.command(&["queue", "list", "--json"])).succeeded().text();
    assert!(listed.contains("\"items\":[]"), "{listed}");
}
