//! mbsync keeps a local Maildir and the account the same, both ways.

use std::fs;

use crate::harness::{Kings, Output, messages, program, run};

/// Blank lines end the sections; mbsync insists on them.
pub(crate) fn configure(kings: &Kings, port: u16) {
    kings.folder().create("local");
    let local = kings.folder().text("local");
    let authority = kings.certificates.authority.display();
    let text = format!(
        "IMAPAccount kings\nHost localhost\nPort {port}\nUser ann@example.org\nPass secret\n\
         SSLType IMAPS\nCertificateFile {authority}\n\n\
         IMAPStore far\nAccount kings\n\n\
         MaildirStore near\nPath {local}/\nInbox {local}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
    );
    kings.folder().write("mbsyncrc", text);
}

pub(crate) fn mbsync(kings: &Kings) -> Output {
    let mut command = program("mbsync");
    command.arg("--debug-net").arg("--config").arg(kings.folder().join("mbsyncrc")).arg("--all");
    run(&mut command).succeeded()
}

#[test]
fn mbsync_fetches_and_appends_and_then_has_nothing_to_do() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "one");
    kings.deliver("ann@example.org", "two");
    configure(&kings, kings.address("imaps").port());
    mbsync(&kings);
    let inbox = kings.folder().join("local/INBOX");
    assert_eq!(messages(&inbox).len(), 2);
    assert!(kings.folder().join("local/Drafts").is_dir(), "Patterns * brings every mailbox");

    fs::write(inbox.join("new/1.2.here"), "From: ann@example.org\nSubject: from here\n\nhello\n").unwrap();
    mbsync(&kings);
    let mut client = kings.imap("ann@example.org");
    client.command("SELECT INBOX");
    let appended = client.contents().pop().unwrap();
    assert!(String::from_utf8_lossy(&appended).contains("Subject: from here\r\n"));

    let quiet = mbsync(&kings).text();
    let asked: Vec<_> = quiet.lines().filter(|line| line.starts_with(">>> ")).collect();
    assert!(asked.iter().any(|line| line.contains("SELECT")), "{quiet}");
    let transfers = ["APPEND", "STORE", "EXPUNGE", "BODY"];
    let transfer = asked.iter().find(|line| transfers.iter().any(|word| line.contains(word)));
    assert!(transfer.is_none(), "nothing had changed, and yet {transfer:?}");
    assert_eq!(messages(&inbox).len(), 3);
}

#[test]
fn mbsync_carries_flags_and_expunges_both_ways() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "to be read");
    kings.deliver("ann@example.org", "to be removed");
    configure(&kings, kings.address("imaps").port());
    mbsync(&kings);
    let mut client = kings.imap("ann@example.org");
    client.command("SELECT INBOX");
    client.command("UID STORE 1 +FLAGS (\\Seen \\Flagged)");
    client.command("UID STORE 2 +FLAGS (\\Deleted)");
    client.command("EXPUNGE");
    mbsync(&kings);
    let inbox = kings.folder().join("local/INBOX");
    assert_eq!(messages(&inbox).len(), 1);
    let kept = fs::read_dir(inbox.join("cur")).unwrap().next().unwrap().unwrap().file_name();
    assert!(kept.to_string_lossy().ends_with(":2,FS"), "{}", kept.display());

    fs::rename(inbox.join("cur").join(&kept), inbox.join("cur").join(format!("{}T", kept.display())))
        .unwrap();
    mbsync(&kings);
    client.command("NOOP");
    assert!(
        client.command("UID SEARCH ALL")[0].text.trim_end().ends_with("SEARCH"),
        "the message went on both sides"
    );
}
