//! `kings queue` on mail that waits: while the server runs, and while it does not.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::harness::{Kings, Setup, free_port, letter, messages, wait_until};

const ANN: &str = "ann@example.org";

/// A server whose smart host does not answer, with three messages of ann for elsewhere.
fn waiting() -> Kings {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let kings = Setup { tables, ..Setup::default() }.start();
    for number in 1..=3 {
        kings.submit(ANN, &format!("joe{number}@example.net"), &format!("waiting {number}"));
    }
    wait_until("every message was tried", Duration::from_secs(10), || {
        (states(&kings, &[]) == ["deferred", "deferred", "deferred"]).then_some(())
    });
    kings
}

fn queue(kings: &Kings, words: &[&str]) -> Output {
    kings.command(&[&["queue"], words].concat()).output().unwrap()
}

/// The last line a command prints, and its exit code.
fn said(kings: &Kings, words: &[&str]) -> (Option<i32>, String) {
    let output = queue(kings, words);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code(), text.trim_end().lines().last().unwrap_or_default().to_owned())
}

fn items(kings: &Kings, words: &[&str]) -> Vec<Value> {
    let output = queue(kings, &[&["list", "--json"], words].concat());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&list["schema"], &list["complete"]), (&Value::from(1), &Value::from(true)), "{list}");
    list["items"].as_array().unwrap().clone()
}

/// How the first recipient of each listed entry stands.
fn states(kings: &Kings, words: &[&str]) -> Vec<String> {
    let state = |item: &Value| item["recipients"][0]["state"].as_str().unwrap().to_owned();
    items(kings, words).iter().map(state).collect()
}

fn id(kings: &Kings, recipient: &str) -> String {
    let found = items(kings, &["--recipient", recipient]);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_operator_holds_releases_bounces_and_drops_what_waits() {
    let mut kings = waiting();
    let [first, second, third] = [1, 2, 3].map(|number| id(&kings, &format!("joe{number}@")));
    assert_eq!(said(&kings, &["hold", &first]), (Some(0), "1 entry held".into()));
    assert_eq!(states(&kings, &[]), ["held", "deferred", "deferred"]);
    assert_eq!(said(&kings, &["hold", "--state", "deferred", "--reason", "connect"]).1, "2 entries held");
    assert_eq!(said(&kings, &["retry", "all"]), (Some(0), "0 entries to be tried now".into()));
    assert_eq!(said(&kings, &["release", "--recipient", "joe2@"]).1, "1 entry released");
    assert_eq!(said(&kings, &["flush"]).0, Some(0));

    // The same without a server, on the same files.
    kings.kill();
    assert_eq!(states(&kings, &["--state", "held"]), ["held", "held"]);
    assert_eq!(said(&kings, &["drop", &third]), (Some(0), "1 entry dropped".into()));
    assert_eq!(said(&kings, &["drop", "--bounce", &second]).1, "1 entry given up, the senders are told");
    kings.serve();
    wait_until("ann hears of the second", Duration::from_secs(10), || {
        let inbox = messages(&kings.maildir(ANN));
        inbox.first().filter(|message| message.text().contains("given up by the administrator")).map(drop)
    });
    assert_eq!(states(&kings, &[]), ["held"]);
    assert_eq!(said(&kings, &["drop", "all"]).1, "1 entry dropped");
    assert_eq!(said(&kings, &["list"]).1, "nothing found: the queue holds no such entry");
}

#[test]
fn one_entry_is_shown_with_all_that_happened_to_it() {
    let kings = waiting();
    let first = id(&kings, "joe1@");
    let shown: Value = serde_json::from_slice(&queue(&kings, &["show", &first, "--json"]).stdout).unwrap();
    assert_eq!(
        (&shown["schema"], &shown["reverse_path"]),
        (&Value::from(1), &Value::from("<ann@example.org>"))
    );
    let happened = &shown["history"][0];
    assert_eq!(
        (&happened["event"], &happened["forward_path"]),
        (&"deferred".into(), &"<joe1@example.net>".into())
    );
    assert!(happened["reply"].as_str().unwrap().contains("cannot connect"), "{happened}");
    assert!(shown["header"].as_str().unwrap().contains("\r\nSubject: waiting 1\r\n"), "{shown}");
    let text = String::from_utf8(queue(&kings, &["show", &first]).stdout).unwrap();
    assert!(text.contains("Subject: waiting 1") && text.contains("deferred"), "{text}");
}

/// Attempts change the names of files under the eyes of whoever lists them.
#[test]
fn a_list_during_attempts_shows_every_entry_once() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let kings = Setup { tables, ..Setup::default() }.start();
    let mut client = kings.submissions(ANN);
    for number in 0..20 {
        let to = format!("joe{number}@example.net");
        client.message(ANN, &[&to], &letter(ANN, &to, "waiting")).unwrap().is("250 2.0.0");
    }
    for round in 0..15 {
        let mut retry = kings.command(&["queue", "retry", "all"]).stdout(Stdio::null()).spawn().unwrap();
        let list = items(&kings, &[]);
        let ids: BTreeSet<_> = list.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), list.len()), (20, 20), "round {round}");
        assert!(retry.wait().unwrap().success());
    }
    let attempts = |item: &Value| item["recipients"][0]["attempts"].as_u64().unwrap();
    assert!(items(&kings, &[]).iter().map(attempts).sum::<u64>() > 40, "hardly anything was tried meanwhile");
}

#[test]
fn orders_that_name_nothing_are_refused() {
    let mut kings = waiting();
    for verb in ["hold", "release", "drop"] {
        assert_eq!(said(&kings, &[verb]).0, Some(2), "{verb} without an id");
    }
    // As a script says that has nothing in its variable.
    for filter in ["--id", "--sender", "--recipient", "--reason"] {
        assert_eq!(said(&kings, &["drop", filter, ""]).0, Some(2), "drop {filter} with nothing");
    }
    assert_eq!(states(&kings, &[]).len(), 3);
    assert_eq!(said(&kings, &["hold", "x", "--sender", "ann"]).0, Some(2));
    assert_eq!(said(&kings, &["list", "--older", "soon"]).0, Some(2));
    for verb in ["show", "retry", "hold", "release", "drop"] {
        let (code, text) = said(&kings, &[verb, "000000000000000"]);
        assert_eq!(
            (code, text.contains("holds no entry 000000000000000")),
            (Some(1), true),
            "{verb}: {text}"
        );
    }
    kings.kill();
    assert_eq!(said(&kings, &["drop", "000000000000000"]).0, Some(1));
    assert_eq!(states(&kings, &[]).len(), 3);
    kings.serve();
}

#[test]
fn a_damaged_entry_is_listed_with_its_reason_and_counted_in_the_status() {
    let mut kings = waiting();
    let first = id(&kings, "joe1@");
    kings.kill();
    let entries = kings.folder().join("data/queue/entries");
    let file = std::fs::read_dir(entries).unwrap().map(|file| file.unwrap().path());
    let file = file.into_iter().find(|path| path.to_string_lossy().contains(&first)).unwrap();
    let text = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    std::fs::write(&file, text.replacen("reverse-path <ann@", "reverse-path <eve@", 1)).unwrap();
    kings.serve();
    assert_eq!(said(&kings, &["retry"]).0, Some(0));
    wait_until("it is set aside", Duration::from_secs(10), || {
        let output = kings.command(&["status", "--json"]).output().unwrap();
        (serde_json::from_slice::<Value>(&output.stdout).unwrap()["damaged"] == 1).then_some(())
    });
    let list: Value = serde_json::from_slice(&queue(&kings, &["list", "--json"]).stdout).unwrap();
    assert_eq!(list["damaged"][0]["reason"], "its envelope is damaged", "{list}");
    assert!(list["damaged"][0]["advice"].as_str().unwrap().contains(&first), "{list}");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}
