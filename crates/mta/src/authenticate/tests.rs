//! What slow and silent name servers can change of a judgement, and what they cannot; and who has written a report.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kings_dns::{Answer, DnsError, Mx, Tlsa, Zone};
use kings_msgauth::dkim::{PrivateKey, Rules, Selector, Signer, SigningIdentity, key_files};

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

const NOW: i64 = 1_800_000_000;
const ANN: &str = "ann@example.org";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
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

/// A message from `author` that `example.org` signs, and a zone with its key, which is for this service.
fn signed(service: &str, author: &str) -> (String, Zone) {
    signed_by("example.org", service, author)
}

fn signed_by(domain: &str, service: &str, author: &str) -> (String, Zone) {
    const PEM: &str = include_str!("../../../msgauth/tests/data/ed25519.pem");
    let key = PrivateKey::from_pem(PEM).unwrap();
    let record = key_files::record(&key).replace("v=DKIM1;", &format!("v=DKIM1; s={service};"));
    let zone = Zone::default().with_txt(name(&format!("sel._domainkey.{domain}")), record);
    let content = format!("From: {author}\r\nSubject: Report\r\n\r\nreport\r\n");
    let (domain, selector) = (Domain::parse(domain).unwrap(), Selector::parse("sel").unwrap());
    let mut signer = Signer::new(Rules::default());
    signer.push(content.as_bytes());
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    (signer.finish(&[identity], DateTime::from_unix(NOW)).unwrap() + &content, zone)
}

/// What DMARC says of each author of a message that comes with this reverse-path, and how long it took.
async fn judged_whole(
    zone: Zone,
    seconds: f64,
    message: &str,
    path: &str,
) -> (Vec<(String, &'static str)>, Duration) {
    let dns = Arc::new(Patience(Slow(zone, Duration::from_secs_f64(seconds))));
    let path = ReversePath::parse(path).unwrap();
    let receiver = domain("mx.example.org");
    let claims = Claims {
        client: [192, 0, 2, 1].into(),
        helo: "mx.evil.test",
        reverse_path: &path,
        receiver: &receiver,
        now: DateTime::from_unix(NOW),
    };
    let mut evidence = Evidence::begin(&dns, Methods::usual(), &claims);
    evidence.content(&dns, message.as_bytes());
    let began = Instant::now();
    let findings = evidence.findings(&dns, message.as_bytes(), claims.now).await;
    let took = began.elapsed();
    let outcome = findings.dmarc.unwrap();
    let told =
        |outcome: &dmarc::Outcome| (outcome.author.as_ref().unwrap().to_string(), outcome.result.as_str());
    (outcome.each().map(told).collect(), took)
}

/// Who names a second author in whose zone nothing is answered soon has no say about the first one.
#[tokio::test(start_paused = true)]
async fn a_slow_author_is_doubt_about_nobody_else() {
    let bank = || Zone::default().with_txt(name("_dmarc.bank.test"), "v=DMARC1; p=reject");
    let two_steps = || {
        let evil = bank().with_txt(name("_dmarc.evil.test"), "v=DMARC1; p=none; np=reject; sp=none");
        evil.with_silence(name("_dmarc.x.evil.test")).with_silence(name("x.evil.test"))
    };
    let slow_proof = || {
        let zone = signed_by("sub.evil.test", "*", "ceo@bank.test, x@evil.test");
        (
            zone.0,
            zone.1
                .with_txt(name("_dmarc.bank.test"), "v=DMARC1; p=reject")
                .with_silence(name("_dmarc.sub.evil.test")),
        )
    };
    let from = |author: &str| format!("From: {author}\r\nSubject: hello\r\n\r\nhello\r\n");
    let (proven, with_proof) = slow_proof();
    let cases = [
        (two_steps(), 0.0, from("Bank CEO a@x.evil.test <ceo@bank.test>"), "x@evil.test"),
        (two_steps(), 0.0, from("ceo@bank.test, x@x.evil.test"), "x@evil.test"),
        (with_proof, 1.9, proven, "x@slow.test"),
    ];
    for (zone, seconds, message, path) in cases {
        let zone = ["a", "b", "c"]
            .iter()
            .fold(zone, |zone, part| zone.with_txt(name(&format!("{part}.slow.test")), "v=spf1 ?all"));
        let zone = zone.with_txt(
            name("slow.test"),
            "v=spf1 include:a.slow.test include:b.slow.test include:c.slow.test ?all",
        );
        let (outcomes, took) = judged_whole(zone, seconds, &message, path).await;
        let bank = outcomes.iter().find(|(author, _)| author == "bank.test").unwrap();
        assert_eq!(bank.1, "fail", "{message}: {outcomes:?}");
        assert!(took <= WHOLE + LAST, "{message}: {took:?}");
    }
}

/// What a signature proves does not wait for SPF of whoever has passed the message on.
#[tokio::test(start_paused = true)]
async fn a_signature_of_the_organisation_counts_however_slow_spf_is() {
    let (message, zone) = signed_by("news.bank.test", "*", "ann@bank.test");
    let zone = zone.with_txt(name("_dmarc.bank.test"), "v=DMARC1; p=reject");
    let slow = ["a", "b", "c", "d"]
        .iter()
        .fold(zone, |zone, part| zone.with_txt(name(&format!("{part}.slow.test")), "v=spf1 ?all"));
    let record =
        "v=spf1 include:a.slow.test include:b.slow.test include:c.slow.test include:d.slow.test ?all";
    let zone = slow.with_txt(name("slow.test"), record);
    let (outcomes, _) = judged_whole(zone, 1.6, &message, "x@slow.test").await;
    assert_eq!(outcomes, [("bank.test".to_owned(), "pass")]);
}

/// Names of its own address are the client's to slow down, not the result of a domain's SPF.
#[tokio::test(start_paused = true)]
async fn names_of_the_clients_address_that_are_slow_are_no_doubt_about_spf() {
    let message = "From: ceo@bank.test\r\nSubject: hello\r\n\r\nhello\r\n";
    let zone = Zone::default()
        .with_txt(name("_dmarc.bank.test"), "v=DMARC1; p=reject")
        .with_txt(name("bank.test"), "v=spf1 ptr -all");
    let client = [192, 0, 2, 1].into();
    let names = ["a.evil.test", "b.evil.test", "c.evil.test", "d.evil.test"];
    let zone =
        names.iter().fold(zone, |zone, one| zone.with_reverse(client, name(one)).with_silence(name(one)));
    let (outcomes, _) = judged_whole(zone, 0.0, message, "x@bank.test").await;
    assert_eq!(outcomes, [("bank.test".to_owned(), "fail")]);
}

/// Who is proven to have written such a report; about mail, and about TLS.
async fn reporters(service: &str, author: &str) -> (Option<String>, Option<String>) {
    let (message, zone) = signed(service, author);
    let dns = Arc::new(zone);
    let methods = Methods { dkim: Check::Enforce, dmarc: Check::Enforce, ..Methods::default() };
    let mut evidence = Evidence::of_content(methods);
    evidence.content(&dns, message.as_bytes());
    let findings = evidence.findings(&dns, message.as_bytes(), DateTime::from_unix(NOW)).await;
    let reporter = findings.reporter(message.as_bytes());
    let of = |kind| reporter.of(kind).map(str::to_owned);
    (of(ReportKind::Dmarc), of(ReportKind::Tls))
}

/// RFC 8460 §3: a key of the service `tlsrpt` proves reports about TLS, and no other mail.
#[tokio::test]
async fn a_report_is_proven_by_its_author_and_one_about_tls_by_a_key_for_these() {
    let cases = [
        ("*", "tls@example.org", true, true),
        ("email", "tls@example.org", true, true),
        ("tlsrpt", "tls@example.org", false, true),
        ("tlsrpt", "tls@mail.example.org", false, true),
        ("other", "tls@example.org", false, false),
        ("*", "tls@example.net", false, false),
        ("tlsrpt", "tls@example.net", false, false),
        ("tlsrpt", "tls@notexample.org", false, false),
        ("*", "tls@example.org, tls@example.net", false, false),
        ("*", "nobody", false, false),
    ];
    for (service, author, of_mail, of_tls) in cases {
        let (mail, tls) = reporters(service, author).await;
        assert_eq!((mail.is_some(), tls.is_some()), (of_mail, of_tls), "{service} {author}");
    }
}

/// What a stranger brings with a reverse-path of ours is lent it only where SPF allows that, where nothing is to count, or
/// where one of ours has written and signed it.
#[tokio::test]
async fn a_reverse_path_of_ours_is_not_lent_to_what_has_nothing_else_of_ours() {
    let (all, tag) = (Methods::usual(), Methods { spf: Check::Tag, ..Methods::usual() });
    let cases = [
        (all, "v=spf1 -all", "eve@evil.test", ANN, Leaving::Never),
        (all, "v=spf1 ?all", "eve@evil.test", ANN, Leaving::Never),
        (all, "v=spf1 -all", "eve@evil.test", "SRS0=HHHH=TT=evil.test=eve@example.org", Leaving::Never),
        (all, "v=spf1 +all", "eve@evil.test", ANN, Leaving::Suited),
        (all, "no SPF", "eve@evil.test", ANN, Leaving::Suited),
        (all, "v=spf1 nonsense -all", "eve@evil.test", ANN, Leaving::Suited),
        (tag, "v=spf1 -all", "eve@evil.test", ANN, Leaving::Suited),
        (Methods::default(), "v=spf1 -all", "eve@evil.test", ANN, Leaving::Suited),
        // Its own author has signed it, wherever it comes from now; with a stranger beside her it is still hers.
        (all, "v=spf1 -all", ANN, ANN, Leaving::Suited),
        (all, "v=spf1 -all", "eve@evil.test, ann@example.org", ANN, Leaving::Suited),
        (all, "v=spf1 -all", "ann@example.net", ANN, Leaving::Never),
        (all, "v=spf1 -all", "eve@evil.test", "", Leaving::Suited),
        (all, "v=spf1 -all", "eve@evil.test", "eve@evil.test", Leaving::Suited),
    ];
    let ours = Ours { hostname: &domain("mx.example.org"), domains: &[domain("example.org")] };
    for (methods, record, author, path, expected) in cases {
        let (message, zone) = signed("*", author);
        let zone = ["example.org", "mx.example.org", "evil.test"]
            .iter()
            .fold(zone, |zone, owner| zone.with_txt(name(owner), record));
        let path = ReversePath::parse(path).unwrap();
        let claims = Claims {
            client: [192, 0, 2, 1].into(),
            helo: "mx.example.org",
            reverse_path: &path,
            receiver: ours.hostname,
            now: DateTime::from_unix(NOW),
        };
        let dns = Arc::new(zone);
        let mut evidence = Evidence::begin(&dns, methods, &claims);
        evidence.content(&dns, message.as_bytes());
        let findings = evidence.findings(&dns, message.as_bytes(), claims.now).await;
        let lent = findings.lent(methods, message.as_bytes(), &path, ours);
        assert_eq!(lent, expected, "{record} {author} {path}");
    }
}
