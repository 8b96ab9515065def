//! One connection to a server, in clear or under TLS, with deadlines.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::Certificates;

/// A server that says nothing for so long is taken for dead.
const DEADLINE: Duration = Duration::from_secs(30);

/// Bytes both ways; reading is by line or by count.
pub(crate) struct Stream {
    socket: Socket,
    received: Vec<u8>,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, DEADLINE)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket: Socket::Plain(socket), received: Vec::new() })
    }

    /// Goes on under TLS; the handshake happens with the first byte.
    pub(crate) fn secure(self, certificates: &Certificates) -> Self {
        let Socket::Plain(socket) = self.socket else { panic!("TLS inside TLS") };
        assert!(self.received.is_empty(), "the server spoke before the handshake");
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(certificates.client(), name).unwrap();
        Self { socket: Socket::Tls(Box::new(StreamOwned::new(connection, socket))), received: Vec::new() }
    }

    /// Our port of it.
    pub(crate) fn port(&self) -> u16 {
        let socket = match &self.socket {
            Socket::Plain(socket) => socket,
            Socket::Tls(socket) => &socket.sock,
        };
        socket.local_addr().unwrap().port()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(socket) => socket.write_all(bytes),
            Socket::Tls(socket) => socket.write_all(bytes).and_then(|()| socket.flush()),
        }
    }

    /// Says goodbye to TLS, then sends in clear; gives what the server says in TLS or in clear after its own goodbye,
    /// `None` when it closes without a word.
    pub(crate) fn end_tls_and_send(self, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Socket::Tls(stream) = self.socket else { panic!("no TLS to end") };
        let (mut connection, mut socket) = stream.into_parts();
        connection.send_close_notify();
        connection.complete_io(&mut socket)?;
        // A server that has closed already resets the connection, which is as good.
        let _ = socket.write_all(bytes);
        let mut said = Vec::new();
        loop {
            match connection.read_tls(&mut socket) {
                Ok(count) if count > 0 => {}
                _ => break,
            }
            if connection.process_new_packets().is_err() {
                break;
            }
        }
        let _ = connection.reader().read_to_end(&mut said);
        Ok((!said.is_empty()).then_some(said))
    }

    /// One line without its CRLF, or the error `UnexpectedEof` when the server closed.
    pub(crate) fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.received.split_off(at + 2);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.truncate(at);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < count {
            self.fill()?;
        }
        let rest = self.received.split_off(count);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let count = match &mut self.socket {
            Socket::Plain(socket) => socket.read(&mut buffer)?,
            Socket::Tls(socket) => socket.read(&mut buffer)?,
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}
