//! fetchmail takes mail away by POP3 and IMAP, and hands it to a program.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Folder, Kings, Output, program, run};

const ANN: &str = "ann@example.org";

/// fetchmail appends each message to a file, under the protocol and port of its line.
fn fetchmail(kings: &Kings, folder: &Folder, (protocol, listener): (&str, &str), options: &str) -> Output {
    let server = if options.ends_with("uidl") { "uidl" } else { "" };
    let options = options.trim_end_matches("uidl");
    let authority = kings.certificates.authority.display();
    let port = kings.address(listener).port();
    let tls = if listener.ends_with('s') { "ssl" } else { "sslproto tls1.2+" };
    let rc = folder.write(
        "fetchmailrc",
        format!(
            "poll localhost protocol {protocol} port {port} {server}\n  user \"{ANN}\" password \"secret\" {options}\n  \
             {tls} sslcertck sslcertfile \"{authority}\"\n  mda \"cat >> {}\"\n",
            folder.text("mail")
        ),
    );
    // It reads no file that others may read.
    fs::set_permissions(&rc, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = program("fetchmail");
    command.env("HOME", folder.path()).env("FETCHMAILHOME", folder.path());
    run(command.args(["--nosyslog", "--verbose", "--pidfile"]).arg(folder.join("pid")).arg("-f").arg(&rc))
}

fn fetched(folder: &Folder) -> usize {
    fs::read_to_string(folder.join("mail")).unwrap_or_default().matches("\nSubject: ").count()
}

fn left(kings: &Kings) -> usize {
    let mut client = kings.imap(ANN);
    client.command("EXAMINE INBOX");
    client.command("FETCH 1:* (UID)").len()
}

#[test]
fn fetchmail_takes_all_mail_by_every_protocol_and_leaves_what_it_is_told_to() {
    let kings = Kings::start();
    for (protocol, listener) in [("pop3", "pop3s"), ("pop3", "pop3"), ("imap", "imaps"), ("imap", "imap")] {
        let folder = Folder::new("fetchmail");
        for subject in ["one", "two"] {
            kings.deliver(ANN, subject);
        }
        fetchmail(&kings, &folder, (protocol, listener), "keep").succeeded();
        assert_eq!((fetched(&folder), left(&kings)), (2, 2), "{protocol} {listener}");
        // What was kept is fetched again only when all is asked for.
        let all = if protocol == "imap" { "fetchall nokeep" } else { "nokeep fetchall" };
        fetchmail(&kings, &folder, (protocol, listener), all).succeeded();
        assert_eq!((fetched(&folder), left(&kings)), (4, 0), "{protocol} {listener}");
        let none = fetchmail(&kings, &folder, (protocol, listener), "nokeep").failed();
        assert_eq!(none.status.code(), Some(1), "there was no mail: {none}");
    }
}

/// By their unique-ids it knows which messages it had, over sessions.
#[test]
fn fetchmail_knows_by_uidl_what_it_has_had() {
    let kings = Kings::start();
    let folder = Folder::new("fetchmail");
    kings.deliver(ANN, "one");
    fetchmail(&kings, &folder, ("pop3", "pop3s"), "keep uidl").succeeded();
    kings.deliver(ANN, "two");
    fetchmail(&kings, &folder, ("pop3", "pop3s"), "keep uidl").succeeded();
    assert_eq!((fetched(&folder), left(&kings)), (2, 2));
    let none = fetchmail(&kings, &folder, ("pop3", "pop3s"), "keep uidl").failed();
    assert_eq!(none.status.code(), Some(1), "{none}");
}
