//! TLS towards other servers: encrypt when offered, or verify as well.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tracing::warn;

use crate::certificates::CertificateError;
use crate::dane::Dane;
use crate::verifier::{Check, Observed, Verifier};

/// What must be known of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: any certificate will do, an eavesdropper is kept out and an impostor is not (RFC 7435 §1.2).
    Anyone,
    /// A certificate for the name we asked for, from an authority this machine trusts (RFC 6125 §6).
    Authorities,
}

/// Certificates of authorities to trust beside those of the machine: a company's own, or a test's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a PEM file.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        let unreadable =
            |cause| CertificateError::Unreadable { what: "authorities", path: path.to_owned(), cause };
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let found: Vec<_> = found.map_err(|error| unreadable(error.to_string()))?;
        if found.is_empty() {
            return Err(unreadable("no certificate in the file".to_owned()));
        }
        Ok(Self(found))
    }

    /// Both.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self(self.0.iter().chain(&others.0).cloned().collect())
    }
}

/// The client settings, one per kind of trust. Clones share them.
#[derive(Clone, Debug)]
pub struct ClientTls {
    anyone: Arc<ClientConfig>,
    authorities: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ClientTls {
    /// Reads the machine's trusted authorities; without any, verified connections fail and others work.
    pub fn new() -> Self {
        Self::with_authorities(&Authorities::default())
    }

    /// Trusts more authorities than those of the machine.
    pub fn with_authorities(more: &Authorities) -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        roots.add_parsable_certificates(more.0.iter().cloned());
        if roots.is_empty() {
            warn!("no trusted certificate authorities on this machine: install the package ca-certificates");
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(roots);
        let authorities = builder(&provider).with_root_certificates(roots.clone()).with_no_client_auth();
        Self {
            anyone: checking(Check::Nothing, &provider),
            authorities: Arc::new(authorities),
            roots,
            provider,
        }
    }

    /// Settings that take what the TLSA records of a host ask for, and nothing else.
    pub fn dane(&self, dane: Dane) -> Arc<ClientConfig> {
        checking(Check::Dane(dane), &self.provider)
    }

    /// Settings that take any certificate and tell afterwards what [`Trust::Authorities`] would have said.
    pub fn observing(&self) -> (Arc<ClientConfig>, Observed) {
        let observed = Observed::default();
        (checking(Check::Observe(self.roots.clone(), observed.clone()), &self.provider), observed)
    }

    /// Whom this machine trusts.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
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

fn builder(provider: &Arc<CryptoProvider>) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
}

fn checking(check: Check, provider: &Arc<CryptoProvider>) -> Arc<ClientConfig> {
    let verifier = Arc::new(Verifier { check, provider: provider.clone() });
    let builder = builder(provider).dangerous().with_custom_certificate_verifier(verifier);
    Arc::new(builder.with_no_client_auth())
}
