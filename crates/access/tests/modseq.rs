//! Whole dialogues of clients that keep a cache (RFC 7162) over a real store: what they are told, and over a restart.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::PathBuf;

use support::{Client, LETTER, Server};

/// Numbers of changes begin at the clock, so dialogues tell them from where they began.
struct Cached {
    client: Client,
    /// HIGHESTMODSEQ of the first SELECT.
    base: u64,
    validity: u64,
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.split_once(word)?.1.trim_start_matches([' ', '(']);
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

impl Cached {
    async fn new(server: &Server, enable: &str) -> Self {
        let mut client = server.ann().await;
        if !enable.is_empty() {
            assert_eq!(client.ok(&format!("ENABLE {enable}")).await, [format!("* ENABLED {enable}")]);
        }
        let greeting = client.ok("SELECT INBOX").await;
        let find = |word: &str| greeting.iter().find_map(|line| number_after(line, word)).unwrap();
        Self { client, base: find("HIGHESTMODSEQ"), validity: find("UIDVALIDITY") }
    }

    /// Says a command in which `{+1}` stands for the first number of a change after the base, and gives what comes back
    /// in the same words.
    async fn says(&mut self, command: &str) -> Vec<String> {
        let mut command = command.replace("{validity}", &self.validity.to_string());
        for more in 0..30 {
            command = command.replace(&format!("{{+{more}}}"), &(self.base + more).to_string());
        }
        let responses = self.client.command(&command).await;
        responses.iter().map(|response| self.relative(response)).collect()
    }

    fn relative(&self, response: &str) -> String {
        let mut response = response.to_owned();
        for more in (0..30).rev() {
            response = response.replace(&(self.base + more).to_string(), &format!("{{+{more}}}"));
        }
        response
    }
}

/// The files of the inbox.
fn files(server: &Server) -> Vec<PathBuf> {
    let cur = server.folder.path().join("mail/example.org/ann/cur");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(cur).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn with_letters(count: usize) -> Server {
    let server = Server::new();
    for _ in 0..count {
        server.deliver(LETTER).await;
    }
    server
}

#[tokio::test]
async fn who_does_not_ask_for_numbers_hears_none() {
    let server = with_letters(2).await;
    let mut plain = Cached::new(&server, "").await;
    assert_eq!(
        plain.says("STORE 1 +FLAGS (\\Seen)").await,
        [r"* 1 FETCH (UID 1 FLAGS (\Seen \Recent))", "a OK Done"]
    );
    // From the first command on that shows it, they come; what changed before counts as known.
    assert_eq!(
        plain.says("FETCH 1:2 MODSEQ").await,
        [
            "* OK [HIGHESTMODSEQ {+1}] Highest",
            "* 1 FETCH (MODSEQ ({+1}))",
            "* 2 FETCH (MODSEQ ({+0}))",
            "a OK Done"
        ]
    );
    assert_eq!(
        plain.says("STORE 2 +FLAGS (\\Seen)").await,
        [r"* 2 FETCH (UID 2 FLAGS (\Seen \Recent) MODSEQ ({+2}))", "a OK Done"]
    );
    let mut other = server.inbox().await;
    assert_eq!(other.ok("FETCH 1 BODY[HEADER.FIELDS (X)]").await.len(), 1, "nothing is new");
}

#[tokio::test]
async fn a_silent_store_tells_the_number_alone_and_others_hear_of_it() {
    let server = with_letters(1).await;
    let (mut one, mut other) =
        (Cached::new(&server, "CONDSTORE").await, Cached::new(&server, "CONDSTORE").await);
    assert_eq!(
        one.says("STORE 1 +FLAGS.SILENT (\\Flagged)").await,
        ["* 1 FETCH (UID 1 MODSEQ ({+1}))", "a OK Done"]
    );
    assert_eq!(one.says("NOOP").await, ["a OK Done"]);
    // Nothing changes: nothing to tell.
    assert_eq!(one.says("STORE 1 +FLAGS.SILENT (\\Flagged)").await, ["a OK Done"]);
    assert_eq!(other.says("NOOP").await, [r"* 1 FETCH (UID 1 FLAGS (\Flagged) MODSEQ ({+1}))", "a OK Done"]);
    // What somebody else did is mixed in: the flags come with the number.
    other.says("STORE 1 +FLAGS.SILENT (\\Answered)").await;
    assert_eq!(
        one.says("STORE 1 +FLAGS.SILENT (\\Seen)").await,
        [r"* 1 FETCH (UID 1 FLAGS (\Flagged \Answered \Seen \Recent) MODSEQ ({+3}))", "a OK Done"]
    );
    // \Seen by reading has a number like any other change.
    other.says("STORE 1 -FLAGS.SILENT (\\Seen)").await;
    let read = one.says("FETCH 1 BODY[TEXT]").await;
    assert_eq!(
        read[1..],
        [r"* 1 FETCH (UID 1 FLAGS (\Flagged \Answered \Seen \Recent) MODSEQ ({+5}))", "a OK Done"]
    );
}

#[tokio::test]
async fn a_store_on_condition_leaves_alone_what_has_changed() {
    let server = with_letters(4).await;
    let mut client = Cached::new(&server, "CONDSTORE").await;
    client.says("STORE 2 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(
        client.says("STORE 1:3 (UNCHANGEDSINCE {+0}) +FLAGS.SILENT (\\Deleted)").await,
        [
            "* 1 FETCH (UID 1 MODSEQ ({+2}))",
            "* 3 FETCH (UID 3 MODSEQ ({+2}))",
            "a OK [MODIFIED 2] Some messages have changed"
        ]
    );
    // Told even where it was so already; UIDs for UIDs; nobody is unchanged since 0.
    assert_eq!(
        client.says("UID STORE 3 (UNCHANGEDSINCE {+2}) +FLAGS (\\Deleted)").await,
        [r"* 3 FETCH (UID 3 FLAGS (\Deleted \Recent) MODSEQ ({+2}))", "a OK Done"]
    );
    assert_eq!(
        client.says("UID STORE 1:4 (UNCHANGEDSINCE 0) +FLAGS (\\Flagged)").await,
        ["a OK [MODIFIED 1:4] Some messages have changed"]
    );
    // What another program has just done counts as a change, seen or not.
    let file = files(&server).into_iter().find(|file| file.to_string_lossy().ends_with(":2,")).unwrap();
    std::fs::rename(&file, format!("{}F", file.display())).unwrap();
    let stored = client.says("STORE 4 (UNCHANGEDSINCE {+2}) +FLAGS (\\Answered)").await;
    assert_eq!(
        stored,
        [
            r"* 4 FETCH (UID 4 FLAGS (\Flagged \Recent) MODSEQ ({+3}))",
            "a OK [MODIFIED 4] Some messages have changed"
        ]
    );
    // A message that is gone.
    let mut other = server.inbox().await;
    other.ok("EXPUNGE").await;
    assert_eq!(
        client.says("STORE 1 (UNCHANGEDSINCE {+9}) +FLAGS (\\Answered)").await,
        ["a OK [EXPUNGEISSUED] Some messages are gone"]
    );
}

#[tokio::test]
async fn changes_since_are_fetched_searched_and_told_by_status() {
    let server = with_letters(4).await;
    let mut client = Cached::new(&server, "CONDSTORE").await;
    client.says("STORE 4 +FLAGS.SILENT (\\Seen)").await;
    client.says("STORE 2 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(
        client.says("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {+0})").await,
        [
            r"* 2 FETCH (UID 2 FLAGS (\Seen \Recent) MODSEQ ({+2}))",
            r"* 4 FETCH (UID 4 FLAGS (\Seen \Recent) MODSEQ ({+1}))",
            "a OK Done"
        ]
    );
    assert_eq!(client.says("FETCH 1:4 FLAGS (CHANGEDSINCE {+2})").await, ["a OK Done"]);
    assert_eq!(client.says("SEARCH MODSEQ {+1}").await, ["* SEARCH 2 4 (MODSEQ {+2})", "a OK Done"]);
    assert_eq!(client.says("SEARCH MODSEQ {+3}").await, ["* SEARCH", "a OK Done"]);
    assert_eq!(
        client.says("SEARCH SEEN").await,
        ["* SEARCH 2 4", "a OK Done"],
        "only where it was asked for"
    );
    assert_eq!(
        client.says("UID SEARCH RETURN (MAX ALL) MODSEQ \"/flags/\\\\seen\" all {+1}").await,
        [r#"* ESEARCH (TAG "a") UID MAX 4 ALL 2,4 MODSEQ {+2}"#, "a OK Done"]
    );
    assert_eq!(
        client.says("SEARCH RETURN (MAX) NOT MODSEQ {+2}").await,
        [r#"* ESEARCH (TAG "a") MAX 4 MODSEQ {+1}"#, "a OK Done"]
    );
    assert_eq!(
        client.says("STATUS INBOX (MESSAGES HIGHESTMODSEQ)").await,
        [r#"* STATUS "INBOX" (MESSAGES 4 HIGHESTMODSEQ {+2})"#, "a OK Done"]
    );
    assert_eq!(
        client.says("LIST \"\" INBOX RETURN (STATUS (HIGHESTMODSEQ))").await[1],
        r#"* STATUS "INBOX" (HIGHESTMODSEQ {+2})"#
    );
}

#[tokio::test]
async fn removals_come_as_uids_and_with_their_number() {
    let server = with_letters(6).await;
    let (mut client, mut plain) = (Cached::new(&server, "QRESYNC").await, Cached::new(&server, "").await);
    client.says("STORE 2:3 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.says("UID EXPUNGE 3").await, ["* VANISHED 3", "a OK [HIGHESTMODSEQ {+2}] Done"]);
    assert_eq!(client.says("EXPUNGE").await, ["* VANISHED 2", "a OK [HIGHESTMODSEQ {+3}] Done"]);
    assert_eq!(client.says("EXPUNGE").await, ["a OK Done"], "nothing was removed");
    let told = plain.says("NOOP").await;
    assert_eq!(told, ["* 2 EXPUNGE", "* 2 EXPUNGE", "a OK Done"]);
    let moved = client.says("MOVE 1 Trash").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
    assert_eq!(moved[1..], ["* VANISHED 1", "a OK [HIGHESTMODSEQ {+4}] Done"]);
    plain.says("STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    plain.says("EXPUNGE").await;
    // Not while numbers must stay.
    let told = client.says("FETCH 3 (UID)").await;
    assert_eq!(told, ["* 3 FETCH (UID 6)", "a OK Done"]);
    assert_eq!(client.says("NOOP").await[0], "* VANISHED 4");
    client.says("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let closed = client.says("CLOSE").await;
    assert!(closed.len() == 1 && closed[0].starts_with("a OK [HIGHESTMODSEQ {+"), "{closed:?}");
}

#[tokio::test]
async fn a_client_that_comes_back_hears_what_has_changed_and_no_more() {
    let server = with_letters(6).await;
    let mut before = Cached::new(&server, "QRESYNC").await;
    before.says("UNSELECT").await;
    let mut other = server.inbox().await;
    other.ok("STORE 2,5 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("UID STORE 4 +FLAGS.SILENT (\\Flagged)").await;
    server.deliver(LETTER).await;
    let back = before.says("SELECT INBOX (QRESYNC ({validity} {+0}))").await;
    let told: Vec<&String> =
        back.iter().filter(|line| line.contains("VANISHED") || line.contains("FETCH")).collect();
    assert_eq!(
        told,
        [
            "* VANISHED (EARLIER) 2,5",
            r"* 3 FETCH (UID 4 FLAGS (\Flagged) MODSEQ ({+3}))",
            r"* 5 FETCH (UID 7 FLAGS (\Recent) MODSEQ ({+4}))",
        ],
        "{back:?}"
    );
    assert!(back.iter().any(|line| line == "* 5 EXISTS"));
    // Known UIDs bound both; no news, no words; another UIDVALIDITY means nothing.
    for (known, expected) in [
        ("{validity} {+0} 1:3", vec!["* VANISHED (EARLIER) 2"]),
        ("{validity} {+0} 1,6", vec![]),
        ("{validity} {+4}", vec![]),
        ("1 {+0}", vec![]),
        (
            "{validity} {+2}",
            vec![
                r"* 3 FETCH (UID 4 FLAGS (\Flagged) MODSEQ ({+3}))",
                r"* 5 FETCH (UID 7 FLAGS () MODSEQ ({+4}))",
            ],
        ),
        // From before anything that is remembered: everything that is not there, but what the numbers prove.
        ("{validity} 1", vec!["* VANISHED (EARLIER) 2,5", "FETCH of all"]),
        ("{validity} 1 1:4 (1,3 1,4)", vec!["FETCH of all"]),
        ("{validity} 1 1:9 (1,3 1,4)", vec!["* VANISHED (EARLIER) 5", "FETCH of all"]),
    ] {
        let selected = before.says(&format!("EXAMINE INBOX (QRESYNC ({known}))")).await;
        assert_eq!(selected[0], "* OK [CLOSED] Closed");
        let told = selected.iter().filter(|line| line.contains("VANISHED") || line.contains(" FETCH "));
        let mut told: Vec<&str> = told.map(|line| line.split(" (UID 1 ").next().unwrap()).collect();
        if expected.last() == Some(&"FETCH of all") {
            told.truncate(expected.len() - 1);
            told.push("FETCH of all");
        }
        assert_eq!(told, expected, "{known}");
    }
    assert_eq!(
        before.says("UID FETCH 1:* FLAGS (CHANGEDSINCE {+2} VANISHED)").await,
        [
            r"* 3 FETCH (UID 4 FLAGS (\Flagged) MODSEQ ({+3}))",
            r"* 5 FETCH (UID 7 FLAGS () MODSEQ ({+4}))",
            "a OK Done"
        ]
    );
    assert_eq!(
        before.says("UID FETCH 1:* FLAGS (CHANGEDSINCE {+0} VANISHED)").await[0],
        "* VANISHED (EARLIER) 2,5"
    );
    assert_eq!(
        before.says("UID FETCH 5 FLAGS (CHANGEDSINCE {+0} VANISHED)").await,
        ["* VANISHED (EARLIER) 5", "a OK Done"]
    );
}

#[tokio::test]
async fn only_those_who_enabled_it_may_resynchronise() {
    let server = with_letters(1).await;
    let mut client = server.ann().await;
    client.refused("SELECT INBOX (QRESYNC (1 1))", "BAD").await;
    client.ok("SELECT INBOX (CONDSTORE)").await;
    client.refused("UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "BAD").await;
    client.ok("UID FETCH 1 FLAGS (CHANGEDSINCE 1)").await;
}
