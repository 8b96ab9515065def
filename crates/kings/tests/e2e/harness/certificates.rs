//! A certificate authority of the test's own, and one certificate of it for the server.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Folder;

/// Files in PEM form, and the authority as our own clients need it.
///
/// Clients check the certificate for real: name, chain and signature.
#[derive(Clone)]
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    /// What our own clients show of a person: certificate and key.
    pub(crate) person: Option<(PathBuf, PathBuf)>,
    root: CertificateDer<'static>,
}

impl Certificates {
    /// Makes them in `folder`, for `hostname`, `localhost` and the loopback address.
    pub(crate) fn create(folder: &Folder, hostname: &str) -> Self {
        Self::for_names(folder, &[hostname, "localhost", "127.0.0.1"])
    }

    /// Makes them in `folder`, for these names.
    pub(crate) fn for_names(folder: &Folder, names: &[&str]) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, "Authority of one test");
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();

        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(all).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, names[0]);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &authority).unwrap();

        let private_key = folder.write("tls.key", key.serialize_pem());
        fs::set_permissions(&private_key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self {
            authority: folder.write("authority.pem", authority.pem()),
            certificate: folder.write("tls.pem", certificate.pem()),
            private_key,
            person: None,
            root: authority.der().clone(),
        }
    }

    /// Settings of a client that trusts this authority alone.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        Arc::new(match &self.person {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        })
    }
}
