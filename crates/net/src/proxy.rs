//! The PROXY header of load balancers, versions 1 and 2 (haproxy's proxy-protocol.txt).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Opens a version 2 header (proxy-protocol.txt, section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Opens a version 1 header (proxy-protocol.txt, section 2.1).
const TEXT: [u8; 6] = *b"PROXY ";
/// Longest version 1 line with its CRLF (proxy-protocol.txt, section 2.1).
const MAX_LINE: usize = 107;
/// Longest address block with its extensions that is read; larger ones are refused.
const MAX_BLOCK: usize = 4096;

/// What a balancer says of a connection it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Nothing: it speaks for itself (health checks: `LOCAL`, `UNKNOWN`).
    Local,
    /// The client it speaks for, and the address that client connected to.
    Proxied { client: SocketAddr, server: SocketAddr },
}

/// Reads exactly the header and not one byte more, since TLS may follow. Fails at the first byte that no
/// header can have there.
pub(crate) async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Header> {
    // No header is shorter than the signature: the least of version 1 is `PROXY UNKNOWN`.
    let mut start = [0; SIGNATURE.len()];
    let mut filled = 0;
    while filled < start.len() {
        match stream.read(&mut start[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if !may_begin(&start[..filled]) {
            return Err(invalid());
        }
    }
    if start == SIGNATURE {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if length > MAX_BLOCK {
            return Err(invalid());
        }
        let mut block = vec![0; length];
        stream.read_exact(&mut block).await?;
        return binary(fixed[0], fixed[1], &block).ok_or_else(invalid);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE || line.ends_with(b"\n") {
            return Err(invalid());
        }
        line.push(stream.read_u8().await?);
    }
    text(&line[..line.len() - 2]).ok_or_else(invalid)
}

/// Whether a header of either version can begin like this.
fn may_begin(start: &[u8]) -> bool {
    let is_text = start.iter().zip(TEXT).all(|(octet, expected)| *octet == expected);
    SIGNATURE.starts_with(start) || is_text
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a PROXY header")
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 25`, single spaces, nothing else.
fn text(line: &[u8]) -> Option<Header> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(Header::Local),
        ["PROXY", "TCP4", from, to, from_port, to_port] => {
            let (from, to): (Ipv4Addr, Ipv4Addr) = (from.parse().ok()?, to.parse().ok()?);
            addresses(from.into(), to.into(), from_port, to_port)
        }
        ["PROXY", "TCP6", from, to, from_port, to_port] => {
            let (from, to): (Ipv6Addr, Ipv6Addr) = (from.parse().ok()?, to.parse().ok()?);
            addresses(from.into(), to.into(), from_port, to_port)
        }
        _ => None,
    }
}

fn addresses(from: IpAddr, to: IpAddr, from_port: &str, to_port: &str) -> Option<Header> {
    let port =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let client = SocketAddr::new(from, port(from_port)?);
    Some(Header::Proxied { client, server: SocketAddr::new(to, port(to_port)?) })
}

/// Version 2: version and command, family and transport, then the addresses and extensions we skip.
fn binary(version_command: u8, family: u8, block: &[u8]) -> Option<Header> {
    match (version_command, family) {
        (0x20, _) | (0x21, 0x00) => Some(Header::Local),
        (0x21, 0x11) => {
            let (from, rest) = block.split_first_chunk::<4>()?;
            let (to, rest) = rest.split_first_chunk::<4>()?;
            ports((*from).into(), (*to).into(), rest)
        }
        (0x21, 0x21) => {
            let (from, rest) = block.split_first_chunk::<16>()?;
            let (to, rest) = rest.split_first_chunk::<16>()?;
            ports((*from).into(), (*to).into(), rest)
        }
        _ => None,
    }
}

fn ports(from: IpAddr, to: IpAddr, rest: &[u8]) -> Option<Header> {
    let ([a, b, c, d], _) = rest.split_first_chunk::<4>()?;
    let client = SocketAddr::new(from, u16::from_be_bytes([*a, *b]));
    Some(Header::Proxied { client, server: SocketAddr::new(to, u16::from_be_bytes([*c, *d])) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// What the header says, in words, and how much is left unread behind it.
    async fn read(bytes: &[u8]) -> (String, usize) {
        let mut rest = bytes;
        let header = match read_header(&mut rest).await {
            Ok(Header::Local) => "local".to_owned(),
            Ok(Header::Proxied { client, server }) => format!("{client} to {server}"),
            Err(_) => return ("invalid".to_owned(), 0),
        };
        (header, rest.len())
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("short block").to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, block].concat()
    }

    #[tokio::test]
    async fn version_one_lines_are_read_strictly() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
        let cases = [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO", "192.0.2.1:56324 to 198.51.100.1:25", 4),
            ("PROXY TCP6 2001:db8::1 ::1 4 25\r\n", "[2001:db8::1]:4 to [::1]:25", 0),
            ("PROXY UNKNOWN\r\nX", "local", 1),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "local", 0),
            ("PROXY TCP4 2001:db8::1 ::1 4 25\r\n", "invalid", 0),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n", "invalid", 0),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 25\r\n", "invalid", 0),
            ("PROXY TCP4  192.0.2.1 198.51.100.1 1 25\r\n", "invalid", 0),
            ("EHLO client.example\r\n", "invalid", 0),
            ("PROXY TCP4 192.0.2.1", "invalid", 0),
            (long.as_str(), "invalid", 0),
        ];
        for (line, expected, unread) in cases {
            assert_eq!(read(line.as_bytes()).await, (expected.to_owned(), unread), "{line}");
        }
    }

    #[tokio::test]
    async fn the_first_byte_that_cannot_be_a_header_is_the_last_one_waited_for() {
        use tokio::io::AsyncWriteExt;
        let cases: [(&[u8], bool); 10] = [
            (b"E", false),
            (b"P", true),
            (b"PROXY", true),
            (b"PROXY\r\n", false),
            (b"PROXY TCP4 1", true),
            (b"PROXY TCP4 192.0.2.1\n", false),
            (b"\r\n\r\n", true),
            (b"\r\n\r\n\0\r\nQUIT", true),
            (b"\r\n\r\n\0\r\nQUIP", false),
            (b"\x16\x03\x01", false),
        ];
        for (bytes, waits) in cases {
            // The other end stays open and says no more.
            let (mut near, mut far) = tokio::io::duplex(64);
            far.write_all(bytes).await.unwrap();
            let reading = tokio::time::timeout(std::time::Duration::from_millis(50), read_header(&mut near));
            let result = reading.await;
            assert_eq!(result.is_err(), waits, "{bytes:?}: {result:?}");
            assert!(result.is_err() || result.unwrap().is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn version_two_headers_are_read_to_their_end() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 0, 25];
        let with_extension = [v4.as_slice(), &[3, 0, 4, 1, 2, 3, 4]].concat();
        let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]; 2].concat();
        let v6 = [v6.as_slice(), &[0, 4, 0, 25]].concat();
        let cases = [
            (v2(0x21, 0x11, &v4), "192.0.2.1:56324 to 198.51.100.1:25"),
            (v2(0x21, 0x11, &with_extension), "192.0.2.1:56324 to 198.51.100.1:25"),
            (v2(0x21, 0x21, &v6), "[2001:db8::1]:4 to [2001:db8::1]:25"),
            (v2(0x20, 0x00, b""), "local"),
            (v2(0x21, 0x11, &v4[..11]), "invalid"),
            (v2(0x11, 0x11, &v4), "invalid"),
            (v2(0x21, 0x12, &v4), "invalid"),
            (v2(0x21, 0x11, &[0; MAX_BLOCK + 1]), "invalid"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(&bytes).await, (expected.to_owned(), 0), "{bytes:?}");
        }
    }
}
