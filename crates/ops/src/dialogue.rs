//! A client that says a line and hears lines: enough to test a server as a stranger would, with none of its code.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kings_mail::domain::Domain;
use kings_net::{Stream, receive};
use kings_tls::{ClientTls, Trust};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

/// Longest wait for any answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most that is heard without a line end or in one literal.
const MAX_INPUT: usize = 4 * 1024 * 1024;

/// One connection.
pub(crate) struct Dialogue {
    stream: Stream,
    input: Vec<u8>,
}

impl Dialogue {
    /// Connects with TLS from the first byte; any certificate will do, since a trial has none of its own.
    pub(crate) async fn open(address: SocketAddr, hostname: &Domain, tls: &ClientTls) -> io::Result<Self> {
        Self::connect(address).await?.secure(hostname, tls.config(Trust::Anyone)).await
    }

    /// Connects in clear.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let connect = async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok::<_, io::Error>(Stream::Plain(socket))
        };
        Ok(Self { stream: timeout(PATIENCE, connect).await??, input: Vec::new() })
    }

    /// Connects in clear from one of this machine's own addresses.
    pub(crate) async fn connect_from(from: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = timeout(PATIENCE, socket.connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Stream::Plain(stream), input: Vec::new() })
    }

    /// Connects to a socket file.
    pub(crate) async fn connect_unix(path: &Path) -> io::Result<Self> {
        let stream = Stream::Unix(timeout(PATIENCE, UnixStream::connect(path)).await??);
        Ok(Self { stream, input: Vec::new() })
    }

    /// Goes on under TLS. What was heard before is thrown away (RFC 3207 §4.2).
    pub(crate) async fn secure(self, hostname: &Domain, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(hostname.as_str().to_owned()).map_err(io::Error::other)?;
        let stream = timeout(PATIENCE, self.stream.connect_tls(config, name)).await??;
        Ok(Self { stream, input: Vec::new() })
    }

    /// What carries it.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Says bytes as they are.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, write).await?
    }

    /// The next line without its CRLF.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.hear().await?;
        }
    }

    /// Exactly so many octets, as behind `{123}`.
    pub(crate) async fn octets(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < count {
            self.hear().await?;
        }
        Ok(self.input.drain(..count).collect())
    }

    async fn hear(&mut self) -> io::Result<()> {
        let input = &mut self.input;
        let count =
            timeout(PATIENCE, receive(&mut self.stream, |bytes| input.extend_from_slice(bytes))).await??;
        match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if self.input.len() > MAX_INPUT => Err(io::Error::other("the server does not stop talking")),
            _ => Ok(()),
        }
    }
}
