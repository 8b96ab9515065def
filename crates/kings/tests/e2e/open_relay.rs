//! No form of an outside recipient gets through any listener of the real server, for a stranger with any sender.

#[path = "../../../smtp/tests/forms/mod.rs"]
mod forms;

use forms::{FORMS, OK, SENDERS};

use crate::harness::{Kings, Setup, Smtp, plain};

/// Refused commands after which a session ends; a new one begins in time.
const ERRORS: usize = 10;

/// The forms of the table with the names and addresses of this server.
fn ours(form: &str) -> String {
    form.replace("mx.here.example", "mail.example.org")
        .replace("here.example", "example.org")
        .replace("192.0.2.25", "127.0.0.1")
}

/// A client that has said EHLO, in clear or under TLS.
fn client(kings: &Kings, listener: &str) -> Smtp {
    let mut client = match listener {
        "submissions" => {
            let client = Smtp::connect_silently(kings.address(listener)).unwrap();
            let mut client = client.secure(&kings.certificates);
            client.reply().unwrap().is("220");
            client
        }
        _ => Smtp::connect(kings.address(listener)).unwrap(),
    };
    let hello = if listener == "lmtp" { "LHLO" } else { "EHLO" };
    client.command(&format!("{hello} client.example")).unwrap().is("250");
    client
}

/// Says one form to a listener; gives the reply to RCPT.
fn try_form(client: &mut Smtp, sender: &str, form: &str) -> String {
    client.command("RSET").unwrap().is("250");
    client.command(&format!("MAIL FROM:{}", ours(sender))).unwrap();
    let reply = client.command(&format!("RCPT {}", ours(form))).unwrap();
    format!("{} {}", reply.code, reply.text)
}

#[test]
fn no_listener_takes_any_form_from_a_stranger() {
    // A relay domain, local mail and a smart host: none of them may widen the way. Exempt clients are not slowed down for
    // asking after unknown names, and are held to the same rules.
    let tables = "[[domain]]\nname = \"behind.example\"\nrelay_to = \"smtp:127.0.0.1:9\"\nrecipients = \"list\"\n\
                  [local]\nfolder = \"local\"\n[outbound]\nsmart_host = \"127.0.0.1:9\"\n\
                  [limits]\nexempt = [\"127.0.0.0/8\"]\n";
    let mut setup = Setup {
        files: vec![("list", "ann@behind.example x\n")],
        tables: tables.to_owned(),
        ..Setup::default()
    };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    let kings = setup.start();
    for listener in ["smtp", "lmtp", "submission", "submissions"] {
        for sender in SENDERS {
            for forms in FORMS.chunks(ERRORS) {
                let mut client = client(&kings, listener);
                for (form, expected) in forms {
                    let reply = try_form(&mut client, sender, form);
                    let accepted = *expected == OK && ["smtp", "lmtp"].contains(&listener);
                    assert_eq!(reply.starts_with('2'), accepted, "{listener} {sender} {form:?}: {reply}");
                    assert!(accepted || reply.starts_with('5'), "{listener} {sender} {form:?}: {reply}");
                }
            }
        }
    }
    for listener in ["smtp", "lmtp"] {
        let mut client = client(&kings, listener);
        assert!(try_form(&mut client, "<>", "TO:<ann@behind.example>").starts_with("250"));
        assert!(try_form(&mut client, "<>", "TO:<joe@behind.example>").starts_with("550 5.1.1"));
    }
}

#[test]
fn a_login_that_failed_or_was_forgotten_opens_nothing() {
    let kings = Kings::start();
    let mut client = client(&kings, "submissions");
    client.command(&format!("AUTH PLAIN {}", plain("ann@example.org", "wrong"))).unwrap().is("535 5.7.8");
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("530 5.7.0");
    client.command("RCPT TO:<joe@other.example>").unwrap().is("530 5.7.0");
    for claim in ["XCLIENT ADDR=127.0.0.1 LOGIN=ann@example.org", "XFORWARD ADDR=127.0.0.1"] {
        let reply = client.command(claim).unwrap();
        assert!(reply.code >= 500, "{claim}: {reply:?}");
    }
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("530 5.7.0");
}
