//! `[tls]`: our certificate, and whose we believe.

use std::path::Path;

use kings_mail::domain::Domain;
use kings_tls::{Authorities, CertificateError, ClientAuthorities, Pair, Source as Certificate};

use super::acme::{self, Acme};
use super::reader::{Section, Source};
use super::section;

pub(super) use super::acme::Ours;

/// All of `[tls]`.
pub(super) struct Tls {
    pub(super) certificate: Option<Certificate>,
    pub(super) acme: Option<Acme>,
    pub(super) authorities: Authorities,
    pub(super) client_authorities: Option<ClientAuthorities>,
}

pub(super) fn read(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    data_dir: Option<&Path>,
    ours: &Ours<'_>,
) -> Tls {
    section(source, top, "tls", |source, section| {
        let authorities = from_file(source, section, "authorities", Authorities::read);
        let client_authorities = from_file(source, section, "client_ca", ClientAuthorities::read);
        let acme = acme::read(source, section, ours);
        let certificate = certificate(source, section, data_dir, (ours.hostname, acme.as_ref()));
        Tls { certificate, acme, authorities: authorities.unwrap_or_default(), client_authorities }
    })
}

/// `[[tls.more]]`: certificates for other names than the hostname.
fn more(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for mut pair in section.sections(source, "more") {
        let files = (pair.path(source, "certificate"), pair.path(source, "private_key"));
        pair.finish(source);
        match files {
            (Some(certificate), Some(private_key)) => pairs.push(Pair { certificate, private_key }),
            _ => source.complain(
                "[[tls.more]] needs certificate = \"fullchain.pem\" and private_key = \"privkey.pem\"",
            ),
        }
    }
    pairs
}

pub(super) fn from_file<T>(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&Path) -> Result<T, CertificateError>,
) -> Option<T> {
    let found = read(&section.path(source, key)?);
    found.map_err(|error| source.complain(error.to_string())).ok()
}

fn certificate(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    data_dir: Option<&Path>,
    (hostname, acme): (Option<&Domain>, Option<&Acme>),
) -> Option<Certificate> {
    let more = more(source, section);
    let self_signed = section.flag(source, "self_signed").unwrap_or(false);
    let files = (section.path(source, "certificate"), section.path(source, "private_key"));
    if section.value("acme").is_some() {
        if self_signed || files != (None, None) || !more.is_empty() {
            source.complain("[tls] has both acme and another certificate: keep one of them");
        }
        let data_dir = data_dir?;
        return Some(Certificate::Acme {
            live: data_dir.join("acme/live"),
            names: acme?.settings.names.clone(),
            stand_in: data_dir.join("tls"),
        });
    }
    match (self_signed, files) {
        (false, (Some(certificate), Some(private_key))) => {
            Some(Certificate::Files { default: Pair { certificate, private_key }, more })
        }
        (true, (None, None)) if !more.is_empty() => {
            source.complain(
                "[tls] has both self_signed and [[tls.more]]: name certificate and private_key as well",
            );
            None
        }
        (true, (None, None)) => {
            Some(Certificate::SelfSigned { folder: data_dir?.join("tls"), hostname: hostname?.clone() })
        }
        (true, _) => {
            source.complain("[tls] has both self_signed and files: keep one of them");
            None
        }
        (false, _) => {
            source.complain(
                "[tls] needs acme = { contact = \"mailto:admin@example.org\" }, or certificate = \"fullchain.pem\" and private_key = \"privkey.pem\", or self_signed = true for a trial",
            );
            None
        }
    }
}
