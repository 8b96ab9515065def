//! Quotas: Dovecot and Kings take turns on one `maildirsize`, and tell and refuse alike.

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup, Smtp, free_port, letter, run};

const QUOTA: &str = "mail_plugins = quota
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = maildir:User quota
  quota_rule = *:bytes=100000:messages=12
}
";

fn start() -> Kings {
    let tables = "[quota]\nstorage = \"100000B\"\nmessages = 12\ngrace = \"0\"\n".to_owned();
    Setup { account: Some(OWNER), tables, ..Setup::default() }.start()
}

fn quota(imap: &mut Imap) -> String {
    let lines = imap.command("GETQUOTAROOT INBOX");
    lines.iter().find(|line| line.text.starts_with("* QUOTA ")).expect("a quota").text.clone()
}

/// APPEND; the word behind the tag of its answer, with its code.
fn append(imap: &mut Imap, mailbox: &str, octets: usize) -> String {
    let mut text = String::from_utf8(letter(ANN, ANN, "appended")).unwrap();
    while text.len() < octets {
        text.push_str("All work and no play makes Jack a dull boy.\r\n");
    }
    let (_, result) = imap.answer(&format!("APPEND {mailbox} {{{}+}}\r\n{text}", text.len()));
    result
        .split(']')
        .next()
        .unwrap()
        .split(" Append")
        .next()
        .unwrap()
        .split("[APPENDUID")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn both_count_the_same_whoever_changed_it() {
    let kings = start();
    for subject in ["one", "two", "three"] {
        kings.deliver(ANN, subject);
    }
    let dovecot = Dovecot::start_with(&kings, QUOTA);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    let agree = |ours: &mut Imap, theirs: &mut Imap, step: &str| {
        let here = quota(ours);
        assert_eq!(here, quota(theirs), "{step}");
        here
    };
    agree(&mut ours, &mut theirs, "delivered by Kings");
    append(&mut theirs, "INBOX", 20_000);
    agree(&mut ours, &mut theirs, "appended by Dovecot");
    append(&mut ours, "Archive", 20_000);
    agree(&mut ours, &mut theirs, "appended by Kings");
    for client in [&mut theirs, &mut ours] {
        client.command("SELECT INBOX");
        client.command("COPY 1 Archive");
        client.command("STORE 1 +FLAGS (\\Deleted)");
        client.command("EXPUNGE");
        client.command("MOVE 1 Archive");
        client.command("CLOSE");
    }
    let told = agree(&mut ours, &mut theirs, "copied, moved and removed");
    assert!(told.contains("MESSAGE 5 12"), "{told}");
    // Both stop at the same place, and go on together.
    let more = |imap: &mut Imap| append(imap, "INBOX", 50_000);
    assert!(more(&mut ours).starts_with("OK"));
    for imap in [&mut ours, &mut theirs] {
        let refused = more(imap);
        assert!(refused.starts_with("NO [OVERQUOTA"), "{refused}");
    }
    ours.command("DELETE Archive");
    agree(&mut ours, &mut theirs, "a mailbox deleted by Kings");
    assert!(append(&mut theirs, "INBOX", 40_000).starts_with("OK"));
    agree(&mut ours, &mut theirs, "room that the other one made");
}

const BOB: &str = "bob@example.org";

/// The same line for Ann, who is served by Kings, and for Bob, whom Dovecot serves.
fn users() -> String {
    let rules = [
        "quota_rule=*:bytes=20000:messages=8",
        "quota_rule2=Trash:bytes=+10%%%%:messages=+2",
        "quota_rule3=Spam*:ignore",
        "quota_rule4=Small:bytes=-15000",
        "quota_rule5=*.old:storage=+1k:messages=+25%%%%",
        "quota_rule6=Nothing:bytes=-30000",
    ];
    let rules = rules.map(|rule| format!("userdb_{rule}")).join(" ");
    [ANN, BOB].map(|account| format!("{account}:{{PLAIN}}secret::::::{rules}\n")).concat()
}

/// Commands of which both must take or refuse the same, with the same figures after each; `{N}` is a message of so many octets.
const STEPS: &[&str] = &[
    "CREATE Spam",
    "CREATE Spam.sub",
    "CREATE Small",
    "CREATE Nothing",
    "CREATE Work",
    "CREATE Work.old",
    "APPEND INBOX {6000}",
    "APPEND Small {4000}",
    "APPEND Small {3000}",
    "APPEND Spam {50000}",
    "APPEND Spam.sub {5000}",
    "APPEND INBOX {9000}",
    "APPEND INBOX {4000}",
    "APPEND Trash {4000}",
    "APPEND Trash {2900}",
    "APPEND Trash {2000}",
    "APPEND Work {2000}",
    "APPEND Work.old {2000}",
    "APPEND Work.old {1900}",
    "APPEND Nothing {9000}",
    "SELECT Spam",
    "COPY 1 INBOX",
    "COPY 1 Spam.sub",
    "MOVE 1 Trash",
    "APPEND Trash {600}",
    "SELECT Trash",
    "STORE 1:* +FLAGS (\\Deleted)",
    "EXPUNGE",
    "SELECT Nothing",
    "MOVE 1 Spam",
    "SELECT Small",
    "MOVE 1 Spam",
    "SELECT Spam.sub",
    "COPY 1 INBOX",
    "STORE 1:* +FLAGS (\\Deleted)",
    "EXPUNGE",
    // Dovecot lets nobody go on whose mailbox is gone.
    "SELECT INBOX",
    "DELETE Spam.sub",
    "APPEND INBOX {600}",
    "APPEND INBOX {600}",
    "APPEND INBOX {600}",
    "APPEND INBOX {600}",
    "APPEND INBOX {600}",
    "APPEND Trash {600}",
    "APPEND Trash {600}",
    "APPEND Trash {600}",
    "APPEND Work.old {600}",
    "APPEND Spam {600}",
    "DELETE Spam",
];

/// Whether a step is done; why not, in the code of its answer.
fn step(imap: &mut Imap, step: &str) -> String {
    let command = match step.split_once(" {") {
        None => step.to_owned(),
        Some((append, size)) => {
            let size: usize = size.trim_end_matches('}').parse().unwrap();
            let mut text = String::from_utf8(letter(ANN, ANN, "appended")).unwrap();
            text.push_str(&"x".repeat(70).repeat(1 + size / 70));
            text.truncate(size - 2);
            format!("{append} {{{size}+}}\r\n{text}\r\n")
        }
    };
    let (_, end) = imap.answer(&command);
    let code = end.split_once('[').and_then(|(_, rest)| rest.split([' ', ']']).next());
    let is_quota = code == Some("OVERQUOTA");
    format!("{} {}", end.split(' ').next().unwrap(), if is_quota { "OVERQUOTA" } else { "" })
}

#[test]
fn rules_for_mailboxes_take_and_refuse_and_count_as_dovecots_do() {
    let users = users();
    let port = free_port();
    let mut setup = Setup { account: Some(OWNER), ..Setup::default() };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.files = vec![("users", users.clone().leak())];
    let kings = setup.start();
    // Kings makes the mailboxes that everybody has.
    drop(kings.imap(BOB));
    let plugins = format!(
        "protocols = imap lmtp\nmail_save_crlf = yes\nmail_plugins = quota\nprotocol imap {{\n  mail_plugins = quota imap_quota\n}}\n\
         plugin {{\n  quota = maildir:User quota\n}}\n\
         service lmtp {{\n  inet_listener lmtp {{\n    port = {port}\n  }}\n}}\n"
    );
    let dovecot = Dovecot::start_with_users(&kings, &users, &plugins);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap_as(&kings, BOB));
    let mut refused = 0;
    for (at, text) in STEPS.iter().enumerate() {
        let here = step(&mut ours, text);
        assert_eq!(here, step(&mut theirs, text), "step {at}: {text}");
        refused += usize::from(here.contains("OVERQUOTA"));
        let files =
            [ANN, BOB].map(|account| std::fs::read_to_string(kings.maildir(account).join("maildirsize")));
        assert_eq!(quota(&mut ours), quota(&mut theirs), "after step {at}: {text}: {files:?}");
        // Each reads what the other has written down, and finds no fault with it.
        if at % 5 == 0 {
            assert_eq!(quota(&mut kings.imap(BOB)), quota(&mut theirs), "Bob after step {at}: {text}");
            assert_eq!(
                quota(&mut ours),
                quota(&mut dovecot.imap_as(&kings, ANN)),
                "Ann after step {at}: {text}"
            );
        }
    }
    assert!(refused > 10, "{refused}");
    for mailbox in ["Trash", "INBOX"] {
        let root = |imap: &mut Imap| {
            imap.command(&format!("GETQUOTAROOT {mailbox}"))
                .into_iter()
                .map(|line| line.text.replace('"', ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(root(&mut ours), root(&mut theirs), "{mailbox}");
    }
    run(&mut kings.command(&["verify"])).succeeded();

    // By mail, where the last one may use the grace.
    let deliver = |address, to: &str, size: usize| {
        let mut client = Smtp::connect(address).unwrap();
        client.command("LHLO client.example.net").unwrap().is("250");
        client.command("MAIL FROM:<carol@example.net>").unwrap().is("250");
        if client.command(&format!("RCPT TO:<{to}>")).unwrap().code / 100 != 2 {
            return false;
        }
        client.command("DATA").unwrap().is("354");
        let text = "x".repeat(70) + "\r\n";
        client.send(&[&*letter(ANN, to, "mail"), text.repeat(size / 72).as_bytes()].concat()).unwrap();
        client.send(b".\r\n").unwrap();
        client.reply().unwrap().code / 100 == 2
    };
    for imap in [&mut ours, &mut theirs] {
        imap.command("SELECT INBOX");
        imap.command("STORE 1:* +FLAGS (\\Deleted)");
        imap.command("EXPUNGE");
    }
    let outcomes = [5_000, 16_000, 9_000, 9_000, 600, 600].map(|size| {
        let here = deliver(kings.address("lmtp"), ANN, size);
        assert_eq!(here, deliver(([127, 0, 0, 1], port).into(), BOB, size), "{size}");
        here
    });
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}
