//! One socket, in clear or under TLS, as a single type that can pass from the first to the second.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ConnectionCommon, HandshakeKind, ProtocolVersion, ServerConfig};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

/// One socket. All protocols here speak to this type and to none below it.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// A unix socket: always in clear, for it does not leave the machine.
    Unix(UnixStream),
    /// Under TLS; boxed, since its state is large and most of it lies idle.
    Tls(Box<Tls>),
}

/// A socket under TLS.
#[derive(Debug)]
pub struct Tls {
    stream: TlsStream<TcpStream>,
    /// The certificate that we have shown in this handshake, if we are its server.
    shown: Option<Arc<CertifiedKey>>,
}

/// Room for one read, borrowed only while bytes are ready.
const READ_SIZE: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// Waits for bytes and hands them to `take`; gives their number, 0 at the end of the stream.
///
/// The buffer belongs to the thread, not to the connection: ten thousand idle connections hold no buffer. A peer
/// that leaves without TLS's own goodbye has left all the same: what it had not finished stays unfinished.
pub async fn receive<S, F>(stream: &mut S, mut take: F) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
    F: FnMut(&[u8]),
{
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|buffer| {
            let mut ready = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut ready)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                read => read?,
            }
            take(ready.filled());
            Poll::Ready(Ok(ready.filled().len()))
        })
    })
    .await
}

/// What a handshake agreed on, in the words of the TLS library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1_3 TLS13_AES_256_GCM_SHA384`
    pub description: String,
}

impl Stream {
    /// The server side of a handshake. Whatever the caller has read beyond its own protocol must have
    /// been thrown away before (RFC 3207 §4.2).
    pub async fn accept_tls(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        // Boxed: a session is one future, and would have the size of its handshake for ever.
        let start = Box::pin(LazyConfigAcceptor::new(Acceptor::default(), self.into_plain()?)).await?;
        let shown = config.cert_resolver.resolve(start.client_hello());
        let accepted = Box::pin(start.into_stream(config)).await?;
        // A session that is resumed goes back to whatever certificate was shown when it began.
        let is_full = accepted.get_ref().1.handshake_kind() != Some(HandshakeKind::Resumed);
        let shown = shown.filter(|_| is_full);
        Ok(Self::Tls(Box::new(Tls { stream: TlsStream::Server(accepted), shown })))
    }

    /// The client side of a handshake with a host of this name.
    pub async fn connect_tls(self, config: Arc<ClientConfig>, host: ServerName<'static>) -> io::Result<Self> {
        let connected = Box::pin(TlsConnector::from(config).connect(host, self.into_plain()?)).await?;
        Ok(Self::Tls(Box::new(Tls { stream: TlsStream::Client(connected), shown: None })))
    }

    fn into_plain(self) -> io::Result<TcpStream> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Unix(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "no TLS on a unix socket")),
            Self::Tls(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is already on")),
        }
    }

    /// Whether the peer is on this machine, behind a socket file.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Whether the peer has sent something that nobody has read yet; waits up to `patience` for it. Asked of TCP in
    /// clear alone: under TLS the client must speak first.
    pub async fn has_spoken(&self, patience: Duration) -> bool {
        let Self::Plain(socket) = self else { return false };
        let mut octet = [MaybeUninit::uninit()];
        if SockRef::from(socket).peek(&mut octet).is_ok_and(|count| count > 0) {
            return true;
        }
        let mut octet = [0];
        let peek = poll_fn(|cx| socket.poll_peek(cx, &mut ReadBuf::new(&mut octet)));
        !patience.is_zero() && matches!(timeout(patience, peek).await, Ok(Ok(1)))
    }

    /// What both ends of this TLS connection know and nobody between them (RFC 9266 §2). Only in TLS 1.3: before, two
    /// connections can be made to share it (RFC 9266 §4.2).
    pub fn exporter(&self) -> Option<[u8; 32]> {
        let Self::Tls(tls) = self else { return None };
        let (_, connection) = tls.stream.get_ref();
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        match &tls.stream {
            TlsStream::Server(stream) => exported(stream.get_ref().1),
            TlsStream::Client(stream) => exported(stream.get_ref().1),
        }
    }

    /// The certificate that the peer has shown and that was verified.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        let Self::Tls(tls) = self else { return None };
        tls.stream.get_ref().1.peer_certificates()?.first()
    }

    /// Our own certificate, as the client of this TLS connection has seen it; `None` where the session was resumed.
    pub fn shown_certificate(&self) -> Option<&CertificateDer<'static>> {
        let Self::Tls(tls) = self else { return None };
        tls.shown.as_ref()?.cert.first()
    }

    /// What the handshake agreed on; `None` in clear.
    pub fn tls(&self) -> Option<TlsFacts> {
        let Self::Tls(tls) = self else { return None };
        let (_, connection) = tls.stream.get_ref();
        let version = connection.protocol_version()?;
        let suite = connection.negotiated_cipher_suite()?.suite();
        Some(TlsFacts { description: format!("{version:?} {suite:?}") })
    }
}

fn exported<Data>(connection: &ConnectionCommon<Data>) -> Option<[u8; 32]> {
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
