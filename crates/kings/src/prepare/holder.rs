//! Who holds a port or a socket file, as the kernel tells it in `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use kings_net::Place;

use crate::firewall::{Opening, Protocol};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    name: String,
    pid: u32,
}

impl Holder {
    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is we.
    pub(crate) fn is_this_process(&self) -> bool {
        self.pid == std::process::id()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Those who have a socket there; none where we may not know. Of a port all its addresses count: whoever has one of them
/// is who is looked for.
pub(crate) fn of(place: &Place) -> Vec<Holder> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let sockets: BTreeSet<String> = match place {
        Place::Tcp(address) => {
            let tables = read("/proc/net/tcp") + &read("/proc/net/tcp6");
            tables.lines().filter_map(|line| of_port(line, *address)).collect()
        }
        Place::Unix(path) => read("/proc/net/unix").lines().filter_map(|line| of_file(line, path)).collect(),
    };
    if sockets.is_empty() { Vec::new() } else { processes_with(&sockets) }
}

/// A port that something waits at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) port: u16,
    protocol: Protocol,
    /// Others than this machine reach it.
    pub(crate) is_outside: bool,
    holders: Vec<Holder>,
}

impl Listening {
    pub(crate) fn opening(&self) -> Opening {
        Opening { port: self.port, protocol: self.protocol }
    }

    /// Whether one of these programs has it.
    pub(crate) fn is_by(&self, names: &[&str]) -> bool {
        self.holders.iter().any(|holder| names.contains(&holder.name.as_str()))
    }

    /// Who has it, by name.
    pub(crate) fn holders(&self) -> String {
        let names: BTreeSet<&str> = self.holders.iter().map(|holder| holder.name.as_str()).collect();
        if names.is_empty() {
            return "a program that only root may look at".to_owned();
        }
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// From here on the kernel gives ports to those who ask for none; what is there over UDP is mostly a question that waits for
/// its answer.
const FIRST_PASSING: u16 = 32_768;
/// Clients of DHCP; the rules of the firewall know them.
const DHCP: [u16; 2] = [68, 546];

/// All that waits for connections or datagrams, each port once for each of outside and inside.
pub(crate) fn listening() -> Vec<Listening> {
    let mut found: BTreeMap<(u16, Protocol, bool), BTreeSet<String>> = BTreeMap::new();
    for (file, protocol) in
        [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)]
    {
        let table = fs::read_to_string(Path::new("/proc/net").join(file)).unwrap_or_default();
        for (port, is_outside, inode) in table.lines().filter_map(|line| waiting(line, protocol)) {
            found.entry((port, protocol, is_outside)).or_default().insert(inode);
        }
    }
    let listening = |((port, protocol, is_outside), sockets): ((u16, Protocol, bool), BTreeSet<String>)| {
        Listening { port, protocol, is_outside, holders: processes_with(&sockets) }
    };
    found.into_iter().map(listening).collect()
}

/// Port, whether others reach it, and socket of a line that waits for anybody: in state 0A (listening) of TCP, 07 of UDP.
fn waiting(line: &str, protocol: Protocol) -> Option<(u16, bool, String)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, state, ..] = words.as_slice() else { return None };
    let (address, port) = local.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let waits = match protocol {
        Protocol::Tcp => *state == "0A",
        Protocol::Udp => *state == "07" && port < FIRST_PASSING && !DHCP.contains(&port),
    };
    // The octets of each word of 32 bits stand in the order of the machine: 127.0.0.1 and ::ffff:127.0.0.1 end in 7F.
    let is_v4 = address.len() == 8 || address.starts_with("0000000000000000FFFF0000");
    let is_loopback =
        if is_v4 { address.ends_with("7F") } else { address == "00000000000000000000000001000000" };
    waits.then(|| (port, !is_loopback, words.get(9).copied().unwrap_or_default().to_owned()))
}

/// The socket of a line of `/proc/net/tcp` whose local port is this one: `0: 0100007F:0019 00000000:0000 0A ... INODE`.
fn of_port(line: &str, address: SocketAddr) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(port, 16).ok()? == address.port();
    // What nobody has any more, but for the kernel, has the number 0.
    words.nth(7).filter(|inode| is_it && *inode != "0").map(str::to_owned)
}

/// The same of `/proc/net/unix`: `0000: 00000002 00000000 00010000 0001 01 INODE PATH`. We make a socket file as `PATH.new`
/// and rename it, which the kernel does not show.
fn of_file(line: &str, path: &Path) -> Option<String> {
    let at = &line[line.find('/')?..];
    let is_it = [at, at.strip_suffix(".new").unwrap_or(at)].iter().any(|at| Path::new(at) == path);
    line.split_ascii_whitespace().nth(6).filter(|_| is_it).map(str::to_owned)
}

fn processes_with(sockets: &BTreeSet<String>) -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let holder = |process: fs::DirEntry| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(process.path().join("fd")).ok()?;
        let has_it = files.flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
            inode.is_some_and(|inode| sockets.contains(inode))
        });
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        has_it.then(|| Holder { name: name.trim().to_owned(), pid })
    };
    let mut holders: Vec<Holder> = processes.flatten().filter_map(holder).collect();
    holders.sort();
    holders
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn whoever_has_a_port_or_a_socket_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a socket");
        let file = UnixListener::bind(&path).unwrap();
        let ports = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).unwrap());
        let mut places = vec![Place::Unix(path)];
        places.extend(ports.iter().map(|port| Place::Tcp(port.local_addr().unwrap())));
        for place in &places {
            let holders = of(place);
            assert!(holders.iter().any(|holder| holder.pid == std::process::id()), "{place}: {holders:?}");
        }
        drop((file, ports));
        for place in &places {
            let holders = of(place);
            assert!(holders.iter().all(|holder| holder.pid != std::process::id()), "{place}: {holders:?}");
        }
    }

    #[test]
    fn what_waits_is_told_with_its_reach_and_what_is_connected_or_passing_is_not() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n"
            )
        };
        let cases = [
            ("00000000:0019", "0A", Protocol::Tcp, Some((25, true))),
            ("0100007F:0019", "0A", Protocol::Tcp, Some((25, false))),
            ("00000000000000000000000000000000:0019", "0A", Protocol::Tcp, Some((25, true))),
            ("00000000000000000000000001000000:0019", "0A", Protocol::Tcp, Some((25, false))),
            ("0000000000000000FFFF00000100007F:0019", "0A", Protocol::Tcp, Some((25, false))),
            ("00000000:0019", "01", Protocol::Tcp, None),
            ("00000000:CA6C", "07", Protocol::Udp, None),
            ("00000000:14E9", "07", Protocol::Udp, Some((5353, true))),
            ("00000000:0044", "07", Protocol::Udp, None),
        ];
        for (local, state, protocol, expected) in cases {
            let expected = expected.map(|(port, is_outside)| (port, is_outside, "4711".to_owned()));
            assert_eq!(waiting(&line(local, state), protocol), expected, "{local} {state}");
        }
        assert_eq!(waiting("  sl  local_address rem_address   st tx_queue rx_queue", Protocol::Tcp), None);
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let own = listening().into_iter().find(|found| found.port == port).unwrap();
        assert!(!own.is_outside && own.holders.iter().any(Holder::is_this_process), "{own:?}");
    }
}
