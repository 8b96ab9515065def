//! The PROXY header apart from sockets, so that any octets may be tried as one.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::{Header, read_header};

/// The client a header speaks for, and the server that this client connected to.
pub type Proxied = (SocketAddr, SocketAddr);

/// Reads a PROXY header from `octets`, of which `at_once` come at a time. Gives whom it names, if anybody, and how many
/// octets it took; `None` when it is not whole or not a header.
pub fn try_proxy_header(octets: &[u8], at_once: usize) -> Option<(Option<Proxied>, usize)> {
    let mut source = Source { rest: octets, at_once };
    let header = {
        let reading = pin!(read_header(&mut source));
        // What is there is there: such a source never lets anybody wait.
        let Poll::Ready(header) = reading.poll(&mut Context::from_waker(Waker::noop())) else { return None };
        header.ok()?
    };
    let addresses = match header {
        Header::Local => None,
        Header::Proxied { client, server } => Some((client, server)),
    };
    Some((addresses, octets.len() - source.rest.len()))
}

/// Octets that are there at once, in pieces.
struct Source<'a> {
    rest: &'a [u8],
    at_once: usize,
}

impl AsyncRead for Source<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.rest.len().min(self.at_once).min(buffer.remaining());
        let (piece, rest) = self.rest.split_at(count);
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}
