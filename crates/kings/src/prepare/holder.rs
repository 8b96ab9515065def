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
    command_line: String,
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

/// A port that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) port: u16,
    protocol: Protocol,
    /// Others than this machine reach it.
    pub(crate) is_outside: bool,
    holders: Vec<Holder>,
}

impl Held {
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

    /// How those were started who have it, or what they have written in its place.
    pub(crate) fn command_lines(&self) -> Vec<&str> {
        self.holders.iter().map(|holder| holder.command_line.as_str()).collect()
    }

    /// One that is reached from outside, held by processes with these names and command lines.
    #[cfg(test)]
    pub(crate) fn new(port: u16, holders: &[(&str, &str)]) -> Self {
        let holder = |(name, line): &(&str, &str)| Holder {
            name: (*name).to_owned(),
            pid: 1,
            command_line: (*line).to_owned(),
        };
        let holders = holders.iter().map(holder).collect();
        Self { port, protocol: Protocol::Tcp, is_outside: true, holders }
    }
}

/// From here on the kernel gives ports to those who ask for none; what is there over UDP is mostly a question that waits for
/// its answer.
const FIRST_PASSING: u16 = 32_768;
/// Clients of DHCP; the rules of the firewall know them.
const DHCP: [u16; 2] = [68, 546];

/// All that waits for connections or datagrams, each port once for each of outside and inside.
pub(crate) fn listening() -> Vec<Held> {
    held(|state, protocol, port| match protocol {
        Protocol::Tcp => state == "0A",
        Protocol::Udp => state == "07" && port < FIRST_PASSING && !DHCP.contains(&port),
    })
}

/// Ports of this machine over which connections of TCP from elsewhere, or to elsewhere, are held now.
pub(crate) fn connected() -> Vec<Held> {
    let mut connected = held(|state, protocol, _| protocol == Protocol::Tcp && state == "01");
    connected.retain(|held| held.is_outside);
    connected
}

/// The sockets in a state that is asked for.
fn held(is_meant: impl Fn(&str, Protocol, u16) -> bool) -> Vec<Held> {
    let mut found: BTreeMap<(u16, Protocol, bool), BTreeSet<String>> = BTreeMap::new();
    for (file, protocol) in
        [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)]
    {
        let table = fs::read_to_string(Path::new("/proc/net").join(file)).unwrap_or_default();
        for socket in table.lines().filter_map(Socket::read) {
            if is_meant(&socket.state, protocol, socket.port) {
                found.entry((socket.port, protocol, socket.is_outside)).or_default().insert(socket.inode);
            }
        }
    }
    let all = found.values().flatten().cloned().collect();
    let holders = holders(&all);
    let held = |((port, protocol, is_outside), inodes): ((u16, Protocol, bool), BTreeSet<String>)| {
        let of_them: BTreeSet<Holder> =
            inodes.iter().filter_map(|inode| holders.get(inode)).flatten().cloned().collect();
        Held { port, protocol, is_outside, holders: of_them.into_iter().collect() }
    };
    found.into_iter().map(held).collect()
}

/// A line of `/proc/net/tcp` and its like.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    port: u16,
    /// Its own address is none of loopback.
    is_outside: bool,
    state: String,
    inode: String,
}

impl Socket {
    /// `0: LOCAL:PORT REMOTE:PORT STATE ... INODE ...`
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, ..] = words.as_slice() else { return None };
        let (address, port) = local.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        // The octets of each word of 32 bits stand in the order of the machine: 127.0.0.1 and ::ffff:127.0.0.1 end in 7F.
        let is_v4 = address.len() == 8 || address.starts_with("0000000000000000FFFF0000");
        let is_loopback =
            if is_v4 { address.ends_with("7F") } else { address == "00000000000000000000000001000000" };
        let inode = words.get(9).copied().unwrap_or_default().to_owned();
        Some(Self { port, is_outside: !is_loopback, state: (*state).to_owned(), inode })
    }
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
    let all: BTreeSet<Holder> = holders(sockets).into_values().flatten().collect();
    all.into_iter().collect()
}

/// Who has which of these sockets. One look at every process, since that is what costs.
fn holders(sockets: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<Holder>> {
    let mut found: BTreeMap<String, BTreeSet<Holder>> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let inode = |file: fs::DirEntry| {
            let target = fs::read_link(file.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        };
        let own: BTreeSet<String> = files.filter_map(inode).filter(|inode| sockets.contains(inode)).collect();
        if own.is_empty() {
            continue;
        }
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).replace('\0', " ").trim().to_owned();
        let holder = Holder { name: text(read("comm")), pid, command_line: text(read("cmdline")) };
        for inode in own {
            found.entry(inode).or_default().insert(holder.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::{TcpListener, TcpStream, UdpSocket};
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
    fn a_line_of_the_kernel_tells_port_reach_and_state() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n"
            )
        };
        let cases = [
            ("00000000:0019", "0A", 25, true),
            ("0100007F:0019", "0A", 25, false),
            ("00000000000000000000000000000000:0019", "0A", 25, true),
            ("00000000000000000000000001000000:0019", "0A", 25, false),
            ("0000000000000000FFFF00000100007F:0019", "0A", 25, false),
            ("0000000000000000FFFF0000010200C0:0016", "01", 22, true),
            ("00000000:14E9", "07", 5353, true),
        ];
        for (local, state, port, is_outside) in cases {
            let expected = Socket { port, is_outside, state: state.to_owned(), inode: "4711".to_owned() };
            assert_eq!(Socket::read(&line(local, state)), Some(expected), "{local} {state}");
        }
        assert_eq!(Socket::read("  sl  local_address rem_address   st tx_queue rx_queue"), None);
    }

    #[test]
    fn what_waits_is_told_and_what_is_connected_or_passing_is_not() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let passing = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(held.local_addr().unwrap()).unwrap();
        let of = |address: SocketAddr| listening().into_iter().find(|found| found.port == address.port());
        let own = of(held.local_addr().unwrap()).unwrap();
        assert!(!own.is_outside && own.holders.iter().any(Holder::is_this_process), "{own:?}");
        assert!(own.command_lines().iter().any(|line| line.contains("kings")), "{own:?}");
        for other in [client.local_addr().unwrap(), passing.local_addr().unwrap()] {
            assert_eq!(of(other), None);
        }
        // Of connections those within this machine are none that somebody came by.
        assert!(connected().iter().all(|found| found.is_outside && !own.holders.is_empty()));
    }
}
