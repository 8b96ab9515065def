//! What rustls asks us about a server's certificate; that the server holds its key is always checked.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use crate::dane::Dane;

/// What a certificate must fulfil.
#[derive(Debug)]
pub(crate) enum Check {
    /// Nothing.
    Nothing,
    /// TLSA records.
    Dane(Dane),
    /// Nothing; but what the authorities would have said is kept.
    Observe(Arc<RootCertStore>, Observed),
}

/// What the authorities would have said of the certificate that a handshake has met.
#[derive(Clone, Debug, Default)]
pub struct Observed(Arc<OnceLock<Result<(), Error>>>);

impl Observed {
    /// `None` before the handshake has come to the certificate.
    pub fn verdict(&self) -> Option<&Result<(), Error>> {
        self.0.get()
    }
}

/// One check with the algorithms to do it.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) check: Check,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn by_authorities(
        &self,
        roots: &RootCertStore,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, algorithms)?;
        verify_server_name(&parsed, name)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.check {
            Check::Nothing => {}
            Check::Dane(dane) => dane.check(certificate, others, now, &self.provider)?,
            Check::Observe(roots, observed) => {
                let _ = observed.0.set(self.by_authorities(roots, certificate, others, name, now));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
