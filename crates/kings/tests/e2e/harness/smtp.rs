//! A raw SMTP client: it says exactly what a test tells it to.

use std::io;
use std::net::SocketAddr;

use super::Certificates;
use super::stream::Stream;

/// What the server answered: its code, and the text of all lines.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Reply {
    /// Panics unless the reply starts like `550 5.1.1`.
    #[track_caller]
    pub(crate) fn is(&self, start: &str) {
        let whole = format!("{} {}", self.code, self.text);
        assert!(whole.starts_with(start), "expected {start:?}, got {whole:?}");
    }
}

/// One SMTP connection.
pub(crate) struct Smtp(Stream);

impl Smtp {
    /// Connects and reads the greeting.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect_silently(address)?;
        client.reply()?;
        Ok(client)
    }

    /// Connects and leaves the greeting unread: with PROXY the client speaks first.
    pub(crate) fn connect_silently(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(Stream::connect(address)?))
    }

    /// Goes on under TLS, after `STARTTLS` was answered with 220 or before the greeting.
    pub(crate) fn secure(self, certificates: &Certificates) -> Self {
        Self(self.0.secure(certificates))
    }

    /// Our port of the connection.
    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    /// Sends a line and reads the reply.
    pub(crate) fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes)
    }

    /// Says goodbye to TLS, then sends in clear; gives what the server answers to that, `None` when it closes.
    pub(crate) fn end_tls_and_send(self, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.0.end_tls_and_send(bytes)
    }

    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let line = String::from_utf8_lossy(&self.0.line()?).into_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("not a reply: {line:?}")))?;
            text.push_str(line.get(4..).unwrap_or(""));
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text });
            }
            text.push('\n');
        }
    }

    /// Sends one message; gives the first reply that refuses it, or the last one.
    ///
    /// `content` has CRLF line ends and is not dot-stuffed yet.
    pub(crate) fn message(&mut self, from: &str, to: &[&str], content: &[u8]) -> io::Result<Reply> {
        let mut reply = self.command(&format!("MAIL FROM:<{from}>"))?;
        for recipient in to {
            if reply.code >= 400 {
                return Ok(reply);
            }
            reply = self.command(&format!("RCPT TO:<{recipient}>"))?;
        }
        if reply.code >= 400 {
            return Ok(reply);
        }
        reply = self.command("DATA")?;
        if reply.code != 354 {
            return Ok(reply);
        }
        self.send(&stuffed(content))?;
        self.reply()
    }
}

/// The content as DATA carries it (RFC 5321 §4.5.2), with its end.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
