//! `LAYOUT=fs`: Dovecot and Kings take turns on mailboxes that lie in each other, and names never lead out of them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Daemon, Imap, Kings, Setup, letter, program, rooted, wait_until};

fn start() -> Kings {
    let tables = "[mailboxes]\nlayout = \"fs\"\n".to_owned();
    Setup { account: Some(OWNER), tables, ..Setup::default() }.start()
}

fn dovecot(kings: &Kings) -> Dovecot {
    let mail = kings.folder().join("mail");
    let quota = "mail_plugins = quota acl\nprotocol imap {\n  mail_plugins = quota acl imap_quota imap_acl\n}\n\
                 plugin {\n  quota = maildir:User quota\n  quota_rule = *:storage=1M\n  acl = vfile\n}\n";
    Dovecot::start_with(
        kings,
        &format!(
            "mail_location = maildir:{}/%d/%n:LAYOUT=fs\nmailbox_list_index = no\n{quota}",
            mail.display()
        ),
    )
}

/// Every name with what it is, in both dialects: what may not be selected is that, for whatever reason.
fn names(imap: &mut Imap, command: &str) -> BTreeSet<(String, bool, bool)> {
    let line = |text: &str| {
        let (attributes, name) = text.split_once(") \"/\" ").unwrap();
        let attributes = attributes.to_ascii_lowercase();
        let selects = !attributes.contains("noselect") && !attributes.contains("nonexistent");
        (name.trim_matches('"').to_owned(), selects, attributes.contains("\\haschildren"))
    };
    listed(imap, command).iter().map(|text| line(text)).collect()
}

/// Other news may come with the answer.
fn listed(imap: &mut Imap, command: &str) -> Vec<String> {
    let lines = imap.command(command).into_iter().map(|line| line.text);
    lines.filter(|text| text.starts_with("* LIST ") || text.starts_with("* LSUB ")).collect()
}

/// What both must say of all mailboxes.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    names: BTreeSet<(String, bool, bool)>,
    subscribed: BTreeSet<String>,
    /// Of each mailbox: STATUS, UIDs and flags.
    content: Vec<(String, Vec<String>)>,
}

fn account(imap: &mut Imap) -> Account {
    let names = names(imap, "LIST \"\" *");
    let lsub = listed(imap, "LSUB \"\" *");
    let name = |text: &str| text.split_once(") \"/\" ").unwrap().1.trim_matches('"').to_owned();
    let subscribed = lsub.iter().map(|text| name(text)).collect();
    let mut content = Vec::new();
    for (name, ..) in names.iter().filter(|(_, selects, _)| *selects) {
        let mut told = Vec::new();
        let status = imap.command(&format!("STATUS \"{name}\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"));
        told.extend(status.iter().map(|line| line.text.split_once(" (").unwrap().1.to_owned()));
        imap.command(&format!("EXAMINE \"{name}\""));
        let messages = imap.command("UID FETCH 1:* (UID FLAGS RFC822.SIZE)");
        for line in messages.iter().filter(|line| line.text.contains(" FETCH ")) {
            told.push(line.text.replace(" \\Recent", "").replace("\\Recent", ""));
        }
        content.push((name.clone(), sorted_items(told)));
    }
    Account { names, subscribed, content }
}

/// The items of each response, in one order.
fn sorted_items(told: Vec<String>) -> Vec<String> {
    let sorted = |text: String| {
        let mut words: Vec<String> =
            text.split([' ', '(', ')']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort();
        words.join(" ")
    };
    told.into_iter().map(sorted).collect()
}

fn append(imap: &mut Imap, mailbox: &str, subject: &str) {
    let text = String::from_utf8(letter(ANN, ANN, subject)).unwrap();
    let (_, result) = imap.answer(&format!("APPEND \"{mailbox}\" {{{}+}}\r\n{text}", text.len()));
    assert!(result.starts_with("OK "), "{mailbox}: {result}");
}

#[test]
fn both_see_the_same_mailboxes_whoever_made_them() {
    let kings = start();
    kings.deliver(ANN, "first");
    let dovecot = dovecot(&kings);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    let agree = |ours: &mut Imap, theirs: &mut Imap, step: &str| {
        let here = account(ours);
        assert_eq!(here, account(theirs), "{step}");
        here
    };
    agree(&mut ours, &mut theirs, "what a new account has");
    for turn in 0..3 {
        let (one, other) = if turn % 2 == 0 { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
        for name in ["Work/2024", "Work", "Lists/v1.2/deep", "INBOX/below", "A&AOQ-B"] {
            one.command(&format!("CREATE \"{name}\""));
            append(other, name, &format!("{name} {turn}"));
        }
        one.command("SUBSCRIBE Lists/v1.2/deep");
        other.command("SUBSCRIBE Work/2024");
        kings.deliver(ANN, &format!("mail {turn}"));
        agree(one, other, "made, subscribed and filled");
        other.command("SELECT Work/2024");
        other.command("STORE 1 +FLAGS (\\Flagged $Later)");
        append(one, "Work/2024", "second");
        other.command("NOOP");
        other.command("STORE 1 +FLAGS (\\Deleted)");
        other.command("EXPUNGE");
        other.command("CLOSE");
        agree(one, other, "flagged and expunged");
        one.command("RENAME Work Done/Work");
        agree(one, other, "renamed with what is in it");
        other.command("RENAME Lists Done/Lists");
        append(one, "Done/Lists/v1.2/deep", "after");
        agree(one, other, "a folder that is no mailbox, renamed");
        // What has mailboxes in it stays as a name.
        one.command("DELETE Done/Work");
        let after = agree(one, other, "deleted with a mailbox in it");
        assert!(after.names.contains(&("Done/Work".to_owned(), false, true)), "{after:?}");
        other.command("CREATE Done/Work");
        agree(one, other, "made where a folder was");
        other.command("DELETE Done/Work/2024");
        one.command("UNSUBSCRIBE Work/2024");
        other.command("DELETE Done/Work");
        for name in
            ["Done/Lists/v1.2/deep", "Done/Lists/v1.2", "Done/Lists", "Done", "INBOX/below", "A&AOQ-B"]
        {
            one.command(&format!("DELETE \"{name}\""));
        }
        let after = agree(one, other, "all gone");
        assert!(!after.names.iter().any(|(name, ..)| name.starts_with("Done")), "{after:?}");
    }
}

#[test]
fn quotas_rights_and_what_clients_note_lie_where_the_other_looks() {
    let kings = start();
    let dovecot = dovecot(&kings);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    ours.command("CREATE A/B");
    append(&mut ours, "A/B", "one");
    append(&mut theirs, "A/B", "two");
    ours.command("SETACL A/B bob@example.org lr");
    let told = theirs.command("GETACL A/B");
    assert!(told.iter().any(|line| line.text.contains("bob@example.org lr")), "{told:?}");
    let told = theirs.command("GETQUOTAROOT A/B");
    assert!(told.iter().any(|line| line.text.starts_with("* QUOTA ")), "{told:?}");
    ours.command("SETMETADATA A/B (/private/comment \"noted\")");
    theirs.command("RENAME A/B C/D");
    let noted = ours.command("GETMETADATA C/D /private/comment");
    assert!(noted.iter().any(|line| line.text.contains("noted")), "{noted:?}");
    assert!(ours.command("GETACL C/D").iter().any(|line| line.text.contains("bob@example.org")));
}

/// Every path that the server opens, makes, renames or removes while hostile names are tried lies below the account.
#[test]
fn hostile_names_lead_nowhere_else() {
    let kings = start();
    let mut ours = kings.imap(ANN);
    ours.command("SELECT INBOX");
    let outside = kings.folder().join("mail/example.org/joe");
    fs::create_dir_all(outside.join("cur")).unwrap();
    let log = kings.folder().join("paths.log");
    let mut strace = rooted(program("strace").get_program());
    strace.args(["-f", "-qq", "-y", "-s", "4096", "-e"]);
    strace.arg("trace=open,openat,openat2,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlinkat");
    strace.args(["-p", &kings.process().to_string(), "-o"]).arg(&log);
    let strace = Daemon::start("strace", &mut strace, &kings.folder().join("strace.log"));
    let status = format!("/proc/{}/status", kings.process());
    wait_until("strace to attach", Duration::from_secs(10), || {
        let traced = fs::read_to_string(&status).unwrap();
        (!traced.lines().any(|line| line == "TracerPid:\t0")).then_some(())
    });
    // It attaches to one thread after the other.
    std::thread::sleep(Duration::from_millis(500));
    let too_much = "x".repeat(300);
    let hostile = [
        "..",
        "../joe",
        "../joe/cur",
        "../../../etc",
        "a/../../joe",
        "./x",
        "a/./b",
        "a//b",
        "cur",
        "new",
        "tmp",
        "INBOX/cur",
        "Sent/tmp/x",
        ".x",
        "..x",
        "...",
        "dovecot-uidlist",
        "Sent/dovecot-uidlist",
        "subscriptions",
        "dovecot-uidvalidity.00000001",
        "kings-state",
        "kings-expunged",
        "maildirsize",
        "Sent/kings-metadata",
        "~joe",
        "&AC4ALg-/joe",
        "&AC8-etc",
        &too_much,
    ];
    for name in hostile {
        for command in [
            format!("CREATE \"{name}\""),
            format!("STATUS \"{name}\" (MESSAGES)"),
            format!("SELECT \"{name}\""),
            format!("RENAME \"{name}\" Stolen"),
            format!("DELETE \"{name}\""),
            "DELETE Stolen".to_owned(),
            format!("LIST \"{name}\" *"),
        ] {
            ours.answer(&command);
        }
        ours = kings.imap(ANN);
    }
    drop(ours);
    drop(strace);
    let text = fs::read_to_string(&log).unwrap();
    let mail = fs::canonicalize(kings.folder().join("mail")).unwrap();
    let account = mail.join("example.org/ann");
    let mut seen = 0;
    for line in text.lines().filter(|line| line.contains(mail.to_str().unwrap())) {
        // `openat(9</.../ann>, "cur", ...`: each name is one step down from a folder of the account.
        for (folder, name) in steps(line) {
            seen += 1;
            let inside = folder.starts_with(account.to_str().unwrap());
            let way_down = [mail.to_str().unwrap(), mail.join("example.org").to_str().unwrap()]
                .contains(&&*folder)
                && ["example.org", "ann"].contains(&&*name);
            assert!(inside || way_down, "{line}");
            assert!(!name.contains('/') && name != "..", "{line}");
        }
    }
    assert!(seen > 100, "{seen} paths:\n{text}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// The folders and names of a line of `strace -y`.
fn steps(line: &str) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    let mut rest = line;
    while let Some((_, behind)) = rest.split_once("</") {
        let Some((folder, behind)) = behind.split_once(">, \"") else { break };
        let Some((name, behind)) = behind.split_once('"') else { break };
        steps.push((format!("/{folder}"), name.to_owned()));
        rest = behind;
    }
    steps
}
