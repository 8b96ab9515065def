//! A connection of `net` as a plain stream that still knows how busy its listener is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kings_net::{Connection, Stream};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest handshake after STARTTLS or STLS.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(30);

/// A client's stream. Two kinds: real sockets, and any stream a caller brings (tests, pipes).
pub(crate) trait Link: AsyncRead + AsyncWrite + Unpin + Send {
    /// More than 80% of the listener's slots are taken: deadlines of strangers shrink.
    fn is_pressed(&self) -> bool;
}

/// A stream that no listener counts.
#[derive(Debug)]
pub(crate) struct Calm<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Link for Calm<S> {
    fn is_pressed(&self) -> bool {
        false
    }
}

/// A real client.
#[derive(Debug)]
pub(crate) struct Socket(Connection);

impl Socket {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// The server side of a handshake.
    pub(crate) async fn accept_tls(mut self, config: Arc<ServerConfig>) -> io::Result<Self> {
        self.0.stream = self.0.stream.accept_tls(config).await?;
        Ok(self)
    }

    pub(crate) fn inner(&self) -> &Stream {
        &self.0.stream
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut Stream> {
        Pin::new(&mut self.get_mut().0.stream)
    }
}

impl Link for Socket {
    fn is_pressed(&self) -> bool {
        self.0.pressed()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Calm<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Calm<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
