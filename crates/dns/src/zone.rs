//! An in-memory zone: the fake beside `trait Dns`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use kings_mail::domain::DnsName;

use crate::question::{Answer, Dns, DnsError, Mx};

const TTL: Duration = Duration::from_mins(5);

/// Names and their records, built by chained calls.
///
/// A name given to any `with_` call exists; every other name is NXDOMAIN.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    mx: HashMap<DnsName, Vec<Mx>>,
    ipv4: HashMap<DnsName, Vec<Ipv4Addr>>,
    ipv6: HashMap<DnsName, Vec<Ipv6Addr>>,
    names: HashSet<DnsName>,
    failing: HashSet<DnsName>,
}

impl Zone {
    /// Adds an MX record.
    #[must_use]
    pub fn with_mx(mut self, name: DnsName, preference: u16, exchange: Option<DnsName>) -> Self {
        self.names.insert(name.clone());
        self.mx.entry(name).or_default().push(Mx { preference, exchange });
        self
    }

    /// Adds an A or AAAA record.
    #[must_use]
    pub fn with_address(mut self, name: DnsName, address: IpAddr) -> Self {
        self.names.insert(name.clone());
        match address {
            IpAddr::V4(ip) => self.ipv4.entry(name).or_default().push(ip),
            IpAddr::V6(ip) => self.ipv6.entry(name).or_default().push(ip),
        }
        self
    }

    /// Adds a name that exists without any record asked for here.
    #[must_use]
    pub fn with_name(mut self, name: DnsName) -> Self {
        self.names.insert(name);
        self
    }

    /// Makes every question about a name end in SERVFAIL.
    #[must_use]
    pub fn with_failure(mut self, name: DnsName) -> Self {
        self.failing.insert(name);
        self
    }

    fn answer<T: Clone>(
        &self,
        name: &DnsName,
        table: &HashMap<DnsName, Vec<T>>,
    ) -> Result<Answer<T>, DnsError> {
        if self.failing.contains(name) {
            return Err(DnsError::Temporary("SERVFAIL".to_owned()));
        }
        if !self.names.contains(name) {
            return Err(DnsError::NoDomain);
        }
        let records = table.get(name).cloned().ok_or(DnsError::NoRecord)?;
        Ok(Answer { records, ttl: TTL, authenticated: false })
    }
}

impl Dns for Zone {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        self.answer(name, &self.mx)
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        self.answer(name, &self.ipv4)
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        self.answer(name, &self.ipv6)
    }
}
