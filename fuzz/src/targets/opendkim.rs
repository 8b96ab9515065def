//! Targets for OpenDKIM's files: its config, its tables and its lists of hosts.

use std::net::IpAddr;

use kings_msgauth::dkim::opendkim::conf::{self, DataSet, Setting};
use kings_msgauth::dkim::opendkim::{Addresses, Hosts, KeySource, Matching, SigningTable, key_table};

/// What is read of a file, written again, is read again; nothing of a comment or of another line gets into a value.
pub fn opendkim_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let settings: Vec<Setting<'_>> = conf::settings(&text).collect();
    assert!(settings.is_sorted_by(|a, b| a.line < b.line));
    let written: String =
        settings.iter().map(|one| format!("{}\t{}\n", one.name, one.value.unwrap_or_default())).collect();
    let again: Vec<_> = conf::settings(&written).map(|one| (one.name, one.value)).collect();
    assert_eq!(again, settings.iter().map(|one| (one.name, one.value)).collect::<Vec<_>>());
    for Setting { name, value, .. } in settings {
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{name:?}");
        let Some(value) = value else { continue };
        assert!(
            value == value.trim() && !value.is_empty() && !value.contains(['#', '\r', '\n']),
            "{value:?}"
        );
        let _ = conf::flag(value);
        if let DataSet::List(list) = DataSet::parse(value) {
            let names = conf::field_names(list.split(',').map(str::trim), &["from".to_owned()]);
            assert!(names.iter().all(|name| !name.contains(|letter: char| letter.is_ascii_uppercase())));
        }
    }
}

/// Whatever a table says, it is asked without a panic; a key is never repeated in a complaint.
pub fn opendkim_tables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match key_table(&text) {
        Ok(entries) => {
            for entry in entries {
                let (KeySource::File(path) | KeySource::FileOfAuthor(path)) = entry.key else { continue };
                assert!(path.starts_with(['/', '.']), "{path:?}");
            }
        }
        Err(complaints) => assert!(complaints.iter().all(|bad| bad.to_string().len() < 300)),
    }
    for matching in [Matching::Plain, Matching::Wildcards] {
        let table = SigningTable::parse(&text, matching).ok();
        if let Some(table) = &table {
            for author in ["ann@a.example.org", "Ann@EXAMPLE.org", "none"] {
                let (first, every) = (table.keys(author, false), table.keys(author, true));
                assert_eq!(first.first(), every.first());
                assert!(first.len() <= 1);
            }
        }
        let addresses = Addresses::parse(&text, matching);
        assert_eq!(addresses.contains("ann@a.example.org"), addresses.contains("Ann@A.Example.ORG"));
        assert!(!addresses.is_empty() || !addresses.contains("ann@a.example.org"));
        let (hosts, _) = Hosts::parse(&text, matching);
        for address in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().expect("an address");
            assert!(!hosts.contains(address, None) || hosts.contains(address, Some("a.example.org")));
        }
    }
}
