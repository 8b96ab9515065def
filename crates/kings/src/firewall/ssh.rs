//! Which ports SSH has here: a firewall that forgets one locks its operator out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::prepare::holder;

/// SSH's own, taken where nothing else is found.
const USUAL: u16 = 22;
/// How deep `Include` may nest; OpenSSH has the same limit.
const MAX_DEPTH: u8 = 16;
/// Servers of SSH, as the kernel names their processes.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "dropbear", "tinysshd"];

/// All that anything here points to, never none: sshd's config, what its socket unit says, a server that listens, and the
/// connection over which this very command came (`SSH_CONNECTION`).
pub(crate) fn ports() -> BTreeSet<u16> {
    let mut ports = in_config(Path::new("/etc/ssh/sshd_config"), MAX_DEPTH);
    for unit in ["/etc/systemd/system", "/run/systemd/generator"] {
        ports.extend(in_socket_units(Path::new(unit)));
    }
    let running = holder::listening().into_iter();
    ports.extend(running.filter(|held| held.is_by(&SERVERS)).map(|held| held.port));
    ports.extend(std::env::var("SSH_CONNECTION").ok().and_then(|text| of_connection(&text)));
    if ports.is_empty() {
        ports.insert(USUAL);
    }
    ports
}

/// `CLIENT PORT SERVER PORT`, as sshd(8) has it.
fn of_connection(text: &str) -> Option<u16> {
    text.split(' ').nth(3)?.parse().ok()
}

/// `Port` and `ListenAddress` of sshd_config(5), with the files that it includes.
fn in_config(file: &Path, depth: u8) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    let Some(text) = fs::read_to_string(file).ok().filter(|_| depth > 0) else { return ports };
    for line in text.lines() {
        let line = line.trim().replace(['"', '='], " ");
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
        match keyword.as_str() {
            "port" => ports.extend(words.next().and_then(|port| port.parse::<u16>().ok())),
            "listenaddress" => ports.extend(words.next().and_then(port_of)),
            "include" => {
                for pattern in words {
                    let files = matching(&file.parent().unwrap_or(Path::new("/")).join(pattern));
                    ports.extend(files.iter().flat_map(|file| in_config(file, depth - 1)));
                }
            }
            _ => {}
        }
    }
    ports.remove(&0);
    ports
}

/// `192.0.2.1:22` and `[::1]:22`; an address alone has `Port`.
fn port_of(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    if host.contains(':') && !host.ends_with(']') { None } else { port.parse().ok() }
}

/// The files of `/etc/ssh/sshd_config.d/*.conf`: one star, in the last name.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((before, behind)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let entries = fs::read_dir(pattern.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
    let fits = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind)
    };
    entries.map(|entry| entry.path()).filter(fits).collect()
}

/// `ListenStream=` of ssh.socket and what changes it, where systemd listens for sshd.
fn in_socket_units(folder: &Path) -> BTreeSet<u16> {
    let names = ["ssh.socket", "ssh.socket.d/*.conf", "sshd.socket", "sshd.socket.d/*.conf"];
    let texts = names
        .iter()
        .flat_map(|name| matching(&folder.join(name)))
        .filter_map(|file| fs::read_to_string(file).ok());
    let port = |line: &str| {
        let place = line.trim().strip_prefix("ListenStream=")?.trim();
        place.parse().ok().or_else(|| port_of(place))
    };
    texts.flat_map(|text| text.lines().filter_map(port).collect::<Vec<u16>>()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_found_in_the_config_and_in_what_it_includes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sshd_config");
        fs::create_dir(folder.path().join("more")).unwrap();
        fs::write(folder.path().join("more/a.conf"), "port=2022\n").unwrap();
        fs::write(folder.path().join("more/a.conf.old"), "port 1\n").unwrap();
        let cases: [(&str, &[u16]); 9] = [
            ("", &[]),
            ("#Port 22\n", &[]),
            ("Port 22\n  PORT \"2222\"\n", &[22, 2222]),
            ("ListenAddress 192.0.2.1:2200\nListenAddress [::1]:2201\n", &[2200, 2201]),
            ("ListenAddress 192.0.2.1\nListenAddress ::1\n", &[]),
            ("Include more/*.conf\nPort 22\n", &[22, 2022]),
            ("Include more/nothing.conf sshd_config\nPort 7\n", &[7]),
            ("Port many\nPort 0\nPort 65536\n", &[]),
            ("GatewayPorts yes\n", &[]),
        ];
        for (text, expected) in cases {
            fs::write(&file, text).unwrap();
            assert_eq!(in_config(&file, MAX_DEPTH), expected.iter().copied().collect(), "{text:?}");
        }
        assert_eq!(in_config(&folder.path().join("none"), MAX_DEPTH), BTreeSet::new());
    }

    #[test]
    fn a_socket_unit_and_the_connection_of_the_operator_tell_ports_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ssh.socket.d")).unwrap();
        let text =
            "[Socket]\nListenStream=\nListenStream=0.0.0.0:2200\nListenStream=[::]:2201\nListenStream=2202\n";
        fs::write(folder.path().join("ssh.socket.d/port.conf"), text).unwrap();
        assert_eq!(in_socket_units(folder.path()), BTreeSet::from([2200, 2201, 2202]));
        for (text, expected) in [
            ("192.0.2.9 50000 192.0.2.1 2222", Some(2222)),
            ("192.0.2.9 50000", None),
            ("", None),
            ("a b c d", None),
        ] {
            assert_eq!(of_connection(text), expected, "{text:?}");
        }
    }

    #[test]
    fn somebody_is_always_let_in() {
        assert!(!ports().is_empty());
    }
}
