//! The channel binding `tls-server-end-point`: a hash of the server's certificate (RFC 5929 §4.1).

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::der_parser::oid::Oid;
use x509_parser::oid_registry::{
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The hash that the certificate's signature is made with, of the certificate; SHA-256 in the place of MD5 and SHA-1.
/// `None` for signatures without one hash (Ed25519, RSA-PSS), for which the binding is not defined.
pub fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = hash_of(&parsed.signature_algorithm.algorithm)?;
    Some(digest(hash, certificate).as_ref().to_vec())
}

fn hash_of(signature: &Oid<'_>) -> Option<&'static Algorithm> {
    let hashes: [(&[Oid<'_>], &'static Algorithm); 3] = [
        (
            &[
                OID_PKCS1_MD5WITHRSAENC,
                OID_PKCS1_SHA1WITHRSA,
                OID_PKCS1_SHA256WITHRSA,
                OID_SIG_ECDSA_WITH_SHA256,
            ],
            &SHA256,
        ),
        (&[OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384], &SHA384),
        (&[OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512], &SHA512),
    ];
    hashes.into_iter().find(|(names, _)| names.contains(signature)).map(|(_, hash)| hash)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        SignatureAlgorithm,
    };

    use super::*;

    fn signed_with(algorithm: &'static SignatureAlgorithm) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec!["mail.example.org".to_owned()]).unwrap();
        params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, hash) in [
            (&PKCS_ECDSA_P256_SHA256, Some(&SHA256)),
            (&PKCS_ECDSA_P384_SHA384, Some(&SHA384)),
            (&PKCS_ED25519, None),
        ] {
            let certificate = signed_with(algorithm);
            let expected = hash.map(|hash| digest(hash, &certificate).as_ref().to_vec());
            assert_eq!(end_point(&certificate), expected);
        }
        assert_eq!(end_point(&CertificateDer::from(b"no certificate".to_vec())), None);
    }

    #[test]
    fn old_hashes_are_replaced() {
        assert_eq!(hash_of(&OID_PKCS1_SHA1WITHRSA), Some(&SHA256));
        assert_eq!(hash_of(&OID_PKCS1_MD5WITHRSAENC), Some(&SHA256));
        assert_eq!(hash_of(&OID_PKCS1_SHA512WITHRSA), Some(&SHA512));
    }
}
