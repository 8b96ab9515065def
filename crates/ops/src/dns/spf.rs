//! SPF as receivers see it: the records of the authoritative servers, the rest by way of the resolver.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_dns::{Answer, Data, Dns, DnsError, Kind, Mx, Tlsa};
use kings_mail::address::Address;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::path::ReversePath;
use kings_msgauth::spf::{self, Limits, Outcome, Question};

use super::gather::Heap;

/// An address that no record lets send: the whole record is read for it (RFC 6666).
const NOBODY: IpAddr = IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x6b69));

/// Asks the resolver for all but what is known already.
pub(super) struct Fresh<'a, D> {
    pub(super) heap: &'a Heap,
    pub(super) rest: &'a D,
}

impl<D: Dns> Fresh<'_, D> {
    fn known<T>(&self, name: &DnsName, kind: Kind, read: fn(&Data) -> Option<T>) -> Option<Answer<T>> {
        let records: Vec<T> = self.heap.records(name, kind)?.iter().filter_map(read).collect();
        let ttl = Duration::from_mins(1);
        (!records.is_empty()).then_some(Answer { records, ttl, authenticated: false })
    }
}

impl<D: Dns> Dns for Fresh<'_, D> {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        let read = |data: &Data| if let Data::Mx(mx) = data { Some(mx.clone()) } else { None };
        match self.known(name, Kind::Mx, read) {
            Some(answer) => Ok(answer),
            None => self.rest.mx(name).await,
        }
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        match self.known(name, Kind::A, |data| if let Data::A(ip) = data { Some(*ip) } else { None }) {
            Some(answer) => Ok(answer),
            None => self.rest.ipv4(name).await,
        }
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        match self.known(name, Kind::Aaaa, |data| if let Data::Aaaa(ip) = data { Some(*ip) } else { None }) {
            Some(answer) => Ok(answer),
            None => self.rest.ipv6(name).await,
        }
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        let read = |data: &Data| if let Data::Txt(text) = data { Some(text.joined()) } else { None };
        match self.known(name, Kind::Txt, read) {
            Some(answer) => Ok(answer),
            None => self.rest.txt(name).await,
        }
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        self.rest.cname(name).await
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        self.rest.tlsa(name).await
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        self.rest.reverse(address).await
    }
}

/// What a receiver finds for mail of this domain that comes from an address of ours.
pub(super) async fn outcome(dns: &impl Dns, domain: &Domain, host: &Domain, client: IpAddr) -> Outcome {
    ask(dns, domain, host, client).await
}

/// The same for the whole record: what somebody costs whom no part of it names.
pub(super) async fn whole(dns: &impl Dns, domain: &Domain, host: &Domain) -> Outcome {
    ask(dns, domain, host, NOBODY).await
}

async fn ask(dns: &impl Dns, domain: &Domain, host: &Domain, client: IpAddr) -> Outcome {
    let sender = Address::parse(&format!("postmaster@{domain}")).ok().map(ReversePath::Address);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let question = Question {
        client,
        helo: host.as_str(),
        mail_from: sender.as_ref(),
        receiver: host.as_str(),
        time,
        limits: Limits::default(),
    };
    spf::check(dns, &question, tokio::time::sleep(spf::TIME)).await
}
