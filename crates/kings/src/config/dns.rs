//! `[dns]`: whom to ask, what is to be published about this server, and where records can be changed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use kings_fetch::Url;
use kings_mail::domain::{DnsName, Domain};
use kings_net::ResolverSettings;
use kings_tls::Authorities;

use super::name_server;
use super::reader::{Section, Source};
use super::tls::from_file;

/// What DNS is to say about this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The addresses by which the world knows it; those of the machine where none is named.
    pub(crate) addresses: Vec<IpAddr>,
    /// Who may give its certificates, as CAA names them.
    pub(crate) certificate_authorities: Vec<Domain>,
    /// Who changes the zones.
    pub(crate) provider: Option<DnsServer>,
}

/// Where records can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DnsServer {
    /// A name server that takes updates (RFC 2136), signed with a key.
    Rfc2136 { server: SocketAddr, key: DnsName, key_file: PathBuf },
    /// Amazon Route 53.
    Route53(Box<Route53>),
}

/// Every key may be absent: a machine with a role needs none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route53 {
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) profile: Option<String>,
    /// The id of the only zone that may be changed.
    pub(crate) zone: Option<String>,
    /// Another service than Amazon's own, and who vouches for its certificate.
    pub(crate) endpoint: Option<String>,
    pub(crate) root: Authorities,
    /// Where the machine asks about itself.
    pub(crate) metadata: Option<String>,
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
        provider: provider(source, section),
    };
    (resolver, published)
}

/// Which keys there are depends on the kind.
#[derive(Clone, Copy)]
enum Kind {
    Rfc2136,
    Route53,
}

fn provider(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<DnsServer> {
    let mut provider = section.section(source, "provider");
    if !provider.is_there() {
        return None;
    }
    let span = section.value("provider").map(toml::Spanned::span).unwrap_or_default();
    let kinds = [("rfc2136", Kind::Rfc2136), ("route53", Kind::Route53)];
    let is_there = provider.value("kind").is_some();
    let kind = provider.choice(source, "kind", &kinds);
    if !is_there {
        source.complain_at(span.clone(), "provider needs a kind: kind = \"rfc2136\" or \"route53\"");
    }
    let read = match kind? {
        Kind::Route53 => Some(DnsServer::Route53(Box::new(route53(source, &mut provider)))),
        Kind::Rfc2136 => {
            let what = "a name server such as \"192.0.2.53\" or \"127.0.0.1:5353\"";
            let server =
                provider.parsed(source, "server", what, |text| name_server(text).ok_or("no address"));
            let key = provider.parsed(
                source,
                "key",
                "the name of a key such as \"kings.example.org\"",
                DnsName::parse,
            );
            let key_file = provider.path(source, "key_file");
            match (server, key, key_file) {
                (Some(server), Some(key), Some(key_file)) => {
                    Some(DnsServer::Rfc2136 { server, key, key_file })
                }
                _ => {
                    let needed = "kind = \"rfc2136\" needs server, key and key_file: server = \"192.0.2.53\", key = \"kings\", \
                                  key_file = \"kings.key\", which  tsig-keygen kings  writes";
                    source.complain_at(span, needed);
                    None
                }
            }
        }
    };
    provider.finish(source);
    read
}

fn route53(source: &mut Source<'_>, section: &mut Section<'_>) -> Route53 {
    let endpoint = "an address such as \"https://route53.example:8443\"";
    let host = "a host and a port such as \"127.0.0.1:8080\"";
    Route53 {
        credentials_file: section.path(source, "credentials_file"),
        profile: section.parsed(source, "profile", "the name of a profile", |text| {
            let is_fine = !text.is_empty() && !text.contains(['[', ']', '\n']);
            is_fine.then(|| text.to_owned()).ok_or("no name")
        }),
        zone: section.parsed(source, "zone", "the id of a hosted zone such as \"Z1PA6795UKMFR9\"", |text| {
            let is_id = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric());
            is_id.then(|| text.to_owned()).ok_or("no id")
        }),
        endpoint: section
            .parsed(source, "endpoint", endpoint, |text| Url::parse(text).map(|_| text.to_owned())),
        root: from_file(source, section, "root", Authorities::read).unwrap_or_default(),
        metadata: section.parsed(source, "metadata", host, |text| {
            text.parse().map(|address: SocketAddr| address.to_string())
        }),
    }
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
    fn a_provider_is_read_with_its_keys() {
        assert_eq!(published("").unwrap(), Published::default());
        let read = published(
            "addresses = [\"203.0.113.10\", \"2001:db8::10\"]\ncertificate_authorities = [\"letsencrypt.org\"]\n\
             provider = { kind = \"rfc2136\", server = \"192.0.2.53\", key = \"kings\", key_file = \"kings.key\" }",
        );
        let read = read.unwrap();
        assert_eq!(read.addresses.len(), 2);
        let expected = DnsServer::Rfc2136 {
            server: "192.0.2.53:53".parse().unwrap(),
            key: DnsName::parse("kings").unwrap(),
            key_file: "/etc/kings-smtp/kings.key".into(),
        };
        assert_eq!(read.provider, Some(expected));
        let read = published("provider = { kind = \"route53\" }").unwrap();
        assert_eq!(read.provider, Some(DnsServer::Route53(Box::default())));
        let read = published(
            "provider = { kind = \"route53\", credentials_file = \"aws\", profile = \"mail\", zone = \"Z1\", endpoint = \
             \"https://localhost:8443\", metadata = \"127.0.0.1:80\" }",
        );
        let expected = Route53 {
            credentials_file: Some("/etc/kings-smtp/aws".into()),
            profile: Some("mail".to_owned()),
            zone: Some("Z1".to_owned()),
            endpoint: Some("https://localhost:8443".to_owned()),
            metadata: Some("127.0.0.1:80".to_owned()),
            ..Route53::default()
        };
        assert_eq!(read.unwrap().provider, Some(DnsServer::Route53(Box::new(expected))));
    }

    #[test]
    fn a_provider_that_lacks_something_is_refused_with_what_it_lacks() {
        let cases = [
            ("provider = { kind = \"rfc2136\", server = \"192.0.2.53\" }", "needs server, key and key_file"),
            (
                "provider = { kind = \"rfc2136\", server = \"ns.example\", key = \"k\", key_file = \"f\" }",
                "server must be a name server",
            ),
            ("provider = { server = \"192.0.2.53\" }", "provider needs a kind"),
            ("provider = { kind = \"rfc2136\", zone = \"x\" }", "unknown key \"zone\""),
            ("provider = { kind = \"bind\" }", "kind must be one of"),
            ("provider = { kind = \"route53\", server = \"192.0.2.53\" }", "unknown key \"server\""),
            ("provider = { kind = \"route53\", zone = \"../Z1\" }", "zone must be the id of a hosted zone"),
            ("provider = { kind = \"route53\", endpoint = \"http://x\" }", "endpoint must be an address"),
            ("provider = \"rfc2136\"", "provider must be a table"),
            ("addresses = [\"mail.example.org\"]", "addresses must be an address"),
        ];
        for (dns, expected) in cases {
            let complaints = published(dns).unwrap_err();
            assert!(complaints.iter().any(|complaint| complaint.contains(expected)), "{dns}: {complaints:?}");
        }
    }
}
