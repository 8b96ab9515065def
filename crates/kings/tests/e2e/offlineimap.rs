//! offlineimap keeps a local Maildir and the account the same while mail arrives and another client removes some.

use std::fs;
use std::path::Path;

use crate::harness::{Kings, Output, messages, program, run};

const ANN: &str = "ann@example.org";

fn configure(kings: &Kings) {
    let folder = kings.folder();
    folder.create("local");
    let text = format!(
        "[general]\naccounts = ann\nmetadatadir = {meta}\nui = basic\n\n\
         [Account ann]\nlocalrepository = near\nremoterepository = far\n\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {local}\n\n\
         [Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {port}\nremoteuser = {ANN}\n\
         remotepass = secret\nssl = yes\nsslcacertfile = {authority}\n",
        meta = folder.text("meta"),
        local = folder.text("local"),
        port = kings.address("imaps").port(),
        authority = kings.certificates.authority.display(),
    );
    folder.write("offlineimaprc", text);
}

fn sync(kings: &Kings) -> Output {
    let mut command = program("offlineimap");
    command.arg("-o").arg("-c").arg(kings.folder().join("offlineimaprc"));
    run(command.env("HOME", kings.folder().path())).succeeded()
}

/// Subjects with the flags of their files.
fn local(inbox: &Path) -> Vec<(String, String)> {
    let mut found: Vec<_> = ["new", "cur"]
        .into_iter()
        .flat_map(|part| fs::read_dir(inbox.join(part)).unwrap())
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
            let subject = text.split_once("Subject: ").unwrap().1.lines().next().unwrap().to_owned();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (subject, name.split_once(":2,").map(|(_, flags)| flags.to_owned()).unwrap_or_default())
        })
        .collect();
    found.sort();
    found
}

fn remote(kings: &Kings) -> Vec<(String, String)> {
    let mut client = kings.imap(ANN);
    client.command("EXAMINE INBOX");
    let lines = client.command("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let letters = [("\\Flagged", 'F'), ("\\Answered", 'R'), ("\\Seen", 'S')];
    let mut found: Vec<_> = lines
        .iter()
        .map(|line| {
            let subject = line.text.split_once("Subject: ").unwrap().1.lines().next().unwrap().to_owned();
            let flags =
                letters.iter().filter(|(flag, _)| line.text.contains(flag)).map(|(_, letter)| *letter);
            (subject, flags.collect())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn offlineimap_syncs_both_ways_under_delivery_and_expunge_without_a_difference_at_the_end() {
    let kings = Kings::start();
    for number in 0..6 {
        kings.deliver(ANN, &format!("before {number}"));
    }
    configure(&kings);
    sync(&kings);
    let inbox = kings.folder().join("local/INBOX");
    assert_eq!(messages(&inbox).len(), 6);
    let mut client = kings.imap(ANN);
    client.command("SELECT INBOX");
    for round in 0..3 {
        // One side: flags, an expunge, a message that comes while offlineimap is at work.
        client.command("STORE 1 +FLAGS (\\Flagged)");
        client.command("STORE 2 +FLAGS (\\Deleted)");
        client.command("EXPUNGE");
        // The other: a message that was written here, one that was read, one that is thrown away.
        fs::write(
            inbox.join(format!("new/{round}.1.here")),
            format!("From: {ANN}\nSubject: from here {round}\n\nhello\n"),
        )
        .unwrap();
        let files: Vec<_> =
            fs::read_dir(inbox.join("cur")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let mut unread = files.iter().filter(|path| path.to_string_lossy().ends_with(":2,"));
        if let Some(path) = unread.next() {
            fs::rename(path, format!("{}S", path.display())).unwrap();
        }
        if let Some(path) = unread.next() {
            fs::rename(path, format!("{}T", path.display())).unwrap();
        }
        std::thread::scope(|scope| {
            let delivery = scope.spawn(|| {
                for number in 0..4 {
                    kings.deliver(ANN, &format!("meanwhile {round}.{number}"));
                }
            });
            sync(&kings);
            delivery.join().unwrap();
        });
    }
    sync(&kings);
    assert_eq!(local(&inbox), remote(&kings));
    let count = messages(&inbox).len();
    assert!(count > 10, "{count}");
    assert_eq!(messages(&kings.folder().join("local/Sent")).len(), 0, "every mailbox came");
    // Then there is nothing to do.
    let quiet = sync(&kings);
    assert!(!quiet.text().contains("Copy message") && !quiet.errors().contains("Copy message"), "{quiet}");
}
