//! Which certificates of people let them log in (SASL EXTERNAL), and which are taken back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tracing::info;

use crate::certificates::CertificateError;
use crate::names::names_of_client;

/// Authorities that certify people. Clones share them.
#[derive(Clone)]
pub struct ClientAuthorities(Arc<dyn ClientCertVerifier>);

impl ClientAuthorities {
    /// Reads a PEM file: certificates of authorities, and their lists of what they took back (RFC 5280 §5), if any. A
    /// list that is over its date counts no more, and so does none of its authority's certificates.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        let unreadable =
            |cause| CertificateError::Unreadable { what: "client authorities", path: path.to_owned(), cause };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable(error.to_string()))?;
        let lists: Vec<CertificateRevocationListDer<'static>> =
            CertificateRevocationListDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| unreadable(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(lists)
            .allow_unknown_revocation_status()
            .enforce_revocation_expiration()
            .allow_unauthenticated()
            .build()
            .map_err(|error| unreadable(error.to_string()))?;
        Ok(Self(Arc::new(Telling(verifier))))
    }

    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.0.clone()
    }
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuthorities({} names)", self.0.root_hint_subjects().len())
    }
}

/// Says in the log why a certificate was refused: the client hears no more than an alert.
#[derive(Debug)]
struct Telling(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Telling {
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(certificate, others, now);
        if let Err(error) = &verified {
            info!(names = ?names_of_client(certificate), %error, "client certificate refused");
        }
        verified
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
        KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
    };

    use super::*;
    use crate::certificates::{Certificates, Source};

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn person(authority: &Authority, serial: u64, last_year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        params.subject_alt_names = vec![SanType::Rfc822Name("ann@example.org".try_into().unwrap())];
        params.signed_by(&KeyPair::generate().unwrap(), authority).unwrap().der().clone()
    }

    fn list(authority: &Authority, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(authority).unwrap().pem().unwrap()
    }

    #[test]
    fn certificates_count_that_are_ours_in_time_and_not_taken_back() {
        let (ours, theirs) = (authority("ours"), authority("theirs"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, ours.pem() + &list(&ours, 7)).unwrap();
        let verifier = ClientAuthorities::read(&file).unwrap().verifier();
        let fits =
            |certificate: &CertificateDer<'_>| verifier.verify_client_cert(certificate, &[], UnixTime::now());
        assert!(verifier.offer_client_auth() && !verifier.client_auth_mandatory());
        assert!(fits(&person(&ours, 5, 2090)).is_ok());
        for (what, certificate) in [
            ("Expired", person(&ours, 5, 2021)),
            ("Revoked", person(&ours, 7, 2090)),
            ("UnknownIssuer", person(&theirs, 5, 2090)),
        ] {
            let error = format!("{:?}", fits(&certificate).unwrap_err());
            assert!(error.contains(what), "{what}: {error}");
        }
    }

    #[test]
    fn no_session_outlives_the_look_at_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority("ours").pem()).unwrap();
        let authorities = ClientAuthorities::read(&file).unwrap();
        let hostname = kings_mail::domain::Domain::parse("mail.example.org").unwrap();
        let source = Source::SelfSigned { folder: folder.path().to_owned(), hostname };
        let certificates = Certificates::open(&source).unwrap();
        for (config, resumes) in [
            (certificates.server(), true),
            (certificates.server_for_people(None), true),
            (certificates.server_for_people(Some(&authorities)), false),
        ] {
            assert_eq!(config.session_storage.can_cache(), resumes);
            assert_eq!(config.send_tls13_tickets > 0, resumes);
        }
    }

    #[test]
    fn a_file_without_authorities_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for content in
            [None, Some("nothing"), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
        {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let error = ClientAuthorities::read(&file).unwrap_err().to_string();
            assert!(error.starts_with("cannot read client authorities /"), "{error}");
        }
    }
}
