//! Whether a new certificate can take the place of the one that serves: everything a client would find wrong is found here first.

use std::sync::Arc;
use std::time::SystemTime;

use kings_mail::domain::Domain;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::certificates::{CertificateError, Pair, load_files};
use crate::client::ClientTls;
use crate::described::Described;

/// Why a new certificate must not serve.
#[derive(Debug, thiserror::Error)]
pub enum NotProven {
    /// It cannot be read, or its key is another.
    #[error(transparent)]
    Unusable(#[from] CertificateError),
    /// Its octets make no sense.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It is for other names.
    #[error("the certificate is for {found}, and not for {wanted}")]
    OtherName {
        /// The name it was ordered for.
        wanted: Domain,
        /// Those in it.
        found: String,
    },
    /// Its time has not come, which is more likely to be a fault of our clock.
    #[error(
        "the certificate is good only from a time that lies before us: the clock of this machine is slow"
    )]
    NotYet,
    /// Its time is over, which is more likely to be a fault of our clock.
    #[error("the certificate is out of date already: the clock of this machine is fast")]
    Expired,
    /// The certificates do not lead from one to the next.
    #[error("the chain of the certificate does not hold: {0}")]
    Chain(rustls::Error),
    /// A handshake with it fails.
    #[error("a handshake with the certificate fails: {0}")]
    Handshake(rustls::Error),
}

/// A certificate that can serve.
#[derive(Clone, Debug)]
pub struct Proven {
    /// What it says.
    pub described: Described,
    /// Whether this machine trusts who gave it; a trial authority is not trusted, and serves all the same.
    pub is_trusted: bool,
}

/// Looks at a pair as a client would, in the order in which faults are likely.
pub fn prove(pair: &Pair, name: &Domain, now: SystemTime, roots: &ClientTls) -> Result<Proven, NotProven> {
    let key = load_files(&pair.certificate, &pair.private_key)?;
    let (end, others) = key.cert.split_first().ok_or(NotProven::Unreadable)?;
    let described = Described::of(end).ok_or(NotProven::Unreadable)?;
    if !described.is_for(name.as_str()) {
        return Err(NotProven::OtherName { wanted: name.clone(), found: described.names.join(", ") });
    }
    if now < described.not_before {
        return Err(NotProven::NotYet);
    }
    if now > described.not_after {
        return Err(NotProven::Expired);
    }
    // What the chain ends in is given; whether the world trusts it is another question.
    let anchor = others.last().unwrap_or(end);
    let at = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    leads_to(anchor_of(anchor)?, (end, others), name, at).map_err(NotProven::Chain)?;
    let (end, others) = (end.clone(), others.to_vec());
    let anchors = anchor_of(anchor)?;
    handshakes(key, &anchors, name).map_err(NotProven::Handshake)?;
    let is_trusted = leads_to(roots.roots(), (&end, &others), name, at).is_ok();
    Ok(Proven { described, is_trusted })
}

fn anchor_of(certificate: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, NotProven> {
    let mut anchors = RootCertStore::empty();
    anchors.add(certificate.clone().into_owned()).map_err(NotProven::Chain)?;
    Ok(Arc::new(anchors))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn leads_to(
    anchors: Arc<RootCertStore>,
    (end, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    name: &Domain,
    at: UnixTime,
) -> Result<(), rustls::Error> {
    use rustls::client::danger::ServerCertVerifier;
    // Where there are none, nothing leads there.
    let verifier = WebPkiServerVerifier::builder_with_provider(anchors, provider()).build();
    let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
    let name = server_name(name)?;
    verifier.verify_server_cert(end, others, &name, &[], at).map(|_| ())
}

fn server_name(name: &Domain) -> Result<ServerName<'static>, rustls::Error> {
    ServerName::try_from(name.to_string()).map_err(|error| rustls::Error::General(error.to_string()))
}

/// One of each version that we speak, in memory, with a client that checks the signature and the chain. The time is that
/// of the machine, as it is for clients on it.
fn handshakes(key: CertifiedKey, anchors: &Arc<RootCertStore>, name: &Domain) -> Result<(), rustls::Error> {
    let resolver = Arc::new(One(Arc::new(key)));
    for version in [&TLS13, &TLS12] {
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])?
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])?
            .with_root_certificates(anchors.clone())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(client), server_name(name)?)?;
        shake_hands(&mut client, &mut ServerConnection::new(Arc::new(server))?)?;
    }
    Ok(())
}

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Lets both sides talk until neither has more to say.
pub(crate) fn shake_hands(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    let failed = |error: std::io::Error| rustls::Error::General(error.to_string());
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).map_err(failed)?;
        }
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).map_err(failed)?;
            server.process_new_packets()?;
        }
        let mut back = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut back).map_err(failed)?;
        }
        if wire.is_empty() && back.is_empty() {
            return Err(rustls::Error::HandshakeNotComplete);
        }
        let mut unread = back.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).map_err(failed)?;
            client.process_new_packets()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    struct Authority {
        issuer: CertifiedIssuer<'static, KeyPair>,
        folder: tempfile::TempDir,
    }

    impl Authority {
        fn new() -> Self {
            let mut parameters = CertificateParams::new(Vec::new()).unwrap();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
            Self { issuer, folder: tempfile::tempdir().unwrap() }
        }

        /// A pair for a name, good for a day around now moved by this much.
        fn pair(&self, name: &str, shift_days: i64) -> Pair {
            let key = KeyPair::generate().unwrap();
            let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let now = SystemTime::now() - DAY * 1_000 + DAY * u32::try_from(shift_days + 1_000).unwrap();
            (parameters.not_before, parameters.not_after) = ((now - DAY).into(), (now + DAY).into());
            let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
            let pair = Pair::in_folder(self.folder.path());
            std::fs::write(&pair.certificate, certificate.pem() + &self.issuer.pem()).unwrap();
            std::fs::write(&pair.private_key, key.serialize_pem()).unwrap();
            pair
        }
    }

    fn proven(pair: &Pair, roots: &ClientTls) -> Result<Proven, NotProven> {
        prove(pair, &Domain::parse("mail.example.org").unwrap(), SystemTime::now(), roots)
    }

    #[test]
    fn a_certificate_that_is_right_is_proven_and_is_trusted_where_its_authority_is() {
        let authority = Authority::new();
        let pair = authority.pair("mail.example.org", 0);
        assert!(!proven(&pair, &ClientTls::new()).unwrap().is_trusted);
        let root = authority.folder.path().join("root.pem");
        std::fs::write(&root, authority.issuer.pem()).unwrap();
        let roots = ClientTls::with_authorities(&crate::Authorities::read(&root).unwrap());
        let found = proven(&pair, &roots).unwrap();
        assert!(found.is_trusted && found.described.names == ["mail.example.org"]);
        // All names below a domain are as good.
        assert!(proven(&authority.pair("*.example.org", 0), &roots).is_ok());
    }

    #[test]
    fn one_that_is_wrong_in_any_way_is_not() {
        let (authority, other, roots) = (Authority::new(), Authority::new(), ClientTls::new());
        let refused = |pair: &Pair| proven(pair, &roots).unwrap_err();
        assert!(matches!(refused(&authority.pair("mail.example.net", 0)), NotProven::OtherName { .. }));
        assert!(matches!(refused(&authority.pair("mail.example.org", 3)), NotProven::NotYet));
        assert!(matches!(refused(&authority.pair("mail.example.org", -3)), NotProven::Expired));
        let pair = authority.pair("mail.example.org", 0);
        let good = std::fs::read_to_string(&pair.certificate).unwrap();
        // The chain of another authority.
        let end = good.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
        std::fs::write(&pair.certificate, end.to_owned() + &other.issuer.pem()).unwrap();
        assert!(matches!(refused(&pair), NotProven::Chain(_)));
        // The key of another order.
        std::fs::write(&pair.certificate, &good).unwrap();
        std::fs::copy(other.pair("mail.example.org", 0).private_key, &pair.private_key).unwrap();
        assert!(matches!(refused(&pair), NotProven::Unusable(CertificateError::Mismatch { .. })));
        for text in ["", "<html>", &good[..good.len() / 4]] {
            std::fs::write(&pair.certificate, text).unwrap();
            assert!(matches!(refused(&pair), NotProven::Unusable(_)), "{text}");
        }
    }
}
