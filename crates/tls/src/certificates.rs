//! The server's certificate: read at start, swapped on reload, the same on every port.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use kings_mail::domain::Domain;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use tracing::info;

use crate::client_auth::ClientAuthorities;
use crate::self_signed;
use crate::sessions::Sessions;

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM files, as certbot lays them out.
    Files {
        /// The certificate with its chain (`fullchain.pem`).
        certificate: PathBuf,
        /// The key (`privkey.pem`).
        private_key: PathBuf,
    },
    /// Made here once and kept in this folder: for demo and tests.
    SelfSigned {
        /// Keeps `self-signed.pem` and `self-signed.key`.
        folder: PathBuf,
        /// The name it is made for.
        hostname: Domain,
    },
}

/// The certificate cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is missing, unreadable or not PEM.
    #[error("cannot read {what} {path}: {cause}; {}", remedy(.what))]
    Unreadable {
        /// "certificate", "private key", "authorities" or "client authorities"
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        cause: String,
    },
    /// Certificate and key do not belong together, or the key is of a kind nobody uses.
    #[error(
        "certificate {certificate} does not go with its key {private_key}: {cause}; both must come from one order, and these two must print the same:  openssl x509 -noout -pubkey -in {certificate}  and  openssl pkey -pubout -in {private_key}"
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
        /// What went wrong.
        cause: String,
    },
    /// A self-signed certificate could not be made or kept.
    #[error(
        "cannot make a self-signed certificate in {folder}: {cause}; give the folder to the user that runs Kings: chown -R USER {folder}"
    )]
    SelfSigned {
        /// The folder to keep it in.
        folder: PathBuf,
        /// What went wrong.
        cause: String,
    },
}

/// How to get a file that can be read.
fn remedy(what: &str) -> String {
    let or_order = "or get both with  certbot certonly --standalone -d HOSTNAME";
    match what {
        "certificate" => {
            format!("put the PEM file there, name another one as certificate in [tls], {or_order}")
        }
        "private key" => {
            format!("put the PEM file there, name another one as private_key in [tls], {or_order}")
        }
        "authorities" => "put their PEM file there, or name another one as authorities in [tls]".to_owned(),
        _ => "put their PEM file there, or name another one as client_ca in [tls]".to_owned(),
    }
}

/// The certificate all listeners show. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificates {
    current: Arc<Current>,
    server: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl Certificates {
    /// Reads the certificate, or makes one.
    pub fn open(source: &Source) -> Result<Self, CertificateError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(load(source)?)));
        let mut server = builder().with_no_client_auth().with_cert_resolver(current.clone());
        server.session_storage = Arc::new(Sessions::default());
        Ok(Self { current, server: Arc::new(server) })
    }

    /// Reads the certificate again; connections that stand keep the old one. On an error nothing changes.
    pub fn reload(&self, source: &Source) -> Result<(), CertificateError> {
        self.current.0.store(Arc::new(load(source)?));
        info!("certificate loaded again");
        Ok(())
    }

    /// The settings of every listener: TLS 1.2 and 1.3 with the suites of rustls.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// The settings of listeners where people log in: where there are authorities for that, a client is asked for a
    /// certificate. It need not have one; but one that does not count ends the handshake. Sessions are not resumed there:
    /// that would let a certificate go on that has run out meanwhile.
    pub fn server_for_people(&self, authorities: Option<&ClientAuthorities>) -> Arc<ServerConfig> {
        authorities.map_or_else(
            || self.server(),
            |authorities| {
                let verified = builder().with_client_cert_verifier(authorities.verifier());
                let mut config = verified.with_cert_resolver(self.current.clone());
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
                Arc::new(config)
            },
        )
    }
}

fn builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
}

/// One certificate for every name: a mail client that sends an odd name, or none, still gets through.
impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn load(source: &Source) -> Result<CertifiedKey, CertificateError> {
    match source {
        Source::Files { certificate, private_key } => load_files(certificate, private_key),
        Source::SelfSigned { folder, hostname } => {
            let files = self_signed::ensure(folder, hostname)
                .map_err(|cause| CertificateError::SelfSigned { folder: folder.clone(), cause })?;
            load_files(&files.certificate, &files.private_key)
        }
    }
}

fn load_files(certificate: &Path, private_key: &Path) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |what, path: &Path, cause: String| CertificateError::Unreadable {
        what,
        path: path.to_owned(),
        cause,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable("certificate", certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable("certificate", certificate, "no certificate in the file".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(private_key)
        .map_err(|error| unreadable("private key", private_key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let (certificate, private_key) = (certificate.to_owned(), private_key.to_owned());
        CertificateError::Mismatch { certificate, private_key, cause: error.to_string() }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn source(folder: &Path) -> Source {
        Source::SelfSigned { folder: folder.to_owned(), hostname: Domain::parse("mail.example.org").unwrap() }
    }

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = Certificates::open(&source(folder.path())).unwrap();
        let second = Certificates::open(&source(folder.path())).unwrap();
        assert_eq!(first.current.0.load().cert, second.current.0.load().cert);
    }

    /// One key for all tickets would have to be changed within a day by another; there is none.
    #[test]
    fn no_key_opens_the_tickets_of_all_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let server = Certificates::open(&source(folder.path())).unwrap().server();
        assert!(!server.ticketer.enabled());
        assert!(server.session_storage.can_cache());
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing =
            Source::Files { certificate: "/nowhere/fullchain.pem".into(), private_key: "/nowhere/k".into() };
        let error = Certificates::open(&missing).unwrap_err().to_string();
        assert!(error.starts_with("cannot read certificate /nowhere/fullchain.pem: "), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_a_reload_keeps_the_old_one() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let certificates = Certificates::open(&source(here.path())).unwrap();
        Certificates::open(&source(there.path())).unwrap();
        let before = certificates.current.0.load_full();
        let mixed = Source::Files {
            certificate: here.path().join("self-signed.pem"),
            private_key: there.path().join("self-signed.key"),
        };
        assert!(matches!(certificates.reload(&mixed), Err(CertificateError::Mismatch { .. })));
        assert!(Arc::ptr_eq(&before, &certificates.current.0.load_full()));
    }
}
