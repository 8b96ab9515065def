//! What slow and silent name servers can change of a judgement, and what they cannot.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kings_dns::{Answer, DnsError, Mx, Tlsa, Zone};

use super::*;
use crate::patience::Patience;

/// A zone that takes so long for each answer.
struct Slow(Zone, Duration);

impl Dns for Slow {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        sleep(self.1).await;
        self.0.mx(name).await
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        sleep(self.1).await;
        self.0.ipv4(name).await
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        sleep(self.1).await;
        self.0.ipv6(name).await
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        sleep(self.1).await;
        self.0.txt(name).await
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        sleep(self.1).await;
        self.0.cname(name).await
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        sleep(self.1).await;
        self.0.tlsa(name).await
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        sleep(self.1).await;
        self.0.reverse(address).await
    }
}

/// DMARC's judgement of a message without any proof, and how long it took.
async fn judged(zone: Zone, seconds: f64, author: &str) -> (dmarc::Outcome, Duration) {
    let dns = Arc::new(Patience(Slow(zone, Duration::from_secs_f64(seconds))));
    let methods = Methods { dmarc: Check::Enforce, ..Methods::default() };
    let head = format!("From: ceo@{author}\r\n\r\n");
    let mut evidence = Evidence::of_content(methods);
    evidence.content(&dns, head.as_bytes());
    let began = Instant::now();
    let findings = evidence.findings(&dns, head.as_bytes(), DateTime::from_unix(1_800_000_000)).await;
    (findings.dmarc.unwrap(), began.elapsed())
}

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_found_in_time_however_deep_the_author_hides() {
    let policy = || Zone::default().with_txt(name("_dmarc.bank.test"), "v=DMARC1; p=reject");
    let deep = "a.b.c.d.e.f.g.h.i.j.bank.test";
    for (seconds, result) in [(0.0, "fail"), (1.5, "fail"), (2.9, "fail"), (3.1, "temperror")] {
        let (outcome, took) = judged(policy(), seconds, deep).await;
        assert_eq!(outcome.result.as_str(), result, "{seconds}: {outcome:?}");
        let policy = if result == "fail" { dmarc::Policy::Reject } else { dmarc::Policy::None };
        assert_eq!(outcome.policy, policy, "{seconds}");
        assert!(took.as_secs_f64() <= seconds + 0.1, "{seconds}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_decides_and_silence_only_where_it_could_change_it() {
    let reject = |zone: Zone, at: &str| zone.with_txt(name(at), "v=DMARC1; p=reject; np=none");
    let own = reject(Zone::default(), "_dmarc.own.bank.test").with_silence(name("_dmarc.bank.test"));
    let parent = || reject(Zone::default(), "_dmarc.bank.test");
    let cases = [
        // Its own policy is there, whatever stands above it.
        (own, "own.bank.test", "fail", dmarc::Policy::Reject),
        // It could have one of its own, which asks for nothing.
        (
            parent().with_silence(name("_dmarc.own.bank.test")),
            "own.bank.test",
            "temperror",
            dmarc::Policy::None,
        ),
        // It could be none of their names, for which they ask less.
        (parent().with_silence(name("own.bank.test")), "own.bank.test", "fail", dmarc::Policy::None),
        (parent().with_name(name("own.bank.test")), "own.bank.test", "fail", dmarc::Policy::Reject),
    ];
    for (zone, author, result, policy) in cases {
        let (outcome, took) = judged(zone, 0.0, author).await;
        assert_eq!((outcome.result.as_str(), outcome.policy), (result, policy), "{author}: {outcome:?}");
        assert!(took < WHOLE, "{author}: {took:?}");
    }
}
