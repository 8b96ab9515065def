//! Whose certificate a client has shown.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

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
    fn a_certificate_without_an_address_names_nobody() {
        assert!(names_of_client(&certificate("Joe", None)).is_empty());
        assert!(names_of_client(&CertificateDer::from(vec![0x30, 0x00])).is_empty());
    }
}
