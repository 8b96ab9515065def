//! Faults planted on purpose: each is found by the power-cut judge, and a healthy server is not accused.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::scene::{self, Scene};
use crate::harness::{files, run, show};

/// Each planted fault, and the scene in which the judge must find it. One playing of the scene is all it may take: a cut is
/// judged at every call of it.
const MUTANTS: &[(&str, &Scene)] = &[
    ("message-not-synced", &scene::RECEIVE),
    ("message-renamed-before-its-sync", &scene::RECEIVE),
    ("message-folder-not-synced", &scene::RECEIVE),
    ("new-mailbox-not-synced", &scene::RECEIVE),
    ("reply-before-the-sync", &scene::RECEIVE),
    ("failed-sync-tried-again", &scene::FAILED_SYNC),
    ("lmtp-reply-without-the-commit", &scene::LMTP),
    ("entry-not-synced", &scene::SUBMIT),
    ("entries-folder-not-synced", &scene::SUBMIT),
    ("reply-before-the-commit", &scene::SUBMIT),
    ("attempt-not-synced", &scene::RELAY),
    ("attempt-recorded-late", &scene::RELAY),
    ("removed-before-the-final-reply", &scene::RELAY),
    ("removal-not-synced", &scene::RELAY),
    ("bounce-after-the-removal", &scene::BOUNCE),
    ("drop-removed-before-it-is-taken", &scene::DROP),
    ("uidlist-lines-not-synced", &scene::MAILBOX),
    ("uidlist-renamed-before-its-sync", &scene::MAILBOX),
    ("uidlist-folder-not-synced", &scene::MAILBOX),
    ("ceiling-renamed-before-its-sync", &scene::MAILBOX),
    ("ceiling-folder-not-synced", &scene::MAILBOX),
    ("metadata-renamed-before-its-sync", &scene::MAILBOX),
    ("metadata-folder-not-synced", &scene::MAILBOX),
    ("flags-not-synced", &scene::MAILBOX),
    ("expunge-not-synced", &scene::MAILBOX),
    ("added-not-synced", &scene::MAILBOX),
];

/// Plays the scene with a healthy server, then with each fault that it must show.
fn judge(scene: &Scene) {
    let healthy = scene.run(None);
    show(&format!("{}: cut at {} points, all is kept", scene.name, healthy.points));
    assert_eq!(healthy.broken, None, "{}", scene.name);
    let mut missed = Vec::new();
    for (name, _) in MUTANTS.iter().filter(|(_, known)| known.name == scene.name) {
        let verdict = scene.run(Some(name));
        match verdict.broken {
            Some(finding) => show(&format!("{name}: found at point {}: {finding}", verdict.points)),
            None => missed.push(*name),
        }
    }
    assert_eq!(missed, [""; 0], "planted, and not found");
}

#[test]
fn a_power_cut_at_any_call_of_receiving_is_judged_right() {
    judge(&scene::RECEIVE);
}

#[test]
fn a_power_cut_after_a_failed_sync_is_judged_right() {
    judge(&scene::FAILED_SYNC);
}

#[test]
fn a_power_cut_at_any_call_of_lmtp_is_judged_right() {
    judge(&scene::LMTP);
}

#[test]
fn a_power_cut_at_any_call_of_submission_is_judged_right() {
    judge(&scene::SUBMIT);
}

#[test]
fn a_power_cut_at_any_call_of_relaying_is_judged_right() {
    judge(&scene::RELAY);
}

#[test]
fn a_power_cut_at_any_call_of_bouncing_is_judged_right() {
    judge(&scene::BOUNCE);
}

#[test]
fn a_power_cut_at_any_call_of_taking_a_drop_is_judged_right() {
    judge(&scene::DROP);
}

#[test]
fn a_power_cut_at_any_call_of_imap_is_judged_right() {
    judge(&scene::MAILBOX);
}

/// The table names each fault that is planted anywhere, and no other.
#[test]
fn every_planted_fault_is_in_the_table_once() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources =
        std::fs::read_dir(crates).unwrap().flat_map(|folder| files(&folder.unwrap().path().join("src")));
    let text: String = sources.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let names = text.split("planted(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let planted: BTreeSet<&str> = names.collect();
    let known: BTreeSet<&str> = MUTANTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(planted, known);
    assert_eq!(known.len(), MUTANTS.len(), "a name stands twice");
    let proof = std::fs::read_to_string(crates.parent().unwrap().join("docs/proof.md")).unwrap();
    for (name, scene) in MUTANTS {
        let row = |line: &str| {
            line.starts_with(&format!("| `{name}` |")) && line.ends_with(&format!("| {} |", scene.name))
        };
        assert!(proof.lines().any(row), "docs/proof.md does not list {name} for {}", scene.name);
    }
}

/// With the feature there is no release build, and without it the name of a fault means nothing.
#[test]
fn a_release_build_refuses_planted_faults_and_an_ordinary_one_has_none() {
    let target = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["check", "--locked", "--offline", "--package", "kings-mutants", "--target-dir"]);
        run(command.arg(target.path()).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")))
    };
    let refused = check(&["--release", "--features", "planted"]);
    assert!(!refused.status.success());
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("planted faults lose mail"), "{words}");
    check(&["--release"]).succeeded();
    assert!(!kings_mutants::planted("message-not-synced"));
}
