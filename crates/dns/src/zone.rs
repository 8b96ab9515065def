//! An in-memory zone: the fake beside `trait Dns`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use kings_mail::domain::DnsName;

use crate::question::{Answer, Dns, DnsError, Mx, Tlsa};

const TTL: Duration = Duration::from_mins(5);
/// Most aliases in a row; resolvers give up at about as many.
const MAX_ALIASES: usize = 8;

/// Names and their records, built by chained calls.
///
/// A name given to any `with_` call exists; every other name is NXDOMAIN. Aliases are followed as a resolver
/// does, and an answer is authenticated when every name on the way to it is signed.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    mx: HashMap<DnsName, Vec<Mx>>,
    ipv4: HashMap<DnsName, Vec<Ipv4Addr>>,
    ipv6: HashMap<DnsName, Vec<Ipv6Addr>>,
    txt: HashMap<DnsName, Vec<Vec<u8>>>,
    tlsa: HashMap<DnsName, Vec<Tlsa>>,
    cname: HashMap<DnsName, Vec<DnsName>>,
    names: HashSet<DnsName>,
    signed: HashSet<DnsName>,
    failing: HashSet<DnsName>,
    silent: HashSet<DnsName>,
    reverse: HashMap<IpAddr, Vec<DnsName>>,
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

    /// Adds a TXT record.
    #[must_use]
    pub fn with_txt(mut self, name: DnsName, text: impl Into<Vec<u8>>) -> Self {
        self.names.insert(name.clone());
        self.txt.entry(name).or_default().push(text.into());
        self
    }

    /// Adds a TLSA record.
    #[must_use]
    pub fn with_tlsa(mut self, name: DnsName, record: Tlsa) -> Self {
        self.names.insert(name.clone());
        self.tlsa.entry(name).or_default().push(record);
        self
    }

    /// Makes a name an alias of another.
    #[must_use]
    pub fn with_alias(mut self, name: DnsName, target: DnsName) -> Self {
        self.names.insert(name.clone());
        self.cname.insert(name, vec![target]);
        self
    }

    /// Adds a name that exists without any record asked for here.
    #[must_use]
    pub fn with_name(mut self, name: DnsName) -> Self {
        self.names.insert(name);
        self
    }

    /// Makes the answers about a name authenticated.
    #[must_use]
    pub fn with_signed(mut self, name: DnsName) -> Self {
        self.signed.insert(name);
        self
    }

    /// Makes every question about a name end in SERVFAIL, as a validating resolver answers for a broken signature.
    #[must_use]
    pub fn with_failure(mut self, name: DnsName) -> Self {
        self.failing.insert(name);
        self
    }

    /// Makes every question about a name wait for ever.
    #[must_use]
    pub fn with_silence(mut self, name: DnsName) -> Self {
        self.silent.insert(name);
        self
    }

    /// Gives an address a reverse name.
    #[must_use]
    pub fn with_reverse(mut self, address: IpAddr, name: DnsName) -> Self {
        self.reverse.entry(address).or_default().push(name);
        self
    }

    /// Waits for ever where nobody answers.
    async fn ask(&self, name: &DnsName) {
        if self.silent.contains(name) {
            std::future::pending::<()>().await;
        }
    }

    /// Follows aliases, then answers from `table`.
    fn answer<T: Clone>(
        &self,
        name: &DnsName,
        table: &HashMap<DnsName, Vec<T>>,
    ) -> Result<Answer<T>, DnsError> {
        let mut name = name;
        let mut authenticated = true;
        for _ in 0..=MAX_ALIASES {
            let answer = self.direct(name, table);
            authenticated &= self.signed.contains(name);
            match (answer, self.cname.get(name).and_then(|targets| targets.first())) {
                (Err(DnsError::NoRecord), Some(target)) => name = target,
                (answer, _) => return answer.map(|answer| Answer { authenticated, ..answer }),
            }
        }
        Err(DnsError::Temporary("too many aliases".to_owned()))
    }

    fn direct<T: Clone>(
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
        Ok(Answer { records, ttl: TTL, authenticated: self.signed.contains(name) })
    }
}

impl Dns for Zone {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        self.ask(name).await;
        self.answer(name, &self.mx)
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        self.ask(name).await;
        self.answer(name, &self.ipv4)
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        self.ask(name).await;
        self.answer(name, &self.ipv6)
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        let records = self.reverse.get(&address).cloned().ok_or(DnsError::NoDomain)?;
        Ok(Answer { records, ttl: TTL, authenticated: false })
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        self.ask(name).await;
        self.answer(name, &self.txt)
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        self.ask(name).await;
        self.direct(name, &self.cname)
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        self.ask(name).await;
        self.answer(name, &self.tlsa)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    /// A zone in memory never waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a zone in memory never waits"),
        }
    }

    #[test]
    fn an_answer_is_authenticated_when_every_name_on_the_way_is_signed() {
        let zone = Zone::default()
            .with_alias(name("a.example"), name("b.example"))
            .with_alias(name("c.example"), name("b.example"))
            .with_address(name("b.example"), "192.0.2.1".parse().unwrap())
            .with_signed(name("a.example"))
            .with_signed(name("b.example"));
        for (asked, expected) in [("a.example", true), ("b.example", true), ("c.example", false)] {
            assert_eq!(now(zone.ipv4(&name(asked))).unwrap().authenticated, expected, "{asked}");
        }
        assert_eq!(now(zone.cname(&name("a.example"))).unwrap().records, [name("b.example")]);
        assert_eq!(now(zone.cname(&name("b.example"))), Err(DnsError::NoRecord));
    }

    #[test]
    fn absent_empty_broken_and_circular_names_are_told_apart() {
        let zone = Zone::default()
            .with_name(name("bare.example"))
            .with_failure(name("broken.example"))
            .with_alias(name("dangling.example"), name("absent.example"))
            .with_alias(name("circle.example"), name("circle.example"));
        assert_eq!(now(zone.tlsa(&name("bare.example"))), Err(DnsError::NoRecord));
        assert_eq!(now(zone.tlsa(&name("absent.example"))), Err(DnsError::NoDomain));
        assert_eq!(now(zone.tlsa(&name("dangling.example"))), Err(DnsError::NoDomain));
        for broken in ["broken.example", "circle.example"] {
            assert!(matches!(now(zone.txt(&name(broken))), Err(DnsError::Temporary(_))), "{broken}");
        }
    }
}
