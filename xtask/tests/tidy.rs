//! Small promises about every file.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

use xtask::{features, rfc, sources};

#[test]
fn every_rust_file_opens_with_what_it_is_for() {
    for source in sources::rust() {
        assert!(source.text.starts_with("//! "), "{}", source.path);
    }
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    // In halves, so that this file does not hold them itself.
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    for source in
        sources::files(&["crates", "xtask", "fuzz", "docs", "tests", "config"], &["rs", "md", "toml", "sh"])
    {
        for mark in marks {
            assert!(!source.text.contains(mark), "{} holds {mark}", source.path);
        }
    }
}

#[test]
fn every_cited_rfc_is_listed() {
    assert_eq!(rfc::unlisted().unwrap(), Vec::<String>::new());
}

#[test]
fn the_rfc_index_is_fresh() {
    let path = sources::root().join("docs/rfc.md");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == rfc::index().unwrap(), "docs/rfc.md is stale: run  cargo xtask rfc");
}

#[test]
fn every_feature_has_both_of_its_tests() {
    let rows = features::rows().unwrap();
    assert!(rows.len() > 40, "the table has {} rows", rows.len());
    assert_eq!(features::missing(&rows), Vec::<String>::new());
}

/// What a client is offered stands in docs/imap.md, and nothing else does.
#[test]
fn every_capability_of_imap_is_listed_with_its_test() {
    let rows = features::capabilities().unwrap();
    assert_eq!(features::missing(&rows), Vec::<String>::new());
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(listed.len(), rows.len(), "a capability is listed twice");
    // Transcripts hold what the session says: under TLS, in clear, with every mechanism, after the login.
    let transcripts = sources::files(&["crates/imap/tests/transcripts"], &["imap"]);
    let offered: BTreeSet<&str> = transcripts
        .iter()
        .flat_map(|transcript| transcript.text.lines())
        .filter_map(|line| line.split_once("[CAPABILITY ").or(line.split_once("* CAPABILITY ")))
        .flat_map(|(_, words)| words.split(']').next().unwrap_or_default().split_whitespace())
        .map(|word| if word.starts_with("APPENDLIMIT=") { "APPENDLIMIT" } else { word })
        .collect();
    assert_eq!(listed, offered);
}
