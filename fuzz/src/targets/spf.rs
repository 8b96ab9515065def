//! Targets for SPF: records, and checks against a small zone.

use std::future::{Future, pending};
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kings_dns::Zone;
use kings_mail::domain::DnsName;
use kings_mail::path::ReversePath;
use kings_msgauth::spf::{Limits, MAX_EXPLANATION, Question, Record, check};

/// A record parses alike twice, and a fault is told in one printable line.
pub fn spf_record(data: &[u8]) {
    let record = Record::parse(data);
    assert_eq!(Record::parse(data), record);
    if let Err(bad) = record {
        is_printable(&bad.to_string());
    }
}

/// The first line is `CLIENT HELO SENDER`, each other one `NAME VALUE`: an address, or a text. Whatever they hold,
/// the check ends within its limits.
pub fn spf_check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
    let client = words.next().and_then(|word| word.parse().ok()).unwrap_or(IpAddr::from([192, 0, 2, 1]));
    let helo = words.next().unwrap_or_default();
    let path = words.next().and_then(|word| ReversePath::parse(word).ok());
    let zone = lines.filter_map(|line| line.split_once(' ')).fold(Zone::default(), with_line);
    let question = Question {
        client,
        helo,
        mail_from: path.as_ref(),
        receiver: "mail.receiver.example",
        time: 1_700_000_000,
        limits: Limits::default(),
    };
    let check = pin!(check(&zone, &question, pending()));
    let Poll::Ready(outcome) = check.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a zone in memory never waits")
    };
    assert!(outcome.lookups <= 10);
    is_printable(&outcome.reason.to_string());
    if let Some(explanation) = &outcome.explanation {
        is_printable(explanation);
        assert!((1..=MAX_EXPLANATION).contains(&explanation.len()));
    }
}

fn with_line(zone: Zone, (owner, value): (&str, &str)) -> Zone {
    match (owner.parse::<IpAddr>(), DnsName::parse(owner), value.parse::<IpAddr>()) {
        (Ok(address), ..) => match DnsName::parse(value) {
            Ok(name) => zone.with_reverse(address, name),
            Err(_) => zone,
        },
        (_, Ok(owner), Ok(address)) => zone.with_address(owner, address),
        (_, Ok(owner), _) => match DnsName::parse(value) {
            Ok(host) => zone.with_mx(owner, 10, Some(host)),
            Err(_) => zone.with_txt(owner, value),
        },
        _ => zone,
    }
}

fn is_printable(text: &str) {
    assert!(text.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' '), "{text:?}");
}
