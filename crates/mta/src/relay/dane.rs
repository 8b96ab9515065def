//! Which TLSA records a host has published, if DNSSEC vouches for the whole way to them.

use std::fmt::Write as _;

use kings_dns::{Dns, DnsError, Tlsa};
use kings_mail::domain::{DnsName, Domain};
use kings_tls::Dane;

use super::route::{HostName, NextHop};

/// Most aliases in a row that are followed.
const MAX_ALIASES: usize = 8;

/// What DNS says about the certificate of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// Nothing that DNSSEC vouches for.
    Nothing,
    /// Records, none of which SMTP can use: TLS is needed, any certificate will do (RFC 7672 §2.2).
    Unusable(String),
    /// Records, and the name at which they were found; `text` is for reports.
    Records { dane: Dane, sni: DnsName, text: String },
    /// There may be some: nobody can tell now, or a signature is broken (RFC 7672 §2.1.2).
    Broken(String),
}

/// Asks for the records of a host to which DNSSEC leads; for any other host nothing is asked, since some servers
/// give no proper answer to such questions (RFC 7672 §2.2.2).
pub(crate) async fn look_up<D: Dns>(dns: &D, domain: &Domain, hop: &NextHop) -> Published {
    let HostName::Name(host) = &hop.host else { return Published::Nothing };
    if !hop.authenticated {
        return Published::Nothing;
    }
    let bases = match bases(dns, host).await {
        Ok(bases) => bases,
        Err(cause) => return Published::Broken(cause),
    };
    for base in bases {
        let Ok(name) = DnsName::parse(&format!("_{}._tcp.{base}", hop.port)) else { continue };
        match dns.tlsa(&name).await {
            Ok(answer) if answer.authenticated => return published(&answer.records, base, domain),
            Ok(_) | Err(DnsError::NoDomain | DnsError::NoRecord) => {}
            Err(DnsError::Temporary(cause)) => return Published::Broken(cause),
        }
    }
    Published::Nothing
}

fn published(records: &[Tlsa], base: DnsName, domain: &Domain) -> Published {
    let text = records.iter().map(shown).collect::<Vec<_>>().join("\n");
    // A certificate below a trust anchor may be for the host or for the domain (RFC 7672 §3.2.2).
    match Dane::new(records, vec![base.clone(), DnsName::from(domain)]) {
        Some(dane) => Published::Records { dane, sni: base, text },
        None => Published::Unusable(text),
    }
}

/// As in a zone file, which is how reports show it (RFC 8460 §4.4).
fn shown(record: &Tlsa) -> String {
    let Tlsa { usage, selector, matching, data } = record;
    let mut text = format!("{usage} {selector} {matching} ");
    for octet in data {
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// The names at which records may be, the best first (RFC 7672 §2.2.3): where the aliases of the host lead, if
/// all of them are authenticated, and the host itself. None for a host whose addresses anybody could have given.
async fn bases<D: Dns>(dns: &D, host: &DnsName) -> Result<Vec<DnsName>, String> {
    let aliases = aliases(dns, host).await?;
    let (v4, v6) = (dns.ipv4(host).await, dns.ipv6(host).await);
    let known =
        [v4.as_ref().map(|answer| answer.authenticated), v6.as_ref().map(|answer| answer.authenticated)];
    if known.iter().all(Result::is_err) {
        return match known.into_iter().find_map(|answer| match answer {
            Err(DnsError::Temporary(cause)) => Some(cause.clone()),
            _ => None,
        }) {
            Some(cause) => Err(cause),
            None => Ok(Vec::new()),
        };
    }
    let addresses_are_authenticated = known.into_iter().flatten().all(|authenticated| authenticated);
    let mut bases = Vec::new();
    if addresses_are_authenticated && let Some((target, true)) = aliases.last() {
        bases.push(target.clone());
    }
    // An authenticated alias of an insecure host: the records stand at the alias.
    if addresses_are_authenticated || matches!(aliases.first(), Some((_, true))) {
        bases.push(host.clone());
    }
    Ok(bases)
}

/// The aliases from a name on, each with whether all of the way to it is authenticated.
async fn aliases<D: Dns>(dns: &D, host: &DnsName) -> Result<Vec<(DnsName, bool)>, String> {
    let mut found: Vec<(DnsName, bool)> = Vec::new();
    for _ in 0..MAX_ALIASES {
        let (name, so_far) = found.last().map_or((host, true), |(name, so_far)| (name, *so_far));
        match dns.cname(name).await {
            Ok(answer) => {
                let Some(target) = answer.records.into_iter().next() else { break };
                found.push((target, so_far && answer.authenticated));
            }
            Err(DnsError::NoDomain | DnsError::NoRecord) => break,
            Err(DnsError::Temporary(cause)) => return Err(cause),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;

    use super::super::Level;
    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn record(usage: u8) -> Tlsa {
        Tlsa { usage, selector: 1, matching: 1, data: vec![usage; 32] }
    }

    /// `mx` is signed all the way; `alias` leads to it; the others each have one fault.
    fn zone() -> Zone {
        let address = || "192.0.2.1".parse().unwrap();
        let mut zone = Zone::default();
        for host in ["mx", "plain", "useless", "broken", "unsigned", "halfway", "insecure-tlsa"] {
            zone = zone.with_address(name(&format!("{host}.example")), address());
        }
        for signed in ["mx", "plain", "useless", "broken", "insecure-tlsa", "alias", "out", "both"] {
            zone = zone.with_signed(name(&format!("{signed}.example")));
        }
        for host in ["mx", "unsigned", "out", "both", "insecure-tlsa"] {
            zone = zone.with_tlsa(name(&format!("_25._tcp.{host}.example")), record(3));
        }
        for signed in ["mx", "unsigned", "useless", "out", "both"] {
            zone = zone.with_signed(name(&format!("_25._tcp.{signed}.example")));
        }
        zone.with_tlsa(name("_25._tcp.useless.example"), record(1))
            .with_failure(name("_25._tcp.broken.example"))
            .with_failure(name("down.example"))
            .with_alias(name("alias.example"), name("mx.example"))
            .with_alias(name("loose.example"), name("mx.example"))
            .with_alias(name("out.example"), name("unsigned.example"))
            .with_alias(name("both.example"), name("plain.example"))
    }

    async fn found(host: &str, authenticated: bool) -> String {
        let hop = NextHop {
            preference: 0,
            host: host.parse().map_or_else(|_| HostName::Name(name(host)), HostName::Address),
            port: 25,
            tls: Level::May,
            login: None,
            configured: false,
            authenticated,
            protocol: kings_smtp::client::Protocol::Smtp,
            source: super::super::Source::default(),
        };
        match look_up(&zone(), &Domain::parse("example").unwrap(), &hop).await {
            Published::Nothing => "nothing".to_owned(),
            Published::Unusable(_) => "unusable".to_owned(),
            Published::Records { sni, .. } => format!("records at {sni}"),
            Published::Broken(_) => "broken".to_owned(),
        }
    }

    #[tokio::test]
    async fn records_count_where_dnssec_leads_all_the_way_to_them() {
        let cases = [
            ("mx.example", true, "records at mx.example"),
            // An MX record that nobody vouches for could lead anywhere.
            ("mx.example", false, "nothing"),
            ("plain.example", true, "nothing"),
            ("useless.example", true, "unusable"),
            ("broken.example", true, "broken"),
            ("down.example", true, "broken"),
            ("absent.example", true, "nothing"),
            ("unsigned.example", true, "nothing"),
            ("insecure-tlsa.example", true, "nothing"),
            ("192.0.2.1", true, "nothing"),
            // Aliases: to where they lead, else where they stand.
            ("alias.example", true, "records at mx.example"),
            ("both.example", true, "records at both.example"),
            ("out.example", true, "records at out.example"),
            ("loose.example", true, "nothing"),
        ];
        for (host, authenticated, expected) in cases {
            assert_eq!(found(host, authenticated).await, expected, "{host} {authenticated}");
        }
    }

    #[test]
    fn reports_show_records_as_a_zone_file_does() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0, 10, 255] };
        assert_eq!(shown(&record), "3 1 1 000aff");
    }
}
