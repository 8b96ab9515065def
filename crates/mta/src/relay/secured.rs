//! The TLS of one host: settings for the handshake, and what is noted of how it went.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use kings_records::{Records, TlsFailure, TlsResult};
use kings_tls::{ClientTls, Observed, Trust};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error};

use super::route::HostName;
use super::tls_policy::{Level, Protection};

/// How sessions with one host are secured.
#[derive(Clone, Debug)]
pub(crate) struct HostTls {
    pub(crate) protection: Protection,
    pub(crate) config: Arc<ClientConfig>,
    /// For SNI and, where it is asked for, for the certificate.
    pub(crate) server_name: ServerName<'static>,
    observed: Option<Observed>,
    report: Option<Report>,
}

/// Where results are noted.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) records: Records,
    /// As it will be if all goes well.
    pub(crate) result: TlsResult,
}

impl HostTls {
    pub(crate) fn new(
        tls: &ClientTls,
        protection: Protection,
        host: &HostName,
        report: Option<Report>,
    ) -> Self {
        let mut observed = None;
        let config = match &protection {
            Protection::Level(Level::Verify) => tls.config(Trust::Authorities),
            Protection::Level(Level::None | Level::May | Level::Encrypt) => tls.config(Trust::Anyone),
            Protection::Dane { dane, .. } => tls.dane(dane.clone()),
            Protection::Watched(_) => {
                let (config, watch) = tls.observing();
                observed = Some(watch);
                config
            }
        };
        let server_name = match &protection {
            Protection::Dane { sni, .. } => name_for_tls(sni.as_str()),
            Protection::Level(_) | Protection::Watched(_) => match host {
                HostName::Name(name) => name_for_tls(name.as_str()),
                HostName::Address(address) => ServerName::IpAddress((*address).into()),
                // No handshake is ever done there.
                HostName::Socket(_) => name_for_tls("localhost"),
            },
        };
        Self { protection, config, server_name, observed, report }
    }

    /// Notes how a handshake went.
    pub(crate) fn handshake_done(&self, result: Result<(), &io::Error>) {
        let verdict = self.observed.as_ref().and_then(Observed::verdict);
        match (result, verdict) {
            (Err(error), _) => self.note(Some(failure_of(error))),
            (Ok(()), Some(Err(error))) => self.note(Some(failure_of_tls(error))),
            (Ok(()), Some(Ok(())) | None) => self.note(None),
        }
    }

    /// Notes that the host did not offer STARTTLS.
    pub(crate) fn not_offered(&self) {
        self.note(Some(TlsFailure::StartTlsNotSupported));
    }

    fn note(&self, failure: Option<TlsFailure>) {
        if let Some(report) = &self.report {
            let failure = failure.or(report.result.failure);
            report.records.tls(TlsResult { failure, ..report.result.clone() });
        }
    }
}

impl Report {
    /// A host that a policy in testing does not name fails it, however good its TLS (RFC 8461 §4.1).
    pub(crate) fn with_unnamed_host(mut self, unnamed: bool) -> Self {
        self.result.failure = unnamed.then_some(TlsFailure::ValidationFailure);
        self
    }

    /// Notes a host that was not even connected to.
    pub(crate) fn fail(self, failure: TlsFailure) {
        self.records.tls(TlsResult { failure: Some(failure), ..self.result });
    }
}

fn name_for_tls(name: &str) -> ServerName<'static> {
    // A name that TLS does not allow, an underscore perhaps: no certificate can be for it.
    let nobody = || ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into());
    ServerName::try_from(name.to_owned()).unwrap_or_else(|_| nobody())
}

fn failure_of(error: &io::Error) -> TlsFailure {
    let tls = error.get_ref().and_then(|inner| {
        inner.downcast_ref::<Error>().or_else(|| inner.source().and_then(|source| source.downcast_ref()))
    });
    tls.map_or(TlsFailure::ValidationFailure, failure_of_tls)
}

/// In the words of a report (RFC 8460 §4.3).
fn failure_of_tls(error: &Error) -> TlsFailure {
    let Error::InvalidCertificate(error) = error else { return TlsFailure::ValidationFailure };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFailure::CertificateHostMismatch
        }
        CertificateError::UnknownIssuer => TlsFailure::CertificateNotTrusted,
        CertificateError::ApplicationVerificationFailure => TlsFailure::TlsaInvalid,
        _ => TlsFailure::ValidationFailure,
    }
}
