//! `[tls] acme`: the authority that hands out our certificates.

use kings_acme::{Kind, Settings};
use kings_directory::HostedDomain;
use kings_fetch::Url;
use kings_mail::domain::Domain;
use kings_tls::Authorities;

use super::listen::Listen;
use super::reader::{Section, Source};
use super::tls::from_file;

/// Let's Encrypt, where nothing else is said.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// What mail programs and other servers look for below each domain (RFC 8461 §3.3; autoconfig and autodiscover by custom).
const BELOW_A_DOMAIN: [&str; 3] = ["mta-sts", "autoconfig", "autodiscover"];

/// What is wanted, and who vouches for the authority's own pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acme {
    pub(crate) settings: Settings,
    /// Trusted when the authority is asked, beside those of the machine.
    pub(crate) root: Authorities,
}

/// What the default of a key depends on.
pub(super) struct Ours<'a> {
    pub(super) hostname: Option<&'a Domain>,
    pub(super) hosted: &'a [HostedDomain],
    pub(super) listen: &'a Listen,
    /// Somebody can put records into DNS.
    pub(super) changes_dns: bool,
}

pub(super) fn read(source: &mut Source<'_>, tls: &mut Section<'_>, ours: &Ours<'_>) -> Option<Acme> {
    let is_there = tls.value("acme").is_some();
    let mut section = tls.section(source, "acme");
    let https = |text: &str| Url::parse(text).map(|_| text.to_owned());
    let directory =
        section.parsed(source, "directory", "an address such as \"https://ca.example/directory\"", https);
    let contact =
        section.parsed(source, "contact", "an address such as \"mailto:admin@example.org\"", |text| {
            let is_mail = text.strip_prefix("mailto:").is_some_and(|address| address.contains('@'));
            is_mail.then(|| text.to_owned()).ok_or("no mailto")
        });
    let chosen = section.list(source, "challenges", "\"http-01\", \"tls-alpn-01\" or \"dns-01\"", |text| {
        Kind::ALL.into_iter().find(|kind| kind.word() == text).ok_or(text.to_owned())
    });
    let names = section.list(source, "names", "a full name such as \"mta-sts.example.org\"", Domain::parse);
    let root = from_file(source, &mut section, "root", Authorities::read);
    let rotate_keys = section.flag(source, "rotate_keys").unwrap_or(false);
    section.finish(source);
    if !is_there {
        return None;
    }
    let kinds = kinds(source, &chosen, ours);
    let names = all_names(ours, names)?;
    let directory = directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned());
    Some(Acme {
        settings: Settings { directory, contact, kinds, names, rotate_keys },
        root: root.unwrap_or_default(),
    })
}

/// Those that are possible here; one that is asked for and is not is a fault.
fn kinds(source: &mut Source<'_>, chosen: &[Kind], ours: &Ours<'_>) -> Vec<Kind> {
    let missing = |kind| match kind {
        Kind::Http01 => ours.listen.http.is_empty().then_some("http = [\"[::]:80\"] in [listen]"),
        Kind::TlsAlpn01 => ours.listen.https.is_empty().then_some("https = [\"[::]:443\"] in [listen]"),
        Kind::Dns01 => (!ours.changes_dns).then_some("a provider in [dns] that can change the zone"),
    };
    for kind in chosen {
        if let Some(needed) = missing(*kind) {
            source.complain(format!("[tls] acme has the challenge {kind}, which needs {needed}"));
        }
    }
    let wanted = if chosen.is_empty() { &Kind::ALL[..] } else { chosen };
    let kinds: Vec<Kind> = wanted.iter().copied().filter(|kind| missing(*kind).is_none()).collect();
    if kinds.is_empty() && chosen.is_empty() {
        source.complain(
            "[tls] acme has no way to prove a name: add http = [\"[::]:80\"] to [listen], or https = [\"[::]:443\"], or a provider to [dns]",
        );
    }
    kinds
}

/// The hostname first; without a word of the operator, also what is looked for below each domain where HTTPS is served.
fn all_names(ours: &Ours<'_>, chosen: Vec<Domain>) -> Option<Vec<Domain>> {
    let mut names = vec![ours.hostname?.clone()];
    let below = |hosted: &HostedDomain| {
        let name = hosted.name.clone();
        BELOW_A_DOMAIN.iter().filter_map(move |label| Domain::parse(&format!("{label}.{name}")).ok())
    };
    let usual = ours.hosted.iter().filter(|_| !ours.listen.https.is_empty()).flat_map(below);
    let wanted: Vec<Domain> = if chosen.is_empty() { usual.collect() } else { chosen };
    for name in wanted {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}
