//! The layers of ARCHITECTURE.md hold.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;

use xtask::layers::{LAYERS, dependencies, faults};
use xtask::sources;

#[test]
fn a_crate_uses_only_crates_below_it() {
    assert_eq!(faults(&dependencies().unwrap()), Vec::<String>::new());
}

#[test]
fn the_rule_itself_catches_each_kind_of_breach() {
    let broken = BTreeMap::from([
        ("kings-mail".to_owned(), vec!["kings-dns".to_owned()]),
        ("kings-smtp".to_owned(), vec!["tokio".to_owned()]),
        ("kings-store".to_owned(), vec!["anyhow".to_owned()]),
        ("kings-common".to_owned(), vec![]),
    ]);
    assert_eq!(faults(&broken).len(), 4);
}

#[test]
fn the_pure_layers_forbid_clock_files_and_sockets_alike() {
    let rules = |name: &str| {
        let folder = name.strip_prefix("kings-").unwrap();
        fs::read_to_string(sources::root().join(format!("crates/{folder}/clippy.toml"))).unwrap_or_default()
    };
    let first = rules("kings-mail");
    for forbidden in ["SystemTime::now", "Instant::now", "std::fs::File", "TcpStream"] {
        assert!(first.contains(forbidden), "{forbidden}");
    }
    for (name, layer, _) in LAYERS {
        assert_eq!(rules(name) == first, *layer <= 1, "{name}");
    }
}

#[test]
fn the_public_api_of_the_state_crates_shows_no_path_and_no_file() {
    for folder in ["store", "queue", "directory"] {
        for source in sources::files(&[&format!("crates/{folder}/src")], &["rs"]) {
            let code = source.text.split("#[cfg(test)]").next().unwrap();
            for line in code.lines().filter(|line| {
                line.trim_start().starts_with("pub fn ") || line.trim_start().starts_with("pub async fn ")
            }) {
                let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
                let shows = words.any(|word| ["Path", "PathBuf", "File", "OwnedFd"].contains(&word));
                // Settings that they are opened with name paths.
                let is_setting = [
                    "pub fn new(root: impl Into<PathBuf>",
                    "pub fn parse(text: &str, folder: &Path)",
                    "pub fn parse_for_hosts(text: &str, folder: &Path)",
                ]
                .iter()
                .any(|setting| line.contains(setting));
                assert!(!shows || is_setting, "{}: {line}", source.path);
            }
        }
    }
}

#[test]
fn only_the_policy_file_of_the_mail_flow_builds_refusals_from_facts() {
    let policy = fs::read_to_string(sources::root().join("crates/mta/src/policy.rs")).unwrap();
    for decided in ["RELAY_DENIED", "UNKNOWN_USER", "AUTHOR_NOT_YOURS", "TOO_MANY_RECIPIENTS"] {
        assert!(policy.contains(decided));
        for file in
            ["receive.rs", "receive/whole.rs", "submit.rs", "connection.rs", "intake.rs", "transaction.rs"]
        {
            let text = fs::read_to_string(sources::root().join("crates/mta/src").join(file)).unwrap();
            assert!(!text.contains(decided), "{file} decides {decided}");
        }
    }
}

#[test]
fn protocols_know_neither_accounts_nor_paths() {
    for source in
        sources::files(&["crates/smtp/src", "crates/imap/src", "crates/pop3/src", "crates/sasl/src"], &["rs"])
    {
        for word in ["std::path", "PathBuf", "kings_directory", "kings_store"] {
            assert!(!source.text.contains(word), "{} mentions {word}", source.path);
        }
    }
}
