//! Dovecot opens the same Maildir: the same messages under the same UIDs, whoever looked or wrote first.

mod acl;
mod catenate;
mod compressed;
mod differential;
mod nested;
mod notify;
mod objects;
mod order;
mod quota;
mod resync;
mod turns;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::{Daemon, Folder, Imap, Kings, Setup, free_port, letter, listening, program, run};
use crate::pop3::everything;

const ANN: &str = "ann@example.org";

/// The owner of the mail when the tests run as root; every Debian has this account.
const OWNER: &str = "mail";

/// Dovecot over the Maildir of a running Kings.
struct Dovecot {
    _daemon: Daemon,
    _folder: Folder,
    port: u16,
    pop3s: u16,
}

impl Dovecot {
    fn start(kings: &Kings) -> Self {
        Self::start_with(kings, "")
    }

    /// With more settings.
    fn start_with(kings: &Kings, settings: &str) -> Self {
        Self::start_changed(kings, |_, config| config + settings)
    }

    /// With the lines of a passwd-file in the place of one password for all.
    fn start_with_users(kings: &Kings, users: &str, settings: &str) -> Self {
        Self::start_changed(kings, |folder, config| {
            let file = folder.write("users", users);
            let block =
                |kind: &str| format!("{kind} {{\n  driver = passwd-file\n  args = {}\n", file.display());
            let config =
                config.replace("passdb {\n  driver = static\n  args = password=secret\n", &block("passdb"));
            let (before, userdb) = config.split_once("userdb {\n  driver = static\n  args = ").unwrap();
            before.to_owned() + &block("userdb") + "  default_fields = " + userdb + settings
        })
    }

    fn start_changed(kings: &Kings, change: impl FnOnce(&Folder, String) -> String) -> Self {
        let folder = Folder::new("dovecot");
        let (port, pop3s) = (free_port(), free_port());
        let config = change(&folder, config(kings, &folder, (port, pop3s)));
        let config = folder.write("dovecot.conf", config);
        let mut command = program("dovecot");
        command.arg("-F").arg("-c").arg(config);
        let mut daemon = Daemon::start("dovecot", &mut command, &folder.join("log"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, _folder: folder, port, pop3s }
    }

    fn imap(&self, kings: &Kings) -> Imap {
        self.imap_as(kings, ANN)
    }

    fn imap_as(&self, kings: &Kings, account: &str) -> Imap {
        Imap::login(([127, 0, 0, 1], self.port).into(), &kings.certificates, account)
    }
}

/// Dovecot 2.3's dialect; 2.4 has another one.
fn config(kings: &Kings, folder: &Folder, (port, pop3s): (u16, u16)) -> String {
    let version = run(program("dovecot").arg("--version")).succeeded();
    assert!(
        version.text().starts_with("2.3."),
        "this test configures Dovecot 2.3, here is {}",
        version.text()
    );
    let root = rustix::process::geteuid().is_root();
    let id = |option| run(program("id").arg(option).args(root.then_some(OWNER))).text().trim_end().to_owned();
    let (uid, gid, user, group) = (id("-u"), id("-g"), id("-un"), id("-gn"));
    let here = folder.path().display();
    let mail = kings.folder().join("mail");
    let mail = mail.display();
    // As root the processes that meet strangers have accounts of the package; otherwise all is ours.
    let accounts = if root {
        String::new()
    } else {
        format!(
            "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n"
        )
    };
    format!(
        "base_dir = {here}/run
state_dir = {here}/state
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = required
ssl_cert = <{certificate}
ssl_key = <{private_key}
{accounts}first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{mail}/%d/%n
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mail}/%d/%n
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = 0
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
",
        certificate = kings.certificates.certificate.display(),
        private_key = kings.certificates.private_key.display(),
    )
}

/// What both servers must agree on.
#[derive(Debug, PartialEq, Eq)]
struct Listing {
    uid_validity: u32,
    uid_next: u32,
    messages: Vec<Listed>,
}

#[derive(Debug, PartialEq, Eq)]
struct Listed {
    uid: u32,
    size: u32,
    flags: BTreeSet<String>,
    id: String,
}

impl Listing {
    /// `\Recent` is left out: it says who looked first, and IMAP4rev2 has no such flag.
    fn read(client: &mut Imap) -> Self {
        let selected = client.command("EXAMINE INBOX");
        let code = |name: &str| {
            let start = format!("* OK [{name} ");
            let found = selected.iter().find_map(|line| line.text.strip_prefix(&start)?.split(']').next());
            found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} at EXAMINE"))
        };
        let query = "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
        let messages = client.command(query).iter().map(|line| Listed::parse(&line.text)).collect();
        Self { uid_validity: code("UIDVALIDITY"), uid_next: code("UIDNEXT"), messages }
    }
}

impl Listed {
    fn parse(response: &str) -> Self {
        let after =
            |name: &str| response.split_once(name).unwrap_or_else(|| panic!("no {name} in {response}")).1;
        let number = |name: &str| {
            let digits = after(name).split(|next: char| !next.is_ascii_digit()).next().unwrap();
            digits.parse().unwrap()
        };
        let flags = after("FLAGS (").split(')').next().unwrap();
        Self {
            uid: number("UID "),
            size: number("RFC822.SIZE "),
            flags: flags.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned).collect(),
            id: after("Message-ID: ").split("\r\n").next().unwrap().to_owned(),
        }
    }
}

fn kings() -> Kings {
    let kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    for subject in ["one", "two", "three"] {
        kings.deliver(ANN, subject);
    }
    kings
}

#[test]
fn dovecot_lists_the_same_messages_under_the_same_uids() {
    let kings = kings();
    let mut ours = kings.imap(ANN);
    ours.command("SELECT INBOX");
    ours.command("UID STORE 2 +FLAGS (\\Seen \\Flagged)");
    let here = Listing::read(&mut ours);
    assert_eq!(here.messages.len(), 3);
    let dovecot = Dovecot::start(&kings);
    assert_eq!(Listing::read(&mut dovecot.imap(&kings)), here);
}

#[test]
fn kings_lists_what_dovecot_changed_under_dovecots_uids() {
    let kings = kings();
    let mut ours = kings.imap(ANN);
    Listing::read(&mut ours);
    let dovecot = Dovecot::start(&kings);
    let mut theirs = dovecot.imap(&kings);
    let draft = String::from_utf8(letter(ANN, ANN, "from dovecot")).unwrap();
    theirs.command(&format!("APPEND INBOX (\\Seen) {{{}+}}\r\n{draft}", draft.len()));
    theirs.command("SELECT INBOX");
    theirs.command("UID STORE 1 +FLAGS (\\Answered)");
    theirs.command("UID STORE 2 +FLAGS (\\Deleted)");
    theirs.command("EXPUNGE");
    let there = Listing::read(&mut theirs);
    assert_eq!(there.messages.iter().map(|message| message.uid).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(Listing::read(&mut ours), there);
    assert_eq!(Listing::read(&mut kings.imap(ANN)), there);
}

#[test]
fn a_mailbox_that_dovecot_saw_first_keeps_dovecots_uids() {
    let kings = kings();
    let dovecot = Dovecot::start(&kings);
    let there = Listing::read(&mut dovecot.imap(&kings));
    assert_eq!(there.messages.len(), 3);
    assert_eq!(Listing::read(&mut kings.imap(ANN)), there);
}

#[test]
fn mail_that_arrives_while_both_look_gets_one_uid() {
    let kings = kings();
    let dovecot = Dovecot::start(&kings);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    for round in 0..5 {
        kings.deliver(ANN, &format!("more {round}"));
        let (here, there) = if round % 2 == 0 {
            let here = Listing::read(&mut ours);
            (here, Listing::read(&mut theirs))
        } else {
            let there = Listing::read(&mut theirs);
            (Listing::read(&mut ours), there)
        };
        assert_eq!(here, there, "round {round}");
        assert_eq!(here.messages.len(), 4 + round);
    }
}

#[test]
fn pop3_of_dovecot_and_ours_name_measure_and_send_each_message_alike() {
    let kings = kings();
    let inbox = kings.maildir(ANN).join("new");
    for (name, content) in [
        ("1795479508.M1P1.dots", "Subject: dots\n\n.\n..\n.three\nlast without an end"),
        ("1795479508.M2P1.crlf", "Subject: CRLF and LF\r\n\r\none\r\ntwo\nthree\r\n"),
        ("1795479508.M3P1.header", "Subject: no body\n"),
        ("1795479508.M4P1.eight", "Subject: 8 bit\n\n\u{e4}\u{f6}\u{fc} \u{20ac}\n"),
    ] {
        std::fs::write(inbox.join(name), content).unwrap();
        if rustix::process::geteuid().is_root() {
            run(program("chown").arg(format!("{OWNER}:")).arg(inbox.join(name))).succeeded();
        }
    }
    let here = everything(kings.address("pop3s").port(), &kings.certificates);
    assert_eq!(here["list"].as_array().unwrap().len(), 7);
    let dovecot = Dovecot::start(&kings);
    let there = everything(dovecot.pop3s, &kings.certificates);
    for key in ["stat", "list", "uidl", "retr", "top"] {
        assert_eq!(here[key], there[key], "{key}");
    }
}
