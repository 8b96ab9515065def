//! A real Postfix that has its logins checked by Kings, over the socket that it would use with Dovecot.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Folder, Kings, Output, Postfix, Setup, program, run, wait_until};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";

/// Everybody may open the socket: Postfix has an account of its own.
fn start(folder: &Folder, more: &str) -> Kings {
    let mut setup = Setup { log: "info", ..Setup::default() };
    setup.listen += &format!("auth = [\"unix:{}\"]\nauth_mode = \"0666\"\n", folder.text("auth.sock"));
    more.clone_into(&mut setup.tables);
    setup.start()
}

/// As in Postfix's SASL_README; nobody is trusted but who logs in.
fn postfix(folder: &Folder) -> Postfix {
    Postfix::start(&format!(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
         smtpd_sasl_security_options = noanonymous\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject\n",
        folder.text("auth.sock")
    ))
}

fn swaks(postfix: &Postfix, mechanism: &str, (user, password): (&str, &str)) -> Output {
    let mut command: Command = program("swaks");
    command.args(["--server", &format!("127.0.0.1:{}", postfix.port), "--timeout", "20"]);
    command.args(["--from", ANN, "--to", DAVE, "--header", &format!("Subject: by {mechanism}")]);
    run(command.args(["--auth", mechanism, "--auth-user", user, "--auth-password", password]))
}

#[test]
fn a_postfix_lets_in_whom_kings_knows_and_nobody_else() {
    let folder = Folder::new("auth");
    let more = "[login]\nmechanisms = [\"PLAIN\", \"LOGIN\", \"CRAM-MD5\", \"SCRAM-SHA-256\"]\ndefault_domain = \"example.org\"\n";
    let kings = start(&folder, more);
    let postfix = postfix(&folder);
    for (count, (mechanism, user)) in
        [("PLAIN", ANN), ("LOGIN", ANN), ("CRAM-MD5", ANN), ("PLAIN", "ann")].into_iter().enumerate()
    {
        let sent = swaks(&postfix, mechanism, (user, "secret")).succeeded();
        assert!(sent.text().contains("235 2.7.0"), "{mechanism}: {sent}");
        wait_until("a message at Postfix", Duration::from_secs(30), || {
            (postfix.delivered().len() == count + 1).then_some(())
        });
    }
    for (mechanism, user, password) in
        [("PLAIN", ANN, "wrong"), ("LOGIN", "nobody@example.org", "secret"), ("CRAM-MD5", ANN, "wrong")]
    {
        swaks(&postfix, mechanism, (user, password)).failed().says("535 5.7.8");
    }
    assert_eq!(postfix.delivered().len(), 4);
    // The mail server says from where: that is what failures are counted by, and what the log tells.
    let log = log(&kings);
    assert!(log.contains("login protocol=\"auth\" client=127.0.0.1 login=\"ann@example.org\""), "{log}");
    assert!(log.contains("mechanism=\"CRAM-MD5\" result=\"fail\""), "{log}");
}

/// Whoever guesses through a Postfix must wait as well, and hears why.
#[test]
fn guesses_through_postfix_are_counted_by_the_address_that_it_tells() {
    let folder = Folder::new("auth");
    let kings = start(&folder, "[limits]\nexempt = []\nlogin_failures_per_minute = 2\n");
    let postfix = postfix(&folder);
    for _ in 0..2 {
        swaks(&postfix, "PLAIN", (ANN, "wrong")).failed().says("535 5.7.8");
    }
    swaks(&postfix, "PLAIN", (ANN, "secret")).failed().says("too many failed logins, try again");
    assert!(log(&kings).contains("too many failed logins"), "{}", log(&kings));
}

#[test]
fn who_does_not_speak_the_protocol_is_cut_off() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    let folder = Folder::new("auth");
    let kings = start(&folder, "");
    let mut stream = UnixStream::connect(folder.join("auth.sock")).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("VERSION\t1\t2\nMECH\t") && said.ends_with("DONE\n"), "{said}");
    let status = run(&mut kings.command(&["status"]));
    assert!(status.text().contains("auth.sock"), "{status}");
    assert!(status.text().contains("Mailboxes     ok    auth "), "{status}");
}

fn log(kings: &Kings) -> String {
    std::fs::read_to_string(kings.folder().join("kings.log")).unwrap()
}
