//! What the config, the keys and the certificate say about the records that DNS should have.

use std::net::{IpAddr, UdpSocket};

use aws_lc_rs::digest::{SHA256, digest};
use kings_dns::plan::{Facts, Hosted, Services, SigningKey};
use kings_mail::domain::Domain;
use kings_msgauth::dkim::key_files;
use kings_msgauth::mta_sts::Policy;
use kings_net::is_public;
use kings_tls::{Described, Source as Certificate};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::command::Failure;
use crate::config::Settings;
use crate::dkim;

/// Octets of the id of a policy; in hexadecimal twice as many, where 32 are the most (RFC 8461 §3.1).
const ID_OCTETS: usize = 10;
/// Far away, to learn by which of our addresses the world is reached; nothing is sent there.
const FAR: [&str; 2] = ["192.0.2.1:53", "[2001:db8::1]:53"];

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
        addresses: if published.addresses.is_empty() { own_addresses() } else { published.addresses.clone() },
        domains,
        services: services(settings),
        tls_keys: certificate.iter().map(|certificate| certificate.key_digest.to_vec()).collect(),
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
    let mta_sts = policy(settings, name).map(|policy| id(&policy));
    Ok(Hosted { name: name.clone(), keys: keys.collect(), mta_sts, reports })
}

/// The policy of MTA-STS that a domain has.
pub(crate) fn policy(settings: &Settings, domain: &Domain) -> Option<Policy> {
    settings.mta_sts.policy(domain)
}

/// Another one for every other policy, and the same for the same.
fn id(policy: &Policy) -> String {
    let hash = digest(&SHA256, policy.to_string().as_bytes());
    hash.as_ref().iter().take(ID_OCTETS).map(|octet| format!("{octet:02x}")).collect()
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

/// The public addresses from which this machine sends. A machine behind a router has none that it knows.
fn own_addresses() -> Vec<IpAddr> {
    let source = |far: &&str| {
        let bind = if far.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(far).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    FAR.iter().filter_map(source).filter(|ip| is_public(*ip)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_id_of_a_policy_changes_with_its_content_and_with_nothing_else() {
        let policy = |text: &str| Policy::parse(text.as_bytes()).unwrap();
        let one = policy("version: STSv1\nmode: testing\nmx: mail.example.org\nmax_age: 604800\n");
        let same = policy("version: STSv1\r\nmode: testing\r\nmax_age: 604800\r\nmx: mail.example.org\r\n");
        let other = policy("version: STSv1\nmode: enforce\nmx: mail.example.org\nmax_age: 604800\n");
        assert_eq!(id(&one), id(&same));
        assert_ne!(id(&one), id(&other));
        assert!(id(&one).len() <= 32 && id(&one).bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
