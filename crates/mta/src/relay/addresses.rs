//! Where a host can be reached: its addresses that may be used, in the order to try them.

use std::net::{IpAddr, SocketAddr};

use kings_dns::{Answer, Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};
use kings_net::is_public;
use tokio::time::timeout;

use super::route::{Address, HostName, NextHop, NoRoute, temporary};
use super::together::Together;
use super::{Family, Settings};
use crate::patience::QUESTION;

/// Most addresses of one host (Postfix's `smtp_mx_address_limit`).
const MAX_ADDRESSES: usize = 5;

/// The addresses of a host, in the order of `[outbound] ip`. IPv4 comes first unless the config says otherwise: a
/// server whose IPv6 address has no reverse name is refused by many, while its IPv4 address was set up with care. An
/// MX host may not be private unless the config says so, and no host may be ourselves, under our name or another one.
pub(crate) async fn addresses<D: Dns>(
    dns: &D,
    settings: &Settings,
    hostname: &Domain,
    hop: &NextHop,
) -> Result<Vec<Address>, NoRoute> {
    let found = match &hop.host {
        HostName::Socket(path) => return Ok(vec![Address::Socket(path.clone())]),
        HostName::Address(address) => vec![*address],
        HostName::Name(name) if !hop.configured && *name == DnsName::from(hostname) => {
            return Err(NoRoute::Ourselves(format!("{name} is its name")));
        }
        HostName::Name(name) => look_up(dns, &settings.families, name).await?,
    };
    if let Some(ip) = found.iter().find(|ip| settings.ourselves.answer_at(**ip, hop)) {
        return Err(NoRoute::Ourselves(format!("{}[{ip}] has its address", hop.host)));
    }
    let allowed = |ip: &IpAddr| {
        hop.configured || is_public(*ip) || settings.allow_private.iter().any(|network| network.contains(ip))
    };
    let usable: Vec<Address> = found
        .into_iter()
        .filter(allowed)
        .take(MAX_ADDRESSES)
        .map(|ip| Address::Inet(SocketAddr::new(ip, hop.port)))
        .collect();
    if usable.is_empty() { Err(NoRoute::Private(hop.host.to_string())) } else { Ok(usable) }
}

/// All addresses of the families we use. One family that cannot be looked up, or not soon, does not matter while the
/// other has an address.
async fn look_up<D: Dns>(dns: &D, families: &[Family], name: &DnsName) -> Result<Vec<IpAddr>, NoRoute> {
    let ask = |&family| async move {
        let found: Result<Vec<IpAddr>, DnsError> = match family {
            Family::Ipv4 => {
                records(dns.ipv4(name).await).map(|ips| ips.into_iter().map(Into::into).collect())
            }
            Family::Ipv6 => {
                records(dns.ipv6(name).await).map(|ips| ips.into_iter().map(Into::into).collect())
            }
        };
        found
    };
    let mut found = Together::new(families.iter().map(ask));
    let _ = timeout(QUESTION, found.advance(families.len(), |_| false)).await;
    let usable = |found: &Option<Result<Vec<IpAddr>, _>>| matches!(found, Some(Ok(ips)) if !ips.is_empty());
    let enough = |found: &[Option<_>]| found.iter().any(usable);
    if !enough(found.brought()) {
        found.advance(families.len(), enough).await;
    }
    let (mut all, mut broken) = (Vec::new(), None);
    for found in found.into_brought().into_iter().flatten() {
        match found {
            Ok(found) => all.push(found),
            Err(error) => broken = Some(error),
        }
    }
    let all = interleaved(all);
    match broken {
        Some(error) if all.is_empty() => Err(temporary(name.as_str(), &error)),
        _ if all.is_empty() => Err(NoRoute::NoDomain(name.to_string())),
        _ => Ok(all),
    }
}

/// One of each family in turn, so that many addresses of one do not hide all of the other.
fn interleaved(families: Vec<Vec<IpAddr>>) -> Vec<IpAddr> {
    let mut families: Vec<_> = families.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let round: Vec<IpAddr> = families.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            return all;
        }
        all.extend(round);
    }
}

/// No records is an answer; only trouble is an error.
fn records<T>(answer: Result<Answer<T>, DnsError>) -> Result<Vec<T>, DnsError> {
    match answer {
        Ok(answer) => Ok(answer.records),
        Err(DnsError::NoDomain | DnsError::NoRecord) => Ok(Vec::new()),
        Err(error @ DnsError::Temporary(_)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use kings_dns::{Mx, Tlsa, Zone};
    use kings_smtp::client::Protocol;

    use super::super::{Level, Ourselves, Routes, Source, Sources};
    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn zone() -> Zone {
        Zone::default()
            .with_mx(name("three.example"), 20, Some(name("c.example")))
            .with_mx(name("three.example"), 10, Some(name("a.example")))
            .with_mx(name("three.example"), 10, Some(name("b.example")))
            .with_mx(name("null.example"), 0, None)
            .with_address(name("plain.example"), "192.0.2.7".parse().unwrap())
            .with_address(name("a.example"), "2001:db8::1".parse().unwrap())
            .with_address(name("a.example"), "192.0.2.1".parse().unwrap())
            .with_address(name("inside.example"), "127.0.0.1".parse().unwrap())
            .with_address(name("mixed.example"), "10.0.0.1".parse().unwrap())
            .with_address(name("mixed.example"), "192.0.2.2".parse().unwrap())
            .with_name(name("bare.example"))
            .with_failure(name("broken.example"))
    }

    fn settings() -> Settings {
        Settings {
            smart_hosts: Vec::new(),
            port: 25,
            allow_private: Vec::new(),
            tls: Level::May,
            mta_sts_port: 443,
            routes: Routes::default(),
            families: vec![Family::Ipv4, Family::Ipv6],
            sources: Sources::default(),
            ourselves: Ourselves::default(),
        }
    }

    #[tokio::test]
    async fn addresses_are_public_unless_the_config_allows_more() {
        let hop = |host: &str, configured| NextHop {
            host: host.parse().map_or_else(|_| HostName::Name(name(host)), HostName::Address),
            preference: 0,
            port: 25,
            protocol: Protocol::Smtp,
            tls: Level::May,
            login: None,
            configured,
            authenticated: false,
            source: Source::default(),
        };
        let allowing = Settings { allow_private: vec!["127.0.0.0/8".parse().unwrap()], ..settings() };
        let six_first = Settings { families: vec![Family::Ipv6, Family::Ipv4], ..settings() };
        let four_only = Settings { families: vec![Family::Ipv4], ..settings() };
        let us = Domain::parse("us.example").unwrap();
        let cases = [
            (six_first, hop("a.example", false), Ok("[2001:db8::1]:25 192.0.2.1:25")),
            (four_only, hop("a.example", false), Ok("192.0.2.1:25")),
            (settings(), hop("a.example", false), Ok("192.0.2.1:25 [2001:db8::1]:25")),
            (settings(), hop("mixed.example", false), Ok("192.0.2.2:25")),
            (settings(), hop("inside.example", false), Err(NoRoute::Private("inside.example".into()))),
            (settings(), hop("inside.example", true), Ok("127.0.0.1:25")),
            (allowing.clone(), hop("inside.example", false), Ok("127.0.0.1:25")),
            (allowing, hop("10.0.0.1", false), Err(NoRoute::Private("10.0.0.1".into()))),
            (settings(), hop("bare.example", false), Err(NoRoute::NoDomain("bare.example".into()))),
        ];
        for (settings, hop, expected) in cases {
            let found = addresses(&zone(), &settings, &us, &hop).await;
            let found = found.map(|list| list.iter().map(shown).collect::<Vec<_>>().join(" "));
            assert_eq!(found, expected.map(str::to_owned), "{hop:?}");
        }
        assert!(matches!(
            addresses(&zone(), &settings(), &us, &hop("broken.example", false)).await,
            Err(NoRoute::Temporary(_))
        ));
    }

    /// Half of the world's name servers that are broken are so for AAAA alone.
    #[tokio::test(start_paused = true)]
    async fn a_family_that_is_not_told_is_done_without_where_there_is_another() {
        let ask = async |broken: Family, host: &str| {
            let dns = Halved { zone: zone(), broken };
            let began = tokio::time::Instant::now();
            let host = name(host);
            let found = look_up(&dns, &[Family::Ipv4, Family::Ipv6], &host);
            let found = timeout(Duration::from_mins(1), found).await.ok().map(Result::unwrap);
            (found.map(|ips| ips[0].to_string()), began.elapsed().as_secs())
        };
        assert_eq!(ask(Family::Ipv6, "a.example").await, (Some("192.0.2.1".to_owned()), 3));
        assert_eq!(ask(Family::Ipv4, "a.example").await, (Some("2001:db8::1".to_owned()), 3));
        // The other one says that there is none: only who is silent can know better.
        assert_eq!(ask(Family::Ipv4, "bare.example").await, (None, 60));
    }

    /// Answers nothing about one family.
    struct Halved {
        zone: Zone,
        broken: Family,
    }

    impl Halved {
        async fn ask(&self, family: Family) {
            if self.broken == family {
                std::future::pending::<()>().await;
            }
        }
    }

    impl Dns for Halved {
        async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
            self.ask(Family::Ipv4).await;
            self.zone.ipv4(name).await
        }

        async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
            self.ask(Family::Ipv6).await;
            self.zone.ipv6(name).await
        }

        async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
            self.zone.mx(name).await
        }

        async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
            self.zone.txt(name).await
        }

        async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
            self.zone.cname(name).await
        }

        async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
            self.zone.tlsa(name).await
        }

        async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
            self.zone.reverse(address).await
        }
    }

    fn shown(address: &Address) -> String {
        match address {
            Address::Inet(address) => address.to_string(),
            Address::Socket(path) => path.display().to_string(),
        }
    }

    /// Five addresses are tried, however many there are: both kinds must be among them.
    #[test]
    fn no_family_hides_the_other() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let found =
            interleaved(vec![ips(&["2001:db8::1", "2001:db8::2", "2001:db8::3"]), ips(&["192.0.2.1"])]);
        assert_eq!(found, ips(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]));
    }
}
