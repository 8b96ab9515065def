//! `kings account undelete` beside the running server.

use crate::harness::{Imap, Kings, Setup, run};

const ANN: &str = "ann@example.org";

fn expunge_all(imap: &mut Imap) {
    imap.command("SELECT INBOX");
    imap.command("STORE 1:* +FLAGS (\\Seen \\Deleted)");
    imap.command("EXPUNGE");
}

fn subjects(kings: &Kings) -> Vec<String> {
    let mut imap = kings.imap(ANN);
    imap.command("EXAMINE INBOX");
    let lines = imap.command("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    lines.into_iter().map(|line| line.text.replace("\r\n", " ")).collect()
}

#[test]
fn what_was_expunged_comes_back_by_a_command_beside_the_server() {
    let setup = Setup { tables: "[mailboxes]\nkeep_expunged = \"14d\"\n".to_owned(), ..Setup::default() };
    let kings = setup.start();
    for subject in ["invoice", "party"] {
        kings.deliver(ANN, subject);
    }
    let mut imap = kings.imap(ANN);
    expunge_all(&mut imap);
    assert!(subjects(&kings).is_empty());

    run(&mut kings.command(&["account", "undelete", ANN])).failed().says("say which messages");
    let listed = run(&mut kings.command(&["account", "undelete", ANN, "--dry-run"])).succeeded();
    assert!(listed.text().contains("INBOX") && listed.text().contains("invoice"), "{}", listed.text());
    assert!(listed.text().ends_with("2 messages would come back\n"), "{}", listed.text());
    run(&mut kings.command(&["account", "undelete", ANN, "--text", "no such thing"]))
        .failed()
        .says("nothing like that");

    let back =
        run(&mut kings.command(&["account", "undelete", ANN, "--text", "INVOICE", "--json"])).succeeded();
    let told: serde_json::Value = serde_json::from_str(&back.text()).unwrap();
    assert_eq!((&told["undeleted"], &told["items"][0]["subject"]), (&1.into(), &"invoice".into()), "{told}");
    let found = subjects(&kings);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("UID 3 FLAGS (\\Seen)") && found[0].contains("invoice"), "{found:?}");
    // The session that expunged hears of it.
    let news = imap.command("NOOP");
    assert!(news.iter().any(|line| line.text == "* 1 EXISTS"), "the open session sees it come back");

    run(&mut kings.command(&["account", "undelete", ANN, "--since", "1h", "--mailbox", "inbox"])).succeeded();
    assert_eq!(subjects(&kings).len(), 2);
    run(&mut kings.command(&["account", "undelete", ANN, "--all"])).failed().says("nothing like that");
    run(&mut kings.command(&["verify", ANN])).succeeded();
}

#[test]
fn without_keep_expunged_mail_goes_for_good() {
    let kings = Setup::default().start();
    kings.deliver(ANN, "secret");
    expunge_all(&mut kings.imap(ANN));
    run(&mut kings.command(&["account", "undelete", ANN, "--all"])).failed().says("keep_expunged");
    assert!(!kings.maildir(ANN).join("kings-expunged").exists());
}

/// People know their mailboxes by the names that mail programs show.
#[test]
fn mailboxes_are_named_as_mail_programs_show_them() {
    let tables = "[mailboxes]\nkeep_expunged = \"14d\"\nprefix = \"INBOX.\"\n".to_owned();
    let kings = Setup { tables, ..Setup::default() }.start();
    kings.deliver(ANN, "to be filed");
    let mut imap = kings.imap(ANN);
    imap.command("SELECT INBOX");
    imap.command("MOVE 1 INBOX.Archive");
    imap.command("SELECT INBOX.Archive");
    imap.command("STORE 1 +FLAGS (\\Deleted)");
    imap.command("EXPUNGE");
    let undelete =
        |mailbox: &str| run(&mut kings.command(&["account", "undelete", ANN, "--mailbox", mailbox]));
    undelete("Archive").failed().says("as mail programs show it");
    undelete("INBOX.Sent").failed().says("nothing like that");
    undelete("INBOX.Archive").succeeded().says("INBOX.Archive");
}
