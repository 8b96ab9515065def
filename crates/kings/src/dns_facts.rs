//! What the config, the keys and the certificate say about the records that DNS should have.

use kings_acme::Shelf;
use kings_dns::plan::{Facts, Hosted, Services, SigningKey};
use kings_mail::domain::Domain;
use kings_msgauth::dkim::key_files;
use kings_msgauth::mta_sts::Policy;
use kings_net::public_addresses;
use kings_tls::{Described, Source as Certificate};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::command::Failure;
use crate::config::Settings;
use crate::{dkim, serve};

/// All that the records depend on.
pub(crate) fn gather(settings: &Settings) -> Result<Facts, Failure> {
    let published = &settings.published;
    let certificate = certificate(settings);
    let known = certificate.as_ref().and_then(|certificate| authority(&certificate.issuer));
    let mut authorities: Vec<String> =
        published.certificate_authorities.iter().map(ToString::to_string).collect();
    if authorities.is_empty() {
        authorities.extend(known.map(str::to_owned));
    }
    let mut domains = Vec::new();
    for hosted in &settings.domains {
        domains.push(hosted_domain(settings, &hosted.name)?);
    }
    Ok(Facts {
        hostname: settings.hostname.clone(),
        addresses: if published.addresses.is_empty() {
            public_addresses()
        } else {
            published.addresses.clone()
        },
        domains,
        services: services(settings),
        tls_keys: tls_keys(settings, certificate.as_ref())?,
        authorities,
        smart_host: !settings.outbound.smart_hosts.is_empty(),
    })
}

fn hosted_domain(settings: &Settings, name: &Domain) -> Result<Hosted, Failure> {
    let files =
        dkim::key_files(&settings.data_dir, name).map_err(|error| Failure::config(format!("{error:#}")))?;
    let keys = files
        .iter()
        .map(|file| SigningKey { selector: file.selector.to_string(), record: key_files::record(&file.key) });
    let reports = settings.reports.as_ref().map_or(&[][..], |reports| &reports.receive[..]);
    let at = |domain: &Domain| reports.iter().find(|address| address.domain() == Some(domain));
    let found = at(name).or(reports.first());
    let reports = match found {
        Some(address) => address.domain().map(|domain| (address.to_string(), domain.clone())),
        // That address is there on every server (RFC 5321 §4.5.1).
        None => Some((format!("postmaster@{name}"), name.clone())),
    };
    let mta_sts = policy(settings, name).map(|policy| policy.id());
    Ok(Hosted { name: name.clone(), keys: keys.collect(), mta_sts, reports })
}

/// The policy of MTA-STS that a domain has.
pub(crate) fn policy(settings: &Settings, domain: &Domain) -> Option<Policy> {
    settings.mta_sts.policy(domain)
}

/// What the certificate says that port 25 shows; `None` where there is none yet.
fn certificate(settings: &Settings) -> Option<Described> {
    let host = &settings.hostname;
    let place = match &settings.certificate {
        Certificate::Files { default, .. } => default.certificate.clone(),
        Certificate::Acme { live, .. } => live.join(host.as_str()).join("fullchain.pem"),
        Certificate::SelfSigned { folder, .. } => folder.join("self-signed.pem"),
    };
    Described::of(&CertificateDer::from_pem_file(place).ok()?)
}

/// The key that port 25 shows, and the one that comes after it: DNS has to name that one before it serves.
fn tls_keys(settings: &Settings, certificate: Option<&Described>) -> Result<Vec<Vec<u8>>, Failure> {
    let Some(certificate) = certificate else { return Ok(Vec::new()) };
    let mut keys = vec![certificate.key_digest.to_vec()];
    if settings.acme.as_ref().is_some_and(|acme| acme.settings.rotate_keys) {
        let folder = settings.data_dir.join(serve::ACME_FOLDER);
        // A record that is published already must not go because its key cannot be read now.
        let known = Shelf::at(&folder).tlsa(&settings.hostname).map_err(|error| {
            Failure::cannot_tell(format!("cannot read the keys in {}: {error}", folder.display()))
        })?;
        keys.extend(known.into_iter().map(|record| record.data));
        keys.dedup();
    }
    Ok(keys)
}

/// The name in CAA records of those whose certificates name them otherwise.
fn authority(issuer: &str) -> Option<&'static str> {
    let known = [
        ("O=Let's Encrypt", "letsencrypt.org"),
        ("O=ZeroSSL", "sectigo.com"),
        ("O=Sectigo Limited", "sectigo.com"),
        ("O=DigiCert Inc", "digicert.com"),
        ("O=Google Trust Services", "pki.goog"),
        ("O=Amazon", "amazon.com"),
    ];
    known.into_iter().find(|(name, _)| issuer.contains(name)).map(|(_, domain)| domain)
}

/// Where the world finds the services: port 0 is a trial, and any other one what the config says.
fn services(settings: &Settings) -> Services {
    let listen = &settings.listen;
    let port = |addresses: &[std::net::SocketAddr]| addresses.first().map(std::net::SocketAddr::port);
    Services {
        smtp: !listen.smtp.is_empty(),
        submission: port(&listen.submission),
        submissions: port(&listen.submissions),
        imap: port(&listen.imap),
        imaps: port(&listen.imaps),
        pop3: port(&listen.pop3),
        pop3s: port(&listen.pop3s),
        https: port(&listen.https),
        jmap: None,
    }
}
