//! The ports that the start of an SSH server names: `ListenStream=` of its socket unit, `-p` of its command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::config::{port, port_of};
use super::pattern;

/// Where systemd looks for units; all of them are read, whichever wins.
const FOLDERS: [&str; 9] = [
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/run/systemd/generator.early",
    "/run/systemd/generator.late",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Distributions differ in the name.
const NAMES: [&str; 3] = ["ssh", "sshd", "dropbear"];
/// Options of the command line, for scripts of init and for the unit.
const DEFAULTS: [&str; 6] = [
    "/etc/default/ssh",
    "/etc/default/sshd",
    "/etc/default/dropbear",
    "/etc/sysconfig/sshd",
    "/etc/conf.d/sshd",
    "/etc/dropbear/dropbear.conf",
];

/// All that files say.
pub(super) fn ports() -> BTreeSet<u16> {
    let mut ports: BTreeSet<u16> = FOLDERS.iter().flat_map(|folder| of_folder(Path::new(folder))).collect();
    ports.extend(DEFAULTS.iter().flat_map(|file| of_command_lines(&text(Path::new(file)))));
    ports
}

fn of_folder(folder: &Path) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for name in NAMES {
        for (kind, read) in
            [("socket", of_socket as fn(&str) -> BTreeSet<u16>), ("service", of_command_lines)]
        {
            for pattern in [format!("{name}.{kind}"), format!("{name}.{kind}.d/*.conf")] {
                let files = pattern::expand(&folder.join(pattern));
                ports.extend(files.iter().flat_map(|file| read(&text(file))));
            }
        }
    }
    ports
}

fn text(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

/// `ListenStream=22`, `=0.0.0.0:22`, `=[::]:22`
fn of_socket(text: &str) -> BTreeSet<u16> {
    let place = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        port(value).or_else(|| port_of(value)).filter(|_| key.trim() == "ListenStream")
    };
    text.lines().filter_map(place).collect()
}

/// `-p 22`, `-p22`, `-o Port=22`, `-oPort=22`, dropbear's `-p 192.0.2.1:22` and `DROPBEAR_PORT=22`.
fn of_command_lines(text: &str) -> BTreeSet<u16> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let words =
        lines.flat_map(|line| line.split([' ', '\t', '=', '"', '\''])).filter(|word| !word.is_empty());
    let mut ports = BTreeSet::new();
    let mut is_port = false;
    for word in words {
        if is_port {
            ports.extend(port(word).or_else(|| port_of(word)));
        }
        is_port = matches!(word.to_ascii_lowercase().as_str(), "-p" | "-oport" | "port" | "dropbear_port");
        ports.extend(word.strip_prefix("-p").and_then(|word| port(word).or_else(|| port_of(word))));
    }
    ports
}

/// The ports of socket units for SSH among those that `systemctl show --property=Id,Listen,Triggers` tells of, one after the
/// other: the first process listens for them, so that no table of the kernel says whose they are.
pub(super) fn of_running(text: &str) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for unit in text.split("\n\n") {
        let is_for_ssh = |line: &str| {
            let named = line.strip_prefix("Id=").or_else(|| line.strip_prefix("Triggers="));
            named.is_some_and(|names| {
                names.split(' ').any(|name| {
                    NAMES
                        .iter()
                        .any(|ssh| name.strip_prefix(ssh).is_some_and(|rest| rest.starts_with(['.', '@'])))
                })
            })
        };
        if unit.lines().any(is_for_ssh) {
            let listens = unit.lines().filter_map(|line| line.strip_prefix("Listen="));
            let places = listens.filter_map(|line| line.strip_suffix(" (Stream)"));
            ports.extend(places.filter_map(port_of));
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_socket_unit_tells_its_ports() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "ssh.socket",
                "[Socket]\n# ListenStream=1\nListenStream = 22\nListenStream=/run/ssh\nListenStream=vsock::5\n",
            ),
            (
                "ssh.socket.d/port.conf",
                "[Socket]\nListenStream=\nListenStream=0.0.0.0:2200\nListenStream=[::]:2201\n",
            ),
            (
                "sshd.service.d/a.conf",
                "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -p 2203 -oPort=2204\n",
            ),
            ("other.socket", "[Socket]\nListenStream=80\n"),
            ("ssh.socket.d/old", "[Socket]\nListenStream=81\n"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(of_folder(folder.path()), BTreeSet::from([22, 2200, 2201, 2203, 2204]));
        assert_eq!(of_folder(&folder.path().join("none")), BTreeSet::new());
    }

    #[test]
    fn a_command_line_tells_its_ports() {
        let cases: [(&str, &[u16]); 10] = [
            ("SSHD_OPTS=\"-p 2222\"\n", &[2222]),
            ("SSHD_OPTS='-4 -p2222 -o Port=2223'\n", &[2222, 2223]),
            ("OPTIONS=-oPort=2222\n", &[2222]),
            ("DROPBEAR_PORT=2222\nDROPBEAR_EXTRA_ARGS=\"-p 192.0.2.1:2223 -w\"\n", &[2222, 2223]),
            ("ExecStart=/usr/sbin/sshd -D -p 0\n", &[]),
            ("# SSHD_OPTS=\"-p 2222\"\n", &[]),
            ("SSHD_OPTS=\"-f /etc/ssh/2222\"\n", &[]),
            ("SSHD_OPTS=\"-p many 2222\"\n", &[]),
            ("SSHD_OPTS=\n", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(of_command_lines(text), expected.iter().copied().collect(), "{text:?}");
        }
    }

    #[test]
    fn of_what_the_first_process_listens_for_only_ssh_counts() {
        let text = "Id=dbus.socket\nTriggers=dbus.service\nListen=/run/dbus/system_bus_socket (Stream)\n\n\
            Id=ssh.socket\nTriggers=ssh.service\nListen=0.0.0.0:2222 (Stream)\nListen=[::]:2223 (Stream)\n\n\
            Id=operator.socket\nTriggers=sshd@1.service\nListen=[::]:2224 (Stream)\nListen=[::]:2225 (Datagram)\n\n\
            Id=sshguard.socket\nTriggers=sshguard.service\nListen=[::]:2226 (Stream)\n\n\
            Id=rpcbind.socket\nTriggers=rpcbind.service\nListen=0.0.0.0:111 (Stream)\n";
        assert_eq!(of_running(text), BTreeSet::from([2222, 2223, 2224]));
        assert_eq!(of_running(""), BTreeSet::new());
    }
}
