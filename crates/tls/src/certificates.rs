//! The server's certificates: read at start, swapped on reload, chosen by the name that a client asks for.

use std::collections::HashMap;
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
use tracing::{info, warn};

use crate::acme::Alpn;
use crate::client_auth::ClientAuthorities;
use crate::described::Described;
use crate::self_signed;
use crate::sessions::Sessions;

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate with its chain (`fullchain.pem`).
    pub certificate: PathBuf,
    /// The key (`privkey.pem`).
    pub private_key: PathBuf,
}

impl Pair {
    /// As certbot names them in a folder `live/NAME`.
    pub fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("fullchain.pem"), private_key: folder.join("privkey.pem") }
    }
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM files, as certbot lays them out.
    Files {
        /// For the hostname, and for whoever asks for no name that we know.
        default: Pair,
        /// For their own names.
        more: Vec<Pair>,
    },
    /// Those that an authority has given us: `live/NAME` for each name, where it is there yet.
    Acme {
        /// The folder `live`.
        live: PathBuf,
        /// The hostname, and then the others.
        names: Vec<Domain>,
        /// Keeps the self-signed certificate that stands in until the hostname has its own.
        stand_in: PathBuf,
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

/// The certificates that all listeners show. Clones share them.
#[derive(Clone, Debug)]
pub struct Certificates {
    current: Arc<Current>,
    source: Arc<ArcSwap<Source>>,
    server: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current(ArcSwap<Served>);

/// One certificate for each name that is asked for, and one for all others.
#[derive(Debug)]
struct Served {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the certificates, or makes one.
    pub fn open(source: &Source) -> Result<Self, CertificateError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(load(source)?)));
        let mut server = builder().with_no_client_auth().with_cert_resolver(current.clone());
        server.session_storage = Arc::new(Sessions::default());
        let source = Arc::new(ArcSwap::from_pointee(source.clone()));
        Ok(Self { current, source, server: Arc::new(server) })
    }

    /// Reads the certificates again; connections that stand keep the old ones. On an error nothing changes.
    pub fn reload(&self, source: &Source) -> Result<(), CertificateError> {
        self.current.0.store(Arc::new(load(source)?));
        self.source.store(Arc::new(source.clone()));
        info!("certificates loaded again");
        Ok(())
    }

    /// The same from where they came last.
    pub fn reload_in_place(&self) -> Result<(), CertificateError> {
        self.reload(&self.source.load_full())
    }

    /// What is shown to a client that asks for this name.
    pub fn shown_for(&self, name: &str) -> Option<Described> {
        let key = self.current.0.load().find(Some(name));
        key.cert.first().and_then(Described::of)
    }

    /// What is shown, each once, the default first.
    pub fn shown(&self) -> Vec<Described> {
        let served = self.current.0.load();
        let mut keys = vec![&served.default];
        for key in served.by_name.values() {
            if !keys.iter().any(|known| Arc::ptr_eq(known, key)) {
                keys.push(key);
            }
        }
        let mut shown: Vec<Described> =
            keys.iter().filter_map(|key| Described::of(key.cert.first()?)).collect();
        if let Some(others) = shown.get_mut(1..) {
            others.sort_by(|one, other| one.names.cmp(&other.names));
        }
        shown
    }

    /// The settings of every listener: TLS 1.2 and 1.3 with the suites of rustls.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// The settings of the HTTPS listener, where an authority may also look whether a name is ours (RFC 8737 §3).
    pub fn server_for_web(&self, alpn: &Alpn) -> Arc<ServerConfig> {
        let resolver = Web { current: self.current.clone(), alpn: alpn.clone() };
        let mut server = builder().with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        server.session_storage = Arc::new(Sessions::default());
        server.alpn_protocols = vec![b"http/1.1".to_vec(), Alpn::PROTOCOL.to_vec()];
        Arc::new(server)
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

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
    }
}

/// For HTTPS: a client that speaks of nothing but `acme-tls/1` gets what was prepared for it, and no certificate of ours.
#[derive(Debug)]
struct Web {
    current: Arc<Current>,
    alpn: Alpn,
}

impl ResolvesServerCert for Web {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten().peekable();
        let is_offered = offered.peek().is_some();
        if is_offered && offered.all(|protocol| protocol == Alpn::PROTOCOL) {
            return self.alpn.answer(hello.server_name()?);
        }
        self.current.resolve(hello)
    }
}

impl Served {
    fn of(default: CertifiedKey, more: impl IntoIterator<Item = CertifiedKey>) -> Self {
        let default = Arc::new(default);
        let mut by_name = HashMap::new();
        for key in std::iter::once(default.clone()).chain(more.into_iter().map(Arc::new)) {
            for name in key.cert.first().and_then(Described::of).into_iter().flat_map(|read| read.names) {
                by_name.entry(name).or_insert_with(|| key.clone());
            }
        }
        Self { default, by_name }
    }

    /// The certificate for a name, or for all names one label shorter; a mail program that sends an odd name, or none,
    /// still gets through with the default. The dot of a full name is none of the name (RFC 6066 §3).
    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase()).unwrap_or_default();
        let exact = self.by_name.get(&name);
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        exact.or_else(wildcard).unwrap_or(&self.default).clone()
    }
}

fn load(source: &Source) -> Result<Served, CertificateError> {
    let self_signed = |folder: &Path, hostname: &Domain| {
        let files = self_signed::ensure(folder, hostname)
            .map_err(|cause| CertificateError::SelfSigned { folder: folder.to_owned(), cause })?;
        load_files(&files.certificate, &files.private_key)
    };
    let load_pair = |pair: &Pair| load_files(&pair.certificate, &pair.private_key);
    match source {
        Source::Files { default, more } => {
            let default = load_pair(default)?;
            Ok(Served::of(default, more.iter().map(load_pair).collect::<Result<Vec<_>, _>>()?))
        }
        Source::SelfSigned { folder, hostname } => Ok(Served::of(self_signed(folder, hostname)?, [])),
        Source::Acme { live, names, stand_in } => {
            // Each name has an order of its own, so one that is not there yet, or is damaged, leaves the others alone.
            let of_name = |name: &Domain| {
                let folder = live.join(name.as_str());
                folder.exists().then(|| load_pair(&Pair::in_folder(&folder)))?.map_or_else(
                    |error| {
                        warn!(%name, %error, "a certificate cannot be shown");
                        None
                    },
                    Some,
                )
            };
            let Some((hostname, others)) = names.split_first() else {
                return Err(unreadable("certificate", live, "no name to have one for".to_owned()));
            };
            let default = match of_name(hostname) {
                Some(default) => default,
                None => self_signed(stand_in, hostname)?,
            };
            Ok(Served::of(default, others.iter().filter_map(of_name)))
        }
    }
}

fn unreadable(what: &'static str, path: &Path, cause: String) -> CertificateError {
    CertificateError::Unreadable { what, path: path.to_owned(), cause }
}

pub(crate) fn load_files(certificate: &Path, private_key: &Path) -> Result<CertifiedKey, CertificateError> {
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
        assert_eq!(first.shown_for("x"), second.shown_for("x"));
        assert!(first.shown_for("x").is_some());
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
        let missing = Source::Files { default: Pair::in_folder(Path::new("/nowhere")), more: Vec::new() };
        let error = Certificates::open(&missing).unwrap_err().to_string();
        assert!(error.starts_with("cannot read certificate /nowhere/fullchain.pem: "), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_a_reload_keeps_the_old_one() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let certificates = Certificates::open(&source(here.path())).unwrap();
        Certificates::open(&source(there.path())).unwrap();
        let before = certificates.current.0.load_full();
        let default = Pair {
            certificate: here.path().join("self-signed.pem"),
            private_key: there.path().join("self-signed.key"),
        };
        let mixed = Source::Files { default, more: Vec::new() };
        assert!(matches!(certificates.reload(&mixed), Err(CertificateError::Mismatch { .. })));
        assert!(Arc::ptr_eq(&before, &certificates.current.0.load_full()));
    }

    /// A pair in certbot's layout for these names.
    fn pair(folder: &Path, names: &[&str]) -> Pair {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        std::fs::create_dir_all(folder).unwrap();
        let pair = Pair::in_folder(folder);
        std::fs::write(&pair.certificate, certificate.pem()).unwrap();
        std::fs::write(&pair.private_key, key.serialize_pem()).unwrap();
        pair
    }

    #[test]
    fn each_name_has_its_certificate_and_all_others_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Files {
            default: pair(&folder.path().join("a"), &["mail.example.org"]),
            more: vec![
                pair(&folder.path().join("b"), &["MTA-STS.example.org", "mta-sts.example.net"]),
                pair(&folder.path().join("c"), &["*.example.com"]),
            ],
        };
        let certificates = Certificates::open(&source).unwrap();
        for (asked, first_name) in [
            ("mail.example.org", "mail.example.org"),
            ("mta-sts.example.org", "mta-sts.example.org"),
            ("mta-sts.example.net.", "mta-sts.example.org"),
            ("Mta-Sts.Example.Org", "mta-sts.example.org"),
            ("www.example.com", "*.example.com"),
            ("a.www.example.com", "mail.example.org"),
            ("example.com", "mail.example.org"),
            ("192.0.2.1", "mail.example.org"),
            ("", "mail.example.org"),
        ] {
            assert_eq!(certificates.shown_for(asked).unwrap().names[0], first_name, "{asked}");
        }
        let shown: Vec<String> = certificates.shown().into_iter().map(|one| one.names[0].clone()).collect();
        assert_eq!(shown, ["mail.example.org", "*.example.com", "mta-sts.example.org"]);
    }

    #[test]
    fn a_stand_in_serves_until_the_hostname_has_its_certificate_and_a_damaged_one_hinders_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live");
        let names = ["mail.example.org", "mta-sts.example.org", "autoconfig.example.org"];
        let source = Source::Acme {
            live: live.clone(),
            names: names.iter().map(|name| Domain::parse(name).unwrap()).collect(),
            stand_in: folder.path().join("tls"),
        };
        let certificates = Certificates::open(&source).unwrap();
        let stand_in = certificates.shown_for("mail.example.org").unwrap();
        assert!(stand_in.is_self_signed && stand_in.names.contains(&"localhost".to_owned()));
        pair(&live.join(names[1]), &names[1..2]);
        let damaged = pair(&live.join(names[2]), &names[2..3]);
        std::fs::write(&damaged.private_key, "").unwrap();
        certificates.reload_in_place().unwrap();
        assert_eq!(certificates.shown_for("mail.example.org").unwrap(), stand_in);
        assert_eq!(certificates.shown_for(names[1]).unwrap().names, [names[1]]);
        assert_eq!(certificates.shown_for(names[2]).unwrap(), stand_in);
        pair(&live.join(names[0]), &names[..1]);
        certificates.reload_in_place().unwrap();
        assert_eq!(certificates.shown_for("anything").unwrap().names, [names[0]]);
    }
}
