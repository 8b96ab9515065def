//! Shared mailboxes over a real store: whole dialogues of several people, and what they leave in files.
//!
//! Every dialogue of `tests/shared` is played whole and one octet at a time. `ann: text` is a line that Ann says, `S: text` what
//! she hears back, `#` a comment, `! deliver` a message for Ann. Numbers of changes are told from the first one on,
//! `{m+0}`, or not at all, `{m}`; UIDVALIDITY is `{v}`, a mailbox's own name `{id}`. `UPDATE=1 cargo test` writes what the server says now.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kings_access::Sharing;
use kings_store::QuotaLimits;
use support::{Client, LETTER, Server};

/// Smallest number that only a number of a change can be: they begin at the clock in microseconds.
const CLOCK: u64 = 1_000_000_000_000;

struct Player {
    server: Server,
    people: HashMap<String, Client>,
    /// The first number of a change that was told.
    base: Option<u64>,
    /// What people say is about such numbers, of one mailbox; otherwise they are all `{m}`.
    counts: bool,
    piece: usize,
}

impl Player {
    async fn play(dialogue: &str, piece: usize) -> String {
        let counts = dialogue.lines().any(|line| !line.starts_with("S:") && line.contains("{m+"));
        let mut player = Self { server: Server::new(), people: HashMap::new(), base: None, counts, piece };
        let mut log = String::new();
        let mut said = String::new();
        for line in dialogue.lines().filter(|line| !line.starts_with("S:")) {
            writeln!(log, "{line}").unwrap();
            if line == "! deliver" {
                player.server.deliver(LETTER).await;
            } else if let Some((name, text)) = line.split_once(": ").filter(|_| !line.starts_with('#')) {
                write!(said, "{text}\r\n").unwrap();
                if !text.ends_with("+}") {
                    for heard in player.say(name, &std::mem::take(&mut said)).await {
                        writeln!(log, "{}", format!("S: {heard}").trim_end()).unwrap();
                    }
                }
            }
        }
        log
    }

    /// What comes back, up to the result.
    async fn say(&mut self, name: &str, text: &str) -> Vec<String> {
        let text = self.with_numbers(text);
        let mut client = match self.people.remove(name) {
            Some(client) => client,
            None => {
                let mut client = self.server.connect().await;
                client.ok(&format!("LOGIN {name}@example.org secret")).await;
                client
            }
        };
        for piece in text.as_bytes().chunks(self.piece) {
            client.say(piece).await;
        }
        let tag = format!("{} ", text.split(' ').next().unwrap());
        let mut heard = Vec::new();
        loop {
            let response = client.response().await;
            let is_last = response.starts_with(&tag);
            heard.extend(response.split("\r\n").map(str::to_owned));
            if is_last {
                break;
            }
        }
        self.people.insert(name.to_owned(), client);
        heard.iter().map(|line| self.without_numbers(line)).collect()
    }

    fn with_numbers(&self, text: &str) -> String {
        let base = self.base.unwrap_or_default();
        (0..20).fold(text.to_owned(), |text, more| {
            text.replace(&format!("{{m+{more}}}"), &(base + more).to_string())
        })
    }

    fn without_numbers(&mut self, line: &str) -> String {
        let mut out = String::new();
        // A mailbox's own name is random, with long runs of digits now and then.
        let line = match line.split_once("MAILBOXID (") {
            Some((before, after)) => {
                format!("{before}MAILBOXID ({{id}}{}", &after[after.find(')').unwrap()..])
            }
            None => line.to_owned(),
        };
        let mut rest = line.as_str();
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            out.push_str(&rest[..start]);
            let digits = rest[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - start);
            let number = &rest[start..start + digits];
            rest = &rest[start + digits..];
            let is_validity =
                ["UIDVALIDITY ", "APPENDUID ", "COPYUID "].iter().any(|word| out.ends_with(word));
            match number.parse::<u64>() {
                Ok(_) if is_validity => out.push_str("{v}"),
                Ok(number) if number > CLOCK && !self.counts => out.push_str("{m}"),
                Ok(number) if number > CLOCK => {
                    let base = *self.base.get_or_insert(number);
                    write!(out, "{{m+{}}}", number - base).unwrap();
                }
                _ => out.push_str(number),
            }
        }
        out.push_str(rest);
        out
    }
}

#[tokio::test]
async fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    for path in files {
        let expected = std::fs::read_to_string(&path).unwrap();
        for piece in [usize::MAX, 1] {
            let actual = Player::play(&expected, piece).await;
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &actual).unwrap(); // then read the diff
            } else {
                assert_eq!(actual, expected, "{} in pieces of {piece}", path.display());
            }
        }
    }
}

async fn joe(server: &Server) -> Client {
    let mut client = server.connect().await;
    client.ok("LOGIN joe@example.org secret").await;
    client
}

fn acl_of(server: &Server, folder: &str) -> PathBuf {
    server.folder.path().join("mail/example.org/ann").join(folder).join("dovecot-acl")
}

#[tokio::test]
async fn what_dovecot_wrote_is_honoured_and_kept() {
    let server = Server::new();
    let mut ann = server.ann().await;
    std::fs::write(
        acl_of(&server, ".Sent"),
        "# by hand\nuser=joe@example.org lr\nodd line\ngroup=staff lrw\n",
    )
    .unwrap();
    let mut joe = joe(&server).await;
    let listed = joe.ok("LIST \"\" \"shared/*\"").await;
    assert_eq!(listed.last().unwrap(), "* LIST (\\HasNoChildren) \"/\" \"shared/ann@example.org/Sent\"");
    joe.ok("SELECT shared/ann@example.org/Sent").await;
    let told = ann.ok("GETACL Sent").await;
    let expected = "* ACL \"Sent\" ann@example.org \"lrwstipekxacd\" joe@example.org \"lr\" $staff \"lrw\"";
    assert_eq!(told, [expected]);
    std::fs::write(server.folder.path().join("mail/example.org/ann/dovecot-acl-list"), "Sent\n").unwrap();
    ann.ok("SETACL Sent joe@example.org +s").await;
    ann.ok("SETACL Sent -$staff w").await;
    assert_eq!(
        std::fs::read_to_string(acl_of(&server, ".Sent")).unwrap(),
        "# by hand\nuser=joe@example.org lrs\nodd line\ngroup=staff lrw\n-group=staff w\n"
    );
    // Dovecot makes its list anew when it is not there.
    assert!(!server.folder.path().join("mail/example.org/ann/dovecot-acl-list").exists());
    let left: Vec<_> = std::fs::read_dir(acl_of(&server, ".Sent").parent().unwrap()).unwrap().collect();
    assert!(
        left.iter().all(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().contains("acl.lock"))
    );
}

#[tokio::test]
async fn a_mailbox_that_is_shared_no_more_is_closed_at_once() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut ann = server.ann().await;
    ann.ok("SETACL INBOX joe@example.org lrs").await;
    let mut reads = joe(&server).await;
    reads.ok("SELECT shared/ann@example.org/INBOX").await;
    let mut waits = joe(&server).await;
    waits.ok("SELECT shared/ann@example.org/INBOX").await;
    waits.say("a IDLE\r\n").await;
    assert!(waits.response().await.starts_with("+ "));
    // Fewer rights count with the next command.
    ann.ok("SETACL INBOX joe@example.org -s").await;
    reads.refused("STORE 1 +FLAGS (\\Seen)", "NO [NOPERM]").await;
    ann.ok("DELETEACL INBOX joe@example.org").await;
    server.deliver(LETTER).await;
    assert_eq!(waits.rest().await, "* BYE The selected mailbox is not shared with you any more\r\n");
    reads.say("a FETCH 1 BODY[]\r\n").await;
    let rest = reads.rest().await;
    assert!(!rest.contains("FETCH (") && rest.contains("* BYE The selected mailbox is not shared"), "{rest}");
}

#[tokio::test]
async fn the_owner_pays_and_nobody_else_hears_how_much() {
    let server = Server::new();
    let mut ann = server.ann().await;
    ann.ok("SETACL INBOX joe lrwsti").await;
    let mut joe = joe(&server).await;
    let limit = |name: &'static str, octets| {
        server.store.limit_by(move |account| QuotaLimits {
            octets: Some(if account.to_string().starts_with(name) { octets } else { 1 << 30 }),
            messages: None,
            grace: 0,
        });
    };
    limit("ann", 10);
    let size = LETTER.len();
    let result = joe.append("shared/ann@example.org/INBOX", LETTER).await;
    assert!(result.starts_with("a NO [OVERQUOTA]"), "{result}");
    assert!(joe.append("INBOX", LETTER).await.starts_with("a OK"));
    joe.ok("SELECT INBOX").await;
    joe.refused("COPY 1 shared/ann@example.org/INBOX", "NO [OVERQUOTA]").await;
    joe.refused("MOVE 1 shared/ann@example.org/INBOX", "NO [OVERQUOTA]").await;
    limit("joe", size as u64);
    let draft = format!("a REPLACE 1 shared/ann@example.org/INBOX {{{size}+}}\r\n{LETTER}\r\n");
    joe.say(draft).await;
    let result = joe.until_tagged().await;
    assert!(result.last().unwrap().starts_with("a OK"), "{result:?}");
    assert!(joe.append("INBOX", LETTER).await.starts_with("a OK"), "what went made room for its owner");
    let root = joe.ok("GETQUOTAROOT shared/ann@example.org/INBOX").await;
    assert_eq!(root, ["* QUOTAROOT \"shared/ann@example.org/INBOX\""]);
}

#[tokio::test]
async fn sharing_goes_as_far_as_the_config_says() {
    let off = Server::with(|parts| parts.sharing = Sharing::Off);
    let mut ann = off.ann().await;
    let capabilities = ann.ok("CAPABILITY").await;
    assert!(!capabilities[0].contains("ACL") && !capabilities[0].contains("MYRIGHTS"), "{capabilities:?}");
    assert_eq!(ann.ok("NAMESPACE").await, ["* NAMESPACE ((\"\" \".\")) NIL NIL"]);
    for command in ["GETACL INBOX", "SETACL INBOX joe lr", "LIST \"\" * RETURN (MYRIGHTS)"] {
        ann.refused(command, "NO [CANNOT] Mailboxes are not shared here").await;
    }
    std::fs::write(acl_of(&off, ""), "user=joe@example.org lr\n").unwrap();
    let mut client = joe(&off).await;
    assert!(client.ok("LIST \"\" shared*").await.is_empty());
    client.refused("SELECT shared/ann@example.org/INBOX", "NO [CANNOT]").await;

    let domain = Server::new();
    let mut ann = domain.ann().await;
    ann.refused("SETACL INBOX eve@example.net lr", "NO [CANNOT] Mailboxes are shared inside").await;
    ann.refused("SETACL INBOX anyone lr", "NO [CANNOT] Mailboxes are shared with persons").await;
    ann.refused("SETACL INBOX authenticated +l", "NO [CANNOT]").await;
    ann.ok("SETACL INBOX -anyone lr").await;

    let open = Server::with(|parts| (parts.sharing, parts.shares_with_anyone) = (Sharing::Server, true));
    let mut ann = open.ann().await;
    ann.ok("SETACL INBOX eve@example.net lr").await;
    ann.ok("SETACL INBOX anyone lr").await;
    joe(&open).await.ok("SELECT shared/ann@example.org/INBOX").await;
}

#[tokio::test]
async fn hostile_names_of_others_open_nothing() {
    let server = Server::new();
    server.ann().await.ok("SETACL INBOX joe lr").await;
    let mut joe = joe(&server).await;
    for name in [
        "shared/",
        "shared//INBOX",
        "shared/ann/INBOX",
        "shared/ann@example.org",
        "shared/ann@example.org/",
        "shared/ann@example.org//INBOX",
        "shared/ann@example.org/../joe/INBOX",
        "shared/../ann@example.org/INBOX",
        "shared/ann@example.org/a.b",
        "shared/ann@example.net/INBOX",
        "shared/nobody@example.org/INBOX",
        "shared/joe@example.org/INBOX",
        "shared/\\\"../x\\\"@example.org/INBOX",
    ] {
        // Without an address it is no name of others, and none of his own with this separator.
        let is_own = !name.split('/').nth(1).unwrap().contains('@');
        let select = if is_own { "NO [CANNOT]" } else { "NO [NONEXISTENT] No such mailbox" };
        joe.refused(&format!("SELECT \"{name}\""), select).await;
        let create = if is_own { "NO [CANNOT]" } else { "NO [NOPERM]" };
        joe.refused(&format!("CREATE \"{name}\""), create).await;
    }
    joe.ok("SELECT shared/ANN@Example.org/inbox").await;
    let names: Vec<_> = std::fs::read_dir(server.folder.path().join("mail/example.org")).unwrap().collect();
    assert_eq!(names.len(), 2, "no account was made: {names:?}");
}

/// What comes back to a command, up to its result or to our farewell.
async fn outcome(client: &mut Client) -> String {
    loop {
        let line = client.response().await;
        if line.starts_with("a ") || line.starts_with("* BYE") {
            return line;
        }
    }
}

#[tokio::test]
async fn rights_that_were_revoked_serve_no_append_idle_or_replace_either() {
    let server = Server::new();
    server.deliver(LETTER).await;
    let mut ann = server.ann().await;
    for command in [
        "a APPEND Drafts CATENATE (URL \";UID=1\")\r\n".to_owned(),
        format!("a UID REPLACE 1 Drafts {{{}+}}\r\n{LETTER}\r\n", LETTER.len()),
        "a IDLE\r\n".to_owned(),
    ] {
        ann.ok("SETACL INBOX joe@example.org lrswite").await;
        let mut client = joe(&server).await;
        client.ok("SELECT shared/ann@example.org/INBOX").await;
        // By another program: no session is told of it.
        std::fs::write(acl_of(&server, ""), "").unwrap();
        server.deliver(LETTER).await;
        client.say(&command).await;
        if command.contains("IDLE") {
            let heard = client.response().await;
            assert!(!heard.contains("EXISTS"), "{heard}");
            continue;
        }
        let end = outcome(&mut client).await;
        assert!(!end.starts_with("a OK"), "{command}: {end}");
        assert_eq!(
            joe(&server).await.ok("STATUS Drafts (MESSAGES)").await,
            [r#"* STATUS "Drafts" (MESSAGES 0)"#]
        );
    }
    assert_eq!(ann.ok("STATUS INBOX (MESSAGES)").await, [r#"* STATUS "INBOX" (MESSAGES 4)"#]);
}

#[tokio::test]
async fn a_file_of_rights_that_cannot_be_read_takes_nothing_from_the_owner_and_hides_nothing_else() {
    let server = Server::new();
    let mut ann = server.ann().await;
    ann.ok("SETACL INBOX joe@example.org lr").await;
    ann.ok("SETACL Sent joe@example.org lr").await;
    std::fs::remove_file(acl_of(&server, ".Sent")).unwrap();
    std::fs::create_dir(acl_of(&server, ".Sent")).unwrap();
    ann.ok("SELECT Sent").await;
    let mut client = joe(&server).await;
    let listed = client.ok("LIST \"\" \"*\"").await.join("\n");
    assert!(listed.contains("\"INBOX\"") && listed.contains("shared/ann@example.org/INBOX"), "{listed}");
    assert!(!listed.contains("shared/ann@example.org/Sent"), "{listed}");
    assert!(client.command("SELECT shared/ann@example.org/Sent").await.last().unwrap().starts_with("a NO"));
}

#[tokio::test]
async fn folders_of_ones_own_may_be_called_shared() {
    let server = Server::with(|parts| parts.naming.separator = '/');
    let mut ann = server.ann().await;
    ann.ok("CREATE shared/Projects").await;
    ann.ok("SELECT shared/Projects").await;
    assert_eq!(ann.ok("LIST \"\" shared/Pro*").await, [r#"* LIST (\HasNoChildren) "/" "shared/Projects""#]);
    ann.ok("RENAME shared/Projects shared/Done").await;
    ann.ok("DELETE shared/Done").await;
}

/// A list that lacks what is shared has clients forget it: after a start nobody gets one.
#[tokio::test]
async fn everybody_who_lists_at_once_after_a_start_is_told_of_what_is_shared() {
    let server = Server::new();
    let mut ann = server.ann().await;
    for number in 0..100 {
        ann.ok(&format!("CREATE F{number}")).await;
    }
    std::fs::write(acl_of(&server, ".Sent"), "user=joe@example.org lr\n").unwrap();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(joe(&server).await);
    }
    for client in &mut clients {
        client.say("a LIST \"\" \"*\"\r\n").await;
    }
    for client in &mut clients {
        let listed = client.until_tagged().await.join("\n");
        assert!(listed.contains("shared/ann@example.org/Sent"), "{listed}");
    }
}
