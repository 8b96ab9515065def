//! One connection to a server, in clear or under TLS that trusts whoever answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A dialogue of lines.
pub(crate) struct Stream {
    socket: Box<dyn Socket>,
    received: Vec<u8>,
}

impl Stream {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
        let socket = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self { socket: Box::new(socket), received: Vec::new() }
    }

    pub(crate) async fn secure(socket: TcpStream, config: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let name = ServerName::try_from("localhost")?;
        let socket = TlsConnector::from(config).connect(name, socket).await.context("TLS handshake")?;
        Ok(Self { socket: Box::new(socket), received: Vec::new() })
    }

    /// Sends bytes and reads one reply; gives its code.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> io::Result<u16> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await?;
        self.reply().await
    }

    /// The same for a reply that must have this code.
    pub(crate) async fn expect(&mut self, bytes: &[u8], code: u16) -> anyhow::Result<()> {
        let found = self.say(bytes).await?;
        if found != code {
            bail!("{} was answered with {found}, not {code}", String::from_utf8_lossy(bytes).trim_end());
        }
        Ok(())
    }

    /// Reads one reply to its last line.
    pub(crate) async fn reply(&mut self) -> io::Result<u16> {
        let mut searched = 0;
        loop {
            while let Some(end) = self.received[searched..].iter().position(|byte| *byte == b'\n') {
                let line = &self.received[searched..searched + end];
                let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
                let (code, last) = (code, line.get(3) != Some(&b'-'));
                searched += end + 1;
                if last {
                    self.received.drain(..searched);
                    return code.ok_or_else(|| io::Error::other("the server's reply is not SMTP"));
                }
            }
            let mut buffer = [0; 4_096];
            match self.socket.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// TLS without a look at the certificate: a bench talks to servers on this machine.
pub(crate) fn trust_anyone() -> anyhow::Result<Arc<ClientConfig>> {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(Anyone(algorithms));
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
