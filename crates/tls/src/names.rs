//! Whose certificate a client has shown.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// The mail addresses in a certificate that was verified: its alternative names (RFC 5280 §4.2.1.6), or where it has
/// none, common names that look like one. Empty for one that names nobody.
pub fn names_of_client(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let addresses: Vec<String> = names
        .filter_map(|name| match name {
            GeneralName::RFC822Name(address) => Some((*address).to_owned()),
            _ => None,
        })
        .collect();
    if !addresses.is_empty() {
        return addresses;
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.filter(|name| name.contains('@')).map(str::to_owned).collect()
}

/// What a certificate that was verified says of itself; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The common name of whom it is about.
    pub subject: String,
    /// The common name of who made it, else its organization.
    pub issuer: String,
    /// SHA-256 of the whole of it, as `AB:CD:...`.
    pub fingerprint: String,
    /// The same of its public key.
    pub key_fingerprint: String,
}

impl ClientCertificate {
    /// Reads it; one that cannot be read has its own fingerprint alone.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let fingerprint = fingerprint(certificate);
        let Ok((_, read)) = X509Certificate::from_der(certificate) else {
            return Self { fingerprint, ..Self::default() };
        };
        Self {
            subject: common_name(read.subject()).unwrap_or_default(),
            issuer: common_name(read.issuer()).or_else(|| organization(read.issuer())).unwrap_or_default(),
            fingerprint,
            key_fingerprint: self::fingerprint(read.public_key().raw),
        }
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().find_map(|part| part.as_str().ok()).map(str::to_owned)
}

fn organization(name: &X509Name<'_>) -> Option<String> {
    name.iter_organization().find_map(|part| part.as_str().ok()).map(str::to_owned)
}

fn fingerprint(octets: &[u8]) -> String {
    let pairs: Vec<String> =
        digest(&SHA256, octets).as_ref().iter().map(|octet| format!("{octet:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: &str, address: Option<&str>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["laptop.example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names.extend(address.map(|a| SanType::Rfc822Name(a.try_into().unwrap())));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn an_alternative_name_counts_before_a_common_name() {
        let both = certificate("joe@example.org", Some("ann@example.org"));
        assert_eq!(names_of_client(&both), ["ann@example.org"]);
        assert_eq!(names_of_client(&certificate("joe@example.org", None)), ["joe@example.org"]);
    }

    #[test]
    fn a_certificate_tells_of_itself_and_octets_that_are_none_have_a_fingerprint() {
        let told = ClientCertificate::of(&certificate("Ann Doe", None));
        assert_eq!((told.subject.as_str(), told.issuer.as_str()), ("Ann Doe", "Ann Doe"));
        assert!(told.fingerprint != told.key_fingerprint && told.key_fingerprint.len() == 32 * 3 - 1);
        let none = ClientCertificate::of(&CertificateDer::from(b"abc".to_vec()));
        assert!(none.fingerprint.starts_with("BA:78:16:BF:") && none.key_fingerprint.is_empty(), "{none:?}");
    }

    #[test]
    fn a_certificate_without_an_address_names_nobody() {
        assert!(names_of_client(&certificate("Joe", None)).is_empty());
        assert!(names_of_client(&CertificateDer::from(vec![0x30, 0x00])).is_empty());
    }
}
