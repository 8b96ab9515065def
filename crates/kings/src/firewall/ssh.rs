//! Which ports SSH has here: a firewall that forgets one locks its operator out.

mod config;
mod memory;
mod pattern;
mod units;

use std::collections::BTreeSet;
use std::path::Path;

use super::{FirewallError, ask};
use crate::prepare::holder::{self, Held};

/// SSH's own. It is let in always: a port that nobody listens at costs nothing, and whether sshd comes up there
/// after the next boot is not to be told for certain.
const USUAL: u16 = 22;
/// Servers of SSH, as the kernel names their processes.
const SERVERS: [&str; 5] = ["sshd", "sshd-session", "sshd-auth", "dropbear", "tinysshd"];

/// Where SSH is, by all that anything here points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Never empty.
    pub(crate) open: BTreeSet<u16>,
    /// Those of a server that runs, or of the operator's own connection: no file needs to name them.
    seen: BTreeSet<u16>,
}

impl Ports {
    /// Looks at sshd's config, by its own eyes and ours; at what starts it; at servers that listen and the connections that
    /// they hold; and at what was seen the last time, where nothing is seen now, as at boot.
    pub(crate) fn of_this_machine() -> Self {
        let mut open = config::ports(Path::new("/etc/ssh/sshd_config"));
        // It knows compiled-in rules that we do not; it answers to root alone, and at boot only after its folder in /run is there.
        if let Some(text) = ask("sshd", &["-T"]) {
            config::read(&text, &mut open, |_| {});
        }
        open.extend(units::ports());
        Self::new(open, seen(), &memory::recall())
    }

    fn new(mut open: BTreeSet<u16>, seen: BTreeSet<u16>, remembered: &BTreeSet<u16>) -> Self {
        open.insert(USUAL);
        open.extend(if seen.is_empty() { remembered } else { &seen });
        Self { open, seen }
    }

    /// Keeps what was seen for the unit that runs at boot, which sees nothing.
    pub(crate) fn remember(&self) -> Result<(), FirewallError> {
        if self.seen.is_empty() { Ok(()) } else { memory::keep(&self.seen) }
    }
}

/// What is there at this moment.
fn seen() -> BTreeSet<u16> {
    let listening: Vec<Held> = holder::listening().into_iter().filter(|held| held.is_outside).collect();
    let mut ports = of_servers(&listening, &holder::connected());
    if let Some(text) = ask("systemctl", &["show", "--property=Id,Listen,Triggers", "*.socket"]) {
        ports.extend(units::of_running(&text));
    }
    // sudo takes this away, and then the connection itself is found among those of sshd.
    ports.extend(std::env::var("SSH_CONNECTION").ok().and_then(|text| of_connection(&text)));
    ports
}

/// Ports at which a server listens, and those over which one was reached, whoever listened for it. What a session of somebody
/// listens at (`ssh -R`) and what it has connected to elsewhere (`ssh -L`) are not its own.
fn of_servers(listening: &[Held], connected: &[Held]) -> BTreeSet<u16> {
    let is_server = |held: &&Held| held.is_by(&SERVERS);
    let is_forwarded =
        |held: &&Held| is_server(held) && held.command_lines().iter().all(|line| is_session(line));
    let forwarded: BTreeSet<u16> = listening.iter().filter(is_forwarded).map(|held| held.port).collect();
    let all: BTreeSet<u16> = listening.iter().map(|held| held.port).collect();
    let own = listening.iter().filter(is_server).map(|held| held.port);
    let reached = connected.iter().filter(is_server).map(|held| held.port).filter(|port| all.contains(port));
    own.chain(reached).filter(|port| !forwarded.contains(port)).collect()
}

/// sshd writes what a process of it is for where its command line was: `sshd: ann@pts/0`, `sshd-session: ann [priv]`; the one that
/// listens is `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups`, or has its command line.
fn is_session(command_line: &str) -> bool {
    let title = ["sshd: ", "sshd-session: "].iter().find_map(|name| command_line.strip_prefix(name));
    title.is_some_and(|title| !title.contains("[listener]"))
}

/// `CLIENT PORT SERVER PORT`, as sshd(8) has it.
fn of_connection(text: &str) -> Option<u16> {
    text.split(' ').nth(3).and_then(config::port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_of_the_operator_tells_its_port() {
        for (text, expected) in [
            ("192.0.2.9 50000 192.0.2.1 2222", Some(2222)),
            ("192.0.2.9 50000", None),
            ("", None),
            ("a b c d", None),
            ("a b c 0", None),
        ] {
            assert_eq!(of_connection(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_usual_port_is_always_open_and_memory_counts_where_nothing_is_seen() {
        let set = |ports: &[u16]| ports.iter().copied().collect::<BTreeSet<u16>>();
        let cases: [[&[u16]; 4]; 5] = [
            [&[], &[], &[], &[22]],
            [&[2200], &[], &[], &[22, 2200]],
            [&[], &[2201], &[2202], &[22, 2201]],
            [&[], &[], &[2202], &[22, 2202]],
            [&[2200], &[22], &[2202], &[22, 2200]],
        ];
        for [configured, seen, remembered, expected] in cases {
            let ports = Ports::new(set(configured), set(seen), &set(remembered));
            assert_eq!(ports.open, set(expected), "{configured:?} {seen:?} {remembered:?}");
        }
        assert!(Ports::of_this_machine().open.contains(&USUAL));
    }

    #[test]
    fn what_a_session_forwards_is_not_sshs() {
        let held = Held::new;
        let listening = [
            held(2222, &[("sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups")]),
            held(2223, &[("sshd", "/usr/sbin/sshd -p 2223")]),
            held(9000, &[("sshd", "sshd: ann@pts/0")]),
            held(9001, &[("sshd-session", "sshd-session: ann")]),
            held(2224, &[("systemd", "/sbin/init")]),
            held(111, &[("systemd", "/sbin/init")]),
            held(3306, &[("mysqld", "mysqld")]),
        ];
        let connected = [
            held(2224, &[("sshd", "sshd: ann [priv]"), ("sshd", "sshd: ann@pts/0")]),
            held(9000, &[("sshd", "sshd: ann@pts/0")]),
            held(40000, &[("sshd", "sshd: ann@pts/0")]),
            held(3306, &[("mysqld", "mysqld")]),
        ];
        assert_eq!(of_servers(&listening, &connected), BTreeSet::from([2222, 2223, 2224]));
        assert_eq!(of_servers(&[], &connected), BTreeSet::new());
    }
}
