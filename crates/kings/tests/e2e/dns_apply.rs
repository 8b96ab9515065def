//! `kings dns apply` at a real BIND: RFC 2136, signed by TSIG, and what happens when it does not go well.

use std::process::Command;

use crate::dns_check::Scene;
use crate::harness::{DnsTree, Output, run};

const SECRET: &str = "bm90IGEgc2VjcmV0LCBidXQgYSB0ZXN0IG9mIG9uZS4=";
const REVERSE: (&str, &str) = ("113.0.203.in-addr.arpa", "10 IN PTR mail.example.org.");

fn key(secret: &str) -> String {
    format!("key \"kings\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n")
}

/// A zone that takes updates with the key, and the config that has it.
fn start(records: &str, secret: &str, rule: &str) -> (Scene, DnsTree) {
    let scene = Scene::new(
        "provider = { kind = \"rfc2136\", server = \"203.0.113.53\", key = \"kings\", key_file = \"kings.key\" }",
    );
    scene.folder.write("kings.key", key(secret));
    let tree = DnsTree::start(&[("example.org", records), REVERSE], &key(SECRET), rule);
    (scene, tree)
}

const MAY: &str = "allow-update { key kings; };";

fn apply(scene: &Scene, tree: &DnsTree, arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["dns", "apply"].iter().chain(arguments).copied().collect();
    tree.run(&scene.command(&all))
}

#[test]
fn records_are_shown_then_put_there_once_and_taken_back() {
    let (scene, tree) = start("", SECRET, MAY);
    let shown = apply(&scene, &tree, &["--dry-run"]).succeeded();
    assert!(shown.text().contains("  + example.org. MX 10 mail.example.org.\n"), "{shown}");
    assert_eq!(tree.at_first("example.org", "MX"), "", "--dry-run changes nothing");
    let silent = apply(&scene, &tree, &[]);
    assert!(silent.status.code() == Some(2) && silent.errors().contains("--yes"), "{silent}");
    apply(&scene, &tree, &["--yes"]).succeeded().says("every name server has it");
    assert_eq!(tree.at_first("example.org", "MX"), "10 mail.example.org.");
    assert_eq!(tree.at_first("mail.example.org", "A"), "203.0.113.10");
    assert!(
        tree.at_first("2026a._domainkey.example.org", "TXT").contains("\" \""),
        "a long key is several strings"
    );
    let again = apply(&scene, &tree, &["--yes"]).succeeded();
    assert!(again.text().ends_with("0 to change\n"), "{again}");
    apply(&scene, &tree, &["--undo", "--yes"]).succeeded();
    for (name, kind) in
        [("example.org", "MX"), ("mail.example.org", "A"), ("2026a._domainkey.example.org", "TXT")]
    {
        assert_eq!(tree.at_first(name, kind), "", "{name}");
    }
    assert!(!tree.at_first("ns1.example.org", "A").is_empty());
}

#[test]
fn records_of_others_are_left_or_edited_and_come_back() {
    let there = "@ IN TXT \"proof=1\"\n@ IN TXT \"v=spf1 include:crm.example ~all\"\n@ IN MX 10 mx.example.net.\nmail IN A 198.51.100.1\n";
    let (scene, tree) = start(there, SECRET, MAY);
    let before = tree.at_first("example.org", "TXT");
    let refused = apply(&scene, &tree, &["--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    for text in [
        "left as it is: example.org MX: MX 10 mx.example.net. is there",
        "left as it is: mail.example.org A: A 198.51.100.1 is there",
    ] {
        assert!(refused.text().contains(text), "{refused}");
    }
    assert_eq!(tree.at_first("example.org", "TXT"), "\"proof=1\"\n\"v=spf1 mx include:crm.example ~all\"");
    assert_eq!(tree.at_first("example.org", "MX"), "10 mx.example.net.");
    assert!(tree.at_first("_dmarc.example.org", "TXT").contains("v=DMARC1"), "what can be done is done");
    apply(&scene, &tree, &["--undo", "--yes"]).succeeded();
    assert_eq!(tree.at_first("example.org", "TXT"), before);
}

#[test]
fn a_server_that_refuses_or_knows_no_such_key_changes_nothing_and_says_why() {
    let other = "YW5vdGhlciBzZWNyZXQgdGhhbiB0aGUgb3RoZXIgb25lLg==";
    for (secret, rule, expected) in [
        (SECRET, "", "refuses: its rules do not let the key kings. change example.org"),
        (other, MAY, "has another secret for the key kings."),
    ] {
        let (scene, tree) = start("", secret, rule);
        let refused = apply(&scene, &tree, &["--yes"]);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.errors().contains(expected), "no {expected:?} in {refused}");
        assert_eq!(tree.at_first("example.org", "MX"), "");
        assert!(
            !scene.folder.join("data/dns/applied.json").exists() || !noted(&scene).contains("example"),
            "nothing is noted"
        );
    }
    // A key that it has not.
    let (scene, tree) = start("", SECRET, MAY);
    scene.folder.write("kings.key", key(SECRET).replace("kings", "stranger"));
    let config = std::fs::read_to_string(scene.folder.join("kings.toml")).unwrap();
    scene.folder.write("kings.toml", config.replace("key = \"kings\"", "key = \"stranger\""));
    let unknown = apply(&scene, &tree, &["--yes"]);
    assert!(
        unknown.status.code() == Some(1) && unknown.errors().contains("knows no key stranger."),
        "{unknown}"
    );
}

fn noted(scene: &Scene) -> String {
    std::fs::read_to_string(scene.folder.join("data/dns/applied.json")).unwrap_or_default()
}

#[test]
fn a_wrong_clock_a_server_that_is_down_and_a_zone_of_others_are_named() {
    let (scene, mut tree) = start("", SECRET, MAY);
    let command = scene.command(&["dns", "apply", "--yes"]);
    let mut late = Command::new("faketime");
    late.args(["-f", "+2h"]).arg(command.get_program()).args(command.get_args());
    let wrong = tree.run(&late);
    assert!(wrong.status.code() == Some(1) && wrong.errors().contains("clock"), "{wrong}");
    assert_eq!(tree.at_first("example.org", "MX"), "");
    // One zone is ours, another one is not: what can be done is done.
    let config = std::fs::read_to_string(scene.folder.join("kings.toml")).unwrap();
    let more = config.replace("[accounts]", "[[domain]]\nname = \"example.net\"\n[accounts]");
    scene.folder.write("kings.toml", more);
    let partly = apply(&scene, &tree, &["--yes"]);
    assert!(
        partly.status.code() == Some(1)
            && partly.text().contains("example.net is in no zone that can be changed here"),
        "{partly}"
    );
    assert_eq!(tree.at_first("example.org", "MX"), "10 mail.example.org.");
    tree.stop(0);
    let down = apply(&scene, &tree, &["--yes"]);
    assert!(down.status.code() == Some(75) && down.errors().contains("does not answer"), "{down}");
}

#[test]
fn what_cannot_be_noted_is_not_done_and_a_run_that_was_killed_goes_on() {
    let (scene, tree) = start("", SECRET, MAY);
    scene.folder.create("data");
    scene.folder.write("data/dns", "in the way");
    let full = apply(&scene, &tree, &["--yes"]);
    assert!(full.status.code() == Some(75) && full.errors().contains("applied.json"), "{full}");
    assert_eq!(tree.at_first("example.org", "MX"), "", "nothing is done that is not noted");
    std::fs::remove_file(scene.folder.join("data/dns")).unwrap();
    // Killed at each moment: the next run ends where one would have ended, and takes back all of it.
    for delay in [0, 5, 10, 20, 40, 80, 160] {
        let mut command = tree.inside(&scene.command(&["dns", "apply", "--yes"]));
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        apply(&scene, &tree, &["--yes"]).succeeded();
        assert_eq!(tree.at_first("example.org", "MX"), "10 mail.example.org.");
        apply(&scene, &tree, &["--undo", "--yes"]).succeeded();
        assert_eq!(tree.at_first("example.org", "MX"), "", "{delay} ms");
        assert_eq!(tree.at_first("mail.example.org", "A"), "", "{delay} ms");
    }
}

#[test]
fn without_a_name_server_to_change_the_config_is_asked_for_one() {
    let scene = Scene::new("");
    let none = run(&mut scene.command(&["dns", "apply", "--yes"]));
    assert!(none.status.code() == Some(78) && none.errors().contains("[dns] provider"), "{none}");
}
