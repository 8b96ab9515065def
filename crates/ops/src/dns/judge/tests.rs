//! Each fault of a zone with the line and the remedy that it gets.

#![allow(clippy::unwrap_used, reason = "tests")]
use kings_dns::plan::{Hosted, Plan, Services, SigningKey, plan};

use super::*;

const KEY: &str =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuGKuKVh9T3vR6uYYiYPCvV4bJqJx2lrmtvPqkcrKhMUaYeN0ZFs9Yq";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn facts() -> Facts {
    let ed25519 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    Facts {
        hostname: domain("mail.example.org"),
        addresses: vec!["203.0.113.10".parse().unwrap()],
        domains: vec![Hosted {
            name: domain("example.org"),
            keys: vec![SigningKey {
                selector: "s".to_owned(),
                record: format!("v=DKIM1; k=ed25519; p={ed25519}"),
            }],
            mta_sts: Some("5f2a".to_owned()),
            reports: Some(("dmarc@example.org".to_owned(), domain("example.org"))),
        }],
        services: Services { smtp: true, imaps: Some(993), https: Some(443), ..Services::default() },
        tls_keys: vec![vec![0xab; 32]],
        authorities: vec!["letsencrypt.org".to_owned()],
        smart_host: false,
    }
}

fn said(kind: Kind, texts: &[&str]) -> Told {
    let data = texts.iter().map(|text| Data::parse(kind, text).unwrap()).collect();
    Told::Records { data, ttl: 60, odd: 0 }
}

fn same(told: Told) -> Heard {
    Heard::Same { told, silent: Vec::new() }
}

/// The line about the first record of this name and type, when this is heard of it.
fn judged(facts: &Facts, at: &str, kind: Kind, heard: Heard) -> Finding {
    let Plan { records, .. } = plan(facts);
    let mut heap = Heap::default();
    heap.zones.insert(name("example.org"), vec!["ns1.example.org".to_owned()]);
    let context = Context { facts, heap: &heap };
    let wanted = records.iter().find(|wanted| wanted.name == name(at) && wanted.kind() == kind).unwrap();
    group(&context, &[wanted], heard).remove(0)
}

#[test]
fn each_fault_has_its_line_and_its_remedy() {
    use State::{CannotTell, Fail, Ok, Wait, Warn};
    let (host, apex, key, dmarc) =
        ("mail.example.org", "example.org", "s._domainkey.example.org", "_dmarc.example.org");
    let (sts, tlsa) = ("_mta-sts.example.org", "_25._tcp.mail.example.org");
    let own_key = "\"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"";
    let cut_key = "\"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7\"";
    let other_key = "\"v=DKIM1; k=ed25519; p=21qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"";
    let (own_tlsa, other_tlsa) = (format!("3 1 1 {}", "ab".repeat(32)), format!("3 1 1 {}", "cd".repeat(32)));
    let alias = |target: &str| Told::Alias(name(target));
    let cases: Vec<(&str, Kind, Told, State, &str)> = vec![
        (host, Kind::A, said(Kind::A, &["203.0.113.10"]), Ok, "203.0.113.10"),
        (host, Kind::A, said(Kind::A, &["198.51.100.1"]), Fail, "is no address of this server"),
        (host, Kind::A, said(Kind::A, &["203.0.113.10", "198.51.100.1"]), Fail, "198.51.100.1 is no address"),
        (host, Kind::A, said(Kind::A, &["104.16.1.1"]), Fail, "web proxy"),
        (host, Kind::A, Told::NoName, Fail, "it is not there"),
        (host, Kind::A, alias("other.example"), Fail, "must have addresses itself"),
        (apex, Kind::Mx, said(Kind::Mx, &["10 mail.example.org."]), Ok, ""),
        (apex, Kind::Mx, said(Kind::Mx, &["20 mail.example.org.", "30 backup.example."]), Ok, ""),
        (
            apex,
            Kind::Mx,
            said(Kind::Mx, &["20 mail.example.org.", "10 other.example."]),
            Warn,
            "other.example first",
        ),
        (apex, Kind::Mx, said(Kind::Mx, &["10 other.example."]), Fail, "mail goes elsewhere"),
        (apex, Kind::Mx, said(Kind::Mx, &["0 ."]), Fail, "mail goes elsewhere"),
        (apex, Kind::Mx, Told::Nothing, Fail, "it is not there"),
        (apex, Kind::Mx, alias("www.example.net"), Fail, "top of the zone"),
        (key, Kind::Txt, said(Kind::Txt, &[own_key]), Ok, "whole"),
        (
            key,
            Kind::Txt,
            said(Kind::Txt, &["\"v=DKIM1; k=ed25519; \" \"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\""]),
            Ok,
            "",
        ),
        (key, Kind::Txt, said(Kind::Txt, &[cut_key]), Fail, "the key is cut: 23 of 44"),
        (key, Kind::Txt, said(Kind::Txt, &[other_key]), Fail, "another key"),
        (key, Kind::Txt, said(Kind::Txt, &["\"v=DKIM1; p=\""]), Fail, "no key"),
        (key, Kind::Txt, said(Kind::Txt, &[own_key, other_key]), Fail, "2 records"),
        (key, Kind::Txt, Told::NoName, Fail, "it is not there"),
        (dmarc, Kind::Txt, said(Kind::Txt, &["\"v=DMARC1; p=reject\""]), Ok, "p=reject"),
        (dmarc, Kind::Txt, said(Kind::Txt, &["\"unrelated\"", "\"v=DMARC1; p=none\""]), Ok, "p=none"),
        (
            dmarc,
            Kind::Txt,
            said(Kind::Txt, &["\"v=DMARC1; p=none\"", "\"v=DMARC1; p=reject\""]),
            Fail,
            "count as none",
        ),
        (dmarc, Kind::Txt, said(Kind::Txt, &["\"unrelated\""]), Fail, "it is not there"),
        (sts, Kind::Txt, said(Kind::Txt, &["\"v=STSv1; id=5f2a\""]), Ok, "id=5f2a"),
        (sts, Kind::Txt, said(Kind::Txt, &["\"v=STSv1; id=0ld\""]), Fail, "another policy"),
        (
            sts,
            Kind::Txt,
            said(Kind::Txt, &["\"v=STSv1; id=5f2a\"", "\"v=STSv1; id=0ld\""]),
            Fail,
            "count as none",
        ),
        (sts, Kind::Txt, Told::NoName, Warn, "it is not there"),
        (tlsa, Kind::Tlsa, said(Kind::Tlsa, &[&own_tlsa]), Ok, "fits the key"),
        (tlsa, Kind::Tlsa, said(Kind::Tlsa, &[&other_tlsa, &own_tlsa]), Ok, "fits the key"),
        (tlsa, Kind::Tlsa, said(Kind::Tlsa, &[&other_tlsa]), Fail, "cannot deliver"),
        (tlsa, Kind::Tlsa, said(Kind::Tlsa, &["2 1 1 00"]), Warn, "another form"),
        ("autoconfig.example.org", Kind::Cname, alias("mail.example.org"), Ok, ""),
        ("autoconfig.example.org", Kind::Cname, alias("old.example.org"), Warn, "old.example.org"),
        ("_imaps._tcp.example.org", Kind::Srv, said(Kind::Srv, &["0 1 993 mail.example.org."]), Ok, ""),
        ("_imaps._tcp.example.org", Kind::Srv, said(Kind::Srv, &["0 1 143 mail.example.org."]), Warn, "143"),
        ("_pop3._tcp.example.org", Kind::Srv, Told::NoName, Warn, "it is not there"),
        (dmarc, Kind::Txt, Told::Silent("REFUSED".to_owned()), CannotTell, "REFUSED"),
    ];
    for (at, kind, told, state, words) in cases {
        let finding = judged(&facts(), at, kind, same(told.clone()));
        assert_eq!(finding.state, state, "{at} {kind} {told:?}: {finding:?}");
        assert!(finding.what.contains(words), "{at} {kind} {told:?}: {finding:?}");
        assert_eq!(finding.fix.is_some(), matches!(state, Fail | Warn), "{finding:?}");
    }
    let told = |told: Told| ("ns".to_owned(), told);
    let (right, wrong) =
        (said(Kind::Mx, &["10 mail.example.org."]), said(Kind::Mx, &["10 old.example.org."]));
    for (heard, state, words) in [
        (Heard::Differ(vec![told(right.clone()), told(wrong.clone())]), Wait, "not yet"),
        (Heard::Differ(vec![told(wrong.clone()), told(Told::Nothing)]), Fail, "disagree"),
        (Heard::Nobody("timed out".to_owned()), CannotTell, "timed out"),
        (Heard::Same { told: right, silent: vec!["ns2: timed out".to_owned()] }, Warn, "no answer from ns2"),
    ] {
        let finding = judged(&facts(), apex, Kind::Mx, heard);
        assert!(finding.state == state && finding.what.contains(words), "{finding:?}");
    }
}

#[test]
fn the_key_that_serves_must_be_there_and_the_next_one_before_it_serves() {
    let facts = Facts { tls_keys: vec![vec![0xab; 32], vec![0xcd; 32]], ..facts() };
    let heap = Heap::default();
    let context = Context { facts: &facts, heap: &heap };
    let records = plan(&facts).records;
    let wanted: Vec<&Wanted> = records.iter().filter(|wanted| wanted.purpose == Purpose::Tlsa).collect();
    let (serves, next) = (format!("3 1 1 {}", "ab".repeat(32)), format!("3 1 1 {}", "cd".repeat(32)));
    let cases = [
        (vec![serves.as_str(), next.as_str()], State::Ok, None),
        (vec![serves.as_str()], State::Warn, Some(&next)),
        (vec![next.as_str()], State::Fail, Some(&serves)),
    ];
    for (there, state, fix) in cases {
        let finding = group(&context, &wanted, same(said(Kind::Tlsa, &there))).remove(0);
        assert_eq!(finding.state, state, "{there:?}: {finding:?}");
        let text = finding.fix.unwrap_or_default();
        assert!(fix.map_or(text.is_empty(), |record| text.contains(record.as_str())), "{there:?}: {text}");
    }
}

#[test]
fn a_long_key_that_was_cut_by_a_form_is_told_with_both_lengths() {
    let mut facts = facts();
    let record = format!("v=DKIM1; h=sha256; k=rsa; p={KEY}{KEY}{KEY}");
    facts.domains[0].keys[0].record.clone_from(&record);
    let whole = Txt::new(&record);
    let first = Data::Txt(Txt { strings: vec![whole.strings[0].clone()] });
    let told = Told::Records { data: vec![first], ttl: 60, odd: 0 };
    let finding = judged(&facts, "s._domainkey.example.org", Kind::Txt, same(told));
    assert_eq!(finding.state, State::Fail);
    let length = 3 * KEY.len();
    assert!(finding.what.contains(&format!("227 of {length} characters")), "{finding:?}");
    assert!(finding.fix.unwrap().contains(&format!("ONE value: {record}")));
}

#[test]
fn spf_is_one_record_that_names_us() {
    let facts = facts();
    let heap = Heap::default();
    let context = Context { facts: &facts, heap: &heap };
    let records = plan(&facts).records;
    let wanted = records.iter().find(|wanted| wanted.purpose == Purpose::Spf).unwrap();
    let text = |texts: &[&str]| spf_text(&context, wanted, &same(said(Kind::Txt, texts)));
    assert_eq!(text(&["\"v=spf1 mx -all\""]), None);
    assert_eq!(text(&["\"v=spf1 mx -all\"", "\"verification=1\""]), None);
    let several = text(&["\"v=spf1 mx -all\"", "\"v=spf1 include:old.example ~all\""]).unwrap();
    assert_eq!(several.state, State::Fail);
    assert!(several.fix.unwrap().contains("delete  v=spf1 include:old.example ~all"));
    assert_eq!(text(&["\"verification=1\""]).unwrap().state, State::Fail);
    let silent = spf_text(&context, wanted, &Heard::Nobody("no".to_owned())).unwrap();
    assert_eq!(silent.state, State::CannotTell);
}

#[test]
fn a_reverse_name_has_to_lead_back() {
    let (ip, other): (IpAddr, IpAddr) = ("203.0.113.10".parse().unwrap(), "198.51.100.1".parse().unwrap());
    let own = name("mail.example.org");
    let temporary = || DnsError::Temporary("timed out".to_owned());
    let cases = [
        (Ok(vec![own.clone()]), Ok(vec![ip]), State::Ok),
        (Ok(vec![name("x.example"), own.clone()]), Ok(vec![other, ip]), State::Ok),
        (Ok(vec![own.clone()]), Ok(vec![other]), State::Fail),
        (Ok(vec![own.clone()]), Err(DnsError::NoDomain), State::Fail),
        (Ok(vec![own.clone()]), Err(temporary()), State::CannotTell),
        (Ok(vec![name("ec2-203-0-113-10.example")]), Ok(vec![ip]), State::Fail),
        (Err(DnsError::NoDomain), Ok(vec![]), State::Fail),
        (Err(temporary()), Ok(vec![]), State::CannotTell),
    ];
    for (names, forward, state) in cases {
        let finding = reverse(ip, &own, names.clone(), forward.clone());
        assert_eq!(finding.state, state, "{names:?} {forward:?}");
        assert_eq!(finding.fix.is_some(), state == State::Fail);
    }
}

#[test]
fn a_rule_for_certificates_must_let_our_authority_in() {
    let facts = facts();
    let cases: [(&str, &[&str], State); 6] = [
        ("example.org", &["0 issue \"letsencrypt.org\""], State::Ok),
        (
            "example.org",
            &["0 issue \"letsencrypt.org; validationmethods=dns-01\"", "0 iodef \"mailto:a@b\""],
            State::Ok,
        ),
        ("mail.example.org", &["0 issue \"digicert.com\""], State::Fail),
        ("example.org", &["0 issue \";\""], State::Fail),
        ("example.org", &["0 issuewild \"digicert.com\""], State::Ok),
        ("unrelated.example", &["0 issue \"digicert.com\""], State::Warn),
    ];
    for (at, rules, state) in cases {
        let mut heap = Heap::default();
        for empty in ["mail.example.org", "example.org"] {
            heap.put(name(empty), Kind::Caa, same(Told::Nothing));
        }
        heap.put(name(at), Kind::Caa, same(said(Kind::Caa, rules)));
        let finding = authorities(&Context { facts: &facts, heap: &heap }).unwrap();
        assert_eq!(finding.state, state, "{at} {rules:?} {finding:?}");
    }
}

#[test]
fn an_address_of_a_kind_that_the_server_has_none_of_is_a_fault() {
    let facts = facts();
    let mut heap = Heap::default();
    heap.put(name("mail.example.org"), Kind::Aaaa, same(said(Kind::Aaaa, &["2001:db8::1"])));
    let finding = stray_addresses(&Context { facts: &facts, heap: &heap }).unwrap();
    assert!(finding.state == State::Fail && finding.fix.unwrap().contains("AAAA 2001:db8::1"));
    let heap = Heap::default();
    assert_eq!(stray_addresses(&Context { facts: &facts, heap: &heap }), None);
}

#[test]
fn a_policy_is_judged_by_what_others_get() {
    let facts = facts();
    let heap = Heap::default();
    let context = Context { facts: &facts, heap: &heap };
    let text = "version: STSv1\nmode: testing\nmx: mail.example.org\nmax_age: 604800\n";
    let own = Policy::parse(text.as_bytes()).unwrap();
    let foreign = Policy::parse(text.replace("mail.", "mx.").as_bytes()).unwrap();
    let cases = [
        (&own, Ok((200, text.as_bytes().to_vec())), State::Ok),
        (&own, Ok((200, text.replace("testing", "enforce").into_bytes())), State::Fail),
        (&own, Ok((200, b"<html>".to_vec())), State::Fail),
        (&own, Ok((404, Vec::new())), State::Fail),
        (&own, Err("TLS failed".to_owned()), State::Warn),
        (&foreign, Ok((200, text.replace("mail.", "mx.").into_bytes())), State::Fail),
    ];
    for (own, served, state) in cases {
        assert_eq!(policy(&context, &domain("example.org"), own, served.clone()).state, state, "{served:?}");
    }
}

#[test]
fn nothing_of_a_foreign_zone_acts_on_a_terminal_or_makes_a_line() {
    let facts = facts();
    let evil = b"v=spf1 \x1b[2J\x1b]0;pwn\x07\n  ok    forged\r -all";
    let records = |texts: &[&[u8]]| {
        let data = texts.iter().map(|text| Data::Txt(Txt::new(text))).collect();
        Told::Records { data, ttl: 60, odd: 0 }
    };
    let Plan { records: all, .. } = plan(&facts);
    let heap = Heap::default();
    let context = Context { facts: &facts, heap: &heap };
    let wanted = all.iter().find(|wanted| wanted.purpose == Purpose::Spf).unwrap();
    let outcome = |result| Outcome {
        result,
        identity: kings_msgauth::spf::Identity::MailFrom,
        domain: None,
        reason: kings_msgauth::spf::Reason::NotADomain,
        explanation: None,
        lookups: 1,
    };
    let ip: IpAddr = "203.0.113.10".parse().unwrap();
    let mut findings = vec![spf_text(&context, wanted, &same(records(&[evil, evil]))).unwrap()];
    for result in [SpfResult::PermError, SpfResult::Pass, SpfResult::Fail, SpfResult::TempError] {
        let heard = same(records(&[evil]));
        findings.push(spf(&context, wanted, &heard, &outcome(result), &[(ip, outcome(SpfResult::Fail))]));
        findings.push(spf(&context, wanted, &heard, &outcome(result), &[(ip, outcome(SpfResult::Pass))]));
    }
    let (dmarc, tls) = ("_dmarc.example.org", "_smtp._tls.example.org");
    let tls_text: &[u8] = b"v=TLSRPTv1; \x1b[2J\n  ok";
    findings.push(judged(&facts, dmarc, Kind::Txt, same(records(&[b"v=DMARC1; p=\x1b[2J\n  ok"]))));
    findings.push(judged(&facts, tls, Kind::Txt, same(records(&[tls_text]))));
    findings.push(judged(&facts, tls, Kind::Txt, same(records(&[tls_text, tls_text]))));
    for finding in findings {
        let acts = |text: &str| text.contains(|c| kings_mail::visible::is_active(c) && c != '\n');
        assert!(!acts(&finding.what) && !finding.what.contains('\n'), "{finding:?}");
        let fix = finding.fix.clone().unwrap_or_default();
        assert!(!acts(&fix) && fix.lines().all(|line| !line.starts_with("  ok")), "{finding:?}");
    }
}

#[test]
fn what_nobody_can_read_is_told_without_a_gap_in_front() {
    let facts = facts();
    let unread = Told::Records { data: Vec::new(), ttl: 60, odd: 1 };
    let finding = judged(&facts, "example.org", Kind::Mx, same(unread));
    assert_eq!(finding.what, "mail goes elsewhere; and 1 that nobody can read");
    assert_eq!(finding.state, State::Fail);
}
