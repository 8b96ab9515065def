//! Questions to DNS whose answers are waited for so long and no longer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use kings_dns::{Answer, Dns, DnsError, Mx, Tlsa};
use kings_mail::domain::DnsName;
use tokio::time::{Instant, timeout, timeout_at};

/// How long one answer is waited for while a client waits for us: ours. A resolver that has to ask through the tree
/// needs a second at most; the next message finds what it learned after that.
pub(crate) const QUESTION: Duration = Duration::from_secs(3);

/// The same for the names of an address, which belong to whoever comes from there: what hangs on them must not take the
/// time of what others say.
pub(crate) const REVERSE: Duration = Duration::from_millis(1_500);

/// Asks through `D`; what comes late has not come.
#[derive(Debug)]
pub(crate) struct Patience<D>(pub(crate) D);

async fn in_time<T>(answer: impl Future<Output = Result<T, DnsError>>) -> Result<T, DnsError> {
    let late = |_| Err(DnsError::Temporary(format!("no answer within {} s", QUESTION.as_secs())));
    timeout(QUESTION, answer).await.unwrap_or_else(late)
}

impl<D: Dns> Dns for Patience<D> {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        in_time(self.0.mx(name)).await
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        in_time(self.0.ipv4(name)).await
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        in_time(self.0.ipv6(name)).await
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        in_time(self.0.txt(name)).await
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        in_time(self.0.cname(name)).await
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        in_time(self.0.tlsa(name)).await
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        let late = |_| Err(DnsError::Temporary(format!("no answer within {} s", REVERSE.as_secs_f32())));
        timeout(REVERSE, self.0.reverse(address)).await.unwrap_or_else(late)
    }
}

/// Asks through `D` until a moment that is one for all: each question that is open then has no answer, and those that were
/// answered keep theirs.
#[derive(Debug)]
pub(crate) struct Until<'a, D>(pub(crate) &'a D, pub(crate) Instant);

impl<D: Dns> Until<'_, D> {
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, DnsError>>) -> Result<T, DnsError> {
        let late = |_| Err(DnsError::Temporary("no answer in time".to_owned()));
        timeout_at(self.1, answer).await.unwrap_or_else(late)
    }
}

impl<D: Dns> Dns for Until<'_, D> {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        self.in_time(self.0.mx(name)).await
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        self.in_time(self.0.ipv4(name)).await
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        self.in_time(self.0.ipv6(name)).await
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        self.in_time(self.0.txt(name)).await
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        self.in_time(self.0.cname(name)).await
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        self.in_time(self.0.tlsa(name)).await
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        self.in_time(self.0.reverse(address)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_doubt_and_a_prompt_one_passes_unchanged() {
        let name = |text: &str| DnsName::parse(text).unwrap();
        let zone = Zone::default()
            .with_address(name("here.example"), "192.0.2.1".parse().unwrap())
            .with_silence(name("silent.example"));
        let dns = Patience(zone);
        assert_eq!(dns.ipv4(&name("here.example")).await.unwrap().records.len(), 1);
        assert_eq!(dns.mx(&name("none.example")).await, Err(DnsError::NoDomain));
        let began = Instant::now();
        let late = dns.txt(&name("silent.example")).await;
        assert_eq!(late, Err(DnsError::Temporary("no answer within 3 s".to_owned())));
        assert_eq!(began.elapsed().as_secs(), QUESTION.as_secs());
        let end = Instant::now() + Duration::from_secs(1);
        let until = Until(&dns, end);
        assert_eq!(until.ipv4(&name("here.example")).await.unwrap().records.len(), 1);
        let late = until.txt(&name("silent.example")).await;
        assert_eq!((late, Instant::now()), (Err(DnsError::Temporary("no answer in time".to_owned())), end));
        // What is known already is known after it.
        assert_eq!(until.ipv4(&name("here.example")).await.unwrap().records.len(), 1);
    }
}
