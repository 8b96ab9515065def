//! neomutt keeps a cache of headers and comes back with QRESYNC: it shows what has changed, and what is gone no more.

use std::fs;

use crate::harness::{Kings, program, run};

const ANN: &str = "ann@example.org";

/// neomutt opens the inbox, gives the messages it shows to a file of this name, and quits.
fn list(kings: &Kings, name: &str) -> (String, String) {
    let here = kings.folder().path().display().to_string();
    let at = kings.at("imaps");
    let settings = kings.folder().write(
        "neomuttrc",
        format!(
            "set imap_user = 'ann@example.org'\nset imap_pass = 'secret'\nset imap_authenticators = 'plain'\n\
             set folder = 'imaps://{at}/'\nset spool_file = 'imaps://{at}/INBOX'\n\
             set ssl_ca_certificates_file = '{authority}'\nset ssl_verify_host = yes\n\
             set header_cache = '{here}/cache'\nset imap_condstore = yes\nset imap_qresync = yes\n\
             set tmpdir = '{here}'\nset sort = mailbox-order\nset wait_key = no\nset mark_old = no\n\
             set pipe_decode = yes\nset quit = yes\n\
             push '<tag-pattern>~A<enter><tag-prefix><pipe-message>cat > {here}/{name}<enter><quit>'\n",
            authority = kings.certificates.authority.display(),
        ),
    );
    let log = format!("{here}/{name}.log");
    let mut command = program("script");
    command.env("TERM", "xterm").env("HOME", &here).args(["--quiet", "--return", "--command"]);
    command
        .arg(format!("neomutt -n -d 3 -l {log} -F {}", settings.display()))
        .arg(kings.folder().join("terminal"));
    run(&mut command).succeeded();
    let read = |name: &str| fs::read_to_string(kings.folder().join(name)).unwrap_or_default();
    (read(name), fs::read_to_string(format!("{log}0")).unwrap())
}

#[test]
fn neomutt_comes_back_with_its_cache_and_hears_what_has_changed() {
    let kings = Kings::start();
    for subject in ["the first", "the second", "the third"] {
        kings.deliver(ANN, subject);
    }
    kings.folder().create("cache");
    let (shown, log) = list(&kings, "before");
    assert!(shown.contains("Subject: the first\n") && shown.contains("Subject: the third\n"), "{shown}");
    assert!(log.contains("ENABLE QRESYNC"), "{log}");
    let mut other = kings.imap(ANN);
    other.command("SELECT INBOX");
    other.command("UID STORE 2 +FLAGS.SILENT (\\Deleted)");
    other.command("EXPUNGE");
    kings.deliver(ANN, "the fourth");
    let (shown, log) = list(&kings, "after");
    let has = |words: &str| assert!(log.contains(words), "no {words} in {log}");
    has("UID FETCH 1:3 (FLAGS) (CHANGEDSINCE ");
    has("Handling VANISHED");
    has("Expunging message UID 2");
    let is_shown = |subject: &str| shown.contains(&format!("Subject: the {subject}\n"));
    assert!(is_shown("first") && is_shown("third") && is_shown("fourth") && !is_shown("second"), "{shown}");
}

/// Without a removal, which neomutt of 2022 does not count right (Dovecot's answers confuse it alike), headers of what it
/// knows are not asked for once more.
#[test]
fn neomutt_reads_no_header_again_that_it_has() {
    let kings = Kings::start();
    for subject in ["the first", "the second", "the third"] {
        kings.deliver(ANN, subject);
    }
    kings.folder().create("cache");
    list(&kings, "before");
    let mut other = kings.imap(ANN);
    other.command("SELECT INBOX");
    other.command("UID STORE 2 +FLAGS.SILENT (\\Flagged)");
    kings.deliver(ANN, "the fourth");
    let (shown, log) = list(&kings, "after");
    let asked = log.lines().filter(|line| line.contains("FETCH") && line.contains("BODY.PEEK[HEADER.FIELDS"));
    let asked: Vec<&str> = asked.collect();
    assert!(asked.len() == 1 && asked[0].contains(" FETCH 4 (UID"), "{asked:?} {log}");
    assert!(shown.contains("Subject: the second\n") && shown.contains("Subject: the fourth\n"), "{shown}");
}
