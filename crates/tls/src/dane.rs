//! DANE for SMTP: a server's certificate is checked against TLSA records instead of the world's authorities.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use kings_dns::Tlsa;
use kings_mail::domain::DnsName;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};

/// DANE-TA: the record names an authority that the chain must lead to (RFC 7218 §2.1).
const TRUST_ANCHOR: u8 = 2;
/// DANE-EE: the record names the server's own certificate (RFC 7218 §2.1).
const END_ENTITY: u8 = 3;

/// What must be true of a server's certificate under DANE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dane {
    records: Vec<Tlsa>,
    names: Vec<DnsName>,
}

impl Dane {
    /// Takes the records that SMTP can use, and the names of which a certificate below a trust anchor must bear
    /// one (RFC 7672 §3.2.2). `None` when no record can be used: then TLS is needed, and any certificate will do
    /// (RFC 7672 §2.2).
    pub fn new(records: &[Tlsa], names: Vec<DnsName>) -> Option<Self> {
        let usable: Vec<&Tlsa> = records.iter().filter(|record| is_usable(record)).collect();
        let kept = usable.iter().filter(|record| !usable.iter().any(|other| outdates(other, record)));
        let records: Vec<Tlsa> = kept.map(|record| (*record).clone()).collect();
        (!records.is_empty()).then_some(Self { records, names })
    }

    /// Whether this certificate, shown with these others, is what the records ask for.
    pub(crate) fn check(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        // The record vouches for this very certificate: neither names nor dates count (RFC 7672 §3.1.1).
        if self.of_usage(END_ENTITY).any(|record| matches(record, certificate)) {
            return Ok(());
        }
        let anchors = self.anchors(certificate, others);
        if anchors.is_empty() {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &anchors, others, now, algorithms)?;
        let mut result = Err(CertificateError::NotValidForName.into());
        for name in self.names.iter().filter_map(|name| ServerName::try_from(name.as_str()).ok()) {
            result = result.or_else(|_| verify_server_name(&parsed, &name));
        }
        result
    }

    /// The authorities that DANE-TA records name, from the chain or from the record itself (RFC 7671 §5.2).
    fn anchors(&self, certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        for record in self.of_usage(TRUST_ANCHOR) {
            let shown = others.iter().chain([certificate]).filter(|shown| matches(record, shown));
            anchors.add_parsable_certificates(shown.map(|shown| shown.clone().into_owned()));
            if (record.selector, record.matching) == (0, 0) {
                anchors.add_parsable_certificates([CertificateDer::from(record.data.clone())]);
            }
        }
        anchors
    }

    fn of_usage(&self, usage: u8) -> impl Iterator<Item = &Tlsa> {
        self.records.iter().filter(move |record| record.usage == usage)
    }
}

/// PKIX-TA and PKIX-EE are not for SMTP (RFC 7672 §3.1.3); a digest of another length can match nothing.
fn is_usable(record: &Tlsa) -> bool {
    let length_fits = match record.matching {
        0 => !record.data.is_empty(),
        1 => record.data.len() == 32,
        2 => record.data.len() == 64,
        _ => false,
    };
    matches!(record.usage, TRUST_ANCHOR | END_ENTITY) && record.selector <= 1 && length_fits
}

/// Whoever publishes SHA-512 beside SHA-256 wants the stronger one to count (RFC 7671 §9).
fn outdates(other: &Tlsa, record: &Tlsa) -> bool {
    (other.usage, other.selector) == (record.usage, record.selector)
        && (other.matching, record.matching) == (2, 1)
}

fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        0 => certificate.as_ref().to_vec(),
        _ => match ParsedCertificate::try_from(certificate) {
            Ok(parsed) => parsed.subject_public_key_info().as_ref().to_vec(),
            Err(_) => return false,
        },
    };
    match record.matching {
        0 => selected == record.data,
        1 => digest(&SHA256, &selected).as_ref() == record.data,
        _ => digest(&SHA512, &selected).as_ref() == record.data,
    }
}

#[cfg(test)]
mod tests;
