//! What the score is measured by: a letter through the server itself, its address as others see it, and the lists in DNS
//! that an address may be on.

pub mod letter;

use std::net::IpAddr;

use kings_dns::Dns;
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::dns_list::{self, Kind, List, Subject, Verdict};
use kings_net::{is_public, public_addresses};

/// The lists that large receivers ask, and that anybody may ask without a key.
pub const LISTS: [&str; 3] = ["zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com"];

/// What each list says of an address. One that fails its own test entries (RFC 5782 §5), or refuses us, says nothing:
/// a list that is asked through a public resolver answers that nobody is on it, or that everybody is.
pub async fn listings(dns: &impl Dns, lists: &[List], client: IpAddr) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for list in lists {
        let verdict = match dns_list::test(dns, list, Kind::Addresses).await {
            Some(doubt) => Verdict::CannotTell(doubt),
            None => dns_list::look_up(dns, list, Subject::Address(client)).await,
        };
        verdicts.push((list.zone.to_string(), verdict));
    }
    verdicts
}

/// How an address of our own is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is on this machine, and what leaves has it.
    Here,
    /// The machine has private addresses only; this is what its name leads to.
    ByName,
}

/// The public addresses that mail of this machine comes from, at most one of a kind. `from`: those that the config names.
pub async fn own_addresses(dns: &impl Dns, hostname: &Domain, from: &[IpAddr]) -> Vec<(IpAddr, Known)> {
    let (mut found, seen) = (Vec::new(), public_addresses());
    for is_v4 in [true, false] {
        let of_kind = |all: &[IpAddr]| all.iter().copied().find(|address| address.is_ipv4() == is_v4);
        found.extend(of_kind(from).or_else(|| of_kind(&seen)).filter(|address| is_public(*address)));
    }
    if !found.is_empty() {
        return found.into_iter().map(|address| (address, Known::Here)).collect();
    }
    let name = DnsName::from(hostname);
    let four = dns.ipv4(&name).await.map(|answer| answer.records).unwrap_or_default();
    let four = four.into_iter().map(IpAddr::V4).find(|address| is_public(*address));
    four.map(|address| (address, Known::ByName)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;

    use super::*;

    #[tokio::test]
    async fn behind_nat_the_address_of_the_name_is_taken_where_it_is_public() {
        let name = || DnsName::parse("mail.example.org").unwrap();
        let hostname = Domain::parse("mail.example.org").unwrap();
        let private = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let zone = Zone::default()
            .with_address(name(), "10.0.0.1".parse().unwrap())
            .with_address(name(), "9.9.9.9".parse().unwrap());
        let found = own_addresses(&zone, &hostname, &private).await;
        assert_eq!(found, [("9.9.9.9".parse().unwrap(), Known::ByName)]);
        let found = own_addresses(&zone, &hostname, &["9.9.9.8".parse().unwrap(), private[1]]).await;
        assert_eq!(found, [("9.9.9.8".parse().unwrap(), Known::Here)]);
        let found = own_addresses(&Zone::default(), &hostname, &private).await;
        assert_eq!(found, []);
    }
}
