//! What is shown on port 443 to an authority that looks whether a name is ours (TLS-ALPN-01, RFC 8737).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// Certificates for names that an authority may look at now. Whoever orders a certificate puts them there; the listener
/// for HTTPS shows them to those who speak `acme-tls/1` and nothing else. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Alpn(Arc<RwLock<HashMap<String, Arc<CertifiedKey>>>>);

impl Alpn {
    /// The protocol that such a handshake names (RFC 8737 §6.2). Nothing is said in it: who has come so far closes.
    pub const PROTOCOL: &[u8] = b"acme-tls/1";

    /// What to show for a name, or `None` where nobody awaits that question: the handshake fails.
    pub(crate) fn answer(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.read().get(&name.trim_end_matches('.').to_ascii_lowercase()).cloned()
    }

    /// Shows the proof for `name` for as long as what is returned is kept. `digest` is that of the key authorization.
    pub fn publish(&self, name: &str, digest: &[u8]) -> Result<PublishedAlpn, String> {
        let name = name.to_ascii_lowercase();
        let key = certificate(&name, digest)?;
        self.write().insert(name.clone(), Arc::new(key));
        Ok(PublishedAlpn { alpn: self.clone(), name })
    }

    /// Every update leaves the map whole, so a panic elsewhere does not spoil it.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Self-signed, for this name alone, with the proof as a critical extension (RFC 8737 §3).
fn certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    if digest.len() != 32 {
        return Err("a proof for TLS-ALPN-01 is a SHA-256".to_owned());
    }
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).map_err(|error| error.to_string())?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = parameters.self_signed(&key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Nobody but such an authority knows the extension, so the usual look at key and certificate would refuse it.
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// One name that is proved; dropped, it is not any more.
#[derive(Debug)]
pub struct PublishedAlpn {
    alpn: Alpn,
    name: String,
}

impl Drop for PublishedAlpn {
    fn drop(&mut self) {
        self.alpn.write().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::domain::Domain;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{
        ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConnection, SignatureScheme,
    };

    use super::*;
    use crate::proof::shake_hands;
    use crate::{Certificates, Source};

    /// Looks at the extension that other clients do not know, and so at nothing here.
    #[derive(Debug)]
    struct Authority;

    impl ServerCertVerifier for Authority {
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
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    /// The names of the certificate that a client with these protocols is shown, and the protocol that was agreed on.
    fn shown(server: &Arc<rustls::ServerConfig>, name: &str, alpn: &[&[u8]]) -> Option<(usize, Vec<u8>)> {
        let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Authority))
            .with_no_client_auth();
        client.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(server.clone()).unwrap();
        shake_hands(&mut client, &mut server).ok()?;
        let certificate = crate::Described::of(&client.peer_certificates()?[0])?;
        Some((certificate.names.len(), client.alpn_protocol().unwrap_or_default().to_vec()))
    }

    #[test]
    fn only_an_authority_sees_a_proof_only_for_its_name_and_only_while_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let hostname = Domain::parse("mail.example.org").unwrap();
        let source = Source::SelfSigned { folder: folder.path().to_owned(), hostname };
        let certificates = Certificates::open(&source).unwrap();
        let alpn = Alpn::default();
        let server = certificates.server_for_web(&alpn);
        let (acme, http): (&[u8], &[u8]) = (Alpn::PROTOCOL, b"http/1.1");
        assert_eq!(shown(&server, "mail.example.org", &[acme]), None);
        let published = alpn.publish("Mail.example.org", &[7; 32]).unwrap();
        assert_eq!(shown(&server, "mail.example.org", &[acme]), Some((1, acme.to_vec())));
        assert_eq!(shown(&server, "other.example.org", &[acme]), None);
        // The certificate made for the demo has two names.
        assert_eq!(shown(&server, "mail.example.org", &[http]), Some((2, http.to_vec())));
        assert_eq!(shown(&server, "mail.example.org", &[]), Some((2, Vec::new())));
        // On any other listener nothing of the kind is shown: there is no such protocol.
        let mut mail = (*certificates.server()).clone();
        mail.alpn_protocols = vec![b"imap".to_vec()];
        assert_eq!(shown(&Arc::new(mail), "mail.example.org", &[acme]), None);
        drop(published);
        assert_eq!(shown(&server, "mail.example.org", &[acme]), None);
    }

    #[test]
    fn a_digest_of_another_length_proves_nothing() {
        assert!(Alpn::default().publish("mail.example.org", &[7; 31]).is_err());
    }
}
