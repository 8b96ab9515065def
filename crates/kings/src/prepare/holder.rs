//! Who holds a port or a socket file, as the kernel tells it in `/proc`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use kings_net::Place;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    name: String,
    pid: u32,
}

impl Holder {
    /// Whether it is we.
    pub(super) fn is_this_process(&self) -> bool {
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
pub(super) fn of(place: &Place) -> Vec<Holder> {
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
}
