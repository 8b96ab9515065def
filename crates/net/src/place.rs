//! Where a server listens, and how to begin.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel holds ready for us.
const BACKLOG: i32 = 1024;

/// An address with its port, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// TCP; port 0 is one of the kernel's choice.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

/// The text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address with its port nor unix: and an absolute path")]
pub struct BadPlace;

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(BadPlace),
            None => text.parse().map(Self::Tcp).map_err(|_| BadPlace),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who may open a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permissions, as `chmod` takes them.
    pub mode: u32,
    /// Owner and group by number; `None` leaves what the kernel gives.
    pub owner: Option<u32>,
    /// See `owner`.
    pub group: Option<u32>,
}

/// A socket that listens.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A socket file.
    Unix(UnixListener),
}

/// The place cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {cause}")]
pub struct BindError {
    /// As the config names it.
    pub place: Place,
    /// What the kernel said.
    pub cause: io::Error,
}

/// Binds without a runtime, so that it can happen before the process gives up its rights. Gives the place with the
/// port that the kernel chose. `access` is for socket files.
pub fn bind(place: &Place, access: Access) -> Result<(Bound, Place), BindError> {
    let bound = match place {
        Place::Tcp(address) => bind_tcp(*address),
        Place::Unix(path) => bind_file(path, access).map(|socket| (Bound::Unix(socket), place.clone())),
    };
    bound.map_err(|cause| BindError { place: place.clone(), cause })
}

/// `[::]` takes IPv4 as well, whatever the system's default is.
fn bind_tcp(address: SocketAddr) -> io::Result<(Bound, Place)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket: TcpListener = socket.into();
    let place = Place::Tcp(socket.local_addr()?);
    Ok((Bound::Tcp(socket), place))
}

/// Made under another name and moved into place: nobody finds it before its permissions are right, and a file that a
/// server left behind goes at the same moment.
fn bind_file(path: &Path, access: Access) -> io::Result<UnixListener> {
    if is_served(path)? {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&new)?;
    socket.set_nonblocking(true)?;
    chown(&new, access.owner, access.group)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(access.mode))?;
    std::fs::rename(&new, path)?;
    Ok(socket)
}

/// Whether somebody answers there. What is no socket is not ours to replace.
fn is_served(path: &Path) -> io::Result<bool> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ACCESS: Access = Access { mode: 0o620, owner: None, group: None };

    #[test]
    fn a_place_is_an_address_or_a_socket_file() {
        let cases = ["127.0.0.1:24", "[::]:25", "unix:/run/kings-smtp/lmtp.sock"];
        for text in cases {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()).as_deref(), Ok(text));
        }
        for text in ["24", "localhost:24", "unix:lmtp.sock", "unix:", "/run/lmtp.sock"] {
            assert_eq!(text.parse::<Place>(), Err(BadPlace), "{text}");
        }
    }

    #[test]
    fn a_socket_file_has_its_permissions_and_replaces_only_a_dead_one() {
        let folder = std::env::temp_dir().join(format!("kings-net-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let place = Place::Unix(path.clone());
        let (first, _) = bind(&place, ACCESS).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        assert_eq!(bind(&place, ACCESS).unwrap_err().cause.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&place, ACCESS).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mail").unwrap();
        assert_eq!(bind(&place, ACCESS).unwrap_err().cause.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"mail");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
