//! `[dns]`: whom to ask, and what is to be published about this server.

use std::net::IpAddr;

use kings_mail::domain::Domain;
use kings_net::ResolverSettings;

use super::reader::{Section, Source};

/// What DNS is to say about this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The addresses by which the world knows it; those of the machine where none is named.
    pub(crate) addresses: Vec<IpAddr>,
    /// Who may give its certificates, as CAA names them.
    pub(crate) certificate_authorities: Vec<Domain>,
}

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> (ResolverSettings, Published) {
    let what = "an address with its port such as \"127.0.0.1:53\"";
    let resolver = ResolverSettings {
        servers: section.list(source, "servers", what, str::parse),
        trust_ad: section.flag(source, "trust_ad").unwrap_or(false),
    };
    let published = Published {
        addresses: section.list(source, "addresses", "an address such as \"203.0.113.10\"", str::parse),
        certificate_authorities: section.list(
            source,
            "certificate_authorities",
            "a name as CAA records have it, such as \"letsencrypt.org\"",
            Domain::parse,
        ),
    };
    (resolver, published)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    fn published(dns: &str) -> Result<Published, Vec<String>> {
        let text = format!(
            "hostname = \"mail.example.org\"\ndata_dir = \"d\"\nmail_dir = \"m\"\n[[domain]]\nname = \"example.org\"\n[accounts]\nfile = \"u\"\n\
             [listen]\nsmtp = [\"[::]:25\"]\n[tls]\nself_signed = true\n[dns]\n{dns}\n"
        );
        let settings = Settings::parse(&text, Path::new("/etc/kings-smtp"));
        settings
            .map(|settings| settings.published)
            .map_err(|complaints| complaints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_published_is_named_by_addresses_and_names() {
        assert_eq!(published("").unwrap(), Published::default());
        let read = published(
            "addresses = [\"203.0.113.10\", \"2001:db8::10\"]\ncertificate_authorities = [\"letsencrypt.org\"]",
        );
        assert_eq!(read.unwrap().addresses.len(), 2);
        for (dns, expected) in [
            ("addresses = [\"mail.example.org\"]", "addresses must be an address"),
            ("certificate_authorities = [\"Let's Encrypt\"]", "certificate_authorities must be a name"),
        ] {
            let complaints = published(dns).unwrap_err();
            assert!(complaints.iter().any(|complaint| complaint.contains(expected)), "{dns}: {complaints:?}");
        }
    }
}
