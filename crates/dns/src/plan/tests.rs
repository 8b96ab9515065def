//! The plan of records as tables: what is there, and what is not pointed at.

#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

fn domain_of(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn facts() -> Facts {
    let hosted = Hosted {
        name: domain_of("example.org"),
        keys: vec![SigningKey {
            selector: "2026a".to_owned(),
            record: format!("v=DKIM1; k=rsa; p={}", "A".repeat(392)),
        }],
        mta_sts: Some("5f2a".to_owned()),
        reports: Some(("dmarc@example.org".to_owned(), domain_of("example.org"))),
    };
    Facts {
        hostname: domain_of("mail.example.org"),
        addresses: vec!["203.0.113.10".parse().unwrap(), "2001:db8::10".parse().unwrap()],
        domains: vec![hosted],
        services: Services {
            smtp: true,
            submissions: Some(465),
            submission: Some(587),
            imaps: Some(993),
            https: Some(443),
            ..Services::default()
        },
        tls_keys: vec![vec![0xab; 32]],
        authorities: vec!["letsencrypt.org".to_owned()],
        smart_host: false,
    }
}

fn lines(facts: &Facts) -> Vec<String> {
    let line = |wanted: &Wanted| format!("{} {} {}", wanted.name, wanted.kind(), wanted.data);
    plan(facts).records.iter().map(line).collect()
}

#[test]
fn a_domain_gets_all_that_mail_and_mail_programs_ask_for() {
    let key = format!("\"v=DKIM1; k=rsa; p={}\" \"{}\"", "A".repeat(255 - 18), "A".repeat(392 - 255 + 18));
    let tlsa = format!("_25._tcp.mail.example.org TLSA 3 1 1 {}", "ab".repeat(32));
    let key = format!("2026a._domainkey.example.org TXT {key}");
    let expected = [
        "mail.example.org A 203.0.113.10",
        "mail.example.org AAAA 2001:db8::10",
        "mail.example.org TXT \"v=spf1 a -all\"",
        "mail.example.org CAA 0 issue \"letsencrypt.org\"",
        &tlsa,
        "example.org MX 10 mail.example.org.",
        "example.org TXT \"v=spf1 mx -all\"",
        &key,
        "_dmarc.example.org TXT \"v=DMARC1; p=none; rua=mailto:dmarc@example.org\"",
        "_smtp._tls.example.org TXT \"v=TLSRPTv1; rua=mailto:dmarc@example.org\"",
        "_mta-sts.example.org TXT \"v=STSv1; id=5f2a\"",
        "mta-sts.example.org CNAME mail.example.org.",
        "autoconfig.example.org CNAME mail.example.org.",
        "autodiscover.example.org CNAME mail.example.org.",
        "_autodiscover._tcp.example.org SRV 0 1 443 mail.example.org.",
        "_submissions._tcp.example.org SRV 0 1 465 mail.example.org.",
        "_submission._tcp.example.org SRV 10 1 587 mail.example.org.",
        "_imaps._tcp.example.org SRV 0 1 993 mail.example.org.",
        "_imap._tcp.example.org SRV 0 0 0 .",
        "_pop3s._tcp.example.org SRV 0 0 0 .",
        "_pop3._tcp.example.org SRV 0 0 0 .",
        "_jmap._tcp.example.org SRV 0 0 0 .",
    ];
    assert_eq!(lines(&facts()), expected);
    let reverse = plan(&facts()).reverse;
    assert_eq!(reverse.len(), 2);
    assert!(reverse.iter().all(|(_, name)| name.as_str() == "mail.example.org"));
}

#[test]
fn what_is_not_served_is_not_pointed_at() {
    let mut facts = facts();
    facts.services = Services::default();
    facts.domains[0] = Hosted { keys: Vec::new(), mta_sts: None, reports: None, ..facts.domains[0].clone() };
    facts.tls_keys.clear();
    facts.authorities.clear();
    facts.addresses.clear();
    facts.smart_host = true;
    let lines = lines(&facts);
    assert_eq!(
        lines[1..4],
        [
            "example.org MX 10 mail.example.org.",
            "example.org TXT \"v=spf1 mx ~all\"",
            "_dmarc.example.org TXT \"v=DMARC1; p=none\"",
        ]
    );
    assert!(lines[4..].iter().all(|line| line.ends_with("SRV 0 0 0 .")), "{lines:?}");
    assert!(plan(&facts).reverse.is_empty());
}

#[test]
fn a_domain_that_is_the_server_itself_has_each_record_once() {
    let mut facts = facts();
    facts.domains[0].name = domain_of("mail.example.org");
    let lines = lines(&facts);
    let spf: Vec<&String> = lines.iter().filter(|line| line.contains("spf1")).collect();
    assert_eq!(spf, ["mail.example.org TXT \"v=spf1 mx -all\""]);
}

#[test]
fn reports_that_go_to_another_domain_of_ours_are_consented_to_there() {
    let mut facts = facts();
    let reports = Some(("dmarc@example.org".to_owned(), domain_of("example.org")));
    facts.domains.push(Hosted { name: domain_of("example.net"), keys: Vec::new(), mta_sts: None, reports });
    assert!(lines(&facts).contains(&"example.net._report._dmarc.example.org TXT \"v=DMARC1\"".to_owned()));
    facts.domains[1].reports = Some(("dmarc@elsewhere.example".to_owned(), domain_of("elsewhere.example")));
    assert!(!lines(&facts).iter().any(|line| line.contains("_report")));
}

#[test]
fn texts_are_told_apart_by_their_beginning() {
    let cases = [
        ("v=spf1 -all", Some("v=spf1")),
        ("V=SPF1", Some("v=spf1")),
        ("v=spf10 -all", None),
        ("v=DMARC1; p=none", Some("v=dmarc1")),
        ("v = DMARC1;p=none", Some("v=dmarc1")),
        ("google-site-verification=1", None),
        ("", None),
        ("x v=spf1", None),
    ];
    for (text, expected) in cases {
        assert_eq!(version(&Txt::new(text)), expected, "{text}");
    }
}
