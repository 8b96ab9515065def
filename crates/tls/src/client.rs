//! TLS towards other servers: encrypt when offered, or verify as well.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tracing::warn;

/// What must be known of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: any certificate will do, an eavesdropper is kept out and an impostor is not (RFC 7435 §1.2).
    Anyone,
    /// A certificate for the name we asked for, from an authority this machine trusts (RFC 6125 §6).
    Authorities,
}

/// The client settings, one per kind of trust. Clones share them.
#[derive(Clone, Debug)]
pub struct ClientTls {
    anyone: Arc<ClientConfig>,
    authorities: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads the machine's trusted authorities; without any, verified connections fail and others work.
    pub fn new() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            warn!("no trusted certificate authorities on this machine: install the package ca-certificates");
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .expect("the provider has suites for TLS 1.2 and 1.3")
        };
        let accept_any = Arc::new(AcceptAny(provider.clone()));
        let anyone = builder().dangerous().with_custom_certificate_verifier(accept_any).with_no_client_auth();
        let authorities = builder().with_root_certificates(roots).with_no_client_auth();
        Self { anyone: Arc::new(anyone), authorities: Arc::new(authorities) }
    }

    /// The settings for one kind of trust.
    pub fn config(&self, trust: Trust) -> Arc<ClientConfig> {
        match trust {
            Trust::Anyone => self.anyone.clone(),
            Trust::Authorities => self.authorities.clone(),
        }
    }
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes any certificate, but checks that the other side holds its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
