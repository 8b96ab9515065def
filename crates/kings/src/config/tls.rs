//! `[tls]`: our certificate, and whose we believe.

use std::path::Path;

use kings_mail::domain::Domain;
use kings_tls::{Authorities, CertificateError, ClientAuthorities, Source as Certificate};

use super::reader::{Section, Source};
use super::section;

pub(super) fn read(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    data_dir: Option<&Path>,
    hostname: Option<&Domain>,
) -> (Option<Certificate>, Authorities, Option<ClientAuthorities>) {
    section(source, top, "tls", |source, section| {
        let authorities = from_file(source, section, "authorities", Authorities::read);
        let for_clients = from_file(source, section, "client_ca", ClientAuthorities::read);
        (certificate(source, section, data_dir, hostname), authorities.unwrap_or_default(), for_clients)
    })
}

fn from_file<T>(
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
    hostname: Option<&Domain>,
) -> Option<Certificate> {
    if let Some(acme) = section.value("acme") {
        source.complain_at(acme.span(), "acme is not built yet: name certificate and private_key instead");
        return None;
    }
    let self_signed = section.flag(source, "self_signed").unwrap_or(false);
    let files = (section.path(source, "certificate"), section.path(source, "private_key"));
    match (self_signed, files) {
        (false, (Some(certificate), Some(private_key))) => {
            Some(Certificate::Files { certificate, private_key })
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
                "[tls] needs certificate = \"fullchain.pem\" and private_key = \"privkey.pem\", or self_signed = true for a trial",
            );
            None
        }
    }
}
