//! Mail programs submit: curl, msmtp and mutt, each over both ports and under checked certificates.

use std::process::Command;

use crate::harness::{Kings, Message, Setup, letter, messages, program, run_with_input};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

fn only_message_of_bob(kings: &Kings) -> Message {
    let mut found = messages(&kings.maildir(BOB));
    assert_eq!(found.len(), 1, "messages of bob");
    found.remove(0)
}

/// As Postfix's `append_at_myorigin` has it; a stranger writes to nobody but the postmaster that way.
#[test]
fn names_without_a_domain_are_completed_for_users_and_refused_on_port_25() {
    let kings = Kings::start();
    let mut user = kings.submissions(ANN);
    user.command("MAIL FROM:<bob>").unwrap().is("553 5.7.1");
    user.message("ann", &["bob"], &letter(ANN, BOB, "by name")).unwrap().is("250");
    let message = only_message_of_bob(&kings);
    assert_eq!(message.field("Return-Path").as_deref(), Some("<ann@example.org>"));
    assert!(message.text().contains("for <bob@example.org>"), "{}", message.text());

    // In the header too, before it is judged who has written it; all else stays as it is.
    let bare =
        |from: &str| format!("From: {from}\r\nTo: bob, Eve <eve>\r\nSubject: To: bob\r\n\r\nFrom: ann\r\n");
    user.message("ann", &["bob"], bare("bob").as_bytes()).unwrap().is("550 5.7.1");
    user.message("ann", &["bob"], bare("Ann <ann>").as_bytes()).unwrap().is("250");
    let text = messages(&kings.maildir(BOB))
        .iter()
        .map(Message::text)
        .find(|text| text.contains("Subject: To"))
        .unwrap();
    for kept in [
        "\r\nFrom: Ann <ann@example.org>\r\n",
        "Eve <eve@example.org>",
        "\r\nSubject: To: bob\r\n",
        "\r\n\r\nFrom: ann\r\n",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }

    let mut stranger = kings.smtp();
    stranger.message("carol@example.net", &[BOB], bare("carol").as_bytes()).unwrap();
    let strange = messages(&kings.maildir(BOB))
        .iter()
        .filter(|message| message.text().contains("From: carol@"))
        .count();
    assert_eq!(strange, 0, "nobody else's names are ours");
    stranger.command("RSET").unwrap();
    stranger.command("MAIL FROM:<carol>").unwrap().is("501 5.1.7");
    stranger.command("MAIL FROM:<carol@example.net>").unwrap().is("250");
    stranger.command("RCPT TO:<bob>").unwrap().is("501 5.1.3");
    stranger.command("RCPT TO:<postmaster>").unwrap().is("250");
}

fn curl(kings: &Kings, url: &str, password: &str) -> Command {
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--ssl-reqd", "--cacert"]);
    command.arg(&kings.certificates.authority).args(["--user", &format!("{ANN}:{password}")]);
    command.args(["--mail-from", ANN, "--mail-rcpt", BOB, "--upload-file", "-", url]);
    command
}

#[test]
fn curl_submits_on_both_ports() {
    for (scheme, listener) in [("smtps", "submissions"), ("smtp", "submission")] {
        let kings = Kings::start();
        let url = format!("{scheme}://{}", kings.at(listener));
        run_with_input(&mut curl(&kings, &url, "secret"), &letter(ANN, BOB, "by curl")).succeeded();
        assert_eq!(only_message_of_bob(&kings).field("Subject").as_deref(), Some("by curl"));
    }
}

#[test]
fn curl_with_a_wrong_password_submits_nothing() {
    let kings = Kings::start();
    let url = format!("smtps://{}", kings.at("submissions"));
    run_with_input(&mut curl(&kings, &url, "wrong"), &letter(ANN, BOB, "by curl")).failed();
    assert!(messages(&kings.maildir(BOB)).is_empty());
}

fn msmtp(kings: &Kings, listener: &str, login: &str) -> Command {
    let (start_tls, port) = (listener == "submission", kings.address(listener).port());
    let settings = format!(
        "account default\nhost localhost\nport {port}\nfrom {ANN}\nuser {ANN}\n{login}\ntls on\n\
         tls_starttls {}\ntls_trust_file {}\n",
        if start_tls { "on" } else { "off" },
        kings.certificates.authority.display()
    );
    let file = kings.folder().write("msmtprc", settings);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = program("msmtp");
    command.arg("--file").arg(file).arg(BOB);
    command
}

#[test]
fn msmtp_submits_with_plain_and_login_on_both_ports() {
    for (listener, mechanism) in
        [("submissions", "plain"), ("submission", "plain"), ("submissions", "login"), ("submission", "login")]
    {
        let kings = Kings::start();
        let mut command = msmtp(&kings, listener, &format!("auth {mechanism}\npassword secret"));
        run_with_input(&mut command, &letter(ANN, BOB, "by msmtp")).succeeded();
        assert_eq!(only_message_of_bob(&kings).field("Subject").as_deref(), Some("by msmtp"));
    }
}

/// Every mechanism with a password, CRAM-MD5 too, which nobody gets unasked.
const MECHANISMS: &str =
    "[login]\nmechanisms = [\"PLAIN\", \"LOGIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"CRAM-MD5\"]\n";

fn with_mechanisms() -> Kings {
    Setup { tables: MECHANISMS.to_owned(), ..Setup::default() }.start()
}

#[test]
fn msmtp_logs_in_by_challenge_and_response() {
    let kings = with_mechanisms();
    let mechanisms = ["scram-sha-256", "scram-sha-1", "cram-md5"];
    for mechanism in mechanisms {
        let mut command = msmtp(&kings, "submissions", &format!("auth {mechanism}\npassword wrong"));
        run_with_input(&mut command, &letter(ANN, BOB, mechanism)).failed().says("535");
        let mut command = msmtp(&kings, "submissions", &format!("auth {mechanism}\npassword secret"));
        run_with_input(&mut command, &letter(ANN, BOB, mechanism)).succeeded();
    }
    let mut subjects: Vec<_> =
        messages(&kings.maildir(BOB)).iter().filter_map(|message| message.field("Subject")).collect();
    subjects.sort();
    assert_eq!(subjects, ["cram-md5", "scram-sha-1", "scram-sha-256"]);

    // Where it is not asked for, CRAM-MD5 is not there.
    let usual = Kings::start();
    let mut command = msmtp(&usual, "submissions", "auth cram-md5\npassword secret");
    run_with_input(&mut command, &letter(ANN, BOB, "cram")).failed();
    assert!(messages(&usual.maildir(BOB)).is_empty());
}

#[test]
fn mutt_logs_in_by_challenge_and_response() {
    for mechanism in ["scram-sha-256", "scram-sha-1", "cram-md5"] {
        let kings = with_mechanisms();
        run_with_input(&mut mutt(&kings, "smtps", "submissions", mechanism, "wrong"), b"Hello.\n").failed();
        run_with_input(&mut mutt(&kings, "smtps", "submissions", mechanism, "secret"), b"Hello.\n")
            .succeeded();
        assert_eq!(only_message_of_bob(&kings).field("Subject").as_deref(), Some("by mutt"), "{mechanism}");
    }
}

#[test]
fn msmtp_is_told_that_its_password_is_wrong() {
    let kings = Kings::start();
    let mut command = msmtp(&kings, "submissions", "auth plain\npassword wrong");
    run_with_input(&mut command, &letter(ANN, BOB, "by msmtp")).failed().says("535");
    assert!(messages(&kings.maildir(BOB)).is_empty());
}

fn mutt(kings: &Kings, scheme: &str, listener: &str, mechanism: &str, password: &str) -> Command {
    let here = kings.folder().path().display().to_string();
    let settings = format!(
        "set from = '{ANN}'\nset smtp_url = '{scheme}://ann%40example.org@{}/'\nset smtp_pass = '{password}'\n\
         set smtp_authenticators = '{mechanism}'\nset ssl_force_tls = yes\nset ssl_ca_certificates_file = '{}'\n\
         set ssl_verify_host = yes\nset copy = no\nset tmpdir = '{here}'\n",
        kings.at(listener),
        kings.certificates.authority.display()
    );
    let file = kings.folder().write("muttrc", settings);
    let mut command = program("mutt");
    command.env("HOME", &here).arg("-n").arg("-F").arg(file).args(["-s", "by mutt", BOB]);
    command
}

#[test]
fn mutt_submits_with_its_own_smtp() {
    for (scheme, listener) in [("smtps", "submissions"), ("smtp", "submission")] {
        let kings = Kings::start();
        run_with_input(&mut mutt(&kings, scheme, listener, "plain", "secret"), b"Hello from mutt.\n")
            .succeeded();
        let message = only_message_of_bob(&kings);
        assert_eq!(message.field("Subject").as_deref(), Some("by mutt"));
        assert!(message.text().contains("Hello from mutt."), "{}", message.text());
    }
}
