//! Records in each form.

#![allow(clippy::unwrap_used, reason = "tests")]
use kings_dns::plan::{Facts, Hosted, Services, SigningKey, plan};

use super::*;

fn two() -> Plan {
    let domain = |text| Domain::parse(text).unwrap();
    let key = SigningKey { selector: "s".to_owned(), record: format!("v=DKIM1; p={}", "A".repeat(300)) };
    let hosted = |name, keys| Hosted { name: domain(name), keys, mta_sts: None, reports: None };
    plan(&Facts {
        hostname: domain("mail.example.org"),
        addresses: vec!["203.0.113.10".parse().unwrap()],
        domains: vec![hosted("example.org", vec![key]), hosted("example.net", Vec::new())],
        services: Services::default(),
        tls_keys: Vec::new(),
        authorities: Vec::new(),
        smart_host: false,
    })
}

fn by(name: &str) -> Form {
    FORMS.into_iter().find(|form| form.name == name).unwrap()
}

#[test]
fn a_page_gets_names_and_texts_as_it_wants_them() {
    let org = Domain::parse("example.org").unwrap();
    let whole = format!("Value  v=DKIM1; p={}\n", "A".repeat(300));
    let cut = format!("Value  \"v=DKIM1; p={}\" \"{}\"\n", "A".repeat(244), "A".repeat(56));
    let cases: [(&str, &[&str]); 5] = [
        (
            "cloudflare",
            &[
                "Name   @\nPriority  10\nValue  mail.example.org\n",
                "Name   s._domainkey\n",
                &whole,
                "grey cloud",
            ],
        ),
        ("gandi", &["Name   @\nPriority  10\nValue  mail.example.org.\n", &cut]),
        ("ovh", &["Name   \nPriority  10\nValue  mail.example.org.\n", &whole]),
        (
            "route53",
            &["Name   example.org\nValue  10 mail.example.org.\n", "Name   s._domainkey.example.org\n", &cut],
        ),
        ("google", &["Name   example.org.\nValue  10 mail.example.org.\n", &cut]),
    ];
    for (provider, expected) in cases {
        let text = paste(&two(), Some(&org), &by(provider));
        for part in expected {
            assert!(text.contains(part), "{provider}: no {part:?} in\n{text}");
        }
        assert!(!text.contains("example.net"), "{provider}");
    }
    // The server's own records are relative to the domain that it is in.
    assert!(paste(&two(), None, &by("hetzner")).contains("Type   A\nName   mail\nValue  203.0.113.10\n"));
}

#[test]
fn a_zone_file_has_whole_names_and_what_nobody_can_put_there_as_a_comment() {
    let text = zone_file(&two(), None);
    assert!(text.contains("\nexample.net. 3600 IN MX 10 mail.example.org.\n"));
    assert!(text.lines().last().unwrap().starts_with("; Ask whoever gave you the address 203.0.113.10"));
    assert!(text.lines().all(|line| line.starts_with(';') || line.contains(". 3600 IN ")));
}

#[test]
fn programs_get_the_text_in_one_piece_beside_its_strings() {
    let value = json(&two(), Some(&Domain::parse("example.org").unwrap()));
    let items = value["items"].as_array().unwrap();
    let key = items.iter().find(|item| item["purpose"] == "DKIM").unwrap();
    assert_eq!(key["text"], format!("v=DKIM1; p={}", "A".repeat(300)));
    assert!(key["data"].as_str().unwrap().starts_with('"'));
    assert!(items.iter().all(|item| item["name"].as_str().unwrap().ends_with("example.org")));
    assert_eq!(value["reverse"][0]["address"], "203.0.113.10");
}
