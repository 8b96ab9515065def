//! Gather: which lists in DNS know the client, asked for from MAIL on.

use std::net::IpAddr;
use std::sync::Arc;

use kings_dns::Dns;
use kings_msgauth::dns_list::{self, Kind, List, Subject, Verdict};
use kings_net::{IpNet, is_public};
use tracing::debug;

use crate::facts::Enquiry;
use crate::policy::verdict::{Listing, Listings};

/// Which lists are asked about clients (`[inbound]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Lists of clients to refuse; a negative weight speaks for a client.
    pub block: Vec<List>,
    /// Lists of clients to welcome: for those on one of them the others do not count.
    pub welcome: Vec<List>,
    /// Clients that are never asked about, beside those with addresses that nobody else has.
    pub exempt: Vec<IpNet>,
}

/// The questions to all lists about one client that are under way.
#[derive(Debug, Default)]
pub(crate) struct ListEnquiries {
    block: Vec<Enquiry<Option<Listing>>>,
    welcome: Vec<Enquiry<Option<Listing>>>,
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
        Self { block: ask(&lists.block), welcome: ask(&lists.welcome) }
    }

    /// Those lists that the client is on. One that does not answer in time does not count.
    pub(crate) async fn listings(self) -> Listings {
        Listings { block: answers(self.block).await, welcome: answers(self.welcome).await }
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
            None => return Some(Listing { zone: list.zone.to_string(), weight: list.weight, codes }),
            Some(doubt) => doubt,
        },
    };
    debug!(list = %list.zone, %client, %doubt, "a list does not count");
    None
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

    #[tokio::test(start_paused = true)]
    async fn only_a_list_that_works_counts_and_only_against_strangers() {
        let list = |text: &str| List::parse(text).unwrap();
        let lists = Lists {
            block: vec![list("zen.test=127.0.0.[2..10]*2"), list("all.test"), list("silent.test")],
            welcome: vec![],
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
