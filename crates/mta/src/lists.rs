//! Gather: which lists in DNS know the client or a domain of its message, asked for from MAIL on.

use std::net::IpAddr;
use std::sync::Arc;

use kings_dns::Dns;
use kings_mail::domain::Domain;
use kings_msgauth::dns_list::{self, Kind, List, Subject, Verdict};
use kings_net::{IpNet, is_public};
use tracing::debug;

use crate::facts::Enquiry;
use crate::policy::verdict::{Listing, Listings};

/// A domain that is on no list (RFC 5782 §5).
const INVALID: &str = "invalid";

/// Which lists are asked about clients and domains (`[inbound]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Lists of clients to refuse; a negative weight speaks for a client.
    pub block: Vec<List>,
    /// Lists of clients to welcome: for those on one of them the others do not count.
    pub welcome: Vec<List>,
    /// Lists of domains (RFC 5782 §3): those of the EHLO name, the reverse-path and the author are asked about.
    pub domains: Vec<List>,
    /// Clients that are never asked about, nor the domains they name, beside those with addresses that nobody else has.
    pub exempt: Vec<IpNet>,
}

/// The questions to all lists about one client and its message that are under way.
#[derive(Debug, Default)]
pub(crate) struct ListEnquiries {
    block: Vec<Enquiry<Option<Listing>>>,
    welcome: Vec<Enquiry<Option<Listing>>>,
    /// Lists of domains, and those they have been asked about.
    domains: Vec<List>,
    asked: Vec<Domain>,
    of_domains: Vec<Enquiry<Option<Listing>>>,
}

impl ListEnquiries {
    /// Asks all lists at once and waits for none.
    pub(crate) fn begin<D: Dns + 'static>(dns: &Arc<D>, lists: &Lists, client: IpAddr) -> Self {
        let client = client.to_canonical();
        if !is_public(client) || lists.exempt.iter().any(|network| network.contains(&client)) {
            return Self::default();
        }
        let ask = |lists: &[List]| {
            lists
                .iter()
                .map(|list| {
                    let (dns, list) = (dns.clone(), list.clone());
                    Enquiry::begin(async move { listing(&*dns, list, client).await }, None)
                })
                .collect()
        };
        let (block, welcome, domains) = (ask(&lists.block), ask(&lists.welcome), lists.domains.clone());
        Self { block, welcome, domains, ..Self::default() }
    }

    /// Asks the lists of domains about this one as well, unless they have been asked.
    pub(crate) fn ask_about<D: Dns + 'static>(&mut self, dns: &Arc<D>, domain: &Domain) {
        // A single label is nobody's.
        if domain.parent().is_none() || self.asked.contains(domain) {
            return;
        }
        self.asked.push(domain.clone());
        for list in &self.domains {
            let (dns, list, domain) = (dns.clone(), list.clone(), domain.clone());
            self.of_domains
                .push(Enquiry::begin(async move { domain_listing(&*dns, list, domain).await }, None));
        }
    }

    /// Those lists that know the client or a domain. One that does not answer in time does not count, and one that knows
    /// several domains counts once.
    pub(crate) async fn listings(self) -> Listings {
        let mut block = answers(self.block).await;
        for listing in answers(self.of_domains).await {
            let is_same = |known: &Listing| known.domain.is_some() && known.zone == listing.zone;
            if !block.iter().any(is_same) {
                block.push(listing);
            }
        }
        Listings { block, welcome: answers(self.welcome).await }
    }
}

async fn answers(enquiries: Vec<Enquiry<Option<Listing>>>) -> Vec<Listing> {
    let mut listings = Vec::new();
    for mut enquiry in enquiries {
        listings.extend(enquiry.answer(true).await.flatten());
    }
    listings
}

/// A listing counts only on a list that passes its own test (RFC 5782 §5); our cache of answers makes that cheap.
async fn listing(dns: &impl Dns, list: List, client: IpAddr) -> Option<Listing> {
    let doubt = match dns_list::look_up(dns, &list, Subject::Address(client)).await {
        Verdict::NotListed => return None,
        Verdict::CannotTell(doubt) => doubt,
        Verdict::Listed(codes) => match dns_list::test(dns, &list, Kind::Addresses).await {
            None => {
                return Some(Listing {
                    domain: None,
                    zone: list.zone.to_string(),
                    weight: list.weight,
                    codes,
                });
            }
            Some(doubt) => doubt,
        },
    };
    debug!(list = %list.zone, %client, %doubt, "a list does not count");
    None
}

/// The same of a domain. Of the test entries only `invalid` is asked for, which no list has: `test` is missing on some that
/// work (RFC 5782 §5).
async fn domain_listing(dns: &impl Dns, list: List, domain: Domain) -> Option<Listing> {
    let codes = match dns_list::look_up(dns, &list, Subject::Domain(&domain)).await {
        Verdict::Listed(codes) => codes,
        Verdict::NotListed => return None,
        Verdict::CannotTell(doubt) => {
            debug!(list = %list.zone, %domain, %doubt, "a list does not count");
            return None;
        }
    };
    let invalid = Domain::parse(INVALID).ok()?;
    match dns_list::look_up(dns, &list, Subject::Domain(&invalid)).await {
        Verdict::NotListed => {
            Some(Listing { domain: Some(domain), zone: list.zone.to_string(), weight: list.weight, codes })
        }
        verdict => {
            debug!(list = %list.zone, %domain, ?verdict, "a list of domains fails its test and does not count");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;
    use kings_mail::domain::DnsName;

    use super::*;

    fn zone() -> Arc<Zone> {
        let entries = [
            ("2.0.0.127.zen.test", "127.0.0.2"),
            ("10.10.10.9.zen.test", "127.0.0.2"),
            ("11.10.10.9.zen.test", "127.0.0.11"),
            ("12.10.10.9.zen.test", "127.255.255.254"),
            ("5.2.0.10.zen.test", "127.0.0.2"),
            ("200.10.10.9.zen.test", "127.0.0.2"),
            // It lists everybody, and so nobody.
            ("2.0.0.127.all.test", "127.0.0.2"),
            ("1.0.0.127.all.test", "127.0.0.2"),
            ("10.10.10.9.all.test", "127.0.0.2"),
        ];
        // 2001:4860:4860::8888 (RFC 5782 §2.4).
        let six = format!("8.8.8.8.{}0.6.8.4.0.6.8.4.1.0.0.2.zen.test", "0.".repeat(16));
        let zone = entries.iter().copied().chain([(six.as_str(), "127.0.0.4")]).fold(
            Zone::default().with_silence(DnsName::parse("10.10.10.9.silent.test").unwrap()),
            |zone, (name, code)| zone.with_address(DnsName::parse(name).unwrap(), code.parse().unwrap()),
        );
        Arc::new(zone)
    }

    #[tokio::test]
    async fn domains_count_once_a_list_and_only_on_a_list_that_works() {
        let entries = [
            ("evil.test.dbl.test", "127.0.1.2"),
            ("bad.test.dbl.test", "127.0.1.4"),
            ("odd.test.dbl.test", "127.0.1.99"),
            ("sub.evil.test.dbl.test", "127.255.255.254"),
            ("evil.test.all.test", "127.0.1.2"),
            ("invalid.all.test", "127.0.1.2"),
        ];
        let zone = entries.iter().fold(Zone::default(), |zone, (name, code)| {
            zone.with_address(DnsName::parse(name).unwrap(), code.parse().unwrap())
        });
        let list = |text: &str| List::parse(text).unwrap();
        let lists = Lists {
            domains: vec![list("dbl.test=127.0.1.[2..10]*3"), list("all.test")],
            exempt: vec!["192.0.2.0/24".parse().unwrap()],
            ..Lists::default()
        };
        let zone = Arc::new(zone);
        let cases: [(&str, &[&str], Option<&str>); 7] = [
            ("9.10.10.10", &["good.test", "evil.test", "bad.test"], Some("evil.test")),
            ("9.10.10.10", &["bad.test", "bad.test"], Some("bad.test")),
            ("9.10.10.10", &["odd.test"], None),
            ("9.10.10.10", &["sub.evil.test"], None),
            ("9.10.10.10", &["evil"], None),
            ("9.10.10.10", &[], None),
            ("192.0.2.1", &["evil.test"], None),
        ];
        for (client, domains, expected) in cases {
            let mut enquiries = ListEnquiries::begin(&zone, &lists, client.parse().unwrap());
            for domain in domains {
                enquiries.ask_about(&zone, &Domain::parse(domain).unwrap());
            }
            let found = enquiries.listings().await.block;
            let found: Vec<_> =
                found.iter().map(|one| (one.domain.as_ref().map(Domain::as_str), one.weight)).collect();
            let expected: Vec<_> = expected.map(|domain| (Some(domain), 3)).into_iter().collect();
            assert_eq!(found, expected, "{client} {domains:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_list_that_works_counts_and_only_against_strangers() {
        let list = |text: &str| List::parse(text).unwrap();
        let lists = Lists {
            block: vec![list("zen.test=127.0.0.[2..10]*2"), list("all.test"), list("silent.test")],
            welcome: vec![],
            domains: vec![],
            exempt: vec!["9.10.10.128/25".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        };
        let cases = [
            ("9.10.10.10", true),
            ("::ffff:9.10.10.10", true),
            ("9.10.10.11", false),
            ("9.10.10.12", false),
            ("9.10.10.13", false),
            ("10.0.2.5", false),
            ("9.10.10.200", false),
            ("2001:4860:4860::8888", true),
            ("2001:4860:4860::8889", false),
        ];
        for (client, expected) in cases {
            let found = ListEnquiries::begin(&zone(), &lists, client.parse().unwrap()).listings().await;
            let zones: Vec<&str> = found.block.iter().map(|listing| listing.zone.as_str()).collect();
            assert_eq!(zones, if expected { vec!["zen.test"] } else { vec![] }, "{client}");
            assert!(found.welcome.is_empty());
        }
    }
}
