//! Tables for the points.

#![allow(clippy::unwrap_used, reason = "tests")]

use kings_mail::domain::DnsName;
use kings_msgauth::dns_list::{Doubt, Verdict};

use super::*;

/// What can be had, and what it got.
type Tenths = (u16, Option<u16>);

fn score(points: &[Tenths]) -> Score {
    let point = |&(full, got): &Tenths| Point { full, ..Topic::Tls.point(got, vec![], vec![]) };
    Score { points: points.iter().map(point).collect(), enough: ENOUGH }
}

#[test]
fn nine_of_ten_of_what_is_known_is_good() {
    let cases: [(&[Tenths], Grade); 8] = [
        (&[(50, Some(50)), (50, Some(50))], Grade::Good),
        (&[(50, Some(50)), (50, Some(40))], Grade::Good),
        (&[(50, Some(50)), (50, Some(39))], Grade::Below),
        // 8 of 9 is less than nine of ten.
        (&[(90, Some(80)), (10, None)], Grade::Below),
        (&[(50, Some(50)), (50, None)], Grade::Good),
        (&[(40, Some(40)), (60, None)], Grade::CannotTell),
        (&[(40, Some(30)), (60, None)], Grade::Below),
        (&[(100, None)], Grade::CannotTell),
    ];
    for (points, grade) in cases {
        assert_eq!(score(points).grade(), grade, "{points:?}");
    }
    // Where only the content is asked for, it is enough.
    assert_eq!(Score { enough: 20, ..score(&[(20, Some(20)), (80, None)]) }.grade(), Grade::Good);
}

#[test]
fn a_list_counts_only_where_it_answers_as_lists_do() {
    let client: IpAddr = "192.0.2.1".parse().unwrap();
    let listed = || ("a.test".to_owned(), Verdict::Listed(vec!["127.0.0.2".parse().unwrap()]));
    let clear = || ("b.test".to_owned(), Verdict::NotListed);
    let refused =
        || ("c.test".to_owned(), Verdict::CannotTell(Doubt::Refused("127.255.255.254".parse().unwrap())));
    let cases = [
        (vec![clear()], Some(10)),
        (vec![clear(), listed()], Some(0)),
        (vec![refused(), listed()], Some(0)),
        (vec![refused(), clear()], Some(10)),
        (vec![refused()], None),
        (vec![], None),
    ];
    for (lists, got) in cases {
        assert_eq!(blocklist(client, &lists).got, got, "{lists:?}");
    }
}

#[test]
fn a_reverse_name_counts_where_it_leads_back_and_is_that_of_ehlo() {
    let outcome = |result, name: Option<&str>, reason| iprev::Outcome {
        result,
        client: "192.0.2.1".parse().unwrap(),
        name: name.map(|name| DnsName::parse(name).unwrap()),
        reason,
    };
    let good = outcome(IprevResult::Pass, Some("mail.example.org"), iprev::Reason::Confirmed);
    assert_eq!(reverse(&good, Some("Mail.example.org.")).got, Some(10));
    assert_eq!(reverse(&good, None).got, Some(10));
    let other = reverse(&good, Some("mx.example.org"));
    assert_eq!(other.got, Some(0));
    assert!(other.fixes[0].contains("192.0.2.1 to mx.example.org"), "{other:?}");
    let none = outcome(IprevResult::PermError, None, iprev::Reason::NoName);
    assert_eq!(reverse(&none, Some("mail.example.org")).got, Some(0));
    let silent = outcome(IprevResult::TempError, None, iprev::Reason::Dns("no answer".into()));
    assert_eq!(reverse(&silent, None).got, None);
}

fn passed(mechanism: &str) -> spf::Outcome {
    let domain = DnsName::parse("example.org").unwrap();
    spf::Outcome {
        result: SpfResult::Pass,
        identity: spf::Identity::MailFrom,
        domain: Some(domain.clone()),
        reason: Reason::Matched { mechanism: mechanism.into(), domain },
        explanation: None,
        lookups: 1,
    }
}

#[test]
fn a_pass_of_spf_counts_unless_everybody_has_it() {
    let client: IpAddr = "192.0.2.1".parse().unwrap();
    for (mechanism, got) in
        [("mx", 20), ("ip4:192.0.2.0/24", 20), ("+all", 0), ("ALL", 0), ("a:all.example.org", 20)]
    {
        assert_eq!(spf(&passed(mechanism), client, 10).got, Some(got), "{mechanism}");
    }
    let silent = spf::Outcome { result: SpfResult::TempError, ..passed("mx") };
    assert_eq!(spf(&silent, client, 10).got, None);
    let failed = spf::Outcome { result: SpfResult::SoftFail, ..passed("~all") };
    assert_eq!(
        spf(&failed, client, 10).fixes,
        ["add ip4:192.0.2.1 to the SPF record of example.org, in front of its all"]
    );
}

#[test]
fn tls_counts_where_every_port_shows_a_certificate_that_is_trusted() {
    let hostname = Domain::parse("mail.example.org").unwrap();
    let agreed = |port: &str, distrust: Option<&str>| Handshake {
        port: port.into(),
        outcome: Ok(Agreed { tls: "TLSv1_3".into(), distrust: distrust.map(Into::into), until: Some(0) }),
    };
    let silent = |port: &str| Handshake { port: port.into(), outcome: Err("connection refused".into()) };
    let cases = [
        (vec![agreed("smtp", None), agreed("imaps", None)], Some(10)),
        (vec![agreed("smtp", None), agreed("imaps", Some("expired"))], Some(0)),
        (vec![agreed("smtp", Some("unknown issuer"))], Some(0)),
        (vec![silent("smtp"), agreed("imaps", None)], Some(0)),
        (vec![agreed("imaps", None)], None),
        (vec![], None),
    ];
    for (handshakes, got) in cases {
        assert_eq!(tls(&hostname, &handshakes).got, got, "{handshakes:?}");
    }
}

#[test]
fn of_two_addresses_the_worse_one_counts_and_doubt_counts_neither_way() {
    let point = |got| Topic::Reverse.point(got, vec!["fact".into()], vec![]);
    for (one, other, got) in [
        (Some(10), Some(0), Some(0)),
        (Some(10), None, Some(10)),
        (None, Some(0), Some(0)),
        (None, None, None),
    ] {
        let whole = worst(vec![point(one), point(other)]).unwrap();
        assert_eq!((whole.got, whole.facts.len()), (got, 2));
    }
    assert_eq!(worst(vec![]), None);
}
