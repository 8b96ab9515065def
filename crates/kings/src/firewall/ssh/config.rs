//! The ports of sshd_config(5), with all that it includes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::pattern;

/// `Port`, and `ListenAddress` where it has one, in this file and the ones that it includes, whatever condition they stand
/// under: one port too many shuts nobody out.
pub(super) fn ports(file: &Path) -> BTreeSet<u16> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut ports = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut left = vec![file.to_owned()];
    while let Some(file) = left.pop() {
        // Files that include each other end here.
        if !seen.insert(file.clone()) {
            continue;
        }
        // A comment in Latin-1 must not hide what stands below it.
        let text = fs::read(&file).unwrap_or_default();
        read(&String::from_utf8_lossy(&text), &mut ports, |pattern| {
            // Relative ones are meant from /etc/ssh, wherever the file lies that names them.
            left.extend(pattern::expand(&folder.join(pattern)));
        });
    }
    ports
}

/// What `sshd -T` prints is written in the same words.
pub(super) fn read(text: &str, ports: &mut BTreeSet<u16>, mut include: impl FnMut(PathBuf)) {
    for line in text.lines() {
        let mut words = words(line).into_iter();
        match words.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "port" => ports.extend(words.next().and_then(|word| port(&word))),
            "listenaddress" => ports.extend(words.next().and_then(|word| port_of(&word))),
            "include" => words.for_each(|word| include(PathBuf::from(word))),
            _ => {}
        }
    }
}

/// A port that is none is 0.
pub(super) fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// `192.0.2.1:22` and `[::1]:22`; an address alone has `Port`.
pub(super) fn port_of(address: &str) -> Option<u16> {
    let (host, text) = address.rsplit_once(':')?;
    if host.contains(':') && !host.ends_with(']') { None } else { port(text) }
}

/// `keyword value`, `keyword=value`, `keyword = "a value" another`; nothing of a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    for letter in line.trim().chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => quote = Some(letter),
            (None, '#') if word.is_empty() => break,
            (None, ' ' | '\t' | '\r' | '\x0c') => words.push(std::mem::take(&mut word)),
            (None, '=') if words.iter().all(String::is_empty) || word.is_empty() => {
                words.push(std::mem::take(&mut word));
            }
            (None, _) => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_found_in_the_config_and_in_what_it_includes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sshd_config");
        for (name, text) in [
            ("more/a.conf", "port=2022\n"),
            ("more/a.conf.old", "port 1\n"),
            ("more/01-b.conf", "Port 2023\nInclude more/deep/c?conf\n"),
            ("more/deep/c.conf", "Include sshd_config more/*.conf\nListenAddress host.example:2024\n"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let all: &[u16] = &[22, 2022, 2023, 2024];
        let cases: [(&[u8], &[u16]); 17] = [
            (b"", &[]),
            (b"#Port 22\n", &[]),
            (b"Port 22 # 23\n  PORT \"2222\"\n", &[22, 2222]),
            (b"Port = 2222\r\n\tPort\t'23'\r\n", &[23, 2222]),
            (b"ListenAddress 192.0.2.1:2200\nListenAddress [::1]:2201 rdomain a\n", &[2200, 2201]),
            (b"ListenAddress 192.0.2.1\nListenAddress ::1\nListenAddress [::1]\n", &[]),
            (b"ListenAddress=host.example:7\n", &[7]),
            (b"Include more/*.conf\nPort 22\n", all),
            (b"Include \"more/*.conf\"\nPort 22\n", all),
            (b"Include */0?-*.conf\nPort 22\n", all),
            (b"Include mor[d-f]/0[!2]*.conf\nPort 22\n", all),
            (b"Include more/b.conf more/*.old\n", &[1]),
            (b"Include more/nothing.conf sshd_config\nPort 7\n", &[7]),
            (b"Match User ann\n  Include more/a.conf\n", &[2022]),
            (b"Port many\nPort 0\nPort 65536\nListenAddress a:0\n", &[]),
            (b"# caf\xe9\nPort 2222\n", &[2222]),
            (b"GatewayPorts yes\nSubsystem port 22\n", &[]),
        ];
        for (text, expected) in cases {
            fs::write(&file, text).unwrap();
            let text = String::from_utf8_lossy(text);
            assert_eq!(ports(&file), expected.iter().copied().collect(), "{text:?}");
        }
        assert_eq!(ports(&folder.path().join("none")), BTreeSet::new());
    }

    #[test]
    fn what_sshd_prints_is_understood() {
        let text =
            "port 2222\naddressfamily any\nlistenaddress [::]:2222\nlistenaddress 0.0.0.0:2223\ninclude x\n";
        let mut ports = BTreeSet::new();
        read(text, &mut ports, |_| {});
        assert_eq!(ports, BTreeSet::from([2222, 2223]));
    }
}
